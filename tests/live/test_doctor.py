"""``mcptwist doctor``, before a daemon starts and while it runs."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

from mcptwist.configuration.withoutfile import BUILTIN_SERVER
from tests.live.test_keys import KeyCase


class DoctorTests(KeyCase):
    def setUp(self) -> None:
        super().setUp()
        self.done("keygen", "-N", "", "-C", "alice@laptop")
        self.done("authorize", "add", str(self.home / "mcptwist" / "id_ed25519.pub"))

    def examine(self, *words: str) -> tuple[int, list[dict[str, Any]]]:
        ended = self.mcptwist("doctor", "--json", *words)
        self.assertEqual(ended.stderr, "")
        found: list[dict[str, Any]] = json.loads(ended.stdout)
        return ended.returncode, found

    def troubles(self, found: list[dict[str, Any]]) -> list[str]:
        return [f"{each['about']}: {each['text']}" for each in found if each["level"] != "ok"]

    def test_well(self) -> None:
        """Before it starts; and while it runs, when its ports are taken by itself."""
        path = self.config("https:0:interface=127.0.0.1", {})
        status, found = self.examine(path)
        self.assertEqual((status, self.troubles(found)), (0, []))
        self.assertIn("server toolbox", {each["about"] for each in found})
        url = self.start("https:0:interface=127.0.0.1", {})
        port = url.rpartition(":")[2]
        path = self.config(
            f"https:{port}:interface=127.0.0.1", {"public_urls": [f"https://localhost:{port}"]}
        )
        ended = self.mcptwist("doctor", "-n", path)
        self.assertIn("a daemon answers", ended.stdout)
        self.assertIn("asks who has no key for one", ended.stdout)

    def test_where_certificates_are_asked_for(self) -> None:
        """The daemon's own port is well; one of somebody else's is not."""
        url = self.start("mtls:0:interface=127.0.0.1", {})
        port = url.rpartition(":")[2]
        path = self.config(
            f"mtls:{port}:interface=127.0.0.1", {"public_urls": [f"https://localhost:{port}"]}
        )
        status, found = self.examine("-n", path)
        self.assertEqual((status, self.troubles(found)), (0, []))
        self.assertIn("a daemon answers who has a certificate", str(found))
        there = Path(path)
        elsewhere = {"tls": {"directory": str(self.home / "elsewhere")}}
        there.write_text(json.dumps(json.loads(there.read_text()) | elsewhere))
        status, found = self.examine("-n", path)
        self.assertIn("is taken by somebody whose key is SHA256:", str(self.troubles(found)))

    def test_unwell(self) -> None:
        """A server that does not start, one that is misconfigured, a port that is taken."""
        taken = socket.socket()
        self.addCleanup(taken.close)
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        taken.settimeout(0.1)
        value = {
            "listen": [f"tcp:{taken.getsockname()[1]}:interface=127.0.0.1"],
            "auth": {},
            "mcpServers": {
                "toolbox": {"python": BUILTIN_SERVER},
                "dies": {"command": "sh", "args": ["-c", "echo oh no >&2; exit 3"]},
                "odd": {"command": 3},
            },
        }
        path = self.home / "mcp.json"
        path.write_text(json.dumps(value))
        status, found = self.examine(str(path))
        said = "\n".join(self.troubles(found))
        self.assertEqual(status, 1)
        for word in ("mcpServers.odd.command", "oh no", "in use"):
            self.assertIn(word, said)
        self.assertTrue(all(each["advice"] for each in found if each["level"] != "ok"))
