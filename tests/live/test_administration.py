"""A real daemon with keys, administered from somewhere else: over TLS, with a key."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import time
import urllib.error
import urllib.request

from tests.live import terminal
from tests.live.test_keys import KeyCase
from tests.patience import SECONDS


class RemoteTests(KeyCase):
    """Who may administer it, and who may not."""

    def setUp(self) -> None:
        super().setUp()
        self.keys = self.home / "mcptwist"
        self.admin = str(self.home / "admin")  # not where a key would be found unasked
        self.done("keygen", "-f", self.admin)
        self.done("keygen", "-f", str(self.home / "plain"))
        scope = "mcp:read mcp:call mcp:admin"
        self.done("authorize", "add", "--scope", scope, f"{self.admin}.pub")
        less = "mcp:read mcp:call"
        self.done("authorize", "add", "--scope", less, str(self.home / "plain.pub"))

    def test_over_tls_with_a_key(self) -> None:
        """With the scope it is let in, and sees; its certificate has to be trusted."""
        url = self.start("https:0:interface=127.0.0.1", {})
        known = self.keys / "known_hosts"
        known.write_text(self.mcptwist("keyscan", url.removeprefix("https://")).stdout)
        known.chmod(0o600)
        key, ca = self.admin, str(self.keys / "host_cert.pem")
        found = json.loads(self.done("status", "--json", "-i", key, "--ca", ca, url))
        self.assertEqual([server["name"] for server in found["servers"]], ["toolbox"])
        self.assertIn(
            "toolbox", self.done("top", "-n", "1", "-d", "0.1", "-i", key, "--ca", ca, url)
        )
        known.unlink()
        ended = self.mcptwist("status", "-i", key, url)
        self.assertNotEqual(ended.returncode, 0)
        self.assertEqual(ended.stdout, "")

    def test_console_over_tls_with_a_key(self) -> None:
        """The console from elsewhere: it sees, it acts, and it shows who knocked in vain."""
        terminal.TMUX.needed()
        url = self.start("https:0:interface=127.0.0.1", {})
        known = self.keys / "known_hosts"
        known.write_text(self.mcptwist("keyscan", url.removeprefix("https://")).stdout)
        known.chmod(0o600)
        self.done("keygen", "-f", str(self.home / "stranger"))
        self.assertNotEqual(
            self.mcptwist("token", "-i", str(self.home / "stranger"), url).returncode, 0
        )
        key, ca = self.admin, str(self.keys / "host_cert.pem")
        words = [sys.executable, "-m", "mcptwist", "console", "-i", key, "--ca", ca, url]
        place = tempfile.mkdtemp(prefix="mcp")
        self.addCleanup(shutil.rmtree, place, ignore_errors=True)
        environ = {**self.environ, "LC_ALL": "C.UTF-8"}
        screen = terminal.Terminal(f"{place}/tmux", " ".join(words), environ, (140, 30))
        self.addCleanup(screen.close)
        self.sees(screen, "toolbox", "idle")
        screen.press("2")
        self.sees(screen, "h2", "modern", "1.3", "SHA256:")
        screen.press("5")
        self.sees(screen, "unknown", "mcp:read mcp:call mcp:admin")
        screen.press("1", "s")
        self.sees(screen, "toolbox is starting", " up ")

    def sees(self, screen: terminal.Terminal, *texts: str) -> None:
        until = time.monotonic() + SECONDS
        while not all(text in screen.screen() for text in texts):
            self.assertLess(time.monotonic(), until, f"{texts} not in:\n{screen.screen()}")
            time.sleep(0.1)

    def test_scope(self) -> None:
        """Without the scope it is not, nor without a key; and every key sees only itself."""
        url = self.start("tcp:0:interface=127.0.0.1", {})
        for words in ((), ("-i", str(self.home / "plain"))):
            ended = self.mcptwist("status", *words, url)
            self.assertEqual((ended.returncode, ended.stdout), (1, ""), ended)
        self.assertIn("toolbox", self.done("status", "-i", self.admin, url))

    def test_metrics_want_a_token(self) -> None:
        """Metrics are for those who come in, and may see everything."""
        self.done("keygen", "-f", str(self.home / "some"))
        self.done("authorize", "add", "--tools", "now", str(self.home / "some.pub"))
        url = self.start("tcp:0:interface=127.0.0.1", {})
        self.assertEqual(self.metrics(url, {}), 401)
        for name, status in (("some", 403), ("plain", 200)):
            key = str(self.home / name)
            headers = json.loads(self.done("token", "-i", key, f"{url}/mcp"))
            self.assertEqual(self.metrics(url, headers), status, name)

    def metrics(self, url: str, headers: dict[str, str]) -> int:
        """The status of asking for them."""
        request = urllib.request.Request(f"{url}/metrics", headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=SECONDS) as response:
                return int(response.status)
        except urllib.error.HTTPError as refused:
            return refused.code

    def test_revoking(self) -> None:
        """A key that is revoked from here is out, and written down."""
        url = self.start("tcp:0:interface=127.0.0.1", {})
        admin = self.admin
        headers = json.loads(self.done("token", "-i", str(self.home / "plain"), f"{url}/mcp"))
        self.assertEqual(self.come(url, headers), 200)
        fingerprint = self.done("key", "show", str(self.home / "plain.pub")).splitlines()[1]
        token = json.loads(self.done("token", "-i", admin, "--scope", "mcp:read mcp:call mcp:admin",
                                     f"{url}/admin/mcp"))["Authorization"]  # fmt: skip
        self.done("call", "--header", f"Authorization: {token}", f"{url}/admin/mcp", "revoke_key",
                  json.dumps({"fingerprint": fingerprint}))  # fmt: skip
        until = time.monotonic() + SECONDS
        while self.come(url, headers) != 401:
            self.assertLess(time.monotonic(), until)
            time.sleep(0.05)
        self.assertIn(fingerprint, (self.keys / "revoked_keys").read_text())
