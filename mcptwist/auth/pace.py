"""How fast one source may ask for tokens and tickets, for signatures are dear to verify. Pure."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from mcptwist.auth.penalties import source_of


class Pace:
    """Counts what each source asks.

    :param monotonic: seconds that only grow.
    :param rate: so many a second may be asked for all the time,
    :param burst: and so many at once.
    :param sources: how many are remembered; beyond it, the oldest is forgotten.
    :ivar hasty: how often somebody asked too fast.
    """

    def __init__(
        self,
        monotonic: Callable[[], float],
        rate: float = 10.0,
        burst: int = 50,
        sources: int = 65_536,
    ) -> None:
        self._monotonic = monotonic
        self._rate = rate
        self._burst = burst
        self._sources = sources
        self._spent: OrderedDict[str, float] = OrderedDict()
        self.hasty = 0

    def is_hasty(self, host: str) -> bool:
        """*host* asks once more; whether that is too often."""
        now, source = self._monotonic(), source_of(host)
        # When all that was asked so far would have been asked, at the rate that is allowed.
        spent = max(now, self._spent.get(source, now)) + 1 / self._rate
        if spent - now > self._burst / self._rate:
            self.hasty += 1
            return True
        self._spent[source] = spent
        self._spent.move_to_end(source)
        if len(self._spent) > self._sources:
            self._spent.popitem(last=False)
        return False
