"""The HTTP/1.1 wire: connections that carry one request after another (RFC 9112).

A connection reads a head, lets the site answer, and only then reads the next: answers leave in
order, and what a client sends ahead waits, within a bound. It provides
:class:`~mcptwist.protocols.httpstream.IHTTPStream` for the request it is answering.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from twisted.internet.interfaces import (
    IAddress,
    IProtocol,
    ISSLTransport,
)
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http import NO_BODY_CODES
from zope.interface import implementer

from mcptwist.protocols import refusals
from mcptwist.protocols.http1answer import CLOSE, KEEP_ALIVE, AnswerHeads
from mcptwist.protocols.http1syntax import CHUNKED, ChunkedBody, Head, KnownHead, read_head
from mcptwist.protocols.httpstream import HeaderList, IHTTPStream
from mcptwist.protocols.meter import HTTP1, Meter
from mcptwist.protocols.outflow import NEVER, SMALL, Outflow
from mcptwist.protocols.refusals import Refusal, Refused
from mcptwist.protocols.request import Request
from mcptwist.protocols.tls import encryption

if TYPE_CHECKING:
    from mcptwist.protocols.http1factory import HTTP1Factory

__all__ = ["HTTP1Connection"]

# What a connection is waiting for; decides what its deadline means.
IDLE = "idle"
HEAD = "head"
BODY = "body"
ANSWER = "answer"
CLOSING = "closing"
UPGRADED = "upgraded"

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


@implementer(IHTTPStream)
class HTTP1Connection(Outflow):
    """One client's connection.

    :ivar phase: what it waits for, one of the constants above.
    :ivar deadline: when that has taken too long, in the clock's seconds.
    """

    _log = Logger()

    factory: HTTP1Factory
    phase = IDLE
    deadline = NEVER

    def __init__(self, factory: HTTP1Factory) -> None:
        super().__init__(factory.clock, Meter(HTTP1, factory.clock.seconds()))
        self.factory = factory
        self.counters = factory.counters
        self.limits = factory.limits
        self.trusted_host: bytes | None = None
        self._buffer = b""  # read and not yet used
        self._advancing = False
        self._reading = True
        self._request: Request | None = None  # being answered
        self._head: Head | None = None  # of that request
        self._left = 0  # of the request body: bytes, CHUNKED, or 0 when it has ended
        self._chunks: ChunkedBody | None = None
        self._expected = False  # the client waits for 100 Continue
        self._known: KnownHead | None = None  # the last head that was read
        self._spoken = AnswerHeads()
        self._body_wanted = False
        self._body_until = NEVER
        self._chunked = False  # how the streamed answer is framed
        self._mute = False  # the answer has no body, whatever is written
        self._answer_left: int | None = None
        self._ended = False  # the answer is complete, apart from what is queued
        self._last = False  # close after this answer
        self._successor: IProtocol | None = None  # who took over from HTTP

    @property
    def connection(self) -> HTTP1Connection:
        """What the request came over: here the stream is all of the connection."""
        return self

    # -- coming and going ----------------------------------------------------------------

    def connectionMade(self) -> None:
        transport: Any = self.transport
        self.peer: IAddress = transport.getPeer()
        self.host: IAddress = transport.getHost()
        self.port: int | None = getattr(self.host, "port", None)
        self.is_secure = ISSLTransport.providedBy(transport)
        if self.is_secure:
            self.meter.tls = encryption(transport)
        if hasattr(transport, "setTcpNoDelay"):
            transport.setTcpNoDelay(True)
        transport.registerProducer(self, True)
        self.deadline = self.clock.seconds() + self.limits.head_time
        self.factory.opened(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        request, self._request = self._request, None
        self._queue.clear()
        self._buffer = b""
        self.deadline = self.stalled = NEVER
        self.factory.closed(self)
        if self._successor is not None:
            self._successor.connectionLost(reason)
        if request is not None and request.is_open:
            self.counters.clients_lost += 1
            request.lost(reason)

    def refuse(self, refusal: Refusal) -> None:
        """Answer what is not even a request, and close."""
        self._body_wanted = False
        request = self._request
        if request is not None and request.is_open and not request.startedWriting:
            request.refuse(refusal, close=True)
            return
        self.counters.count(refusal)
        if request is not None:
            self.abort()  # in the middle of its answer, nothing else can be said
            return
        if self._left:
            self._close()  # the rest of a request that has its answer already
            return
        self._last = True
        headers = [(b"Content-Type", b"application/json"), *refusal.headers]
        body = refusal.body()
        self._transport_write(self._answer_head(refusal.status, headers, len(body)) + body)
        self._close()

    def drain(self) -> None:
        """Finish the answer being made, if any, and close."""
        if self._request is None and self.phase != UPGRADED:
            self._close()
        else:
            self._last = True

    @property
    def in_flight(self) -> int:
        """Requests whose answer is not complete."""
        return int(self._request is not None)

    @property
    def open_requests(self) -> list[Request]:
        """They themselves."""
        return [] if self._request is None else [self._request]

    def abort(self) -> None:
        """Cut the connection, so that the client does not take the answer for whole."""
        self.phase = CLOSING
        self.deadline = self.stalled = NEVER
        self._queue.clear()
        self._queued = 0
        cast(Any, self.transport).abortConnection()

    def _close(self) -> None:
        """Close so that the client can still read the last answer.

        Closing a socket with unread bytes in it makes the system reset the connection, and
        the client may lose the answer. So, unless all was read, only our half is closed and
        what still comes is dropped for a while (RFC 9112 section 9.6).
        """
        if self.phase == CLOSING:
            return
        transport: Any = self.transport
        clean = not self._buffer and not self._left and self.phase != HEAD
        wait = self.limits.write_time if self._paused else self.limits.linger_time
        self.phase = CLOSING
        self.deadline = self.clock.seconds() + wait
        self.stalled = NEVER
        self._buffer = b""
        transport.unregisterProducer()
        self._set_reading(True)
        if clean or self.is_secure or not hasattr(transport, "loseWriteConnection"):
            transport.loseConnection()
        else:
            transport.loseWriteConnection()

    def overdue(self, now: float) -> None:
        """Called by the factory when the deadline, or the patience with a write, has passed."""
        if now - self.stalled >= self.limits.write_time:
            self.counters.writes_stalled += 1
            self.abort()
        elif self.phase == IDLE:
            self.counters.idle_closed += 1
            self._close()
        elif self.phase == HEAD:
            self.refuse(refusals.HEAD_TIMEOUT)
        elif self.phase == BODY:
            self.refuse(refusals.BODY_TIMEOUT)
        else:
            self.abort()

    # -- reading -------------------------------------------------------------------------

    def dataReceived(self, data: bytes) -> None:
        self.meter.received += len(data)
        self._buffer = self._buffer + data if self._buffer else data
        if not self._advancing:
            self._advance()

    def _advance(self) -> None:
        """Do all that can be done with what was read."""
        self._advancing = True
        try:
            while self._buffer:
                if self._left:
                    if not (self._body_wanted and self._read_body()):
                        break
                elif self._request is not None or self._paused or not self._read_request():
                    break
        finally:
            self._advancing = False
        if self._buffer:
            self._wait_with_buffer()
        elif not self._reading:
            self._set_reading(True)

    def _read_request(self) -> bool:
        """Read a head and let the site answer; False when that needs more, or is over."""
        if self.phase in (CLOSING, UPGRADED):
            return False
        known = self._known
        head = known.again(self._buffer) if known is not None else None
        if head is None:
            try:
                head = read_head(self._buffer, self.limits)
            except Refused as refused:
                self.refuse(refused.refusal)
                return False
            if head is None:
                return False
            self._known = KnownHead(head) if len(head.raw) <= self.factory.memorable else None
        self._begin(head)
        return True

    def _wait_with_buffer(self) -> None:
        if self.phase == CLOSING:
            self._buffer = b""
            return
        if self.phase == IDLE and self._request is None and not self._left:
            self.phase = HEAD
            self.deadline = min(self.deadline, self.clock.seconds() + self.limits.head_time)
        waits = self._request is not None or self._paused or (self._left and not self._body_wanted)
        self._set_reading(not waits or len(self._buffer) < self.limits.pipeline)

    def _set_reading(self, reading: bool) -> None:
        if reading is not self._reading:
            self._reading = reading
            transport: Any = self.transport
            if reading:
                transport.resumeProducing()
            else:
                transport.pauseProducing()

    def _begin(self, head: Head) -> None:
        buffer = self._buffer
        size = len(head.raw)
        self._buffer = buffer[size:] if len(buffer) > size else b""
        self._head = head
        self._left = head.length
        self._last = not head.keep_alive
        self._expected = head.expects_continue
        if head.length == CHUNKED:
            self._chunks = ChunkedBody()
        self.phase = ANSWER
        self.deadline = NEVER
        self.counters.requests += 1
        self.meter.requests += 1
        request = self._request = Request(self, head)
        self.factory.site.received(request)

    def _read_body(self) -> bool:
        """Deliver what there is of the body; False when more must come."""
        buffer = self._buffer
        if self._chunks is not None:
            return self._read_chunks(self._chunks)
        left = self._left
        if len(buffer) > left:
            buffer, self._buffer = buffer[:left], buffer[left:]
        else:
            self._buffer = b""
        self._left = left - len(buffer)
        self._deliver(buffer, not self._left)
        return True

    def _read_chunks(self, chunks: ChunkedBody) -> bool:
        try:
            pieces, self._buffer = chunks.feed(self._buffer)
        except Refused as refused:
            self.refuse(refused.refusal)
            return False
        ended = chunks.ended
        if ended:
            self._left = 0
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        if data or ended:
            self._deliver(data, ended)
        return ended or bool(data)

    def _deliver(self, data: bytes, last: bool) -> None:
        request = self._request
        if last:
            self._chunks = None
            self._body_wanted = False
            if request is None:
                self._rest()
            elif self.phase == BODY:
                self.phase = ANSWER
                self.deadline = NEVER
        else:
            self.deadline = min(self.clock.seconds() + self.limits.body_time, self._body_until)
        if request is not None:
            request.body_received(data, last)

    def whole_body(self) -> bytes | None:
        left, buffer = self._left, self._buffer
        if not 0 < left <= len(buffer) or self._expected:
            return None
        self._left = 0
        if left == len(buffer):
            self._buffer = b""
            return buffer
        self._buffer = buffer[left:]
        return buffer[:left]

    def resume_body(self) -> None:
        if self._expected:
            self._expected = False
            self._transport_write(_CONTINUE)
        self._want_body()
        while self._buffer and self._left and self._body_wanted and self._read_body():
            pass
        if not self._reading:
            self._set_reading(True)

    def _want_body(self) -> None:
        self._body_wanted = True
        if 0 < self._left <= len(self._buffer):
            return  # all of it is here; there is nothing to wait for
        now = self.clock.seconds()
        self.phase = BODY
        self._body_until = now + self.limits.body_total
        self.deadline = min(now + self.limits.body_time, self._body_until)

    def pause_body(self) -> None:
        self._body_wanted = False
        self.phase = ANSWER
        self.deadline = NEVER
        self._set_reading(False)

    # -- answering -----------------------------------------------------------------------

    def respond(
        self, status: int, headers: HeaderList, pieces: Sequence[bytes], close: bool
    ) -> None:
        size = sum(map(len, pieces)) if len(pieces) != 1 else len(pieces[0])
        if close or self._left or self.factory.draining:
            self._decide_to_keep(close)
        head = self._answer_head(status, headers, size)
        if size > SMALL and not self._withheld(status):
            self._send((head, *pieces), size)
        else:
            if size and not self._withheld(status):
                head = b"".join((head, *pieces))
            self._transport_write(head)
        if self._queued:
            self._ended = True
        else:
            self._answered()

    def _withheld(self, status: int) -> bool:
        """Whether the answer has no body, whatever is written (RFC 9112 section 6.3)."""
        return status in NO_BODY_CODES or self._head.method == b"HEAD"  # type: ignore[union-attr]

    def start(self, status: int, headers: HeaderList, length: int | None) -> None:
        head = self._head
        assert head is not None
        self._decide_to_keep(False)
        mute = self._withheld(status)
        chunked = length is None and head.minor == 1 and status not in NO_BODY_CODES
        if length is None and head.minor == 0 and not mute:
            self._last = True  # the end of the connection is the end of the body
        self._transport_write(self._answer_head(status, headers, length, chunked))
        self._mute = mute
        self._chunked = chunked and not mute
        self._answer_left = None if mute else length

    def write(self, pieces: Sequence[bytes]) -> None:
        size = sum(map(len, pieces))
        if self._mute or not size or self.phase == CLOSING:
            return
        if self._queued > self.limits.backlog:
            self.counters.backlogs_exceeded += 1
            self.abort()
        elif self._chunked:
            self._send((b"%x\r\n" % size, *pieces, b"\r\n"), size)
        elif self._answer_left is None:
            self._send(pieces, size)
        elif size <= self._answer_left:
            self._answer_left -= size
            self._send(pieces, size)
        else:
            self._cut("more was written than Content-Length said")

    def finish(self) -> None:
        if self._answer_left:
            self._cut("less was written than Content-Length said")
            return
        if self._chunked:
            self._send((b"0\r\n\r\n",), 5)
        self._ended = True
        if not self._queued:
            self._answered()

    def _cut(self, reason: str) -> None:
        """The next bytes would be taken for another answer: end the connection instead."""
        self._log.error("answer cut: {reason}", reason=reason)
        self.counters.answers_cut += 1
        self.abort()

    def _decide_to_keep(self, close: bool) -> None:
        """Keep the connection only if the rest of the request body need not be feared."""
        head = self._head
        if close or self.factory.draining:
            self._last = True
        elif self._left and head is not None:
            spare = 0 < head.length <= self.limits.spare_body
            if self._expected or not spare or self._body_wanted:
                self._last = True

    def _answer_head(
        self, status: int, headers: HeaderList, length: int | None, chunked: bool = False
    ) -> bytes:
        persistence = b""
        if self._last:
            persistence = CLOSE
        elif self._head is not None and self._head.minor == 0:
            persistence = KEEP_ALIVE
        date = self.factory.date_line
        return self._spoken.head(status, headers, date + persistence, length, chunked)

    def _answered(self) -> None:
        self._request = self._head = None
        self._ended = False
        if self._last:
            self._close()
            return
        if self._left:
            self._want_body()  # nobody does; it is read to get at what follows
        else:
            self._rest()
        if not self._advancing:
            self._advance()

    def _rest(self) -> None:
        self.phase = IDLE
        self.deadline = self.clock.seconds() + self.limits.idle_time

    def _drained(self) -> None:
        if self._ended:
            self._answered()
        elif self._producer is not None and not self._paused:
            self._producer.resumeProducing()
        elif self._buffer and not self._advancing:
            self._advance()

    # -- leaving HTTP --------------------------------------------------------------------

    def upgrade(self, protocol: IProtocol) -> None:
        transport: Any = self.transport
        if self._left or self._queued:
            raise RuntimeError("Upgrade after the body was read and before anything is written.")
        transport.unregisterProducer()
        self._set_reading(True)
        self.phase = UPGRADED
        self.deadline = self.stalled = NEVER
        self._request = None
        read_ahead, self._buffer = self._buffer, b""
        self._successor = protocol
        self.dataReceived = protocol.dataReceived  # type: ignore[method-assign]
        protocol.makeConnection(transport)
        if read_ahead:
            protocol.dataReceived(read_ahead)
