"""TLS and HTTP/2, as programs find them that others wrote."""

from __future__ import annotations

from twisted.internet import reactor

from tests.interop.forwarder import Forwarder
from tests.interop.install import CLIENTS
from tests.interop.rig import script
from tests.interop.test_conformance import (
    LEGACY,
    MODERN,
    REQUIRED,
    required_scenarios,
    shortcomings,
)
from tests.interop.test_remote_servers import RemoteCase
from tests.interop.tours import TourCase

ONLY_HTTP2 = ("--import", str(CLIENTS / "only_http2.mjs"))


def over_http2(name: str) -> list[str]:
    """The command that runs a script on Node 26, which takes HTTP/2 where it is offered."""
    command, *more = script(name, runs_in="programs")
    return [command, *ONLY_HTTP2, *more]


#: The clients by era and wire: how each is started, scheme of the URL, its path, mode.
CLIENTS_OF_TLS = {
    "modern, HTTP/2, TypeScript": (over_http2("typescript2.mjs"), "https", "mcp", MODERN),
    "legacy, HTTP/2, Python": (script("python2.py"), "https", "mcp", "legacy"),
    "legacy, HTTP/2, TypeScript": (over_http2("typescript1.mjs"), "https", "mcp", "legacy"),
    "legacy, HTTP/2, HTTP+SSE": (over_http2("typescript1.mjs"), "https", "sse", "legacy"),
    "legacy, HTTP/1.1, Python": (script("python1.py"), "https", "mcp", "legacy"),
    "legacy, HTTP/1.1, TypeScript": (script("typescript1.mjs"), "https", "mcp", "legacy"),
    "legacy, HTTP/1.1, HTTP+SSE": (script("python1.py"), "https", "sse", "legacy"),
    "legacy, WebSocket, Python": (script("python1.py"), "wss", "ws", "legacy"),
    "legacy, WebSocket, TypeScript": (script("typescript1.mjs"), "wss", "ws", "legacy"),
}


class ConformanceTests(RemoteCase):
    """The official suite. It speaks plain HTTP/1.1 only, so a forwarder of ours stands in front."""

    async def assert_conforms(self, revision: str) -> None:
        required = required_scenarios(revision)
        self.assertEqual(len(required), REQUIRED[revision])
        # One process for all sessions: what is looked at here is the way in.
        server = {"url": await self.fixture_by_url(), "scope": "session"}
        daemon = await self.daemon({"fixture": server})
        forwarder = Forwarder(reactor, daemon.secure, daemon.certificate)
        self.addCleanup(forwarder.close)
        ending, checks = await self.suite(f"{forwarder.here}/mcp", "--requirements", revision)
        wrong = [
            line
            for scenario in required
            for line in shortcomings(scenario, checks.get(scenario, []))
        ]
        if wrong:
            self.fail(f"{len(wrong)} shortcomings over HTTP/2:\n" + "\n".join(wrong))
        self.assertEqual(ending.code, 0, ending.said())
        self.assertEqual(forwarder.spoken, {(b"HTTP", 2, 0)})

    async def test_modern(self) -> None:
        """Every scenario that 2026-07-28 requires, over TLS and HTTP/2."""
        await self.assert_conforms(MODERN)

    async def test_legacy(self) -> None:
        """Every scenario that 2025-11-25 requires, over TLS and HTTP/2."""
        await self.assert_conforms(LEGACY)


class ClientTests(RemoteCase, TourCase):
    """Clients of both SDKs. Over which version of HTTP they are answered, some check themselves."""

    environments = ("node", "programs", "python1", "python2")

    async def test_tours(self) -> None:
        """Each takes the short tour, and reports the same as without TLS."""
        server = {"url": await self.fixture_by_url(), "scope": "session"}
        daemon = await self.daemon({"fixture": server})
        self.environ = daemon.trusted()
        there = f"{daemon.secure.removeprefix('https')}/servers/fixture"
        clients = {
            name: (*command, f"{scheme}{there}/{path}", mode)
            for name, (command, scheme, path, mode) in CLIENTS_OF_TLS.items()
        }
        await self.assert_tours(clients)

    async def test_modern_python(self) -> None:
        """The Python SDK 2.x on ``httpx2``: calls, and progress before the answer.

        The tour is not for it: ``httpcore2`` resets no stream that it gives up, so that nobody
        hears of it when a modern call is cancelled.
        """
        daemon = await self.daemon({"fixture": {"url": await self.fixture_by_url()}})
        self.environ = daemon.trusted()
        calls = [("echo", {"text": "hello"}), ("test_tool_with_progress", {})]
        report = await self.visit("python2_visit.py", f"{daemon.secure}/mcp", calls)
        self.assertEqual((report["revision"], report["progress"]), (MODERN, 3))
        self.assertEqual(report["said"], ["hello", "Tool with progress executed successfully"])
