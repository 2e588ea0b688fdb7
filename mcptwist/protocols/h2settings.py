"""SETTINGS: what the ends of an HTTP/2 connection tell each other of themselves. Pure.

RFC 9113 section 6.5; RFC 8441 section 3 for the one that announces WebSockets.
"""

from __future__ import annotations

import struct

from mcptwist.protocols import h2frames as frames
from mcptwist.protocols.h2frames import ConnectionFailed

__all__ = ["FIRST_WINDOW", "HIGHEST_WINDOW", "read_settings", "write_settings"]

HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS = 1, 2, 3
INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE, MAX_HEADER_LIST_SIZE = 4, 5, 6
ENABLE_CONNECT_PROTOCOL = 8

#: The window of each stream, and of the connection, before anybody said something else.
FIRST_WINDOW = 65535
#: No window may be larger (section 6.9.1).
HIGHEST_WINDOW = 2**31 - 1
_LONGEST_FRAME = 2**24 - 1

_ENTRY = struct.Struct(">HI")


def write_settings(settings: dict[int, int]) -> bytes:
    """The payload of a SETTINGS frame."""
    return b"".join(_ENTRY.pack(*entry) for entry in settings.items())


def read_settings(payload: bytes) -> dict[int, int]:
    """What a SETTINGS frame says, the unknown included: last value by number.

    :raises ConnectionFailed: it is malformed, or says what must not be said (section 6.5.2).
    """
    if len(payload) % _ENTRY.size:
        raise ConnectionFailed(frames.FRAME_SIZE_ERROR, "half a setting")
    settings = dict(_ENTRY.iter_unpack(payload))
    if settings.get(ENABLE_PUSH, 0) > 1 or settings.get(ENABLE_CONNECT_PROTOCOL, 0) > 1:
        raise ConnectionFailed(frames.PROTOCOL_ERROR, "a setting that is neither on nor off")
    if settings.get(INITIAL_WINDOW_SIZE, 0) > HIGHEST_WINDOW:
        raise ConnectionFailed(frames.FLOW_CONTROL_ERROR, "a window that is too large")
    if not frames.LONGEST <= settings.get(MAX_FRAME_SIZE, frames.LONGEST) <= _LONGEST_FRAME:
        raise ConnectionFailed(frames.PROTOCOL_ERROR, "frames that are too small or too large")
    return settings
