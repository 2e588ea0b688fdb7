"""The fakes keep the promises of what they stand for."""

from __future__ import annotations

import os

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFDSet, IReactorTime
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from mcptwist.errors import ServerExited, ServerStartFailed
from mcptwist.interfaces import IWireReader
from mcptwist.messages import Message
from tests.contracts.wires import WORDS, ConnectorContract, WireContract
from tests.fakes import FakeConnector, FakeReader, FakeWire, PipeReactor


class FakeRig:
    def __init__(self) -> None:
        self.clock = Clock()
        self.reader = FakeReader()
        self.wire = FakeWire(self.reader, clock=self.clock)

    def say(self, *messages: Message) -> None:
        self.wire.receive(*messages)

    def heard(self) -> list[Message]:
        return self.wire.sent

    def leave(self) -> None:
        self.wire.lose(ServerExited("it left"))

    def turn(self) -> None:
        self.clock.advance(0)


class FakeWireContract(WireContract, SynchronousTestCase):
    def make_rig(self) -> FakeRig:
        return FakeRig()


class FakeConnectorContract(ConnectorContract, SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()

    def make_connector(self) -> FakeConnector:
        return FakeConnector(clock=self.clock)

    def make_failing_connector(self) -> FakeConnector:
        return FakeConnector([ServerStartFailed("as planned")])

    def turn(self) -> None:
        self.clock.advance(0)

    def test_it_waits_as_planned(self) -> None:
        permission: Deferred[None] = Deferred()
        connector = FakeConnector([permission])
        connecting = connector.connect(FakeReader())
        self.assertNoResult(connecting)
        permission.callback(None)
        self.assertIs(self.successResultOf(connecting), connector.wire)


class FakeReaderTests(SynchronousTestCase):
    def test_it_is_a_reader(self) -> None:
        verifyObject(IWireReader, FakeReader())

    def test_it_says_when_it_was_told(self) -> None:
        reader = FakeReader()
        two = reader.when_told(2)
        reader.received(WORDS[0])
        self.assertNoResult(two)
        reader.received(WORDS[1])
        self.successResultOf(two)
        self.successResultOf(reader.when_told(1))


class PipeReactorTests(SynchronousTestCase):
    def test_it_is_a_reactor(self) -> None:
        verifyObject(IReactorFDSet, PipeReactor())
        verifyObject(IReactorTime, PipeReactor())

    def test_it_reads_what_is_ready(self) -> None:
        near, far = os.pipe()
        self.addCleanup(os.close, near)
        self.addCleanup(os.close, far)
        reactor, told = PipeReactor(), []

        class Reader:
            def fileno(self) -> int:
                return near

            def doRead(self) -> None:
                told.append(os.read(near, 10))

        reactor.addReader(Reader())  # type: ignore[arg-type]
        reactor.turn()
        self.assertEqual(told, [])
        os.write(far, b"x")
        reactor.turn(2)
        self.assertEqual(told, [b"x"])
