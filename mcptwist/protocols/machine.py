"""What the system says of the daemon and its children, for the snapshot."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable

from mcptwist.protocols import processes
from mcptwist.watching.survey import Machine

__all__ = ["LinuxMachine", "process_start"]


class LinuxMachine(Machine):
    """Reads ``/proc``; where there is none, memory is not known."""

    def memory(self, pid: int) -> int | None:
        """Bytes that a process and all that descends from it have in memory."""
        return processes.resident(pid)

    def own_memory(self, pid: int) -> int | None:
        """Bytes that a process has in memory, by itself."""
        return processes.own_resident(pid)

    def processor(self) -> float:
        """Seconds of processor time that the daemon has used."""
        used = resource.getrusage(resource.RUSAGE_SELF)
        return used.ru_utime + used.ru_stime


def process_start(wall: Callable[[], float] = time.time) -> float:
    """When this process began, in seconds since 1970; now, where the system does not tell."""
    try:
        with open("/proc/self/stat", "rb") as file:
            ticks = int(file.read().rpartition(b")")[2].split()[19])
        up = time.clock_gettime(time.CLOCK_BOOTTIME)
        return wall() - (up - ticks / os.sysconf("SC_CLK_TCK"))
    except (OSError, ValueError, IndexError, AttributeError):
        return wall()
