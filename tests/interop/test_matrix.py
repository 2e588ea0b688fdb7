"""Every kind of client at every kind of server, over every wire: what differs between the eras.

Each client takes the short tour of ``clients/tour.py``: progress, being asked for elicitation,
sampling and roots, logging, subscription, cancellation. What it reports must be the same in every
cell, whatever the era of the server behind and whatever has to be translated in between. All the
clients of one kind of server visit one daemon, at the same time.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import (
    Deferred,
    DeferredList,
    DeferredLock,
    DeferredSemaphore,
    ensureDeferred,
)

from tests.interop.rig import InteropCase, Json, script

MODERN = "2026-07-28"

#: The clients by era and wire: script, mode, scheme of the URL, its path.
CLIENTS = {
    "modern, Streamable HTTP, Python": ("python2.py", "auto", "http", "mcp"),
    "modern, Streamable HTTP, TypeScript": ("typescript2.mjs", MODERN, "http", "mcp"),
    "modern, WebSocket, our own": ("python1_socket.py", MODERN, "ws", "ws"),
    "legacy, Streamable HTTP, Python": ("python1.py", "legacy", "http", "mcp"),
    "legacy, Streamable HTTP, TypeScript": ("typescript2.mjs", "legacy", "http", "mcp"),
    "legacy, WebSocket, Python": ("python1.py", "legacy", "ws", "ws"),
    "legacy, WebSocket, TypeScript": ("typescript1.mjs", "legacy", "ws", "ws"),
    "legacy, HTTP+SSE, Python": ("python1.py", "legacy", "http", "sse"),
    "legacy, HTTP+SSE, TypeScript": ("typescript1.mjs", "legacy", "http", "sse"),
}

SEEN: Json = {
    "progress": [0, 50, 100],
    "elicitation": 'User response: action=accept, content={"username": "alice", '
    '"email": "alice@example.com"}',
    "sampling": "LLM response: forty-two",
    "roots": "Roots: file:///work",
    "logs": ["Tool execution started", "Tool processing data", "Tool execution completed"],
    "changes": ["test://watched-resource", "tools"],
    "cancelled": True,
}


class MatrixTests(InteropCase):
    environments = ("node", "python1", "python2")

    async def visit(self, base: str, number: int, client: tuple[str, str, str, str]) -> Json:
        """What one client has to report that it should not."""
        name, mode, scheme, path = client
        url = f"{scheme}{base.removeprefix('http')}/servers/fixture/{path}"
        argv = [*script(name), url, mode, f"{self.mark}-{number}", "short"]
        report = await self.report_of(argv, within=90.0)
        report["roots"] = str(report["roots"]).rstrip("/")
        return {
            key: {"expected": SEEN.get(key), "reported": report.get(key)}
            for key in SEEN | report
            if SEEN.get(key) != report.get(key)
        }

    def begin_visit(self, *visit: Any) -> Deferred[Json]:
        return ensureDeferred(self.visit(*visit))

    async def assert_served(self, eras: str) -> None:
        # A server that asks its legacy clients back needs a process for each session.
        base = await self.fixture(eras, scope="session")
        turns = {"modern": DeferredLock(), "legacy": DeferredSemaphore(len(CLIENTS))}
        visits = [
            # Modern clients share a process, and two who want its log messages get none of them,
            # as nobody can tell whose they are: so they go one after the other.
            turns[name.partition(",")[0]].run(self.begin_visit, base, number, client)
            for number, (name, client) in enumerate(CLIENTS.items())
        ]
        done: Any = await DeferredList(visits, consumeErrors=True)
        wrong = {
            name: found if succeeded else found.getErrorMessage()
            for name, (succeeded, found) in zip(CLIENTS, done, strict=True)
            if found
        }
        if wrong:
            cells = "\n".join(f"- {name}: {found}" for name, found in wrong.items())
            self.fail(f"{len(wrong)} of {len(CLIENTS)} cells are wrong:\n{cells}")

    async def test_legacy_server(self) -> None:
        """Every client at a server that only shakes hands."""
        await self.assert_served("legacy")

    async def test_modern_server(self) -> None:
        """Every client at a server that shakes none."""
        await self.assert_served("modern")

    async def test_dual_server(self) -> None:
        """Every client at a server of both eras: nothing is translated."""
        await self.assert_served("dual")
