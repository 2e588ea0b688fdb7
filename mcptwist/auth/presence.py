"""Who is here: sessions, connections and open requests, so that they can be shown the door.

A request that is finished is forgotten when the list is next gone through, so that one costs next
to nothing while it lasts. Pure but for what it ends.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from mcptwist.auth.realm import OF_CONNECTIONS, TICKET, TOKEN
from mcptwist.errors import ClientGone
from mcptwist.protocols.http1 import UPGRADED
from mcptwist.protocols.websocket import WebSocketWire

if TYPE_CHECKING:
    from mcptwist.caller import Caller
    from mcptwist.protocols.request import Request
    from mcptwist.sessiontable import SessionTable

UNAUTHORIZED = 4401
"""What a WebSocket is closed with."""
_WHY = "the key that this came with is not good any more"


class Presence:
    """Those who are here now.

    :param monotonic: seconds that only grow.
    :param age: seconds that a request may be open.
    :ivar sessions: of legacy clients.
    """

    def __init__(self, monotonic: Callable[[], float], age: float) -> None:
        self.sessions: SessionTable | None = None
        self._monotonic = monotonic
        self._age = age
        self._callers: WeakSet[Caller] = WeakSet()
        self._requests: list[tuple[float, Request]] = []
        self._connections: dict[str, WeakSet[Any]] = {}
        self._enough = 256
        self._now = monotonic()
        self.aged = 0

    def opened(self, request: Request) -> bool:
        """*request* was let in; whether somebody came with it: a ticket, or a connection that
        proved who it is and is new here. Tokens come with every request.
        """
        self._requests.append((self._now, request))
        if len(self._requests) > self._enough:
            self._forget()
        principal = request.principal
        via = principal.via
        if via == TOKEN:
            return False
        return via == TICKET or (via in OF_CONNECTIONS and self._held(principal.identity, request))

    def _held(self, identity: str, request: Request) -> bool:
        held = self._connections.setdefault(identity, WeakSet())
        connection = request.stream.connection
        is_new = connection not in held
        held.add(connection)
        return is_new

    def connected(self, caller: Caller) -> None:
        """*caller* has a connection of its own."""
        self._callers.add(caller)

    def look(self) -> None:
        """End what is open for too long; to be called now and then."""
        self._forget()
        self._now = self._monotonic()
        oldest = self._now - self._age
        for began, request in list(self._requests):
            if began > oldest:
                break
            self.aged += 1
            _cut(request)

    def dismiss(self, identity: str) -> dict[str, int]:
        """End all that belongs to a principal; how many there were of each."""
        return {
            "sockets": self._dismiss_callers(identity),
            "sessions": self._dismiss_sessions(identity),
            "streams": self._dismiss_requests(identity),
            "connections": self._dismiss_connections(identity),
        }

    def _dismiss_sessions(self, identity: str) -> int:
        found = [each for each in self.sessions or () if each.principal == identity]
        for session in found:
            session.end(ClientGone(_WHY))
        return len(found)

    def _dismiss_callers(self, identity: str) -> int:
        found = [each for each in self._callers if each.principal == identity and each.open]
        for caller in found:
            wire: Any = caller.wire
            if isinstance(wire, WebSocketWire):
                wire.close(UNAUTHORIZED, _WHY)
            elif wire is not None:
                wire.close()
        return len(found)

    def _dismiss_requests(self, identity: str) -> int:
        self._forget()
        found = [each for _, each in self._requests if each.principal.identity == identity]
        for request in found:
            _cut(request)
        self._forget()
        return len(found)

    def _dismiss_connections(self, identity: str) -> int:
        held = self._connections.pop(identity, ())
        found = [each for each in held if each in each.factory.connections]
        for connection in found:
            # One that a WebSocket has taken over is closed by it, so that its client hears why.
            if getattr(connection, "phase", None) != UPGRADED:
                connection.abort()
        return len(found)

    def _forget(self) -> None:
        self._requests = [entry for entry in self._requests if entry[1].is_open]
        self._enough = max(256, 2 * len(self._requests))


def _cut(request: Request) -> None:
    """End an answer that is not whole, so that its client notices."""
    if request.is_open:
        request.stream.abort()
