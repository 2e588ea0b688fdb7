"""Streamable HTTP, the asking end, against a server that does what the test says."""

from __future__ import annotations

from typing import Any

import msgspec
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from mcptwist.errors import (
    Overloaded,
    ServerExited,
    ServerUnreachable,
)
from mcptwist.interfaces import IReminder
from mcptwist.messages import (
    Error,
    Message,
    Notification,
    Request,
    Result,
    encode_json,
    open_error,
)
from mcptwist.negotiation import modern_meta
from mcptwist.protocols.streamable_client import StreamableConnector, StreamableWire
from mcptwist.protocols.upstream import UpstreamLimits
from tests.contracts.wires import ConnectorContract, WireContract
from tests.fakes import FakeReader
from tests.joined import PORT
from tests.protocols.farend import JSON, URL, FarEnd, Visit

HELLO = Request(1, "initialize", b'{"protocolVersion":"2025-11-25","capabilities":{}}')
INITIALIZED = Notification("notifications/initialized")
LIMITS = UpstreamLimits(retry=0.0, reconnects=2)


def legacy(id: int, method: str = "tools/call", **params: Any) -> Request:
    return Request(id, method, encode_json(params))


def modern(id: int, method: str = "tools/call", **params: Any) -> Request:
    return Request(id, method, encode_json({**params, "_meta": modern_meta({"name": "x"})}))


def cancelled(id: int) -> Notification:
    return Notification("notifications/cancelled", encode_json({"requestId": id}))


@implementer(IReminder)
class Reminded(FakeReader):
    """A reader that counts how often the far end forgot."""

    renewals = 0

    def renewed(self) -> None:
        self.renewals += 1


class FarRig:
    """A wire with its session begun, as the contract of wires wants it."""

    def __init__(self, limits: UpstreamLimits = LIMITS) -> None:
        self.far = FarEnd()
        self.reader = Reminded()
        connecting = StreamableConnector(
            self.far.upstream(), self.far.network.clock, limits
        ).connect(self.reader)
        self.wire: StreamableWire = connecting.result  # type: ignore[assignment]

    def begin(self) -> None:
        """Shake hands, and forget that it was done."""
        self.wire.send(HELLO)
        self.turn()
        self.wire.send(INITIALIZED)
        self.turn()
        self.forget()

    def forget(self) -> None:
        self.reader.messages.clear()
        self.reader.told.clear()
        self.far.visits.clear()

    def say(self, *messages: Message) -> None:
        self.far.standing[-1].say(*messages)

    def heard(self) -> list[Message]:
        return [visit.message for visit in self.far.visits if visit.message is not None]

    def leave(self) -> None:
        self.turn()
        self.far.network.up = False
        self.far.network.cut()

    def turn(self) -> None:
        self.far.turn()


class StreamableWireContract(WireContract, SynchronousTestCase):
    def make_rig(self) -> FarRig:
        rig = FarRig()
        rig.begin()
        return rig


class StreamableConnectorContract(ConnectorContract, SynchronousTestCase):
    def setUp(self) -> None:
        self.far = FarEnd()

    def make_connector(self) -> StreamableConnector:
        return StreamableConnector(self.far.upstream(), self.far.network.clock)

    def turn(self) -> None:
        self.far.turn()

    def test_failing_says_why(self) -> None:
        """It does not connect before it is used; then the wire is lost, with the reason."""
        self.far.network.up = False
        reader = FakeReader()
        wire = self.successResultOf(self.make_connector().connect(reader))
        wire.send(HELLO)
        self.assertEqual(reader.told, [])
        self.far.turn()
        (reason,) = reader.reasons
        self.assertIsInstance(reason, ServerUnreachable)
        self.assertIn("refuses connections", reason.message)


class FarTestCase(SynchronousTestCase):
    """A wire and the far end of it."""

    limits = LIMITS

    def setUp(self) -> None:
        self.rig = FarRig(self.limits)
        self.far, self.wire, self.reader = self.rig.far, self.rig.wire, self.rig.reader

    def send(self, *messages: Message) -> None:
        for message in messages:
            self.wire.send(message)
        self.far.turn()

    def last(self) -> Visit:
        return self.far.visits[-1]

    def result(self, number: int = -1) -> Any:
        message = self.reader.messages[number]
        assert isinstance(message, Result), message
        return msgspec.json.decode(message.result)

    def error(self, number: int = -1) -> Any:
        message = self.reader.messages[number]
        assert isinstance(message, Error), message
        return open_error(message)


class LegacyTests(FarTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.rig.begin()

    def test_the_session_is_named(self) -> None:
        self.send(legacy(2))
        self.assertEqual(self.last().header(b"mcp-session-id"), b"s1")
        self.assertEqual(self.last().header(b"mcp-protocol-version"), b"2025-11-25")
        self.assertEqual(self.last().header(b"mcp-method"), None)

    def test_an_older_revision_is_not_named(self) -> None:
        rig = FarRig()
        rig.far.script = lambda visit: (
            visit.asks == "initialize"
            and bool(visit.answer({"protocolVersion": "2025-03-26"}) or True)
        )
        rig.begin()
        rig.wire.send(legacy(2))
        rig.turn()
        self.assertEqual(rig.far.visits[-1].header(b"mcp-protocol-version"), None)
        self.assertEqual(rig.far.visits[-1].header(b"mcp-session-id"), None)

    def test_a_session_id_that_is_none_is_not_repeated(self) -> None:
        rig = FarRig()
        rig.far.script = lambda visit: (
            visit.asks == "initialize"
            and bool(
                visit.answer({"protocolVersion": "2025-11-25"}, (b"mcp-session-id", b"a b")) or True
            )
        )
        rig.begin()
        rig.wire.send(legacy(2))
        rig.turn()
        self.assertEqual(rig.far.visits[-1].header(b"mcp-session-id"), None)

    def test_what_comes_before_the_answer_is_told_at_once(self) -> None:
        self.send(legacy(2))
        visit = self.last().stream()
        visit.say(Notification("notifications/progress", b'{"progress":1}'))
        self.far.turn()
        self.assertEqual(len(self.reader.messages), 1)
        visit.say_result({"ok": 1}).end()
        self.far.turn()
        self.assertEqual(self.result(), {"ok": 1})

    def test_a_call_waits_until_it_was_told_that_we_are_ready(self) -> None:
        rig = FarRig()
        held: list[Visit] = []
        rig.far.script = lambda v: v.asks == INITIALIZED.method and not held.append(v)  # type: ignore[func-returns-value]
        rig.begin()
        rig.wire.send(legacy(2))
        rig.turn()
        self.assertEqual(rig.far.of("tools/call"), [])
        held[0].respond(202, b"")
        rig.turn()
        self.assertEqual(len(rig.far.of("tools/call")), 1)

    def test_one_that_is_never_told_so_is_not_waited_for(self) -> None:
        rig = FarRig()
        rig.far.script = lambda v: v.asks == INITIALIZED.method
        rig.begin()
        rig.wire.send(legacy(2))
        rig.far.turn(11, steps=11)
        self.assertEqual(len(rig.far.of("tools/call")), 1)

    def test_cancelling_is_told_after_the_call(self) -> None:
        self.send(legacy(2), cancelled(2))
        self.assertEqual(
            [visit.asks for visit in self.far.visits], ["tools/call", "notifications/cancelled"]
        )
        self.assertFalse(self.far.visits[0].open)
        self.assertEqual(self.reader.told, [])

    def test_a_standing_stream_is_not_needed(self) -> None:
        rig = FarRig()
        rig.far.script = lambda v: v.method == b"GET" and bool(v.respond(405, b"") or True)
        rig.begin()
        rig.far.turn(60, steps=60)
        rig.wire.send(legacy(2))
        rig.turn()
        rig.far.visits[-1].answer({})
        rig.turn()
        self.assertEqual(len(rig.reader.messages), 1)
        self.assertEqual([v for v in rig.far.visits if v.method == b"GET"], [])

    def test_a_standing_stream_is_taken_up_where_it_broke(self) -> None:
        self.far.standing[0].say(Notification("a"), id="7").end()
        self.far.turn()
        self.assertEqual(self.last().header(b"last-event-id"), b"7")
        self.far.standing[1].say(Notification("b"))
        self.far.turn()
        self.assertEqual([m.method for m in self.reader.messages], ["a", "b"])  # type: ignore[union-attr]

    def test_the_server_says_when_to_come_back(self) -> None:
        self.far.standing[0].write(b"retry: 5000\nid: 1\ndata: \n\n").end()
        self.far.turn()
        self.far.turn(4, steps=4)
        self.assertEqual(len(self.far.standing), 1)
        self.far.turn(1)
        self.assertEqual(len(self.far.standing), 2)
        self.assertEqual(self.reader.told, [])

    def test_the_server_wants_us_back_at_once(self) -> None:
        """Again and again: we come, but do nothing else no more than ten times a second."""
        self.far.standing[0].write(b"retry: 0\n\n").end()
        self.far.turn()
        self.far.turn(0.09, steps=9)
        self.assertEqual(len(self.far.standing), 1)
        self.far.turn(0.02)
        self.assertEqual(len(self.far.standing), 2)

    def test_a_broken_answer_is_taken_up(self) -> None:
        self.send(legacy(2))
        self.last().stream().write(b"id: x1\ndata: \n\n").end()
        self.far.turn()
        resumed = self.last()
        self.assertEqual((resumed.method, resumed.header(b"last-event-id")), (b"GET", b"x1"))
        resumed.say(Notification("late")).end()
        self.far.turn()
        self.last().say(Result(2, b'{"ok":1}'))
        self.far.turn()
        self.assertEqual(self.result(), {"ok": 1})

    def test_a_broken_answer_without_an_id_is_an_error(self) -> None:
        self.send(legacy(2))
        self.last().stream().say(Notification("a")).end()
        self.far.turn()
        self.assertEqual(self.error().data["code"], "server-exited")
        self.assertEqual(self.reader.reasons, [])

    def test_an_answer_on_another_stream_is_an_answer(self) -> None:
        self.send(legacy(2))
        self.last().stream()
        self.far.standing[0].say(Result(2, b'{"ok":1}'))
        self.far.turn()
        self.assertEqual(self.result(), {"ok": 1})
        self.far.turn(10, steps=10)
        self.assertFalse(self.last().open)

    def test_a_stream_that_does_not_end_after_its_answer_is_ended(self) -> None:
        self.send(legacy(2))
        visit = self.last().stream()
        visit.say_result({})
        self.far.turn(4, steps=4)
        self.assertTrue(visit.open)
        self.far.turn(2)
        self.assertFalse(visit.open)

    def test_questions_and_their_answers(self) -> None:
        self.send(legacy(2))
        self.last().stream().say(Request("q", "elicitation/create", b"{}"))
        self.far.turn()
        self.assertEqual(self.reader.messages[-1].id, "q")  # type: ignore[union-attr]
        self.send(Result("q", b'{"action":"accept"}'))
        self.assertEqual(self.last().message.id, "q")  # type: ignore[union-attr]
        self.assertEqual(self.last().header(b"mcp-session-id"), b"s1")

    def test_a_batch_may_be_an_answer(self) -> None:
        self.send(legacy(2))
        text = (
            b'[{"jsonrpc":"2.0","method":"notifications/x"},{"jsonrpc":"2.0","id":2,"result":{}}]'
        )
        self.last().respond(200, text, JSON)
        self.far.turn()
        self.assertEqual(len(self.reader.messages), 2)

    def test_closing_ends_the_session(self) -> None:
        self.send(legacy(2))
        closed = self.wire.close()
        self.far.turn()
        self.successResultOf(closed)
        self.assertEqual(
            (self.last().method, self.last().header(b"mcp-session-id")), (b"DELETE", b"s1")
        )
        self.assertFalse(self.far.visits[0].open)
        self.assertFalse(self.far.standing[0].open)

    def test_closing_does_not_wait_for_ever(self) -> None:
        self.far.script = lambda visit: visit.method == b"DELETE"
        closed = self.wire.close()
        self.far.turn()
        self.assertNoResult(closed)
        self.far.turn(3)
        self.successResultOf(closed)


class ForgottenTests(FarTestCase):
    """The server has forgotten the session."""

    def setUp(self) -> None:
        super().setUp()
        self.rig.begin()
        self.known = {b"s2"}
        self.far.script = self.refuse_strangers

    def refuse_strangers(self, visit: Visit) -> bool:
        if visit.asks == "initialize" or visit.header(b"mcp-session-id") in self.known:
            return False
        visit.respond(404, b"")
        return True

    def test_it_is_greeted_again_and_asked_again(self) -> None:
        self.send(legacy(2))
        self.assertEqual(
            [visit.asks for visit in self.far.visits if visit.method == b"POST"],
            ["tools/call", "initialize", "notifications/initialized", "tools/call"],
        )
        self.assertEqual(self.far.of("initialize")[0].params(), msgspec.json.decode(HELLO.params))
        again = self.far.of("tools/call")[1]
        self.assertEqual(again.header(b"mcp-session-id"), b"s2")
        again.answer({"ok": 1})
        self.far.turn()
        self.assertEqual(self.result(), {"ok": 1})
        self.assertEqual(len(self.reader.messages), 1)
        self.assertEqual(self.reader.renewals, 1)

    def test_once_for_all_who_find_out(self) -> None:
        self.send(legacy(2), legacy(3), legacy(4))
        self.assertEqual(len(self.far.of("initialize")), 1)
        self.assertEqual(len(self.far.of("tools/call")), 6)
        self.assertEqual(self.wire.renewals, 1)

    def test_a_stream_is_opened_anew(self) -> None:
        self.send(legacy(2))
        self.assertEqual(self.far.standing[-1].header(b"mcp-session-id"), b"s2")
        self.assertFalse(self.far.standing[0].open)

    def test_one_who_cancels_meanwhile_does_not_stop_it(self) -> None:
        held: list[Visit] = []

        def hold(visit: Visit) -> bool:
            if visit.asks == "initialize":
                held.append(visit)
                return True
            return self.refuse_strangers(visit)

        self.far.script = hold
        self.send(legacy(2), legacy(3))
        self.send(cancelled(2))
        self.far.sessions += 1
        held[0].answer({"protocolVersion": "2025-11-25"}, (b"mcp-session-id", b"s2"))
        self.far.turn()
        self.assertEqual([v.message.id for v in self.far.of("tools/call")], [2, 3, 3])  # type: ignore[union-attr]

    def test_400_and_a_word_about_the_session_mean_the_same(self) -> None:
        def refuse(visit: Visit) -> bool:
            if visit.asks == "initialize" or visit.header(b"mcp-session-id") == b"s2":
                return False
            visit.error(400, -32000, "Bad Request: No valid session ID provided")
            return True

        self.far.script = refuse
        self.send(legacy(2))
        self.assertEqual(len(self.far.of("tools/call")), 2)

    def test_a_method_that_is_not_found_is_no_session_that_is_not(self) -> None:
        self.far.script = lambda visit: (
            visit.asks == "x/y" and bool(visit.error(404, -32601) or True)
        )
        self.send(legacy(2, "x/y"))
        self.assertEqual(self.error().code, -32601)
        self.assertEqual(self.wire.renewals, 0)

    def test_a_server_that_forgets_at_once_is_believed(self) -> None:
        self.known = set()
        self.far.script = lambda v: v.asks == "tools/call" and bool(v.respond(404, b"") or True)
        self.send(legacy(2))
        self.assertEqual(len(self.far.of("tools/call")), 2)
        self.assertEqual(self.error().data["httpStatus"], 404)

    def test_a_server_that_does_not_want_us_any_more(self) -> None:
        self.far.script = lambda visit: bool(visit.respond(404, b"") or True)
        self.send(legacy(2))
        (reason,) = self.reader.reasons
        self.assertIn("begins no other", reason.message)


class ModernTests(FarTestCase):
    def test_headers_mirror_the_body(self) -> None:
        self.send(modern(1, "tools/call", name="späß", arguments={}))
        visit = self.last()
        self.assertEqual(visit.header(b"mcp-protocol-version"), b"2026-07-28")
        self.assertEqual(visit.header(b"mcp-method"), b"tools/call")
        self.assertEqual(visit.header(b"mcp-name"), b"=?base64?c3DDpMOf?=")
        self.assertEqual(visit.header(b"accept"), b"application/json, text/event-stream")

    def learn(self, header: str = "Region") -> None:
        """A list of tools passes."""
        self.send(modern(9, "tools/list"))
        self.last().answer({"tools": [tool("find", header), {"name": "plain"}]})
        self.far.turn()
        self.rig.forget()

    def test_arguments_are_mirrored_as_the_schema_says(self) -> None:
        self.learn()
        for value, text in (("eu", b"eu"), (7, b"7"), (True, b"true"), ("ä", b"=?base64?w6Q=?=")):
            self.send(modern(1, name="find", arguments={"where": value}))
            self.assertEqual(self.last().header(b"mcp-param-region"), text)
        self.send(modern(1, name="find", arguments={}))
        self.assertEqual(self.last().header(b"mcp-param-region"), None)

    def test_a_mismatch_has_the_schema_looked_up_again(self) -> None:
        self.learn("Old")
        self.send(modern(1, name="find", arguments={"where": "eu"}))
        self.last().error(400, -32020)
        self.far.turn()
        self.assertEqual(self.last().asks, "tools/list")
        self.last().answer({"tools": [], "nextCursor": "2"})
        self.far.turn()
        self.assertEqual(self.last().params()["cursor"], "2")
        self.last().answer({"tools": [tool("find", "New")]})
        self.far.turn()
        self.assertEqual(self.last().header(b"mcp-param-new"), b"eu")
        self.assertEqual(self.last().header(b"mcp-param-old"), None)
        self.last().answer({"ok": 1})
        self.far.turn()
        self.assertEqual(self.result(), {"ok": 1})
        self.assertEqual(len(self.reader.messages), 1)

    def test_but_once(self) -> None:
        self.far.script = lambda visit: (
            visit.asks == "tools/call" and bool(visit.error(400, -32020) or True)
        )
        self.send(modern(1, name="find"))
        self.last().answer({"tools": []})
        self.far.turn()
        self.assertEqual(self.error().code, -32020)
        self.assertEqual(len(self.far.of("tools/call")), 2)

    def test_to_cancel_is_to_close(self) -> None:
        self.send(modern(1, name="slow"), modern(2, name="other"))
        self.far.visits[0].stream()
        self.far.turn()
        self.send(cancelled(1))
        self.assertEqual([visit.open for visit in self.far.visits], [False, True])
        self.assertEqual(self.reader.told, [])

    def test_before_there_is_a_response_too(self) -> None:
        self.send(modern(1, name="slow"))
        self.send(cancelled(1))
        self.assertFalse(self.last().open)
        self.assertEqual(len(self.far.visits), 1)

    def test_there_is_no_session(self) -> None:
        self.send(modern(1, name="x"))
        self.last().answer({}, (b"mcp-session-id", b"s"))
        self.far.turn()
        self.send(modern(2, name="x"))
        self.assertEqual(self.last().header(b"mcp-session-id"), None)
        closed = self.wire.close()
        self.far.turn()
        self.successResultOf(closed)
        self.assertEqual({visit.method for visit in self.far.visits}, {b"POST"})

    def test_a_stream_that_breaks_is_not_taken_up(self) -> None:
        self.send(modern(1, name="x"))
        self.last().stream().write(b"id: 1\ndata: \n\n").end()
        self.far.turn(5, steps=5)
        self.assertEqual(len(self.far.visits), 1)
        self.assertEqual(self.error().data["code"], "server-exited")

    def test_answers_are_not_sent(self) -> None:
        self.send(modern(1, name="x"), Result("q", b"{}"))
        self.assertEqual(len(self.far.visits), 1)


def tool(name: str, header: str) -> Any:
    where = {"type": "string", "x-mcp-header": header}
    return {"name": name, "inputSchema": {"type": "object", "properties": {"where": where}}}


class RefusedTests(FarTestCase):
    """What HTTP says no to."""

    def setUp(self) -> None:
        super().setUp()
        self.rig.begin()

    def refused(self, status: int, body: bytes = b"", *headers: tuple[bytes, bytes]) -> Any:
        self.send(legacy(2))
        self.last().respond(status, body, *headers)
        self.far.turn()
        return self.error()

    def test_each_with_its_reason(self) -> None:
        for status, word in (
            (401, "Authorization"), (403, "allow"), (429, "often"), (500, "500"), (302, "url"),
            (204, "url"), (413, "longer"),
        ):  # fmt: skip
            self.assertIn(word, self.refused(status).message)
        self.assertEqual(self.reader.reasons, [])

    def test_what_it_says_is_passed_on_in_part(self) -> None:
        error = self.refused(
            400, b'{"error":"invalid","error_description":"no\\u001b[1m good"}', JSON
        )
        self.assertIn("no\ufffd[1m good", error.message)
        self.assertNotIn(
            "<html>", self.refused(500, b"<html>", (b"content-type", b"text/html")).message
        )

    def test_what_a_daemon_says_is_passed_on(self) -> None:
        body = b'{"error":{"code":"unknown-server","message":"there is no server x; there is: a"}}'
        self.assertIn("no server x; there is: a", self.refused(500, body, JSON).message)
        for odd in (b'{"error":{"message":5}}', b'{"error":[]}'):
            self.assertTrue(self.refused(500, odd, JSON).message.endswith("Internal Server Error"))

    def test_when_to_come_back(self) -> None:
        self.assertEqual(self.refused(503, b"", (b"retry-after", b"7")).data["retryAfter"], 7)

    def test_an_error_of_json_rpc_is_passed_as_it_is(self) -> None:
        self.send(legacy(2))
        self.last().error(400, -32602, "bad arguments")
        self.far.turn()
        self.assertEqual((self.error().code, self.error().message), (-32602, "bad arguments"))

    def test_secrets_do_not_come_back(self) -> None:
        far = FarEnd()
        upstream = far.upstream(headers=[("Authorization", "Bearer abcdef")], secrets=["abcdef"])
        reader = FakeReader()
        wire = self.successResultOf(
            StreamableConnector(upstream, far.network.clock).connect(reader)
        )
        wire.send(legacy(2))
        far.turn()
        self.assertEqual(far.visits[0].header(b"authorization"), b"Bearer abcdef")
        text = (b"content-type", b"text/plain")
        far.visits[0].respond(403, b"bad token abcdef", text)
        far.turn()
        message: Any = reader.messages[0]
        self.assertNotIn(b"abcdef", message.error)

    def test_a_password_in_the_url_goes_into_a_header(self) -> None:
        far = FarEnd()
        upstream = far.upstream(URL.replace("//", "//me:p%40ss@"))
        reader = FakeReader()
        StreamableConnector(upstream, far.network.clock).connect(reader).result.send(legacy(2))  # type: ignore[attr-defined]
        far.turn()
        self.assertEqual(far.visits[0].header(b"authorization"), b"Basic bWU6cEBzcw==")
        self.assertEqual(far.visits[0].header(b"host"), b"localhost:%d" % PORT)

    def test_what_is_no_answer(self) -> None:
        for body, kind in (
            (b"hello", (b"content-type", b"text/html")),
            (b"hello", JSON),
            (b'{"jsonrpc":"2.0","id":99,"result":{}}', JSON),
            (b"", JSON),
        ):
            self.assertEqual(self.refused(200, body, kind).data["code"], "server-misbehaved")

    def test_an_answer_that_is_cut(self) -> None:
        self.send(legacy(2))
        visit = self.last()
        visit.request.start(200, [JSON])
        visit.write(b'{"jsonrpc"')
        self.far.turn()
        self.far.network.cut()
        self.far.turn()
        self.assertEqual(self.error(0).data["code"], "server-exited")

    def test_a_connection_that_is_cut_before_the_answer(self) -> None:
        """It may have been done or not, so it is not asked again."""
        self.send(legacy(2))
        self.far.network.cut()
        self.far.turn()
        self.assertEqual(self.error().data["code"], "server-exited")
        self.assertEqual(len(self.far.of("tools/call")), 1)
        self.assertEqual(self.reader.reasons, [])

    def test_nobody_there_while_something_is_open(self) -> None:
        self.send(legacy(2))
        self.last().stream()
        self.far.turn()
        self.far.network.up = False
        self.send(legacy(3), legacy(4))
        self.assertEqual(self.error().data["code"], "server-unreachable")
        self.assertEqual(self.reader.reasons, [])

    def test_nobody_there_at_all(self) -> None:
        self.far.network.up = False
        self.far.network.cut()
        self.far.turn()
        (reason,) = self.reader.reasons
        self.assertIsInstance(reason, ServerUnreachable)


class OpeningTests(FarTestCase):
    """What the first request meets; whether that tells anything of the era."""

    def opened(self, request: Request, status: int, body: bytes = b"", *headers: Any) -> None:
        self.send(request)
        self.last().respond(status, body, *headers)
        self.far.turn()

    def discovered(self, status: int, body: bytes = b"", *headers: Any) -> None:
        self.opened(modern(1, "server/discover"), status, body, *headers)

    def test_a_server_that_knows_no_such_method_is_of_the_other_era(self) -> None:
        self.send(modern(1, "server/discover"))
        self.last().error(400, -32000, "Server not initialized")
        self.far.turn()
        self.assertEqual(self.error().code, -32000)

    def test_one_that_says_nothing_but_400_as_well(self) -> None:
        self.discovered(400)
        self.assertEqual(self.error().data["httpStatus"], 400)

    def test_no_credentials_tell_nothing(self) -> None:
        self.discovered(401)
        (reason,) = self.reader.reasons
        self.assertIsInstance(reason, ServerUnreachable)
        self.assertIn("401", reason.message)

    def test_nor_does_trouble(self) -> None:
        self.discovered(503, b"", (b"retry-after", b"3"))
        self.assertIsInstance(self.reader.reasons[0], ServerUnreachable)
        self.assertEqual(self.reader.reasons[0].data["retryAfter"], 3)

    def test_nor_does_silence(self) -> None:
        self.send(modern(1, "server/discover"))
        self.far.turn(49)
        self.assertEqual(self.reader.told, [])
        self.far.turn(2)
        self.assertIsInstance(self.reader.reasons[0], ServerUnreachable)
        self.assertFalse(self.last().open)

    def test_a_modern_server_says_so_when_it_is_greeted(self) -> None:
        self.far.script = lambda v: v.asks == "initialize" and bool(v.error(404, -32601) or True)
        self.send(HELLO)
        self.assertEqual(self.error().code, -32601)

    def test_a_wrong_url_says_so_when_it_is_greeted(self) -> None:
        self.far.script = lambda v: bool(v.respond(404, b"") or True)
        self.send(HELLO)
        self.assertIn("url", self.reader.reasons[0].message)


class RedirectTests(FarTestCase):
    def test_within_the_origin_it_is_followed(self) -> None:
        self.far.script = lambda v: (
            v.request.path == b"/mcp"
            and bool(v.respond(307, b"", (b"location", b"/moved")) or True)
        )
        self.send(legacy(2))
        self.assertEqual(self.last().request.path, b"/moved")
        self.last().answer({"ok": 1})
        self.far.turn()
        self.assertEqual(self.result(), {"ok": 1})

    def test_elsewhere_it_is_not(self) -> None:
        for place in (b"http://localhost:9/mcp", b"https://localhost:%d/" % PORT, b"//evil/", b""):
            self.send(legacy(2))
            self.last().respond(308, b"", (b"location", place))
            self.far.turn()
            self.assertEqual(self.error().data["code"], "server-misbehaved")
        self.assertEqual(len(self.far.visits), 4)

    def test_not_for_ever(self) -> None:
        self.far.script = lambda v: bool(v.respond(307, b"", (b"location", b"/mcp")) or True)
        self.send(legacy(2))
        self.assertIn("too often", self.error().message)


class BoundTests(FarTestCase):
    limits = UpstreamLimits(body=1000, posts=2, retry=0.0)

    def test_an_event_that_is_too_large(self) -> None:
        self.send(legacy(2))
        self.last().stream().write(b"data: " + b"x" * 2000)
        self.far.turn()
        self.assertEqual(self.error().data["code"], "server-misbehaved")
        self.assertFalse(self.last().open)

    def test_an_answer_that_is_too_large(self) -> None:
        self.send(legacy(2))
        self.last().respond(200, b" " * 2000, JSON)
        self.far.turn()
        self.assertIn("1000", self.error().message)

    def test_too_many_at_once(self) -> None:
        self.send(legacy(2), legacy(3), legacy(4))
        self.assertEqual(len(self.far.visits), 2)
        self.assertEqual(self.error().data["code"], Overloaded.code)
        self.assertEqual(self.wire.overloads, 1)

    def test_what_is_no_message_is_told(self) -> None:
        self.send(legacy(2))
        self.last().stream().write(b"data: hello\n\nevent: other\ndata: x\n\n").say_result({})
        self.far.turn()
        self.assertEqual(len(self.reader.problems), 1)
        self.assertEqual(self.result(), {})


class PausedTests(FarTestCase):
    def test_responses_are_held_back(self) -> None:
        """What was read already waits here; more is not read."""
        self.send(legacy(2), legacy(3))
        streams = [visit.stream() for visit in self.far.visits]
        self.far.turn()
        self.wire.pause()
        for stream in streams:
            stream.say(Notification("a"))
        self.far.turn()
        near = [near for near, _ in self.far.network.ends]
        self.assertEqual({end.producerState for end in near}, {"paused"})
        self.wire.resume()
        self.far.turn()
        self.assertEqual(len(self.reader.messages), 2)

    def test_so_are_those_that_begin_meanwhile(self) -> None:
        self.send(legacy(2))
        self.wire.pause()
        self.last().stream().say_result({}).end()
        self.far.turn()
        self.assertEqual(self.reader.told, [])
        self.wire.resume()
        self.far.turn()
        self.assertEqual(self.result(), {})


class LossTests(FarTestCase):
    def test_closing_while_it_waits_to_come_back(self) -> None:
        self.rig.begin()
        self.far.standing[0].write(b"retry: 60000\n\n").end()
        self.far.turn()
        closed = self.wire.close()
        self.far.turn()
        self.successResultOf(closed)
        self.assertIsInstance(self.reader.reasons[0], ServerExited)
        self.far.turn(70, steps=7)
        self.assertEqual(len(self.far.standing), 1)
