"""Servers that the daemon reaches by URL: real ones of the SDKs, and another daemon of ours."""

from __future__ import annotations

import json
import socket
from collections.abc import Sequence
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from tests.interop.rig import (
    Hurry,
    Json,
    Program,
    binary,
    node,
    python,
    script,
)
from tests.interop.test_conformance import LEGACY, MODERN, Suite, required_scenarios, shortcomings
from tests.patience import SECONDS

PYTHON = "python2_visit.py"
TYPESCRIPT = "typescript1_visit.mjs"
ANSWER = '{"value":"42","exact":true}'


def free_port() -> int:
    """A port that nobody listens on; a moment later somebody might."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


class RemoteCase(Suite):
    """Tests with a server that listens by itself."""

    environments = ("node", "python1", "python2")

    async def listening(self, argv: Sequence[str], port: int, **env: str) -> Program:
        """Start a server and wait until it takes connections."""
        program = self.start(argv, {"PORT": str(port), **env})
        clock = IReactorTime(reactor)
        patience = clock.seconds() + SECONDS
        while clock.seconds() < patience:
            with socket.socket() as probe:
                probe.settimeout(1)
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return program
            await deferLater(clock, 0.1)
        raise Hurry(f"{argv} does not listen")

    async def fixture_by_url(self, eras: str = "dual") -> str:
        """The fixture on the Python SDK's own Streamable HTTP."""
        port = free_port()
        await self.listening(self.by_http(port, eras), port, **self.fixture_server(eras)["env"])
        return f"http://127.0.0.1:{port}/mcp"

    def by_http(self, port: int, eras: str = "dual") -> list[str]:
        """How to start the fixture with Streamable HTTP on *port*."""
        server = self.fixture_server(eras)
        return [server["command"], *server["args"], "--http", str(port)]

    async def everything(self, mode: str) -> str:
        """The TypeScript SDK's example server; the base of its URLs."""
        port = free_port()
        await self.listening([node(), binary("node", "mcp-server-everything"), mode], port)
        return f"http://127.0.0.1:{port}"

    async def visit(self, client: str, url: str, calls: Sequence[tuple[str, Json]] = ()) -> Json:
        """List the tools at *url* and make some calls: see ``clients/python2_visit.py``."""
        return await self.report_of([*script(client), url, json.dumps(calls)])


class FixtureTests(RemoteCase):
    async def assert_conforms(self, revision: str, eras: str = "dual") -> None:
        url = await self.fixture_by_url(eras)
        daemon = await self.daemon({"fixture": {"url": url, "scope": "session"}})
        _, checks = await self.suite(
            f"{daemon.base}/servers/fixture/mcp", "--requirements", revision
        )
        wrong = [
            line
            for scenario in required_scenarios(revision)
            for line in shortcomings(scenario, checks.get(scenario, []))
        ]
        if wrong:
            self.fail(f"{len(wrong)} shortcomings:\n" + "\n".join(wrong))

    async def test_modern(self) -> None:
        """All that 2026-07-28 requires crosses to a server behind a URL, and back."""
        await self.assert_conforms(MODERN)

    async def test_legacy(self) -> None:
        """The same of 2025-11-25, what servers ask and say by themselves included."""
        await self.assert_conforms(LEGACY)

    async def test_legacy_alone(self) -> None:
        """A server on the SDK 1.x, which knows nothing else."""
        await self.assert_conforms(LEGACY, "legacy")

    async def test_a_server_that_is_started_anew(self) -> None:
        """It has forgotten the session; a client does not notice."""
        port = free_port()
        first = await self.listening(self.by_http(port), port)
        daemon = await self.daemon({"fixture": {"url": f"http://127.0.0.1:{port}/mcp"}})
        url = f"{daemon.base}/servers/fixture/mcp"
        calls = [("test_simple_text", {})]
        before = await self.visit(TYPESCRIPT, url, calls)
        first.signal("KILL")
        await first.when_ended(SECONDS)
        await self.listening(self.by_http(port), port)
        after = await self.visit(TYPESCRIPT, url, calls)
        self.assertEqual(after, before)


class EverythingTests(RemoteCase):
    async def assert_visited(self, url: str) -> None:
        daemon = await self.daemon({"everything": {"url": url}})
        there = f"{daemon.base}/servers/everything/mcp"
        calls = [("echo", {"message": "hello"}), ("get-sum", {"a": 1, "b": 2})]
        report = await self.visit(TYPESCRIPT, there, calls)
        self.assertEqual(report["revision"], LEGACY)
        self.assertIn("hello", report["said"][0])
        self.assertIn("3", report["said"][1])

    async def test_streamable_http(self) -> None:
        await self.assert_visited(await self.everything("streamableHttp") + "/mcp")

    async def test_http_sse(self) -> None:
        """Nobody says that it is of 2024-11-05; that is found out."""
        await self.assert_visited(await self.everything("sse") + "/sse")


class WebSocketTests(RemoteCase):
    async def test_the_sdk(self) -> None:
        """The Python SDK 1.x serves WebSockets; it is the only one that does."""
        port = free_port()
        server = str(Path(__file__).with_name("socket_server.py"))
        await self.listening([python("python1"), server, str(port)], port)
        daemon = await self.daemon({"socket": {"url": f"ws://127.0.0.1:{port}/ws"}})
        url = f"{daemon.base}/servers/socket/mcp"
        report = await self.visit(TYPESCRIPT, url, [("echo", {"text": "hello"})])
        self.assertEqual((report["tools"], report["said"]), (["echo"], ["hello"]))


class DaemonTests(RemoteCase):
    """One daemon behind another, over each wire."""

    async def behind(self, path: str, **settings: str) -> str:
        first = await self.daemon({"box": {"python": "mcptwist.serving.toolbox:toolbox"}})
        url = first.base + path
        if settings.get("type") == "ws":
            url = url.replace("http:", "ws:", 1)
        second = await self.daemon({"far": {"url": url, **settings}})
        return f"{second.base}/servers/far/mcp"

    async def assert_both(self, path: str, **settings: str) -> None:
        url = await self.behind(path, **settings)
        calls = [("calculate", {"expression": "6*7"})]
        for client, revision in ((PYTHON, MODERN), (TYPESCRIPT, LEGACY)):
            report = await self.visit(client, url, calls)
            self.assertEqual((report["revision"], report["said"]), (revision, [ANSWER]))

    async def test_streamable_http(self) -> None:
        await self.assert_both("/servers/box/mcp")

    async def test_websocket(self) -> None:
        await self.assert_both("/servers/box/ws", type="ws")

    async def test_http_sse(self) -> None:
        await self.assert_both("/servers/box/sse", type="sse")
