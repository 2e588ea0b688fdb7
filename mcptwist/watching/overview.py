"""What ``mcptwist status`` and ``mcptwist top`` print."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from mcptwist.client import Client
from mcptwist.watching.figures import amount, octets, rate, span
from mcptwist.watching.paces import Pace
from mcptwist.watching.status import ServerStatus, Status
from mcptwist.watching.whereabouts import look

OK, FAILED = 0, 1

_COLUMNS = (
    ("SERVER", 18, False), ("STATE", 13, False), ("PID", 8, True), ("UP", 7, True),
    ("RST", 4, True), ("CALLS", 7, True), ("CALLS/S", 8, True), ("P50", 7, True),
    ("P95", 7, True), ("P99", 7, True), ("ERR", 5, True), ("OPEN", 5, True), ("MEM", 6, True),
)  # fmt: skip


def table(status: Status, paces: Mapping[str, Pace] | None = None) -> str:
    """A picture as lines of text.

    :param paces: how the servers go, where that is known.
    """
    connections = sum(status.connections.values())
    lines = [
        f"mcptwist {status.version}, pid {status.pid}, up {span(status.uptime)}, "
        f"{connections} connections, {status.gauges['sessions'].used} sessions, "
        f"{octets(status.memory)}, lag {span(status.lag.worst)}"
        + (", DRAINING" if status.draining else ""),
        *(f"  {endpoint}" for endpoint in status.endpoints),
        _row([title for title, _, _ in _COLUMNS]),
    ]
    for server in status.servers:
        lines.append(_row(_cells(server, (paces or {}).get(server.name))))
        if server.reason:
            lines.append(f"    {server.reason}")
    return "\n".join(lines)


def _cells(server: ServerStatus, pace: Pace | None) -> list[str]:
    took = server.calls.took if pace is None or not pace.took.count else pace.took
    return [
        server.name,
        server.state,
        str(server.pids[0]) if server.pids else "-",
        span(server.uptime),
        str(server.restarts),
        amount(server.calls.count),
        "-" if pace is None else rate(pace.rate),
        span(took.p50),
        span(took.p95),
        span(took.p99),
        amount(server.troubles),
        amount(server.in_flight),
        octets(server.memory),
    ]


def _row(cells: list[str]) -> str:
    parts = [
        cell.rjust(width) if right else cell[:width].ljust(width)
        for cell, (_, width, right) in zip(cells, _COLUMNS, strict=True)
    ]
    return " ".join(parts).rstrip()


async def say_status(client: Client, as_json: bool, say: Callable[[str], None]) -> int:
    """Say how the daemon is.

    :return: 0 when all is well, 1 when a server is in trouble or it drains.
    """
    status = await look(client)
    say(msgspec.json.encode(status).decode() if as_json else table(status))
    troubled = any(s.state in ("failing", "waiting", "misconfigured") for s in status.servers)
    return FAILED if troubled or status.draining else OK


async def say_top(
    client: Client,
    reactor: Any,
    every: float,
    count: int,
    as_json: bool,
    say: Callable[[str], None],
) -> int:
    """Say it again and again, with what happened between.

    :param every: seconds.
    :param count: how often; 0 for ever.
    """
    from twisted.internet.task import deferLater

    paces: dict[str, Pace] = {}
    _pace(paces, await look(client))
    done = 0
    while not count or done < count:
        await deferLater(reactor, every)
        status = await look(client)
        _pace(paces, status)
        say(_json_of(status, paces) if as_json else table(status, paces) + "\n")
        done += 1
    return OK


def _pace(paces: dict[str, Pace], status: Status) -> None:
    for server in status.servers:
        pace = paces.setdefault(server.name, Pace())
        pace.look(status.clock, server.calls.count, server.troubles, server.calls.took)


def _json_of(status: Status, paces: Mapping[str, Pace]) -> str:
    """One line: what is interesting again and again."""
    servers = [
        {
            "name": server.name,
            "state": server.state,
            "rate": round(paces[server.name].rate, 3),
            "p95": paces[server.name].took.p95,
            "troubles": round(paces[server.name].troubles, 3),
            "inFlight": server.in_flight,
            "memory": server.memory,
        }
        for server in status.servers
    ]
    told = {"now": status.now, "connections": status.connections, "servers": servers}
    return msgspec.json.encode(told).decode()
