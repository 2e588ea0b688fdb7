"""The recorded conversation over HTTP/2: every frame of both ends."""

from __future__ import annotations

from typing import Any

import msgspec
from hpack import Decoder, Encoder
from hyperframe.frame import (
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from mcptwist.protocols.http2 import HTTP2Connection
from tests.conversations.tape import BOTH, SECURE_PORT, Tape, meta, rpc
from tests.protocols.wsfront import FIN, TEXT, frame, frames

__all__ = ["http2"]

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
Field = tuple[str, str]


class Connection:
    """A client's end; it is heard when it has said all it has to say."""

    def __init__(self, tape: Tape) -> None:
        self._tape = tape
        self._encoder, self._decoder = Encoder(), Decoder()
        self._told = b""
        self._sockets: set[int] = set()
        self._wire = tape.connect(HTTP2Connection(tape.factory), secure=True)
        self._say(PREFACE, "PRI * HTTP/2.0")

    def settle(self, **flags: Any) -> None:
        """Say SETTINGS, and nothing else than what is the default."""
        self.put(SettingsFrame(0, **flags))

    def call(self, number: int, body: Any, name: str) -> None:
        """Ask with a modern call."""
        data = msgspec.json.encode(body)
        fields = [
            (":method", "POST"),
            (":scheme", "https"),
            (":authority", f"localhost:{SECURE_PORT}"),
            (":path", "/mcp"),
            ("content-type", "application/json"),
            ("accept", BOTH),
            ("mcp-protocol-version", "2026-07-28"),
            ("mcp-method", "tools/call"),
            ("mcp-name", name),
            ("content-length", str(len(data))),
        ]
        self.head(number, fields)
        self.put(DataFrame(number, data, flags=["END_STREAM"]))

    def open_socket(self, number: int) -> None:
        """Ask for a WebSocket (RFC 8441)."""
        self._sockets.add(number)
        fields = [
            (":method", "CONNECT"),
            (":protocol", "websocket"),
            (":scheme", "https"),
            (":authority", f"localhost:{SECURE_PORT}"),
            (":path", "/ws"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-protocol", "mcp"),
        ]
        self.head(number, fields)

    def head(self, number: int, fields: list[Field]) -> None:
        block = self._encoder.encode(fields)
        said = HeadersFrame(number, block, flags=["END_HEADERS"])
        self._say(said.serialize(), _shown(said, [f"{name}: {value}" for name, value in fields]))

    def put(self, said: Frame) -> None:
        body = said.data if isinstance(said, DataFrame) else b""
        self._say(said.serialize(), _shown(said, body.decode().splitlines()))

    def tell(self, number: int, message: Any) -> None:
        """Say one message on a WebSocket."""
        text = msgspec.json.encode(message)
        said = DataFrame(number, frame(text))
        self._say(said.serialize(), _shown(said, [f"TEXT {text.decode()}"]))

    def _say(self, data: bytes, shown: str) -> None:
        self._tape.heard(shown, ">")
        self._told += data

    def hear(self) -> None:
        """Let what was said arrive, and write down what comes."""
        told, self._told = self._told, b""
        self._wire.protocol.dataReceived(told)
        self._tape.turn()
        for heard in self._heard():
            self._tape.heard(_shown(heard, self._details(heard)))

    def _heard(self) -> list[Frame]:
        """The frames that came; what a WebSocket is told is shown as if it came in one."""
        data = memoryview(self._wire.value())
        self._wire.clear()
        found: list[Frame] = []
        while data:
            heard, length = Frame.parse_frame_header(data[:9])
            heard.parse_body(data[9 : 9 + length])
            data = data[9 + length :]
            last = found[-1] if found else None
            if (
                heard.stream_id in self._sockets
                and isinstance(heard, DataFrame)
                and isinstance(last, DataFrame)
            ):
                last.data = bytes(last.data) + bytes(heard.data)
            else:
                found.append(heard)
        return found

    def _details(self, heard: Frame) -> list[str]:
        match heard:
            case SettingsFrame():
                names = {code: name for name, code in vars(SettingsFrame).items() if name.isupper()}
                return [f"{names[code]}: {value}" for code, value in heard.settings.items()]
            case HeadersFrame():
                return [f"{name}: {value}" for name, value in self._decoder.decode(heard.data)]
            case DataFrame() if heard.stream_id in self._sockets:
                parts = frames(bytes(heard.data))
                assert all(first == FIN | TEXT for first, _ in parts)
                return [f"TEXT {payload.decode()}" for _, payload in parts]
            case DataFrame():
                return bytes(heard.data).decode().splitlines()
            case WindowUpdateFrame():
                return [f"{heard.window_increment} bytes more"]
            case GoAwayFrame():
                return [f"code {heard.error_code}, the last was {heard.last_stream_id}"]
        return []


def _shown(one: Frame, details: list[str]) -> str:
    name = type(one).__name__.removesuffix("Frame").upper()
    name = {"WINDOWUPDATE": "WINDOW_UPDATE", "GOAWAY": "GOAWAY"}.get(name, name)
    head = [name, *([str(one.stream_id)] if one.stream_id else []), *sorted(one.flags)]
    return "\n".join([" ".join(head), *(f"      {line}".rstrip() for line in details)])


def http2() -> str:
    """A call, an event stream and a WebSocket on one connection."""
    tape = Tape()
    tape.note("The client asks with its first bytes, before it hears what it may do.")
    client = Connection(tape)
    one_bed, two_beds = {"beds": 1}, {"beds": 2}
    client.settle()
    client.call(1, rpc("tools/call", 1, name="water", arguments=one_bed, _meta=meta()), "water")
    client.hear()
    client.settle(flags=["ACK"])
    tape.note("Two more at once: one is answered as events, the other as JSON.")
    told = meta(progressToken="beds")
    client.call(3, rpc("tools/call", 2, name="water", arguments=two_beds, _meta=told), "water")
    client.call(5, rpc("tools/call", 3, name="mow", _meta=meta()), "mow")
    client.hear()
    tape.note("A WebSocket on a stream.")
    client.open_socket(7)
    client.hear()
    client.tell(7, rpc("tools/call", 4, name="water", arguments=one_bed, _meta=meta()))
    client.hear()
    tape.note("The client leaves: first the WebSocket's stream, then the connection.")
    client.put(DataFrame(7, b"", flags=["END_STREAM"]))
    client.put(GoAwayFrame(0, last_stream_id=0, error_code=0))
    client.hear()
    return tape.text
