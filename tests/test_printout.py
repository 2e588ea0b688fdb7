"""What is printed for people."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from mcptwist import printout
from mcptwist.client import Progress, ToolResult


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


class AnswerTests(SynchronousTestCase):
    def test_text(self) -> None:
        self.assertEqual(printout.answer(ToolResult([text("a"), text("b")])), "a\nb")

    def test_structure_instead_of_the_same_as_text(self) -> None:
        result = ToolResult([text('{"a":1}')], {"a": 1})
        self.assertEqual(printout.answer(result), '{\n  "a": 1\n}')
        self.assertEqual(printout.answer(ToolResult([], [1])), "[\n  1\n]")

    def test_text_that_says_more(self) -> None:
        for content in ([text("hello")], [text('{"a":2}')], [text('{"a":1}'), text("b")]):
            answer = printout.answer(ToolResult(content, {"a": 1}))
            self.assertTrue(answer.startswith(content[0]["text"]), answer)

    def test_what_is_no_text(self) -> None:
        blocks = [
            {"type": "image", "mimeType": "image/png", "data": "AAAA"},
            {"type": "resource_link", "name": "n", "uri": "a:b"},
            {"type": "resource", "resource": {"uri": "a:b", "text": "inside"}},
            {"type": "resource", "resource": {"uri": "a:b", "blob": "AAAA"}},
            {"type": "new", "x": 1},
        ]
        lines = printout.answer(ToolResult(blocks))
        for words in ("image/png, about 3 bytes", "[n a:b]", "inside", "[resource a:b", '"x": 1'):
            self.assertIn(words, lines)

    def test_control_characters_are_written_out(self) -> None:
        """A terminal must not be made to show something else."""
        shown = printout.answer(ToolResult([text("a\x1b[2Jb\tc\nd\x9b")]))
        self.assertEqual(shown, "a\\x1b[2Jb\tc\nd\\x9b")

    def test_progress(self) -> None:
        self.assertEqual(printout.progress(Progress(1.5, 3, "go\non")), "1.5/3 go on")
        self.assertEqual(printout.progress(Progress(7)), "7")


class ListTests(SynchronousTestCase):
    def test_a_server(self) -> None:
        client: Any = SimpleNamespace(
            name="far",
            revision="2025-11-25",
            welcome={"serverInfo": {"name": "n", "version": "1"}},
            missing={"far": "it fell"},
        )
        tools = [
            {"name": "a", "description": "First line.\nSecond."},
            {"name": "longer", "description": "x" * 200},
        ]
        lists: Any = {"tools": tools, "prompts": [], "resources": [{"uri": "u:v"}]}
        shown = printout.server(client, lists)
        lines = shown.splitlines()
        self.assertEqual(lines[0], "far: n 1, revision 2025-11-25")
        self.assertIn("  a       First line.", lines)
        self.assertTrue(any(line.endswith("x…") for line in lines))
        self.assertIn("  u:v", lines)
        self.assertNotIn("prompts:", lines)
        self.assertEqual(lines[-2:], ["not there now:", "  far  it fell"])

    def test_a_modern_server_says_elsewhere_who_it_is(self) -> None:
        meta = {"io.modelcontextprotocol/serverInfo": {"name": "n"}}
        for welcome, said in (({"_meta": meta}, "n"), ({"_meta": 1}, "a server"), ({}, "a server")):
            client: Any = SimpleNamespace(name="far", revision="r", welcome=welcome, missing={})
            self.assertEqual(printout.server(client, {}), f"far: {said}, revision r")

    def test_servers(self) -> None:
        found = {"a": {"state": "up"}, "bc": {"state": "failing", "reason": "it broke"}}
        self.assertEqual(printout.servers(found), "a   up\nbc  failing it broke")
        self.assertEqual(printout.servers({}), "")
