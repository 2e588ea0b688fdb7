"""How the daemon is watched and steered: its own server, and what it tells over HTTP."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable
from typing import Any

import msgspec

from mcptwist import logs
from mcptwist.auth.gatehouse import Gatehouse
from mcptwist.auth.keydesk import Desk
from mcptwist.backend import POOL, Backend, BackendSettings
from mcptwist.caller import Caller
from mcptwist.config import Loaded
from mcptwist.configuration.serverconfig import ServerConfig
from mcptwist.daemon import Daemon
from mcptwist.eras.held import Held
from mcptwist.errors import Draining
from mcptwist.gateway import ServerView
from mcptwist.interfaces import IConnector
from mcptwist.link import Deadlines
from mcptwist.patience import Patience
from mcptwist.protocols import adminsocket
from mcptwist.protocols.adminsocket import AdminSocket
from mcptwist.protocols.bytestream import LineFactory
from mcptwist.protocols.inprocess import PythonConnector
from mcptwist.protocols.linelimits import LineCounters
from mcptwist.protocols.machine import LinuxMachine
from mcptwist.protocols.pages import Metrics, Tree
from mcptwist.protocols.streamable import StreamableHttp
from mcptwist.reloading import CannotReload, Reloading
from mcptwist.supervisor import SupervisorSettings
from mcptwist.watching.builtin import Admin
from mcptwist.watching.metrics import CONTENT_TYPE, exposition
from mcptwist.watching.survey import Survey
from mcptwist.wiring.admission import make_desk
from mcptwist.wiring.premises import IDENTITY, Premises
from mcptwist.wiring.servers import make_backend, make_connector, with_own_servers

_LINKS = 8
"""How many may be served by the daemon's own server before they share a link."""


def own_pages(daemon: Daemon, premises: Premises, gatehouse: Gatehouse | None) -> dict[bytes, Any]:
    """What the daemon tells of itself over HTTP; and its own server, on a socket of its user's.

    Without keys nobody knows who comes to a URL, so it is administered by the socket alone.
    """
    survey = Survey(daemon, premises.reactor, LinuxMachine(), pid=os.getpid, now=time.time)
    desk = make_desk(daemon, premises, gatehouse)
    backend = make_admin_backend(daemon, survey, premises, desk)
    view = ServerView(backend)
    _open_socket(daemon, premises, backend, view)
    metrics = Metrics(lambda: exposition(survey.status("*")), CONTENT_TYPE)
    if gatehouse is None:
        return {b"metrics": metrics}
    metrics.admit = gatehouse.admit_watcher
    seen = gatehouse.view(view)
    place = StreamableHttp(daemon.concourse, seen, gatehouse.principal, gatehouse.admit_admin)
    return {b"admin": Tree({b"mcp": place}, "there is /admin/mcp"), b"metrics": metrics}


def _open_socket(daemon: Daemon, premises: Premises, backend: Backend, view: ServerView) -> None:
    config = premises.config
    where = adminsocket.path_for(config.admin_socket, config.listen, premises.environ, os.getpid())
    if where is None:
        return
    # Those who administer it may still ask while it drains, so nothing is turned away.
    begin = daemon.concourse.sessions.begin
    counters = daemon.counters.setdefault("socket", LineCounters())
    factory = LineFactory(lambda: Caller(view, begin), premises.reactor, counters=counters)
    daemon.administer(AdminSocket(where, factory, premises.reactor, backend.stop))


def make_admin_backend(
    daemon: Daemon, survey: Survey, premises: Premises, desk: Desk | None
) -> Backend:
    """The daemon itself, as a server that can be asked."""
    daemon.reload = _reload(daemon, premises)
    admin = Admin(survey, premises.reactor, daemon.journal, logs.set_level, desk, daemon.reload)
    connector = PythonConnector(admin.server, premises.reactor, "the daemon itself")
    # A watcher that is slow holds its link back, and should not hold others'.
    settings = BackendSettings(
        POOL, _LINKS, supervision=SupervisorSettings(deadlines=Deadlines(None, None))
    )
    held = Held(premises.reactor, secrets.token_bytes)
    name = admin.server.name
    return Backend(name, connector, premises.reactor, Patience, IDENTITY, held, settings)


def _reload(daemon: Daemon, premises: Premises) -> Callable[[], list[str]]:
    """What reads the configuration again."""
    config, gathering, held = premises.config, daemon.gathering, daemon.held
    assert gathering is not None
    assert held is not None

    def reread() -> Loaded:
        if daemon.reread is None:
            raise CannotReload("this daemon was not started from a configuration file")
        loaded = daemon.reread()
        if loaded.config is None:
            return loaded
        try:
            config = with_own_servers(loaded.config, premises.own)
        except ValueError as problem:
            raise CannotReload(str(problem)) from None
        return msgspec.structs.replace(loaded, config=config)

    def connector(server: ServerConfig) -> IConnector:
        return make_connector(server, premises)

    def backend(server: ServerConfig) -> Backend:
        return make_backend(server, premises, held, daemon.traffic)

    def draining() -> Draining | None:
        return daemon.concourse.draining

    return Reloading(config, gathering, reread, connector, backend, draining).reload
