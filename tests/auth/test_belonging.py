"""What belongs to a principal belongs to nobody else, and ends with its key.

Attacks on sessions, streams and handles, and the withdrawal of keys.
"""

from __future__ import annotations

import json
import random
from typing import Any

from mcptwist.eras.held import Held
from mcptwist.errors import InvalidParams
from mcptwist.messages import Notification, Request, encode_json
from mcptwist.negotiation import modern_meta
from mcptwist.wiring.wires import make_key
from tests.auth.closed import BASE, ClosedCase
from tests.auth.people import key
from tests.conversations.posting import BOB, Response, rpc
from tests.protocols.wsfront import UPGRADE, Socket


class BelongingCase(ClosedCase):
    """Alice and Bob, both let in.

    :ivar hers: the header that makes a request Alice's.
    """

    def setUp(self) -> None:
        super().setUp()
        self.hers = {"authorization": f"Bearer {self.house.token(self.alice)}"}
        self.his = {"authorization": f"Bearer {self.house.token(self.bob, 'bob')}"}

    def session_of_alice(self) -> str:
        self.house.shake_hands(**self.hers)
        self.assertTrue(self.house.session)
        return self.house.session

    def call(self, who: dict[str, Any], name: str = "t", id: Any = 1) -> Response:
        return self.house.call(name, id, **who)


class SessionTests(BelongingCase):
    def test_own(self) -> None:
        self.session_of_alice()
        response = self.call(self.hers)
        self.house.answer(self.house.asked(), {"content": []})
        self.assertEqual(response.status, 200)

    def test_own_with_another_token(self) -> None:
        """A session belongs to a key, whichever token it comes with."""
        self.session_of_alice()
        another = {"authorization": f"Bearer {self.house.token(self.alice, scope='mcp:read')}"}
        self.assertEqual(self.house.delete(**another).status, 204)

    def test_anothers(self) -> None:
        """D2: as if there were no such session; its owner does not notice."""
        self.session_of_alice()
        unknown = self.house.call(mcp_session_id="other", **self.his)
        for response in (
            self.call(self.his),
            self.house.get(**self.his),
            self.house.delete(**self.his),
            self.house.post(rpc("notifications/initialized", id=None), **self.his),
            self.house.post({"jsonrpc": "2.0", "id": 1, "result": {}}, **self.his),
        ):
            self.assertEqual(response.status, 404)
            self.assertEqual(response.error["message"], unknown.error["message"])
        self.assertEqual(len(self.house.events("auth.session.foreign")), 5)
        self.assertEqual(self.house.wire.take(), [])
        self.call(self.hers)
        self.assertEqual(self.house.asked().method, "tools/call")

    def test_another_key_of_the_same_name(self) -> None:
        """D2: the name alone is not enough."""
        self.house.write(self.line("alice", 'scope="mcp:read mcp:call",principal="x"'),
                         self.line("bob", 'scope="mcp:read mcp:call",principal="x"'))  # fmt: skip
        self.house.look()
        self.hers = {"authorization": f"Bearer {self.house.token(self.alice, 'x')}"}
        self.his = {"authorization": f"Bearer {self.house.token(self.bob, 'x')}"}
        self.session_of_alice()
        self.assertEqual(self.call(self.his).status, 404)

    def test_anothers_stream(self) -> None:
        """D3: it cannot be taken over, and its owner goes on hearing."""
        self.session_of_alice()
        stream = self.house.get(**self.hers)
        for more in ({}, {"last_event_id": "1-1"}):
            self.assertEqual(self.house.get(**more, **self.his).status, 404)
            self.assert_audited("auth.session.foreign")
        self.house.say(Notification("notifications/tools/list_changed"))
        self.assertEqual(len(stream.said), 1)

    def test_same_head_by_another(self) -> None:
        """What was concluded of one token on a connection is not believed of another."""
        self.session_of_alice()
        response = self.house.delete(**self.his)
        self.assertEqual(response.status, 404)
        wire = response.wire
        wire.clear()
        head = (
            f"DELETE /mcp HTTP/1.1\r\nHost: localhost:8080\r\nMcp-Session-Id: {self.house.session}"
            f"\r\nMCP-Protocol-Version: 2025-11-25\r\nAuthorization: {self.hers['authorization']}"
        )
        wire.protocol.dataReceived(head.encode() + b"\r\n\r\n")
        self.assertIn(b"204 No Content", wire.value())

    def test_keys_are_unguessable(self) -> None:
        """D1."""
        keys = {make_key() for _ in range(10_000)}
        self.assertEqual(len(keys), 10_000)
        self.assertTrue(all(len(each) == 43 for each in keys))
        counts: dict[str, int] = {}
        for character in "".join(keys):
            counts[character] = counts.get(character, 0) + 1
        expected = sum(counts.values()) / 64
        self.assertEqual(len(counts), 64)
        # The last of 43 characters has four values only, so they are not all equally frequent.
        self.assertTrue(all(0.9 * expected < n < 1.6 * expected for n in counts.values()))

    def test_keys_are_of_the_system(self) -> None:
        """D1: nobody who has seen some of what is random here can go on with it."""
        before = random.getstate()
        self.addCleanup(random.setstate, before)
        keys = set()
        for _ in range(3):
            random.seed(1)
            keys.add(make_key())
        self.assertEqual(len(keys), 3)


class LegacyStreamTests(BelongingCase):
    """HTTP+SSE of 2024-11-05, whose session is in the URL."""

    def open(self, who: dict[str, str] | None = None) -> tuple[Response, str]:
        token = (who or self.hers)["authorization"]
        headers = {"Accept": "text/event-stream", "Authorization": token}
        stream = self.house.request("GET", "/sse", headers)
        return stream, stream.blocks[0]["data"]

    def last(self, stream: Response) -> Any:
        return json.loads(stream.blocks[-1]["data"])

    def test_own(self) -> None:
        stream, place = self.open()
        self.assertEqual(self.house.post(rpc("ping"), path=place, **self.hers).status, 202)
        self.assertEqual(self.last(stream)["result"], {})

    def test_anothers(self) -> None:
        """D4: 404, as what is not there; the id is in no log (looked for after each test)."""
        stream, place = self.open()
        response = self.house.post(rpc("ping"), path=place, **self.his)
        self.assertEqual(response.status, 404)
        self.assert_audited("auth.session.foreign")
        unknown = self.house.post(rpc("ping"), path="/messages?session_id=none", **self.his)
        self.assertEqual(response.body, unknown.body)
        self.assertEqual(self.house.post(rpc("ping"), path=place).status, 401)
        bad = self.house.post(rpc("ping"), path=place, authorization="Bearer mcp_at_x")
        self.assert_turned_away(bad, error="invalid_token")
        self.assertEqual(self.house.events()[-1]["path"], "/messages")
        self.assertEqual(len(stream.blocks), 1)

    def test_types(self) -> None:
        """B5: a page that knew the URL could send nothing there that is read."""
        stream, place = self.open()
        for kind in ("text/plain", "text/plain; application/json", "", None):
            response = self.house.post(rpc("ping"), path=place, content_type=kind, **self.hers)
            self.assertEqual(response.status, 415, kind)
        self.assertEqual(len(stream.blocks), 1)
        self.assert_unseen()

    def test_scopes(self) -> None:
        """Each message needs its own scope, whatever the stream was opened with."""
        reading = {"authorization": f"Bearer {self.house.token(self.alice, scope='mcp:read')}"}
        for first, second in ((self.hers, reading), (reading, self.hers)):
            _, place = self.open(first)
            greeting = {"protocolVersion": "2024-11-05", "capabilities": {}, "clientInfo": {}}
            self.house.post(rpc("initialize", greeting, 0), path=place, **second)
            if first is self.hers:
                self.house.agree(protocolVersion="2024-11-05")
            call = rpc("tools/call", {"name": "t"}, 1)
            refused = self.house.post(call, path=place, **reading)
            self.assertEqual((refused.status, refused.json["id"]), (403, 1))
            self.assertIn('error="insufficient_scope"', refused.headers["www-authenticate"])
            self.assert_audited("auth.stepup")
            self.assertEqual(self.house.wire.take(), [])
            self.assertEqual(self.house.post(call, path=place, **self.hers).status, 202)
            self.assertEqual([each.method for each in self.house.wire.take()], ["tools/call"])


class WebSocketTests(BelongingCase):
    """A connection of its own, for which the key was proved when it was opened."""

    def open(self, who: dict[str, Any], path: str = "/ws") -> Socket:
        headers = {"Authorization": who["authorization"]} if who else {}
        return Socket(self.house.request("GET", path, {**UPGRADE, **headers}).wire)

    def test_nobody(self) -> None:
        socket = self.open({})
        self.assertEqual(socket.status, 401)
        self.assertIn("Bearer", socket.header("WWW-Authenticate") or "")
        bad = self.open({"authorization": "Bearer mcp_at_x"})
        self.assertEqual(bad.status, 401)
        self.assert_unseen()

    def test_own(self) -> None:
        socket = self.open(self.hers)
        self.assertEqual(socket.status, 101)
        socket.say(rpc("ping"))
        self.assertEqual(socket.message()["result"], {})

    def test_withdrawn(self) -> None:
        """Closed with a code that says why; what is said after it is not heard."""
        hers, his = self.open(self.hers), self.open(self.his)
        self.house.write(self.line("bob", 'scope="mcp:read mcp:call mcp:subscribe"'))
        self.house.turn(0.9, 0.1)
        self.assertEqual(hers.closing()[0], 4401)
        his.say(rpc("ping"))
        self.assertEqual(his.message()["result"], {})
        self.house.turn(5)
        self.assertTrue(hers.wire.is_closed)
        self.assertEqual(self.house.events("auth.key.revoked")[0]["sockets"], 1)

    def test_not_for_sockets(self) -> None:
        self.house.write(self.line("alice", 'scope="mcp:read",no-ws'))
        self.house.look()
        for path in ("/ws", "/ws/", "/%77s", "/w%73/"):
            mine = {"authorization": f"Bearer {self.house.token(self.alice)}"}
            self.assertEqual(self.open(mine, path).status, 403, path)


class CrossingTests(BelongingCase):
    def test_equal_ids(self) -> None:
        """D5: a hundred calls with the same ids, answered in the wrong order: none crosses."""
        wanted: list[tuple[Response, str]] = []
        for id in range(50):
            for who, name in ((self.hers, "alice"), (self.his, "bob")):
                params = {"name": f"{name}-{id}"}
                wanted.append((self.house.modern("tools/call", params, id, **who), f"{name}-{id}"))
        asked = [each for each in self.house.wire.take() if isinstance(each, Request)]
        self.assertEqual(len(asked), 100)
        for request in reversed(asked):
            name = json.loads(bytes(request.params))["name"]
            self.house.answer(request, {"content": name, "resultType": "complete"})
        for response, name in wanted:
            self.assertEqual(response.json["result"]["content"], name)

    def test_two_tokens_on_one_connection(self) -> None:
        """D8: each request is its own token's."""
        self.session_of_alice()
        response = self.call(self.his)
        self.assertEqual(response.status, 404)
        response.wire.clear()
        body = b'{"jsonrpc":"2.0","id":1,"method":"ping"}'
        for who, status in ((self.hers, b"200"), (self.his, b"404"), (self.hers, b"200")):
            head = (
                "POST /mcp HTTP/1.1\r\nHost: localhost:8080\r\nContent-Type: application/json\r\n"
                "Accept: application/json, text/event-stream\r\n"
                f"Mcp-Session-Id: {self.house.session}\r\nMCP-Protocol-Version: 2025-11-25\r\n"
                f"Content-Length: {len(body)}\r\nAuthorization: {who['authorization']}\r\n\r\n"
            )
            response.wire.protocol.dataReceived(head.encode() + body)
            self.assertIn(b"HTTP/1.1 " + status, response.wire.value())
            response.wire.clear()


class ScopeTests(BelongingCase):
    def test_step_up(self) -> None:
        """403 with all that is needed; with a token for that, it works."""
        little = {"authorization": f"Bearer {self.house.token(self.alice, scope='mcp:read')}"}
        self.house.shake_hands(**little)
        response = self.call(little)
        self.assertEqual(response.status, 403)
        challenge = response.headers["www-authenticate"]
        self.assertTrue(challenge.startswith('Bearer realm="mcptwist", error="insufficient_scope"'))
        self.assertIn('scope="mcp:call mcp:read"', challenge)
        self.assertIn(f'resource_metadata="{BASE}/', challenge)
        self.assertEqual(self.house.wire.take(), [])
        self.assertEqual(self.house.events("auth.stepup")[0]["needed"], ["mcp:call"])
        self.call(self.hers)
        self.assertEqual(self.house.asked().method, "tools/call")

    def test_modern(self) -> None:
        little = {"authorization": f"Bearer {self.house.token(self.alice, scope='mcp:read')}"}
        response = self.house.modern("tools/call", {"name": "t"}, **little)
        self.assertEqual(response.status, 403)
        self.assert_unseen()

    def test_from_the_body(self) -> None:
        """What the headers say does not decide, nor is it believed (F2)."""
        little = {"authorization": f"Bearer {self.house.token(self.alice, scope='mcp:read')}"}
        response = self.house.modern("tools/call", {"name": "t"}, mcp_method="tools/list", **little)
        self.assertEqual(response.status, 400)
        self.assertEqual(response.error["code"], -32020)
        self.assert_unseen()

    def test_from_the_body_in_a_session(self) -> None:
        """Older revisions know no such headers; who sends them all the same decides nothing."""
        little = {"authorization": f"Bearer {self.house.token(self.alice, scope='mcp:read')}"}
        self.house.shake_hands(**little)
        response = self.house.post(rpc("tools/call", {"name": "t"}), mcp_method="tools/list",
                                   mcp_name="t", **little)  # fmt: skip
        self.assertEqual(response.status, 403)
        self.assert_audited("auth.stepup")
        self.assertEqual(self.house.wire.take(), [])

    def test_batch(self) -> None:
        """A call among others does not slip through."""
        little = {"authorization": f"Bearer {self.house.token(self.alice, scope='mcp:read')}"}
        self.house.shake_hands("2025-03-26", **little)
        batch = [rpc("tools/list", id=1), rpc("tools/call", {"name": "t"}, 2)]
        response = self.house.post(batch, **little)
        self.assertEqual(response.status, 403)
        self.assertEqual(self.house.wire.take(), [])

    def test_unknown_methods_are_calls(self) -> None:
        little = {"authorization": f"Bearer {self.house.token(self.alice, scope='mcp:read')}"}
        self.house.shake_hands(**little)
        for method in ("tasks/list", "x/y", "tools/Call"):
            self.assertEqual(self.house.post(rpc(method), **little).status, 403)


class WithdrawalTests(BelongingCase):
    """C13: a key goes, and with it within a second all that came with it."""

    def withdraw(self) -> None:
        self.house.write(self.line("bob", 'scope="mcp:read mcp:call mcp:subscribe"'))
        self.house.turn(0.9, 0.1)

    def test_token(self) -> None:
        self.withdraw()
        self.assertEqual(self.come(None, **self.hers).status, 401)
        self.assertNotEqual(self.come(None, **self.his).status, 401)
        (event,) = self.house.events("auth.key.revoked")
        self.assertEqual(
            (event["principal"], event["reason"], event["tokens"]), ("alice", "removed", 1)
        )

    def test_new_token(self) -> None:
        self.withdraw()
        self.assertEqual(self.house.ask_token(self.alice).status, 401)

    def test_session_and_streams(self) -> None:
        self.session_of_alice()
        stream = self.house.get(**self.hers)
        call = self.call(self.hers)
        self.withdraw()
        self.assertTrue(stream.ended or stream.wire.is_closed)
        self.assertTrue(call.ended or call.wire.is_closed)
        self.assertEqual(len(self.house.concourse.sessions), 0)
        (event,) = self.house.events("auth.key.revoked")
        self.assertEqual(event["sessions"], 1)

    def test_modern_streams(self) -> None:
        call = self.house.modern("tools/call", {"name": "t"}, **self.hers)
        his = self.house.modern("tools/call", {"name": "t"}, **self.his)
        self.withdraw()
        self.assertTrue(call.wire.is_closed)
        self.assertFalse(his.wire.is_closed)
        self.assertEqual(self.house.events("auth.key.revoked")[0]["streams"], 1)

    def test_http_sse(self) -> None:
        stream = self.house.request(
            "GET",
            "/sse",
            {"Accept": "text/event-stream", "Authorization": self.hers["authorization"]},
        )
        place = stream.blocks[0]["data"]
        self.withdraw()
        self.assertTrue(stream.ended or stream.wire.is_closed)
        self.assertEqual(self.house.post(rpc("ping"), path=place, **self.hers).status, 401)

    def test_nothing_is_done_for_it(self) -> None:
        """Even where something of it is left over."""
        self.session_of_alice()
        session = next(iter(self.house.concourse.sessions))
        self.house.gatehouse.books.keyring._listeners.clear()
        self.withdraw()
        self.assertIsNone(self.house.gatehouse.books.keyring.of(session.principal))

    def test_revoked(self) -> None:
        self.house.write(*self.authorized(), revoked=self.alice.public.fingerprint)
        self.house.turn(0.9, 0.1)
        self.assertEqual(self.come(None, **self.hers).status, 401)
        self.assertEqual(self.house.events("auth.key.revoked")[0]["reason"], "revoked")

    def test_expired(self) -> None:
        """NOW is 2027-01-15T08:00:00Z."""
        self.house.write(self.line("alice", 'scope="mcp:read",expiry-time="20270115080100Z"'))
        self.house.look()
        token = self.house.token(self.alice)
        self.house.turn(58, 1)
        self.assertNotEqual(self.come(token).status, 401)
        self.house.turn(2, 0.3)
        self.assertEqual(self.come(token).status, 401)
        self.assertEqual(self.house.events("auth.key.revoked")[-1]["reason"], "expired")

    def test_narrowed(self) -> None:
        """Whoever may do less from now on has to come again."""
        self.house.write(self.line("alice", 'scope="mcp:read"'))
        self.house.look()
        self.assertEqual(self.come(None, **self.hers).status, 401)
        again = self.house.ask_token(self.alice).json
        self.assertEqual(again["scope"], "mcp:read")

    def test_others_stay(self) -> None:
        call = self.house.modern("tools/call", {"name": "t"}, **self.his)
        self.house.write(*self.authorized(), self.line("carol"))
        self.house.look()
        self.assertFalse(call.wire.is_closed)
        self.house.answer(self.house.asked(), {"content": []})
        self.assertEqual(call.status, 200)
        self.assertEqual(self.house.events("auth.key.revoked"), [])
        self.assertTrue(self.house.token(key("carol"), "carol"))

    def test_streams_grow_old(self) -> None:
        """C12: a stream may outlive its token, but not for ever."""
        self.session_of_alice()
        stream = self.house.get(**self.hers)
        self.house.turn(3598, 10)
        self.assertFalse(stream.wire.is_closed)
        self.assertEqual(self.come(None, **self.hers).status, 401)
        self.house.turn(3)
        self.assertTrue(stream.wire.is_closed)


class StateTests(BelongingCase):
    """D7: what a server wants back from one client, it gets from no other."""

    QUESTION = {"resultType": "input_required", "requestState": "step 1 ☃", "inputRequests": {}}

    def ask_back(self) -> str:
        call = self.house.modern("tools/call", {"name": "t"}, **self.hers)
        self.house.answer(self.house.asked(), self.QUESTION)
        result = call.json["result"]
        state: str = result.pop("requestState")
        self.assertEqual({**result, "requestState": "step 1 ☃"}, self.QUESTION)
        self.assertNotEqual(state, "step 1 ☃")
        return state

    def come_back(self, state: Any, who: dict[str, Any], path: str = "/mcp") -> Response:
        params = {"name": "t", "requestState": state, "inputResponses": {}}
        return self.house.modern("tools/call", params, path=path, **who)

    def test_own(self) -> None:
        self.come_back(self.ask_back(), self.hers)
        params = json.loads(bytes(self.house.asked().params))
        self.assertEqual((params["requestState"], params["name"]), ("step 1 ☃", "t"))

    def test_anothers(self) -> None:
        state = self.ask_back()
        for given in (state, "step 1 ☃", f".{state}", "", 7, None, {"a": state}):
            response = self.come_back(given, self.his)
            self.assertEqual(response.error["code"], -32602)
        self.assertEqual(self.house.wire.take(), [])

    def test_spelt_otherwise(self) -> None:
        """Servers read a name with escapes as the same name, some one in another case too."""
        sealed = self.ask_back()
        _, _, bare = sealed.partition(".")
        meta = encode_json(modern_meta(BOB)).decode()
        for name in (
            r"request\u0053tate", r"\u0072equestState", "RequestState", "requeststate",
            "reque\u017ftState", r"reque\u017ftState",
        ):  # fmt: skip
            for state in (bare, sealed):
                body = (
                    '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t",'
                    f'"_meta":{meta},"{name}":{json.dumps(state)},"inputResponses":{{}}}}}}'
                )
                headers = {"mcp_protocol_version": "2026-07-28", "mcp_method": "tools/call"}
                response = self.house.post(body.encode(), mcp_name="t", **headers, **self.his)
                self.assertEqual(response.error["code"], -32602)
        self.assertEqual(self.house.wire.take(), [])

    def test_altered(self) -> None:
        state = self.ask_back()
        for given in (state + "x", state[1:], state.replace("1", "2"), state.upper()):
            self.assertEqual(self.come_back(given, self.hers).error["code"], -32602)
        self.assertEqual(self.house.wire.take(), [])


class TaskTests(BelongingCase):
    """D6: a task is there for who began it."""

    def setUp(self) -> None:
        super().setUp()
        self.session_of_alice()
        call = self.house.post(rpc("tools/call", {"name": "t", "task": {}}), **self.hers)
        self.house.answer(self.house.asked(), {"task": {"taskId": "task-1", "status": "working"}})
        self.assertEqual(call.json["result"]["task"]["taskId"], "task-1")

    def test_own(self) -> None:
        for id, method in enumerate(("tasks/get", "tasks/result", "tasks/cancel"), 10):
            self.house.post(rpc(method, {"taskId": "task-1"}, id), **self.hers)
            self.assertEqual(self.house.asked().method, method)

    def test_anothers(self) -> None:
        self.house.shake_hands(**self.his)
        self.house.wire.take()
        for id, method in enumerate(("tasks/get", "tasks/result", "tasks/cancel", "tasks/x"), 10):
            for task in ("task-1", "task-2", None, 7):
                response = self.house.post(rpc(method, {"taskId": task}, f"{id}{task}"), **self.his)
                self.assertEqual(response.error["code"], -32602)
        self.assertEqual(self.house.wire.take(), [])

    def test_two_in_one(self) -> None:
        """Whichever of them a server reads, it is the asker's."""
        self.house.shake_hands(**self.hers)
        self.house.wire.take()
        for id, both in enumerate((
            '"taskId":"task-2","taskId":"task-1"',
            '"taskId":"task-1","taskId":"task-2"',
            '"taskId":"task-1","TaskId":"task-2"',
            r'"taskId":"task-1","tas\u212aId":"task-2"',
        )):  # fmt: skip
            body = f'{{"jsonrpc":"2.0","id":{id},"method":"tasks/get","params":{{{both}}}}}'
            self.house.post(body.encode(), **self.hers)
        (request,) = self.house.wire.take()
        self.assertEqual(bytes(request.params), b'{"taskId":"task-1"}')

    def test_given_unasked(self) -> None:
        """What nobody asked for is nobody's: not even who it was told to may ask about it."""
        self.house.post(rpc("tools/call", {"name": "t"}, 20), **self.hers)
        self.house.answer(self.house.asked(), {"task": {"taskId": "task-9", "status": "working"}})
        for who in (self.hers, self.his):
            self.house.shake_hands(**who)
            self.house.wire.take()
            response = self.house.post(rpc("tasks/get", {"taskId": "task-9"}, 21), **who)
            self.assertEqual(response.error["code"], -32602)
        self.assertEqual(self.house.wire.take(), [])

    def test_listed(self) -> None:
        tasks = [{"taskId": f"task-{n}"} for n in range(3)]
        response = self.house.post(rpc("tasks/list", {}, 9), **self.hers)
        self.house.answer(self.house.asked(), {"tasks": tasks, "nextCursor": "x"})
        self.assertEqual(response.json["result"], {"tasks": tasks[1:2], "nextCursor": "x"})

    def test_heard_of(self) -> None:
        """The server tells everybody; only the owner hears it."""
        hers = self.house.get(**self.hers)
        self.house.shake_hands(**self.his)
        his = self.house.get(**self.his)
        status = Notification("notifications/tasks/status", b'{"taskId":"task-1"}')
        self.house.say(status)
        self.assertEqual((len(hers.said), len(his.said)), (1, 0))


class HeldTests(BelongingCase):
    """D7: a handle of ours is good for who got it."""

    def test_request_state(self) -> None:
        held = Held(self.house.clock, lambda size: b"x" * size)
        request = Request(1, "tools/call", b'{"name":"t"}')
        her, him = (
            self.house.gatehouse.books.keyring.candidates(n)[0].identity for n in ("alice", "bob")
        )
        state = held.hold(self, request, her)
        self.assertRaises(InvalidParams, held.take, state, request, him)
        self.assertRaises(InvalidParams, held.take, state[:-2] + "AA", request, her)
        self.assertIs(held.take(state, request, her), self)
        held.clear()
