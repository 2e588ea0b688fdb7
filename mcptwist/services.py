"""The wiring diagram: a configuration becomes one service.

    servers → gateway → concourse → wires → site → listeners

:func:`make_daemon` builds all of it, from the servers behind to the endpoints in
front; nothing is opened before the service is started.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Mapping
from typing import Any

from mcptwist.catalog.gathering import Gathering
from mcptwist.config import Config
from mcptwist.daemon import Daemon
from mcptwist.eras.held import Held
from mcptwist.errors import HostNotTrusted
from mcptwist.server import Server
from mcptwist.watching.traffic import Traffic
from mcptwist.wiring.administration import own_pages
from mcptwist.wiring.admission import make_gatehouse, refuse_exposure
from mcptwist.wiring.front import Front
from mcptwist.wiring.premises import IDENTITY, Premises
from mcptwist.wiring.servers import kept_lists, make_backends, with_own_servers
from mcptwist.wiring.tracing import make_exporting
from mcptwist.wiring.wires import make_concourse


def make_daemon(
    config: Config,
    reactor: Any,
    environ: Mapping[str, str] = os.environ,
    distrusted: Callable[[HostNotTrusted], object] = lambda problem: None,
    own: Mapping[str, Server] | None = None,
) -> Daemon:
    """The whole daemon, ready to be started.

    :param config: checked values.
    :param reactor: everything that waits, listens or launches goes by it.
    :param environ: from which children inherit what their configuration names.
    :param distrusted: told when a server elsewhere shows a key that is not to be believed.
    :param own: servers of the application's own, by name, to be served beside those of *config*.
    :return: a service; it listens once it is started, and drains when it is stopped.
    :raises ValueError: a name of *own* is no name for a server, or taken.
    :raises CannotStart: it would let in whom it should not; the message tells what to do.
    """
    refuse_exposure(config)
    config = with_own_servers(config, own or {})
    premises = Premises(config, reactor, environ, distrusted, own=own or {})
    daemon = _with_servers(premises)
    gatehouse = make_gatehouse(daemon, premises)
    pages = own_pages(daemon, premises, gatehouse)
    Front(daemon, premises, gatehouse, pages).open()
    return daemon


def _with_servers(premises: Premises) -> Daemon:
    """A daemon with all that is behind it, and no way in yet."""
    config, reactor = premises.config, premises.reactor
    limits, traffic = config.limits, Traffic()
    held = Held(reactor, secrets.token_bytes, limits.held_calls, limits.held_call_wait)
    backends = make_backends(premises, held, traffic)
    kept = kept_lists(premises)
    gathering = Gathering(config, backends, reactor, IDENTITY, kept)
    concourse = make_concourse(config.limits, reactor)
    daemon = Daemon(gathering.gateway, concourse, reactor, config.limits.drain)
    daemon.traffic, daemon.held, daemon.gathering = traffic, held, gathering
    daemon.counters["http2_client"] = premises.http2_client
    exporting = make_exporting(premises.environ, reactor)
    if exporting is not None:
        exporting.setServiceParent(daemon)
        traffic.trace(exporting.tracing)
    if kept is not None:
        kept.setServiceParent(daemon)
    return daemon
