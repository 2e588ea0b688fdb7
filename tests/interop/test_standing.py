"""What stands for a server elsewhere: ``mcptwist connect`` and ``stdio``, and others' programs.

Clients that can only start programs start one of these. They are real ones of the SDKs here, and
take the short tour through it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from twisted.internet.defer import gatherResults

from tests.interop.install import CLIENTS
from tests.interop.rig import Json, Program, binary, node, script
from tests.interop.test_conformance import LEGACY, MODERN
from tests.interop.test_remote_servers import RemoteCase, free_port
from tests.interop.tours import TourCase
from tests.patience import SECONDS

MCPTWIST = str(Path(sys.executable).with_name("mcptwist"))
BOX: Json = {"box": {"python": "mcptwist.serving.toolbox:toolbox"}}
ONLY_HTTP2 = ("--import", str(CLIENTS / "only_http2.mjs"))

#: Who takes the tour over each wire: clients of both eras and all SDKs.
VISITORS = {
    "http": (("python2.py", "auto"), ("typescript1.mjs", "legacy")),
    "sse": (("python1.py", "legacy"),),
    "ws": (("typescript2.mjs", MODERN), ("typescript2.mjs", "legacy")),
    "https": (("typescript2.mjs", MODERN),),
    "unix": (("python2.py", "legacy"),),
}

#: Who stays over each wire while the daemon is started anew, and what they agree on.
STAYING = {
    "http": ("python2_again.py", "auto", MODERN),
    "sse": ("typescript1_again.mjs", "legacy", LEGACY),
    "ws": ("typescript1_again.mjs", "legacy", LEGACY),
    "unix": ("python2_again.py", "legacy", LEGACY),
}


def started(client: str, mode: str, *command: str) -> list[str]:
    """How a client is started that starts this *command*."""
    return [*script(client), f"stdio:{json.dumps(command)}", mode]


class StandingCase(RemoteCase, TourCase):
    environments = ("node", "programs", "python1", "python2")


class ConnectTests(StandingCase):
    async def test_every_wire(self) -> None:
        """``mcptwist connect`` over each wire, for clients of both eras."""
        server = {"url": await self.fixture_by_url(), "scope": "session"}
        socket = f"unix:{self.place}/s"
        daemon = await self.daemon({"fixture": server}, f"lines:{socket}")
        self.environ = daemon.trusted()
        urls = {
            "http": f"{daemon.base}/mcp",
            "sse": f"{daemon.base}/servers/fixture/sse",
            "ws": f"ws{daemon.base.removeprefix('http')}/servers/fixture/ws",
            "https": f"{daemon.secure}/servers/fixture/mcp",
            "unix": socket,
        }
        clients = {
            f"{'legacy' if mode == 'legacy' else 'modern'}, {wire}, {client}": started(
                client, mode, MCPTWIST, "connect", urls[wire]
            )
            for wire, visitors in VISITORS.items()
            for client, mode in visitors
        }
        await self.assert_tours(clients)

    async def box(self, port: int) -> Program:
        """A daemon with the built-in server, at a port and a socket that are known beforehand."""
        config = self.place / "box.json"
        config.write_text(json.dumps({"mcpServers": BOX}))
        argv = [MCPTWIST, "run", "-c", str(config), "--listen", f"tcp:{port}:interface=127.0.0.1"]
        program = self.start([*argv, "--listen", f"lines:unix:{self.place}/s"])
        await program.when_said("Ctrl-C", SECONDS)
        return program

    async def test_a_daemon_that_is_started_anew(self) -> None:
        """Clients stay where they are, over whatever wire, and go on when it is back."""
        port = free_port()
        before = await self.box(port)
        here = f"127.0.0.1:{port}"
        urls = {
            "http": f"http://{here}/mcp",
            "sse": f"http://{here}/sse",
            "ws": f"ws://{here}/ws",
            "unix": f"unix:{self.place}/s",
        }
        staying = [
            self.start(started(client, mode, MCPTWIST, "connect", urls[wire]))
            for wire, (client, mode, _) in STAYING.items()
        ]
        await gatherResults([program.when_said("first", SECONDS) for program in staying])
        before.signal("KILL")
        await before.when_ended(SECONDS)
        await self.box(port)
        for program in staying:
            assert program.transport is not None
            program.transport.write(b"go on\n")
        endings = await gatherResults([program.when_ended(SECONDS) for program in staying])
        for ending, (wire, (_, _, revision)) in zip(endings, STAYING.items(), strict=True):
            self.assertEqual(ending.code, 0, f"{wire}: {ending.said()}")
            report = json.loads(ending.out.splitlines()[-1])
            self.assertEqual(report, {"revision": revision, "answers": ["42", "48"]}, wire)


class StdioTests(StandingCase):
    async def test_a_file_of_servers(self) -> None:
        """``mcptwist stdio --config FILE``: the servers of a file, and no port."""
        config = self.place / "servers.json"
        server = {"url": await self.fixture_by_url(), "scope": "session"}
        config.write_text(json.dumps({"mcpServers": {"fixture": server}}))
        command = (MCPTWIST, "stdio", "--config", str(config))
        clients = {
            "modern, Python": started("python2.py", "auto", *command),
            "legacy, TypeScript": started("typescript1.mjs", "legacy", *command),
        }
        await self.assert_tours(clients)


class RemoteProgramTests(StandingCase):
    """``mcp-remote``, which many put before clients that know stdio only; on Node 26."""

    async def test_tours(self) -> None:
        """Over Streamable HTTP with TLS (its own ``fetch`` wants HTTP/1.1), and over HTTP+SSE."""
        server = {"url": await self.fixture_by_url(), "scope": "session"}
        daemon = await self.daemon({"fixture": server})
        self.environ = {**daemon.trusted(), "MCP_REMOTE_CONFIG_DIR": str(self.place / "remote")}
        program = (node("programs"), binary("programs", "mcp-remote"))
        encrypted = (*program, f"{daemon.secure}/servers/fixture/mcp")
        events = (*program, f"{daemon.base}/servers/fixture/sse", "--transport", "sse-only")
        clients = {
            "legacy, TLS": started("typescript1.mjs", "legacy", *encrypted),
            "legacy, HTTP+SSE": started("python1.py", "legacy", *events),
        }
        await self.assert_tours(clients)


class InspectorTests(StandingCase):
    """The inspector's command line, on Node 26."""

    async def inspect(self, *words: str, only: tuple[str, ...] = ()) -> Json:
        program = binary("programs", "mcp-inspector")
        return await self.report_of([node("programs"), *only, program, "--cli", *words])

    async def test_every_wire(self) -> None:
        """It lists and calls over each wire that it knows."""
        daemon = await self.daemon(BOX)
        self.environ = daemon.trusted()
        call = (
            "--method",
            "tools/call",
            "--tool-name",
            "calculate",
            "--tool-arg",
            "expression=6*7",
        )
        ways = {
            "HTTP": ((f"{daemon.base}/mcp", "--transport", "http"), ()),
            "HTTP/2": ((f"{daemon.secure}/mcp", "--transport", "http"), ONLY_HTTP2),
            "HTTP+SSE": ((f"{daemon.base}/sse", "--transport", "sse"), ()),
            "stdio": ((MCPTWIST, "connect", f"{daemon.base}/mcp"), ()),
        }
        for way, (where, only) in ways.items():
            listed = await self.inspect(*where, "--method", "tools/list", only=only)
            self.assertIn("calculate", [tool["name"] for tool in listed["tools"]], way)
            called = await self.inspect(*where, *call, only=only)
            self.assertEqual(called["structuredContent"], {"value": "42", "exact": True}, way)
