"""The daemon's own MCP server: what it is and does as resources, what can be done to it as tools.

It is the one door for whoever administers a daemon: the console, ``mcptwist status``,
or any other MCP client. It looks through a :class:`~mcptwist.watching.status.Survey` and acts on
the same objects that clients are served by. Live events come as progress of the tool ``watch``,
so they cost nothing while nobody calls it, end when the call does, and reach clients of
every revision and wire; who is slow misses events and is told how many.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, Any, Literal, Protocol

import msgspec
from msgspec import Meta, Raw
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

import mcptwist
from mcptwist.backend import Backend
from mcptwist.errors import ClientGone, Draining, InvalidMessage, McpTwistError
from mcptwist.exchange import Awaited
from mcptwist.exchange import Refused as ErrorAnswer
from mcptwist.interfaces import IAnswerer
from mcptwist.messages import Json, Notification, Result, encode_json, open_fields
from mcptwist.negotiation import CAPABILITIES_KEY, modern_meta
from mcptwist.server import Context, EmbeddedResource, Limits, Refused, Server
from mcptwist.session import Visit
from mcptwist.versions import LATEST
from mcptwist.watching.journal import Journal, Line
from mcptwist.watching.metrics import exposition
from mcptwist.watching.sieve import BadFilter, Sieve
from mcptwist.watching.status import (
    CONNECTION_FIELDS,
    ConnectionStatus,
    ServerStatus,
    SessionStatus,
    Status,
    Survey,
    state_of,
)
from mcptwist.watching.tally import outcome
from mcptwist.watching.traffic import FIELDS, REQUEST, Frame, Watcher

NAME = "mcptwist"
EVENTS = "mcptwist/events"
"""Where in the ``_meta`` of a progress notification the events are."""

STATUS, LOG, METRICS = "mcptwist://status", "mcptwist://log", "mcptwist://metrics"
SERVER, FRAME = "mcptwist://servers/{name}", "mcptwist://traffic/{number}"
KEYS = "mcptwist://keys"
CONNECTIONS, SESSIONS = "mcptwist://connections", "mcptwist://sessions"

_BACKLOG = 256 << 10
"""Bytes that may wait for a watcher; while there are more, nothing is made for it."""
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
Seconds = Annotated[float, Meta(ge=1, le=31_536_000)]
ConnectionId = Annotated[str, Meta(description="such as c7, as connections has it", max_length=20)]
Level = Literal["debug", "info", "warn", "error", "critical"]
Topic = Literal["traffic", "servers", "log"]


class Done(msgspec.Struct, frozen=True):
    """What an action did."""

    done: str


class ServerChange(msgspec.Struct, frozen=True):
    """A server is not as it was: another state, or other processes."""

    name: str
    state: str
    reason: str = ""
    pids: tuple[int, ...] = ()


class Events(msgspec.Struct, frozen=True, omit_defaults=True):
    """What happened since the last ones.

    :ivar missed: frames that passed and are not here, for they were too many.
    """

    frames: tuple[Frame, ...] = ()
    missed: int = 0
    servers: tuple[ServerChange, ...] = ()
    log: tuple[Line, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.frames or self.missed or self.servers or self.log)


class Watched(msgspec.Struct, frozen=True):
    """How much was told while somebody watched."""

    frames: int = 0
    missed: int = 0


class Answered(msgspec.Struct, frozen=True):
    """What a server answered.

    :ivar status: ``ok``, ``failed`` (the tool says so) or ``error``.
    :ivar answer: the result, or the error object.
    """

    status: str
    seconds: float
    answer: Any


class Connections(msgspec.Struct, frozen=True):
    """Some connections, and how many there are."""

    total: int
    connections: list[ConnectionStatus]


class Sessions(msgspec.Struct, frozen=True):
    """Some legacy sessions, and how many there are."""

    total: int
    sessions: list[SessionStatus]


class KeyStatus(msgspec.Struct, frozen=True):
    """One authorized key.

    :ivar state: ``good``, ``in use``, ``not yet`` or ``over``.
    :ivar scopes: what its holder may do.
    :ivar expires: when it ends, in seconds since the epoch; ``None`` for never.
    :ivar sessions: how many are here with it now.
    """

    fingerprint: str
    principal: str
    state: str
    scopes: tuple[str, ...] = ()
    expires: float | None = None
    sessions: int = 0
    restricted: bool = False


class KeyDesk(Protocol):
    """Where keys are looked up and revoked."""

    def all(self) -> list[KeyStatus]:
        """Those that are authorized."""

    def revoke(self, fingerprint: str) -> None:
        """Let a key in no more.

        :raises OSError: that cannot be written down.
        """


class Bans(msgspec.Struct, frozen=True):
    """From where nobody may connect, and for how many seconds more."""

    hosts: dict[str, float]


class Admin:
    """What can be seen of a daemon and done to it.

    :param survey: looks at the daemon.
    :param set_level: has the daemon log from a level on.
    :param desk: where keys are, if there are any.
    :param reload: reads the configuration again and tells what has changed.
    :ivar server: offers all of it.
    :ivar daemon: whom it is about.
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

    def metrics(self) -> str:
        """The metrics, in Prometheus' format."""
        return exposition(self._survey.status("*")).decode()

    def connections(
        self,
        sort: Literal["age", "idle", "requests", "in_flight", "received", "sent"] = "age",
        limit: Limit = 500,
        filter: Filter = "",
    ) -> Connections:
        """List connections of clients, those with the most of something first.

        :param filter: fields are wire, client, principal, peer, era and id
        """
        found = self._survey.connections(sort, limit, _sieve(filter, CONNECTION_FIELDS))
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

    def keys(self) -> list[KeyStatus]:
        """The keys that are authorized."""
        assert self._desk is not None
        return self._desk.all()

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

        :param topics: messages between the daemon and servers, changes of servers, log lines
        :param filter: of the traffic; fields are tool, method, id, server, client, kind, status
        :param every: how often
        """
        watching = _Watching(self, ctx, frozenset(topics), _sieve(filter, FIELDS))
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

    # --- what can be done to clients --------------------------------------------------

    def close_connection(self, id: ConnectionId) -> Done:
        """Cut a connection at once; what it waits for is lost."""
        self._connection(id).abort()
        return Done(f"{id} is closed")

    def drain_connection(self, id: ConnectionId) -> Done:
        """Close a connection when what it waits for is answered."""
        connection = self._connection(id)
        if connection.meter.caller is not None:
            connection.meter.caller.wire.close()
        else:
            connection.drain()
        return Done(f"{id} is closed when it is answered")

    def ban_connection(self, id: ConnectionId, seconds: Seconds = 3600) -> Done:
        """Cut a connection, and let nobody connect from its address for a while."""
        connection = self._connection(id)
        host = getattr(getattr(connection, "peer", None), "host", None)
        if host is None:
            raise Refused(f"{id} came by a UNIX socket and has no address to ban")
        self.daemon.bans.add(host, seconds)
        closed = 0
        for listener in self.daemon.listeners:
            others: list[Any] = list(listener.factory.connections)
            for other in others:
                if getattr(getattr(other, "peer", None), "host", None) == host:
                    other.abort()
                    closed += 1
        self.log.info("{host} is banned for {seconds} s", host=host, seconds=seconds)
        return Done(f"{host} is banned for {seconds:g} s; {closed} connections were closed")

    def lift_ban(self, host: Annotated[str, Meta(max_length=100)]) -> Done:
        """Let an address connect again."""
        if not self.daemon.bans.lift(host):
            raise Refused(f"{host} is not banned")
        return Done(f"{host} may connect again")

    def close_session(self, id: Annotated[str, Meta(description="such as s7")]) -> Done:
        """End the session of a legacy client; what it waits for fails."""
        session = self._survey.find_session(id)
        if session is None:
            raise Refused(f"there is no session {id}")
        session.end(ClientGone("the session was ended by whoever runs this daemon"))
        return Done(f"{id} is ended")

    def revoke_key(self, fingerprint: Annotated[str, Meta(max_length=100)]) -> Done:
        """Revoke a key for good: its tokens and connections end, and it is written down."""
        assert self._desk is not None
        if fingerprint not in {key.fingerprint for key in self._desk.all()}:
            raise Refused(f"no key {fingerprint} is authorized")
        try:
            self._desk.revoke(fingerprint)
        except OSError as problem:
            raise Refused(f"it could not be written down: {problem.strerror}") from None
        self.log.warn("the key {key} is revoked by request", key=fingerprint)
        return Done(f"{fingerprint} is revoked")

    def reload_configuration(self) -> Done:
        """Read the configuration again, restart servers that are reached otherwise now, and tell
        what else has changed."""
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
        awaited = Awaited(lambda notification: _pass_on(ctx, notification))
        began = self.clock.seconds()
        stay = Visit(LATEST, encode_json(dict(ctx.client)), encode_json(can))
        awaited.begin(answerer, method, _enveloped(params, ctx, can), stay)
        try:
            result = await awaited.answer
        except ErrorAnswer as problem:
            seconds = self.clock.seconds() - began
            return Answered("error", seconds, Raw(bytes(problem.answer.error)))
        seconds = self.clock.seconds() - began
        return Answered(outcome(Result(0, result)), seconds, Raw(bytes(result)))

    # --- whom it is about -------------------------------------------------------------

    def _backend(self, name: str) -> Backend:
        backend = self.daemon.gateway.backends.get(name)
        if backend is None:
            known = ", ".join(sorted(self.daemon.gateway.backends)) or "none"
            raise Refused(f"there is no server {name}; there is: {known}")
        return backend

    def _connection(self, id: str) -> Any:
        connection = self._survey.find_connection(id)
        if connection is None:
            raise Refused(f"there is no connection {id}; it may be gone")
        return connection


class _Watching:
    """One call of ``watch``."""

    def __init__(
        self, admin: Admin, ctx: Context, topics: frozenset[str], sieve: Sieve | None
    ) -> None:
        self._admin = admin
        self._ctx = ctx
        self._topics = topics
        self._servers: dict[str, ServerChange] = {}
        self._line = admin.journal.last
        self._told = 0
        self._frames = 0
        self._missed = 0
        self._watcher: Watcher | None = None
        if "traffic" in topics:
            try:
                self._watcher = admin.daemon.traffic.watch(sieve)
            except OverflowError as problem:
                raise Refused(str(problem)) from None

    async def until(self, end: float, every: float) -> Watched:
        """Tell what there is, every so many seconds."""
        clock = self._admin.clock
        self._tell()
        while clock.seconds() < end:
            await deferLater(clock, min(every, max(0.0, end - clock.seconds())))
            self._tell()
        return Watched(self._frames, self._missed)

    def end(self) -> None:
        """Watch no more."""
        if self._watcher is not None:
            self._admin.daemon.traffic.leave(self._watcher)

    def _tell(self) -> None:
        """Tell what is new, unless what was told before still waits to be heard."""
        if self._ctx.backlog > _BACKLOG:
            return
        events = self._events()
        if events:
            self._told += 1
            self._ctx.progress(self._told, message=_summary(events), meta={EVENTS: events})

    def _events(self) -> Events:
        frames, missed = ([], 0) if self._watcher is None else self._watcher.take()
        self._frames += len(frames)
        self._missed += missed
        servers = self._admin.server_changes(self._servers) if "servers" in self._topics else []
        lines = self._admin.journal.after(self._line) if "log" in self._topics else []
        if lines:
            self._line = lines[-1].number
        return Events(tuple(frames), missed, tuple(servers), tuple(lines))


def _summary(events: Events) -> str:
    counts = {
        "messages": len(events.frames),
        "missed": events.missed,
        "servers": len(events.servers),
        "log lines": len(events.log),
    }
    return ", ".join(f"{count} {what}" for what, count in counts.items() if count)


def _sieve(text: str, fields: tuple[str, ...]) -> Sieve | None:
    try:
        return Sieve(text, fields) or None
    except BadFilter as problem:
        raise Refused(str(problem)) from None


def _enveloped(params: Json, ctx: Context, can: dict[str, Any]) -> bytes:
    """*params* as a request of the latest revision, in the client's name."""
    try:
        fields: dict[str, Any] = dict(open_fields(params))
        old = open_fields(fields.get("_meta", b""))
    except InvalidMessage as problem:
        raise Refused(str(problem)) from None
    kept = {name: value for name, value in old.items() if "/" not in name}
    own = modern_meta(dict(ctx.client) or {"name": NAME, "version": mcptwist.__version__})
    own[CAPABILITIES_KEY] = can
    fields["_meta"] = {**kept, **own, "progressToken": 0}
    return encode_json(fields)


class _Said(msgspec.Struct):
    progress: float = math.nan
    total: float | None = None
    message: str | None = None


def _pass_on(ctx: Context, notification: Notification) -> None:
    """Progress of a server's is progress of ours."""
    if notification.method == "notifications/progress":
        try:
            said = msgspec.json.decode(notification.params, type=_Said)
        except msgspec.DecodeError:
            return
        ctx.progress(said.progress, said.total, said.message)
