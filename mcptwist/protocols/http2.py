"""The HTTP/2 wire: connections that carry many requests at once (RFC 9113).

A connection feeds the same requests to the same site as HTTP/1.1 does; each of its streams
provides :class:`~mcptwist.protocols.httpstream.IHTTPStream`. The application is asked as soon as a
request's fields are complete. What a turn of the reactor has to say leaves in one write.

Flow control is back-pressure in both directions: the client may send more of a body only when
what it sent was used, and an answer that it does not take waits here, costs nothing, and is cut
when it has waited too long. What is wrong with one stream ends that stream; what is wrong with
the connection ends it at once, and nothing it still sends is read.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.interfaces import IAddress, IPushProducer, ISSLTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from mcptwist.protocols import h2frames as frames
from mcptwist.protocols import refusals
from mcptwist.protocols.h2codec import HIGHEST, Codec, ICodecUser
from mcptwist.protocols.h2fields import KnownHeads, Malformed, check_trailers
from mcptwist.protocols.h2frames import ConnectionFailed
from mcptwist.protocols.h2limits import HTTP2Limits
from mcptwist.protocols.h2stream import HTTP2Stream
from mcptwist.protocols.hpacking import Fields
from mcptwist.protocols.http1factory import HTTP1Factory
from mcptwist.protocols.meter import HTTP2, Meter
from mcptwist.protocols.outflow import NEVER, SLICE
from mcptwist.protocols.refusals import Refusal
from mcptwist.protocols.request import Request
from mcptwist.protocols.sockets import at_turns_end
from mcptwist.protocols.tls import encryption

__all__ = ["HTTP2Connection"]

#: Seconds a client may take to close after it was told to.
ABORT_TIME = 1.0


@implementer(IPushProducer, ICodecUser)
class HTTP2Connection(Protocol):
    """One client's connection.

    :param factory: of the listener: its site, clock, limits and counters.
    :ivar streams: those open, by number.
    :ivar deadline: when something of it may have taken too long, in the clock's seconds.
    :ivar stalled: since when the client takes nothing of what was written, or `NEVER`.
    :ivar meter: what is counted of it.
    """

    _log = Logger()

    deadline = NEVER
    stalled = NEVER
    trusted_host: bytes | None = None

    def __init__(self, factory: HTTP1Factory, limits: HTTP2Limits | None = None) -> None:
        self.factory: HTTP1Factory = factory
        self.counters = factory.counters
        self.clock = factory.clock
        self.limits = factory.limits
        self.bounds = limits or HTTP2Limits()
        self.meter = Meter(HTTP2, self.clock.seconds())
        self.codec = Codec(self, self.bounds.for_codec(self.limits.head), self.clock.seconds)
        self.streams: dict[int, HTTP2Stream] = {}
        self.queued = 0  # bytes of answers that wait
        self.paused = False  # the transport has enough
        self._ready: dict[HTTP2Stream, None] = {}  # have something to send, and may
        self._receiving = False
        self._closing = False
        self._idle_since = NEVER
        self._head_since = NEVER
        self._head_frame = -1
        self._leaving = False  # the client opens no more streams
        self._drain_since = NEVER
        self._last = HIGHEST  # the highest stream that is answered

    # -- coming and going ----------------------------------------------------------------

    def connectionMade(self) -> None:
        transport: Any = self.transport
        self.peer: IAddress = transport.getPeer()
        self.host: IAddress = transport.getHost()
        self.port: int | None = getattr(self.host, "port", None)
        self.is_secure = ISSLTransport.providedBy(transport)
        if self.is_secure:
            self.meter.tls = encryption(transport)
        self._heads = KnownHeads(self.is_secure, self.limits)
        if hasattr(transport, "setTcpNoDelay"):
            transport.setTcpNoDelay(True)
        transport.registerProducer(self, True)
        self._rest()
        self._watch_head()
        self.factory.opened(self)  # type: ignore[arg-type]
        self._flush()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._closing = True
        self.deadline = self.stalled = NEVER
        self.factory.closed(self)  # type: ignore[arg-type]
        self._lose_streams(reason)

    def _lose_streams(self, reason: Failure) -> None:
        streams, self.streams = self.streams, {}
        self._ready.clear()
        self.queued = 0
        for stream in streams.values():
            if stream.lost(reason):
                self.counters.clients_lost += 1

    def refuse(self, refusal: Refusal) -> None:
        """Take no request at all, and close."""
        self.counters.count(refusal)
        self._fail(frames.ENHANCE_YOUR_CALM)

    def drain(self) -> None:
        """Finish the answers being made, and close (RFC 9113 section 6.8).

        The first GOAWAY only says that an end is near. Requests that were under way then are
        still answered; when the client has seen it, the second one says which was the last.
        """
        if self._closing or self._drain_since != NEVER:
            return
        self._drain_since = self.clock.seconds()
        self.codec.farewell(frames.NO_ERROR, HIGHEST)
        self.codec.ping()
        self.sooner(self._drain_since + ABORT_TIME)
        self._flush()

    def pinged_back(self) -> None:
        """Called by the codec: the client has read all that we wrote before our ping."""
        if self._drain_since != NEVER:
            self._say_the_last()

    def going_away(self) -> None:
        """Called by the codec: the client opens no more streams."""
        self._leaving = True

    def _say_the_last(self) -> None:
        if self._last == HIGHEST:
            self._last = self.codec.highest
            self.codec.farewell(frames.NO_ERROR)
            if not self.streams:
                self._close()
            else:
                self.wake()

    @property
    def in_flight(self) -> int:
        """Requests whose answer is not complete."""
        return len(self.streams)

    @property
    def open_requests(self) -> list[Request]:
        """They themselves, but for those whose answer is only to be sent."""
        return [each.request for each in self.streams.values() if each.request is not None]

    def abort(self) -> None:
        """Cut the connection."""
        transport: Any = self.transport
        transport.abortConnection()

    def _fail(self, code: int) -> None:
        self.codec.farewell(code)
        self._close(failed=True)

    def _close(self, failed: bool = False) -> None:
        """Send what there is and close; a client that does not close its end is cut off soon."""
        if self._closing:
            return
        self._closing = True
        if not failed and self._last == HIGHEST:
            self.codec.farewell(frames.NO_ERROR)
        transport: Any = self.transport
        transport.write(self.codec.output())
        wait = ABORT_TIME if failed or not self.paused else self.limits.write_time
        self.deadline = self.clock.seconds() + wait
        self.stalled = NEVER
        if failed:
            # It is not even decrypted; who floods us would like that.
            transport.pauseProducing()
        # TLS does not say goodbye while a producer may still have something to say.
        transport.unregisterProducer()
        transport.loseConnection()
        self._lose_streams(Failure(ConnectionDone("the HTTP/2 connection was closed")))

    # -- time ----------------------------------------------------------------------------

    def _rest(self) -> None:
        """Nothing is asked; how long that may go on."""
        self._idle_since = self.clock.seconds()
        self.sooner(self._idle_since + self.limits.idle_time)

    def sooner(self, deadline: float) -> None:
        """Something may have taken too long by then already; in the clock's seconds."""
        if deadline < self.deadline:
            self.deadline = deadline

    def _watch_head(self) -> None:
        """See to it that what is short comes at once."""
        codec = self.codec
        if not codec.waits_for_head:
            self._head_since = NEVER
        elif self._head_since == NEVER or codec.count != self._head_frame:
            self._head_frame = codec.count
            self._head_since = self.clock.seconds()
            self.sooner(self._head_since + self.limits.head_time)

    def overdue(self, now: float) -> None:
        """Called by the factory when something may have taken too long: find out what."""
        limits = self.limits
        if self._closing:
            self.abort()
        elif now - self.stalled >= limits.write_time:
            self.counters.writes_stalled += 1
            self.abort()
        elif now - self._head_since >= limits.head_time:
            self.counters.count(refusals.HEAD_TIMEOUT)
            self._fail(frames.PROTOCOL_ERROR)
        elif not self.streams and now - self._idle_since >= limits.idle_time:
            self.counters.idle_closed += 1
            self._close()
        else:
            self._look_at_streams(now)

    def _look_at_streams(self, now: float) -> None:
        if now - self._drain_since >= ABORT_TIME:
            self._say_the_last()
        for stream in list(self.streams.values()):
            if stream.deadline <= now:
                stream.overdue(now)
        if self._closing:
            return
        moments = [stream.deadline for stream in self.streams.values()]
        moments.append(self._head_since + self.limits.head_time)
        if not self.streams:
            moments.append(self._idle_since + self.limits.idle_time)
        if self._last == HIGHEST:
            moments.append(self._drain_since + ABORT_TIME)
        self.deadline = min(moments)
        self._flush()

    # -- reading -------------------------------------------------------------------------

    def dataReceived(self, data: bytes) -> None:
        if self._closing:
            return
        self._receiving = True
        self.meter.received += len(data)
        try:
            self.codec.receive(data)
        except ConnectionFailed as failed:
            self._failed(failed)
        except Exception:
            self._log.failure("an HTTP/2 connection went wrong")
            self._failed(ConnectionFailed(frames.INTERNAL_ERROR, "internal error"))
        finally:
            self._receiving = False
        if not self._closing:
            self._watch_head()
            self._flush()
            if self._is_ending and not self.streams:
                self._close()

    def _failed(self, failed: ConnectionFailed) -> None:
        if self._closing:
            return
        self._log.debug("HTTP/2 connection ended: {reason}", reason=str(failed))
        self.counters.connections_failed += 1
        if failed.flood is not None:
            floods = self.counters.floods
            floods[failed.flood] = floods.get(failed.flood, 0) + 1
        self._fail(failed.code)

    def opened(self, stream: int, fields: Fields, ended: bool) -> None:
        """Called by the codec: a request's fields are complete."""
        if self._closing:
            return
        full = len(self.streams) >= self.bounds.streams or self.queued > self.bounds.backlog
        if full or stream > self._last:
            self.counters.streams_refused += 1
            self._refuse_stream(stream, frames.REFUSED_STREAM)
            return
        try:
            head = self._heads.read(fields, ended)
        except Malformed as malformed:
            self._log.debug("HTTP/2 request refused: {reason}", reason=str(malformed))
            self.counters.streams_malformed += 1
            self._refuse_stream(stream, frames.PROTOCOL_ERROR)
            return
        self.counters.requests += 1
        self.meter.requests += 1
        opened = self.streams[stream] = HTTP2Stream(self, stream, head, ended)
        request = opened.request = Request(opened, head)
        if head.refusal is not None:
            request.refuse(head.refusal)
        else:
            self.factory.site.received(request)

    def _refuse_stream(self, stream: int, code: int) -> None:
        self.codec.reset(stream, code)
        self.codec.pay("reset")

    def trailed(self, stream: int, fields: Fields, whole: bool) -> None:
        """Called by the codec: fields after a body."""
        opened = self.streams.get(stream)
        if opened is None:
            return
        try:
            check_trailers(fields)
            if not whole:
                raise Malformed("trailers that do not end their stream")
        except Malformed:
            self.break_stream(opened)
        else:
            opened.body_received(b"", 0, True)

    def body(self, stream: int, data: bytes, cost: int, ended: bool) -> None:
        """Called by the codec: some of a request's body."""
        opened = self.streams.get(stream)
        if opened is None:
            self.codec.hand_back(stream, cost)
        else:
            opened.body_received(data, cost, ended)

    def reset(self, stream: int, code: int) -> None:
        """Called by the codec: a stream is over."""
        self.counters.streams_reset += 1
        opened = self.streams.get(stream)
        if opened is not None:
            self.forget(opened)
            reason = ConnectionAborted(f"the HTTP/2 stream was reset with code {code}")
            if opened.lost(Failure(reason)):
                self.counters.clients_lost += 1

    def break_stream(self, stream: HTTP2Stream) -> None:
        """A client broke a rule on one stream: end that one (RFC 9113 section 5.4.2)."""
        self.counters.streams_malformed += 1
        self.cut(stream, frames.PROTOCOL_ERROR)
        self.codec.pay("reset")

    def cut(self, stream: HTTP2Stream, code: int) -> None:
        """End a stream before its answer is whole."""
        if stream.number not in self.streams:
            return
        self.forget(stream)
        self.codec.reset(stream.number, code)
        self.wake()
        stream.lost(Failure(ConnectionAborted(f"the HTTP/2 stream was cut with code {code}")))

    def forget(self, stream: HTTP2Stream) -> None:
        """A stream is over: nothing of it is kept."""
        if self.streams.pop(stream.number, None) is None:
            return
        self._ready.pop(stream, None)
        self.queued -= stream.release()
        if self.streams:
            return
        self._rest()
        if self._is_ending:
            self.wake()

    @property
    def _is_ending(self) -> bool:
        """Whether no stream is going to follow those that are open."""
        return self._leaving or self._last != HIGHEST

    # -- writing -------------------------------------------------------------------------

    def window_opened(self, stream: int) -> None:
        """Called by the codec: more may be sent."""
        if stream:
            opened = self.streams.get(stream)
            if opened is not None and opened.queue:
                self._ready[opened] = None
            return
        for each in self.streams.values():
            if each.queue:
                self._ready[each] = None

    def ready(self, stream: HTTP2Stream) -> None:
        """A stream has something to send."""
        self._ready[stream] = None
        self.wake()

    def wake(self) -> None:
        """Something is to be written: at the end of this turn, together with all else."""
        if not self._receiving and not self._closing:
            at_turns_end(self.clock, self._flush_later)

    def _flush_later(self) -> None:
        if self._closing:
            return
        self._flush()
        if self._is_ending and not self.streams:
            self._close()

    def _flush(self) -> None:
        """Give the transport what there is, until it has enough."""
        if self._closing:
            return
        if self.paused:
            if self.codec.waiting > self.bounds.control:
                self.counters.control_exceeded += 1
                self.abort()
            return
        transport: Any = self.transport
        while True:
            more = self._pump()
            data = self.codec.output()
            if data:
                self.meter.sent += len(data)
                transport.write(data)
            if not more or self.paused or self._closing:
                return

    def _pump(self) -> bool:
        """Let streams send in turn, a frame each, a slice in all; True if there is more."""
        ready, room = self._ready, SLICE
        while ready and room > 0 and self.codec.connection_window > 0:
            stream = next(iter(ready))
            del ready[stream]
            room -= stream.send_frame()
            if stream.can_send:
                ready[stream] = None
        return room <= 0

    def pauseProducing(self) -> None:
        """Called by the transport when it has enough."""
        if not self.paused:
            self.paused = True
            self.stalled = self.clock.seconds()
            for stream in list(self.streams.values()):
                stream.mind_flow()

    def resumeProducing(self) -> None:
        """Called by the transport when all it had is with the operating system."""
        self.paused = False
        self.stalled = NEVER
        if self._closing:
            return
        self._flush()
        if not self.paused:
            for stream in list(self.streams.values()):
                stream.mind_flow()

    def stopProducing(self) -> None:
        """Called by the transport when it is gone; `connectionLost` follows."""
