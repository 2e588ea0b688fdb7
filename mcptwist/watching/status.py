"""The snapshot: a frozen picture of the daemon that anyone may look at.

Everything here is plain values, made when somebody asks and never kept. What is
counted is counted where it happens (:mod:`mcptwist.watching.tally`, the wires' meters and
counters); here it is only read, and worked out to what people want to know. Pure:
what the system says of processes is asked of whoever is handed in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

import mcptwist
from mcptwist.watching.tally import BOUNDS, Histogram, Outcomes

if TYPE_CHECKING:
    pass

FORMAT = 1
"""Of what is told; raised when a reader of the old one would be misled."""

FAILING, DRAINING, MISCONFIGURED, IDLE = "failing", "draining", "misconfigured", "idle"
#: Of a process that refused one era and is kept for the other.
SPARE = "spare"

CONNECTION_FIELDS = ("wire", "client", "principal", "peer", "era", "id", "server")
"""What the filter of a list of connections or sessions can look at."""


class Latencies(msgspec.Struct, frozen=True, kw_only=True):
    """How long calls took, in seconds.

    :ivar p50: half of them took no longer; like the others, an estimate from buckets,
        ``None`` where there were none.
    :ivar buckets: how many fell between the bounds of :data:`~mcptwist.watching.tally.BOUNDS`,
        so that two pictures can be subtracted; empty where they were left out.
    """

    count: int = 0
    seconds: float = 0.0
    p50: float | None = None
    p95: float | None = None
    p99: float | None = None
    buckets: tuple[int, ...] = ()


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How calls ended: well, with ``isError``, with a JSON-RPC error."""

    good: int = 0
    failed: int = 0
    errors: int = 0
    took: Latencies = Latencies()

    @property
    def count(self) -> int:
        """All of them."""
        return self.good + self.failed + self.errors


class ToolStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One tool; the name is empty for those that are not told apart."""

    name: str
    calls: Outcome


class ProcessStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One link to a server, with the process or connection behind it.

    :ivar since: seconds in this state.
    :ivar starts: how often it was started.
    :ivar memory: bytes of it and all that descends from it, where that can be known.
    """

    state: str
    era: str
    revision: str = ""
    wire: str = ""
    pid: int | None = None
    since: float = 0.0
    starts: int = 0
    in_flight: int = 0
    memory: int | None = None
    reason: str = ""
    stderr: tuple[str, ...] = ()


class ServerStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One server.

    :ivar uptime: seconds its longest-living process has been up, ``None`` when none is.
    :ivar restarts: starts beyond the first of each process.
    :ivar sessions: legacy sessions that have to do with it.
    :ivar call_processes: those that calls have for themselves, or are kept for such.
    :ivar evicted: calls that lost theirs to another.
    :ivar settings: what its configuration says, without what is secret.
    """

    name: str
    state: str
    scope: str
    reason: str = ""
    processes: tuple[ProcessStatus, ...] = ()
    uptime: float | None = None
    restarts: int = 0
    in_flight: int = 0
    sessions: int = 0
    memory: int | None = None
    calls: Outcome = Outcome()
    cancelled: int = 0
    late: int = 0
    lost: int = 0
    refused: int = 0
    strays: int = 0
    malformed: int = 0
    unattributed: int = 0
    call_processes: int = 0
    evicted: int = 0
    tools: tuple[ToolStatus, ...] = ()
    settings: Mapping[str, str] = {}

    @property
    def pids(self) -> list[int]:
        """The process ids of those that run."""
        return [process.pid for process in self.processes if process.pid is not None]

    @property
    def troubles(self) -> int:
        """Whatever did not end well, but for what the tools say themselves."""
        return self.calls.errors + self.late + self.lost + self.refused


class ConnectionStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One connection of a client.

    :ivar id: what actions call it by, such as ``c7``.
    :ivar client: name and version as the client says; not verified.
    :ivar tls: the version of TLS, and the protocol agreed on within it (ALPN).
    :ivar age: seconds since it was made; ``idle``, since something passed.
    :ivar sent: bytes to the client; ``received``, from it.
    """

    id: str
    wire: str
    peer: str
    tls: str = ""
    client: str = ""
    principal: str = ""
    era: str = ""
    revision: str = ""
    age: float = 0.0
    idle: float = 0.0
    requests: int = 0
    in_flight: int = 0
    received: int = 0
    sent: int = 0


class SessionStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One legacy session; its key is a secret and not here.

    :ivar id: what actions call it by, such as ``s7``.
    :ivar server: what it sees; empty for all.
    """

    id: str
    wire: str
    server: str
    client: str = ""
    principal: str = ""
    revision: str = ""
    age: float = 0.0
    idle: float = 0.0
    in_flight: int = 0
    unheard: int = 0
    listens: bool = False


class Gauge(msgspec.Struct, frozen=True, kw_only=True):
    """How much of something there is, and how much there may be."""

    used: int
    limit: int | None = None


class LagStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How late the reactor was, in seconds: the last time, and the most of the last minute."""

    last: float = 0.0
    worst: float = 0.0


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """The daemon.

    :ivar format: of this picture, see :data:`FORMAT`.
    :ivar now: seconds since the epoch.
    :ivar clock: seconds of the daemon's clock, for rates between two pictures.
    :ivar connections: how many, by wire.
    :ivar eras: how many connections were last heard in which era.
    :ivar gauges: what is bounded, by name.
    :ivar counters: what happened so far, by name.
    """

    format: int = FORMAT
    version: str = mcptwist.__version__
    pid: int = 0
    now: float = 0.0
    clock: float = 0.0
    uptime: float = 0.0
    draining: bool = False
    memory: int | None = None
    processor: float = 0.0
    lag: LagStatus = LagStatus()
    endpoints: tuple[str, ...] = ()
    servers: tuple[ServerStatus, ...] = ()
    connections: Mapping[str, int] = {}
    eras: Mapping[str, int] = {}
    gauges: Mapping[str, Gauge] = {}
    counters: Mapping[str, int] = {}

    def server(self, name: str) -> ServerStatus | None:
        """The server of that name."""
        return next((server for server in self.servers if server.name == name), None)


# --- working it out -------------------------------------------------------------------


def quantile(counts: Sequence[int], part: float) -> float | None:
    """An estimate of how long that part of the calls took at most.

    :param counts: as in :class:`~mcptwist.watching.tally.Histogram`.
    :param part: such as 0.95.
    :return: seconds, found by proportion within a bucket; ``None`` for no calls.
    """
    total = sum(counts)
    if total == 0:
        return None
    rank, seen = part * total, 0
    for number, count in enumerate(counts):
        if count and seen + count >= rank:
            if number == len(BOUNDS):
                break
            low = BOUNDS[number - 1] if number else 0.0
            return low + (BOUNDS[number] - low) * (rank - seen) / count
        seen += count
    return BOUNDS[-1]


def latencies(histogram: Histogram, with_buckets: bool = True) -> Latencies:
    """What a histogram says."""
    counts = tuple(histogram.counts)
    return latencies_of(counts, histogram.total, with_buckets)


def latencies_of(counts: tuple[int, ...], seconds: float, with_buckets: bool = True) -> Latencies:
    """What buckets say."""
    return Latencies(
        count=sum(counts),
        seconds=seconds,
        p50=quantile(counts, 0.5),
        p95=quantile(counts, 0.95),
        p99=quantile(counts, 0.99),
        buckets=counts if with_buckets else (),
    )


def outcome_of(outcomes: Outcomes, with_buckets: bool = True) -> Outcome:
    """How calls ended."""
    return Outcome(
        good=outcomes.good,
        failed=outcomes.failed,
        errors=outcomes.errors,
        took=latencies(outcomes.took, with_buckets),
    )
