"""Looking at a daemon: what it counts and holds, as a :class:`~mcptwist.watching.status.Status`.

What the system says of processes is asked of whoever is handed in. Pure.
"""

from __future__ import annotations

import heapq
import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from mcptwist.errors import EraMismatch
from mcptwist.supervisor import STARTING, STOPPED, UP, WAITING
from mcptwist.versions import LEGACY
from mcptwist.watching.sieve import Sieve
from mcptwist.watching.status import (
    DRAINING,
    FAILING,
    IDLE,
    MISCONFIGURED,
    SPARE,
    ConnectionStatus,
    Gauge,
    LagStatus,
    ProcessStatus,
    ServerStatus,
    SessionStatus,
    Status,
    ToolStatus,
    outcome_of,
)
from mcptwist.watching.tally import Outcomes
from mcptwist.watching.traffic import client_name

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime

    from mcptwist.backend import Backend
    from mcptwist.daemon import Daemon
    from mcptwist.link import Link
    from mcptwist.session import Session
    from mcptwist.supervisor import Supervisor


class Machine:
    """What the system says of processes; this one knows nothing."""

    def memory(self, pid: int) -> int | None:
        """Bytes that a process and all that descends from it have in memory."""
        return None

    def own_memory(self, pid: int) -> int | None:
        """Bytes that a process has in memory, by itself."""
        return None

    def processor(self) -> float:
        """Seconds of processor time that the daemon has used."""
        return 0.0


class Survey:
    """Looks at a daemon.

    :param pid: the daemon's own, asked each time, for it changes when it detaches.
    :param now: seconds since the epoch.
    :param began: when the daemon started, in the clock's seconds.
    """

    def __init__(
        self,
        daemon: Daemon,
        clock: IReactorTime,
        machine: Machine | None = None,
        *,
        pid: Callable[[], int] = lambda: 0,
        now: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self.daemon = daemon
        self.began = clock.seconds()
        self._clock = clock
        self._machine = machine or Machine()
        self._pid = pid
        self._now = now
        self._numbers = itertools.count(1)

    # --- the whole --------------------------------------------------------------------

    def status(self, detailed: str = "") -> Status:
        """The picture of now.

        :param detailed: the server whose tools and last words are in it; ``*`` for all.
        """
        daemon, clock = self.daemon, self._clock.seconds()
        meters = [connection.meter for connection in self._all()]
        pid = self._pid()
        return Status(
            pid=pid,
            now=self._now(),
            clock=clock,
            uptime=clock - self.began,
            draining=daemon.concourse.draining is not None,
            memory=self._machine.own_memory(pid) if pid else None,
            processor=self._machine.processor(),
            lag=LagStatus(last=daemon.lag.last, worst=daemon.lag.worst()),
            endpoints=tuple(listener.url() for listener in daemon.listeners),
            servers=(*self._servers(detailed), *self._broken()),
            connections=dict(Counter(meter.wire for meter in meters)),
            eras=dict(Counter(era for meter in meters if (era := _era(meter)))),
            gauges=self._gauges(len(meters)),
            counters=self._counters(),
        )

    def _gauges(self, connections: int) -> dict[str, Gauge]:
        concourse, traffic = self.daemon.concourse, self.daemon.traffic
        found = {
            "connections": Gauge(used=connections),
            "sessions": Gauge(used=len(concourse.sessions), limit=concourse.sessions.limit),
            "event_log_bytes": Gauge(
                used=concourse.allowance.used, limit=concourse.allowance.total
            ),
            "in_flight": Gauge(used=self.daemon.gateway.in_flight()),
            "watchers": Gauge(used=traffic.watchers, limit=traffic.limits.watchers),
            "bans": Gauge(used=len(self.daemon.bans), limit=self.daemon.bans.limit),
        }
        if self.daemon.held is not None:
            found["held_calls"] = Gauge(used=len(self.daemon.held), limit=self.daemon.held.limit)
        return found | self.daemon.gauges()

    def _counters(self) -> dict[str, int]:
        concourse, traffic = self.daemon.concourse, self.daemon.traffic
        found = {
            "sessions.begun": concourse.sessions.begun,
            "sessions.expired": concourse.sessions.expired,
            "sessions.refused": concourse.sessions.refused,
            "event_log.dropped": concourse.allowance.dropped,
            "traffic.frames": traffic.frames,
            "traffic.missed": traffic.missed,
            "bans.turned_away": self.daemon.bans.turned_away,
        }
        if self.daemon.held is not None:
            found["held_calls.expired"] = self.daemon.held.expired
            found["held_calls.refused"] = self.daemon.held.refused
        for name, counters in self.daemon.counters.items():
            found.update((f"{name}.{key}", count) for key, count in _counts(counters).items())
        return found

    # --- servers ----------------------------------------------------------------------

    def _servers(self, detailed: str) -> Iterator[ServerStatus]:
        for backend in self.daemon.gateway:
            yield self.server(backend, detailed in ("*", backend.name))

    def _broken(self) -> Iterator[ServerStatus]:
        for name, reason in self.daemon.gateway.broken.items():
            yield ServerStatus(name=name, state=MISCONFIGURED, scope="", reason=reason)

    def server(self, backend: Backend, detailed: bool = False) -> ServerStatus:
        """One server; with its tools and the last words of its processes if *detailed*."""
        supervisors = [s for s in backend.supervisors() if _is_of_interest(s)]
        processes = (
            *(self._process(supervisor, detailed) for supervisor in supervisors),
            *self._spare(backend, detailed),
        )
        tally, trouble = backend.tally, backend.trouble()
        state = state_of(backend, supervisors)
        known = [process.memory for process in processes if process.memory is not None]
        return ServerStatus(
            name=backend.name,
            state=state,
            scope=backend.settings.scope,
            reason="" if trouble is None or state == UP else trouble.message,
            processes=processes,
            uptime=max((p.since for p in processes if p.state == UP), default=None),
            restarts=sum(max(0, process.starts - 1) for process in processes),
            in_flight=sum(len(supervisor) for supervisor in supervisors),
            sessions=len(backend.sessions()),
            memory=sum(known) if known else None,
            calls=outcome_of(tally.calls),
            cancelled=tally.cancelled,
            late=tally.late,
            lost=tally.lost,
            refused=tally.refused,
            strays=tally.strays,
            malformed=tally.malformed,
            unattributed=backend.unattributed,
            call_processes=len(backend.leases.all),
            evicted=backend.leases.evicted,
            tools=_tools(tally.tools) if detailed else (),
            settings=backend.described if detailed else {},
        )

    def _process(self, supervisor: Supervisor, detailed: bool) -> ProcessStatus:
        link = supervisor.link
        return ProcessStatus(
            state=supervisor.state,
            era=supervisor.era,
            revision="" if link is None else link.revision,
            since=self._clock.seconds() - supervisor.since,
            starts=supervisor.starts,
            in_flight=len(supervisor),
            reason="" if supervisor.reason is None else supervisor.reason.message,
            **self._behind(link, detailed),
        )

    def _spare(self, backend: Backend, detailed: bool) -> Iterator[ProcessStatus]:
        """The process that waits for the first client of its era, if there is one."""
        link = backend.spare.link
        if link is not None and link.gone is None:
            since = self._clock.seconds() - backend.spare.since
            behind = self._behind(link, detailed)
            yield ProcessStatus(state=SPARE, era=LEGACY, since=since, **behind)

    def _behind(self, link: Link | None, detailed: bool) -> dict[str, Any]:
        """What there is to tell of what a link leads to."""
        wire = None if link is None else link.wire
        pid = getattr(wire, "pid", None)
        tail = getattr(wire, "stderr_tail", None) if detailed else None
        return {
            "wire": "" if wire is None else wire.description,
            "pid": pid,
            "memory": None if pid is None else self._machine.memory(pid),
            "stderr": () if tail is None else tuple(tail()),
        }

    # --- connections and sessions -----------------------------------------------------

    def connections(
        self, sort: str = "age", limit: int = 500, sieve: Sieve | None = None, least: bool = False
    ) -> list[ConnectionStatus]:
        """The connections that come first in an order.

        Of ten thousand, only those that are told are looked at closely, unless a filter has to.

        :param sort: a field of :class:`ConnectionStatus`; the largest come first.
        :param limit: how many.
        :param least: whether the smallest come first.
        """
        pick = heapq.nsmallest if least else heapq.nlargest
        if not sieve:
            return [self._connection(each) for each in pick(limit, self._all(), self._key(sort))]
        found = (self._connection(each) for each in self._all())
        passed = (each for each in found if sieve.passes(msgspec.structs.asdict(each)))
        return pick(limit, passed, lambda each: getattr(each, sort))

    def _key(self, sort: str) -> Callable[[Any], float]:
        """What connections are ordered by, from their meters alone."""
        now = self._clock.seconds()
        keys: dict[str, Callable[[Any], float]] = {
            "age": lambda each: -each.meter.began,
            "idle": lambda each: now - each.meter.last_used(now),
            "requests": lambda each: each.meter.requests,
            "in_flight": lambda each: (each.meter.caller or each).in_flight,
            "received": lambda each: each.meter.received,
            "sent": lambda each: each.meter.sent,
        }
        return keys[sort]

    def sessions(
        self, sort: str = "age", limit: int = 500, sieve: Sieve | None = None
    ) -> list[SessionStatus]:
        """The same for legacy sessions."""
        found = (self._session(session) for session in self.daemon.concourse.sessions)
        passed = (e for e in found if not sieve or sieve.passes(msgspec.structs.asdict(e)))
        return heapq.nlargest(limit, passed, key=lambda each: getattr(each, sort))

    def connection_count(self) -> int:
        """How many connections there are."""
        return sum(len(listener.factory.connections) for listener in self.daemon.all_listeners())

    def find_connection(self, id: str) -> Any:
        """The connection known by that id, or None."""
        return next((c for c in self._all() if _id(c.meter.number) == id), None)

    def find_session(self, id: str) -> Session | None:
        """The session known by that id."""
        sessions = self.daemon.concourse.sessions
        return next((s for s in sessions if f"s{s.number}" == id), None)

    def _all(self) -> Iterator[Any]:
        """Every connection."""
        for listener in self.daemon.all_listeners():
            yield from list(listener.factory.connections)

    def _connection(self, connection: Any) -> ConnectionStatus:
        meter, now = connection.meter, self._clock.seconds()
        if not meter.number:
            meter.number = next(self._numbers)
        stay = _stay(meter)
        return ConnectionStatus(
            id=_id(meter.number),
            wire=meter.wire,
            peer=_peer(connection),
            tls=meter.tls,
            client=client_name(getattr(stay, "client", b"")),
            principal=str(getattr(stay, "principal", "")),
            era=getattr(stay, "era", ""),
            revision=getattr(stay, "revision", ""),
            age=now - meter.began,
            idle=now - meter.last_used(now),
            requests=meter.requests,
            in_flight=(meter.caller or connection).in_flight,
            received=meter.received,
            sent=meter.sent,
        )

    def _session(self, session: Session) -> SessionStatus:
        now = self._clock.seconds()
        return SessionStatus(
            id=f"s{session.number}",
            wire=session.wire,
            server=session.view.name,
            client=client_name(session.client),
            principal=session.principal,
            revision=session.revision,
            age=now - session.began,
            idle=now - session.last_used,
            in_flight=len(session.opened),
            unheard=session.unheard,
            listens=bool(getattr(session.back, "open", False)),
        )


def state_of(backend: Backend, supervisors: Sequence[Supervisor]) -> str:
    """The one word for how a server is."""
    states = {supervisor.state for supervisor in supervisors}
    if backend.stopped is not None:
        return STOPPED if not any(len(s) for s in supervisors) else DRAINING
    if UP in states:
        return UP
    if STARTING in states:
        return STARTING
    if WAITING in states:
        return WAITING
    return FAILING if backend.trouble() is not None else IDLE


def _is_of_interest(supervisor: Supervisor) -> bool:
    """Whether it has ever done anything; the process of an era nobody asks in has not."""
    refused = isinstance(supervisor.reason, EraMismatch)
    return supervisor.starts > 0 and not (refused and supervisor.link is None)


def _tools(tools: Mapping[str, Outcomes]) -> tuple[ToolStatus, ...]:
    return tuple(
        ToolStatus(name=name, calls=outcome_of(outcomes))
        for name, outcomes in sorted(tools.items())
    )


def _counts(counters: Any) -> dict[str, int]:
    snapshot = getattr(counters, "snapshot", None)
    return snapshot() if snapshot is not None else msgspec.structs.asdict(counters)


def _stay(meter: Any) -> Any:
    caller = meter.caller
    return meter.stay if caller is None else caller.stay


def _era(meter: Any) -> str:
    return getattr(_stay(meter), "era", "")


def _id(number: int) -> str:
    return f"c{number}"


def _peer(connection: Any) -> str:
    peer = getattr(connection, "peer", None)
    host = getattr(peer, "host", None)
    if host is None:
        return "this machine"
    return f"[{host}]:{peer.port}" if ":" in host else f"{host}:{peer.port}"  # type: ignore[union-attr]
