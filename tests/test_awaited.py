"""``mcptwist.awaited``: exchanges that we begin on our own behalf."""

from __future__ import annotations

from twisted.internet.defer import CancelledError
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from mcptwist.awaited import Awaited, Refused, ask
from mcptwist.errors import Cancelled
from mcptwist.exchange import PROGRESS
from mcptwist.interfaces import IReply
from mcptwist.messages import Notification, decode
from tests.scripted import ScriptedServer, opened
from tests.test_exchange import exchange, progress


class AwaitedTests(SynchronousTestCase):
    """Asking on the daemon's own behalf."""

    def test_reply(self) -> None:
        """It is a reply."""
        verifyObject(IReply, Awaited())

    def test_result(self) -> None:
        """The result, unopened."""
        answer = self.successResultOf(ask(ScriptedServer({"a": {"x": 1}}), "a"))
        self.assertEqual(opened(answer), {"x": 1})

    def test_refused(self) -> None:
        """An error, with code, sentence and the error as it came."""
        refusal = self.failureResultOf(ask(ScriptedServer(), "a"), Refused).value
        self.assertEqual((refusal.body.code, "no a here" in str(refusal)), (-32601, True))

    def test_error_that_is_none(self) -> None:
        """An error answer without a code is one all the same."""
        server = ScriptedServer({"a": lambda e: e.answer(decode(
            b'{"jsonrpc":"2.0","id":1,"error":"broken"}'))})  # fmt: skip
        self.assertEqual(self.failureResultOf(ask(server, "a"), Refused).value.body.code, -32603)

    def test_cancel(self) -> None:
        """Cancelling the Deferred cancels the exchange; an answer after that is dropped."""
        server = ScriptedServer({"a": None})
        waiting = ask(server, "a")
        told: list[str] = []
        server.asked[0].in_charge(told.append)
        waiting.cancel()
        self.failureResultOf(waiting, Cancelled, CancelledError)
        server.asked[0].succeed({})
        self.assertEqual(len(told), 1)

    def test_heard(self) -> None:
        """What is said before the answer is heard; questions are refused."""
        server = ScriptedServer({"a": None})
        said: list[Notification] = []
        awaited = Awaited(said.append)
        awaited.begin(server, "a", b"")
        server.asked[0].notify(progress(1))
        question, heard = exchange("roots/list")
        server.asked[0].ask(question)
        self.assertEqual(
            ([each.method for each in said], heard.error["code"]), ([PROGRESS], -32601)
        )
        server.asked[0].succeed({})
        self.successResultOf(awaited.answer)
