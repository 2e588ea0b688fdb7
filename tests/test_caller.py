"""``mcptwist.caller``: a client on a wire of its own, in both eras.

MCP 2025-11-25, *Lifecycle* and *Cancellation*; MCP 2026-07-28, *stdio* and *Custom Transports*.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from mcptwist.asked import cancelled_notification
from mcptwist.caller import Caller
from mcptwist.errors import ClientGone, Draining, InvalidMessage, UnparsableMessage
from mcptwist.exchange import Exchange
from mcptwist.interfaces import IBackChannel, IReply, IWireReader
from mcptwist.messages import Error, Notification, Request, Result, encode_json
from mcptwist.negotiation import modern_meta
from mcptwist.sessiontable import SessionTable
from tests.fakes import FakeWire
from tests.scripted import CLIENT, HELLO, Heard, Source, modern_request, opened
from tests.test_session import View


class CallerCase(SynchronousTestCase):
    """One client in front of a view that is the test's."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.view = View({"tools/call": None, "tools/list": {"tools": []}})
        keys = iter("abcdefgh")
        self.sessions = SessionTable(
            self.clock, lambda: next(keys), limit=2, in_flight=3, age=100.0
        )
        self.draining: Draining | None = None
        self.caller = Caller(
            self.view,
            self.sessions.begin,
            principal="bob",
            in_flight=3,
            draining=lambda: self.draining,
        )
        self.wire = self.caller.wire = FakeWire(self.caller, clock=self.clock)

    def say(self, method: str, params: Any = None, id: Any = None) -> None:
        text = b"" if params is None else encode_json(params)
        message = Notification(method, text) if id is None else Request(id, method, text)
        self.caller.received(message)

    def greet(self, id: Any = "hello") -> None:
        self.say("initialize", HELLO, id)
        self.say("notifications/initialized")
        self.wire.sent.clear()

    def modern(self, method: str = "tools/call", id: Any = 1, **params: Any) -> None:
        self.caller.received(modern_request(method, params, id))

    def taken(self) -> list[Any]:
        """What it was sent since."""
        return list(self.wire.take())

    def told(self) -> Any:
        """The one message the client was sent since."""
        (message,) = self.taken()
        return message

    def refused(self, id: Any) -> str:
        """The stable code of the one error it was sent since, under that id."""
        message = self.told()
        self.assertIsInstance(message, Error)
        self.assertEqual(message.id, id)
        code: str = opened(message.error)["data"]["code"]
        return code

    def open(self) -> list[Exchange]:
        return [e for e in self.view.asked if not e.over]


class EraTests(CallerCase):
    """Both eras on one wire."""

    def test_provides(self) -> None:
        for interface in (IWireReader, IReply, IBackChannel):
            verifyObject(interface, self.caller)

    def test_legacy(self) -> None:
        """A client that shakes hands has a session, for as long as its wire lasts."""
        self.say("initialize", HELLO, 1)
        self.assertEqual(self.told(), Result(1, b'{"ok":1}'))
        self.say("tools/list", {}, 2)
        self.assertEqual(self.told(), Result(2, b'{"tools":[]}'))
        self.assertEqual(self.view.asked[-1].stay, self.caller.session)
        self.assertEqual(self.view.asked[-1].stay.principal, "bob")

    def test_modern(self) -> None:
        """A request with an envelope stands alone; no session is made for it."""
        self.modern("tools/list", 7)
        self.assertEqual(self.told(), Result(7, b'{"tools":[]}'))
        stay = self.view.asked[-1].stay
        self.assertEqual((stay.era, stay.principal), ("modern", "bob"))
        self.assertIsNone(self.caller.session)
        self.assertEqual(len(self.sessions), 0)

    def test_mixed(self) -> None:
        """Each request is of the era it says, before the handshake and after it."""
        self.modern(id=1)
        self.greet()
        self.modern(id=2)
        self.say("tools/call", {}, 3)
        eras = [e.stay.era for e in self.open()]
        self.assertEqual(eras, ["modern", "modern", "legacy"])
        for exchange in self.open():
            exchange.succeed({"id": exchange.request.id})
        self.assertEqual([(m.id, opened(m.result)) for m in self.taken()],
                         [(n, {"id": n}) for n in (1, 2, 3)])  # fmt: skip

    def test_before_the_handshake(self) -> None:
        """Nothing but ``ping`` is answered to a legacy client that has not shaken hands."""
        self.say("tools/list", {}, 1)
        self.assertEqual(self.refused(1), "not-initialized")
        self.say("ping", None, 2)
        self.assertEqual(self.told(), Result(2, b"{}"))
        self.say("notifications/initialized")
        self.caller.received(Result(5, b"{}"))
        self.assertEqual(self.wire.take(), [])

    def test_unknown_version(self) -> None:
        """A modern revision that is not served is refused with those that are."""
        meta = {**modern_meta(CLIENT), "io.modelcontextprotocol/protocolVersion": "2099-01-01"}
        self.say("tools/list", {"_meta": meta}, 1)
        body = opened(self.told().error)
        self.assertEqual(body["code"], -32022)
        self.assertIn("2026-07-28", body["data"]["supported"])

    def test_progress(self) -> None:
        """What is said before an answer arrives before it."""
        self.modern()
        (exchange,) = self.open()
        exchange.notify(Notification("notifications/progress", b'{"progress":1}'))
        exchange.succeed({})
        self.assertEqual([type(m) for m in self.taken()], [Notification, Result])

    def test_too_many(self) -> None:
        """Beyond what one client may have open, requests of either era are refused."""
        for id in (1, 2, 3):
            self.modern(id=id)
        self.modern(id=4)
        self.assertEqual(self.refused(4), "overloaded")
        self.greet()
        for id in (5, 6, 7, 8):
            self.say("tools/call", {}, id)
        self.assertEqual(self.refused(8), "overloaded")


class DuplicateTests(CallerCase):
    """One id, twice open."""

    def duplicated(self, again: Any) -> None:
        """It is refused without an id: one with it would be taken for the first one's answer."""
        again()
        message = self.told()
        self.assertIsNone(message.id)
        data = opened(message.error)["data"]
        self.assertEqual((data["code"], data["id"]), ("duplicate-id", 1))
        (first,) = self.open()
        first.succeed({"whose": "first"})
        self.assertEqual(self.told(), Result(1, b'{"whose":"first"}'))

    def test_modern(self) -> None:
        self.modern()
        self.duplicated(self.modern)

    def test_legacy(self) -> None:
        self.greet()
        self.say("tools/call", {}, 1)
        self.duplicated(lambda: self.say("tools/call", {}, 1))

    def test_legacy_after_modern(self) -> None:
        """Ids are the wire's, whatever the era."""
        self.greet()
        self.modern()
        self.duplicated(lambda: self.say("tools/call", {}, 1))

    def test_modern_after_legacy(self) -> None:
        self.greet()
        self.say("tools/call", {}, 1)
        self.duplicated(self.modern)

    def test_again_later(self) -> None:
        """An id is free again when its request was answered."""
        for _ in range(2):
            self.modern()
            self.open()[0].succeed({})
            self.assertEqual(self.told(), Result(1, b"{}"))

    def test_string_and_number(self) -> None:
        """``"1"`` is not ``1``."""
        self.modern(id=1)
        self.modern(id="1")
        self.assertEqual(len(self.open()), 2)


class CancelTests(CallerCase):
    """``notifications/cancelled``, for requests of both eras."""

    def cancelled(self) -> None:
        (exchange,) = self.open()
        reasons: list[str] = []
        exchange.in_charge(reasons.append)
        self.caller.received(cancelled_notification(1, "enough"))
        self.assertEqual(reasons, ["enough"])
        self.assertTrue(exchange.over)
        exchange.succeed({})
        self.assertEqual(self.wire.take(), [])
        self.assertFalse(self.caller.waits())

    def test_modern(self) -> None:
        """There is no response to close here."""
        self.modern()
        self.assertTrue(self.caller.waits())
        self.cancelled()

    def test_legacy(self) -> None:
        self.greet()
        self.say("tools/call", {}, 1)
        self.assertTrue(self.caller.waits())
        self.cancelled()

    def test_modern_of_one_who_shook_hands(self) -> None:
        self.greet()
        self.modern()
        self.cancelled()

    def test_unknown(self) -> None:
        """One that names nothing open is ignored, as is one that makes no sense."""
        self.greet()
        self.modern()
        self.caller.received(cancelled_notification(99, "?"))
        self.say("notifications/cancelled", {"requestId": None})
        self.say("notifications/cancelled")
        self.assertEqual(len(self.open()), 1)
        self.assertEqual(self.wire.take(), [])


class HandshakeTests(CallerCase):
    """A handshake that fails may be tried again."""

    def test_bad_params(self) -> None:
        self.say("initialize", {"protocolVersion": 7}, 1)
        self.assertEqual(self.refused(1), "invalid-params")
        self.greet()
        self.say("tools/list", {}, 2)
        self.assertEqual(self.told().id, 2)

    def test_server_refuses(self) -> None:
        """The session of a handshake that the server refused is gone, and a new one is made."""
        self.view.script["initialize"] = ClientGone("not today")
        self.say("initialize", HELLO, 1)
        self.assertEqual(self.refused(1), "client-gone")
        self.assertIsNone(self.caller.session)
        self.assertEqual(len(self.sessions), 0)
        self.assertEqual(self.wire.calls, [])
        self.view.script["initialize"] = {"ok": 2}
        self.say("initialize", HELLO, 1)
        self.assertEqual(self.told(), Result(1, b'{"ok":2}'))

    def test_twice(self) -> None:
        """A second one is refused; the session goes on."""
        self.greet()
        session = self.caller.session
        self.say("initialize", HELLO, 1)
        self.assertEqual(self.refused(1), "invalid-params")
        self.assertIs(self.caller.session, session)
        self.say("tools/list", {}, 2)
        self.assertEqual(self.told().id, 2)

    def test_too_many_sessions(self) -> None:
        for _ in range(2):
            self.sessions.begin(self.view)
        self.say("initialize", HELLO, 1)
        self.assertEqual(self.refused(1), "overloaded")

    def test_modern_request_of_that_name(self) -> None:
        """A modern request that fails is not the handshake, whatever it is called."""
        self.greet()
        session = self.caller.session
        self.view.script["initialize"] = ClientGone("no")
        self.modern("initialize", 5)
        self.assertEqual(self.refused(5), "client-gone")
        self.assertIs(self.caller.session, session)


class QuestionTests(CallerCase):
    """What servers ask the client."""

    def question(self) -> tuple[Exchange, Heard]:
        heard = Heard()
        return Exchange(Request(1, "roots/list"), heard), heard

    def test_in_the_course_of_a_call(self) -> None:
        """It arrives under an id of the wire's own, and the answer finds its way back."""
        self.greet()
        self.say("tools/call", {}, 1)
        question, heard = self.question()
        self.open()[0].ask(question)
        asked = self.told()
        self.assertEqual(asked.method, "roots/list")
        self.caller.received(Result(asked.id, b'{"roots":[]}'))
        self.assertEqual(heard.answer, {"roots": []})

    def test_out_of_the_blue(self) -> None:
        self.greet()
        question, heard = self.question()
        assert self.caller.session is not None
        self.caller.session.begin(question)
        self.caller.received(Error(self.told().id, b'{"code":-1,"message":"no"}'))
        self.assertEqual(heard.error, {"code": -1, "message": "no"})

    def test_of_a_modern_request(self) -> None:
        """Modern clients are not asked, even if they shook hands as well."""
        for _ in range(2):
            self.modern()
            question, heard = self.question()
            self.open()[0].ask(question)
            self.assertEqual(heard.error["data"]["code"], "client-gone")
            self.open()[0].succeed({})
            self.greet()

    def test_nobody_asked(self) -> None:
        self.greet()
        self.caller.received(Result(99, b"{}"))
        self.assertEqual(self.wire.take(), [])

    def test_told(self) -> None:
        """What belongs to no exchange is said on the wire."""
        self.greet()
        assert self.caller.session is not None
        self.caller.session.tell("s", Notification("notifications/tools/list_changed"))
        self.assertEqual(self.told(), Notification("notifications/tools/list_changed"))


class DrainTests(CallerCase):
    def test_new_work(self) -> None:
        """New work is refused; what is open is finished, and may need the client's answers."""
        self.greet()
        self.say("tools/call", {}, 1)
        self.modern(id=2)
        self.draining = Draining("the daemon is about to stop")
        self.say("tools/call", {}, 3)
        self.assertEqual(self.refused(3), "draining")
        self.modern(id=4)
        self.assertEqual(self.refused(4), "draining")
        for exchange in self.open():
            exchange.succeed({})
        self.assertEqual([m.id for m in self.taken()], [1, 2])

    def test_session_ended(self) -> None:
        """A wire is closed when the house ends the session that it was."""
        self.greet()
        self.say("tools/call", {}, 1)
        self.clock.advance(101)
        self.sessions.expire()
        self.assertEqual(self.wire.calls, ["close"])
        self.assertEqual(self.open(), [])

    def test_idle(self) -> None:
        """A wire that is open is a sign of life."""
        self.greet()
        self.clock.advance(99)
        self.sessions.expire()
        self.assertEqual(self.wire.calls, [])


class LossTests(CallerCase):
    """The wire is gone, and the client with it."""

    def test_everything_ends(self) -> None:
        self.greet()
        self.say("tools/call", {}, 1)
        self.modern(id=2)
        heard = Heard()
        question = Exchange(Request(1, "roots/list"), heard)
        self.open()[0].ask(question)
        reasons: list[str] = []
        for exchange in self.open():
            exchange.in_charge(reasons.append)
        self.wire.take()
        self.wire.lose(ClientGone("it left"))
        self.assertEqual(reasons, ["the client left"] * 2)
        self.assertEqual(heard.error["data"]["code"], "client-gone")
        self.assertEqual(len(self.view.left), 1)
        self.assertEqual(len(self.sessions), 0)
        self.assertFalse(self.caller.open)
        self.assertEqual(self.wire.calls, [])

    def test_nothing_is_begun_after_it(self) -> None:
        """What was in hand when the wire was lost is asked of nobody."""
        self.greet()
        self.wire.lose(ClientGone("it left"))
        asked = len(self.view.asked)
        self.modern()
        self.say("tools/call", {}, 2)
        self.caller.malformed(InvalidMessage("no"))
        self.assertFalse(self.caller.say(Notification("notifications/x")))
        self.assertEqual(len(self.view.asked), asked)
        self.assertEqual(self.wire.take(), [])


class MalformedTests(CallerCase):
    """What is no message is answered all the same."""

    def test_no_json(self) -> None:
        self.caller.malformed(UnparsableMessage("not JSON"))
        message = self.told()
        self.assertIsNone(message.id)
        self.assertEqual(opened(message.error)["code"], -32700)
        self.assertEqual(self.caller.malformations, 1)

    def test_known_id(self) -> None:
        self.caller.malformed(InvalidMessage("no", 7))
        self.assertEqual(self.refused(7), "invalid-request")

    def test_id_of_an_open_request(self) -> None:
        """It must not pass for the answer of another."""
        self.modern(id=7)
        self.caller.malformed(InvalidMessage("no", 7))
        self.assertEqual(self.refused(None), "invalid-request")
        self.open()[0].succeed({})
        self.assertEqual(self.told().id, 7)

    def test_a_fault_of_ours(self) -> None:
        """A request that the house stumbles over is answered once, and the fault is logged."""

        def broken(exchange: Exchange) -> None:
            raise ZeroDivisionError

        self.view.script["tools/call"] = broken
        self.modern()
        self.assertEqual(self.refused(1), "internal")
        self.greet()
        self.say("tools/call", {}, 2)
        self.assertEqual(self.refused(2), "internal")
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)
        self.assertFalse(self.caller.waits())


class FlowTests(CallerCase):
    """A client that takes nothing more holds back whom it waits for."""

    def test_open_and_new(self) -> None:
        self.greet()
        sources = []
        for id, ask in ((1, self.modern), (2, lambda id: self.say("tools/call", {}, id))):
            ask(id=id)
            self.open()[-1].source = source = Source()
            sources.append(source)
        self.caller.told_flow(False)

        def sourced(exchange: Exchange) -> None:
            exchange.source = source = Source()
            sources.append(source)

        self.view.script["tools/call"] = sourced
        self.modern(id=3)
        self.assertEqual([source.told for source in sources], [["hold"]] * 3)
        self.caller.told_flow(True)
        self.assertEqual([source.told for source in sources], [["hold", "release"]] * 3)
        self.modern(id=4)
        self.assertEqual(sources[3].told, [])
