"""The log of the daemon."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mcptwist.console import keymap
from mcptwist.console.following import FollowingScreen
from mcptwist.console.model import clean
from mcptwist.console.screen import TextScreen
from mcptwist.console.tables import Column, Markup, Table
from mcptwist.watching.journal import Line

if TYPE_CHECKING:
    from mcptwist.console.app import Console

LEVEL_COLOURS = {"warn": "busy", "error": "bad", "critical": "bad", "debug": "quiet"}


class _Lines(FollowingScreen):
    """Lines of a log, the newest at the end."""

    system = "SYSTEM"

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        columns = [
            Column("time", "TIME", 8, lambda line: line.number, lambda line: _clock(line.time)),
            Column("level", "LEVEL", 8, lambda line: line.level, lambda line: line.level,
                   lambda line: LEVEL_COLOURS.get(line.level, "")),
            Column("system", self.system, 26, lambda line: line.system,
                   lambda line: clean(line.system), from_width=110),
            Column("text", "TEXT", 0, lambda line: line.text, lambda line: clean(line.text)),
        ]  # fmt: skip
        self.table = Table(columns, lambda line: line.number)

    def hint(self) -> str:
        """The text, which may be longer than its column."""
        return "" if self.table.row is None else str(self.table.row.text)

    def do_pause(self) -> None:
        self.do_follow()

    def do_open(self) -> None:
        line = self.table.row
        if line is not None:
            self.console.push(TextScreen(self.console, "line", lambda width: _whole(line)))


class LogScreen(_Lines):
    """The log."""

    place = title = keymap.LOG

    def rows(self) -> Sequence[Any]:
        """Those that were told."""
        return list(self.world.lines)

    def empty(self) -> str:
        """Nothing was logged."""
        return "nothing was logged"


class AuditScreen(_Lines):
    """Who came in, and who did not."""

    place = title = keymap.AUDIT
    system = "EVENT"

    def rows(self) -> Sequence[Any]:
        """Those that were told."""
        return list(self.world.audit)

    def empty(self) -> str:
        """There may be nothing to tell of."""
        return "nothing happened at the gate; without an [auth] section there is none"


def _whole(line: Line) -> list[Markup]:
    return [
        [("head", "Time    "), time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(line.time))],
        [("head", "Level   "), (LEVEL_COLOURS.get(line.level, "good"), line.level)],
        [("head", "System  "), clean(line.system)],
        "",
        *(clean(text) for text in line.text.splitlines()),
    ]


def _clock(moment: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(moment))
