"""WebSocket, the answering end: one JSON-RPC message per text message.

No revision of MCP specifies this wire; ``docs/wires/websocket.rst`` does. It is
the stdio binding over frames: a legacy client's session is its connection, and
modern requests stand alone on it. Autobahn does RFC 6455.

Back-pressure: while a client takes nothing, the servers it waits for are held back
where that hurts nobody else. What is sent all the same waits in a queue; when that
grows, no more is read of the client, and one that lets it overflow is let go.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import txaio
import txaio.tx
from autobahn.twisted.websocket import WebSocketServerProtocol
from autobahn.websocket import USES_NVX
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer, IReactorTime, ISSLTransport
from zope.interface import implementer

from mcptwist.errors import ClientError, ClientGone
from mcptwist.interfaces import IWire, IWireReader
from mcptwist.messages import Json, Message, decode, pieces
from mcptwist.protocols import sockets
from mcptwist.protocols.inbox import Inbox
from mcptwist.protocols.meter import WEBSOCKET, Meter
from mcptwist.protocols.tls import encryption
from mcptwist.protocols.wsframes import (
    CONTINUED,
    LAST,
    LONGEST_FRAME,
    TEXT,
    TINY,
    WHOLE_TEXT,
    frame_head,
    is_utf8,
    read_plain,
    slices,
)
from mcptwist.protocols.wshandshake import PROTOCOL
from mcptwist.protocols.wslimits import WebSocketCounters, WebSocketLimits

txaio.use_twisted()
_autobahn: Any = txaio

GOING_AWAY, UNSUPPORTED_DATA, POLICY = 1001, 1003, 1008

#: The most that is given to Autobahn at once, bytes: it moves what follows a frame.
BITE = 8 * 1024

_OPEN = WebSocketServerProtocol.STATE_OPEN


def check_speed() -> None:
    """Refuse to run without Autobahn's compiled masking and validation.

    Without them a message of 64 KB costs forty times as much.

    :raises RuntimeError: telling what to do.
    """
    if not USES_NVX:
        raise RuntimeError(
            "Autobahn runs without its compiled parts (NVX): unset AUTOBAHN_USE_NVX, or "
            "reinstall autobahn from a wheel for this platform"
        )


@implementer(IWire, IPushProducer)
class WebSocketWire(WebSocketServerProtocol):
    """One client's connection.

    :param handshake: the request that opens it, as it would come on a connection.
    :param told_flow: told ``False`` when the client takes no more for now, and ``True``
        when it has caught up.
    :param told_gone: told when the connection is gone.
    """

    # Autobahn describes every message and every broken rule; counters tell as much.
    log = _autobahn.make_logger(level="error")
    transport: Any

    def __init__(
        self,
        reader: IWireReader,
        clock: IReactorTime,
        limits: WebSocketLimits,
        counters: WebSocketCounters,
        handshake: bytes = b"",
        told_flow: Callable[[bool], None] = lambda runs: None,
        told_gone: Callable[[WebSocketWire], None] = lambda wire: None,
    ) -> None:
        super().__init__()
        self.description = "a WebSocket"
        self._clock = clock
        self._limits = limits
        self._counters = counters
        self.meter = Meter(WEBSOCKET, clock.seconds())
        self._handshake = handshake
        self._told_flow = told_flow
        self._told_gone = told_gone
        self._inbox = Inbox(reader, clock, self.description)
        self._queue: deque[tuple[bytes, Json | memoryview]] = deque()
        self._queued = 0
        self._flowing = True
        self._congested = False
        self._took = 0.0
        self._purse = (limits.idle_frames.burst, clock.seconds())
        self._slow: Any = None
        self._linger: Any = None

    # --- what the transport calls -----------------------------------------------------

    def connectionMade(self) -> None:
        """Called with the transport, and before anything that came after the handshake."""
        super().connectionMade()
        if ISSLTransport.providedBy(self.transport):
            self.meter.tls = encryption(self.transport)
        handshake, self._handshake = self._handshake, b""
        self._dataReceived(handshake)

    def dataReceived(self, data: bytes) -> None:
        """Called with what arrived; Autobahn's own describes it in the log first, at a cost."""
        self.meter.received += len(data)
        if data[:1] == WHOLE_TEXT and self._between_messages:
            data = self._take_plain(data)
        if len(data) <= BITE:
            if data:
                self._dataReceived(data)
        else:
            for start in range(0, len(data), BITE):
                self._dataReceived(data[start : start + BITE])
        if self.state == _OPEN and self.inside_message:
            self._mind_message()

    def pauseProducing(self) -> None:
        """Called when the client does not read: keep what is sent, and hold its servers."""
        self._flowing = False
        self._told_flow(False)

    def resumeProducing(self) -> None:
        """Called when the client has read all that was written."""
        self._flowing = True
        self._took = self._clock.seconds()
        self._pump()
        if self._flowing:
            self._told_flow(True)

    def stopProducing(self) -> None:
        """Called when the connection is gone."""

    # --- what Autobahn calls ----------------------------------------------------------

    def onConnect(self, request: Any) -> str | None:
        """Called with the opening handshake: the sub-protocol to speak."""
        return PROTOCOL if PROTOCOL in request.protocols else None

    def onOpen(self) -> None:
        """Called when the connection is open."""
        self._counters.opened += 1
        self.transport.registerProducer(self, True)
        # It may stay for days; the texts of its handshake need not.
        del self.http_headers, self.http_request_data, self.http_response_data

    def onFrameBegin(self) -> None:
        """Called with the head of each frame."""
        frame = self.current_frame
        if frame.opcode > 7 or (not frame.fin and frame.length < TINY):
            self._pay()
        super().onFrameBegin()

    def onFrameData(self, payload: bytes) -> bool | None:
        """Called with what came of a frame; nothing is made of it when it was refused."""
        if self.failedByMe and self.current_frame.opcode <= 7:
            return None
        return super().onFrameData(payload)

    def onMessageEnd(self) -> None:
        """Called when a message is complete; Autobahn's own also tells listeners it has not."""
        slow, self._slow = self._slow, None
        if slow is not None:
            slow.cancel()
        parts, self.message_data = self.message_data, []
        if not self.failedByMe:
            self.onMessage(b"".join(parts), self.message_is_binary)

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        """Called with each message."""
        if self.state != _OPEN:
            return
        if isBinary:
            self._counters.binary += 1
            self.close(UNSUPPORTED_DATA, "messages are text")
            return
        try:
            message: Message | ClientError = decode(payload)
        except ClientError as problem:
            message = problem
        self.meter.requests += 1
        self._inbox.put(message)

    def onAutoPingTimeout(self) -> None:
        """Called when no pong came in time; one that waits for us to read on is not late."""
        taken = self._clock.seconds() - self._took
        if self._congested and taken < self._limits.ping + self._limits.ping_timeout:
            self.autoPingTimeoutCall = self._later(
                self._limits.ping_timeout, self.onAutoPingTimeout
            )
            return
        self._counters.silent += 1
        super().onAutoPingTimeout()

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        """Called when the connection is gone."""
        self._counters.closed += 1
        self._forget()
        for timer in (self._slow, self._linger):
            if timer is not None:
                timer.cancel()
        self._slow = self._linger = None
        self._told_gone(self)
        self._inbox.end(ClientGone(f"the WebSocket was closed ({code})"))

    def sendData(self, data: bytes, sync: bool = False, chopsize: int | None = None) -> None:
        """Called to write what Autobahn made: a handshake's answer, a control frame."""
        sockets.write(self.transport, data)

    def dropConnection(self, abort: bool = False) -> None:
        """Called to end the connection, in good order or at once."""
        if self.state == self.STATE_CLOSED:
            return
        if not abort:
            # The client may never take what it would have to take first.
            self._linger = self._later(self._limits.closing, self._cut)
        super().dropConnection(abort)

    def _closeConnection(self, abort: bool = False) -> None:
        """Called with the connection to end.

        Where the client was still talking, only our half is closed: the system would reset
        a connection with unread bytes in it, and the client not hear why.
        """
        transport = self.transport
        half = getattr(transport, "loseWriteConnection", None)
        if self.failedByMe and not abort and half and not ISSLTransport.providedBy(transport):
            transport.resumeProducing()
            half()
        else:
            super()._closeConnection(abort)

    def _max_message_size_exceeded(self, size: int, limit: int, reason: str) -> None:
        """Called when a message is about to be too big."""
        self._counters.too_big += 1
        super()._max_message_size_exceeded(size, limit, reason)

    def _protocol_violation(self, reason: str) -> bool:
        """Called when a rule is broken: say so, and read no more of what makes no sense."""
        self._counters.violations += self.state == _OPEN
        super()._protocol_violation(reason)
        self.dropConnection(abort=False)
        return True

    def _invalid_payload(self, reason: str) -> bool:
        """Called when text is not UTF-8."""
        self._counters.invalid += self.state == _OPEN
        super()._invalid_payload(reason)
        self.dropConnection(abort=False)
        return True

    # --- what the house asks ----------------------------------------------------------

    @property
    def backlog(self) -> int:
        """Bytes that wait for the client."""
        return self._queued

    def send(self, message: Message) -> None:
        """Send *message*, or keep it while the client does not read."""
        if self.state != _OPEN:
            return
        parts = pieces(message)
        size = sum(map(len, parts))
        self.meter.sent += size
        if size <= LONGEST_FRAME and self._flowing and not self._queue:
            sockets.write(self.transport, b"".join((frame_head(TEXT | LAST, size), *parts)))
        elif self._queued > self._limits.backlog:
            self._counters.overflowed += 1
            self._forget()
            self.dropConnection(abort=True)
        else:
            self._enqueue(parts)
            self._pump()

    def pause(self) -> None:
        """Read no more."""
        self._inbox.pause()
        self._read_on_or_not()

    def resume(self) -> None:
        """Read on."""
        self._inbox.resume()
        self._read_on_or_not()

    def close(
        self, code: int = GOING_AWAY, reason: str = "the session has ended"
    ) -> Deferred[None]:
        """Close in good order; Autobahn drops a client that does not answer in time."""
        closed = self._inbox.when_lost()
        if self.state == _OPEN:
            while self._queue:
                self._write_next()
            self.sendCloseFrame(code=code, reasonUtf8=reason.encode()[:123])
        self._inbox.clear()
        self._read_on_or_not()
        return closed

    # --- how --------------------------------------------------------------------------

    @property
    def _between_messages(self) -> bool:
        """Whether the next byte begins a message."""
        frame: Any = self.current_frame if self.state == _OPEN else self
        return frame is None and not self.inside_message and not self.data

    def _take_plain(self, data: bytes) -> bytes:
        """Take short messages that came in one frame each; what is left is for Autobahn.

        Nearly all are such, and Autobahn, which is made for all others, spends as much on
        one as the rest of the daemon.
        """
        while self.state == _OPEN and data[:1] == WHOLE_TEXT and (found := read_plain(data)):
            payload, data = found
            if not payload.isascii() and not is_utf8(payload):
                self._invalid_payload("the text is not UTF-8")
                return b""
            pinged: Any = self.autoPingTimeoutCall
            if pinged is not None:
                self._cancelAutoPingTimeoutCall()
            self.onMessage(payload, False)
        return data

    def _enqueue(self, parts: Sequence[Json]) -> None:
        """Put a message into the queue, in frames; what it is made of is not copied."""
        payloads = list(slices(parts))
        for number, part in enumerate(payloads, 1):
            first = TEXT if number == 1 else CONTINUED
            head = frame_head(first | (LAST if number == len(payloads) else 0), len(part))
            self._queue.append((head, part))
            self._queued += len(head) + len(part)

    def _pump(self) -> None:
        """Write as much as the client takes."""
        while self._queue and self._flowing and self.state == _OPEN:
            self._write_next()
        self._congested = self._queued > self._limits.backlog // 4
        self._read_on_or_not()

    def _write_next(self) -> None:
        head, part = self._queue.popleft()
        self._queued -= len(head) + len(part)
        sockets.write(self.transport, b"".join((head, part)))

    def _read_on_or_not(self) -> None:
        if self.state == _OPEN and (self._inbox.paused or self._congested):
            self.transport.pauseProducing()
        else:
            self.transport.resumeProducing()

    def _pay(self) -> None:
        """Take a frame that carries nothing out of the purse, and let go of who has none left."""
        rate = self._limits.idle_frames
        left, since = self._purse
        now = self._clock.seconds()
        left = min(rate.burst, left + (now - since) * rate.per_second) - 1
        self._purse = left, now
        if left < 0 and self.state == _OPEN:
            self._counters.flooded += 1
            self._fail_connection(POLICY, "too many frames that carry nothing")
            self.dropConnection(abort=False)

    def _mind_message(self) -> None:
        """More of a message must come, within its time; meanwhile no pong can."""
        if self._slow is None:
            self._slow = self._later(self._limits.message_time, self._message_late)
        waiting: Any = self.autoPingTimeoutCall
        if waiting is not None and self.current_frame is not None:
            self._cancelAutoPingTimeoutCall()

    def _message_late(self) -> None:
        self._slow = None
        if self._congested or self._inbox.paused:
            self._slow = self._later(self._limits.message_time, self._message_late)
        elif self.state == _OPEN:
            self._counters.too_slow += 1
            self.close(POLICY, "the message takes too long")

    def _forget(self) -> None:
        self._queue.clear()
        self._queued = 0
        self._congested = False

    def _cut(self) -> None:
        self._linger = None
        self.transport.abortConnection()

    def _later(self, seconds: float, call: Callable[[], None]) -> Any:
        return self.factory._batched_timer.call_later(seconds, call)
