"""Messages as lines on a stream."""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHalfCloseableProtocol, IProtocolFactory
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from mcptwist.caller import Caller
from mcptwist.messages import Message, Notification, Request, Result, decode, encode
from mcptwist.protocols.bytestream import (
    ByteStreamConnector,
    ByteStreamWire,
    LineFactory,
)
from mcptwist.protocols.linelimits import LineCounters, LineLimits
from tests.contracts.wires import WORDS, ConnectorContract, WireContract
from tests.fakes import FakeReader
from tests.joined import End, Network


class Lines:
    """The far end of a stream: what it reads, and what it writes."""

    def __init__(self) -> None:
        self.data = b""
        self.lost = False

    def makeConnection(self, transport: Any) -> None:
        self.transport = transport

    def dataReceived(self, data: bytes) -> None:
        self.data += data

    def connectionLost(self, reason: Failure) -> None:
        self.lost = True

    def say(self, *messages: Message) -> None:
        for message in messages:
            self.transport.write(encode(message) + b"\n")

    def heard(self) -> list[Message]:
        *lines, rest = self.data.split(b"\n")
        assert rest == b""
        return [decode(line) for line in lines]


class StreamRig:
    def __init__(self, limits: LineLimits | None = None) -> None:
        self.network = Network()
        self.reader = FakeReader()
        self.busy = False
        self.counters = LineCounters()
        self.wire = ByteStreamWire(
            self.reader,
            self.network.clock,
            limits or LineLimits(),
            "stream",
            busy=lambda: self.busy,
            counters=self.counters,
        )
        self.far = Lines()
        self.near_end, self.far_end = self.network.join(self.wire, self.far)

    def say(self, *messages: Message) -> None:
        self.far.say(*messages)

    def heard(self) -> list[Message]:
        return self.far.heard()

    def leave(self) -> None:
        self.far_end.loseConnection()
        self.turn()

    def turn(self) -> None:
        self.network.turn()


class ByteStreamContract(WireContract, SynchronousTestCase):
    def make_rig(self) -> StreamRig:
        return StreamRig()


class ByteStreamConnectorContract(ConnectorContract, SynchronousTestCase):
    def setUp(self) -> None:
        self.network = Network()

    def make_connector(self) -> ByteStreamConnector:
        factory = _Far()
        return ByteStreamConnector(
            "unix:/x", self.network.clock, endpoint=lambda *_: self.network.endpoint(factory)
        )

    def make_failing_connector(self) -> ByteStreamConnector:
        self.network.up = False
        return self.make_connector()

    def turn(self) -> None:
        self.network.turn()


class _Far:
    def buildProtocol(self, address: Any) -> Lines:
        return Lines()


class ByteStreamTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.rig = StreamRig(LineLimits(line=1000, backlog=1000))
        self.wire, self.reader, self.far = self.rig.wire, self.rig.reader, self.rig.far

    def turn(self, seconds: float = 0) -> None:
        self.rig.network.turn(seconds)

    def test_it_may_be_half_closed(self) -> None:
        verifyObject(IHalfCloseableProtocol, self.wire)

    def test_empty_lines_are_nothing(self) -> None:
        self.far.transport.write(b"\n  \n\r\n")
        self.turn()
        self.assertEqual(self.reader.told, [])

    def test_what_is_no_message_is_told(self) -> None:
        self.far.transport.write(b"hello\n" + b"x" * 2000 + b"\n")
        self.far.say(WORDS[0])
        self.turn()
        self.assertEqual(len(self.reader.problems), 2)
        self.assertEqual(len(self.reader.messages), 1)

    def test_a_last_line_needs_no_end(self) -> None:
        self.far.transport.write(encode(WORDS[0]))
        self.turn()
        self.wire.readConnectionLost()
        self.turn()
        self.assertEqual(len(self.reader.messages), 1)

    def test_it_may_be_finished(self) -> None:
        """No more is read; what was asked is answered, and then it is gone."""
        self.rig.busy = True
        self.far.say(Request(1, "ping"))
        self.turn()
        self.wire.finish()
        self.wire.finish()
        self.far.say(Request(2, "ping"))
        self.turn(3)
        self.assertFalse(self.far.lost)
        self.assertEqual(len(self.reader.messages), 1)
        self.rig.busy = False
        self.wire.send(Result(1, b"{}"))
        self.turn()
        self.assertEqual(len(self.far.heard()), 1)
        self.assertTrue(self.far.lost)

    def test_no_timer_stays(self) -> None:
        """Whoever closed its side, waited for answers and was closed leaves nothing to wait for."""
        self.rig.busy = True
        self.wire.readConnectionLost()
        self.rig.network.turn(0)
        closed = self.wire.close()
        self.turn()
        self.successResultOf(closed)
        self.assertEqual(self.rig.network.clock.getDelayedCalls(), [])

    def test_what_was_asked_before_the_end_is_answered(self) -> None:
        self.rig.busy = True
        self.far.say(Request(1, "ping"))
        self.turn()
        self.wire.readConnectionLost()
        self.turn(3)
        self.assertFalse(self.far.lost)
        self.rig.busy = False
        self.wire.send(Result(1, b"{}"))
        self.turn()
        self.assertEqual(len(self.far.heard()), 1)
        self.assertTrue(self.far.lost)
        self.assertEqual(len(self.reader.reasons), 1)

    def test_but_not_for_ever(self) -> None:
        self.rig.busy = True
        self.wire.readConnectionLost()
        self.turn(11)
        self.assertTrue(self.far.lost)

    def test_without_a_question_the_end_is_the_end(self) -> None:
        self.wire.readConnectionLost()
        self.turn()
        self.assertTrue(self.far.lost)

    def test_a_far_end_that_does_not_hear_any_more(self) -> None:
        self.wire.writeConnectionLost()
        self.turn()
        self.assertEqual(len(self.reader.reasons), 1)

    def test_one_that_does_not_read_is_read_no_more(self) -> None:
        self.wire.pauseProducing()
        self.wire.send(WORDS[0])
        self.far.say(WORDS[0])
        self.turn()
        self.assertEqual((self.far.heard(), self.reader.told), ([], []))
        self.assertGreater(self.wire.backlog, 0)
        self.wire.resumeProducing()
        self.turn()
        self.assertEqual((len(self.far.heard()), len(self.reader.told)), (1, 1))
        self.assertEqual(self.wire.backlog, 0)

    def test_a_reader_that_paused_is_not_woken_by_that(self) -> None:
        self.wire.pause()
        self.wire.pauseProducing()
        self.wire.resumeProducing()
        self.assertEqual(self.rig.near_end.producerState, "paused")
        self.wire.resume()
        self.assertEqual(self.rig.near_end.producerState, "producing")

    def test_one_that_lets_it_overflow_is_let_go(self) -> None:
        self.wire.pauseProducing()
        for _ in range(60):
            self.wire.send(Notification("notifications/x"))
        self.turn()
        self.assertIn("does not read", self.reader.reasons[0].message)
        self.assertEqual(self.wire.backlog, 0)
        self.assertEqual(self.rig.counters.overflowed, 1)

    def test_one_that_does_not_take_the_rest_is_left(self) -> None:
        self.wire.send(WORDS[0])
        self.rig.near_end.full = True
        closed = self.wire.close()
        self.turn()
        self.assertNoResult(closed)
        self.turn(3)
        self.successResultOf(closed)
        self.assertEqual(self.rig.counters.abandoned, 1)

    def test_large_messages(self) -> None:
        payload = b'"' + b"x" * 200_000 + b'"'
        self.wire.send(Result(1, payload))
        self.turn()
        (message,) = self.far.heard()
        self.assertEqual(bytes(message.result), payload)  # type: ignore[union-attr]


class LineFactoryTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.made: list[Caller] = []
        self.factory = LineFactory(self.make, self.clock, LineLimits(connections=2))

    def make(self) -> Caller:
        caller: Any = FakeReader()
        caller.waits = lambda: False
        caller.told_flow = lambda runs: None
        self.made.append(caller)
        return caller  # type: ignore[no-any-return]

    def connect(self) -> ByteStreamWire | None:
        wire = self.factory.buildProtocol(None)
        if wire is not None:
            end = End(1)
            end.other, end.protocol = End(2), wire
            end.other.gone = True
            wire.makeConnection(end)
        return wire

    def test_it_is_a_factory(self) -> None:
        verifyObject(IProtocolFactory, self.factory)

    def test_each_connection_is_a_client(self) -> None:
        wires = [self.connect(), self.connect()]
        self.assertEqual(self.factory.connections, set(wires))
        self.assertEqual([caller.wire for caller in self.made], wires)

    def test_there_may_be_so_many(self) -> None:
        first = self.connect()
        self.connect()
        self.assertIsNone(self.connect())
        counted = self.factory.counters
        self.assertEqual((counted.opened, counted.refused), (2, 1))
        assert first is not None
        first.connectionLost(Failure(ConnectionDone()))
        self.assertIsNotNone(self.connect())

    def test_draining_closes_all(self) -> None:
        self.connect()
        drained = self.factory.drain()
        for wire in list(self.factory.connections):
            wire.connectionLost(Failure(ConnectionDone()))
        self.clock.advance(0)
        self.successResultOf(drained)
        self.assertEqual(self.factory.connections, set())
