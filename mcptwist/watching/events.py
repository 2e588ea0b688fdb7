"""What happens in a daemon, as it is told to those who watch.

One :class:`Watching` is one call of the tool ``watch``: it tells what is new every so many
seconds, unless what was told before still waits to be heard.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from twisted.internet.task import deferLater

from mcptwist.server import Context, Refused
from mcptwist.watching.journal import Line
from mcptwist.watching.sieve import Sieve
from mcptwist.watching.traffic import Frame, Watcher

if TYPE_CHECKING:
    from mcptwist.watching.builtin import Admin

EVENTS = "mcptwist/events"
"""Where in the ``_meta`` of a progress notification the events are."""

_BACKLOG = 256 << 10
"""Bytes that may wait for a watcher; while there are more, nothing is made for it."""


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
    audit: tuple[Line, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.frames or self.missed or self.servers or self.log or self.audit)


class Watched(msgspec.Struct, frozen=True):
    """How much was told while somebody watched."""

    frames: int = 0
    missed: int = 0


class Watching:
    """One call of ``watch``."""

    def __init__(
        self, admin: Admin, ctx: Context, topics: frozenset[str], sieve: Sieve | None
    ) -> None:
        self._admin = admin
        self._ctx = ctx
        self._topics = topics
        self._servers: dict[str, ServerChange] = {}
        self._line = admin.journal.last
        self._audit = admin.audit.last
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
        audit = self._admin.audit.after(self._audit) if "audit" in self._topics else []
        if audit:
            self._audit = audit[-1].number
        return Events(tuple(frames), missed, tuple(servers), tuple(lines), tuple(audit))


def _summary(events: Events) -> str:
    counts = {
        "messages": len(events.frames),
        "missed": events.missed,
        "servers": len(events.servers),
        "log lines": len(events.log),
        "audit lines": len(events.audit),
    }
    return ", ".join(f"{count} {what}" for what, count in counts.items() if count)
