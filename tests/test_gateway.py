"""``mcptwist.gateway``: where an exchange goes."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from mcptwist.errors import Draining, UnknownServer
from mcptwist.exchange import Exchange
from mcptwist.gateway import Gateway, NoServers, ServerView, whole_view
from mcptwist.interfaces import IView
from mcptwist.messages import Notification, Request
from tests.scripted import Heard, ScriptedServer

SAID = Notification("notifications/x")


class Backend(ScriptedServer):
    """A server that counts what the gateway does with it."""

    def __init__(self, name: str, stopping: Deferred[None] | None = None) -> None:
        super().__init__({"a": {"from": name}})
        self.name = name
        self.did: list[Any] = []
        self.stopping = stopping

    def start(self) -> None:
        self.did.append("start")

    def end_listening(self) -> None:
        self.did.append("end listening")

    def in_flight(self) -> int:
        return len([e for e in self.asked if not e.over])

    def stop(self, reason: Any) -> Deferred[None]:
        self.did.append(reason)
        return self.stopping or succeed(None)


def ask(view: Any, method: str = "a") -> Heard:
    heard = Heard()
    view.begin(Exchange(Request(1, method), heard))
    return heard


class ViewTests(SynchronousTestCase):
    """What a client sees through one URL."""

    def test_server(self) -> None:
        """One server as it is, both ways."""
        backend = Backend("time")
        view = ServerView(backend)  # type: ignore[arg-type]
        verifyObject(IView, view)
        session: Any = object()
        self.assertEqual(ask(view).answer, {"from": "time"})
        self.assertIs(view.hear(session, "time", SAID), SAID)
        view.overhear(session, SAID)
        view.leave(session)
        self.assertEqual((backend.overheard, backend.detached), ([(session, SAID)], [session]))

    def test_none(self) -> None:
        """Where nothing is configured every question gets the reason."""
        view = whole_view({}, None)  # type: ignore[arg-type]
        verifyObject(IView, view)
        session: Any = object()
        error = ask(view).error
        self.assertEqual(error["data"]["code"], "unknown-server")
        self.assertIn("mcptwist check", error["message"])
        self.assertIsNone(view.hear(session, "", SAID))
        view.overhear(session, SAID)
        view.leave(session)

    def test_whole(self) -> None:
        """The only server as it is, several merged."""
        merged: Any = NoServers("merged")
        backends: Any = {"a": Backend("a"), "b": Backend("b")}
        self.assertIs(whole_view(backends, merged), merged)
        self.assertEqual(whole_view({"a": backends["a"]}, merged).name, "a")

    def test_broken_counts(self) -> None:
        """A server that is to be mended counts: tools have to keep the names they will have."""
        merged: Any = NoServers("merged")
        backends: Any = {"a": Backend("a")}
        self.assertIs(whole_view(backends, merged, {"b": "no command"}), merged)


class GatewayTests(SynchronousTestCase):
    """All servers of the daemon."""

    def setUp(self) -> None:
        self.stopping: Deferred[None] = Deferred()
        self.backends: Any = {"a": Backend("a"), "b": Backend("b", self.stopping)}
        self.gateway = Gateway(self.backends, NoServers("x"), {"odd": "command is missing"})

    def test_view(self) -> None:
        """By name, always the same."""
        self.assertEqual(ask(self.gateway.view("b")).answer, {"from": "b"})
        self.assertIs(self.gateway.view("a"), self.gateway.view("a"))

    def test_selected(self) -> None:
        """What stands before a server answers for it where it is seen alone."""
        gateway = Gateway(self.backends, NoServers("x"), selected={"a": self.backends["b"]})
        self.assertEqual(ask(gateway.view("a")).answer, {"from": "b"})

    def test_groups(self) -> None:
        """By name; who asks for another is told which there are."""
        work = NoServers("work")
        gateway = Gateway(self.backends, NoServers("x"), groups={"work": work})
        self.assertIs(gateway.group("work"), work)
        problem = self.assertRaises(UnknownServer, gateway.group, "play")
        self.assertIn("work", problem.message)

    def test_unknown(self) -> None:
        """The reason why there is none: not configured rightly, or not at all."""
        for name, word in (("odd", "command is missing"), ("c", "a, b"), ("", "a, b")):
            problem = self.assertRaises(UnknownServer, self.gateway.view, name)
            self.assertIn(word, problem.message)

    def test_all(self) -> None:
        """What is done with all."""
        self.gateway.start()
        self.gateway.end_listening()
        ask(self.gateway.view("a"), "b")
        self.backends["b"].script["b"] = None
        ask(self.gateway.view("b"), "b")
        self.assertEqual(self.gateway.in_flight(), 1)
        reason = Draining("bye")
        stopped = self.gateway.stop(reason)
        self.assertNoResult(stopped)
        self.stopping.callback(None)
        self.successResultOf(stopped)
        for backend in self.gateway:
            self.assertEqual(backend.did, ["start", "end listening", reason])  # type: ignore[attr-defined]
