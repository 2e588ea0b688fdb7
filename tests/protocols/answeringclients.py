"""Clients of every answering end, for the contract in ``tests/contracts/answering.py``."""

from __future__ import annotations

from typing import Any

import msgspec
from twisted.internet.address import IPv4Address
from twisted.internet.interfaces import ISSLTransport
from zope.interface import directlyProvides

from mcptwist.messages import encode_json
from mcptwist.protocols.bytestream import LineFactory
from mcptwist.protocols.http2 import HTTP2Connection
from mcptwist.versions import LEGACY
from tests.contracts.answering import Client, Hall
from tests.conversations.posting import BOTH, EVENTS, JSON, Response
from tests.protocols import h2front
from tests.protocols.front import PORT, Wire
from tests.protocols.wsfront import (
    CLOSE,
    FIN,
    PING,
    PONG,
    UPGRADE,
    Socket,
    frame,
    frames,
    whole_frame,
)


class StreamableClient(Client):
    """Streamable HTTP over HTTP/1.1: each request on a connection of its own."""

    def __init__(self, hall: Hall, era: str) -> None:
        super().__init__(hall, era)
        self.session: str | None = None
        self.listening: Any = None
        self.responses: list[tuple[Any, Any]] = []
        self._skip = 0

    def connect(self) -> None:
        """Nothing is open between two requests."""

    def headers(self, message: Any) -> dict[str, Any]:
        if self.era == LEGACY:
            shaken = self.session is not None
            return {
                "Mcp-Session-Id": self.session,
                "MCP-Protocol-Version": self.revision if shaken else None,
            }
        named = message.get("params", {}).get("name") if isinstance(message, dict) else None
        method = message.get("method") if isinstance(message, dict) else None
        if method not in ("tools/call", "prompts/get"):
            named = None
        return {"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": method, "Mcp-Name": named}

    def put(self, message: Any) -> None:
        self.put_raw(encode_json(message), message)

    def put_raw(self, text: bytes, message: Any = None) -> None:
        head = {"Content-Type": JSON, "Accept": BOTH, **self.headers(message)}
        response = self.request("POST", head, text)
        id = message.get("id") if message else None
        self.responses.append((id, response))
        if id == "hello":
            self.hall.greeted()
            self.session = response.headers["mcp-session-id"]

    def request(self, method: str, headers: dict[str, Any], body: bytes = b"") -> Any:
        return self.hall.request(method, "/mcp", headers, body)

    def cancel(self, id: Any) -> None:
        """Modern clients close the response."""
        if self.era == LEGACY:
            super().cancel(id)
        else:
            for asked, response in self.responses:
                if asked == id:
                    response.leave()

    def settle(self) -> None:
        self.responses.clear()
        if self.era == LEGACY:
            self.listening = self.request("GET", {"Accept": EVENTS, **self.headers(None)})

    def heard(self) -> list[Any]:
        responses = [response for _, response in self.responses]
        if self.listening is not None:
            responses.insert(0, self.listening)
        return [message for response in responses for message in _messages(response)]

    def signs(self) -> int:
        return sum(len(response.body) for _, response in self.responses)

    def leave(self) -> None:
        for _, response in self.responses:
            response.leave()
        if self.listening is not None:
            self.listening.leave()

    def stop_reading(self) -> None:
        self.responses[-1][1].wire.full = True

    def read_on(self) -> None:
        _, response = self.responses[-1]
        response.wire.taken()

    @property
    def gone(self) -> bool:
        return self.listening is None or bool(self.listening.ended)


def _messages(response: Any) -> list[Any]:
    if response.headers.get("content-type") == EVENTS:
        found: list[Any] = response.said
        return found
    return [msgspec.json.decode(response.body)] if response.ended and response.body else []


class OneConnection:
    """Mixed into a client that asks over HTTP/2: all on one connection, each on a stream."""

    hall: Hall
    h2: h2front.Client

    def connect_h2(self) -> None:
        self.h2 = h2front.Client(_H2Front(self.hall), secure=True)  # type: ignore[arg-type]

    def begin(
        self, method: str, path: str, headers: dict[str, Any], body: bytes | None, end: bool = True
    ) -> int:
        """Ask on a new stream; its number."""
        fields = [(b":method", method.encode()), (b":path", path.encode()), (b":scheme", b"https")]
        for name, value in headers.items():
            if value is not None:
                fields.append((name.lower().encode(), str(value).encode()))
        return self.h2.begin(*fields, body=body or None, end=end)

    def take(self, number: int) -> None:
        """Read a stream that was not read, to where it has nothing more."""
        self.h2.greedy = True
        told = self.h2.told[number]
        for _ in range(100):
            before = len(told.body)
            self.h2.h2.increment_flow_control_window(1 << 20)
            self.h2.h2.increment_flow_control_window(1 << 20, number)
            self.h2.flush()
            if told.ended or len(told.body) == before:
                break


class H2Client(OneConnection, StreamableClient):
    """Streamable HTTP over HTTP/2."""

    def connect(self) -> None:
        self.connect_h2()

    def request(self, method: str, headers: dict[str, Any], body: bytes = b"") -> Any:
        return H2Response(self.h2, self.begin(method, "/mcp", headers, body))

    def stop_reading(self) -> None:
        self.h2.greedy = False

    def read_on(self) -> None:
        self.take(self.responses[-1][1].number)


class _H2Front:
    def __init__(self, hall: Hall) -> None:
        self.hall = hall
        self.clock = hall.clock

    def wire(self, secure: bool) -> Wire:
        connection: Any = HTTP2Connection(self.hall.factory, None)
        wire = Wire(hostAddress=IPv4Address("TCP", "127.0.0.1", PORT))
        directlyProvides(wire, ISSLTransport)
        wire.protocol = connection
        connection.makeConnection(wire)
        return wire


class H2Response(Response):
    """What came back on one stream."""

    def __init__(self, client: h2front.Client, number: int) -> None:
        super().__init__(client.wire)
        self.client = client
        self.number = number

    @property
    def told(self) -> h2front.Told:
        self.client.hear()
        return self.client.told[self.number]

    @property
    def status(self) -> int:
        return self.told.status

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode(): value.decode() for name, value in self.told.headers}

    @property
    def body(self) -> bytes:
        return self.told.body

    @property
    def ended(self) -> bool:
        return self.told.ended or not self.client.wire.connected

    def leave(self) -> None:
        if not self.told.ended:
            self.client.h2.reset_stream(self.number, 8)
            self.client.flush()


class SocketClient(Client):
    """WebSocket."""

    path = "/ws"

    socket: Any

    def connect(self) -> None:
        self.socket = Socket(self.hall.request("GET", self.path, dict(UPGRADE)).wire)
        self._begin()

    def _begin(self) -> None:
        self._heard: list[Any] = []  # messages
        self._parts = b""
        self._arrived = 0
        self._closed = False

    def put(self, message: Any) -> None:
        self.put_raw(encode_json(message))

    def put_raw(self, text: bytes) -> None:
        self._listen()
        self.socket.send(frame(text))

    def _listen(self) -> None:
        for first, payload in self.socket.frames():
            self._arrived += 1 + len(payload)
            if first & 15 < CLOSE:
                self._parts += payload
                if first & FIN:
                    self._heard.append(msgspec.json.decode(self._parts))
                    self._parts = b""
            elif first & 15 == PING:
                self.socket.send(frame(payload, PONG))
            else:
                self._closed = True
                self.socket.send(frame(payload, CLOSE))

    def heard(self) -> list[Any]:
        self._listen()
        return self._heard

    def settle(self) -> None:
        self._listen()
        self._heard.clear()

    def signs(self) -> int:
        self._listen()
        return self._arrived

    def leave(self) -> None:
        self.socket.wire.lose()

    def stop_reading(self) -> None:
        self.socket.wire.full = True

    def read_on(self) -> None:
        self.socket.wire.taken()

    @property
    def gone(self) -> bool:
        self._listen()
        return self._closed or self.socket.wire.is_closed


class H2Socket:
    """A WebSocket on a stream of an HTTP/2 connection (RFC 8441), at the client's end."""

    def __init__(self, client: h2front.Client, number: int) -> None:
        self.client = client
        self.number = number
        self._taken = 0

    @property
    def is_over(self) -> bool:
        told = self.client.told[self.number]
        return told.ended or told.reset is not None

    def send(self, data: bytes) -> None:
        """Send frames, unless there is no stream any more to send them on."""
        if not self.is_over:
            self.client.put(self.number, data, end=False)

    def frames(self) -> list[tuple[int, bytes]]:
        """The frames that came since, whole ones only."""
        self.client.hear()
        data, found = self.client.told[self.number].body[self._taken :], []
        while (size := whole_frame(data)) is not None:
            found += frames(data[:size])
            self._taken, data = self._taken + size, data[size:]
        return found


class H2SocketClient(OneConnection, SocketClient):
    """WebSocket on a stream of an HTTP/2 connection."""

    def connect(self) -> None:
        self.connect_h2()
        asked = {":protocol": "websocket", "Sec-WebSocket-Version": 13,
                 "Sec-WebSocket-Protocol": "mcp"}  # fmt: skip
        self.number = self.begin("CONNECT", self.path, asked, None, end=False)
        self.socket = H2Socket(self.h2, self.number)
        self._begin()

    def leave(self) -> None:
        self.h2.h2.reset_stream(self.number, 8)
        self.h2.flush()

    def stop_reading(self) -> None:
        self.h2.greedy = False

    def read_on(self) -> None:
        self.take(self.number)

    @property
    def gone(self) -> bool:
        self._listen()
        return self._closed or self.socket.is_over


class SseClient(Client):
    """HTTP+SSE."""

    revision = "2024-11-05"

    def connect(self) -> None:
        self.stream = self.request("GET", "/sse", {"Accept": EVENTS})
        self.url = self.stream.blocks[0]["data"]
        self.refused: list[Any] = []
        self._skip = 0

    def request(self, method: str, path: str, headers: dict[str, Any], body: bytes = b"") -> Any:
        return self.hall.request(method, path, headers, body)

    def put(self, message: Any) -> None:
        self.put_raw(encode_json(message))

    def put_raw(self, text: bytes) -> None:
        answer = self.request("POST", self.url, {"Content-Type": JSON}, text)
        if answer.status != 202:
            self.refused.append(answer.json)

    def heard(self) -> list[Any]:
        blocks = [block for block in self.stream.blocks if block.get("event") == "message"]
        return [msgspec.json.decode(b["data"]) for b in blocks[self._skip :]] + self.refused

    def settle(self) -> None:
        self._skip = len(self.heard())

    def signs(self) -> int:
        return len(self.stream.body)

    def leave(self) -> None:
        self.stream.leave()

    def stop_reading(self) -> None:
        self.stream.wire.full = True

    def read_on(self) -> None:
        self.stream.wire.taken()

    @property
    def gone(self) -> bool:
        return self.stream.ended


class H2SseClient(OneConnection, SseClient):
    """HTTP+SSE over HTTP/2."""

    def connect(self) -> None:
        self.connect_h2()
        super().connect()

    def request(self, method: str, path: str, headers: dict[str, Any], body: bytes = b"") -> Any:
        return H2Response(self.h2, self.begin(method, path, headers, body))

    def stop_reading(self) -> None:
        self.h2.greedy = False

    def read_on(self) -> None:
        self.take(self.stream.number)


class LineClient(Client):
    """Lines on a stream of bytes: a UNIX socket, standard input and output."""

    def connect(self) -> None:
        factory = LineFactory(self.hall.caller, self.hall.clock)
        self.hall.daemon.closing.append(lambda: [factory.drain()])
        protocol: Any = factory.buildProtocol(None)
        self.wire = Wire()
        self.wire.protocol = protocol
        protocol.makeConnection(self.wire)
        self._skip = 0

    def put(self, message: Any) -> None:
        self.put_raw(encode_json(message))

    def put_raw(self, text: bytes) -> None:
        self.wire.protocol.dataReceived(text + b"\n")

    def heard(self) -> list[Any]:
        lines = self.wire.value().splitlines()
        return [msgspec.json.decode(line) for line in lines[self._skip :]]

    def settle(self) -> None:
        self._skip += len(self.heard())

    def signs(self) -> int:
        return len(self.wire.value())

    def leave(self) -> None:
        self.wire.lose()

    def stop_reading(self) -> None:
        self.wire.full = True

    def read_on(self) -> None:
        self.wire.taken()

    @property
    def gone(self) -> bool:
        return self.wire.is_closed
