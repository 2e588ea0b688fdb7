"""Tests of mcptwist.protocols.site: the guard at the gate and the way through the tree."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.address import UNIXAddress
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource

from mcptwist.protocols.site import HostGuard
from tests.protocols.front import Front, Wire, answers


def ask(
    front: Front,
    host: bytes | None = b"localhost:8080",
    *headers: bytes,
    path: bytes = b"/stock",
    wire: Wire | None = None,
) -> tuple[int, dict[bytes, bytes], bytes]:
    lines = [b"GET %b HTTP/1.%d" % (path, host is not None)]
    if host is not None:
        lines.append(b"Host: " + host)
    wire = wire or front.connect()
    wire.clear()
    wire.protocol.dataReceived(b"\r\n".join([*lines, *headers, b"", b""]))
    [answer] = answers(wire.value())
    return answer


class HostTests(SynchronousTestCase):
    """Which names the server answers to; DNS rebinding arrives with others."""

    def status(self, host: bytes | None, guard: HostGuard | None = None) -> int:
        return ask(Front(guard=guard), host)[0]

    def test_loopback_names_with_the_bound_port(self) -> None:
        for host in (
            b"localhost:8080",
            b"LocalHost:8080",
            b"localhost.:8080",
            b"127.0.0.1:8080",
            b"[::1]:8080",
        ):
            self.assertEqual(self.status(host), 200, host)

    def test_default_port_may_be_left_out(self) -> None:
        front = Front()
        self.assertEqual(ask(front, b"localhost", wire=front.connect(port=80))[0], 200)
        tls = front.connect(secure=True, port=443)
        self.assertEqual(ask(front, b"localhost", wire=tls)[0], 200)
        self.assertEqual(ask(front, b"localhost:443", wire=tls)[0], 200)
        self.assertEqual(ask(front, b"localhost:80", wire=tls)[0], 421)

    def test_foreign(self) -> None:
        for host in (
            b"evil.example:8080",
            b"localhost:8081",
            b"localhost.evil.example:8080",
            b"localhost..:8080",
            b"127.0.0.2:8080",
            b"[::2]:8080",
            b"0.0.0.0:8080",
            b"localhost:99999",
        ):
            status, headers, body = ask(Front(), host)
            self.assertIn(status, (400, 421), host)
            self.assertEqual(headers[b"connection"], b"close")
            self.assertIn("message", json.loads(body)["error"])

    def test_malformed(self) -> None:
        for host in (b"a b", b"user@localhost:8080", b"localhost:8080/x", b"[::1", b"\xe4:8080"):
            self.assertEqual(self.status(host), 400, host)

    def test_http10_without_host(self) -> None:
        """No browser sends that, so it is no rebinding."""
        self.assertEqual(self.status(None), 200)

    def test_allowed(self) -> None:
        guard = HostGuard(["mcp.example", "Other.example:9000"])
        for host in (b"mcp.example", b"MCP.example.:1234", b"other.example:9000"):
            self.assertEqual(self.status(host, guard), 200, host)
        for host in (b"other.example", b"other.example:9001", b"a.mcp.example"):
            self.assertEqual(self.status(host, guard), 421, host)

    def test_unix_sockets_have_no_port(self) -> None:
        front = Front()
        wire = front.connect()
        wire.protocol.host = UNIXAddress(b"/run/mcptwist")
        wire.protocol.port = None
        self.assertEqual(ask(front, b"localhost", wire=wire)[0], 200)

    def test_each_request_on_a_connection_is_looked_at(self) -> None:
        front = Front()
        wire = front.connect()
        for host, status in [
            (b"localhost:8080", 200),
            (b"127.0.0.1:8080", 200),
            (b"localhost:8080", 200),
            (b"evil.example", 421),
        ]:
            self.assertEqual(ask(front, host, wire=wire)[0], status, host)

    def test_resource_is_not_asked(self) -> None:
        front = Front()
        ask(front, b"evil.example", path=b"/held")
        self.assertEqual(front.held.requests, [])
        self.assertEqual(front.counters.refused["foreign-host"], 1)

    def test_malformed_configuration(self) -> None:
        for entry in ("http://mcp.example", "a b", "", "*", "mcp.example:*"):
            self.assertRaises(ValueError, HostGuard, [entry])


class OriginTests(SynchronousTestCase):
    """Which pages may talk to the server."""

    def status(self, origin: bytes, *more: bytes, guard: HostGuard | None = None) -> int:
        return ask(Front(guard=guard), b"localhost:8080", b"Origin: " + origin, *more)[0]

    def test_own_and_loopback(self) -> None:
        for origin in (
            b"http://localhost:8080",
            b"http://127.0.0.1:8080",
            b"http://[::1]:8080",
        ):
            self.assertEqual(self.status(origin), 200, origin)

    def test_own_name(self) -> None:
        front = Front(guard=HostGuard(["mcp.example"]))
        self.assertEqual(ask(front, b"mcp.example", b"Origin: http://mcp.example")[0], 200)
        self.assertEqual(ask(front, b"mcp.example:80", b"Origin: http://mcp.example")[0], 200)
        self.assertEqual(ask(front, b"mcp.example", b"Origin: https://mcp.example")[0], 403)
        self.assertEqual(ask(front, b"mcp.example", b"Origin: http://mcp.example:81")[0], 403)
        tls = front.connect(secure=True, port=443)
        answer = ask(front, b"mcp.example", b"Origin: https://mcp.example", wire=tls)
        self.assertEqual(answer[0], 200)

    def test_foreign(self) -> None:
        for origin in (
            b"null",
            b"",
            b"http://evil.example",
            b"http://localhost",
            b"http://localhost:8081",
            b"http://localhost.evil.com",
            b"http://localhost.:8080",
            b"http://127.0.0.1@evil.com",
            b"http://127.0.0.1:8080@evil.com",
            b"http://evil.com/localhost:8080",
            b"HTTP://LOCALHOST:8080",
            b"http://localhost:08080",
            b"http://localhost:8080/",
            b"http://localhost:8080 ,http://evil.com",
            b"file://",
            b"chrome-extension://abc",
            b"http://localhost:8080\xff",
        ):
            self.assertEqual(self.status(origin), 403, origin)

    def test_refusal(self) -> None:
        front = Front()
        _, headers, body = ask(
            front, b"localhost:8080", b"Origin: http://evil.example", path=b"/held"
        )
        self.assertEqual(json.loads(body)["error"]["code"], "foreign-origin")
        self.assertEqual(headers[b"vary"], b"Origin")
        self.assertNotIn(b"access-control-allow-origin", headers)
        self.assertEqual(front.held.requests, [])

    def test_two_origins(self) -> None:
        own = b"http://localhost:8080"
        self.assertEqual(self.status(own, b"Origin: " + own), 403)

    def test_rebinding(self) -> None:
        """Host and Origin agree with each other, and with nobody else."""
        status, _, _ = ask(Front(), b"evil.example:8080", b"Origin: http://evil.example:8080")
        self.assertEqual(status, 421)

    def test_allowed(self) -> None:
        guard = HostGuard(
            allowed_origins=["https://app.example", "http://dev.example:3000", "http://localhost:*"]
        )
        for origin, status in [
            (b"https://app.example", 200),
            (b"http://dev.example:3000", 200),
            (b"http://localhost:5173", 200),
            (b"http://localhost", 200),
            (b"http://app.example", 403),
            (b"https://app.example:8443", 403),
            (b"https://a.app.example", 403),
            (b"https://localhost:5173", 403),
            (b"null", 403),
        ]:
            self.assertEqual(self.status(origin, guard=guard), status, origin)

    def test_malformed_configuration(self) -> None:
        for entry in ("*", "null", "app.example", "https://*.example", "https://App.example", ""):
            with self.assertRaises(ValueError):
                HostGuard(allowed_origins=[entry])

    def test_pages_that_do_not_say_who_they_are(self) -> None:
        """Fetch metadata: a page of another site, but not somebody following a link."""
        front = Front()
        for headers, status in [
            ((b"Sec-Fetch-Site: cross-site", b"Sec-Fetch-Mode: no-cors"), 403),
            ((b"Sec-Fetch-Site: same-site", b"Sec-Fetch-Mode: cors"), 403),
            ((b"Sec-Fetch-Site: cross-site", b"Sec-Fetch-Mode: navigate"), 200),
            ((b"Sec-Fetch-Site: same-origin", b"Sec-Fetch-Mode: cors"), 200),
            ((b"Sec-Fetch-Site: none", b"Sec-Fetch-Mode: navigate"), 200),
        ]:
            self.assertEqual(ask(front, b"localhost:8080", *headers)[0], status, headers)

    @settings(deadline=None, max_examples=100)
    @given(st.text("htps:/localevi.com127@0#?[]*", max_size=30))
    def test_only_exact_origins_pass(self, origin: str) -> None:
        exact = origin in ("http://localhost:8080", "http://127.0.0.1:8080", "http://[::1]:8080")
        self.assertEqual(self.status(origin.encode()) == 200, exact)


class TreeTests(SynchronousTestCase):
    """The way to the resource."""

    def test_segments_are_decoded_one_by_one(self) -> None:
        seen: list[tuple[list[bytes], list[bytes]]] = []

        class Seeing(Resource):
            isLeaf = True

            def render_GET(self, request: object) -> bytes:
                seen.append((request.prepath, request.postpath))  # type: ignore[attr-defined]
                return b""

        front = Front()
        front.root.putChild(b"a b", Seeing())
        for path in (b"/a%20b", b"/a%20b/c%2Fd//e?f", b"/a%20b/%zz"):
            self.assertEqual(ask(front, path=path)[0], 200)
        self.assertEqual(
            seen,
            [
                ([b"a b"], []),
                ([b"a b"], [b"c/d", b"", b"e"]),
                ([b"a b"], [b"%zz"]),
            ],
        )

    def test_not_found(self) -> None:
        for path in (b"/", b"/none", b"//stock", b"/stock/../held"):
            self.assertIn(ask(Front(), path=path)[0], (404, 200), path)
        self.assertEqual(ask(Front(), path=b"//stock")[0], 404)

    def test_counters(self) -> None:
        front = Front()
        wire = front.connect()
        ask(front, wire=wire)
        ask(front, wire=wire)
        ask(front, b"evil.example")
        counts = front.counters.snapshot()
        self.assertEqual(
            (counts["connections"], counts["requests"], counts["refused.foreign-host"]), (2, 3, 1)
        )
