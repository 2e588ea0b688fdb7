"""Tests of mcptwist.protocols.h2purses."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from mcptwist.protocols.h2frames import ConnectionFailed
from mcptwist.protocols.h2purses import Purses, Rate, Rates


class PursesTests(SynchronousTestCase):
    """What may be had how often."""

    def setUp(self) -> None:
        self.purses = Purses(Rates(ping=Rate(3, 2)), 100.0)

    def test_burst(self) -> None:
        """So many at once, and one more is too much."""
        for _ in range(3):
            self.purses.pay("ping", 100.0)
        failed = self.assertRaises(ConnectionFailed, self.purses.pay, "ping", 100.0)
        self.assertEqual((failed.code, failed.flood), (11, "ping"))

    def test_time(self) -> None:
        """With time there are more, up to the burst."""
        for now in (100.0, 100.0, 100.0, 100.5, 101.0, 110.0, 110.0, 110.0):
            self.purses.pay("ping", now)
        self.assertRaises(ConnectionFailed, self.purses.pay, "ping", 110.0)

    def test_earned(self) -> None:
        """Or when they are earned; up to the burst as well."""
        for _ in range(3):
            self.purses.pay("ping", 100.0)
        self.purses.earn("ping", 50)
        for _ in range(3):
            self.purses.pay("ping", 100.0)
        self.assertRaises(ConnectionFailed, self.purses.pay, "ping", 100.0)

    def test_apart(self) -> None:
        """One purse is not another."""
        for _ in range(200):
            self.purses.pay("reset", 100.0)
        self.purses.pay("ping", 100.0)
