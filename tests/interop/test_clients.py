"""Real clients at the daemon: every client takes the tour of ``clients/tour.py``, and reports.

What they report must be what the fixture server says, whatever is in between.
"""

from __future__ import annotations

from typing import Any

from tests.interop.rig import InteropCase, Json, script

MODERN = "2026-07-28"
LEGACY = "2025-11-25"

TOOLS = [
    "echo",
    "json_schema_2020_12_tool",
    "test_audio_content",
    "test_elicitation",
    "test_elicitation_sep1034_defaults",
    "test_elicitation_sep1330_enums",
    "test_embedded_resource",
    "test_error_handling",
    "test_image_content",
    "test_input_required_result_capabilities",
    "test_input_required_result_elicitation",
    "test_input_required_result_list_roots",
    "test_input_required_result_multi_round",
    "test_input_required_result_multiple_inputs",
    "test_input_required_result_request_state",
    "test_input_required_result_sampling",
    "test_input_required_result_tampered_state",
    "test_logging_tool",
    "test_missing_capability",
    "test_multiple_content_types",
    "test_reconnection",
    "test_sampling",
    "test_simple_text",
    "test_streaming_elicitation",
    "test_tool_with_logging",
    "test_tool_with_progress",
    "test_trigger_prompt_change",
    "test_trigger_tool_change",
    "test_x_mcp_header",
    "trigger_resource_update",
    "wait",
]

#: What a client of either era finds.
SEEN: Json = {
    "server": "mcptwist-fixture",
    "tools": TOOLS,
    "simple": "This is a simple text response for testing.",
    "echo": "snow \u2603 and \u2028 and \U0001f600",
    "header": "region=Z\u00fcrich",
    "image": ["image/png", "iVBORw0K"],
    "failure": [True, "This tool intentionally returns an error for testing"],
    "unknown tool": -32602,
    "progress": ["Tool with progress executed successfully", [[0, 100], [50, 100], [100, 100]]],
    "resource": "This is the content of the static text resource.",
    "binary": ["image/png", "iVBORw0K"],
    "template": {"id": "7", "templateTest": True, "data": "Data for ID: 7"},
    "missing resource": -32602,
    "prompt": "Prompt with arguments: arg1='one', arg2='two'",
    "completion": ["paris", "park", "party"],
    "logs": ["Tool execution started", "Tool processing data", "Tool execution completed"],
    "changes": ["test://watched-resource", "tools"],
    "cancelled": True,
    "mixed up": [],
}

#: How the server asks a client back, in each era.
ASKED: dict[str, Json] = {
    LEGACY: {
        "elicitation": 'User response: action=accept, content={"username": "alice", '
        '"email": "alice@example.com"}',
        "sampling": "LLM response: forty-two",
    },
    MODERN: {
        "three inputs": "Got all three.",
        "two rounds": "Alice likes blue.",
        "asking prompt": "Context: a test",
    },
}


class Tour(InteropCase):
    async def assert_tour(self, name: str, mode: str, revision: str, **different: Any) -> None:
        base = await self.fixture(scope="session")
        url = f"{base}{self.path_of('fixture')}"
        report = await self.report_of([*script(name), url, mode, self.mark])
        expected = {"revision": revision, **SEEN, **ASKED[revision], **different}
        # Together, so that one failure shows all there is to see.
        wrong = {
            key: {"expected": expected.get(key), "reported": report.get(key)}
            for key in expected | report
            if expected.get(key) != report.get(key)
        }
        self.assertEqual(wrong, {})


class Python2Tests(Tour):
    environments = ("python2",)

    async def test_python_2_auto(self) -> None:
        """Python SDK 2.x, left to find out: it finds the modern era."""
        await self.assert_tour("python2.py", "auto", MODERN)

    async def test_python_2_legacy(self) -> None:
        """Python SDK 2.x, told to shake hands."""
        await self.assert_tour("python2.py", "legacy", LEGACY)

    async def test_python_2_pinned(self) -> None:
        """Python SDK 2.x, told the revision: it never asks the server for its name."""
        await self.assert_tour("python2.py", MODERN, MODERN, server=None)


class Python1Tests(Tour):
    environments = ("python1", "python2")

    async def test_python_1(self) -> None:
        """The last Python SDK 1.x."""
        await self.assert_tour("python1.py", "legacy", LEGACY)


class TypeScriptTests(Tour):
    environments = ("node", "python2")

    async def test_typescript_1(self) -> None:
        """The last TypeScript SDK 1.x."""
        await self.assert_tour("typescript1.mjs", "legacy", LEGACY)

    async def test_typescript_2_by_default(self) -> None:
        """TypeScript SDK 2.x, told nothing: it shakes hands."""
        await self.assert_tour("typescript2.mjs", "legacy", LEGACY)

    async def test_typescript_2_auto(self) -> None:
        """TypeScript SDK 2.x, told to find out: it finds the modern era."""
        await self.assert_tour("typescript2.mjs", "auto", MODERN)

    async def test_typescript_2_pinned(self) -> None:
        """TypeScript SDK 2.x, told the revision."""
        await self.assert_tour("typescript2.mjs", MODERN, MODERN)
