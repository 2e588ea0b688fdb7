"""The contract of asking ends, over every wire there is and in both eras."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from mcptwist.protocols.bytestream import ByteStreamConnector
from mcptwist.protocols.remote import remote_connector
from mcptwist.protocols.websocket_connector import WebSocketConnector
from mcptwist.versions import MODERN
from tests.contracts.asking import SERVER, AskingContract, House
from tests.protocols.encrypted import secured_agent


class StreamableLegacyTests(AskingContract, SynchronousTestCase):
    def make_connector(self, house: House) -> Any:
        agent = house.network.agent(house.http)
        return remote_connector(f"{SERVER}/mcp", "http", house.network.clock, agent=agent)


class StreamableModernTests(StreamableLegacyTests):
    era = MODERN


class HTTP2LegacyTests(AskingContract, SynchronousTestCase):
    """Streamable HTTP over HTTP/2, as ``https`` is asked wherever it can be."""

    def make_connector(self, house: House) -> Any:
        agent = secured_agent(house.network, house.http, Path(self.mktemp()))
        url = f"{SERVER}/mcp".replace("http:", "https:")
        return remote_connector(url, "http", house.network.clock, agent=agent)


class HTTP2ModernTests(HTTP2LegacyTests):
    era = MODERN


class HTTP2SseTests(AskingContract, SynchronousTestCase):
    """HTTP+SSE over HTTP/2."""

    def make_connector(self, house: House) -> Any:
        agent = secured_agent(house.network, house.http, Path(self.mktemp()))
        url = f"{SERVER}/sse".replace("http:", "https:")
        return remote_connector(url, "sse", house.network.clock, agent=agent)


class EncryptedHTTP1Tests(AskingContract, SynchronousTestCase):
    """Streamable HTTP over HTTP/1.1 and TLS, where the server speaks no HTTP/2."""

    def make_connector(self, house: House) -> Any:
        agent = secured_agent(house.network, house.http, Path(self.mktemp()), http2=False)
        url = f"{SERVER}/mcp".replace("http:", "https:")
        return remote_connector(url, "http", house.network.clock, agent=agent)


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
