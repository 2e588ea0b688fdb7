"""Event streams to legacy clients, and how they are taken up again.

A :class:`Stream` is what a client hears for one POST, or on its GET. It outlives
the HTTP response it is written to: what is said while nobody listens is kept in
the session's :class:`EventLog`, within bounds, and a client that comes back with
``Last-Event-ID`` hears the rest. Event ids are ``STREAM-NUMBER``, unique in
their session.

MCP 2025-11-25, *Transports: Streamable HTTP, Listening for Messages,
Resumability and Redelivery, Multiple Connections*.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from zope.interface import implementer

from mcptwist.errors import ClientError, StreamTaken
from mcptwist.interfaces import IBackChannel
from mcptwist.messages import Json, Message, pieces
from mcptwist.protocols.eventstream import HEADERS, KEEP_ALIVE, event, priming

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall, IReactorTime
    from twisted.python.failure import Failure

    from mcptwist.protocols.request import Request

OPENING = b": hello\n\n"
"""Sent at once on a stream that has nothing to say yet, so that proxies pass its head on."""


class StreamLimits(msgspec.Struct, frozen=True):
    """Bounds of event streams.

    :ivar patience: seconds after which an unanswered request gets its event
        stream, so that the client and the proxies between see life.
    :ivar keep_alive: seconds of silence after which a comment is sent.
    :ivar retry: milliseconds that a client is asked to wait before it comes back.
    :ivar log_events: events kept per session for clients that come back.
    :ivar log_bytes: the same, in bytes.
    :ivar log_total: bytes kept for all sessions together.
    :ivar streams: GET streams that one session may hold open.
    """

    patience: float = 1.0
    keep_alive: float = 20.0
    retry: int = 1000
    log_events: int = 256
    log_bytes: int = 1 << 20
    log_total: int = 256 << 20
    streams: int = 8


class Allowance:
    """Bytes that all event logs may hold together.

    :ivar total: that limit.
    :ivar used: bytes held now.
    :ivar dropped: events thrown away for want of room, so far.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self.used = 0
        self.dropped = 0

    @property
    def exhausted(self) -> bool:
        """Whether there is no room left."""
        return self.used > self.total


class EventLog:
    """What one session's streams said last.

    :param allowance: shared by all sessions.
    """

    def __init__(self, limits: StreamLimits, allowance: Allowance) -> None:
        self._limits = limits
        self._allowance = allowance
        self._events: deque[tuple[bytes, int, bytes]] = deque()
        self._size = 0

    def append(self, stream: bytes, number: int, parts: Sequence[Json]) -> None:
        """Keep an event, and let go of the oldest where there is no room.

        One that is larger than the log is not kept at all: nothing is copied for it,
        and what is kept stays.
        """
        size = sum(map(len, parts))
        if size > self._limits.log_bytes:
            self._allowance.dropped += 1
            return
        self._events.append((stream, number, b"".join(parts)))
        self._size += size
        self._allowance.used += size
        while self._events and self._too_much():
            self._allowance.dropped += 1
            self._let_go(self._events.popleft())

    def after(self, stream: bytes, number: int) -> list[tuple[int, bytes]]:
        """The events of *stream* that came after *number* and are still kept."""
        return [(n, text) for name, n, text in self._events if name == stream and n > number]

    def clear(self) -> None:
        """The session is over."""
        self._allowance.used -= self._size
        self._size = 0
        self._events.clear()

    def _too_much(self) -> bool:
        return (
            len(self._events) > self._limits.log_events
            or self._size > self._limits.log_bytes
            or self._allowance.exhausted
        )

    def _let_go(self, entry: tuple[bytes, int, bytes]) -> None:
        self._size -= len(entry[2])
        self._allowance.used -= len(entry[2])


class Pulse:
    """One timer for everything that must happen when nothing happens.

    :param clock: by which it goes.
    :param patience: seconds until an unanswered reply is told to open its stream.
    :param keep_alive: seconds until a silent stream is told to give a sign of life.
    """

    def __init__(self, clock: IReactorTime, patience: float, keep_alive: float) -> None:
        self.clock = clock
        self._patience = patience
        self._keep_alive = keep_alive
        self._waiting: dict[Any, float] = {}
        self._streams: dict[Any, float] = {}
        self._call: IDelayedCall | None = None

    def wait(self, reply: Any) -> None:
        """Call ``reply.late()`` when it was not :meth:`done` in time."""
        self._waiting[reply] = self.clock.seconds()
        if self._call is None:
            self._next()

    def done(self, reply: Any) -> None:
        """It was answered."""
        self._waiting.pop(reply, None)

    def heard(self, stream: Any) -> None:
        """The stream was just written to; call ``stream.keep_alive()`` when it falls silent."""
        self._streams.pop(stream, None)
        self._streams[stream] = self.clock.seconds()
        if self._call is None:
            self._next()

    def closed(self, stream: Any) -> None:
        """The stream is not written to any more."""
        self._streams.pop(stream, None)

    def _next(self) -> None:
        self._call = self.clock.callLater(min(0.5, self._patience), self._beat)

    def _beat(self) -> None:
        self._call = None
        now = self.clock.seconds()
        try:
            # Whoever is told may end others, who then are not told any more.
            for reply in _older(self._waiting, now - self._patience):
                if self._waiting.pop(reply, None) is not None:
                    reply.late()
            for stream in _older(self._streams, now - self._keep_alive):
                if stream in self._streams:
                    stream.keep_alive()
        finally:
            if (self._waiting or self._streams) and self._call is None:
                self._next()

    def stop(self) -> None:
        """No more beats."""
        call, self._call = self._call, None
        if call is not None:
            call.cancel()


def _older(since: dict[Any, float], before: float) -> list[Any]:
    """Those at the head of the dict, which is in order of time, that are older."""
    found = []
    for thing, then in since.items():
        if then > before:
            break
        found.append(thing)
    return found


class Stream:
    """One event stream to a client.

    :param name: unique in its session; empty where events need no ids.
    :param log: where events are kept for a client that comes back, or ``None``.
    :param told_detached: told when the response was lost before :meth:`finish`.
    :param told_flow: told ``False`` when the client reads more slowly than it is
        written to, and ``True`` when it has caught up.
    """

    def __init__(
        self,
        pulse: Pulse,
        name: bytes = b"",
        log: EventLog | None = None,
        told_detached: Callable[[Stream], None] | None = None,
        told_flow: Callable[[bool], None] | None = None,
    ) -> None:
        self.name = name
        self.over = False
        self.attached: Request | None = None
        self._pulse = pulse
        self._log = log
        self._number = 0
        self._told_detached = told_detached
        self._told_flow = told_flow

    @property
    def open(self) -> bool:
        """Whether somebody listens."""
        return self.attached is not None

    def attach(
        self,
        request: Request,
        headers: Sequence[tuple[bytes, bytes]] = (),
        retry: int | None = None,
    ) -> None:
        """Write to this response from now on.

        :param retry: milliseconds for a priming event; ``None`` for clients that
            do not know such events.
        """
        self.attached = request
        request.on_lost = self._lost
        request.start(200, [*HEADERS, *headers])
        if retry is not None and self._log is not None:
            id = self._next_id()
            self._log.append(self.name, self._number, ())
            request.write(priming(id, retry))
        else:
            request.write(OPENING)
        self._mind_flow(request)
        self._pulse.heard(self)

    def resume(self, request: Request, number: int) -> None:
        """Go on after event *number*, on another response."""
        previous, self.attached = self.attached, None
        if previous is not None:
            previous.on_lost = None
            previous.finish()
            self.resumeProducing()
        self.attached = request
        request.on_lost = self._lost
        request.start(200, HEADERS)
        _replay(request, self._log, self.name, number)
        self._mind_flow(request)
        self._pulse.heard(self)

    def send(self, message: Message) -> None:
        """Say *message*: now if somebody listens, and to whoever comes back."""
        data = pieces(message)
        parts = event(data, self._id_for(data))
        if self.attached is not None:
            self.attached.write(parts)
            self._pulse.heard(self)

    def finish(self) -> None:
        """Nothing more will be said."""
        self.over = True
        self._pulse.closed(self)
        request, self.attached = self.attached, None
        if request is not None:
            request.on_lost = None
            if self._told_flow is not None:
                request.unregisterProducer()
            request.finish()

    def keep_alive(self) -> None:
        """Give a sign of life."""
        if self.attached is not None:
            self.attached.write(KEEP_ALIVE)
            self._pulse.heard(self)

    def _mind_flow(self, request: Request) -> None:
        if self._told_flow is not None:
            request.registerProducer(self, True)

    def pauseProducing(self) -> None:
        """Called when the client does not read as fast as it is written to."""
        if self._told_flow is not None:
            self._told_flow(False)

    def resumeProducing(self) -> None:
        """Called when the client has caught up."""
        if self._told_flow is not None:
            self._told_flow(True)

    def stopProducing(self) -> None:
        """Called when the client is gone; nothing is to be held back for it."""
        self.resumeProducing()

    def _id_for(self, data: list[Json]) -> bytes:
        if self._log is None:
            return b""
        id = self._next_id()
        self._log.append(self.name, self._number, event(data, id))
        return id

    def _next_id(self) -> bytes:
        self._number += 1
        return b"%b-%d" % (self.name, self._number)

    def _lost(self, _: Failure) -> None:
        self.attached = None
        self._pulse.closed(self)
        if self._told_detached is not None:
            self._told_detached(self)


def _replay(request: Request, log: EventLog | None, name: bytes, number: int) -> None:
    request.write(OPENING)
    for _, text in log.after(name, number) if log is not None else ():
        if text:
            request.write(text)


@implementer(IBackChannel)
class Desk:
    """All event streams of one legacy session.

    :param told_listening: told when the client opened a stream of its own.
    """

    def __init__(
        self,
        pulse: Pulse,
        limits: StreamLimits,
        allowance: Allowance,
        told_listening: Callable[[], None],
    ) -> None:
        self._pulse = pulse
        self.retry = limits.retry
        self._limits = limits
        self._log = EventLog(limits, allowance)
        self._told_listening = told_listening
        self._last = 0
        self._streams: dict[bytes, Stream] = {}
        self._listening: list[Stream] = []

    @property
    def open(self) -> bool:
        """Whether the client holds any stream open."""
        return any(stream.open for stream in self._streams.values())

    def say(self, message: Message) -> bool:
        """Say it on the newest GET stream that somebody hears."""
        for stream in reversed(self._listening):
            if stream.open:
                stream.send(message)
                return True
        return False

    def stream(self, told_flow: Callable[[bool], None] | None = None) -> Stream:
        """A new stream, for the answer to a POST if *told_flow* is given."""
        self._last += 1
        stream = Stream(self._pulse, b"%d" % self._last, self._log, None, told_flow)
        self._streams[stream.name] = stream
        return stream

    def listen(self, request: Request, retry: int | None) -> None:
        """The client opens a stream of its own (GET).

        :raises StreamTaken: it holds too many open already.
        """
        if sum(s.open for s in self._listening) >= self._limits.streams:
            raise StreamTaken(
                f"{self._limits.streams} streams of this session are open already; close one",
                limit="streams_per_session",
            )
        self._let_go_of_oldest()
        stream = self.stream()
        self._listening.append(stream)
        stream.attach(request, (), retry)
        self._told_listening()

    def resume(self, request: Request, last: bytes) -> None:
        """The client comes back for the rest of a stream.

        :param last: the id of the last event it heard.
        :raises UnknownEvent: that is no id of this session's.
        """
        name, _, number = last.partition(b"-")
        if not (name.isdigit() and number.isdigit() and len(number) < 16):
            raise UnknownEvent("Last-Event-ID is no event of this session")
        stream = self._streams.get(name)
        if stream is not None and not stream.over:
            stream.resume(request, int(number))
            self._told_listening()
        elif self._last >= int(name[:16]):
            self._replay_ended(request, name, int(number))
        else:
            raise UnknownEvent("Last-Event-ID is no event of this session")

    def _replay_ended(self, request: Request, name: bytes, number: int) -> None:
        request.start(200, HEADERS)
        _replay(request, self._log, name, number)
        request.finish()

    def ended(self, stream: Stream) -> None:
        """A POST was answered in full."""
        self._streams.pop(stream.name, None)

    def close(self) -> None:
        """The session is over."""
        for stream in list(self._streams.values()):
            stream.finish()
        self._streams.clear()
        self._listening.clear()
        self._log.clear()
        # Whom it tells holds it as well; without a circle both are freed at once.
        self._told_listening = _nobody

    def _let_go_of_oldest(self) -> None:
        """Keep only so many streams for clients that may come back for them."""
        left = [stream for stream in self._listening if not stream.open]
        for stream in left[: max(0, len(self._listening) + 1 - self._limits.streams)]:
            self._listening.remove(stream)
            self._streams.pop(stream.name, None)


def _nobody() -> None:
    """Is told when nobody needs to be."""


class UnknownEvent(ClientError):
    """``Last-Event-ID`` names no event of the session; open a stream without it."""

    code = "unknown-event"
