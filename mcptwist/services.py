"""The wiring diagram: a configuration becomes one service.

    Config → backends → gateway → concourse → site → listeners

:func:`make_daemon` builds all of it, from the servers behind to the endpoints in
front; nothing is opened before the service is started.
"""

from __future__ import annotations

import os
import random
import secrets
import time
from collections.abc import Callable, Container, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from twisted.application.internet import TimerService
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool

import mcptwist
from mcptwist import config as configuration
from mcptwist import logs
from mcptwist.auth.denials import CannotStart
from mcptwist.auth.gatehouse import Gatehouse, process_start
from mcptwist.auth.keydesk import Desk
from mcptwist.backend import POOL, Backend, BackendSettings
from mcptwist.caller import Caller
from mcptwist.catalog.gathering import Gathering, settings_of
from mcptwist.catalog.keptlists import KeptLists
from mcptwist.configuration.listening import LINES, encrypted, is_local
from mcptwist.configuration.serverconfig import (
    PythonServer,
    RemoteServer,
    ServerConfig,
    StdioServer,
)
from mcptwist.daemon import Daemon
from mcptwist.gateway import ServerView
from mcptwist.held import Held
from mcptwist.interfaces import IConnector, IView
from mcptwist.link import Deadlines
from mcptwist.patience import Patience, jitter_from
from mcptwist.protocols import adminsocket
from mcptwist.protocols.adminsocket import AdminSocket
from mcptwist.protocols.bytestream import LineFactory, LineLimits
from mcptwist.protocols.child import ChildLimits, Launcher
from mcptwist.protocols.cors import CrossOrigin
from mcptwist.protocols.hostcertificate import host_certificate, own_names, state_directory
from mcptwist.protocols.http1 import HTTP1Factory
from mcptwist.protocols.http2 import HTTP2Limits
from mcptwist.protocols.httpsse import HttpSse, HttpSseSettings
from mcptwist.protocols.inprocess import PythonConnector
from mcptwist.protocols.limits import Counters, Limits
from mcptwist.protocols.listener import Listener
from mcptwist.protocols.machine import LinuxMachine
from mcptwist.protocols.pages import Answering, Metrics, Places, Tree, site_tree
from mcptwist.protocols.remote import remote_connector
from mcptwist.protocols.secure import secured
from mcptwist.protocols.site import HostGuard, Site
from mcptwist.protocols.streamable import Concourse, StreamableHttp, StreamableSettings
from mcptwist.protocols.streams import StreamLimits
from mcptwist.protocols.tls import CertificateFiles, Certificates
from mcptwist.protocols.upstream import UpstreamLimits
from mcptwist.protocols.websocket import WebSocketCounters, WebSocketLimits, WebSocketPlace
from mcptwist.reloading import CannotReload, Reloading
from mcptwist.session import ANYONE, SessionTable
from mcptwist.supervisor import SupervisorSettings
from mcptwist.watching.builtin import Admin
from mcptwist.watching.metrics import CONTENT_TYPE, exposition
from mcptwist.watching.status import Survey
from mcptwist.watching.traffic import Traffic

IDENTITY = {"name": "mcptwist", "version": mcptwist.__version__}
_KEY_BYTES = 32
_ADMIN_LINKS = 8
_RENEWED_WITHIN = 10.0
"""Seconds within which a renewed certificate is found."""
_OF_START = 0.9
"""The part of ``start_timeout`` after which a remote server's own error is told."""


def make_daemon(
    config: configuration.Config, reactor: Any, environ: Mapping[str, str] = os.environ
) -> Daemon:
    """The whole daemon, ready to be started.

    :param config: checked values.
    :param reactor: everything that waits, listens or launches goes by it.
    :param environ: from which children inherit what their configuration names.
    :raises CannotStart: it would let in whom it should not; the message tells what to do.
    """
    held, traffic = Held(reactor, secrets.token_bytes), Traffic()
    backends = {
        server.name: make_backend(server, config.limits, reactor, environ, held, traffic)
        for server in config.servers
    }
    kept = _kept_lists(config, reactor, environ)
    gateway = Gathering(config, backends, reactor, IDENTITY, kept).gateway()
    _refuse_exposure(config)
    sessions = make_sessions(config.limits, reactor)
    concourse = Concourse(reactor, sessions, _streamable(config.limits))
    daemon = Daemon(gateway, concourse, reactor, config.limits.drain)
    if kept is not None:
        kept.setServiceParent(daemon)
    daemon.traffic, daemon.held = traffic, held
    limits = _http_limits(config)
    hosts = () if config.auth is None else config.auth.hosts()
    guard = HostGuard((*config.allowed_hosts, *hosts), config.allowed_origins)
    gatehouse = _gatehouse(daemon, config, reactor, environ)
    places = _places(daemon, config, reactor, gatehouse)
    survey = Survey(daemon, reactor, LinuxMachine(), pid=os.getpid, now=time.time)
    own = _own_pages(daemon, survey, config, reactor, environ, gatehouse)
    counters = Counters()
    daemon.counters["http"] = counters

    def site(wires: Container[bytes], more: Mapping[bytes, Any] | None = None) -> Site:
        some = _only(places, wires)
        tree: Any = site_tree(gateway, some, daemon.health, daemon.ready, more)
        if gatehouse is not None:
            tree = gatehouse.gate(tree, _public(daemon))
        cors = _cross_origin(config.cors)
        return Site(tree, guard, limits, counters, clock=reactor, cors=cors)

    secure = _secure(daemon, config, reactor, environ)

    def serve(entry: str, answers: Site, only: bytes = b"") -> None:
        is_encrypted, endpoint = encrypted(entry)
        factory = HTTP1Factory(answers, reactor, limits)
        factory.turns_away = daemon.bans.turns_away
        around = secure if is_encrypted else None
        daemon.listen(Listener(endpoint, factory, reactor, around, only.decode()))

    shared = site(_shared(config), own)
    for entry in config.listen:
        if entry.startswith(LINES):
            daemon.listen(_socket(entry.removeprefix(LINES), daemon, config, reactor, gatehouse))
        else:
            serve(entry, shared)
    for name, wire in config.wires.items():
        alone = site(_PATHS[name])
        for entry in wire.listen:
            serve(entry, alone, _PATHS[name][0])
    return daemon


def _kept_lists(
    config: configuration.Config, reactor: Any, environ: Mapping[str, str]
) -> KeptLists | None:
    """Where the last lists of servers are kept, unless they are not to be."""
    somewhere = any(environ.get(n) for n in ("STATE_DIRECTORY", "XDG_STATE_HOME", "HOME"))
    if not config.catalog.keep_lists or not somewhere:
        return None

    def in_thread(work: Callable[..., None], *args: Any) -> Deferred[None]:
        return deferToThreadPool(reactor, reactor.getThreadPool(), work, *args)

    bounds = settings_of(config.catalog).bounds
    directory = state_directory(environ) / "lists"
    return KeptLists(directory, reactor, time.time, in_thread, config.catalog.keep_for, bounds)


def _own_pages(
    daemon: Daemon,
    survey: Survey,
    config: configuration.Config,
    reactor: Any,
    environ: Mapping[str, str],
    gatehouse: Gatehouse | None,
) -> dict[bytes, Any]:
    """What the daemon tells of itself over HTTP; and its own server, on a socket of its user's.

    Without keys nobody knows who comes to a URL, so it is administered by the socket alone.
    """
    desk = _key_desk(daemon, config, environ, gatehouse)
    reload = _reload(daemon, config, reactor, environ)
    backend = make_admin_backend(daemon, survey, reactor, desk, reload)
    view = ServerView(backend)
    where = adminsocket.path_for(config.admin_socket, config.listen, environ, os.getpid())
    if where is not None:
        # Those who administer it may still ask while it drains.
        begin = daemon.concourse.sessions.begin
        factory = LineFactory(lambda: Caller(view, begin), reactor)
        daemon.administer(AdminSocket(where, factory, reactor, backend.stop))
    metrics = Metrics(lambda: exposition(survey.status("*")), CONTENT_TYPE)
    if gatehouse is None:
        return {b"metrics": metrics}
    metrics.admit = gatehouse.admit_watcher
    seen = gatehouse.view(view)
    place = StreamableHttp(daemon.concourse, seen, gatehouse.principal, gatehouse.admit_admin)
    admin = Tree({b"mcp": place}, "there is /admin/mcp")
    return {b"admin": admin, b"metrics": metrics}


def _key_desk(
    daemon: Daemon,
    config: configuration.Config,
    environ: Mapping[str, str],
    gatehouse: Gatehouse | None,
) -> Desk | None:
    """Where keys are looked up and revoked, if there are any."""
    if gatehouse is None or config.auth is None:
        return None

    def identities() -> list[str]:
        return [session.principal for session in daemon.concourse.sessions]

    _, revoked = config.auth.paths(environ)
    return Desk(gatehouse.keyring, gatehouse.files, revoked, identities, time.time)


def _reload(
    daemon: Daemon, config: configuration.Config, reactor: Any, environ: Mapping[str, str]
) -> Callable[[], list[str]]:
    """What reads the configuration again."""

    def reread() -> configuration.Loaded:
        if daemon.reread is None:
            raise CannotReload("this daemon was not started from a configuration file")
        return daemon.reread()

    def connector(server: ServerConfig) -> IConnector:
        return make_connector(server, config.limits, reactor, environ)

    return Reloading(config, daemon.gateway, reread, connector).reload


def make_admin_backend(
    daemon: Daemon,
    survey: Survey,
    reactor: Any,
    desk: Desk | None = None,
    reload: Callable[[], list[str]] | None = None,
) -> Backend:
    """The daemon itself, as a server that can be asked."""
    admin = Admin(survey, reactor, daemon.journal, logs.set_level, desk, reload)
    connector = PythonConnector(admin.server, reactor, "the daemon itself")
    # A watcher that is slow holds its link back, and should not hold others'.
    settings = BackendSettings(
        POOL, _ADMIN_LINKS, supervision=SupervisorSettings(deadlines=Deadlines(None, None))
    )
    held = Held(reactor, secrets.token_bytes)
    return Backend(admin.server.name, connector, reactor, Patience, IDENTITY, held, settings)


class Exposed(CannotStart):
    """The daemon would be open to a network, and would not know who is calling."""


def _refuse_exposure(config: configuration.Config) -> None:
    """:raises Exposed: it would listen on more than this machine without keys."""
    exposed = [entry for entry in config.endpoints.values() if not is_local(entry)]
    if exposed and config.auth is None:
        raise Exposed(f"{exposed[0]} is open to the network, and there is no [auth] section")


def _gatehouse(
    daemon: Daemon, config: configuration.Config, reactor: Any, environ: Mapping[str, str]
) -> Gatehouse | None:
    """What stands before the daemon, where keys are wanted."""
    if config.auth is None:
        return None
    gatehouse = Gatehouse(
        config.auth,
        reactor,
        secrets.token_bytes,
        born=process_start(),
        environ=environ,
        monotonic=time.monotonic,
    )
    gatehouse.presence.sessions = daemon.concourse.sessions
    gatehouse.setServiceParent(daemon)
    return gatehouse


def _public(daemon: Daemon) -> dict[bytes, Any]:
    """What anybody may ask: whether the daemon is well, and not what it serves."""

    def ready() -> tuple[int, Any]:
        status, report = daemon.ready()
        return status, {"status": report["status"]}

    return {b"health": Answering(daemon.health), b"ready": Answering(ready)}


def _socket(
    endpoint: str,
    daemon: Daemon,
    config: configuration.Config,
    reactor: Any,
    gatehouse: Gatehouse | None,
) -> Listener:
    """A UNIX socket on which messages are lines; for the daemon's own user unless it says."""
    bounds = LineLimits(config.limits.body_bytes, connections=config.limits.connections)
    view = daemon.gateway.whole
    if gatehouse is not None:
        view = gatehouse.view(view)
    factory = LineFactory(lambda: make_caller(daemon, view, config.limits), reactor, bounds)
    private = endpoint if ":mode=" in endpoint else f"{endpoint}:mode=600"
    return Listener(private, factory, reactor)


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


def _secure(
    daemon: Daemon, config: configuration.Config, reactor: Any, environ: Mapping[str, str]
) -> Callable[[HTTP1Factory], Any]:
    """What puts TLS around the connections of an endpoint; all show the same certificates."""
    if not any(encrypted(entry)[0] for entry in config.endpoints.values()):
        return lambda http: http
    tls12 = config.tls.min_version == "1.2"
    certificates = Certificates(lambda: _certificate_files(config, environ), tls12, time.time)
    daemon.certificates = certificates
    watch = TimerService(_RENEWED_WITHIN, certificates.reload_if_changed)
    watch.clock = reactor
    watch.setServiceParent(daemon)
    bounds = HTTP2Limits(streams=config.limits.streams_per_connection)

    def secure(http: HTTP1Factory) -> Any:
        certificates.load()
        return secured(http, certificates, bounds, config.http.handshake_timeout)

    return secure


def _certificate_files(
    config: configuration.Config, environ: Mapping[str, str]
) -> list[CertificateFiles]:
    """Those that were configured, or the one we make ourselves."""
    tls = config.tls
    if tls.certificate is None or tls.key is None:
        directory = Path(tls.directory) if tls.directory else state_directory(environ)
        return [host_certificate(directory, own_names(config.allowed_hosts), time.time())]
    pairs = [(tls.certificate, tls.key), *((other.certificate, other.key) for other in tls.others)]
    return [CertificateFiles(*pair) for pair in pairs]


#: By which parts of URLs each wire is reached.
_PATHS: dict[str, tuple[bytes, ...]] = {
    "streamable_http": (b"mcp",),
    "websocket": (b"ws",),
    "sse": (b"sse", b"messages"),
}


def _shared(config: configuration.Config) -> set[bytes]:
    """What the endpoints have that all wires share."""
    return {path for name, wire in config.wires.items() if wire.shared for path in _PATHS[name]}


def _only(places: Places, wires: Container[bytes]) -> Places:
    return lambda view: {name: at for name, at in places(view).items() if name in wires}


def _websocket_limits(section: configuration.WebSocket) -> WebSocketLimits:
    return WebSocketLimits(
        message=section.message_bytes,
        message_time=section.message_time,
        backlog=section.backlog_bytes,
        ping=section.ping,
        ping_timeout=section.ping_timeout,
    )


def _places(
    daemon: Daemon, config: configuration.Config, reactor: Any, gatehouse: Gatehouse | None
) -> Places:
    """What clients of a view come to: one place for each wire."""
    concourse, limits = daemon.concourse, config.limits
    bounds, counters = _websocket_limits(config.websocket), WebSocketCounters()
    daemon.counters["websocket"] = counters
    sse = HttpSseSettings(limits.body_bytes, config.sse.streams)

    def caller(view: IView) -> Callable[[Any], Caller]:
        if gatehouse is None:
            return lambda request: make_caller(daemon, view, limits)
        return partial(_known_caller, daemon, gatehouse, view, limits)

    principal = gatehouse.principal if gatehouse is not None else lambda _: ANYONE
    admit = gatehouse.admit if gatehouse is not None else None

    def places(view: IView) -> dict[bytes, Any]:
        if gatehouse is not None:
            view = gatehouse.view(view)
        websockets = WebSocketPlace(caller(view), reactor, bounds, counters)
        events = HttpSse(caller(view), make_key, concourse.pulse, sse, principal=principal)
        daemon.closing += (websockets.close, events.close)
        return {
            b"mcp": StreamableHttp(concourse, view, principal, admit),
            b"ws": websockets,
            b"sse": events.listening,
            b"messages": events.speaking,
        }

    return places


def _known_caller(
    daemon: Daemon, gatehouse: Gatehouse, view: IView, limits: configuration.Limits, request: Any
) -> Caller:
    """A client on a wire of its own, which *request* opened."""
    seen = gatehouse.connection(view, request)
    caller = make_caller(daemon, seen, limits, gatehouse.principal(request))
    gatehouse.presence.connected(caller)
    return caller


def make_backend(
    server: ServerConfig,
    limits: configuration.Limits,
    reactor: Any,
    environ: Mapping[str, str],
    held: Held,
    traffic: Traffic | None = None,
) -> Backend:
    """One server behind the daemon."""
    deadlines = Deadlines(
        server.timeout, server.timeout_max, server.max_in_flight or limits.in_flight_per_server
    )
    settings = BackendSettings(
        server.scope,
        server.pool,
        server.lazy,
        ("legacy", "modern") if server.era == "auto" else (server.era,),
        SupervisorSettings(server.start_timeout, deadlines=deadlines),
        revive=isinstance(server, RemoteServer),
    )
    connector = make_connector(server, limits, reactor, environ)
    return Backend(
        server.name, connector, reactor, _patience(server), IDENTITY, held, settings, traffic
    )


def make_connector(
    server: ServerConfig,
    limits: configuration.Limits,
    reactor: Any,
    environ: Mapping[str, str],
) -> IConnector:
    """The way to a server, by its kind."""
    if isinstance(server, StdioServer):
        bounds = ChildLimits(
            limits.line_bytes,
            limits.stderr_lines,
            limits.stderr_bytes,
            server.stop_grace,
            server.stop_grace,
        )
        return Launcher(
            (server.command, *server.args),
            server.environment(environ),
            server.cwd,
            reactor=reactor,
            name=server.name,
            limits=bounds,
            secrets=server.secrets(),
        )
    if isinstance(server, PythonServer):
        return PythonConnector.named(server.python, reactor)
    return remote_connector(
        server.url,
        server.wire,
        reactor,
        server.headers,
        description=server.target,
        secrets=server.secrets(),
        limits=UpstreamLimits(
            posts=server.max_in_flight or UpstreamLimits().posts,
            opening=server.start_timeout * _OF_START,
        ),
        ca=server.ca,
    )


def make_key() -> str:
    """A new unguessable key, fit for a URL."""
    return secrets.token_urlsafe(_KEY_BYTES)


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


def _streamable(limits: configuration.Limits) -> StreamableSettings:
    streams = StreamLimits(
        keep_alive=limits.keepalive,
        log_events=limits.event_log_events,
        log_bytes=limits.event_log_bytes,
        streams=limits.streams_per_session,
    )
    return StreamableSettings(limits.body_bytes, limits.batch, streams)


def _cross_origin(cors: configuration.Cors) -> CrossOrigin:
    return CrossOrigin(cors.methods, cors.headers, cors.exposed_headers, cors.max_age)


def _http_limits(config: configuration.Config) -> Limits:
    limits, http = config.limits, config.http
    return Limits(
        head=limits.header_bytes,
        body=limits.body_bytes,
        connections=limits.connections,
        head_time=http.header_timeout,
        body_time=http.body_timeout,
        idle_time=http.idle_timeout,
        write_time=http.write_timeout,
    )
