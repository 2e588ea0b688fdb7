"""Writing to sockets once in each turn of the reactor, all of them one after another."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

from twisted.internet.tcp import Connection

__all__ = ["write"]


def write(transport: Any, data: bytes) -> None:
    """Send when the reactor's turn ends what the socket then takes; the rest waits as ever.

    Twisted's ``write`` waits for the reactor to find the socket writable, which costs two
    calls to epoll and a turn for each answer; a socket whose buffer is empty nearly always
    takes a small answer whole. Nor is it sent at once: what wakes a client that sleeps is dear,
    and clients that are answered together are woken together.

    :param transport: any; one without a socket, or with TLS, is simply written to.
    """
    if isinstance(transport, Connection):
        turn = _turns.get(transport.reactor)
        if turn is None:
            turn = _turns[transport.reactor] = _Turn(transport.reactor)
        if turn.takes(transport):
            turn.add(transport, data)
            return
    transport.write(data)


class _Turn:
    """What was written in this turn of a reactor, and is sent when it ends."""

    def __init__(self, reactor: Any) -> None:
        self._call_later = reactor.callLater
        self._written: dict[Any, None] = {}  # a set that remembers the order

    def takes(self, transport: Any) -> bool:
        """Whether nothing that the reactor was told to send stands before."""
        return transport in self._written or _idle(transport)

    def add(self, transport: Any, data: bytes) -> None:
        if not self._written:
            self._call_later(0, self._end)
        self._written[transport] = None
        # As the transport's own `write` does, but for telling the reactor.
        transport._tempDataBuffer.append(data)
        transport._tempDataLen += len(data)
        transport._maybePauseProducer()

    def _end(self) -> None:
        written, self._written = self._written, {}
        for transport in written:
            if transport.connected and not _send(transport):
                transport.startWriting()


_turns: WeakKeyDictionary[Any, _Turn] = WeakKeyDictionary()


def _idle(transport: Any) -> bool:
    """Whether a TCP or UNIX transport is open and has nothing left to write."""
    return (
        transport.connected
        and not transport.TLS
        and not transport.disconnecting
        and not transport._writeDisconnecting
        and not transport.dataBuffer
        and not transport._tempDataBuffer
        and (transport.producer is None or transport.streamingProducer)
    )


def _send(transport: Any) -> bool:
    """Send what was written; False when something is left for the reactor to do."""
    pieces = transport._tempDataBuffer
    if transport.disconnecting or transport.producerPaused or transport.dataBuffer or not pieces:
        return False
    data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
    taken = transport.writeSomeData(data)
    if not isinstance(taken, int):
        return False  # the reactor will see the same, and knows what to do
    left = data[taken:]
    transport._tempDataBuffer = [left] if left else []
    transport._tempDataLen = len(left)
    return not left
