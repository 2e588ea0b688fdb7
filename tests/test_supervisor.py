"""``mcptwist.supervisor``: keeping one link to a server up, with patience."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as some
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from mcptwist.errors import (
    Draining,
    EraMismatch,
    InvalidParams,
    McpTwistError,
    ServerExited,
    ServerStartFailed,
    ServerUnavailable,
)
from mcptwist.exchange import Exchange
from mcptwist.interfaces import IAnswerer
from mcptwist.link import Link
from mcptwist.messages import Error, Notification, Request, Result, encode_json
from mcptwist.negotiation import hello_params
from mcptwist.opening import Discovering, Handshake
from mcptwist.patience import Patience
from mcptwist.spare import Spare
from mcptwist.supervisor import (
    IDLE,
    STARTING,
    STOPPED,
    UP,
    WAITING,
    Supervisor,
    SupervisorSettings,
)
from tests.fakes import FakeConnector, FakeWire
from tests.scripted import Heard, opened
from tests.test_link import Listeners

ME = {"name": "mcptwist", "version": "0"}
WELCOME = {"protocolVersion": "2025-06-18", "capabilities": {}, "serverInfo": {"name": "s"}}
DISCOVERY = {"supportedVersions": ["2026-07-28"], "capabilities": {}, "resultType": "complete"}


class Crowd(Listeners):
    """Listeners who also remember which links came up, and let in only whom they like.

    :ivar unwelcome: methods that are not let in.
    """

    def __init__(self) -> None:
        super().__init__()
        self.ups: list[Link] = []
        self.refusals: list[EraMismatch] = []
        self.unwelcome: set[str] = set()

    def admit(self, link: object, exchange: Exchange) -> None:
        if exchange.request.method in self.unwelcome:
            raise InvalidParams("not you")

    def refused(self, exchange: Exchange, problem: McpTwistError) -> None:
        assert isinstance(problem, EraMismatch)
        self.refusals.append(problem)
        exchange.fail(problem)

    def up(self, link: object) -> None:
        assert isinstance(link, Link)
        self.ups.append(link)


class SupervisorCase(SynchronousTestCase):
    """A supervisor whose server is the test."""

    opening: Any = Handshake(hello_params({}, ME))
    welcome: dict[str, Any] = WELCOME

    def setUp(self) -> None:
        self.clock = Clock()
        self.make()

    def make(
        self, plan: Any = (), *, breaker: int = 3, policy: Any = "on-failure", **more: Any
    ) -> None:
        self.connector = FakeConnector(plan, clock=self.clock)
        self.crowd = Crowd()
        self.patience = Patience(
            1.0, 8.0, breaker_starts=breaker, breaker_open_for=100.0, policy=policy
        )
        self.supervisor = Supervisor(
            "time", self.connector, self.opening, self.crowd, self.patience, self.clock,
            SupervisorSettings(**{"start_timeout": 10.0, **more}),
        )  # fmt: skip

    @property
    def wire(self) -> FakeWire:
        return self.connector.wire

    def ask(self, method: str = "tools/call", id: Any = 1) -> Heard:
        heard = Heard()
        self.exchange = Exchange(Request(id, method), heard)
        self.supervisor.begin(self.exchange)
        return heard

    def agree(self) -> None:
        """The server answers the opening."""
        (request, *_) = self.wire.take()
        assert isinstance(request, Request)
        self.wire.receive(Result(request.id, encode_json(self.welcome)))

    def answer(self, result: bytes = b"{}") -> list[Any]:
        """The server answers what it was asked since; the methods."""
        asked = [m for m in self.wire.take() if isinstance(m, Request)]
        self.wire.receive(*(Result(request.id, result) for request in asked))
        return [request.method for request in asked]

    def crash(self, status: int | None = 1) -> None:
        self.wire.lose(ServerExited("it exited", exitStatus=status, stderr=["boom"]))


class StartTests(SupervisorCase):
    """Opening a link when somebody asks."""

    def test_lazy(self) -> None:
        """Nothing is started before anybody asks, and one start serves all who do."""
        verifyObject(IAnswerer, self.supervisor)
        self.assertEqual((self.supervisor.state, self.connector.attempts), (IDLE, 0))
        heards = [self.ask(id=n) for n in range(3)]
        self.assertEqual((self.supervisor.state, self.connector.attempts), (STARTING, 1))
        self.assertEqual(len(self.supervisor), 3)
        self.agree()
        self.assertEqual((self.supervisor.state, len(self.crowd.ups)), (UP, 1))
        self.answer(b'{"a":1}')
        self.assertEqual([h.answer for h in heards], [{"a": 1}] * 3)
        self.assertEqual(len(self.supervisor), 0)

    def test_order(self) -> None:
        """Opening first, then those who wait in the order they came."""
        for method in "abc":
            self.ask(method)
        self.assertEqual(len(self.wire.sent), 1)
        self.agree()
        self.assertEqual(
            [m.method for m in self.wire.sent],  # type: ignore[union-attr]
            ["notifications/initialized", "a", "b", "c"],
        )

    def test_cancelled_while_waiting(self) -> None:
        """What was cancelled meanwhile is not put to the server."""
        self.ask("a")
        self.exchange.cancel("enough")
        self.ask("b")
        self.assertEqual(len(self.supervisor), 1)
        self.agree()
        self.assertEqual(self.answer(), ["b"])

    def test_queue(self) -> None:
        """Only so many wait for a start; those cancelled meanwhile do not count."""
        self.make([Deferred()], queue=2)
        for _ in range(5):
            self.ask()
            self.exchange.cancel("enough")
        heards = [self.ask() for _ in range(3)]
        self.assertEqual([h.answers for h in heards], [0, 0, 1])
        self.assertEqual(heards[2].error["data"], {"code": "overloaded", "limit": "queue"})

    def test_not_admitted(self) -> None:
        """The company may say no, to those who waited too."""
        self.crowd.unwelcome = {"a"}
        first = self.ask("a")
        self.agree()
        second = self.ask("a")
        self.assertEqual([h.error["message"] for h in (first, second)], ["not you"] * 2)

    def test_when_up(self) -> None:
        """The link, now or when there is one."""
        waiting = self.supervisor.when_up()
        self.assertNoResult(waiting)
        self.agree()
        link = self.successResultOf(waiting)
        self.assertIs(self.successResultOf(self.supervisor.when_up()), link)
        self.assertEqual(opened(link.welcome), WELCOME)

    def test_connector_fails(self) -> None:
        """Everybody who waits is told why: what went wrong, which attempt, what it last said."""
        self.make([Deferred()])
        plan = self.connector.plan[0]
        heards, waiting = [self.ask(), self.ask()], self.supervisor.when_up()
        plan.errback(ServerStartFailed("no such file", exitStatus=127, stderr=["sh: not found"]))
        for heard in heards:
            self.assertIn("no such file", heard.error["message"])
            data = heard.error["data"]
            self.assertEqual((data["code"], data["server"]), ("server-start-failed", "time"))
            self.assertEqual((data["exitStatus"], data["stderr"]), (127, ["sh: not found"]))
            self.assertIn("attempt", data)
        self.failureResultOf(waiting, ServerStartFailed)
        self.assertEqual(self.supervisor.state, IDLE)

    def test_exits_while_opening(self) -> None:
        """A server that exits during the handshake could not be started; its wire is closed."""
        heard = self.ask()
        self.crash(3)
        data = heard.error["data"]
        self.assertEqual((data["code"], data["exitStatus"]), ("server-start-failed", 3))

    def test_silent(self) -> None:
        """One that does not answer the handshake in time is closed; MCP forbids to cancel it."""
        heard = self.ask()
        self.clock.advance(10)
        self.assertEqual(heard.error["data"]["code"], "server-start-failed")
        self.assertIn("10 s", heard.error["message"])
        self.assertTrue(self.wire.closing)
        self.assertEqual([type(m) for m in self.wire.sent], [Request])

    def test_refuses_the_handshake(self) -> None:
        """One that refuses it does not speak this era; the company decides what becomes of that."""
        heard = self.ask()
        self.wire.receive(Error(self.wire.take()[0].id, b'{"code":-32601,"message":"what?"}'))  # type: ignore[union-attr]
        self.assertEqual((heard.answers, len(self.crowd.refusals)), (1, 1))
        self.assertTrue(self.wire.closing)
        self.ask()
        self.assertEqual((self.connector.attempts, len(self.crowd.refusals)), (1, 2))
        self.clock.advance(301)
        self.ask()
        self.assertEqual(self.connector.attempts, 2)

    def test_welcome_is_none(self) -> None:
        """A welcome that is none, or of a revision nobody knows, ends the start."""
        for welcome in (b"[]", b'{"protocolVersion":"1999-01-01","capabilities":{}}', b"{}"):
            self.make()
            heard = self.ask()
            self.wire.receive(Result(self.wire.take()[0].id, welcome))  # type: ignore[union-attr]
            self.assertEqual(heard.error["data"]["code"], "server-start-failed", welcome)
            self.assertTrue(self.wire.closing)

    def test_our_own_mistake(self) -> None:
        """A connector that breaks its promise is logged; whoever waits is told no secrets."""

        class Broken:
            description = "broken"

            def connect(self, reader: object) -> Any:
                raise ZeroDivisionError("secret")

        self.supervisor._connector = Broken()  # type: ignore[assignment]
        heard = self.ask()
        self.assertNotIn("secret", heard.error["message"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)


class LossTests(SupervisorCase):
    """When the wire is gone."""

    def setUp(self) -> None:
        super().setUp()
        self.ask()
        self.agree()
        self.answer()

    def test_in_flight(self) -> None:
        """Calls in flight fail with the reason, exit status and last words included."""
        heards = [self.ask(id=n) for n in range(2)]
        self.crash(7)
        for heard in heards:
            data = heard.error["data"]
            self.assertEqual((data["code"], data["exitStatus"]), ("server-exited", 7))
            self.assertEqual(data["stderr"], ["boom"])

    def test_logged(self) -> None:
        """A loss is told in the log, with the reason; nobody may have asked anything."""
        events: list[Any] = []
        globalLogPublisher.addObserver(events.append)
        self.addCleanup(globalLogPublisher.removeObserver, events.append)
        self.crash()
        (event,) = [event for event in events if "supervisor" in event["log_namespace"]]
        told = event["log_format"].format(**event)
        self.assertEqual((event["log_level"].name, told), ("warn", "time is gone: it exited"))

    def test_restart(self) -> None:
        """It is started again after a moment, unasked, and the company hears of it."""
        self.crash()
        self.assertEqual((self.supervisor.state, self.connector.attempts), (WAITING, 1))
        self.clock.advance(1)
        self.assertEqual(self.connector.attempts, 2)
        self.agree()
        self.assertEqual((self.supervisor.state, len(self.crowd.ups)), (UP, 2))

    def test_clean_exit(self) -> None:
        """One that ended well is not started again before anybody asks."""
        self.crash(0)
        self.clock.advance(100)
        self.assertEqual((self.supervisor.state, self.connector.attempts), (IDLE, 1))
        self.ask()
        self.assertEqual(self.connector.attempts, 2)

    def test_policies(self) -> None:
        """always, on-failure, never."""
        for policy, status, attempts in (
            ("always", 0, 2),
            ("always", 1, 2),
            ("on-failure", 0, 1),
            ("on-failure", None, 2),
            ("never", 1, 1),
        ):
            self.make(policy=policy)
            self.ask()
            self.agree()
            self.crash(status)
            self.clock.advance(5)
            self.assertEqual(self.connector.attempts, attempts, (policy, status))

    def test_asked_while_waiting(self) -> None:
        """Who asks shortly before the next try waits for it; who asks long before is told when
        to come back, and why."""
        self.crash()
        soon = self.ask()
        self.clock.advance(1)
        self.agree()
        self.answer()
        self.assertEqual(soon.answers, 1)
        self.crash()
        heard = self.ask()
        data = heard.error["data"]
        self.assertEqual((data["code"], data["attempt"]), ("server-unavailable", 2))
        self.assertEqual((data["retryAfter"], data["server"]), (2.0, "time"))
        self.assertEqual((data["exitStatus"], data["stderr"]), (1, ["boom"]))
        self.failureResultOf(self.supervisor.when_up(), ServerUnavailable)

    def test_back_off_and_breaker(self) -> None:
        """Each wait is longer; after three failures nobody tries for a long while; then one
        start is let through."""
        waits = []
        for _ in range(3):
            self.crash()
            before = self.clock.seconds()
            while self.supervisor.state == WAITING:
                self.clock.advance(0.5)
            waits.append(self.clock.seconds() - before)
            self.agree()
        self.assertEqual(waits, [1, 2, 100])
        self.assertEqual(self.patience.state, "half-open")

    def test_uptime_is_remembered(self) -> None:
        """One that lasted for a while starts its row of failures anew."""
        self.crash()
        self.clock.advance(1)
        self.agree()
        self.clock.advance(61)
        self.crash()
        self.assertEqual(self.patience.attempt, 1)

    def test_restart_that_fails(self) -> None:
        """A restart that fails is tried again: a server that was up is wanted."""
        self.connector.plan = [ServerStartFailed("busy")]
        self.crash()
        self.clock.advance(1)
        self.assertEqual((self.connector.attempts, self.supervisor.state), (2, WAITING))
        self.clock.advance(2)
        self.assertEqual(self.connector.attempts, 3)
        self.agree()
        self.assertEqual(self.supervisor.state, UP)

    def test_no_restart(self) -> None:
        """Where nobody but one session wants it, it waits to be asked."""
        self.make(restart=False)
        self.ask()
        self.agree()
        self.crash()
        self.clock.advance(100)
        self.assertEqual(self.connector.attempts, 1)

    def test_late_word(self) -> None:
        """What an old wire still says does not touch the new link."""
        heard = self.ask()
        old, id = self.wire, self.wire.take()[0].id  # type: ignore[union-attr]
        self.crash()
        self.clock.advance(1)
        self.agree()
        old.reader.received(Result(id, b'"late"'))
        old.reader.lost(ServerExited("again"))
        self.assertEqual((heard.answers, self.supervisor.state), (1, UP))


class KeepUpTests(SupervisorCase):
    """A server that starts with the daemon."""

    def test_unasked(self) -> None:
        """It is started before anybody asks."""
        self.supervisor.keep_up()
        self.agree()
        self.assertEqual(self.supervisor.state, UP)
        self.supervisor.keep_up()
        self.assertEqual(self.connector.attempts, 1)

    def test_first_start_fails(self) -> None:
        """It is tried again, as patience allows, without anybody asking."""
        self.make([ServerStartFailed("no"), ServerStartFailed("no")], breaker=0)
        self.supervisor.keep_up()
        self.assertEqual((self.connector.attempts, self.supervisor.state), (1, WAITING))
        self.clock.pump([1.0] * 3)
        self.assertEqual((self.connector.attempts, self.supervisor.state), (3, STARTING))

    def test_never(self) -> None:
        """Unless its policy is never to be restarted."""
        self.make([ServerStartFailed("no")], policy="never")
        self.supervisor.keep_up()
        self.clock.advance(100)
        self.assertEqual((self.connector.attempts, self.supervisor.state), (1, IDLE))

    def test_lazy_one_that_never_was_up(self) -> None:
        """What nobody wants any more is not tried in vain."""
        self.make([ServerStartFailed("no")])
        self.ask()
        self.clock.advance(100)
        self.assertEqual(self.connector.attempts, 1)

    def test_no_recursion(self) -> None:
        """Starts that fail at once are tried one after the other, not one inside the other."""
        self.make([ServerStartFailed("no")] * 3000, breaker=0)
        self.supervisor._patience = Patience(0.0, 0.0, breaker_starts=0)
        self.supervisor.keep_up()
        self.assertEqual(self.connector.attempts, 1)
        self.clock.advance(0)
        self.assertEqual(self.connector.attempts, 3001)


class StopTests(SupervisorCase):
    """Ending the link and opening no other."""

    def test_up(self) -> None:
        """Calls in flight are told; it is over when the wire is closed."""
        heard = self.ask()
        self.agree()
        stopped = self.supervisor.stop(Draining("the daemon is about to stop"))
        self.assertEqual(heard.error["data"]["code"], "draining")
        self.assertNoResult(stopped)
        self.clock.advance(0)
        self.successResultOf(stopped)
        self.assertEqual((self.supervisor.state, self.clock.getDelayedCalls()), (STOPPED, []))

    def test_asked_after(self) -> None:
        """Nobody is started any more."""
        self.supervisor.stop()
        self.assertEqual(self.ask().error["data"]["code"], "draining")
        self.failureResultOf(self.supervisor.when_up(), Draining)
        self.supervisor.keep_up()
        self.supervisor.restart()
        self.assertEqual((self.connector.attempts, self.supervisor.state), (0, STOPPED))

    def test_connecting(self) -> None:
        """While it connects: the attempt is called off, nothing is left."""
        self.make([Deferred()])
        heard = self.ask()
        stopped = self.supervisor.stop()
        self.successResultOf(stopped)
        self.assertEqual((heard.answers, self.connector.wires), (1, []))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_opening(self) -> None:
        """While it shakes hands: the wire is closed, and waited for."""
        heard, waiting = self.ask(), self.supervisor.when_up()
        stopped = self.supervisor.stop()
        self.assertEqual((heard.answers, self.wire.closing), (1, True))
        self.failureResultOf(waiting, Draining)
        self.assertNoResult(stopped)
        self.clock.advance(0)
        self.successResultOf(stopped)
        self.assertEqual((self.supervisor.state, self.clock.getDelayedCalls()), (STOPPED, []))

    def test_waiting(self) -> None:
        """While it waits for the next try: that is called off."""
        self.ask()
        self.agree()
        self.crash()
        self.successResultOf(self.supervisor.stop())
        self.clock.advance(100)
        self.assertEqual(self.connector.attempts, 1)

    def test_twice(self) -> None:
        """Stopping twice is stopping once."""
        self.ask()
        self.agree()
        first, second = self.supervisor.stop(), self.supervisor.stop()
        self.clock.advance(0)
        self.successResultOf(first)
        self.successResultOf(second)
        self.assertEqual(self.wire.calls, ["close"])


class RestartTests(SupervisorCase):
    """Replacing the server because somebody said so."""

    def test_up(self) -> None:
        """The old wire is closed, calls in flight are told, a new one is opened after that."""
        self.ask()
        self.agree()
        self.answer()
        heard, old = self.ask(), self.wire
        self.supervisor.restart()
        self.assertEqual(heard.error["data"]["code"], "server-unavailable")
        self.assertTrue(old.closing)
        following = self.ask()
        self.assertEqual((self.supervisor.state, self.connector.attempts), (STARTING, 1))
        self.clock.advance(0)  # the old one is gone
        self.assertEqual(self.connector.attempts, 2)
        self.agree()
        self.assertEqual(self.answer(), ["tools/call"])
        self.assertEqual((self.supervisor.state, following.answers), (UP, 1))

    def test_slow_to_go(self) -> None:
        """The time the old one takes to go does not count as the new one's; it can be stopped."""
        for stopped in (False, True):
            self.make()
            self.connector.clock = None
            self.ask()
            self.agree()
            old = self.wire
            self.supervisor.restart()
            self.clock.advance(30)
            if stopped:
                done = self.supervisor.stop()
                self.assertNoResult(done)
                old.finish_closing()
                self.successResultOf(done)
                self.assertEqual(self.connector.attempts, 1)
            else:
                old.finish_closing()
                self.clock.advance(9)
                self.agree()
                self.assertEqual(self.supervisor.state, UP)

    def test_waiting(self) -> None:
        """The back-off is forgotten."""
        self.ask()
        self.agree()
        self.crash()
        self.supervisor.restart()
        self.assertEqual((self.supervisor.state, self.patience.attempt), (STARTING, 0))
        self.clock.advance(5)
        self.assertEqual(self.connector.attempts, 2)

    def test_starting(self) -> None:
        """One that is being started is not started twice."""
        self.ask()
        self.supervisor.restart()
        self.agree()
        self.assertEqual((self.connector.attempts, self.supervisor.state), (1, UP))


class ReplaceTests(SupervisorCase):
    """Another way to the server, because its configuration has changed."""

    def setUp(self) -> None:
        super().setUp()
        self.other = FakeConnector(clock=self.clock)

    def replace(self) -> None:
        self.supervisor.replace(self.other)
        self.connector = self.other

    def test_connecting(self) -> None:
        """What is being connected to is given up; who waits goes on to wait, for the other."""
        self.make([Deferred()])
        heard, old = self.ask(), self.connector
        self.replace()
        self.assertEqual((heard.answers, self.supervisor.state), (0, STARTING))
        self.agree()
        self.answer()
        self.assertEqual((heard.answer, old.wires, self.supervisor.starts), ({}, [], 1))

    def test_shaking_hands(self) -> None:
        """A process that does not answer is closed, and the other started when it is gone."""
        heard, old = self.ask(), self.wire
        self.clock.advance(9)
        self.replace()
        self.assertEqual((old.closing, self.other.attempts), (True, 0))
        self.clock.advance(0)
        self.clock.advance(9)  # the time to start is the other's own
        self.agree()
        self.answer()
        self.assertEqual(heard.answer, {})

    def test_twice(self) -> None:
        """Only the last way is gone."""
        heard, between = self.ask(), FakeConnector([Deferred()], clock=self.clock)
        self.supervisor.replace(between)
        self.clock.advance(0)
        self.assertEqual(between.attempts, 1)
        self.replace()
        self.agree()
        self.answer()
        self.assertEqual((heard.answer, between.wires), ({}, []))

    def test_stopped_at_once(self) -> None:
        """Nothing is started for who stops it then."""
        heard = self.ask()
        self.replace()
        self.supervisor.stop()
        self.clock.advance(1)
        self.assertEqual((heard.answers, self.other.attempts), (1, 0))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_failures_are_forgotten(self) -> None:
        """What did not start is tried by the other way as soon as somebody asks."""
        self.make([ServerStartFailed("no such file")] * 3)
        for _ in range(3):
            self.ask()
            self.clock.advance(10)
        self.assertIn("no such file", self.ask().error["message"])
        self.replace()
        self.supervisor.forget()
        self.assertIsNone(self.supervisor.reason)
        heard = self.ask()
        self.agree()
        self.answer()
        self.assertEqual(heard.answer, {})


class SpareTests(SupervisorCase):
    """A process that refused one era and is asked in the other."""

    def setUp(self) -> None:
        super().setUp()
        self.spare = Spare(self.clock, lambda closed: None)
        self.modern, self.legacy = self.supervise(Discovering(ME)), self.supervise(self.opening)

    def supervise(self, opening: Any) -> Supervisor:
        return Supervisor(
            "time", self.connector, opening, self.crowd, Patience(), self.clock, None, None,
            self.spare,
        )  # fmt: skip

    def probe(self, code: int = -32601) -> None:
        """The server is asked whether it is modern, and is not."""
        self.modern.begin(Exchange(Request(1, "tools/list"), Heard()))
        (request,) = self.wire.take()
        assert isinstance(request, Request)
        self.wire.receive(Error(request.id, encode_json({"code": code, "message": "no"})))

    def call(self) -> Heard:
        heard = Heard()
        self.legacy.begin(Exchange(Request(1, "tools/call"), heard))
        return heard

    def test_used(self) -> None:
        """It is greeted, under an id that it has not seen, and nothing is started."""
        self.probe()
        self.assertEqual(self.wire.calls, [])
        heard = self.call()
        (hello,) = self.wire.take()
        assert isinstance(hello, Request)
        self.assertEqual((hello.method, hello.id), ("initialize", 2))
        self.wire.receive(Result(hello.id, encode_json(WELCOME)))
        self.assertEqual(self.answer(), ["tools/call"])
        self.assertEqual((heard.answers, self.connector.attempts, self.legacy.state), (1, 1, UP))
        self.crash()
        self.assertEqual((self.legacy.state, self.modern.state), (WAITING, IDLE))

    def test_unfit(self) -> None:
        """One that refuses, exits or is silent now is stopped, and another started, in time."""
        for unfit in (
            lambda wire: wire.receive(Error(2, b'{"code":-32601,"message":"locked"}')),
            lambda wire: wire.lose(ServerExited("it fell", exitStatus=1)),
            lambda wire: self.clock.advance(5),
        ):
            self.setUp()
            self.probe()
            heard, used = self.call(), self.wire
            unfit(used)
            self.clock.advance(0)
            self.assertTrue(used.gone)
            self.assertIsNot(self.wire, used)
            self.agree()
            self.assertEqual(self.answer(), ["tools/call"])
            self.assertEqual((heard.answers, self.legacy.state), (1, UP))
            self.assertFalse(self.spare.trusted)

    def test_modern_after_all(self) -> None:
        """One whose error no legacy server knows is locked to the modern era, and stopped."""
        self.probe(-32022)
        self.assertEqual((len(self.spare), self.wire.calls), (0, ["close"]))

    def test_stopped(self) -> None:
        """Stopping while such a process is greeted ends it, and starts no other."""
        self.probe()
        self.call()
        done = self.legacy.stop()
        self.clock.advance(0)
        self.successResultOf(done)
        self.assertEqual((self.wire.gone, self.connector.attempts), (True, 1))


class ModernTests(SupervisorCase):
    """MCP 2026-07-28, *stdio, Backward Compatibility*: whether a server is modern shows at once."""

    opening = Discovering(ME)
    welcome = DISCOVERY

    def test_modern(self) -> None:
        """It answers ``server/discover``, and is asked nothing else."""
        self.ask("tools/list")
        self.agree()
        self.assertEqual(self.answer(), ["tools/list"])

    def test_not_modern(self) -> None:
        """An error, a version we share not, silence, an exit: it is not; never a failed start."""
        for sign in (
            lambda: self.wire.receive(Error(1, b'{"code":-32601,"message":"no"}')),
            lambda: self.wire.receive(Result(1, b'{"supportedVersions":["2099-01-01"]}')),
            lambda: self.wire.receive(Result(1, b"[]")),
            lambda: self.clock.advance(10),
            lambda: self.crash(1),
        ):
            self.make()
            heard = self.ask()
            sign()
            self.assertEqual(heard.error["data"]["code"], "era-mismatch")
            self.assertEqual((len(self.crowd.refusals), self.patience.attempt), (1, 0))

    def test_known_to_be_modern(self) -> None:
        """Once it has agreed, an exit at the start is a failed start, and tried again."""
        self.ask()
        self.agree()
        self.crash()
        self.clock.advance(1)
        heard = self.ask()
        self.crash(4)
        self.assertEqual(heard.error["data"]["code"], "server-start-failed")
        self.assertEqual((self.crowd.refusals, self.supervisor.state), ([], WAITING))

    def test_mirroring(self) -> None:
        """Tools that mirror arguments in headers are looked for, over all pages."""
        self.welcome = {**DISCOVERY, "capabilities": {"tools": {}}}
        self.ask("tools/call")
        self.agree()
        schema = {"type": "object", "properties": {"r": {"x-mcp-header": "R", "type": "string"}}}
        for cursor, names in (("next", "ab"), (None, "c")):
            (request,) = self.wire.take()
            assert isinstance(request, Request)
            self.assertEqual(request.method, "tools/list")
            tools = [{"name": name, "inputSchema": schema} for name in names]
            page = {"tools": [*tools, {"name": "z"}], **({"nextCursor": cursor} if cursor else {})}
            self.wire.receive(Result(request.id, encode_json(page)))
        link = self.supervisor.link
        assert link is not None
        self.assertEqual(set(link.mirroring), set("abc"))
        self.assertEqual(self.answer(), ["tools/call"])

    def test_mirroring_fails(self) -> None:
        """A listing that fails breaks nothing."""
        self.welcome = {**DISCOVERY, "capabilities": {"tools": {}}}
        for answer in (b'{"tools":5}', b"[]", b'{"tools":[5]}', b'{"tools":[{"x-mcp-header":1}]}'):
            self.make()
            self.ask()
            self.agree()
            self.wire.receive(Result(self.wire.take()[0].id, answer))  # type: ignore[union-attr]
            self.assertEqual(self.supervisor.state, UP, answer)

    def test_lost_while_listing(self) -> None:
        """A server that dies while its tools are listed is not up."""
        self.welcome = {**DISCOVERY, "capabilities": {"tools": {}}}
        heard = self.ask()
        self.agree()
        self.crash()
        self.assertEqual((heard.answers, self.supervisor.link), (1, None))


class AnyOrderTests(SupervisorCase):
    """Whatever happens in whatever order, every exchange ends once, nothing stays behind."""

    STEPS = some.lists(
        some.sampled_from(
            [
                "ask",
                "agree",
                "answer",
                "crash",
                "exit",
                "cancel",
                "turn",
                "wait",
                "restart",
                "replace",
            ]
        ),
        max_size=30,
    )

    @settings(deadline=None, max_examples=100)
    @given(STEPS, some.sampled_from(["on-failure", "always", "never"]))
    def test_any_order(self, steps: list[str], policy: str) -> None:
        """Never are there two wires, and after it was stopped none is open and no timer runs."""
        self.clock = Clock()
        self.make(policy=policy)
        ends: list[tuple[Exchange, Heard]] = []
        for step in steps:
            self.step(step, ends)
            self.assertLessEqual(sum(not wire.gone for wire in self.connector.wires), 1)
        self.supervisor.stop()
        self.clock.advance(1)
        for exchange, heard in ends:
            self.assertTrue(exchange.over)
            self.assertEqual(heard.answers + (heard.gone is not None), 1)
        self.assertTrue(all(wire.gone for wire in self.connector.wires))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def step(self, step: str, ends: list[tuple[Exchange, Heard]]) -> None:
        live = bool(self.connector.wires) and not (self.wire.closing or self.wire.gone)
        if step == "ask":
            heard = self.ask()
            ends.append((self.exchange, heard))
        elif step == "cancel" and ends:
            ends[-1][0].cancel("enough")
        elif step in ("turn", "wait"):
            self.clock.advance({"turn": 0, "wait": 3}[step])
        elif step == "restart":
            self.supervisor.restart()
        elif step == "replace":
            self.supervisor.replace(self.connector)
        elif live and step == "agree" and self.supervisor.state == STARTING:
            self.agree()
        elif live and step == "answer" and self.supervisor.state == UP:
            self.answer()
        elif live and step in ("crash", "exit"):
            self.crash(int(step == "crash"))


class UnsolicitedTests(SupervisorCase):
    """What is said while a link is opening."""

    def test_before_the_welcome(self) -> None:
        """Notifications before the welcome reach the company; answers to nothing do no harm."""
        heard = self.ask()
        self.wire.receive(Notification("notifications/message"), Result(77, b"{}"))
        self.assertEqual(len(self.crowd.heard), 1)
        self.agree()
        self.answer()
        self.assertEqual(heard.answers, 1)
