"""``mcptwist.protocols.eventstream``: server-sent events, written and read.

HTML Living Standard, *Server-sent events, Parsing an event stream*; MCP 2025-11-25, *Transports*.
"""

from __future__ import annotations

import json
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as some
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.errors import InvalidMessage
from mcptwist.protocols.eventstream import KEEP_ALIVE, Event, EventReader, event, priming


def read(*pieces: bytes) -> tuple[list[Event], EventReader]:
    found: list[Event] = []
    reader = EventReader(found.append)
    for piece in pieces:
        reader.feed(piece)
    return found, reader


def events(*pieces: bytes) -> list[tuple[str, str, str]]:
    return [(each.kind, each.data, each.id) for each in read(*pieces)[0]]


class ReadTests(SynchronousTestCase):
    """The standard's rules, one by one."""

    def test_fields(self) -> None:
        """Data joins by line feeds, the id stays, one space after the colon goes."""
        for text, expected in (
            (b"data: a\n\n", [("message", "a", "")]),
            (b"data:a\n\n", [("message", "a", "")]),
            (b"data:  a\n\n", [("message", " a", "")]),
            (b"data: a\ndata: b\n\n", [("message", "a\nb", "")]),
            (b"data\ndata\n\n", [("message", "\n", "")]),
            (b"event: x\ndata: a\n\ndata: b\n\n", [("x", "a", ""), ("message", "b", "")]),
            (b"id: 1\ndata: a\n\ndata: b\n\n", [("message", "a", "1"), ("message", "b", "1")]),
            (b"id: 1\ndata: a\n\nid\ndata: b\n\n", [("message", "a", "1"), ("message", "b", "")]),
            (b"id: a\0b\ndata: a\n\n", [("message", "a", "")]),
            (b"id: 1\ndata:\n\n", [("message", "", "1")]),
            (b": comment\n\ndata: a\n\n", [("message", "a", "")]),
            (b"unknown: 1\ndata: a: b\n\n", [("message", "a: b", "")]),
            (b"\xef\xbb\xbfdata: a\n\n", [("message", "a", "")]),
            (b"data: a\n\n\xef\xbb\xbfdata: b\n\n", [("message", "a", "")]),
            (b"data: \xff\n\n", [("message", "�", "")]),
            (b"data: a\n", []),
            (b"\n\n\n", []),
        ):
            self.assertEqual(events(text), expected, text)

    def test_line_ends(self) -> None:
        """LF, CR and CR LF end lines, however they are cut."""
        for end in (b"\n", b"\r", b"\r\n"):
            text = end.join([b"data: a", b"data: b", b"", b"data: c", b"", b""])
            for at in range(len(text)):
                found = events(text[:at], text[at:])
                self.assertEqual(found, [("message", "a\nb", ""), ("message", "c", "")], (end, at))

    def test_cr_then_lf_twice(self) -> None:
        """After a CR only one LF belongs to it, also when each byte comes alone."""
        self.assertEqual(events(b"data: a\r", b"\n", b"\n"), [("message", "a", "")])
        self.assertEqual(events(b"data: a\r", b"", b"\n", b"\r"), [("message", "a", "")])

    def test_retry(self) -> None:
        """Digits only, and not without end."""
        for value, retry in (
            (b"1500", 1500),
            (b"0", 0),
            (b"-1", None),
            (b"1.5", None),
            (b"", None),
            ("\u0661".encode(), None),
            (b"9" * 50, None),
        ):
            self.assertEqual(read(b"retry: %b\n" % value)[1].retry, retry)

    def test_limit(self) -> None:
        """An event may have only so many bytes, whether in one line or in many, or none at all."""
        for piece in (
            b"data: " + b"x" * 100,
            b"data: xxxx\n" * 11,
            b"\xff" * 101,
            b":" * 101,
        ):
            for size in (1, 7, 1000):
                reader = EventReader(lambda _: None, 100)
                pieces = [piece[at : at + size] for at in range(0, len(piece), size)]
                self.assertRaises(InvalidMessage, lambda: [reader.feed(p) for p in pieces])  # noqa: B023

    def test_within_the_limit(self) -> None:
        """What is just small enough passes, event after event, in whatever pieces."""
        text = (b"data: " + b"x" * 94 + b"\n\n") * 3
        for size in (1, 7, 1000):
            found: list[Event] = []
            reader = EventReader(found.append, 100)
            for at in range(0, len(text), size):
                reader.feed(text[at : at + size])
            self.assertEqual(len(found), 3)

    def test_comments_without_end(self) -> None:
        """Signs of life are part of no event: any number may come."""
        found: list[Event] = []
        reader = EventReader(found.append, 100)
        for _ in range(200):
            reader.feed(b": still here\r\n")
        reader.feed(b"data: a\n\n")
        self.assertEqual(len(found), 1)

    @settings(deadline=None, max_examples=150)
    @given(
        some.lists(
            some.sampled_from(
                [
                    b"data: a",
                    b"data",
                    b"id: 1",
                    b"event: x",
                    b"\r",
                    b"\n",
                    b"\r\n",
                    b":",
                    b"\xef\xbb\xbf",
                ]
            ),
            max_size=20,
        ).map(b"".join),
        some.lists(some.integers(0, 60), max_size=8),
    )
    def test_any_cut(self, text: bytes, cuts: list[int]) -> None:
        """However a stream is cut, it says the same."""
        at = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
        pieces = [text[a:b] for a, b in pairwise(at)]
        self.assertEqual(events(*pieces), events(text))


class WriteTests(SynchronousTestCase):
    """What we write is read as it was meant."""

    @settings(deadline=None, max_examples=80)
    @given(some.lists(some.text(), max_size=5), some.booleans())
    def test_there_and_back(self, texts: list[str], ids: bool) -> None:
        """Any message on one line."""
        wire = b""
        for number, text in enumerate(texts):
            line = json.dumps(text, ensure_ascii=False).encode()
            wire += b"".join(event([line[:1], line[1:]], b"3-%d" % number if ids else b""))
        found = [(e.kind, json.loads(e.data), e.id) for e in read(wire)[0]]
        self.assertEqual(
            found, [("message", t, f"3-{n}" if ids else "") for n, t in enumerate(texts)]
        )

    def test_priming(self) -> None:
        """MCP 2025-11-25: an id and empty data, and when to come back."""
        found, reader = read(priming(b"1-1", 500))
        self.assertEqual([(e.data, e.id) for e in found], [("", "1-1")])
        self.assertEqual(reader.retry, 500)

    def test_keep_alive(self) -> None:
        """A comment is no event, and ends none before its time."""
        self.assertEqual(events(b"data: a\n\n" + KEEP_ALIVE + b"data: b\n\n"),
                         [("message", "a", ""), ("message", "b", "")])  # fmt: skip

    def test_not_copied(self) -> None:
        """A large payload is one of the pieces as it is."""
        large = b"x" * 100_000
        self.assertTrue(any(piece is large for piece in event([large], b"1")))
