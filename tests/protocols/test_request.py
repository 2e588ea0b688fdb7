"""Tests of mcptwist.protocols.request: what resources, ours and stock ones, see of a request."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import klein
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.twisted import MetricsResource, _exposition
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.logger import globalLogPublisher
from twisted.python.failure import Failure
from twisted.web.error import UnsupportedMethod
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET
from twisted.web.static import Data, File
from twisted.web.util import DeferredResource, Redirect, redirectTo

from tests.protocols.front import HOST, Early, answers
from tests.protocols.requestcase import RequestCase


class AnsweredTests(RequestCase):
    """Our own way of answering."""

    def test_lost_is_told_once(self) -> None:
        wire, request = self.held()
        lost: list[Failure] = []
        request.on_lost = lost.append
        finished = request.notifyFinish()
        request.start(200, [])
        wire.lose()
        self.assertEqual(len(lost), 1)
        lost[0].trap(ConnectionDone)
        self.failureResultOf(finished, ConnectionDone)
        self.assertFalse(request.is_open)
        request.write(b"nobody")
        request.finish()
        request.respond(200, [], b"nobody")

    def test_lost_is_not_told_after_the_end(self) -> None:
        for end in (
            lambda request: request.respond(200, [], b""),
            lambda request: (request.write(b"a"), request.finish()),
        ):
            wire, request = self.held()
            lost: list[Failure] = []
            request.on_lost = lost.append
            finished = request.notifyFinish()
            end(request)
            self.assertIsNone(self.successResultOf(finished))
            wire.lose()
            self.assertEqual(lost, [])
        self.assertEqual(self.front.counters.clients_lost, 0)

    def test_one_who_cannot_bear_the_loss_does_not_keep_others_from_it(self) -> None:
        wire, request = self.held()
        request.on_lost = lambda reason: 1 / 0
        finished = request.notifyFinish()
        wire.lose()
        self.failureResultOf(finished, ConnectionDone)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_answering_twice_is_a_mistake(self) -> None:
        _, request = self.held()
        request.start(200, [])
        self.assertRaises(RuntimeError, request.start, 200, [])
        self.assertRaises(RuntimeError, request.respond, 200, [], b"")
        request.finish()
        self.assertRaises(RuntimeError, request.finish)

    def test_headers_every_answer_carries(self) -> None:
        for end in (
            lambda request: request.respond(200, [], b""),
            lambda request: request.write(b"") or request.finish(),
            lambda request: request.processingFailed(Failure(ValueError())),
        ):
            wire, request = self.held()
            request.answer_headers = [(b"Vary", b"Origin")]
            end(request)
            self.assertEqual(answers(wire.value())[0][1][b"vary"], b"Origin")
        self.flushLoggedErrors(ValueError)

    def test_body_arrives_at_once_when_it_is_there(self) -> None:
        bodies: list[bytes] = []
        for framing in (b"Content-Length: 3\r\n\r\nabc", b"\r\n"):
            _, request = self.held(b"POST /held HTTP/1.1\r\n" + HOST + framing)
            request.receive_body(3, bodies.append)
        self.assertEqual(bodies, [b"abc", b""])

    def test_failing_with_the_body_is_answered_with_500(self) -> None:
        def fail(body: bytes) -> None:
            raise ValueError("a secret")

        self.front.root.putChild(b"it", Early(lambda request: request.receive_body(9, fail)))
        head = b"POST /it HTTP/1.1\r\n" + HOST
        for segments in (
            (head + b"\r\n",),
            (head + b"Content-Length: 3\r\n\r\nabc",),
            (head + b"Content-Length: 3\r\n\r\n", b"a", b"bc"),
        ):
            wire = self.front.talk(*segments)
            self.assertEqual(answers(wire.value())[0][0], 500)
            self.assertNotIn(b"secret", wire.value())
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 3)


class StockTests(RequestCase):
    """Resources written for twisted.web work unchanged."""

    def test_failure_leaks_nothing(self) -> None:
        class Failing(Resource):
            isLeaf = True

            def render_GET(self, request: Any) -> bytes:
                raise ValueError("a secret")

        events: list[Any] = []
        observer: Any = events.append
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        status, _, body = self.ask(Failing(), b"GET /it?token=secret")
        self.assertEqual(status, 500)
        self.assertEqual(json.loads(body)["error"]["code"], "internal-error")
        self.assertNotIn(b"secret", body)
        self.assertEqual(self.front.counters.failures, 1)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.assertNotIn("token", str([event.get("path") for event in events]))

    def test_failure_after_the_answer_began_cuts_it(self) -> None:
        class Failing(Resource):
            isLeaf = True

            def render_GET(self, request: Any) -> bytes:
                request.write(b"so far so good")
                raise ValueError

        self.front.root.putChild(b"it", Failing())
        wire = self.front.talk(b"GET /it HTTP/1.1\r\n" + HOST + b"\r\n")
        self.assertTrue(wire.aborted)
        self.flushLoggedErrors(ValueError)

    def test_rendering_something_else_is_a_failure(self) -> None:
        class Text(Resource):
            isLeaf = True

            def render_GET(self, request: Any) -> str:
                return "text"

        self.assertEqual(self.ask(Text(), b"GET /it")[0], 500)
        self.flushLoggedErrors(TypeError)

    def test_header_with_line_break_is_a_failure(self) -> None:
        class Splitting(Resource):
            isLeaf = True

            def render_GET(self, request: Any) -> int:
                request.respond(200, [(b"X", b"a\r\nSet-Cookie: b")], b"")
                return NOT_DONE_YET

        status, headers, _ = self.ask(Splitting(), b"GET /it")
        self.assertEqual((status, headers.get(b"set-cookie")), (500, None))
        self.flushLoggedErrors(ValueError)

    def test_later(self) -> None:
        class Later(Resource):
            isLeaf = True

            def render_GET(self, request: Any) -> int:
                request.setResponseCode(201)
                request.setHeader(b"X-A", b"1")
                request.setHeader(b"Content-Length", b"5")
                request.setHeader(b"Transfer-Encoding", b"gzip")
                request.write(b"later")
                request.finish()
                return NOT_DONE_YET

        status, headers, body = self.ask(Later(), b"GET /it")
        self.assertEqual((status, headers[b"x-a"], body), (201, b"1", b"later"))
        self.assertNotIn(b"transfer-encoding", headers)
        self.assertEqual(headers[b"content-type"], b"text/html")

    def test_deferred(self) -> None:
        deferred: Deferred[Resource] = Deferred()
        self.front.root.putChild(b"it", DeferredResource(deferred))
        wire = self.front.talk(b"GET /it HTTP/1.1\r\n" + HOST + b"\r\n")
        self.assertEqual(wire.value(), b"")
        deferred.callback(Data(b"data", "text/plain"))
        self.assertEqual(answers(wire.value())[0][2], b"data")

    def test_not_found_and_redirect(self) -> None:
        class To(Resource):
            isLeaf = True

            def render_GET(self, request: Any) -> bytes:
                return redirectTo(b"/elsewhere", request)

        self.assertEqual(self.ask(To(), b"GET /nowhere")[0], 404)
        for resource in (To(), Redirect(b"/elsewhere")):
            status, headers, _ = self.ask(resource, b"GET /it")
            self.assertEqual((status, headers[b"location"]), (302, b"/elsewhere"))

    def test_methods(self) -> None:
        status, headers, _ = self.ask(Data(b"data", "text/plain"), b"POST /it")
        self.assertEqual((status, headers[b"allow"]), (405, b"GET, HEAD"))

    def test_head(self) -> None:
        class Getting(Resource):
            isLeaf = True

            def render(self, request: Any) -> bytes:
                if request.method != b"GET":
                    raise UnsupportedMethod([b"GET"])
                return b"data"

        self.front.root.putChild(b"it", Getting())
        for path in (b"/it", b"/stock"):
            wire = self.front.talk(b"HEAD " + path + b" HTTP/1.1\r\n" + HOST + b"\r\n")
            self.assertRegex(wire.value(), rb"^HTTP/1.1 200 (?s:.*)Content-Length: [45]\r\n\r\n$")

    def test_conditional(self) -> None:
        class Tagged(Resource):
            isLeaf = True

            def render_GET(self, request: Any) -> bytes:
                request.setLastModified(0)
                return b"" if request.setETag(b'"1"') else b"data"

        _, headers, body = self.ask(Tagged(), b"GET /it")
        self.assertEqual((headers[b"etag"], body), (b'"1"', b"data"))
        status, headers, body = self.ask(Tagged(), b"GET /it", b'If-None-Match: "1"\r\n')
        self.assertEqual((status, headers[b"etag"], body), (304, b'"1"', b""))

    def test_cookie(self) -> None:
        class Baker(Resource):
            isLeaf = True

            def render_GET(self, request: Any) -> bytes:
                request.addCookie(b"a", b"1", httpOnly=True)
                return b""

        self.assertEqual(self.ask(Baker(), b"GET /it")[1][b"set-cookie"], b"a=1; HttpOnly")

    def test_static_files(self) -> None:
        content = bytes(range(256)) * 1000
        directory = Path(self.mktemp())
        directory.mkdir()
        (directory / "a.bin").write_bytes(content)
        files = File(str(directory))
        status, headers, body = self.ask(files, b"GET /it/a.bin")
        self.assertEqual((status, body == content), (200, True))
        self.assertEqual(headers[b"content-length"], b"256000")
        modified = headers[b"last-modified"]
        status, headers, body = self.ask(files, b"GET /it/a.bin", b"Range: bytes=10-19\r\n")
        self.assertEqual((status, body), (206, content[10:20]))
        self.assertEqual(headers[b"content-range"], b"bytes 10-19/256000")
        status, _, body = self.ask(files, b"GET /it/a.bin", b"Range: bytes=0-1,5-6\r\n")
        self.assertEqual((status, body.count(b"Content-range")), (206, 2))
        self.assertEqual(self.ask(files, b"GET /it/a.bin", b"Range: bytes=999999-\r\n")[0], 416)
        since = b"If-Modified-Since: " + modified + b"\r\n"
        self.assertEqual(self.ask(files, b"GET /it/a.bin", since)[0], 304)
        self.assertEqual(self.ask(files, b"GET /it/%2e%2e/%2e%2e/etc/passwd")[0], 404)
        wire = self.front.talk(b"HEAD /it/a.bin HTTP/1.1\r\n" + HOST + b"\r\n")
        self.assertIn(b"Content-Length: 256000", wire.value())
        self.assertTrue(wire.value().endswith(b"\r\n\r\n"))
        self.assertFalse(wire.is_closed)

    def test_static_files_wait_for_the_client(self) -> None:
        path = Path(self.mktemp())
        path.write_bytes(bytes(1 << 20))
        self.front.root.putChild(b"it", File(str(path)))
        wire = self.front.connect()
        wire.full = True
        wire.protocol.dataReceived(b"GET /it HTTP/1.1\r\n" + HOST + b"\r\n")
        for _ in range(50):
            self.front.clock.advance(0)
        self.assertLess(len(wire.value()), 300000)
        wire.taken()
        for _ in range(50):
            self.front.clock.advance(0)
        self.assertEqual(len(answers(wire.value())[0][2]), 1 << 20)
        self.assertFalse(wire.is_closed)

    def test_klein(self) -> None:
        app = klein.Klein()
        waiting: Deferred[bytes] = Deferred()

        @app.route("/hello/<name>")
        def hello(request: Any, name: str) -> str:
            return f"hello {name}"

        @app.route("/later", methods=["POST"])
        async def later(request: Any) -> bytes:
            body: bytes = request.content.read()
            return body + await waiting

        @app.route("/old")
        def old(request: Any) -> Any:
            return request.redirect(b"/new")

        @app.route("/files/", branch=True)
        def files(request: Any) -> Any:
            data = Data(b"data", "text/plain")
            data.isLeaf = True
            return data

        @app.route("/broken")
        def broken(request: Any) -> bytes:
            raise ValueError("a secret")

        resource = app.resource()
        self.assertEqual(self.ask(resource, b"GET /it/hello/you")[2], b"hello you")
        self.assertEqual(self.ask(resource, b"GET /it/files/")[2], b"data")
        self.assertEqual(self.ask(resource, b"GET /it/none")[0], 404)
        status, headers, _ = self.ask(resource, b"PUT /it/later")
        self.assertEqual(status, 405)
        wire = self.front.talk(
            b"POST /it/later HTTP/1.1\r\n" + HOST + b"Content-Length: 4\r\n\r\nbody"
        )
        self.assertEqual(wire.value(), b"")
        waiting.callback(b" and more")
        self.assertEqual(answers(wire.value())[0][2], b"body and more")
        status, headers, _ = self.ask(resource, b"GET /it/old")
        self.assertEqual((status, headers[b"location"]), (302, b"/new"))
        status, _, body = self.ask(resource, b"GET /it/broken")
        self.assertEqual((status, b"secret" in body), (500, False))
        self.flushLoggedErrors(ValueError)

    def test_prometheus(self) -> None:
        class Inline:
            """A reactor and its thread pool in which everything happens at once."""

            def getThreadPool(self) -> Inline:
                return self

            def callInThread(self, call: Any, *arguments: Any) -> None:
                call(*arguments)

            callFromThread = callInThread

        self.patch(_exposition, "reactor", Inline())
        registry = CollectorRegistry()
        Counter("calls", "Calls.", registry=registry).inc(3)
        status, headers, body = self.ask(MetricsResource(registry), b"GET /it")
        self.assertEqual(status, 200)
        self.assertIn(b"text/plain", headers[b"content-type"])
        self.assertIn(b"calls_total 3.0", body)

    def test_stock_body_is_bounded(self) -> None:
        wire = self.front.talk(
            b"POST /stock HTTP/1.1\r\n" + HOST + b"Content-Length: 99999999\r\n\r\n"
        )
        self.assertEqual(answers(wire.value())[0][0], 413)

    def test_early_resources_are_asked_before_the_body(self) -> None:
        asked = Early(lambda request: request.respond(401, [], b""))
        self.front.root.putChild(b"early", asked)
        wire = self.front.talk(
            b"POST /early HTTP/1.1\r\n" + HOST + b"Content-Length: 99999999\r\n\r\n"
        )
        self.assertEqual(answers(wire.value())[0][0], 401)
