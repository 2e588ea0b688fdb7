"""The daemon's own MCP server: what it is and does as resources, what can be done to it as tools.

It is the one door for whoever administers a daemon: the console, ``mcptwist status``,
or any other MCP client. It looks through a :class:`~mcptwist.watching.survey.Survey` and acts on
the same objects that clients are served by. Live events come as progress of the tool ``watch``,
so they cost nothing while nobody calls it, end when the call does, and reach clients of
every revision and wire; who is slow misses events and is told how many.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

from msgspec import Meta
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

import mcptwist
from mcptwist.backend import Backend
from mcptwist.errors import Draining, McpTwistError
from mcptwist.interfaces import IAnswerer
from mcptwist.messages import Json, encode_json
from mcptwist.server import Context, EmbeddedResource, Limits, Refused, Server
from mcptwist.watching import standin
from mcptwist.watching.doorkeeper import Doorkeeper, Seconds
from mcptwist.watching.events import ServerChange, Watched, Watching
from mcptwist.watching.journal import Journal, Line
from mcptwist.watching.keykeeper import Keykeeper
from mcptwist.watching.metrics import exposition
from mcptwist.watching.reports import (
    Answered,
    Bans,
    Connections,
    Done,
    KeyDesk,
    Sessions,
)
from mcptwist.watching.sieve import BadFilter, Sieve
from mcptwist.watching.standin import NAME
from mcptwist.watching.status import (
    CONNECTION_FIELDS,
    ServerStatus,
    Status,
)
from mcptwist.watching.survey import Survey, state_of
from mcptwist.watching.traffic import FIELDS, REQUEST

STATUS, LOG, METRICS = "mcptwist://status", "mcptwist://log", "mcptwist://metrics"
SERVER, FRAME = "mcptwist://servers/{name}", "mcptwist://traffic/{number}"
KEYS, AUDIT = "mcptwist://keys", "mcptwist://audit"
APPROVALS, LOGINS = "mcptwist://approvals", "mcptwist://logins"
CONNECTIONS, SESSIONS = "mcptwist://connections", "mcptwist://sessions"

_JSON = "application/json"
_INSTRUCTIONS = (
    "This is the daemon itself. Resources tell how it is: mcptwist://status and below. Tools "
    "start and stop servers, close connections, and ask servers in your place. `watch` tells what "
    "happens, as progress whose _meta has mcptwist/events, until you cancel it."
)

ServerName = Annotated[str, Meta(description="the name of a configured server", max_length=200)]
Filter = Annotated[
    str, Meta(description="words and field:value tokens, all of which must hold", max_length=1000)
]
Limit = Annotated[int, Meta(description="how many at most", ge=1, le=10_000)]
Level = Literal["debug", "info", "warn", "error", "critical"]
Topic = Literal["traffic", "servers", "log", "audit"]


class Admin(Doorkeeper, Keykeeper):
    """What can be seen of a daemon and done to it.

    :param survey: looks at the daemon.
    :param set_level: has the daemon log from a level on.
    :param desk: where keys are, if there are any.
    :param reload: reads the configuration again and tells what has changed.
    :ivar server: offers all of it.
    :ivar daemon: whom it is about.
    :ivar audit: what happened at its gate.
    """

    log = Logger()

    def __init__(
        self,
        survey: Survey,
        clock: IReactorTime,
        journal: Journal | None = None,
        set_level: Callable[[str], None] = lambda level: None,
        desk: KeyDesk | None = None,
        reload: Callable[[], list[str]] | None = None,
    ) -> None:
        self.journal = journal or Journal()
        self.server = Server(
            NAME,
            version=mcptwist.__version__,
            title="The mcptwist daemon",
            instructions=_INSTRUCTIONS,
            limits=Limits(page_size=1000),
        )
        self._survey = survey
        self.daemon = survey.daemon
        self.clock = clock
        self._set_level = set_level
        self._desk = desk
        self.audit = Journal() if desk is None else desk.audit
        self._reload = reload
        self._offer_resources()
        self._offer_tools()

    def _offer_resources(self) -> None:
        offer = self.server.add_resource
        offer(STATUS, self.status, mime_type=_JSON)
        offer(SERVER, self.server_status, mime_type=_JSON, name="server")
        offer(CONNECTIONS, self.all_connections, mime_type=_JSON, name="connections")
        offer(SESSIONS, self.all_sessions, mime_type=_JSON, name="sessions")
        offer(FRAME, self.frame, mime_type=_JSON)
        offer(LOG, self.log_lines, mime_type=_JSON, name="log")
        offer(METRICS, self.metrics, mime_type="text/plain", name="metrics")
        if self._desk is not None:
            offer(KEYS, self.keys, mime_type=_JSON)
            offer(APPROVALS, self.approvals, mime_type=_JSON)
            offer(AUDIT, self.audit_lines, mime_type=_JSON, name="audit")
            offer(LOGINS, self.all_logins, mime_type=_JSON, name="logins")
            self.server.add_tool(self.logins, read_only=True, open_world=False)
            self.server.add_tool(self.end_login, destructive=True, open_world=False)
            self.server.add_tool(self.revoke_key, destructive=True, open_world=False)

    def _offer_tools(self) -> None:
        see: tuple[Callable[..., Any], ...]
        see = (self.watch, self.connections, self.sessions, self.bans)
        begin: tuple[Callable[..., Any], ...]
        begin = (self.start_server, self.set_log_level, self.lift_ban)
        end: tuple[Callable[..., Any], ...] = (
            self.stop_server,
            self.restart_server,
            self.drain_server,
            self.close_connection,
            self.drain_connection,
            self.ban_connection,
            self.close_session,
        )
        function: Callable[..., Any]
        for function in see:
            self.server.add_tool(function, read_only=True, open_world=False)
        for function in begin:
            self.server.add_tool(function, destructive=False, idempotent=True, open_world=False)
        for function in end:
            self.server.add_tool(function, destructive=True, open_world=False)
        self.server.add_tool(self.reload_configuration, destructive=True, open_world=False)
        self.server.add_tool(self.ask, open_world=True)
        self.server.add_tool(self.replay, open_world=True)

    # --- what it tells ----------------------------------------------------------------

    def status(self) -> Status:
        """The daemon: servers, connections, limits, counters, reactor lag."""
        return self._survey.status()

    def server_status(self, name: str) -> ServerStatus:
        """One server: its processes, their last words on stderr, its tools."""
        return self._survey.server(self._backend(name), detailed=True)

    def all_connections(self) -> Connections:
        """The oldest 500 connections of clients."""
        return self.connections()

    def all_sessions(self) -> Sessions:
        """The oldest 500 sessions of legacy clients."""
        return self.sessions()

    def frame(self, number: str) -> EmbeddedResource:
        """A message that passed while somebody watched, whole."""
        whole = self.daemon.traffic.whole(int(number)) if number.isdecimal() else None
        if whole is None:
            raise Refused(f"frame {number} is not kept; it is while somebody watches, for a time")
        uri = FRAME.replace("{number}", number)
        return EmbeddedResource(uri=uri, content=bytes(whole.json).decode(), mime_type=_JSON)

    def log_lines(self) -> list[Line]:
        """The last lines of the log."""
        return self.journal.after(0)

    def audit_lines(self) -> list[Line]:
        """The last things that happened at the gate: who came in, and who did not."""
        return self.audit.after(0)

    def metrics(self) -> str:
        """The metrics, in Prometheus' format."""
        return exposition(self._survey.status("*")).decode()

    def connections(
        self,
        sort: Literal["age", "idle", "requests", "in_flight", "received", "sent"] = "age",
        limit: Limit = 500,
        filter: Filter = "",
        least: bool = False,
    ) -> Connections:
        """List connections of clients, those with the most of something first.

        :param filter: fields are wire, client, principal, peer, era and id
        :param least: those with the least of it first
        """
        sieve = _sieve(filter, CONNECTION_FIELDS)
        found = self._survey.connections(sort, limit, sieve, least)
        total = self._survey.connection_count()
        return Connections(total, found)

    def sessions(
        self,
        sort: Literal["age", "idle", "in_flight", "unheard"] = "age",
        limit: Limit = 500,
        filter: Filter = "",
    ) -> Sessions:
        """List the sessions of legacy clients, those with the most of something first."""
        found = self._survey.sessions(sort, limit, _sieve(filter, CONNECTION_FIELDS))
        return Sessions(len(self.daemon.concourse.sessions), found)

    def bans(self) -> Bans:
        """List the addresses from which nobody may connect."""
        bans = self.daemon.bans
        return Bans({host: bans.left(host) for host in bans})

    # --- what happens -----------------------------------------------------------------

    async def watch(
        self,
        ctx: Context,
        topics: Annotated[list[Topic], Meta(min_length=1)],
        filter: Filter = "",
        every: Annotated[float, Meta(description="seconds", ge=0.05, le=60)] = 0.1,
        seconds: Annotated[float, Meta(description="until it ends by itself", ge=0)] = 86_400,
    ) -> Watched:
        """Tell what happens, as progress, until it is cancelled.

        :param topics: messages between the daemon and servers, changes of servers, lines of logs
        :param filter: of the traffic; fields are tool, method, id, server, client, kind, status
        :param every: how often
        """
        watching = Watching(self, ctx, frozenset(topics), _sieve(filter, FIELDS))
        try:
            return await watching.until(self.clock.seconds() + seconds, every)
        finally:
            watching.end()

    def server_changes(self, known: dict[str, ServerChange]) -> list[ServerChange]:
        """The servers that are not as they are *known*; they are known then."""
        changed = []
        for backend in self.daemon.gateway:
            now = self._now(backend)
            if known.get(backend.name) != now:
                known[backend.name] = now
                changed.append(now)
        return changed

    def _now(self, backend: Backend) -> ServerChange:
        supervisors = [s for s in backend.supervisors() if s.starts]
        wires = [s.link.wire for s in supervisors if s.link is not None]
        pids = tuple(pid for wire in wires if (pid := getattr(wire, "pid", None)) is not None)
        trouble = backend.trouble()
        reason = "" if trouble is None else trouble.message
        return ServerChange(backend.name, state_of(backend, supervisors), reason, pids)

    # --- what can be done to servers --------------------------------------------------

    def start_server(self, name: ServerName) -> Done:
        """Start a server that was stopped, or that waits to be asked."""
        backend = self._backend(name)
        backend.wake()
        if backend.settings.scope == "session":
            return Done(f"{name} is started for each session")
        backend.start_now()
        self.log.info("{server} is started by request", server=name)
        return Done(f"{name} is starting")

    async def stop_server(self, name: ServerName) -> Done:
        """Stop a server at once and let nobody ask it until it is started again."""
        backend = self._backend(name)
        self.log.info("{server} is stopped by request", server=name)
        await backend.stop(Draining(f"{name} was stopped by whoever runs this daemon"))
        return Done(f"{name} is stopped")

    def restart_server(self, name: ServerName) -> Done:
        """Replace the processes of a server; what is in flight fails."""
        backend = self._backend(name)
        self.log.info("{server} is restarted by request", server=name)
        if backend.stopped is not None:
            backend.wake()
        backend.restart()
        if backend.settings.scope != "session":
            backend.start_now()
        return Done(f"{name} is restarting")

    async def drain_server(self, name: ServerName, within: Seconds = 30) -> Done:
        """Let nobody ask a server any more, and stop it when all is answered.

        :param within: seconds after which it is stopped all the same
        """
        backend = self._backend(name)
        reason = Draining(f"{name} is being stopped by whoever runs this daemon")
        backend.refuse(reason)
        until = self.clock.seconds() + within
        while backend.in_flight() and self.clock.seconds() < until:
            await deferLater(self.clock, 0.05)
            if backend.stopped is not reason:
                raise Refused(f"{name} was started again meanwhile")
        left = backend.in_flight()
        await backend.stop(reason)
        return Done(f"{name} is stopped" + (f"; {left} calls were not answered" if left else ""))

    # --- what can be done to itself ---------------------------------------------------

    def reload_configuration(self) -> Done:
        """Read the configuration again: put its servers and groups into effect, and tell what
        else has changed."""
        if self._reload is None:
            raise Refused("this daemon was not started from a configuration file")
        try:
            lines = self._reload()
        except McpTwistError as problem:
            raise Refused(problem.message) from None
        for line in lines:
            self.log.info("configuration: {line}", line=line)
        return Done("\n".join(lines) or "nothing has changed")

    def set_log_level(self, level: Level) -> Done:
        """Log from a level on, until the daemon is started again."""
        self.journal.set_level(level)
        self._set_level(level)
        self.log.info("logging from {chosen} on, by request", chosen=level)
        return Done(f"logging from {level} on")

    # --- asking servers ---------------------------------------------------------------

    async def ask(
        self,
        ctx: Context,
        server: Annotated[str, Meta(description="empty for all servers as one")],
        method: Annotated[str, Meta(max_length=200)],
        params: dict[str, Any] | None = None,
        capabilities: dict[str, Any] | None = None,
    ) -> Answered:
        """Ask a server something in your place; its progress is yours.

        :param params: as revision 2026-07-28 has them; ``_meta`` is added
        :param capabilities: what you can be asked in turn, by input_required; by default, nothing
        """
        return await self._ask(ctx, server, method, encode_json(params or {}), capabilities or {})

    async def replay(self, ctx: Context, number: Annotated[int, Meta(ge=1)]) -> Answered:
        """Make a call again that passed while somebody watched.

        :param number: of its request's frame
        """
        whole = self.daemon.traffic.whole(number)
        if whole is None or whole.frame.kind != REQUEST:
            raise Refused(f"frame {number} is no request, or not kept any more")
        frame = whole.frame
        return await self._ask(ctx, frame.server, frame.method, bytes(whole.json), {})

    async def _ask(
        self, ctx: Context, server: str, method: str, params: Json, can: dict[str, Any]
    ) -> Answered:
        answerer: IAnswerer = self._backend(server) if server else self.daemon.gateway.whole
        return await standin.ask(ctx, answerer, self.clock, method, params, can)

    # --- whom it is about -------------------------------------------------------------

    def _backend(self, name: str) -> Backend:
        backend = self.daemon.gateway.backends.get(name)
        if backend is None:
            known = ", ".join(sorted(self.daemon.gateway.backends)) or "none"
            raise Refused(f"there is no server {name}; there is: {known}")
        return backend


def _sieve(text: str, fields: tuple[str, ...]) -> Sieve | None:
    try:
        return Sieve(text, fields) or None
    except BadFilter as problem:
        raise Refused(str(problem)) from None
