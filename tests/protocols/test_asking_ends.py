"""The contract of asking ends, over every wire there is and in both eras."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from mcptwist.protocols.bytestream import ByteStreamConnector
from mcptwist.protocols.remote import remote_connector
from mcptwist.protocols.websocket_client import WebSocketConnector
from mcptwist.versions import MODERN
from tests.contracts.asking import SERVER, AskingContract, House


class StreamableLegacyTests(AskingContract, SynchronousTestCase):
    def make_connector(self, house: House) -> Any:
        agent = house.network.agent(house.http)
        return remote_connector(f"{SERVER}/mcp", "http", house.network.clock, agent=agent)


class StreamableModernTests(StreamableLegacyTests):
    era = MODERN


class FoundLegacyTests(AskingContract, SynchronousTestCase):
    """HTTP+SSE at a URL of which nothing was said."""

    def make_connector(self, house: House) -> Any:
        agent = house.network.agent(house.http)
        return remote_connector(f"{SERVER}/sse", "auto", house.network.clock, agent=agent)


class FoundModernTests(FoundLegacyTests):
    era = MODERN


class HttpSseLegacyTests(AskingContract, SynchronousTestCase):
    def make_connector(self, house: House) -> Any:
        agent = house.network.agent(house.http)
        return remote_connector(f"{SERVER}/sse", "sse", house.network.clock, agent=agent)


class HttpSseModernTests(HttpSseLegacyTests):
    era = MODERN


class WebSocketLegacyTests(AskingContract, SynchronousTestCase):
    def make_connector(self, house: House) -> Any:
        return WebSocketConnector(
            f"{SERVER}/ws".replace("http:", "ws:"),
            (),
            house.network.clock,
            endpoint=lambda *_: house.network.endpoint(house.http),
        )


class WebSocketModernTests(WebSocketLegacyTests):
    era = MODERN


class ByteStreamLegacyTests(AskingContract, SynchronousTestCase):
    def make_connector(self, house: House) -> Any:
        return ByteStreamConnector(
            "unix:/nowhere",
            house.network.clock,
            endpoint=lambda *_: house.network.endpoint(house.lines),
        )


class ByteStreamModernTests(ByteStreamLegacyTests):
    era = MODERN
