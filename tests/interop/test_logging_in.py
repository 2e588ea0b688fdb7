"""Real clients, as they are and without a header, are logged in by a person with a key.

Each finds its way from the first 401 on, registers itself and opens a browser; that is a program
which does what a person does, with ``mcptwist approve`` run for real.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from mcptwist.auth.keys import ED25519
from tests.interop.rig import Json, script
from tests.interop.test_auth import CALLS, LEGACY, MODERN, KeyCase

PERSON = Path(__file__).with_name("person.py")
BOTH = "mcp:read mcp:call"
AGAIN = json.dumps([["add", {"numbers": [1, 2]}], ["wait", 2.5], ["add", {"numbers": [3, 4]}]])


class LoginCase(KeyCase):
    """A test with a daemon where people may log clients in."""

    async def start_open(self, options: str = "", **settings: Any) -> None:
        """Start the daemon, and have a person beside it: ``self.browser`` is theirs."""
        await self.start_closed(ED25519, options, people=True, **settings)
        key = self.place / "key"
        key.touch(0o600)
        key.write_bytes(self.key.openssh())
        mcptwist = str(Path(sys.executable).with_name("mcptwist"))
        self.browser = self.place / "browser"
        self.browser.touch(0o700)
        argv = " ".join(f"'{each}'" for each in (sys.executable, PERSON, mcptwist, key))
        # What is shown to a person must not come between a client's own lines.
        self.browser.write_text(f'#!/bin/sh\nexec {argv} "$1" >&2\n')
        self.environ = {"XDG_CONFIG_HOME": str(self.place / "config")}

    async def log_in(self, client: str, mode: str, *more: str, calls: str = CALLS) -> Json:
        """Let *client* come, and the person log it in."""
        argv = [f"{self.base}/mcp", mode, str(self.browser), calls, *more]
        return await self.report_of([*script(client), *argv])

    async def assert_logs_in(
        self, client: str, mode: str, revision: str, *more: str, token: str = "Bearer"
    ) -> None:
        await self.start_open()
        report = await self.log_in(client, mode, *more)
        expected = {
            "revision": revision,
            "tools": ["add"],
            "said": ["3.0"],
            "tokens": [[token, BOTH, True]],
        }
        self.assertEqual(report, expected)
        (begun,) = self.audited("auth.login.begun")
        self.assertEqual((begun["principal"], begun["scope"]), ("alice", sorted(BOTH.split())))
        self.assertEqual([each["principal"] for each in self.audited("mcp.allowed")], ["alice"])
        for event in ("auth.client.refused", "auth.login.refused", "auth.token.refused"):
            self.assertEqual(self.audited(event), [])
        self.assert_nothing_secret()

    async def assert_stays_logged_in(self, client: str, mode: str) -> None:
        """Its token ends while it works; it gets another, and nobody is asked again."""
        await self.start_open(f'{self.options},max-token-ttl="2s"')
        report = await self.log_in(client, mode, calls=AGAIN)
        self.assertEqual(report["said"], ["3.0", "7.0"])
        self.assertGreaterEqual(len(report["tokens"]), 2)
        self.assertEqual(len(self.audited("auth.login.begun")), 1)
        self.assertEqual(self.audited("auth.login.ended"), [])
        self.assert_nothing_secret()

    def assert_nothing_secret(self) -> None:
        super().assert_nothing_secret()
        said = "".join(self.daemon_program._texts()) + self.audit.read_text()
        for secret in ("mcp_ac_", "mcp_rt_", "SSH SIGNATURE"):
            self.assertNotIn(secret, said)


class Python2Tests(LoginCase):
    environments = ("python2",)

    async def test_modern(self) -> None:
        await self.assert_logs_in("python2_login.py", "auto", MODERN)

    async def test_legacy(self) -> None:
        await self.assert_logs_in("python2_login.py", "legacy", LEGACY)

    async def test_stays(self) -> None:
        await self.assert_stays_logged_in("python2_login.py", "auto")


class TypeScript2Tests(LoginCase):
    environments = ("node",)

    async def test_modern(self) -> None:
        await self.assert_logs_in("typescript2_login.mjs", "auto", MODERN)

    async def test_legacy(self) -> None:
        await self.assert_logs_in("typescript2_login.mjs", "legacy", LEGACY)

    async def test_dpop(self) -> None:
        await self.assert_logs_in("typescript2_login.mjs", "auto", MODERN, "ES256", token="DPoP")

    async def test_stays(self) -> None:
        await self.assert_stays_logged_in("typescript2_login.mjs", "auto")


class TypeScript1Tests(LoginCase):
    environments = ("node",)

    async def test_legacy(self) -> None:
        await self.assert_logs_in("typescript1_login.mjs", "legacy", LEGACY)

    async def test_stays(self) -> None:
        await self.assert_stays_logged_in("typescript1_login.mjs", "legacy")
