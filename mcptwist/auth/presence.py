"""Who is here: sessions, connections and open requests, so that they can be shown the door.

Open requests are looked for on their connections when one wants to know them, so that they cost
nothing while they last. Pure but for what it ends.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from mcptwist.auth.realm import OF_CONNECTIONS, TICKET, Principal
from mcptwist.errors import ClientGone
from mcptwist.protocols.http1 import UPGRADED
from mcptwist.protocols.websocket import WebSocketWire

if TYPE_CHECKING:
    from mcptwist.caller import Caller
    from mcptwist.protocols.request import Request
    from mcptwist.session import Session
    from mcptwist.sessiontable import SessionTable

UNAUTHORIZED = 4401
"""What a WebSocket is closed with."""
_AGEING = 1.0  # seconds between two looks at how long requests are open
_WHY = "what this came with is not good any more"


class Presence:
    """Those who are here now.

    :param monotonic: seconds that only grow.
    :param age: seconds that a request may be open.
    :ivar sessions: of legacy clients.
    :ivar aged: how many requests were open for longer.
    """

    def __init__(self, monotonic: Callable[[], float], age: float) -> None:
        self.sessions: SessionTable | None = None
        self.aged = 0
        self._monotonic = monotonic
        self._age = age
        self._callers: WeakSet[Caller] = WeakSet()
        self._connections: WeakSet[Any] = WeakSet()  # by which anybody came in
        self._proved: dict[str, WeakSet[Any]] = {}  # that have themselves proved who it is
        self._began: dict[Request, float] = {}
        self._looked = monotonic()

    def opened(self, request: Request) -> bool:
        """*request* was let in, the first like it on its connection; whether somebody came with
        it: a ticket, or a connection that proved who it is and is new here. Tokens come with
        every request.
        """
        connection, principal = request.stream.connection, request.principal
        self._connections.add(connection)
        if principal.via in OF_CONNECTIONS:
            return self._is_new(principal.identity, connection)
        return bool(principal.via == TICKET)

    def _is_new(self, identity: str, connection: Any) -> bool:
        held = self._proved.setdefault(identity, WeakSet())
        is_new = connection not in held
        held.add(connection)
        return is_new

    def connected(self, caller: Caller, visitor: Principal) -> None:
        """*caller* has a connection of its own, by which *visitor* came."""
        caller.visitor = visitor
        self._callers.add(caller)

    def look(self) -> None:
        """End what is open for too long; to be called now and then."""
        before, now = self._looked, self._monotonic()
        if now - before < _AGEING:
            return
        self._looked = now
        # What is seen for the first time was begun since the last look, or then.
        self._began = {each: self._began.get(each, before) for each in self._open_requests()}
        for request, began in self._began.items():
            if began <= now - self._age:
                self.aged += 1
                _cut(request)

    def _open_requests(self) -> list[Request]:
        """Those that were let in and can still be answered."""
        return [
            request
            for connection in self._connections
            for request in connection.open_requests
            if request.is_open and request.principal is not None
        ]

    def dismiss(self, identity: str) -> dict[str, int]:
        """End all that belongs to a principal; how many there were of each."""
        return {
            "sockets": _close(c for c in self._open_callers() if c.principal == identity),
            "sessions": _end(s for s in self.sessions or () if s.principal == identity),
            "streams": _cut_all(
                r for r in self._open_requests() if r.principal.identity == identity
            ),
            "connections": self._dismiss_connections(identity),
        }

    def dismiss_login(self, login: str) -> dict[str, int]:
        """End all that somebody has who came with a token of that login; how many of each.

        A session that several logins of a principal speak in is that of who did last.
        """
        return {
            "sockets": _close(c for c in self._open_callers() if _login(c.visitor) == login),
            "sessions": _end(s for s in self.sessions or () if _login(s.visitor) == login),
            "streams": _cut_all(r for r in self._open_requests() if _login(r.principal) == login),
        }

    def logins(self) -> Counter[str]:
        """How many open requests and sockets there are of each login."""
        here: list[Principal] = [each.principal for each in self._open_requests()]
        # The stream of a client that has one to itself is an open request as well.
        here += [c.visitor for c in self._open_callers() if isinstance(c.wire, WebSocketWire)]
        return Counter(filter(None, map(_login, here)))

    def _open_callers(self) -> list[Caller]:
        return [each for each in self._callers if each.open]

    def _dismiss_connections(self, identity: str) -> int:
        held = self._proved.pop(identity, ())
        found = [each for each in held if each in each.factory.connections]
        for connection in found:
            # One that a WebSocket has taken over is closed by it, so that its client hears why.
            if getattr(connection, "phase", None) != UPGRADED:
                connection.abort()
        return len(found)


def _login(visitor: Principal | None) -> str:
    """The id of the login that somebody came by; empty where they came otherwise."""
    return "" if visitor is None or visitor.token is None else visitor.token.login


def _close(callers: Iterable[Caller]) -> int:
    found = list(callers)
    for caller in found:
        wire: Any = caller.wire
        if isinstance(wire, WebSocketWire):
            wire.close(UNAUTHORIZED, _WHY)
        elif wire is not None:
            wire.close()
    return len(found)


def _end(sessions: Iterable[Session]) -> int:
    found = list(sessions)
    for session in found:
        session.end(ClientGone(_WHY))
    return len(found)


def _cut_all(requests: Iterable[Request]) -> int:
    found = list(requests)
    for request in found:
        _cut(request)
    return len(found)


def _cut(request: Request) -> None:
    """End an answer that is not whole, so that its client notices."""
    if request.is_open:
        request.stream.abort()
