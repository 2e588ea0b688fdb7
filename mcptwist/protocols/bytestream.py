"""Messages as lines on a stream of bytes: the stdio binding, whatever the stream is.

That may be the process's own standard input and output, or a connection to a UNIX
socket. A connection is the session of a legacy client, and modern requests stand
alone on it. What is said before the client closes its side is still answered.

MCP 2026-07-28, *stdio* (framing) and *Custom Transports*.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import clientFromString
from twisted.internet.interfaces import (
    IHalfCloseableProtocol,
    IProtocolFactory,
    IPushProducer,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from mcptwist.errors import ClientError, ClientGone, McpTwistError, ServerExited, ServerStartFailed
from mcptwist.interfaces import IConnector, IWire, IWireReader
from mcptwist.messages import Json, Message, decode, error_answer, pieces
from mcptwist.protocols.inbox import Inbox
from mcptwist.protocols.linelimits import LineCounters, LineLimits
from mcptwist.protocols.lines import LineSplitter
from mcptwist.protocols.meter import SOCKET, Meter

if TYPE_CHECKING:
    from twisted.internet.interfaces import IAddress, IDelayedCall, IReactorTime

    from mcptwist.caller import Caller

_JOIN_BELOW = 1 << 16


@implementer(IWire, IPushProducer, IHalfCloseableProtocol)
class ByteStreamWire(Protocol):
    """One stream.

    :param description: for people and logs.
    :param busy: whether anything is still to be answered.
    :param gone: makes the reason of the stream's end.
    :param told_open: told when it is there, before anything is read.
    :param told_gone: told when it is gone.
    :param told_flow: told ``False`` when the far end takes no more for now, and ``True``
        when it has caught up.
    """

    transport: Any

    def __init__(
        self,
        reader: IWireReader,
        clock: IReactorTime,
        limits: LineLimits,
        description: str,
        *,
        busy: Callable[[], bool] = lambda: False,
        gone: Callable[[str], McpTwistError] = ClientGone,
        told_gone: Callable[[ByteStreamWire], None] = lambda wire: None,
        told_flow: Callable[[bool], None] = lambda runs: None,
        told_open: Callable[[ByteStreamWire], None] = lambda wire: None,
        counters: LineCounters | None = None,
    ) -> None:
        self.description = description
        self.backlog = 0
        self.meter = Meter(SOCKET, clock.seconds())
        self._clock = clock
        self._limits = limits
        self._busy = busy
        self._gone = gone
        self._told_gone = told_gone
        self._told_flow = told_flow
        self._told_open = told_open
        self._counters = counters or LineCounters()
        self._inbox = Inbox(reader, clock, description)
        self._splitter = LineSplitter(self._line, self._inbox.put, limits.line)
        self._queue: deque[list[Json]] = deque()
        self._flowing = True
        self._finished = False
        self._ended = False
        self._why = "the stream was closed"
        self._deadline: IDelayedCall | None = None

    # --- what the transport calls -----------------------------------------------------

    def connectionMade(self) -> None:
        """Called when the stream is open."""
        self.transport.registerProducer(self, True)
        self._told_open(self)

    def dataReceived(self, data: bytes) -> None:
        """Called with what arrived."""
        if self._ended:
            return
        self.meter.received += len(data)
        self._splitter.feed(data)

    def readConnectionLost(self) -> None:
        """Called when the far end says no more; it may still want to hear."""
        self._splitter.end()
        self._ended = True
        self._why = "the far end closed its side"
        if self._deadline is None:
            self._deadline = self._clock.callLater(self._limits.linger, self._finish)
        self._clock.callLater(0, self._finish_if_idle)

    def writeConnectionLost(self) -> None:
        """Called when the far end does not hear any more."""
        self._finish()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Called when the stream is gone."""
        if not self._ended:
            self._splitter.end()
        self._over()

    def pauseProducing(self) -> None:
        """Called when the far end does not read: keep what is sent, and read no more of it."""
        self._flowing = False
        self.transport.pauseProducing()
        self._told_flow(False)

    def resumeProducing(self) -> None:
        """Called when the far end reads again."""
        self._flowing = True
        if not self._inbox.paused:
            self.transport.resumeProducing()
        while self._queue and self._flowing:
            self._write(self._queue.popleft())
        if self._flowing:
            self._told_flow(True)

    def stopProducing(self) -> None:
        """Called when the stream is gone."""

    # --- what the house asks ----------------------------------------------------------

    def send(self, message: Message) -> None:
        """Write *message* as one line, or keep it while the far end does not read."""
        if self._finished or self._inbox.reason is not None:
            return
        line: list[Json] = [*pieces(message), b"\n"]
        size = sum(map(len, line))
        self.meter.sent += size
        self.backlog += size
        if self._flowing and not self._queue:
            self._write(line)
        else:
            self._queue.append(line)
            if self.backlog > self._limits.backlog:
                self._counters.overflowed += 1
                self._why = f"{self._limits.backlog} bytes waited for a far end that does not read"
                self.abort()
        if self._ended:
            self._clock.callLater(0, self._finish_if_idle)

    def pause(self) -> None:
        """Read no more."""
        self._inbox.pause()
        self.transport.pauseProducing()

    def resume(self) -> None:
        """Read on."""
        self._inbox.resume()
        if self._flowing:
            self.transport.resumeProducing()

    def close(self) -> Deferred[None]:
        """Close it when what was sent is written, or the far end takes too long."""
        closed = self._inbox.when_lost()
        self._inbox.clear()
        self._finish()
        return closed

    def abort(self) -> None:
        """Close it now."""
        self._finished = True
        self._queue.clear()
        self.backlog = 0
        getattr(self.transport, "abortConnection", self.transport.loseConnection)()

    def finish(self) -> None:
        """Read no more, answer what was asked, and close."""
        if not self._ended:
            self.readConnectionLost()
            self._why = "no more is read"

    # --- how --------------------------------------------------------------------------

    def _write(self, line: list[Json]) -> None:
        size = sum(map(len, line))
        self.backlog -= size
        if size < _JOIN_BELOW:
            self.transport.write(b"".join(line))
        else:
            self.transport.writeSequence([bytes(part) for part in line])

    def _line(self, line: bytes) -> None:
        if line.isspace():
            return
        self.meter.requests += 1
        try:
            self._inbox.put(decode(line))
        except ClientError as problem:
            self._inbox.put(problem)

    def _finish_if_idle(self) -> None:
        if not self._busy() and not self._queue:
            self._finish()

    def _finish(self) -> None:
        """Write what waits and close."""
        if self._finished:
            return
        self._finished = True
        self._stop_waiting()
        for line in self._queue:
            self._write(line)
        self._queue.clear()
        self._deadline = self._clock.callLater(self._limits.closing, self._too_late)
        self.transport.unregisterProducer()
        self.transport.loseConnection()

    def _too_late(self) -> None:
        """It does not close: it counts as gone."""
        self._counters.abandoned += 1
        self._deadline = None
        self.abort()
        self._over()

    def _over(self) -> None:
        self._finished = True
        self._stop_waiting()
        self.backlog = 0
        self._queue.clear()
        if self._inbox.reason is None:
            self._told_gone(self)
            self._inbox.end(self._gone(self._why))

    def _stop_waiting(self) -> None:
        deadline, self._deadline = self._deadline, None
        if deadline is not None and deadline.active():
            deadline.cancel()


def wire_of(
    caller: Caller, clock: IReactorTime, limits: LineLimits, description: str, **more: Any
) -> ByteStreamWire:
    """The wire of a client that speaks on a stream."""
    wire = ByteStreamWire(
        caller,
        clock,
        limits,
        description,
        busy=caller.waits,
        told_flow=caller.told_flow,
        **more,
    )
    caller.wire = wire
    wire.meter.caller = caller
    return wire


@implementer(IProtocolFactory)
class LineFactory:
    """Answers on a socket on which messages are lines.

    :param make_caller: makes the client of a new connection.
    :ivar admit: given a client and its transport once it is connected; raises
        :class:`~mcptwist.errors.McpTwistError` where it may not come in.
    :param counters: shared with other sockets.
    :ivar connections: those that are open.
    """

    noisy = False
    #: What stands before its endpoint in ``listen``.
    framing = "lines:"

    def __init__(
        self,
        make_caller: Callable[[], Caller],
        clock: IReactorTime,
        limits: LineLimits | None = None,
        counters: LineCounters | None = None,
    ) -> None:
        self.connections: set[ByteStreamWire] = set()
        self.admit: Callable[[Caller, Any], None] = lambda caller, transport: None
        self.counters = counters or LineCounters()
        self._make_caller = make_caller
        self._clock = clock
        self._limits = limits or LineLimits()

    def doStart(self) -> None:
        """Called when the socket is bound."""

    def doStop(self) -> None:
        """Called when nobody is accepted any more."""

    def buildProtocol(self, address: IAddress | None) -> ByteStreamWire | None:
        """Called with each new connection."""
        if len(self.connections) >= self._limits.connections:
            self.counters.refused += 1
            return None
        self.counters.opened += 1
        caller = self._make_caller()
        wire = wire_of(
            caller,
            self._clock,
            self._limits,
            "a UNIX socket",
            told_gone=self.connections.discard,
            told_open=partial(self._opened, caller),
            counters=self.counters,
        )
        self.connections.add(wire)
        return wire

    def _opened(self, caller: Caller, wire: ByteStreamWire) -> None:
        """Somebody is there: hear them, or say why not and close."""
        try:
            self.admit(caller, wire.transport)
        except McpTwistError as problem:
            self.counters.refused += 1
            wire.send(error_answer(None, problem))
            wire.close()

    def drain(self) -> Deferred[None]:
        """Close all connections; fires when they are gone."""
        return Deferred.fromCoroutine(self._drain())

    async def _drain(self) -> None:
        for closed in [wire.close() for wire in list(self.connections)]:
            await closed


@implementer(IConnector)
class ByteStreamConnector:
    """A way to a server behind a socket on which messages are lines.

    :param where: a Twisted client endpoint string, such as ``unix:/run/mcp.sock``.
    :param endpoint: makes the endpoint of it.
    """

    def __init__(
        self,
        where: str,
        reactor: Any,
        limits: LineLimits | None = None,
        endpoint: Callable[[Any, str], IStreamClientEndpoint] = clientFromString,
    ) -> None:
        self.description = where
        self._where = where
        self._endpoint = endpoint
        self._reactor = reactor
        self._limits = limits or LineLimits()

    def connect(self, reader: IWireReader) -> Deferred[IWire]:
        """Connect; see :class:`~mcptwist.interfaces.IConnector`."""
        connecting: Deferred[IWire] = Deferred.fromCoroutine(self._connect(reader))
        return connecting

    async def _connect(self, reader: IWireReader) -> IWire:
        wire = ByteStreamWire(
            reader, self._reactor, self._limits, self.description, gone=self._exited
        )
        try:
            await self._endpoint(self._reactor, self._where).connect(_Only(wire))
        except CancelledError:
            raise
        except Exception as problem:
            raise ServerStartFailed(f"{self.description} takes no connection: {problem}") from None
        return wire

    def _exited(self, why: str) -> McpTwistError:
        return ServerExited(f"{self.description}: {why}")


@implementer(IProtocolFactory)
class _Only:
    """Makes one wire, that is made already."""

    noisy = False

    def __init__(self, wire: ByteStreamWire) -> None:
        self._wire = wire

    def doStart(self) -> None:
        """Called by the endpoint."""

    def doStop(self) -> None:
        """Called by the endpoint."""

    def buildProtocol(self, address: IAddress | None) -> ByteStreamWire:
        """Called by the endpoint."""
        return self._wire
