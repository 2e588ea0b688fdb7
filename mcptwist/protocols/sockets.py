"""Writing to sockets once in each turn of the reactor, all of them one after another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

from twisted.internet.tcp import Connection
from twisted.logger import Logger

__all__ = ["at_turns_end", "write"]

_log = Logger()


def at_turns_end(reactor: Any, called: Callable[[], object]) -> None:
    """Have something called once when the reactor's turn ends, before what was written is sent.

    So whoever gathers what it has to say in a turn needs no delayed call of its own.

    :param reactor: or another clock.
    """
    _turn(reactor).call(called)


def write(transport: Any, data: bytes) -> None:
    """Send when the reactor's turn ends what the socket then takes; the rest waits as ever.

    Twisted's ``write`` waits for the reactor to find the socket writable, which costs two
    calls to epoll and a turn for each answer; a socket whose buffer is empty nearly always
    takes a small answer whole. Nor is it sent at once: what wakes a client that sleeps is dear,
    and clients that are answered together are woken together.

    :param transport: any; one without a socket, or with TLS, is simply written to.
    """
    if isinstance(transport, Connection):
        turn = _turn(transport.reactor)
        if turn.takes(transport):
            turn.add(transport, data)
            return
    transport.write(data)


class _Turn:
    """What is done when this turn of a reactor ends."""

    def __init__(self, reactor: Any) -> None:
        self._call_later = reactor.callLater
        self._due = False
        self._calls: dict[Callable[[], object], None] = {}  # sets that remember the order
        self._written: dict[Any, None] = {}

    def call(self, called: Callable[[], object]) -> None:
        self._calls[called] = None
        self._come()

    def _come(self) -> None:
        if not self._due:
            self._due = True
            self._call_later(0, self._end)

    def takes(self, transport: Any) -> bool:
        """Whether nothing that the reactor was told to send stands before."""
        return transport in self._written or _idle(transport)

    def add(self, transport: Any, data: bytes) -> None:
        self._written[transport] = None
        self._come()
        # As the transport's own `write` does, but for telling the reactor.
        transport._tempDataBuffer.append(data)
        transport._tempDataLen += len(data)
        transport._maybePauseProducer()

    def _end(self) -> None:
        calls, self._calls = self._calls, {}
        for called in calls:
            try:
                called()
            except Exception:
                _log.failure("what was to be done at the end of a turn went wrong")
        written, self._written = self._written, {}
        self._due = False
        if self._calls:
            self._come()
        for transport in written:
            try:
                if transport.connected and not _send(transport):
                    transport.startWriting()
            except Exception:
                _log.failure("what was written could not be sent; the connection is cut")
                transport.abortConnection()  # how much of it was sent is not known


_turns: WeakKeyDictionary[Any, _Turn] = WeakKeyDictionary()


def _turn(reactor: Any) -> _Turn:
    turn = _turns.get(reactor)
    if turn is None:
        turn = _turns[reactor] = _Turn(reactor)
    return turn


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
