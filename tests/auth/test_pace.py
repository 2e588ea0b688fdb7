"""How fast one source may ask for tokens."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.auth.pace import Pace


class PaceTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.pace = Pace(self.clock.seconds, rate=10, burst=50, sources=3)

    def test_rate(self) -> None:
        hasty = [self.pace.is_hasty("a") for _ in range(60)]
        self.assertEqual(hasty.count(False), 50)
        self.assertFalse(self.pace.is_hasty("b"))
        self.assertEqual(self.pace.hasty, 10)
        self.clock.advance(1)
        self.assertEqual([self.pace.is_hasty("a") for _ in range(12)].count(False), 10)

    def test_bounded(self) -> None:
        """The source that asked longest ago is forgotten first."""
        for _ in range(50):
            self.pace.is_hasty("a")
        self.assertTrue(self.pace.is_hasty("a"))
        for source in "bcd":
            self.pace.is_hasty(source)
        self.assertFalse(self.pace.is_hasty("a"))
