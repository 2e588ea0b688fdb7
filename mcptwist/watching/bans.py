"""Who may not connect for a while. Pure."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime

LIMIT = 10_000


class Bans:
    """Addresses from which nobody may connect.

    :param limit: how many are remembered; beyond it, the oldest is let in again.
    :ivar turned_away: connections that were refused for it.
    """

    def __init__(self, clock: IReactorTime, limit: int = LIMIT) -> None:
        self.limit = limit
        self.turned_away = 0
        self._clock = clock
        self._until: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        self._forget_old()
        return len(self._until)

    def __iter__(self) -> Any:
        self._forget_old()
        return iter(dict(self._until))

    def add(self, host: str, seconds: float) -> None:
        """Let nobody in from *host* for so long."""
        self._until.pop(host, None)
        self._until[host] = self._clock.seconds() + seconds
        while len(self._until) > self.limit:
            self._until.popitem(last=False)

    def lift(self, host: str) -> bool:
        """Let them in again; whether they were kept out."""
        return self._until.pop(host, None) is not None

    def left(self, host: str) -> float:
        """Seconds until they are let in."""
        return max(0.0, self._until.get(host, 0.0) - self._clock.seconds())

    def turns_away(self, address: Any) -> bool:
        """Whether who comes from *address* is to be turned away."""
        if not self._until or self.left(getattr(address, "host", "") or "") <= 0:
            return False
        self.turned_away += 1
        return True

    def _forget_old(self) -> None:
        now = self._clock.seconds()
        for host in [host for host, until in self._until.items() if until <= now]:
            del self._until[host]
