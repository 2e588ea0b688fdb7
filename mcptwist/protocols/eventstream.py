"""Server-sent events, as far as MCP uses them: writing and reading.

HTML Living Standard, *Server-sent events*; MCP 2025-11-25, *Transports,
Resumability and Redelivery*.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from mcptwist.errors import InvalidMessage
from mcptwist.messages import Json

KEEP_ALIVE = b":\n\n"

HEADERS: list[tuple[bytes, bytes]] = [
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),
]


def event(data: list[Json], id: bytes = b"") -> list[Json]:
    """One ``message`` event, in pieces so that a large payload is not copied.

    :param data: the parts of one line of text.
    :param id: the event's id, empty for none.
    """
    head = b"id: %b\nevent: message\ndata: " % id if id else b"event: message\ndata: "
    return [head, *data, b"\n\n"]


def priming(id: bytes, retry: int) -> bytes:
    """The event with an id and no data that makes a stream resumable from its start.

    :param retry: milliseconds that the client shall wait before it comes back.
    """
    return b"retry: %d\nid: %b\ndata: \n\n" % (retry, id)


class Event(msgspec.Struct, frozen=True):
    """One event read.

    :ivar id: the last id seen on the stream, empty if none.
    """

    kind: str
    data: str
    id: str


class EventReader:
    """Reads events from pieces of a stream, however they were cut.

    :param found: told each event.
    :param limit: bytes that one event may have.
    """

    def __init__(self, found: Callable[[Event], None], limit: int = 1 << 26) -> None:
        self._found = found
        self._limit = limit
        self._parts: list[bytes] = []
        self._size = 0
        self._after_cr = False
        self._begun = False
        self._kind, self._data, self._id = "", [], ""  # type: tuple[str, list[str], str]
        self.retry: int | None = None

    def feed(self, piece: bytes) -> None:
        """Read on.

        :raises InvalidMessage: an event is larger than the limit.
        """
        if not piece:
            return
        ends_in_cr = piece.endswith(b"\r")
        if self._after_cr and piece.startswith(b"\n"):
            piece = piece[1:]
        self._after_cr = ends_in_cr
        *lines, rest = _split(piece)
        for line in lines:
            self._grow(len(line))
            self._line(b"".join([*self._parts, line]))
            self._parts.clear()
        if rest:
            self._parts.append(rest)
            self._grow(len(rest))

    def _grow(self, size: int) -> None:
        self._size += size
        if self._size > self._limit:
            raise InvalidMessage(f"an event of more than {self._limit} bytes")

    def _line(self, raw: bytes) -> None:
        if not self._begun:
            self._begun = True
            raw = raw.removeprefix(b"\xef\xbb\xbf")
        if not raw:
            self._dispatch()
            return
        if raw.startswith(b":"):
            self._size -= len(raw)  # a comment is part of no event, however many come
            return
        name, _, value = raw.decode("utf-8", "replace").partition(":")
        self._field(name, value.removeprefix(" "))

    def _field(self, name: str, value: str) -> None:
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._kind = value
        elif name == "id" and "\0" not in value:
            self._id = value
        elif name == "retry" and value.isascii() and value.isdigit() and len(value) < 12:
            self.retry = int(value)

    def _dispatch(self) -> None:
        data, kind, self._data, self._kind, self._size = self._data, self._kind, [], "", 0
        if data or kind:
            self._found(Event(kind or "message", "\n".join(data), self._id))


def _split(piece: bytes) -> list[bytes]:
    if b"\r" in piece:
        piece = piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return piece.split(b"\n")
