"""Who is here, and how they are shown the door. What is open is looked for where it is."""

from __future__ import annotations

import gc
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from mcptwist.auth.presence import UNAUTHORIZED, Presence
from mcptwist.auth.realm import CERTIFICATE, LOCAL, TICKET, TOKEN
from mcptwist.errors import ClientGone, McpTwistError
from mcptwist.protocols.http1 import UPGRADED
from mcptwist.protocols.websocket import WebSocketWire

AGE = 100.0


class Held:
    """A token, of a login."""

    def __init__(self, login: str) -> None:
        self.login = login


class Who:
    def __init__(self, identity: str, via: str = TOKEN, login: str | None = None) -> None:
        self.identity = identity
        self.via = via
        self.token = None if login is None else Held(login)


class Factory:
    def __init__(self) -> None:
        self.connections: set[Any] = set()


class Connection:
    """As many requests come by it as may."""

    def __init__(self, factory: Factory, phase: Any = None) -> None:
        self.factory = factory
        factory.connections.add(self)
        self.open_requests: list[Any] = []
        self.aborted = 0
        self.phase = phase

    def abort(self) -> None:
        self.aborted += 1


class Stream:
    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.aborted = 0

    def abort(self) -> None:
        self.aborted += 1


class Asking:
    """A request."""

    def __init__(self, connection: Connection, who: Who | None) -> None:
        self.stream = Stream(connection)
        self.principal = who
        self.is_open = True
        connection.open_requests.append(self)


class Session:
    def __init__(self, principal: str, visitor: Who | None = None) -> None:
        self.principal = principal
        self.visitor = visitor
        self.ended: list[McpTwistError] = []

    def end(self, reason: McpTwistError) -> None:
        self.ended.append(reason)


class Wire:
    def __init__(self) -> None:
        self.closed: list[Any] = []

    def close(self, *why: Any) -> None:
        self.closed.append(why)


class Socket(WebSocketWire):
    """Only what it is closed with."""

    def __init__(self) -> None:
        self.closed: list[Any] = []

    def close(self, *why: Any) -> None:
        self.closed.append(why)


class Caller:
    def __init__(self, principal: str, wire: Any) -> None:
        self.principal = principal
        self.wire = wire
        self.open = True


class Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.now = 1000.0
        self.presence = Presence(lambda: self.now, AGE)
        self.factory = Factory()

    def connection(self, phase: Any = None) -> Connection:
        return Connection(self.factory, phase)

    def come(self, who: Who | None, connection: Connection | None = None) -> Any:
        request: Any = Asking(connection or self.connection(), who)
        if who is not None:
            self.arrived = self.presence.opened(request)
        return request

    def connect(self, caller: Any, login: str | None = None) -> None:
        who: Any = Who(caller.principal, login=login)
        self.presence.connected(caller, who)

    def look(self, after: float) -> None:
        self.now += after
        self.presence.look()

    def dismiss(self, identity: str = "alice") -> dict[str, int]:
        """Of what there was some."""
        return {name: count for name, count in self.presence.dismiss(identity).items() if count}


class ArrivalTests(Case):
    """Whether somebody came, which is worth an event."""

    def test_tokens(self) -> None:
        """They come with every request."""
        self.come(Who("alice"))
        self.assertFalse(self.arrived)

    def test_tickets(self) -> None:
        connection = self.connection()
        for _ in range(2):
            self.come(Who("alice", TICKET), connection)
            self.assertTrue(self.arrived)

    def test_connections(self) -> None:
        """Once for each, and each who came by it."""
        connection = self.connection()
        for name, via, is_new in (
            ("alice", CERTIFICATE, True), ("alice", CERTIFICATE, False), ("bob", LOCAL, True),
            ("bob", LOCAL, False),
        ):  # fmt: skip
            self.come(Who(name, via), connection)
            self.assertEqual(self.arrived, is_new)
        self.come(Who("alice", CERTIFICATE))
        self.assertTrue(self.arrived)


class AgeTests(Case):
    """No request is open for ever."""

    def test_aged(self) -> None:
        """From the last look before it was seen, so never longer than it may be."""
        request = self.come(Who("alice"))
        self.look(1.0)
        self.look(AGE - 1.5)
        self.assertEqual((request.stream.aborted, self.presence.aged), (0, 0))
        self.look(1.0)
        self.assertEqual((request.stream.aborted, self.presence.aged), (1, 1))

    def test_exactly(self) -> None:
        request = self.come(Who("alice"))
        self.look(1.0)
        self.look(AGE - 1.0)
        self.assertEqual(request.stream.aborted, 1)

    def test_each_by_itself(self) -> None:
        """However many come by one connection."""
        connection = self.connection()
        first = self.come(Who("alice"), connection)
        self.look(50.0)
        second = self.come(Who("alice"), connection)
        self.look(1.0)
        self.look(49.0)
        self.assertEqual((first.stream.aborted, second.stream.aborted), (1, 0))

    def test_seldom(self) -> None:
        """Not at every look of those who look for changed files."""
        request = self.come(Who("alice"))
        self.look(0.9)  # nobody is noticed yet
        self.look(0.1)
        self.look(AGE - 1.5)
        self.look(0.9)
        self.assertEqual(request.stream.aborted, 0)
        self.look(0.1)
        self.assertEqual(request.stream.aborted, 1)

    def test_answered(self) -> None:
        """What ended by itself is not held on to."""
        request = self.come(Who("alice"))
        self.look(1.0)
        request.is_open = False
        self.look(AGE)
        self.assertEqual((request.stream.aborted, self.presence.aged), (0, 0))
        self.assertEqual(self.presence._began, {})

    def test_strangers(self) -> None:
        """Those who have proved nothing have shorter deadlines, and not from here."""
        connection = self.connection()
        self.come(Who("alice"), connection)
        stranger = self.come(None, connection)
        self.look(1.0)
        self.look(AGE)
        self.assertEqual((stranger.stream.aborted, self.presence.aged), (0, 1))


class DismissTests(Case):
    """A key is not good any more."""

    def test_nobody_here(self) -> None:
        self.assertEqual(self.dismiss(), {})

    def test_requests(self) -> None:
        """Theirs on a connection that others share too, and those still open alone."""
        connection = self.connection()
        mine, hers = self.come(Who("alice"), connection), self.come(Who("bob"), connection)
        done = self.come(Who("alice"), connection)
        done.is_open = False
        self.come(None, connection)
        self.assertEqual(self.dismiss(), {"streams": 1})
        self.assertEqual([each.stream.aborted for each in (mine, hers, done)], [1, 0, 0])
        self.assertEqual(connection.aborted, 0)

    def test_ended_by_another(self) -> None:
        """One that ends as a consequence of another's end is not cut twice."""
        first, second = self.come(Who("alice")), self.come(Who("alice"))

        def abort() -> None:
            first.is_open = second.is_open = False

        first.stream.abort = second.stream.abort = abort
        self.assertEqual(self.dismiss(), {"streams": 2})

    def test_sessions(self) -> None:
        """They end with a reason that is not the client's fault alone."""
        sessions: Any = [Session("alice"), Session("bob"), Session("alice")]
        self.presence.sessions = sessions
        self.assertEqual(self.dismiss(), {"sessions": 2})
        self.assertEqual([len(each.ended) for each in sessions], [1, 0, 1])
        self.assertIsInstance(sessions[0].ended[0], ClientGone)

    def test_sockets(self) -> None:
        """A WebSocket hears why; another wire is closed; one that has none has nothing to end."""
        socket, wire = Socket(), Wire()
        callers: list[Any] = [
            Caller("alice", socket), Caller("alice", wire), Caller("alice", None),
            Caller("bob", Wire()), Caller("alice", Wire()),
        ]  # fmt: skip
        callers[4].open = False
        for each in callers:
            self.connect(each)
        self.assertEqual(self.dismiss(), {"sockets": 3})
        self.assertEqual(socket.closed[0][0], UNAUTHORIZED)
        self.assertEqual(wire.closed, [()])
        self.assertEqual((callers[3].wire.closed, callers[4].wire.closed), ([], []))

    def test_connections(self) -> None:
        """Those that have proved who it is themselves, unless they have gone."""
        mine, gone, hers = self.connection(), self.connection(), self.connection()
        upgraded = self.connection(UPGRADED)
        for connection in (mine, gone, upgraded):
            self.come(Who("alice", CERTIFICATE), connection)
        self.come(Who("bob", CERTIFICATE), hers)
        for connection in (mine, gone, upgraded, hers):
            connection.open_requests.clear()
        self.factory.connections.discard(gone)
        self.assertEqual(self.dismiss(), {"connections": 2})
        aborted = [each.aborted for each in (mine, gone, upgraded, hers)]
        self.assertEqual(aborted, [1, 0, 0, 0])
        self.assertEqual(self.dismiss(), {})

    def test_nobody_is_kept(self) -> None:
        """Whoever has gone is not held by having been here."""
        request = self.come(Who("alice", CERTIFICATE))
        caller: Any = Caller("alice", Wire())
        self.connect(caller)
        self.look(1.0)
        request.is_open = False
        del caller, request
        self.factory.connections.clear()
        self.look(1.0)
        gc.collect()
        held = (self.presence._callers, self.presence._connections, self.presence._began)
        self.assertEqual([len(each) for each in held], [0, 0, 0])
        self.assertEqual(self.dismiss(), {})


class LoginTests(Case):
    """One of several logins of a principal: nothing but its own ends."""

    def test_all_of_one(self) -> None:
        requests = [self.come(Who("alice", login=name)) for name in ("one", "two", "one")]
        self.come(Who("alice", CERTIFICATE))
        callers: list[Any] = [Caller("alice", Socket()) for _ in range(3)]
        for caller, name in zip(callers, ("one", "two", None), strict=True):
            self.connect(caller, name)
        sessions: Any = [
            Session("alice", Who("alice", login="one")),
            Session("alice", Who("alice", login="two")),
            Session("alice", Who("alice", CERTIFICATE)),
            Session("alice"),
        ]
        self.presence.sessions = sessions
        self.assertEqual(self.presence.logins(), {"one": 3, "two": 2})
        self.assertEqual(
            self.presence.dismiss_login("one"), {"sockets": 1, "sessions": 1, "streams": 2}
        )
        self.assertEqual([each.stream.aborted for each in requests], [1, 0, 1])
        self.assertEqual([len(each.wire.closed) for each in callers], [1, 0, 0])
        self.assertEqual([len(each.ended) for each in sessions], [1, 0, 0, 0])

    def test_stream_of_its_own(self) -> None:
        """A client of HTTP+SSE is one, though it has a request and a wire."""
        self.come(Who("alice", login="one"))
        caller: Any = Caller("alice", Wire())
        self.connect(caller, "one")
        self.assertEqual(self.presence.logins(), {"one": 1})
        self.assertEqual(self.presence.dismiss_login("one")["sockets"], 1)
