"""Where log events go: lines for people or JSON lines, from a level on.

A JSON line is one object: ``time`` (UTC, RFC 3339), ``level``, ``system`` (the
logger's name), ``message``, then the event's own fields, and ``failure`` with the
traceback where there is one. What is no JSON becomes text.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, TextIO
from weakref import WeakSet

import msgspec
from twisted.logger import (
    ILogObserver,
    LogEvent,
    LogLevel,
    formatEvent,
    textFileLogObserver,
)
from twisted.python.logfile import LogFile
from zope.interface import implementer

TEXT, JSON = "text", "json"
LEVELS = ("debug", "info", "warn", "error", "critical")
_OWN = frozenset({"time", "level", "system", "message", "failure"})
_LEGACY = frozenset({"format", "isError", "printed", "why"})
_LONGEST = 64 * 1024


@implementer(ILogObserver)
class FromLevel:
    """Passes on the events of a level and of those above it.

    Events of Twisted's old logger, which have no level, count as ``info``.

    :param level: the least severe that is passed on.
    """

    def __init__(self, observer: Callable[[LogEvent], object], level: str) -> None:
        self._observer = observer
        self._passed: frozenset[object] = frozenset()
        self.set_level(level)
        _FILTERS.add(self)

    def set_level(self, level: str) -> None:
        """Pass on events from *level* on."""
        names = LEVELS[LEVELS.index(level) :]
        self._passed = frozenset(LogLevel.lookupByName(name) for name in names)

    def __call__(self, event: LogEvent) -> None:
        """Called by the log publisher."""
        if event.get("log_level", LogLevel.info) in self._passed:
            self._observer(event)


# There is one log for a process, as Twisted has it, and so one level to set.
_FILTERS: WeakSet[FromLevel] = WeakSet()


def set_level(level: str) -> None:
    """Have whatever logs here log from *level* on."""
    for each in list(_FILTERS):
        each.set_level(level)


@implementer(ILogObserver)
class JsonLines:
    """Writes events as JSON lines.

    :param file: a text file; each line is flushed.
    """

    def __init__(self, file: Any) -> None:
        self._file = file

    def __call__(self, event: LogEvent) -> None:
        """Called by the log publisher."""
        self._file.write(json_line(event))
        self._file.flush()


def json_line(event: LogEvent) -> str:
    """An event as one JSON line, with its line end; never raises."""
    try:
        return _written(_members(event))
    except Exception as problem:
        kind = type(problem).__name__
        return _written({"level": "error", "message": f"an event could not be logged: {kind}"})


def _members(event: LogEvent) -> dict[str, Any]:
    level = event.get("log_level")
    members: dict[str, Any] = {
        "time": _moment(event.get("log_time", 0.0)),
        "level": "info" if level is None else level.name,
        "system": event.get("log_namespace", "-"),
        "message": formatEvent(event)[:_LONGEST],
    }
    for name, value in event.items():
        if not name.startswith("log_") and name not in _OWN and name not in _LEGACY:
            members[name] = _plain(value)
    failure = event.get("log_failure")
    if failure is not None:
        members["failure"] = failure.getTraceback()[-_LONGEST:]
    return members


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


def _plain(value: Any) -> Any:
    """A field's value: as it is where that is plain JSON, else as text."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return value[:_LONGEST]
    if isinstance(value, bytes):
        return value[:_LONGEST].decode("utf-8", "backslashreplace")
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(each) for each in value]
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    return str(value)[:_LONGEST]


def _written(members: Mapping[str, Any]) -> str:
    try:
        return msgspec.json.encode(members).decode() + "\n"
    except UnicodeEncodeError:  # half a character, which only an escape can tell
        return json.dumps(members) + "\n"


def observer(level: str, format: str, file: Any) -> ILogObserver:
    """What writes events to *file*.

    :param level: the least severe that is written.
    :param format: ``text`` or ``json``.
    """
    lines: Any = JsonLines(file) if format == JSON else textFileLogObserver(file)
    return FromLevel(lines, level)


def json_lines(file: TextIO | None = None) -> ILogObserver:
    """JSON lines on standard output, from ``info`` on: for ``twistd --logger``."""
    return observer("info", JSON, file or sys.stdout)


LOG_FILE = "twistd.log"
"""Where twistd logs, in the current folder, unless it is told otherwise."""


def log_file(path: str, foreground: bool) -> Any:
    """The file that twistd's options name, as twistd itself would open it.

    :param path: empty for the default, ``-`` for standard output.
    :param foreground: whether it stays in the foreground.
    """
    if path == "-" or (foreground and not path):
        return sys.stdout
    return MovableLogFile.fromFullPath(path or LOG_FILE)


class MovableLogFile(LogFile):
    """twistd's log file, which another program may have moved away when a new one is to begin."""

    def rotate(self) -> None:
        """Called when the file is full, or a new one is wanted.

        Where it was moved already, as logrotate does, only the new one is opened.
        """
        if not self._was_moved():
            super().rotate()
        elif os.access(self.path if os.path.exists(self.path) else self.directory, os.W_OK):
            self.reopen()

    def _was_moved(self) -> bool:
        ours = os.fstat(self._file.fileno())
        try:
            there = os.stat(self.path)
        except OSError:
            return True
        return (there.st_dev, there.st_ino) != (ours.st_dev, ours.st_ino)
