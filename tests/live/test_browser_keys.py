"""A real browser, with pages that hold keys of their own and come in with them from elsewhere."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from mcptwist.auth.gatehouse import Gatehouse
from mcptwist.protocols.http2 import HTTP2Connection
from tests.live.test_browser import BrowserTestCase
from tests.live.test_children import in_reactor


class KeyedTests(BrowserTestCase):
    """B8: pages whose origin is among ``allowed_origins``, and keys that are let in, or not.

    Their private keys cannot be read by the pages; all they send is signed in the browser.
    """

    auth: dict[str, Any] = {}

    def settings(self) -> dict[str, Any]:
        self.place = Path(self.mktemp()).resolve()
        self.place.mkdir(mode=0o700)
        self.lines: list[str] = []
        self.write()
        self.friend.authorize = self.stranger.authorize = self.authorize
        self.audit = self.place / "audit.jsonl"
        auth = {"authorized_keys": str(self.place / "authorized_keys")}
        auth |= {"audit_log": str(self.audit), **self.auth}
        return {**super().settings(), "auth": auth}

    def authorize(self, line: str) -> None:
        """Let in whoever that public key belongs to."""
        self.lines.append(f'scope="mcp:read mcp:call" {line}')
        self.write()
        (gatehouse,) = [each for each in self.daemon if isinstance(each, Gatehouse)]
        gatehouse.files.look()

    def write(self) -> None:
        new = self.place / "new"
        new.write_text("\n".join(["# keys", *self.lines, ""]))
        new.chmod(0o600)
        os.replace(new, self.place / "authorized_keys")

    async def look(self, *scenarios: str, **how: Any) -> Any:
        return await self.visit(*scenarios, page="keys", **how)

    def assert_called(self, found: Any) -> None:
        for answer in (found["first"], found["second"]):
            self.assertEqual(answer["status"], 200, found)
            self.assertIn("fine at the coast", answer["body"])
        self.assertTrue(found["again"])

    def assert_audited(self, *events: str) -> None:
        """Those are told of in the audit log; and no secret is."""
        text = self.audit.read_text()
        for event in events:
            self.assertIn(f'"event":"{event}"', text)
        for secret in ("mcp_at_", "eyJ"):
            self.assertNotIn(secret, text)

    @in_reactor
    async def test_comes_in(self) -> None:
        found = await self.look("ed25519", "p256")
        self.assert_called(found["ed25519"])
        self.assert_called(found["p256"])
        self.assert_audited("auth.token.issued", "mcp.allowed")
        self.assertIn('"kind":"DPoP"', self.audit.read_text())
        self.assertNotIn('"kind":"Bearer"', self.audit.read_text())

    @in_reactor
    async def test_kept(self) -> None:
        """The browser keeps the key for the page, and from it."""
        found = await self.look("kept", "p256")
        self.assertEqual(
            found["kept"],
            {"pkcs8": "InvalidAccessError", "jwk": "InvalidAccessError", "same": True},
        )

    @in_reactor
    async def test_unknown(self) -> None:
        found = await self.look("unknown")
        self.assertEqual(found["message"], "401: invalid_client")
        self.assert_audited("auth.token.refused")

    @in_reactor
    async def test_stolen(self) -> None:
        """A token that was read is of no use without the key."""
        found = await self.look("stolen")
        self.assertEqual(found, {"bearer": 401, "another's proof": 401})
        self.assert_audited("auth.request.denied")

    @in_reactor
    async def test_stranger(self) -> None:
        """The same page from another port gets nowhere, whatever key it has."""
        found = await self.look("p256", stage=self.stranger)
        self.assertEqual(found["error"], "TypeError")
        self.assert_audited("auth.origin.refused")
        self.assertNotIn("auth.token", self.audit.read_text())
        self.assertNotIn("mcp.allowed", self.audit.read_text())

    @in_reactor
    async def test_example(self) -> None:
        """The page of the documentation does what it says."""
        found = await self.look("example")
        self.assertEqual(found, {"before": "401: invalid_client", "after": "weather\nforecast"})


class NonceTests(KeyedTests):
    """Where proofs must hold nonces of the daemon's."""

    auth = {"dpop_nonces": True}


class EncryptedTests(KeyedTests):
    """The same over HTTP/2 with TLS."""

    endpoint = "https:0:interface=127.0.0.1"
    flags = ("--ignore-certificate-errors",)
    connection = HTTP2Connection
