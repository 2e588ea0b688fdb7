"""What is fuzzed: for each parser a function that may raise nothing but the parser's own errors.

Each target takes bytes from whoever guesses them and, where that can be told, holds
the parser to a promise as well: that pieces make no difference, that what was read
is written back the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hpack import Decoder, HPACKError
from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock
from twisted.web.http_headers import Headers

from mcptwist import config, messages, negotiation
from mcptwist.eras import held
from mcptwist.errors import McpTwistError
from mcptwist.messages import Request
from mcptwist.protocols import eventstream, lines, mcphttp
from mcptwist.protocols.h2client import HTTP2Client
from mcptwist.protocols.h2codec import Codec, CodecLimits
from mcptwist.protocols.h2frames import ConnectionFailed
from mcptwist.protocols.h2limits import HTTP2ClientCounters, HTTP2ClientLimits
from mcptwist.protocols.h2question import Body, Question
from mcptwist.protocols.hpacking import FieldReader
from mcptwist.protocols.http1syntax import ChunkedBody, read_head
from mcptwist.protocols.http2 import HTTP2Connection
from mcptwist.protocols.limits import Limits
from mcptwist.protocols.refusals import Refused
from tests.fuzz import keytargets
from tests.protocols.front import Front, Wire
from tests.protocols.wsfront import SocketFront, frames

Target = Callable[[bytes], None]
TARGETS: dict[str, Target] = {}
_LIMITS = Limits()
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
_ADDRESS = IPv4Address("TCP", "127.0.0.1", 8080)


def target(check: Target) -> Target:
    """Put *check* on the list under its own name."""
    TARGETS[check.__name__] = check
    return check


@target
def message(data: bytes) -> None:
    """A JSON-RPC message that was read is read the same when written back."""
    try:
        found = messages.decode(data)
    except McpTwistError:
        return
    text = messages.encode(found)
    assert b"\n" not in text
    assert messages.encode(messages.decode(text)) == text


@target
def batch(data: bytes) -> None:
    """A batch is read or refused."""
    try:
        messages.decode_many(b"[" + data + b"]", 100)
    except McpTwistError:
        return


@target
def envelope(data: bytes) -> None:
    """The envelope of a modern request, and the handshake of a legacy one, of text in UTF-8."""
    try:
        messages.check_utf8(data)
    except McpTwistError:
        return
    for read in (negotiation.read_envelope, negotiation.read_hello, held.read_retry):
        try:
            read(data)
        except McpTwistError:
            continue


@target
def routing_headers(data: bytes) -> None:
    """Headers that mirror a body: a value that is decoded is encoded to the same meaning."""
    try:
        text = mcphttp.decode_value(data)
    except McpTwistError:
        return
    assert mcphttp.decode_value(mcphttp.encode_value(text).encode()) == text
    try:
        mcphttp.check_headers(Request(1, "tools/call", b'{"name":"x"}'), "x", lambda name: [data])
    except McpTwistError:
        return


@target
def http_head(data: bytes) -> None:
    """A request's head, whole and cut anywhere."""
    try:
        head = read_head(data, _LIMITS)
    except Refused:
        return
    if head is None:
        return
    assert data.startswith(head.raw)
    for at in range(0, len(head.raw), 7):
        assert read_head(head.raw[:at], _LIMITS) is None


@target
def chunked_body(data: bytes) -> None:
    """A chunked body: cut in two it is the same."""
    whole = _chunks([data])
    middle = len(data) // 2
    parts = _chunks([data[:middle], data[middle:]])
    if whole is not None and parts is not None:
        assert whole == parts


def _chunks(pieces: list[bytes]) -> tuple[bytes, bool] | None:
    body, rest, read = ChunkedBody(), b"", b""
    try:
        for piece in pieces:
            if not body.ended:
                found, rest = body.feed(rest + piece)
                read += b"".join(found)
    except Refused:
        return None
    return read, body.ended


@target
def event_stream(data: bytes) -> None:
    """An event stream: cut into single bytes it holds the same events."""
    assert _events([data]) == _events([data[i : i + 1] for i in range(len(data))])


def _events(pieces: list[bytes]) -> list[eventstream.Event] | None:
    found: list[eventstream.Event] = []
    reader = eventstream.EventReader(found.append, 1 << 16)
    try:
        for piece in pieces:
            reader.feed(piece)
    except McpTwistError:
        return None
    return found


@target
def event_writer(data: bytes) -> None:
    """Whatever a message says, it is one event, and is read again as it was meant."""
    try:
        found = messages.decode(data)
    except McpTwistError:
        return
    written = b"".join(bytes(part) for part in eventstream.event(messages.pieces(found), b"1-2"))
    events = _events([written])
    assert events is not None
    assert [(each.kind, each.id) for each in events] == [("message", "1-2")]
    assert events[0].data.encode() == messages.encode(found)


@target
def line_splitter(data: bytes) -> None:
    """Lines of a child: cut anywhere they are the same."""
    middle = len(data) // 3
    assert _lines([data]) == _lines([data[:middle], data[middle:]])


def _lines(pieces: list[bytes]) -> list[bytes]:
    found: list[bytes] = []
    splitter = lines.LineSplitter(lambda line: found.append(bytes(line)), lambda _: None, 64)
    for piece in pieces:
        splitter.feed(piece)
    return found


@target
def configuration(data: bytes) -> None:
    """A configuration file is read, or every mistake in it is told."""
    for name in ("mcp.json", "mcp.toml"):
        loaded = config.load(data, name, {"HOME": "/home/somebody"})
        config.report(loaded)
        assert loaded.config is not None or loaded.mistakes


@target
def http1_connection(data: bytes) -> None:
    """A whole HTTP/1.1 connection: whatever comes, nothing is raised and nothing leaks."""
    front = Front()
    wire = front.talk(data)
    assert b"Traceback" not in wire.value()
    assert front.counters.failures == 0


@target
def http2_connection(data: bytes) -> None:
    """A whole HTTP/2 connection, after a good preface."""
    front = Front()
    wire = Wire(hostAddress=_ADDRESS)
    wire.protocol = connection = HTTP2Connection(front.factory)
    connection.makeConnection(wire)
    connection.dataReceived(_PREFACE)
    if not wire.disconnecting:
        connection.dataReceived(data)
    assert front.counters.failures == 0


@target
def http2_codec(data: bytes) -> None:
    """What a client says over HTTP/2, cut into single bytes: the same is heard and answered."""
    assert _codec([data]) == _codec([data[i : i + 1] for i in range(len(data))])


def _codec(pieces: list[bytes]) -> tuple[list[Any], bytes, int | None]:
    user, problem = _Heard(), None
    codec = user.codec = Codec(user, CodecLimits(), lambda: 0.0)
    try:
        for piece in (_PREFACE, *pieces):
            codec.receive(piece)
    except ConnectionFailed as failed:
        problem = failed.code
    return user.told, codec.output(), problem


class _Heard:
    """Writes down what it is told, answers each request and uses each body."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.codec: Any = None

    def __getattr__(self, name: str) -> Any:
        return lambda *what: self.told.append((name, *what))

    def opened(self, stream: int, fields: Any, ended: bool) -> None:
        self.told.append((stream, tuple(fields), ended))
        self.codec.send_fields(stream, [(b":status", b"200")], False)
        self.codec.send_data(stream, b"x" * min(5, self.codec.window(stream)), ended)

    def body(self, stream: int, data: bytes, cost: int, ended: bool) -> None:
        self.told.append((stream, data, ended))
        self.codec.hand_back(stream, cost)
        if ended:
            self.codec.send_data(stream, b"", True)


@target
def header_block(data: bytes) -> None:
    """HPACK: a block that we can read means to us what it means to the hpack library."""
    try:
        fields = list(FieldReader(1 << 16).decode(data))
    except ConnectionFailed:
        return
    try:
        expected = list(Decoder(1 << 16).decode(data, raw=True))
    except HPACKError:
        return
    assert fields == [tuple(field) for field in expected]


@target
def http2_answers(data: bytes) -> None:
    """The asking end of an HTTP/2 connection: whatever comes, who asked is told how it ended."""
    clock, ends = Clock(), list[object]()
    client: Any = HTTP2Client(
        clock,
        HTTP2ClientLimits(),
        lambda: ends.append("retired"),
        lambda client: None,
        HTTP2ClientCounters(),
    )
    wire = Wire(hostAddress=_ADDRESS)
    wire.protocol = client
    client.makeConnection(wire)
    question = Question(b"GET", b"https://x/", b"x", b"/", Headers(), Body(None, 0))
    client.ask(question).addBoth(ends.append)
    clock.advance(0)
    client.dataReceived(data)
    clock.advance(0)
    if wire.connected:
        wire.lose()
    assert len(ends) == 2, ends


@target
def websocket_connection(data: bytes) -> None:
    """A whole WebSocket, after a good handshake, cut in two or not."""
    for pieces in ([data], [data[: len(data) // 2], data[len(data) // 2 :]]):
        front = SocketFront()
        socket = front.open()
        for piece in pieces:
            if not socket.wire.is_closed:
                socket.wire.protocol.dataReceived(piece)
                front.clock.advance(0)
        assert front.counters.failures == 0
        frames(socket.wire.value())


@target
def request_state(data: bytes) -> None:
    """A ``requestState`` that was not given out is never taken."""
    table = held.Held(Clock(), lambda size: b"k" * size)
    request = Request(1, "tools/call", b'{"name":"x"}')
    good = table.hold(object(), request, "ann")
    guess = data.decode("latin-1")
    if guess == good:
        return
    try:
        table.take(guess, request, "ann")
    except McpTwistError:
        return
    raise AssertionError("a forged state was taken")


for each in keytargets.ALL:
    target(each)
