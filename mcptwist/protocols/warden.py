"""Ends the children when the daemon could not: no orphans after ``kill -9``.

The warden is one small process, started with the first child. It reads from a
pipe whom to watch and waits for the pipe's end. That comes when the daemon has
gone, however it went, for the kernel closes the other end. Whoever is still
watched then, and whoever belongs to them, is given a moment to leave by
itself (its stdin has ended too), then SIGTERM, then SIGKILL.

Alternatives, and why not: ``PR_SET_PDEATHSIG`` (``setpriv --pdeathsig``)
reaches the daemon's own children only, not what they started, costs a process
in between and 0.8 ms a start. A cgroup needs rights that a daemon in a terminal
has not. A subreaper per child would cost each child what the warden costs once:
8 MB of RSS, half of it shared with any other Python, and 15 ms of start-up in
the background.

It leads a session of its own and is deaf to polite signals, so that neither
Ctrl-C nor a service manager that signals the whole group ends it before its
work is done. Should it be killed all the same, the daemon starts another when
it next has something to tell it. Whom to end is decided by pid and start time
(:mod:`~mcptwist.protocols.processes`).

Known limit: a process that the daemon forks without starting a program
(``multiprocessing`` in its fork mode) holds the pipe open while it lives.
"""

from __future__ import annotations

import os
import signal
import sys
import time

from mcptwist.protocols.processes import Stat, everybody, mark_of, signal_process, stat

TYPE_CHECKING = False  # as in typing, which the warden itself has no need of
if TYPE_CHECKING:
    import subprocess

LEAVE = 0.5
TERM_GRACE = 2.0
KILL_GRACE = 2.0
_POLITE = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT}
_POLL_EVERY = 0.05


class Warden:
    """The daemon's end: tells the warden whom to watch.

    :ivar pid: of the warden, 0 when there is none.
    """

    def __init__(self) -> None:
        self.pid = 0
        self._wards: dict[int, tuple[int, int]] = {}
        self._fd = -1
        self._process: subprocess.Popen[bytes] | None = None

    def watch(self, pid: int, start: int, mark: int = 0) -> None:
        """End this process, its session and its descendants when the daemon is gone.

        :param start: of the process, in ticks since boot.
        :param mark: that all its descendants bear, 0 for none.
        :raises OSError: there is no warden, and none can be started.
        """
        self._wards[pid] = (start, mark)
        try:
            if self._fd < 0:
                raise BrokenPipeError
            os.write(self._fd, b"+%d %d %d\n" % (pid, start, mark))
        except OSError:  # it was killed, or is stopped and its pipe is full
            self._fire()
            self._hire()

    def dismiss(self, pid: int) -> None:
        """Watch this process no more."""
        if self._wards.pop(pid, None) is not None and self._fd >= 0:
            try:
                os.write(self._fd, b"-%d\n" % pid)
            except OSError:
                self._fire()  # the next is told only of who is left

    def leave(self) -> None:
        """Send the warden away; it ends whoever is still watched."""
        self._wards.clear()
        self._close()

    def _hire(self) -> None:
        import subprocess  # here, for the warden itself has no need of it

        package = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
        code = f"import sys; sys.path[:0] = [{package!r}]; import {__name__} as w; w.main()"
        # What is blocked here is blocked there, from its first moment to its last.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _POLITE)
        try:
            process = subprocess.Popen(  # noqa: S603 (all of it is ours)
                [sys.executable, "-I", "-S", "-c", code],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                env={},
                start_new_session=True,
            )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        assert process.stdin is not None
        self._process = process
        self.pid = process.pid
        self._fd = process.stdin.fileno()
        wards = [b"+%d %d %d\n" % (pid, *ward) for pid, ward in self._wards.items()]
        os.write(self._fd, b"".join(wards))
        os.set_blocking(self._fd, False)

    def _fire(self) -> None:
        # Were it only stopped, it would take the end of its pipe for the daemon's.
        if self._process is not None:
            self._process.kill()
        self._close()

    def _close(self) -> None:
        process, self._process = self._process, None
        self._fd, self.pid = -1, 0
        if process is not None and process.stdin is not None:
            process.stdin.close()
            process.poll()


def main() -> None:
    """The life of the warden."""
    end(*listen(0))


def listen(fd: int) -> tuple[dict[int, int], set[int]]:
    """Hear whom to watch until the daemon is gone.

    :return: pid → start of those who are left, and their marks.
    """
    wards: dict[int, tuple[int, int]] = {}
    rest = b""
    while data := os.read(fd, 1 << 16):
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            if line[:1] == b"+":
                pid, start, mark = map(int, line[1:].split())
                wards[pid] = (start, mark)
            else:
                wards.pop(int(line[1:]), None)
    starts = {pid: start for pid, (start, _) in wards.items()}
    return starts, {mark for _, mark in wards.values() if mark}


def end(wards: dict[int, int], marks: set[int]) -> None:
    """End *wards* and all that belong to them: wait, SIGTERM, SIGKILL."""
    stages = ((0, LEAVE), (signal.SIGTERM, TERM_GRACE), (signal.SIGKILL, KILL_GRACE))
    family: dict[int, int] = {}
    for number, grace in stages:
        # Some may have come since.
        processes = everybody()
        marked = {p.pid: p.start for p in processes if mark_of(p.pid) in marks}
        family |= belonging(wards | family | marked, processes)
        for pid, start in family.items():
            if number:
                signal_process(pid, start, number)
        until = time.monotonic() + grace
        while (family := living(family)) and time.monotonic() < until:
            time.sleep(_POLL_EVERY)
        if not family:
            return


def belonging(wards: dict[int, int], processes: list[Stat]) -> dict[int, int]:
    """The wards that live, the members of their sessions, and all descendants of these.

    :param wards: pid → start.
    :param processes: all there are.
    :return: pid → start.
    """
    now = {process.pid: process.start for process in processes}
    # When a ward's number is another's by now, so is the session of that number.
    true = {pid: start for pid, start in wards.items() if now.get(pid, start) == start}
    family: set[int] = set()
    grown = True
    while grown:
        size = len(family)
        family |= {p.pid for p in processes if _belongs(p, true, family)}
        grown = len(family) > size
    family.discard(os.getpid())
    return {pid: now[pid] for pid in family}


def _belongs(process: Stat, wards: dict[int, int], family: set[int]) -> bool:
    if process.pid in wards or process.parent in family:
        return True
    return process.session in wards and process.start >= wards[process.session]


def living(family: dict[int, int]) -> dict[int, int]:
    """Those of *family* that have not exited."""
    found = {pid: stat(pid) for pid in family}
    return {
        pid: start
        for pid, start in family.items()
        if (process := found[pid]) is not None and process.start == start and not process.dead
    }
