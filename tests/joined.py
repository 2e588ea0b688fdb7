"""Connections in memory: the asking ends and the answering ends of the wires, joined.

A :class:`Network` has one clock and any number of connections. Bytes move, and
what is due is done, when it is told to :meth:`~Network.turn`; nothing waits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionRefusedError
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.web.client import Agent, HTTPConnectionPool
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer

PORT = 8808


class End(StringTransport):
    """One end of a connection: its protocol writes here, and the other's reads.

    :ivar full: while True, nothing that is written here goes across.
    """

    other: End
    protocol: Any
    full = False
    gone = False

    def __init__(self, port: int) -> None:
        super().__init__(IPv4Address("TCP", "127.0.0.1", port), lenient=True)
        self.connected = True

    def write(self, data: bytes) -> None:
        if not self.disconnecting and not self.gone:
            super().write(data)

    def loseWriteConnection(self) -> None:
        self.disconnecting = True

    def unregisterProducer(self) -> None:
        self.producer = None

    def abortConnection(self) -> None:
        if not self.gone:
            self.clear()
            self.lose(ConnectionAborted())

    def pauseProducing(self) -> None:
        self.producerState = "paused"

    def resumeProducing(self) -> None:
        self.producerState = "producing"

    def getHandle(self) -> Any:
        """Called for the TLS connection; there is none here."""

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Called by Autobahn; there is no TCP here."""

    def move(self) -> bool:
        """Take what was written across; whether anything happened."""
        data = self.value()
        if self.full or self.other.gone or self.other.producerState == "paused":
            return False
        if data:
            self.clear()
            self.other.protocol.dataReceived(data)
            return True
        if self.disconnecting and not self.gone:
            self.lose(ConnectionDone())
            return True
        return False

    def lose(self, reason: Exception) -> None:
        """This end is closed, and so the other learns of it."""
        if self.gone:
            return
        self.gone = True
        self.connected = False
        self.protocol.connectionLost(Failure(reason))
        other = self.other
        if not other.gone:
            data = self.value()
            if data and other.producerState != "paused":
                self.clear()
                other.protocol.dataReceived(data)
            other.lose(ConnectionDone())


class Network:
    """Connections between what is asked and who asks.

    :ivar up: whether anybody takes connections.
    :ivar ends: both ends of each connection, the asking one first.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock = clock or Clock()
        self.up = True
        self.ends: list[tuple[End, End]] = []

    def join(self, asking: Any, answering: Any) -> tuple[End, End]:
        """Connect two protocols."""
        near, far = End(1), End(PORT)
        near.other, far.other = far, near
        near.protocol, far.protocol = asking, answering
        self.ends.append((near, far))
        answering.makeConnection(far)
        asking.makeConnection(near)
        return near, far

    def turn(self, seconds: float = 0, steps: int = 1) -> None:
        """Let time pass, and whatever is due happen, until nothing more does."""
        for _ in range(steps):
            self.clock.advance(seconds / steps)
            for _ in range(1000):
                if not self._step():
                    break
            else:
                raise AssertionError("it never comes to rest")

    def _step(self) -> bool:
        moved = sum(end.move() for pair in list(self.ends) for end in pair)
        self.ends = [pair for pair in self.ends if not (pair[0].gone and pair[1].gone)]
        due = [c for c in self.clock.getDelayedCalls() if c.getTime() <= self.clock.seconds()]
        if due:
            self.clock.advance(0)
        return bool(moved or due)

    def cut(self) -> None:
        """Every connection breaks, as when the far end is killed."""
        for _, far in list(self.ends):
            far.abortConnection()

    def endpoint(self, factory: Any) -> IStreamClientEndpoint:
        """Where *factory* answers."""
        return _Endpoint(self, factory)

    def agent(self, factory: Any) -> Agent:
        """Asks over HTTP what *factory* answers, whatever the URL's host."""
        pool = HTTPConnectionPool(self.clock)
        pool.retryAutomatically = False
        return Agent.usingEndpointFactory(
            self.clock, _Endpoints(lambda: self.endpoint(factory)), pool=pool
        )


@implementer(IStreamClientEndpoint)
class _Endpoint:
    def __init__(self, network: Network, factory: Any) -> None:
        self._network = network
        self._factory = factory

    def connect(self, factory: Any) -> Deferred[Any]:
        if not self._network.up:
            return fail(ConnectionRefusedError())
        answering = self._factory.buildProtocol(None)
        if answering is None:
            return fail(ConnectionRefusedError())
        asking = factory.buildProtocol(None)
        self._network.join(asking, answering)
        return succeed(asking)


@implementer(IAgentEndpointFactory)
class _Endpoints:
    def __init__(self, make: Callable[[], IStreamClientEndpoint]) -> None:
        self._make = make

    def endpointForURI(self, uri: Any) -> IStreamClientEndpoint:
        return self._make()
