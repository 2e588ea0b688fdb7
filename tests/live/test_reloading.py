"""A real daemon whose configuration changes while it runs."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.interop.rig import command_line
from tests.patience import SECONDS

CHECKOUT = Path(__file__).resolve().parents[2]
ECHO = str(CHECKOUT / "benchmarks" / "echo_server.py")
MCPTWIST = (sys.executable, "-m", "mcptwist")
TWISTD = (str(Path(sys.executable).with_name("twistd")), "--nodaemon", "--pidfile=")


def echo(*args: str) -> dict[str, Any]:
    return {"command": sys.executable, "args": [ECHO, *args], "lazy": False}


class Client:
    """A legacy client with a session."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._headers: dict[str, str] = {}
        hello = {
            "protocolVersion": "2025-11-25",
            "capabilities": {},
            "clientInfo": {"name": "test", "version": "1"},
        }
        self.ask("initialize", hello)

    def ask(self, method: str, params: dict[str, Any]) -> Any:
        message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        headers = {
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
            **self._headers,
        }
        request = urllib.request.Request(self._url, json.dumps(message).encode(), headers)
        with urllib.request.urlopen(request, timeout=SECONDS) as response:
            if response.headers["Mcp-Session-Id"]:
                self._headers["Mcp-Session-Id"] = response.headers["Mcp-Session-Id"]
            text = response.read().decode()
        return json.loads(
            re.sub(r"(?s).*^data: ", "", text, flags=re.M) if "data: " in text else text
        )

    def say(self, text: str) -> str:
        answer = self.ask("tools/call", {"name": "echo", "arguments": {"text": text}})
        return str(answer["result"]["content"][0]["text"])


class ReloadingTests(SynchronousTestCase):
    """One daemon with three servers."""

    def setUp(self) -> None:
        self.place = Path(tempfile.mkdtemp(prefix="mcp"))
        self.addCleanup(shutil.rmtree, self.place, ignore_errors=True)
        self.socket = str(self.place / "admin" / "d.sock")
        self.put({"stays": echo(), "changes": echo(), "goes": echo()})
        self.environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.place),
            "PYTHONPATH": str(CHECKOUT),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        self.daemon = subprocess.Popen(
            [*TWISTD, "mcpd", "--config", str(self.place / "config.json")],
            env=self.environ,
            cwd=self.place,
            stdin=subprocess.DEVNULL,
            stdout=(self.place / "log").open("wb"),
            stderr=subprocess.STDOUT,
        )
        self.addCleanup(self.end)
        self.until(lambda: "http://127.0.0.1:" in self.log())
        found = re.search(r"http://127\.0\.0\.1:\d+", self.log())
        assert found is not None
        self.url = found[0]
        self.until(lambda: set(self.states().values()) == {"up"})

    def end(self) -> None:
        self.daemon.terminate()
        self.daemon.wait(SECONDS)

    def log(self) -> str:
        return (self.place / "log").read_text()

    def put(self, servers: dict[str, Any], **more: Any) -> None:
        """Write the file anew."""
        config = {
            "listen": ["tcp:0:interface=127.0.0.1"],
            "admin_socket": self.socket,
            "auth": False,
            "mcpServers": servers,
            **more,
        }
        (self.place / "config.json").write_text(json.dumps(config))

    def mcptwist(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*MCPTWIST, *words],
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )

    def servers(self) -> dict[str, Any]:
        status = json.loads(self.mcptwist("status", "--json", self.socket).stdout)
        return {server["name"]: server for server in status["servers"]}

    def states(self) -> dict[str, str]:
        return {name: server["state"] for name, server in self.servers().items()}

    def pid(self, name: str) -> int:
        pids = [process.get("pid") for process in self.servers()[name]["processes"]]
        return int(next(pid for pid in pids if pid is not None))

    def until(self, holds: Any) -> None:
        deadline = time.monotonic() + SECONDS
        while not holds():
            if time.monotonic() > deadline:
                raise AssertionError(self.log())
            time.sleep(0.1)

    def test_servers_come_change_and_go(self) -> None:
        """On SIGHUP; who talks with a server that stays never notices."""
        client = Client(f"{self.url}/servers/stays/mcp")
        self.assertEqual(client.say("before"), "before")
        stays, changes, goes = (self.pid(name) for name in ("stays", "changes", "goes"))
        self.put({"stays": echo(), "changes": echo("--tag", "other"), "comes": echo()})
        self.daemon.send_signal(signal.SIGHUP)
        self.until(lambda: self.states() == dict.fromkeys(("stays", "changes", "comes"), "up"))
        self.assertEqual(client.say("after"), "after")
        self.assertEqual(self.pid("stays"), stays)
        self.assertNotEqual(self.pid("changes"), changes)
        self.until(lambda: not Path(f"/proc/{goes}").exists())
        self.assertEqual(Client(f"{self.url}/servers/comes/mcp").say("new"), "new")
        gone = self.assertRaises(urllib.error.HTTPError, Client, f"{self.url}/servers/goes/mcp")
        self.assertEqual(gone.code, 404)
        gone.close()

    def children(self) -> list[int]:
        """The processes of servers that the daemon has."""
        text = Path(f"/proc/{self.daemon.pid}/task/{self.daemon.pid}/children").read_text()
        return [pid for pid in map(int, text.split()) if ECHO in command_line(pid)]

    def test_many_times(self) -> None:
        """In a row, while servers start and stop: who stays never notices, nobody is left over."""
        client = Client(f"{self.url}/servers/stays/mcp")
        hangs = {"command": "sleep", "args": ["600"], "lazy": False, "stop_grace": 0.2}
        for number in range(20):
            changing: Any = (hangs, echo("--tag", str(number)), {**echo(), "timeout": 5 + number})
            servers = {"stays": echo(), "changes": changing[number % 3]}
            self.put({**servers, "comes": echo()} if number % 2 else servers)
            self.daemon.send_signal(signal.SIGHUP)
            self.assertEqual(client.say(str(number)), str(number))
        self.put({"stays": echo(), "changes": echo("--tag", "last")})
        self.daemon.send_signal(signal.SIGHUP)
        self.until(lambda: self.states() == {"stays": "up", "changes": "up"})
        self.assertEqual(Client(f"{self.url}/servers/changes/mcp").say("last"), "last")
        pids = sorted(self.pid(name) for name in ("stays", "changes"))
        self.until(lambda: sorted(self.children()) == pids)
        self.assertNotIn("Traceback", self.log())

    def test_mistakes(self) -> None:
        """A file with a mistake leaves everything as it was, and every mistake is told."""
        before = {name: self.pid(name) for name in self.servers()}
        self.put({"comes": echo()}, listen=7, limits={"sesions": 5})
        done = self.mcptwist("call", f"unix:{self.socket}", "reload_configuration")
        self.assertNotEqual(done.returncode, 0)
        for part in ("listen", "limits.sesions"):
            self.assertIn(part, done.stdout + done.stderr)
        (self.place / "config.json").write_text("{")
        self.daemon.send_signal(signal.SIGHUP)
        self.until(lambda: "configuration: " in self.log())
        self.assertIn("config.json", self.log().rpartition("configuration: ")[2])
        self.assertEqual({name: self.pid(name) for name in self.servers()}, before)

    def test_a_bad_server(self) -> None:
        """A mistake in one server's table is that server's alone."""
        self.put({"stays": echo(), "changes": echo(), "goes": {"comand": "x"}})
        done = self.mcptwist("call", f"unix:{self.socket}", "reload_configuration")
        self.assertEqual(done.returncode, 0, done)
        self.assertIn("mcpServers.goes", done.stdout)
        self.assertEqual(self.states()["goes"], "misconfigured")
        self.assertEqual(self.states()["stays"], "up")
