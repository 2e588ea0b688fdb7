"""``mcptwist.daemon``: how it starts, what it says of itself, how it ends."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.daemon import CannotListen, Daemon
from mcptwist.errors import ServerExited, ServerStartFailed
from mcptwist.messages import Request
from mcptwist.protocols.listener import Listener
from tests.conversations.posting import House, rpc


class DaemonCase(SynchronousTestCase):
    """A daemon with one endpoint, of a reactor that is none."""

    def setUp(self) -> None:
        self.make()

    def make(self, *names: str, **settings: Any) -> None:
        self.house = House(names or ("far",), **settings)
        self.reactor = MemoryReactorClock()
        self.daemon: Daemon = self.house.daemon
        self.listener = Listener("tcp:0:interface=127.0.0.1", self.house.factory, self.reactor)
        self.daemon.listen(self.listener)

    def start(self) -> None:
        self.daemon.privilegedStartService()
        self.daemon.startService()

    def get(self, path: str) -> tuple[int, Any]:
        answer = self.house.request("GET", path, {})
        return answer.status, answer.json


class StartTests(DaemonCase):
    """How it starts."""

    def test_listens(self) -> None:
        """Its endpoints are bound once, before privileges are shed."""
        bound = self.daemon.when_bound()
        self.assertNoResult(bound)
        self.start()
        self.assertEqual(len(self.reactor.tcpServers), 1)
        self.assertEqual(len(self.successResultOf(bound)), 1)
        self.assertEqual(len(self.successResultOf(self.daemon.when_bound())), 1)

    def test_cannot_listen(self) -> None:
        """What cannot be bound is told, with the endpoint and the reason."""

        def taken(*_: Any, **__: Any) -> None:
            raise OSError("taken")

        self.reactor.listenTCP = taken  # type: ignore[method-assign]
        problem = self.assertRaises(CannotListen, self.daemon.privilegedStartService)
        self.assertIn("tcp:0:interface=127.0.0.1", str(problem))
        self.assertIn("taken", str(problem))
        self.failureResultOf(self.daemon.when_bound())

    def test_lazy(self) -> None:
        """Servers that are lazy wait to be asked; others are started."""
        for lazy, attempts in ((True, 0), (False, 1)):
            self.make(lazy=lazy)
            self.start()
            self.assertEqual(self.house.connector.attempts, attempts)

    def test_sessions_expire(self) -> None:
        """Sessions that nobody uses are forgotten as time goes by."""
        self.start()
        self.house.shake_hands()
        self.house.turn(1900, 5)
        self.assertEqual(len(self.house.concourse.sessions), 0)


class ReportTests(DaemonCase):
    """What it says of itself."""

    def test_health(self) -> None:
        """It lives, whatever its servers do."""
        self.assertEqual(self.get("/health"), (200, {"status": "ok"}))
        answer = self.house.request("HEAD", "/health", {})
        self.assertEqual((answer.status, answer.body), (200, b""))
        self.assertEqual(answer.headers["cache-control"], "no-store")

    def test_idle(self) -> None:
        """Lazy servers that nobody asked are no reason not to be ready."""
        odd = {"state": "misconfigured", "reason": "command is missing"}
        status, report = self.get("/ready")
        self.assertEqual((status, report["status"]), (200, "ready"))
        self.assertEqual(report["servers"], {"far": {"state": "idle"}, "odd": odd})

    def test_up(self) -> None:
        """One that is up says so."""
        self.house.greet()
        self.assertEqual(self.get("/ready")[1]["servers"]["far"], {"state": "up"})

    def test_only_server_fails(self) -> None:
        """When every server is in trouble it is not ready, and says why."""
        self.make(plan=[ServerStartFailed("no such file")])
        self.house.greet()
        status, report = self.get("/ready")
        self.assertEqual((status, report["status"]), (503, "not ready"))
        self.assertEqual(report["servers"]["far"]["state"], "failing")
        self.assertIn("no such file", report["servers"]["far"]["reason"])

    def test_one_of_two_fails(self) -> None:
        """With another that can be used it is."""
        self.make("one", "two", plan=[ServerStartFailed("no")])
        self.house.greet(path="/servers/one/mcp")
        status, report = self.get("/ready")
        self.assertEqual((status, report["servers"]["one"]["state"]), (200, "failing"))

    def test_eager(self) -> None:
        """A server that starts with the daemon is to be up."""
        self.make(lazy=False)
        self.start()
        self.assertEqual(self.get("/ready")[0], 503)
        self.house.agree()
        self.assertEqual(self.get("/ready")[0], 200)
        self.house.wire.lose(ServerExited("it died", exitStatus=1))
        self.assertEqual(self.get("/ready")[0], 503)

    def test_eager_with_a_process_for_each(self) -> None:
        """One with a process for each session has none to wait for."""
        self.make(lazy=False, scope="session")
        self.start()
        self.assertEqual(self.get("/ready")[0], 200)

    def test_draining(self) -> None:
        """Not while it drains."""
        self.start()
        self.house.shake_hands()
        self.house.call()
        self.daemon.stopService()
        status, report = self.get("/ready")
        self.assertEqual((status, report["status"]), (503, "draining"))
        self.assertEqual(self.get("/health")[0], 200)


class DrainTests(DaemonCase):
    """How it ends: no new work, calls in flight finish, subscriptions end, children are gone."""

    def setUp(self) -> None:
        super().setUp()
        self.start()

    def stop(self) -> Deferred[None]:
        """Stop, and take what the reactor gives."""
        self.stopped = self.daemon.stopService()
        self.house.turn(0.01, 0.01)
        return self.stopped

    def check_over(self) -> None:
        """Nothing is left: no child, no connection, no timer."""
        self.house.turn(3)
        self.successResultOf(self.stopped)
        self.assertTrue(all(wire.gone for wire in self.house.connector.wires))
        self.assertEqual(len(self.house.factory.connections), 0)
        self.assertEqual(self.house.clock.getDelayedCalls(), [])

    def test_nothing_to_do(self) -> None:
        """At once where nothing is in flight."""
        self.stop()
        self.check_over()
        self.assertFalse(self.daemon.running)

    def test_in_flight(self) -> None:
        """A call that is answered within the grace period gets its answer."""
        self.house.shake_hands()
        call, request = self.house.call(), self.house.asked()
        self.stop()
        self.house.turn(5)
        self.assertNoResult(self.stopped)
        self.house.answer(request, "done")
        self.assertEqual((call.said[-1]["result"], call.ended), ("done", True))
        self.check_over()

    def test_waiting_for_a_start(self) -> None:
        """So does one whose server is still starting."""
        self.house.shake_hands()
        self.house.wire.lose(ServerExited("it died", exitStatus=1))
        call = self.house.call()
        self.stop()
        self.house.turn(2)
        self.house.agree()
        self.house.answer(self.house.asked(), "done")
        self.assertEqual(call.said[-1]["result"], "done")
        self.check_over()

    def test_grace(self) -> None:
        """One that takes longer is told why it gets none."""
        self.house.shake_hands()
        call = self.house.call()
        self.house.session = self.house.revision = ""
        modern = self.house.modern("tools/call", {"name": "t"})
        self.stop()
        self.house.turn(9)
        self.assertNoResult(self.stopped)
        self.house.turn(3)
        self.assertEqual(call.said[-1]["error"]["message"], "the daemon stops")
        self.assertEqual(modern.said[-1]["error"]["data"]["code"], "draining")
        self.check_over()

    def test_new_work(self) -> None:
        """New work is refused with 503, under the request's id, on connections that are open."""
        self.house.shake_hands()
        self.house.call()
        self.stop()
        for answer in (
            self.house.call(id="x"),
            self.house.greet(),
            self.house.modern("tools/list", id="x"),
        ):
            self.assertEqual((answer.status, answer.error["data"]["code"]), (503, "draining"))
            self.assertIn(answer.json["id"], ("x", 0))

    def test_answers_are_let_in(self) -> None:
        """A call in flight may be asking its client something: the answer is let in."""
        self.make(scope="session")
        self.start()
        self.house.shake_hands()
        call, request = self.house.call(), self.house.asked()
        self.house.say(Request("q", "elicitation/create", b"{}"))
        self.stop()
        answer = {"jsonrpc": "2.0", "id": call.said[0]["id"], "result": {"action": "accept"}}
        self.assertEqual(self.house.post(answer).status, 202)
        self.assertEqual(self.house.post(rpc("notifications/x", {}, None)).status, 202)
        self.house.wire.take()
        self.house.answer(request, "done")
        self.assertEqual(call.said[-1]["result"], "done")
        self.check_over()

    def test_subscriptions(self) -> None:
        """They end in good order, and hold nobody up."""
        listening = self.house.modern("subscriptions/listen", {"notifications": {}}, id="L")
        self.house.turn(2)
        self.stop()
        self.assertEqual(listening.said[-1]["result"]["resultType"], "complete")
        self.check_over()

    def test_streams(self) -> None:
        """Clients' own streams end."""
        self.house.shake_hands()
        stream = self.house.get()
        self.stop()
        self.assertTrue(stream.ended)
        self.check_over()

    def test_nobody_more(self) -> None:
        """The endpoint is closed at once."""
        self.house.shake_hands()
        self.house.call()
        self.stop()
        self.assertIsNone(self.listener.port)

    def test_own_processes(self) -> None:
        """Processes of sessions are waited for, too."""
        self.make(scope="session")
        self.start()
        for _ in range(3):
            self.house.shake_hands()
        self.stop()
        self.check_over()

    def test_never_started(self) -> None:
        """Stopping what was never started does no harm."""
        self.make()
        self.stop()
        self.check_over()


class ListenerTests(DaemonCase):
    """Where it says that it answers."""

    def test_url(self) -> None:
        """An address that a client can use; empty while it is not bound."""
        self.assertEqual(self.listener.url(), "")
        for endpoint, url in (
            ("tcp:8080:interface=127.0.0.1", "http://127.0.0.1:8080"),
            ("tcp:8080", "http://127.0.0.1:8080"),
            ("tcp6:8080:interface=\\:\\:1", "http://[::1]:8080"),
        ):
            listener = Listener(endpoint, self.house.factory, MemoryReactorClock())
            listener.startService()
            self.assertEqual(listener.url(), url)

    def test_twice(self) -> None:
        """It is bound once, however often it is started."""
        self.listener.privilegedStartService()
        self.listener.startService()
        self.assertEqual(len(self.reactor.tcpServers), 1)
        self.successResultOf(self.listener.stopService())
        self.successResultOf(self.listener.close())
