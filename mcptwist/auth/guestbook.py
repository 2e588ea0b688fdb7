"""Who came in last with which key, and who knocked with a key that nobody knows. Pure.

A name or fingerprint that somebody unknown goes by is their word and nothing more: it is for
people, who compare it with what its owner reads to them before they authorize anything.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import msgspec

from mcptwist.auth.audit import inert

STRANGERS = 64
"""How many are remembered; beyond it, who knocked longest ago is forgotten."""

_LONGEST = 100


class Knock(msgspec.Struct, frozen=True):
    """Somebody unknown wanted to come in.

    :ivar client: the name or fingerprint they went by.
    :ivar source: the address they came from.
    :ivar time: the last time, in seconds since 1970.
    """

    client: str
    source: str
    time: float
    times: int = 1


class Guestbook:
    """See above.

    :param wall: seconds since 1970.
    :ivar last: when somebody came in with a key, by its fingerprint; only keys that were good.
    """

    def __init__(self, wall: Callable[[], float]) -> None:
        self.last: dict[str, float] = {}
        self._wall = wall
        self._knocks: OrderedDict[str, Knock] = OrderedDict()

    def came(self, fingerprint: str) -> None:
        """Somebody proved to hold that key, which is good."""
        self.last[fingerprint] = self._wall()

    def knocked(self, client: str, source: str) -> None:
        """Somebody went by a name that is nobody's."""
        client = inert(client[:_LONGEST])
        before = self._knocks.pop(client, None)
        times = 1 if before is None else before.times + 1
        self._knocks[client] = Knock(client, source, self._wall(), times)
        if len(self._knocks) > STRANGERS:
            self._knocks.popitem(last=False)

    def knocks(self) -> list[Knock]:
        """Those who are unknown, the last one first."""
        return list(reversed(self._knocks.values()))
