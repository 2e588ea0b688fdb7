"""Bytes in, lines out."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.protocols.lines import LineSplitter, LineTooLong

LIMIT = 8
STREAMS = st.lists(
    st.sampled_from([b"\n", b"\r", b"\r\n", b"a", b"bc", b"x" * LIMIT, b"y" * 40]), max_size=30
).map(b"".join)


def told(chunks: list[bytes], limit: int, end: bool = False) -> list[bytes | None]:
    """What is told of a stream that comes in these reads; ``None`` is a line too long."""
    heard: list[bytes | None] = []
    splitter = LineSplitter(heard.append, lambda problem: heard.append(None), limit)
    for chunk in chunks:
        splitter.feed(chunk)
        assert splitter.held <= limit
    if end:
        splitter.end()
    return heard


def lines_of(stream: bytes, limit: int) -> list[bytes | None]:
    """The same, said in the plainest way."""
    lines = [None if len(x) > limit else x.removesuffix(b"\r") for x in stream.split(b"\n")[:-1]]
    return [line for line in lines if line != b""]


class LineSplitterTests(SynchronousTestCase):
    def test_lines(self) -> None:
        self.assertEqual(
            told([b"one\ntwo\r\n\n\r\nth", b"ree\nfour"], 99), [b"one", b"two", b"three"]
        )

    def test_the_end_ends_a_line(self) -> None:
        self.assertEqual(told([b"one\ntw", b"o\r"], 99, end=True), [b"one", b"two"])
        self.assertEqual(told([b"one\n"], 99, end=True), [b"one"])

    def test_the_limit_is_the_longest_that_passes(self) -> None:
        self.assertEqual(told([b"12345678\n123456789\n1\n"], 8), [b"12345678", None, b"1"])

    def test_a_long_line_is_told_once_and_at_once(self) -> None:
        self.assertEqual(told([b"123456789"], 8), [None])
        self.assertEqual(told([b"12345678", b"9"] + [b"xxxx"] * 9 + [b"\n1\n"], 8), [None, b"1"])

    def test_a_long_line_without_end_is_told_once(self) -> None:
        self.assertEqual(told([b"x" * 9], 8, end=True), [None])

    def test_the_report_names_the_limit(self) -> None:
        problems: list[LineTooLong] = []
        LineSplitter(self.fail, problems.append, 8).feed(b"x" * 9)
        self.assertEqual(problems[0].data, {"limit": 8})
        self.assertIn("8 bytes", problems[0].message)

    @settings(max_examples=150, deadline=None)
    @given(STREAMS, st.data())
    def test_it_does_not_matter_how_the_stream_is_cut(
        self, stream: bytes, data: st.DataObject
    ) -> None:
        cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=8).map(sorted))
        chunks = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
        complete = stream[: stream.rfind(b"\n") + 1]
        heard = told([chunk for chunk in chunks if chunk], LIMIT)
        if len(stream) - len(complete) > LIMIT:  # what is not complete is too long already
            self.assertIsNone(heard.pop())
        self.assertEqual(heard, lines_of(complete, LIMIT))
