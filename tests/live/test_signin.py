"""Signing in at real daemons with a key, from the shell and from another daemon."""

from __future__ import annotations

import json
from typing import Any

from tests.live.test_keys import KeyCase

SUM = ("calculate", '{"expression": "2*21"}')


class SignInTests(KeyCase):
    """One daemon that speaks TLS and wants keys, and one person with a key."""

    def setUp(self) -> None:
        super().setUp()
        self.done("keygen", "-N", "", "-C", "alice@laptop")
        self.own = self.home / "mcptwist"
        self.public = str(self.own / "id_ed25519.pub")
        scopes = "mcp:read mcp:call mcp:admin"
        self.done("authorize", "add", "--scope", scopes, self.public)
        self.audit = self.home / "audit.jsonl"
        auth = {"audit_log": str(self.audit), "dpop_nonces": True}
        self.url = self.start("https:0:interface=127.0.0.1", auth)
        self.done("list", "--accept-new", f"{self.url}/mcp")

    def behind(self, **more: Any) -> str:
        """The URL of a daemon with the first one behind it."""
        value = {
            "listen": ["tcp:0:interface=127.0.0.1"],
            "mcpServers": {"far": {"url": f"{self.url}/mcp", **more}},
        }
        path = self.home / "front.json"
        path.write_text(json.dumps(value))
        self.config = lambda *_: str(path)  # type: ignore[method-assign]
        return self.start("")

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.audit.read_text().splitlines()]

    def test_from_the_shell(self) -> None:
        """Over HTTP/2 and WebSocket, with the person's own key and with one that is named."""
        self.assertIn("42", self.done("call", f"{self.url}/mcp", *SUM))
        place = self.url.replace("https", "wss")
        self.assertIn("42", self.done("call", f"{place}/ws", *SUM))
        self.assertIn("auth.proof.ok", {each["event"] for each in self.events()})
        self.assertIn("calculate", self.done("list", "--url", self.url))
        self.assertIn("toolbox", self.done("status", self.url))
        self.done("keygen", "-N", "", "-t", "ecdsa", "-f", str(self.home / "other"))
        ended = self.mcptwist("call", "-i", str(self.home / "other"), f"{self.url}/mcp", *SUM)
        self.assertEqual((ended.returncode, ended.stdout), (1, ""))
        self.assertIn("invalid_client", ended.stderr)
        calls = [each for each in self.events() if each["event"] == "auth.token.issued"]
        self.assertEqual({each["principal"] for each in calls}, {"alice"})
        self.assertIn("DPoP", {each["kind"] for each in calls})
        self.assertNotIn("mcp_at_", self.audit.read_text())

    def test_from_a_daemon(self) -> None:
        """With its key it is let in, without one it is not; the token is asked for once."""
        url = self.behind(key=str(self.own / "id_ed25519"))
        before = len([each for each in self.events() if each["event"] == "auth.token.issued"])
        for _ in range(3):
            self.assertIn("42", self.done("call", "--url", url, "far", *SUM))
        after = [each for each in self.events() if each["event"] == "auth.token.issued"]
        self.assertLessEqual(len(after) - before, 2)  # one for each era's connection
        url = self.behind()
        ended = self.mcptwist("call", "--url", url, "far", *SUM)
        self.assertIn("we have none; give one (key)", ended.stderr)

    def test_revoked(self) -> None:
        """Whoever signs in with a revoked key is told so, and gets nothing."""
        self.done("revoke", self.public)
        ended = self.mcptwist("call", f"{self.url}/mcp", *SUM)
        self.assertEqual((ended.returncode, ended.stdout), (1, ""))
        self.assertIn("invalid_client", ended.stderr)
