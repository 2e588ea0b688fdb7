"""An HTTP server in memory that does what the test tells it, for the asking ends of wires."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from mcptwist.messages import Message, Notification, Request, decode, encode, encode_json
from mcptwist.protocols.request import Request as HttpRequest
from mcptwist.protocols.upstream import Upstream
from tests.joined import PORT, Network
from tests.protocols.front import Early, Front

URL = f"http://localhost:{PORT}/mcp"
WELCOME = {
    "protocolVersion": "2025-11-25",
    "capabilities": {"tools": {}},
    "serverInfo": {"name": "far", "version": "1"},
}
JSON = (b"content-type", b"application/json")
EVENTS = (b"content-type", b"text/event-stream")


class Visit:
    """One HTTP request to the far end.

    :ivar message: what its body holds, ``None`` where it has none.
    """

    def __init__(self, request: HttpRequest, body: bytes) -> None:
        self.request = request
        self.method = request.method
        self.message: Message | None = decode(body) if body else None

    def header(self, name: bytes) -> bytes | None:
        return self.request.header(name)

    @property
    def asks(self) -> str:
        """The JSON-RPC method, empty for an answer or an empty body."""
        return getattr(self.message, "method", "")

    @property
    def open(self) -> bool:
        """Whether whoever asked still waits."""
        return self.request.is_open

    def params(self) -> Any:
        assert isinstance(self.message, Request | Notification)
        return msgspec.json.decode(self.message.params)

    def answer(self, result: Any, *headers: tuple[bytes, bytes]) -> None:
        """Answer with a result, as JSON."""
        self.respond(200, _result(self.message, result), JSON, *headers)

    def error(self, status: int, code: int, message: str = "no") -> None:
        """Refuse with a JSON-RPC error."""
        id = getattr(self.message, "id", None)
        error = {"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message}}
        self.respond(status, encode_json(error), JSON)

    def respond(self, status: int, body: bytes, *headers: tuple[bytes, bytes]) -> None:
        self.request.respond(status, list(headers), body)

    def stream(self) -> Visit:
        """Begin an event stream."""
        self.request.start(200, [EVENTS])
        return self

    def say(self, *messages: Message, id: str = "", retry: int | None = None) -> Visit:
        """Say *messages* on the stream."""
        head = f"id: {id}\n" if id else ""
        head += f"retry: {retry}\n" if retry is not None else ""
        for message in messages:
            self.request.write(head.encode() + b"data: " + encode(message) + b"\n\n")
        return self

    def write(self, text: bytes) -> Visit:
        """Write *text* on the stream."""
        self.request.write(text)
        return self

    def say_result(self, result: Any, id: str = "") -> Visit:
        """Say the answer on the stream."""
        return self.say(decode(_result(self.message, result)), id=id)

    def end(self) -> None:
        """End the stream."""
        self.request.finish()


def _result(message: Any, result: Any) -> bytes:
    return encode_json({"jsonrpc": "2.0", "id": message.id, "result": result})


class FarEnd:
    """The server.

    :ivar visits: all requests, in order.
    :ivar script: told each first; whether it dealt with it.
    :ivar standing: the GET streams that were opened.
    """

    def __init__(self) -> None:
        self.front = Front()
        self.network = Network(self.front.clock)
        self.front.root.putChild(b"mcp", Early(self._asked))
        self.front.root.putChild(b"moved", Early(self._asked))
        self.visits: list[Visit] = []
        self.standing: list[Visit] = []
        self.script: Callable[[Visit], bool] = lambda visit: False
        self.sessions = 0

    def upstream(self, url: str = URL, headers: Any = (), **more: Any) -> Upstream:
        """The way here."""
        return Upstream(self.network.agent(self.front.factory), url, headers, "far", **more)

    def turn(self, seconds: float = 0, steps: int = 1) -> None:
        self.network.turn(seconds, steps)

    def of(self, method: str) -> list[Visit]:
        """The visits that asked that JSON-RPC method."""
        return [visit for visit in self.visits if visit.asks == method]

    def _asked(self, request: HttpRequest) -> None:
        if request.method == b"POST":
            request.receive_body(1 << 30, lambda body: self._visited(Visit(request, body)))
        else:
            self._visited(Visit(request, b""))

    def _visited(self, visit: Visit) -> None:
        self.visits.append(visit)
        if self.script(visit):
            return
        if visit.method == b"GET":
            self.standing.append(visit.stream())
        elif visit.method == b"DELETE":
            visit.respond(200, b"")
        elif visit.asks == "initialize":
            self.sessions += 1
            visit.answer(WELCOME, (b"mcp-session-id", b"s%d" % self.sessions))
        elif not isinstance(visit.message, Request):
            visit.respond(202, b"")
