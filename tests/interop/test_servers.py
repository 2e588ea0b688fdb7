"""Real servers behind the daemon, each visited by a Python and a TypeScript client.

The Python client is of the SDK 2.x and finds out the era by itself; the TypeScript client is of the
SDK 1.x and knows only the legacy one.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from tests.debian import GIT
from tests.interop.rig import InteropCase, Json, binary, node, script

LEGACY = "2025-11-25"
MODERN = "2026-07-28"
PYTHON = "python2_visit.py"
TYPESCRIPT = "typescript1_visit.mjs"

Calls = Sequence[tuple[str, Json]]

TIME: Json = {
    "command": binary("python2", "mcp-server-time"),
    "args": ["--local-timezone", "UTC"],
}
FETCH: Json = {"command": binary("python2", "mcp-server-fetch")}
EVERYTHING: Json = {"command": node(), "args": [binary("node", "mcp-server-everything"), "stdio"]}

NOON_IN_TOKYO: Json = {
    "source_timezone": "UTC",
    "time": "12:00",
    "target_timezone": "Asia/Tokyo",
}


class ServerTests(InteropCase):
    environments = ("node", "python2")

    async def visit(self, client: str, url: str, calls: Calls = ()) -> Json:
        """List the tools at *url* and make some calls: see ``clients/python2_visit.py``."""
        return await self.report_of([*script(client), url, json.dumps(calls)])

    async def both(
        self, name: str, server: Json, tools: Sequence[str], calls: Calls = ()
    ) -> tuple[Json, Json]:
        """Put *server* behind a daemon; check what both clients find there, and return it.

        The Python client can speak either era, and arrives at the modern one whatever the server.

        :param tools: some of the names that must be listed.
        """
        daemon = await self.daemon({name: server})
        url = f"{daemon.base}/servers/{name}/mcp"
        first = await self.visit(PYTHON, url, calls)
        second = await self.visit(TYPESCRIPT, url, calls)
        self.assertEqual((first["revision"], second["revision"]), (MODERN, LEGACY))
        for report in (first, second):
            self.assertEqual(set(tools) - set(report["tools"]), set())
        return first, second

    async def git(self, *arguments: str) -> None:
        ending = await self.run_program([GIT.needed(), *arguments])
        self.assertEqual(ending.code, 0, ending.said())

    async def test_time(self) -> None:
        """mcp-server-time, of both eras."""
        tools = ["convert_time", "get_current_time"]
        reports = await self.both("time", TIME, tools, [("convert_time", NOON_IN_TOKYO)])
        for report in reports:
            self.assertIn("21:00", report["said"][0])

    async def test_git(self) -> None:
        """mcp-server-git, of both eras, on a repository with one commit."""
        repository = str(self.place / "repository")
        await self.git("init", "-q", repository)
        who = ("-c", "user.name=A", "-c", "user.email=a@example.com")
        await self.git("-C", repository, *who, "commit", "-q", "--allow-empty", "-m", "First words")
        server: Json = {"command": binary("python2", "mcp-server-git"), "args": ["-r", repository]}
        log = ("git_log", {"repo_path": repository})
        for report in await self.both("git", server, ["git_log", "git_status"], [log]):
            self.assertIn("First words", report["said"][0])

    async def test_fetch(self) -> None:
        """mcp-server-fetch, of both eras; nothing is fetched, as that takes a network."""
        await self.both("fetch", FETCH, ["fetch"])

    async def test_everything(self) -> None:
        """server-everything, legacy only, with progress."""
        calls: list[tuple[str, Json]] = [
            ("echo", {"message": "snow \u2603"}),
            ("get-sum", {"a": 20, "b": 22}),
            ("trigger-long-running-operation", {"duration": 0.3, "steps": 3}),
        ]
        tools = [name for name, _ in calls]
        for report in await self.both("everything", EVERYTHING, tools, calls):
            self.assertIn("snow \u2603", report["said"][0])
            self.assertIn("42", report["said"][1])
            self.assertEqual(report["progress"], 3)

    async def test_filesystem(self) -> None:
        """server-filesystem, legacy only: what one client writes, the other reads."""
        folder = self.place / "folder"
        folder.mkdir()
        path = str(folder / "note.txt")
        program = binary("node", "mcp-server-filesystem")
        server: Json = {"command": node(), "args": [program, str(folder)]}
        tools = ["read_text_file", "write_file", "list_directory"]
        calls: list[tuple[str, Json]] = [
            ("write_file", {"path": path, "content": "by way of the daemon"}),
            ("read_text_file", {"path": path}),
        ]
        for report in await self.both("filesystem", server, tools, calls):
            self.assertEqual(report["said"][1], "by way of the daemon")
        self.assertEqual((folder / "note.txt").read_text(), "by way of the daemon")

    async def test_memory(self) -> None:
        """server-memory, legacy only: one process serves both, so both see one graph."""
        server: Json = {
            "command": node(),
            "args": [binary("node", "mcp-server-memory")],
            "env": {"MEMORY_FILE_PATH": str(self.place / "memory.json")},
        }
        entity = {"name": "mcptwist", "entityType": "daemon", "observations": ["is watched"]}
        calls: list[tuple[str, Json]] = [
            ("create_entities", {"entities": [entity]}),
            ("read_graph", {}),
        ]
        for report in await self.both("memory", server, ["read_graph"], calls):
            graph = json.loads(report["said"][1])
            self.assertEqual(graph["entities"], [entity])

    async def assert_together(self, client: str) -> None:
        daemon = await self.daemon({"time": TIME, "everything": EVERYTHING})
        calls = [
            ("time__convert_time", NOON_IN_TOKYO),
            ("everything__get-sum", {"a": 20, "b": 22}),
        ]
        report = await self.visit(client, f"{daemon.base}/mcp", calls)
        self.assertIn("time__get_current_time", report["tools"])
        self.assertIn("everything__echo", report["tools"])
        self.assertIn("21:00", report["said"][0])
        self.assertIn("42", report["said"][1])

    async def test_together_legacy(self) -> None:
        """Servers of both eras at one URL: their tools are told apart by the server's name."""
        await self.assert_together(TYPESCRIPT)

    async def test_together_modern(self) -> None:
        """The same for a client of the modern era."""
        await self.assert_together(PYTHON)
