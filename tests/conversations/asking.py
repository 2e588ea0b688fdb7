"""The asking end of a conversation with a Python server, in memory."""

from __future__ import annotations

from typing import Any

import msgspec
from twisted.internet.task import Clock

from mcptwist.interfaces import IWire
from mcptwist.messages import (
    Error,
    Message,
    Notification,
    Request,
    Result,
    encode,
    encode_json,
)
from mcptwist.protocols.inprocess import PythonConnector
from mcptwist.server import Server
from tests.fakes import FakeReader

VERSION = "io.modelcontextprotocol/protocolVersion"
CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"
CLIENT = "io.modelcontextprotocol/clientInfo"
SERVER = "io.modelcontextprotocol/serverInfo"
LOG_LEVEL = "io.modelcontextprotocol/logLevel"
SUBSCRIPTION = "io.modelcontextprotocol/subscriptionId"
BOB = {"name": "bob", "version": "1"}


class Client:
    """One end of a wire joined to *server*.

    :ivar heard: what was said to it, opened, answers left out.
    """

    def __init__(self, server: Server, clock: Clock | None = None) -> None:
        self.clock = clock or Clock()
        self.reader = FakeReader()
        self._last = 0
        self._told = 0
        wires: list[IWire] = []
        PythonConnector(server, self.clock).connect(self.reader).addCallback(wires.append)
        self.wire = wires[0]
        self.heard: list[dict[str, Any]] = []
        self.answers: dict[Any, dict[str, Any]] = {}

    def turn(self, seconds: float = 0) -> None:
        """Let time pass, and whatever is due happen."""
        self.clock.advance(seconds)
        for _ in range(8):
            self.clock.advance(0)
        for message in self.reader.messages[self._told :]:
            self._hear(message)
        self._told = len(self.reader.messages)

    def send(self, message: Message) -> None:
        self.wire.send(message)
        self.turn()

    def begin(self, method: str, **params: Any) -> int:
        """Make a request; its id comes back, its answer will be in ``answers``."""
        self._last += 1
        self.send(Request(self._last, method, encode_json(params)))
        return self._last

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """Make a request, and the result or error that comes of it."""
        return self.answers.pop(self.begin(method, **params))

    def notify(self, method: str, **params: Any) -> None:
        self.send(Notification(method, encode_json(params)))

    def shake_hands(self, revision: str = "2025-11-25", capabilities: Any = None) -> dict[str, Any]:
        """Begin as a legacy client does."""
        welcome = self.ask(
            "initialize",
            protocolVersion=revision,
            capabilities=capabilities or {},
            clientInfo=BOB,
        )
        self.notify("notifications/initialized")
        return welcome

    def said(self, method: str) -> list[dict[str, Any]]:
        """The params of what was said under that name, in order."""
        return [m.get("params", {}) for m in self.heard if m["method"] == method]

    def _hear(self, message: Message) -> None:
        opened = msgspec.json.decode(encode(message))
        if isinstance(message, Result):
            self.answers[message.id] = opened["result"]
        elif isinstance(message, Error):
            self.answers[message.id] = opened["error"]
        else:
            self.heard.append(opened)


class ModernClient(Client):
    """Whose requests all stand alone."""

    capabilities: dict[str, Any] = {}

    def meta(self, **more: Any) -> dict[str, Any]:
        return {VERSION: "2026-07-28", CAPABILITIES: self.capabilities, CLIENT: BOB, **more}

    def begin(self, method: str, **params: Any) -> int:
        params.setdefault("_meta", self.meta())
        return super().begin(method, **params)
