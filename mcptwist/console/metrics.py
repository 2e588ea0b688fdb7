"""How the daemon does, as numbers and sparklines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mcptwist.console import keymap
from mcptwist.console.model import clean
from mcptwist.console.screen import TextScreen
from mcptwist.console.tables import Markup
from mcptwist.console.widgets import fit, sparkline
from mcptwist.watching.figures import amount, octets, rate, span
from mcptwist.watching.paces import History
from mcptwist.watching.status import Status

if TYPE_CHECKING:
    from mcptwist.console.app import Console


class MetricsScreen(TextScreen):
    """Everything that is measured."""

    def __init__(self, console: Console) -> None:
        super().__init__(console, keymap.METRICS, place=keymap.METRICS)

    def badge(self) -> str:
        """How often the daemon is looked at."""
        every = f"every {self.console.feed.interval:g} s"
        return "  ".join(part for part in (super().badge(), every) if part)

    def lines(self, width: int) -> Sequence[Markup]:
        """All of it."""
        status = self.world.status
        if status is None:
            return [("quiet", f"  ({self.world.link.state})")]
        steps = max(10, min(120, width - 32))
        return [
            *self._graphs(status, steps),
            "",
            *self._servers(steps),
            "",
            *self._bounded(status),
            "",
            *self._counted(status, width),
        ]

    def _graph(self, title: str, value: str, history: History, steps: int) -> Markup:
        bars = sparkline(history.last(steps), steps, self.signs)
        return [("head", f"{title:14}"), f"{value:>10} ", ("spark", bars)]

    def _graphs(self, status: Status, steps: int) -> list[Markup]:
        world, pace = self.world, self.world.whole
        worst = span(status.lag.worst)
        return [
            self._graph("Calls/s", rate(pace.rate), pace.rates, steps),
            self._graph("p95", span(pace.took.p95), pace.p95s, steps),
            self._graph(
                "In flight", amount((world.flights.last(1) or [0])[-1]), world.flights, steps
            ),
            self._graph("Reactor lag", span(status.lag.last), world.lags, steps),
            self._graph("Memory", octets(status.memory), world.memories, steps),
            f"  worst lag of a minute {worst}, processor time {span(status.processor)}",
        ]

    def _servers(self, steps: int) -> list[Markup]:
        lines: list[Markup] = [("head", "Server            calls/s      p95")]
        for name, pace in self.world.paces.items():
            shown = fit(clean(name), 16, self.signs)
            bars = sparkline(pace.rates.last(steps - 10), steps - 10, self.signs)
            lines.append(
                [f"{shown} {rate(pace.rate):>8} {span(pace.took.p95):>8} ", ("spark", bars)]
            )
        return lines

    def _bounded(self, status: Status) -> list[Markup]:
        lines: list[Markup] = [("head", "Bounded                    used     limit")]
        for name, gauge in sorted(status.gauges.items()):
            full = gauge.limit is not None and gauge.used * 10 >= gauge.limit * 9
            text = f"  {name:22}{amount(gauge.used):>7}{amount(gauge.limit):>10}"
            lines.append(("bad", text) if full else text)
        wires = ", ".join(f"{count} {wire}" for wire, count in status.connections.items())
        eras = ", ".join(f"{count} {era}" for era, count in status.eras.items())
        return [*lines, f"  connections: {wires or 'none'}; {eras or 'nobody was heard yet'}"]

    def _counted(self, status: Status, width: int) -> list[Markup]:
        """What happened so far; in two columns where there is room."""
        some = [
            f"{name:38}{amount(count):>8}"
            for name, count in sorted(status.counters.items())
            if count
        ]
        head: Markup = ("head", "Counted so far, where there is anything")
        if width < 100:
            return [head, *(f"  {each}" for each in some)]
        half = -(-len(some) // 2)
        right = [*some[half:], ""]
        return [head, *(f"  {a}   {b}" for a, b in zip(some[:half], right, strict=False))]
