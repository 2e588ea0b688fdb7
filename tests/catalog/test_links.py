"""Resources that a result points to."""

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from mcptwist.catalog.links import linked, relinked, view_of, with_view

CALL, PROMPT, READ = "tools/call", "prompts/get", "resources/read"
BLOCKS = [
    {"type": "text", "text": '"resource_link"'},
    {"type": "resource_link", "uri": "x:1", "name": "one", "size": 3},
    {"type": "resource", "resource": {"uri": "x:2", "text": "two"}, "annotations": {}},
    {"type": "resource_link", "uri": "x:3"},
]


def encoded(value: Any) -> bytes:
    return json.dumps(value).encode()


class LinkedTests(SynchronousTestCase):
    def test_call(self) -> None:
        """Links and embedded resources are found among other content."""
        result = encoded({"content": BLOCKS})
        self.assertEqual(linked(CALL, result), ["x:1", "x:2", "x:3"])

    def test_prompt(self) -> None:
        """So they are in the messages of a prompt."""
        messages = [{"role": "user", "content": block} for block in BLOCKS]
        self.assertEqual(linked(PROMPT, encoded({"messages": messages})), ["x:1", "x:2", "x:3"])

    def test_read(self) -> None:
        """What is read is there under its URI."""
        contents = [{"uri": "x:1", "text": "a"}, {"uri": "x:2", "blob": "YQ=="}]
        self.assertEqual(linked(READ, encoded({"contents": contents})), ["x:1", "x:2"])

    def test_none(self) -> None:
        """A result without links, or that is none at all, points to nothing."""
        for text in (
            b"{}",
            b'{"content":[]}',
            b'{"content":"resource_link"}',
            b'{"content":[{"type":"resource_link"}]}',
            b'{"content":[{"type":"resource_link","uri":3}]}',
            b'{"content":[{"type":"resource"}]}',
            b'{"messages":[{"content":{"type":"resource_link"}}]}',
            b'{"contents":[{}]}',
            b'["resource_link"]',
        ):
            for method in (CALL, PROMPT, READ):
                self.assertEqual(linked(method, text), [], text)

    def test_large(self) -> None:
        """A very large result is not looked through."""
        link = {"type": "resource_link", "uri": "x:1"}
        text = encoded({"content": [link, {"type": "text", "text": "x" * (16 << 20)}]})
        self.assertEqual(linked(CALL, text), [])


class RelinkedTests(SynchronousTestCase):
    MOVED = {"x:1": "m:1", "x:2": "m:2"}

    def test_call(self) -> None:
        """URIs are put in where they stand, and nothing else is changed."""
        result = {"content": BLOCKS, "structuredContent": {"uri": "x:1"}, "isError": False}
        found = json.loads(relinked(CALL, encoded(result), self.MOVED))
        self.assertEqual(found, {**result, "content": self.moved()})

    def test_prompt(self) -> None:
        """The same in a prompt's messages."""
        result = {"messages": [{"role": "user", "content": block} for block in BLOCKS]}
        found = json.loads(relinked(PROMPT, encoded(result), self.MOVED))
        self.assertEqual([message["content"] for message in found["messages"]], self.moved())

    def test_read(self) -> None:
        """And in what was read."""
        result = {"contents": [{"uri": "x:1", "text": "x:1"}, {"uri": "y:1", "text": ""}]}
        found = json.loads(relinked(READ, encoded(result), self.MOVED))
        self.assertEqual([each["uri"] for each in found["contents"]], ["m:1", "y:1"])
        self.assertEqual(found["contents"][0]["text"], "x:1")

    def moved(self) -> Any:
        link, embedded = BLOCKS[1], BLOCKS[2]
        assert isinstance(embedded["resource"], dict)
        resource = {**embedded["resource"], "uri": "m:2"}
        return [BLOCKS[0], {**link, "uri": "m:1"}, {**embedded, "resource": resource}, BLOCKS[3]]


class ViewTests(SynchronousTestCase):
    """MCP Apps: the resource that a tool is shown by."""

    NEW: dict[str, Any] = {"ui": {"resourceUri": "ui://a", "visibility": ["model"]}, "other": 1}
    OLD: dict[str, Any] = {"ui/resourceUri": "ui://a"}

    def test_found(self) -> None:
        """It stands in one of two places, or in both."""
        for meta in (self.NEW, self.OLD, self.NEW | self.OLD):
            tool = {"name": "t", "inputSchema": {}, "_meta": meta}
            self.assertEqual(view_of(encoded(tool)), "ui://a")
            moved = json.loads(bytes(with_view(encoded(tool), "b:c")))
            there = json.loads(json.dumps(meta).replace("ui://a", "b:c"))
            self.assertEqual(moved, tool | {"_meta": there})

    def test_none(self) -> None:
        """Not elsewhere, nor where it is no string."""
        tools: list[Any] = [
            {},
            {"resourceUri": "x:y"},
            {"_meta": {"resourceUri": "x:y"}},
            {"_meta": {"ui": {"resourceUri": 1}}},
            {"_meta": {"ui": 1, "ui/resourceUri": "x"}},
            {"_meta": [], "description": 'resourceUri"'},
        ]
        for tool in tools:
            self.assertEqual(view_of(encoded(tool)), "", tool)
