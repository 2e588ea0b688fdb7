"""When a server that failed may be started again: back-off and crash-loop breaker.

Two rules, and the longer wait counts:

- *Back-off*: after each failure in a row the wait is longer. The row is over
  when a start has lasted for a while, not when it merely succeeded: a server
  that starts well and crashes a second later is not getting better.
- *Breaker*: when too many starts have failed within a while, nobody tries for
  a longer while (``open``). Then one start is let through (``half-open``). If
  it lasts the breaker closes, if it fails the breaker opens again.

Pure: the time is handed in, in seconds of whatever clock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Literal, TypeAlias

State: TypeAlias = Literal["closed", "open", "half-open"]
Policy: TypeAlias = Literal["always", "on-failure", "never"]

BACKOFF_MIN = 1.0
BACKOFF_MAX = 60.0
RESET_AFTER = 60.0
BREAKER_STARTS = 5
BREAKER_WINDOW = 120.0
BREAKER_OPEN_FOR = 300.0


def no_jitter(delay: float) -> float:
    """The delay as it is."""
    return delay


def jitter_from(random: Callable[[], float]) -> Callable[[float], float]:
    """Takes up to a fifth off a delay, so that what failed together is not tried together.

    :param random: returns numbers from 0 to 1, such as :func:`random.random`.
    """
    return lambda delay: delay * (1 - random() / 5)


class Patience:
    """Decides when one server, of which one process lives at a time, may be started.

    :param backoff_min: seconds to wait after the first failure.
    :param backoff_max: the longest wait that the back-off asks for.
    :param factor: by what each wait exceeds the one before.
    :param jitter: changes a delay a little; what it returns is never more than asked.
    :param reset_after: seconds a start must last to end the row of failures.
    :param breaker_starts: how many failures within the window open the breaker; 0 for never.
    :param breaker_window: seconds.
    :param breaker_open_for: seconds.
    :param policy: whether a server that ended is to be started unasked.
    :ivar attempt: how many starts have failed in a row.
    :ivar state: of the breaker, as of the last time anything was said or asked.
    """

    def __init__(
        self,
        backoff_min: float = BACKOFF_MIN,
        backoff_max: float = BACKOFF_MAX,
        *,
        factor: float = 2.0,
        jitter: Callable[[float], float] = no_jitter,
        reset_after: float = RESET_AFTER,
        breaker_starts: int = BREAKER_STARTS,
        breaker_window: float = BREAKER_WINDOW,
        breaker_open_for: float = BREAKER_OPEN_FOR,
        policy: Policy = "on-failure",
    ) -> None:
        self.attempt = 0
        self.state: State = "closed"
        self._backoff_min = min(backoff_min, backoff_max)
        self._backoff_max = backoff_max
        self._factor = factor
        self._jitter = jitter
        self._reset_after = reset_after
        self._breaker_starts = breaker_starts
        self._breaker_window = breaker_window
        self._breaker_open_for = breaker_open_for
        self._policy = policy
        self._up_since: float | None = None
        self._not_before = float("-inf")
        self._open_until = float("-inf")
        self._failures: deque[float] = deque(maxlen=max(1, breaker_starts))

    def started(self, now: float) -> None:
        """It is being started."""
        self._notice(now)
        self._up_since = now

    def ended(self, now: float, clean: bool) -> None:
        """It is gone, or could not be started.

        :param clean: it ended as it was meant to, which is no failure.
        """
        self._notice(now)
        self._up_since = None
        if not clean:
            self._failed(now)

    def may_start(self, now: float) -> float:
        """How many seconds to wait before the next start; 0 for now."""
        self._notice(now)
        if self.state == "half-open" and self._up_since is not None:
            return min(self._reset_after, max(0.0, self._up_since + self._reset_after - now))
        # A clock that was set back must not make anybody wait longer than was meant.
        backing_off = min(self._not_before - now, self._backoff_max)
        breaking = min(self._open_until - now, self._breaker_open_for)
        return max(0.0, backing_off, breaking)

    def restarts(self, clean: bool) -> bool:
        """Whether a server that ended is to be started again unasked.

        :param clean: it ended as it was meant to.
        """
        return self._policy == "always" or (self._policy == "on-failure" and not clean)

    def forgive(self) -> None:
        """Forget all failures: somebody says that it will work now."""
        self.attempt = 0
        self.state = "closed"
        self._failures.clear()
        self._not_before = self._open_until = float("-inf")

    def _notice(self, now: float) -> None:
        """What the time alone has brought about."""
        if self._up_since is not None and now - self._up_since >= self._reset_after:
            self.forgive()
        elif self.state == "open" and now >= self._open_until:
            self.state = "half-open"

    def _failed(self, now: float) -> None:
        delay = self._delay()
        self.attempt += 1
        self._not_before = now + max(0.0, min(delay, self._jitter(delay)))
        self._failures.append(now)
        if self.state == "half-open" or self._too_many(now):
            self.state = "open"
            self._open_until = now + self._breaker_open_for

    def _delay(self) -> float:
        try:
            return min(self._backoff_max, self._backoff_min * self._factor**self.attempt)
        except OverflowError:
            return self._backoff_max

    def _too_many(self, now: float) -> bool:
        return (
            0 < self._breaker_starts <= len(self._failures)
            and now - self._failures[0] <= self._breaker_window
        )
