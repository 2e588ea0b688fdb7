"""Tests of mcptwist.protocols.h2fields; what is refused and malformed is in test_http2."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as some
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.protocols.h2fields import KnownHeads, Malformed, StreamHead, read_fields
from mcptwist.protocols.hpacking import Fields
from mcptwist.protocols.limits import Limits

PSEUDO = ((b":method", b"POST"), (b":scheme", b"https"), (b":authority", b"localhost:8443"),
          (b":path", b"/mcp"))  # fmt: skip
NAMES = some.sampled_from([b"accept", b"content-length", b"x-a", b"expect", b"te", b"X-Upper"])
VALUES = some.sampled_from([b"", b"1", b"12", b"100-continue", b"trailers", b" x", b"a\x01b"])
EXTRA = some.lists(some.tuples(NAMES, VALUES), max_size=3)


class KnownHeadsTests(SynchronousTestCase):
    """Heads that come again."""

    def setUp(self) -> None:
        self.heads = KnownHeads(True, Limits())

    def read(self, *fields: tuple[bytes, bytes], ended: bool = False) -> StreamHead:
        return self.heads.read((*PSEUDO, *fields), ended)

    def test_what_was_concluded(self) -> None:
        """A head that differs by its length at most is told what was concluded before."""
        first = self.read((b"content-length", b"5"))
        assert first.facts is not None
        first.facts["known"] = True
        again = self.read((b"content-length", b"77"))
        self.assertEqual((again.length, again.facts), (77, {"known": True}))
        self.assertEqual(again.headers[b"content-length"], b"77")
        self.assertEqual(self.read((b"content-length", b"5"), (b"x", b"y")).facts, {})

    def test_the_same_object(self) -> None:
        """Fields that are the same object are not compared; but their end is minded."""
        fields = (*PSEUDO, (b"content-length", b"0"))
        first = self.heads.read(fields, False)
        self.assertIs(self.heads.read(fields, False), first)
        self.assertIsNot(self.heads.read(fields, True), first)

    def test_only_so_many_are_kept(self) -> None:
        """And no long ones."""
        for at in range(300):
            self.read((b"x", b"%d" % at))
        self.read((b"x", b"y" * 3000))
        for kept in (self.heads._heads, self.heads._same):
            self.assertLessEqual(len(kept), 128)

    @settings(deadline=None, max_examples=150)
    @given(some.lists(some.tuples(EXTRA, some.booleans()), max_size=8))
    def test_any(self, asked: list[tuple[list[tuple[bytes, bytes]], bool]]) -> None:
        """Whatever came before, a head is read as if nothing had."""
        heads = KnownHeads(True, Limits())
        for extra, ended in asked * 2:
            fields = (*PSEUDO, *extra)
            known, fresh = self.outcome(heads, fields, ended), self.outcome(None, fields, ended)
            self.assertEqual(known, fresh)

    def outcome(self, heads: KnownHeads | None, fields: Fields, ended: bool) -> object:
        try:
            if heads is not None:
                head = heads.read(fields, ended)
            else:
                head = read_fields(fields, ended, True, Limits())
        except Malformed:
            return "malformed"
        told = {name: getattr(head, name) for name in StreamHead.__slots__ if name != "facts"}
        return {**told, "size": None}
