"""The snapshot as Prometheus wants it.

Everything is made from one :class:`~mcptwist.watching.status.Status` when somebody scrapes;
nothing is looked up or labelled while calls are served. Names and meanings are in
``docs/metrics.rst``. Three kinds of failure are kept apart: what HTTP refused
(``mcptwist_http_refused_total``), JSON-RPC errors and ``isError`` (the outcomes
``error`` and ``failed`` of ``mcptwist_calls_total``). Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate

import msgspec
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
    SummaryMetricFamily,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from mcptwist.supervisor import UP
from mcptwist.watching.status import Latencies, Outcome, ServerStatus, Status
from mcptwist.watching.tally import BOUNDS

CONTENT_TYPE = CONTENT_TYPE_LATEST
OTHER_TOOLS = "(others)"

# Twice as coarse as what we count in: 1, 2 and 5 of each decade.
_TOLD = [n for n, bound in enumerate(BOUNDS) if f"{bound:e}"[:3] in ("1.0", "2.0", "5.0")]
_QUANTILES = (("0.5", "p50"), ("0.95", "p95"), ("0.99", "p99"))


class _Server(msgspec.Struct, frozen=True):
    """A plain count or gauge of each server."""

    name: str
    help: str
    of: str
    counts: bool = False


_OF_SERVERS = (
    _Server("server_in_flight", "Requests that a server has not answered yet.", "in_flight"),
    _Server("server_sessions", "Legacy sessions that have to do with a server.", "sessions"),
    _Server("server_memory_bytes", "Memory of a server's processes and descendants.", "memory"),
    _Server("server_restarts", "Starts beyond the first of each process.", "restarts", True),
    _Server("server_strays", "Answers that nobody waited for.", "strays", True),
    _Server("server_malformed", "Frames of a server that held no message.", "malformed", True),
    _Server("server_unattributed", "Log messages nobody could be found for.", "unattributed", True),
    _Server("server_call_processes", "Processes that calls have to themselves.", "call_processes"),
    _Server("server_evicted", "Calls that lost their process to another.", "evicted", True),
)


def exposition(status: Status) -> bytes:
    """The metrics, in the text format.

    :param status: a detailed one, for there are metrics of each tool.
    """
    text: bytes = generate_latest(Collector(status))
    return text


class Collector:
    """What ``prometheus_client`` asks for metrics."""

    def __init__(self, status: Status) -> None:
        self._status = status

    def collect(self) -> Iterator[Metric]:
        """Called for the metrics."""
        status = self._status
        yield from _daemon(status)
        yield from _calls(status.servers)
        yield from _tools(status.servers)
        yield from _servers(status.servers)
        yield from _gauges(status)
        yield from _counters(status)


def _daemon(status: Status) -> Iterator[Metric]:
    info = InfoMetricFamily("mcptwist", "The daemon.")
    info.add_metric([], {"version": status.version})
    yield info
    plain = (
        ("uptime_seconds", "Seconds since the daemon was made.", status.uptime),
        ("draining", "1 while the daemon finishes what is open.", float(status.draining)),
        ("memory_bytes", "Memory of the daemon itself.", status.memory),
        ("reactor_lag_seconds", "How late a timer fired last.", status.lag.last),
        ("reactor_lag_worst_seconds", "The same, the most of a minute.", status.lag.worst),
    )
    for name, help, value in plain:
        if value is not None:
            yield GaugeMetricFamily(f"mcptwist_{name}", help, value=value)
    help = "Processor time that the daemon has used."
    yield CounterMetricFamily("mcptwist_processor_seconds", help, value=status.processor)


def _calls(servers: Sequence[ServerStatus]) -> Iterator[Metric]:
    calls = CounterMetricFamily(
        "mcptwist_calls", "Requests to a server, by how they ended.", labels=["server", "outcome"]
    )
    took = HistogramMetricFamily(
        "mcptwist_call_seconds", "How long answered requests took.", labels=["server"]
    )
    for server in servers:
        for outcome, count in _outcomes(server).items():
            calls.add_metric([server.name, outcome], count)
        if server.calls.took.buckets:
            took.add_metric([server.name], *_buckets(server.calls.took))
    yield calls
    yield took


def _outcomes(server: ServerStatus) -> dict[str, int]:
    return {
        **_ends(server.calls),
        "cancelled": server.cancelled,
        "late": server.late,
        "lost": server.lost,
        "refused": server.refused,
    }


def _ends(calls: Outcome) -> dict[str, int]:
    return {"ok": calls.good, "failed": calls.failed, "error": calls.errors}


def _buckets(took: Latencies) -> tuple[list[tuple[str, float]], float]:
    upto = list(accumulate(took.buckets))
    told: list[tuple[str, float]] = [(f"{BOUNDS[number]:g}", upto[number]) for number in _TOLD]
    return [*told, ("+Inf", took.count)], took.seconds


def _tools(servers: Sequence[ServerStatus]) -> Iterator[Metric]:
    labels = ["server", "tool"]
    calls = CounterMetricFamily(
        "mcptwist_tool_calls", "Calls of a tool, by how they ended.", labels=[*labels, "outcome"]
    )
    took = SummaryMetricFamily(
        "mcptwist_tool_call_seconds", "How long calls of a tool took.", labels=labels
    )
    for server in servers:
        for tool in server.tools:
            named = [server.name, tool.name or OTHER_TOOLS]
            for outcome, count in _ends(tool.calls).items():
                calls.add_metric([*named, outcome], count)
            _summarize(took, named, tool.calls.took)
    yield calls
    yield took


def _summarize(summary: SummaryMetricFamily, named: list[str], took: Latencies) -> None:
    summary.add_metric(named, count_value=took.count, sum_value=took.seconds)
    labels = dict(zip(("server", "tool"), named, strict=True))
    for quantile, of in _QUANTILES:
        seconds = getattr(took, of)
        if seconds is not None:
            summary.add_sample(
                "mcptwist_tool_call_seconds", {**labels, "quantile": quantile}, seconds
            )


def _servers(servers: Sequence[ServerStatus]) -> Iterator[Metric]:
    up = GaugeMetricFamily("mcptwist_server_up", "1 while it can be asked.", labels=["server"])
    state = GaugeMetricFamily(
        "mcptwist_server_state", "1 for the state it is in.", labels=["server", "state"]
    )
    processes = GaugeMetricFamily(
        "mcptwist_server_processes", "Its links that are up.", labels=["server"]
    )
    for server in servers:
        up.add_metric([server.name], float(server.state == UP))
        state.add_metric([server.name, server.state], 1.0)
        running = sum(process.state == UP for process in server.processes)
        processes.add_metric([server.name], running)
    yield from (up, state, processes)
    yield from (_of_servers(each, servers) for each in _OF_SERVERS)


def _of_servers(each: _Server, servers: Iterable[ServerStatus]) -> Metric:
    kind = CounterMetricFamily if each.counts else GaugeMetricFamily
    family: Metric = kind(f"mcptwist_{each.name}", each.help, labels=["server"])
    for server in servers:
        value = getattr(server, each.of)
        if value is not None:
            family.add_metric([server.name], value)  # type: ignore[attr-defined]
    return family


def _gauges(status: Status) -> Iterator[Metric]:
    wires = GaugeMetricFamily("mcptwist_connections", "Open connections.", labels=["wire"])
    for wire, count in status.connections.items():
        wires.add_metric([wire], count)
    eras = GaugeMetricFamily(
        "mcptwist_connections_by_era", "Connections by who was last heard.", labels=["era"]
    )
    for era, count in status.eras.items():
        eras.add_metric([era], count)
    yield from (wires, eras)
    for name, gauge in status.gauges.items():
        if name != "connections":
            help = f"In use now: {name.replace('_', ' ')}."
            yield GaugeMetricFamily(f"mcptwist_{name}", help, value=gauge.used)
        if gauge.limit is not None:
            help = f"The bound of mcptwist_{name}."
            yield GaugeMetricFamily(f"mcptwist_{name}_limit", help, value=gauge.limit)


def _counters(status: Status) -> Iterator[Metric]:
    """Counters; those of a table have its key as a label."""
    tables: dict[str, CounterMetricFamily] = {}
    for name, count in status.counters.items():
        part, _, rest = name.partition(".")
        counted, _, key = rest.partition(".")
        metric = f"mcptwist_{part}_{counted}"
        if not key:
            yield CounterMetricFamily(metric, f"Counted so far: {name}.", value=count)
            continue
        if metric not in tables:
            help = f"Counted so far: {part}.{counted}."
            tables[metric] = CounterMetricFamily(metric, help, labels=["code"])
        tables[metric].add_metric([key], count)
    yield from tables.values()
