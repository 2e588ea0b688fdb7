"""``mcptwist.link``: one conversation with a server, on behalf of many.

MCP 2025-11-25 and 2026-07-28, *Base protocol*; 2026-07-28, *stdio, Cancellation*.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from mcptwist.asked import cancelled_notification
from mcptwist.errors import McpTwistError, MethodNotFound, ServerExited, UnparsableMessage
from mcptwist.exchange import LISTEN, SUBSCRIPTION_ID, Exchange
from mcptwist.interfaces import IAnswerer, ICompany, IReply, IWireReader
from mcptwist.link import Deadlines, Link
from mcptwist.messages import Error, Notification, Request, Result, encode_json
from mcptwist.versions import LEGACY, MODERN
from mcptwist.withdrawals import GRACE
from tests.fakes import FakeWire
from tests.scripted import Heard, opened

UPDATED = "notifications/resources/updated"


@implementer(ICompany)
class Listeners:
    """Those whom a server's own words are meant for; they remember them."""

    def __init__(self) -> None:
        self.heard: list[Notification] = []
        self.questions: list[Exchange] = []

    def admit(self, link: object, exchange: Exchange) -> None:
        pass

    def refused(self, exchange: Exchange, problem: McpTwistError) -> None:
        exchange.fail(problem)

    def up(self, link: object) -> None:
        pass

    def told(self, link: object, notification: Notification) -> None:
        self.heard.append(notification)

    def questioned(self, link: object, question: Exchange) -> None:
        self.questions.append(question)


class LinkCase(SynchronousTestCase):
    """A link whose wire is the test's."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.make()

    def make(self, era: str = LEGACY, deadlines: Deadlines | None = None) -> None:
        self.company = Listeners()
        self.losses: list[McpTwistError] = []
        self.link = Link(
            "time", era, self.company, self.clock, deadlines,
            lambda link, reason: self.losses.append(reason),
        )  # fmt: skip
        self.wire = self.link.wire = FakeWire(self.link)

    def ask(self, method: str = "tools/call", params: Any = None, id: Any = 1) -> Heard:
        heard = Heard()
        text = b"" if params is None else encode_json(params)
        self.exchange = Exchange(Request(id, method, text), heard)
        self.link.begin(self.exchange)
        return heard

    def sent(self) -> Any:
        (message,) = self.wire.take()
        return message


class AskingTests(LinkCase):
    """Asking the server."""

    def test_provides(self) -> None:
        """What others take it for."""
        for interface in (IWireReader, IAnswerer, IReply):
            verifyObject(interface, self.link)
        verifyObject(ICompany, self.company)

    def test_equal_ids(self) -> None:
        """Two askers with one id are told apart, whichever is answered first."""
        one, two = self.ask(), self.ask()
        first, second = self.wire.take()
        self.wire.receive(Result(second.id, b'"two"'), Result(first.id, b'"one"'))  # type: ignore[union-attr]
        self.assertEqual((one.answer, two.answer), ("one", "two"))

    def test_error(self) -> None:
        """The server's error passes as it is."""
        heard = self.ask()
        self.wire.receive(Error(self.sent().id, b'{"code":-32042,"message":"m","data":{"a":1}}'))
        self.assertEqual(heard.error, {"code": -32042, "message": "m", "data": {"a": 1}})

    def test_strays(self) -> None:
        """An answer to nothing, a second one, one under no id: counted, and nothing else."""
        heard = self.ask()
        id = self.sent().id
        self.wire.receive(Result(99, b"1"), Result("x", b"1"), Error(None, b"{}"))
        self.wire.receive(Result(id, b"1"), Result(id, b"2"))
        self.assertEqual((heard.answers, heard.answer, self.link.strays), (1, 1, 4))

    def test_never_answered(self) -> None:
        """A server that never answers costs its asker only so long; then it is told to stop."""
        heard = self.ask()
        id = self.sent().id
        self.clock.pump([1.0] * 299)
        self.assertEqual(heard.answers, 0)
        self.clock.pump([1.0] * 3)
        self.assertEqual(heard.error["data"], {"code": "server-timeout", "server": "time"})
        self.assertEqual(opened(self.sent().params)["requestId"], id)
        self.wire.receive(Result(id, b"1"))
        self.assertEqual((heard.answers, len(self.link)), (1, 0))

    def test_progress_prolongs(self) -> None:
        """Progress gives more time, up to the absolute cap; without either there is none."""
        for deadlines, ends in (
            (Deadlines(10, 30), 30),
            (Deadlines(None, 30), 30),
            (Deadlines(10, None), None),
            (Deadlines(None, None), None),
        ):
            self.make(deadlines=deadlines)
            heard = self.ask()
            id = self.sent().id
            said = Notification("notifications/progress", encode_json({"progressToken": id}))
            for second in range(1, 60):
                self.clock.advance(1)
                self.wire.receive(said)
                late = ends is not None and second >= ends
                self.assertEqual(heard.error is not None, late, (deadlines, second))
            self.link.lost(ServerExited("x"))
            self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_listen_has_no_deadline(self) -> None:
        """A subscription waits for ever."""
        self.make(MODERN)
        heard = self.ask(LISTEN, {})
        self.clock.pump([60.0] * 100)
        self.assertEqual(heard.answers, 0)

    def test_cancel(self) -> None:
        """The server is told under the id it knows; its answer is dropped."""
        self.ask(id="mine")
        id = self.sent().id
        self.exchange.cancel("why")
        self.assertEqual(opened(self.sent().params), {"requestId": id, "reason": "why"})
        self.wire.receive(Result(id, b"1"))
        self.assertEqual(self.link.strays, 1)

    def test_cancel_after_an_answer_of_ours(self) -> None:
        """A server that was just answered may end its call itself; else it is told soon."""
        self.ask()
        first = self.sent().id
        self.ask()
        second = self.sent().id
        other = self.exchange
        self.ask()
        self.wire.take()
        self.wire.receive(Request("q", "sampling/createMessage"))
        self.company.questions[0].fail(MethodNotFound("no"))
        self.wire.take()
        for exchange in (self.exchange, other):
            exchange.cancel("it cannot be asked")
        self.wire.receive(Result(second, b"1"))
        self.assertEqual((self.wire.take(), self.link.strays), ([], 0))
        self.clock.advance(GRACE)
        self.assertEqual(opened(self.sent().params)["requestId"], second + 1)
        self.assertEqual(first, second - 1)

    def test_cancel_after_a_ping(self) -> None:
        """A ping is no question of a call's: the server is told at once."""
        self.ask()
        self.wire.receive(Request(0, "ping"))
        self.wire.take()
        self.exchange.cancel("enough")
        self.assertEqual(self.sent().method, "notifications/cancelled")

    def test_limit(self) -> None:
        """Only so many may wait for one server."""
        self.make(deadlines=Deadlines(in_flight=1))
        self.ask()
        self.assertEqual(self.ask().error["data"]["code"], "overloaded")

    def test_not_open(self) -> None:
        """Asking on a link that is not open, or not any more, fails with the reason."""
        self.link.wire = None
        self.assertEqual(self.ask().error["code"], -32603)
        self.link.wire = self.wire
        self.wire.lose(ServerExited("it died", exitStatus=3))
        self.assertEqual(self.ask().error["data"], {"code": "server-exited", "exitStatus": 3})


class HearingTests(LinkCase):
    """What the server says of its own."""

    def test_notification(self) -> None:
        """What belongs to no exchange is for the company, as it was said."""
        said = Notification("notifications/message", b'{ "level":"info" }')
        self.wire.receive(said)
        self.assertEqual(self.company.heard, [said])

    def test_subscription(self) -> None:
        """In the modern era an id tells whose it is; in the legacy era there are none."""
        said = Notification(UPDATED, encode_json({"_meta": {SUBSCRIPTION_ID: 1}, "uri": "a"}))
        self.wire.receive(said)
        self.assertEqual(len(self.company.heard), 1)
        self.make(MODERN)
        heard = self.ask(LISTEN, {}, id="L")
        self.wire.receive(said)
        self.assertEqual(heard.said[0][1]["_meta"], {SUBSCRIPTION_ID: "L"})
        self.assertEqual(self.company.heard, [])

    def test_subscription_of_nobody(self) -> None:
        """One that nobody has is nobody's: not the company's either."""
        self.make(MODERN)
        params = encode_json({"_meta": {SUBSCRIPTION_ID: 9}})
        self.wire.receive(Notification(UPDATED, params))
        self.assertEqual(self.company.heard, [])

    def test_malformed(self) -> None:
        """Params that are none, and frames that hold no message, are counted."""
        self.make(MODERN)
        self.wire.receive(Notification(UPDATED, b'{"_meta":"%b"}' % SUBSCRIPTION_ID.encode()))
        self.wire.malform(UnparsableMessage("no"))
        self.assertEqual(self.link.malformations, 2)

    def test_question(self) -> None:
        """A question of the server's is answered under its id."""
        self.wire.receive(Request("q", "roots/list"))
        self.company.questions[0].succeed({"roots": []})
        self.assertEqual(self.wire.take(), [Result("q", b'{"roots":[]}')])

    def test_ping(self) -> None:
        """A ping is answered here."""
        self.wire.receive(Request(0, "ping"))
        self.assertEqual(self.wire.take(), [Result(0, b"{}")])
        self.assertEqual(self.company.questions, [])

    def test_duplicate_question(self) -> None:
        """A second question of one id is refused; the first stays."""
        self.wire.receive(Request(1, "roots/list"), Request(1, "roots/list"))
        refusal = self.sent()
        self.assertEqual((refusal.id, b"duplicate-id" in bytes(refusal.error)), (1, True))
        self.company.questions[0].fail(MethodNotFound("no"))
        self.assertEqual(len(self.wire.take()), 1)

    def test_question_taken_back(self) -> None:
        """The server cancels its question: whoever is asked is told, no answer goes out."""
        self.wire.receive(Request(1, "roots/list"))
        told: list[str] = []
        self.company.questions[0].in_charge(told.append)
        self.wire.receive(cancelled_notification(1, "never mind"))
        self.company.questions[0].succeed({})
        self.assertEqual((told, self.wire.take()), (["never mind"], []))

    def test_flood_of_questions(self) -> None:
        """A server may have only so many open."""
        self.make(deadlines=Deadlines(in_flight=2))
        self.wire.receive(*(Request(n, "roots/list") for n in range(5)))
        self.assertEqual((len(self.company.questions), len(self.wire.take())), (2, 3))


class EndTests(LinkCase):
    """How it ends."""

    def test_lost(self) -> None:
        """Everybody who waits is told why, the server's questions are taken back; once."""
        heards = [self.ask() for _ in range(2)]
        self.wire.take()
        self.wire.receive(Request(1, "roots/list"))
        told: list[str] = []
        self.company.questions[0].in_charge(told.append)
        reason = ServerExited("it died", exitStatus=3, stderr=["boom"])
        self.wire.lose(reason)
        self.link.lost(ServerExited("again"))
        data = {"code": "server-exited", "exitStatus": 3, "stderr": ["boom"]}
        self.assertEqual([h.error["data"] for h in heards], [data, data])
        self.assertEqual((told, self.losses), (["it died"], [reason]))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_nothing_is_sent_after(self) -> None:
        """Answers and notifications for a server that is gone are dropped."""
        self.wire.receive(Request(1, "roots/list"))
        self.link.lost(ServerExited("gone"))
        self.company.questions[0].succeed({})
        self.link.tell(Notification("a"))
        self.assertEqual(self.wire.sent, [])

    def test_end_listening(self) -> None:
        """MCP 2026-07-28, *Graceful Closure*: an ordinary result, under the client's id; the
        server is told to stop; other requests go on."""
        self.make(MODERN)
        listener = self.ask(LISTEN, {}, id="L")
        call = self.ask()
        listening, _ = self.wire.take()
        self.link.end_listening()
        self.assertEqual(
            listener.answer, {"resultType": "complete", "_meta": {SUBSCRIPTION_ID: "L"}}
        )
        self.assertEqual(opened(self.sent().params)["requestId"], listening.id)  # type: ignore[union-attr]
        self.assertEqual((call.answers, len(self.link)), (0, 1))


class FlowTests(LinkCase):
    """Holding the server back while its only asker cannot take more."""

    def test_only_asker(self) -> None:
        """The wire is paused for one who cannot keep up, and read on when he can."""
        self.ask()
        self.exchange.hold()
        self.assertTrue(self.wire.paused)
        self.exchange.release()
        self.assertFalse(self.wire.paused)

    def test_not_at_the_cost_of_others(self) -> None:
        """It is not paused while another waits for it."""
        self.ask()
        slow = self.exchange
        slow.stay = object()
        slow.hold()
        self.ask()
        self.assertFalse(self.wire.paused)

    def test_all_slow(self) -> None:
        """It is paused where nobody waits who could take what it says, until one can."""
        self.ask()
        one, two = self.exchange, self.another()
        one.stay, two.stay = object(), object()
        one.hold()
        self.assertFalse(self.wire.paused)
        two.hold()
        self.assertTrue(self.wire.paused)
        one.release()
        self.assertFalse(self.wire.paused)

    def test_the_others_are_done(self) -> None:
        """When the last who could take more has its answer, it is paused."""
        self.ask()
        slow, other = self.exchange, self.another()
        slow.stay, other.stay = object(), object()
        slow.hold()
        self.link.received(Result(2, b"{}"))
        self.assertTrue(other.over)
        self.assertTrue(self.wire.paused)

    def test_who_listens_can_wait(self) -> None:
        """A subscription, of whomever, is no reason to go on."""
        self.ask(LISTEN)
        self.exchange.stay = object()
        self.ask()
        self.exchange.hold()
        self.assertTrue(self.wire.paused)

    def another(self) -> Exchange:
        self.ask()
        return self.exchange

    def test_over_while_held(self) -> None:
        """An exchange that ends while it is held back leaves the wire running."""
        self.ask()
        self.exchange.hold()
        self.exchange.cancel("enough")
        self.assertFalse(self.wire.paused)
