"""Tests of mcptwist.protocols.http1: connections, their order, bounds and ends."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st
from OpenSSL.crypto import X509, PKey
from twisted.internet.interfaces import IProtocolNegotiationFactory, IPushProducer
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import CertificateOptions
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.test import iosim
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from mcptwist.protocols.httpstream import IHTTPStream
from mcptwist.protocols.limits import Limits
from mcptwist.protocols.refusals import ALL
from mcptwist.protocols.request import Request
from tests.protocols.front import HOST, SENTINEL, Early, Front, Wire, answers, statuses

GET = b"GET /stock HTTP/1.1\r\n"
POST = b"POST /echo HTTP/1.1\r\n" + HOST


def post(body: bytes, path: bytes = b"/echo", extra: bytes = b"") -> bytes:
    return b"POST %b HTTP/1.1\r\n%b%bContent-Length: %d\r\n\r\n%b" % (
        path,
        HOST,
        extra,
        len(body),
        body,
    )


def statuses_of(data: bytes) -> list[int]:
    return [status for status, _, _ in answers(data)]


def tls_contexts() -> tuple[Any, Any]:
    """A server's and a client's side of a throw-away certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime(2026, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2099, 1, 1, tzinfo=UTC))
        .sign(key, hashes.SHA256())
    )
    options = CertificateOptions(
        privateKey=PKey.from_cryptography_key(key), certificate=X509.from_cryptography(certificate)
    )
    return options, CertificateOptions()


# Each row: what arrives, the status, the code of the refusal. A regression table of request
# smuggling and its relatives (RFC 9112 sections 2-7 and 11).
REFUSED: list[tuple[bytes, int, str]] = [
    # the request line
    (b"GET /\r\n", 400, "bad-request-line"),
    (b"GET / \r\n", 400, "bad-request-line"),
    (b"GET / HTTP/1.1 \r\n", 400, "bad-request-line"),
    (b"GET  / HTTP/1.1\r\n", 400, "bad-request-line"),
    (b"GET /  HTTP/1.1\r\n", 400, "bad-request-line"),
    (b"GET\t/ HTTP/1.1\r\n", 400, "bad-request-line"),
    (b" GET / HTTP/1.1\r\n", 400, "bad-request-line"),
    (b"GET /a b HTTP/1.1\r\n", 400, "bad-request-line"),
    (b"GET /\t HTTP/1.1\r\n", 400, "bad-request-line"),
    (b"GET /\xc3\xa4 HTTP/1.1\r\n", 400, "bad-request-line"),
    (b"GET / http/1.1\r\n", 400, "bad-request-line"),
    (b"GET / HTTP/1\r\n", 400, "bad-request-line"),
    (b"GET / HTTP/1.10\r\n", 400, "bad-request-line"),
    (b"G(T / HTTP/1.1\r\n", 400, "bad-request-line"),
    (b"\r\n\r\nGET / HTTP/1.1\r\n", 400, "bad-request-line"),
    (b"\x16\x03\x01\x02\x00\x01\x00\r\n", 400, "bad-line-ending"),
    (b"GET / HTTP/1.2\r\n" + HOST + b"\r\n", 400, "bad-version"),
    (b"GET / HTTP/0.9\r\n" + HOST + b"\r\n", 505, "unsupported-version"),
    (b"GET / HTTP/2.0\r\n" + HOST + b"\r\n", 505, "unsupported-version"),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "unsupported-version"),
    (b"TRACE / HTTP/1.1\r\n" + HOST + b"\r\n", 405, "method-not-allowed"),
    (b"CONNECT a:443 HTTP/1.1\r\n" + HOST + b"\r\n", 405, "method-not-allowed"),
    (b"post / HTTP/1.1\r\n" + HOST + b"\r\n", 501, "unknown-method"),
    (b"FOO / HTTP/1.1\r\n" + HOST + b"\r\n", 501, "unknown-method"),
    (b"GET * HTTP/1.1\r\n" + HOST + b"\r\n", 405, "method-not-allowed"),
    # the target
    (b"GET stock HTTP/1.1\r\n" + HOST + b"\r\n", 400, "bad-target"),
    (b"GET /stock#a HTTP/1.1\r\n" + HOST + b"\r\n", 400, "bad-target"),
    (b"GET http://other/ HTTP/1.1\r\n" + HOST + b"\r\n", 400, "bad-target"),
    (b"GET http://localhost/ HTTP/1.1\r\n" + HOST + b"\r\n", 400, "bad-target"),
    (b"GET http://a@localhost:8080/ HTTP/1.1\r\n" + HOST + b"\r\n", 400, "bad-target"),
    (b"GET ftp://localhost:8080/ HTTP/1.1\r\n" + HOST + b"\r\n", 400, "bad-target"),
    (b"GET http:///stock HTTP/1.1\r\n" + HOST + b"\r\n", 400, "bad-target"),
    (b"GET /" + b"a" * 9000, 414, "uri-too-long"),
    (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", 414, "uri-too-long"),
    # line endings
    (b"GET / HTTP/1.1\nHost: localhost:8080\n\n", 400, "bad-line-ending"),
    (GET + b"Host: localhost:8080\n\r\n", 400, "bad-line-ending"),
    (GET + HOST + b"X: a\n", 400, "bad-line-ending"),
    (GET + HOST + b"X: a\rb\r\n\r\n", 400, "bad-line-ending"),
    (GET + HOST + b"X: a\r\r\n\r\n", 400, "bad-line-ending"),
    (GET + HOST + b"X: a\x00b\r\n\r\n", 400, "bad-line-ending"),
    (GET + HOST + b"\rX: a\r\n\r\n", 400, "bad-line-ending"),
    # header lines
    (GET + HOST + b"X : a\r\n\r\n", 400, "bad-header"),
    (GET + HOST + b"X\t: a\r\n\r\n", 400, "bad-header"),
    (GET + HOST + b": a\r\n\r\n", 400, "bad-header"),
    (GET + HOST + b"no colon\r\n\r\n", 400, "bad-header"),
    (GET + HOST + b"X: a\r\n b\r\n\r\n", 400, "bad-header"),
    (GET + HOST + b"X: a\r\n\tb\r\n\r\n", 400, "bad-header"),
    (GET + b" X: a\r\n" + HOST + b"\r\n", 400, "bad-header"),
    (GET + HOST + b"X\xe4: a\r\n\r\n", 400, "bad-header"),
    (GET + HOST + b"X(: a\r\n\r\n", 400, "bad-header"),
    (GET + HOST + b"X: a\x01b\r\n\r\n", 400, "bad-header"),
    (GET + HOST + b"X: a\x7fb\r\n\r\n", 400, "bad-header"),
    (GET + HOST + b"X: a\x0bb\r\n\r\n", 400, "bad-header"),
    (GET + HOST + b"X: " + b"a" * 17000, 431, "headers-too-large"),
    (GET + HOST + b"X: " + b"a" * 17000 + b"\r\n\r\n", 431, "headers-too-large"),
    (GET + HOST + b"X: a\r\n" * 101 + b"\r\n", 431, "too-many-headers"),
    # Host
    (GET + b"\r\n", 400, "missing-host"),
    (GET + b"X: a\r\n\r\n", 400, "missing-host"),
    (GET + HOST + HOST + b"\r\n", 400, "several-hosts"),
    (GET + HOST + b"HOST: evil\r\n\r\n", 400, "several-hosts"),
    (GET + b"Host: localhost:8080, evil\r\n\r\n", 400, "bad-host"),
    (GET + b"Host: a@localhost:8080\r\n\r\n", 400, "bad-host"),
    (GET + b"Host: \r\n\r\n", 400, "bad-host"),
    (GET + b"Host: localhost:8080/\r\n\r\n", 400, "bad-host"),
    (GET + b"Host: localhost:80a\r\n\r\n", 400, "bad-host"),
    (GET + b"Host: evil.example\r\n\r\n", 421, "foreign-host"),
    (GET + b"Host: localhost:8081\r\n\r\n", 421, "foreign-host"),
    (GET + b"Host: localhost\r\n\r\n", 421, "foreign-host"),
    # how the body is framed
    (POST + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\nx", 400, "bad-content-length"),
    (POST + b"Content-Length: 1\r\ncontent-length: 2\r\n\r\nx", 400, "bad-content-length"),
    (POST + b"Content-Length: 1, 1\r\n\r\nx", 400, "bad-content-length"),
    (POST + b"Content-Length: +1\r\n\r\nx", 400, "bad-content-length"),
    (POST + b"Content-Length: -1\r\n\r\nx", 400, "bad-content-length"),
    (POST + b"Content-Length: 0x1\r\n\r\nx", 400, "bad-content-length"),
    (POST + b"Content-Length: 1_0\r\n\r\nx", 400, "bad-content-length"),
    (POST + b"Content-Length: 1 1\r\n\r\nx", 400, "bad-content-length"),
    (POST + b"Content-Length: 1e1\r\n\r\nx", 400, "bad-content-length"),
    (POST + b"Content-Length: \r\n\r\nx", 400, "bad-content-length"),
    (POST + b"Content-Length: 9999999999999999999999\r\n\r\nx", 400, "bad-content-length"),
    (POST + b"Content-Length: 9999999999999999\r\n\r\nx", 400, "bad-content-length"),
    (
        POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
        "bad-transfer-encoding",
    ),
    (
        POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        400,
        "bad-transfer-encoding",
    ),
    (POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400, "bad-transfer-encoding"),
    (POST + b"Transfer-Encoding: identity\r\n\r\nx", 400, "bad-transfer-encoding"),
    (POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400, "bad-transfer-encoding"),
    (POST + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", 400, "bad-transfer-encoding"),
    (POST + b"Transfer-Encoding: chunked;a=b\r\n\r\n0\r\n\r\n", 400, "bad-transfer-encoding"),
    (POST + b'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n', 400, "bad-transfer-encoding"),
    (POST + b"Transfer-Encoding: \r\n\r\n0\r\n\r\n", 400, "bad-transfer-encoding"),
    (
        POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
        "bad-transfer-encoding",
    ),
    (
        POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
        400,
        "bad-transfer-encoding",
    ),
    (
        b"POST /echo HTTP/1.0\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
        "bad-transfer-encoding",
    ),
    (POST + b"Transfer-Encoding: chunked\r\n\r\n5\nhello\n0\n\n", 400, "bad-chunk"),
    (POST + b"Transfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n", 400, "bad-chunk"),
    (POST + b"Transfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n", 400, "bad-chunk"),
    (POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhelloX\r\n", 400, "bad-chunk"),
    (POST + b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n", 400, "bad-chunk"),
    (POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX : y\r\n\r\n", 400, "bad-chunk"),
    # the rest
    (POST + b"Expect: 200-ok\r\nContent-Length: 1\r\n\r\n", 417, "expectation-failed"),
    (POST + b"Content-Length: 1001\r\n\r\n", 413, "body-too-large"),
    (POST + b"Transfer-Encoding: chunked\r\n\r\n3e9\r\n" + b"x" * 1001, 413, "body-too-large"),
    (GET + HOST + b"Origin: http://evil.example\r\n\r\n", 403, "foreign-origin"),
]


class RefusalTests(SynchronousTestCase):
    """The strict door: status, code, Connection: close, a counter, and no harm to others."""

    def refused(self, front: Front, wire: Wire, raw: bytes, status: int, code: str) -> None:
        [(got, headers, body)] = answers(wire.value())
        self.assertEqual((got, code in body.decode()), (status, True), (raw[:80], body))
        self.assertEqual(headers[b"connection"], b"close", raw[:80])
        self.assertEqual(headers[b"content-type"], b"application/json")
        self.assertTrue(wire.is_closed, raw[:80])
        self.assertEqual(front.counters.refused[code], 1, raw[:80])

    def test_table(self) -> None:
        for raw, status, code in REFUSED:
            front = Front()
            wire = front.talk(raw)
            self.refused(front, wire, raw, status, code)
            self.assertEqual(statuses(front.talk(SENTINEL)), [200], raw[:80])

    def test_table_byte_by_byte(self) -> None:
        for raw, status, code in REFUSED:
            if len(raw) < 2000:
                front = Front()
                wire = front.talk(*(raw[at : at + 1] for at in range(len(raw))))
                self.refused(front, wire, raw, status, code)

    def test_nothing_after_a_refusal_is_read(self) -> None:
        """What follows may have been smuggled."""
        front = Front()
        for raw, status, _ in REFUSED:
            wire = front.talk(raw + b"\r\n\r\n" + SENTINEL, SENTINEL)
            self.assertEqual(statuses(wire), [status], raw[:80])
        self.assertEqual(front.held.requests, [])

    def test_client_can_read_the_refusal(self) -> None:
        """Our half is closed; the rest is read and dropped, for a while."""
        front = Front()
        wire = front.talk(b"GET /\r\n")
        self.assertTrue(wire.half_closed)
        self.assertFalse(wire.disconnecting)
        wire.protocol.dataReceived(b"x" * 100000)
        front.clock.advance(1)
        self.assertFalse(wire.aborted)
        front.clock.advance(1)
        self.assertTrue(wire.aborted)

    def test_tls_has_no_half_close(self) -> None:
        front = Front()
        wire = front.connect(secure=True)
        wire.protocol.dataReceived(b"GET /\r\n")
        self.assertTrue(wire.disconnecting)

    def test_every_refusal_has_a_counter(self) -> None:
        self.assertEqual(set(Front().counters.refused), set(ALL))

    def test_every_refusal_is_in_the_table_or_tested_elsewhere(self) -> None:
        elsewhere = {
            "head-timeout",
            "body-timeout",
            "too-many-connections",
            "internal-error",
            # HTTP/2 only
            "wrong-scheme",
            "unknown-tunnel",
        }
        self.assertEqual(set(ALL) - {code for _, _, code in REFUSED} - elsewhere, set())


class AnswerTests(SynchronousTestCase):
    """Answers on the wire."""

    def setUp(self) -> None:
        self.front = Front()

    def held(self, raw: bytes = b"GET /held HTTP/1.1\r\n" + HOST + b"\r\n") -> tuple[Wire, Request]:
        wire = self.front.talk(raw)
        return wire, self.front.held.requests[-1]

    def test_provides_the_seam(self) -> None:
        verifyObject(IHTTPStream, self.front.connect().protocol)
        verifyObject(IPushProducer, self.front.connect().protocol)
        verifyObject(IProtocolNegotiationFactory, self.front.factory)

    def test_whole(self) -> None:
        wire = self.front.talk(post(b"abc"))
        self.assertEqual(
            wire.value(),
            b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
            b"Vary: Origin\r\nX-Content-Type-Options: nosniff\r\n"
            b"Cross-Origin-Resource-Policy: same-origin\r\n"
            b"Date: Thu, 01 Jan 1970 00:00:00 GMT\r\nContent-Length: 3\r\n\r\nabc",
        )
        self.assertFalse(wire.is_closed)

    def test_small_answers_take_one_write(self) -> None:
        written: list[bytes] = []
        wire = self.front.connect()
        self.patch(wire, "write", written.append)
        wire.protocol.dataReceived(post(b"abc"))
        self.assertEqual(len(written), 1)

    def test_date_is_renewed_every_second(self) -> None:
        wire = self.front.talk(SENTINEL)
        self.front.factory._now = lambda: 86400
        self.front.clock.advance(1)
        wire.protocol.dataReceived(SENTINEL)
        self.assertEqual(
            [headers[b"date"][5:16] for _, headers, _ in answers(wire.value())],
            [b"01 Jan 1970", b"02 Jan 1970"],
        )

    def test_streamed(self) -> None:
        wire, request = self.held()
        request.start(200, [(b"Content-Type", b"text/event-stream")])
        self.assertIn(b"Transfer-Encoding: chunked", wire.value())
        request.write(b"a")
        self.assertTrue(wire.value().endswith(b"\r\n\r\n1\r\na\r\n"))
        request.write([b"bc", b"", b"d"])
        request.write(b"")
        request.finish()
        [(status, _, body)] = answers(wire.value())
        self.assertEqual((status, body), (200, b"abcd"))
        self.assertFalse(wire.is_closed)

    def test_streamed_with_known_length(self) -> None:
        wire, request = self.held()
        request.start(200, [], 3)
        request.write(b"ab")
        request.write(b"c")
        request.finish()
        self.assertEqual([body for _, _, body in answers(wire.value())], [b"abc"])
        self.assertFalse(wire.is_closed)

    def test_too_much_or_too_little_for_the_length_is_cut(self) -> None:
        """Or the rest would be taken for another answer."""
        for text in (b"abcd", b"ab"):
            wire, request = self.held()
            request.start(200, [], 3)
            request.write(text)
            if request.is_open:
                request.finish()
            self.assertTrue(wire.aborted)
            self.assertNotIn(b"abcd", wire.value())
        self.assertEqual(self.front.counters.answers_cut, 2)

    def test_http10_stream_ends_with_the_connection(self) -> None:
        wire, request = self.held(b"GET /held HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        request.start(200, [])
        request.write(b"abc")
        request.finish()
        head, _, body = wire.value().partition(b"\r\n\r\n")
        self.assertEqual(body, b"abc")
        self.assertNotIn(b"Transfer-Encoding", head)
        self.assertIn(b"Connection: close", head)
        self.assertTrue(wire.is_closed)

    def test_http10_is_closed_unless_kept(self) -> None:
        wire = self.front.talk(b"GET /stock HTTP/1.0\r\n\r\n")
        self.assertEqual(answers(wire.value())[0][1][b"connection"], b"close")
        self.assertTrue(wire.disconnecting)
        wire = self.front.talk(b"GET /stock HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        self.assertEqual(answers(wire.value())[0][1][b"connection"], b"keep-alive")
        self.assertFalse(wire.is_closed)

    def test_close_is_kept_to(self) -> None:
        wire = self.front.talk(GET + HOST + b"Connection: close\r\n\r\n")
        self.assertEqual(answers(wire.value())[0][1][b"connection"], b"close")
        self.assertTrue(wire.disconnecting)
        self.assertFalse(wire.half_closed)

    def test_head_has_the_length_and_no_body(self) -> None:
        for answer in (
            lambda request: request.respond(200, [], b"abc"),
            lambda request: (request.start(200, [], 3), request.write(b"abc"), request.finish()),
        ):
            wire, request = self.held(b"HEAD /held HTTP/1.1\r\n" + HOST + b"\r\n")
            answer(request)
            self.assertTrue(wire.value().endswith(b"Content-Length: 3\r\n\r\n"))
            self.assertFalse(wire.is_closed)

    def test_no_content_and_not_modified_have_no_body(self) -> None:
        """RFC 9110 section 15.3.5 and 15.4.5; no Content-Length with 204 (section 8.6)."""
        for status in (204, 304):
            wire, request = self.held()
            request.respond(status, [], b"abc")
            self.assertTrue(wire.value().endswith(b"GMT\r\n\r\n"), wire.value())
            wire, request = self.held()
            request.start(status, [])
            request.write(b"abc")
            request.finish()
            self.assertTrue(wire.value().endswith(b"GMT\r\n\r\n"), wire.value())
            self.assertFalse(wire.is_closed)

    def test_line_breaks_in_headers_are_refused(self) -> None:
        for header in [
            (b"X", b"a\r\nSet-Cookie: b"),
            (b"X", b"a\nb"),
            (b"X", b"a\rb"),
            (b"X", b"a\0b"),
            (b"X\r\nY", b"a"),
        ]:
            wire, request = self.held()
            self.assertRaises(ValueError, request.respond, 200, [header], b"")
            self.assertRaises(ValueError, request.start, 200, [header])
            self.assertEqual(wire.value(), b"")
            request.respond(200, [], b"still possible")
            self.assertEqual(statuses(wire), [200])

    def test_what_was_said_before_is_not_said_again(self) -> None:
        """The last head of an answer is remembered; the list it came from may be reused."""
        headers = [(b"A-1", b"1")]
        got = []
        wire = self.front.connect()
        for change in (lambda: None, lambda: headers.append((b"A-2", b"2")), headers.clear):
            change()
            wire.protocol.dataReceived(b"GET /held HTTP/1.1\r\n" + HOST + b"\r\n")
            self.front.held.requests[-1].respond(200, headers, b"")
            got.append(answers(wire.value())[-1][1])
        self.assertEqual(
            [sorted(name for name in headers if name[:2] == b"a-") for headers in got],
            [[b"a-1"], [b"a-1", b"a-2"], []],
        )

    def test_unknown_status(self) -> None:
        wire, request = self.held()
        request.respond(599, [], b"")
        self.assertEqual(statuses(wire), [599])

    def test_options_star(self) -> None:
        wire = self.front.talk(b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n")
        [(status, headers, body)] = answers(wire.value())
        self.assertEqual((status, body), (204, b""))
        self.assertIn(b"POST", headers[b"allow"])


class OrderTests(SynchronousTestCase):
    """Keep-alive and pipelining: one answer at a time, in order."""

    def setUp(self) -> None:
        self.front = Front()

    def test_pipelined_answers_keep_their_order(self) -> None:
        held = b"GET /held HTTP/1.1\r\n" + HOST + b"\r\n"
        wire = self.front.talk(SENTINEL + held + post(b"a") + held + post(b"b"))
        self.assertEqual(statuses(wire), [200])
        self.assertEqual(len(self.front.held.requests), 1)
        self.front.held.requests[0].respond(202, [], b"")
        self.assertEqual(statuses(wire), [200, 202, 200])
        self.front.held.requests[1].respond(202, [], b"")
        self.assertEqual(
            [body for _, _, body in answers(wire.value())], [b"hello", b"", b"a", b"", b"b"]
        )

    def test_equal_heads_are_requests_of_their_own(self) -> None:
        """The last head is remembered; what became of its request is not."""
        head = b"POST /held HTTP/1.1\r\n" + HOST + b"Expect: 100-continue\r\n"
        wire = self.front.talk((head + b"Content-Length: 1\r\n\r\na") * 2)
        bodies: list[bytes] = []
        for at in (0, 1):
            request = self.front.held.requests[at]
            request.receive_body(10, bodies.append)
            request.respond(204, [], b"")
        self.assertEqual(wire.value().count(b"100 Continue"), 2)
        self.assertEqual(bodies, [b"a", b"a"])
        self.assertIsNot(*self.front.held.requests)

    def test_a_head_that_only_begins_like_the_last(self) -> None:
        wire = self.front.talk(SENTINEL, SENTINEL[:-2] + b"Host: evil\r\n\r\n")
        self.assertEqual(statuses(wire), [200, 400])

    def test_answers_to_a_finished_request_do_not_reach_the_next(self) -> None:
        held = b"GET /held HTTP/1.1\r\n" + HOST + b"\r\n"
        wire = self.front.talk(held + held)
        first = self.front.held.requests[0]
        first.respond(200, [], b"first")
        self.assertRaises(RuntimeError, first.respond, 200, [], b"again")
        self.assertRaises(RuntimeError, first.write, b"again")
        self.assertEqual([body for _, _, body in answers(wire.value())], [b"first"])

    def test_what_is_read_ahead_is_bounded(self) -> None:
        wire = self.front.talk(b"GET /held HTTP/1.1\r\n" + HOST + b"\r\n")
        wire.protocol.dataReceived(SENTINEL)
        self.assertEqual(wire.producerState, "producing")
        count = Limits().pipeline // len(SENTINEL) + 1
        wire.protocol.dataReceived(SENTINEL * count)
        self.assertEqual(wire.producerState, "paused")
        self.front.held.requests[0].respond(200, [], b"")
        self.assertEqual(len(statuses(wire)), count + 2)
        self.assertEqual(wire.producerState, "producing")

    def test_unwanted_small_body_is_dropped_and_the_connection_kept(self) -> None:
        self.front.root.putChild(b"no", Early(lambda request: request.respond(401, [], b"")))
        request = post(b"x" * 1000, b"/no")
        wire = self.front.talk(request[:-500])
        self.assertEqual(statuses(wire), [401])
        wire.protocol.dataReceived(request[-500:] + SENTINEL)
        self.assertEqual(statuses(wire), [401, 200])

    def test_unwanted_large_body_closes(self) -> None:
        self.front.root.putChild(b"no", Early(lambda request: request.respond(401, [], b"")))
        head = b"POST /no HTTP/1.1\r\n" + HOST
        for framing in (b"Content-Length: 65537", b"Transfer-Encoding: chunked"):
            wire = self.front.talk(head + framing + b"\r\n\r\n", SENTINEL)
            [(status, headers, _)] = answers(wire.value())
            self.assertEqual((status, headers[b"connection"]), (401, b"close"))
            self.assertTrue(wire.half_closed)

    def test_draining(self) -> None:
        """Answers being made are finished, nothing new is begun."""
        idle = self.front.talk(SENTINEL)
        begun = self.front.talk(b"GET /stock")
        open_ = self.front.talk(b"GET /held HTTP/1.1\r\n" + HOST + b"\r\n" + SENTINEL)
        drained = self.front.factory.drain()
        self.assertIsNone(self.front.factory.buildProtocol(None))
        self.assertTrue(idle.disconnecting)
        self.assertTrue(begun.is_closed)
        idle.lose()
        begun.lose()
        self.assertFalse(open_.is_closed)
        self.assertNoResult(drained)
        self.front.held.requests[0].respond(200, [], b"")
        self.assertEqual(answers(open_.value())[0][1][b"connection"], b"close")
        self.assertEqual(statuses(open_), [200])
        open_.lose()
        self.assertIsNone(self.successResultOf(drained))
        self.assertEqual(self.front.clock.getDelayedCalls(), [])

    def test_draining_does_not_wait_for_an_unwanted_body(self) -> None:
        self.front.root.putChild(b"no", Early(lambda request: request.respond(401, [], b"")))
        wire = self.front.talk(post(b"x" * 10, b"/no")[:-1])
        self.front.factory.drain()
        self.assertTrue(wire.is_closed)

    def test_draining_when_there_is_nothing(self) -> None:
        self.successResultOf(self.front.factory.drain())


class BodyTests(SynchronousTestCase):
    """Request bodies."""

    def setUp(self) -> None:
        self.front = Front()
        self.bodies: list[bytes] = []

    def ask(self, request: Request, limit: int = 1 << 20) -> None:
        request.receive_body(limit, self.bodies.append)

    def test_continue_is_said_when_the_body_is_asked_for(self) -> None:
        """RFC 9110 section 10.1.1."""
        head = b"POST /held HTTP/1.1\r\n" + HOST + b"Expect: 100-continue\r\nContent-Length: 3\r\n"
        wire = self.front.talk(head + b"\r\n")
        self.assertEqual(wire.value(), b"")
        self.ask(self.front.held.requests[0])
        self.assertEqual(wire.value(), b"HTTP/1.1 100 Continue\r\n\r\n")
        wire.protocol.dataReceived(b"abc")
        self.assertEqual(self.bodies, [b"abc"])

    def test_continue_is_not_said_when_it_is_not(self) -> None:
        self.front.root.putChild(b"no", Early(lambda request: request.respond(401, [], b"")))
        head = b"POST /no HTTP/1.1\r\n" + HOST + b"Expect: 100-continue\r\nContent-Length: 3\r\n"
        wire = self.front.talk(head + b"\r\n")
        [(status, headers, _)] = answers(wire.value())
        self.assertEqual((status, headers[b"connection"]), (401, b"close"))

    def test_large_body(self) -> None:
        body = bytes(range(256)) * 2000
        request = post(body, b"/held")
        wire = self.front.talk(request[:1000])
        self.ask(self.front.held.requests[0])
        for at in range(1000, len(request), 65536):
            wire.protocol.dataReceived(request[at : at + 65536])
        self.assertEqual(self.bodies, [body])

    def test_body_nobody_asks_for_yet_is_not_read(self) -> None:
        wire = self.front.talk(b"POST /held HTTP/1.1\r\n" + HOST + b"Content-Length: 99999\r\n\r\n")
        wire.protocol.dataReceived(b"x" * 70000)
        self.assertEqual(wire.producerState, "paused")
        self.ask(self.front.held.requests[0])
        self.assertEqual(wire.producerState, "producing")
        wire.protocol.dataReceived(b"x" * 29999)
        self.assertEqual([len(body) for body in self.bodies], [99999])

    def test_pausing(self) -> None:
        wire = self.front.talk(b"POST /held HTTP/1.1\r\n" + HOST + b"Content-Length: 6\r\n\r\n")
        self.ask(self.front.held.requests[0])
        wire.protocol.pause_body()
        self.assertEqual(wire.producerState, "paused")
        self.front.clock.pump([1] * 100)
        wire.protocol.resume_body()
        wire.protocol.dataReceived(b"abcdef")
        self.assertEqual(self.bodies, [b"abcdef"])

    def test_client_leaving_before_the_body_is_whole(self) -> None:
        wire = self.front.talk(b"POST /held HTTP/1.1\r\n" + HOST + b"Content-Length: 6\r\n\r\nabc")
        self.ask(self.front.held.requests[0])
        wire.lose()
        self.assertEqual(self.bodies, [])
        self.assertEqual(self.front.counters.clients_lost, 1)

    def test_a_refused_body_after_the_answer_began_cuts_it(self) -> None:
        wire = self.front.talk(
            b"POST /held HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"
        )
        request = self.front.held.requests[0]
        self.ask(request)
        request.start(200, [])
        wire.protocol.dataReceived(b"nonsense\r\n")
        self.assertTrue(wire.aborted)

    def test_a_too_large_body_after_the_answer_began_cuts_it(self) -> None:
        wire = self.front.talk(
            b"POST /held HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"
        )
        request = self.front.held.requests[0]
        self.ask(request, 3)
        request.start(200, [])
        wire.protocol.dataReceived(b"4\r\nabcd\r\n")
        self.assertTrue(wire.aborted)
        self.assertEqual(self.front.counters.refused["body-too-large"], 1)

    def test_a_bad_rest_of_an_unwanted_body_just_closes(self) -> None:
        self.front.root.putChild(b"no", Early(lambda request: request.respond(401, [], b"")))
        wire = self.front.talk(post(b"x" * 10, b"/no")[:-1])
        self.front.clock.pump([1] * 62)
        self.assertEqual(statuses(wire), [401])
        self.assertTrue(wire.is_closed)
        self.assertEqual(self.front.counters.refused["body-timeout"], 1)


class DeadlineTests(SynchronousTestCase):
    """How long a connection may stay as it is."""

    def setUp(self) -> None:
        self.front = Front()

    def wait(self, seconds: int) -> None:
        self.front.clock.pump([1] * seconds)

    def test_head_deadline_is_absolute(self) -> None:
        """A byte every now and then does not prolong it (slowloris)."""
        wire = self.front.talk(b"GET /stock HTTP/1.1\r\n")
        for _ in range(10):
            self.assertFalse(wire.is_closed)
            wire.protocol.dataReceived(b"X: a\r\n")
            self.wait(1)
        self.assertEqual(statuses(wire), [408])
        self.assertTrue(wire.is_closed)
        self.assertEqual(self.front.counters.refused["head-timeout"], 1)

    def test_silent_connection(self) -> None:
        wire = self.front.connect()
        self.wait(9)
        self.assertFalse(wire.is_closed)
        self.wait(2)
        self.assertTrue(wire.is_closed)
        self.assertEqual(wire.value(), b"")
        self.assertEqual(self.front.counters.idle_closed, 1)

    def test_idle_between_requests(self) -> None:
        wire = self.front.talk(SENTINEL)
        self.wait(74)
        wire.protocol.dataReceived(SENTINEL)
        self.wait(74)
        self.assertFalse(wire.is_closed)
        self.wait(2)
        self.assertTrue(wire.is_closed)
        self.assertEqual(statuses(wire), [200, 200])

    def test_second_head_has_its_own_deadline(self) -> None:
        wire = self.front.talk(SENTINEL)
        self.wait(50)
        wire.protocol.dataReceived(b"G")
        self.wait(9)
        self.assertFalse(wire.is_closed)
        self.wait(2)
        self.assertEqual(statuses(wire), [200, 408])

    def test_body_without_progress(self) -> None:
        wire = self.front.talk(post(b"x" * 100)[:-50])
        self.wait(59)
        wire.protocol.dataReceived(b"x")
        self.wait(59)
        self.assertFalse(wire.is_closed)
        self.wait(2)
        self.assertEqual(statuses(wire), [408])
        self.assertEqual(self.front.counters.refused["body-timeout"], 1)

    def test_body_deadline_is_absolute_in_the_end(self) -> None:
        wire = self.front.talk(post(b"x" * 1000)[:-900])
        for _ in range(60):
            self.wait(10)
            if not wire.is_closed:
                wire.protocol.dataReceived(b"x")
        self.wait(1)
        self.assertEqual(statuses(wire), [408])

    def test_answers_take_as_long_as_they_take(self) -> None:
        wire = self.front.talk(b"GET /held HTTP/1.1\r\n" + HOST + b"\r\n")
        self.wait(1000)
        request = self.front.held.requests[0]
        request.start(200, [])
        request.write(b"a")
        self.wait(1000)
        self.assertFalse(wire.is_closed)
        request.finish()
        self.wait(77)
        self.assertTrue(wire.is_closed)

    def test_answer_to_a_whole_body_has_no_deadline(self) -> None:
        wire = self.front.talk(post(b"abcdef", b"/held")[:-3])
        bodies: list[bytes] = []
        self.front.held.requests[0].receive_body(10, bodies.append)
        wire.protocol.dataReceived(b"def")
        self.wait(1000)
        self.assertEqual(bodies, [b"abcdef"])
        self.assertFalse(wire.is_closed)

    def test_client_that_stops_reading(self) -> None:
        wire = self.front.talk(b"GET /held HTTP/1.1\r\n" + HOST + b"\r\n")
        request = self.front.held.requests[0]
        wire.full = True
        request.start(200, [])
        request.write(b"x")
        self.wait(59)
        wire.taken()
        wire.full = True
        request.write(b"x")
        self.wait(59)
        self.assertFalse(wire.aborted)
        self.wait(2)
        self.assertTrue(wire.aborted)
        self.assertEqual(self.front.counters.writes_stalled, 1)
        self.assertEqual(self.front.counters.clients_lost, 1)

    def test_nothing_is_timed_when_nobody_is_connected(self) -> None:
        wire = self.front.talk(SENTINEL)
        self.assertEqual(len(self.front.clock.getDelayedCalls()), 1)
        wire.lose()
        self.assertEqual(self.front.clock.getDelayedCalls(), [])


class ConnectionLimitTests(SynchronousTestCase):
    """Connections per listener."""

    def test_too_many(self) -> None:
        front = Front(Limits(connections=2))
        first, second, third = (front.connect() for _ in range(3))
        [(status, headers, _)] = answers(third.value())
        self.assertEqual((status, headers[b"retry-after"]), (503, b"1"))
        self.assertTrue(third.is_closed)
        third.lose()
        first.lose()
        self.assertEqual(statuses(front.talk(SENTINEL)), [200])
        second.protocol.dataReceived(SENTINEL)
        self.assertEqual(statuses(second), [200])

    def test_far_too_many(self) -> None:
        front = Front(Limits(connections=1))
        for _ in range(65):
            front.connect()
        self.assertIsNone(front.factory.buildProtocol(None))
        self.assertEqual(front.counters.connections_refused, 1)


class TLSTests(SynchronousTestCase):
    """The same over TLS, in memory."""

    def test_conversation(self) -> None:
        front = Front()
        got: list[bytes] = []

        class Client(Protocol):
            def dataReceived(self, data: bytes) -> None:
                got.append(data)

        server_context, client_context = tls_contexts()
        secured = TLSMemoryBIOFactory(server_context, False, front.factory, front.clock)
        connecting = TLSMemoryBIOFactory(
            client_context, True, Factory.forProtocol(Client), front.clock
        )
        client = connecting.buildProtocol(None)
        server = secured.buildProtocol(None)
        pump = iosim.connect(
            server, iosim.FakeTransport(server, True), client, iosim.FakeTransport(client, False)
        )
        pump.flush()
        big = bytes(300000)
        front.root.putChild(b"big", Early(lambda request: request.respond(200, [], big)))
        for raw in (b"GET /stock HTTP/1.1", b"GET /big HTTP/1.1", b"GET /#"):
            client.wrappedProtocol.transport.write(raw + b"\r\n" + HOST + b"\r\n")
            for _ in range(20):
                front.clock.advance(0)
                pump.flush()
        self.assertEqual(
            [(status, len(body)) for status, _, body in answers(b"".join(got))[:2]],
            [(200, 5), (200, len(big))],
        )
        self.assertEqual(statuses_of(b"".join(got)), [200, 200, 400])
        self.assertEqual(front.factory.connections, set())


class UpgradeTests(SynchronousTestCase):
    """Handing the connection to another protocol."""

    def test_upgrade(self) -> None:
        said: list[Any] = []

        class Successor(Protocol):
            def connectionMade(self) -> None:
                self.transport.write(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")  # type: ignore[union-attr]

            def dataReceived(self, data: bytes) -> None:
                said.append(data)

            def connectionLost(self, reason: Any = None) -> None:
                said.append("lost")

        front = Front()
        front.root.putChild(b"up", Early(lambda request: request.upgrade(Successor())))
        wire = front.talk(b"GET /up HTTP/1.1\r\n" + HOST + b"\r\nahead", b"more")
        self.assertIsNone(wire.producer)
        front.clock.pump([1] * 200)
        wire.lose()
        self.assertEqual(said, [b"ahead", b"more", "lost"])
        self.assertEqual(wire.value(), b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
        self.assertEqual(front.factory.connections, set())
        self.assertEqual(front.counters.clients_lost, 0)


CONVERSATION = (
    SENTINEL
    + post(b"one")
    + b"POST /echo HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"
    b"2\r\ntw\r\n1;x\r\no\r\n0\r\nT: t\r\n\r\n"
    + b"\r\n"
    + b"HEAD /none HTTP/1.1\r\n" + HOST + b"X-A: 1\r\nx-a: 2\r\n\r\n"
    + post(b"three", extra=b"Expect: 100-continue\r\n")
    + b"POST /stock HTTP/1.1\r\n" + HOST + b"Content-Length: 4\r\n\r\nfour"
    + b"GET /stock HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n"
)  # fmt: skip


class SegmentTests(SynchronousTestCase):
    """How the bytes are cut into segments makes no difference, and none of them an error."""

    @settings(deadline=None, max_examples=40)
    @given(st.lists(st.integers(0, len(CONVERSATION)), max_size=30))
    def test_any_split_gives_the_same_answers(self, cuts: list[int]) -> None:
        at = [0, *sorted(cuts), len(CONVERSATION)]
        segments = [CONVERSATION[a:b] for a, b in pairwise(at)]
        self.assertEqual(Front().talk(*segments).value(), Front().talk(CONVERSATION).value())

    @settings(deadline=None, max_examples=60)
    @given(st.data())
    def test_mutations_give_the_same_answers_too(self, data: st.DataObject) -> None:
        raw = bytearray(CONVERSATION)
        for _ in range(data.draw(st.integers(1, 3))):
            at = data.draw(st.integers(0, len(raw) - 1))
            raw[at : at + data.draw(st.integers(0, 3))] = data.draw(
                st.binary(max_size=3) | st.sampled_from([b"\r\n", b"\n", b"\r", b"\0", b" ", b":"])
            )
        whole = Front().talk(bytes(raw))
        cut = data.draw(st.integers(0, len(raw)))
        split = Front().talk(bytes(raw[:cut]), bytes(raw[cut:]))
        self.assertEqual(split.value(), whole.value())
        self.assertEqual(split.is_closed, whole.is_closed)
        single = Front().talk(*(bytes([byte]) for byte in raw))
        self.assertEqual(single.value(), whole.value())

    @settings(deadline=None, max_examples=100)
    @given(st.lists(st.binary(max_size=40), max_size=5))
    def test_random_bytes(self, segments: list[bytes]) -> None:
        front = Front()
        wire = front.talk(*segments)
        front.clock.pump([1] * 100)
        self.assertTrue(wire.is_closed)
        self.assertEqual(front.counters.failures, 0)
