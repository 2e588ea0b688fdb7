"""Every kind of client at every kind of server, over every wire: what differs between the eras.

Each client takes the short tour (:mod:`tests.interop.tours`), and what it reports must be the same
in every cell. All the clients of one kind of server visit one daemon, at the same time.
"""

from __future__ import annotations

from tests.interop.rig import InteropCase, script
from tests.interop.tours import TourCase

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


class OrderTests(InteropCase):
    environments = ("node",)

    async def test_progress_that_comes_with_the_answer(self) -> None:
        """The TypeScript SDK 1.x misses it, without any daemon; so our scripts give it messages
        one by one. Were an answer to overtake progress, it would be missed all the same.
        """
        report = await self.report_of(script("typescript1_order.mjs"))
        self.assertEqual(report, {"at once": [], "one by one": [1, 2]})


class MatrixTests(TourCase):
    environments = ("node", "python1", "python2")

    async def assert_served(self, eras: str) -> None:
        # A server that asks its legacy clients back needs a process for each session.
        base = await self.fixture(eras, scope="session")
        where = f"{base.removeprefix('http')}/servers/fixture"
        clients = {
            name: (*script(client), f"{scheme}{where}/{path}", mode)
            for name, (client, mode, scheme, path) in CLIENTS.items()
        }
        await self.assert_tours(clients)

    async def test_legacy_server(self) -> None:
        """Every client at a server that only shakes hands."""
        await self.assert_served("legacy")

    async def test_modern_server(self) -> None:
        """Every client at a server that shakes none."""
        await self.assert_served("modern")

    async def test_dual_server(self) -> None:
        """Every client at a server of both eras: nothing is translated."""
        await self.assert_served("dual")
