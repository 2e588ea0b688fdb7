"""``mcptwist.watching.bans``: who may not connect for a while."""

from twisted.internet.address import IPv4Address, UNIXAddress
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.watching.bans import Bans

HOST = "203.0.113.7"
ADDRESS = IPv4Address("TCP", HOST, 1)


class BansTests(SynchronousTestCase):
    """A few of them."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.bans = Bans(self.clock, 2)

    def test_time(self) -> None:
        """A ban ends by itself, and what it turned away is counted."""
        self.bans.add(HOST, 10)
        self.assertTrue(self.bans.turns_away(ADDRESS))
        self.assertEqual((self.bans.left(HOST), len(self.bans)), (10, 1))
        self.clock.advance(10)
        self.assertFalse(self.bans.turns_away(ADDRESS))
        self.assertEqual((self.bans.turned_away, len(self.bans)), (1, 0))

    def test_lift(self) -> None:
        """It can be lifted."""
        self.bans.add(HOST, 10)
        self.assertTrue(self.bans.lift(HOST))
        self.assertFalse(self.bans.lift(HOST))
        self.assertFalse(self.bans.turns_away(ADDRESS))

    def test_others(self) -> None:
        """Others, and those without an address, are let in."""
        self.bans.add(HOST, 10)
        self.assertFalse(self.bans.turns_away(IPv4Address("TCP", "203.0.113.8", 1)))
        self.assertFalse(self.bans.turns_away(UNIXAddress(b"/x")))
        self.assertFalse(self.bans.turns_away(None))

    def test_bound(self) -> None:
        """So many are remembered."""
        for number in range(4):
            self.bans.add(f"203.0.113.{number}", 10)
        self.assertEqual(list(self.bans), ["203.0.113.2", "203.0.113.3"])
