"""A page in a real browser opens a WebSocket where keys are wanted, with a ticket."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from mcptwist.auth.asking import Asker
from twisted.internet.threads import deferToThread

from mcptwist.auth.keys import PrivateKey
from mcptwist.auth.knownhosts import KnownHosts
from tests.live.test_browser import BrowserTestCase
from tests.live.test_children import in_reactor


class TicketTests(BrowserTestCase):
    def settings(self) -> dict[str, Any]:
        place = Path(self.mktemp())
        place.mkdir(mode=0o700)
        self.key = PrivateKey.generate()
        authorized = place / "authorized_keys"
        authorized.write_text(f'scope="mcp:read mcp:call" {self.key.public.words()} alice@page\n')
        authorized.chmod(0o600)
        auth = {"authorized_keys": str(authorized.resolve())}
        return {**super().settings(), "auth": auth}

    @in_reactor
    async def test_once(self) -> None:
        """The page gets a ticket for its token, comes in with it, and does so once."""
        granted = await deferToThread(
            Asker(KnownHosts()).token,
            f"{self.url}/ws",
            self.key,
            "alice",
            wall=time.time,
            make_id=lambda: "a page's own",
        )
        daemon = f"{self.url}&token={granted['access_token']}"
        found = await self.visit("tickets", page="tickets", daemon=daemon)
        self.assertEqual(found["first"]["protocol"], "mcp", found)
        self.assertEqual(found["first"]["answer"]["result"]["protocolVersion"], "2025-11-25")
        self.assertEqual(found["expires_in"], 30)
        self.assertEqual((found["second"], found["without"]), ({"refused": True},) * 2)
