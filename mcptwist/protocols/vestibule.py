"""WebSockets whose clients prove who they are before they are let in.

What they say until then is for a doorkeeper alone (:class:`IDoorkeeper`); no server, no session and
no reader of messages knows of them. They have little time and little room.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from zope.interface import Attribute, Interface, implementer

from mcptwist.errors import ClientError, McpTwistError
from mcptwist.interfaces import IWireReader
from mcptwist.messages import Message
from mcptwist.protocols.meter import HTTP1, WEBSOCKET
from mcptwist.protocols.replies import refuse
from mcptwist.protocols.websocket import GOING_AWAY, WebSocketWire
from mcptwist.protocols.wshandshake import UPGRADE_HELP, check_handshake, opening_handshake
from mcptwist.protocols.wslimits import WebSocketCounters, WebSocketLimits
from mcptwist.protocols.wsplace import websocket_factory

if TYPE_CHECKING:
    from mcptwist.caller import Caller
    from mcptwist.protocols.request import Request

_TEXT = 1


class TurnedAway(Exception):
    """The client does not come in.

    :ivar code: what the WebSocket is closed with.
    :ivar reason: what the client is told.
    """

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class IDoorkeeper(Interface):
    """Hears what one client says before it is let in."""

    subprotocol = Attribute("What is chosen for that: a str.")
    longest = Attribute("Bytes that a message may have.")
    seconds = Attribute("How long the client may take.")
    too_late = Attribute("What the WebSocket is closed with then.")
    stay = Attribute("Seconds that it may stay once it is in.")
    ended = Attribute("What the WebSocket is closed with then.")

    def heard(text: bytes) -> tuple[bytes, bool]:
        """What to answer, and whether the client may come in.

        :raises TurnedAway: it may not.
        """

    def left() -> None:
        """Called once, when the client has come in or is gone."""


@implementer(IWireReader)
class _Nobody:
    """Reads messages where there is nobody yet."""

    def received(self, message: Message) -> None:
        """Called with each message."""

    def malformed(self, problem: ClientError) -> None:
        """Called with what was none."""

    def lost(self, reason: McpTwistError) -> None:
        """Called when the wire is gone."""


class VestibuleWire(WebSocketWire):
    """One client's connection.

    :param keeper: hears what it says first (:class:`IDoorkeeper`).
    :param enter: called when it may come in, with the wire: makes the client, or raises
        :class:`TurnedAway`.
    """

    def __init__(
        self,
        clock: IReactorTime,
        limits: WebSocketLimits,
        counters: WebSocketCounters,
        handshake: bytes,
        keeper: Any,
        enter: Callable[[VestibuleWire], Caller],
        told_gone: Callable[[WebSocketWire], None],
    ) -> None:
        super().__init__(_Nobody(), clock, limits, counters, handshake, told_gone=told_gone)
        self._keeper = keeper
        self._enter = enter
        self._subprotocol: str = keeper.subprotocol
        self._ended: int = keeper.ended
        self._until: Any = None
        self.maxFramePayloadSize = self.maxMessagePayloadSize = keeper.longest

    # --- what Autobahn calls ----------------------------------------------------------

    def onConnect(self, request: Any) -> str:
        """Called with the opening handshake: the sub-protocol to speak."""
        return self._subprotocol

    def onOpen(self) -> None:
        """Called when the connection is open."""
        super().onOpen()
        keeper = self._keeper
        self._until = self._later(keeper.seconds, partial(self._took_too_long, keeper))

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        """Called with each message."""
        keeper = self._keeper
        if keeper is None or isBinary or self.state != self.STATE_OPEN:
            super().onMessage(payload, isBinary)
            return
        try:
            answer, may_enter = keeper.heard(payload)
            if may_enter:
                self._let_in(self._enter(self))
        except TurnedAway as away:
            self.close(away.code, away.reason)
        else:
            self.sendFrame(opcode=_TEXT, payload=answer)

    def _fail_connection(self, code: int = GOING_AWAY, reason: str = "going away") -> None:
        """Called with what is no message that can be taken."""
        self._leave()
        super()._fail_connection(code, reason)

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        """Called when the connection is gone."""
        self._leave()
        super().onClose(wasClean, code, reason)

    # --- what the house asks ----------------------------------------------------------

    def close(
        self, code: int = GOING_AWAY, reason: str = "the session has ended"
    ) -> Deferred[None]:
        """Close in good order; whoever has not come in by now does not."""
        self._leave()
        return super().close(code, reason)

    # --- how --------------------------------------------------------------------------

    def _let_in(self, caller: Caller) -> None:
        keeper = self._keeper
        self._leave()
        self.maxFramePayloadSize = self.maxMessagePayloadSize = self._limits.message
        self._inbox.reader = caller
        self._told_flow = caller.told_flow
        caller.wire = self
        if self.meter.wire == WEBSOCKET:
            self.meter.caller = caller
        self._until = self._later(keeper.stay, self._stayed)

    def _took_too_long(self, keeper: Any) -> None:
        self.close(keeper.too_late, "the proof took too long")

    def _stayed(self) -> None:
        self.close(self._ended, "prove who you are once more")

    def _leave(self) -> None:
        """The doorkeeper has nothing more to do with it."""
        until, self._until = self._until, None
        if until is not None:
            until.cancel()
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.left()


class Vestibule:
    """Where WebSockets are opened for clients that nobody knows yet.

    :param clock: of pings and deadlines.
    :param limits: once they have come in.
    :ivar wires: those that came by here.
    """

    def __init__(
        self, clock: IReactorTime, limits: WebSocketLimits, counters: WebSocketCounters
    ) -> None:
        self.wires: set[WebSocketWire] = set()
        self._clock = clock
        self._limits = limits
        self._counters = counters
        self._factory = websocket_factory(clock, limits)

    def open(
        self,
        request: Request,
        make_keeper: Callable[[], Any],
        enter: Callable[[VestibuleWire], Caller],
    ) -> None:
        """Open a WebSocket, or say what is wrong with the request for one.

        :param make_keeper: makes its :class:`IDoorkeeper`.
        """
        try:
            check_handshake(request)
            keeper = make_keeper()
        except McpTwistError as problem:
            self._counters.refused += 1
            help_with = UPGRADE_HELP if problem.status == 426 else getattr(problem, "headers", ())
            refuse(request, problem, headers=help_with)
            return
        wire = VestibuleWire(
            self._clock,
            self._limits,
            self._counters,
            opening_handshake(request, keeper.subprotocol),
            keeper,
            enter,
            self.wires.discard,
        )
        wire.factory = self._factory
        meter = request.stream.connection.meter
        if meter.wire == HTTP1:
            meter.wire, wire.meter = WEBSOCKET, meter
        self.wires.add(wire)
        request.upgrade(wire)

    def close(self) -> list[Deferred[None]]:
        """The daemon stops: close all in good order."""
        return [wire.close(reason="the daemon stops") for wire in list(self.wires)]
