"""The servers behind: each one's wire, its supervision, and all of them gathered."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool

from mcptwist.auth.asking.identity import ask_nobody
from mcptwist.backend import Backend, BackendSettings
from mcptwist.catalog.gathering import settings_of
from mcptwist.catalog.keptlists import KeptLists
from mcptwist.config import Config, Http2Client
from mcptwist.configuration.described import described
from mcptwist.configuration.reach import WITH_PERSON
from mcptwist.configuration.serverconfig import (
    PythonServer,
    RemoteServer,
    ServerConfig,
    StdioServer,
)
from mcptwist.configuration.servernames import check_name
from mcptwist.configuration.settings import Ledger
from mcptwist.eras.held import Held
from mcptwist.eras.leases import LeaseSettings
from mcptwist.interfaces import IConnector
from mcptwist.link import Deadlines
from mcptwist.patience import Patience, jitter_from
from mcptwist.protocols.child import ChildLimits, Launcher
from mcptwist.protocols.h2limits import HTTP2ClientLimits
from mcptwist.protocols.hostcertificate import state_directory
from mcptwist.protocols.inprocess import PythonConnector
from mcptwist.protocols.upstream import UpstreamLimits
from mcptwist.server import Server
from mcptwist.supervisor import SupervisorSettings
from mcptwist.watching.traffic import Traffic
from mcptwist.wiring.premises import IDENTITY, Premises
from mcptwist.wiring.reaching import way_to

_OF_START = 0.9
"""The part of ``start_timeout`` after which a remote server's own error is told."""


def make_backends(premises: Premises, held: Held, traffic: Traffic) -> dict[str, Backend]:
    """Every configured server, by name; none is started."""
    servers = premises.config.servers
    return {server.name: make_backend(server, premises, held, traffic) for server in servers}


def make_backend(
    server: ServerConfig, premises: Premises, held: Held, traffic: Traffic | None = None
) -> Backend:
    """One server behind the daemon."""
    limits = premises.config.limits
    deadlines = Deadlines(
        server.timeout,
        server.timeout_max,
        server.max_in_flight or limits.in_flight_per_server,
        listens=limits.listens_per_server,
    )
    settings = BackendSettings(
        server.scope,
        server.pool,
        server.lazy,
        ("legacy", "modern") if server.era == "auto" else (server.era,),
        SupervisorSettings(_start_timeout(server), deadlines=deadlines),
        revive=isinstance(server, RemoteServer),
        leases=LeaseSettings(
            limits.call_processes, limits.call_process_idle, limits.call_process_yield
        ),
    )
    connector = make_connector(server, premises)
    backend = Backend(
        server.name,
        connector,
        premises.reactor,
        _patience(server),
        IDENTITY,
        held,
        settings,
        traffic,
    )
    backend.described = described(server)
    return backend


def _start_timeout(server: ServerConfig) -> float:
    """Seconds; more where a person may have to log in first."""
    may_ask = isinstance(server, RemoteServer) and server.reach.may_ask
    return server.start_timeout + (WITH_PERSON if may_ask else 0)


def with_own_servers(config: Config, own: Mapping[str, Server]) -> Config:
    """The configuration with servers that the application around us has made, by their names.

    :raises ValueError: a name is none for a server, or taken.
    """
    ledger = Ledger({})
    for name in own:
        check_name(ledger.place(name), name)
        if config.server(name) is not None:
            ledger.place(name).mistake("is configured already", "another name")
    if ledger.mistakes:
        raise ValueError("; ".join(map(str, ledger.mistakes)))
    added = [PythonServer(name=name, python="the application's own") for name in own]
    return msgspec.structs.replace(config, servers=(*config.servers, *added))


def make_connector(server: ServerConfig, premises: Premises) -> IConnector:
    """The way to a server, by its kind."""
    if isinstance(server, StdioServer):
        return _launcher(server, premises)
    if isinstance(server, PythonServer):
        own = premises.own.get(server.name)
        if own is not None:
            return PythonConnector(own, premises.reactor, f"the application's {server.name}")
        return PythonConnector.named(server.python, premises.reactor)
    return way_to(
        server.url,
        premises.reactor,
        server.headers,
        server.reach,
        premises.environ,
        wire=server.wire,
        ask=ask_nobody,
        distrusted=premises.distrusted,
        description=server.target,
        secrets=server.secrets(),
        limits=UpstreamLimits(
            posts=server.max_in_flight or UpstreamLimits().posts,
            opening=server.start_timeout * _OF_START,
        ),
        http2=_http2_limits(premises.config.http2_client, server.http2),
        counters=premises.http2_client,
    )


def _http2_limits(http2: Http2Client, offered: bool) -> HTTP2ClientLimits:
    return HTTP2ClientLimits(
        spoken=http2.spoken and offered,
        streams=http2.streams,
        waiting=http2.waiting,
        stream_window=http2.stream_window,
        connection_window=http2.connection_window,
        fields=http2.header_bytes,
        control=http2.control_bytes,
        replay=http2.replay_bytes,
        attempts=http2.attempts,
        connect=http2.connect_timeout,
        idle=http2.idle_timeout,
        ping=http2.ping,
        pong=http2.ping_timeout,
        http1=http2.http1_time,
        farewell=http2.farewell_timeout,
    )


def _launcher(server: StdioServer, premises: Premises) -> Launcher:
    limits = premises.config.limits
    bounds = ChildLimits(
        limits.line_bytes,
        limits.stderr_lines,
        limits.stderr_bytes,
        server.stop_grace,
        server.stop_grace,
    )
    return Launcher(
        (server.command, *server.args),
        server.environment(premises.environ),
        server.cwd,
        reactor=premises.reactor,
        name=server.name,
        limits=bounds,
        secrets=server.secrets(),
    )


def _patience(server: ServerConfig) -> Callable[[], Patience]:
    restart = server.restart
    breaker = restart.breaker
    return lambda: Patience(
        restart.backoff_min,
        restart.backoff_max,
        jitter=jitter_from(random.random),
        reset_after=restart.reset_after,
        breaker_starts=breaker.starts if breaker else 0,
        breaker_window=breaker.within if breaker else 0.0,
        breaker_open_for=breaker.open_for if breaker else 0.0,
        policy=restart.policy,
    )


def kept_lists(premises: Premises) -> KeptLists | None:
    """Where the last lists of servers are kept, unless they are not to be."""
    catalog, environ, reactor = premises.config.catalog, premises.environ, premises.reactor
    somewhere = any(environ.get(n) for n in ("STATE_DIRECTORY", "XDG_STATE_HOME", "HOME"))
    if not catalog.keep_lists or not somewhere:
        return None

    def in_thread(work: Callable[..., None], *args: Any) -> Deferred[None]:
        return deferToThreadPool(reactor, reactor.getThreadPool(), work, *args)

    bounds = settings_of(catalog).bounds
    directory = state_directory(environ) / "lists"
    return KeptLists(directory, reactor, time.time, in_thread, catalog.keep_for, bounds)
