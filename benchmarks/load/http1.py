"""The client's end of HTTP/1.1, and of server-sent events, made to cost as little as possible."""

import asyncio
from enum import IntEnum
from functools import lru_cache
from typing import NamedTuple

from load import Failure


class EventStream:
    """Splits a stream of server-sent events.

    :param found: called with ``(event, data)``, both bytes, for every event that has data.
    """

    def __init__(self, found):
        self.found = found
        self.pieces = []
        self.tail = b""

    def feed(self, piece):
        """Take the next piece of the stream; it may end anywhere."""
        seam = self.tail + piece
        if b"\n\n" not in seam and b"\r\n\r\n" not in seam:
            # A long event comes in many pieces: they are joined once, at its end.
            self.pieces.append(piece)
            self.tail = seam[-3:]
            return
        if self.pieces:
            self.pieces.append(piece)
            piece = b"".join(self.pieces)
            self.pieces = []
        if b"\r" in piece:
            piece = piece.replace(b"\r\n", b"\n")
        *blocks, rest = piece.split(b"\n\n")
        if rest:
            self.pieces.append(rest)
        self.tail = rest[-3:]
        for block in blocks:
            self._block(block)

    def _block(self, block):
        event, data = b"message", []
        for line in block.split(b"\n"):
            if line.startswith(b"data:"):
                data.append(line[6:] if line[5:6] == b" " else line[5:])
            elif line.startswith(b"event:"):
                event = line[6:].strip()
        if data:
            self.found(event, data[0] if len(data) == 1 else b"\n".join(data))


class Stage(IntEnum):
    """What a `Connection` expects next."""

    HEAD = 0
    SIZED = 1
    CHUNK_SIZE = 2
    CHUNK = 3
    CHUNK_END = 4
    TRAILER = 5
    ENDLESS = 6  # a body that ends with the connection


HEAD, SIZED, CHUNK_SIZE, CHUNK, CHUNK_END, TRAILER, ENDLESS = Stage


class Head(NamedTuple):
    """What the head of an answer says about what follows it."""

    status: int
    keep: bool  # whether the connection is for further exchanges
    streams: bool  # whether the body is a stream of events
    stage: Stage  # how the body is framed; HEAD where there is none
    length: int


@lru_cache(256)
def parsed(headers):
    """The `Head` of these bytes.  Kept, since a server's answers mostly have the same."""
    low = headers.lower()
    status = int(low[9:12])
    keep = b"\r\nconnection: close" not in low
    streams = b"\r\ncontent-type: text/event-stream" in low
    at = low.find(b"\r\ncontent-length:")
    if b"\r\ntransfer-encoding: chunked" in low:
        return Head(status, keep, streams, CHUNK_SIZE, 0)
    if at >= 0:
        end = low.find(b"\r\n", at + 17)
        length = int(low[at + 17 : end if end >= 0 else None])
        return Head(status, keep, streams, SIZED if length else HEAD, length)
    if status in (202, 204, 304):
        return Head(status, keep, streams, HEAD, 0)
    return Head(status, False, streams, ENDLESS, 0)


class Connection(asyncio.Protocol):
    """One HTTP/1.1 connection, one exchange at a time.

    :cvar dress: what a request's bytes become before they are written; None for what they are.
    """

    dress = None

    def __init__(self):
        self.transport = None
        self.open = False
        self.held = b""
        self.stage = HEAD
        self.left = 0  # bytes of the body, or of the chunk, still to come
        self.busy = False
        self.status = 0
        self.headers = b""
        self.keep = True
        self.pieces = []
        self.events = None
        self.on_head = None

    def connection_made(self, transport):
        self.transport = transport
        self.open = True

    def start(self, request, on_message, on_end):
        """Write a request, given as its bytes.

        :param on_message: called with ``(event, data)`` for each server-sent event of the
            answer, or once with ``(b"", body)`` where the answer is not a stream.
        :param on_end: called with ``(status, error)``; ``error`` is None or a `Failure`.
        """
        self.on_message, self.on_end = on_message, on_end
        if not self.open:
            lost = Failure("connection lost")
            asyncio.get_running_loop().call_soon(on_end, 0, lost)
            return
        self.busy = True
        self.transport.write(request if self.dress is None else self.dress(request))

    def header(self, name):
        """The value of a header of the answer now being read (``name`` in lower case)."""
        at = self.headers.lower().find(b"\r\n" + name + b":")
        if at < 0:
            return None
        at += len(name) + 3
        end = self.headers.find(b"\r\n", at)
        return self.headers[at : end if end >= 0 else None].strip()

    def data_received(self, data):
        while data:
            stage = self.stage
            if stage is HEAD:
                data = self._until(b"\r\n\r\n", data)
                if data is None:
                    return
                self.headers = self.line
                self._head()
            elif stage is SIZED or stage is CHUNK:
                if len(data) < self.left:
                    self.left -= len(data)
                    self._body(data)
                    return
                self._body(data[: self.left])
                data = data[self.left :]
                if stage is SIZED:
                    self._finish()
                else:
                    self.stage = CHUNK_END
            elif stage is ENDLESS:
                self._body(data)
                return
            else:
                data = self._until(b"\r\n", data)
                if data is None:
                    return
                self._framing(stage)

    def _until(self, mark, data):
        """Put what stands before the mark in ``line``; what follows it, or None to wait."""
        if self.held:
            data = self.held + data
            self.held = b""
        end = data.find(mark)
        if end < 0:
            self.held = data
            return None
        self.line = data[:end]
        return data[end + len(mark) :]

    def _framing(self, stage):
        if stage is CHUNK_END:
            self.stage = CHUNK_SIZE
        elif stage is CHUNK_SIZE:
            self.left = int(self.line.partition(b";")[0], 16)
            self.stage = CHUNK if self.left else TRAILER
        elif not self.line:
            self._finish()

    def _head(self):
        status, self.keep, streams, stage, self.left = parsed(self.headers)
        self.status = status
        if 100 <= status < 200 and status != 101:
            return
        self.pieces = []
        self.events = EventStream(self.on_message) if streams else None
        if self.on_head:
            self.on_head(status)
        self.stage = stage
        if stage is HEAD:
            self._finish()

    def _body(self, piece):
        if self.events:
            self.events.feed(piece)
        else:
            self.pieces.append(piece)

    def _finish(self):
        self.stage = HEAD
        if not self.events and self.pieces:
            self.on_message(b"", self.pieces[0] if len(self.pieces) == 1 else b"".join(self.pieces))
        self.busy = False
        if not self.keep:
            self.open = False
            self.transport.close()
        self.on_end(self.status, None)

    def connection_lost(self, reason):
        self.open = False
        if self.busy:
            if self.stage is ENDLESS:
                self._finish()
            else:
                self.busy = False
                self.on_end(self.status, Failure("connection lost"))

    async def exchange(self, request, timeout):
        """Ask and wait, ``timeout`` seconds at most: (status, [data of every message])."""
        waiter = asyncio.get_running_loop().create_future()
        messages = []

        def ended(status, error):
            if not waiter.done():
                waiter.set_exception(error) if error else waiter.set_result(status)

        self.start(request, lambda event, data: messages.append(data), ended)
        try:
            status = await asyncio.wait_for(waiter, timeout)
        except TimeoutError:
            self.abort()
            raise Failure("timeout") from None
        return status, messages

    def abort(self):
        """Drop the connection; nothing more is told."""
        self.busy = False
        self.open = False
        self.transport.abort()
