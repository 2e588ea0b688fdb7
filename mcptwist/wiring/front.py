"""The front of the house: the endpoints, the strict door behind each, and TLS around it."""

from __future__ import annotations

from collections.abc import Container, Mapping
from functools import partial
from typing import Any

from mcptwist import config as configuration
from mcptwist.auth.announcing import NAME
from mcptwist.auth.gatehouse import Gatehouse
from mcptwist.configuration.listening import LINES, encrypted, is_mutual
from mcptwist.daemon import Daemon
from mcptwist.protocols.bytestream import LineFactory
from mcptwist.protocols.cors import CrossOrigin
from mcptwist.protocols.h2limits import HTTP2Limits
from mcptwist.protocols.http1factory import HTTP1Factory
from mcptwist.protocols.limits import Counters, Limits
from mcptwist.protocols.linelimits import LineCounters, LineLimits
from mcptwist.protocols.listener import Listener
from mcptwist.protocols.pages import Tree, site_tree
from mcptwist.protocols.site import HostGuard, Site
from mcptwist.wiring.admission import public_pages
from mcptwist.wiring.encryption import encryption
from mcptwist.wiring.premises import Premises
from mcptwist.wiring.wires import PATHS, make_caller, make_places, only, shared_paths


class Front:
    """Where clients come in: every endpoint answers as the configuration says.

    :param gatehouse: who is let in, where keys are wanted.
    :param own: what the daemon tells of itself, beside the servers' places.
    """

    def __init__(
        self,
        daemon: Daemon,
        premises: Premises,
        gatehouse: Gatehouse | None,
        own: Mapping[bytes, Any],
    ) -> None:
        config = premises.config
        self._daemon = daemon
        self._premises = premises
        self._gatehouse = gatehouse
        self._own = own
        self._limits = _http_limits(config)
        self._guard = _guard(config)
        self._counters = daemon.counters["http"] = Counters()
        self._places = make_places(daemon, premises, gatehouse)
        self._encryption = encryption(premises, _http2_limits(config))
        if self._encryption is not None:
            self._encryption.watch(daemon)
        if self._encryption is not None and gatehouse is not None:
            gatehouse.doorstep.host_key = self._encryption.certificates.key_shown
            gatehouse.announcement = self._encryption.announcement

    def open(self) -> None:
        """Give the daemon its listeners; they listen when it starts."""
        config = self._premises.config
        shared = self._site(shared_paths(config), self._own)
        for entry in config.listen:
            if entry.startswith(LINES):
                self._daemon.listen(self._line_socket(entry.removeprefix(LINES)))
            else:
                self._serve(entry, shared)
        for name, wire in config.wires.items():
            alone = self._site(PATHS[name])
            for entry in wire.listen:
                self._serve(entry, alone, PATHS[name][0])

    def _site(self, wires: Container[bytes], more: Mapping[bytes, Any] | None = None) -> Site:
        """All that is reached by some wires."""
        daemon, reactor = self._daemon, self._premises.reactor
        places = only(self._places, wires)
        pages = {**self._announced(), **(more or {})}
        tree: Any = site_tree(daemon.gateway, places, daemon.health, daemon.ready, pages)
        cors = _cross_origin(self._premises.config.cors)
        site = Site(tree, self._guard, self._limits, self._counters, clock=reactor, cors=cors)
        if self._gatehouse is not None:
            gate: Any = self._gatehouse.gate(tree, public_pages(daemon))
            site.resource = gate
            site.told = self._gatehouse.objected
        return site

    def _announced(self) -> dict[bytes, Any]:
        """What is said of our keys, where everybody may come in."""
        if self._encryption is None or self._gatehouse is not None:
            return {}
        page = {NAME: self._encryption.announcement}
        return {b".well-known": Tree(page, "there is /.well-known/mcptwist-host-keys")}

    def _serve(self, entry: str, site: Site, only_wire: bytes = b"") -> None:
        """Answer HTTP on an endpoint."""
        reactor = self._premises.reactor
        is_encrypted, endpoint = encrypted(entry)
        factory = HTTP1Factory(site, reactor, self._limits)
        factory.turns_away = self._daemon.bans.turns_away
        around = None
        if is_encrypted and self._encryption is not None:
            around = partial(self._encryption.around, mutual=is_mutual(entry))
        self._daemon.listen(
            Listener(_private(endpoint), factory, reactor, around, only_wire.decode())
        )

    def _line_socket(self, endpoint: str) -> Listener:
        """A UNIX socket on which messages are lines; its own user's unless it says more."""
        limits = self._premises.config.limits
        bounds = LineLimits(limits.body_bytes, connections=limits.connections)
        view, reactor = self._daemon.gateway.whole, self._premises.reactor
        counters = self._daemon.counters.setdefault("socket", LineCounters())
        factory = LineFactory(
            lambda: make_caller(self._daemon, view, limits), reactor, bounds, counters
        )
        if self._gatehouse is not None:
            view = self._gatehouse.view(view)
            factory.admit = partial(self._gatehouse.local, view)
        return Listener(_private(endpoint), factory, reactor)


def _private(endpoint: str) -> str:
    """A UNIX socket is for the daemon's own user, unless it says otherwise itself."""
    if not endpoint.startswith("unix:") or ":mode=" in endpoint:
        return endpoint
    return f"{endpoint}:mode=600"


def _guard(config: configuration.Config) -> HostGuard:
    hosts = () if config.auth is None else config.auth.hosts()
    return HostGuard((*config.allowed_hosts, *hosts), config.allowed_origins)


def _cross_origin(cors: configuration.Cors) -> CrossOrigin:
    return CrossOrigin(cors.methods, cors.headers, cors.exposed_headers, cors.max_age)


def _http2_limits(config: configuration.Config) -> HTTP2Limits:
    http2 = config.http2
    return HTTP2Limits(
        streams=config.limits.streams_per_connection,
        stream_window=http2.stream_window,
        connection_window=http2.connection_window,
        backlog=http2.backlog_bytes,
        control=http2.control_bytes,
    )


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
