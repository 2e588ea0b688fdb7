"""Where encrypted connections begin: the handshake, and which version of HTTP follows it."""

from __future__ import annotations

from typing import Any

from OpenSSL.SSL import WantReadError
from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IHandshakeListener,
    IOpenSSLServerConnectionCreator,
    IProtocol,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from mcptwist.protocols import sockets
from mcptwist.protocols.h2limits import HTTP2Limits
from mcptwist.protocols.http1factory import HTTP1Factory
from mcptwist.protocols.http2 import HTTP2Connection
from mcptwist.protocols.tls import H2

__all__ = ["SecureFront", "secured"]

#: Seconds a handshake may take.
HANDSHAKE_TIME = 10.0
#: Handshakes under way at one time; beyond it, the oldest is given up.
MOST_HANDSHAKES = 1000
#: Bytes of encrypted records that are taken from OpenSSL at one time, which makes one at a time.
_RECORDS = 1 << 15


class SecureFront(Factory):
    """Connections of one TLS listener until their handshake is done.

    Who opens many and says nothing only loses them earlier: others are not kept out.

    :param http: takes the connections then.
    :param handshake_time: seconds that one may take.
    :param most: how many may be under way.
    :ivar handshakes: those under way, the oldest first.
    """

    noisy = False

    def __init__(
        self,
        http: HTTP1Factory,
        http2: HTTP2Limits | None = None,
        handshake_time: float = HANDSHAKE_TIME,
        most: int = MOST_HANDSHAKES,
    ) -> None:
        self.http = http
        self.http2 = http2 or HTTP2Limits()
        self.handshakes: dict[Handshake, None] = {}
        self.handshake_time = handshake_time
        self._most = most

    def buildProtocol(self, addr: IAddress | None) -> Handshake | None:
        """Accept a connection, at the cost of the oldest handshake if there are too many."""
        if self.http.draining or self.http.turns_away(addr):
            self.http.counters.connections_refused += 1
            return None
        while len(self.handshakes) >= self._most:
            self.http.counters.handshakes_dropped += 1
            next(iter(self.handshakes)).give_up()
        return Handshake(self)

    def successor(self, negotiated: bytes | None) -> IProtocol | None:
        """What speaks on a connection from now on, or None when it is one too many."""
        inside = self.http.buildProtocol(None)
        if inside is not None and negotiated == H2:
            return HTTP2Connection(self.http, self.http2)
        return inside


@implementer(IHandshakeListener)
class Handshake(Protocol):
    """One connection until its handshake is done."""

    def __init__(self, front: SecureFront) -> None:
        self._front = front
        self._deadline: IDelayedCall | None = None

    def connectionMade(self) -> None:
        front = self._front
        front.handshakes[self] = None
        self._deadline = front.http.clock.callLater(front.handshake_time, self._late)

    def handshakeCompleted(self) -> None:
        """Called when both ends agree: give the connection to who speaks HTTP."""
        self._over()
        transport: Any = self.transport
        successor = self._front.successor(transport.negotiatedProtocol)
        if successor is None:
            transport.abortConnection()
            return
        transport.wrappedProtocol = successor
        successor.makeConnection(transport)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._over():
            self._front.http.counters.handshakes_failed += 1

    def give_up(self) -> None:
        """End it."""
        self._over()
        transport: Any = self.transport
        transport.abortConnection()

    def _late(self) -> None:
        self._deadline = None
        self._front.http.counters.handshakes_late += 1
        self.give_up()

    def _over(self) -> bool:
        """It is under way no more; whether it was."""
        deadline, self._deadline = self._deadline, None
        if deadline is not None:
            deadline.cancel()
        return self._front.handshakes.pop(self, self) is None


class _Encrypted(TLSMemoryBIOProtocol):
    """TLS whose records leave when the reactor's turn ends, as plain text does."""

    def _flushSendBIO(self) -> None:
        try:
            records = self._tlsConnection.bio_read(_RECORDS)
        except WantReadError:
            return  # there are none
        sockets.write(self.transport, records)


class _TLSFactory(TLSMemoryBIOFactory):
    """TLS without another buffer: what is spoken inside joins its writes itself."""

    protocol = _Encrypted

    def buildProtocol(self, addr: IAddress) -> TLSMemoryBIOProtocol | None:  # type: ignore[override]
        """Called with each connection; Twisted's own cannot be told no by who is inside."""
        inside = self.wrappedFactory.buildProtocol(addr)
        return None if inside is None else self.protocol(self, inside)


def secured(
    http: HTTP1Factory,
    certificates: IOpenSSLServerConnectionCreator,
    http2: HTTP2Limits | None = None,
    handshake_time: float = HANDSHAKE_TIME,
) -> TLSMemoryBIOFactory:
    """The factory of a TLS listener.

    :param handshake_time: seconds that a handshake may take.
    """
    front = SecureFront(http, http2, handshake_time)
    return _TLSFactory(certificates, False, front, http.clock)
