"""One subscription, heard from many servers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.catalog.subscription import Patiences, Subscription, Wanted
from mcptwist.errors import Draining, EraMismatch, McpTwistError, MethodNotFound, ServerExited
from mcptwist.exchange import Exchange
from mcptwist.messages import Notification, encode_json
from tests.scripted import Heard, ScriptedServer, Source, modern_request, modern_visit

LISTEN = "subscriptions/listen"
TAG = {"io.modelcontextprotocol/subscriptionId": "mine"}
TOOLS = "notifications/tools/list_changed"
ALL = Wanted(toolsListChanged=True, resourceSubscriptions=["x:1"])


class SubscriptionTests(SynchronousTestCase):
    def listen(self, wanted: Mapping[str, Wanted], **answers: Any) -> None:
        self.clock = Clock()
        self.servers = {name: ScriptedServer({LISTEN: answers.get(name)}) for name in ("a", "b")}
        self.heard = Heard()
        self.told: list[tuple[str, str]] = []
        request = modern_request(LISTEN, {"notifications": {}, "future": 1}, "mine")
        self.exchange = Exchange(request, self.heard, modern_visit())
        self.subscription = Subscription(
            self.exchange,
            wanted,
            lambda server, exchange: self.servers[server].begin(exchange),
            lambda server, change: self.told.append((server, change)),
            self.clock,
            Patiences(acknowledgement=5, rejoin=2, rejoin_most=6),
        )
        self.subscription.start()

    def both(self, **answers: Any) -> None:
        self.listen({"a": ALL, "b": Wanted(toolsListChanged=True)}, **answers)

    def acknowledge(self, server: str, **granted: Any) -> None:
        params = {"_meta": TAG, "notifications": granted}
        self.say(server, "notifications/subscriptions/acknowledged", params)

    def say(self, server: str, method: str, params: Any) -> None:
        stream = self.servers[server].open(LISTEN)
        stream.notify(Notification(method, encode_json(params)))

    def end(self, server: str, problem: McpTwistError) -> None:
        self.servers[server].open(LISTEN).fail(problem)

    def acknowledged(self, **granted: Any) -> tuple[str, Any]:
        params = {"_meta": TAG, "notifications": granted}
        return ("notifications/subscriptions/acknowledged", params)

    def test_asked(self) -> None:
        """Each server is asked for its part, with all else as the client put it."""
        self.both()
        (asked,) = self.servers["a"].asked_for(LISTEN)
        self.assertEqual(
            asked["notifications"], {"toolsListChanged": True, "resourceSubscriptions": ["x:1"]}
        )
        self.assertEqual(asked["future"], 1)
        self.assertIn("io.modelcontextprotocol/protocolVersion", asked["_meta"])
        (asked,) = self.servers["b"].asked_for(LISTEN)
        self.assertEqual(asked["notifications"], {"toolsListChanged": True})

    def test_acknowledged_once(self) -> None:
        """The client is told once, when all have said what they will tell, what it comes to."""
        self.both()
        self.acknowledge("a", resourceSubscriptions=["x:1"])
        self.assertEqual(self.heard.said, [])
        self.acknowledge("b", toolsListChanged=True)
        self.assertEqual(
            self.heard.said,
            [self.acknowledged(toolsListChanged=True, resourceSubscriptions=["x:1"])],
        )
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_nothing_before(self) -> None:
        """What a server says before that comes after it, in order."""
        self.both()
        self.acknowledge("a", toolsListChanged=True)
        self.say("a", TOOLS, {"_meta": TAG})
        self.acknowledge("b")
        self.say("b", "notifications/resources/updated", {"_meta": TAG, "uri": "x:1"})
        self.assertEqual(
            [method for method, _ in self.heard.said],
            [self.acknowledged()[0], TOOLS, "notifications/resources/updated"],
        )
        self.assertEqual(self.told, [("a", TOOLS)])

    def test_silent_server(self) -> None:
        """A server that is long in coming is not waited for; it may come later, and tells then."""
        self.both()
        self.acknowledge("a", toolsListChanged=True)
        self.clock.advance(5)
        self.assertEqual(self.heard.said, [self.acknowledged(toolsListChanged=True)])
        self.acknowledge("b", toolsListChanged=True)
        self.assertEqual(self.heard.said[1:], [(TOOLS, {"_meta": TAG})])
        self.assertEqual(self.told, [("b", TOOLS)])

    def test_one_fails(self) -> None:
        """A server that cannot listen is named; the others are heard."""
        self.both(b=EraMismatch("not modern"))
        self.acknowledge("a", toolsListChanged=True)
        ((_, params),) = self.heard.said
        self.assertEqual(
            params["_meta"]["mcptwist/unavailable"],
            [{"server": "b", "reason": "not modern", "code": "era-mismatch"}],
        )
        self.clock.advance(100)
        self.assertEqual(len(self.servers["b"].asked), 1)

    def test_all_fail(self) -> None:
        """When nobody can listen the client is told why."""
        self.both(a=EraMismatch("not modern"), b=ServerExited("crashed"))
        self.assertIn("b: crashed", self.heard.error["message"])
        self.assertEqual(self.heard.said, [])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_nothing_wanted(self) -> None:
        """A client that wants nothing is told so, and kept waiting for nothing."""
        self.listen({})
        self.assertEqual(self.heard.said, [self.acknowledged()])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_rejoin(self) -> None:
        """A server that went is asked again, and then anything may have changed."""
        self.both()
        self.acknowledge("a", toolsListChanged=True)
        self.acknowledge("b", toolsListChanged=True)
        self.end("b", ServerExited("crashed"))
        self.clock.advance(1.9)
        self.assertEqual(len(self.servers["b"].asked), 1)
        self.clock.advance(0.1)
        self.acknowledge("b", toolsListChanged=True)
        self.assertEqual(self.heard.said[1:], [(TOOLS, {"_meta": TAG})])
        self.assertEqual(self.heard.answers, 0)

    def test_rejoin_slower(self) -> None:
        """A server that keeps failing is asked less and less often, within reason."""
        self.both()
        self.acknowledge("a")
        self.acknowledge("b")
        waits = []
        for _ in range(4):
            self.end("b", ServerExited("crashed"))
            (timer,) = self.clock.getDelayedCalls()
            waits.append(timer.getTime() - self.clock.seconds())
            self.clock.advance(waits[-1])
        self.assertEqual(waits, [2, 4, 6, 6])
        self.acknowledge("b")
        self.end("b", ServerExited("crashed"))
        (timer,) = self.clock.getDelayedCalls()
        self.assertEqual(timer.getTime() - self.clock.seconds(), 2)

    def test_rejoin_one_that_never_was_there(self) -> None:
        """The first wait is the shortest, though it was not heard at all yet."""
        self.both()
        self.end("b", ServerExited("crashed"))
        times = sorted(timer.getTime() for timer in self.clock.getDelayedCalls())
        self.assertEqual(times, [2, 5])

    def test_dismissed(self) -> None:
        """A server that is no more is not asked again, whether it waits for that or came back."""
        for waits in (1.0, 2.0):
            self.both()
            self.acknowledge("a")
            self.acknowledge("b")
            self.end("b", ServerExited("crashed"))
            self.clock.advance(waits)
            before = len(self.servers["b"].asked)
            self.subscription.dismiss("b")
            self.clock.advance(60)
            self.assertEqual(len(self.servers["b"].asked), before)
            self.assertTrue(all(each.over for each in self.servers["b"].asked))
            self.assertEqual((self.heard.answers, self.clock.getDelayedCalls()), (0, []))

    def test_ended_in_good_order(self) -> None:
        """A server that ends its part of itself is asked again like any other."""
        self.both()
        self.acknowledge("a")
        self.acknowledge("b")
        self.servers["a"].open(LISTEN).succeed({"resultType": "complete"})
        self.assertEqual(self.heard.answers, 0)
        self.clock.advance(2)
        self.assertEqual(len(self.servers["a"].asked), 2)

    def test_daemon_stops(self) -> None:
        """When all servers are being stopped the subscription ends in good order."""
        self.both()
        self.acknowledge("a")
        self.acknowledge("b")
        self.end("a", Draining("stopping"))
        self.assertEqual(self.heard.answers, 0)
        self.end("b", Draining("stopping"))
        self.assertEqual(self.heard.answer, {"resultType": "complete", "_meta": TAG})
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_cancelled(self) -> None:
        """A client that does not want it any more is taken off everywhere, at any time."""
        for state in range(3):
            self.both()
            if state > 0:
                self.acknowledge("a")
                self.acknowledge("b")
            if state > 1:
                self.end("b", ServerExited("crashed"))
            self.exchange.cancel("closed")
            self.assertTrue(all(e.over for s in self.servers.values() for e in s.asked))
            self.assertEqual(self.clock.getDelayedCalls(), [], state)
            self.assertEqual(self.heard.answers, 0)

    def test_held_back(self) -> None:
        """A client that cannot take more holds every server back."""
        self.both()
        source = Source()
        for server in self.servers.values():
            server.open(LISTEN).source = source
        self.exchange.hold()
        self.exchange.release()
        self.assertEqual(source.told, ["hold", "hold", "release", "release"])

    def test_no_questions(self) -> None:
        """A server may not ask anything there."""
        self.both()
        asker = Heard()
        question = Exchange(modern_request("elicitation/create"), asker)
        self.servers["a"].open(LISTEN).ask(question)
        self.assertEqual(asker.error["code"], MethodNotFound.rpc_code)

    def test_flood_before(self) -> None:
        """What is kept for a client that was not told yet has a bound."""
        self.both()
        self.acknowledge("a", toolsListChanged=True)
        for _ in range(1000):
            self.say("a", TOOLS, {"_meta": TAG})
        self.acknowledge("b")
        self.assertLess(len(self.heard.said), 300)

    def test_strange_acknowledgement(self) -> None:
        """A server that does not say what it will tell is taken to tell what it was asked for."""
        self.both()
        self.say("a", "notifications/subscriptions/acknowledged", {"notifications": 3})
        self.acknowledge("b")
        ((_, params),) = self.heard.said
        self.assertEqual(
            params["notifications"], {"toolsListChanged": True, "resourceSubscriptions": ["x:1"]}
        )
