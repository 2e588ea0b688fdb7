"""Heads that come again on one connection: what is concluded from them, and for how long."""

from __future__ import annotations

from tests.auth.closed import BASE, ClosedCase
from tests.protocols.front import Wire

PAGE = "https://app.example"


class KnownHeadTests(ClosedCase):
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
