"""Tests of mcptwist.protocols.h2frames: frames as they arrive, and what they cost."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as some
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.protocols.h2frames import PREFACE, ConnectionFailed, FrameReader, Purses, Rate, Rates


def frame(kind: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, 0, 0x80, 0, 0, 7]) + payload


class FrameReaderTests(SynchronousTestCase):
    """Cutting."""

    @settings(deadline=None, max_examples=100)
    @given(
        some.lists(some.tuples(some.integers(0, 255), some.binary(max_size=40)), max_size=8),
        some.lists(some.integers(1, 50), max_size=20),
    )
    def test_pieces(self, sent: list[tuple[int, bytes]], sizes: list[int]) -> None:
        """However they are cut, the frames are the same."""
        data = PREFACE + b"".join(frame(*each) for each in sent)
        reader, found, at = FrameReader(), [], 0
        for size in [*sizes, len(data)]:
            found += [(each.kind, each.raw[9:]) for each in reader.feed(data[at : at + size])]
            at += size
        self.assertEqual(found, sent)
        self.assertFalse(reader.partial)

    def test_partial(self) -> None:
        """What is begun is known by its kind, when that much is here."""
        reader = FrameReader()
        self.assertEqual((reader.partial, reader.partial_kind), (True, None))
        self.assertEqual(list(reader.feed(PREFACE + b"\0\0")), [])
        self.assertEqual((reader.partial, reader.partial_kind), (True, None))
        self.assertEqual(list(reader.feed(b"\5\6")), [])
        self.assertEqual(reader.partial_kind, 6)

    def test_stream(self) -> None:
        """The reserved bit of a stream's number is ignored."""
        (found,) = FrameReader().feed(PREFACE + frame(0, b""))
        self.assertEqual((found.stream, found.size), (7, 0))

    def test_wrong_preface(self) -> None:
        """Known at its first wrong byte."""
        self.assertRaises(ConnectionFailed, list, FrameReader().feed(b"PRI * HTTP/1"))

    def test_too_long(self) -> None:
        """A frame that is too long is refused before it is here."""
        head = PREFACE + b"\0\x40\1\0\0\0\0\0\1"
        self.assertRaises(ConnectionFailed, list, FrameReader().feed(head))


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
