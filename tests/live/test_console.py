"""The console on a real terminal, and a real daemon with real servers behind it."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from tests.live import terminal
from tests.live.terminal import Terminal
from tests.live.test_children import in_reactor, until
from tests.patience import SECONDS

CHECKOUT = Path(__file__).resolve().parents[2]
ECHO = CHECKOUT / "benchmarks" / "echo_server.py"
MCPTWIST = (sys.executable, "-m", "mcptwist")


def is_closed(client: socket.socket) -> bool:
    """Whether the far end has closed or cut the connection; waits for that."""
    client.settimeout(SECONDS)
    try:
        return client.recv(1) == b""
    except ConnectionResetError:
        return True


class LiveConsoleTests(TestCase):
    """One daemon, one terminal."""

    timeout = 5 * SECONDS
    skip = terminal.TMUX.obstacle()

    def setUp(self) -> None:
        # Trial's own folders are too deep for the path of a socket.
        self.place = Path(tempfile.mkdtemp(prefix="mcp"))
        self.addCleanup(shutil.rmtree, self.place, ignore_errors=True)
        self.socket = self.place / "admin" / "daemon.sock"
        servers = {"echo": {"command": sys.executable, "args": [str(ECHO)]}}
        config = {
            "listen": ["tcp:0:interface=127.0.0.1"],
            "admin_socket": str(self.socket),
            "mcpServers": servers,
        }
        (self.place / "config.json").write_text(json.dumps(config))
        self.environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.place),
            "PYTHONPATH": str(CHECKOUT),
            "LC_ALL": "C.UTF-8",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        self.start_daemon()

    def start_daemon(self) -> None:
        """Start it, and wait until it says where it is."""
        daemon = subprocess.Popen(
            [*MCPTWIST, "run", "--config", str(self.place / "config.json")],
            env=self.environ,
            cwd=self.place,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self.daemon = daemon
        self.addCleanup(self.end, daemon)
        assert daemon.stdout is not None
        for line in daemon.stdout:
            found = re.search(rb"http://127\.0\.0\.1:(\d+)/", line)
            if found is not None:
                self.port = int(found[1])
                return
        raise AssertionError("the daemon did not start")

    def end(self, daemon: subprocess.Popen[bytes]) -> None:
        """Stop a daemon, at once if it must be."""
        if daemon.poll() is None:
            daemon.send_signal(signal.SIGTERM)
            try:
                daemon.wait(15)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait(15)
        if daemon.stdout is not None:
            daemon.stdout.close()

    def open_console(self, *options: str) -> Terminal:
        words = " ".join([*MCPTWIST, "console", *options, str(self.socket)])
        # The shell says when the console was left, and whether the terminal echoes again.
        command = f"{words}; echo left $?; stty -a | tr ' ;' '\\n' | grep -x echo; read end"
        opened = Terminal(str(self.place / "tmux"), command, self.environ)
        self.addCleanup(opened.close)
        return opened

    def ask(self, *words: str) -> Deferred[str]:
        """What a command of mcptwist prints."""

        def work() -> str:
            done = subprocess.run(
                [*MCPTWIST, *words],
                env=self.environ,
                capture_output=True,
                timeout=SECONDS,
                check=False,
            )
            return done.stdout.decode()

        return deferToThread(work)

    def call(self) -> Deferred[str]:
        """A call through the daemon."""
        url = f"http://127.0.0.1:{self.port}"
        return self.ask("call", "--url", url, "echo", "echo", '{"text": "hello"}')

    async def pids(self) -> list[int]:
        status: Any = json.loads(await self.ask("status", "--json", str(self.socket)))
        (server,) = status["servers"]
        return [p["pid"] for p in server["processes"] if p["pid"] is not None]

    async def sees(self, screen: Terminal, *texts: str) -> None:
        """Wait until all of it is there."""
        try:
            await until(lambda: all(text in screen.screen() for text in texts))
        except AssertionError:
            raise AssertionError(f"{texts} not in:\n{screen.screen()}") from None

    @in_reactor
    async def test_watching_and_steering(self) -> None:
        """A call is seen, a child that is killed comes back, a connection is closed."""
        screen = self.open_console()
        await self.sees(screen, "mcptwist", "echo", "idle", "? help")
        screen.press("3")
        await self.sees(screen, "traffic", "nothing has passed")
        self.assertEqual((await self.call()).strip(), "hello")
        await self.sees(screen, "tools/call", "echo", "ok")
        screen.press("1")
        await self.sees(screen, " up ")
        (before,) = await self.pids()
        await self.sees(screen, str(before))
        os.kill(before, signal.SIGKILL)
        await until(lambda: str(before) not in screen.screen() and " up " in screen.screen())
        (after,) = await self.pids()
        self.assertNotEqual(after, before)
        await self.sees(screen, str(after))
        with socket.create_connection(("127.0.0.1", self.port)) as client:
            screen.press("2")
            await self.sees(screen, "http/1.1")
            screen.press("/", "wire:http", "Enter", "c")
            await self.sees(screen, "Close c")
            screen.press("y", "Enter")
            await self.sees(screen, "is closed")
            self.assertTrue(await deferToThread(is_closed, client))

    @in_reactor
    async def test_daemon_restarts(self) -> None:
        """A console outlives the daemon it looks at, says so, and finds the next one."""
        screen = self.open_console()
        await self.sees(screen, "echo", "idle")
        await deferToThread(self.end, self.daemon)
        await self.sees(screen, "LOST", "trying again", "echo")
        await deferToThread(self.start_daemon)
        await self.sees(screen, "connected again", "idle")
        self.assertNotIn("LOST", screen.screen())

    @in_reactor
    async def test_terminal(self) -> None:
        """It bears any size, and leaves the terminal as it found it."""
        screen = self.open_console("--ascii")
        await self.sees(screen, "echo")
        for width, height in ((40, 10), (10, 4), (200, 50)):
            screen.resize(width, height)
            await until(lambda width=width: len(screen.screen().splitlines()[0]) <= width)
        await self.sees(screen, "SCOPE", "REASON")
        self.assertTrue(screen.screen().isascii())
        screen.press("q")
        await self.sees(screen, "left 0\necho\n")

    @in_reactor
    async def test_not_a_terminal(self) -> None:
        """Where there is no terminal, it says what there is instead."""

        def work() -> subprocess.CompletedProcess[bytes]:
            return subprocess.run(
                [*MCPTWIST, "console", str(self.socket)],
                env=self.environ,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=SECONDS,
                check=False,
            )

        done = await deferToThread(work)
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"needs a terminal; `mcptwist status` does not", done.stderr)

    @in_reactor
    async def test_scripts(self) -> None:
        """What scripts read: status, top, and nobody there."""
        self.assertIn("echo", await self.ask("status", str(self.socket)))
        lines = (await self.ask("top", "-n", "2", "-d", "0.1", "--json", str(self.socket))).split()
        self.assertEqual(len(lines), 2)
        self.assertEqual(await self.ask("status", str(self.place / "nobody.sock")), "")
