"""Signed requests, with another implementation of RFC 9421 at the other end, in both directions."""

from __future__ import annotations

import json
import sys
import urllib.request
from typing import Any

from twisted.internet.threads import deferToThread

from mcptwist.auth.keys import ED25519, P256, RSA, PrivateKey
from tests.interop.rig import Json, python, script
from tests.interop.test_auth import CALLS, LEGACY, MODERN, KeyCase
from tests.interop.test_remote_servers import RemoteCase, free_port
from tests.patience import SECONDS

SERVER = "signed_server.py"


class AnsweringTests(KeyCase):
    """The Python SDK with ``http-message-signatures``, at our daemon."""

    environments = ("python2",)

    async def assert_comes_in(  # type: ignore[override]
        self, mode: str, revision: str, kind: str, algorithm: str
    ) -> None:
        options = 'scope="mcp:read mcp:call",require-signature'
        await self.start_closed(kind, options, http_signatures=True)
        file = self.place / "key"
        file.write_bytes(self.key.pem())
        file.chmod(0o600)
        argv = [f"{self.base}/mcp", mode, str(file), algorithm, CALLS]
        report = await self.report_of([*script("python2_signed.py"), *argv])
        self.assertGreaterEqual(report.pop("signed"), 3)
        self.assertEqual(report, {"revision": revision, "tools": ["add"], "said": ["3.0"]})
        self.assertEqual(self.audited("auth.request.denied"), [])
        self.assertEqual(self.audited("auth.token.issued"), [])
        self.assertEqual(len(self.audited("mcp.allowed")), 1)
        self.assert_nothing_secret()

    async def test_ed25519(self) -> None:
        await self.assert_comes_in("auto", MODERN, ED25519, "ed25519")

    async def test_legacy(self) -> None:
        """With a session, a stream of its own, and a farewell."""
        await self.assert_comes_in("legacy", LEGACY, ED25519, "ed25519")

    async def test_p256(self) -> None:
        await self.assert_comes_in("auto", MODERN, P256, "ecdsa-p256-sha256")

    async def test_rsa(self) -> None:
        await self.assert_comes_in("auto", MODERN, RSA, "rsa-v1_5-sha256")

    async def test_rsa_pss(self) -> None:
        await self.assert_comes_in("legacy", LEGACY, RSA, "rsa-pss-sha512")


class AskingTests(RemoteCase):
    """Our own client, at a server of the SDK that has ``http-message-signatures`` before it."""

    environments = ("python2",)

    async def call(self, kind: str, *options: str) -> list[Json]:
        """Call a tool there; what the server saw of the signatures."""
        key = PrivateKey.generate(kind)
        file = self.place / "key"
        file.write_bytes(key.openssh())
        file.chmod(0o600)
        keys = self.place / "keys.json"
        keys.write_text(json.dumps({key.public.thumbprint: key.public.pem()}))
        port = free_port()
        server = str(self.fixture_server("dual")["args"][0]).replace("fixture_server.py", SERVER)
        await self.listening([python("python2"), server, str(port), str(keys)], port)
        base = f"http://127.0.0.1:{port}"
        argv = [sys.executable, "-m", "mcptwist", "call", "-i", str(file), *options]
        ending = await self.run_program([*argv, f"{base}/mcp", "echo", '{"text": "hello"}'])
        self.assertEqual(ending.code, 0, ending.said())
        self.assertIn("hello", ending.out)
        seen: list[Json] = await deferToThread(_document, f"{base}/seen")
        for each in seen:
            self.assertEqual(each["keyid"], key.public.thumbprint)
            self.assertNotIn("alg", each)
        self.assertGreaterEqual(len(seen), 2)
        return seen

    async def test_asked_for(self) -> None:
        seen = await self.call(ED25519)
        self.assertEqual({each["by"] for each in seen}, {"ed25519"})

    async def test_unasked(self) -> None:
        seen = await self.call(P256, "--sign-requests", "--principal", "alice")
        self.assertEqual({each["by"] for each in seen}, {"ecdsa-p256-sha256"})
        self.assertEqual({each["tag"] for each in seen}, {"alice"})

    async def test_rsa(self) -> None:
        seen = await self.call(RSA, "--sign-requests")
        self.assertEqual({each["by"] for each in seen}, {"rsa-v1_5-sha256"})


def _document(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=SECONDS) as answer:
        return json.load(answer)
