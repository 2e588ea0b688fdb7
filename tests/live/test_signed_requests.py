"""Signing requests to a real daemon: from the shell, from another daemon, with an ssh-agent."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from typing import Any

from tests.debian import SSH_ADD, SSH_AGENT
from tests.live.test_keys import KeyCase

SUM = ("calculate", '{"expression": "2*21"}')


class SignedTests(KeyCase):
    """A daemon that takes signatures, over TLS, and a key that must sign."""

    def setUp(self) -> None:
        super().setUp()
        self.done("keygen", "-N", "", "-C", "alice@laptop")
        self.own = self.home / "mcptwist"
        self.public = str(self.own / "id_ed25519.pub")
        self.authorize("--require-signature")
        self.audit = self.home / "audit.jsonl"
        auth = {"audit_log": str(self.audit), "http_signatures": True}
        self.url = self.start("https:0:interface=127.0.0.1", auth)
        self.done("list", "--accept-new", f"{self.url}/mcp")

    def authorize(self, *options: str) -> None:
        self.done("authorize", "add", "--scope", "mcp:read mcp:call", *options, self.public)

    def events(self, name: str) -> list[dict[str, Any]]:
        told = [json.loads(line) for line in self.audit.read_text().splitlines()]
        return [each for each in told if each["event"] == name]

    def test_asked_for(self) -> None:
        """A token was to be had, and was not enough: so each request is signed."""
        self.assertIn("42", self.done("call", f"{self.url}/mcp", *SUM))
        denied = self.events("auth.request.denied")
        self.assertEqual({each["reason"] for each in denied}, {"the key must sign its requests"})
        self.assertEqual(self.events("mcp.allowed")[-1]["principal"], "alice")

    def test_asked_for_a_websocket(self) -> None:
        """What the proof of the key does not do for is signed by itself, and nobody is blamed."""
        place = f"{self.url.replace('https', 'wss')}/ws"
        for _ in range(3):
            self.assertIn("42", self.done("call", place, *SUM))
        refused = self.events("auth.proof.refused")
        self.assertEqual({each["reason"] for each in refused}, {"the key must sign its requests"})

    def test_unasked(self) -> None:
        """No token is asked for, over HTTP/2, over HTTP+SSE and for a WebSocket."""
        before = len(self.events("auth.token.issued")), len(self.events("auth.request.denied"))
        places = [f"{self.url}/mcp", f"{self.url.replace('https', 'wss')}/ws", f"{self.url}/sse"]
        for place in places:
            self.assertIn("42", self.done("call", "--sign-requests", place, *SUM), place)
        after = len(self.events("auth.token.issued")), len(self.events("auth.request.denied"))
        self.assertEqual(after, before)

    def test_from_a_daemon(self) -> None:
        key = str(self.own / "id_ed25519")
        value = {
            "listen": ["tcp:0:interface=127.0.0.1"],
            "mcpServers": {"far": {"url": f"{self.url}/mcp", "key": key, "sign_requests": True}},
        }
        path = self.home / "front.json"
        path.write_text(json.dumps(value))
        self.config = lambda *_: str(path)  # type: ignore[method-assign]
        before = len(self.events("auth.token.issued"))
        url = self.start("")
        self.assertIn("42", self.done("call", "--url", url, "far", *SUM))
        self.assertEqual(len(self.events("auth.token.issued")), before)

    def test_agent(self) -> None:
        """A key that only an ssh-agent holds."""
        argv = [SSH_AGENT.needed(), "-s"]
        said = subprocess.run(argv, capture_output=True, text=True, check=True)
        pairs = [part.split("=") for part in said.stdout.split(";") if "=" in part]
        started = {name.split()[-1]: value for name, value in pairs}
        self.addCleanup(os.kill, int(started["SSH_AGENT_PID"]), signal.SIGTERM)
        self.environ = {**self.environ, "SSH_AUTH_SOCK": started["SSH_AUTH_SOCK"]}
        private = self.own / "id_ed25519"
        subprocess.run([SSH_ADD.needed(), "-q", str(private)], env=self.environ, check=True)
        private.unlink()
        made = self.done("call", "--sign-requests", f"{self.url}/mcp", *SUM)
        self.assertIn("42", made)

    def test_revoked(self) -> None:
        self.done("revoke", self.public)
        ended = self.mcptwist("call", "--sign-requests", f"{self.url}/mcp", *SUM)
        self.assertEqual((ended.returncode, ended.stdout), (1, ""))
        self.assertIn("invalid_client", ended.stderr)
