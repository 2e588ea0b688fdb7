"""HTTP+SSE of 2024-11-05, the asking end, and finding out that it is spoken."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from mcptwist.errors import ServerExited, ServerStartFailed, ServerUnreachable
from mcptwist.messages import Error, Message, Notification, Request, open_error
from mcptwist.protocols.httpsse_client import HttpSseConnector
from mcptwist.protocols.remote import FindingConnector
from mcptwist.protocols.upstream import UpstreamLimits
from tests.contracts.wires import ConnectorContract, WireContract
from tests.fakes import FakeReader
from tests.protocols.farend import FarEnd, Visit
from tests.protocols.test_streamable_client import HELLO, modern

ENDPOINT = b"event: endpoint\ndata: /moved?key=1\n\n"


class SseFarEnd(FarEnd):
    """A server of 2024-11-05."""

    place = ENDPOINT

    def __init__(self) -> None:
        super().__init__()
        self.script = self.serve

    def serve(self, visit: Visit) -> bool:
        if visit.method == b"GET":
            self.standing.append(visit.stream().write(self.place))
        elif visit.request.path == b"/mcp":
            visit.respond(405, b"")
        else:
            visit.respond(202, b"Accepted")
        return True

    def posted(self) -> list[Message]:
        return [v.message for v in self.visits if v.message and v.request.path == b"/moved"]


class SseRig:
    def __init__(self) -> None:
        self.far = SseFarEnd()
        self.reader = FakeReader()
        connector = HttpSseConnector(self.far.upstream(), self.far.network.clock)
        connecting = connector.connect(self.reader)
        self.far.turn()
        self.wire: Any = connecting.result  # type: ignore[attr-defined]

    def say(self, *messages: Message) -> None:
        self.far.standing[-1].say(*messages)

    def heard(self) -> list[Message]:
        return self.far.posted()

    def leave(self) -> None:
        self.turn()
        self.far.standing[-1].end()

    def turn(self) -> None:
        self.far.turn()


class HttpSseWireContract(WireContract, SynchronousTestCase):
    def make_rig(self) -> SseRig:
        return SseRig()

    def test_lost_is_never_told_from_within_send(self) -> None:
        self.rig.leave()
        self.wire.send(HELLO)
        self.assertEqual(self.reader.reasons, [])
        self.rig.turn()
        self.assertEqual(len(self.reader.reasons), 1)


class HttpSseConnectorContract(ConnectorContract, SynchronousTestCase):
    def setUp(self) -> None:
        self.far = SseFarEnd()

    def make_connector(self) -> HttpSseConnector:
        return HttpSseConnector(self.far.upstream(), self.far.network.clock)

    def make_failing_connector(self) -> HttpSseConnector:
        self.far.network.up = False
        return self.make_connector()

    def turn(self) -> None:
        self.far.turn()


class OpeningTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.far = SseFarEnd()
        self.reader = FakeReader()
        limits = UpstreamLimits(opening=5.0)
        self.connector = HttpSseConnector(self.far.upstream(), self.far.network.clock, limits)

    def failure(self, seconds: float = 0) -> str:
        connecting = self.connector.connect(self.reader)
        self.far.turn()
        self.far.turn(seconds)
        problem = self.failureResultOf(connecting, ServerStartFailed).value
        self.assertEqual(self.reader.told, [])
        self.far.turn()
        self.assertFalse(any(visit.open for visit in self.far.visits))
        message: str = problem.message
        return message

    def test_another_origin_is_refused(self) -> None:
        for place in (b"https://localhost:8808/x", b"http://localhost:1/x", b"//evil/x"):
            self.far.place = b"event: endpoint\ndata: %b\n\n" % place
            self.assertIn("another origin", self.failure())

    def test_a_stream_that_says_nothing(self) -> None:
        self.far.place = b": hello\n\n"
        self.assertIn("within 5 s", self.failure(6))

    def test_a_stream_that_ends_at_once(self) -> None:
        def end(visit: Visit) -> bool:
            visit.stream().write(b": x\n\n").end()
            return True

        self.far.script = end
        self.assertIn("ended its stream", self.failure())

    def test_no_stream(self) -> None:
        self.far.script = lambda visit: bool(visit.respond(401, b"") or True)
        self.assertIn("Authorization", self.failure())
        self.far.script = lambda visit: bool(visit.respond(200, b"hello") or True)
        self.assertIn("no event stream", self.failure())

    def test_giving_up_leaves_nothing(self) -> None:
        self.far.place = b": hello\n\n"
        connecting = self.connector.connect(self.reader)
        self.far.turn()
        connecting.cancel()
        self.failureResultOf(connecting)
        self.far.turn()
        self.assertFalse(self.far.visits[0].open)


class HttpSseWireTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.rig = SseRig()
        self.far, self.wire, self.reader = self.rig.far, self.rig.wire, self.rig.reader

    def test_a_request_that_is_not_accepted_is_answered(self) -> None:
        self.far.script = lambda visit: bool(visit.respond(503, b"") or True)
        self.wire.send(Request(1, "ping"))
        self.wire.send(Notification("x"))
        self.far.turn()
        (message,) = self.reader.messages
        assert isinstance(message, Error)
        self.assertEqual(open_error(message).data["httpStatus"], 503)
        self.assertEqual(self.reader.reasons, [])

    def test_what_is_no_message(self) -> None:
        self.far.standing[0].write(b"data: {\n\n")
        self.far.turn()
        self.assertEqual(len(self.reader.problems), 1)

    def test_the_place_to_post_to_is_told_once(self) -> None:
        self.far.standing[0].write(b"event: endpoint\ndata: /mcp\n\n")
        self.wire.send(Request(1, "ping"))
        self.far.turn()
        self.assertEqual(len(self.far.posted()), 1)

    def test_an_event_without_end(self) -> None:
        far = SseFarEnd()
        limits = UpstreamLimits(body=1000)
        connecting = HttpSseConnector(far.upstream(), far.network.clock, limits).connect(
            self.reader
        )
        far.turn()
        self.successResultOf(connecting)
        far.standing[0].write(b"data: " + b"x" * 2000)
        far.turn()
        self.assertIn("1000", self.reader.reasons[0].message)


class FindingTests(SynchronousTestCase):
    """Nobody said what is spoken."""

    def setUp(self) -> None:
        self.far: FarEnd = SseFarEnd()
        self.reader = FakeReader()
        self.connector = FindingConnector(self.far.upstream(), self.far.network.clock)

    def connect(self) -> Any:
        connecting = self.connector.connect(self.reader)
        self.far.turn()
        return self.successResultOf(connecting)

    def test_the_older_wire_is_found_and_remembered(self) -> None:
        wire = self.connect()
        wire.send(HELLO)
        self.far.turn()
        self.assertEqual([v.method for v in self.far.visits], [b"POST", b"GET", b"POST"])
        self.assertEqual(self.far.visits[-1].request.path, b"/moved")
        self.assertEqual(self.reader.told, [])
        self.far.visits.clear()
        self.connect()
        self.assertEqual([v.method for v in self.far.visits], [b"GET"])

    def test_whatever_is_asked_first(self) -> None:
        wire = self.connect()
        wire.send(modern(1, "server/discover"))
        self.far.turn()
        self.assertEqual(self.far.visits[-1].asks, "server/discover")
        self.assertTrue(self.connector.older)

    def test_it_is_forgotten_when_it_is_so_no_more(self) -> None:
        self.connect().send(HELLO)
        self.far.turn()
        self.far.script = lambda visit: bool(visit.respond(404, b"") or True)
        connecting = self.connector.connect(self.reader)
        self.far.turn()
        self.failureResultOf(connecting)
        self.assertFalse(self.connector.older)

    def test_a_pause_is_not_forgotten(self) -> None:
        wire = self.connect()
        wire.pause()
        wire.send(HELLO)
        self.far.turn()
        self.far.standing[0].say(Notification("x"))
        self.far.turn()
        self.assertEqual(self.reader.told, [])
        wire.resume()
        self.far.turn()
        self.assertEqual(len(self.reader.messages), 1)

    def test_neither_wire(self) -> None:
        self.far.script = lambda visit: bool(visit.respond(404, b"") or True)
        self.connect().send(HELLO)
        self.far.turn()
        self.assertIsInstance(self.reader.reasons[0], ServerUnreachable)
        self.assertIn("404", self.reader.reasons[0].message)

    def test_neither_wire_and_the_other_era(self) -> None:
        """Then it is the era that is not known there."""
        self.far.script = lambda visit: bool(visit.respond(404, b"") or True)
        self.connect().send(modern(1, "server/discover"))
        self.far.turn()
        self.assertEqual(len(self.reader.messages), 1)
        self.assertEqual(self.reader.reasons, [])

    def test_a_server_that_speaks_of_mcp_is_not_tried(self) -> None:
        self.far.script = lambda visit: bool(visit.error(400, -32000) or True)
        self.connect().send(modern(1, "server/discover"))
        self.far.turn()
        self.assertEqual(len(self.far.visits), 1)

    def test_closing_while_it_is_tried(self) -> None:
        def silent(visit: Visit) -> bool:
            if visit.method == b"POST":
                visit.respond(405, b"")
            return True

        self.far.script = silent
        wire = self.connect()
        wire.send(HELLO)
        self.far.turn()
        closed = wire.close()
        self.far.turn()
        self.successResultOf(closed)
        self.assertIsInstance(self.reader.reasons[0], ServerExited)
        self.assertFalse(any(visit.open for visit in self.far.visits))
