"""The client's end of a WebSocket (RFC 6455), one JSON-RPC message a text frame."""

import asyncio

from load import Failure

TEXT, CLOSE, PING, PONG = 1, 8, 9, 10


class WebSocket(asyncio.Protocol):
    """A client's end that carries text messages.

    :param request: the upgrade request, as bytes.
    :param on_message: called with ``(b"message", data)``.
    :param on_close: called with nothing when the connection has gone.

    ``upgraded`` is a future that fires once messages may be sent.
    """

    def __init__(self, request, on_message, on_close):
        self.request, self.on_message, self.on_close = request, on_message, on_close
        self.held = bytearray()
        self.upgraded = asyncio.get_running_loop().create_future()
        self.parts = []
        self.open = False

    def connection_made(self, transport):
        self.transport = transport
        self.open = True
        transport.write(self.request)

    def send(self, data, opcode=TEXT):
        """Send one message, or one control frame."""
        size = len(data)
        if size < 126:
            head = bytes((0x80 | opcode, 0x80 | size))
        elif size < 1 << 16:
            head = bytes((0x80 | opcode, 0xFE)) + size.to_bytes(2, "big")
        else:
            head = bytes((0x80 | opcode, 0xFF)) + size.to_bytes(8, "big")
        self.transport.write(head + b"\0\0\0\0" + data)  # a mask of zeroes is a mask

    def data_received(self, data):
        self.held += data
        if not self.upgraded.done() and not self._upgrade():
            return
        while (found := self._frame()) is not None:
            self._received(*found)

    def _upgrade(self):
        end = self.held.find(b"\r\n\r\n")
        if end < 0:
            return False
        if not self.held.startswith(b"HTTP/1.1 101"):
            status = self.held[9:12].decode("latin-1")
            self.upgraded.set_exception(Failure("no upgrade: " + status))
            self.transport.abort()
            return False
        del self.held[: end + 4]
        self.upgraded.set_result(None)
        return True

    def _frame(self):
        """Take one whole frame, as (its first byte, its payload); None while there is none."""
        held = self.held
        if len(held) < 2:
            return None
        size, at = held[1] & 0x7F, 2
        if size >= 126:
            at = 4 if size == 126 else 10
            size = int.from_bytes(held[2:at], "big")
        if len(held) < at + size:
            return None
        first, data = held[0], bytes(held[at : at + size])
        del held[: at + size]
        return first, data

    def _received(self, first, data):
        opcode = first & 15
        if opcode == PING:
            self.send(data, PONG)
        elif opcode == CLOSE:
            self.transport.close()
        elif opcode < CLOSE:
            self.parts.append(data)
            if first & 0x80:
                parts, self.parts = self.parts, []
                self.on_message(b"message", parts[0] if len(parts) == 1 else b"".join(parts))

    def connection_lost(self, reason):
        self.open = False
        if not self.upgraded.done():
            self.upgraded.set_exception(Failure("connection lost"))
        self.on_close()
