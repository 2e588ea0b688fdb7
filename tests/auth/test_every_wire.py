"""Whoever comes by another wire is told apart just as well: HTTP/2, HTTP+SSE, WebSocket."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

import msgspec

from mcptwist.auth.oauth.assertions import TYPE
from mcptwist.exchange import SUBSCRIPTION_ID
from mcptwist.messages import Notification, Request, encode_json
from mcptwist.negotiation import modern_meta
from tests.auth.closed import BASE, FORM, FULL, MCP
from tests.auth.people import assertion
from tests.auth.test_belonging import BelongingCase
from tests.conversations.posting import BOB, BOTH, Response, rpc
from tests.protocols.h2front import Told
from tests.protocols.wsfront import UPGRADE, Socket

EACH = 50


class CrossingCase(BelongingCase):
    """D5: Alice and Bob ask at the same time, with the same ids, on wires of the same kind."""

    def answer_backwards(self) -> None:
        """The server answers each call with the name in it, the last one first."""
        asked = [each for each in self.house.wire.take() if isinstance(each, Request)]
        self.assertEqual(len(asked), 2 * EACH)
        for request in reversed(asked):
            name = json.loads(bytes(request.params))["name"]
            self.house.answer(request, {"content": name, "resultType": "complete"})

    def assert_own(self, name: str, answers: list[Any]) -> None:
        """All calls of that person, and no others, were answered, each with its own."""
        found = {each["id"]: each["result"]["content"] for each in answers}
        self.assertEqual(found, {id: f"{name}-{id}" for id in range(EACH)})


class Http2Tests(CrossingCase):
    def setUp(self) -> None:
        super().setUp()
        self.client = self.house.http2()

    def fields(self, who: dict[str, Any], **more: str) -> list[tuple[bytes, bytes]]:
        headers = {"content-type": "application/json", "accept": BOTH, **who, **more}
        pairs = [(name.replace("_", "-").encode(), value.encode())
                 for name, value in headers.items()]  # fmt: skip
        return [(b":method", b"POST"), (b":path", b"/mcp"), *pairs]

    def call(self, who: dict[str, Any], name: str = "t", id: Any = 1) -> Any:
        params = {"_meta": modern_meta(BOB), "name": name}
        body = encode_json(rpc("tools/call", params, id))
        more = {"mcp_protocol_version": "2026-07-28", "mcp_method": "tools/call", "mcp_name": name}
        return self.client.begin(*self.fields(who, **more), body=body)

    def told(self, number: int) -> Told:
        return self.client.told[number]

    def start(self) -> None:
        """Have the server run."""
        self.house.modern("tools/call", {"name": "t"}, **self.hers)
        self.house.wire.take()

    def test_equal_ids(self) -> None:
        """On one connection, a stream for each call."""
        self.start()
        calls = [
            (who, self.call(headers, f"{who}-{id}", id))
            for id in range(EACH)
            for who, headers in (("alice", self.hers), ("bob", self.his))
        ]
        self.answer_backwards()
        self.client.flush()
        for who in ("alice", "bob"):
            bodies = [self.told(number).body for name, number in calls if name == who]
            self.assert_own(who, [msgspec.json.decode(body) for body in bodies])

    def test_each_stream_its_own_avatar(self) -> None:
        """D8: two tokens on one connection; what one may do, the other still may not."""
        self.house.shake_hands(**self.hers)
        named = {"mcp_session_id": self.house.session, "mcp_protocol_version": "2025-11-25"}
        body = encode_json(rpc("ping"))
        few = {"authorization": f"Bearer {self.house.token(self.alice, scope='mcp:read')}"}
        for who, status in (
            (self.hers, 200), (self.his, 404), ({}, 401), (few, 200), (self.hers, 200),
            (self.his, 404),
        ):  # fmt: skip
            told = self.client.ask(*self.fields(who, **named), body=body)
            self.assertEqual(told.status, status)
        call = encode_json(rpc("tools/call", {"name": "t"}, 2))
        for who, status in ((few, 403), (self.his, 404), (few, 403)):
            told = self.client.ask(*self.fields(who, **named), body=call)
            self.assertEqual(told.status, status)
        self.assertEqual(self.house.wire.take(), [])
        self.assertEqual(len(self.house.events("auth.session.foreign")), 3)
        self.assertEqual(len(self.house.events("auth.stepup")), 2)

    def test_withdrawn(self) -> None:
        """C13: on the connection that two share, the streams of one end."""
        self.start()
        hers, his = self.call(self.hers), self.call(self.his)
        self.house.write(self.line("bob", 'scope="mcp:read mcp:call mcp:subscribe"'))
        self.house.turn(0.9, 0.1)
        self.client.flush()
        self.assertIsNotNone(self.told(hers).reset)
        self.assertIsNone(self.told(his).reset)
        self.assertEqual(self.told(self.call(self.hers)).status, 401)
        self.assertEqual(self.told(self.call(self.his)).status, 0)
        self.assertTrue(self.client.wire.connected)

    def test_several_credentials(self) -> None:
        """C11."""
        token = self.hers["authorization"].encode()
        twice = [(b"authorization", token), (b"authorization", token)]
        told = self.client.ask(*self.fields({}), *twice, body=b"{}")
        self.assertEqual(told.status, 401)
        self.assert_audited("auth.request.denied")

    def test_one_assertion_many_streams(self) -> None:
        """C1: a hundred at once, and one of them gets a token."""
        made = assertion(self.alice, "alice", self.house.wall(), aud=BASE)
        form = {"client_assertion_type": TYPE, "client_assertion": made, "resource": MCP}
        body = urlencode({"grant_type": "client_credentials", **form}).encode()
        self.house.turn(1)  # so that nobody was hasty
        before = len(self.house.events("auth.token.issued"))
        numbers = [self.open_form() for _ in range(EACH)]
        for number in numbers:
            self.client.h2.send_data(number, body, end_stream=True)
        self.client.flush()
        statuses = sorted(self.told(number).status for number in numbers)
        self.assertEqual(statuses, [200] + [401] * (EACH - 1))
        self.assertEqual(len(self.house.events("auth.token.issued")), before + 1)
        self.assertEqual(len(self.house.events("auth.replay")), EACH - 1)

    def open_form(self) -> int:
        head = [(b":method", b"POST"), (b":path", b"/oauth/token"),
                (b"content-type", FORM.encode())]  # fmt: skip
        return self.client.begin(*head, end=False)


class EventStreamTests(CrossingCase):
    """HTTP+SSE of 2024-11-05."""

    def open(self, who: dict[str, Any]) -> tuple[Response, str]:
        headers = {"Accept": "text/event-stream", "Authorization": who["authorization"]}
        stream = self.house.request("GET", "/sse", headers)
        place = stream.blocks[0]["data"]
        greeting = {"protocolVersion": "2024-11-05", "capabilities": {}, "clientInfo": {}}
        wires = len(self.house.connector.wires)
        self.house.post(rpc("initialize", greeting, "hello"), path=place, **who)
        if len(self.house.connector.wires) > wires:
            self.house.agree(protocolVersion="2024-11-05")
        return stream, place

    def test_equal_ids(self) -> None:
        streams = {"alice": (self.hers, *self.open(self.hers)),
                   "bob": (self.his, *self.open(self.his))}  # fmt: skip
        for id in range(EACH):
            for name, (who, _, place) in streams.items():
                asked = rpc("tools/call", {"name": f"{name}-{id}"}, id)
                self.assertEqual(self.house.post(asked, path=place, **who).status, 202)
        self.answer_backwards()
        for name, (_, stream, _) in streams.items():
            said = [json.loads(block["data"]) for block in stream.blocks[1:]]
            self.assert_own(name, [each for each in said if each["id"] != "hello"])

    def test_anothers_is_told(self) -> None:
        """D4: in the audit log, with neither its id nor its URL."""
        _, place = self.open(self.hers)
        response = self.house.post(rpc("ping"), path=place, **self.his)
        self.assertEqual(response.status, 404)
        (event,) = self.house.events("auth.session.foreign")
        self.assertTrue(event["owner"].startswith("alice "))
        self.assertTrue(event["principal"].startswith("bob "))
        self.assertEqual(set(event), {"ts", "event", "owner", "principal"})


class WebSocketTests(CrossingCase):
    def open(self, who: dict[str, Any]) -> Socket:
        headers = {**UPGRADE, "Authorization": who["authorization"]}
        return Socket(self.house.request("GET", "/ws", headers).wire)

    def test_equal_ids(self) -> None:
        sockets = {"alice": self.open(self.hers), "bob": self.open(self.his)}
        self.house.modern("tools/call", {"name": "t"}, **self.hers)
        self.house.wire.take()
        for id in range(EACH):
            for name, socket in sockets.items():
                socket.modern("tools/call", id, name=f"{name}-{id}")
        self.answer_backwards()
        for name, socket in sockets.items():
            self.assert_own(name, socket.messages())

    def test_tokens_in_the_query(self) -> None:
        """C11: also where browsers cannot send a header."""
        token = self.hers["authorization"].removeprefix("Bearer ")
        for query in (f"access_token={token}", f"token={token}", f"authorization=Bearer%20{token}"):
            response = self.house.request("GET", f"/ws?{query}", UPGRADE)
            self.assert_turned_away(response)


class SubscriptionTests(BelongingCase):
    """D6: what one listens to, no other hears of or stops."""

    def setUp(self) -> None:
        super().setUp()
        self.hers = {"authorization": f"Bearer {self.house.token(self.alice, scope=FULL)}"}
        self.his = {"authorization": f"Bearer {self.house.token(self.bob, 'bob', scope=FULL)}"}

    def listen(self, who: dict[str, Any]) -> tuple[Response, Request]:
        """Listen; the answer so far, and what the server was asked."""
        wanted = {"notifications": {"resourceSubscriptions": ["far://a"]}}
        stream = self.house.modern("subscriptions/listen", wanted, "L", **who)
        return stream, self.house.asked()

    def tell(self, request: Request) -> None:
        """The server says something to who asked that."""
        meta = {"_meta": {SUBSCRIPTION_ID: request.id}}
        params = encode_json({"uri": "far://a", **meta})
        self.house.say(Notification("notifications/subscriptions/acknowledged", encode_json(meta)))
        self.house.say(Notification("notifications/resources/updated", params))

    def test_own(self) -> None:
        """The ids are the same; the one that is told hears it, and the other does not."""
        hers, his = self.listen(self.hers), self.listen(self.his)
        self.tell(hers[1])
        self.assertEqual(len(hers[0].said), 2)
        self.assertEqual(his[0].status, 0)

    def test_leaving(self) -> None:
        """Ending one's own leaves another's of the same id alone."""
        hers, his = self.listen(self.hers), self.listen(self.his)
        his[0].leave()
        self.house.turn(1)
        (cancelled,) = self.house.wire.take()
        self.assertEqual(json.loads(bytes(cancelled.params))["requestId"], his[1].id)
        self.tell(hers[1])
        self.assertEqual(len(hers[0].said), 2)

    def test_withdrawn(self) -> None:
        """C13."""
        hers, his = self.listen(self.hers), self.listen(self.his)
        self.tell(hers[1])
        self.tell(his[1])
        self.house.write(self.line("alice", self.options))
        self.house.turn(0.9, 0.1)
        self.assertTrue(his[0].wire.is_closed)
        self.assertFalse(hers[0].wire.is_closed)
        self.tell(hers[1])
        self.assertEqual(len(hers[0].said), 4)

    def test_scope(self) -> None:
        """Reading is not listening."""
        few = {"authorization": f"Bearer {self.house.token(self.alice, scope='mcp:read')}"}
        wanted: dict[str, Any] = {"notifications": {"toolsListChanged": True}}
        response = self.house.modern("subscriptions/listen", wanted, **few)
        self.assertEqual(response.status, 403)
        self.assertIn("mcp:subscribe", response.headers["www-authenticate"])
        self.assert_audited("auth.stepup")
        self.assert_unseen()
