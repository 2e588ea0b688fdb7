"""What can be done to clients: closing, draining and banning them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from msgspec import Meta
from twisted.logger import Logger

from mcptwist.errors import ClientGone
from mcptwist.server import Refused
from mcptwist.watching.reports import Done
from mcptwist.watching.survey import Survey

if TYPE_CHECKING:
    from mcptwist.daemon import Daemon

Seconds = Annotated[float, Meta(ge=1, le=31_536_000)]
ConnectionId = Annotated[str, Meta(description="such as c7, as connections has it", max_length=20)]


class Doorkeeper:
    """The part of the daemon's own server that shows clients the door."""

    log: Logger
    daemon: Daemon
    _survey: Survey

    def close_connection(self, id: ConnectionId) -> Done:
        """Cut a connection at once; what it waits for is lost."""
        self._connection(id).abort()
        return Done(f"{id} is closed")

    def drain_connection(self, id: ConnectionId) -> Done:
        """Close a connection when what it waits for is answered."""
        connection = self._connection(id)
        if connection.meter.caller is not None:
            connection.meter.caller.wire.close()
        else:
            connection.drain()
        return Done(f"{id} is closed when it is answered")

    def ban_connection(self, id: ConnectionId, seconds: Seconds = 3600) -> Done:
        """Cut a connection, and let nobody connect from its address for a while."""
        connection = self._connection(id)
        host = getattr(getattr(connection, "peer", None), "host", None)
        if host is None:
            raise Refused(f"{id} came by a UNIX socket and has no address to ban")
        self.daemon.bans.add(host, seconds)
        closed = 0
        for listener in self.daemon.listeners:
            others: list[Any] = list(listener.factory.connections)
            for other in others:
                if getattr(getattr(other, "peer", None), "host", None) == host:
                    other.abort()
                    closed += 1
        self.log.info("{host} is banned for {seconds} s", host=host, seconds=seconds)
        return Done(f"{host} is banned for {seconds:g} s; {closed} connections were closed")

    def lift_ban(self, host: Annotated[str, Meta(max_length=100)]) -> Done:
        """Let an address connect again."""
        if not self.daemon.bans.lift(host):
            raise Refused(f"{host} is not banned")
        return Done(f"{host} may connect again")

    def close_session(self, id: Annotated[str, Meta(description="such as s7")]) -> Done:
        """End the session of a legacy client; what it waits for fails."""
        session = self._survey.find_session(id)
        if session is None:
            raise Refused(f"there is no session {id}")
        session.end(ClientGone("the session was ended by whoever runs this daemon"))
        return Done(f"{id} is ended")

    def _connection(self, id: str) -> Any:
        connection = self._survey.find_connection(id)
        if connection is None:
            raise Refused(f"there is no connection {id}; it may be gone")
        return connection
