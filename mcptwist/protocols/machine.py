"""What the system says of the daemon and its children, for the snapshot."""

from __future__ import annotations

import resource

from mcptwist.protocols import processes
from mcptwist.watching.survey import Machine

__all__ = ["LinuxMachine"]


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
