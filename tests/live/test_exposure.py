"""What a real daemon that wants keys shows outside: its sockets, its process, its servers."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

from mcptwist.config import Config
from mcptwist.configuration.withoutfile import BUILTIN_SERVER
from tests.live.test_keys import BODY, KeyCase
from tests.patience import SECONDS

LOOPBACK = "tcp:0:interface=127.0.0.1"
_LISTENING = "0A"


def sockets_of(pid: int) -> set[str]:
    """The addresses of the TCP sockets that a process listens on, as /proc has them."""
    own = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            own.add(os.readlink(entry))
        except OSError:
            continue  # closed meanwhile
    found = set()
    for family, name in ((socket.AF_INET, "tcp"), (socket.AF_INET6, "tcp6")):
        for line in Path(f"/proc/{pid}/net/{name}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == _LISTENING and f"socket:[{fields[9]}]" in own:
                found.add(_written(family, fields[1].partition(":")[0]))
    return found


def _written(family: int, digits: str) -> str:
    words = [bytes.fromhex(digits[at : at + 8])[::-1] for at in range(0, len(digits), 8)]
    return socket.inet_ntop(family, b"".join(words))


class SocketTests(KeyCase):
    def test_defaults(self) -> None:
        """A1: where nothing is said, only this machine is listened to."""
        self.assertTrue(Config().endpoints)
        for entry in Config().endpoints.values():
            self.assertRegex(entry, r"\Atcp:[0-9]+:interface=127\.0\.0\.1\Z")

    def test_listening(self) -> None:
        """A1: and nothing else is open than what was asked for."""
        self.done("keygen")
        self.done("authorize", "add", str(self.home / "mcptwist" / "id_ed25519.pub"))
        self.start(LOOPBACK, {})
        self.assertEqual(sockets_of(self.pid), {"127.0.0.1"})


class ProcessTests(KeyCase):
    def setUp(self) -> None:
        super().setUp()
        self.done("keygen")
        self.done("authorize", "add", str(self.home / "mcptwist" / "id_ed25519.pub"))
        key = (self.home / "mcptwist" / "id_ed25519").read_text().splitlines()
        self.secrets = [line.encode() for line in key[1:-1]]
        self.url = self.start(LOOPBACK, {})

    def assert_shows_no_secret(self, *words: str) -> str:
        """Run a command, and look at its process for as long as there is one; what it printed."""
        argv = [sys.executable, "-m", "mcptwist", *words]
        process = subprocess.Popen(
            argv, env=self.environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
        )
        looks = 0
        try:
            while process.poll() is None:
                for name in ("cmdline", "environ"):
                    try:
                        seen = Path(f"/proc/{process.pid}/{name}").read_bytes()
                    except OSError:
                        continue
                    looks += 1
                    for secret in (b"mcp_at_", b"eyJ", *self.secrets):
                        self.assertNotIn(secret, seen)
        finally:
            out, _ = process.communicate(timeout=SECONDS)
        self.assertGreater(looks, 1)
        self.assertEqual(process.returncode, 0)
        return out

    def test_commands(self) -> None:
        """A6: while they run, too."""
        out = self.assert_shows_no_secret("token", f"{self.url}/mcp")
        self.assertIn("Bearer mcp_at_", out)

    def test_metrics(self) -> None:
        """C17: nothing of a token in what is counted."""
        headers = json.loads(self.done("token", f"{self.url}/mcp"))
        self.assertEqual(self.come(self.url, headers), 200)
        token = headers["Authorization"].removeprefix("Bearer ")
        request = urllib.request.Request(f"{self.url}/metrics", headers=headers)
        with urllib.request.urlopen(request, timeout=SECONDS) as response:
            text = response.read().decode()
        self.assertIn("mcptwist_", text)
        for secret in ("mcp_at_", token[7:20], "eyJ"):
            self.assertNotIn(secret, text)


class _Behind(BaseHTTPRequestHandler):
    """A server behind the daemon, of the legacy era, that keeps the headers it is sent."""

    seen: ClassVar[list[dict[str, str]]] = []
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.seen.append({name.lower(): value for name, value in self.headers.items()})
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        result = {
            "initialize": {
                "protocolVersion": "2025-11-25",
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "behind", "version": "1"},
            },
            "tools/list": {"tools": [{"name": "t", "inputSchema": {"type": "object"}}]},
            "tools/call": {"content": [{"type": "text", "text": "called"}]},
        }.get(asked["method"])
        answer: dict[str, Any] = {"jsonrpc": "2.0", "id": asked.get("id")}
        answer |= {"result": result} if result else {"error": {"code": -32601, "message": "no"}}
        body = json.dumps(answer).encode() if "id" in asked else b""
        self.send_response(200 if body else 202)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        self.seen.append({name.lower(): value for name, value in self.headers.items()})
        self.send_response(405)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_DELETE = do_GET

    def log_message(self, *arguments: Any) -> None:
        pass


class BehindTests(KeyCase):
    """C18: what clients come in with stays with the daemon."""

    def setUp(self) -> None:
        super().setUp()
        _Behind.seen.clear()
        self.behind = ThreadingHTTPServer(("127.0.0.1", 0), _Behind)
        thread = threading.Thread(target=self.behind.serve_forever, daemon=True)
        thread.start()
        self.addCleanup(thread.join, SECONDS)
        self.addCleanup(self.behind.server_close)
        self.addCleanup(self.behind.shutdown)
        self.done("keygen")
        self.done("authorize", "add", "--scope", "mcp:read mcp:call",
                  str(self.home / "mcptwist" / "id_ed25519.pub"))  # fmt: skip

    def servers(self) -> dict[str, Any]:
        url = f"http://127.0.0.1:{self.behind.server_port}/mcp"
        return {"toolbox": {"python": BUILTIN_SERVER}, "behind": {"url": url}}

    def post(self, url: str, message: Any, headers: dict[str, str]) -> tuple[str, str]:
        request = urllib.request.Request(
            url, json.dumps(message).encode(), {
                "Accept": "application/json, text/event-stream",
                "Content-Type": "application/json", **headers,
            },
        )  # fmt: skip
        with urllib.request.urlopen(request, timeout=SECONDS) as response:
            return response.headers.get("Mcp-Session-Id", ""), response.read().decode()

    def test_nothing_goes_on(self) -> None:
        url = self.start(LOOPBACK, {})
        place = f"{url}/servers/behind/mcp"
        token = json.loads(self.done("token", place))["Authorization"]
        brought = {
            "Authorization": token,
            "DPoP": "eyJ-a-proof",
            "Cookie": "crumb=cookie-of-the-client",
            "X-Forwarded-For": "203.0.113.9",
            "Proxy-Authorization": "Basic of-the-client",
        }
        session, _ = self.post(place, BODY, brought)
        brought |= {"Mcp-Session-Id": session, "MCP-Protocol-Version": "2025-11-25"}
        self.post(place, {"jsonrpc": "2.0", "method": "notifications/initialized"}, brought)
        call = {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "t"}}
        _, answer = self.post(place, call, brought)
        self.assertIn("called", answer)
        self.assertGreater(len(_Behind.seen), 2)
        for headers in _Behind.seen:
            for name in ("authorization", "dpop", "cookie", "proxy-authorization", "forwarded"):
                self.assertNotIn(name, headers)
            told = json.dumps(headers)
            for secret in ("mcp_at_", "eyJ-a-proof", "of-the-client", "203.0.113.9", session):
                self.assertNotIn(secret, told)
