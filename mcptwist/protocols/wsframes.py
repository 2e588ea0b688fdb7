"""Frames of WebSockets, as nearly all of them are (RFC 6455 section 5). Pure.

What is not is left to Autobahn.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mcptwist.messages import Json

__all__ = ["frame_head", "is_utf8", "read_plain", "slices"]

#: The longest frame that is sent, bytes; pings find their way between the frames of a message.
LONGEST_FRAME = 64 * 1024
#: A part of a message that is shorter than this, bytes, is paid for like an empty frame.
TINY = 128

TEXT, CONTINUED, LAST = 0x01, 0x00, 0x80
#: The first byte of a text message in one frame.
WHOLE_TEXT = bytes((TEXT | LAST,))
_SHORT = 4096


def read_plain(data: bytes) -> tuple[bytes, bytes] | None:
    """The payload of a short masked frame that *data* begins with, and what comes after it."""
    if len(data) < 6:
        return None
    size, at = data[1] - 128, 2
    if size == 126 and len(data) >= 8:
        size, at = data[2] << 8 | data[3], 4
        if not 126 <= size <= _SHORT:
            return None
    elif not 0 <= size < 126:
        return None
    begin = at + 4
    end = begin + size
    if len(data) < end:
        return None
    pad = (data[at:begin] * (size // 4 + 1))[:size]
    hidden = int.from_bytes(data[begin:end], "big") ^ int.from_bytes(pad, "big")
    return hidden.to_bytes(size, "big"), data[end:]


def is_utf8(text: bytes) -> bool:
    """Whether a text frame's payload is text (RFC 6455 section 8.1)."""
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def slices(parts: Sequence[Json]) -> Iterator[Json | memoryview]:
    """The parts of a message as payloads of frames; what is short goes with what follows it."""
    short = b""
    for part in parts:
        if len(part) < TINY:
            short += part
            continue
        view = memoryview(part)
        first = LONGEST_FRAME - len(short)
        yield b"".join((short, view[:first]))
        short = b""
        for start in range(first, len(view), LONGEST_FRAME):
            yield view[start : start + LONGEST_FRAME]
    if short:
        yield short


def frame_head(first: int, size: int) -> bytes:
    """The head of a frame from a server (RFC 6455, section 5.2)."""
    if size < 126:
        return bytes((first, size))
    if size < 1 << 16:
        return bytes((first, 126)) + size.to_bytes(2, "big")
    return bytes((first, 127)) + size.to_bytes(8, "big")
