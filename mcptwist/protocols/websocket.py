"""WebSocket, the answering end: one JSON-RPC message per text frame.

No revision of MCP specifies this wire; ``docs/wires/websocket.rst`` does. It is
the stdio binding over frames: a legacy client's session is its connection, and
modern requests stand alone on it. Autobahn does RFC 6455.

Sent messages wait in a bounded queue while the client does not read; a client
that lets it overflow, or takes nothing for too long, is let go.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec
import txaio
import txaio.tx
from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from autobahn.websocket import USES_NVX
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocol, IPushProducer, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.server import NOT_DONE_YET
from zope.interface import implementer

from mcptwist.caller import Caller
from mcptwist.errors import ClientError, ClientGone
from mcptwist.interfaces import IWire, IWireReader
from mcptwist.messages import Message, decode, encode
from mcptwist.protocols.request import IAsksEarly

if TYPE_CHECKING:
    from mcptwist.protocols.request import Request

txaio.use_twisted()

PROTOCOL = "mcp"
GOING_AWAY, UNSUPPORTED_DATA, POLICY, TRY_LATER = 1001, 1003, 1008, 1013


class WebSocketLimits(msgspec.Struct, frozen=True):
    """Bounds of one connection.

    :ivar message: bytes that a message may have, in one frame or several.
    :ivar backlog: bytes that may wait for a client that does not read.
    :ivar ping: seconds of silence after which the client is asked for a sign of life.
    :ivar ping_timeout: seconds it has to give one.
    :ivar handshake: seconds that opening may take.
    :ivar closing: seconds that closing may take.
    """

    message: int = 16 << 20
    backlog: int = 16 << 20
    ping: float = 20.0
    ping_timeout: float = 20.0
    handshake: float = 5.0
    closing: float = 2.0


class WebSocketCounters(msgspec.Struct):
    """What happened on all connections so far.

    :ivar binary: closed for a binary frame.
    :ivar overflowed: closed because too much waited for the client.
    """

    opened: int = 0
    closed: int = 0
    binary: int = 0
    overflowed: int = 0


def check_speed() -> None:
    """Refuse to run without Autobahn's compiled masking and validation.

    Without them a message of 64 KB costs forty times as much.

    :raises RuntimeError: telling what to do.
    """
    if not USES_NVX:
        raise RuntimeError(
            "Autobahn runs without its compiled parts (NVX): unset AUTOBAHN_USE_NVX, or "
            "reinstall autobahn from a wheel for this platform"
        )


@implementer(IWire, IPushProducer)
class WebSocketWire(WebSocketServerProtocol):
    """One client's connection."""

    log = Logger()
    transport: Any

    def __init__(self, reader: IWireReader, limits: WebSocketLimits, counters: Any) -> None:
        super().__init__()
        self.description = "a WebSocket"
        self._reader = reader
        self._limits = limits
        self._counters = counters
        self._queue: deque[bytes] = deque()
        self._queued = 0
        self._flowing = True
        self._told_lost = False
        self._gone: list[Deferred[None]] = []

    # --- what Autobahn calls ----------------------------------------------------------

    def dataReceived(self, data: bytes) -> None:
        """Called with what arrived; Autobahn's own describes it in the log first, at a cost."""
        self._dataReceived(data)

    def onConnect(self, request: Any) -> str | None:
        """Called with the opening handshake: the sub-protocol to speak."""
        return PROTOCOL if PROTOCOL in request.protocols else None

    def onOpen(self) -> None:
        """Called when the connection is open."""
        self._counters.opened += 1
        self.transport.registerProducer(self, True)

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        """Called with each message."""
        if isBinary:
            self._counters.binary += 1
            self.sendClose(UNSUPPORTED_DATA, "messages are text frames")
            return
        try:
            message = decode(payload)
        except ClientError as problem:
            self._reader.malformed(problem)
            return
        self._reader.received(message)

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        """Called when the connection is gone."""
        self._counters.closed += 1
        self._queue.clear()
        self._queued = 0
        if not self._told_lost:
            self._told_lost = True
            self._reader.lost(ClientGone(f"the WebSocket was closed ({code})"))
        gone, self._gone = self._gone, []
        for deferred in gone:
            deferred.callback(None)

    # --- what the transport calls -----------------------------------------------------

    def pauseProducing(self) -> None:
        """Called when the client does not read: keep what is sent, and read no more of it."""
        self._flowing = False
        self.pause()

    def resumeProducing(self) -> None:
        """Called when the client reads again."""
        self._flowing = True
        self.resume()
        while self._queue and self._flowing:
            text = self._queue.popleft()
            self._queued -= len(text)
            self.sendMessage(text)

    def stopProducing(self) -> None:
        """Called when the connection is gone."""

    # --- what the house asks ----------------------------------------------------------

    @property
    def backlog(self) -> int:
        """Bytes that wait for the client."""
        return self._queued

    def send(self, message: Message) -> None:
        """Send *message*, or keep it while the client does not read."""
        text = encode(message)
        if self._flowing and not self._queue:
            self.sendMessage(text)
            return
        self._queue.append(text)
        self._queued += len(text)
        if self._queued > self._limits.backlog:
            self._counters.overflowed += 1
            self._queue.clear()
            self._queued = 0
            self.dropConnection(abort=True)

    def pause(self) -> None:
        """Read no more."""
        self.transport.pauseProducing()

    def resume(self) -> None:
        """Read on."""
        self.transport.resumeProducing()

    def close(self, code: int = GOING_AWAY, reason: str = "the daemon stops") -> Deferred[None]:
        """Close in good order; Autobahn drops a client that does not answer in time."""
        gone: Deferred[None] = Deferred()
        if self._told_lost:
            gone.callback(None)
            return gone
        self._gone.append(gone)
        self.sendClose(code, reason)
        return gone

    def dropConnection(self, abort: bool = False) -> None:
        """Called to end the TCP connection, in good order or at once."""
        self.transport.unregisterProducer()
        super().dropConnection(abort)


@implementer(IAsksEarly)
class WebSocketPlace:
    """The URL where WebSockets are opened.

    :param make_caller: makes the client of a new connection, from its request.
    :param clock: of pings and deadlines.
    :ivar wires: those open now.
    """

    isLeaf = True

    def __init__(
        self,
        make_caller: Callable[[Request], Caller],
        clock: IReactorTime,
        limits: WebSocketLimits | None = None,
        counters: WebSocketCounters | None = None,
    ) -> None:
        check_speed()
        self.wires: set[WebSocketWire] = set()
        self._make_caller = make_caller
        self._limits = limits or WebSocketLimits()
        self._counters = counters or WebSocketCounters()
        self._factory = _factory(clock, self._limits)

    def getChildWithDefault(self, name: bytes, request: Request) -> Any:
        """There is nothing below."""
        raise AssertionError("isLeaf")

    def putChild(self, name: bytes, child: Any) -> None:
        """There is nothing below."""
        raise AssertionError("isLeaf")

    def render(self, request: Request) -> int:
        """Open a WebSocket, or say that nothing else is to be had here."""
        if request.method != b"GET" or not _wants_websocket(request):
            headers = [(b"upgrade", b"websocket"), (b"content-type", b"text/plain")]
            request.respond(426, headers, b"This URL is for WebSockets.\n")
            return NOT_DONE_YET
        self._open(request)
        return NOT_DONE_YET

    def _open(self, request: Request) -> None:
        caller = self._make_caller(request)
        wire = WebSocketWire(caller, self._limits, self._counters)
        caller.wire = wire
        wire.factory = self._factory
        self.wires.add(wire)
        handshake = _head(request)
        request.upgrade(_Following(wire, self.wires.discard))
        wire.dataReceived(handshake)

    def close(self) -> list[Deferred[None]]:
        """The daemon stops: close all in good order."""
        return [wire.close() for wire in list(self.wires)]


@implementer(IProtocol)
class _Following:
    """Follows a WebSocket to its end, to strike it off the list.

    :param told: called with the wire when it is gone.
    """

    def __init__(self, wire: WebSocketWire, told: Callable[[WebSocketWire], None]) -> None:
        self._wire = wire
        self._told = told

    def makeConnection(self, transport: Any) -> None:
        """Called with the transport."""
        self._wire.makeConnection(transport)

    def connectionMade(self) -> None:
        """Called by nobody: the wire is told by its own ``makeConnection``."""

    def dataReceived(self, data: bytes) -> None:
        """Called with what arrived."""
        self._wire.dataReceived(data)

    def connectionLost(self, reason: Failure) -> None:
        """Called when the connection is gone."""
        self._told(self._wire)
        self._wire.connectionLost(reason)


def _factory(clock: IReactorTime, limits: WebSocketLimits) -> WebSocketServerFactory:
    factory = WebSocketServerFactory(reactor=clock)
    factory.setProtocolOptions(
        maxFramePayloadSize=limits.message,
        maxMessagePayloadSize=limits.message,
        autoPingInterval=limits.ping,
        autoPingTimeout=limits.ping_timeout,
        autoPingRestartOnAnyTraffic=True,
        openHandshakeTimeout=limits.handshake,
        closeHandshakeTimeout=limits.closing,
        failByDrop=False,
        tcpNoDelay=True,
        allowNullOrigin=True,
    )
    # Autobahn's timers go by the global reactor unless they are told otherwise.
    timers: Any = txaio.tx.with_config(loop=clock)
    factory._batched_timer = timers.make_batched_timer(0.2, 1000)
    return factory


def _wants_websocket(request: Request) -> bool:
    upgrade = request.header(b"upgrade") or b""
    connection = request.header(b"connection") or b""
    tokens = {token.strip().lower() for token in connection.split(b",")}
    return upgrade.lower() == b"websocket" and b"upgrade" in tokens


def _head(request: Request) -> bytes:
    """The request as Autobahn wants to read it, once more.

    ``Origin`` was judged by the guard already, for all wires alike.
    """
    lines = [b"%b %b HTTP/1.1" % (request.method, request.uri)]
    lines += [b"%b: %b" % pair for pair in request.raw_headers if pair[0] != b"origin"]
    return b"\r\n".join([*lines, b"", b""])
