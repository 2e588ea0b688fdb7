"""Every answering end, held to what all of them promise (``tests/contracts/answering.py``)."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from mcptwist.versions import LEGACY, MODERN
from tests.contracts.answering import AnsweringContract, Hall
from tests.protocols.answeringclients import (
    H2Client,
    H2SocketClient,
    H2SseClient,
    LineClient,
    SocketClient,
    SseClient,
    StreamableClient,
)


class StreamableLegacyTests(AnsweringContract, SynchronousTestCase):
    client_class = StreamableClient
    cancels_when_lost = False


class StreamableModernTests(AnsweringContract, SynchronousTestCase):
    client_class = StreamableClient
    era = MODERN
    stands_alone = True


class Http2LegacyTests(StreamableLegacyTests):
    client_class = H2Client


class Http2ModernTests(StreamableModernTests):
    client_class = H2Client


class SocketLegacyTests(AnsweringContract, SynchronousTestCase):
    client_class = SocketClient


class SocketModernTests(SocketLegacyTests):
    era = MODERN


class H2SocketLegacyTests(SocketLegacyTests):
    client_class = H2SocketClient


class H2SocketModernTests(SocketModernTests):
    client_class = H2SocketClient


class SseLegacyTests(AnsweringContract, SynchronousTestCase):
    client_class = SseClient


class SseModernTests(SseLegacyTests):
    era = MODERN


class H2SseLegacyTests(SseLegacyTests):
    client_class = H2SseClient


class H2SseModernTests(SseModernTests):
    client_class = H2SseClient


class LinesLegacyTests(AnsweringContract, SynchronousTestCase):
    client_class = LineClient
    keeps_alive = False


class LinesModernTests(LinesLegacyTests):
    era = MODERN


class AcrossTests(SynchronousTestCase):
    """Holding back goes through what stands between the eras, and between revisions."""

    def flood(self, era: str, servers: str, **settings: Any) -> None:
        case: Any = SocketLegacyTests()
        case.era = era
        case.hall = Hall(eras=(servers,), **settings)
        case.client = case.make_client()
        case.test_slow_client()

    def test_modern_client_of_a_legacy_server(self) -> None:
        self.flood(MODERN, LEGACY)

    def test_legacy_client_of_a_modern_server(self) -> None:
        self.flood(LEGACY, MODERN)
