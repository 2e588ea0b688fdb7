"""A child and everything that descends from it, until none is left.

Signals go to the child's process group. On Linux that is not all: what a
child starts may leave the group (browsers do), and lives on when its parent
dies. So this process becomes the *subreaper* of its descendants: an orphan
becomes our child instead of init's, and can be found, ended and reaped.

Which orphan belongs to which child? Only positive evidence counts, because
others in this process (Twisted's ``spawnProcess``, a plug-in's ``Popen``)
have children too, whose end is theirs to collect: it is in the child's
session, or it was seen among the child's descendants when :meth:`Family.look`
was last called. The evidence names a process by pid *and* start time, for
pids are used again. For the same reason the child itself stays a zombie until
its family is gone: that keeps its group's number from meaning somebody else.

Where there is no ``/proc`` (macOS, BSD) the group is all that is known.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterable, Iterator
from typing import NamedTuple

SIGNALS = {number.value: number.name for number in signal.Signals}
_HAS_PROC = os.path.exists(f"/proc/self/task/{os.getpid()}/children")
_PR_SET_CHILD_SUBREAPER = 36
_MOST = 4096  # a fork bomb is not counted to its end in one go


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


class Stat(NamedTuple):
    """What ``/proc/PID/stat`` says of a process; ``start`` is in ticks since boot."""

    pid: int
    state: str
    parent: int
    group: int
    session: int
    start: int


def stat(pid: int) -> Stat | None:
    """Look a process up; ``None`` when there is none of that number."""
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
            text = file.read(1024)
    except OSError:
        return None
    # The name in parentheses is the process's own choice; it may hold parentheses.
    fields = text[text.rindex(b")") + 2 :].split()
    return Stat(
        pid, fields[0].decode(), int(fields[1]), int(fields[2]), int(fields[3]), int(fields[19])
    )


def children(pid: int) -> Iterator[int]:
    """The pids of the children of *pid*, of all its threads."""
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return
    for thread in threads:
        try:
            with open(f"/proc/{pid}/task/{thread}/children", "rb", buffering=0) as file:
                text = file.readall()
        except OSError:
            continue
        yield from map(int, text.split())


def descendants(roots: Iterable[int]) -> Iterator[int]:
    """The pids of all that descend from *roots*, which are not told themselves."""
    waiting = list(roots)
    seen = set(waiting)
    while waiting and len(seen) < _MOST:
        for pid in children(waiting.pop()):
            if pid not in seen:
                seen.add(pid)
                waiting.append(pid)
                yield pid


class Household:
    """What the families of one process share; there is one, :data:`household`.

    :ivar leaders: the pids of all children launched and not yet reaped.
    """

    def __init__(self) -> None:
        self.leaders: set[int] = set()
        self._reaper_of: int | None = None

    def adopt_orphans(self) -> None:
        """Let orphans among our descendants become our children, where the system can."""
        if not _HAS_PROC or self._reaper_of == os.getpid():
            return
        self._reaper_of = os.getpid()
        import ctypes

        prctl = getattr(ctypes.CDLL(None, use_errno=True), "prctl", None)
        if prctl is not None:
            prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

    def others(self) -> Iterator[Stat]:
        """Our own children that were not launched here: orphans, and other people's."""
        for pid in children(os.getpid()):
            if pid not in self.leaders and (found := stat(pid)) is not None:
                yield found


household = Household()


class Family:
    """One child, which leads its own session and group, and its descendants.

    :param process: the child, just started.
    :param household: what it shares with the others.
    """

    def __init__(self, process: subprocess.Popen[bytes], household: Household = household) -> None:
        self.pid = process.pid
        self._process = process
        self._household = household
        self._known: dict[int, int] = {}
        self._exit: Exit | None = None
        self._reaped = False
        household.leaders.add(self.pid)

    def exit(self) -> Exit | None:
        """How the child ended, ``None`` while it lives. It is left unreaped where possible."""
        if self._exit is None:
            self._exit = self._peek()
        return self._exit

    def look(self) -> dict[int, int]:
        """See who descends from the child, and remember it.

        :return: pid → start of those known and not gone, the child apart.
        """
        if not _HAS_PROC:
            return {}
        for found in self._household.others():
            if self.pid in (found.session, found.group):
                self._known.setdefault(found.pid, found.start)
        for pid in descendants([self.pid, *self._known]):
            if pid not in self._known and (relative := stat(pid)) is not None:
                self._known[pid] = relative.start
        self._forget_gone()
        return self._known

    def strays(self) -> dict[int, int]:
        """Those known that have left the child's session; pid → start."""
        found = {pid: stat(pid) for pid in self._known}
        return {p: s.start for p, s in found.items() if s is not None and s.session != self.pid}

    def anyone_left(self) -> bool:
        """Whether a relative of the child lives; those adopted and dead are reaped."""
        if _HAS_PROC:
            return bool(self.look())
        return self._reaped and _signal_group(self.pid, 0)

    def signal(self, number: int) -> None:
        """Send a signal to the group, and to all who are known to have left it."""
        self.look()
        if self._group_is_ours():
            _signal_group(self.pid, number)
        for pid, start in self._known.items():
            found = stat(pid)
            if found is not None and found.group != self.pid:
                _signal(pid, start, number)

    def reap(self) -> None:
        """Collect the child, which has exited; its group's number is free from now on."""
        if not self._reaped:
            if self._exit is not None and _HAS_PROC:
                _signal_group(self.pid, signal.SIGKILL)  # whoever was overlooked
            self._reaped = True
            self._process.poll()
        self._household.leaders.discard(self.pid)

    def _group_is_ours(self) -> bool:
        return not self._reaped or not _HAS_PROC

    def _peek(self) -> Exit | None:
        if not _HAS_PROC:
            return self._collect()
        try:
            found = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:  # somebody waits for whatever child ends
            self._reaped = True
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

    def _forget_gone(self) -> None:
        family = {self.pid, *self._known}
        for pid, start in list(self._known.items()):
            found = stat(pid)
            if found is None or found.start != start or _finished(found, family):
                del self._known[pid]


def _finished(found: Stat, family: set[int]) -> bool:
    """Whether a relative is dead and collected, or none of ours will collect it."""
    if found.state not in "ZX":
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


def _signal(pid: int, start: int, number: int) -> None:
    """Signal that very process, not another that came to have its number."""
    try:
        handle = os.pidfd_open(pid)
    except OSError:
        return
    try:
        found = stat(pid)
        if found is not None and found.start == start:
            signal.pidfd_send_signal(handle, number)
    except OSError:
        pass
    finally:
        os.close(handle)
