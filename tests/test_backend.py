"""``mcptwist.backend``: one server, and how clients share it.

MCP 2025-11-25, *Lifecycle*, *Logging*, *Resources, Subscriptions*; MCP 2026-07-28, *Logging*.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as some
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from mcptwist import attachment
from mcptwist.backend import Backend, BackendSettings
from mcptwist.eras.held import Held
from mcptwist.errors import ClientGone, Draining, HeaderMismatch, ServerExited, ServerStartFailed
from mcptwist.exchange import Exchange
from mcptwist.gateway import ServerView
from mcptwist.interfaces import IAnswerer, ICompany, IKeepsConnections
from mcptwist.messages import Error, Message, Notification, Request, Result, encode_json
from mcptwist.patience import Patience
from mcptwist.session import Session, Visit
from mcptwist.supervisor import SupervisorSettings
from mcptwist.versions import LEGACY, MODERN
from tests.fakes import FakeConnector, FakeWire
from tests.scripted import HELLO, Back, Heard, modern_request, modern_visit, opened

ME = {"name": "mcptwist", "version": "0"}
LEVEL = "logging/setLevel"
MESSAGE = "notifications/message"
UPDATED = "notifications/resources/updated"
WELCOME = {
    "protocolVersion": "2025-11-25",
    "capabilities": {"tools": {"listChanged": True}, "experimental": {"x": 1}},
    "serverInfo": {"name": "far", "title": "Far"},
    "unknown": [1],
}
DISCOVERY = {"supportedVersions": ["2026-07-28"], "capabilities": {}, "resultType": "complete"}


class BackendCase(SynchronousTestCase):
    """A backend whose processes are the test's."""

    scope = "shared"

    def setUp(self) -> None:
        self.clock = Clock()
        self.make()

    def make(self, plan: Any = (), **more: Any) -> None:
        self.connector = FakeConnector(plan, clock=self.clock)
        more = {"scope": self.scope, **more}
        self.backend = Backend(
            "far", self.connector, self.clock, lambda: Patience(1.0, 8.0), ME,
            Held(self.clock, lambda size: b"x" * size),
            BackendSettings(**more, supervision=SupervisorSettings(start_timeout=10.0)),
        )  # fmt: skip
        self.view = ServerView(self.backend)

    # --- the far end ------------------------------------------------------------------

    @property
    def wire(self) -> FakeWire:
        return self.connector.wire

    def agree(self, wire: FakeWire | None = None, **more: Any) -> Request:
        """The server answers the opening of its newest process."""
        wire = wire or self.wire
        opening = wire.sent.pop(0)
        assert isinstance(opening, Request)
        answer = WELCOME if opening.method == "initialize" else DISCOVERY
        wire.receive(Result(opening.id, encode_json({**answer, **more})))
        return opening

    def requests(self, wire: FakeWire | None = None) -> list[Request]:
        """What the server was asked since."""
        return [m for m in (wire or self.wire).take() if isinstance(m, Request)]

    def methods(self, wire: FakeWire | None = None) -> list[str]:
        return [request.method for request in self.requests(wire)]

    # --- the near end -----------------------------------------------------------------

    def session(self, **hello: Any) -> Session:
        """A client that has begun to shake hands."""
        session = Session("key", self.view, self.clock)
        session.back = Back()
        self.ask(session, "initialize", {**HELLO, **hello})
        return session

    def greeted(self, **hello: Any) -> Session:
        """A client that has shaken hands; starts the process where there is none."""
        wires = len(self.connector.wires)
        session = self.session(**hello)
        if len(self.connector.wires) > wires:
            self.agree()
            self.wire.take()
        return session

    def ask(
        self, session: Session, method: str = "tools/call", params: Any = None, id: Any = 1
    ) -> Heard:
        heard = Heard()
        text = b"" if params is None else encode_json(params)
        session.request(Request(id, method, text), heard)
        return heard

    def ask_modern(
        self, method: str = "tools/call", visit: Visit | None = None, **params: Any
    ) -> Heard:
        heard = Heard()
        request = modern_request(method, params)
        self.backend.begin(Exchange(request, heard, visit or modern_visit()))
        return heard

    def said(self, session: Session) -> list[Message]:
        """What the client heard on its own stream."""
        assert isinstance(session.back, Back)
        said, session.back.said = session.back.said, []
        return said


class SharedTests(BackendCase):
    """One process for all legacy clients."""

    def test_provides(self) -> None:
        """What others take it for."""
        verifyObject(IAnswerer, self.backend)
        for supervisor in self.backend.supervisors():
            verifyObject(ICompany, supervisor._company, tentative=True)

    def test_one_process(self) -> None:
        """It is greeted by the daemon, with no capability to be asked, once for all."""
        sessions = [self.session() for _ in range(3)]
        opening = self.agree()
        hello = opened(opening.params)
        self.assertEqual((hello["capabilities"], hello["clientInfo"]), ({}, ME))
        self.assertEqual(self.connector.attempts, 1)
        self.assertEqual([s.initialized for s in sessions], [False] * 3)

    def test_welcome(self) -> None:
        """Each client gets the server's own welcome, in a revision that both know."""
        for asked, best, agreed in (
            ("2025-06-18", "2025-11-25", "2025-06-18"),
            ("2025-11-25", "2025-03-26", "2025-03-26"),
            ("1999-01-01", "2025-11-25", "2025-11-25"),
            ("2026-07-28", "2025-06-18", "2025-06-18"),
        ):
            self.make()
            session = Session("key", self.view, self.clock)
            heard = self.ask(session, "initialize", {**HELLO, "protocolVersion": asked})
            self.agree(protocolVersion=best)
            self.assertEqual(heard.answer, {**WELCOME, "protocolVersion": agreed})
            self.assertEqual(session.revision, agreed)

    def test_welcome_to_an_old_client(self) -> None:
        """A client is not told what its revision does not know of a server's name."""
        session = Session("key", self.view, self.clock)
        heard = self.ask(session, "initialize", {**HELLO, "protocolVersion": "2025-03-26"})
        info = {"name": "far", "version": "1", "title": "Far", "icons": [], "websiteUrl": "u"}
        self.agree(protocolVersion="2025-11-25", serverInfo=info)
        self.assertEqual(heard.answer["serverInfo"], {"name": "far", "version": "1"})

    def test_start_fails(self) -> None:
        """The handshake fails with the reason; the next one tries again."""
        self.make([ServerStartFailed("no such file", exitStatus=127)])
        session = Session("key", self.view, self.clock)
        heard = self.ask(session, "initialize", HELLO)
        self.assertEqual(heard.error["data"]["exitStatus"], 127)
        self.clock.advance(2)
        self.greeted()
        self.assertEqual(self.connector.attempts, 2)

    def test_questions(self) -> None:
        """Nobody can tell whom a question is meant for; the error says what to do."""
        self.greeted()
        self.wire.receive(Request(1, "roots/list"))
        (answer,) = self.wire.take()
        self.assertIn(b"session", bytes(answer.error))  # type: ignore[union-attr]

    def test_list_changed(self) -> None:
        """What concerns everybody is told to everybody."""
        sessions = [self.greeted() for _ in range(2)]
        said = Notification("notifications/tools/list_changed")
        self.wire.receive(said)
        self.assertEqual([self.said(s) for s in sessions], [[said], [said]])

    def test_who_left(self) -> None:
        """A client that left is told nothing."""
        session = self.greeted()
        session.end(ClientGone("bye"))
        self.wire.receive(Notification("notifications/tools/list_changed"))
        self.assertEqual(self.said(session), [])

    def test_process_stays(self) -> None:
        """When the last client left the process is kept for the next."""
        self.greeted().end(ClientGone("bye"))
        self.greeted()
        self.assertEqual((self.connector.attempts, self.wire.closing), (1, False))


class SubscriptionTests(BackendCase):
    """MCP 2025-11-25, *Resources, Subscriptions*, on a shared process."""

    def setUp(self) -> None:
        super().setUp()
        self.one, self.two = self.greeted(), self.greeted()

    def subscribe(self, session: Session, uri: str, method: str = "subscribe") -> Heard:
        heard = self.ask(session, f"resources/{method}", {"uri": uri}, id=uri + method)
        for request in self.requests():
            self.wire.receive(Result(request.id, b"{}"))
        return heard

    def updated(self, uri: str) -> None:
        self.wire.receive(Notification(UPDATED, encode_json({"uri": uri})))

    def test_subscribers_only(self) -> None:
        """Only those who subscribed hear of it."""
        self.assertEqual(self.subscribe(self.one, "a:1").answer, {})
        self.updated("a:1")
        self.updated("a:2")
        self.assertEqual((len(self.said(self.one)), self.said(self.two)), (1, []))

    def test_refused(self) -> None:
        """A subscription that the server did not grant is none, nor made again."""
        heard = self.ask(self.one, "resources/subscribe", {"uri": "a:1"})
        (request,) = self.requests()
        self.wire.receive(Error(request.id, b'{"code":-32002,"message":"no"}'))
        self.assertEqual(heard.error["code"], -32002)
        self.updated("a:1")
        self.assertEqual(self.said(self.one), [])
        self.assertEqual(self.backend.attach(self.one).subscriptions, set())

    def test_taken_back_at_once(self) -> None:
        """One that is taken back before it was granted does not stay."""
        self.ask(self.one, "resources/subscribe", {"uri": "a:1"}, id=1)
        self.ask(self.one, "resources/unsubscribe", {"uri": "a:1"}, id=2)
        for request in self.requests():
            self.wire.receive(Result(request.id, b"{}"))
        self.assertEqual(self.backend.attach(self.one).subscriptions, set())

    def test_too_many(self) -> None:
        """There is a bound, and the client is told of it."""
        self.patch(attachment, "_SUBSCRIPTIONS", 1)
        self.subscribe(self.one, "a:1")
        heard = self.ask(self.one, "resources/subscribe", {"uri": "a:2"})
        self.assertEqual((heard.error["data"]["limit"], self.methods()), ("subscriptions", []))

    def test_while_another_wants_it(self) -> None:
        """The server is told to stop only when nobody wants it any more."""
        for session in (self.one, self.two):
            self.subscribe(session, "a:1")
        heard = self.ask(self.one, "resources/unsubscribe", {"uri": "a:1"})
        self.assertEqual((heard.answer, self.methods()), ({}, []))
        self.updated("a:1")
        self.assertEqual((self.said(self.one), len(self.said(self.two))), ([], 1))
        self.ask(self.two, "resources/unsubscribe", {"uri": "a:1"})
        self.assertEqual(self.methods(), ["resources/unsubscribe"])

    def test_leaving(self) -> None:
        """Who leaves gives back what nobody else wants."""
        self.subscribe(self.one, "a:1")
        self.subscribe(self.one, "a:2")
        self.subscribe(self.two, "a:2")
        self.one.end(ClientGone("bye"))
        (request,) = self.requests()
        self.assertEqual(
            (request.method, opened(request.params)), ("resources/unsubscribe", {"uri": "a:1"})
        )

    def test_again_after_a_restart(self) -> None:
        """A process started anew is told what its predecessor knew; each thing once."""
        self.subscribe(self.one, "a:1")
        self.subscribe(self.two, "a:1")
        self.ask(self.one, LEVEL, {"level": "error"})
        self.wire.take()
        self.wire.lose(ServerExited("it died", exitStatus=1))
        self.clock.advance(1)
        self.agree()
        asked = [(r.method, opened(r.params)) for r in self.requests()]
        expected = [(LEVEL, {"level": "error"}), ("resources/subscribe", {"uri": "a:1"})]
        self.assertEqual(asked, expected)
        self.updated("a:1")
        self.assertEqual(len(self.said(self.two)), 1)


class LoggingTests(BackendCase):
    """Log messages of a shared process: nobody gets another's."""

    def setUp(self) -> None:
        super().setUp()
        self.one, self.two = self.greeted(), self.greeted()

    def log(self, level: str = "info") -> None:
        self.wire.receive(Notification(MESSAGE, encode_json({"level": level, "data": "x"})))

    def test_nobody_asks(self) -> None:
        """While no call is open it is for all."""
        self.log()
        self.assertEqual([len(self.said(s)) for s in (self.one, self.two)], [1, 1])

    def test_one_asks(self) -> None:
        """While one client has calls open it is that client's, and comes with its call."""
        heard = self.ask(self.one)
        self.log()
        self.assertEqual(([m for m, _ in heard.said], self.said(self.two)), ([MESSAGE], []))
        self.ask(self.one, id=2)
        self.log()
        self.assertEqual((len(self.said(self.one)), self.said(self.two)), (1, []))

    def test_two_ask(self) -> None:
        """While two have, nobody can tell; it is dropped and counted."""
        heards = [self.ask(session) for session in (self.one, self.two)]
        self.log()
        self.assertEqual([h.said for h in heards], [[], []])
        self.assertEqual((self.said(self.one), self.said(self.two)), ([], []))
        self.assertEqual(self.backend.unattributed, 1)

    def test_levels(self) -> None:
        """The process is set to the least severe that anybody wants; each hears its own."""
        for session, level, wanted in (
            (self.one, "error", "error"),
            (self.two, "debug", "debug"),
            (self.one, "info", "debug"),
        ):
            self.assertEqual(self.ask(session, LEVEL, {"level": level}).answer, {})
            (request,) = self.requests()
            self.assertEqual(opened(request.params), {"level": wanted})
            self.wire.receive(Result(request.id, b"{}"))
        self.log("debug")
        self.assertEqual([len(self.said(s)) for s in (self.one, self.two)], [0, 1])

    def test_no_level(self) -> None:
        """A level that is none is refused here."""
        for params in (None, {}, {"level": "loud"}, {"level": 5}):
            self.assertEqual(self.ask(self.one, LEVEL, params).error["code"], -32602)
        self.assertEqual(self.methods(), [])


class OwnProcessTests(BackendCase):
    """A process for each legacy session."""

    scope = "session"

    def test_own_hello(self) -> None:
        """Opened with the client's own hello, answered with the server's own welcome."""
        session = Session("key", self.view, self.clock)
        hello = {**HELLO, "capabilities": {"roots": {}, "x": {"y": 1}}, "extra": True}
        heard = self.ask(session, "initialize", hello)
        self.assertEqual(opened(self.agree().params), hello)
        self.assertEqual((heard.answer, session.revision), (WELCOME, "2025-11-25"))

    def test_one_each(self) -> None:
        """What one process says is for its session alone, and so is what it asks."""
        one, two = self.greeted(), self.greeted()
        first, second = self.connector.wires
        first.receive(Notification(MESSAGE, b'{"level":"debug"}'), Request(1, "roots/list"))
        self.assertEqual((len(self.said(one)), self.said(two)), (2, []))
        self.ask(two)
        self.assertEqual((self.methods(first), self.methods(second)), ([], ["tools/call"]))

    def test_early_question(self) -> None:
        """Servers ask for roots as soon as they are greeted, before the client can hear it: the
        question waits for the client."""
        session = Session("key", self.view, self.clock)
        self.ask(session, "initialize", HELLO)
        self.agree()
        self.wire.take()
        self.wire.receive(Request("r", "roots/list"))
        self.assertEqual(self.wire.take(), [])
        session.back = back = Back()
        session.release()
        (question,) = back.said
        assert isinstance(question, Request)
        session.answer(Result(question.id, b'{"roots":[]}'))
        self.assertEqual(self.wire.take(), [Result("r", b'{"roots":[]}')])

    def test_client_words(self) -> None:
        """The client's own notifications reach its process."""
        session = self.greeted()
        said = Notification("notifications/roots/list_changed")
        session.notification(said)
        self.assertEqual(self.wire.take(), [said])

    def test_ends_with_the_session(self) -> None:
        """The process is stopped when the session ends; the daemon waits for it to be gone."""
        self.greeted().end(ClientGone("bye"))
        self.assertTrue(self.wire.closing)
        stopped = self.backend.stop()
        self.assertNoResult(stopped)
        self.clock.advance(0)
        self.successResultOf(stopped)

    def test_crash(self) -> None:
        """A process that died is started anew when the client asks next, greeted and told as
        before; not earlier."""
        session = self.greeted()
        self.ask(session, LEVEL, {"level": "info"}, id="l")
        self.ask(session, "resources/subscribe", {"uri": "a:1"}, id="s")
        for request in self.requests():
            self.wire.receive(Result(request.id, b"{}"))
        self.wire.lose(ServerExited("it died", exitStatus=1))
        self.clock.advance(60)
        self.assertEqual(self.connector.attempts, 1)
        self.ask(session)
        self.assertEqual(opened(self.agree().params), HELLO)
        self.assertEqual(self.methods(), [LEVEL, "resources/subscribe", "tools/call"])

    def test_start_fails(self) -> None:
        """The client is told why."""
        self.make([ServerStartFailed("no such file")])
        session = Session("key", self.view, self.clock)
        heard = self.ask(session, "initialize", HELLO)
        self.assertEqual(heard.error["data"]["code"], "server-start-failed")


class PoolTests(BackendCase):
    """Several processes, each client keeping to one."""

    scope = "pool"

    def test_spread(self) -> None:
        """Clients are spread evenly, and stay where they are."""
        self.make(pool=2)
        sessions = [self.greeted() for _ in range(4)]
        self.assertEqual(self.connector.attempts, 2)
        for _ in range(2):
            for session in sessions:
                self.ask(session, id=self.clock.seconds())
            counts = [len(self.requests(wire)) for wire in self.connector.wires]
            self.assertEqual(counts, [2, 2])
            self.clock.advance(1)

    def test_modern_by_load(self) -> None:
        """Modern requests go to the least busy."""
        self.make(pool=2)
        for _ in range(4):
            self.ask_modern()
            if self.wire.sent and self.wire.sent[0].method == "server/discover":  # type: ignore[union-attr]
                self.agree()
        self.assertEqual([len(self.requests(w)) for w in self.connector.wires], [2, 2])


class ModernTests(BackendCase):
    """Modern clients: strangers, each for one request, on one process of its own era."""

    def test_shared(self) -> None:
        """One process for all, opened by ``server/discover``; not that of legacy clients."""
        self.greeted()
        heards = [self.ask_modern() for _ in range(2)]
        self.assertEqual(self.agree().method, "server/discover")
        for request in self.requests():
            self.wire.receive(Result(request.id, encode_json({"n": request.id})))
        self.assertEqual(len({h.answer["n"] for h in heards}), 2)
        self.assertEqual(self.connector.attempts, 2)

    def test_unchanged(self) -> None:
        """The request reaches the server as the client said it, but for its id."""
        request = modern_request("tools/call", {"name": "n", "x": [1.50]}, id="mine")
        self.backend.begin(Exchange(request, Heard(), modern_visit()))
        self.agree()
        (asked,) = self.requests()
        self.assertEqual(asked.params, request.params)

    def test_removed(self) -> None:
        """Methods that the modern era has not any more are refused here, with 404 on HTTP."""
        for method in (
            "initialize", "ping", LEVEL, "resources/subscribe", "resources/unsubscribe",
            "notifications/roots/list_changed",
        ):  # fmt: skip
            self.assertEqual(self.ask_modern(method).error["code"], -32601)
        self.assertEqual(self.connector.attempts, 0)

    def test_log_messages(self) -> None:
        """MCP 2026-07-28, *Logging*: to the one call that asked for them; else to nobody."""
        curious = Visit("2026-07-28", b"", b"{}", log_level="info")
        wanting = self.ask_modern(visit=curious)
        self.agree()
        quiet = self.ask_modern()
        said = Notification(MESSAGE, b'{"level":"info"}')
        self.wire.receive(said)
        self.assertEqual((len(wanting.said), quiet.said), (1, []))
        self.ask_modern(visit=Visit("2026-07-28", b"", b"{}", log_level="info"))
        self.wire.receive(said)
        self.assertEqual((len(wanting.said), self.backend.unattributed), (1, 1))

    def test_questions(self) -> None:
        """A modern server may not ask."""
        self.ask_modern()
        self.agree()
        self.wire.take()
        self.wire.receive(Request(1, "elicitation/create"))
        (answer,) = self.wire.take()
        self.assertIn(b"input_required", bytes(answer.error))  # type: ignore[union-attr]

    def test_mirrored_headers(self) -> None:
        """A call is held against its tool's schema before it is put to the server."""
        schema = {"properties": {"r": {"type": "string", "x-mcp-header": "R"}}}
        seen: list[Any] = []

        def mirror(found: Any, params: Any) -> None:
            seen.append((found, opened(params)["name"]))
            raise HeaderMismatch("no")

        stay = Visit("2026-07-28", b"", b"{}", mirror=mirror)
        waiting = self.ask_modern(visit=stay, name="t")
        self.agree(capabilities={"tools": {}})
        (listing,) = self.requests()
        tools = [{"name": "t", "inputSchema": schema}, {"name": "u", "inputSchema": {}}]
        self.wire.receive(Result(listing.id, encode_json({"tools": tools})))
        self.assertEqual(waiting.error["code"], -32020)
        self.assertEqual(seen, [(schema, "t")])
        for name, method in (("u", "tools/call"), ("t", "prompts/get")):
            self.ask_modern(method, visit=stay, name=name)
        self.assertEqual((len(seen), len(self.requests())), (1, 2))


class DaemonTests(BackendCase):
    """What the daemon does with it."""

    def test_lazy(self) -> None:
        """It is not started before anybody asks."""
        self.backend.start()
        self.assertEqual((self.connector.attempts, self.backend.trouble()), (0, None))

    def test_eager(self) -> None:
        """It is started with the daemon, and tried again when that fails."""
        self.make([ServerStartFailed("busy")], lazy=False)
        self.backend.start()
        trouble = self.backend.trouble()
        assert trouble is not None
        self.assertIn("busy", trouble.message)
        self.clock.advance(1)
        self.agree()
        self.assertIsNone(self.backend.trouble())

    def test_in_flight(self) -> None:
        """Calls that wait for the server to start count too."""
        session = self.greeted()
        self.ask(session)
        self.ask_modern()
        self.assertEqual(self.backend.in_flight(), 2)

    def test_stop(self) -> None:
        """Everybody is told why; whoever comes later too; it is over when nothing is left."""
        session = self.greeted()
        heards = [self.ask(session), self.ask_modern()]
        stopped = self.backend.stop(Draining("the daemon is about to stop"))
        self.assertNoResult(stopped)
        heards += [self.ask(session, id=9), self.ask_modern()]
        fresh = Session("new", self.view, self.clock)
        heards.append(self.ask(fresh, "initialize", HELLO))
        self.assertEqual([h.error["data"]["code"] for h in heards], ["draining"] * 5)
        self.clock.advance(0)
        self.successResultOf(stopped)
        self.assertTrue(all(wire.gone for wire in self.connector.wires))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stop_own_processes(self) -> None:
        """No process is made for a session that comes after."""
        self.make(scope="session")
        self.backend.stop()
        self.ask(Session("new", self.view, self.clock), "initialize", HELLO)
        self.assertEqual(self.connector.attempts, 0)

    def test_restart(self) -> None:
        """Every process that is up is replaced."""
        self.greeted()
        self.ask_modern()
        self.agree()
        self.backend.restart()
        self.clock.advance(0)
        self.assertEqual([w.gone for w in self.connector.wires], [True, True, False, False])


@implementer(IKeepsConnections)
class KeepingConnector(FakeConnector):
    """A way on which connections are kept between wires.

    :ivar closed: how many wires were left at each end of the connections.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.closed: list[int] = []

    def close(self) -> Deferred[None]:
        self.closed.append(sum(not wire.gone for wire in self.wires))
        return succeed(None)


class KeptConnectionsTests(BackendCase):
    """What a way to a server keeps open is ended with the server."""

    def make(self, plan: Any = (), **more: Any) -> None:
        super().make(plan, **more)
        self.connector = self.backend._connector = KeepingConnector(plan, clock=self.clock)
        for supervisor in self.backend.supervisors():
            supervisor.replace(self.connector)

    @property
    def keeping(self) -> KeepingConnector:
        assert isinstance(self.connector, KeepingConnector)
        return self.connector

    def test_stopped(self) -> None:
        """When the server is stopped, after its wires."""
        self.greeted()
        stopped = self.backend.stop()
        self.assertEqual(self.keeping.closed, [])
        self.clock.advance(0)
        self.successResultOf(stopped)
        self.assertEqual(self.keeping.closed, [0])

    def test_reached_otherwise(self) -> None:
        """When it is reached by another way, after the wires of the old one."""
        self.greeted()
        other = FakeConnector(clock=self.clock)
        self.backend.replace(other)
        self.assertEqual(self.keeping.closed, [])
        self.clock.advance(0)
        self.assertEqual((self.keeping.closed, len(other.wires)), ([0], 1))


class CrossingTests(BackendCase):
    """No answer ever crosses between clients, whatever happens in whatever order."""

    STEPS = some.lists(
        some.tuples(
            some.sampled_from(
                ["ask", "modern", "answer", "twice", "stray", "cancel", "crash", "leave"]
            ),
            some.integers(0, 20),
        ),
        min_size=5,
        max_size=40,
    )

    @settings(deadline=None, max_examples=100)
    @given(STEPS, some.sampled_from(["shared", "session", "pool"]))
    def test_any_order(self, steps: list[tuple[str, int]], scope: str) -> None:
        """Three sessions and any number of modern clients, all with equal ids: each call ends at
        most once, with its own payload; and exactly once when the server is stopped."""
        self.clock = Clock()
        self.make(scope=scope, pool=2)
        self.sessions = [self.greeted() for _ in range(3)]
        self.calls: list[tuple[str, Heard]] = []
        self.heard_by: list[tuple[FakeWire, Request]] = []
        for step, which in steps:
            getattr(self, f"do_{step}")(which)
            self.gather()
        self.backend.stop()
        self.clock.advance(1)
        for tag, heard in self.calls:
            self.assertEqual(heard.answers + (heard.gone is not None), 1)
            self.assertIn(heard.answer, (None, {"tag": tag}))
        self.assertTrue(all(wire.gone for wire in self.connector.wires))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def gather(self) -> None:
        """Answer every opening, and note what the processes were asked."""
        for wire in self.connector.wires:
            while (
                not wire.gone
                and wire.sent
                and wire.sent[0].method in ("initialize", "server/discover")
            ):  # type: ignore[union-attr]
                self.agree(wire)
            self.heard_by += [(wire, r) for r in self.requests(wire) if r.method == "tools/call"]

    def do_ask(self, which: int) -> None:
        session = self.sessions[which % 3]
        if session.ended is None and not len(session.opened):
            tag = f"call {len(self.calls)}"
            self.calls.append((tag, self.ask(session, params={"tag": tag})))

    def do_modern(self, which: int) -> None:
        tag = f"call {len(self.calls)}"
        self.calls.append((tag, self.ask_modern(tag=tag)))

    def do_answer(self, which: int) -> None:
        if self.heard_by:
            wire, request = self.heard_by[which % len(self.heard_by)]
            wire.receive(Result(request.id, encode_json({"tag": opened(request.params)["tag"]})))

    def do_twice(self, which: int) -> None:
        self.do_answer(which)
        self.do_answer(which)

    def do_stray(self, which: int) -> None:
        if self.connector.wires:
            self.wire.receive(Result(10_000 + which, b'{"tag":"stray"}'))

    def do_cancel(self, which: int) -> None:
        for exchange in self.sessions[which % 3].opened:
            exchange.cancel("enough")

    def do_crash(self, which: int) -> None:
        wire = self.connector.wires[which % len(self.connector.wires)]
        wire.lose(ServerExited("it died", exitStatus=1))
        self.clock.advance(1)

    def do_leave(self, which: int) -> None:
        self.sessions[which % 3].end(ClientGone("bye"))


class EraTests(BackendCase):
    """A server that is configured for one era."""

    def test_only_the_configured(self) -> None:
        """It is asked in no other."""
        for eras, opening in (((LEGACY,), "initialize"), ((MODERN,), "server/discover")):
            self.make(eras=eras)
            self.ask_modern("tools/list")
            self.session()
            methods = {wire.sent[0].method for wire in self.connector.wires}  # type: ignore[union-attr]
            self.assertEqual(methods, {opening})
