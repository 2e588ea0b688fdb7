"""The asking end of one HTTP/2 connection (RFC 9113), on the state machine of ``h2``.

Requests share the connection. What a turn of the reactor has to say leaves in few writes; a body
goes out as the server's windows and the transport allow, and the server may send more of an answer
only when what it sent was used. Requests above the number that the server allows wait here.

A request that the server certainly did not look at ends with :class:`NotBegun`, and may be made
again elsewhere. What else is open when the connection is lost has failed: it may have been done.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from h2 import events
from h2.exceptions import ProtocolError, StreamClosedError
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost, TimeoutError
from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.client import ResponseNeverReceived
from zope.interface import implementer

from mcptwist.errors import Overloaded
from mcptwist.protocols import h2frames as frames
from mcptwist.protocols.h2answer import Answer
from mcptwist.protocols.h2frames import ConnectionFailed, Frame, FrameReader
from mcptwist.protocols.h2limits import HTTP2ClientCounters, HTTP2ClientLimits
from mcptwist.protocols.h2machine import make_machine
from mcptwist.protocols.h2pulse import DEAD, IDLE, PING, Pulse
from mcptwist.protocols.h2question import Question

__all__ = ["HTTP2Client", "Http1Wanted", "NotBegun"]

_WRITE = 64 << 10
_HIGHEST = 2**31 - 1


class NotBegun(Exception):
    """The server did not begin with a request, so that it may be made again.

    :ivar reasons: why, as Twisted's own failures of requests have it.
    """

    def __init__(self, problem: Exception) -> None:
        super().__init__(str(problem))
        self.reasons = [Failure(problem)]


class Http1Wanted(NotBegun):
    """The server wants this over HTTP/1.1 (RFC 9113 section 7)."""


@implementer(IPushProducer)
class HTTP2Client(Protocol):
    """One connection.

    :param clock: knows the time.
    :param retired: told once, when no more requests may be made here.
    :param gone: told once, when there is no connection any more.
    :param counters: shared by all connections.
    :ivar usable: whether requests may be made here.
    :ivar streams: the questions that are open, by the number of their stream.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        limits: HTTP2ClientLimits,
        retired: Callable[[], None],
        gone: Callable[[HTTP2Client], None],
        counters: HTTP2ClientCounters,
    ) -> None:
        self.usable = True
        self.streams: dict[int, Question] = {}
        self._clock = clock
        self._limits = limits
        self._retired = retired
        self._gone = gone
        self._counters = counters
        self._h2 = make_machine(limits)
        self._frames = FrameReader(preface=b"")
        self._most = limits.first_streams
        self._queue: deque[Question] = deque()
        self._ready: dict[Question, None] = {}  # have something to send, and may
        self._paused = False  # the transport has enough
        self._unread = 0  # control bytes written since
        self._flush_call: IDelayedCall | None = None
        self._look_call: IDelayedCall | None = None
        self._farewell_call: IDelayedCall | None = None
        self._when_gone: list[Deferred[None]] = []
        self._pulse = Pulse(limits.idle, limits.ping, limits.pong, clock.seconds())
        self._closing = False
        self._lost = False  # nothing may be said or heard any more
        self._over = False  # and there is no connection

    # -- coming and going ----------------------------------------------------------------

    def connectionMade(self) -> None:
        """Called when the connection is encrypted and HTTP/2 was agreed on."""
        transport: Any = self.transport
        transport.registerProducer(self, True)
        self._h2.initiate_connection()
        more = self._limits.connection_window - self._h2.inbound_flow_control_window
        self._h2.increment_flow_control_window(more)
        self._pulse.heard(self._clock.seconds())
        self._look_later(self._limits.idle)
        self._flush()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Called when the connection is gone: so is everything that was open on it."""
        self._lost = self._over = True
        for call in (self._flush_call, self._look_call, self._farewell_call):
            if call is not None and call.active():
                call.cancel()
        self._fail(reason)
        self._gone(self)
        waiting, self._when_gone = self._when_gone, []
        for one in waiting:
            one.callback(None)

    def end(self) -> Deferred[None]:
        """Make no more requests here, let those end that are open, then say goodbye.

        :return: fires when the connection is gone, which takes `farewell` seconds at most.
        """
        gone: Deferred[None] = Deferred()
        if self._over:
            gone.callback(None)
            return gone
        self._when_gone.append(gone)
        self._see_to_the_end()
        self._retire()
        return gone

    def _see_to_the_end(self) -> None:
        if self._farewell_call is None:
            self._farewell_call = self._clock.callLater(self._limits.farewell, self._late)

    def _late(self) -> None:
        self._counters.farewells_late += 1
        problem = ConnectionAborted("the HTTP/2 connection took too long to end")
        if self._lost:
            transport: Any = self.transport
            transport.abortConnection()
        else:
            self.abort(problem)

    def _fail(self, reason: Failure) -> None:
        if not reason.check(ConnectionDone, ConnectionLost, ConnectionAborted, TimeoutError):
            reason = Failure(ConnectionLost(str(reason.value)))
        streams, self.streams = self.streams, {}
        self._ready.clear()
        for question in streams.values():
            self._break(question, reason)
        self._retire(reason)

    def _break(self, question: Question, reason: Failure) -> None:
        """A question will not be answered, or not to its end."""
        question.body.stop()
        if question.answer is None:
            question.fail(ResponseNeverReceived([reason]))
        else:
            question.answer.ended(reason)

    def _retire(self, reason: Failure | None = None) -> None:
        """No more requests may be made here; those not yet made go elsewhere."""
        if self.usable:
            self.usable = False
            self._retired()
        queue, self._queue = self._queue, deque()
        for question in queue:
            question.fail(NotBegun(ConnectionLost("the HTTP/2 connection is at its end")))
        self._close_when_done()

    def _close_when_done(self) -> None:
        if self.streams or self.usable or self._lost or self._closing:
            return
        self._closing = True
        self._see_to_the_end()
        self._h2.close_connection()
        transport: Any = self.transport
        self._write(self._h2.data_to_send())
        # TLS does not say goodbye while a producer may still have something to say.
        transport.unregisterProducer()
        transport.loseConnection()

    def abort(self, problem: Exception) -> None:
        """End it at once."""
        transport: Any = self.transport
        if not self._lost:
            self._lost = True
            self._fail(Failure(problem))
            transport.abortConnection()

    # -- time ----------------------------------------------------------------------------

    def _look_later(self, seconds: float) -> None:
        self._look_call = self._clock.callLater(max(seconds, 0.001), self._look)

    def _look(self) -> None:
        """See whether it has been idle, or silent, for too long."""
        if self._lost:
            return
        todo, wait = self._pulse.look(self._clock.seconds(), bool(self.streams))
        if todo == IDLE:
            self._counters.idle_closed += 1
            self._retire()
        elif todo == DEAD:
            self._counters.pings_unanswered += 1
            self.abort(TimeoutError("no sign of life over HTTP/2"))
        else:
            if todo == PING:
                self._h2.ping(b"mcptwist")
                self._flush_soon()
            self._look_later(wait)

    # -- asking --------------------------------------------------------------------------

    def ask(self, question: Question) -> Deferred[Answer]:
        """Make a request; cancelling it ends its stream.

        :return: fires with the head of the answer, or fails with :class:`NotBegun`, or as
            Twisted's own requests do.
        """
        asked: Deferred[Answer] = Deferred(lambda _: self.give_up(question))
        question.asked = asked
        if not self.usable:
            question.fail(NotBegun(ConnectionLost("the HTTP/2 connection is at its end")))
        elif len(self._queue) >= self._limits.waiting:
            self._counters.requests_refused += 1
            question.fail(Overloaded("too many requests wait for this server"))
        else:
            self._queue.append(question)
            self._begin_waiting()
            self._counters.requests_waited += question in self._queue
        return asked

    def _begin_waiting(self) -> None:
        while self._queue and not self._paused and self.usable:
            if len(self.streams) >= min(self._most, self._limits.streams):
                break
            self._begin(self._queue.popleft())
        self._flush_soon()

    def _begin(self, question: Question) -> None:
        if not self.streams:
            restful, self._look_call = self._look_call, None
            if restful is not None and restful.active():
                restful.cancel()
            self._pulse.heard(self._clock.seconds())
            self._look_later(self._limits.ping)
        self._counters.requests += 1
        number = self._h2.get_next_available_stream_id()
        self.streams[number] = question
        question.number = number
        ends = not question.body.expected
        self._h2.send_headers(number, question.fields(), end_stream=ends)
        if not ends:
            question.body.start(lambda: self._has_more(question))
        if number > _HIGHEST // 2:
            self._retire()

    def _has_more(self, question: Question) -> None:
        """Called when there is more of a question's body, or when it will not come."""
        if question.number not in self.streams:
            return
        if question.body.problem is not None:
            self._forget(question, frames.CANCEL)
            question.fail(question.body.problem)
        else:
            self._ready[question] = None
        self._flush_soon()

    def give_up(self, question: Question) -> None:
        """Nobody wants the answer any more."""
        if question in self._queue:
            self._queue.remove(question)
        elif question.number in self.streams:
            self._forget(question, frames.CANCEL)
            self._flush_soon()

    def hand_back(self, question: Question, size: int) -> None:
        """So much of an answer was used: the server may send as much again."""
        if size and not self._lost:
            self._h2.acknowledge_received_data(size, question.number)
            self._flush_soon()

    def later(self, called: Callable[[], None]) -> None:
        """Have something done on the next turn of the reactor."""
        self._clock.callLater(0, called)

    def _forget(self, question: Question, code: int | None = None) -> None:
        """A stream is over; with a *code*, the server does not know yet."""
        if self.streams.get(question.number) is not question:
            return
        del self.streams[question.number]
        self._ready.pop(question, None)
        question.body.stop()
        if code is not None:
            try:
                self._h2.reset_stream(question.number, code)
            except StreamClosedError:
                pass
        if not self.streams:
            self._pulse.heard(self._clock.seconds())
        self._begin_waiting()

    # -- sending -------------------------------------------------------------------------

    def pauseProducing(self) -> None:
        """Called when the transport has enough."""
        self._paused = True
        self._unread = 0

    def resumeProducing(self) -> None:
        """Called when it wants more."""
        self._paused = False
        self._begin_waiting()

    def stopProducing(self) -> None:
        """Called when it is gone; ``connectionLost`` follows."""

    def _flush_soon(self) -> None:
        if self._flush_call is None and not self._lost:
            self._flush_call = self._clock.callLater(0, self._flush_called)

    def _flush_called(self) -> None:
        self._flush_call = None
        self._flush()

    def _flush(self) -> None:
        """Write what there is, as far as the server and the transport take it."""
        more = True
        while more and not self._lost:
            size, more = 0, False
            while self._ready and not self._paused and size < _WRITE:
                question = next(iter(self._ready))
                del self._ready[question]
                size += self._send_some(question)
                more = bool(self._ready)
            self._write(self._h2.data_to_send())
        self._close_when_done()

    def _write(self, data: bytes) -> None:
        if not data or self._lost:
            return
        if self._paused:
            self._unread += len(data)
            if self._unread > self._limits.control:
                self._counters.control_exceeded += 1
                self.abort(ConnectionLost("the server does not read what it asks for"))
                return
        transport: Any = self.transport
        transport.write(data)

    def _send_some(self, question: Question) -> int:
        """Send one frame of a body; the others have their turn before the next."""
        body, number = question.body, question.number
        try:
            window = self._h2.local_flow_control_window(number)
        except StreamClosedError:
            return 0
        data = body.take(min(window, self._h2.max_outbound_frame_size))
        ends = body.complete
        if data or ends:
            self._h2.send_data(number, data, end_stream=ends)
        if body.waiting and window > len(data):
            self._ready[question] = None
        return len(data)

    # -- hearing -------------------------------------------------------------------------

    def dataReceived(self, data: bytes) -> None:
        """Called with what the server said."""
        if self._lost:
            return
        self._pulse.heard(self._clock.seconds())
        try:
            for frame in self._frames.feed(data):
                self._heard(frame)
        except (ProtocolError, ConnectionFailed) as problem:
            self._log.debug("HTTP/2 connection ended: {reason}", reason=str(problem))
            self._counters.connections_failed += 1
            self._write(self._h2.data_to_send())
            self.abort(ConnectionLost(f"the server breaks the rules of HTTP/2: {problem}"))
            return
        self._flush()

    def _heard(self, frame: Frame) -> None:
        # h2 would take no more answers after a GOAWAY.
        if frame.kind == frames.GOAWAY:
            self._going_away(frame.payload)
            return
        for event in self._h2.receive_data(frame.raw):
            react = _REACTIONS.get(type(event))
            if react is not None and not self._lost:
                react(self, event)

    def _going_away(self, data: bytes) -> None:
        """The server begins with nothing new (section 6.8)."""
        last = int.from_bytes(data[:4], "big") & _HIGHEST
        passed_over = [q for number, q in self.streams.items() if number > last]
        self._retire()
        for question in passed_over:
            self._forget(question)
            question.fail(NotBegun(ConnectionLost("the server went away")))
        self._close_when_done()

    def _answered(self, event: Any) -> None:
        question = self.streams.get(event.stream_id)
        if question is not None:
            question.body.settle()
            question.answered(self, event.headers)

    def _received(self, event: Any) -> None:
        question, cost = self.streams.get(event.stream_id), event.flow_controlled_length
        if question is None or question.answer is None:
            self._h2.acknowledge_received_data(cost, event.stream_id)
        else:
            question.answer.received(event.data, cost)

    def _ended(self, event: Any) -> None:
        question = self.streams.get(event.stream_id)
        if question is None or question.answer is None:
            return
        answer = question.answer
        self._forget(question, None if question.body.sent else frames.CANCEL)
        answer.ended(None)

    def _reset(self, event: Any) -> None:
        question = self.streams.get(event.stream_id)
        if question is None:
            return
        self._counters.streams_reset += 1
        self._forget(question)
        problem = ConnectionAborted(f"the server reset the HTTP/2 stream, code {event.error_code}")
        if question.answer is None and event.error_code == frames.REFUSED_STREAM:
            question.fail(NotBegun(problem))
        elif question.answer is None and event.error_code == frames.HTTP_1_1_REQUIRED:
            question.fail(Http1Wanted(problem))
        else:
            self._break(question, Failure(problem))

    def _window_opened(self, event: Any) -> None:
        opened = self.streams.get(event.stream_id)
        some = [opened] if opened is not None else []
        for question in some if event.stream_id else self.streams.values():
            if question.body.waiting:
                self._ready[question] = None

    def _settings_changed(self, event: Any) -> None:
        self._most = self._h2.remote_settings.max_concurrent_streams
        for question in self.streams.values():
            if question.body.waiting:
                self._ready[question] = None
        self._begin_waiting()


_REACTIONS: dict[type, Callable[[HTTP2Client, Any], None]] = {
    events.ResponseReceived: HTTP2Client._answered,
    events.DataReceived: HTTP2Client._received,
    events.StreamEnded: HTTP2Client._ended,
    events.StreamReset: HTTP2Client._reset,
    events.WindowUpdated: HTTP2Client._window_opened,
    events.RemoteSettingsChanged: HTTP2Client._settings_changed,
}
