"""A page in a real browser opens a WebSocket where keys are wanted, with a ticket."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from twisted.internet.threads import deferToThread

from mcptwist.auth.keys import PrivateKey
from tests.live.test_browser import BrowserTestCase
from tests.live.test_children import in_reactor
from tests.patience import SECONDS


class TicketTests(BrowserTestCase):
    def settings(self) -> dict[str, Any]:
        place = Path(self.mktemp())
        place.mkdir(mode=0o700)
        key = PrivateKey.generate()
        self.identity = (place / "id").resolve()
        self.identity.write_bytes(key.openssh())
        self.identity.chmod(0o600)
        authorized = place / "authorized_keys"
        authorized.write_text(f'scope="mcp:read mcp:call" {key.public.words()} alice@page\n')
        authorized.chmod(0o600)
        auth = {"authorized_keys": str(authorized.resolve())}
        return {**super().settings(), "auth": auth}

    def token(self, url: str) -> str:
        argv = [sys.executable, "-m", "mcptwist", "token", "--format", "json"]
        argv += ["-i", str(self.identity), "--principal", "alice", url]
        granted = subprocess.run(argv, capture_output=True, text=True, timeout=SECONDS, check=True)
        token: str = json.loads(granted.stdout)["access_token"]
        return token

    @in_reactor
    async def test_once(self) -> None:
        """The page gets a ticket for its token, comes in with it, and does so once."""
        token = await deferToThread(self.token, f"{self.url}/ws")
        found = await self.visit("tickets", page="tickets", secret=token)
        self.assertEqual(found["first"]["protocol"], "mcp", found)
        self.assertEqual(found["first"]["answer"]["result"]["protocolVersion"], "2025-11-25")
        self.assertEqual(found["expires_in"], 30)
        self.assertEqual((found["second"], found["without"]), ({"refused": True},) * 2)
