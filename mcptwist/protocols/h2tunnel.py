"""A WebSocket on an HTTP/2 stream (RFC 8441).

The protocol that speaks WebSocket was made for a connection of HTTP/1.1 that was handed over to
it. To that protocol a tunnel is such a connection: it takes the answer to the opening handshake
apart again, and everything after it goes into DATA frames as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IAddress, IProtocol, IPushProducer, ITransport
from twisted.python.failure import Failure
from zope.interface import implementer

from mcptwist.protocols import h2frames as frames

if TYPE_CHECKING:
    from mcptwist.protocols.h2stream import HTTP2Stream

__all__ = ["Tunnel"]

#: A longer answer to an opening handshake is none, bytes.
LONGEST_HEAD = 16 * 1024
#: What of that answer goes on; the rest is between the two ends of an HTTP/1.1 connection.
_PASSED_ON = (
    b"sec-websocket-protocol",
    b"sec-websocket-extensions",
    b"content-type",
    b"retry-after",
)


@implementer(ITransport, IPushProducer)
class Tunnel:
    """The transport of one protocol that took a stream over.

    :ivar disconnecting: whether our end was closed.
    :ivar refused: whether the answer to the handshake was no.
    """

    disconnecting = False

    def __init__(self, stream: HTTP2Stream, protocol: IProtocol) -> None:
        self._stream = stream
        self._protocol: Any = protocol
        self._head: bytearray | None = bytearray()  # of the answer to the handshake
        self.refused = False
        self._lost = False

    def connect(self) -> None:
        """Give the protocol its transport."""
        self._protocol.makeConnection(self)

    # -- what the stream tells -----------------------------------------------------------

    def received(self, data: bytes, ended: bool) -> None:
        """Some has come; `ended` when nothing more will."""
        if data:
            self._protocol.dataReceived(data)
        if ended:
            self.loseConnection()

    def sent_all(self) -> None:
        """Our end is closed, and everything was sent."""
        self.lost(Failure(ConnectionDone()))

    def lost(self, reason: Failure) -> None:
        """The stream is over."""
        if not self._lost:
            self._lost = self.disconnecting = True
            self._protocol.connectionLost(reason)

    # -- what the protocol does ----------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Send; first of all the answer to the opening handshake."""
        if self.disconnecting or self.refused:
            return
        if self._head is None:
            self._stream.write((data,))
            return
        self._head += data
        head, blank, rest = bytes(self._head).partition(b"\r\n\r\n")
        if blank:
            self._head = None
            self._answer(head)
            if rest and not self.refused:
                self._stream.write((rest,))
        elif len(head) > LONGEST_HEAD:
            self.abortConnection()

    def _answer(self, head: bytes) -> None:
        status_line, *lines = head.split(b"\r\n")
        status = int(status_line.split(b" ")[1])
        pairs = (line.partition(b":")[::2] for line in lines)
        headers = [(name.lower(), value.strip()) for name, value in pairs]
        passed = [(name, value) for name, value in headers if name in _PASSED_ON]
        self.refused = status != 101
        self._stream.open_tunnel(200 if status == 101 else status, passed, self.refused)

    def writeSequence(self, data: Any) -> None:
        """Send several pieces."""
        self.write(b"".join(data))

    def loseConnection(self) -> None:
        """Send what there is, and close."""
        if self.disconnecting:
            return
        if self._head is not None:
            self.abortConnection()
            return
        self.disconnecting = True
        self._stream.unregister_producer()
        self._stream.finish()

    def abortConnection(self) -> None:
        """Close at once.

        Where all was sent, that is no mishap: servers of WebSocket abort when both ends have
        said goodbye, so that the client is not left to close the connection.
        """
        if self._head is None and not self.refused and not self._stream.queue:
            self.loseConnection()
        self.disconnecting = True
        code = frames.NO_ERROR if self._lost else frames.CANCEL
        self._stream.connection.cut(self._stream, code)

    def getPeer(self) -> IAddress:
        """The address of the far end."""
        return self._stream.peer

    def getHost(self) -> IAddress:
        """The address of our end."""
        return self._stream.host

    def registerProducer(self, producer: IPushProducer, streaming: bool) -> None:
        """Pause and resume `producer` as the client takes what it makes."""
        self._stream.register_producer(producer)

    def unregisterProducer(self) -> None:
        """Nobody is to be paused any more."""
        self._stream.unregister_producer()

    def pauseProducing(self) -> None:
        """Take no more from the client; it may send as much as its window allows."""
        self._stream.pause_body()

    def resumeProducing(self) -> None:
        """Take on."""
        if not self._lost:
            self._stream.resume_body()

    def stopProducing(self) -> None:
        """Close."""
        self.loseConnection()
