"""What Linux says of processes: who they are, who descends from whom.

A pid alone names nobody for long, for pids are used again. A pid and the time
its process started do.

Who descends from whom is told by parents and sessions only while nobody leaves
them, as browsers and whatever turns itself into a daemon do. So a child bears a
*mark* from its first moment, which all its descendants inherit and no change of
parent, group, session or program takes away: the soft limit of real-time CPU
time, set to a number that means nobody else. Only processes that were given
real-time scheduling are subject to that limit, and to them it allows 146,000
years.

Needs nothing but the small parts of the standard library, for the
:mod:`~mcptwist.protocols.warden` lives on it. Where there is no ``/proc``
everybody is unknown.
"""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager

HAS_PROC = os.path.exists(f"/proc/self/task/{os.getpid()}/children")
_LIMIT = b"Max realtime timeout"
_PAGE = resource.getpagesize()
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


def resident(pid: int) -> int | None:
    """Bytes of memory that *pid* and all that descends from it use; ``None`` if it is gone.

    What they share is counted for each.
    """
    own = own_resident(pid)
    if own is None:
        return None
    return own + sum(own_resident(other) or 0 for other in descendants([pid]))


def own_resident(pid: int) -> int | None:
    """Bytes of memory that *pid* uses by itself; ``None`` if it is gone."""
    try:
        with open(f"/proc/{pid}/statm", "rb", buffering=0) as file:
            return int((file.readall() or b"").split()[1]) * _PAGE
    except (OSError, ValueError, IndexError):
        return None


def new_mark() -> int:
    """A mark unlike any other."""
    return 1 << 62 | int.from_bytes(os.urandom(7), "big")


@contextmanager
def bearing(mark: int) -> Iterator[None]:
    """What this process starts meanwhile bears the mark, where the system allows it.

    So does what another thread starts in the same half millisecond, which is why
    a mark counts only for who is not in this process's own session.
    """
    try:
        soft, hard = resource.getrlimit(resource.RLIMIT_RTTIME)
        if hard != resource.RLIM_INFINITY:
            raise ValueError("it could not be given back")
        resource.setrlimit(resource.RLIMIT_RTTIME, (mark, hard))
    except (AttributeError, OSError, ValueError):
        yield
        return
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_RTTIME, (soft, hard))


def mark_of(pid: int) -> int:
    """The mark that a process bears, 0 when it has none."""
    try:
        with open(f"/proc/{pid}/limits", "rb", buffering=0) as file:
            text = file.readall() or b""
    except OSError:
        return 0
    at = text.find(_LIMIT)
    soft = text[at + len(_LIMIT) :].split(None, 1)[0] if at >= 0 else b""
    return int(soft) if soft.isdigit() else 0


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
