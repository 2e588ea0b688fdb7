"""The port that a browser comes back to: who comes there, and what they hear."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.auth.asking.authorization import NotOurs
from mcptwist.auth.asking.redirect import MOST_STRANGERS, Redirect
from mcptwist.errors import SignInFailed

HOST = "127.0.0.1:4711"


class RedirectTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        self.redirect = Redirect(self.reactor)
        self.redirect.listen(self.reactor, 4711)
        self.answered = self.redirect.expect(self.read)
        self.read_so_far: list[str] = []

    def read(self, query: str) -> str:
        self.read_so_far.append(query)
        if query.startswith("good"):
            return query
        if query.startswith("bad"):
            raise SignInFailed("the answer is no")
        raise NotOurs

    def come(self, target: str, host: str = HOST, method: str = "GET") -> str:
        """What is said to somebody who comes; nothing if they are not let in."""
        visit = self.redirect.buildProtocol(None)
        if visit is None:
            return ""
        transport = StringTransport()
        visit.makeConnection(transport)
        visit.dataReceived(f"{method} {target} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        self.assertTrue(transport.disconnecting)
        self.reactor.advance(0)
        visit.connectionLost()
        return transport.value().decode()

    def test_where(self) -> None:
        """On this machine only."""
        self.assertEqual(self.redirect.uri, f"http://{HOST}/callback")
        port, _, _, interface = self.reactor.tcpServers[0]
        self.assertEqual((port, interface), (4711, "127.0.0.1"))

    def test_the_answer(self) -> None:
        said = self.come("/callback?good=1")
        self.assertEqual(self.successResultOf(self.answered), "good=1")
        self.assertTrue(said.startswith("HTTP/1.1 200 OK\r\n"))
        for field in (
            "Content-Security-Policy: default-src 'none'; frame-ancestors 'none'",
            "X-Content-Type-Options: nosniff",
            "Referrer-Policy: no-referrer",
            "Cache-Control: no-store",
            "Connection: close",
        ):
            self.assertIn(field, said)
        self.assertNotIn("good", said)
        self.assertNotIn("<script", said)

    def test_once(self) -> None:
        """A code that comes again finds nobody."""
        self.come("/callback?good=1")
        self.assertEqual(self.come("/callback?good=2"), "")
        self.assertEqual(self.read_so_far, ["good=1"])
        self.assertEqual(self.successResultOf(self.answered), "good=1")

    def test_no(self) -> None:
        """The browser is told as little as ever."""
        said = self.come("/callback?bad=<script>")
        self.assertIn("You are not logged in", said)
        self.assertNotIn("script>", said)
        self.failureResultOf(self.answered, SignInFailed)

    def test_strangers(self) -> None:
        """They are told nothing, and change nothing."""
        for target, host, method, status in (
            ("/callback?other", HOST, "GET", 400),
            ("/callback", HOST, "GET", 400),
            ("/", HOST, "GET", 404),
            ("/callback/?good", HOST, "GET", 404),
            ("/favicon.ico", HOST, "GET", 404),
            ("/callback?good", HOST, "HEAD", 405),
            ("/callback?good", HOST, "OPTIONS", 405),
            ("/callback?good", "evil.example:4711", "GET", 421),
            ("/callback?good", "localhost:4711", "GET", 421),
            ("/callback?good", "127.0.0.1", "GET", 421),
            ("/callback?good", "127.0.0.1:4712", "GET", 421),
        ):
            said = self.come(target, host, method)
            self.assertIn(f"HTTP/1.1 {status} ", said, (target, host, method))
            self.assertIn("Nothing is here", said)
        self.assertNoResult(self.answered)
        self.come("/callback?good")
        self.successResultOf(self.answered)

    def test_a_body(self) -> None:
        """A form that a page sends here is no answer."""
        visit = self.redirect.buildProtocol(None)
        assert visit is not None
        transport = StringTransport()
        visit.makeConnection(transport)
        head = f"POST /callback?good HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 4\r\n\r\ngood"
        visit.dataReceived(head.encode())
        self.assertIn(b" 405 ", transport.value())
        visit.dataReceived(f"GET /callback?good HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
        self.reactor.advance(0)
        self.assertNoResult(self.answered)
        visit.connectionLost()

    def test_too_many_strangers(self) -> None:
        """Whoever guesses and guesses ends the login, and does not guess on."""
        for _ in range(MOST_STRANGERS):
            self.come("/callback?guess")
        self.assertIn("too many", self.failureResultOf(self.answered, SignInFailed).value.message)
        self.assertEqual(self.come("/callback?good"), "")

    def test_slow(self) -> None:
        """Who says nothing is not waited for; so many may be there and no more."""
        visits = [self.redirect.buildProtocol(None) for _ in range(17)]
        self.assertIsNone(visits.pop())
        for visit in visits:
            assert visit is not None
            transport = StringTransport()
            visit.makeConnection(transport)
            visit.dataReceived(b"GET /callback?good HTT")
            self.reactor.advance(5)
            visit.dataReceived(b"P/1.1\r\nHost")
            self.reactor.advance(6)
            self.assertTrue(transport.disconnected)
            visit.connectionLost()
        self.assertNoResult(self.answered)
        self.assertIn("200 OK", self.come("/callback?good"))
        self.successResultOf(self.answered)

    def test_given_up(self) -> None:
        """Then nothing is open any more."""
        visit = self.redirect.buildProtocol(None)
        assert visit is not None
        transport = StringTransport()
        visit.makeConnection(transport)
        self.answered.cancel()
        self.assertTrue(transport.disconnected)
        visit.connectionLost()
        self.assertEqual(self.come("/callback?good"), "")
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_before_it_is_expected(self) -> None:
        redirect = Redirect(self.reactor)
        redirect.listen(self.reactor, 4711)
        self.redirect = redirect
        self.assertIn(" 400 ", self.come("/callback?good"))

    @given(st.lists(st.binary(max_size=200), max_size=4))
    @settings(max_examples=100, deadline=None)
    def test_whatever_comes(self, parts: list[bytes]) -> None:
        visit = self.redirect.buildProtocol(None)
        assert visit is not None
        visit.makeConnection(StringTransport())
        for part in parts:
            visit.dataReceived(part)
        visit.connectionLost()
        self.assertNoResult(self.answered)
        self.redirect._strangers = 0
