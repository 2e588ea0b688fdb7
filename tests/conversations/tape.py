"""A whole daemon in memory, and a tape of what is said to it and by it.

:mod:`tests.conversations.gardener` is behind it. What differs each time (dates, secrets) is written
as if it did not; how bodies are cut into chunks is left out.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec
from twisted.internet.address import IPv4Address
from twisted.internet.interfaces import ISSLTransport
from twisted.internet.task import Clock
from zope.interface import directlyProvides

from mcptwist.config import Config, PythonServer
from mcptwist.negotiation import CAPABILITIES_KEY, modern_meta
from mcptwist.services import make_daemon
from tests.conversations.posting import Response
from tests.protocols.front import Wire

PORT = 8808
SECURE_PORT = 8443
ROSE = {"name": "rose", "version": "1"}
TELLING = {
    "Date": "Sun, 22 Nov 2026 12:00:00 GMT",
    "Mcp-Session-Id": "Hq3vXe5uNc1tYz8aWb6kPd0sRf2mLg7jOi4hUo9xEwA",
    "session_id": "Bv7nMk2lQj5hGf8dSa1pOi4uYt6rEw9qZx3cVb0nMlK",
    "requestState": "Tg6bYh9nUj3mIk7oLp1aQz4wSx8eDc2rFv5tGb0yHnU",
}
_CHANGING = (
    (re.compile(r"(?<=date: ).*", re.IGNORECASE), "Date"),
    (re.compile(r"(?<=mcp-session-id: ).*", re.IGNORECASE), "Mcp-Session-Id"),
    (re.compile(r"(?<=session_id=)[\w-]+"), "session_id"),
    (re.compile(r'(?<="requestState":")[^"]+'), "requestState"),
)


class Tape:
    """A daemon, and what is said to it and by it.

    :ivar lines: what was said so far, a client's words after ``>``.
    """

    def __init__(self) -> None:
        self.clock = Clock()
        garden = PythonServer(
            name="garden", python="tests.conversations.gardener:server", scope="session"
        )
        endpoints = (f"tcp:{PORT}:interface=127.0.0.1", "lines:unix:/run/mcp.sock")
        daemon = make_daemon(Config(servers=(garden,), listen=endpoints), self.clock, {})
        self.factory: Any = daemon.listeners[0].factory
        self.lines_factory: Any = daemon.listeners[1].factory
        self.lines: list[str] = []

    def connect(self, connection: Any = None, secure: bool = False) -> Wire:
        """A new connection, over HTTP/1.1 unless it is given."""
        connection = connection or self.factory.buildProtocol(None)
        port = SECURE_PORT if secure else PORT
        wire = Wire(hostAddress=IPv4Address("TCP", "127.0.0.1", port))
        if secure:
            directlyProvides(wire, ISSLTransport)
        wire.protocol = connection
        connection.makeConnection(wire)
        return wire

    def turn(self) -> None:
        """Let everything happen that is about to."""
        for _ in range(20):
            self.clock.advance(0)

    def note(self, text: str) -> None:
        self.lines += ["", f"# {text}", ""] if self.lines else [f"# {text}", ""]

    def heard(self, text: str, who: str = "<") -> None:
        """Write down what was said, a line for each of its lines."""
        for pattern, name in _CHANGING:
            text = pattern.sub(TELLING[name], text)
        self.lines += [f"{who} {line}".rstrip() for line in text.split("\n")]

    @property
    def text(self) -> str:
        return "\n".join(self.lines).strip() + "\n"


class Request:
    """One request, and what comes back as it comes."""

    def __init__(self, tape: Tape, method: str, path: str, body: Any = None, **more: str) -> None:
        self.tape = tape
        self.wire = tape.connect()
        headers = {"Host": f"localhost:{PORT}"}
        headers |= {name.replace("_", "-"): value for name, value in more.items()}
        content = b"" if body is None else msgspec.json.encode(body)
        if body is not None:
            headers |= {"Content-Type": "application/json", "Content-Length": str(len(content))}
        lines = [f"{method} {path} HTTP/1.1", *(f"{n}: {v}" for n, v in headers.items())]
        shown = [*lines, "", content.decode()] if content else [*lines, ""]
        tape.heard("\n".join(shown), ">")
        self.wire.protocol.dataReceived("\r\n".join([*lines, "", ""]).encode() + content)
        self._told_head = False
        self._told = 0
        self.hear()

    @property
    def response(self) -> Response:
        return Response(self.wire)

    def hear(self) -> None:
        """Write down what has come since."""
        self.tape.turn()
        response = self.response
        if not response.status:
            return
        if not self._told_head:
            self._told_head = True
            head = [line.decode() for line in response.head]
            self.tape.heard("\n".join([*head, ""]))
        body = response.body[self._told :].decode()
        self._told = len(response.body)
        if body:
            self.tape.heard(body.rstrip("\n") + ("\n" if body.endswith("\n\n") else ""))


BOTH = "application/json, text/event-stream"


def rpc(method: str, id: Any = None, **params: Any) -> dict[str, Any]:
    """A message."""
    message: dict[str, Any] = {"jsonrpc": "2.0"}
    if id is not None:
        message["id"] = id
    message["method"] = method
    return {**message, "params": params} if params else message


def hello(revision: str) -> dict[str, Any]:
    """The handshake of a client that can be asked."""
    return rpc(
        "initialize", 1, protocolVersion=revision, capabilities={"elicitation": {}}, clientInfo=ROSE
    )


def meta(**more: Any) -> dict[str, Any]:
    """What a modern request says of its client."""
    return {**modern_meta(ROSE), CAPABILITIES_KEY: {"elicitation": {}}, **more}
