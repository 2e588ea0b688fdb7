"""What Linux says of processes: who they are, who descends from whom.

A pid alone names nobody for long, for pids are used again. A pid and the time
its process started do. Needs nothing but the standard library's small parts,
for the :mod:`~mcptwist.protocols.warden` lives on it. Where there is no
``/proc`` everybody is unknown.
"""

from __future__ import annotations

import os
import signal

HAS_PROC = os.path.exists(f"/proc/self/task/{os.getpid()}/children")
_MOST = 4096  # a fork bomb is not counted to its end in one go


class Stat:
    """What ``/proc/PID/stat`` says of a process; ``start`` is in ticks since boot."""

    __slots__ = ("group", "parent", "pid", "session", "start", "state")

    def __init__(self, text: bytes) -> None:
        self.pid = int(text[: text.index(b" ")])
        # The name in parentheses is the process's own choice; it may hold parentheses.
        fields = text[text.rindex(b")") + 2 :].split()
        self.state = fields[0].decode()
        self.parent = int(fields[1])
        self.group = int(fields[2])
        self.session = int(fields[3])
        self.start = int(fields[19])

    @property
    def dead(self) -> bool:
        """Whether it has exited and only waits to be reaped."""
        return self.state in "ZX"


def stat(pid: int) -> Stat | None:
    """Look a process up; ``None`` when there is none of that number."""
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
            return Stat(file.readall() or b"")
    except (OSError, ValueError, IndexError):
        return None


def everybody() -> list[Stat]:
    """All processes there are."""
    found = (stat(int(name)) for name in os.listdir("/proc") if name.isdecimal())
    return [process for process in found if process is not None]


def children(pid: int) -> list[int]:
    """The pids of the children of *pid*, of all its threads."""
    found: list[int] = []
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return found
    for thread in threads:
        try:
            with open(f"/proc/{pid}/task/{thread}/children", "rb", buffering=0) as file:
                found += map(int, file.readall().split())
        except OSError:
            continue
    return found


def descendants(roots: list[int]) -> set[int]:
    """The pids of all that descend from *roots*, these apart."""
    waiting = list(roots)
    seen = set(roots)
    while waiting and len(seen) < _MOST:
        new = set(children(waiting.pop())) - seen
        seen |= new
        waiting += new
    return seen - set(roots)


def signal_process(pid: int, start: int, number: int) -> None:
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
