"""WebSocket, the asking end: one JSON-RPC message per text frame.

The wire that ``docs/wires/websocket.rst`` specifies: sub-protocol ``mcp``, a
legacy session for as long as the connection lasts, modern requests that stand
alone on the same one. Autobahn does RFC 6455.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

import msgspec
import txaio
from autobahn.twisted.websocket import WebSocketClientProtocol
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IPushProducer
from twisted.python.failure import Failure
from zope.interface import implementer

from mcptwist.errors import (
    ClientError,
    McpTwistError,
    ServerExited,
    ServerStartFailed,
    SignInFailed,
)
from mcptwist.interfaces import IWire, IWireReader
from mcptwist.messages import Message, decode, encode
from mcptwist.protocols.inbox import Inbox
from mcptwist.protocols.setbacks import unreachable
from mcptwist.protocols.websocket import UNSUPPORTED_DATA
from mcptwist.protocols.wshandshake import PROTOCOL

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall, IReactorTime

txaio.use_twisted()

NORMAL = 1000
_UNAUTHORIZED = "upgrade failed [401]"  # as Autobahn tells it
_ACCEPT = "accept-signature"
_TEXT = 1
_autobahn: Any = txaio


class DialLimits(msgspec.Struct, frozen=True):
    """Bounds of one connection; sizes in bytes, times in seconds.

    :ivar message: that the server may send, in one frame or several.
    :ivar backlog: what may wait for a server that does not read.
    :ivar ping: of silence after which the server is asked for a sign of life.
    :ivar ping_timeout: that it has to give one.
    :ivar handshake: that opening may take.
    :ivar closing: that closing may take.
    """

    message: int = 64 << 20
    backlog: int = 64 << 20
    ping: float = 20.0
    ping_timeout: float = 20.0
    handshake: float = 10.0
    closing: float = 2.0


class TurnedAway(ServerStartFailed):
    """The server wants to know who we are, and what was shown does not do.

    :ivar takes_signatures: whether a request that is signed would do.
    """

    takes_signatures = False


class WantsToken(TurnedAway):
    """The server answered the opening request with 401."""


class WantsSignature(TurnedAway):
    """The server believes the proof of our key, which has to sign the opening request."""

    takes_signatures = True


@implementer(IWire, IPushProducer)
class WebSocketClientWire(WebSocketClientProtocol):
    """The connection to one server.

    :ivar opened: fires when the handshake succeeded; fails with ``ServerStartFailed``.
    """

    # Autobahn describes every message to its log, at a cost; what goes wrong is told by ``lost``.
    log = _autobahn.make_logger(level="error")
    transport: Any

    def __init__(
        self, reader: IWireReader, clock: IReactorTime, description: str, limits: DialLimits
    ) -> None:
        super().__init__()
        self.description = description
        self.opened: Deferred[None] = Deferred(lambda _: self._abort())
        self.backlog = 0
        self._limits = limits
        self._inbox = Inbox(reader, clock, description)
        self._queue: deque[bytes] = deque()
        self._flowing = True
        self._problem = ""
        self._refusal: McpTwistError | None = None
        self.prover: Any = None
        self._is_proving = False
        self._proving: Deferred[None] | None = None
        self._heard: Deferred[bytes] | None = None
        self._clock = clock
        self._drop: IDelayedCall | None = None

    # --- what Autobahn calls ----------------------------------------------------------

    def dataReceived(self, data: bytes) -> None:
        """Called with what arrived; Autobahn's own describes it in the log first, at a cost."""
        self._dataReceived(data)

    def onConnect(self, response: Any) -> None:
        """Called when the server agreed to the handshake."""
        prover = self.prover
        if prover is not None and response.protocol == prover.subprotocol:
            self._is_proving = True
        elif response.protocol not in (PROTOCOL, None):
            self._problem = f"chose the sub-protocol {response.protocol!r}"
            self._abort()

    def onOpen(self) -> None:
        """Called when the connection is open."""
        self.transport.registerProducer(self, True)
        if self._is_proving:
            proving = Deferred.fromCoroutine(self._prove())
            proving.addTimeout(self.prover.seconds, self._clock)
            proving.addErrback(self._not_proved)
            self._proving = proving
        elif not self.opened.called:
            self.opened.callback(None)

    async def _prove(self) -> None:
        """Prove who we are, once the server has proved who it is."""
        proof = await self.prover.begin(self.factory.url, self.transport.getHandle())
        said: bytes | None = proof.hello()
        while said is not None:
            self._heard = Deferred()
            self._write(said)
            said = await proof.answer(await self._heard)
        self._is_proving = False
        if not self.opened.called:
            self.opened.callback(None)

    def _not_proved(self, failure: Failure) -> None:
        problem = failure.value
        if not isinstance(problem, McpTwistError):
            problem = SignInFailed(f"{self.description} made no end of the proof of our key")
        self._refusal = self._refusal or problem
        self._abort()

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        """Called with each message."""
        if self._is_proving:
            self._hear_proof(payload)
            return
        if isBinary:
            self._inbox.put(ClientError("a binary frame; messages are text frames"))
            self.sendCloseFrame(UNSUPPORTED_DATA, b"messages are text frames")
            return
        try:
            message: Message | ClientError = decode(payload)
        except ClientError as problem:
            message = problem
        self._inbox.put(message)

    def _hear_proof(self, payload: bytes) -> None:
        heard, self._heard = self._heard, None
        if heard is None:
            self._problem = "spoke out of turn"
            self._abort()
            return
        heard.callback(payload)

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        """Called when the connection is gone, before Autobahn tells how."""
        if not self.opened.called and not reason.check(ConnectionDone, ConnectionLost):
            self._refusal = unreachable(self.description, reason)
        super().connectionLost(reason)

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        """Called when the connection is gone."""
        self._queue.clear()
        self.backlog = 0
        if self._drop is not None and self._drop.active():
            self._drop.cancel()
        if self._proving is not None and self._is_proving:
            self._refusal = self._refusal or self._unwelcome(code)
            self._proving.cancel()
        why = self._problem or _why(code, reason, self.wasNotCleanReason)
        if not self.opened.called:
            self.opened.errback(self._refusal or self._not_opened(f"{self.description} {why}"))
            return
        self._inbox.end(ServerExited(f"{self.description} {why}"))

    def _not_opened(self, message: str) -> ServerStartFailed:
        if _UNAUTHORIZED not in message:
            return ServerStartFailed(message)
        refused = WantsToken(message)
        refused.takes_signatures = _ACCEPT in self.http_headers
        return refused

    def _unwelcome(self, code: int | None) -> McpTwistError:
        if code == self.prover.must_sign:
            return WantsSignature(f"{self.description} wants requests that our key signed ({code})")
        return SignInFailed(
            f"{self.description} does not let our key in ({code}); see whether it is let in there "
            "(mcptwist authorize list), and for WebSockets"
        )

    # --- what the transport calls -----------------------------------------------------

    def pauseProducing(self) -> None:
        """Called when the server does not read: keep what is sent."""
        self._flowing = False

    def resumeProducing(self) -> None:
        """Called when the server reads again."""
        self._flowing = True
        while self._queue and self._flowing:
            text = self._queue.popleft()
            self.backlog -= len(text)
            self._write(text)

    def stopProducing(self) -> None:
        """Called when the connection is gone."""

    # --- what the house asks ----------------------------------------------------------

    def send(self, message: Message) -> None:
        """Send *message*, or keep it while the server does not read."""
        if self._inbox.reason is not None:
            return
        text = encode(message)
        if self._flowing and not self._queue:
            self._write(text)
            return
        self._queue.append(text)
        self.backlog += len(text)
        if self.backlog > self._limits.backlog:
            self._problem = f"takes nothing, and {self._limits.backlog} bytes wait for it"
            self._abort()

    def _write(self, text: bytes) -> None:
        """One message, one frame: Autobahn's own sends none longer than what may come."""
        if self.state == self.STATE_OPEN:
            self.sendFrame(opcode=_TEXT, payload=text)

    def pause(self) -> None:
        """Read no more."""
        self._inbox.pause()
        self.transport.pauseProducing()

    def resume(self) -> None:
        """Read on."""
        self._inbox.resume()
        self.transport.resumeProducing()

    def close(self) -> Deferred[None]:
        """Close in good order; a server that does not answer in time is dropped."""
        closed = self._inbox.when_lost()
        if self._inbox.reason is None:
            if self._inbox.paused:
                self.transport.resumeProducing()
            self._problem = self._problem or "was left"
            self.sendClose(NORMAL)
            if self._drop is None:
                self._drop = self._clock.callLater(2 * self._limits.closing, self._abort)
        self._inbox.clear()
        return closed

    def dropConnection(self, abort: bool = False) -> None:
        """Called to end the TCP connection, in good order or at once."""
        self.transport.unregisterProducer()
        super().dropConnection(abort)

    def _abort(self) -> None:
        if self.transport is not None:
            self.dropConnection(abort=True)


def _why(code: int | None, reason: str | None, unclean: str | None) -> str:
    said = reason or unclean or ""
    return f"closed the WebSocket ({code}{': ' + said if said else ''})"
