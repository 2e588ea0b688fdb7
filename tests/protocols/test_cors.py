"""Tests of mcptwist.protocols.cors: the policy itself, and what goes out over a connection."""

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource

from mcptwist.protocols import refusals
from mcptwist.protocols.cors import CrossOrigin
from mcptwist.protocols.eventstream import HEADERS
from mcptwist.protocols.limits import Limits
from mcptwist.protocols.request import Request
from mcptwist.protocols.site import HostGuard
from tests.protocols.front import HOST, Early, Front, answers

APP = b"https://app.example"
OTHER = b"http://dev.example:3000"

REQUEST_HEADERS = (
    b"Authorization, Content-Type, Accept, DPoP, Content-Digest, Signature, "
    b"Signature-Input, MCP-Protocol-Version, Mcp-Session-Id, "
    b"Mcp-Method, Mcp-Name, Last-Event-ID"
)
ANSWER_HEADERS = (
    b"Mcp-Session-Id, MCP-Protocol-Version, WWW-Authenticate, Accept-Signature, DPoP-Nonce, "
    b"Retry-After, X-Request-Id"
)
READABLE = {
    b"access-control-allow-origin": APP,
    b"access-control-expose-headers": ANSWER_HEADERS,
}


def allowing(*origins: bytes, limits: Limits | None = None) -> Front:
    return Front(limits, HostGuard(allowed_origins=[origin.decode() for origin in origins]))


def ask(
    front: Front, method: bytes, path: bytes, *headers: bytes, body: bytes = b""
) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """Status, headers in lower case and in order, and body of the one answer."""
    lines = [b"%b %b HTTP/1.1\r\n" % (method, path), HOST]
    lines += [header + b"\r\n" for header in headers]
    wire = front.talk(b"".join([*lines, b"\r\n", body]))
    [(status, _, content)] = answers(wire.value())
    head = wire.value().partition(b"\r\n\r\n")[0]
    pairs = [line.partition(b": ")[::2] for line in head.split(b"\r\n")[1:]]
    return status, [(name.lower(), value) for name, value in pairs], content


def cors(headers: list[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    found = [pair for pair in headers if pair[0].startswith(b"access-control-")]
    assert len(dict(found)) == len(found), found  # browsers take a second one for an error
    return dict(found)


def varies(headers: list[tuple[bytes, bytes]]) -> set[bytes]:
    values = [value for name, value in headers if name == b"vary"]
    return {name.strip() for value in values for name in value.split(b",")}


def preflight(
    front: Front, origin: bytes = APP, path: bytes = b"/held", *headers: bytes
) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    asked = (b"Origin: " + origin, b"Access-Control-Request-Method: POST", *headers)
    return ask(front, b"OPTIONS", path, *asked)


class PolicyTests(SynchronousTestCase):
    """What is said, without any connection."""

    def allowed(self, *wanted: bytes) -> bytes:
        return dict(CrossOrigin().preflight(APP, wanted))[b"Access-Control-Allow-Headers"]

    def echoed(self, *wanted: bytes) -> list[bytes]:
        allowed = self.allowed(*wanted)
        assert allowed.startswith(REQUEST_HEADERS)
        return allowed.removeprefix(REQUEST_HEADERS).split(b", ")[1:]

    def test_headers_of_mcp(self) -> None:
        """They are allowed, all of them, whatever is asked; nothing else is."""
        for wanted in ((), (b"",), (b"content-type,x-evil",), (b"authorization", b"*")):
            self.assertEqual(self.allowed(*wanted), REQUEST_HEADERS, wanted)

    def test_parameters(self) -> None:
        """Headers that mirror a tool's parameters are named by the tool."""
        for wanted, echoed in (
            (b"mcp-param-region", [b"mcp-param-region"]),
            (b"content-type,mcp-param-a,mcp-param-b-1", [b"mcp-param-a", b"mcp-param-b-1"]),
            (b" Mcp-Param-A ,\tmcp-param-b\t", [b"mcp-param-a", b"mcp-param-b"]),
            (b"mcp-param-user_id,mcp-param-a.b", [b"mcp-param-user_id", b"mcp-param-a.b"]),
            (b"mcp-param-a,mcp-param-a,MCP-PARAM-A", [b"mcp-param-a"]),
            (b"mcp-param-" + b"a" * 64, [b"mcp-param-" + b"a" * 64]),
            (b"mcp-param-" + b"a" * 65, []),
            (b"mcp-param-", []),
            (b"mcp-param-a b", []),
            (b"mcp-param-a:b", []),
            (b"mcp-param-\xe4", []),
            (b"x-mcp-param-a", []),
            (b"x mcp-param-a", []),
            (b"mcp-params-a", []),
        ):
            self.assertEqual(self.echoed(wanted), echoed, wanted)

    def test_parameters_on_several_lines(self) -> None:
        self.assertEqual(
            self.echoed(b"mcp-param-a", b"mcp-param-b"), [b"mcp-param-a", b"mcp-param-b"]
        )

    def test_number_of_parameters(self) -> None:
        names = [b"mcp-param-%d" % number for number in range(40)]
        self.assertEqual(self.echoed(b",".join(names)), names[:32])

    @settings(deadline=None, max_examples=200)
    @given(
        st.lists(
            st.binary(max_size=12)
            | st.text("mcp-param, \tA_\r\n\0:", max_size=24).map(str.encode)
            | st.binary(max_size=6).map(b"mcp-param-%b".__mod__),
            max_size=50,
        )
    )
    def test_any_wish(self, wanted: list[bytes]) -> None:
        """What comes out is a list of names that were asked for, and fits in a header."""
        echoed = self.echoed(*wanted)
        asked = {name.strip(b" \t").lower() for value in wanted for name in value.split(b",")}
        self.assertLessEqual(len(echoed), 32)
        for name in echoed:
            self.assertRegex(name, re.compile(rb"mcp-param-[!-+.-~-]{1,64}\Z"))
            self.assertIn(name, asked)

    def test_configured(self) -> None:
        """What is added stands beside what MCP needs, once."""
        policy = CrossOrigin(("POST",), ["X-Trace", "accept"], ["ETag", "retry-after"], 90.0)
        self.assertEqual(
            dict(policy.preflight(APP, [])),
            {
                b"Access-Control-Allow-Origin": APP,
                b"Access-Control-Allow-Methods": b"POST",
                b"Access-Control-Allow-Headers": REQUEST_HEADERS + b", X-Trace",
                b"Access-Control-Max-Age": b"90",
                b"Vary": b"Access-Control-Request-Method, Access-Control-Request-Headers",
            },
        )
        exposed = dict(policy.readable(APP))[b"Access-Control-Expose-Headers"]
        self.assertEqual(exposed, ANSWER_HEADERS + b", ETag")

    def test_each_answer_has_headers_of_its_own(self) -> None:
        """Others add to the list they are given."""
        policy = CrossOrigin()
        policy.readable(APP).append((b"X-A", b"1"))
        self.assertEqual(len(policy.readable(APP)), 2)


class PreflightTests(SynchronousTestCase):
    """What browsers ask before they let a page send."""

    def test_allowed(self) -> None:
        """The exact headers, no body, before the resource is asked."""
        front = allowing(APP)
        status, headers, body = preflight(
            front, APP, b"/held", b"Access-Control-Request-Headers: content-type,mcp-param-region"
        )
        self.assertEqual((status, body), (204, b""))
        self.assertEqual(
            cors(headers),
            {
                b"access-control-allow-origin": APP,
                b"access-control-allow-methods": b"GET, POST, DELETE",
                b"access-control-allow-headers": REQUEST_HEADERS + b", mcp-param-region",
                b"access-control-max-age": b"600",
            },
        )
        self.assertEqual(
            varies(headers),
            {b"Origin", b"Access-Control-Request-Method", b"Access-Control-Request-Headers"},
        )
        self.assertEqual(front.held.requests, [])

    def test_refused(self) -> None:
        """Pages nobody allowed learn nothing."""
        front = allowing(APP)
        for origin in (b"null", b"https://evil.example", b"http://localhost:8081", b"*"):
            status, headers, _ = preflight(front, origin)
            self.assertEqual((status, cors(headers)), (403, {}), origin)
            self.assertIn(b"Origin", varies(headers))
        self.assertEqual(front.held.requests, [])
        self.assertEqual(front.counters.refused["foreign-origin"], 4)

    def test_closed_by_default(self) -> None:
        self.assertEqual(preflight(Front())[0], 403)

    def test_anywhere(self) -> None:
        """Also where there is nothing, so that the page can read that there is nothing."""
        for path in (b"/none", b"/", b"*", b"/stock/below"):
            self.assertEqual(preflight(allowing(APP), APP, path)[0], 204, path)

    def test_own_page_by_another_name(self) -> None:
        """For a browser, 127.0.0.1 and localhost are two origins; for us they are this machine."""
        status, headers, _ = preflight(Front(), b"http://127.0.0.1:8080")
        self.assertEqual(status, 204)
        self.assertEqual(cors(headers)[b"access-control-allow-origin"], b"http://127.0.0.1:8080")

    def test_what_is_no_preflight(self) -> None:
        """OPTIONS that asks for no method is a request as any other."""
        front = allowing(APP)
        status, headers, _ = ask(front, b"OPTIONS", b"/stock", b"Origin: " + APP)
        self.assertEqual((status, cors(headers)), (405, READABLE))
        status, headers, _ = ask(
            front, b"OPTIONS", b"/stock", b"Access-Control-Request-Method: POST"
        )
        self.assertEqual((status, cors(headers)), (405, {}))

    def test_connection_is_kept(self) -> None:
        """The request follows the preflight on the same connection."""
        first = (
            b"OPTIONS /echo HTTP/1.1\r\n%bOrigin: %b\r\nAccess-Control-Request-Method: POST\r\n\r\n"
        )
        then = b"POST /echo HTTP/1.1\r\n%bOrigin: %b\r\nContent-Length: 2\r\n\r\nhi"
        wire = allowing(APP).talk(first % (HOST, APP) + then % (HOST, APP))
        self.assertEqual([found[0] for found in answers(wire.value())], [204, 200])


class AnswerTests(SynchronousTestCase):
    """What lets a page read an answer; and what every answer says."""

    def check_readable(self, headers: list[tuple[bytes, bytes]], origin: bytes = APP) -> None:
        self.assertEqual(cors(headers), {**READABLE, b"access-control-allow-origin": origin})
        self.check_standing(headers)

    def check_standing(self, headers: list[tuple[bytes, bytes]]) -> None:
        self.assertIn(b"Origin", varies(headers))
        self.assertIn((b"x-content-type-options", b"nosniff"), headers)
        self.assertIn((b"cross-origin-resource-policy", b"same-origin"), headers)

    def test_good_answers(self) -> None:
        front = allowing(APP)
        origin = b"Origin: " + APP
        status, headers, _ = ask(front, b"GET", b"/stock", origin)
        self.assertEqual(status, 200)
        self.check_readable(headers)
        status, headers, body = ask(
            front, b"POST", b"/echo", origin, b"Content-Length: 2", body=b"hi"
        )
        self.assertEqual((status, body), (200, b"hi"))
        self.check_readable(headers)

    def test_event_streams(self) -> None:
        def stream(request: Request) -> None:
            request.start(200, HEADERS)
            request.write(b"data: 1\n\n")
            request.finish()

        front = allowing(APP)
        front.root.putChild(b"stream", Early(stream))
        status, headers, body = ask(front, b"GET", b"/stream", b"Origin: " + APP)
        self.assertEqual((status, body), (200, b"data: 1\n\n"))
        self.check_readable(headers)

    def test_errors(self) -> None:
        """A page must be able to read what went wrong, and where to get a token."""

        class Broken(Resource):
            isLeaf = True

            def render_GET(self, request: Request) -> bytes:
                raise ValueError

        def challenge(request: Request) -> None:
            request.respond(401, [(b"WWW-Authenticate", b"Bearer")], b"")

        front = allowing(APP, limits=Limits(body=3))
        front.root.putChild(b"broken", Broken())
        front.root.putChild(b"challenge", Early(challenge))
        front.root.putChild(b"busy", Early(lambda request: request.refuse(refusals.HEAD_TIMEOUT)))
        for method, path, expected in (
            (b"GET", b"/none", 404),
            (b"DELETE", b"/stock", 405),
            (b"GET", b"/challenge", 401),
            (b"GET", b"/busy", 408),
            (b"POST", b"/stock", 413),
            (b"GET", b"/broken", 500),
        ):
            length = (b"Content-Length: 4",) if method == b"POST" else ()
            status, headers, _ = ask(front, method, path, b"Origin: " + APP, *length, body=b"1234")
            self.assertEqual(status, expected)
            self.check_readable(headers)
        self.flushLoggedErrors(ValueError)

    def test_body_too_late(self) -> None:
        """Refusals by the connection itself can be read as well."""
        front = allowing(APP)
        wire = front.talk(
            b"POST /echo HTTP/1.1\r\n" + HOST + b"Origin: " + APP + b"\r\nContent-Length: 2\r\n\r\n"
        )
        front.clock.pump([1.0] * 62)
        [(status, headers, _)] = answers(wire.value())
        self.assertEqual((status, headers[b"access-control-allow-origin"]), (408, APP))

    def test_foreign(self) -> None:
        """The answer to a page nobody allowed says nothing that lets it be read."""
        front = allowing(APP)
        for origin in (b"null", b"https://evil.example", APP + b".evil.example"):
            status, headers, _ = ask(front, b"GET", b"/stock", b"Origin: " + origin)
            self.assertEqual((status, cors(headers)), (403, {}), origin)
            self.check_standing(headers)

    def test_native_clients(self) -> None:
        """Without Origin nothing is said about any; caches are told that it would matter."""
        for front in (Front(), allowing(APP)):
            status, headers, _ = ask(front, b"GET", b"/stock")
            self.assertEqual((status, cors(headers)), (200, {}))
            self.check_standing(headers)

    def test_what_is_no_request(self) -> None:
        """Answers to what could not even be read have the standing headers too."""
        wire = Front().talk(b"GET / HTTP/1.1\r\n\r\n")
        [(status, headers, _)] = answers(wire.value())
        self.assertEqual((status, headers[b"vary"]), (400, b"Origin"))

    def test_each_its_own(self) -> None:
        """No page gets the answer made for another, on one connection or over a cache."""
        wire = allowing(APP, OTHER).connect()
        request = b"GET /stock HTTP/1.1\r\n" + HOST
        for origin in (APP, OTHER, None, APP, None):
            wire.clear()
            sent = b"" if origin is None else b"Origin: " + origin + b"\r\n"
            wire.protocol.dataReceived(request + sent + b"\r\n")
            [(_, headers, _)] = answers(wire.value())
            self.assertEqual(headers.get(b"access-control-allow-origin"), origin)
            self.assertEqual(headers[b"vary"], b"Origin")

    def test_never_credentials(self) -> None:
        """Nor private networks, nor anyone at all."""
        for _, headers, _ in (
            preflight(
                allowing(APP), APP, b"/held", b"Access-Control-Request-Private-Network: true"
            ),
            ask(allowing(APP), b"GET", b"/stock", b"Origin: " + APP, b"Cookie: a=b"),
        ):
            self.assertNotIn(b"access-control-allow-credentials", cors(headers))
            self.assertNotIn(b"access-control-allow-private-network", cors(headers))
            self.assertNotEqual(cors(headers)[b"access-control-allow-origin"], b"*")

    def test_wildcard_port(self) -> None:
        """The answer names the page's own port, not the pattern."""
        front = allowing(b"http://localhost:*")
        _, headers, _ = ask(front, b"GET", b"/stock", b"Origin: http://localhost:5173")
        self.check_readable(headers, b"http://localhost:5173")

    def test_default_port(self) -> None:
        """It may be configured, though browsers do not send it."""
        front = allowing(APP + b":443", b"http://plain.example:80")
        for origin in (APP, b"http://plain.example"):
            status, headers, _ = ask(front, b"GET", b"/stock", b"Origin: " + origin)
            self.assertEqual(status, 200)
            self.check_readable(headers, origin)

    @settings(deadline=None, max_examples=100)
    @given(
        st.text("htps:/ap.exmlocn0127@*#?\\", max_size=30)
        | st.text(max_size=5).map((APP.decode() + "{}").format)
        | st.text(max_size=5).map(("{}" + APP.decode()).format)
    )
    def test_only_the_allowed_origin_is_ever_named(self, origin: str) -> None:
        sent = origin.encode()
        if sent.translate(None, bytes(range(32)) + b"\x7f") != sent:
            return  # not a header's value
        _, headers, _ = ask(allowing(APP), b"GET", b"/stock", b"Origin: " + sent)
        named = cors(headers).get(b"access-control-allow-origin")
        self.assertEqual(named, APP if sent.strip() == APP else None)


class UpgradeTests(SynchronousTestCase):
    """WebSockets have no CORS: any page may open one, so Origin is judged at the upgrade."""

    def upgrade(self, origin: bytes) -> tuple[int, int]:
        front = allowing(APP)
        place = Early(lambda request: request.respond(426, [], b""))
        front.root.putChild(b"ws", place)
        status, _, _ = ask(
            front,
            b"GET",
            b"/ws",
            b"Origin: " + origin,
            b"Connection: Upgrade",
            b"Upgrade: websocket",
            b"Sec-WebSocket-Protocol: mcp",
            b"Sec-WebSocket-Version: 13",
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        )
        return status, len(place.requests)

    def test_allowed(self) -> None:
        self.assertEqual(self.upgrade(APP), (426, 1))
        self.assertEqual(self.upgrade(b"http://localhost:8080"), (426, 1))

    def test_foreign(self) -> None:
        for origin in (b"https://evil.example", b"null", b"http://localhost:8081"):
            self.assertEqual(self.upgrade(origin), (403, 0), origin)
