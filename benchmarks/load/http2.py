"""The client's end of HTTP/2 (RFC 9113), for gateways that offer it."""

import asyncio
import collections

from load import Failure
from load.http1 import Connection, EventStream

# Frame types and flags of RFC 9113, sections 6.1-6.10.
DATA, HEADERS, RST_STREAM, SETTINGS = 0, 1, 3, 4
PING, GOAWAY, WINDOW_UPDATE = 6, 7, 8
END_STREAM, ACK, END_HEADERS, PADDED, PRIORITY = 1, 1, 4, 8, 32

INITIAL_WINDOW_SIZE = 4  # the one setting that matters here
WINDOW = 65535  # what may be sent before the far end says otherwise
WIDEST = 2**31 - 1
FRAME = 16384  # the largest payload that needs no agreement
CANCEL = 8

# A header field that stands whole in HPACK's static table (RFC 7541, appendix A).
STATUSES = {0x88: 200, 0x89: 204, 0x8A: 206, 0x8B: 304, 0x8C: 400, 0x8D: 404, 0x8E: 500}
# "text/event-strea", in the Huffman code of HPACK
EVENT_STREAM = bytes.fromhex("497ca582f72d495909b0a3")


def u32(number):
    """Four bytes, the most significant first."""
    return number.to_bytes(4, "big")


def number(data):
    """The reverse, of any width."""
    return int.from_bytes(data, "big")


def frame(kind, flags, stream, payload=b""):
    """One frame, as bytes."""
    return b"%s%c%c%s%s" % (len(payload).to_bytes(3, "big"), kind, flags, u32(stream), payload)


def literal(text):
    """A string of a header block, without Huffman coding (RFC 7541, 5.2)."""
    size = len(text)
    if size < 127:
        return b"%c%s" % (size, text)
    size -= 127
    head = b"\x7f"
    while size >= 128:
        head += b"%c" % (size % 128 + 128)
        size //= 128
    return head + b"%c" % size + text


class Http2(asyncio.Protocol):
    """One HTTP/2 connection that any number of `Stream`s share.

    It asks the server for no dynamic header table, so that a header block can be read
    by itself, and needs no HPACK decoder but for the answer to initialize, where the
    ``hpack`` package is used.  It never widens its own window of 2 GiB: that is more than
    a run receives.

    :param secure: whether the URL's scheme is https.
    :param shared: whether the connection outlives any one session.
    """

    def __init__(self, secure=False, shared=False):
        self.secure, self.shared = secure, shared
        self.open = False
        self.held = b""
        self.streams = {}
        self.next_stream = 1
        self.window = WINDOW  # what may yet be sent on the connection
        self.first_window = WINDOW  # and on a new stream
        self.waiting = collections.deque()  # [stream id, rest of a body, window of that stream]
        self.blocks = {}  # HTTP/1.1 head: header block

    def connection_made(self, transport):
        self.transport = transport
        self.open = True
        settings = b"\0\1" + u32(0) + b"\0\4" + u32(WIDEST)
        transport.write(
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
            + frame(SETTINGS, 0, 0, settings)
            + frame(WINDOW_UPDATE, 0, 0, u32(WIDEST - WINDOW))
        )

    def block(self, head):
        """The header block for the head of an HTTP/1.1 request; literals, never indexed."""
        lines = head.decode().split("\r\n")
        method, path, _ = lines[0].split(" ")
        fields = [
            (":method", method),
            (":scheme", "https" if self.secure else "http"),
            (":path", path),
        ]
        rest = []
        for line in lines[1:]:
            name, _, value = line.partition(": ")
            if name.lower() == "host":
                fields.append((":authority", value))
            elif name:
                rest.append((name.lower(), value))
        out = b""
        for name, value in fields + rest:
            out += b"\x10" + literal(name.encode()) + literal(value.encode())
        return out

    def request(self, stream, head, body):
        """Send a request, given as HTTP/1.1 would have it; the id of its stream."""
        block = self.blocks.get(head)
        if block is None:
            block = self.blocks[head] = self.block(head)
        ident = self.next_stream
        self.next_stream += 2
        self.streams[ident] = stream
        size = len(body)
        if not size:
            self.transport.write(frame(HEADERS, END_HEADERS | END_STREAM, ident, block))
        elif size <= min(FRAME, self.window, self.first_window) and not self.waiting:
            self.window -= size
            self.transport.write(
                frame(HEADERS, END_HEADERS, ident, block) + frame(DATA, END_STREAM, ident, body)
            )
        else:
            self.transport.write(frame(HEADERS, END_HEADERS, ident, block))
            self.waiting.append([ident, body, self.first_window])
            self._flush()
        return ident

    def _flush(self):
        for entry in list(self.waiting):
            ident, body, window = entry
            while body and self.window > 0 and window > 0:
                piece = body[: min(FRAME, self.window, window)]
                body = body[len(piece) :]
                self.window -= len(piece)
                window -= len(piece)
                self.transport.write(frame(DATA, 0 if body else END_STREAM, ident, piece))
            entry[1], entry[2] = body, window
            if not body:
                self.waiting.remove(entry)

    def data_received(self, data):
        if self.held:
            data = self.held + data
        at, size = 0, len(data)
        while size - at >= 9:
            length = number(data[at : at + 3])
            end = at + 9 + length
            if size < end:
                break
            kind, flags = data[at + 3], data[at + 4]
            ident = number(data[at + 5 : at + 9]) & WIDEST
            self._frame(kind, flags, ident, data[at + 9 : end])
            at = end
        self.held = data[at:] if at < size else b""

    def _frame(self, kind, flags, ident, payload):
        if kind in (DATA, HEADERS):
            self._answer(kind, flags, ident, payload)
        elif kind == SETTINGS and not flags & ACK:
            self._settings(payload)
        elif kind == WINDOW_UPDATE:
            self._widen(ident, number(payload) & WIDEST)
        elif kind == PING and not flags & ACK:
            self.transport.write(frame(PING, ACK, 0, payload))
        elif kind == RST_STREAM:
            stream = self.streams.pop(ident, None)
            if stream:
                stream.failed(f"stream reset {number(payload)}")
        elif kind == GOAWAY:
            self.open = False

    def _answer(self, kind, flags, ident, payload):
        if flags & PADDED:
            payload = payload[1 : len(payload) - payload[0]]
        stream = self.streams.get(ident)
        if stream is None:
            return
        if kind == HEADERS:
            stream.headed(payload[5:] if flags & PRIORITY else payload)
        elif payload:
            stream.body(payload)
        if flags & END_STREAM:
            del self.streams[ident]
            stream.finished()

    def _settings(self, payload):
        for at in range(0, len(payload), 6):
            if number(payload[at : at + 2]) == INITIAL_WINDOW_SIZE:
                value = number(payload[at + 2 : at + 6])
                for entry in self.waiting:
                    entry[2] += value - self.first_window
                self.first_window = value
        self.transport.write(frame(SETTINGS, ACK, 0))
        self._flush()

    def _widen(self, ident, more):
        if ident == 0:
            self.window += more
        for entry in self.waiting:
            if entry[0] == ident:
                entry[2] += more
        if self.waiting:
            self._flush()

    def connection_lost(self, reason):
        self.open = False
        for stream in list(self.streams.values()):
            stream.failed("connection lost")
        self.streams = {}


class Stream(Connection):
    """What `Connection` is, over a stream at a time of an `Http2` connection."""

    def __init__(self, shared):
        super().__init__()
        self.shared = shared
        self.transport = shared.transport
        self.ident = None

    @property
    def open(self):
        return self.shared.open

    @open.setter
    def open(self, value):
        pass

    def start(self, request, on_message, on_end):
        self.on_message, self.on_end = on_message, on_end
        self.busy = True
        self.status = 0
        self.pieces = []
        self.events = None
        head, _, body = request.partition(b"\r\n\r\n")
        self.ident = self.shared.request(self, head, body)

    def headed(self, block):
        if self.status >= 200:
            return  # trailers
        while block and block[0] & 0xE0 == 0x20:  # a change of table size
            block = block[1:]
        self.raw = block
        self.status = STATUSES.get(block[0]) or int(dict(self._decoded())[":status"])
        # Huffman-coded or plain, whichever the server sends, "event-stream" is one of these.
        if b"event-stream" in block or EVENT_STREAM in block:
            self.events = EventStream(self.on_message)
        if self.on_head:
            self.on_head(self.status)

    def _decoded(self):
        import hpack  # only where HTTP/2 is asked for

        return hpack.Decoder().decode(self.raw)

    def header(self, name):
        value = dict(self._decoded()).get(name.decode())
        return value.encode() if value is not None else None

    def body(self, data):
        if self.events:
            self.events.feed(data)
        else:
            self.pieces.append(data)

    def finished(self):
        self.busy = False
        if not self.events and self.pieces:
            self.on_message(b"", self.pieces[0] if len(self.pieces) == 1 else b"".join(self.pieces))
        self.on_end(self.status, None)

    def failed(self, why):
        if self.busy:
            self.busy = False
            self.on_end(self.status, Failure(why))

    def abort(self):
        self.busy = False
        if self.shared.streams.pop(self.ident, None) and self.shared.open:
            self.shared.transport.write(frame(RST_STREAM, 0, self.ident, u32(CANCEL)))
        if not self.shared.shared and self.shared.open:
            self.shared.open = False
            self.shared.transport.abort()
