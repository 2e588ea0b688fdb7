"""What was used once, in memory: remembered for as long as it matters, by both clocks."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from mcptwist.auth.oauth.replay import ReplayCache, ReplaysFull
from tests.auth.people import NOW


class ReplayTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.moved = self.passed = 0.0
        self.cache = ReplayCache(self.wall, lambda: self.passed, limit=4, share=2, born=NOW)

    def wall(self) -> float:
        return NOW + self.passed + self.moved

    def use(self, name: str, owner: str = "alice", lasts: float = 300.0) -> bool:
        return self.cache.first_use(owner, name, self.wall() + lasts)

    def test_once(self) -> None:
        """Each name of each owner."""
        self.assertTrue(self.use("a"))
        self.assertFalse(self.use("a"))
        self.assertTrue(self.use("a", "bob"))
        self.assertTrue(self.use("b"))
        self.assertEqual((len(self.cache), self.cache.remembers_since), (3, NOW))

    def test_to_the_last(self) -> None:
        """Until it would be refused anyway, that moment included."""
        self.use("a")
        self.passed = 300.0
        self.assertFalse(self.use("a"))
        self.passed = 300.1
        self.assertTrue(self.use("a"))
        self.assertEqual(len(self.cache), 1)

    def test_one_owner(self) -> None:
        """Who uses up their share has to wait until something of it is over; nobody else has."""
        self.use("a", lasts=10)
        self.use("b", lasts=20)
        self.assertRaises(ReplaysFull, self.use, "c")
        self.assertTrue(self.use("c", "bob"))
        self.assertFalse(self.use("a"))
        self.assertEqual(self.cache.refused, 1)
        self.passed = 11.0
        self.assertTrue(self.use("c"))
        self.assertRaises(ReplaysFull, self.use, "d")

    def test_owner_who_is_gone(self) -> None:
        """Nothing is kept of an owner without uses."""
        self.use("a", lasts=10)
        self.passed = 11.0
        self.use("b", "bob")
        self.assertEqual(self.cache._owned, {"bob": 1})

    def test_all(self) -> None:
        """When there is no room nothing is forgotten to make some: it could come again."""
        for owner in ("a", "b", "c", "d"):
            self.assertTrue(self.use("x", owner, lasts=10))
        self.assertRaises(ReplaysFull, self.use, "x", "e")
        self.assertFalse(self.use("x", "a"))
        self.assertEqual((len(self.cache), self.cache.refused), (4, 1))
        self.passed = 11.0
        self.assertTrue(self.use("x", "e"))
        self.assertEqual(len(self.cache), 1)

    def test_set_forward_and_back(self) -> None:
        """A wall clock that jumps lets nothing in a second time."""
        self.use("a")
        self.moved = 10_000.0
        self.use("b")
        self.moved = 0.0
        self.passed = 299.0
        self.assertFalse(self.use("a"))

    def test_set_forward(self) -> None:
        """Nor is anything kept for ever because of that."""
        self.use("a")
        self.moved = 10_000.0
        self.use("b", lasts=1000)
        self.passed = 300.0
        self.assertFalse(self.use("a"))
        self.passed = 300.1
        self.use("c", "bob")
        self.assertEqual(len(self.cache), 2)

    def test_set_back(self) -> None:
        """Longer than it should be is all that comes of it."""
        self.use("a")
        self.moved = -1000.0
        self.passed = 301.0
        self.assertFalse(self.use("a"))
        self.passed = 1300.1
        self.assertTrue(self.use("a"))

    def test_over_already(self) -> None:
        """What ended before it came is remembered for this moment."""
        self.assertTrue(self.use("a", lasts=-5.0))
        self.assertTrue(self.use("b"))
        self.assertEqual(len(self.cache), 1)
