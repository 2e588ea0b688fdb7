"""Heads that come again on one connection: what is concluded from them, and for how long."""

from __future__ import annotations

import json
from typing import Any

from mcptwist.auth.oauth.dpop import token_hash
from mcptwist.protocols.request import Request
from mcptwist.protocols.streamable import StreamableHttp
from tests.auth.closed import BASE, MCP, ClosedCase
from tests.auth.people import key, proof
from tests.protocols.front import Wire

PAGE = "https://app.example"


class GateCase(ClosedCase):
    """Somebody at the gate, and what gets in."""

    def inside(self) -> list[Request]:
        """The requests that will have got in, as they were when they did."""
        seen: list[Request] = []
        render = StreamableHttp.render

        def watched(resource: Any, request: Request) -> int:
            seen.append(request)
            return render(resource, request)

        self.patch(StreamableHttp, "render", watched)
        return seen


class KnownHeadTests(GateCase):
    """One client with one connection.

    :ivar wire: its connection.
    """

    origins = (PAGE,)

    def setUp(self) -> None:
        super().setUp()
        self.token = self.house.token(self.alice)
        self.wire: Wire = self.house.request("GET", "/health", {}).wire
        self.wire.clear()

    def ask(self, **headers: str) -> bytes:
        """Ask for nothing in particular, which is refused to whoever is let in; the answer."""
        said = {"Host": "localhost:8080", "Authorization": f"Bearer {self.token}", **headers}
        lines = "".join(f"{name}: {value}\r\n" for name, value in said.items())
        head = f"GET /mcp HTTP/1.1\r\nAccept: text/event-stream\r\n{lines}\r\n"
        self.wire.clear()
        self.wire.protocol.dataReceived(head.encode())
        return self.wire.value()

    def assert_let_in(self, answer: bytes) -> None:
        self.assertIn(b" 400 ", answer)
        self.assertIn(b"Mcp-Session-Id is missing", answer)

    def test_again(self) -> None:
        """It is let in each time, and looked up once."""
        for admitted in (1, 2, 3):
            self.assert_let_in(self.ask())
            self.assertEqual(self.house.gatehouse.guard.admitted, admitted)
        self.assertEqual(len(self.house.gatehouse.presence._connections), 1)

    def test_no_credentials_inside(self) -> None:
        for _ in range(3):
            self.assert_let_in(self.ask(Cookie="secret=1"))
        self.assertNotIn(b"secret", self.wire.value())

    def test_ended(self) -> None:
        """The token's time is over between two requests."""
        self.assert_let_in(self.ask())
        self.house.turn(3601, 600)
        self.wire = self.house.request("GET", "/health", {}).wire
        self.token = self.house.token(self.alice)
        self.assert_let_in(self.ask())
        token = self.house.gatehouse.books.tokens.find(self.token.encode())
        assert token is not None
        token.deadline = self.house.clock.seconds()
        self.assertIn(b" 401 ", self.ask())
        self.assertIn(b"invalid_token", self.wire.value())

    def test_revoked(self) -> None:
        """And so as if it had never been good, at once."""
        self.assert_let_in(self.ask())
        self.house.gatehouse.books.tokens.revoke(self.token.encode(), self.alice.public.fingerprint)
        for _ in range(2):
            self.assertIn(b" 401 ", self.ask())
        self.assertEqual(self.house.gatehouse.guard.admitted, 1)

    def test_another_place(self) -> None:
        """Another head is another's: nothing is believed of it."""
        self.assert_let_in(self.ask())
        self.token = self.house.token(self.alice, resource=f"{BASE}/servers/far/mcp")
        self.assertIn(b" 401 ", self.ask())

    def test_pages(self) -> None:
        """A page may read each answer, not only the first."""
        for _ in range(3):
            answer = self.ask(Origin=PAGE)
            self.assert_let_in(answer)
            self.assertIn(b"access-control-allow-origin: https://app.example", answer.lower())

    def test_another_principal(self) -> None:
        """Who comes over the same connection with a token of their own is whom that says."""
        seen = self.inside()
        tokens = [self.token, self.house.token(self.bob, "bob")]
        for self.token in tokens * 2:
            self.assert_let_in(self.ask())
        self.assertEqual([each.principal.name for each in seen], ["alice", "bob"] * 2)

    def test_key_removed(self) -> None:
        """Whose key is gone is out with the next request, however often they were let in."""
        for _ in range(2):
            self.assert_let_in(self.ask())
        self.house.write(self.line("bob"))
        self.house.look()
        self.assertIn(b" 401 ", self.ask())

    def test_key_changed(self) -> None:
        """What a key may do is what its line says now, not when its token was given."""
        self.assert_let_in(self.ask())
        self.house.write(self.line("alice", 'scope="mcp:read",from="10.0.0.0/8"'))
        self.house.look()
        self.assertIn(b" 401 ", self.ask())

    def test_every_length(self) -> None:
        """Credentials are left out of each, and the length is its own."""
        seen = self.inside()
        for length in (1, 2, 2, 33, 1):
            self.ask(**{"Cookie": "secret=1", "Content-Length": str(length)})
            self.wire.protocol.dataReceived(b"x" * length)
            request = seen.pop()
            self.assertEqual(request.header(b"content-length"), b"%d" % length)
            for name in (b"authorization", b"cookie"):
                self.assertEqual(request.header_values(name), [])
        self.assertEqual(self.house.gatehouse.guard.admitted, 5)

    def test_proof_again(self) -> None:
        """What was proved with a proof is believed once, though the very same head comes again."""
        holder = key("holder")
        self.token = self.house.bound(self.alice, holder)
        made = proof(holder, "GET", MCP, self.house.wall(), ath=token_hash(self.token.encode()))
        said = {"Authorization": f"DPoP {self.token}", "DPoP": made}
        self.assert_let_in(self.ask(**said))
        for _ in range(2):
            self.assertIn(b"invalid_dpop_proof", self.ask(**said))
        self.assertEqual(self.house.gatehouse.guard.admitted, 1)


class KnownSessionTests(GateCase):
    """The same with a session, whose calls have one head but for their lengths."""

    def setUp(self) -> None:
        super().setUp()
        self.reading = self.house.token(self.alice, scope="mcp:read")
        self.calling = self.house.token(self.alice, scope="mcp:call mcp:read")
        self.wire = self.house.shake_hands(authorization=f"Bearer {self.calling}").wire

    def ask(self, token: str, method: str) -> int:
        """Ask on the one connection; the status, 0 while the server is being asked."""
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": {"name": "x"}})
        said = {
            "Host": "localhost:8080",
            "Authorization": f"Bearer {token}",
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
            "Mcp-Session-Id": self.house.session,
            "Content-Length": str(len(body)),
        }
        lines = "".join(f"{name}: {value}\r\n" for name, value in said.items())
        self.wire.clear()
        self.wire.protocol.dataReceived(f"POST /mcp HTTP/1.1\r\n{lines}\r\n{body}".encode())
        answer = self.wire.value()
        return int(answer.split(b" ")[1]) if answer else 0

    def test_scope(self) -> None:
        """What was let in before lets nothing else in: each message needs its own scope."""
        for _ in range(2):
            self.assertEqual(self.ask(self.reading, "ping"), 200)
            self.assertEqual(self.ask(self.reading, "tools/call"), 403)
        self.assertEqual(len(self.house.events("auth.stepup")), 2)
        self.assertEqual(self.ask(self.calling, "tools/call"), 0)

    def test_another_principal(self) -> None:
        """A session is nobody else's, though they come over the same connection."""
        bobs = self.house.token(self.bob, "bob")
        for _ in range(2):
            self.assertEqual(self.ask(self.calling, "ping"), 200)
            self.assertEqual(self.ask(bobs, "ping"), 404)
        tried = self.house.events("auth.session.foreign")
        self.assertEqual([each["principal"].split()[0] for each in tried], ["bob", "bob"])

    def test_withdrawn(self) -> None:
        """The session is gone with its key, and so is the token."""
        self.assertEqual(self.ask(self.calling, "ping"), 200)
        self.house.write(self.line("bob"))
        self.house.look()
        self.assertEqual(self.ask(self.calling, "tools/call"), 401)


class KnownHead2Tests(GateCase):
    """The same over HTTP/2, where several heads are known at a time."""

    def setUp(self) -> None:
        super().setUp()
        self.client = self.house.http2()
        self.token = self.house.token(self.alice)

    def fields(self, length: int, token: str = "") -> list[tuple[bytes, bytes]]:
        """The head of a POST."""
        return [
            (b":method", b"POST"),
            (b":path", b"/mcp"),
            (b":authority", b"localhost:8080"),
            (b"authorization", f"Bearer {token or self.token}".encode()),
            (b"cookie", b"secret=1"),
            (b"content-length", b"%d" % length),
        ]

    def ask(self, length: int = 2, token: str = "") -> bytes:
        """Post nothing in particular; the status of the answer."""
        told = self.client.ask(*self.fields(length, token), body=b"x" * length)
        return dict(told.headers)[b":status"]

    def test_every_length(self) -> None:
        seen = self.inside()
        for length in (1, 2, 2, 33, 1):
            self.ask(length)
        self.assert_bare(seen, 5)

    def test_all_at_once(self) -> None:
        """Heads that come before the first of them was answered."""
        seen = self.inside()
        numbers = [self.client.begin(*self.fields(2), end=False) for _ in range(3)]
        for number in numbers:
            self.client.put(number, b"xx")
        self.assert_bare(seen, 3)

    def assert_bare(self, seen: list[Request], count: int) -> None:
        """So many got in, with no credentials."""
        self.assertEqual(len(seen), count)
        for request in seen:
            self.assertEqual(request.principal.name, "alice")
            for name in (b"authorization", b"cookie"):
                self.assertEqual(request.header_values(name), [])

    def test_revoked(self) -> None:
        for status in (b"415", b"415"):
            self.assertEqual(self.ask(), status)
        self.house.gatehouse.books.tokens.revoke(self.token.encode(), self.alice.public.fingerprint)
        for length in (2, 3):
            self.assertEqual(self.ask(length), b"401")

    def test_another_principal(self) -> None:
        """Two who share a connection, a proxy's for instance."""
        seen = self.inside()
        bobs = self.house.token(self.bob, "bob")
        for token in (self.token, bobs) * 2:
            self.ask(token=token)
        self.assertEqual([each.principal.name for each in seen], ["alice", "bob"] * 2)
        self.house.gatehouse.books.tokens.revoke(bobs.encode(), self.bob.public.fingerprint)
        self.assertEqual(self.ask(token=bobs), b"401")
        self.assertEqual(self.ask(), b"415")
