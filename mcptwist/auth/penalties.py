"""Sources that fail too often have to wait, as sshd makes them.

Each failure costs its source some seconds; as soon as they sum up to enough, nothing that comes
from there is looked at until they have passed. ``sshd_config(5)``, *PerSourcePenalties*. Pure.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Callable, Iterable

from mcptwist.auth.patterns import UNIX, Sources, address_of
from mcptwist.configuration.gatelimits import PenaltyRules

BAD_LOGIN, BAD_TOKEN, STALE_TOKEN, SILENCE = "login", "token", "ended", "silence"
"""The sorts of failures, by what the rules call their costs."""


class Penalties:
    """What each source has to wait.

    :param monotonic: seconds that only grow.
    :param rules: what failures cost.
    :param exempt: networks whose failures cost nothing.
    :ivar enforced: how often somebody had to begin to wait.
    :ivar forgotten: how many sources there was no room for any more.
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
        self.forgotten = 0

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

    @property
    def limit(self) -> int:
        """How many sources are remembered at most."""
        return self._rules.sources

    @property
    def waiting(self) -> int:
        """How many sources have to wait, or had to lately."""
        return len(self._waiting)

    def blame(self, host: str, failure: str) -> bool:
        """*host* failed; whether it has to wait from now on, and had not before.

        :param failure: of which sort.
        """
        if host == UNIX or any(each.allow(host) for each in self._exempt):
            return False
        now, source, rules = self._monotonic(), source_of(host), self._rules
        cost: float = getattr(rules, failure)
        until = min(max(now, self._until.get(source, now)) + cost, now + rules.longest)
        self._until[source] = until
        self._until.move_to_end(source)
        if len(self._until) > rules.sources:
            self._forget(next(iter(self._until)))
            self.forgotten += 1
        if until - now < rules.threshold or source in self._waiting:
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
