"""The last log events, for those who look at the daemon from outside."""

from __future__ import annotations

from collections import deque

import msgspec
from twisted.logger import ILogObserver, LogEvent, LogLevel, formatEvent
from zope.interface import implementer

LEVELS = ("debug", "info", "warn", "error", "critical")
_LONGEST = 2000
_LAST_OF_TRACEBACK = 4000


class Line(msgspec.Struct, frozen=True):
    """One event.

    :ivar number: of the line; one more for each.
    :ivar time: seconds since the epoch.
    """

    number: int
    time: float
    level: str
    system: str
    text: str


@implementer(ILogObserver)
class Journal:
    """Keeps the last events of a level and those above it.

    :param kept: how many.
    :param level: the least severe that is kept; may be changed with :meth:`set_level`.
    :ivar last: the number of the newest line.
    """

    def __init__(self, kept: int = 500, level: str = "info") -> None:
        self.last = 0
        self.level = level
        self._lines: deque[Line] = deque(maxlen=kept)
        self._passed: frozenset[object] = frozenset()
        self.set_level(level)

    def set_level(self, level: str) -> None:
        """Keep events from *level* on."""
        names = LEVELS[LEVELS.index(level) :]
        self.level = level
        self._passed = frozenset(LogLevel.lookupByName(name) for name in names)

    def __call__(self, event: LogEvent) -> None:
        """Called by the log publisher."""
        level = event.get("log_level", LogLevel.info)
        if level not in self._passed:
            return
        text = formatEvent(event)[:_LONGEST]
        failure = event.get("log_failure")
        if failure is not None:
            text = f"{text}\n{failure.getTraceback()[-_LAST_OF_TRACEBACK:]}"
        system = str(event.get("log_namespace", "-"))
        self.add(event.get("log_time", 0.0), level.name, system, text)

    def add(self, time: float, level: str, system: str, text: str) -> None:
        """Keep a line, whatever its level."""
        self.last += 1
        self._lines.append(Line(self.last, time, level, system, text))

    def after(self, number: int) -> list[Line]:
        """The lines that came after that one and are still kept."""
        if number >= self.last:
            return []
        return [line for line in self._lines if line.number > number]
