"""The servers, and one server from near."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from mcptwist.console import keymap
from mcptwist.console.model import clean
from mcptwist.console.screen import CannotDo, TableScreen, TextScreen
from mcptwist.console.tables import Column, Markup, Table
from mcptwist.console.widgets import fit, sparkline
from mcptwist.watching.figures import amount, octets, rate, span
from mcptwist.watching.paces import Pace
from mcptwist.watching.status import Outcome, ServerStatus, ToolStatus

if TYPE_CHECKING:
    from mcptwist.console.app import Console

STATE_COLOURS = {
    "up": "good", "starting": "busy", "waiting": "bad", "failing": "bad",
    "misconfigured": "bad", "draining": "busy", "stopped": "quiet", "idle": "quiet",
    "spare": "quiet",
}  # fmt: skip
_STEPS = 10


class Steering:
    """What can be done to servers, for the views that have some."""

    console: Console

    def names(self, words: Sequence[str]) -> list[str]:
        """The servers that are meant."""
        raise NotImplementedError

    def _each(self, tool: str, words: Sequence[str]) -> None:
        names = self.names(words)
        if not names:
            raise CannotDo("there is no server here")
        self.console.act(tool, *({"name": name} for name in names))

    def do_start(self, *words: str) -> None:
        self._each("start_server", words)

    def do_stop(self, *words: str) -> None:
        self._each("stop_server", words)

    def do_restart(self, *words: str) -> None:
        self._each("restart_server", words)

    def do_drain(self, *words: str) -> None:
        self._each("drain_server", words)

    def do_offers(self, *words: str) -> None:
        self._of_server("tools", words)

    def do_passing(self, *words: str) -> None:
        self._of_server("traffic", words)

    def _of_server(self, view: str, words: Sequence[str]) -> None:
        """Another view, of the first server that is meant."""
        names = self.names(words)
        if names:
            self.console.execute(view)
            self.console.execute(f"filter server:{names[0]}")


class ServersScreen(Steering, TableScreen):
    """All servers."""

    place = title = keymap.SERVERS

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self.table = Table(self._columns(), lambda server: server.name, names=(
            "name", "state", "scope", "reason", "pid"), fields=_fields)  # fmt: skip

    def _columns(self) -> list[Column]:
        pace = self._pace
        return [
            Column("name", "SERVER", 16, lambda s: s.name, lambda s: clean(s.name)),
            Column("state", "STATE", 9, lambda s: s.state, lambda s: s.state, _colour),
            Column("scope", "SCOPE", 7, lambda s: s.scope, lambda s: s.scope, from_width=110),
            Column("pid", "PID", 8, lambda s: s.pids, _pids, from_width=100, right=True),
            Column("uptime", "UP", 6, _up, lambda s: span(s.uptime), right=True, falls=True),
            Column("restarts", "RST", 3, lambda s: s.restarts, lambda s: amount(s.restarts),
                   right=True, falls=True),
            Column("calls", "CALLS/S", 7, lambda s: pace(s).rate, lambda s: rate(pace(s).rate),
                   right=True, falls=True),
            Column("latency", "P95", 6, self._p95, lambda s: span(self._p95(s)),
                   right=True, falls=True),
            Column("errors", "ERR", 4, _bad, lambda s: amount(_bad(s)), _bad_colour, right=True,
                   falls=True),
            Column("open", "OPEN", 4, lambda s: s.in_flight, lambda s: amount(s.in_flight),
                   right=True, falls=True),
            Column("memory", "MEM", 5, lambda s: s.memory or 0, lambda s: octets(s.memory),
                   right=True, falls=True),
            Column("graph", "LAST", _STEPS, lambda s: pace(s).rate, self._graph, lambda _: "spark",
                   from_width=90),
            Column("reason", "REASON", 0, lambda s: s.reason, lambda s: clean(s.reason)),
        ]  # fmt: skip

    def _pace(self, server: ServerStatus) -> Pace:
        return self.world.paces.get(server.name) or Pace()

    def _p95(self, server: ServerStatus) -> float | None:
        """Of late, or else of all calls."""
        pace = self._pace(server)
        return pace.took.p95 if pace.took.count else server.calls.took.p95

    def _graph(self, server: ServerStatus) -> str:
        return sparkline(self._pace(server).rates.last(_STEPS), _STEPS, self.signs)

    def rows(self) -> Sequence[Any]:
        """Every server."""
        return list(self.world.servers.values())

    def empty(self) -> str:
        """There may be none."""
        return "no server is configured; see mcptwist check"

    def words(self) -> Iterable[str]:
        """Their names."""
        return [*self.world.servers, *(column.name for column in self.table.columns)]

    def names(self, words: Sequence[str]) -> list[str]:
        """Those that were named, or marked, or the one with the cursor."""
        return list(words) or [server.name for server in self.table.chosen()]

    def what(self, command: str, words: Sequence[str]) -> str:
        """Their names."""
        return ", ".join(self.names(words))

    def hint(self) -> str:
        """Why it is as it is, for which a column is too narrow."""
        server = self.table.row
        return "" if server is None or not server.reason else f"{server.name}: {server.reason}"

    def do_open(self) -> None:
        if self.table.row is not None:
            self.console.push(ServerScreen(self.console, self.table.row.name))


def _fields(server: ServerStatus) -> dict[str, object]:
    return {
        "name": server.name,
        "state": server.state,
        "scope": server.scope,
        "reason": server.reason,
        "pid": " ".join(map(str, server.pids)),
    }


def _colour(server: ServerStatus) -> str:
    return STATE_COLOURS.get(server.state, "")


def _pids(server: ServerStatus) -> str:
    pids = server.pids
    return f"{pids[0]}+{len(pids) - 1}" if len(pids) > 1 else str(pids[0]) if pids else "-"


def _up(server: ServerStatus) -> float | None:
    return server.uptime


def _bad(server: ServerStatus) -> int:
    return server.troubles + server.calls.failed


def _bad_colour(server: ServerStatus) -> str:
    return "bad" if server.troubles else ""


class ServerScreen(Steering, TextScreen):
    """One server: how it is, its processes, its tools, its last words."""

    def __init__(self, console: Console, name: str) -> None:
        super().__init__(console, name, place=keymap.SERVER)
        self.name = name

    def names(self, words: Sequence[str]) -> list[str]:
        """This one, unless others are named."""
        return list(words) or [self.name]

    def what(self, command: str, words: Sequence[str]) -> str:
        """Its name."""
        return ", ".join(self.names(words))

    def words(self) -> Iterable[str]:
        """The names of all servers."""
        return list(self.world.servers)

    def wants(self) -> set[str]:
        """It, in detail."""
        return {f"server {self.name}"}

    def lines(self, width: int) -> Sequence[Markup]:
        """All of it."""
        server = self.world.details.get(self.name) or self.world.servers.get(self.name)
        if server is None:
            return [("quiet", f"  {self.name} is not there")]
        pace = self.world.paces.get(self.name) or Pace()
        return [
            *self._summary(server, pace, width),
            *self._processes(server),
            *self._tools(server.tools),
            *self._words(server),
            *_settings(server),
        ]

    def _summary(self, server: ServerStatus, pace: Pace, width: int) -> list[Markup]:
        calls = server.calls
        steps = max(10, min(60, width - 40))
        lines: list[Markup] = [
            [("head", "State     "), (_colour(server), server.state), f"  scope {server.scope}"],
        ]
        if server.reason:
            lines.append([("head", "Reason    "), ("bad", clean(server.reason))])
        lines += [
            [("head", "Calls     "), _outcomes(calls), f", {server.in_flight} open, "
             f"{server.cancelled} cancelled, {server.late} late, {server.lost} lost, "
             f"{server.refused} refused"],
            [("head", "Took      "), _latency(calls)],
            [("head", "Calls/s   "), f"{rate(pace.rate):>7} ",
             ("spark", sparkline(pace.rates.last(steps), steps, self.signs))],
            [("head", "p95       "), f"{span(pace.took.p95):>7} ",
             ("spark", sparkline(pace.p95s.last(steps), steps, self.signs))],
            [("head", "Nonsense  "), f"{server.strays} stray answers, "
             f"{server.malformed} malformed, {server.unattributed} log messages for nobody"],
            "",
        ]  # fmt: skip
        return lines

    def _processes(self, server: ServerStatus) -> list[Markup]:
        lines: list[Markup] = [("head", "Processes and connections")]
        for process in server.processes:
            pid = "" if process.pid is None else f" pid {process.pid}"
            colour = STATE_COLOURS.get(process.state, "")
            lines.append([
                f"  {process.era:7}", (colour or "good", f"{process.state:9}"),
                f"{span(process.since):>6}  {process.starts} starts  {octets(process.memory):>6}"
                f"{pid}  {clean(process.wire)} {process.revision}",
            ])  # fmt: skip
            if process.reason and process.state != "up":
                lines.append(("bad", f"    {clean(process.reason)}"))
        if not server.processes:
            lines.append(("quiet", "  none; it is started when it is asked"))
        return [*lines, ""]

    def _tools(self, tools: Sequence[ToolStatus]) -> list[Markup]:
        if not tools:
            return []
        head = f"{'Tool':32}{'ok':>7}{'failed':>7}{'error':>7}{'p50':>8}{'p95':>8}{'p99':>8}"
        lines: list[Markup] = [("head", head)]
        for tool in sorted(tools, key=lambda tool: -tool.calls.count):
            took = tool.calls.took
            name = fit(clean(tool.name or "(others)"), 30, self.signs)
            lines.append(
                f"  {name}{amount(tool.calls.good):>7}{amount(tool.calls.failed):>7}"
                f"{amount(tool.calls.errors):>7}{span(took.p50):>8}{span(took.p95):>8}"
                f"{span(took.p99):>8}"
            )
        return [*lines, ""]

    def _words(self, server: ServerStatus) -> list[Markup]:
        lines: list[Markup] = []
        for process in server.processes:
            if process.stderr:
                whose = "" if process.pid is None else f" of {process.pid}"
                lines.append(("head", f"Last words on stderr{whose}"))
                lines += [*(f"  {clean(line)}" for line in process.stderr), ""]
        return lines


def _settings(server: ServerStatus) -> list[Markup]:
    """What its configuration says."""
    if not server.settings:
        return []
    rows: list[Markup] = [
        [f"  {clean(name.replace('_', ' ')):16}", clean(value)]
        for name, value in server.settings.items()
    ]
    return [("head", "Configuration"), *rows]


def _outcomes(calls: Outcome) -> str:
    return f"{calls.good} ok, {calls.failed} failed, {calls.errors} errors"


def _latency(calls: Outcome) -> str:
    took = calls.took
    return f"p50 {span(took.p50)}, p95 {span(took.p95)}, p99 {span(took.p99)} since the start"
