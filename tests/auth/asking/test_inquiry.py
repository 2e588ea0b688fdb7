"""Asking for documents: whole, bounded in size and time, each over the connections it is for."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import ResponseDone, ResponseFailed
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent
from zope.interface import implementer

from mcptwist.auth.asking.discovery import LARGEST
from mcptwist.auth.asking.inquiry import Document, Inquiry, Ways, place
from mcptwist.errors import McpTwistError, ServerUnreachable, SignInFailed

URL = "https://mcp.example.com/mcp"
WHO = "https://login.example.com/token"


class Answer:
    """A response, whose body comes as the test has it."""

    def __init__(self, code: int, **headers: list[str]) -> None:
        self.code = code
        self.headers = Headers({name.replace("_", "-"): values for name, values in headers.items()})
        self.length = 0
        self.body: Any = None

    def deliverBody(self, body: Any) -> None:
        self.body = body
        body.makeConnection(self)

    # As a transport.

    aborted = False

    def abortConnection(self) -> None:
        self.aborted = True

    loseConnection = stopProducing = abortConnection

    def deliver(self, data: bytes = b"") -> None:
        self.body.dataReceived(data)
        self.body.connectionLost(Failure(ResponseDone()))


@implementer(IAgent)
class Agent:
    """Writes down what it is asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[bytes, bytes, Headers, Any]] = []
        self.answers: list[Deferred[Any]] = []

    def request(
        self, method: bytes, uri: bytes, headers: Any = None, bodyProducer: Any = None
    ) -> Deferred[Any]:
        self.asked.append((method, uri, headers, bodyProducer))
        answer: Deferred[Any] = Deferred()
        self.answers.append(answer)
        return answer

    def answer(self, code: int = 200, body: bytes = b"", **headers: list[str]) -> Answer:
        made = Answer(code, **headers)
        self.answers.pop(0).callback(made)
        made.deliver(body)
        return made


class InquiryTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock, self.own, self.elsewhere = Clock(), Agent(), Agent()
        ways = Ways(self.own, self.elsewhere, self.clock, lambda: 0.0, lambda size: b"\0" * size)
        self.inquiry = Inquiry(URL, ways)
        self.addCleanup(lambda: self.assertEqual(self.clock.getDelayedCalls(), []))

    def ask(self, url: str = URL, *more: Any) -> Deferred[Document]:
        return Deferred.fromCoroutine(self.inquiry.ask("GET", url, *more))

    def test_whom(self) -> None:
        """The server itself by its own connections, and nobody else: scheme, name and port."""
        for url, agent in (
            (URL, self.own), ("https://mcp.example.com/x", self.own),
            ("https://MCP.example.com:443/x", self.own), (WHO, self.elsewhere),
            ("http://mcp.example.com/mcp", self.elsewhere),
            ("https://mcp.example.com:8443/mcp", self.elsewhere),
            ("https://mcp.example.com.evil.example/mcp", self.elsewhere),
            ("https://mcp.example.com@evil.example/mcp", self.elsewhere),
        ):  # fmt: skip
            asking = self.ask(url)
            self.assertEqual(len(agent.answers), 1, url)
            agent.answer()
            self.successResultOf(asking)

    def test_document(self) -> None:
        asking = self.ask(WHO)
        challenges = ["Bearer", "DPoP"]
        self.elsewhere.answer(401, b"{}", dpop_nonce=["n"], www_authenticate=challenges)
        found = self.successResultOf(asking)
        self.assertEqual((found.status, found.body, found.nonce), (401, b"{}", "n"))
        self.assertEqual(found.challenges, (b"Bearer", b"DPoP"))

    def test_nothing_beside(self) -> None:
        asking = self.ask(WHO, [("x-a", "b")])
        (_, _, headers, body) = self.elsewhere.asked[0]
        self.assertIsNone(body)
        self.assertEqual(headers.getRawHeaders("accept"), ["application/json"])
        self.assertEqual(headers.getRawHeaders("x-a"), ["b"])
        self.assertTrue(headers.getRawHeaders("user-agent")[0].startswith("mcptwist/"))
        self.elsewhere.answer()
        found = self.successResultOf(asking)
        self.assertEqual((found.nonce, found.challenges), ("", ()))

    def test_form(self) -> None:
        """What is empty is left out; a secret is in the body and nowhere else."""
        form = {"a": "x y", "b": "", "c": "\u00e9&"}
        asking = Deferred.fromCoroutine(self.inquiry.send_form(WHO, form, [("x", "y")]))
        ((method, url, headers, body),) = self.elsewhere.asked
        self.assertEqual((method, url), (b"POST", WHO.encode()))
        kind = headers.getRawHeaders("content-type")
        self.assertEqual(kind, ["application/x-www-form-urlencoded"])
        self.assertEqual((headers.getRawHeaders("x"), body.length), (["y"], 17))
        self.elsewhere.answer()
        self.successResultOf(asking)

    def test_first(self) -> None:
        """Of several places the first that has it; a redirect is none, and not followed."""
        finding = Deferred.fromCoroutine(self.inquiry.first([f"{WHO}/1", f"{WHO}/2", f"{WHO}/3"]))
        self.elsewhere.answer(302, b"no", location=["https://evil.example/"])
        self.elsewhere.answer(200, b"yes")
        self.assertEqual(self.successResultOf(finding), b"yes")
        self.assertEqual(len(self.elsewhere.asked), 2)
        nothing = Deferred.fromCoroutine(self.inquiry.first([WHO]))
        self.elsewhere.answer(404, b"no")
        self.assertIsNone(self.successResultOf(nothing))

    def test_late(self) -> None:
        """Whoever does not answer in time is not waited for, at whichever point."""
        asking = self.ask(WHO)
        self.clock.advance(15)
        self.assertIn("did not answer", str(self.failureResultOf(asking, SignInFailed).value))
        self.elsewhere.answers.clear()
        asking = self.ask(WHO)
        answer = Answer(200)
        self.elsewhere.answers.pop(0).callback(answer)
        answer.body.dataReceived(b"half")
        self.clock.advance(14.9)
        self.assertNoResult(asking)
        self.clock.advance(0.1)
        self.failureResultOf(asking, SignInFailed)
        self.assertTrue(answer.aborted)

    def test_long(self) -> None:
        """As long as a document may be, and no byte more."""
        asking = self.ask(WHO)
        self.elsewhere.answer(200, b"x" * LARGEST)
        self.assertEqual(len(self.successResultOf(asking).body), LARGEST)
        asking = self.ask(WHO)
        answer = self.elsewhere.answer(200, b"x" * (LARGEST + 1))
        self.failureResultOf(asking, McpTwistError)
        self.assertTrue(answer.aborted)

    def test_nobody_there(self) -> None:
        """It is said who, in the way that everything else says it."""
        asking = self.ask(WHO)
        self.elsewhere.answers.pop(0).errback(ConnectionRefusedError())
        problem = self.failureResultOf(asking, ServerUnreachable).value
        self.assertIn("login.example.com", str(problem))

    def test_broken_off(self) -> None:
        asking = self.ask(WHO)
        answer = Answer(200)
        self.elsewhere.answers.pop(0).callback(answer)
        answer.body.connectionLost(Failure(ResponseFailed([])))
        self.failureResultOf(asking, McpTwistError)

    def test_own_errors(self) -> None:
        """What our own connections object to is told as it is."""
        asking = self.ask()
        self.own.answers.pop(0).errback(SignInFailed("another key"))
        self.assertEqual(str(self.failureResultOf(asking, SignInFailed).value), "another key")

    def test_cancelled(self) -> None:
        """The request is cancelled with it."""
        asking = self.ask(WHO)
        (answer,) = self.elsewhere.answers
        asking.cancel()
        self.failureResultOf(asking, CancelledError)
        self.assertTrue(answer.called)

    def test_place(self) -> None:
        self.assertEqual(place("https://a.example/x?y"), "https://a.example:443")
