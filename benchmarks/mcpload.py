#!/usr/bin/env python3
"""mcpload: put a measured load on an MCP server or gateway of this machine.

    mcpload.py calls     --url http://127.0.0.1:8000/mcp --sessions 32 --seconds 5
    mcpload.py churn     --url ... --sessions 8 --count 200
    mcpload.py idle      --url ... --sessions 100 --hold 3
    mcpload.py payload   --url ... --size 1000000 --count 50

calls    N sessions, each calling a tool over and over, one call at a time.
churn    sessions made, called once and ended, --sessions of them at a time.
idle     sessions opened, each with a stream from the server held open; what the
         gateway's memory does meanwhile, and after they all went away.
payload  as calls, but for the `blob` tool: large results, megabytes a second.

--protocol says which revision to ask for: 2026-07-28 makes every request stand
alone, an older one shakes hands.  Ids are unique over all sessions unless
--same-ids is given, which shows up gateways that mix up the answers of sessions
that use the same ids, as real clients do.  --pid names the gateway's process:
CPU and memory are then reported for it and, apart from it, for its descendants.

One JSON object goes to stdout.  Every answer is checked.  Latency is from the
write of a request to the arrival of the whole JSON-RPC answer.  generator_cpu is
this process's own share of one core: a result taken with that (and what the
servers behind use, where they share its core) near 1.0 measures the generator.
foreign_cpu is what everything that is neither gateway, child nor generator used
(the kernel's own work for them included), in cores, and stolen_cpu what the
hypervisor kept back: where they are large the result is of little worth.

Only the standard library is needed (and for --http2 the hpack package); uvloop
is used where it is installed.  The tools called are those of echo_server.py.
"""

import argparse
import array
import asyncio
import collections
import contextlib
import json
import os
import sys
import time

from load import Failure
from load.calls import FIRST_ID, Call
from load.http1 import Connection
from load.processes import Processes, own_seconds
from load.sessions import TRANSPORTS
from load.target import Target

clock = time.perf_counter
TROUBLES = (Failure, OSError, asyncio.TimeoutError)
ERRORS_AT_MOST = 1000
FAILURES_IN_A_ROW = 10


class Run:
    """One invocation: the sessions it makes, the errors it counts, what it watches."""

    def __init__(self, args):
        self.args = args
        self.target = Target(
            args.url, args.protocol, args.timeout, args.header, args.http2, args.share
        )
        if args.sign:
            from load.signing import signing

            Connection.dress = staticmethod(signing(args.sign, args.url))
        self.errors = collections.Counter()
        self.processes = Processes(args.pid, args.gateway_match) if args.pid else None
        self.session_class = TRANSPORTS[args.transport]
        self.call = self._call()
        self.next_id = FIRST_ID
        self.made = 0

    def _call(self):
        args, modern = self.args, self.target.modern
        if args.mode == "payload" and not args.upload:
            tool = args.tool_prefix + "blob"
            return Call(tool, {"bytes": args.size}, least=args.size, modern=modern)
        size = args.size if args.mode == "payload" else args.payload
        return self._echo("x" * size)

    def _echo(self, text):
        tool = self.args.tool_prefix + "echo"
        return Call(tool, {"text": text}, len(text), text, self.target.modern)

    def session(self):
        """A new session, not yet open."""
        if not self.args.same_ids:
            return self.session_class(self.target, self.call)
        # As real clients do: each counts from the same number, each says something of its own.
        self.made += 1
        text = f"s{self.made:06d}".ljust(self.args.payload, "x")
        session = self.session_class(self.target, self._echo(text))
        session.last_id = FIRST_ID
        return session

    def ident(self, session):
        """The id of that session's next call."""
        if self.args.same_ids:
            session.last_id += 1
            return session.last_id
        self.next_id += 1
        return self.next_id

    def failed(self, error, doing=""):
        """Count an error, by its text."""
        self.errors[doing + (str(error) or type(error).__name__)] += 1

    async def open(self, count, listen=False, at_once=8):
        """That many open sessions; those that could not be opened are counted as errors."""
        gate = asyncio.Semaphore(at_once)
        opened = []

        async def one():
            async with gate:
                session = self.session()
                try:
                    await session.open()
                    if listen:
                        await session.listen()
                    opened.append(session)
                except TROUBLES as error:
                    self.failed(error, "open: ")
                    session.abort()

        await asyncio.gather(*(one() for _ in range(count)))
        return opened

    async def drive(self, sessions, seconds=None, count=None):
        """Let every session call in a closed loop, for so long or so often in all.

        :returns: (the latencies in seconds, how long it took in seconds)
        """
        start = clock()
        quota = Quota(until=start + seconds if seconds else None, count=count)
        latencies = array.array("d")
        loops = [ClosedLoop(self, session, quota, latencies) for session in sessions]
        await asyncio.gather(*(loop.run() for loop in loops))
        return latencies, clock() - start

    def snapshot(self):
        """What the gateway has used so far; None where its process is not known."""
        return self.processes.snapshot() if self.processes else None

    @contextlib.asynccontextmanager
    async def measuring(self, result):
        """Add to the result what generator and gateway used within the block.

        The block puts the number of calls it made in ``result["calls"]``.
        """
        watcher = asyncio.ensure_future(self.processes.watch()) if self.processes else None
        before, own, start = self.snapshot(), own_seconds(), clock()
        yield
        result["generator_cpu"] = round((own_seconds() - own) / max(clock() - start, 1e-9), 2)
        if self.processes:
            watcher.cancel()
            self.processes.note_peak()
            result.update(costs(before, self.snapshot(), result["calls"], self.processes.peak))


class Quota:
    """How long, or how often, to call: whichever is given."""

    def __init__(self, until=None, count=None):
        self.until, self.left = until, count

    def take(self):
        """Whether one more call may be made."""
        if self.until is not None and clock() >= self.until:
            return False
        if self.left is not None:
            self.left -= 1
            return self.left >= 0
        return True


class ClosedLoop:
    """One session that calls again as soon as it has been answered."""

    def __init__(self, run, session, quota, latencies):
        self.run_, self.session, self.quota, self.latencies = run, session, quota, latencies
        self.finished = asyncio.get_running_loop().create_future()
        self.failures = 0

    async def run(self):
        """Call until the quota is used up, or the session is beyond help."""
        self._next()
        while not self.finished.done():
            await asyncio.wait([self.finished], timeout=1)
            if self.session.waiting() > self.run_.args.timeout:
                self.run_.errors["timeout"] += 1
                self.session.done = None
                self.session.abort()
                self._finish()

    def _finish(self):
        if not self.finished.done():
            self.finished.set_result(None)

    def _next(self):
        if self.quota.take():
            self.session.call(self.run_.ident(self.session), self._answered)
        else:
            self._finish()

    def _answered(self, answer, error):
        session = self.session
        wrong = str(error) if error else session.spec.check(session.ident, answer or b"")
        if wrong is None:
            self.failures = 0
            self.latencies.append(session.arrived - session.began)
            self._next()
        else:
            self.run_.failed(wrong)
            self.failures += 1
            self.recovery = asyncio.ensure_future(self._recover())

    async def _recover(self):
        if self.failures >= FAILURES_IN_A_ROW or self.run_.errors.total() > ERRORS_AT_MOST:
            self._finish()
            return
        await asyncio.sleep(0.05)
        connection = getattr(self.session, "connection", None)
        if not connection or not connection.open:
            try:
                self.session.abort()
                await self.session.open()
            except TROUBLES as error:
                self.run_.failed(error, "reopen: ")
                self._finish()
                return
        self._next()


def spread(latencies):
    """p50, p95, p99 and the rest of a list of seconds, in milliseconds."""
    if not latencies:
        return None
    ordered = sorted(latencies)

    def at(share):
        return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000, 3)

    return {"p50": at(0.50), "p95": at(0.95), "p99": at(0.99), "max": at(1)}


def costs(before, after, calls, peak):
    """CPU a call and memory, from two snapshots."""
    wall = after["at"] - before["at"]
    cpu, child = after["cpu"] - before["cpu"], after["child_cpu"] - before["child_cpu"]
    foreign = after["busy"] - before["busy"] - cpu - child - (after["own"] - before["own"])
    return {
        "foreign_cpu": round(foreign / wall, 2),
        "stolen_cpu": round((after["stolen"] - before["stolen"]) / wall, 2),
        "gateway_cpu": round(cpu / wall, 2),
        "gateway_cpu_us_per_call": round(cpu / calls * 1e6, 1) if calls else None,
        "child_cpu": round(child / wall, 2),
        "child_cpu_us_per_call": round(child / calls * 1e6, 1) if calls else None,
        "gateway_alive": after["alive"],
        "rss_mb": {"before": before["rss"], "after": after["rss"], "peak": peak},
        "children": {"before": before["children"], "after": after["children"]},
        "child_pss_mb": after["child_pss"],
        "fds": {"before": before["fds"], "after": after["fds"]},
    }


async def calls(run):
    """The modes ``calls`` and ``payload``."""
    args, result = run.args, {}
    start = clock()
    sessions = await run.open(args.sessions, listen=args.listen)
    result.update(open_s=round(clock() - start, 3), opened=len(sessions), calls=0)
    if sessions:
        if args.warmup:
            await run.drive(sessions, seconds=args.warmup)
        if run.processes:
            run.processes.forget_peak()
        async with run.measuring(result):
            seconds = None if args.count else args.seconds
            latencies, took = await run.drive(sessions, seconds=seconds, count=args.count)
            done = result["calls"] = len(latencies)
        result.update(
            seconds=round(took, 3),
            calls_s=round(done / took, 1),
            latency_ms=spread(latencies),
        )
        if args.mode == "payload":
            result.update(size=args.size, mb_s=round(done * args.size / took / 1e6, 1))
    for session in sessions:
        await session.close()
    return result


class Churn:
    """Sessions made, called once and ended, and how long each step took."""

    def __init__(self, run, quota):
        self.run, self.quota = run, quota
        self.opened, self.first, self.whole = (array.array("d") for _ in range(3))

    async def worker(self):
        """One session after the other, until the quota is used up."""
        failures = 0
        while failures < FAILURES_IN_A_ROW and self.quota.take():
            session = self.run.session()
            try:
                await self._one(session)
                failures = 0
            except TROUBLES as error:
                self.run.failed(error)
                failures += 1
                session.abort()

    async def _one(self, session):
        start = clock()
        await session.open()
        self.opened.append(clock() - start)
        await session.acall(self.run.ident(session))
        self.first.append(clock() - start)
        if self.run.args.abandon:
            session.abort()
        else:
            await session.close()
        self.whole.append(clock() - start)


async def churn(run):
    """The mode ``churn``."""
    args, result = run.args, {}
    start = clock()
    until = None if args.count else start + args.seconds
    made = Churn(run, Quota(until, args.count))
    async with run.measuring(result):
        await asyncio.gather(*(made.worker() for _ in range(args.sessions)))
        took = clock() - start
        result["calls"] = len(made.whole)
    if run.processes:
        await asyncio.sleep(args.settle)
        settled = run.snapshot()
        result["settled"] = {key: settled[key] for key in ("rss", "children", "fds")}
    result.update(
        seconds=round(took, 3),
        sessions_s=round(len(made.whole) / took, 1),
        open_ms=spread(made.opened),
        first_call_ms=spread(made.first),
        whole_ms=spread(made.whole),
    )
    return result


async def idle(run):
    """The mode ``idle``."""
    args = run.args
    looks = {"before": run.snapshot()}
    start = clock()
    sessions = await run.open(args.sessions, listen=not args.no_listen)
    result = {
        "open_s": round(clock() - start, 3),
        "opened": len(sessions),
        "streams": dict(collections.Counter(str(s.stream_status) for s in sessions)),
    }
    await asyncio.sleep(args.hold)
    looks["open"] = run.snapshot()
    result["answered"] = await ask_each(run, sessions)
    looks["called"] = run.snapshot()
    for session in sessions:
        if args.abandon:
            session.abort()
        else:
            await session.close()
    await asyncio.sleep(args.settle)
    looks["after"] = run.snapshot()
    if run.processes and sessions:
        result.update(growth(looks, len(sessions)))
    return result


async def ask_each(run, sessions):
    """Make a call in every session; how many were answered."""
    answered = 0
    for session in sessions:
        try:
            await session.acall(run.ident(session))
            answered += 1
        except TROUBLES as error:
            run.failed(error, "call: ")
            if run.errors.total() > 20:
                break
    return answered


def growth(looks, sessions):
    """What that many open sessions took, from the snapshots of ``idle``."""
    before, during = looks["before"], looks["open"]

    def each(key):
        return {when: look[key] for when, look in looks.items()}

    def per_session(key):
        return round((during[key] - before[key]) * 1024 / sessions, 1)

    return {
        "rss_mb": each("rss"),
        "rss_kb_per_session": per_session("rss"),
        "children": each("children"),
        "child_pss_kb_per_session": per_session("child_pss"),
        "fds": each("fds"),
        "gateway_alive": looks["after"]["alive"],
    }


MODES = {"calls": calls, "payload": calls, "churn": churn, "idle": idle}


def arguments(argv):
    """The command line, parsed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("mode", choices=MODES)
    add("--url", required=True)
    add("--transport", choices=TRANSPORTS, default="http", help="Streamable HTTP by default")
    add("--protocol", default="2025-11-25", help="the revision to ask for")
    add("--http2", action="store_true", help="HTTP/2; by prior knowledge where the URL is http:")
    add("--share", action="store_true", help="with --http2: every session on the one connection")
    add("--header", action="append", default=[], help="a line to add to every request")
    add("--sign", help="the file of a private key to sign every request with; HTTP/1.1")
    add("--sessions", type=int, default=1)
    add("--seconds", type=float, default=5, help="how long to load")
    add("--count", type=int, help="load for this many calls (churn: sessions) instead")
    add("--warmup", type=float, default=0, help="seconds of the same load first, not counted")
    add("--payload", type=int, default=32, help="characters to echo")
    add("--tool-prefix", default="", help="what the gateway puts before a tool's name")
    add("--size", type=int, default=1_000_000, help="payload: bytes of each result")
    add("--upload", action="store_true", help="payload: send that much as well")
    add("--same-ids", action="store_true", help="every session counts from the same id")
    add("--listen", action="store_true", help="calls: hold a stream open as well")
    add("--no-listen", action="store_true", help="idle: do not")
    add("--abandon", action="store_true", help="churn, idle: drop sessions without ending them")
    add("--hold", type=float, default=3, help="idle: seconds before looking")
    add("--settle", type=float, default=2, help="seconds before the last look")
    add("--timeout", type=float, default=30, help="seconds to wait for any one answer")
    add("--pid", type=int, help="the gateway's process")
    add("--gateway-match", help="descendants of it that are gateway too (regex)")
    add("--cpu", type=int, help="pin this process to one core")
    return parser.parse_args(argv)


def event_loop():
    """uvloop's where it is installed, else asyncio's own."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


async def measure(args):
    """Run the mode asked for; its result."""
    run = Run(args)
    result = {"mode": args.mode, "transport": args.transport, "sessions": args.sessions}
    result.update(await MODES[args.mode](run))
    result["errors"] = dict(run.errors.most_common(8))
    return result


def main(argv=None):
    """The command: measure, print one JSON object."""
    args = arguments(argv)
    if args.cpu is not None:
        os.sched_setaffinity(0, {args.cpu})
    with asyncio.Runner(loop_factory=event_loop) as runner:
        print(json.dumps(runner.run(measure(args))))


if __name__ == "__main__":
    sys.exit(main())
