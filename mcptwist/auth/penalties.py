"""Sources that fail too often have to wait, as sshd makes them.

Each failure costs its source some seconds; as soon as they sum up to enough, nothing that comes
from there is looked at until they have passed. ``sshd_config(5)``, *PerSourcePenalties*. Pure.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Callable, Iterable

import msgspec

from mcptwist.auth.patterns import UNIX, Sources, address_of

#: Seconds that each sort of failure costs.
BAD_LOGIN, BAD_TOKEN, STALE_TOKEN = 5.0, 5.0, 0.2


class PenaltyRules(msgspec.Struct, frozen=True):
    """How patient we are.

    :ivar threshold: seconds that must have summed up before a source has to wait.
    :ivar most: seconds that it has to wait at most.
    :ivar sources: how many are remembered; beyond it, the oldest is forgotten.
    """

    threshold: float = 15.0
    most: float = 600.0
    sources: int = 65_536


class Penalties:
    """What each source has to wait.

    :param monotonic: seconds that only grow.
    :param exempt: networks whose failures cost nothing.
    """

    def __init__(
        self,
        monotonic: Callable[[], float],
        rules: PenaltyRules | None = None,
        exempt: Iterable[str] = (),
    ) -> None:
        self._monotonic = monotonic
        self._rules = rules or PenaltyRules()
        self._exempt = [Sources(each) for each in exempt]
        self._until: OrderedDict[str, float] = OrderedDict()
        self._waiting: set[str] = set()
        self.enforced = 0

    def __len__(self) -> int:
        return len(self._until)

    def wait(self, host: str) -> float:
        """Seconds that *host* has to wait; 0 for most."""
        if not self._waiting:
            return 0.0
        source = source_of(host)
        if source not in self._waiting:
            return 0.0
        left = self._until[source] - self._monotonic()
        if left > 0:
            return left
        self._forget(source)
        return 0.0

    def blame(self, host: str, seconds: float) -> bool:
        """*host* failed; whether it has to wait from now on, and had not before."""
        if host == UNIX or any(each.allow(host) for each in self._exempt):
            return False
        now, source = self._monotonic(), source_of(host)
        until = min(max(now, self._until.get(source, now)) + seconds, now + self._rules.most)
        self._until[source] = until
        self._until.move_to_end(source)
        if len(self._until) > self._rules.sources:
            self._forget(next(iter(self._until)))
        if until - now < self._rules.threshold or source in self._waiting:
            return False
        self._waiting.add(source)
        self.enforced += 1
        return True

    def _forget(self, source: str) -> None:
        self._until.pop(source, None)
        self._waiting.discard(source)


def source_of(host: str) -> str:
    """What shares a penalty: an IPv4 address, or 64 bits of an IPv6 address."""
    if ":" not in host:
        return host
    address = address_of(host)
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)
