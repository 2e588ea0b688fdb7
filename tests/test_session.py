"""``mcptwist.session``: one client's stay, the table of stays, their expiry.

MCP 2025-11-25, *Lifecycle* and *Transports, Session Management*; MCP 2026-07-28, *Versioning*.
"""

from __future__ import annotations

from typing import Any

from msgspec import Raw
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from mcptwist.asked import cancelled_notification
from mcptwist.errors import (
    ClientGone,
    DuplicateId,
    InvalidParams,
    NotInitialized,
    Overloaded,
    ServerExited,
    UnknownSession,
)
from mcptwist.exchange import Exchange
from mcptwist.interfaces import IAnswerer, IStay, IView
from mcptwist.messages import Error, Message, Notification, Request, Result, encode_json
from mcptwist.negotiation import Envelope
from mcptwist.session import Session, visit
from tests.scripted import HELLO, Back, Heard, ScriptedServer, opened

LIST_CHANGED = "notifications/tools/list_changed"


@implementer(IView)
class View(ScriptedServer):
    """A view that remembers what it was asked and told."""

    name = "s"

    def __init__(self, script: Any = None) -> None:
        super().__init__({"initialize": {"ok": 1}, **(script or {})})
        self.left: list[Session] = []
        self.deaf = False

    def hear(self, stay: Session, server: str, said: Notification) -> Notification | None:
        return None if self.deaf else said

    def leave(self, stay: Session) -> None:
        self.left.append(stay)


class Asking(Heard):
    """A reply that asks the client as a stream would: with an id of the session's.

    :ivar sent: the requests put to the client.
    """

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self.sent: list[Request] = []

    def asked(self, exchange: Exchange, question: Exchange) -> None:
        super().asked(exchange, question)
        request = self.session.put(question)
        assert request is not None
        self.sent.append(request)


class Deaf(Back):
    """A back channel that nobody hears."""

    def say(self, message: Message) -> bool:
        return False


class SessionCase(SynchronousTestCase):
    """One session in front of a view that is the test's."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.view = View({"tools/call": None, "tools/list": {"tools": []}})
        self.session = Session("key", self.view, self.clock, "bob", in_flight=3)

    def ask(self, method: str, params: Any = None, id: Any = 1) -> Asking:
        heard = Asking(self.session)
        text = b"" if params is None else encode_json(params)
        self.session.request(Request(id, method, text), heard)
        return heard

    def greet(self) -> Heard:
        return self.ask("initialize", HELLO, "hello")

    def question(self) -> tuple[Exchange, Heard]:
        heard = Heard()
        return Exchange(Request(1, "roots/list"), heard), heard


class HandshakeTests(SessionCase):
    """MCP 2025-11-25, *Lifecycle, Initialization*."""

    def test_provides(self) -> None:
        """A session is a stay, and can be asked."""
        verifyObject(IStay, self.session)
        verifyObject(IAnswerer, self.session)
        verifyObject(IView, self.view)

    def test_first(self) -> None:
        """Who the client is, what it can, and which revision it asked for are remembered."""
        heard = self.greet()
        self.assertEqual(heard.answer, {"ok": 1})
        self.assertEqual(opened(self.session.client), HELLO["clientInfo"])
        self.assertEqual(opened(self.session.capabilities), HELLO["capabilities"])
        self.assertEqual(opened(self.session.hello), HELLO)

    def test_revision_before_the_answer(self) -> None:
        """Until a server has agreed, the client is taken at its word: an older client must not
        be written to in ways it does not know while its server starts."""
        for asked, taken in (
            ("2024-11-05", "2024-11-05"),
            ("2025-06-18", "2025-06-18"),
            ("2099-01-01", "2025-11-25"),
        ):
            self.setUp()
            self.view.script["initialize"] = None
            self.ask("initialize", {**HELLO, "protocolVersion": asked})
            self.assertEqual(self.session.revision, taken)

    def test_nothing_before(self) -> None:
        """Only ``ping`` is answered before the handshake."""
        self.assertRaises(NotInitialized, self.ask, "tools/list")
        self.assertEqual(self.ask("ping").answer, {})
        self.assertEqual((self.view.asked, len(self.session.opened)), ([], 0))

    def test_once(self) -> None:
        """A second handshake is refused; the first stands."""
        self.greet()
        self.assertRaises(InvalidParams, self.ask, "initialize", HELLO)
        self.assertEqual(len(self.view.asked), 1)

    def test_malformed(self) -> None:
        """A handshake that says no revision, or strange things, is refused."""
        for params in (
            None, {}, {"protocolVersion": 5}, {**HELLO, "capabilities": []},
            {**HELLO, "clientInfo": "me"}, {**HELLO, "capabilities": None},
        ):  # fmt: skip
            self.assertRaises(InvalidParams, self.ask, "initialize", params)
        self.assertEqual(self.view.asked, [])

    def test_initialized(self) -> None:
        """``notifications/initialized`` ends the handshake, and stays in the house."""
        self.greet()
        self.session.notification(Notification("notifications/initialized"))
        self.assertTrue(self.session.initialized)
        self.assertEqual(self.view.overheard, [])


class AskedTests(SessionCase):
    """What the client asks."""

    def setUp(self) -> None:
        super().setUp()
        self.greet()

    def test_answer(self) -> None:
        """The view answers; then the id is free again."""
        self.assertEqual(self.ask("tools/list", id=0).answer, {"tools": []})
        self.assertEqual(self.ask("tools/list", id=0).answer, {"tools": []})
        self.assertIs(self.view.asked[-1].stay, self.session)

    def test_duplicate(self) -> None:
        """A second request of one id is refused at once; the first gets its answer."""
        first = self.ask("tools/call", id=5)
        self.assertRaises(DuplicateId, self.ask, "tools/call", id=5)
        self.view.open("tools/call").succeed({"first": 1})
        self.assertEqual((first.answers, first.answer), (1, {"first": 1}))
        self.assertEqual(len(self.view.asked_for("tools/call")), 1)

    def test_limit(self) -> None:
        """Only so many may be open; when one is answered there is room again."""
        for id in range(3):
            self.ask("tools/call", id=id)
        self.assertRaises(Overloaded, self.ask, "tools/call", id=9)
        self.view.asked[-1].succeed({})
        self.ask("tools/call", id=9)

    def test_cancel(self) -> None:
        """MCP, *Cancellation*: the view's side is told; no answer follows."""
        heard = self.ask("tools/call", id="x")
        told: list[str] = []
        self.view.open("tools/call").in_charge(told.append)
        self.session.notification(cancelled_notification("x", "why"))
        self.view.asked[-1].succeed({})
        self.assertEqual((told, heard.gone, heard.answers), (["why"], "why", 0))
        self.assertEqual(len(self.session.opened), 0)

    def test_other_notifications(self) -> None:
        """What the session does not understand goes to the view."""
        said = Notification("notifications/roots/list_changed", b'{"a":1}')
        self.session.notification(said)
        self.assertEqual(self.view.overheard, [(self.session, said)])

    def test_after_the_end(self) -> None:
        """A session that is over asks nobody anything."""
        self.session.end(UnknownSession("over"))
        self.assertRaises(UnknownSession, self.ask, "tools/list")
        self.assertEqual(len(self.view.asked), 1)


class QuestionTests(SessionCase):
    """What the client is asked: MCP 2025-11-25, *Transports, Listening for Messages*."""

    def setUp(self) -> None:
        super().setUp()
        self.greet()
        self.back = Back()

    def test_only_call(self) -> None:
        """With one call open the question belongs to it, whether or not the client listens."""
        for back in (None, self.back):
            self.session.back = back
            heard = self.ask("tools/call", id=1)
            question, answer = self.question()
            self.session.begin(question)
            self.assertTrue(self.session.answer(Result(heard.sent[0].id, b'{"roots":[]}')))
            self.assertEqual(answer.answer, {"roots": []})
            self.view.open("tools/call").succeed({})
        self.assertEqual(self.back.said, [])

    def test_back_channel(self) -> None:
        """Without a call, or with several, it goes where the client listens."""
        self.session.back = self.back
        for calls in (0, 2):
            heards = [self.ask("tools/call", id=n) for n in range(calls)]
            question, answer = self.question()
            self.session.begin(question)
            request = self.back.said.pop()
            assert isinstance(request, Request)
            self.assertEqual(request.method, "roots/list")
            self.assertTrue(self.session.answer(Result(request.id, b"{}")))
            self.assertEqual((answer.answers, [h.sent for h in heards]), (1, [[]] * calls))

    def test_several_calls_and_no_back_channel(self) -> None:
        """Then the newest call carries it: better there than nowhere."""
        self.session.back = Deaf()
        older, newer = (self.ask("tools/call", id=n) for n in range(2))
        self.session.begin(self.question()[0])
        self.assertEqual((older.sent, len(newer.sent)), ([], 1))

    def test_postponed(self) -> None:
        """A question that comes before the client can hear any waits until it listens."""
        self.session.back = Deaf()
        question, answer = self.question()
        self.session.begin(question)
        self.assertEqual((answer.answers, len(self.session.asked)), (0, 0))
        self.session.back = self.back
        self.session.release()
        (request,) = self.back.said
        assert isinstance(request, Request)
        self.session.answer(Result(request.id, b"{}"))
        self.assertEqual(answer.answers, 1)
        self.session.release()
        self.assertEqual(len(self.back.said), 1)

    def test_postponed_until_a_call(self) -> None:
        """Or until it makes a call, whose stream can carry it; ``ping`` has none."""
        self.session.begin(self.question()[0])
        self.assertEqual(self.ask("ping").sent, [])
        self.assertEqual(len(self.ask("tools/call").sent), 1)

    def test_not_with_the_handshake(self) -> None:
        """The answer to ``initialize`` carries no questions: the client is not ready."""
        self.setUp()
        fresh = Session("k", View({"initialize": None}), self.clock)
        heard = Asking(fresh)
        fresh.request(Request(1, "initialize", encode_json(HELLO)), heard)
        fresh.begin(self.question()[0])
        self.assertEqual(heard.sent, [])

    def test_postponed_taken_back(self) -> None:
        """A postponed question that the server took back is never asked."""
        question, _ = self.question()
        self.session.begin(question)
        question.cancel("never mind")
        self.assertEqual(self.ask("tools/call").sent, [])

    def test_postponed_limit(self) -> None:
        """Only so many wait; those taken back do not count."""
        for _ in range(100):
            question, _ = self.question()
            self.session.begin(question)
            question.cancel("never mind")
        heards = []
        for _ in range(65):
            question, heard = self.question()
            self.session.begin(question)
            heards.append(heard)
        self.assertEqual([h.error is not None for h in heards], [False] * 64 + [True])

    def test_taken_back(self) -> None:
        """The server cancels its question: the client is told under the id it knows."""
        self.session.back = self.back
        question, _ = self.question()
        self.session.begin(question)
        question.cancel("never mind")
        request, said = self.back.said
        assert isinstance(request, Request)
        assert isinstance(said, Notification)
        self.assertEqual(opened(said.params), {"requestId": request.id, "reason": "never mind"})
        self.assertFalse(self.session.answer(Result(request.id, b"{}")))

    def test_answers_nobody_waits_for(self) -> None:
        """An answer to nothing, or a second one, is dropped."""
        self.session.back = self.back
        question, answer = self.question()
        self.session.begin(question)
        request = self.back.said[0]
        assert isinstance(request, Request)
        for wrong in (Result(99, b"{}"), Error(None, b"{}"), Result(str(request.id), b"{}")):
            self.assertFalse(self.session.answer(wrong))
        self.assertTrue(self.session.answer(Error(request.id, b'{"code":-1,"message":"no"}')))
        self.assertFalse(self.session.answer(Result(request.id, b"{}")))
        self.assertEqual((answer.answers, answer.error["code"]), (1, -1))

    def test_progress_of_a_question(self) -> None:
        """The client's progress goes to the server under the server's token."""
        self.session.back = self.back
        heard = Heard()
        params = encode_json({"_meta": {"progressToken": "theirs"}})
        self.session.begin(Exchange(Request(1, "sampling/createMessage", params), heard))
        request = self.back.said[0]
        assert isinstance(request, Request)
        token = opened(request.params)["_meta"]["progressToken"]
        said = encode_json({"progressToken": token, "progress": 5})
        self.session.notification(Notification("notifications/progress", said))
        self.assertEqual(heard.said[0][1], {"progressToken": "theirs", "progress": 5})

    def test_limit(self) -> None:
        """A server may ask only so much at a time."""
        self.session.back = self.back
        heards = []
        for _ in range(4):
            question, heard = self.question()
            self.session.begin(question)
            heards.append(heard)
        self.assertEqual([h.error is not None for h in heards], [False] * 3 + [True])


class TellTests(SessionCase):
    """What a server says to nobody in particular."""

    def setUp(self) -> None:
        super().setUp()
        self.greet()

    def tell(self, method: str = LIST_CHANGED, params: bytes = b"") -> None:
        self.session.tell("s", Notification(method, params))

    def test_back_channel(self) -> None:
        """It goes where the client listens."""
        self.session.back = back = Back()
        self.ask("tools/call")
        self.tell()
        self.assertEqual(back.said, [Notification(LIST_CHANGED)])

    def test_log_message_of_the_only_call(self) -> None:
        """A log message belongs to the only call that is open."""
        self.session.back = back = Back()
        heard = self.ask("tools/call")
        self.tell("notifications/message", b'{"level":"info"}')
        self.assertEqual(heard.said, [("notifications/message", {"level": "info"})])
        self.ask("tools/call", id=2)
        self.tell("notifications/message", b'{"level":"info"}')
        self.assertEqual((len(heard.said), len(back.said)), (1, 1))

    def test_no_back_channel(self) -> None:
        """Without one the newest call carries it."""
        older, newer = (self.ask("tools/call", id=n) for n in range(2))
        self.tell()
        self.assertEqual((older.said, newer.said), ([], [(LIST_CHANGED, {})]))

    def test_held(self) -> None:
        """While nobody hears it is held, equal ones once, and said when the client listens."""
        self.session.back = Deaf()
        self.tell()
        self.tell()
        self.tell("notifications/resources/updated", b'{"uri":"a"}')
        self.session.back = back = Back()
        self.session.release()
        self.session.release()
        self.assertEqual(
            [each.method for each in back.said],  # type: ignore[union-attr]
            [LIST_CHANGED, "notifications/resources/updated"],
        )

    def test_held_only_so_many(self) -> None:
        """What cannot be held is counted; log messages are not held."""
        self.tell("notifications/message")
        for number in range(70):
            self.tell("notifications/resources/updated", b'{"uri":"%d"}' % number)
        self.assertEqual(self.session.unheard, 7)
        self.session.back = back = Back()
        self.session.release()
        self.assertEqual(len(back.said), 64)

    def test_not_seen(self) -> None:
        """What is nothing in the client's view is not said."""
        self.view.deaf = True
        self.session.back = back = Back()
        self.tell()
        self.assertEqual(back.said, [])


class EndTests(SessionCase):
    """When it is over, nobody waits for it and it waits for nobody."""

    def test_both_ways(self) -> None:
        """Calls are failed and cancelled, questions failed, view and listeners told, all once."""
        self.greet()
        self.session.back = Back()
        calls = [self.ask("tools/call", id=n) for n in range(2)]
        asked, told = self.question()
        self.session.begin(asked)
        postponed, told_too = self.question()
        self.session.back = Deaf()
        for call in list(self.session.opened):
            call.succeed({})
        self.session.begin(postponed)
        calls.append(self.ask("tools/call", id=9))
        cancelled: list[str] = []
        self.view.asked[-1].in_charge(cancelled.append)
        ended: list[Session] = []
        self.session.when_ended(ended.append)
        for _ in range(2):
            self.session.end(ClientGone("bye"))
        self.assertEqual((cancelled, calls[-1].error["message"]), (["bye"], "bye"))
        self.assertEqual([h.error["data"]["code"] for h in (told, told_too)], ["client-gone"] * 2)
        self.assertEqual((ended, self.view.left), ([self.session], [self.session]))

    def test_question_after(self) -> None:
        """A question that comes after the end is failed."""
        self.session.end(ClientGone("bye"))
        question, heard = self.question()
        self.session.begin(question)
        self.assertEqual(heard.error["data"]["code"], "client-gone")

    def test_late_answer(self) -> None:
        """An answer that comes after the end reaches nobody."""
        self.greet()
        heard = self.ask("tools/call")
        self.session.end(ClientGone("bye"))
        self.view.asked[-1].succeed({})
        self.view.asked[-1].fail(ServerExited("x"))
        self.assertEqual((heard.answers, heard.error["message"]), (1, "bye"))


class VisitTests(SynchronousTestCase):
    """MCP 2026-07-28: a stay as long as one request."""

    def test_from_the_envelope(self) -> None:
        """All it says of itself."""
        stay = visit(Envelope("2026-07-28", Raw(b'{"a":{}}'), Raw(b'{"name":"n"}'), "debug"), "bob")
        verifyObject(IStay, stay)
        self.assertEqual((stay.era, stay.revision, stay.principal), ("modern", "2026-07-28", "bob"))
        self.assertEqual(
            (bytes(stay.capabilities), bytes(stay.client)), (b'{"a":{}}', b'{"name":"n"}')
        )
        self.assertTrue(stay.wants_log)

    def test_nameless(self) -> None:
        """A client need not say who it is, nor want log messages."""
        stay = visit(Envelope("2026-07-28", Raw(b"{}")))
        self.assertEqual((stay.client, stay.wants_log), (b"", False))
