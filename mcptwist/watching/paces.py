"""How something goes: rates and recent percentiles, from the difference of two pictures. Pure."""

from __future__ import annotations

from collections import deque

from mcptwist.watching.status import Latencies, latencies_of

HISTORY = 240


class History:
    """The last values of something, the newest last."""

    def __init__(self, kept: int = HISTORY) -> None:
        self._values: deque[float] = deque(maxlen=kept)

    def add(self, value: float) -> None:
        """One more value."""
        self._values.append(value)

    def last(self, count: int) -> list[float]:
        """As many of the last as there are, *count* at most."""
        return list(self._values)[-count:] if count > 0 else []


class Pace:
    """How something goes, from one picture to the next.

    :ivar rate: calls a second.
    :ivar troubles: errors a second.
    :ivar took: how long the calls took that were answered since the picture before.
    """

    def __init__(self) -> None:
        self.rate = 0.0
        self.troubles = 0.0
        self.took = Latencies()
        self.rates = History()
        self.p95s = History()
        self._known: tuple[float, int, int, Latencies] | None = None

    def look(self, now: float, calls: int, troubles: int, took: Latencies) -> None:
        """The numbers of a picture taken at *now*."""
        known, self._known = self._known, (now, calls, troubles, took)
        if known is None or now <= known[0] or calls < known[1]:
            return
        seconds = now - known[0]
        self.rate = (calls - known[1]) / seconds
        self.troubles = max(0, troubles - known[2]) / seconds
        self.took = _since(known[3], took)
        self.rates.add(self.rate)
        self.p95s.add(self.took.p95 or 0.0)


def _since(before: Latencies, after: Latencies) -> Latencies:
    if len(before.buckets) != len(after.buckets):
        return after
    counts = tuple(b - a for a, b in zip(before.buckets, after.buckets, strict=True))
    return latencies_of(counts, after.seconds - before.seconds, with_buckets=False)
