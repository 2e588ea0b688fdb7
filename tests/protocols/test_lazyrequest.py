"""Tests of mcptwist.protocols.lazyrequest: what was asked, our way and Twisted's."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.iweb import IRequest
from twisted.web.resource import Resource
from zope.interface.verify import verifyObject

from mcptwist.protocols.lazyrequest import Omission
from mcptwist.protocols.request import Request
from tests.protocols.requestcase import HELD, RequestCase


def request_of(
    headers: dict[bytes, bytes], repeated: list[tuple[bytes, bytes]] | None = None
) -> Request:
    head = SimpleNamespace(
        headers=headers, repeated=repeated, facts=None, length=0, minor=1,
        method=b"GET", uri=b"/", path=b"/",
    )  # fmt: skip
    return Request(None, head)


SECRETS = frozenset({b"authorization", b"cookie"})
REPEATED = [(b"cookie", b"1"), (b"x", b"1"), (b"cookie", b"2"), (b"x", b"2")]


class ForgettingTests(SynchronousTestCase):
    """Headers that are left out."""

    def left(self, request: Request) -> Any:
        """What is left when *request* has forgotten the secrets."""
        request.forget(SECRETS)
        for name in SECRETS:
            self.assertIsNone(request.header(name))
            self.assertEqual(request.header_values(name), [])
        return request.raw_headers

    def test_left_out(self) -> None:
        headers = {b"host": b"a", b"authorization": b"s", b"content-length": b"5"}
        left = [(b"host", b"a"), (b"content-length", b"5")]
        self.assertEqual(self.left(request_of(headers)), left)
        self.assertIn(b"authorization", headers)

    def test_repeated(self) -> None:
        left = self.left(request_of(dict(REPEATED), REPEATED))
        self.assertEqual(left, [(b"x", b"1"), (b"x", b"2")])


class OmissionTests(ForgettingTests):
    """The same, of a head that comes again and again."""

    def setUp(self) -> None:
        self.omission = Omission(SECRETS)

    def left(self, request: Request) -> Any:
        self.omission.apply(request)
        for name in SECRETS:
            self.assertIsNone(request.header(name))
            self.assertEqual(request.header_values(name), [])
        return request.raw_headers

    def test_again(self) -> None:
        """What was left the first time is what is left."""
        headers = {b"host": b"a", b"authorization": b"s"}
        requests = [request_of(headers) for _ in range(3)]
        for request in requests:
            self.assertEqual(self.left(request), [(b"host", b"a")])
        self.assertIs(requests[0].fields, requests[2].fields)
        self.assertIn(b"authorization", headers)

    def test_other_length(self) -> None:
        """The same head but for its Content-Length, which is the new one each time."""
        for length in (b"5", b"6", b"6", None, b"5", None):
            headers = {b"host": b"a", b"cookie": b"s", b"accept": b"x"}
            left = [(b"host", b"a"), (b"accept", b"x")]
            if length is not None:
                headers[b"content-length"] = length
                left.append((b"content-length", length))
            for _ in range(2):
                self.assertEqual(self.left(request_of(headers)), left)

    def test_repeated_again(self) -> None:
        headers = dict(REPEATED)
        for _ in range(3):
            left = self.left(request_of(headers, REPEATED))
            self.assertEqual(left, [(b"x", b"1"), (b"x", b"2")])


class AskedTests(RequestCase):
    """What was asked."""

    def test_provides_irequest(self) -> None:
        verifyObject(IRequest, self.held()[1])

    def test_line(self) -> None:
        _, request = self.held()
        self.assertEqual(
            (request.method, request.uri, request.path, request.clientproto),
            (b"GET", b"/held?a=1&a=2&b=%20c", b"/held", b"HTTP/1.1"),
        )
        self.assertEqual(request.args, {b"a": [b"1", b"2"], b"b": [b" c"]})
        self.assertEqual((request.prepath, request.postpath), ([b"held"], []))

    def test_headers(self) -> None:
        _, request = self.held(HELD + b"X-One: 1\r\nX-Two: a\r\nx-two: b\r\n\r\n")
        self.assertEqual(request.header(b"x-one"), b"1")
        self.assertEqual(request.header(b"x-two"), b"b")
        self.assertIsNone(request.header(b"x-three"))
        self.assertEqual(request.header_values(b"x-one"), [b"1"])
        self.assertEqual(request.header_values(b"x-two"), [b"a", b"b"])
        self.assertEqual(request.header_values(b"x-three"), [])
        self.assertEqual(
            request.raw_headers,
            [(b"host", b"localhost:8080"), (b"x-one", b"1"), (b"x-two", b"a"), (b"x-two", b"b")],
        )

    def test_headers_the_stock_way(self) -> None:
        _, request = self.held(HELD + b"X-One: 1\r\nX-Two: a\r\nx-two: b\r\n\r\n")
        self.assertEqual(request.getHeader(b"X-Two"), b"b")
        self.assertEqual(request.getHeader("X-One"), "1")
        self.assertIsNone(request.getHeader("X-Three"))
        self.assertEqual(request.requestHeaders.getRawHeaders(b"x-two"), [b"a", b"b"])
        self.assertEqual(request.getAllHeaders()[b"x-one"], b"1")
        self.assertEqual(request.getRequestHostname(), b"localhost")
        request.setHost(b"other", 443, 1)
        self.assertEqual(request.getHeader(b"host"), b"other")
        self.assertTrue(request.isSecure())

    def test_nothing_is_built_that_nobody_asked_for(self) -> None:
        _, request = self.held()
        request.header(b"host")
        request.respond(200, [], b"")
        lazy = {"requestHeaders", "responseHeaders", "args", "received_cookies", "cookies"}
        self.assertEqual(lazy & set(vars(request)), set())

    def test_addresses(self) -> None:
        _, request = self.held()
        self.assertEqual(request.client_address, IPv4Address("TCP", "192.168.1.1", 54321))
        self.assertEqual(request.getClientAddress(), request.client_address)
        self.assertEqual(request.getHost(), IPv4Address("TCP", "127.0.0.1", 8080))
        self.assertFalse(request.is_secure)
        wire = self.front.connect(secure=True)
        wire.protocol.dataReceived(HELD + b"\r\n")
        request = self.front.held.requests[-1]
        self.assertTrue(request.is_secure)
        self.assertIs(request.connection, wire.protocol)

    def test_cookies_and_credentials(self) -> None:
        _, request = self.held(
            HELD + b"Cookie: a=1; b=x=y\r\nAuthorization: Basic dXNlcjpwYXNz\r\n\r\n"
        )
        self.assertEqual((request.getCookie(b"a"), request.getCookie(b"b")), (b"1", b"x=y"))
        self.assertEqual((request.getUser(), request.getPassword()), (b"user", b"pass"))

    def test_paths(self) -> None:
        _, request = self.held()
        self.assertEqual(request.prePathURL(), b"http://localhost:8080/held")
        self.assertEqual(str(request.URLPath()), "http://localhost:8080/held")
        request.rememberRootURL()
        self.assertEqual(request.getRootURL(), b"http://localhost:8080/")

    def test_form(self) -> None:
        class Form(Resource):
            isLeaf = True

            def render_POST(self, request: Any) -> bytes:
                return repr(sorted(request.args.items())).encode()

        kind = b"Content-Type: application/x-www-form-urlencoded; charset=utf-8\r\n"
        _, _, body = self.ask(Form(), b"POST /it?a=1", kind, b"a=2&b=3")
        self.assertEqual(body, b"[(b'a', [b'1', b'2']), (b'b', [b'3'])]")

    def test_session(self) -> None:
        class Counting(Resource):
            isLeaf = True

            def render_GET(self, request: Any) -> bytes:
                session = request.getSession()
                session.count = getattr(session, "count", 0) + 1
                return b"%d" % session.count

        resource = Counting()
        _, headers, body = self.ask(resource, b"GET /it")
        cookie = headers[b"set-cookie"].partition(b";")[0]
        self.assertEqual(body, b"1")
        _, _, body = self.ask(resource, b"GET /it", b"Cookie: " + cookie + b"\r\n")
        self.assertEqual(body, b"2")
        self.front.clock.advance(1000)
        self.assertEqual(self.front.site.sessions, {})

    def test_sessions_are_bounded(self) -> None:
        self.front.site.most_sessions = 2
        uids = [self.front.site.makeSession().uid for _ in range(3)]
        self.assertEqual(list(self.front.site.sessions), uids[1:])
        for session in list(self.front.site.sessions.values()):
            session.expire()
