"""A person logs our programs in at a real daemon, with a browser: the shell's, and a daemon."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import sys
import tempfile
from pathlib import Path

from tests.live import agreeing
from tests.live.test_keys import KeyCase

SUM = ("calculate", '{"expression": "2*21"}')


class LoginTests(KeyCase):
    """The person has a key, in another place than the program, which has none."""

    def setUp(self) -> None:
        super().setUp()
        # The path of a socket may not be long.
        sockets = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, sockets)
        self.environ["XDG_RUNTIME_DIR"] = sockets
        self.done("keygen", "-N", "", "-C", "alice@laptop")
        public = str(self.home / "mcptwist" / "id_ed25519.pub")
        self.done("authorize", "add", "--scope", "mcp:read mcp:call", public)
        self.audit = self.home / "audit.jsonl"
        people = {"store": str(self.home / "logins.sqlite3")}
        self.auth = {"people": people, "audit_log": str(self.audit), "dpop_nonces": True}
        self.url = f"{self.start('tcp:0:interface=127.0.0.1', self.auth)}/mcp"
        self.environ[agreeing.CONFIG] = self.environ["XDG_CONFIG_HOME"]
        self.place = self.home / "program"
        self.environ["XDG_CONFIG_HOME"] = str(self.place)
        self.grants = self.place / "mcptwist" / "grants.json"

    def log_in(self) -> str:
        """What is said when it is done; the page to open is not part of that."""
        ended = self.mcptwist("login", self.url)
        self.assertEqual(ended.returncode, 0, ended)
        self.assertIn("/oauth/authorize?", ended.stderr)
        return str(ended.stdout)

    def with_browser(self) -> None:
        program = Path(agreeing.__file__).resolve()
        self.environ["BROWSER"] = f"{sys.executable} {program} %s"

    def events(self, name: str) -> int:
        lines = [json.loads(line) for line in self.audit.read_text().splitlines()]
        return len([each for each in lines if each["event"] == name])

    def test_from_the_shell(self) -> None:
        """Beforehand, and once; then it is given back."""
        ended = self.mcptwist("call", self.url, *SUM)
        self.assertEqual(ended.returncode, 1)
        self.assertIn(f"mcptwist login {self.url}", ended.stderr)
        self.with_browser()
        said = self.log_in()
        self.assertIn("(mcp:call mcp:read), renewed by itself, bound to a key", said)
        self.assertEqual(self.done("login"), said)
        for _ in range(2):
            self.assertIn("42", self.done("call", self.url, *SUM))
        self.assertEqual(self.events("auth.login.begun"), 1)
        self.assertEqual(stat.S_IMODE(self.grants.stat().st_mode), 0o600)
        self.assertIn("logged out", self.done("logout", self.url))
        self.assertGreaterEqual(self.events("auth.login.ended"), 1)
        self.assertNotIn("mcp_", self.grants.read_text())
        self.assertNotIn("mcp_at_", self.audit.read_text())

    def test_for_a_header(self) -> None:
        """A token for a client that can only send one comes of the same login, and ends with it."""
        self.with_browser()
        self.log_in()
        del self.environ["BROWSER"]
        ended = self.mcptwist("token", "--ttl", "60", "--scope", "mcp:read mcp:call", self.url)
        self.assertEqual(ended.returncode, 0, ended)
        self.assertIn("by your login at", ended.stderr)
        header = f"Authorization: {json.loads(ended.stdout)['Authorization']}"
        self.assertIn("42", self.done("call", "--header", header, self.url, *SUM))
        self.assertIn("42", self.done("call", self.url, *SUM))
        self.assertEqual(self.events("auth.login.begun"), 1)
        self.done("logout", self.url)
        ended = self.mcptwist("call", "--header", header, self.url, *SUM)
        self.assertEqual(ended.returncode, 1, ended)

    def restart(self) -> None:
        """Kill the daemon, which has no time to write anything, and start it again."""
        os.kill(self.pid, signal.SIGKILL)
        own, self.environ["XDG_CONFIG_HOME"] = str(self.place), self.environ[agreeing.CONFIG]
        port = self.url.split(":")[2].removesuffix("/mcp")
        self.start(f"tcp:{port}:interface=127.0.0.1", self.auth)
        self.environ["XDG_CONFIG_HOME"] = own

    def test_after_a_crash(self) -> None:
        """Nobody has to agree again, and what was used before is known."""
        self.with_browser()
        self.log_in()
        del self.environ["BROWSER"]
        stolen = self.grants.read_text()
        for _ in range(2):
            self.restart()
            self.assertIn("42", self.done("call", self.url, *SUM))
        self.assertEqual(self.events("auth.login.begun"), 1)
        kept = self.grants.read_text()
        for grants in (stolen, kept):
            self.grants.write_text(grants)
            self.restart()
            self.assertEqual(self.mcptwist("call", self.url, *SUM).returncode, 1)
        self.assertEqual(self.events("auth.login.ended"), 1)

    def operator(self, *words: str) -> str:
        """What whoever runs the daemon is told."""
        own, self.environ["XDG_CONFIG_HOME"] = str(self.place), self.environ[agreeing.CONFIG]
        try:
            return self.done(*words)
        finally:
            self.environ["XDG_CONFIG_HOME"] = own

    def test_ended_by_the_operator(self) -> None:
        """Listed, ended, refused; also by the next daemon, which has the file of logins."""
        self.with_browser()
        self.log_in()
        del self.environ["BROWSER"]
        self.assertIn("42", self.done("call", self.url, *SUM))
        (login,) = json.loads(self.operator("logins", "--json"))["logins"]
        self.assertEqual((login["principal"], login["way"]), ("alice", "browser"))
        self.assertIn("has ended, with", self.operator("logins", "end", login["id"]))
        kept = self.grants.read_text()
        self.assertEqual(self.mcptwist("call", self.url, *SUM).returncode, 1)
        self.grants.write_text(kept)
        self.restart()
        self.assertEqual(self.mcptwist("call", self.url, *SUM).returncode, 1)
        self.assertEqual((self.events("auth.login.ended"), self.events("auth.login.begun")), (1, 1))

    def test_when_it_is_wanted(self) -> None:
        """The call that finds out goes on when somebody has said yes."""
        self.with_browser()
        ended = self.mcptwist("call", self.url, *SUM)
        self.assertEqual(ended.returncode, 0, ended)
        self.assertIn("42", ended.stdout)
        self.assertIn("wants you to log in", ended.stderr)

    def test_for_a_daemon(self) -> None:
        """It says what to run, and needs no restart when that was done."""
        path = self.home / "front.json"
        servers = {"far": {"url": self.url}}
        path.write_text(
            json.dumps({"listen": ["tcp:0:interface=127.0.0.1"], "mcpServers": servers})
        )
        self.config = lambda *_: str(path)  # type: ignore[method-assign]
        front = self.start("")
        ended = self.mcptwist("call", "--url", front, "far", *SUM)
        self.assertIn(f"mcptwist login {self.url}", ended.stderr)
        self.with_browser()
        self.log_in()
        for _ in range(10):
            ended = self.mcptwist("call", "--url", front, "far", *SUM)
            if not ended.returncode:
                break
        self.assertIn("42", ended.stdout, ended)
