"""An HTTP/2 connection as bytes in and bytes out, at the server's end (RFC 9113). Pure.

It keeps what the two ends agreed on, the states of streams and their windows, and says in which
frames anything is told. Whoever uses it hears of requests and bodies only. What is wrong with one
stream ends that stream; what is wrong with the connection raises, and then it must be closed. Each
frame that asks for work without bringing a request is paid for (:class:`Purses`).

A request that arrives in a HEADERS and a DATA frame, and an answer that leaves in the same, is
what nearly all of them are. These take a dictionary's entry and four integers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from zope.interface import Interface

from mcptwist.protocols import h2frames as frames
from mcptwist.protocols import h2settings as settings
from mcptwist.protocols.h2frames import ConnectionFailed, Frame, FrameReader, FrameWriter
from mcptwist.protocols.h2purses import Purses, Rates
from mcptwist.protocols.h2settings import FIRST_WINDOW, HIGHEST_WINDOW
from mcptwist.protocols.h2states import ENDED, RESET_BY_CLIENT, RESET_BY_US, Streams
from mcptwist.protocols.hpacking import FieldEncoder, FieldReader, Fields

__all__ = ["Codec", "CodecLimits", "ICodecUser"]

#: The highest stream there can be; in GOAWAY: none is refused yet.
HIGHEST = 2**31 - 1
#: CONTINUATION frames that one header block may take.
CONTINUATIONS = 64


class CodecLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What one connection is told and allowed.

    :ivar streams: open at one time.
    :ivar stream_window: bytes of a request body that may be under way and not yet used.
    :ivar connection_window: the same, for all streams together; at least 65535.
    :ivar fields: bytes of a list of header fields that are announced as the most we take.
    :ivar rates: of frames that bring no request.
    """

    streams: int = 100
    stream_window: int = 1 << 20
    connection_window: int = 4 << 20
    fields: int = 16 * 1024
    rates: Rates = Rates()


class ICodecUser(Interface):
    """Who is told what a client sent."""

    def opened(stream: int, fields: Fields, ended: bool) -> None:
        """A request's fields are here; `ended` when there is no body."""

    def trailed(stream: int, fields: Fields, whole: bool) -> None:
        """Fields that follow a body; not `whole` when the stream does not end with them."""

    def body(stream: int, data: bytes, cost: int, ended: bool) -> None:
        """Some of a body. `cost` bytes of the windows are held until they are handed back."""

    def reset(stream: int, code: int) -> None:
        """A stream is over, because the client said so, or broke a rule."""

    def window_opened(stream: int) -> None:
        """More may be sent on a stream, or, for 0, on any."""

    def pinged_back() -> None:
        """The client has answered a ping, and so has seen all that was sent before it."""

    def going_away() -> None:
        """The client will open no more streams."""


class _Block:
    """A header block that goes on in another frame."""

    def __init__(self, first: Frame, begun: bytes, itself: bool) -> None:
        self.stream = first.stream
        self.ended = bool(first.flags & frames.END_STREAM)
        self.itself = itself
        self.pieces = [begun]
        self.size = len(begun)


class Codec:
    """The state of one connection.

    :param user: is told what comes, an `ICodecUser`.
    :param now: tells the time in seconds.
    :ivar connection_window: bytes of answers that may be sent on all streams together.
    :ivar count: how many frames have come, those that go on with another one left out.
    """

    def __init__(self, user: Any, limits: CodecLimits, now: Callable[[], float]) -> None:
        self._user = user
        self._now = now
        self._limits = limits
        self._purses = Purses(limits.rates, now())
        self._reader = FrameReader()
        self._writer = FrameWriter()
        self._decoder = FieldReader(2 * limits.fields)
        self._encoder = FieldEncoder()
        # Before the client has read our settings it may count on the first window.
        self._streams = Streams(FIRST_WINDOW, max(limits.stream_window, FIRST_WINDOW))
        self._block: _Block | None = None
        self._begun = False
        self.count = 0
        self.connection_window = FIRST_WINDOW
        self._room = max(limits.connection_window, FIRST_WINDOW)  # for bodies, on all streams
        self._share = self._room // 2  # when so much of it was used, the client is told
        self._used = 0
        self._reads: dict[int, Callable[[Frame], None]] = {
            frames.DATA: self._read_data,
            frames.HEADERS: self._read_headers,
            frames.PRIORITY: self._read_priority,
            frames.RST_STREAM: self._read_reset,
            frames.SETTINGS: self._read_settings,
            frames.PUSH_PROMISE: self._read_push,
            frames.PING: self._read_ping,
            frames.GOAWAY: self._read_goaway,
            frames.WINDOW_UPDATE: self._read_window,
            frames.CONTINUATION: self._read_continuation,
        }
        self._greet()

    def _greet(self) -> None:
        limits = self._limits
        said = {
            settings.MAX_CONCURRENT_STREAMS: limits.streams,
            settings.INITIAL_WINDOW_SIZE: limits.stream_window,
            settings.MAX_FRAME_SIZE: frames.LONGEST,
            settings.MAX_HEADER_LIST_SIZE: limits.fields,
            settings.ENABLE_CONNECT_PROTOCOL: 1,
        }
        self._writer.write(frames.SETTINGS, 0, 0, settings.write_settings(said))
        if self._room > FIRST_WINDOW:
            self._writer.write_number(frames.WINDOW_UPDATE, 0, self._room - FIRST_WINDOW)

    @property
    def highest(self) -> int:
        """The highest stream that was opened."""
        return self._streams.highest

    @property
    def waiting(self) -> int:
        """Bytes that :meth:`output` would give."""
        return self._writer.waiting

    # -- what comes ----------------------------------------------------------------------

    @property
    def waits_for_head(self) -> bool:
        """Whether a part of something is here that is short and should come at once."""
        partial = self._reader.partial and self._reader.partial_kind != frames.DATA
        return partial or self._block is not None

    def receive(self, data: bytes) -> None:
        """Bytes have come; the user is told what they mean.

        :raises ConnectionFailed: the connection cannot go on; feed no more.
        """
        for frame in self._reader.feed(data):
            self._receive_frame(frame)

    def _receive_frame(self, frame: Frame) -> None:
        kind, block = frame.kind, self._block
        if not self._begun:
            if kind != frames.SETTINGS or frame.flags & frames.ACK:
                raise ConnectionFailed(frames.PROTOCOL_ERROR, "the first frame is not SETTINGS")
            self._begun = True
        if block is not None and (kind != frames.CONTINUATION or frame.stream != block.stream):
            raise ConnectionFailed(frames.PROTOCOL_ERROR, "a header block was interrupted")
        self.count += kind != frames.CONTINUATION
        read = self._reads.get(kind)
        if read is None:
            # An extension we do not know (section 5.5).
            self.pay("other")
        else:
            read(frame)

    def pay(self, purse: str) -> None:
        """Let the client pay for what it made us do.

        :raises ConnectionFailed: it cannot.
        """
        self._purses.pay(purse, self._now())

    # Header blocks.

    def _read_headers(self, frame: Frame) -> None:
        if not frame.stream & 1:
            raise ConnectionFailed(frames.PROTOCOL_ERROR, "HEADERS on no stream of a client")
        begun, itself = frame.content(), False
        if frame.flags & frames.PRIORITIZED:
            if len(begun) < 5:
                raise ConnectionFailed(frames.FRAME_SIZE_ERROR, "half a priority")
            itself, begun = _depends_on(begun) == frame.stream, begun[5:]
        if frame.flags & frames.END_HEADERS:
            ended = bool(frame.flags & frames.END_STREAM)
            self._take_fields(frame.stream, begun, ended, itself)
        else:
            self._block = _Block(frame, begun, itself)

    def _read_continuation(self, frame: Frame) -> None:
        block = self._block
        if block is None:
            raise ConnectionFailed(frames.PROTOCOL_ERROR, "nothing to go on with")
        block.pieces.append(frame.payload)
        block.size += len(frame.payload)
        if block.size > 2 * self._limits.fields:
            raise ConnectionFailed(
                frames.ENHANCE_YOUR_CALM, "a header block is too long", flood="fields"
            )
        if len(block.pieces) > CONTINUATIONS:
            raise ConnectionFailed(frames.PROTOCOL_ERROR, "a header block in too many frames")
        if frame.flags & frames.END_HEADERS:
            self._block = None
            whole = b"".join(block.pieces)
            self._take_fields(block.stream, whole, block.ended, block.itself)

    def _take_fields(self, stream: int, block: bytes, ended: bool, itself: bool) -> None:
        """A header block is whole. It is decoded in any case: those that follow build on it."""
        fields = self._decoder.decode(block)
        streams = self._streams
        if stream > streams.highest:
            streams.begin(stream, ended)
            if itself:
                self._break(stream, frames.PROTOCOL_ERROR)
            else:
                self._user.opened(stream, fields, ended)
        elif stream in streams.open:
            self._take_trailers(stream, fields, ended)
        else:
            self._take_late_fields(stream)

    def _take_trailers(self, stream: int, fields: Fields, ended: bool) -> None:
        if self._streams.open[stream].asked:
            self._break(stream, frames.STREAM_CLOSED)
            return
        if ended:
            self._streams.asked(stream)
        self._user.trailed(stream, fields, ended)

    def _take_late_fields(self, stream: int) -> None:
        how = self._streams.how(stream)
        if how is None:
            raise ConnectionFailed(frames.PROTOCOL_ERROR, "a stream that was passed over")
        if how == ENDED:
            raise ConnectionFailed(frames.STREAM_CLOSED, "HEADERS on a stream that has ended")
        self.pay("stray")
        if how == RESET_BY_CLIENT:
            self._writer.write_number(frames.RST_STREAM, stream, frames.STREAM_CLOSED)

    # Bodies, and the windows they come through.

    def _read_data(self, frame: Frame) -> None:
        stream, cost = frame.stream, len(frame.payload)
        data, ended = frame.content(), bool(frame.flags & frames.END_STREAM)
        if self._streams.is_idle(stream):
            raise ConnectionFailed(frames.PROTOCOL_ERROR, "DATA on a stream that is not open")
        if not data and not ended:
            self.pay("empty_data")
        self._room -= cost
        if self._room < 0:
            raise ConnectionFailed(frames.FLOW_CONTROL_ERROR, "more DATA than there was room for")
        flow = self._streams.open.get(stream)
        if flow is None:
            self._read_late_data(stream, cost)
            return
        flow.room -= cost
        if flow.asked or flow.room < 0:
            self.hand_back(0, cost)
            code = frames.STREAM_CLOSED if flow.asked else frames.FLOW_CONTROL_ERROR
            self._break(stream, code)
            return
        if ended:
            self._streams.asked(stream)
        self._user.body(stream, data, cost, ended)

    def _read_late_data(self, stream: int, cost: int) -> None:
        self.pay("stray")
        self.hand_back(0, cost)
        if self._streams.how(stream) != RESET_BY_US:
            self._writer.write_number(frames.RST_STREAM, stream, frames.STREAM_CLOSED)

    def hand_back(self, stream: int, cost: int) -> None:
        """That many bytes of a request body were used: the client may send as many more."""
        if not cost:
            return
        self._used += cost
        if self._used >= self._share:
            self._writer.write_number(frames.WINDOW_UPDATE, 0, self._used)
            self._room += self._used
            self._used = 0
        flow = self._streams.open.get(stream)
        if flow is None or flow.asked:
            return
        flow.used += cost
        if flow.used >= self._limits.stream_window // 2:
            self._writer.write_number(frames.WINDOW_UPDATE, stream, flow.used)
            flow.room += flow.used
            flow.used = 0

    def _read_window(self, frame: Frame) -> None:
        self.pay("window_update")
        stream = frame.stream
        if len(frame.payload) != 4:
            raise ConnectionFailed(frames.FRAME_SIZE_ERROR, "half a window")
        more = int.from_bytes(frame.payload, "big") & HIGHEST_WINDOW
        if stream:
            self._open_stream_window(stream, more)
            return
        self.connection_window += more
        if not more:
            raise ConnectionFailed(frames.PROTOCOL_ERROR, "a window that opens by nothing")
        if self.connection_window > HIGHEST_WINDOW:
            raise ConnectionFailed(frames.FLOW_CONTROL_ERROR, "a window that is too large")
        self._user.window_opened(0)

    def _open_stream_window(self, stream: int, more: int) -> None:
        if self._streams.is_idle(stream):
            raise ConnectionFailed(frames.PROTOCOL_ERROR, "a window of no open stream")
        flow = self._streams.open.get(stream)
        if flow is None:
            return
        flow.window += more
        if not more:
            self._break(stream, frames.PROTOCOL_ERROR)
        elif flow.window > HIGHEST_WINDOW:
            self._break(stream, frames.FLOW_CONTROL_ERROR)
        else:
            self._user.window_opened(stream)

    # The rest.

    def _read_priority(self, frame: Frame) -> None:
        """Priorities are not kept; only one that contradicts itself is worth a look."""
        self.pay("priority")
        if not frame.stream:
            raise ConnectionFailed(frames.PROTOCOL_ERROR, "a priority of no stream")
        if len(frame.payload) != 5:
            code = frames.FRAME_SIZE_ERROR
        elif _depends_on(frame.payload) == frame.stream:
            code = frames.PROTOCOL_ERROR
        else:
            return
        if frame.stream not in self._streams.open:
            raise ConnectionFailed(code, "a priority that is none")
        self._break(frame.stream, code)

    def _read_reset(self, frame: Frame) -> None:
        self.pay("reset")
        stream = frame.stream
        if self._streams.is_idle(stream):
            raise ConnectionFailed(frames.PROTOCOL_ERROR, "the end of a stream that is not open")
        if len(frame.payload) != 4:
            raise ConnectionFailed(frames.FRAME_SIZE_ERROR, "half an error code")
        if self._streams.end(stream, RESET_BY_CLIENT):
            self._user.reset(stream, int.from_bytes(frame.payload, "big"))

    def _read_settings(self, frame: Frame) -> None:
        self._purses.pay("settings", self._now(), 1 + len(frame.payload) // 6 / 10)
        if frame.stream:
            raise ConnectionFailed(frames.PROTOCOL_ERROR, "settings of a stream")
        if frame.flags & frames.ACK:
            if frame.payload:
                raise ConnectionFailed(frames.FRAME_SIZE_ERROR, "an acknowledgement says more")
            # The client has read ours, so it keeps to them from now on.
            self._streams.room = self._limits.stream_window
            return
        told = settings.read_settings(frame.payload)
        self._writer.write(frames.SETTINGS, frames.ACK, 0)
        window = told.get(settings.INITIAL_WINDOW_SIZE)
        if window is not None:
            self._streams.window = window
            if self._streams.widest() > HIGHEST_WINDOW:
                raise ConnectionFailed(frames.FLOW_CONTROL_ERROR, "a window that is too large")
            self._user.window_opened(0)

    def _read_push(self, frame: Frame) -> None:
        raise ConnectionFailed(frames.PROTOCOL_ERROR, "clients do not push")

    def _read_ping(self, frame: Frame) -> None:
        self.pay("ping")
        if frame.stream:
            raise ConnectionFailed(frames.PROTOCOL_ERROR, "a ping on a stream")
        if len(frame.payload) != 8:
            raise ConnectionFailed(frames.FRAME_SIZE_ERROR, "a ping that is not of eight bytes")
        if frame.flags & frames.ACK:
            self._user.pinged_back()
        else:
            self._writer.write(frames.PING, frames.ACK, 0, frame.payload)

    def _read_goaway(self, frame: Frame) -> None:
        self.pay("other")
        if frame.stream or len(frame.payload) < 8:
            raise ConnectionFailed(frames.PROTOCOL_ERROR, "GOAWAY is malformed")
        self._user.going_away()

    # -- what goes -----------------------------------------------------------------------

    def window(self, stream: int) -> int:
        """How many bytes of an answer may be sent now; never more than one frame takes."""
        flow = self._streams.open.get(stream)
        if flow is None:
            return 0
        return max(0, min(flow.window, self.connection_window, frames.LONGEST))

    def send_fields(self, stream: int, fields: Fields, ended: bool) -> None:
        """Send the head of an answer; nothing where the stream is over."""
        if stream in self._streams.open:
            self._writer.write_fields(stream, self._encoder.encode(fields), ended)
            if ended:
                self._streams.answered(stream)

    def send_data(self, stream: int, data: bytes, ended: bool) -> None:
        """Send some of an answer's body, not more than :meth:`window` allows."""
        flow = self._streams.open.get(stream)
        if flow is None:
            return
        flow.window -= len(data)
        self.connection_window -= len(data)
        self._writer.write(frames.DATA, frames.END_STREAM if ended else 0, stream, data)
        self._purses.earn("window_update", 2)
        if ended:
            self._streams.answered(stream)

    def reset(self, stream: int, code: int) -> None:
        """End a stream, unless it is over."""
        if self._streams.end(stream, RESET_BY_US):
            self._writer.write_number(frames.RST_STREAM, stream, code)

    def _break(self, stream: int, code: int) -> None:
        """The client broke a rule on one stream: end that one (section 5.4.2)."""
        self.pay("reset")
        self.reset(stream, code)
        self._user.reset(stream, code)

    def ping(self) -> None:
        """Ask for a sign that the client has seen what was sent so far."""
        self._writer.write(frames.PING, 0, 0, b"mcptwist")

    def farewell(self, code: int, last: int | None = None) -> None:
        """Send GOAWAY: streams after `last` (the highest one) are not answered any more."""
        last = self.highest if last is None else last
        said = last.to_bytes(4, "big") + code.to_bytes(4, "big")
        self._writer.write(frames.GOAWAY, 0, 0, said)

    def output(self) -> bytes:
        """All that is to be written to the transport."""
        return self._writer.output()


def _depends_on(priority: bytes) -> int:
    """The stream that a priority names (RFC 7540 section 6.3)."""
    return int.from_bytes(priority[:4], "big") & HIGHEST
