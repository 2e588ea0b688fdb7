#!/usr/bin/env python3
"""Measure mcptwist next to other gateways, on this machine, and print the tables.

    python benchmarks/run.py --install     put the peers into .interop/bench
    python benchmarks/run.py               every plan, every default peer, three rounds
    python benchmarks/run.py --quick       ours only, one short round, under two minutes
    python benchmarks/run.py calls churn --peers 'mcptwist,mcp-proxy*' --rounds 1
    python benchmarks/run.py --check       the load generator against the barest server

Plans (all, unless some are named):

    calls      calls a second, latency and the gateway's CPU, at 1, 8, 32 and 64 sessions
    sessions   sessions made, called once and ended, a second
    idle       memory for 100 and for 1,000 sessions that hold a stream open and do nothing
    results    results of 1 MB and of 10 MB: megabytes a second, and the peak of memory

Each plan runs in each era a gateway speaks, against a process started for it.  The gateway gets
one core, the load generator and the server behind another.  Rounds are outermost, so that a slow
quarter of an hour falls on all.  Figures go to .interop/bench/results as JSON, with the tables as
reStructuredText beside them.  README.rst says how to read them.
"""

import argparse
import fnmatch
import json
import os
import platform
import resource
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import peers
import report

RESULTS = peers.BENCH / "results"
QUIET = 0.2  # cores that others may use while we measure


class Plans:
    """What is done to a gateway.

    :param options: the parsed command line.
    :param start: called with nothing; a `peers.Peer` as a context manager, newly started.
    """

    def __init__(self, options, start):
        self.options, self.start = options, start

    def calls(self, era, revision):
        """One process, all numbers of sessions."""
        options = self.options
        with self.start() as peer:
            # A runtime with a compiler needs a while to get going.
            self._warm(peer, revision, seconds=0.5 if peer.spec.get("role") == "ours" else 3)
            for sessions in sorted({*options.sessions, *peer.spec.get("sessions", ())}):
                yield peer.load(
                    "calls",
                    *("--protocol", revision, "--sessions", sessions),
                    *("--seconds", options.seconds, "--warmup", min(0.5, options.seconds / 4)),
                )

    def sessions(self, era, revision):
        """One process, eight sessions at a time."""
        with self.start() as peer:
            self._warm(peer, revision)
            yield peer.load(
                "churn",
                *("--protocol", revision, "--sessions", 8),
                *("--seconds", self.options.seconds, "--settle", 0.5),
            )

    def idle(self, era, revision):
        """A process for each number of sessions, since memory is seldom given back."""
        for sessions in self.options.streams:
            with self.start() as peer:
                if sessions > peer.spec.get("streams", sessions):
                    continue
                self._warm(peer, revision)
                yield peer.load(
                    "idle",
                    *("--protocol", revision, "--sessions", sessions),
                    *("--hold", self.options.hold, "--settle", self.options.hold),
                )

    def results(self, era, revision):
        """A process for each size, for the same reason."""
        for size in self.options.sizes:
            with self.start() as peer:
                self._warm(peer, revision)
                yield peer.load(
                    "payload",
                    *("--protocol", revision, "--size", size),
                    *("--seconds", self.options.seconds, "--timeout", 60),
                )

    def _warm(self, peer, revision, seconds=0.3):
        words = ("--protocol", revision, "--sessions", 8, "--seconds", seconds, "--timeout", 10)
        done = peer.load("calls", *words)
        if "failed" in done or not done.get("calls"):
            raise peers.Unusable(str(done.get("failed") or done.get("errors")))


PLANS = ("calls", "sessions", "idle", "results")


def measure(name, spec, plan, options, number):
    """The rows of one plan over one peer, in every era that it speaks."""
    cores = peers.Cores(options.pin)
    plans = Plans(options, lambda: peers.Peer(name, spec, cores))
    for era in spec.get("eras", peers.REVISIONS):
        if options.era not in (None, era):
            continue
        about = {"peer": name, "role": spec.get("role", "peer"), "plan": plan, "era": era}
        wait_for_quiet(options.wait)
        try:
            for result in getattr(plans, plan)(era, peers.REVISIONS[era]):
                yield {**about, "round": number, **result}
        except peers.Unusable as error:
            yield {**about, "round": number, "failed": str(error)}


def wait_for_quiet(seconds):
    """Wait, so long at most, until the machine has little else to do."""
    until = time.monotonic() + seconds
    while time.monotonic() < until and busy(0.5) > QUIET:
        time.sleep(1)


def busy(seconds):
    """Cores in use on this machine, over that long."""

    def used():
        fields = [
            int(field) for field in Path("/proc/stat").read_text().split("\n")[0].split()[1:9]
        ]
        return sum(fields) - fields[3] - fields[4] - fields[7]

    start = used()
    time.sleep(seconds)
    return (used() - start) / os.sysconf("SC_CLK_TCK") / seconds


def chosen(options):
    """The peers to measure, by name, in the order of `peers.toml`."""
    _, known = peers.catalogue()
    if options.check:
        return {name: spec for name, spec in known.items() if spec.get("role") == "check"}
    if options.quick and not options.peers:
        return {"mcptwist": known["mcptwist"]}
    if options.peers:
        globs = options.peers.split(",")
        return {n: s for n, s in known.items() if any(fnmatch.fnmatch(n, g) for g in globs)}
    return {
        name: spec
        for name, spec in known.items()
        if spec.get("default", True) and spec.get("role") != "check"
    }


def rounds(options):
    """All rows, told as they come; ends early when the time is up."""
    until = time.monotonic() + options.minutes * 60
    for number in range(1, options.rounds + 1):
        for name, spec in chosen(options).items():
            for plan in sorted(set(options.plans) & set(spec.get("plans", PLANS)), key=PLANS.index):
                if time.monotonic() > until:
                    print(f"stopped after {options.minutes} minutes, as asked", flush=True)
                    return
                for row in measure(name, spec, plan, options, number):
                    print(report.line(row), flush=True)
                    yield row


def machine():
    """What the figures were taken on."""
    cpu = "unknown"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            cpu = line.partition(":")[2].strip()
            break
    return {
        "cpu": cpu,
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "node": said("node", "--version"),
        "commit": said("git", "-C", str(peers.ROOT), "rev-parse", "--short", "HEAD"),
    }


def said(*command):
    """What a command prints, or an empty string."""
    try:
        return subprocess.run(command, capture_output=True, text=True).stdout.strip()
    except OSError:
        return ""


def keep(document, out):
    """Write the figures and the tables to ``out`` with .json and .rst."""
    out.parent.mkdir(parents=True, exist_ok=True)
    out.with_suffix(".json").write_text(json.dumps(document, indent=1) + "\n")
    out.with_suffix(".rst").write_text(report.tables(document))
    print(f"\nkept in {out.with_suffix('.json')} and .rst", flush=True)


def numbers(text):
    """A command-line list of numbers."""
    return [int(word) for word in text.split(",")]


def arguments(argv):
    """The command line, parsed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("plans", nargs="*", metavar="PLAN", help=f"of {', '.join(PLANS)}; all by default")
    add("--install", action="store_true", help="install the peers and stop")
    add("--quick", action="store_true", help="ours only, one short round")
    add("--check", action="store_true", help="the load generator only")
    add("--peers", help="names or globs of peers.toml, with commas")
    add("--era", choices=peers.REVISIONS, help="only this one")
    add("--rounds", type=int, help="3 by default")
    add("--seconds", type=float, help="how long each load lasts; 3 by default")
    add("--sessions", type=numbers, default=[1, 8, 32, 64], help="calls: how many at once")
    add("--streams", type=numbers, default=[100, 1000], help="idle: how many open streams")
    add("--sizes", type=numbers, default=[10**6, 10**7], help="results: bytes each")
    add("--hold", type=float, default=1.5, help="idle: seconds before each look")
    add("--wait", type=float, default=0, help="seconds to wait for a quiet machine, each time")
    add("--minutes", type=float, default=90, help="start nothing more after that long")
    add("--pin", action=argparse.BooleanOptionalAction, default=True, help="cores of their own")
    add("--note", default="", help="a sentence to keep with the figures")
    add("--out", type=Path, help="where to keep the figures, without a suffix")
    options = parser.parse_args(argv)
    if unknown := set(options.plans) - set(PLANS):
        parser.error(f"no such plan: {', '.join(unknown)}")
    short = options.quick or options.check
    options.rounds = options.rounds or (1 if short else 3)
    options.seconds = options.seconds or (2 if short else 3)
    options.plans = options.plans or (["calls"] if options.check else list(PLANS))
    return options


def main(argv=None):
    """The command."""
    options = arguments(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was started is stopped
    if options.install:
        for name, spec in peers.catalogue()[0].items():
            peers.install(name, spec)
        return
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # 1,000 sessions are 2,000 sockets
    when = datetime.now(UTC)
    document = {"when": when.isoformat(timespec="seconds"), "machine": machine(), "rows": []}
    document["note"] = options.note
    document["settings"] = {"seconds": options.seconds, "rounds": options.rounds}
    try:
        document["rows"].extend(rounds(options))
    except (KeyboardInterrupt, SystemExit):
        print("interrupted", flush=True)
    if document["rows"]:
        print("\n" + report.tables(document))
        keep(document, options.out or RESULTS / when.strftime("%Y%m%d-%H%M%S"))


if __name__ == "__main__":
    main()
