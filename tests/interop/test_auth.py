"""Real clients, as they are, come in with a key: OAuth client credentials with ``private_key_jwt``.

Every client's own SDK finds the way from the first 401 on: resource metadata, authorization server
metadata, a signed assertion, a token; with the TypeScript SDK 2.x also a DPoP proof.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from mcptwist.auth.keys import ED25519, P256, RSA, PrivateKey
from tests.auth.secrets import secrets_in
from tests.interop.install import ENVIRONMENTS
from tests.interop.rig import (
    LISTENING,
    Daemon,
    InteropCase,
    Json,
    node,
    script,
)
from tests.interop.test_conformance import PACKAGE
from tests.patience import SECONDS

MODERN, LEGACY = "2026-07-28", "2025-11-25"
METADATA = "authorization-server-metadata-endpoint"
CALLS = json.dumps([["add", {"numbers": [1, 2]}]])


class KeyCase(InteropCase):
    """A test with a daemon that wants keys, and a key that may read and call."""

    kind = ED25519
    options = 'scope="mcp:read mcp:call"'
    settings: Json = {}

    async def start_closed(self, kind: str, options: str = "", **settings: Any) -> None:
        """Start the daemon; ``self.base`` is where, ``self.key`` is let in."""
        self.key = PrivateKey.generate(kind)
        self.authorized = self.place / "authorized_keys"
        self.place.chmod(0o700)
        self.write_keys(options or self.options)
        self.audit = self.place / "audit.jsonl"
        auth = {"authorized_keys": str(self.authorized), "audit_log": str(self.audit)}
        config = self.place / "mcp.json"
        server = {"python": "tests.interop.sums:sums"}
        config.write_text(
            json.dumps({"mcpServers": {"sums": server}, "auth": {**auth, **settings}})
        )
        twistd = str(Path(sys.executable).with_name("twistd"))
        argv = [twistd, "-n", "--pidfile=", "mcpd", "--config", str(config)]
        paths = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        program = self.start([*argv, "--listen", "tcp:0:interface=127.0.0.1"], paths)
        heard = await program.when_said(LISTENING, SECONDS)
        self.addCleanup(Daemon.stop, self, program)
        self.daemon_program = program
        self.base = f"http://127.0.0.1:{heard.group(1)}"

    def write_keys(self, options: str) -> None:
        new = self.place / "authorized_keys.new"
        new.write_text(f"{options} {self.key.public.words()} alice@here\n".lstrip())
        new.chmod(0o600)
        new.rename(self.authorized)

    async def visit(
        self,
        client: str,
        mode: str,
        algorithm: str,
        *more: str,
        jwk: bool = False,
        calls: str = CALLS,
        path: str = "/mcp",
    ) -> Json:
        """Let *client* come in, list tools and call some."""
        file = self.place / "key"
        text = json.dumps(self.key.jwk()) if jwk else self.key.pem().decode()
        file.write_text(text)
        file.chmod(0o600)
        argv = [f"{self.base}{path}", mode, self.base, "alice", str(file), algorithm, calls, *more]
        return await self.report_of([*script(client), *argv])

    def audited(self, event: str) -> list[Json]:
        lines = [json.loads(line) for line in self.audit.read_text().splitlines()]
        return [line for line in lines if line["event"] == event]

    async def assert_comes_in(
        self,
        client: str,
        mode: str,
        revision: str,
        kind: str,
        algorithm: str,
        *more: str,
        token: str = "Bearer",
        jwk: bool = False,
        **settings: Any,
    ) -> None:
        await self.start_closed(kind, **settings)
        report = await self.visit(client, mode, algorithm, *more, jwk=jwk)
        expected = {
            "revision": revision,
            "tools": ["add"],
            "said": ["3.0"],
            "tokens": [[token, "mcp:read mcp:call"]],
        }
        self.assertEqual(report, expected)
        self.assertEqual(len(self.audited("auth.token.issued")), 1)
        self.assertEqual(len(self.audited("mcp.allowed")), 1)
        self.assertEqual(self.audited("auth.request.denied"), [])
        self.assert_nothing_secret()

    async def assert_comes_again(self, client: str, mode: str, algorithm: str) -> None:
        """C12: its token ends while it works; it gets another by itself, and is answered."""
        await self.start_closed(P256, f'{self.options},max-token-ttl="2s"')
        call = ["add", {"numbers": [1, 2]}]
        report = await self.visit(
            client, mode, algorithm, calls=json.dumps([call, ["wait", 2.5], call])
        )
        self.assertEqual(report["said"], ["3.0", "3.0"])
        self.assertGreaterEqual(len(report["tokens"]), 2)
        reasons = {each["reason"] for each in self.audited("auth.request.denied")}
        self.assertLessEqual(reasons, {"the token has ended"})
        self.assert_nothing_secret()

    async def assert_steps_up(self, client: str, mode: str, algorithm: str) -> None:
        """It is told that it needs more, asks for that, and is let in."""
        await self.start_closed(P256, 'scope="mcp:read mcp:call mcp:subscribe"')
        calls = json.dumps([["add", {"numbers": [1, 2]}], ["subscribe", "sums://none"]])
        report = await self.visit(client, mode, algorithm, calls=calls)
        self.assertEqual(report["said"][0], "3.0")
        self.assertEqual(
            report["tokens"],
            [["Bearer", "mcp:read mcp:call"], ["Bearer", "mcp:read mcp:call mcp:subscribe"]],
        )
        needed = [each["needed"] for each in self.audited("auth.stepup")]
        self.assertEqual(needed, [["mcp:subscribe"]])
        self.assert_nothing_secret()

    async def assert_administers(self, client: str, mode: str, algorithm: str) -> None:
        """It is told at once what is needed there, and is let in."""
        await self.start_closed(P256, 'scope="mcp:read mcp:call mcp:admin"')
        report = await self.visit(client, mode, algorithm, calls="[]", path="/admin/mcp")
        self.assertIn("revoke_key", report["tools"])
        self.assertEqual(report["tokens"], [["Bearer", "mcp:read mcp:call mcp:admin"]])
        self.assert_nothing_secret()

    def assert_nothing_secret(self) -> None:
        """No token, no assertion and no key in anything the daemon wrote."""
        said = "".join(self.daemon_program._texts()) + self.audit.read_text()
        self.assertEqual(secrets_in(said), [])
        self.assertNotIn(self.key.jwk()["d"], said)


class Python2Tests(KeyCase):
    environments = ("python2",)

    async def test_ed25519(self) -> None:
        await self.assert_comes_in("python2_keys.py", "auto", MODERN, ED25519, "EdDSA")

    async def test_legacy(self) -> None:
        await self.assert_comes_in("python2_keys.py", "legacy", LEGACY, ED25519, "EdDSA")

    async def test_p256(self) -> None:
        await self.assert_comes_in("python2_keys.py", "auto", MODERN, P256, "ES256")

    async def test_rsa(self) -> None:
        await self.assert_comes_in("python2_keys.py", "auto", MODERN, RSA, "RS256")

    async def test_rsa_pss(self) -> None:
        await self.assert_comes_in("python2_keys.py", "legacy", LEGACY, RSA, "PS256")

    async def test_rsa_pss_modern(self) -> None:
        await self.assert_comes_in("python2_keys.py", "auto", MODERN, RSA, "PS256")

    async def test_p256_legacy(self) -> None:
        await self.assert_comes_in("python2_keys.py", "legacy", LEGACY, P256, "ES256")

    async def test_rsa_legacy(self) -> None:
        await self.assert_comes_in("python2_keys.py", "legacy", LEGACY, RSA, "RS256")

    async def test_token_ends(self) -> None:
        await self.assert_comes_again("python2_keys.py", "auto", "ES256")

    async def test_token_ends_legacy(self) -> None:
        await self.assert_comes_again("python2_keys.py", "legacy", "ES256")

    async def test_step_up(self) -> None:
        await self.assert_steps_up("python2_keys.py", "auto", "ES256")

    async def test_step_up_legacy(self) -> None:
        await self.assert_steps_up("python2_keys.py", "legacy", "ES256")

    async def test_administers(self) -> None:
        await self.assert_administers("python2_keys.py", "auto", "ES256")

    async def test_may_only_read(self) -> None:
        """It asks for more when it is told to, and is told no."""
        await self.start_closed(P256, 'scope="mcp:read"')
        file = self.place / "key"
        file.write_text(self.key.pem().decode())
        argv = [f"{self.base}/mcp", "auto", self.base, "alice", str(file), "ES256", CALLS]
        ending = await self.run_program([*script("python2_keys.py"), *argv])
        self.assertNotIn("3.0", ending.out)
        self.assertEqual(self.audited("mcp.allowed"), [])
        self.assertGreater(len(self.audited("auth.stepup")), 0)

    async def test_may_reach_nothing(self) -> None:
        """A tool that is not in the key's list is not in the server's either."""
        await self.start_closed(P256, 'scope="mcp:read mcp:call",tools="other__*"')
        report = await self.visit("python2_keys.py", "auto", "ES256")
        self.assertEqual((report["tools"], report["said"]), ([], [-32602]))
        self.assertEqual(self.audited("mcp.allowed"), [])

    async def test_wrong_key(self) -> None:
        await self.start_closed(P256)
        self.key = PrivateKey.generate(P256)
        file = self.place / "key"
        file.write_text(self.key.pem().decode())
        argv = [f"{self.base}/mcp", "auto", self.base, "alice", str(file), "ES256", CALLS]
        ending = await self.run_program([*script("python2_keys.py"), *argv])
        self.assertNotEqual(ending.code, 0)
        self.assertIn("invalid_client", ending.err)
        self.assertEqual(self.audited("mcp.allowed"), [])
        self.assertEqual([e["reason"] for e in self.audited("auth.token.refused")], ["wrong key"])


class Python1Tests(KeyCase):
    environments = ("python1",)

    async def test_ed25519(self) -> None:
        await self.assert_comes_in("python1_keys.py", "legacy", LEGACY, ED25519, "EdDSA")

    async def test_p256(self) -> None:
        await self.assert_comes_in("python1_keys.py", "legacy", LEGACY, P256, "ES256")

    async def test_rsa(self) -> None:
        await self.assert_comes_in("python1_keys.py", "legacy", LEGACY, RSA, "RS256")

    async def test_rsa_pss(self) -> None:
        await self.assert_comes_in("python1_keys.py", "legacy", LEGACY, RSA, "PS256")

    async def test_token_ends(self) -> None:
        await self.assert_comes_again("python1_keys.py", "legacy", "ES256")

    async def test_step_up(self) -> None:
        await self.assert_steps_up("python1_keys.py", "legacy", "ES256")


class TypeScript2Tests(KeyCase):
    environments = ("node",)

    async def test_p256(self) -> None:
        await self.assert_comes_in("typescript2_keys.mjs", "auto", MODERN, P256, "ES256")

    async def test_ed25519_jwk(self) -> None:
        await self.assert_comes_in(
            "typescript2_keys.mjs", "legacy", LEGACY, ED25519, "EdDSA", jwk=True
        )

    async def test_p256_legacy(self) -> None:
        await self.assert_comes_in("typescript2_keys.mjs", "legacy", LEGACY, P256, "ES256")

    async def test_token_ends(self) -> None:
        await self.assert_comes_again("typescript2_keys.mjs", "auto", "ES256")

    async def test_step_up(self) -> None:
        await self.assert_steps_up("typescript2_keys.mjs", "auto", "ES256")

    async def test_step_up_legacy(self) -> None:
        await self.assert_steps_up("typescript2_keys.mjs", "legacy", "ES256")

    async def test_administers(self) -> None:
        await self.assert_administers("typescript2_keys.mjs", "legacy", "ES256")

    async def test_dpop(self) -> None:
        await self.assert_comes_in(
            "typescript2_keys.mjs", "auto", MODERN, P256, "ES256", "ES256", token="DPoP"
        )

    async def test_dpop_required(self) -> None:
        await self.assert_comes_in(
            "typescript2_keys.mjs",
            "legacy",
            LEGACY,
            P256,
            "ES256",
            "EdDSA",
            token="DPoP",
            options='scope="mcp:read mcp:call",require-dpop',
        )

    async def test_dpop_with_nonce(self) -> None:
        await self.assert_comes_in(
            "typescript2_keys.mjs",
            "auto",
            MODERN,
            P256,
            "ES256",
            "ES256",
            token="DPoP",
            dpop_nonces=True,
        )


class TypeScript1Tests(KeyCase):
    environments = ("node",)

    async def test_p256(self) -> None:
        await self.assert_comes_in("typescript1_keys.mjs", "legacy", LEGACY, P256, "ES256")

    async def test_rsa(self) -> None:
        await self.assert_comes_in("typescript1_keys.mjs", "legacy", LEGACY, RSA, "RS256")

    async def test_ed25519_jwk(self) -> None:
        await self.assert_comes_in(
            "typescript1_keys.mjs", "legacy", LEGACY, ED25519, "EdDSA", jwk=True
        )

    async def test_token_ends(self) -> None:
        await self.assert_comes_again("typescript1_keys.mjs", "legacy", "ES256")


class McpRemoteTests(KeyCase):
    """A client that knows no keys: ``mcp-remote``, with a header from ``mcptwist token``."""

    environments = ("node",)

    async def start_with_token(self) -> list[str]:
        """The daemon; how to start the client with a token for it."""
        await self.start_closed(ED25519)
        file = self.place / "id"
        file.write_bytes(self.key.openssh())
        file.chmod(0o600)
        argv = [sys.executable, "-m", "mcptwist", "token", "-i", str(file), "--principal", "alice"]
        ending = await self.run_program([*argv, f"{self.base}/mcp"])
        self.assertEqual(ending.code, 0, ending.said())
        headers = self.place / "headers"
        lines = (f"{name}: {value}" for name, value in json.loads(ending.out).items())
        headers.write_text("\n".join(lines))
        headers.chmod(0o600)
        remote = str(ENVIRONMENTS["node"].home / "node_modules/mcp-remote/dist/proxy.js")
        return [node(), remote, f"{self.base}/mcp", "--header-file", str(headers), "--allow-http"]

    async def talk(self, argv: list[str], *messages: Json) -> Json:
        """Have it pass messages on; the answer to the last."""
        home = {"HOME": str(self.place), "MCP_REMOTE_CONFIG_DIR": str(self.place / "remote")}
        program = self.start(argv, home)
        assert program.transport is not None
        for message in messages:
            program.transport.write(json.dumps(message).encode() + b"\n")
            if "id" in message:
                heard = await program.when_said(rf'(?m)^{{.*"id":{message["id"]}\b.*}}$', SECONDS)
        program.transport.closeStdin()
        answer: Json = json.loads(heard.group(0))
        return answer

    async def test_header(self) -> None:
        hello = {
            "protocolVersion": LEGACY,
            "capabilities": {},
            "clientInfo": {"name": "x", "version": "1"},
        }
        answer = await self.talk(
            await self.start_with_token(),
            {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello},
            {"jsonrpc": "2.0", "method": "notifications/initialized"},
            {"jsonrpc": "2.0", "id": 2, "method": "tools/call",
             "params": {"name": "add", "arguments": {"numbers": [1, 2]}}},
        )  # fmt: skip
        self.assertEqual(answer["result"]["content"][0]["text"], "3.0")
        self.assertEqual(len(self.audited("mcp.allowed")), 1)
        self.assert_nothing_secret()


class ConformanceTests(KeyCase):
    """The official suite looks at our metadata."""

    environments = ("node",)

    async def test_metadata(self) -> None:
        """All is well but that no client registers with a document of its own: keys are let in."""
        await self.start_closed(P256)
        results = self.place / "results"
        argv = [node(), str(PACKAGE / "dist" / "index.js"), "authorization", "--url", self.base]
        argv += ["--scenario", METADATA, "-o", str(results)]
        ending = await self.run_program(argv)
        self.assertEqual(ending.code, 0, ending.said())
        (file,) = results.glob("**/checks.json")
        checks = json.loads(file.read_text())
        wrong = [check for check in checks if check["status"] not in ("SUCCESS", "INFO", "SKIPPED")]
        self.assertEqual([check["id"] for check in wrong], ["authorization-server-metadata-cimd"])
        self.assertIn("SUCCESS", [check["status"] for check in checks])
