"""A real daemon on UNIX sockets, which knows its callers by what the system says of them."""

from __future__ import annotations

import json
import os
import shutil
import socket
import tempfile
from pathlib import Path
from typing import Any
from unittest import SkipTest

from twisted.internet.threads import deferToThread

from mcptwist.auth.localusers import name_of
from tests.debian import CURL, SETPRIV
from tests.live.test_commands import INITIALIZE, MCPTWIST, CommandCase
from tests.patience import SECONDS

NOBODY = 65534


class LocalUserTests(CommandCase):
    def setUp(self) -> None:
        super().setUp()
        # Sockets have short names, and here anybody may come to them.
        self.sockets = Path(tempfile.mkdtemp(prefix="mcptwist-"))
        self.sockets.chmod(0o755)
        self.addCleanup(shutil.rmtree, self.sockets)
        self.http, self.lines = str(self.sockets / "http"), str(self.sockets / "lines")

    async def open(self, *lines: str) -> None:
        self.place.chmod(0o700)
        authorized = self.place / "authorized_keys"
        authorized.touch(0o600)
        authorized.write_text("\n".join(lines) + "\n")
        config = self.place / "mcp.json"
        value = {
            "listen": [f"unix:{self.http}:mode=666", f"lines:unix:{self.lines}:mode=666"],
            "auth": {"authorized_keys": str(authorized)},
            "mcpServers": {"box": {"python": "mcptwist.serving.toolbox:toolbox"}},
        }
        config.write_text(json.dumps(value))
        program = self.start([MCPTWIST, "run", "--config", str(config)], dict(os.environ))
        await program.when_said("Press", SECONDS)

    def say(self) -> Any:
        """What a handshake is answered with on the socket of lines."""
        with socket.socket(socket.AF_UNIX) as end:
            end.settimeout(SECONDS)
            end.connect(self.lines)
            try:
                end.sendall(json.dumps(INITIALIZE).encode() + b"\n")
            except BrokenPipeError:
                pass  # it was told no before it could ask
            with end.makefile("rb") as file:
                return json.loads(file.readline())

    async def curl(self, *before: str) -> str:
        """The status that curl is answered with, started as *before* says."""
        program = self.start([
            *before, CURL.needed(), "-sS", "--unix-socket", self.http, "-o", "/dev/null",
            "-w", "%{http_code}", "-H", "content-type: application/json",
            "-H", "accept: application/json, text/event-stream",
            "-d", json.dumps(INITIALIZE), "http://localhost/mcp",
        ])  # fmt: skip
        return (await program.when_ended(SECONDS)).out

    async def test_this_user(self) -> None:
        await self.open(f'scope="mcp:read mcp:call" unix-user {name_of(os.geteuid())}')
        said = await deferToThread(self.say)
        self.assertEqual(said["result"]["protocolVersion"], "2025-11-25")
        self.assertEqual(await self.curl(), "200")

    async def test_nobody(self) -> None:
        if os.geteuid() != 0:
            raise SkipTest("only root can become somebody else")
        other = (SETPRIV.needed(), f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
        await self.open(f'scope="mcp:read mcp:call" unix-user {name_of(os.geteuid())}')
        self.assertEqual(await self.curl(*other), "401")

    async def test_another(self) -> None:
        await self.open(f"unix-user {os.geteuid() + 1}")
        said = await deferToThread(self.say)
        self.assertEqual((said["id"], said["error"]["code"]), (None, -32001))
        self.assertEqual(await self.curl(), "401")
