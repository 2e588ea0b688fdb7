"""The connections of one HTTP/1.1 listener: their number, their time, their end.

Nothing is timed per request: each connection says until when it may go on as it is, and its
factory looks at all of them once a second.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IProtocolNegotiationFactory, IReactorTime
from twisted.internet.protocol import Factory
from twisted.web.http import datetimeToString
from zope.interface import implementer

from mcptwist.protocols import refusals
from mcptwist.protocols.http1 import HTTP1Connection
from mcptwist.protocols.limits import Counters, Limits
from mcptwist.protocols.site import Site

__all__ = ["HTTP1Factory"]

#: Seconds between two looks at all connections.
SWEEP = 1.0
#: Heads up to this size, bytes, are remembered by their connection.
MEMORABLE = 2048
#: How many connections beyond the limit get an answer instead of a closed door.
COURTESY = 64


def _nobody(_: IAddress | None) -> bool:
    return False


@implementer(IProtocolNegotiationFactory)
class HTTP1Factory(Factory):
    """One listener's connections: their number, their time, their end.

    :param site: what answers.
    :param clock: of the deadlines.
    :param limits: the bounds of this listener.
    :param now: the wall clock, for the Date header, in seconds since the epoch.
    :ivar turns_away: whether who comes from an address is not let in.
    """

    noisy = False
    #: What stands before its endpoint in ``listen``: nothing.
    framing = ""

    def __init__(
        self,
        site: Site,
        clock: IReactorTime,
        limits: Limits | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.site = site
        self.clock = clock
        self.limits = limits or Limits()
        self.counters: Counters = site.counters
        self.memorable = min(MEMORABLE, self.limits.head - 16)
        self.connections: set[HTTP1Connection] = set()
        self.draining = False
        self.turns_away: Callable[[IAddress | None], bool] = _nobody
        self.date_line = b""
        self._now = now
        self._sweep_call: Any = None
        self._drained: list[Deferred[None]] = []

    def acceptableProtocols(self) -> list[bytes]:
        """What is offered in the TLS handshake (ALPN)."""
        return [b"http/1.1"]

    def buildProtocol(  # type: ignore[override]
        self, addr: IAddress | None
    ) -> HTTP1Connection | None:
        """Accept a connection, turn it away politely, or, far beyond the limit, at once."""
        crowded = len(self.connections) >= self.limits.connections + COURTESY
        if self.draining or crowded or self.turns_away(addr):
            self.counters.connections_refused += 1
            return None
        return HTTP1Connection(self)

    def opened(self, connection: HTTP1Connection) -> None:
        """Called by a connection when it is made."""
        self.connections.add(connection)
        self.counters.connections += 1
        if self._sweep_call is None:
            self._sweep()
        if len(self.connections) > self.limits.connections:
            connection.refuse(refusals.TOO_MANY_CONNECTIONS)

    def closed(self, connection: HTTP1Connection) -> None:
        """Called by a connection when it is lost."""
        self.connections.discard(connection)
        if not self.connections:
            self._all_closed()

    def drain(self) -> Deferred[None]:
        """Take no more requests and finish those being answered.

        :return: fires when the last connection has ended; answers that never end by
            themselves must be ended by who makes them.
        """
        self.draining = True
        drained: Deferred[None] = Deferred()
        self._drained.append(drained)
        for connection in list(self.connections):
            connection.drain()
        if not self.connections:
            self._all_closed()
        return drained

    def _all_closed(self) -> None:
        if self._sweep_call is not None:
            self._sweep_call.cancel()
            self._sweep_call = None
        waiting, self._drained = self._drained, []
        for deferred in waiting:
            deferred.callback(None)

    def _sweep(self) -> None:
        """Look at every connection's deadline; once a second is exact enough for all."""
        self._sweep_call = self.clock.callLater(SWEEP, self._sweep)
        self.date_line = b"Date: %b\r\n" % datetimeToString(self._now())
        now = self.clock.seconds()
        patience = now - self.limits.write_time
        for connection in list(self.connections):
            connection.meter.last_used(now)
            if connection.deadline <= now or connection.stalled <= patience:
                connection.overdue(now)
