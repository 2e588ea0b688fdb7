"""How late the reactor is: what else asks for the thread shows in when a timer fires."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall, IReactorTime

EVERY = 1.0
REMEMBERED = 60


class Lag:
    """Measures the delay of a timer, once a second.

    :ivar last: seconds it was late the last time.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self.last = 0.0
        self._clock = clock
        self._recent: deque[float] = deque(maxlen=REMEMBERED)
        self._call: IDelayedCall | None = None
        self._due = 0.0

    def start(self) -> None:
        """Begin to measure."""
        self._next()

    def stop(self) -> None:
        """Measure no more."""
        call, self._call = self._call, None
        if call is not None:
            call.cancel()

    def worst(self) -> float:
        """The most seconds it was late of the last minute."""
        return max(self._recent, default=0.0)

    def _next(self) -> None:
        self._due = self._clock.seconds() + EVERY
        self._call = self._clock.callLater(EVERY, self._measure)

    def _measure(self) -> None:
        self.last = max(0.0, self._clock.seconds() - self._due)
        self._recent.append(self.last)
        self._next()
