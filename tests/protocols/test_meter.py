"""``mcptwist.protocols.meter``: what is counted of one connection."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.caller import Caller
from mcptwist.protocols.bytestream import LineFactory
from mcptwist.protocols.meter import HTTP1, Meter
from tests.protocols.front import HOST, Front, Wire
from tests.protocols.h2front import ECHO, POST, REST, Client, Front2


class MeterTests(SynchronousTestCase):
    """The meter by itself."""

    def test_last_used(self) -> None:
        """It was used last when it was found to have moved."""
        meter = Meter(HTTP1, 5.0)
        self.assertEqual(meter.last_used(8.0), 5.0)
        meter.sent += 1
        self.assertEqual(meter.last_used(9.0), 9.0)
        self.assertEqual(meter.last_used(12.0), 9.0)


class HTTP1MeterTests(SynchronousTestCase):
    """On an HTTP/1.1 connection."""

    def setUp(self) -> None:
        self.front = Front()

    def ask(self, wire: Wire, path: bytes) -> int:
        request = b"GET %b HTTP/1.1\r\n%b\r\n" % (path, HOST)
        wire.protocol.dataReceived(request)
        return len(request)

    def test_counts(self) -> None:
        """Every byte of both directions, and each request."""
        wire = self.front.connect()
        size = self.ask(wire, b"/stock") + self.ask(wire, b"/stock")
        meter = wire.protocol.meter
        self.assertEqual((meter.requests, meter.received), (2, size))
        self.assertEqual(meter.sent, len(wire.value()))
        wire.lose()

    def test_streamed_and_large_answers(self) -> None:
        """Streamed answers and those that have to wait are counted as they leave."""
        wire = self.front.connect()
        self.ask(wire, b"/held")
        (request,) = self.front.held.requests
        self.assertEqual(wire.protocol.in_flight, 1)
        request.start(200, [])
        request.write(b"some")
        wire.full = True
        request.write(b"x" * 300_000)
        self.assertEqual(wire.protocol.meter.sent, len(wire.value()))
        wire.taken()
        request.finish()
        self.assertEqual(wire.protocol.meter.sent, len(wire.value()))
        self.assertGreater(wire.protocol.meter.sent, 300_000)
        self.assertEqual(wire.protocol.in_flight, 0)
        wire.lose()

    def test_sweep(self) -> None:
        """The sweep sees which are used."""
        wire = self.front.connect()
        self.front.clock.advance(2.0)
        self.ask(wire, b"/stock")
        self.front.clock.advance(1.0)
        self.front.clock.advance(1.0)
        self.assertEqual(wire.protocol.meter.last_used(10.0), 3.0)
        wire.lose()

    def test_drain_one(self) -> None:
        """One that is answering closes after its answer when it is told to leave."""
        wire = self.front.connect()
        self.ask(wire, b"/held")
        wire.protocol.drain()
        self.assertFalse(wire.is_closed)
        self.front.held.requests[0].respond(200, [], b"x")
        self.assertTrue(wire.is_closed)
        self.assertIn(b"Connection: close", wire.value())


class HTTP2MeterTests(SynchronousTestCase):
    """On an HTTP/2 connection."""

    def test_counts(self) -> None:
        """Every byte that was read and written, and each request."""
        client = Client(Front2())
        client.ask(POST, ECHO, *REST, body=b"hello")
        meter = client.wire.protocol.meter
        self.assertEqual(meter.requests, 1)
        self.assertGreater(meter.received, 5)
        self.assertGreater(meter.sent, 5)
        client.wire.lose()


class LineMeterTests(SynchronousTestCase):
    """On a socket whose messages are lines."""

    def test_counts(self) -> None:
        """Bytes of both directions, messages, and who it is."""
        clock = Clock()
        made: list[Caller] = []

        def caller() -> Caller:
            made.append(Caller(None, lambda view, principal: None))  # type: ignore[arg-type, return-value]
            return made[-1]

        wire = LineFactory(caller, clock).buildProtocol(None)
        assert wire is not None
        transport = StringTransport()
        wire.makeConnection(transport)
        wire.dataReceived(b'{"jsonrpc":"2.0","id":1,"method":"ping"}\n\n')
        clock.pump([0.0] * 4)
        self.assertEqual((wire.meter.requests, wire.meter.received), (1, 42))
        self.assertEqual(wire.meter.sent, len(transport.value()))
        self.assertGreater(wire.meter.sent, 0)
        self.assertIs(wire.meter.caller, made[0])
        wire.abort()
