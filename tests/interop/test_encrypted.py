"""TLS and HTTP/2, as programs find them that others wrote."""

from __future__ import annotations

from twisted.internet import reactor

from tests.interop.forwarder import Forwarder
from tests.interop.test_conformance import (
    LEGACY,
    MODERN,
    REQUIRED,
    required_scenarios,
    shortcomings,
)
from tests.interop.test_remote_servers import RemoteCase


class ConformanceTests(RemoteCase):
    """The official suite. It speaks plain HTTP/1.1 only, so a forwarder of ours stands in front."""

    async def assert_conforms(self, revision: str) -> None:
        required = required_scenarios(revision)
        self.assertEqual(len(required), REQUIRED[revision])
        # One process for all sessions: what is looked at here is the way in.
        server = {"url": await self.fixture_by_url(), "scope": "session"}
        daemon = await self.daemon({"fixture": server})
        forwarder = Forwarder(reactor, daemon.secure, daemon.certificate)
        self.addCleanup(forwarder.close)
        ending, checks = await self.suite(f"{forwarder.here}/mcp", "--requirements", revision)
        wrong = [
            line
            for scenario in required
            for line in shortcomings(scenario, checks.get(scenario, []))
        ]
        if wrong:
            self.fail(f"{len(wrong)} shortcomings over HTTP/2:\n" + "\n".join(wrong))
        self.assertEqual(ending.code, 0, ending.said())
        self.assertEqual(forwarder.spoken, {(b"HTTP", 2, 0)})

    async def test_modern(self) -> None:
        """Every scenario that 2026-07-28 requires, over TLS and HTTP/2."""
        await self.assert_conforms(MODERN)

    async def test_legacy(self) -> None:
        """Every scenario that 2025-11-25 requires, over TLS and HTTP/2."""
        await self.assert_conforms(LEGACY)
