"""What is given out is bounded, in all and for each key, and ends."""

from __future__ import annotations

import msgspec
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.auth.givenout import GivenOut


class Thing(msgspec.Struct, frozen=True):
    digest: bytes
    key: str
    deadline: float


class Things(GivenOut[Thing]):
    def __init__(self, clock: Clock) -> None:
        super().__init__(clock.seconds, limit=4, per_key=2)
        self.told: list[bytes] = []

    def gone(self, one: Thing) -> None:
        self.told.append(one.digest)


class GivenOutTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.things = Things(self.clock)

    def give(self, digest: bytes, key: str = "alice", lifetime: float = 10) -> bool:
        if not self.things.has_room(key):
            return False
        self.things.add(Thing(digest, key, self.clock.seconds() + lifetime))
        return True

    def test_of_one_key(self) -> None:
        """The oldest goes; it counts as displaced only if it was still good."""
        for digest in (b"1", b"2", b"3"):
            self.assertTrue(self.give(digest))
        self.assertEqual((self.things.told, self.things.displaced), ([b"1"], 1))
        self.clock.advance(10)
        self.assertTrue(self.give(b"4"))
        self.assertEqual((self.things.told, self.things.displaced), ([b"1", b"2"], 1))

    def test_of_all(self) -> None:
        """What has ended makes room; nothing else does."""
        for name in "abcd":
            self.assertTrue(self.give(name.encode(), name))
        self.assertFalse(self.give(b"e", "e"))
        self.assertEqual((len(self.things), self.things.refused, self.things.told), (4, 1, []))
        self.clock.advance(10)
        self.assertTrue(self.give(b"e", "e"))
        self.assertEqual((len(self.things), self.things.refused), (1, 1))
        self.assertEqual(self.things.told, [b"a", b"b", b"c", b"d"])

    def test_withdrawn(self) -> None:
        for digest, name in ((b"1", "alice"), (b"2", "bob"), (b"3", "alice")):
            self.give(digest, name)
        self.assertEqual([self.things.withdraw("alice") for _ in range(2)], [2, 0])
        self.assertEqual(self.things.told, [b"1", b"3"])
        self.assertIsNone(self.things.known(b"1"))
        self.assertIsNotNone(self.things.known(b"2"))

    def test_taken(self) -> None:
        self.give(b"1")
        self.assertIsNotNone(self.things.take(b"1"))
        self.assertIsNone(self.things.take(b"1"))
        self.assertEqual((len(self.things), self.things.told), (0, [b"1"]))
