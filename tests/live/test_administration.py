"""A real daemon with keys, administered from somewhere else: over TLS, with a key."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request

from tests.live.test_keys import SECONDS, KeyCase


class RemoteTests(KeyCase):
    """Who may administer it, and who may not."""

    def setUp(self) -> None:
        super().setUp()
        self.keys = self.home / "mcptwist"
        self.done("keygen")
        self.done("keygen", "-f", str(self.home / "plain"))
        scope = "mcp:read mcp:call mcp:admin"
        self.done("authorize", "add", "--scope", scope, str(self.keys / "id_ed25519.pub"))
        less = "mcp:read mcp:call"
        self.done("authorize", "add", "--scope", less, str(self.home / "plain.pub"))

    def test_over_tls_with_a_key(self) -> None:
        """With the scope it is let in, and sees; its certificate has to be trusted."""
        url = self.start("https:0:interface=127.0.0.1", {})
        known = self.keys / "known_hosts"
        known.write_text(self.mcptwist("keyscan", url.removeprefix("https://")).stdout)
        known.chmod(0o600)
        key, ca = str(self.keys / "id_ed25519"), str(self.keys / "host_cert.pem")
        found = json.loads(self.done("status", "--json", "-i", key, "--ca", ca, url))
        self.assertEqual([server["name"] for server in found["servers"]], ["toolbox"])
        self.assertIn(
            "toolbox", self.done("top", "-n", "1", "-d", "0.1", "-i", key, "--ca", ca, url)
        )
        ended = self.mcptwist("status", "-i", key, url)
        self.assertEqual((ended.returncode, ended.stdout), (1, ""))

    def test_scope(self) -> None:
        """Without the scope it is not, nor without a key; and every key sees only itself."""
        url = self.start("tcp:0:interface=127.0.0.1", {})
        for words in ((), ("-i", str(self.home / "plain"))):
            ended = self.mcptwist("status", *words, url)
            self.assertEqual((ended.returncode, ended.stdout), (1, ""), ended)
        self.assertIn("toolbox", self.done("status", "-i", str(self.keys / "id_ed25519"), url))

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
        admin = str(self.keys / "id_ed25519")
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
