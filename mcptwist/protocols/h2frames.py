"""HTTP/2 frames as they arrive, and what they cost (RFC 9113 sections 4 and 6). Pure.

A frame is cheap to send and dear to answer, so each kind that asks for work without bringing a
request is paid for out of a purse: see :class:`Purses`. A purse fills with time, and for window
updates with what we send; it does not fill because a stream ended, which a client that floods
would see to.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

__all__ = [
    "ACK",
    "CONTINUATION",
    "DATA",
    "END_HEADERS",
    "END_STREAM",
    "GOAWAY",
    "HEADERS",
    "PADDED",
    "PING",
    "PRIORITY",
    "PUSH_PROMISE",
    "RST_STREAM",
    "SETTINGS",
    "WINDOW_UPDATE",
    "ConnectionFailed",
    "Frame",
    "FrameReader",
    "Purses",
    "Rate",
    "Rates",
]

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS = 0, 1, 2, 3, 4
PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 5, 6, 7, 8, 9

# Flags; ACK of SETTINGS and PING has the bit of END_STREAM.
ACK = END_STREAM = 0x1
END_HEADERS = 0x4
PADDED = 0x8

# Error codes (RFC 9113 section 7).
NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR = 0, 1, 2, 3
STREAM_CLOSED, FRAME_SIZE_ERROR, REFUSED_STREAM, CANCEL = 5, 6, 7, 8
COMPRESSION_ERROR, ENHANCE_YOUR_CALM, HTTP_1_1_REQUIRED = 9, 11, 13

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEAD_BYTES = 9
#: The longest payload we take, bytes; what every client must keep to until told otherwise.
LONGEST = 16384


class ConnectionFailed(Exception):
    """The connection cannot go on (RFC 9113 section 5.4.1).

    :ivar code: the error code for GOAWAY.
    :ivar flood: the purse that was empty, when that is the reason.
    """

    def __init__(self, code: int, reason: str, flood: str | None = None) -> None:
        super().__init__(reason)
        self.code = code
        self.flood = flood


class Frame:
    """One frame.

    :ivar kind: its type.
    :ivar stream: its stream, 0 for the connection.
    :ivar raw: all its bytes, the head of nine included.
    """

    __slots__ = ("flags", "kind", "raw", "stream")

    def __init__(self, kind: int, flags: int, stream: int, raw: bytes) -> None:
        self.kind = kind
        self.flags = flags
        self.stream = stream
        self.raw = raw

    @property
    def size(self) -> int:
        """Bytes of the payload."""
        return len(self.raw) - HEAD_BYTES

    @property
    def is_empty(self) -> bool:
        """Whether it carries nothing but, perhaps, padding."""
        return self.size == 0 or bool(self.flags & PADDED and self.raw[HEAD_BYTES] + 1 == self.size)


class FrameReader:
    """Cuts what arrives into frames.

    :param preface: what must come before them; servers send none.
    :ivar partial: whether some of a frame, or of the preface, has arrived and not all.
    """

    def __init__(self, preface: bytes = PREFACE) -> None:
        self._buffer = b""
        self._preface = preface

    @property
    def partial(self) -> bool:
        return bool(self._buffer or self._preface)

    @property
    def partial_kind(self) -> int | None:
        """The type of the frame of which only a part is here, when that much is known."""
        return self._buffer[3] if len(self._buffer) >= 4 and not self._preface else None

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames completed by `data`.

        :raises ConnectionFailed: the preface is wrong, or a frame is too long.
        """
        if self._preface:
            data = self._read_preface(data)
        buffer = self._buffer + data if self._buffer else data
        at, end = 0, len(buffer)
        try:
            while end - at >= HEAD_BYTES:
                size = int.from_bytes(buffer[at : at + 3], "big")
                if size > LONGEST:
                    raise ConnectionFailed(FRAME_SIZE_ERROR, "a frame is too long")
                after = at + HEAD_BYTES + size
                if after > end:
                    break
                stream = int.from_bytes(buffer[at + 5 : at + 9], "big") & 0x7FFFFFFF
                frame = Frame(buffer[at + 3], buffer[at + 4], stream, buffer[at:after])
                at = after
                yield frame
        finally:
            self._buffer = buffer[at:]

    def _read_preface(self, data: bytes) -> bytes:
        begun = data[: len(self._preface)]
        if not self._preface.startswith(begun):
            raise ConnectionFailed(PROTOCOL_ERROR, "no HTTP/2 preface")
        self._preface = self._preface[len(begun) :]
        return data[len(begun) :]


class Rate(msgspec.Struct, frozen=True):
    """What a purse holds at most, and what is put in each second."""

    burst: float
    per_second: float


class Rates(msgspec.Struct, frozen=True, kw_only=True):
    """How much of each kind of frame one connection may send.

    :ivar reset: RST_STREAM, and streams that had to be reset because of what the client did.
    :ivar ping: PING.
    :ivar settings: SETTINGS, by the parameters in it.
    :ivar priority: PRIORITY.
    :ivar empty_data: DATA without content that does not end its stream.
    :ivar window_update: WINDOW_UPDATE, beyond two for each DATA frame that we send.
    :ivar stray: frames for streams that are over.
    :ivar other: everything unknown.
    """

    reset: Rate = Rate(200, 20)
    ping: Rate = Rate(200, 20)
    settings: Rate = Rate(200, 20)
    priority: Rate = Rate(200, 20)
    empty_data: Rate = Rate(200, 20)
    window_update: Rate = Rate(1000, 100)
    stray: Rate = Rate(2000, 200)
    other: Rate = Rate(200, 20)


class Purses:
    """Out of which one connection pays for what it sends; one purse for each of `Rates`."""

    def __init__(self, rates: Rates, now: float) -> None:
        self._rates = rates
        self._left: dict[str, tuple[float, float]] = {}  # content, and when that was so
        self._start = now

    def pay(self, purse: str, now: float, cost: float = 1) -> None:
        """Take `cost` out of a purse.

        :param purse: the name of a field of `Rates`.
        :param now: seconds.
        :raises ConnectionFailed: there is not enough in it.
        """
        rate: Rate = getattr(self._rates, purse)
        left, since = self._left.get(purse, (rate.burst, self._start))
        left = min(rate.burst, left + (now - since) * rate.per_second) - cost
        self._left[purse] = left, now
        if left < 0:
            raise ConnectionFailed(ENHANCE_YOUR_CALM, f"too much: {purse}", flood=purse)

    def earn(self, purse: str, amount: float) -> None:
        """Put something in, up to the burst."""
        rate: Rate = getattr(self._rates, purse)
        left, since = self._left.get(purse, (rate.burst, self._start))
        self._left[purse] = min(rate.burst, left + amount), since
