"""Resources that a result points to."""

import json

from twisted.trial.unittest import SynchronousTestCase

from mcptwist.links import linked


class LinkedTests(SynchronousTestCase):
    def test_links(self) -> None:
        """Links are found among other content; what else the blocks hold does not matter."""
        blocks = [
            {"type": "text", "text": '"resource_link"'},
            {"type": "resource_link", "uri": "x:1", "name": "one", "size": 3},
            {"type": "resource", "resource": {"uri": "x:2"}},
            {"type": "resource_link", "uri": "x:3"},
        ]
        self.assertEqual(linked(json.dumps({"content": blocks}).encode()), ["x:1", "x:3"])

    def test_none(self) -> None:
        """A result without links, or that is none at all, points to nothing."""
        for text in (
            b"{}",
            b'{"content":[]}',
            b'{"content":"resource_link"}',
            b'{"content":[{"type":"resource_link"}]}',
            b'{"content":[{"type":"resource_link","uri":3}]}',
            b'["resource_link"]',
        ):
            self.assertEqual(linked(text), [], text)

    def test_large(self) -> None:
        """A very large result is not looked through."""
        link = {"type": "resource_link", "uri": "x:1"}
        text = json.dumps({"content": [link, {"type": "text", "text": "x" * (1 << 20)}]})
        self.assertEqual(linked(text.encode()), [])
