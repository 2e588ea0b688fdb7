"""HTTP/2 frames as they arrive, and as they leave (RFC 9113 sections 4 and 6). Pure."""

from __future__ import annotations

import struct
from collections.abc import Iterator

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
    "PRIORITIZED",
    "PRIORITY",
    "PUSH_PROMISE",
    "RST_STREAM",
    "SETTINGS",
    "WINDOW_UPDATE",
    "ConnectionFailed",
    "Frame",
    "FrameReader",
    "FrameWriter",
    "frame_head",
]

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS = 0, 1, 2, 3, 4
PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 5, 6, 7, 8, 9

# Flags; ACK of SETTINGS and PING has the bit of END_STREAM.
ACK = END_STREAM = 0x1
END_HEADERS = 0x4
PADDED = 0x8
PRIORITIZED = 0x20

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
    :ivar payload: what follows its head of nine bytes.
    """

    __slots__ = ("flags", "kind", "payload", "stream")

    def __init__(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        self.kind = kind
        self.flags = flags
        self.stream = stream
        self.payload = payload

    @property
    def raw(self) -> bytes:
        """All its bytes."""
        return frame_head(len(self.payload), self.kind, self.flags, self.stream) + self.payload

    def content(self) -> bytes:
        """The payload of a DATA or HEADERS frame, without padding.

        :raises ConnectionFailed: there is more padding than payload (section 6.1).
        """
        payload = self.payload
        if not self.flags & PADDED:
            return payload
        if not payload or payload[0] >= len(payload):
            raise ConnectionFailed(PROTOCOL_ERROR, "more padding than frame")
        return payload[1 : len(payload) - payload[0]]


_HEAD = struct.Struct(">BHBBI")


def frame_head(size: int, kind: int, flags: int, stream: int) -> bytes:
    """The head of a frame (section 4.1).

    :param size: bytes of its payload.
    """
    return _HEAD.pack(size >> 16, size & 0xFFFF, kind, flags, stream)


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
                high, low, kind, flags, stream = _HEAD.unpack_from(buffer, at)
                size = high << 16 | low
                if size > LONGEST:
                    raise ConnectionFailed(FRAME_SIZE_ERROR, "a frame is too long")
                after = at + HEAD_BYTES + size
                if after > end:
                    break
                payload = buffer[at + HEAD_BYTES : after]
                at = after
                yield Frame(kind, flags, stream & 0x7FFFFFFF, payload)
        finally:
            self._buffer = buffer[at:]

    def _read_preface(self, data: bytes) -> bytes:
        begun = data[: len(self._preface)]
        if not self._preface.startswith(begun):
            raise ConnectionFailed(PROTOCOL_ERROR, "no HTTP/2 preface")
        self._preface = self._preface[len(begun) :]
        return data[len(begun) :]


class FrameWriter:
    """Makes frames, and keeps them until they are written.

    :ivar waiting: bytes that :meth:`output` would give.
    """

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self.waiting = 0

    def write(self, kind: int, flags: int, stream: int, payload: bytes = b"") -> None:
        """Add a frame; its payload is not longer than `LONGEST`."""
        size = len(payload)
        self._pieces.append(frame_head(size, kind, flags, stream))
        self._pieces.append(payload)
        self.waiting += HEAD_BYTES + size

    def write_fields(self, stream: int, block: bytes, ended: bool) -> None:
        """Add a header block, in as many frames as it takes (section 4.3)."""
        kind, flags = HEADERS, END_STREAM if ended else 0
        while len(block) > LONGEST:
            self.write(kind, flags, stream, block[:LONGEST])
            kind, flags, block = CONTINUATION, 0, block[LONGEST:]
        self.write(kind, flags | END_HEADERS, stream, block)

    def write_number(self, kind: int, stream: int, number: int) -> None:
        """Add a frame that carries one number: a RST_STREAM, a WINDOW_UPDATE."""
        self.write(kind, 0, stream, number.to_bytes(4, "big"))

    def output(self) -> bytes:
        """All frames so far, as bytes."""
        data = b"".join(self._pieces)
        self._pieces.clear()
        self.waiting = 0
        return data
