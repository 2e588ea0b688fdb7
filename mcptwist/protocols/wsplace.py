"""The URL where WebSockets are opened."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from autobahn.twisted.websocket import WebSocketServerFactory
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.web.server import NOT_DONE_YET

from mcptwist.caller import Caller
from mcptwist.errors import McpTwistError
from mcptwist.protocols.meter import HTTP1, WEBSOCKET
from mcptwist.protocols.pages import Endpoint
from mcptwist.protocols.replies import refuse
from mcptwist.protocols.timers import Timers
from mcptwist.protocols.websocket import WebSocketWire, check_speed
from mcptwist.protocols.wshandshake import UPGRADE_HELP, check_handshake, opening_handshake
from mcptwist.protocols.wslimits import WebSocketCounters, WebSocketLimits, protocol_options

if TYPE_CHECKING:
    from mcptwist.protocols.request import Request

__all__ = ["WebSocketPlace", "websocket_factory"]


class WebSocketPlace(Endpoint):
    """The URL where WebSockets are opened.

    :param make_caller: makes the client of a new connection, from its request.
    :param clock: of pings and deadlines.
    :ivar wires: those open now.
    """

    def __init__(
        self,
        make_caller: Callable[[Request], Caller],
        clock: IReactorTime,
        limits: WebSocketLimits | None = None,
        counters: WebSocketCounters | None = None,
    ) -> None:
        check_speed()
        self.wires: set[WebSocketWire] = set()
        self.counters = counters or WebSocketCounters()
        self._make_caller = make_caller
        self._clock = clock
        self._limits = limits or WebSocketLimits()
        self._factory = websocket_factory(clock, self._limits)

    def render(self, request: Request) -> int:
        """Open a WebSocket, or say what is wrong with the request for one."""
        try:
            check_handshake(request)
        except McpTwistError as problem:
            self.counters.refused += 1
            refuse(request, problem, headers=UPGRADE_HELP if problem.status == 426 else ())
        else:
            self._open(request)
        return NOT_DONE_YET

    def _open(self, request: Request) -> None:
        caller = self._make_caller(request)
        wire = WebSocketWire(
            caller,
            self._clock,
            self._limits,
            self.counters,
            opening_handshake(request),
            caller.told_flow,
            self.wires.discard,
        )
        caller.wire = wire
        meter = request.stream.connection.meter
        if meter.wire == HTTP1:  # on HTTP/2 the connection is not the client's alone
            meter.wire, meter.caller, wire.meter = WEBSOCKET, caller, meter
        wire.factory = self._factory
        self.wires.add(wire)
        request.upgrade(wire)

    def adopt(self, request: Request) -> Caller:
        """A client for a WebSocket that *request* has opened elsewhere, for this place."""
        return self._make_caller(request)

    def close(self) -> list[Deferred[None]]:
        """The daemon stops: close all in good order."""
        return [wire.close(reason="the daemon stops") for wire in list(self.wires)]


def websocket_factory(clock: IReactorTime, limits: WebSocketLimits) -> WebSocketServerFactory:
    """What Autobahn takes its settings from."""
    factory = WebSocketServerFactory(reactor=clock)
    factory.server = None
    factory.setProtocolOptions(**protocol_options(limits))
    factory._batched_timer = Timers(clock)
    return factory
