"""What every wire and every connector promises, whatever carries the messages.

A rig puts one wire and its far end into the hands of the test; the contract is
run over all rigs. The promises are those of :class:`~mcptwist.interfaces.IWire`,
:class:`~mcptwist.interfaces.IWireReader` and :class:`~mcptwist.interfaces.IConnector`.
"""

from __future__ import annotations

from typing import Any, Protocol

from zope.interface.verify import verifyObject

from mcptwist.errors import McpTwistError, ServerStartFailed
from mcptwist.interfaces import IConnector, ITransferable, IWire
from mcptwist.messages import Error, Message, Notification, Request, Result, encode
from tests.fakes import FakeReader

WORDS: list[Message] = [
    Request(1, "tools/call", b'{"name":"x"}'),
    Notification("notifications/progress", b'{"progress":1}'),
    Result("a", b'{"text":"\xc3\xa9"}'),
    Error(7, b'{"code":-1,"message":"no"}'),
    Notification("notifications/initialized"),
]


def plain(messages: list[Message]) -> list[bytes]:
    """Messages as text, for one read from a wire holds its payload in another kind of bytes."""
    return [encode(message) for message in messages]


class Rig(Protocol):
    """One wire, whom it speaks to, and its far end."""

    wire: Any
    reader: FakeReader

    def say(self, *messages: Message) -> None:
        """The far end says these."""

    def heard(self) -> list[Message]:
        """All that the far end was told, in order."""

    def leave(self) -> None:
        """The far end goes away by itself."""

    def turn(self) -> None:
        """Let everything happen that is about to."""


class WireContract:
    """Mixed into a test case that says how to :meth:`make_rig`."""

    def make_rig(self) -> Rig:
        raise NotImplementedError

    def setUp(self) -> None:
        super().setUp()  # type: ignore[misc]
        self.rig = self.make_rig()
        self.wire = self.rig.wire
        self.reader = self.rig.reader

    def test_it_is_a_wire(self: Any) -> None:
        verifyObject(IWire, self.wire)
        self.assertIsInstance(self.wire.description, str)
        self.assertEqual(self.wire.backlog, 0)

    def test_what_is_sent_arrives_in_order(self: Any) -> None:
        for message in WORDS:
            self.wire.send(message)
        self.rig.turn()
        self.wire.send(WORDS[0])
        self.rig.turn()
        self.assertEqual(plain(self.rig.heard()), plain([*WORDS, WORDS[0]]))
        self.assertEqual(self.wire.backlog, 0)

    def test_what_is_said_is_received_in_order(self: Any) -> None:
        self.rig.say(*WORDS)
        self.rig.turn()
        self.assertEqual(plain(self.reader.messages), plain(WORDS))
        self.assertEqual(self.reader.problems, [])

    def test_nothing_is_received_while_paused(self: Any) -> None:
        self.wire.pause()
        self.wire.pause()
        self.rig.say(*WORDS)
        self.rig.turn()
        self.assertEqual(self.reader.told, [])
        self.wire.resume()
        self.rig.turn()
        self.assertEqual(plain(self.reader.messages), plain(WORDS))

    def test_resuming_what_is_not_paused_is_nothing(self: Any) -> None:
        self.wire.resume()
        self.rig.say(WORDS[0])
        self.rig.turn()
        self.assertEqual(len(self.reader.messages), 1)

    def test_it_can_be_sent_while_paused(self: Any) -> None:
        self.wire.pause()
        self.wire.send(WORDS[0])
        self.rig.turn()
        self.assertEqual(plain(self.rig.heard()), plain(WORDS[:1]))

    def test_it_may_be_given_another_reader(self: Any) -> None:
        """Where it can be, the other hears all that follows, and the first nothing more."""
        if not ITransferable.providedBy(self.wire):
            return
        verifyObject(ITransferable, self.wire)
        self.rig.say(WORDS[0])
        self.rig.turn()
        heir = FakeReader()
        self.wire.hand_over(heir)
        self.rig.say(*WORDS[1:])
        self.rig.leave()
        self.rig.turn()
        self.assertEqual(plain(self.reader.messages), plain(WORDS[:1]))
        self.assertEqual(plain(heir.messages), plain(WORDS[1:]))
        self.assertEqual((len(self.reader.reasons), len(heir.reasons)), (0, 1))

    def test_the_reader_may_pause_it_from_within(self: Any) -> None:
        """What is in hand may still come; nothing is lost, doubled or out of order."""
        received = self.reader.received

        def pausing(message: Message) -> None:
            received(message)
            self.wire.pause()

        self.reader.received = pausing
        self.rig.say(*WORDS)
        for _ in WORDS:
            self.rig.turn()
            self.wire.resume()
        self.rig.turn()
        self.assertEqual(plain(self.reader.messages), plain(WORDS))

    def test_lost_is_told_once_and_with_a_reason(self: Any) -> None:
        self.rig.leave()
        self.rig.turn()
        (reason,) = self.reader.reasons
        self.assertIsInstance(reason, McpTwistError)
        self.assertTrue(reason.message)
        self.rig.turn()
        self.assertEqual(len(self.reader.reasons), 1)

    def test_what_was_said_last_is_received_before_lost(self: Any) -> None:
        self.rig.say(*WORDS)
        self.rig.leave()
        self.rig.turn()
        self.assertEqual(plain(self.reader.told[:-1]), plain(WORDS))
        self.assertEqual(self.reader.told[-1:], self.reader.reasons)

    def test_lost_is_never_told_from_within_send(self: Any) -> None:
        self.rig.leave()
        before = list(self.reader.reasons)
        self.wire.send(WORDS[0])
        self.assertEqual(self.reader.reasons, before)
        self.rig.turn()
        self.assertEqual(len(self.reader.reasons), 1)

    def test_sending_when_it_is_lost_does_nothing(self: Any) -> None:
        self.rig.leave()
        self.rig.turn()
        self.wire.send(WORDS[0])
        self.wire.pause()
        self.wire.resume()
        self.rig.turn()
        self.assertEqual(len(self.reader.told), 1)
        self.assertEqual(self.wire.backlog, 0)

    def test_closing_ends_it(self: Any) -> None:
        closed = self.wire.close()
        self.rig.turn()
        self.assertIsNone(self.successResultOf(closed))
        self.assertEqual(len(self.reader.reasons), 1)

    def test_closing_twice_is_closing_once(self: Any) -> None:
        first, second = self.wire.close(), self.wire.close()
        self.rig.turn()
        third = self.wire.close()
        self.rig.turn()
        for closed in (first, second, third):
            self.assertIsNone(self.successResultOf(closed))
        self.assertEqual(len(self.reader.reasons), 1)

    def test_closing_ends_it_though_it_is_paused(self: Any) -> None:
        self.wire.pause()
        self.rig.say(*WORDS)
        self.rig.turn()
        closed = self.wire.close()
        self.rig.turn()
        self.assertIsNone(self.successResultOf(closed))
        self.assertEqual(self.reader.told, self.reader.reasons)
        self.assertEqual(len(self.reader.reasons), 1)

    def test_closing_ends_it_though_the_reader_breaks(self: Any) -> None:
        def breaking(reason: McpTwistError) -> None:
            raise ZeroDivisionError

        self.reader.lost = breaking
        closed = self.wire.close()
        self.rig.turn()
        self.assertIsNone(self.successResultOf(closed))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_closing_what_is_lost(self: Any) -> None:
        self.rig.leave()
        self.rig.turn()
        self.assertIsNone(self.successResultOf(self.wire.close()))

    def test_closing_from_within_lost(self: Any) -> None:
        lost = self.reader.lost

        def closing(reason: McpTwistError) -> None:
            lost(reason)
            self.closed = self.wire.close()

        self.reader.lost = closing
        self.rig.leave()
        self.rig.turn()
        self.assertIsNone(self.successResultOf(self.closed))
        self.assertEqual(len(self.reader.reasons), 1)


class ConnectorContract:
    """Mixed into a test case that says how to make connectors that work and that fail."""

    def make_connector(self) -> Any:
        raise NotImplementedError

    def make_failing_connector(self) -> Any:
        raise NotImplementedError

    def turn(self) -> None:
        raise NotImplementedError

    def finish(self: Any, closed: Any) -> None:
        """Let a wire end."""
        self.turn()
        self.successResultOf(closed)

    def test_it_is_a_connector(self: Any) -> None:
        connector = self.make_connector()
        verifyObject(IConnector, connector)
        self.assertIsInstance(connector.description, str)

    def test_each_time_a_new_wire(self: Any) -> None:
        connector, readers = self.make_connector(), [FakeReader(), FakeReader()]
        wires = []
        for reader in readers:
            connecting = connector.connect(reader)
            self.assertEqual(reader.told, [])
            self.turn()
            wires.append(self.successResultOf(connecting))
        self.assertIsNot(wires[0], wires[1])
        self.finish(wires[0].close())
        self.assertEqual([len(reader.reasons) for reader in readers], [1, 0])
        self.finish(wires[1].close())

    def test_failing_says_why(self: Any) -> None:
        reader = FakeReader()
        failing = self.make_failing_connector().connect(reader)
        self.turn()
        problem = self.failureResultOf(failing, ServerStartFailed).value
        self.assertTrue(problem.message)
        self.assertEqual(reader.told, [])
