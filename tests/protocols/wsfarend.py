"""Autobahn's own server, for the asking end of WebSocket to speak with."""

from __future__ import annotations

from typing import Any

from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol

from mcptwist.protocols.timers import Timers
from mcptwist.protocols.websocket_client import DialLimits
from mcptwist.protocols.websocket_connector import WebSocketConnector
from tests.joined import PORT, Network

URL = f"ws://localhost:{PORT}/ws"
SECURE = URL.replace("ws:", "wss:")


class Server(WebSocketServerProtocol):
    """A server that does what the test says."""

    def onConnect(self, request: Any) -> str | None:
        self.factory.requests.append(request)
        self.factory.servers.append(self)
        self.texts: list[bytes] = []
        chosen: str | None = self.factory.chosen
        return chosen

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        assert not isBinary
        self.texts.append(payload)


class Servers:
    """Autobahn's server in memory."""

    def __init__(self, network: Network) -> None:
        self.factory = WebSocketServerFactory(reactor=network.clock)
        self.factory.protocol = Server
        self.factory._batched_timer = Timers(network.clock)
        self.factory.requests = self.requests = []  # type: ignore[var-annotated]
        self.factory.servers = self.servers = []  # type: ignore[var-annotated]
        self.factory.chosen = "mcp"


def connector(
    network: Network, servers: Any, limits: DialLimits | None = None, **headers: str
) -> WebSocketConnector:
    return WebSocketConnector(
        URL,
        list(headers.items()),
        network.clock,
        description="far",
        limits=limits,
        endpoint=lambda *_: network.endpoint(servers),
    )
