"""Tests of mcptwist.protocols.http1syntax: the grammar of an HTTP/1.1 request."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.protocols.http1syntax import CHUNKED, ChunkedBody, Head, KnownHead, read_head
from mcptwist.protocols.limits import Limits
from mcptwist.protocols.refusals import Refused

LIMITS = Limits()
HOST = b"Host: localhost:8080\r\n"


def head_of(*lines: bytes, line: bytes = b"GET / HTTP/1.1") -> Head:
    head = read_head(b"\r\n".join([line, b"Host: a", *lines, b"", b""]), LIMITS)
    assert head is not None
    return head


def unchunk(data: bytes) -> tuple[bytes, bytes, bool]:
    """The body, what follows it, and whether it ended."""
    body = ChunkedBody()
    got, rest = b"", data
    while not body.ended:
        pieces, rest = body.feed(rest)
        if not pieces:
            break
        got += b"".join(pieces)
    return got, rest, body.ended


class HeadTests(SynchronousTestCase):
    """A head in order becomes a value."""

    def test_plain(self) -> None:
        head = head_of(b"X-A: 1", b"x-b:2", line=b"POST /a/b?c=%20d HTTP/1.1")
        self.assertEqual(
            (head.method, head.uri, head.path, head.minor),
            (b"POST", b"/a/b?c=%20d", b"/a/b", 1),
        )
        self.assertEqual(head.headers, {b"host": b"a", b"x-a": b"1", b"x-b": b"2"})
        self.assertIsNone(head.repeated)
        self.assertEqual((head.length, head.keep_alive, head.expects_continue), (0, True, False))

    def test_keeps_its_bytes_and_no_more(self) -> None:
        raw = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
        head = read_head(raw + b"more", LIMITS)
        assert head is not None
        self.assertEqual(head.raw, raw)

    def test_white_space_around_values_is_no_part_of_them(self) -> None:
        self.assertEqual(head_of(b"X-A: \t 1 2 \t ").headers[b"x-a"], b"1 2")

    def test_empty_values(self) -> None:
        self.assertEqual(head_of(b"X-A:", b"X-B: ").headers[b"x-a"], b"")

    def test_repeated_names_are_kept_in_order_and_the_last_one_wins(self) -> None:
        head = head_of(b"X-A: 1", b"x-a: 2")
        self.assertEqual(head.headers[b"x-a"], b"2")
        self.assertEqual(head.repeated, [(b"host", b"a"), (b"x-a", b"1"), (b"x-a", b"2")])

    def test_one_empty_line_before_is_ignored(self) -> None:
        """RFC 9112 section 2.2."""
        raw = b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"
        head = read_head(raw + b"x", LIMITS)
        assert head is not None
        self.assertEqual(head.raw, raw)

    def test_connection_wishes(self) -> None:
        """RFC 9112 section 9.3."""
        for line, header, kept in [
            (b"GET / HTTP/1.1", b"Connection: close", False),
            (b"GET / HTTP/1.1", b"Connection: foo , CLOSE", False),
            (b"GET / HTTP/1.1", b"Connection: keep-alive\r\nConnection: close", False),
            (b"GET / HTTP/1.1", b"Connection: keep-alive", True),
            (b"GET / HTTP/1.1", b"Connection: upgrade", True),
            (b"GET / HTTP/1.0", b"X: y", False),
            (b"GET / HTTP/1.0", b"Connection: Keep-Alive", True),
        ]:
            self.assertIs(head_of(header, line=line).keep_alive, kept, (line, header))

    def test_lengths(self) -> None:
        line = b"POST / HTTP/1.1"
        self.assertEqual(head_of(b"Content-Length: 007", line=line).length, 7)
        self.assertEqual(head_of(b"Transfer-Encoding: Chunked", line=line).length, CHUNKED)

    def test_expectation_of_an_empty_body_is_void(self) -> None:
        self.assertFalse(head_of(b"Expect: 100-continue").expects_continue)
        self.assertTrue(head_of(b"Expect: 100-Continue", b"Content-Length: 1").expects_continue)

    def test_absolute_form_becomes_origin_form(self) -> None:
        """RFC 9112 section 3.2.2."""
        for target, uri, path in [
            (b"http://a/x?y", b"/x?y", b"/x"),
            (b"HTTP://A", b"/", b"/"),
            (b"https://a?y", b"/?y", b"/"),
        ]:
            head = head_of(line=b"GET " + target + b" HTTP/1.1")
            self.assertEqual((head.uri, head.path), (uri, path))

    def test_http10_needs_no_host(self) -> None:
        head = read_head(b"GET / HTTP/1.0\r\n\r\n", LIMITS)
        assert head is not None
        self.assertEqual((head.minor, head.headers), (0, {}))

    def test_an_upgrade_offer_is_read_like_any_other_field(self) -> None:
        head = head_of(b"Connection: Upgrade", b"Upgrade: websocket")
        self.assertEqual(head.headers[b"upgrade"], b"websocket")

    @settings(deadline=None, max_examples=200)
    @given(st.data())
    def test_no_control_character_survives(self, data: st.DataObject) -> None:
        """llhttp is trusted with this; should it ever become lenient, we want to know."""
        raw = b"GET / HTTP/1.1\r\nHost: a\r\nX-A: one two\r\nX-B: three\r\n\r\n"
        bad = data.draw(st.sampled_from([b"\0", b"\r", b"\n", b"\x0b", b"\x7f", b"\n\n", b"\r\r"]))
        at = data.draw(st.integers(0, len(raw) - 5))
        try:
            head = read_head(raw[:at] + bad + raw[at:], LIMITS)
        except Refused:
            return
        # What is left are cuts that make an empty line, or nothing, of a line ending.
        if head is not None:
            self.assertFalse(
                any(set(bad) & set(value) for value in head.headers.values()), (at, bad)
            )
            self.assertIn(head.headers, _HONEST)


_HONEST = [{b"host": b"a", b"x-a": b"one two", b"x-b": b"three"}]


class KnownHeadTests(SynchronousTestCase):
    """Recognizing a head is reading it, only faster."""

    RAW = b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\nX-A: 1\r\n\r\n"

    @staticmethod
    def facts(head: Head | None) -> object:
        if head is None:
            return None
        return [getattr(head, name) for name in Head.__slots__ if name != "facts"]

    def test_conclusions_are_kept(self) -> None:
        """What was concluded from a head holds when it comes again, with another length too."""
        head = read_head(self.RAW, LIMITS)
        assert head is not None
        known = KnownHead(head)
        assert head.facts is not None
        head.facts["place"] = "here"
        again = known.again(self.RAW.replace(b"12", b"99"))
        assert again is not None
        self.assertEqual(again.facts, {"place": "here"})

    def test_the_same(self) -> None:
        head = read_head(self.RAW, LIMITS)
        assert head is not None
        self.assertIs(KnownHead(head).again(self.RAW + b"body"), head)

    def test_another_length(self) -> None:
        head = read_head(self.RAW, LIMITS)
        assert head is not None
        for digits in (b"0", b"7", b"99", b"123456789012345"):
            raw = self.RAW.replace(b"12", digits)
            again = KnownHead(head).again(raw + b"GET / HTTP/1.1")
            self.assertEqual(self.facts(again), self.facts(read_head(raw, LIMITS)))
        self.assertEqual((head.length, head.headers[b"content-length"]), (12, b"12"))

    def test_anything_else_is_not_recognized(self) -> None:
        head = read_head(self.RAW, LIMITS)
        assert head is not None
        for raw in (
            self.RAW[:-1],
            self.RAW.replace(b"12", b""),
            self.RAW.replace(b"12", b"+1"),
            self.RAW.replace(b"12", b"1 "),
            self.RAW.replace(b"12", b"1" * 16),
            self.RAW.replace(b"12\r\n", b"12\n"),
            self.RAW.replace(b"X-A: 1", b"X-A: 2"),
            self.RAW.replace(b"X-A: 1", b"Content-Length: 3\r\nX-A: 1"),
            self.RAW.replace(b"/a", b"/b"),
        ):
            self.assertIsNone(KnownHead(head).again(raw), raw)

    def test_heads_whose_meaning_depends_on_the_length(self) -> None:
        for extra in (b"Expect: 100-continue\r\n", b"X-A: 2\r\n"):
            raw = self.RAW.replace(b"X-A", extra + b"X-A")
            head = read_head(raw, LIMITS)
            assert head is not None
            self.assertIs(KnownHead(head).again(raw), head)
            self.assertIsNone(KnownHead(head).again(raw.replace(b"12", b"0")))


class ChunkedBodyTests(SynchronousTestCase):
    """RFC 9112 section 7.1."""

    def test_body_and_what_follows(self) -> None:
        self.assertEqual(
            unchunk(b'3\r\nabc\r\nA;x="y"\r\n0123456789\r\n0\r\n\r\nGET'),
            (b"abc0123456789", b"GET", True),
        )

    def test_trailers_are_dropped(self) -> None:
        self.assertEqual(unchunk(b"0\r\nX-Sum: 1\r\nY: \r\n\r\n"), (b"", b"", True))

    def test_nothing_is_lost_between_feeds(self) -> None:
        raw = b"3\r\nabc\r\n5;a\r\n01234\r\n0\r\nT: x\r\n\r\n"
        body, rest, got = ChunkedBody(), b"", b""
        for at in range(len(raw)):
            self.assertFalse(body.ended)
            pieces, rest = body.feed(rest + raw[at : at + 1])
            got += b"".join(pieces)
        self.assertEqual((got, rest, body.ended), (b"abc01234", b"", True))

    def test_malformed(self) -> None:
        for raw in [
            b"\r\n",
            b" 3\r\nabc\r\n",
            b"3 \r\nabc\r\n",
            b"+3\r\nabc\r\n",
            b"-1\r\nabc\r\n",
            b"0x3\r\nabc\r\n",
            b"3g\r\nabc\r\n",
            b"3\nabc\r\n0\r\n\r\n",
            b"3\r\nabc\n0\r\n\r\n",
            b"3\r\nabcd\r\n0\r\n\r\n",
            b"3\r\nabc0\r\n\r\n",
            b"3\r\r\nabc\r\n",
            b"3;a\x00b\r\nabc\r\n",
            b"3;a\rb\r\nabc\r\n",
            b"fffffffffffffffff\r\n",
            b"3;" + b"x" * 2000,
            b"0\r\nno colon\r\n\r\n",
            b"0\r\nX : y\r\n\r\n",
            b"0\r\n folded\r\n\r\n",
            b"0\r\nX: y\n\r\n",
            b"0\r\n\n",
            b"0\r\n" + b"X: y\r\n" * 40 + b"\r\n",
        ]:
            refused = self.assertRaises(Refused, unchunk, raw)
            self.assertEqual(refused.refusal.code, "bad-chunk", raw)

    @settings(deadline=None, max_examples=200)
    @given(st.binary(max_size=60))
    def test_random_bytes(self, raw: bytes) -> None:
        try:
            pieces, rest = ChunkedBody().feed(raw)
        except Refused:
            return
        self.assertLessEqual(sum(map(len, pieces)) + len(rest), len(raw))


class RandomBytesTests(SynchronousTestCase):
    """Whatever arrives, it is a head, an incomplete head, or refused."""

    @settings(deadline=None, max_examples=300)
    @given(
        st.lists(
            st.sampled_from(
                [b"GET", b" ", b"/", b"HTTP/1.1", b"\r\n", b"\r", b"\n", b":", b"Host: a", b"\0"]
            )
            | st.binary(max_size=6),
            max_size=20,
        )
    )
    def test_total(self, parts: list[bytes]) -> None:
        for tail in (b"", b"\r\n\r\n"):
            try:
                head = read_head(b"".join(parts) + tail, LIMITS)
            except Refused:
                continue
            self.assertTrue(head is None or head.uri.startswith(b"/") or head.uri == b"*")
