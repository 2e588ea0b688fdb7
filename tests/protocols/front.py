"""A site in memory: connections to it are string transports, its time is a clock we turn."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.interfaces import IPushProducer, ISSLTransport
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET
from zope.interface import directlyProvides, implementer

from mcptwist.protocols.http1 import HTTP1Connection
from mcptwist.protocols.http1factory import HTTP1Factory
from mcptwist.protocols.limits import Limits
from mcptwist.protocols.request import IAsksEarly, Request
from mcptwist.protocols.site import HostGuard, Site

PORT = 8080
HOST = b"Host: localhost:8080\r\n"
SENTINEL = b"GET /stock HTTP/1.1\r\n" + HOST + b"\r\n"


class Wire(StringTransport):
    """A transport that half-closes, aborts, and holds writes back when told to.

    :ivar full: while True, whatever is written stays in the transport.
    """

    protocol: HTTP1Connection
    full = False
    half_closed = False
    aborted = False
    producer_paused = False

    def write(self, data: bytes) -> None:
        if self.disconnecting or self.aborted or self.half_closed:
            return
        super().write(data)
        if self.full and not self.producer_paused and self.producer is not None:
            self.producer_paused = True
            self.producer.pauseProducing()

    def writeSequence(self, data: Iterable[bytes]) -> None:
        self.write(b"".join(data))

    def taken(self) -> None:
        """The client has read all there was."""
        self.full = self.producer_paused = False
        if self.producer is not None:
            self.producer.resumeProducing()

    def loseWriteConnection(self) -> None:
        self.half_closed = True

    def abortConnection(self) -> None:
        if not self.aborted:
            self.aborted = True
            self.lose(ConnectionAborted())

    def lose(self, reason: Exception | None = None) -> None:
        """The connection is gone."""
        self.connected = False
        self.protocol.connectionLost(Failure(reason or ConnectionDone()))

    @property
    def is_closed(self) -> bool:
        return self.disconnecting or self.half_closed or self.aborted


@implementer(IAsksEarly)
class Early(Resource):
    """Keeps the requests it was asked, and does what it is told with each."""

    isLeaf = True

    def __init__(self, act: Callable[[Request], object]) -> None:
        super().__init__()
        self.requests: list[Request] = []
        self.act = act

    def render(self, request: Request) -> int:
        self.requests.append(request)
        self.act(request)
        return NOT_DONE_YET


def echo(request: Request) -> None:
    """Answer with the body, once it is there."""
    request.receive_body(
        1000, lambda body: request.respond(200, [(b"Content-Type", b"text/plain")], body)
    )


class Stock(Resource):
    """An ordinary resource."""

    isLeaf = True

    def render_GET(self, request: Any) -> bytes:
        return b"hello"

    def render_POST(self, request: Any) -> bytes:
        data: bytes = request.content.read()
        return data


class Front:
    """A factory, a site and a clock; :meth:`connect` makes connections."""

    def __init__(self, limits: Limits | None = None, guard: HostGuard | None = None) -> None:
        self.clock = Clock()
        self.root = Resource()
        self.echo = Early(echo)
        self.held = Early(lambda request: None)
        self.root.putChild(b"stock", Stock())
        self.root.putChild(b"echo", self.echo)
        self.root.putChild(b"held", self.held)
        limits = limits or Limits()
        self.site = Site(self.root, guard or HostGuard(), limits, clock=self.clock)
        self.counters = self.site.counters
        self.factory = HTTP1Factory(self.site, self.clock, limits, now=lambda: 0)

    def connect(self, secure: bool = False, port: int = PORT) -> Wire:
        connection = self.factory.buildProtocol(None)
        assert connection is not None
        wire = Wire(hostAddress=IPv4Address("TCP", "127.0.0.1", port))
        if secure:
            directlyProvides(wire, ISSLTransport)
        wire.protocol = connection
        connection.makeConnection(wire)
        return wire

    def talk(self, *segments: bytes) -> Wire:
        """A fresh connection on which these segments have arrived."""
        wire = self.connect()
        for segment in segments:
            wire.protocol.dataReceived(segment)
        return wire


def answers(data: bytes) -> list[tuple[int, dict[bytes, bytes], bytes]]:
    """Status, headers by lower-cased name, and body of each answer; strict about framing.

    Not for answers to HEAD, nor for bodies ended by the end of the connection.
    """
    found = []
    while data:
        head, _, data = data.partition(b"\r\n\r\n")
        status_line, *lines = head.split(b"\r\n")
        assert status_line.startswith(b"HTTP/1.1 "), status_line
        headers = {}
        for line in lines:
            name, _, value = line.partition(b": ")
            headers[name.lower()] = value
        status = int(status_line.split(b" ")[1])
        if headers.get(b"transfer-encoding") == b"chunked":
            body, data = _unchunk(data)
        else:
            length = int(headers.get(b"content-length", b"0"))
            body, data = data[:length], data[length:]
            assert len(body) == length, (head, body)
        found.append((status, headers, body))
    return found


def _unchunk(data: bytes) -> tuple[bytes, bytes]:
    body = b""
    while True:
        line, _, data = data.partition(b"\r\n")
        size = int(line, 16)
        body, data = body + data[:size], data[size:]
        assert data[:2] == b"\r\n", data[:20]
        data = data[2:]
        if not size:
            return body, data


def statuses(wire: Wire) -> list[int]:
    return [status for status, _, _ in answers(wire.value())]


@implementer(IPushProducer)
class Producer:
    """Makes nothing.

    :ivar said: what it was told: ``pause``, ``resume``, ``stop``.
    """

    def __init__(self) -> None:
        self.said: list[str] = []

    def pauseProducing(self) -> None:
        self.said.append("pause")

    def resumeProducing(self) -> None:
        self.said.append("resume")

    def stopProducing(self) -> None:
        self.said.append("stop")
