"""One request on an HTTP/2 connection, and the way back for its answer (RFC 9113 section 5)."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IAddress, IProtocol, IPushProducer, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http import NO_BODY_CODES
from zope.interface import implementer

from mcptwist.protocols import h2frames as frames
from mcptwist.protocols import refusals
from mcptwist.protocols.h2fields import StreamHead, answer_fields
from mcptwist.protocols.h2tunnel import Tunnel
from mcptwist.protocols.httpstream import HeaderList, IHTTPStream
from mcptwist.protocols.limits import Counters
from mcptwist.protocols.outflow import NEVER, SLICE, SMALL, take
from mcptwist.protocols.request import Request

if TYPE_CHECKING:
    from mcptwist.protocols.http2 import HTTP2Connection

__all__ = ["HTTP2Stream"]

#: A client that takes less than so many bytes of an answer takes nothing.
PROGRESS = 1024
_CONTINUE = [(b":status", b"100")]


@implementer(IHTTPStream)
class HTTP2Stream:
    """The stream of one request.

    :param ended: whether the request has no body.
    :ivar request: the request it carries, until that is answered.
    :ivar queue: of the answer, what waits to be sent.
    """

    _log = Logger()

    request: Request | None = None
    _tunnel: Tunnel | None = None
    _producer: IPushProducer | None = None

    def __init__(
        self, connection: HTTP2Connection, number: int, head: StreamHead, ended: bool
    ) -> None:
        self.connection = connection
        self.number = number
        self.counters: Counters = connection.counters
        self.clock: IReactorTime = connection.clock
        self.queue: deque[memoryview] = deque()
        self._head = head
        self._ended = ended  # the client has sent all
        self._expected = head.expects_continue  # the client waits for a sign to send the body
        self._received = 0
        self._wanted = False  # somebody takes the body
        self._held = bytearray()  # of the body, not wanted yet
        self._held_cost = 0
        self._body_deadline = NEVER
        self._body_until = NEVER
        self._queued = 0
        self._started = False  # the head of the answer was sent
        self._finished = False  # the answer is complete, apart from what is queued
        self._over = False  # the answer was sent
        self._mute = False  # it has no body, whatever is written
        self._answer_left: int | None = None
        self._producer_paused = False
        self._taken = 0  # since the client last made progress
        self._stalled = NEVER

    # -- what the connection knows -------------------------------------------------------

    @property
    def peer(self) -> IAddress:
        return self.connection.peer

    @property
    def host(self) -> IAddress:
        return self.connection.host

    @property
    def port(self) -> int | None:
        return self.connection.port

    @property
    def is_secure(self) -> bool:
        return self.connection.is_secure

    @property
    def trusted_host(self) -> bytes | None:
        return self.connection.trusted_host

    @trusted_host.setter
    def trusted_host(self, host: bytes) -> None:
        self.connection.trusted_host = host

    # -- its end -------------------------------------------------------------------------

    def lost(self, reason: Failure) -> bool:
        """Called by the connection when the stream is over: whether anybody minds."""
        request, self.request = self.request, None
        tunnel, self._tunnel = self._tunnel, None
        if tunnel is not None:
            tunnel.lost(reason)
        if request is not None and request.is_open:
            request.lost(reason)
            return True
        return False

    def release(self) -> int:
        """Called by the connection when the stream is over: bytes that need not wait any more."""
        self.connection.codec.hand_back(self.number, self._held_cost)
        self._held_cost = 0
        self._held.clear()
        self.queue.clear()
        queued, self._queued = self._queued, 0
        return queued

    def abort(self) -> None:
        self.connection.cut(self, frames.INTERNAL_ERROR)

    @property
    def deadline(self) -> float:
        """When the body, or the taking of the answer, has taken too long."""
        return min(self._body_deadline, self._stalled + self.connection.limits.write_time)

    def overdue(self, now: float) -> None:
        """Called by the connection when the deadline has passed."""
        if self._body_deadline > now:
            self.counters.writes_stalled += 1
            self.connection.cut(self, frames.CANCEL)
        elif self._over:
            self._stop_body()
        elif self.request is not None and self.request.is_open and not self._started:
            self._body_deadline = NEVER
            self._wanted = False
            self.request.refuse(refusals.BODY_TIMEOUT)
        else:
            self.counters.count(refusals.BODY_TIMEOUT)
            self.connection.cut(self, frames.CANCEL)

    # -- the request's body --------------------------------------------------------------

    def body_received(self, data: bytes, cost: int, ended: bool) -> None:
        """Called by the connection with some of the body."""
        self._received += len(data)
        told = self._head.length
        if self._head.tunnel:
            self._received = told  # it is no body, and as long as it likes
        wrong = self._received > told or (ended and self._received < told)
        if wrong and told >= 0 and not self._head.tunnel:
            self.connection.codec.hand_back(self.number, cost)
            self.connection.break_stream(self)
            return
        self._ended = ended
        if self._over:
            self._drop(cost)
        elif self._wanted and not self._held:
            self.connection.codec.hand_back(self.number, cost)
            self._deliver(data, ended)
        else:
            self._held += data
            self._held_cost += cost

    def whole_body(self) -> bytes | None:
        if not self._ended or self._wanted:
            return None
        self._wanted = True
        return self._take_held()

    def _take_held(self) -> bytes:
        held, self._held = bytes(self._held), bytearray()
        cost, self._held_cost = self._held_cost, 0
        self.connection.codec.hand_back(self.number, cost)
        self.connection.wake()
        return held

    def resume_body(self) -> None:
        if self._expected:
            self._expected = False
            if not self._received:
                self.connection.codec.send_fields(self.number, _CONTINUE, False)
                self.connection.wake()
        self._wanted = True
        if self._tunnel is None and not self._ended:
            self._body_until = self.clock.seconds() + self.connection.limits.body_total
            self._await_more()
        if self._held or self._ended:
            self._deliver(self._take_held(), self._ended)

    def pause_body(self) -> None:
        self._wanted = False
        self._body_deadline = NEVER

    def _await_more(self) -> None:
        now = self.clock.seconds()
        self._body_deadline = min(now + self.connection.limits.body_time, self._body_until)
        self.connection.sooner(self._body_deadline)

    def _deliver(self, data: bytes, last: bool) -> None:
        if self._tunnel is not None:
            self._tunnel.received(data, last)
            return
        if last:
            self._wanted = False
            self._body_deadline = NEVER
        else:
            self._await_more()
        if self.request is not None:
            self.request.body_received(data, last)

    def _drop(self, cost: int) -> None:
        """Nobody wants it: the answer was given."""
        self.connection.codec.hand_back(self.number, cost)
        if self._ended:
            self.connection.forget(self)

    def _stop_body(self) -> None:
        """Tell the client to keep the rest of its body (RFC 9113 section 8.1)."""
        self.connection.forget(self)
        self.connection.codec.reset(self.number, frames.NO_ERROR)
        self.connection.wake()

    # -- the answer ----------------------------------------------------------------------

    def respond(
        self, status: int, headers: HeaderList, pieces: Sequence[bytes], close: bool
    ) -> None:
        # `close` is for what an HTTP/1.1 connection cannot go on after; a stream ends anyhow.
        if self._head.tunnel and 200 <= status < 300:
            refusal = refusals.UNKNOWN_TUNNEL
            self.counters.count(refusal)
            status, headers, pieces = refusal.status, _JSON, (refusal.body(),)
        size = sum(map(len, pieces)) if len(pieces) != 1 else len(pieces[0])
        mute = self._is_mute(status)
        ended = mute or not size
        self._send_head(status, headers, None if status in NO_BODY_CODES else size, ended)
        self.request = None
        self._finished = True
        if ended:
            self._sent_all()
        elif size <= frames.LONGEST and self._may_send(size):
            data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
            self.connection.codec.send_data(self.number, data, True)
            self._sent_all()
        else:
            self._enqueue(pieces, size)
            self.connection.ready(self)
        self.connection.wake()

    def start(self, status: int, headers: HeaderList, length: int | None) -> None:
        if self._head.tunnel and 200 <= status < 300:
            request = self.request
            self.respond(status, (), (), False)
            if request is not None:
                request.lost(Failure(ConnectionDone("only a WebSocket can be opened by CONNECT")))
            return
        self._mute = self._is_mute(status)
        told = None if status in NO_BODY_CODES else length
        self._send_head(status, headers, told, False)
        self._answer_left = None if self._mute else length
        self.connection.wake()

    def write(self, pieces: Sequence[bytes]) -> None:
        size = sum(map(len, pieces))
        if self._mute or self._finished or not size:
            return
        if self._answer_left is not None:
            self._answer_left -= size
            if self._answer_left < 0:
                self._cut("more was written than Content-Length said")
                return
        connection = self.connection
        if size <= SMALL // 4 and self._may_send(size):
            connection.codec.send_data(self.number, b"".join(pieces), False)
            connection.wake()
        elif self._queued > connection.limits.backlog:
            self.counters.backlogs_exceeded += 1
            connection.cut(self, frames.CANCEL)
        else:
            self._enqueue(pieces, size)
            connection.ready(self)
            self.mind_flow()

    def finish(self) -> None:
        if self._finished:
            return
        if self._answer_left:
            self._cut("less was written than Content-Length said")
            return
        self._finished = True
        self.request = None
        if not self.queue:
            self.connection.codec.send_data(self.number, b"", True)
            self.connection.wake()
            self._sent_all()

    def _send_head(self, status: int, headers: HeaderList, length: int | None, ended: bool) -> None:
        date = self.connection.factory.date_line[6:-2]
        fields = answer_fields(status, date, headers, length)
        self.connection.codec.send_fields(self.number, fields, ended)
        self._started = True

    def _is_mute(self, status: int) -> bool:
        return status in NO_BODY_CODES or self._head.method == b"HEAD"

    def _may_send(self, size: int) -> bool:
        """Whether that much can be sent at once, without overtaking anything."""
        connection = self.connection
        return (
            not self.queue
            and not connection.paused
            and size <= connection.codec.window(self.number)
        )

    def _cut(self, reason: str) -> None:
        self._log.error("answer cut: {reason}", reason=reason)
        self.counters.answers_cut += 1
        self.abort()

    def _enqueue(self, pieces: Sequence[bytes], size: int) -> None:
        if not self.queue:
            self._stalled = self.clock.seconds()
            self._taken = 0
            self.connection.sooner(self.deadline)
        self.queue.extend(memoryview(piece) for piece in pieces if piece)
        self._queued += size
        self.connection.queued += size

    def send_frame(self) -> int:
        """Called by the connection: send as much as one frame takes; how much that was."""
        window = self.connection.codec.window(self.number)
        if window <= 0 or not self.queue:
            return 0
        data = take(self.queue, window)
        last = self._finished and not self.queue
        self.connection.codec.send_data(self.number, data, last)
        self._progressed(len(data))
        if last:
            self._sent_all()
        else:
            self.mind_flow()
        return len(data)

    @property
    def can_send(self) -> bool:
        """Whether there is more to send, and room for it."""
        return bool(self.queue) and self.connection.codec.window(self.number) > 0

    def _progressed(self, size: int) -> None:
        self._queued -= size
        self.connection.queued -= size
        self._taken += size
        if not self.queue:
            self._stalled = NEVER
        elif self._taken >= PROGRESS:
            self._taken = 0
            self._stalled = self.clock.seconds()

    def _sent_all(self) -> None:
        """The answer was sent. What the client still sends is dropped, for a while.

        Not all clients read an answer before they have sent their whole request, and some wait
        for ever when they may not.
        """
        self._over = True
        self._producer = None
        tunnel, self._tunnel = self._tunnel, None
        if tunnel is not None:
            tunnel.sent_all()
        if self._ended:
            self.connection.forget(self)
        elif self._head.tunnel and (tunnel is None or tunnel.refused):
            self._stop_body()
        else:
            self.connection.codec.hand_back(self.number, self._held_cost)
            self._held_cost = 0
            self._held.clear()
            self._body_until = self.clock.seconds() + self._patience
            self._await_more()

    @property
    def _patience(self) -> float:
        """For how long it is worth while to read what nobody wants, in seconds."""
        limits = self.connection.limits
        left = self._head.length - self._received
        is_little = 0 <= left <= limits.spare_body and not self._head.tunnel
        return limits.body_total if is_little else limits.linger_time

    # -- back-pressure -------------------------------------------------------------------

    def register_producer(self, producer: IPushProducer) -> None:
        self._producer = producer
        self._producer_paused = False
        self.mind_flow()

    def unregister_producer(self) -> None:
        self._producer = None

    def mind_flow(self) -> None:
        """Pause or resume what makes the answer, as the client takes it."""
        producer = self._producer
        if producer is None:
            return
        full = bool(self._queued) and (self._queued > SMALL or not self.can_send)
        if full or self.connection.paused:
            if not self._producer_paused:
                self._producer_paused = True
                producer.pauseProducing()
        elif self._producer_paused and not self._queued:
            self._producer_paused = False
            producer.resumeProducing()

    def backlog(self) -> int:
        return self._queued + (SLICE if self.connection.paused else 0)

    # -- leaving HTTP --------------------------------------------------------------------

    def upgrade(self, protocol: IProtocol) -> None:
        self.request = None
        if not self._head.tunnel:
            self.connection.cut(self, frames.HTTP_1_1_REQUIRED)
            raise RuntimeError("An HTTP/2 stream shares its connection with others.")
        self._tunnel = Tunnel(self, protocol)
        self._tunnel.connect()
        self.resume_body()

    def open_tunnel(self, status: int, headers: HeaderList, refused: bool) -> None:
        """Called by the tunnel when it knows what to answer to the CONNECT."""
        self._send_head(status, headers, None, refused)
        if refused:
            self._finished = True
            self._sent_all()
        self.connection.wake()


_JSON = [(b"Content-Type", b"application/json")]
