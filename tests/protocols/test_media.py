"""``mcptwist.protocols.media``: what a body is, and what will be taken.

RFC 9110, 8.3 *Content-Type* and 12.5.1 *Accept*; MCP 2025-11-25, *Sending Messages to the Server*.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from mcptwist.errors import NotAcceptable, UnsupportedContent
from mcptwist.protocols.media import accepts, check_accept, check_content_type


class ContentTypeTests(SynchronousTestCase):
    def test_json(self) -> None:
        for value in (
            b"application/json",
            b"Application/JSON",
            b"application/json; charset=utf-8",
            b" application/json ;charset=utf-8",
        ):
            check_content_type(value)

    def test_anything_else(self) -> None:
        """What a page may send without asking first, above all."""
        for value in (
            None,
            b"",
            b"text/plain",
            b"text/plain; application/json",
            b"application/x-www-form-urlencoded",
            b"multipart/form-data; boundary=application/json",
            b"application/jsonp",
            b"application/json-rpc",
            b"text/json",
            b"*/*",
            b"\xff",
        ):
            with self.assertRaises(UnsupportedContent, msg=value) as caught:
                check_content_type(value)
            self.assertEqual(caught.exception.status, 415)


class AcceptTests(SynchronousTestCase):
    def test_table(self) -> None:
        """Whether JSON and event streams are accepted."""
        both, json, events, neither = (True, True), (True, False), (False, True), (False, False)
        for value, expected in (
            (None, both),
            (b"*/*", both),
            (b"application/json, text/event-stream", both),
            (b"text/event-stream,application/json", both),
            (b"Application/JSON, Text/Event-Stream", both),
            (b"application/*, text/*", both),
            (b"application/json;q=0.5, text/event-stream; q=0.1", both),
            (b"text/html, */*;q=0.8", both),
            (b"application/json", json),
            (b"application/json, text/html", json),
            (b"application/json, text/event-stream;q=0", json),
            (b"application/json, text/event-stream; q=0.000", json),
            (b"text/event-stream", events),
            (b"text/*", events),
            (b"", neither),
            (b"text/html", neither),
            (b"application/jsonl", neither),
            (b"\xff\xfe", neither),
            (b",,;;,", neither),
        ):
            self.assertEqual(accepts(value), expected, value)

    def test_both_are_needed(self) -> None:
        """A client of Streamable HTTP may get either, and must take both."""
        check_accept(b"application/json, text/event-stream")
        check_accept(None)
        for value in (b"application/json", b"text/event-stream", b"text/html"):
            with self.assertRaises(NotAcceptable) as caught:
                check_accept(value)
            self.assertEqual(caught.exception.status, 406)
