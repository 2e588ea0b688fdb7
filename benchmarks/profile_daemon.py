#!/usr/bin/env python3
"""Start the daemon, load it, and print where its microseconds go.

    python benchmarks/profile_daemon.py
    python benchmarks/profile_daemon.py --with cprofile --era modern --sessions 64
    python benchmarks/profile_daemon.py --mode churn --sessions 8
    python benchmarks/profile_daemon.py --mode payload --sessions 1 --size 10000000

The daemon is loaded twice: once undisturbed, for what a call really costs, then under the
profiler, for the shares.  What is printed is share times cost, in microseconds a call.

py-spy (the default where it is installed) samples from outside and hardly disturbs, but counts
what C functions take to the Python function that called them.  cprofile counts every call, C
functions apart, and makes small functions look dearer than they are.  Where the daemon's core is
not full, some of what py-spy gives to EPollReactor.doPoll is waiting, not work.
"""

import argparse
import collections
import os
import pstats
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import peers

WAITING = re.compile(r"\b(poll|epoll_wait|select)\b")  # is not work
FRAME = re.compile(r"^(?P<function>.+) \((?P<file>.+?)(:\d+)?\)$")
SAME = rf"/site-packages/|/lib/python[0-9.]+/|{re.escape(str(peers.ROOT))}/"


class Profile:
    """Which function took how much, by itself and with all it called; any unit will do."""

    def __init__(self):
        self.own = collections.Counter()
        self.whole = collections.Counter()
        self.calls = collections.Counter()

    def less(self, other):
        """What is left of this when the other is taken off."""
        left = Profile()
        left.calls = self.calls - other.calls
        for where in left.calls:  # what was not called more often only differs by chance
            left.own[where] = max(0, self.own[where] - other.own[where])
            left.whole[where] = max(0, self.whole[where] - other.whole[where])
        return left

    def modules(self):
        """What each file took by itself."""
        found = collections.Counter()
        for (file, _), cost in self.own.items():
            found[file] += cost
        return found


def short(path):
    """A file's name without what is the same for all of its package."""
    return re.sub(rf"^.*({SAME})", "", path)


def sampled(peer, load, seconds):
    """Load the daemon while py-spy looks on: (profile, the load's result)."""
    out = Path(peer.folder.name, "stacks")
    spy = peers.BENCH / "venv-load" / "bin" / "py-spy"
    command = [str(spy), "record", "--pid", str(peer.process.pid), "--output", str(out)]
    command += ["--format", "raw", "--function", "--rate", "400", "--duration", str(int(seconds))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as spying:
        result = load(seconds + 1)
        said = spying.communicate(timeout=seconds + 30)[0]
    if not out.exists():
        raise peers.Unusable("py-spy: " + said.decode("utf-8", "replace")[-400:])
    return stacks(out.read_text()), result


def stacks(text):
    """The profile of py-spy's lines: frames from the outside in, with semicolons, and a count."""
    profile = Profile()
    for line in text.splitlines():
        frames, _, count = line.rpartition(" ")
        named = [named_frame(frame) for frame in frames.split(";")]
        profile.own[named[-1]] += int(count)
        for frame in set(named):
            profile.whole[frame] += int(count)
    return profile


def named_frame(text):
    """(file, function) of one of py-spy's frames."""
    found = FRAME.match(text)
    return (short(found["file"]), found["function"]) if found else ("?", text)


def counted(path):
    """The profile of a file that cProfile wrote, without the waiting."""
    profile = Profile()
    for (file, _, function), (_, calls, own, whole, _) in pstats.Stats(str(path)).stats.items():
        if not WAITING.search(function):
            where = ("C" if file == "~" else short(file), function)
            profile.own[where] += own
            profile.whole[where] += whole
            profile.calls[where] += calls
    return profile


def load_words(options, seconds):
    """The words for mpcload: mode, then its options."""
    words = ["--protocol", peers.REVISIONS[options.era], "--sessions", options.sessions]
    words += ["--seconds", seconds, "--settle", 0, "--size", options.size]
    return [options.mode, *words]


def checked(result):
    """A load's result, if it went well."""
    if result.get("failed") or not result.get("calls"):
        raise peers.Unusable(str(result.get("failed") or result.get("errors")))
    return result


def undisturbed(spec, options):
    """What the load comes to without a profiler."""
    with peers.Peer(options.peer, spec, peers.Cores()) as peer:
        checked(peer.load(*load_words(options, 1)))
        return checked(peer.load(*load_words(options, options.seconds)))


def with_py_spy(spec, options):
    """The profile that py-spy takes."""
    with peers.Peer(options.peer, spec, peers.Cores()) as peer:
        checked(peer.load(*load_words(options, 1)))
        profile, result = sampled(
            peer,
            lambda seconds: peer.load(*load_words(options, seconds)),
            options.seconds,
        )
        checked(result)
    return profile


def with_cprofile(spec, options):
    """The profile that cProfile takes, less that of starting and stopping."""
    start = profiled(spec, options, loaded=False)
    return profiled(spec, options, loaded=True).less(start)


def profiled(spec, options, loaded):
    """The profile that cProfile takes of the whole life of a daemon, loaded or not."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "profile")

        def wrapped(command):
            if not Path(command[0]).name.startswith("python"):
                command = [peers.command_of("python"), *command]
            return [command[0], "-m", "cProfile", "-o", str(path), *command[1:]]

        with peers.Peer(options.peer, spec, peers.Cores(), wrapped) as peer:
            if loaded:
                checked(peer.load(*load_words(options, options.seconds)))
        if not path.exists():
            raise peers.Unusable("the daemon did not stop of itself, so there is no profile")
        return counted(path)


def printed(title, costs, total, cost, top, calls=None):
    """Print the dearest of these, in microseconds a call."""
    print(f"\n{title}")
    for where, value in costs.most_common(top):
        name = where if isinstance(where, str) else ": ".join(where)
        often = f"  {calls[where]:>10,} calls" if calls else ""
        print(f"{value / total * cost:8.2f} us  {value / total:6.1%}{often}  {name}")


def show(result, profile, options):
    """Print what was found."""
    cost = result["gateway_cpu_us_per_call"]
    rate = result.get("calls_s") or result.get("sessions_s")
    what = "session" if options.mode == "churn" else "call"
    print(
        f"{options.peer}, {options.era}, {options.mode}, {options.sessions} sessions: {rate:,.0f} "
        f"{what}s/s, {cost} us of CPU a {what}, {result['gateway_cpu']:.0%} of the daemon's core, "
        f"{result['generator_cpu'] + result['child_cpu']:.0%} of the load's"
    )
    total = sum(profile.own.values()) or 1
    printed(f"By file, us a {what}", profile.modules(), total, cost, 15)
    printed("By function, by itself", profile.own, total, cost, options.top, profile.calls)
    printed("By function, with all it calls", profile.whole, total, cost, options.top)


def arguments(argv):
    """The command line, parsed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    spy = peers.BENCH / "venv-load" / "bin" / "py-spy"
    add = parser.add_argument
    add("--with", dest="profiler", choices=["py-spy", "cprofile"])
    add("--peer", default="mcptwist", help="which of peers.toml, one written in Python")
    add("--mode", choices=["calls", "churn", "payload"], default="calls")
    add("--era", choices=peers.REVISIONS, default="legacy")
    add("--sessions", type=int, default=32)
    add("--seconds", type=float, default=4)
    add("--size", type=int, default=10**6, help="payload: bytes of each result")
    add("--top", type=int, default=30, help="how many functions to print")
    options = parser.parse_args(argv)
    options.profiler = options.profiler or ("py-spy" if os.access(spy, os.X_OK) else "cprofile")
    return options


def main(argv=None):
    """The command."""
    options = arguments(argv)
    spec = peers.catalogue()[1][options.peer]
    profilers = {"py-spy": with_py_spy, "cprofile": with_cprofile}
    try:
        result = undisturbed(spec, options)
        show(result, profilers[options.profiler](spec, options), options)
    except peers.Unusable as error:
        return f"{options.peer}: {error}"
    return None


if __name__ == "__main__":
    sys.exit(main())
