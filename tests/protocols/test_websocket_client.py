"""WebSocket, the asking end, against Autobahn's own server."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.messages import Message, Request, decode, encode
from mcptwist.protocols.websocket_client import DialLimits, WebSocketClientWire
from tests.contracts.wires import WORDS, WireContract
from tests.fakes import FakeReader
from tests.joined import Network
from tests.protocols.wsfarend import Servers, connector


class WebSocketRig:
    def __init__(self, limits: DialLimits | None = None) -> None:
        self.network = Network()
        self.servers = Servers(self.network)
        self.reader = FakeReader()
        connecting = connector(self.network, self.servers.factory, limits).connect(self.reader)
        self.network.turn()
        self.wire: Any = connecting.result  # type: ignore[attr-defined]
        self.server = self.servers.servers[0]

    def say(self, *messages: Message) -> None:
        for message in messages:
            self.server.sendMessage(encode(message))

    def heard(self) -> list[Message]:
        return [decode(text) for text in self.server.texts]

    def leave(self) -> None:
        self.turn()
        self.server.sendClose(1000)
        self.turn()

    def turn(self) -> None:
        self.network.turn()


class WebSocketWireContract(WireContract, SynchronousTestCase):
    def make_rig(self) -> WebSocketRig:
        return WebSocketRig()


class WebSocketWireTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.rig = WebSocketRig(DialLimits(message=1000, backlog=1000))
        self.wire, self.reader, self.server = self.rig.wire, self.rig.reader, self.rig.server
        self.network = self.rig.network

    def test_a_binary_frame_ends_it(self) -> None:
        self.server.sendMessage(b"{}", isBinary=True)
        self.network.turn()
        self.assertEqual(len(self.reader.problems), 1)
        self.assertEqual(len(self.reader.reasons), 1)

    def test_what_is_no_message_does_not(self) -> None:
        self.server.sendMessage(b"hello")
        self.rig.say(WORDS[0])
        self.network.turn()
        self.assertEqual((len(self.reader.problems), len(self.reader.messages)), (1, 1))
        self.assertEqual(self.reader.reasons, [])

    def test_a_message_that_is_too_large_ends_it(self) -> None:
        self.server.sendMessage(b'"' + b"x" * 2000 + b'"')
        self.network.turn(10)
        self.assertEqual(self.reader.messages, [])
        self.assertEqual(len(self.reader.reasons), 1)

    def test_what_we_say_may_be_longer_than_what_may_come(self) -> None:
        rig = WebSocketRig(DialLimits(message=1000))
        long = Request(1, "x", b'{"text":"%b"}' % (b"x" * 2000))
        rig.wire.send(long)
        rig.turn()
        self.assertEqual([encode(m) for m in rig.heard()], [encode(long)])

    def test_a_server_that_does_not_read(self) -> None:
        self.wire.pauseProducing()
        self.wire.send(WORDS[0])
        self.network.turn()
        self.assertEqual(self.rig.heard(), [])
        self.assertGreater(self.wire.backlog, 0)
        self.wire.resumeProducing()
        self.network.turn()
        self.assertEqual(len(self.rig.heard()), 1)

    def test_and_lets_it_overflow(self) -> None:
        self.wire.pauseProducing()
        for _ in range(40):
            self.wire.send(Request(1, "tools/call", b"{}"))
        self.network.turn()
        self.assertIn("takes nothing", self.reader.reasons[0].message)
        self.assertEqual(self.wire.backlog, 0)

    def test_silence_is_asked_about(self) -> None:
        self.network.turn(100, steps=100)
        self.assertEqual(self.reader.reasons, [])
        for end in self.network.ends[0]:
            end.full = True
        self.network.turn(100, steps=100)
        self.assertEqual(len(self.reader.reasons), 1)

    def test_a_server_that_does_not_close_is_dropped(self) -> None:
        self.network.ends[0][1].full = True
        closed = self.wire.close()
        self.network.turn()
        self.assertNoResult(closed)
        self.network.turn(10, steps=10)
        self.successResultOf(closed)
        self.assertEqual(self.network.ends, [])


class UnconnectedTests(SynchronousTestCase):
    """A wire that has no connection yet."""

    def test_given_up(self) -> None:
        """Whoever does not want it any more is told so, and nothing breaks."""
        wire = WebSocketClientWire(FakeReader(), Clock(), "far", DialLimits())
        wire.opened.cancel()
        self.failureResultOf(wire.opened, CancelledError)
