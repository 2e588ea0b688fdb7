"""What the legacy revisions do not know of each other's words."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from mcptwist.eras import revisions
from mcptwist.eras.words import LEGACY_METHODS
from mcptwist.messages import encode_json
from tests.scripted import opened

REVISIONS = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")


class RevisionTests(SynchronousTestCase):
    """What of a newer server's words an older client reads."""

    #: The first revision that knows each field of a tool.
    TOOL = {
        "name": "2024-11-05",
        "inputSchema": "2024-11-05",
        "description": "2024-11-05",
        "annotations": "2025-03-26",
        "title": "2025-06-18",
        "outputSchema": "2025-06-18",
        "_meta": "2025-06-18",
        "icons": "2025-11-25",
        "execution": "2025-11-25",
    }

    def received(self, method: str, result: Any, revision: str) -> Any:
        return opened(revisions.revised(method, encode_json(result), revision))

    def test_tools(self) -> None:
        """A revision is sent the fields it knows, and no other."""
        tool: dict[str, Any] = {field: {} for field in self.TOOL}
        for revision in REVISIONS:
            found = self.received("tools/list", {"tools": [tool], "nextCursor": "c"}, revision)
            known = {field for field, since in self.TOOL.items() if since <= revision}
            self.assertEqual(set(found["tools"][0]), known, revision)
            self.assertEqual(found["nextCursor"], "c")

    def test_other_lists(self) -> None:
        """Annotations of resources are older than those of tools."""
        for method, field in (
            ("resources/list", "resources"),
            ("resources/templates/list", "resourceTemplates"),
            ("prompts/list", "prompts"),
        ):
            entry = {"name": "n", "annotations": {}, "title": "t", "icons": []}
            found = self.received(method, {field: [entry]}, "2024-11-05")
            self.assertEqual(found, {field: [{"name": "n", "annotations": {}}]})
            found = self.received(method, {field: [entry]}, "2025-06-18")
            self.assertEqual(set(found[field][0]), {"name", "annotations", "title"})

    def test_content(self) -> None:
        """Content of a kind that a revision does not know becomes a text that says what it was."""
        audio = {"type": "audio", "data": "AA==", "mimeType": "audio/wav"}
        link = {"type": "resource_link", "uri": "a:b", "name": "n"}
        text = {"type": "text", "text": "x"}
        for revision, kinds in (
            ("2024-11-05", ["text", "text", "text"]),
            ("2025-03-26", ["audio", "text", "text"]),
            ("2025-06-18", ["audio", "resource_link", "text"]),
        ):
            found = self.received("tools/call", {"content": [audio, link, text]}, revision)
            self.assertEqual([block["type"] for block in found["content"]], kinds)
        told = self.received("tools/call", {"content": [audio, link]}, "2024-11-05")["content"]
        self.assertEqual([b["text"] for b in told], ["[audio: audio/wav]", "[resource: a:b]"])

    def test_prompts(self) -> None:
        """The same in a prompt's messages."""
        message = {"role": "user", "content": {"type": "audio", "data": "", "mimeType": "a/b"}}
        found = self.received("prompts/get", {"messages": [message]}, "2024-11-05")
        self.assertEqual(found["messages"][0]["content"], {"type": "text", "text": "[audio: a/b]"})

    def test_structured_content(self) -> None:
        """Structured content came with 2025-06-18."""
        result = {"content": [], "structuredContent": {"a": 1}}
        self.assertEqual(self.received("tools/call", result, "2025-06-18"), result)
        self.assertEqual(self.received("tools/call", result, "2025-03-26"), {"content": []})

    def test_everything_else(self) -> None:
        """Results of other methods, and lists that are missing, pass as they are."""
        for method in sorted(LEGACY_METHODS):
            self.assertEqual(self.received(method, {"x": 1}, "2024-11-05"), {"x": 1}, method)
