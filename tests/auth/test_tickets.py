"""Tickets for WebSockets: who gets one, and that it is good once, at its place, for its page."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.auth.oauth.tokens import Token
from mcptwist.auth.tickets import TicketsExhausted, TicketTable
from mcptwist.negotiation import modern_meta
from tests.auth.closed import BASE, HERE, ClosedCase, from_elsewhere
from tests.conversations.posting import Response, rpc
from tests.protocols.wsfront import UPGRADE, Socket

PAGE = "http://localhost:8080"


class TableTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        numbers = iter(range(1, 1000))
        self.table = TicketTable(
            self.clock.seconds, lambda size: next(numbers).to_bytes(size, "big"), limit=5, per_key=3
        )

    def issue(self, key: str = "alice", token: Token | None = None) -> bytes:
        return self.table.issue(key, token, "there", None)[0].encode()

    def test_once(self) -> None:
        text = self.issue()
        self.assertEqual(len(text), 43)
        found = self.table.use(text)
        assert found is not None
        self.assertEqual((found.key, found.resource), ("alice", "there"))
        self.assertIsNone(self.table.use(text))
        self.assertIsNone(self.table.use(b"x"))
        self.assertEqual(len(self.table), 0)

    def test_its_time(self) -> None:
        text, other = self.issue(), self.issue()
        self.clock.advance(29.9)
        self.assertIsNotNone(self.table.use(text))
        self.clock.advance(0.1)
        self.assertIsNone(self.table.use(other))

    def test_ends_with_its_token(self) -> None:
        token = Token(b"", "alice", "alice", "there", frozenset(), 10.0)
        text = self.issue(token=token)
        self.clock.advance(10)
        self.assertIsNone(self.table.use(text))

    def test_too_many_of_one(self) -> None:
        """The oldest goes."""
        texts = [self.issue() for _ in range(4)]
        self.assertIsNone(self.table.use(texts[0]))
        self.assertIsNotNone(self.table.use(texts[1]))

    def test_too_many_of_all(self) -> None:
        for number in range(5):
            self.issue(str(number))
        self.assertRaises(TicketsExhausted, self.issue)
        self.clock.advance(30)
        self.issue()

    def test_withdrawn(self) -> None:
        mine, his = self.issue(), self.issue("bob")
        self.assertEqual(self.table.withdraw("alice"), 1)
        self.assertEqual(self.table.withdraw("alice"), 0)
        self.assertIsNone(self.table.use(mine))
        self.assertIsNotNone(self.table.use(his))


class TicketCase(ClosedCase):
    def ask(self, token: str | None, body: Any = None, **headers: str | None) -> Response:
        said = {"Content-Type": "application/json", "Origin": PAGE, **headers}
        if token is not None:
            said.setdefault("Authorization", f"Bearer {token}")
        text = b"" if body is None else json.dumps(body).encode()
        return self.house.request("POST", "/oauth/ws-ticket", said, text)

    def ticket(self, token: str | None = None, **how: Any) -> str:
        response = self.ask(token or self.house.token(self.alice), **how)
        assert response.status == 200, response.wire.value()
        text: str = response.json["ticket"]
        return text

    def open(self, *tickets: str, path: str = "/ws", **headers: str | None) -> Socket:
        offered = ", ".join(["mcp", *(f"mcp.ticket.{each}" for each in tickets)])
        said = {**UPGRADE, "Origin": PAGE, "Sec-WebSocket-Protocol": offered, **headers}
        return Socket(self.house.request("GET", path, said).wire)

    def assert_denied(self, socket: Socket, reason: str) -> None:
        self.assertEqual(socket.status, 401)
        self.assertEqual(self.house.events("auth.request.denied")[-1]["reason"], reason)
        self.assert_unseen()


USED = "the ticket was used, has ended, or is none"


class GoodTests(TicketCase):
    def test_opened(self) -> None:
        """What is answered is ``mcp`` alone; the ticket is in no log (looked for by the digits)."""
        text = self.ticket()
        socket = self.open(text)
        self.assertEqual((socket.status, socket.header("Sec-WebSocket-Protocol")), (101, "mcp"))
        socket.say(rpc("ping"))
        self.assertEqual(socket.message()["result"], {})
        (given,), (used,) = (
            self.house.events("auth.ticket.issued"),
            self.house.events("auth.ticket.ok"),
        )
        self.assertEqual((given["principal"], given["origin"]), ("alice", PAGE))
        self.assertEqual(used["principal"], "alice")
        self.assertNotIn(text, "".join(self.logged) + str(self.house.lines))

    def test_answer(self) -> None:
        response = self.ask(self.house.token(self.alice))
        self.assertEqual(response.json["expires_in"], 30)
        self.assertEqual(response.headers["cache-control"], "no-store")

    def test_programs(self) -> None:
        """Where no page is said, it is good where none is said."""
        self.assertEqual(self.open(self.ticket(Origin=None), Origin=None).status, 101)

    def test_a_server(self) -> None:
        there = f"{BASE}/servers/far/ws"
        token = self.house.token(self.alice, resource=there)
        text = self.ticket(token, body={"resource": there})
        self.assertEqual(self.open(text, path="/servers/far/ws").status, 101)

    def test_bound_token(self) -> None:
        """A token that is bound to a key needs its proof here too, for this URL."""
        token = self.house.bound(self.alice, self.bob)
        self.assertEqual(self.ask(token).status, 401)
        made = self.house.proof(self.bob, token, url=f"{BASE}/oauth/ws-ticket")
        headers = {"Authorization": f"DPoP {token}", "Dpop": made}
        text = self.ask(None, **headers).json["ticket"]
        self.assertEqual(self.open(text).status, 101)
        self.assertEqual(self.ask(None, **headers).status, 401)

    def test_scopes(self) -> None:
        """The ticket's are the token's."""
        token = self.house.token(self.alice, scope="mcp:read")
        socket = self.open(self.ticket(token))
        socket.say(rpc("tools/call", {"name": "x", "_meta": modern_meta({"name": "x"})}))
        self.assertEqual(socket.message()["error"]["data"]["code"], "insufficient-scope")


class RefusedTests(TicketCase):
    def test_nobody(self) -> None:
        self.assertEqual(self.ask(None).status, 401)
        self.assertEqual(self.ask("mcp_at_x").status, 401)
        self.assertEqual(self.house.events("auth.ticket.issued"), [])

    def test_method(self) -> None:
        self.assertEqual(self.house.request("GET", "/oauth/ws-ticket", {}).status, 405)

    def test_other_place(self) -> None:
        """Nobody gets a ticket for where the token is not good for."""
        token = self.house.token(self.alice)
        response = self.ask(token, {"resource": f"{BASE}/servers/far/ws"})
        self.assertEqual(response.status, 401)

    def test_no_place(self) -> None:
        token = self.house.token(self.alice)
        for body in (
            {"resource": "http://elsewhere/ws"},
            {"resource": 1},
            {},
            [],
            {"resource": f"{BASE}/nowhere"},
        ):
            self.assertEqual(self.ask(token, body).status, 400, body)

    def test_too_long(self) -> None:
        self.assertEqual(self.ask(self.house.token(self.alice), {"x": "x" * 5000}).status, 413)

    def test_not_for_sockets(self) -> None:
        self.house.write(self.line("alice", 'scope="mcp:read",no-ws'))
        self.house.look()
        self.assertEqual(self.ask(self.house.token(self.alice)).status, 403)

    def test_hasty(self) -> None:
        statuses = [self.ask("mcp_at_x").status for _ in range(60)]
        self.assertEqual((statuses[0], statuses[-1]), (401, 429))

    def test_full(self) -> None:
        token = self.house.token(self.alice)
        self.house.gatehouse.books.tickets.limit = 0
        response = self.ask(token)
        self.assertEqual((response.status, response.headers["retry-after"]), (503, "5"))


class AttackTests(TicketCase):
    def test_twice(self) -> None:
        text = self.ticket()
        self.assertEqual(self.open(text).status, 101)
        self.assert_denied(self.open(text), USED)

    def test_same_head_on_one_connection(self) -> None:
        """What is found out of a head holds for no second ticket."""
        text = self.ticket()
        offered = {"Sec-WebSocket-Protocol": f"mcp, mcp.ticket.{text}"}
        headers = {**UPGRADE, "Origin": PAGE, **offered, "Sec-WebSocket-Version": "12"}
        response = self.house.request("GET", "/ws", headers)
        self.assertEqual(response.status, 426)
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        response.wire.clear()
        response.wire.protocol.dataReceived(f"GET /ws HTTP/1.1\r\n{lines}\r\n".encode())
        self.assertEqual(response.status, 401)

    def test_late(self) -> None:
        text = self.ticket()
        self.house.turn(30)
        self.assert_denied(self.open(text), USED)

    def test_another_page(self) -> None:
        """B11: used up by a page that may call but was not the one that asked."""
        text = self.ticket()
        socket = self.open(text, Origin="http://127.0.0.1:8080")
        self.assert_denied(socket, "the ticket is for pages of another origin")
        self.assert_denied(self.open(text), USED)

    def test_foreign_page(self) -> None:
        """B11: a page that may not call is turned away, and the ticket that it has is used up."""
        for origin in ("http://evil.example", "null"):
            text = self.ticket()
            socket = self.open(text, Origin=origin)
            self.assertEqual(socket.status, 403)
            self.assertEqual(self.house.events()[-1]["event"], "auth.origin.refused")
            self.assertEqual(self.house.events()[-1]["origin"], origin)
            self.assert_unseen()
            self.assert_denied(self.open(text), USED)

    def test_foreign_host(self) -> None:
        """The same under a name that is not the daemon's, where a rebound name leads."""
        text = self.ticket()
        self.assertEqual(self.open(text, Host="evil.example").status, 421)
        self.assertEqual(self.house.events()[-1]["event"], "auth.host.refused")
        self.assert_denied(self.open(text), USED)

    def test_another_place(self) -> None:
        text = self.ticket()
        socket = self.open(text, path="/servers/far/ws")
        self.assert_denied(socket, "the ticket is for another resource")
        self.assert_denied(self.open(text), USED)

    def test_only_for_websockets(self) -> None:
        text = self.ticket()
        response = self.come(None, **{"sec-websocket-protocol": f"mcp.ticket.{text}"})
        self.assertEqual(response.status, 401)
        self.assertEqual(self.open(text).status, 101)

    def test_several(self) -> None:
        socket = self.open(self.ticket(), self.ticket())
        self.assert_denied(socket, "several tickets")

    def test_token_counts_first(self) -> None:
        text = self.ticket()
        self.assertEqual(self.open(text, Authorization="Bearer x").status, 401)

    def test_token_revoked(self) -> None:
        """The ticket dies with the token it was asked with."""
        token = self.house.token(self.alice)
        text = self.ticket(token)
        self.house.gatehouse.books.tokens.revoke(token.encode(), self.alice.public.fingerprint)
        self.assert_denied(self.open(text), "the ticket's key or token is not good any more")

    def test_key_withdrawn(self) -> None:
        """C13: the ticket, and the socket that was opened with one."""
        text, socket = self.ticket(), self.open(self.ticket())
        self.house.write(*self.authorized()[1:])
        self.house.look()
        self.assert_denied(self.open(text), USED)
        self.assertEqual(socket.closing()[0], 4401)

    def test_from_elsewhere(self) -> None:
        self.house.write(self.line("alice", f'scope="mcp:read",from="{HERE}/32"'))
        self.house.look()
        text = self.ticket(self.house.token(self.alice))
        from_elsewhere(self.house, "192.168.1.2")
        self.assert_denied(self.open(text), "not from there")
