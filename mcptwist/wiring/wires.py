"""The wires that clients come by: one place for each, in front of what they came for."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Container
from functools import partial
from typing import Any

from mcptwist import config as configuration
from mcptwist.auth.gatehouse import Gatehouse
from mcptwist.caller import Caller
from mcptwist.daemon import Daemon
from mcptwist.interfaces import IView
from mcptwist.protocols.httpsse import HttpSse, HttpSseSettings
from mcptwist.protocols.pages import Places
from mcptwist.protocols.streamable import Concourse, StreamableHttp, StreamableSettings
from mcptwist.protocols.streams import StreamLimits
from mcptwist.protocols.vestibule import Vestibule
from mcptwist.protocols.wslimits import WebSocketCounters, WebSocketLimits
from mcptwist.protocols.wsplace import WebSocketPlace
from mcptwist.session import ANYONE
from mcptwist.sessiontable import SessionTable
from mcptwist.wiring.premises import Premises

PATHS: dict[str, tuple[bytes, ...]] = {
    "streamable_http": (b"mcp",),
    "websocket": (b"ws",),
    "sse": (b"sse", b"messages"),
}
"""By which parts of URLs each wire is reached."""

_KEY_BYTES = 32


def make_concourse(limits: configuration.Limits, reactor: Any) -> Concourse:
    """Where Streamable HTTP and all sessions live."""
    return Concourse(reactor, make_sessions(limits, reactor), _streamable(limits))


def make_sessions(limits: configuration.Limits, reactor: Any) -> SessionTable:
    """The table of legacy sessions."""
    return SessionTable(
        reactor,
        make_key,
        limits.sessions,
        limits.session_idle,
        limits.in_flight_per_session,
        limits.session_age,
    )


def make_key() -> str:
    """A new unguessable key, fit for a URL."""
    return secrets.token_urlsafe(_KEY_BYTES)


def _streamable(limits: configuration.Limits) -> StreamableSettings:
    streams = StreamLimits(
        keep_alive=limits.keepalive,
        log_events=limits.event_log_events,
        log_bytes=limits.event_log_bytes,
        streams=limits.streams_per_session,
    )
    return StreamableSettings(limits.body_bytes, limits.batch, streams)


def shared_paths(config: configuration.Config) -> set[bytes]:
    """What the endpoints have that all wires share."""
    return {path for name, wire in config.wires.items() if wire.shared for path in PATHS[name]}


def only(places: Places, wires: Container[bytes]) -> Places:
    """Of the places of a view, those of some wires."""
    return lambda view: {name: at for name, at in places(view).items() if name in wires}


def make_places(daemon: Daemon, premises: Premises, gatehouse: Gatehouse | None) -> Places:
    """What clients of a view come to: one place for each wire."""
    concourse, config = daemon.concourse, premises.config
    bounds, counters = _websocket_limits(config.websocket), WebSocketCounters()
    daemon.counters["websocket"] = counters
    sse = HttpSseSettings(config.limits.body_bytes, config.sse.streams)
    if gatehouse is not None:
        gatehouse.vestibule = Vestibule(premises.reactor, bounds, counters)
        daemon.closing += (gatehouse.vestibule.close,)
    principal = gatehouse.principal if gatehouse is not None else lambda _: ANYONE
    admit = gatehouse.admit if gatehouse is not None else lambda _, asked: ANYONE

    def places(view: IView) -> dict[bytes, Any]:
        if gatehouse is not None:
            view = gatehouse.view(view)
        foreign = concourse.sessions.foreign
        opened = _caller_of(daemon, view, config.limits, gatehouse)
        listening = _caller_of(daemon, view, config.limits, gatehouse, proves_once=False)
        websockets = WebSocketPlace(opened, premises.reactor, bounds, counters)
        events = HttpSse(listening, make_key, concourse.pulse, sse, principal, foreign, admit)
        daemon.closing += (websockets.close, events.close)
        return {
            b"mcp": StreamableHttp(concourse, view, principal, admit),
            b"ws": websockets,
            b"sse": events.listening,
            b"messages": events.speaking,
        }

    return places


def _websocket_limits(section: configuration.WebSocket) -> WebSocketLimits:
    return WebSocketLimits(
        message=section.message_bytes,
        message_time=section.message_time,
        backlog=section.backlog_bytes,
        ping=section.ping,
        ping_timeout=section.ping_timeout,
    )


def _caller_of(
    daemon: Daemon,
    view: IView,
    limits: configuration.Limits,
    gatehouse: Gatehouse | None,
    proves_once: bool = True,
) -> Callable[[Any], Caller]:
    """What makes a client of the request that opened its wire.

    :param proves_once: whether that request alone says what the client may do, not each message.
    """
    if gatehouse is None:
        return lambda request: make_caller(daemon, view, limits)
    return partial(_known_caller, daemon, gatehouse, view, limits, proves_once)


def make_caller(
    daemon: Daemon, view: IView, limits: configuration.Limits, principal: str = ANYONE
) -> Caller:
    """A client on a wire of its own."""
    return Caller(
        view,
        daemon.concourse.sessions.begin,
        principal,
        in_flight=limits.in_flight_per_session,
        draining=lambda: daemon.concourse.draining,
    )


def _known_caller(
    daemon: Daemon,
    gatehouse: Gatehouse,
    view: IView,
    limits: configuration.Limits,
    proves_once: bool,
    request: Any,
) -> Caller:
    """A client on a wire of its own, which *request* opened."""
    seen = gatehouse.connection(view, request) if proves_once else view
    caller = make_caller(daemon, seen, limits, gatehouse.principal(request))
    gatehouse.presence.connected(caller, request.principal)
    return caller
