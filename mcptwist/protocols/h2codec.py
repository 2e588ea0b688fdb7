"""An HTTP/2 connection as bytes in and bytes out: the seam to the ``h2`` library. Pure.

h2 keeps the state of the connection and its streams. It ends the whole connection for much that
RFC 9113 lets end one stream only, answers a client's GOAWAY by saying no more, and cannot announce
a shutdown and go on. So frames pass by here first: what concerns one stream is told as such, what
h2 would misunderstand it does not see, and every frame is paid for (:class:`Purses`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from h2 import events
from h2.config import H2Configuration
from h2.connection import ConnectionState, H2Connection
from h2.exceptions import ProtocolError, StreamClosedError
from h2.settings import SettingCodes, Settings
from hyperframe.frame import GoAwayFrame, PingFrame, SettingsFrame
from zope.interface import Interface

from mcptwist.protocols import h2frames as frames
from mcptwist.protocols.h2frames import ConnectionFailed, Frame, FrameReader, Purses, Rates
from mcptwist.protocols.hpacking import FieldEncoder, FieldReader, Fields

__all__ = ["Codec", "CodecLimits", "ICodecUser"]

#: The highest stream there can be; in GOAWAY: none is refused yet.
HIGHEST = 2**31 - 1


class CodecLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What one connection is told and allowed.

    :ivar streams: open at one time.
    :ivar stream_window: bytes of a request body that may be under way and not yet used.
    :ivar connection_window: the same, for all streams together.
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


class Codec:
    """The state of one connection, at the server's end.

    :param user: is told what comes.
    :param now: tells the time in seconds.
    :ivar highest: the highest stream that was opened.
    :ivar count: how many frames have come, those that go on with another one left out.
    """

    def __init__(self, user: Any, limits: CodecLimits, now: Callable[[], float]) -> None:
        self._user = user
        self._now = now
        self._limits = limits
        self._purses = Purses(limits.rates, now())
        self._reader = FrameReader()
        self.count = 0
        self._begun = False
        self._block = 0  # the stream whose header block goes on
        self._block_bytes = 0
        self._unwhole = 0  # the stream whose trailers did not end it
        self._h2 = _connection(limits)
        self._h2.initiate_connection()
        self._h2.clear_outbound_data_buffer()
        self._out: list[bytes] = [self._first_settings()]
        self._h2.increment_flow_control_window(limits.connection_window - 65535)
        self._h2.receive_data(frames.PREFACE)
        self._decoder: Any = self._h2.decoder
        self._tell: dict[type, Callable[[Any], None]] = {
            events.RequestReceived: self._request_received,
            events.TrailersReceived: self._trailers_received,
            events.DataReceived: self._data_received,
            events.StreamReset: self._stream_reset,
            events.WindowUpdated: self._window_updated,
            events.RemoteSettingsChanged: self._settings_changed,
            events.PingAckReceived: self._ping_answered,
        }

    @property
    def highest(self) -> int:
        return self._h2.highest_inbound_stream_id

    def _first_settings(self) -> bytes:
        """What we tell; h2 itself must think that any number of streams may be open.

        It ends the connection where there are too many; we refuse the stream.
        """
        frame = SettingsFrame(0)
        frame.settings = {
            SettingsFrame.HEADER_TABLE_SIZE: self._h2.local_settings.header_table_size,
            SettingsFrame.MAX_CONCURRENT_STREAMS: self._limits.streams,
            SettingsFrame.INITIAL_WINDOW_SIZE: self._limits.stream_window,
            SettingsFrame.MAX_FRAME_SIZE: frames.LONGEST,
            SettingsFrame.MAX_HEADER_LIST_SIZE: self._limits.fields,
            SettingsFrame.ENABLE_CONNECT_PROTOCOL: 1,
        }
        return bytes(frame.serialize())

    # -- what comes ----------------------------------------------------------------------

    @property
    def waits_for_head(self) -> bool:
        """Whether a part of something is here that is short and should come at once."""
        partial = self._reader.partial and self._reader.partial_kind != frames.DATA
        return bool(self._block) or partial

    def receive(self, data: bytes) -> None:
        """Bytes have come; the user is told what they mean.

        :raises ConnectionFailed: the connection cannot go on; feed no more.
        """
        for frame in self._reader.feed(data):
            self._receive_frame(frame)

    def _receive_frame(self, frame: Frame) -> None:
        if not self._begun:
            if frame.kind != frames.SETTINGS or frame.flags & frames.ACK:
                raise ConnectionFailed(frames.PROTOCOL_ERROR, "the first frame is not SETTINGS")
            self._begun = True
        if self._block and (frame.kind != frames.CONTINUATION or frame.stream != self._block):
            raise ConnectionFailed(frames.PROTOCOL_ERROR, "a header block was interrupted")
        self.count += frame.kind != frames.CONTINUATION
        screen = _SCREENS.get(frame.kind)
        if screen is None:
            # An extension we do not know (RFC 9113 section 5.5).
            self._purses.pay("other", self._now())
        elif screen(self, frame):
            self._pass_on(frame)

    def _pass_on(self, frame: Frame) -> None:
        """Let h2 judge a frame, and tell what came of it."""
        try:
            happened = self._h2.receive_data(frame.raw)
        except ProtocolError as error:
            raise ConnectionFailed(int(error.error_code), str(error)) from error
        for event in happened:
            tell = self._tell.get(type(event))
            if tell is not None:
                tell(event)

    def pay(self, purse: str) -> None:
        """Let the client pay for what it made us do.

        :raises ConnectionFailed: it cannot.
        """
        self._purses.pay(purse, self._now())

    # Screens: whether h2 is to see a frame of that kind.

    def _screen_data(self, frame: Frame) -> bool:
        if not frame.flags & frames.END_STREAM and frame.is_empty:
            self.pay("empty_data")
        if self._is_over(frame.stream):
            self.pay("stray")
        return True

    def _screen_headers(self, frame: Frame) -> bool:
        self._block_bytes = 0
        if self._is_open(frame.stream) and not frame.flags & frames.END_STREAM:
            # Trailers must end their stream. h2 takes that for the end of the connection.
            self._unwhole = frame.stream
            flags = bytes([frame.flags | frames.END_STREAM])
            frame.raw = frame.raw[:4] + flags + frame.raw[5:]
        return self._screen_continuation(frame)

    def _screen_continuation(self, frame: Frame) -> bool:
        self._block_bytes += frame.size
        if self._block_bytes > 2 * self._limits.fields:
            raise ConnectionFailed(
                frames.ENHANCE_YOUR_CALM, "a header block is too long", flood="fields"
            )
        self._block = 0 if frame.flags & frames.END_HEADERS else frame.stream
        return True

    def _screen_priority(self, frame: Frame) -> bool:
        """Priorities are not kept; only one that contradicts itself is worth a look."""
        self.pay("priority")
        raw = frame.raw
        itself = raw[9:13] in (raw[5:9], bytes([raw[5] | 0x80]) + raw[6:9])
        return frame.size != 5 or not frame.stream or itself

    def _screen_reset(self, frame: Frame) -> bool:
        self.pay("reset")
        return True

    def _screen_settings(self, frame: Frame) -> bool:
        self._purses.pay("settings", self._now(), 1 + frame.size // 6 / 10)
        if frame.size and frame.flags & frames.ACK:
            raise ConnectionFailed(frames.FRAME_SIZE_ERROR, "an acknowledgement says more")
        if frame.size and not frame.size % 6:
            # h2 would remember every parameter it never heard of.
            body = frame.raw[9:]
            entries = (body[at : at + 6] for at in range(0, len(body), 6))
            kept = b"".join(entry for entry in entries if entry[:2] in _PARAMETERS)
            frame.raw = len(kept).to_bytes(3, "big") + frame.raw[3:9] + kept
        return True

    def _screen_push(self, frame: Frame) -> bool:
        raise ConnectionFailed(frames.PROTOCOL_ERROR, "clients do not push")

    def _screen_ping(self, frame: Frame) -> bool:
        self.pay("ping")
        return True

    def _screen_goaway(self, frame: Frame) -> bool:
        """h2 would send nothing more; but what was asked for shall be answered."""
        self.pay("other")
        if frame.stream or frame.size < 8:
            raise ConnectionFailed(frames.PROTOCOL_ERROR, "GOAWAY is malformed")
        self._user.going_away()
        return False

    def _screen_window(self, frame: Frame) -> bool:
        self.pay("window_update")
        if (
            frame.stream
            and frame.size == 4
            and not int.from_bytes(frame.raw[9:], "big") << 1 & (2**32 - 1)
        ):
            if not self._is_open(frame.stream):
                return self._is_idle(frame.stream)
            self.pay("reset")
            self.reset(frame.stream, frames.PROTOCOL_ERROR)
            self._user.reset(frame.stream, frames.PROTOCOL_ERROR)
            return False
        return True

    def _is_idle(self, stream: int) -> bool:
        return stream > self._h2.highest_inbound_stream_id

    def _is_open(self, stream: int) -> bool:
        state = self._h2.streams.get(stream)
        return state is not None and state.open

    def _is_over(self, stream: int) -> bool:
        return not self._is_idle(stream) and not self._is_open(stream)

    # Events.

    def _request_received(self, event: Any) -> None:
        ended = event.stream_ended is not None
        self._user.opened(event.stream_id, self._decoder.fields, ended)

    def _trailers_received(self, event: Any) -> None:
        whole = self._unwhole != event.stream_id
        self._unwhole = 0
        self._user.trailed(event.stream_id, self._decoder.fields, whole)

    def _data_received(self, event: Any) -> None:
        ended = event.stream_ended is not None
        cost = event.flow_controlled_length or 0
        self._user.body(event.stream_id, bytes(event.data), cost, ended)

    def _stream_reset(self, event: Any) -> None:
        if not event.remote_reset:
            self.pay("reset")
        self._user.reset(event.stream_id, int(event.error_code))

    def _window_updated(self, event: Any) -> None:
        self._user.window_opened(event.stream_id)

    def _settings_changed(self, event: Any) -> None:
        if SettingCodes.INITIAL_WINDOW_SIZE in event.changed_settings:
            self._user.window_opened(0)

    def _ping_answered(self, event: Any) -> None:
        self._user.pinged_back()

    # -- what goes -----------------------------------------------------------------------

    def window(self, stream: int) -> int:
        """How many bytes of an answer may be sent now; never more than one frame takes."""
        try:
            open_ = self._h2.local_flow_control_window(stream)
        except StreamClosedError:
            return 0
        return min(open_, frames.LONGEST)

    @property
    def connection_window(self) -> int:
        """How many bytes of answers may be sent on all streams together."""
        return self._h2.outbound_flow_control_window

    def send_fields(self, stream: int, fields: Fields, ended: bool) -> None:
        """Send the head of an answer."""
        self._h2.send_headers(stream, fields, ended)

    def send_data(self, stream: int, data: bytes, ended: bool) -> None:
        """Send some of an answer's body, not more than :meth:`window` allows."""
        if data:
            self._h2.send_data(stream, data, ended)
        elif ended:
            self._h2.end_stream(stream)
        self._purses.earn("window_update", 2)

    def hand_back(self, stream: int, cost: int) -> None:
        """That many bytes of a request body were used: the client may send as many more."""
        if cost:
            self._h2.acknowledge_received_data(cost, stream)

    def reset(self, stream: int, code: int) -> None:
        """End a stream."""
        try:
            self._h2.reset_stream(stream, code)
        except StreamClosedError:
            pass

    def ping(self) -> None:
        """Ask for a sign that the client has seen what was sent so far."""
        self._append(PingFrame(0, b"mcptwist"))

    def farewell(self, code: int, last: int | None = None) -> None:
        """Send GOAWAY: streams after `last` (the highest one) are not answered any more."""
        frame = GoAwayFrame(0)
        frame.error_code = code
        frame.last_stream_id = self.highest if last is None else last
        self._append(frame)

    def fail(self, code: int) -> None:
        """Say GOAWAY for the last time, unless h2 did when it found the mistake."""
        if self._h2.state_machine.state is not ConnectionState.CLOSED:
            self.farewell(code)

    def _append(self, frame: Any) -> None:
        self._out.append(self._h2.data_to_send())
        self._out.append(frame.serialize())

    @property
    def waiting(self) -> int:
        """Bytes that :meth:`output` would give."""
        return sum(map(len, self._out)) + len(self._h2._data_to_send)

    def output(self) -> bytes:
        """All that is to be written to the transport."""
        data = self._h2.data_to_send()
        if self._out:
            data = b"".join((*self._out, data))
            self._out.clear()
        return data


def _connection(limits: CodecLimits) -> H2Connection:
    """The state machine. What it would judge and we judge ourselves is switched off."""
    config = H2Configuration(
        client_side=False,
        header_encoding=None,
        validate_inbound_headers=False,
        normalize_inbound_headers=False,
        validate_outbound_headers=False,
        normalize_outbound_headers=False,
    )
    machine = _Machine(config)
    machine.local_settings = Settings(
        client=False,
        initial_values={
            SettingCodes.INITIAL_WINDOW_SIZE: limits.stream_window,
            SettingCodes.MAX_CONCURRENT_STREAMS: HIGHEST,
            SettingCodes.MAX_HEADER_LIST_SIZE: 2 * limits.fields,
            SettingCodes.ENABLE_CONNECT_PROTOCOL: 1,
        },
    )
    # Both are h2's own attributes to be looked at; putting others in their place is what its
    # state machine allows without a word, and the tests of this module watch over it.
    machine.decoder = FieldReader(2 * limits.fields)  # type: ignore[assignment]
    machine.encoder = FieldEncoder()  # type: ignore[assignment]
    return machine


#: The parameters that h2 knows (RFC 9113 section 6.5.2, RFC 8441 section 3).
_PARAMETERS = frozenset(number.to_bytes(2, "big") for number in (1, 2, 3, 4, 5, 6, 8))


class _Machine(H2Connection):
    """h2's connection; remembers fewer streams that are over."""

    MAX_CLOSED_STREAMS = 1024


_SCREENS: dict[int, Callable[[Codec, Frame], bool]] = {
    frames.DATA: Codec._screen_data,
    frames.HEADERS: Codec._screen_headers,
    frames.PRIORITY: Codec._screen_priority,
    frames.RST_STREAM: Codec._screen_reset,
    frames.SETTINGS: Codec._screen_settings,
    frames.PUSH_PROMISE: Codec._screen_push,
    frames.PING: Codec._screen_ping,
    frames.GOAWAY: Codec._screen_goaway,
    frames.WINDOW_UPDATE: Codec._screen_window,
    frames.CONTINUATION: Codec._screen_continuation,
}
