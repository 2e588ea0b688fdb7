"""Tests of mcptwist.protocols.h2frames."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as some
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.protocols.h2frames import (
    CONTINUATION,
    DATA,
    HEADERS,
    PADDED,
    PREFACE,
    WINDOW_UPDATE,
    ConnectionFailed,
    Frame,
    FrameReader,
    FrameWriter,
)


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
        self.assertEqual((found.stream, found.payload), (7, b""))

    def test_wrong_preface(self) -> None:
        """Known at its first wrong byte."""
        self.assertRaises(ConnectionFailed, list, FrameReader().feed(b"PRI * HTTP/1"))

    def test_too_long(self) -> None:
        """A frame that is too long is refused before it is here."""
        head = PREFACE + b"\0\x40\1\0\0\0\0\0\1"
        self.assertRaises(ConnectionFailed, list, FrameReader().feed(head))


class FrameWriterTests(SynchronousTestCase):
    """From frames to bytes."""

    def test_read_again(self) -> None:
        """What is written is read, with nothing lost; then there is nothing more to write."""
        writer, reader = FrameWriter(), FrameReader(preface=b"")
        writer.write(DATA, 1, 7, b"body")
        writer.write_number(WINDOW_UPDATE, 3, 2**31 - 1)
        writer.write_fields(5, b"x" * 40_000, True)
        waiting, said = writer.waiting, writer.output()
        self.assertEqual((len(said), writer.waiting, writer.output()), (waiting, 0, b""))
        read = [(f.kind, f.flags, f.stream, f.payload) for f in reader.feed(said)]
        self.assertEqual(
            read[:2], [(DATA, 1, 7, b"body"), (WINDOW_UPDATE, 0, 3, b"\x7f\xff\xff\xff")]
        )
        self.assertEqual(
            [f[:3] for f in read[2:]], [(HEADERS, 1, 5), (CONTINUATION, 0, 5), (CONTINUATION, 4, 5)]
        )
        self.assertEqual(b"".join(f[3] for f in read[2:]), b"x" * 40_000)

    def test_padding(self) -> None:
        """It is taken off; more of it than there is frame ends the connection."""
        self.assertEqual(Frame(DATA, PADDED, 1, b"\2data\0\0").content(), b"data")
        self.assertEqual(Frame(DATA, PADDED, 1, b"\2\0\0").content(), b"")
        for wrong in (b"", b"\1", b"\3\0\0"):
            self.assertRaises(ConnectionFailed, Frame(DATA, PADDED, 1, wrong).content)
