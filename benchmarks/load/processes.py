"""What a process and its descendants use, read from ``/proc`` (Linux)."""

import asyncio
import collections
import os
import re
import resource
import time

TICK = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
MIB = 2**20


class Processes:
    """A gateway's process, and those it started.

    :param pid: the gateway's process id.
    :param gateway_match: a regular expression; a descendant whose command line it finds counts
        as gateway (a worker), every other as child (a server behind it).
    """

    def __init__(self, pid, gateway_match=None):
        self.pid = pid
        self.match = re.compile(gateway_match.encode()) if gateway_match else None
        self.peak = 0.0  # MiB, since `forget_peak`

    def split(self):
        """([gateway pids], [child pids]), found anew."""
        parents = collections.defaultdict(list)
        for name in os.listdir("/proc"):
            fields = _stat(name) if name.isdigit() else None
            if fields and fields[0] != b"Z":
                parents[int(fields[1])].append(int(name))
        gateway, children, todo = [self.pid], [], [self.pid]
        while todo:
            for pid in parents[todo.pop()]:
                todo.append(pid)
                (gateway if self._is_gateway(pid) else children).append(pid)
        return gateway, children

    def _is_gateway(self, pid):
        return self.match and self.match.search(_read(f"/proc/{pid}/cmdline").replace(b"\0", b" "))

    def snapshot(self):
        """Everything that can be read, now: CPU in seconds, memory in MiB, counts."""
        gateway, children = self.split()
        rss, _ = memory(gateway)
        child_rss, child_pss = memory(children)
        busy, stolen = machine()
        return {
            "at": time.perf_counter(),
            "busy": busy,
            "stolen": stolen,
            "own": own_seconds(),
            "alive": os.path.exists(f"/proc/{self.pid}/stat"),
            "cpu": cpu(gateway),
            "child_cpu": cpu(children) + reaped_cpu(gateway),
            "rss": rss,
            "children": len(children),
            "child_rss": child_rss,
            "child_pss": child_pss,
            "fds": sum(_descriptors(pid) for pid in gateway),
        }

    def forget_peak(self):
        """Let ``peak`` begin anew, the kernel's own mark of it as well."""
        self.peak = 0.0
        for pid in self.split()[0]:
            try:
                with open(f"/proc/{pid}/clear_refs", "w") as file:
                    file.write("5")
            except OSError:
                pass  # then the mark may be an old one, and only ever too high

    def note_peak(self):
        """Raise ``peak`` to the resident size the gateway has reached by now, in MiB."""
        size = 0
        for pid in self.split()[0] if self.match else [self.pid]:
            mark = re.search(rb"VmHWM:\s+(\d+)", _read(f"/proc/{pid}/status"))
            size += int(mark[1]) * 1024 if mark else 0
        self.peak = max(self.peak, round(size / MIB, 1))

    async def watch(self, interval=0.1):
        """Keep noting the peak, every ``interval`` seconds, until cancelled."""
        while True:
            self.note_peak()
            await asyncio.sleep(interval)


def cpu(pids):
    """Seconds of CPU these processes have used."""
    return sum(_ticks(pid, 11) for pid in pids) / TICK


def reaped_cpu(pids):
    """Seconds of CPU used by children of these that are dead and waited for."""
    return sum(_ticks(pid, 13) for pid in pids) / TICK


def memory(pids):
    """(RSS, PSS) of these together, in MiB."""
    rss = pss = 0
    for pid in pids:
        for line in _read(f"/proc/{pid}/smaps_rollup").splitlines():
            if line.startswith(b"Rss:"):
                rss += int(line.split()[1])
            elif line.startswith(b"Pss:"):
                pss += int(line.split()[1])
    return round(rss / 1024, 2), round(pss / 1024, 2)


def own_seconds():
    """Seconds of CPU this process has used."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def machine():
    """(busy, stolen) seconds of CPU of the whole machine since it started."""
    fields = [int(field) for field in _read("/proc/stat").split(b"\n")[0].split()[1:9]]
    idle, waiting, stolen = fields[3], fields[4], fields[7]
    return (sum(fields) - idle - waiting - stolen) / TICK, stolen / TICK


def _read(path):
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""  # the process has gone


def _stat(pid):
    """The fields of ``/proc/PID/stat`` after the command's name, which may hold anything."""
    return _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()


def _ticks(pid, at):
    fields = _stat(pid)
    return int(fields[at]) + int(fields[at + 1]) if fields else 0


def _descriptors(pid):
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return 0
