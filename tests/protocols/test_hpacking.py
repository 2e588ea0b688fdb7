"""Tests of mcptwist.protocols.hpacking, against the hpack library at the other end."""

from __future__ import annotations

from hpack import Decoder, Encoder
from hypothesis import given, settings
from hypothesis import strategies as some
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.protocols.h2frames import ConnectionFailed
from mcptwist.protocols.hpacking import TABLE_BYTES, FieldEncoder, FieldReader

COMPRESSION_ERROR, CALM = 9, 11

NAMES = some.sampled_from([b":path", b":method", b"accept", b"x-a", b"x-b", b"authorization"])
VALUES = some.binary(max_size=200) | some.sampled_from([b"", b"/", b"GET", b"y" * 1000])
FIELDS = some.lists(some.tuples(NAMES | some.binary(min_size=1, max_size=20), VALUES), max_size=12)

REQUEST = [
    (b":method", b"POST"), (b":scheme", b"https"), (b":authority", b"localhost:8443"),
    (b":path", b"/mcp"), (b"content-type", b"application/json"), (b"user-agent", b"x/1"),
]  # fmt: skip


class FieldReaderTests(SynchronousTestCase):
    """From blocks to fields."""

    def read(self, *blocks: bytes, most: int = 1 << 20) -> FieldReader:
        reader = FieldReader(most)
        for block in blocks:
            reader.decode(block)
        return reader

    def check_fails(self, code: int, *blocks: bytes, most: int = 1 << 20) -> None:
        failed = self.assertRaises(ConnectionFailed, self.read, *blocks, most=most)
        self.assertEqual(failed.code, code)

    def test_repeated(self) -> None:
        """What was told once is told again by numbers."""
        encoder, reader = Encoder(), FieldReader(1 << 20)
        sizes = []
        for _ in range(3):
            block = encoder.encode(REQUEST)
            sizes.append(len(block))
            self.assertEqual(list(reader.decode(block)), REQUEST)
        self.assertEqual(sizes[1:], [6, 6])

    def test_the_same_again(self) -> None:
        """The same block is the same fields, until a field that it points to is another."""
        reader = self.read(b"\x40\x01a\x01b")
        first = reader.decode(b"\x82\xbe")
        self.assertEqual(first, ((b":method", b"GET"), (b"a", b"b")))
        self.assertIs(reader.decode(b"\x82\xbe"), first)
        reader.decode(b"\x40\x01c\x01d")
        self.assertEqual(reader.decode(b"\x82\xbe"), ((b":method", b"GET"), (b"c", b"d")))
        reader.decode(b"\x20")
        self.assertRaises(ConnectionFailed, reader.decode, b"\x82\xbe")

    def test_only_so_many_are_known(self) -> None:
        """Blocks are kept to be known again, but not all, and no long ones."""
        reader = FieldReader(1 << 20)
        for at in range(300):
            reader.decode(b"\x00\x03%03d\x01b" % at)
        reader.decode(b"\x00\x01a\x7f\xa1\x1e" + b"y" * 4000)
        self.assertLessEqual(sum(map(len, reader._known)), 1000)

    @settings(deadline=None, max_examples=150)
    @given(some.lists(some.tuples(FIELDS, some.booleans(), some.booleans()), max_size=8))
    def test_any_fields(self, blocks: list[tuple[list[tuple[bytes, bytes]], bool, bool]]) -> None:
        """Any fields, in any of the ways to write them, block after block."""
        encoder, reader = Encoder(), FieldReader(1 << 20)
        for fields, huffman, private in blocks:
            data = encoder.encode([(*field, private) for field in fields], huffman=huffman)
            self.assertEqual(list(reader.decode(data)), fields)

    @settings(deadline=None, max_examples=200)
    @given(some.lists(some.binary(max_size=60), max_size=5))
    def test_any_bytes(self, blocks: list[bytes]) -> None:
        """Any bytes are the same to us as to hpack: the same fields, or no HPACK."""
        theirs, ours = Decoder(1 << 20), FieldReader(1 << 20)
        for block in blocks:
            try:
                expected = [tuple(field) for field in theirs.decode(block, raw=True)]
            except Exception:
                self.check_refused(ours, block)
                return
            self.assertEqual(list(ours.decode(block)), expected)

    def check_refused(self, reader: FieldReader, block: bytes) -> None:
        self.assertRaises(ConnectionFailed, reader.decode, block)

    @settings(deadline=None, max_examples=100)
    @given(FIELDS, some.lists(some.tuples(some.integers(0, 400), some.integers(0, 255))))
    def test_mutations(
        self, fields: list[tuple[bytes, bytes]], changes: list[tuple[int, int]]
    ) -> None:
        """A block with mistakes in it is read as hpack reads it, or refused."""
        data = bytearray(Encoder().encode(fields))
        for at, value in changes:
            if data:
                data[at % len(data)] = value
        theirs, ours = Decoder(1 << 20), FieldReader(1 << 20)
        try:
            expected = [tuple(field) for field in theirs.decode(bytes(data), raw=True)]
        except Exception:
            self.check_refused(ours, bytes(data))
        else:
            self.assertEqual(list(ours.decode(bytes(data))), expected)

    def test_broken(self) -> None:
        """What is no HPACK."""
        for block in (
            b"\x80",  # number nought
            b"\xbe",  # an entry that is not there
            b"\xff\x80\x80\x80\x80\x80\x01",  # a number that is too long
            b"\xff",  # and one that is cut off
            b"\x00\x05abc",  # a string that is cut off
            b"\x00\x01a",  # a value that is missing
            b"\x00\x81\xff\x00",  # Huffman: the end of string
            b"\x00\x81\x00\x00",  # Huffman: padding that is none
            b"\x82\x20",  # a new size of the table after a field
            b"\x3f\xe2\x1f",  # a table larger than allowed
        ):
            self.check_fails(COMPRESSION_ERROR, block)

    def test_bomb(self) -> None:
        """A few bytes that unfold to much."""
        entry = b"\x40\x01x\x7f\xa1\x1e" + b"y" * 4000
        self.check_fails(CALM, entry, b"\xbe" * 10, most=32_000)
        self.check_fails(CALM, entry + b"\xbe" * 10, most=32_000)

    def test_table(self) -> None:
        """It keeps what it must, and no more."""
        reader = self.read(*(b"\x40\x02%02d\x7f\x69%b" % (at, b"y" * 232) for at in range(50)))
        self.assertLessEqual(reader._table_size, TABLE_BYTES)
        self.assertEqual(len(reader._table), TABLE_BYTES // (2 + 232 + 32))
        self.read(b"\x40\x02ab\x7f\xe1\x3d" + b"y" * 8032)

    def test_shrunk(self) -> None:
        """A client may make the table smaller, and empty."""
        reader = self.read(Encoder().encode(REQUEST), b"\x20\x82")
        self.assertEqual((len(reader._table), reader._table_size), (0, 0))
        self.assertRaises(ConnectionFailed, reader.decode, b"\xbe")


class FieldEncoderTests(SynchronousTestCase):
    """From fields to blocks."""

    @settings(deadline=None, max_examples=150)
    @given(some.lists(FIELDS, max_size=4))
    def test_any_fields(self, blocks: list[list[tuple[bytes, bytes]]]) -> None:
        """hpack reads what we write."""
        encoder, decoder = FieldEncoder(), Decoder(1 << 20)
        for fields in blocks:
            read = decoder.decode(encoder.encode(fields), raw=True)
            self.assertEqual([tuple(field) for field in read], fields)
        self.assertEqual(len(decoder.header_table.dynamic_entries), 0)

    def test_private(self) -> None:
        """Session ids and the like are marked: never to be indexed on the way."""
        block = FieldEncoder().encode([(b"mcp-session-id", b"secret"), (b"set-cookie", b"a=b")])
        fields = Decoder().decode(block, raw=True)
        self.assertEqual(
            [type(field).__name__ for field in fields], ["NeverIndexedHeaderTuple"] * 2
        )

    def test_bounded(self) -> None:
        """What was encoded is remembered within bounds, and nothing private at all."""
        from mcptwist.protocols import hpacking

        encoder = FieldEncoder()
        for number in range(2000):
            encoder.encode([(b"x-a", b"%d" % number), (b"mcp-session-id", b"%d" % number)])
        self.assertLessEqual(len(hpacking._ENCODED), 512)
        self.assertNotIn(b"mcp-session-id", {name for name, _ in hpacking._ENCODED})
