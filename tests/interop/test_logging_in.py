"""Real clients, as they are and without a header, are logged in by a person with a key.

Each finds its way from the first 401 on, registers itself and opens a browser; that is a program
which does what a person does, with ``mcptwist approve`` run for real.
"""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path
from typing import Any

from mcptwist.auth.keys import ED25519
from tests.interop.install import ENVIRONMENTS
from tests.interop.rig import Json, Program, binary, node, script
from tests.interop.test_auth import CALLS, LEGACY, MODERN, KeyCase
from tests.interop.test_conformance import PACKAGE
from tests.interop.test_devices import MESSAGES
from tests.patience import SECONDS

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
        self,
        client: str,
        mode: str,
        revision: str,
        *more: str,
        token: str = "Bearer",
        **settings: Any,
    ) -> None:
        await self.start_open(**settings)
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

    async def test_steps_up(self) -> None:
        """It is told that it needs more; the person is asked for that, and agrees."""
        await self.start_open('scope="mcp:read mcp:call mcp:subscribe"')
        calls = json.dumps([["add", {"numbers": [1, 2]}], ["subscribe", "sums://none"]])
        report = await self.log_in("python2_login.py", "auto", calls=calls)
        self.assertEqual(report["said"], ["3.0", "subscribed"])
        more = f"{BOTH} mcp:subscribe"
        self.assertEqual(report["tokens"], [["Bearer", BOTH, True], ["Bearer", more, True]])
        self.assertEqual(len(self.audited("auth.client.registered")), 1)
        self.assertEqual(len(self.audited("auth.login.begun")), 2)
        self.assert_nothing_secret()


class Python1Tests(LoginCase):
    environments = ("python1",)

    async def test_legacy(self) -> None:
        await self.assert_logs_in("python1_login.py", "legacy", LEGACY)


class TypeScript2Tests(LoginCase):
    environments = ("node",)

    async def test_modern(self) -> None:
        await self.assert_logs_in("typescript2_login.mjs", "auto", MODERN)

    async def test_legacy(self) -> None:
        await self.assert_logs_in("typescript2_login.mjs", "legacy", LEGACY)

    async def test_dpop(self) -> None:
        await self.assert_logs_in("typescript2_login.mjs", "auto", MODERN, "ES256", token="DPoP")

    async def test_dpop_with_nonce(self) -> None:
        """It is sent back for a nonce, and its code is good yet."""
        await self.assert_logs_in(
            "typescript2_login.mjs",
            "auto",
            MODERN,
            "ES256",
            token="DPoP",
            dpop_nonces=True,
        )

    async def test_stays(self) -> None:
        await self.assert_stays_logged_in("typescript2_login.mjs", "auto")


class TypeScript1Tests(LoginCase):
    environments = ("node",)

    async def test_legacy(self) -> None:
        await self.assert_logs_in("typescript1_login.mjs", "legacy", LEGACY)

    async def test_stays(self) -> None:
        await self.assert_stays_logged_in("typescript1_login.mjs", "legacy")


class OwnTests(LoginCase):
    """Our own commands, where there is no key: they log in as anybody does."""

    environments = ()

    async def test_logs_in_and_out(self) -> None:
        """Bound to a key of the moment, code and tokens; and given back in the end."""
        await self.start_open()
        self.environ |= {"BROWSER": str(self.browser)}
        mcptwist = [sys.executable, "-m", "mcptwist"]
        url = f"{self.base}/mcp"
        for words, told in (
            (("login", url), "bound to a key"),
            (("call", url, "add", '{"numbers": [1, 2]}'), "3.0"),
            (("logout", url), "logged out"),
        ):
            ending = await self.run_program([*mcptwist, *words])
            self.assertEqual(ending.code, 0, ending.said())
            self.assertIn(told, ending.out)
        self.assertEqual([each["kind"] for each in self.audited("auth.token.issued")], ["DPoP"])
        (ended,) = self.audited("auth.login.ended")
        self.assertEqual((ended["reason"], ended["tokens"]), ("given back", 1))
        self.assert_nothing_secret()


class McpRemoteTests(LoginCase):
    """``mcp-remote``, which desktop clients are told to use, without a header."""

    environments = ("node",)

    def start_remote(self) -> Program:
        remote = str(ENVIRONMENTS["node"].home / "node_modules/mcp-remote/dist/proxy.js")
        home = {
            "HOME": str(self.place),
            "MCP_REMOTE_CONFIG_DIR": str(self.place / "remote"),
            "BROWSER": str(self.browser),
        }
        return self.start([node(), remote, f"{self.base}/mcp", "--allow-http"], home)

    async def talk(self, program: Program) -> None:
        """Have it call a tool."""
        await program.when_said("Proxy established", SECONDS)
        assert program.transport is not None
        for message in MESSAGES:
            program.transport.write(json.dumps(message).encode() + b"\n")
            if "id" in message:
                heard = await program.when_said(rf'(?m)^{{.*"id":{message["id"]}\b.*}}$', SECONDS)
        program.transport.closeStdin()
        answer = json.loads(heard.group(0))
        self.assertEqual(answer["result"]["content"][0]["text"], "3.0")
        await program.when_ended(SECONDS)

    async def test_comes_again(self) -> None:
        """It is logged in once, and remembers that when it is started anew."""
        await self.start_open()
        for times in (1, 2):
            await self.talk(self.start_remote())
            self.assertEqual(len(self.audited("auth.login.begun")), 1)
            self.assertEqual(len(self.audited("mcp.allowed")), times)
        self.assert_nothing_secret()


class InspectorTests(LoginCase):
    """The inspector's command line, on Node 26."""

    environments = ("programs",)

    async def test_lists(self) -> None:
        await self.start_open()
        self.environ |= {
            "HOME": str(self.place),
            "BROWSER": str(self.browser),
            "MCP_AUTO_OPEN_ENABLED": "true",
            "MCP_INSPECTOR_SECRET_STORE": "memory",
            "MCP_OAUTH_CALLBACK_URL": f"http://127.0.0.1:{free_port()}/oauth/callback",
        }
        argv = [node("programs"), binary("programs", "mcp-inspector"), "--cli", f"{self.base}/mcp"]
        listed = await self.report_of([*argv, "--transport", "http", "--method", "tools/list"])
        self.assertEqual([tool["name"] for tool in listed["tools"]], ["add"])
        (begun,) = self.audited("auth.login.begun")
        self.assertRegex(begun["client"], r"\AMCP-Inspector\.")
        self.assert_nothing_secret()


class ConformanceTests(LoginCase):
    """The official suite, with all that it has for authorization servers."""

    environments = ("node",)

    async def test_all(self) -> None:
        """It gets a code, and minds nothing but that client metadata are not fetched."""
        await self.start_open()
        document = {"client_name": "conformance", "redirect_uris": ["http://127.0.0.1/callback"]}
        told = await self.report_of(
            [sys.executable, "-c", _POST, f"{self.base}/oauth/register", json.dumps(document)]
        )
        results = self.place / "results"
        argv = [node(), str(PACKAGE / "dist" / "index.js"), "authorization", "--url", self.base]
        argv += ["--client-id", told["client_id"], "--resource", f"{self.base}/mcp"]
        program = self.start([*argv, "-p", str(free_port()), "-o", str(results)])
        heard = await program.when_said(r"\s(http://\S+/oauth/authorize\S+)\s", SECONDS)
        await self.run_program([str(self.browser), heard.group(1)])
        ending = await program.when_ended(SECONDS)
        self.assertEqual(ending.code, 0, ending.said())
        checks = [
            check
            for file in results.glob("**/checks.json")
            for check in json.loads(file.read_text())
        ]
        good = {check["id"] for check in checks if check["status"] == "SUCCESS"}
        self.assertEqual(good, {"authorization-code-grant", "authorization-server-metadata"})
        wrong = [check["id"] for check in checks if check["status"] not in ("SUCCESS", "INFO")]
        self.assertEqual(wrong, ["authorization-server-metadata-cimd"])


def free_port() -> int:
    """One that nobody listens on; the suite does, before anybody else could."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
    return port


_POST = """
import sys, urllib.request
kind = {"Content-Type": "application/json"}
request = urllib.request.Request(sys.argv[1], sys.argv[2].encode(), kind)
print(urllib.request.urlopen(request, timeout=30).read().decode())
"""
