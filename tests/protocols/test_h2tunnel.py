"""Tests of mcptwist.protocols.h2tunnel: WebSocket on an HTTP/2 stream (RFC 8441)."""

from __future__ import annotations

from typing import Any

import txaio.tx
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import ITransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from mcptwist.messages import Notification
from mcptwist.protocols.limits import Limits
from mcptwist.protocols.wsplace import WebSocketPlace
from tests.fakes import FakeReader
from tests.protocols.front import Early
from tests.protocols.h2front import GET, REST, STOCK, Client, Front2, Told

CONNECT = (b":method", b"CONNECT")
WEBSOCKET = (b":protocol", b"websocket")
VERSION = (b"sec-websocket-version", b"13")
MASK = b"\x01\x02\x03\x04"
CANCEL = 8


def masked(opcode: int, payload: bytes) -> bytes:
    """A frame of a WebSocket client, short enough for one byte of length."""
    text = bytes(byte ^ MASK[at % 4] for at, byte in enumerate(payload))
    return bytes([0x80 | opcode, 0x80 | len(payload)]) + MASK + text


class FakeCaller(FakeReader):
    """Also hears whether its client reads."""

    wire: Any = None

    def told_flow(self, runs: bool) -> None:
        """Nobody is to be held back."""


class Case(SynchronousTestCase):
    """A front, one client, and what a tunnel is opened to."""

    def setUp(self) -> None:
        self.front = Front2(Limits(linger_time=2))
        self.client: Client = self.front.client()

    def open(self, path: bytes, *fields: tuple[bytes, bytes]) -> Told:
        return self.client.ask(CONNECT, WEBSOCKET, (b":path", path), VERSION, *fields, end=False)

    def sweep(self, seconds: int) -> None:
        for _ in range(seconds):
            self.front.clock.advance(1)
            self.client.hear()


class WebSocketTests(Case):
    """The daemon's WebSocket, spoken on a stream."""

    def setUp(self) -> None:
        super().setUp()
        # txaio knows one reactor in all; here each test has a clock of its own.
        self.patch(txaio.tx.config, "loop", None)
        self.callers: list[Any] = []

        def make_caller(request: Any) -> Any:
            self.callers.append(FakeCaller())
            return self.callers[-1]

        self.place = WebSocketPlace(make_caller, self.front.clock)
        self.front.root.putChild(b"ws", self.place)
        self.addCleanup(self.client.wire.lose)

    def test_announced(self) -> None:
        """Clients are told that they may."""
        self.assertEqual(self.client.settings[8], 1)

    def test_messages(self) -> None:
        """Opened with 200 and the sub-protocol; messages go both ways."""
        told = self.open(b"/ws", (b"sec-websocket-protocol", b"mcp"))
        self.assertEqual((told.status, told.ended), (200, False))
        self.assertEqual(told.header(b"sec-websocket-protocol"), b"mcp")
        self.assertIsNone(told.header(b"upgrade") or told.header(b"sec-websocket-accept"))
        self.client.put(1, masked(1, b'{"jsonrpc":"2.0","method":"m"}'), end=False)
        self.assertEqual([m.method for m in self.callers[0].messages], ["m"])
        (wire,) = self.place.wires
        wire.send(Notification("n"))
        self.client.hear()
        self.assertIn(b'"method":"n"', told.body)

    def test_beside_others(self) -> None:
        """Other streams of the connection go on."""
        self.open(b"/ws")
        self.assertEqual(self.client.ask(GET, STOCK).body, b"hello")

    def test_closed_by_us(self) -> None:
        """Closed in good order: close frame, answer, end of the stream."""
        told = self.open(b"/ws")
        closed = self.place.close()
        self.client.hear()
        self.assertEqual(told.body[:4], b"\x88\x12\x03\xe9")
        self.client.put(1, masked(8, b"\x03\xe9"), end=False)
        self.assertTrue(told.ended)
        self.successResultOf(closed[0])
        self.assertEqual(self.place.wires, set())
        self.assertEqual(self.client.server.streams, {})

    def test_reset(self) -> None:
        """A client that gives the stream up is gone."""
        self.open(b"/ws")
        self.client.h2.reset_stream(1)
        self.client.flush()
        self.assertTrue(self.callers[0].reasons)
        self.assertEqual(self.place.wires, set())

    def test_connection_lost(self) -> None:
        """So is one whose connection is lost."""
        self.open(b"/ws")
        self.client.wire.lose()
        self.front.clock.advance(0)
        self.assertTrue(self.callers[0].reasons)

    def test_refused(self) -> None:
        """What Autobahn refuses is refused with its status, and the stream ends."""
        told = self.client.ask(CONNECT, WEBSOCKET, (b":path", b"/ws"), end=False)
        self.assertGreaterEqual(told.status, 400)
        self.assertTrue(told.ended)
        self.assertEqual(self.client.server.streams, {})

    def test_guarded(self) -> None:
        """Origins are judged as ever."""
        told = self.open(b"/ws", (b"origin", b"https://evil.example"))
        self.assertEqual((told.status, self.callers), (403, []))

    def test_slow_reader(self) -> None:
        """A client that does not read holds the wire back, and only that."""
        self.client.greedy = False
        told = self.open(b"/ws")
        (wire,) = self.place.wires
        for _ in range(12):
            wire.send(Notification("n", b'{"x":"' + b"y" * 10_000 + b'"}'))
            self.client.hear()
        self.assertGreater(wire.backlog, 0)
        self.client.greedy = True
        for stream in (1, None):
            self.client.h2.increment_flow_control_window(60_000, stream)
        self.client.flush()
        self.assertEqual(wire.backlog, 0)
        self.assertEqual(told.body.count(b"y"), 120_000)


class Recorder(Protocol):
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.data = b""
        self.gone: Failure | None = None

    def dataReceived(self, data: bytes) -> None:
        self.data += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.gone = reason


ACCEPTED = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\n\r\n"


class TransportTests(Case):
    """What a tunnel is to the protocol that took it over."""

    def setUp(self) -> None:
        super().setUp()
        self.protocol = Recorder()
        self.front.root.putChild(b"x", Early(lambda request: request.upgrade(self.protocol)))
        self.told = self.open(b"/x")

    @property
    def transport(self) -> Any:
        return self.protocol.transport

    def test_interface(self) -> None:
        """It provides what it says."""
        verifyObject(ITransport, self.transport)
        self.assertEqual(self.transport.getHost().port, 8080)
        self.assertIs(self.transport.getPeer(), self.client.server.peer)

    def test_head_in_pieces(self) -> None:
        """The answer to the handshake may come in pieces, with more after it."""
        for at in range(0, len(ACCEPTED), 7):
            self.assertEqual(self.told.status, 0)
            self.transport.write(ACCEPTED[at : at + 7])
        self.transport.writeSequence([b"a", b"b"])
        self.client.hear()
        self.assertEqual((self.told.status, self.told.body), (200, b"ab"))

    def test_no_head(self) -> None:
        """What is no answer ends the stream."""
        self.transport.write(b"x" * 20_000)
        self.client.hear()
        self.assertEqual(self.told.reset, CANCEL)
        self.assertIsNotNone(self.protocol.gone)

    def test_closed_before_the_head(self) -> None:
        """So does closing without one."""
        self.transport.loseConnection()
        self.client.hear()
        self.assertEqual(self.told.reset, CANCEL)

    def test_paused(self) -> None:
        """A protocol that wants no more gets no more, and the window closes."""
        self.transport.write(ACCEPTED)
        self.transport.pauseProducing()
        self.client.hear()
        self.client.put(1, b"x" * (1 << 20), end=False)
        self.assertEqual(self.protocol.data, b"")
        self.assertEqual(self.client.h2.local_flow_control_window(1), 0)
        self.transport.resumeProducing()
        self.client.hear()
        self.assertEqual(len(self.protocol.data), 1 << 20)
        self.assertEqual(self.client.h2.local_flow_control_window(1), 1 << 20)

    def test_client_ends(self) -> None:
        """When the client has said all, what waits is sent, and that is the end."""
        self.transport.write(ACCEPTED)
        self.client.hear()
        self.client.put(1, b"bye")
        self.assertEqual(self.protocol.data, b"bye")
        self.assertTrue(self.told.ended)
        assert self.protocol.gone is not None
        self.protocol.gone.trap(ConnectionDone)
        self.assertEqual(self.client.server.streams, {})

    def test_we_end(self) -> None:
        """When we have said all, the client has a moment to do the same."""
        self.transport.write(ACCEPTED + b"bye")
        self.transport.loseConnection()
        self.transport.write(b"never")
        self.client.hear()
        self.assertEqual((self.told.body, self.told.ended), (b"bye", True))
        self.client.put(1, b"late", end=False)
        self.assertEqual(self.protocol.data, b"")
        self.sweep(4)
        self.assertEqual(self.client.server.streams, {})

    def test_idle(self) -> None:
        """It may be silent for ever."""
        self.transport.write(ACCEPTED)
        self.sweep(200)
        self.assertIsNone(self.protocol.gone)

    def test_no_websocket_there(self) -> None:
        """A resource that answers as to a GET has opened nothing: the client is told so."""
        lost: list[Failure] = []

        def stream(request: Any) -> None:
            request.on_lost = lost.append
            request.start(200, [])
            request.write(b"data: 1\n\n")

        self.front.root.putChild(b"events", Early(stream))
        told = self.open(b"/events")
        self.assertEqual((told.status, len(lost)), (501, 1))
        self.assertEqual(self.open(b"/stock").status, 501)
        self.assertEqual(self.client.ask(GET, STOCK, *REST).status, 200)
