"""A real daemon gets another key: announced, learnt, shown."""

from __future__ import annotations

import json
import os
import time

from tests.interop.rig import Ending
from tests.live.test_commands import MCPTWIST, CommandCase
from tests.patience import SECONDS


class HostKeyTests(CommandCase):
    def setUp(self) -> None:
        super().setUp()
        self.tls = str(self.place / "tls")
        self.own = {**os.environ, "XDG_CONFIG_HOME": str(self.place), "HOME": str(self.place)}

    async def run_own(self, *words: str) -> Ending:
        return await self.start([MCPTWIST, *words], self.own).when_ended(SECONDS)

    async def open(self, **more: object) -> str:
        config = self.place / "mcp.json"
        value = {
            "listen": ["https:0:interface=127.0.0.1"],
            "tls": {"directory": self.tls},
            "mcpServers": {"box": {"python": "mcptwist.serving.toolbox:toolbox"}},
            **more,
        }
        config.write_text(json.dumps(value))
        program = self.start([MCPTWIST, "run", "--config", str(config)], self.own)
        heard = await program.when_said(r"https://(127\.0\.0\.1:\d+)/mcp[\s\S]+Press", SECONDS)
        return heard.group(1)

    async def hostkey(self, *words: str) -> list[str]:
        ending = await self.run_own("hostkey", *words, "-d", self.tls)
        self.assertEqual(ending.code, 0, ending.said())
        return ending.out.split()

    async def scan(self, host: str) -> list[str]:
        ending = await self.run_own("keyscan", host)
        self.assertEqual(ending.code, 0, ending.said())
        return ending.out.splitlines()

    async def test_rotated(self) -> None:
        host = await self.open()
        (before,) = await self.hostkey("show")
        (line,) = await self.scan(host)
        following, _, moment = await self.hostkey("rotate", "--in", "8s")
        until = time.strptime(moment, "%Y-%m-%dT%H:%M:%SZ")
        self.assertGreater(time.mktime(until), 0)
        announced = await self.scan(host)
        self.assertEqual((len(announced), announced[0]), (2, line))
        program = self.start([MCPTWIST, "keyscan", host], self.own)
        ending = await program.when_ended(SECONDS)
        self.assertIn(f"{following} will follow it, {moment}", ending.err)
        deadline = time.monotonic() + SECONDS
        while announced[1:] != await self.scan(host):
            self.assertLess(time.monotonic(), deadline)
        (now,) = await self.hostkey("show")
        self.assertEqual(now, following)
        self.assertNotEqual(now, before)

    async def test_with_keys(self) -> None:
        """It is public also where nothing else is."""
        (self.place / "authorized_keys").touch(0o600)
        self.place.chmod(0o700)
        auth = {"authorized_keys": str(self.place / "authorized_keys")}
        host = await self.open(auth=auth)
        await self.hostkey("rotate")
        self.assertEqual(len(await self.scan(host)), 2)
        await self.hostkey("cancel")
        self.assertEqual(len(await self.scan(host)), 1)
