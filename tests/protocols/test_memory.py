"""Two wires joined in memory."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.errors import ClientGone, ServerExited
from mcptwist.messages import Message, Notification, Request
from mcptwist.protocols.memory import MemoryConnector, pair, weight
from tests.contracts.wires import WORDS, ConnectorContract, WireContract
from tests.fakes import FakeReader


class MemoryRig:
    def __init__(self) -> None:
        self.clock = Clock()
        self.wire, self.far = pair(self.clock)
        self.reader = self.wire.reader = FakeReader()
        self.far_reader = self.far.reader = FakeReader()

    def say(self, *messages: Message) -> None:
        for message in messages:
            self.far.send(message)

    def heard(self) -> list[Message]:
        return self.far_reader.messages

    def leave(self) -> None:
        self.far.close()

    def turn(self) -> None:
        while any(call.getTime() <= self.clock.seconds() for call in self.clock.getDelayedCalls()):
            self.clock.advance(0)


class MemoryWireContract(WireContract, SynchronousTestCase):
    def make_rig(self) -> MemoryRig:
        return MemoryRig()


class MemoryWireTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.rig = MemoryRig()
        self.wire, self.far, self.clock = self.rig.wire, self.rig.far, self.rig.clock

    def test_a_burst_takes_one_turn(self) -> None:
        for message in WORDS:
            self.wire.send(message)
        self.assertEqual(self.rig.heard(), [])
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.clock.advance(0)
        self.assertEqual(self.rig.heard(), WORDS)

    def test_two_that_answer_at_once_take_turns(self) -> None:
        """Else they would keep the reactor to themselves."""
        turns: list[Any] = []
        self.wire._clock = self.far._clock = SimpleNamespace(  # type: ignore[assignment]
            callLater=lambda delay, told: turns.append(told)
        )
        self.rig.reader.received = self.wire.send  # type: ignore[method-assign]
        self.rig.far_reader.received = self.far.send  # type: ignore[method-assign]
        self.wire.send(WORDS[0])
        for _ in range(5):
            (turn,) = turns
            turns.clear()
            turn()

    def test_backlog_counts_what_was_not_taken(self) -> None:
        self.far.pause()
        for message in WORDS:
            self.wire.send(message)
        self.assertEqual(self.wire.backlog, sum(map(weight, WORDS)))
        self.far.resume()
        self.rig.turn()
        self.assertEqual(self.wire.backlog, 0)

    def test_each_end_has_its_reason(self) -> None:
        self.wire.close()
        self.rig.turn()
        self.assertIsInstance(self.rig.reader.reasons[0], ServerExited)
        self.assertIsInstance(self.rig.far_reader.reasons[0], ClientGone)

    def test_a_reader_that_fails_does_not_stop_the_rest(self) -> None:
        told: list[Message] = []

        def failing(message: Message) -> None:
            told.append(message)
            raise RuntimeError("a bug")

        self.rig.far_reader.received = failing  # type: ignore[method-assign]
        self.wire.send(WORDS[0])
        self.wire.send(WORDS[1])
        self.rig.turn()
        self.assertEqual(told, WORDS[:2])
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 2)

    def test_weight(self) -> None:
        self.assertEqual(weight(Request(1, "ab", b"{}")), 4)
        self.assertEqual(weight(Notification("ab")), 2)
        self.assertEqual([weight(message) for message in WORDS[2:4]], [13, 26])


class MemoryConnectorContract(ConnectorContract, SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()

    def make_connector(self) -> MemoryConnector:
        return MemoryConnector(self.clock, "toolbox", lambda wire: FakeReader())

    def make_failing_connector(self) -> MemoryConnector:
        def broken(wire: Any) -> Any:
            raise RuntimeError("a bug")

        return MemoryConnector(self.clock, "toolbox", broken)

    def turn(self) -> None:
        while self.clock.getDelayedCalls():
            self.clock.advance(0)

    def test_failing_says_why(self) -> None:
        super().test_failing_says_why()
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_the_server_gets_the_far_end(self) -> None:
        server, client, welcomed = FakeReader(), FakeReader(), []

        def welcome(wire: Any) -> FakeReader:
            welcomed.append(wire)
            return server

        connector = MemoryConnector(self.clock, "toolbox", welcome)
        near: Any = self.successResultOf(connector.connect(client))
        near.send(WORDS[0])
        welcomed[0].send(WORDS[1])
        self.turn()
        self.assertEqual((server.messages, client.messages), ([WORDS[0]], [WORDS[1]]))
        self.assertEqual(near.description, "toolbox")
