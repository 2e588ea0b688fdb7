"""A real daemon that wants keys, and what a person does with it from a shell."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from mcptwist.configuration.withoutfile import BUILTIN_SERVER
from tests.auth.secrets import secrets_in
from tests.patience import SECONDS

BODY = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "x", "version": "1"},
    },
}


class KeyCase(SynchronousTestCase):
    """A person, a directory of their own, and a daemon."""

    def setUp(self) -> None:
        self.home = Path(self.mktemp()).resolve()
        self.home.mkdir(mode=0o700)
        self.environ = {**os.environ, "XDG_CONFIG_HOME": str(self.home)}
        self.environ |= {"XDG_STATE_HOME": str(self.home), "HOME": str(self.home)}

    def mcptwist(self, *words: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "mcptwist", *words]
        return subprocess.run(
            argv, env=self.environ, capture_output=True, text=True, timeout=SECONDS, check=False
        )

    def done(self, *words: str) -> str:
        ended = self.mcptwist(*words)
        self.assertEqual((ended.returncode, ended.stderr), (0, ""), ended)
        return ended.stdout

    def servers(self) -> dict[str, Any]:
        return {"toolbox": {"python": BUILTIN_SERVER}}

    def config(self, listen: str, auth: Any = None) -> str:
        path = self.home / "mcp.json"
        value = {
            "listen": [listen],
            "mcpServers": self.servers(),
        }
        path.write_text(json.dumps(value if auth is None else {**value, "auth": auth}))
        return str(path)

    def start(self, listen: str, auth: Any = None) -> str:
        """Start a daemon in the foreground; its URL."""
        argv = [sys.executable, "-m", "mcptwist", "run", "--config", self.config(listen, auth)]
        process = subprocess.Popen(
            argv, env=self.environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.addCleanup(self.stop, process)
        self.pid = process.pid
        assert process.stdout
        until = time.monotonic() + SECONDS
        said = ""
        while time.monotonic() < until:
            line = process.stdout.readline()
            said += line
            if "/mcp" in line and "//" in line:
                return line.split("/mcp")[0].split()[-1]
            if not line:
                break
        raise AssertionError(f"the daemon did not start: {said}")

    def stop(self, process: subprocess.Popen[str]) -> None:
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=SECONDS)
        self.assertEqual(secrets_in(said), [])

    def come(self, url: str, headers: dict[str, str]) -> int:
        """The status of a handshake."""
        headers = {"Accept": "application/json, text/event-stream", **headers}
        headers["Content-Type"] = "application/json"
        request = urllib.request.Request(f"{url}/mcp", json.dumps(BODY).encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=SECONDS) as response:
                return int(response.status)
        except urllib.error.HTTPError as refused:
            return refused.code


class LoopbackTests(KeyCase):
    def test_from_no_key_to_a_revoked_one(self) -> None:
        """The guide, from the first key to the lost laptop."""
        self.done("keygen", "-C", "alice@laptop")
        public = str(self.home / "mcptwist" / "id_ed25519.pub")
        self.done("authorize", "add", "--scope", "mcp:read mcp:call", public)
        url = self.start("tcp:0:interface=127.0.0.1", {})
        self.assertEqual(self.come(url, {}), 401)
        headers = json.loads(self.done("token", f"{url}/mcp"))
        self.assertEqual(self.come(url, headers), 200)
        fingerprint = self.done("key", "show").splitlines()[1]
        self.done("revoke", fingerprint)
        until = time.monotonic() + SECONDS
        while self.come(url, headers) != 401:
            self.assertLess(time.monotonic(), until)
            time.sleep(0.05)
        ended = self.mcptwist("token", f"{url}/mcp")
        self.assertEqual((ended.returncode, ended.stdout), (1, ""))
        self.assertIn("invalid_client", ended.stderr)

    def test_no_secret_in_the_process_table(self) -> None:
        """A6: neither a token nor a key is ever an argument, or in the environment."""
        self.done("keygen")
        out = self.done("authorize", "add", str(self.home / "mcptwist" / "id_ed25519.pub"))
        self.assertNotIn("PRIVATE", out)
        url = self.start("tcp:0:interface=127.0.0.1", {})
        self.done("token", f"{url}/mcp")
        self.assertIn(self.pid, dict(self.processes()))
        for _, told in self.processes():
            self.assertNotIn(b"mcp_at_", told)

    def processes(self) -> Iterator[tuple[int, bytes]]:
        """The processes of this test alone, each with its arguments and its environment."""
        ours = f"XDG_CONFIG_HOME={self.home}".encode()
        for process in Path("/proc").glob("[0-9]*"):
            try:
                told = [(process / name).read_bytes() for name in ("cmdline", "environ")]
            except OSError:
                continue  # it has ended meanwhile
            if ours in told[1].split(b"\0"):
                yield int(process.name), b"\0".join(told)


class EncryptedTests(KeyCase):
    def test_known_hosts(self) -> None:
        """Nothing is sent to a host that nobody vouches for, nor to one that has another key."""
        self.done("keygen")
        self.done("authorize", "add", str(self.home / "mcptwist" / "id_ed25519.pub"))
        url = self.start("https:0:interface=127.0.0.1", {})
        self.assertTrue(url.startswith("https://"), url)
        host = url.removeprefix("https://")
        ended = self.mcptwist("token", f"{url}/mcp")
        self.assertEqual((ended.returncode, ended.stdout), (3, ""))
        self.assertIn("keyscan", ended.stderr)
        scanned = self.mcptwist("keyscan", host)
        self.assertIn("SHA256:", scanned.stderr)
        known = self.home / "mcptwist" / "known_hosts"
        known.write_text(scanned.stdout)
        known.chmod(0o600)
        self.assertIn("Bearer mcp_at_", self.done("token", f"{url}/mcp"))
        self.done("keygen", "-t", "ecdsa", "-f", str(self.home / "other"))
        other = (self.home / "other.pub").read_text().split()
        known.write_text(f"{scanned.stdout.split()[0]} {other[0]} {other[1]}\n")
        ended = self.mcptwist("token", f"{url}/mcp")
        self.assertEqual((ended.returncode, ended.stdout), (3, ""))
        self.assertIn("HAS CHANGED", ended.stderr)


class RefusalTests(KeyCase):
    """A2 and A4: a daemon that would let in whom it should not does not start."""

    def assert_does_not_start(self, listen: str, auth: Any, *words: str) -> None:
        for argv in (
            [sys.executable, "-m", "mcptwist", "run"],
            [sys.executable, "-m", "twisted", "-n", "--pidfile=", "mcpd"],
        ):
            if argv[2] == "twisted":
                argv = [str(Path(sys.executable).with_name("twistd")), *argv[3:]]
            argv += ["--config", self.config(listen, auth)]
            ended = subprocess.run(
                argv, env=self.environ, capture_output=True, text=True, timeout=SECONDS, check=False
            )
            self.assertNotEqual(ended.returncode, 0)
            for word in words:
                self.assertIn(word, ended.stdout + ended.stderr)

    def test_open_without_keys(self) -> None:
        for listen in ("tcp:0", "https:0", "tcp:0:interface=0.0.0.0"):
            self.assert_does_not_start(listen, None, "listen[0]", '"auth"')

    def test_no_keys(self) -> None:
        self.assert_does_not_start("tcp:0:interface=127.0.0.1", {}, "mcptwist authorize add")

    def test_keys_that_others_can_write(self) -> None:
        path = self.home / "keys"
        path.write_text("")
        path.chmod(0o666)
        auth = {"authorized_keys": str(path)}
        self.assert_does_not_start("tcp:0:interface=127.0.0.1", auth, "chmod go-w")
