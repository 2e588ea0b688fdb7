"""``mcptwist.watching.lag``: how late the reactor is."""

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.watching.lag import EVERY, REMEMBERED, Lag


class LagTests(SynchronousTestCase):
    """On a clock that jumps."""

    def test_late(self) -> None:
        """A timer that fires late is noticed, and remembered for a while."""
        clock = Clock()
        lag = Lag(clock)
        lag.start()
        clock.advance(EVERY)
        self.assertEqual((lag.last, lag.worst()), (0.0, 0.0))
        clock.advance(EVERY + 0.25)
        self.assertEqual((lag.last, lag.worst()), (0.25, 0.25))
        clock.pump([EVERY] * REMEMBERED)
        self.assertEqual((lag.last, lag.worst()), (0.0, 0.0))
        lag.stop()
        self.assertEqual(clock.getDelayedCalls(), [])
