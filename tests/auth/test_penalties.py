"""Penalties: who waits, for how long, and who does not."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.auth.penalties import BAD_LOGIN, STALE_TOKEN, Penalties, source_of
from mcptwist.configuration.gatelimits import PenaltyRules


class PenaltyTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        rules = PenaltyRules(sources=10)
        self.penalties = Penalties(self.clock.seconds, rules, ["10.0.0.0/8"])

    def test_threshold(self) -> None:
        begins = [self.penalties.blame("a", BAD_LOGIN) for _ in range(4)]
        self.assertEqual(begins, [False, False, True, False])
        self.assertEqual(self.penalties.wait("a"), 20)
        self.assertEqual(self.penalties.wait("b"), 0)
        self.assertEqual(self.penalties.enforced, 1)

    def test_passes(self) -> None:
        for _ in range(3):
            self.penalties.blame("a", BAD_LOGIN)
        self.clock.advance(14)
        self.assertEqual(self.penalties.wait("a"), 1)
        self.clock.advance(1)
        self.assertEqual(self.penalties.wait("a"), 0)
        self.assertFalse(self.penalties.blame("a", BAD_LOGIN))

    def test_now_and_then(self) -> None:
        """Who fails seldom never waits."""
        for _ in range(100):
            self.penalties.blame("a", BAD_LOGIN)
            self.clock.advance(6)
        self.assertEqual(self.penalties.wait("a"), 0)

    def test_costs(self) -> None:
        """What each sort of failure costs, when one has to wait, and how long at most."""
        rules = PenaltyRules(login=2.0, ended=1.0, threshold=3.0, longest=4.0)
        penalties = Penalties(self.clock.seconds, rules)
        sorts = [BAD_LOGIN, STALE_TOKEN, BAD_LOGIN]
        self.assertEqual([penalties.blame("a", sort) for sort in sorts], [False, True, False])
        self.assertEqual((penalties.wait("a"), penalties.waiting), (4, 1))

    def test_most(self) -> None:
        for _ in range(1000):
            self.penalties.blame("a", BAD_LOGIN)
        self.assertEqual(self.penalties.wait("a"), 600)

    def test_exempt(self) -> None:
        for host in ("10.1.2.3", "::ffff:10.1.2.3", "unix"):
            for _ in range(10):
                self.penalties.blame(host, BAD_LOGIN)
            self.assertEqual(self.penalties.wait(host), 0)
        self.assertEqual(len(self.penalties), 0)

    def test_bounded(self) -> None:
        """The oldest is forgotten first."""
        for number in range(50):
            for _ in range(3):
                self.penalties.blame(f"h{number}", BAD_LOGIN)
        self.assertEqual(len(self.penalties), 10)
        self.assertEqual(self.penalties.forgotten, 40)
        self.assertEqual(self.penalties.wait("h0"), 0)
        self.assertEqual(self.penalties.wait("h49"), 15)

    def test_sources(self) -> None:
        self.assertEqual(source_of("192.0.2.1"), "192.0.2.1")
        self.assertEqual(source_of("::ffff:192.0.2.1"), "192.0.2.1")
        self.assertEqual(source_of("2001:db8::1"), source_of("2001:db8::ffff:1%eth0"))
        self.assertNotEqual(source_of("2001:db8::1"), source_of("2001:db8:0:1::1"))
