"""UNIX sockets, as docs/wires/unix-sockets.rst promises them: a daemon, and who comes to it."""

from __future__ import annotations

import json
import socket
import stat
from pathlib import Path

from twisted.internet.threads import deferToThread

from tests.debian import CURL
from tests.interop.rig import Program
from tests.live.test_commands import INITIALIZE, INITIALIZED, MCPTWIST, CommandCase, calculate
from tests.patience import SECONDS


class SocketTests(CommandCase):
    def setUp(self) -> None:
        super().setUp()
        self.lines = self.place / "mcp.sock"
        self.http = self.place / "http.sock"
        self.argv = [MCPTWIST, "run"]
        self.argv += ["--listen", f"lines:unix:{self.lines}", "--listen", f"unix:{self.http}"]

    async def begin(self) -> Program:
        program = self.start(self.argv)
        await program.when_said("Ctrl-C", SECONDS)
        return program

    def ask(self, *messages: object) -> list[str]:
        """Say all on the socket for lines and close our side; what was answered."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(SECONDS)
            client.connect(str(self.lines))
            client.sendall(b"".join(json.dumps(message).encode() + b"\n" for message in messages))
            client.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: client.recv(65536), b"")).decode().splitlines()

    async def test_whose_they_are(self) -> None:
        """Both are for the daemon's own user alone."""
        await self.begin()
        modes = [oct(stat.S_IMODE(path.stat().st_mode)) for path in (self.lines, self.http)]
        self.assertEqual(modes, ["0o600", "0o600"])

    async def test_what_was_asked_is_answered(self) -> None:
        """Also when the client has closed its side."""
        await self.begin()
        said = await deferToThread(self.ask, INITIALIZE, INITIALIZED, calculate(2, "6*7"))
        self.assertEqual([json.loads(line)["id"] for line in said], [1, 2])
        self.assertEqual(json.loads(said[1])["result"]["structuredContent"]["value"], "42")

    async def test_http(self) -> None:
        """On the other, what is served over TCP; under this machine's names only."""
        await self.begin()
        for name, status in (("localhost", "200"), ("evil.example", "421")):
            argv = [CURL.needed(), "-s", "-o", "/dev/null", "-w", "%{http_code}"]
            ending = await self.run_program(
                [*argv, "--unix-socket", str(self.http), f"http://{name}/health"]
            )
            self.assertEqual(ending.out, status, ending.said())

    async def test_another_daemon(self) -> None:
        """One that answers is left alone; what is left of one that was killed is replaced."""
        first = await self.begin()
        second = self.start(self.argv)
        ending = await second.when_ended(SECONDS)
        self.assertEqual(ending.code, 1, ending.said())
        self.assertIn("another program answers on this socket", ending.err)
        first.signal("KILL")
        await first.when_ended(SECONDS)
        self.assertTrue(Path(self.lines).exists())
        await self.begin()
        said = await deferToThread(self.ask, INITIALIZE)
        self.assertEqual(len(said), 1)
