"""WebSockets in memory: the client's end, made by hand so that it can break every rule."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from typing import Any

import msgspec

from mcptwist.caller import Caller
from mcptwist.messages import encode_json
from mcptwist.negotiation import modern_meta
from mcptwist.protocols.site import HostGuard
from mcptwist.protocols.wslimits import WebSocketCounters, WebSocketLimits
from mcptwist.protocols.wsplace import WebSocketPlace
from mcptwist.sessiontable import SessionTable
from tests.protocols.front import Front, Wire
from tests.scripted import CLIENT, HELLO
from tests.test_session import View

TEXT, BINARY, CLOSE, PING, PONG, CONTINUED = 1, 2, 8, 9, 10, 0
FIN = 0x80
KEY = base64.b64encode(b"0123456789abcdef")
ACCEPT = base64.b64encode(hashlib.sha1(KEY + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
UPGRADE = {
    "Host": "localhost:8080",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": KEY.decode(),
    "Sec-WebSocket-Protocol": "mcp",
}
MASK = b"\x37\xfa\x21\x3d"


def frame(
    payload: bytes = b"",
    opcode: int = TEXT,
    *,
    fin: bool = True,
    rsv: int = 0,
    masked: bool = True,
    length: int | None = None,
    form: int | None = None,
) -> bytes:
    """One frame of a client's (RFC 6455, section 5.2).

    :param length: what its head says of the payload's length, if that is not so.
    :param form: in how many bytes more the length is told: 0, 2 or 8; by default in the fewest.
    """
    size = len(payload) if length is None else length
    if form is None:
        form = 0 if size < 126 else 2 if size < 1 << 16 else 8
    first = (FIN if fin else 0) | rsv << 4 | opcode
    short = size if form == 0 else 126 if form == 2 else 127
    head = bytes((first, (0x80 if masked else 0) | short))
    if form:
        head += size.to_bytes(form, "big")
    if not masked:
        return head + payload
    pad = (MASK * (len(payload) // 4 + 1))[: len(payload)]
    hidden = int.from_bytes(payload, "big") ^ int.from_bytes(pad, "big")
    return head + MASK + hidden.to_bytes(len(payload), "big")


def frames(data: bytes) -> list[tuple[int, bytes]]:
    """The frames of a server: first byte and payload of each. Strict: nothing masked."""
    found = []
    while data:
        first, size, at = data[0], data[1], 2
        assert size < 128, "a server's frames are not masked"
        if size >= 126:
            at = 4 if size == 126 else 10
            size = int.from_bytes(data[2:at], "big")
        assert len(data) >= at + size, "a frame is cut"
        found.append((first, data[at : at + size]))
        data = data[at + size :]
    return found


def whole_frame(data: bytes) -> int | None:
    """How long a server's frame at the beginning of this is; None while it is not whole."""
    if len(data) < 2:
        return None
    size, at = data[1], 2
    if size >= 126:
        at = 4 if size == 126 else 10
        size = int.from_bytes(data[2:at], "big")
    return at + size if len(data) >= at + size else None


class Socket:
    """One client's end.

    :ivar wire: what it is connected by.
    :ivar head: the answer to its opening handshake.
    """

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.head, _, rest = wire.value().partition(b"\r\n\r\n")
        wire.clear()
        if rest:
            wire.write(rest)

    @property
    def status(self) -> int:
        return int(self.head.split(b" ")[1])

    def header(self, name: str) -> str | None:
        lines = (line.partition(": ") for line in self.head.decode().split("\r\n")[1:])
        return {field.lower(): value for field, _, value in lines}.get(name.lower())

    def send(self, data: bytes) -> None:
        """Send bytes of any kind, as far as the server reads."""
        assert self.wire.producerState == "producing"
        self.wire.protocol.dataReceived(data)

    def say(self, message: Any) -> None:
        """Send a message."""
        self.send(frame(encode_json(message)))

    def frames(self) -> list[tuple[int, bytes]]:
        """What came since."""
        data = self.wire.value()
        self.wire.clear()
        return frames(data)

    def messages(self) -> list[Any]:
        """The messages that came since; pings are left out."""
        texts, parts = [], b""
        for first, payload in self.frames():
            if first & 15 in (TEXT, CONTINUED):
                parts += payload
                if first & FIN:
                    texts.append(parts)
                    parts = b""
            else:
                assert first == FIN | PING, (first, payload)
        assert not parts
        return [msgspec.json.decode(text) for text in texts]

    def message(self) -> Any:
        (message,) = self.messages()
        return message

    def closing(self) -> tuple[int, str]:
        """Code and reason of the closing frame, which comes last."""
        first, payload = self.frames()[-1]
        assert first == FIN | CLOSE, (first, payload)
        return int.from_bytes(payload[:2], "big"), payload[2:].decode()

    def ask(self, method: str, params: Any = None, id: Any = 1) -> None:
        self.say({"jsonrpc": "2.0", "id": id, "method": method, "params": params or {}})

    def modern(self, method: str = "tools/call", id: Any = 1, **params: Any) -> None:
        self.ask(method, {**params, "_meta": modern_meta(CLIENT)}, id)

    def greet(self) -> Any:
        self.ask("initialize", HELLO, 0)
        return self.message()


class SocketFront(Front):
    """A site in memory with a URL for WebSockets in front of a view that is the test's."""

    def __init__(
        self, limits: WebSocketLimits | None = None, guard: HostGuard | None = None
    ) -> None:
        super().__init__(guard=guard)
        self.view = View({"tools/call": None, "tools/list": {"tools": []}})
        keys = map(str, range(1000))
        self.sessions = SessionTable(self.clock, lambda: next(keys))
        self.callers: list[Caller] = []
        self.counts = WebSocketCounters()
        self.place = WebSocketPlace(self._caller, self.clock, limits, self.counts)
        place: Any = self.place
        self.root.putChild(b"ws", place)

    def _caller(self, request: Any) -> Caller:
        self.callers.append(Caller(self.view, self.sessions.begin))
        return self.callers[-1]

    def request(
        self, headers: dict[str, Any], method: str = "GET", version: str = "1.1", ahead: bytes = b""
    ) -> Socket:
        """Ask for a WebSocket; a header that is None is left out, one that is a list comes often.

        :param ahead: what is sent in the same breath.
        """
        lines = [f"{method} /ws HTTP/{version}"]
        for name, value in headers.items():
            values = value if isinstance(value, list) else [value]
            lines += [f"{name}: {each}" for each in values if each is not None]
        head = "\r\n".join([*lines, "", ""]).encode()
        return Socket(self.talk(head + ahead))

    def open(self, ahead: bytes = b"", **headers: Any) -> Socket:
        """An open WebSocket."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        socket = self.request({**UPGRADE, **named}, ahead=ahead)
        assert socket.status == 101, socket.head
        return socket

    def turn(self, seconds: float, also: Callable[[], object] = lambda: None) -> None:
        """Let time pass, second by second."""
        for _ in range(int(seconds * 2)):
            self.clock.advance(0.5)
            also()
