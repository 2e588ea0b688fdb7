"""A child and everything that descends from it, until none is left.

Signals go to the child's process group. On Linux that is not all: what a
child starts may leave the group (browsers do), and lives on when its parent
dies. So this process becomes the *subreaper* of its descendants: an orphan
becomes our child instead of init's, and can be found, ended and reaped.

Which orphan belongs to which child? Only positive evidence counts, because
others in this process (Twisted's ``spawnProcess``, a plug-in's ``Popen``)
have children too, whose end is theirs to collect: it is in the child's
session, it bears the child's mark (:mod:`~mcptwist.protocols.processes`) and is
not in our own session, or it descends from one of these. Known limit: what
*their* children orphan comes to us as well, and stays a zombie when it ends.

The evidence names a process by pid *and* start time. For the same reason the
child itself stays a zombie until its family is gone: that keeps its group's
number from meaning somebody else.

Where there is no ``/proc`` (macOS, BSD) the group is all that is known.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
from collections.abc import Iterator
from typing import NamedTuple

from twisted.logger import Logger

from mcptwist.protocols.processes import (
    HAS_PROC,
    Stat,
    children,
    descendants,
    mark_of,
    signal_process,
    stat,
)
from mcptwist.protocols.warden import Warden

SIGNALS = {number.value: number.name for number in signal.Signals}
_PR_SET_CHILD_SUBREAPER = 36


class Exit(NamedTuple):
    """How a process ended; both ``None`` when that cannot be known.

    :ivar status: what it returned.
    :ivar signal: the name of what killed it, such as ``SIGKILL``.
    """

    status: int | None
    signal: str | None

    def __str__(self) -> str:
        if self.signal is not None:
            return f"was killed by {self.signal}"
        if self.status is not None:
            return f"exited with status {self.status}"
        return "ended, nobody knows how"


class Household:
    """What the families of one process share; there is one, :data:`household`.

    :ivar leaders: the pids of all children launched and not yet reaped.
    :ivar warden: ends them all should this process be killed.
    """

    log = Logger()

    def __init__(self) -> None:
        self.leaders: set[int] = set()
        self.warden = Warden()
        self._reaper_of: int | None = None

    def prepare(self) -> None:
        """Let orphans among our descendants become our children, where the system can."""
        if not HAS_PROC or self._reaper_of == os.getpid():
            return
        self._reaper_of = os.getpid()
        prctl = getattr(ctypes.CDLL(None, use_errno=True), "prctl", None)
        if prctl is not None:
            prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

    def watch(self, pid: int, start: int, mark: int) -> None:
        """Have the warden watch a process."""
        try:
            self.warden.watch(pid, start, mark)
        except OSError as problem:
            self.log.warn(
                "there is no warden ({problem}): children stay behind should the daemon be killed",
                problem=problem,
            )

    def others(self) -> Iterator[Stat]:
        """Our own children that were not launched here: orphans, and other people's."""
        ours = {*self.leaders, self.warden.pid}
        for pid in children(os.getpid()):
            if pid not in ours and (found := stat(pid)) is not None:
                yield found


household = Household()


class Family:
    """One child, which leads its own session and group, and its descendants.

    :param process: the child, just started.
    :param mark: the one it bears, 0 for none.
    :param household: what it shares with the others.
    """

    def __init__(
        self, process: subprocess.Popen[bytes], mark: int = 0, household: Household = household
    ) -> None:
        self.pid = process.pid
        self._process = process
        self._household = household
        self._known: dict[int, int] = {}
        self._exit: Exit | None = None
        self._reaped = False
        self._mark = mark
        household.leaders.add(self.pid)
        if (found := stat(self.pid)) is not None:
            household.watch(self.pid, found.start, mark)

    def exit(self) -> Exit | None:
        """How the child ended, ``None`` while it lives. It is left unreaped where possible."""
        if self._exit is None:
            self._exit = self._peek()
        return self._exit

    def anyone_left(self) -> bool:
        """Whether a relative of the child lives; those adopted and dead are reaped."""
        if not HAS_PROC:
            return self._reaped and _signal_group(self.pid, 0)
        self._gather()
        return bool(self._known)

    def signal(self, number: int) -> None:
        """Send a signal to the group, and to all who are known to have left it."""
        self._gather()
        if self._group_is_ours():
            _signal_group(self.pid, number)
        for pid, start in self._known.items():
            found = stat(pid)
            if found is not None and found.group != self.pid:
                signal_process(pid, start, number)

    def reap(self) -> None:
        """Collect the child; its group's number is free from now on.

        One that does not end is left as it is, to be reaped when it does.
        """
        if self.exit() is None:
            return
        if not self._reaped:
            _signal_group(self.pid, signal.SIGKILL)  # whoever was overlooked
            self._reaped = True
            self._process.poll()
        self._household.leaders.discard(self.pid)
        self._household.warden.dismiss(self.pid)

    def _group_is_ours(self) -> bool:
        return not self._reaped or not HAS_PROC

    def _peek(self) -> Exit | None:
        if not HAS_PROC:
            return self._collect()
        try:
            found = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:  # somebody waits for whatever child ends
            self._reaped = True
            self._process.poll()
            return Exit(None, None)
        if found is None:
            return None
        if found.si_code == os.CLD_EXITED:
            return Exit(found.si_status, None)
        return Exit(None, SIGNALS.get(found.si_status, f"signal {found.si_status}"))

    def _collect(self) -> Exit | None:
        code = self._process.poll()
        if code is None:
            return None
        self._reaped = True
        return Exit(code, None) if code >= 0 else Exit(None, SIGNALS.get(-code, f"signal {-code}"))

    def _gather(self) -> None:
        """See who descends from the child, and forget who is gone."""
        for found in self._household.others():
            if self._is_ours(found):
                self._known.setdefault(found.pid, found.start)
        for pid in descendants([self.pid, *self._known]) - self._known.keys():
            if (relative := stat(pid)) is not None:
                self._known[pid] = relative.start
        family = {self.pid, *self._known}
        for pid, start in list(self._known.items()):
            now = stat(pid)
            if now is None or now.start != start or _finished(now, family):
                del self._known[pid]

    def _is_ours(self, orphan: Stat) -> bool:
        if self.pid in (orphan.session, orphan.group):
            return True
        if not self._mark or orphan.session == os.getsid(0):
            return False
        return mark_of(orphan.pid) == self._mark


def _finished(found: Stat, family: set[int]) -> bool:
    """Whether a relative is dead and collected, or none of ours will collect it."""
    if not found.dead:
        return False
    if found.parent == os.getpid():
        try:
            os.waitpid(found.pid, os.WNOHANG)
        except ChildProcessError:
            pass
        return True
    # A parent of ours collects it, or leaves it to us by ending.
    return found.parent not in family


def _signal_group(group: int, number: int) -> bool:
    try:
        os.killpg(group, number)
    except OSError:
        return False
    return True
