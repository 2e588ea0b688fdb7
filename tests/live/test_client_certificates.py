"""curl with a client certificate, over HTTP/2, from the guide's first command to a revoked key."""

from __future__ import annotations

import json
import os

from tests.debian import CURL, OPENSSL
from tests.interop.rig import Ending
from tests.live.test_commands import INITIALIZE, MCPTWIST, CommandCase
from tests.patience import SECONDS

ACCEPT = "accept: application/json, text/event-stream"


class CurlTests(CommandCase):
    def setUp(self) -> None:
        for program in (CURL, OPENSSL):
            program.needed()
        super().setUp()
        self.place.chmod(0o700)
        self.own = {**os.environ, "XDG_CONFIG_HOME": str(self.place), "HOME": str(self.place)}

    async def run_own(self, *words: str) -> Ending:
        return await self.start([*words], self.own).when_ended(SECONDS)

    async def keys(self) -> str:
        """A key that may come in, and its certificate, as the guide has it; the fingerprint."""
        made = await self.run_own(MCPTWIST, "keygen", "-C", "alice@laptop")
        public = str(self.place / "mcptwist" / "id_ed25519.pub")
        added = await self.run_own(
            MCPTWIST, "authorize", "add", "--scope", "mcp:read mcp:call", public
        )
        self.assertEqual((made.code, added.code), (0, 0), made.said() + added.said())
        shown = await self.run_own(MCPTWIST, "key", "export", "--pem", "--private")
        key = self.place / "key.pem"
        key.touch(0o600)
        key.write_text(shown.out)
        certified = await self.run_own(
            OPENSSL.path, "req", "-x509", "-new", "-key", str(key), "-subj", "/CN=alice",
            "-days", "3650", "-out", str(self.place / "cert.pem"),
        )  # fmt: skip
        self.assertEqual(certified.code, 0, certified.said())
        return added.out.split()[1]

    async def open(self) -> str:
        config = self.place / "mcp.json"
        config.write_text(
            json.dumps({
                "listen": ["mtls:0:interface=127.0.0.1"],
                "auth": {"audit_log": "audit.jsonl"},
                "tls": {"directory": "tls"},
                "mcpServers": {"box": {"python": "mcptwist.serving.toolbox:toolbox"}},
            })
        )  # fmt: skip
        program = self.start([MCPTWIST, "run", "--config", str(config)], self.own)
        heard = await program.when_said(r"(https://127\.0\.0\.1:\d+)/mcp[\s\S]+Press", SECONDS)
        return heard.group(1)

    def words(self, *words: str, mutual: bool = True) -> list[str]:
        pair = ["--cert", str(self.place / "cert.pem"), "--key", str(self.place / "key.pem")]
        authority = str(self.place / "tls" / "host_cert.pem")
        return [CURL.path, "-sSN", "--cacert", authority, *(pair if mutual else ()), *words]

    async def greet(self, url: str, *more: str, mutual: bool = True) -> Ending:
        words = ("-w", " %{http_version} %{http_code}", "-H", "content-type: application/json")
        said = ("-H", ACCEPT, "-d", json.dumps(INITIALIZE), f"{url}/mcp")
        return await self.run_own(*self.words(*words, *said, *more, mutual=mutual))

    async def test_from_the_guide(self) -> None:
        fingerprint = await self.keys()
        url = await self.open()
        for version, name in (("--http2", "2"), ("--http1.1", "1.1")):
            greeted = await self.greet(url, version)
            self.assertIn('"serverInfo"', greeted.out, greeted.said())
            self.assertTrue(greeted.out.endswith(f" {name} 200"), greeted.said())
        stranger = await self.greet(url, mutual=False)
        self.assertNotEqual(stranger.code, 0, stranger.said())
        self.assertTrue(stranger.out.endswith(" 000"), stranger.said())
        headers = await self.greet(url, "-i")
        (session,) = (
            line.split(": ")[1].strip()
            for line in headers.out.splitlines()
            if line.lower().startswith("mcp-session-id")
        )
        listening = self.start(
            self.words(
                "--http2", "-H", "accept: text/event-stream", "-H", f"mcp-session-id: {session}",
                "-H", "mcp-protocol-version: 2025-11-25", f"{url}/mcp", "-i",
            ),
            self.own,
        )  # fmt: skip
        await listening.when_said("200", SECONDS)
        revoked = await self.run_own(MCPTWIST, "revoke", fingerprint)
        self.assertEqual(revoked.code, 0, revoked.said())
        await listening.when_ended(SECONDS)
        refused = await self.greet(url)
        self.assertTrue(refused.out.endswith(" 2 401"), refused.said())
        events = [json.loads(line) for line in (self.place / "audit.jsonl").open()]
        told = [each["event"] for each in events]
        self.assertIn("auth.certificate.ok", told)
        (gone,) = (each for each in events if each["event"] == "auth.key.revoked")
        self.assertEqual((gone["principal"], gone["connections"]), ("alice", 1))
