"""Stories of Streamable HTTP, each with the paragraph it comes from.

MCP 2025-03-26, 2025-06-18 and 2025-11-25, *Transports, Streamable HTTP*; MCP 2026-07-28,
*Streamable HTTP*. HTTP/1.1 as on the wire, a server that is the test, no sockets.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.errors import ServerExited, ServerStartFailed
from mcptwist.exchange import SUBSCRIPTION_ID
from mcptwist.messages import Error, Notification, Request, encode_json
from mcptwist.negotiation import CAPABILITIES_KEY, VERSION_KEY, modern_meta
from mcptwist.protocols.streams import StreamLimits
from tests.conversations.posting import BOB, BOTH, EVENTS, JSON, House, rpc

LIST_CHANGED = Notification("notifications/tools/list_changed")
LEGACY = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")


def progress(token: Any, done: int = 1) -> Notification:
    params = encode_json({"progressToken": token, "progress": done})
    return Notification("notifications/progress", params)


class HandshakeStories(SynchronousTestCase):
    """*Session Management*."""

    def test_every_revision(self) -> None:
        """``initialize`` is answered with a session's id, and the session can be used."""
        for revision in LEGACY:
            house = House()
            welcome = house.shake_hands(revision)
            self.assertEqual(welcome.status, 200)
            self.assertEqual(welcome.json["id"], 0)
            self.assertEqual(welcome.json["result"]["protocolVersion"], revision)
            self.assertTrue(house.session)
            answer = house.call()
            house.answer(house.asked(), {"content": []})
            self.assertEqual(answer.json, {"jsonrpc": "2.0", "id": 1, "result": {"content": []}})

    def test_notification(self) -> None:
        """A notification is answered 202 with no body."""
        house = House()
        house.greet()
        answer = house.post(rpc("notifications/initialized", id=None))
        self.assertEqual((answer.status, answer.body), (202, b""))

    def test_twice(self) -> None:
        """A second ``initialize`` in a session is refused; the session goes on."""
        house = House()
        house.shake_hands()
        params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": BOB}
        again = house.post(rpc("initialize", params, 9))
        self.assertEqual((again.status, again.json["id"]), (400, 9))
        self.assertEqual(house.post(rpc("ping", id=2)).json["result"], {})

    def test_failed(self) -> None:
        """A handshake that fails leaves no session, and names none."""
        house = House(plan=[ServerStartFailed("no such file", exitStatus=127)])
        answer = house.greet()
        self.assertEqual(answer.error["data"]["exitStatus"], 127)
        self.assertNotIn("mcp-session-id", answer.headers)
        self.assertEqual(len(house.concourse.sessions), 0)
        malformed = house.post(rpc("initialize", {"protocolVersion": 5}, 3))
        self.assertEqual((malformed.status, malformed.error["code"]), (400, -32602))
        self.assertEqual((malformed.json["id"], len(house.concourse.sessions)), (3, 0))

    def test_left_meanwhile(self) -> None:
        """A client that left before it was told its session's id leaves no session."""
        house = House(plan=[Deferred()])
        params = {"protocolVersion": "2025-11-25", "capabilities": {}}
        house.post(rpc("initialize", params, 0)).leave()
        self.assertEqual(len(house.concourse.sessions), 0)

    def test_too_many(self) -> None:
        """503 when there is no room, under the request's id, naming the limit."""
        house = House(sessions=1)
        house.shake_hands()
        answer = house.greet()
        self.assertEqual((answer.status, answer.json["id"]), (503, 0))
        self.assertEqual(answer.error["data"]["limit"], "sessions")

    def test_slow_start(self) -> None:
        """While the server starts the client sees life, in words its revision knows: a priming
        event for 2025-11-25 only, for older clients cannot read it."""
        for revision in LEGACY:
            house = House(plan=[Deferred()])
            start = house.connector.plan[0]
            params = {"protocolVersion": revision, "capabilities": {}, "clientInfo": BOB}
            answer = house.post(rpc("initialize", params, 0))
            house.turn(3)
            self.assertEqual(answer.status, 200)
            self.assertEqual(answer.headers["mcp-session-id"], "key-0")
            primed = [b for b in answer.blocks if b.get("data") == ""]
            self.assertEqual(len(primed), int(revision == "2025-11-25"), revision)
            start.callback(None)
            house.agree(protocolVersion=revision)
            self.assertEqual(answer.said[0]["result"]["protocolVersion"], revision)
            self.assertTrue(answer.ended)


class SessionStories(SynchronousTestCase):
    """Which session a request belongs to: 400 without one, 404 where there is none."""

    def setUp(self) -> None:
        self.house = House()
        self.house.shake_hands()

    def test_none(self) -> None:
        """Without a session's id: 400, whatever the method."""
        self.house.session = ""
        for answer in (
            self.house.call(id="x"),
            self.house.post(rpc("notifications/initialized", id=None)),
            self.house.get(),
            self.house.delete(),
        ):
            self.assertEqual(
                (answer.status, answer.error["data"]["code"]), (400, "session-required")
            )
        self.assertEqual(self.house.call(id="x").json["id"], "x")

    def test_unknown(self) -> None:
        """With one that ended or never was: 404, so that the client begins anew."""
        self.house.session = "key-99"
        for answer in (self.house.call(id="x"), self.house.get(), self.house.delete()):
            self.assertEqual(
                (answer.status, answer.error["data"]["code"]), (404, "unknown-session")
            )
        for strange in ("", "\xff", "a" * 2000):
            self.assertIn(self.house.call(mcp_session_id=strange).status, (400, 404))

    def test_other_endpoint(self) -> None:
        """A session of another URL is none here."""
        for path in ("/servers/far/mcp",):
            self.assertEqual(self.house.post(rpc("ping"), path).status, 404)

    def test_delete(self) -> None:
        """DELETE ends it: what is open ends, the id is worth nothing, the server is told."""
        stream, call = self.house.get(), self.house.call(id=7)
        request = self.house.asked()
        self.assertEqual(self.house.delete().status, 204)
        self.assertTrue(stream.ended)
        self.assertEqual((call.status, call.json["id"], "error" in call.json), (200, 7, True))
        (cancelled,) = self.house.wire.take()
        self.assertIn(b'"requestId":%d' % request.id, bytes(cancelled.params))  # type: ignore[union-attr]
        self.assertEqual(self.house.call().status, 404)

    def test_expiry(self) -> None:
        """One that nobody uses is forgotten; one that holds a stream is not."""
        idle = self.house.session
        self.house.shake_hands()
        self.house.get()
        self.house.turn(1801, 60)
        self.house.concourse.sessions.expire()
        self.assertEqual(self.house.post(rpc("ping")).status, 200)
        self.assertEqual(self.house.post(rpc("ping"), mcp_session_id=idle).status, 404)

    def test_expiry_after_the_stream(self) -> None:
        """A stream that broke leaves the client its time to come back."""
        stream = self.house.get()
        self.house.turn(1790, 10)
        self.house.concourse.sessions.expire()
        stream.leave()
        self.house.turn(60)
        self.house.concourse.sessions.expire()
        self.assertEqual(self.house.post(rpc("ping")).status, 200)

    def test_revision_header(self) -> None:
        """An invalid revision header is answered 400."""
        self.assertEqual(self.house.call(mcp_protocol_version="1999-01-01").status, 400)

    def test_duplicate_id(self) -> None:
        """A second request of one id is refused at once; the first gets its answer."""
        first = self.house.call(id="same")
        second = self.house.call(id="same")
        self.assertEqual((second.status, second.error["data"]["code"]), (400, "duplicate-id"))
        self.assertEqual(second.json["id"], "same")
        self.house.answer(self.house.asked(), {"first": 1})
        self.assertEqual(first.json["result"], {"first": 1})

    def test_equal_ids_of_two_clients(self) -> None:
        """Two clients with equal ids get each its own answer."""
        first = self.house.call("one", id=1)
        self.house.shake_hands()
        second = self.house.call("two", id=1)
        one, two = self.house.wire.take()
        assert isinstance(one, Request)
        assert isinstance(two, Request)
        self.house.answer(two, "two")
        self.house.answer(one, "one")
        self.assertEqual((first.json["result"], second.json["result"]), ("one", "two"))


class HttpStories(SynchronousTestCase):
    """What HTTP itself asks: 405, 406, 413, 415, and JSON-RPC's own codes on 400."""

    def setUp(self) -> None:
        self.house = House(body=1000)
        self.house.shake_hands()

    def test_content_type(self) -> None:
        """Only JSON is taken: 415."""
        for kind in (None, "text/plain", "application/jsonp", "text/plain; a=application/json"):
            answer = self.house.call(content_type=kind)
            self.assertEqual((answer.status, answer.json["id"]), (415, None), kind)
        for kind in ("application/json; charset=utf-8", "APPLICATION/JSON"):
            self.assertEqual(self.house.post(rpc("ping"), content_type=kind).status, 200)

    def test_accept(self) -> None:
        """The client must take both JSON and event streams: 406."""
        for accept in (JSON, EVENTS, "text/html", f"{JSON};q=0, {EVENTS}", ""):
            self.assertEqual(self.house.call(accept=accept).status, 406, accept)
        for accept in (None, "*/*", BOTH, "application/*, text/*;q=0.5"):
            self.assertEqual(self.house.post(rpc("ping"), accept=accept).status, 200, accept)
        self.assertEqual(self.house.get(accept=JSON).status, 406)

    def test_method(self) -> None:
        """Other methods: 405, and which there are."""
        for method in ("PUT", "PATCH"):
            answer = self.house.request(method, "/mcp", {})
            self.assertEqual((answer.status, answer.headers["allow"]), (405, "GET, POST, DELETE"))

    def test_too_large(self) -> None:
        """A body over the limit: 413."""
        answer = self.house.post(rpc("ping", {"x": "y" * 1000}))
        self.assertEqual(answer.status, 413)

    def test_malformed(self) -> None:
        """What is no JSON, or no message: 400 with JSON-RPC's code, the id where it can be read."""
        for body, code, id in (
            (b"{", -32700, None),
            (b"\xff", -32700, None),
            (b"5", -32600, None),
            (b'{"jsonrpc":"2.0","id":5}', -32600, 5),
            (b'{"jsonrpc":"2.0","id":5,"method":"a","params":[]}', -32600, 5),
            (b'{"jsonrpc":"1.0","id":"x","method":"a"}', -32600, "x"),
        ):
            answer = self.house.post(body)
            self.assertEqual(
                (answer.status, answer.error["code"], answer.json["id"]), (400, code, id), body
            )

    def test_no_such_place(self) -> None:
        """404 with a reason, for servers that are broken too."""
        for path, word in (
            ("/", "/mcp"),
            ("/servers/none/mcp", "far"),
            ("/servers/odd/mcp", "command is missing"),
            ("/servers/far/x", "/servers/far/mcp"),
        ):
            answer = self.house.request("GET", path, {})
            self.assertEqual(answer.status, 404)
            self.assertIn(word, answer.json["error"]["message"])

    def test_two_servers(self) -> None:
        """Each server has its own URL."""
        house = House(("one", "two"))
        path = "/servers/two/mcp"
        house.greet(path=path)
        self.assertEqual(house.post(rpc("ping"), path).status, 200)
        self.assertEqual(house.post(rpc("ping"), "/servers/one/mcp").status, 404)


class AnswerStories(SynchronousTestCase):
    """*Sending Messages to the Server*: JSON, or an event stream."""

    def setUp(self) -> None:
        self.house = House()
        self.house.shake_hands()

    def test_json(self) -> None:
        """JSON where the answer is the first thing said, errors of the server's too."""
        answer = self.house.call(id="x")
        self.house.answer(self.house.asked(), {"a": 1})
        self.assertEqual(answer.headers["content-type"], JSON)
        self.assertEqual((answer.status, answer.json["id"]), (200, "x"))
        answer = self.house.call(id="y")
        self.house.say(Error(self.house.asked().id, b'{"code":-32602,"message":"m"}'))
        self.assertEqual(
            (answer.status, answer.json["id"], answer.error["code"]), (200, "y", -32602)
        )

    def test_stream_after_a_notification(self) -> None:
        """An event stream as soon as anything is said before; the answer ends it."""
        answer = self.house.call(meta={"progressToken": "p"})
        request = self.house.asked()
        self.house.say(progress(request.id))
        self.assertEqual((answer.status, answer.headers["content-type"]), (200, EVENTS))
        self.assertEqual(answer.headers["x-accel-buffering"], "no")
        self.assertFalse(answer.ended)
        self.house.answer(request, {"done": 1})
        self.assertEqual(answer.said[0]["params"], {"progressToken": "p", "progress": 1})
        self.assertEqual(answer.said[1], {"jsonrpc": "2.0", "id": 1, "result": {"done": 1}})
        self.assertTrue(answer.ended)

    def test_late_answer(self) -> None:
        """After a second without an answer there is a stream; a comment every twenty seconds."""
        answer = self.house.call()
        self.house.turn(0.5)
        self.assertEqual(answer.status, 0)
        self.house.turn(1)
        self.assertEqual(answer.headers["content-type"], EVENTS)
        before = answer.comments
        self.house.turn(19)
        self.assertEqual(answer.comments, before)
        self.house.turn(2)
        self.assertEqual(answer.comments, before + 1)
        self.house.turn(60)
        self.assertEqual(answer.comments, before + 4)
        self.house.answer(self.house.asked())
        self.assertTrue(answer.ended)
        self.house.turn(60)
        self.assertEqual(answer.comments, before + 4)

    def test_priming(self) -> None:
        """SEP-1699: 2025-11-25 streams begin with an id, empty data, and when to come back; for
        older clients there is a comment instead."""
        for revision in LEGACY:
            self.house = House()
            self.house.shake_hands(revision)
            for stream in (self.house.call(), self.house.get()):
                self.house.turn(2)
                first = stream.blocks[0]
                if revision == "2025-11-25":
                    self.assertEqual((first["data"], first["retry"]), ("", "1000"))
                    self.assertTrue(first["id"])
                else:
                    self.assertEqual((list(first), stream.ids), ([""], []))

    def test_server_gone(self) -> None:
        """The server dies: the answer tells why, as JSON or at the end of the stream."""
        plain, streamed = self.house.call(id=1), self.house.call(id=2, meta={"progressToken": 1})
        _, request = self.house.wire.take()
        self.house.say(progress(request.id))  # type: ignore[union-attr]
        self.house.wire.lose(ServerExited("it died", exitStatus=9, stderr=["boom"]))
        for error in (plain.error, streamed.said[-1]["error"]):
            self.assertEqual(
                error["data"], {"code": "server-exited", "exitStatus": 9, "stderr": ["boom"]}
            )
        self.assertEqual((plain.status, streamed.ended), (200, True))

    def test_cancelled(self) -> None:
        """*Cancellation*: by a notification; the response it waited on ends."""
        plain = self.house.call(id=1)
        request = self.house.asked()
        self.house.post(rpc("notifications/cancelled", {"requestId": 1}, None))
        (said,) = self.house.wire.take()
        self.assertIn(b'"requestId":%d' % request.id, bytes(said.params))  # type: ignore[union-attr]
        self.assertTrue(plain.ended)
        self.house.answer(request)
        streamed = self.house.call(id=1)
        self.house.turn(2)
        self.house.post(rpc("notifications/cancelled", {"requestId": 1}, None))
        self.assertEqual((streamed.ended, streamed.said), (True, []))

    def test_unchanged(self) -> None:
        """What the daemon does not understand passes unchanged, both ways."""
        body = b'{"jsonrpc":"2.0","id":1,"method":"x/y","params":{ "a":1.50,"b":[ 1e999 ] }}'
        answer = self.house.post(body)
        self.assertEqual(bytes(self.house.asked().params), b'{ "a":1.50,"b":[ 1e999 ] }')
        answer = self.house.call(id=2)
        self.house.wire.receive_json(
            b'{"jsonrpc":"2.0","id":%d,"result":{ "x":1.50,"x":2 }}' % self.house.asked().id
        )
        self.assertTrue(answer.body.endswith(b'"result":{ "x":1.50,"x":2 }}'))


class QuestionStories(SynchronousTestCase):
    """The server asks the client: *Sending Messages*, item 6; *Listening for Messages*."""

    def setUp(self) -> None:
        self.house = House(scope="session")
        self.house.shake_hands()

    def test_on_the_stream_of_the_call(self) -> None:
        """In the course of a call the question comes on its stream; the answer comes by POST."""
        self.house.get()
        call = self.house.call()
        request = self.house.asked()
        self.house.say(Request("ask", "elicitation/create", b'{"message":"?"}'))
        question = call.said[0]
        self.assertEqual(
            (question["method"], question["params"]), ("elicitation/create", {"message": "?"})
        )
        answer = self.house.post(
            {"jsonrpc": "2.0", "id": question["id"], "result": {"action": "accept"}}
        )
        self.assertEqual((answer.status, answer.body), (202, b""))
        (reply,) = self.house.wire.take()
        self.assertEqual((reply.id, bytes(reply.result)), ("ask", b'{"action":"accept"}'))  # type: ignore[union-attr]
        self.house.answer(request)
        self.assertTrue(call.ended)

    def test_on_the_clients_own_stream(self) -> None:
        """Without a call it comes on the GET stream, an error may be the answer."""
        stream = self.house.get()
        self.house.say(Request(1, "roots/list"))
        question = stream.said[0]
        self.house.post(
            {"jsonrpc": "2.0", "id": question["id"], "error": {"code": -1, "message": "no"}}
        )
        (reply,) = self.house.wire.take()
        self.assertEqual((reply.id, b"-1" in bytes(reply.error)), (1, True))  # type: ignore[union-attr]

    def test_before_the_client_listens(self) -> None:
        """A question that comes early waits for the client's stream."""
        self.house.say(Request(1, "roots/list"))
        self.assertEqual([m["method"] for m in self.house.get().said], ["roots/list"])

    def test_answer_to_nothing(self) -> None:
        """An answer nobody waits for is taken and dropped, another session's too."""
        stream = self.house.get()
        self.house.say(Request(1, "roots/list"))
        id = stream.said[0]["id"]
        mine, self.house.session = self.house.session, ""
        self.house.shake_hands()
        self.house.wire.take()
        for wrong in (id, 99):
            self.assertEqual(
                self.house.post({"jsonrpc": "2.0", "id": wrong, "result": {}}).status, 202
            )
        self.assertEqual([w.take() for w in self.house.connector.wires], [[], []])
        self.house.post({"jsonrpc": "2.0", "id": id, "result": {}}, mcp_session_id=mine)
        self.assertEqual(len(self.house.connector.wires[0].take()), 1)

    def test_shared(self) -> None:
        """A server that is shared is told that nobody can be asked, and what to do."""
        house = House()
        house.shake_hands()
        house.say(Request(1, "roots/list"))
        (reply,) = house.wire.take()
        self.assertIn(b"scope", bytes(reply.error))  # type: ignore[union-attr]


class ListeningStories(SynchronousTestCase):
    """*Listening for Messages from the Server*: the GET stream."""

    def setUp(self) -> None:
        self.house = House(streams=StreamLimits(streams=2))
        self.house.shake_hands()

    def test_first_bytes(self) -> None:
        """The head and a first sign of life come at once."""
        stream = self.house.get()
        self.assertEqual((stream.status, stream.headers["content-type"]), (200, EVENTS))
        self.assertTrue(stream.body)

    def test_list_changed(self) -> None:
        """What concerns no call comes on it, each message on one stream only."""
        older, newer = self.house.get(), self.house.get()
        self.house.say(LIST_CHANGED)
        self.assertEqual(
            (older.said, [m["method"] for m in newer.said]), ([], [LIST_CHANGED.method])
        )
        newer.leave()
        self.house.say(LIST_CHANGED)
        self.assertEqual(len(older.said), 1)

    def test_said_before(self) -> None:
        """What was said before anybody listened is told then, equal things once."""
        self.house.say(LIST_CHANGED)
        self.house.say(LIST_CHANGED)
        self.assertEqual(len(self.house.get().said), 1)
        self.assertEqual(self.house.get().said, [])

    def test_too_many(self) -> None:
        """Only so many at a time: 409, naming the limit."""
        first = self.house.get()
        self.house.get()
        answer = self.house.get()
        self.assertEqual(
            (answer.status, answer.error["data"]["limit"]), (409, "streams_per_session")
        )
        first.leave()
        self.assertEqual(self.house.get().status, 200)

    def test_many_that_left(self) -> None:
        """Those who left leave little behind."""
        for _ in range(50):
            self.house.get().leave()
        (session,) = self.house.concourse.sessions
        self.assertLessEqual(len(session.back._streams), 2)  # type: ignore[union-attr]

    def test_keep_alive(self) -> None:
        """A comment every twenty seconds of silence."""
        stream = self.house.get()
        self.house.turn(41)
        self.assertEqual(stream.comments, 2)


class ResumptionStories(SynchronousTestCase):
    """*Resumability and Redelivery*."""

    def setUp(self) -> None:
        self.house = House()
        self.house.shake_hands()

    def stream(self, id: Any, tag: int = 1) -> tuple[Any, Request]:
        """A call whose stream has begun."""
        call = self.house.call(id=id, meta={"progressToken": id})
        request = self.house.asked()
        self.house.say(progress(request.id, tag))
        return call, request

    def test_lost_call(self) -> None:
        """A call goes on when its stream is lost; the rest is heard by who comes back for it."""
        call, request = self.stream(1)
        last = call.ids[-1]
        call.leave()
        self.house.say(progress(request.id, 2))
        self.assertEqual(self.house.wire.take(), [])
        back = self.house.get(last_event_id=last)
        self.assertEqual([m["params"]["progress"] for m in back.said], [2])
        self.house.answer(request, "done")
        self.assertEqual((back.said[-1]["result"], back.ended), ("done", True))

    def test_finished_meanwhile(self) -> None:
        """It is there even if the call was answered meanwhile."""
        call, request = self.stream(1)
        last = call.ids[-1]
        call.leave()
        self.house.answer(request, "done")
        back = self.house.get(last_event_id=last)
        self.assertEqual(
            (back.said, back.ended), ([{"jsonrpc": "2.0", "id": 1, "result": "done"}], True)
        )
        again = self.house.get(last_event_id=back.ids[-1])
        self.assertEqual((again.said, again.ended), ([], True))

    def test_from_the_priming_event(self) -> None:
        """A stream can be taken up from its very start."""
        call = self.house.call()
        self.house.turn(2)
        call.leave()
        request = self.house.asked()
        self.house.answer(request, "done")
        self.assertEqual(self.house.get(last_event_id=call.ids[0]).said[0]["result"], "done")

    def test_never_another_streams(self) -> None:
        """What was said on another stream is not replayed."""
        one, request = self.stream(1)
        two, other = self.stream(2)
        listening = self.house.get()
        self.house.say(LIST_CHANGED)
        one.leave()
        self.house.answer(other, "two")
        self.house.answer(request, "one")
        back = self.house.get(last_event_id=one.ids[0])
        self.assertEqual([m.get("result") for m in back.said], [None, "one"])
        self.assertEqual((two.said[-1]["result"], len(listening.said)), ("two", 1))

    def test_own_stream(self) -> None:
        """The client's own stream can be taken up too, and goes on."""
        stream = self.house.get()
        self.house.say(LIST_CHANGED)
        last = stream.ids[-1]
        stream.leave()
        self.house.say(Notification("notifications/prompts/list_changed"))
        back = self.house.get(last_event_id=last)
        self.house.say(Notification("notifications/resources/list_changed"))
        self.assertEqual(
            [m["method"] for m in back.said],
            ["notifications/prompts/list_changed", "notifications/resources/list_changed"],
        )
        self.assertFalse(back.ended)

    def test_taken_over(self) -> None:
        """Who comes back while the old response still seems open takes the stream over."""
        call, request = self.stream(1)
        back = self.house.get(last_event_id=call.ids[-1])
        self.assertTrue(call.ended)
        self.house.answer(request, "done")
        self.assertEqual(
            ([m.get("result") for m in call.said], back.said[-1]["result"]), ([None], "done")
        )

    def test_unknown_event(self) -> None:
        """An id that is none of the session's: 400; another session's tells nothing."""
        call, request = self.stream(1)
        self.house.answer(request, "secret")
        for last in (
            "x",
            "99-1",
            "1-",
            "-1",
            "1-x",
            "1",
            "9" * 40 + "-1",
            "1-" + "9" * 40,
            "²-1",
            " ",
        ):
            answer = self.house.get(last_event_id=last)
            self.assertEqual(
                (answer.status, answer.error["data"]["code"]), (400, "unknown-event"), last
            )
        self.house.shake_hands()
        answer = self.house.get(last_event_id=call.ids[0])
        self.assertEqual(answer.status, 400)

    def test_bounds(self) -> None:
        """The log is bounded by events and bytes; an event too large for it drives nothing out."""
        self.house = House(streams=StreamLimits(log_events=3, log_bytes=1000))
        self.house.shake_hands()
        call, request = self.stream(1)
        for done in range(2, 6):
            self.house.say(progress(request.id, done))
        self.house.answer(request, "x" * 2000)
        back = self.house.get(last_event_id=call.ids[0])
        self.assertEqual([m["params"]["progress"] for m in back.said], [3, 4, 5])
        self.assertEqual(call.said[-1]["result"], "x" * 2000)

    def test_memory_is_given_back(self) -> None:
        """When sessions end their logs are forgotten."""
        self.stream(1)
        self.assertGreater(self.house.concourse.allowance.used, 0)
        self.house.delete()
        self.assertEqual(self.house.concourse.allowance.used, 0)

    def test_all_sessions_together(self) -> None:
        """All logs together are bounded: nothing is kept beyond."""
        self.house = House(streams=StreamLimits(log_total=300))
        for _ in range(3):
            self.house.shake_hands()
            self.stream(1)
            self.assertLessEqual(self.house.concourse.allowance.used, 300)
        self.assertGreater(self.house.concourse.allowance.dropped, 0)

    def test_no_cancel(self) -> None:
        """*Sending Messages*, item 6: a disconnect is no cancellation; nor before the stream."""
        call = self.house.call()
        request = self.house.asked()
        call.leave()
        self.house.turn(5)
        self.house.answer(request)
        self.assertEqual(self.house.wire.take(), [])
        self.assertEqual(self.house.post(rpc("ping")).status, 200)


class BatchStories(SynchronousTestCase):
    """MCP 2025-03-26, *Batching*; gone in 2025-06-18."""

    def setUp(self) -> None:
        self.house = House()
        self.house.shake_hands("2025-03-26")

    def test_mixed(self) -> None:
        """Requests are answered together; what is no message has its error among them."""
        answer = self.house.post(
            [
                rpc("tools/call", {"name": "a"}, 1),
                rpc("notifications/roots/list_changed", id=None),
                5,
                {"jsonrpc": "2.0", "id": 3},
                rpc("tools/call", {"name": "b"}, 2),
                rpc("ping", id=4),
                rpc("ping", id=1),
            ]
        )
        one, two = (m for m in self.house.wire.take() if isinstance(m, Request))
        self.house.answer(two, "two")
        self.assertEqual(answer.status, 0)
        self.house.answer(one, "one")
        by_id = {m["id"]: m for m in answer.json if "result" in m}
        self.assertEqual({id: m["result"] for id, m in by_id.items()}, {1: "one", 2: "two", 4: {}})
        errors = [(m["id"], m["error"]["code"]) for m in answer.json if "error" in m]
        self.assertEqual(sorted(errors, key=str), [(1, -32600), (3, -32600), (None, -32600)])

    def test_notifications(self) -> None:
        """Only notifications and answers: 202 with no body."""
        batch = [
            rpc("notifications/cancelled", {"requestId": 9}, None),
            {"jsonrpc": "2.0", "id": 1, "result": 1},
        ]
        answer = self.house.post(batch)
        self.assertEqual((answer.status, answer.body), (202, b""))

    def test_stream(self) -> None:
        """With anything said before it is a stream, which ends after the last answer."""
        answer = self.house.post(
            [rpc("tools/call", {"_meta": {"progressToken": n}}, n) for n in (1, 2)]
        )
        one, two = self.house.wire.take()
        self.house.say(progress(two.id))  # type: ignore[union-attr]
        for request in (one, two):
            self.assertFalse(answer.ended)
            self.house.answer(request)  # type: ignore[arg-type]
        self.assertTrue(answer.ended)
        self.assertEqual({m.get("id") for m in answer.said}, {None, 1, 2})

    def test_cancelled(self) -> None:
        """What was taken back gets no answer; if that was all, 202."""
        answer = self.house.post([rpc("tools/call", {}, n) for n in (1, 2)])
        for id in (1, 2):
            self.house.post(rpc("notifications/cancelled", {"requestId": id}, None))
        self.assertEqual((answer.status, answer.body), (202, b""))

    def test_refused(self) -> None:
        """Empty, too long, no JSON: 400 for the whole. ``initialize`` in it: an error for it."""
        for body, code in ((b"[]", -32600), (b"[" + b"1," * 8 + b"1]", -32600), (b"[1", -32700)):
            answer = self.house.post(body)
            self.assertEqual((answer.status, answer.error["code"]), (400, code), body)
        params = {"protocolVersion": "2025-03-26", "capabilities": {}}
        answer = self.house.post([rpc("initialize", params, 1)])
        self.assertEqual([m["error"]["code"] for m in answer.json], [-32602])

    def test_other_revisions(self) -> None:
        """Other revisions have none: 400."""
        for revision in ("2024-11-05", "2025-06-18", "2025-11-25"):
            house = House()
            house.shake_hands(revision)
            answer = house.post([rpc("ping")], mcp_protocol_version=revision)
            self.assertEqual((answer.status, answer.error["code"]), (400, -32600), revision)

    def test_without_a_session(self) -> None:
        """A batch belongs to a session like anything else."""
        self.assertEqual(self.house.post([rpc("ping")], mcp_session_id=None).status, 400)


class ModernStories(SynchronousTestCase):
    """MCP 2026-07-28, *Streamable HTTP*: requests that stand alone."""

    def setUp(self) -> None:
        self.house = House()

    def test_answer(self) -> None:
        """One request, one answer; no session is made, whatever the client sends."""
        answer = self.house.modern("tools/call", {"name": "t"}, id="x", mcp_session_id="key-0")
        self.house.answer(self.house.asked(), {"resultType": "complete", "ttlMs": 5, "x": [1.5]})
        self.assertEqual((answer.status, answer.json["id"]), (200, "x"))
        self.assertEqual(answer.json["result"], {"resultType": "complete", "ttlMs": 5, "x": [1.5]})
        self.assertNotIn("mcp-session-id", answer.headers)
        self.assertEqual(len(self.house.concourse.sessions), 0)

    def test_unchanged(self) -> None:
        """The server sees the request as the client sent it, envelope and all, but for its id."""
        params = {"name": "t", "x": 1, "_meta": {**modern_meta(BOB), "k": 2}}
        self.house.modern("tools/call", params)
        self.assertEqual(
            bytes(self.house.asked().params), encode_json({"_meta": params["_meta"], **params})
        )

    def test_stream(self) -> None:
        """An event stream where anything is said before; no event ids, for it cannot be resumed."""
        meta = {**modern_meta(BOB), "progressToken": "p"}
        answer = self.house.modern("tools/call", {"name": "t", "_meta": meta})
        request = self.house.asked()
        self.house.say(progress(request.id))
        self.house.answer(request, {"resultType": "complete"})
        self.assertEqual(answer.said[0]["params"]["progressToken"], "p")
        self.assertEqual((answer.said[1]["id"], answer.ids, answer.ended), (1, [], True))
        self.assertEqual(answer.headers["x-accel-buffering"], "no")

    def test_late(self) -> None:
        """Signs of life while the answer is long in coming."""
        answer = self.house.modern("tools/call", {"name": "t"})
        self.house.turn(22)
        self.assertEqual((answer.headers["content-type"], answer.comments), (EVENTS, 2))

    def test_disconnect_cancels(self) -> None:
        """*Cancellation*: closing the response is, whether a stream had begun or not."""
        for wait in (0, 2):
            answer = self.house.modern("tools/call", {"name": "t"})
            request = self.house.asked()
            self.house.turn(wait)
            answer.leave()
            (said,) = self.house.wire.take()
            self.assertEqual(said.method, "notifications/cancelled")  # type: ignore[union-attr]
            self.assertIn(b'"requestId":%d' % request.id, bytes(said.params))  # type: ignore[union-attr]
            self.house.answer(request)

    def test_close_after_the_answer(self) -> None:
        """A connection that is closed after the answer cancels nothing."""
        answer = self.house.modern("tools/call", {"name": "t"})
        self.house.answer(self.house.asked())
        answer.leave()
        self.assertEqual(self.house.wire.take(), [])

    def test_other_methods(self) -> None:
        """*GET and DELETE*: 405, and that there is only POST."""
        for method in ("GET", "DELETE", "PUT"):
            answer = self.house.request(
                method, "/mcp", {"MCP-Protocol-Version": "2026-07-28", "Accept": EVENTS}
            )
            self.assertEqual((answer.status, answer.headers["allow"]), (405, "POST"))

    def test_notification(self) -> None:
        """A notification is taken: 202; of a revision that is not served: 400."""
        said = rpc("notifications/x", {}, None)
        answer = self.house.post(said, mcp_protocol_version="2026-07-28")
        self.assertEqual((answer.status, answer.body), (202, b""))
        answer = self.house.post(said, mcp_protocol_version="2099-01-01")
        self.assertEqual((answer.status, answer.error["code"]), (400, -32022))

    def test_server_gone(self) -> None:
        """What the server does wrong is told in the answer."""
        answer = self.house.modern("tools/call", {"name": "t"}, id=5)
        self.house.wire.lose(ServerExited("it died", signal="SIGSEGV"))
        self.assertEqual((answer.status, answer.json["id"]), (200, 5))
        self.assertEqual(answer.error["data"]["signal"], "SIGSEGV")


class ModernErrorStories(SynchronousTestCase):
    """MCP 2026-07-28: each error with its HTTP status, its code, and the request's id."""

    def setUp(self) -> None:
        self.house = House()

    def check(self, answer: Any, status: int, code: int, id: Any = 1) -> None:
        found = (answer.status, answer.error["code"], answer.json["id"])
        self.assertEqual(found, (status, code, id), answer.body)

    def meta(self, **changes: Any) -> dict[str, Any]:
        meta = {**modern_meta(BOB), **changes}
        return {"_meta": {k: v for k, v in meta.items() if v is not None}}

    def test_parse_error(self) -> None:
        """400, -32700, no id."""
        self.check(self.house.post(b"{", mcp_protocol_version="2026-07-28"), 400, -32700, None)

    def test_envelope(self) -> None:
        """Batches, answers, and what is no message: 400, -32600."""
        version = {"mcp_protocol_version": "2026-07-28"}
        self.check(self.house.post([rpc("ping")], **version), 400, -32600, None)
        self.check(
            self.house.post({"jsonrpc": "2.0", "id": 1, "result": 1}, **version), 400, -32600
        )
        self.check(self.house.post({"jsonrpc": "2.0", "id": 1}, **version), 400, -32600)

    def test_meta(self) -> None:
        """``_meta`` or one of its required keys missing, or of the wrong type: 400, -32602."""
        for params in (
            {"_meta": None}, {"_meta": {}}, {"_meta": []}, self.meta(**{VERSION_KEY: None}),
            self.meta(**{CAPABILITIES_KEY: None}), self.meta(**{CAPABILITIES_KEY: []}),
            self.meta(**{VERSION_KEY: 5}),
        ):  # fmt: skip
            self.check(self.house.modern("tools/list", params), 400, -32602)

    def test_client_info(self) -> None:
        """Who the client is need not be said."""
        params = self.meta(**{"io.modelcontextprotocol/clientInfo": None})
        answer = self.house.modern("tools/list", params)
        self.house.answer(self.house.asked())
        self.assertEqual(answer.status, 200)

    def test_headers(self) -> None:
        """A routing header missing, twice, malformed, or not as the body says: 400, -32020."""
        for method, params, headers in (
            ("tools/list", {}, {"mcp_method": None}),
            ("tools/list", {}, {"mcp_method": "tools/call"}),
            ("tools/list", {}, {"mcp_method": "Tools/List"}),
            ("tools/list", {}, {"mcp_method": ["tools/list", "tools/list"]}),
            ("tools/list", {}, {"mcp_protocol_version": None}),
            ("tools/list", {}, {"mcp_protocol_version": "2025-11-25"}),
            ("tools/list", {}, {"mcp_protocol_version": "2099-01-01"}),
            ("tools/call", {"name": "t"}, {"mcp_name": None}),
            ("tools/call", {"name": "t"}, {"mcp_name": "T"}),
            ("tools/call", {"name": "t"}, {"mcp_name": ["t", "u"]}),
            ("tools/call", {"name": "t"}, {"mcp_name": "=?base64?!!?="}),
            ("tools/call", {"name": "t"}, {"mcp_name": "=?base64?/w==?="}),
            ("resources/read", {"uri": "a:b"}, {"mcp_name": "a:c"}),
            ("prompts/get", {"name": "p"}, {"mcp_name": None}),
        ):
            answer = self.house.modern(method, params, **headers)
            self.check(answer, 400, -32020)
        self.assertEqual(self.house.connector.attempts, 0)

    def test_encoded_name(self) -> None:
        """*Value Encoding*: a name that is no plain ASCII comes in base64."""
        answer = self.house.modern("tools/call", {"name": "é"}, mcp_name="=?base64?w6k=?=")
        self.house.answer(self.house.asked())
        self.assertEqual(answer.status, 200)

    def test_version(self) -> None:
        """A revision that is not served: 400, -32022, with those that are."""
        params = self.meta(**{VERSION_KEY: "2099-01-01"})
        answer = self.house.modern("tools/list", params, mcp_protocol_version="2099-01-01")
        self.check(answer, 400, -32022)
        expected = {"supported": ["2026-07-28"], "requested": "2099-01-01"}
        self.assertEqual(answer.error["data"], expected)

    def test_removed_methods(self) -> None:
        """404, -32601."""
        for method in (
            "initialize", "ping", "logging/setLevel", "resources/subscribe",
            "resources/unsubscribe",
        ):  # fmt: skip
            self.check(self.house.modern(method, id=method), 404, -32601, method)

    def test_servers_own(self) -> None:
        """The server's errors get the status of their code, and pass as they are."""
        for code, status in (
            (-32601, 404), (-32602, 400), (-32020, 400), (-32021, 400), (-32022, 400),
            (-32603, 200), (-32000, 200), (5, 200),
        ):  # fmt: skip
            answer = self.house.modern("tools/call", {"name": "t"})
            error = {
                "code": code,
                "message": "m",
                "data": {"requiredCapabilities": {"sampling": {}}},
            }
            self.house.say(Error(self.house.asked().id, encode_json(error)))
            self.assertEqual((answer.status, answer.error), (status, error))

    def test_error_that_is_none(self) -> None:
        """An error object without a code is passed on all the same."""
        answer = self.house.modern("tools/call", {"name": "t"})
        self.house.say(Error(self.house.asked().id, b'"broken"'))
        self.assertEqual((answer.status, answer.json["error"]), (200, "broken"))

    def test_deep(self) -> None:
        """Nesting without end is refused in good order wherever it stands."""
        deep = 100_000  # for any Python: each version lets C nest differently deep
        for inner in (
            b'"arguments":%b' % (b"[" * deep + b"]" * deep),
            b'"_meta":%b' % (b'{"a":' * deep + b"1" + b"}" * deep),
        ):
            body = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{%b}}' % inner
            answer = self.house.post(body, mcp_protocol_version="2026-07-28")
            self.assertEqual((answer.status, answer.error["code"]), (400, -32600))


class SubscriptionStories(SynchronousTestCase):
    """MCP 2026-07-28, *Subscriptions*."""

    def setUp(self) -> None:
        self.house = House()
        params = {"notifications": {"toolsListChanged": True}}
        self.listening = self.house.modern("subscriptions/listen", params, id="L")
        self.request = self.house.asked()

    def tell(self, method: str) -> None:
        meta = {"_meta": {SUBSCRIPTION_ID: self.request.id}}
        self.house.say(Notification(method, encode_json(meta)))

    def test_ids(self) -> None:
        """The acknowledgement comes first; every message names the client's own request."""
        self.tell("notifications/subscriptions/acknowledged")
        self.tell("notifications/tools/list_changed")
        self.assertEqual(
            [m["method"] for m in self.listening.said],
            ["notifications/subscriptions/acknowledged", "notifications/tools/list_changed"],
        )
        self.assertEqual(
            {m["params"]["_meta"][SUBSCRIPTION_ID] for m in self.listening.said}, {"L"}
        )

    def test_for_a_long_time(self) -> None:
        """It waits for ever, with signs of life."""
        self.tell("notifications/subscriptions/acknowledged")
        self.house.turn(7200, 10)
        self.assertFalse(self.listening.ended)
        self.assertGreater(self.listening.comments, 300)

    def test_graceful_end(self) -> None:
        """*Graceful Closure*: when the daemon drains it ends with an ordinary result."""
        self.tell("notifications/subscriptions/acknowledged")
        self.house.daemon.gateway.end_listening()
        result = {"resultType": "complete", "_meta": {SUBSCRIPTION_ID: "L"}}
        self.assertEqual(self.listening.said[-1], {"jsonrpc": "2.0", "id": "L", "result": result})
        self.assertTrue(self.listening.ended)
        (said,) = self.house.wire.take()
        self.assertEqual(said.method, "notifications/cancelled")  # type: ignore[union-attr]

    def test_left(self) -> None:
        """When the client leaves, the server is told to stop."""
        self.tell("notifications/subscriptions/acknowledged")
        self.listening.leave()
        (said,) = self.house.wire.take()
        self.assertEqual(said.method, "notifications/cancelled")  # type: ignore[union-attr]
        self.tell("notifications/tools/list_changed")


class BothErasStories(SynchronousTestCase):
    """Clients of both eras on one URL."""

    def test_one_url(self) -> None:
        """Each gets a process of its own era."""
        house = House()
        house.shake_hands()
        legacy = house.call(id=1)
        request = house.asked()
        house.session = house.revision = ""
        modern = house.modern("tools/call", {"name": "t"}, id=1)
        house.answer(house.asked(), "modern")
        house.connector.wires[0].receive_json(
            b'{"jsonrpc":"2.0","id":%d,"result":"legacy"}' % request.id
        )
        self.assertEqual((legacy.json["result"], modern.json["result"]), ("legacy", "modern"))

    def test_told_by_the_body(self) -> None:
        """A modern request without its header is a modern request with a header missing."""
        house = House()
        answer = house.modern("tools/list", mcp_protocol_version=None)
        self.assertEqual((answer.status, answer.error["code"]), (400, -32020))
