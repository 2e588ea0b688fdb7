#!/usr/bin/env python3
"""How soon the console answers a key, and what watching costs the daemon.

    python benchmarks/console.py                  # both
    python benchmarks/console.py keys             # a console that knows of 10,000 connections
    python benchmarks/console.py daemon           # a real daemon under load, watched and not

`keys` draws a real console on a pseudo terminal, in one process with what keeps it busy: 1,000
messages a second (each a request and an answer), and a picture of the daemon, of 10,000
connections and of 50 servers every second, all as the bytes that a daemon would send. Keys are
pressed at random moments; their time runs from the moment they are due until all that they changed
is written to the terminal, so waiting for other work is in it.

`daemon` starts a daemon, asks it for 500 calls a second, which are 1,000 messages, and takes turns:
nobody looks, a console looks at the servers, a console looks at the traffic. What watching costs
is what the daemon's process does beyond what the same calls cost when nobody looks, counted in
instructions (`perf stat -e instructions:u`, which other work on the machine does not disturb); in
seconds where there is no perf. It is told as a part of what one core does in a second: of the
daemon's throughput, when it is busy, just that part is lost. Busier daemons pay no more, for no
more than 1,000 messages a second are told.
"""

from __future__ import annotations

import argparse
import fcntl
import http.client
import json
import os
import pty
import random
import re
import shutil
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

# ruff: noqa: E402
import msgspec
import urwid
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall

from mcptwist.console.terminal import Look, Terminal
from mcptwist.messages import Notification, encode_json
from mcptwist.watching.events import EVENTS, Events
from mcptwist.watching.reports import Connections
from mcptwist.watching.status import ConnectionStatus, Gauge, Outcome, ServerStatus, Status
from mcptwist.watching.traffic import Frame

SIZE = (160, 50)
CONNECTIONS, TOLD, SERVERS, MESSAGES = 10_000, 500, 50, 1_000
VIEWS = (("1", "servers"), ("2", "connections"), ("3", "traffic"), ("7", "metrics"))
KEYS = ("j", "k", "G", "g", "T", "C", "N", " ", "\x06", "\x02")
ASKERS, CALLS = 4, 500
REVISION = "2026-07-28"
CALL = json.dumps({
    "jsonrpc": "2.0", "id": 1, "method": "tools/call",
    "params": {
        "name": "echo", "arguments": {"text": "some text"},
        "_meta": {
            "io.modelcontextprotocol/protocolVersion": REVISION,
            "io.modelcontextprotocol/clientCapabilities": {},
            "io.modelcontextprotocol/clientInfo": {"name": "bench", "version": "1"},
        },
    },
})  # fmt: skip
HEADERS = {
    "Content-Type": "application/json", "Accept": "application/json, text/event-stream",
    "MCP-Protocol-Version": REVISION, "Mcp-Method": "tools/call", "Mcp-Name": "echo",
}  # fmt: skip
MODES = {"nobody": "", "servers": "1", "traffic": "3"}


# --- a console that is busy -----------------------------------------------------------


class FakeDaemon:
    """Answers what a console asks, from bytes that were made before, and tells what passes."""

    def __init__(self, reactor: Any) -> None:
        self._heard: Callable[[Notification], None] | None = None
        self._number = 0
        self._pictures = {"mcptwist://status": _status(), "mcptwist://log": "[]"}
        self._connections = _connections()
        self._telling = LoopingCall(self._tell)
        self._telling.clock = reactor

    def connect(self) -> Deferred[Any]:
        """A client of it, which is itself."""
        found: Deferred[Any] = Deferred()
        found.callback(self)
        return found

    async def read(self, uri: str) -> list[dict[str, str]]:
        return [{"text": self._pictures.get(uri, "[]")}]

    async def call_tool(self, tool: str, arguments: Any, progress: Any = None) -> Any:
        content = msgspec.json.decode(self._connections)

        class Result:
            is_error = False
            structured_content = content

        return Result

    def ask(self, method: str, params: Any, heard: Any) -> Deferred[Any]:
        if "traffic" in params["arguments"]["topics"]:
            self._heard = heard
            if not self._telling.running:
                self._telling.start(0.1)
        return Deferred()

    async def close(self) -> None:
        pass

    def _tell(self) -> None:
        if self._heard is not None:
            frames = tuple(self._frames(MESSAGES // 10))
            params = {"progress": 1, "_meta": {EVENTS: Events(frames=frames)}}
            self._heard(Notification("notifications/progress", encode_json(params)))

    def _frames(self, count: int) -> list[Frame]:
        text = '{"name":"echo","arguments":{"text":"some text that is said"}}'
        frames = []
        for _ in range(count):
            self._number += 2
            asked = Frame(self._number, time.time(), "request", "server7", "tools/call", "echo",
                          str(self._number), "bench 1", len(text), text=text)  # fmt: skip
            answer = msgspec.structs.replace(
                asked, number=self._number + 1, kind="answer", of=self._number, status="ok",
                seconds=0.0012, text='{"content":[{"type":"text","text":"some text"}]}',
            )  # fmt: skip
            frames += [asked, answer]
        return frames


def _status() -> str:
    calls = Outcome(good=1000)
    servers = tuple(
        ServerStatus(name=f"server{n}", state="up", scope="shared", calls=calls)
        for n in range(SERVERS)
    )
    gauges = {"sessions": Gauge(used=10_000, limit=10_000)}
    wires = {"http/1.1": CONNECTIONS}
    status = Status(clock=1.0, servers=servers, gauges=gauges, connections=wires)
    return msgspec.json.encode(status).decode()


def _connections() -> bytes:
    """What the daemon tells of so many: those that come first."""
    rows = [
        ConnectionStatus(id=f"c{n}", wire="http/1.1", peer=f"203.0.113.{n % 256}:{n}", age=n / 7)
        for n in range(TOLD)
    ]
    return msgspec.json.encode(Connections(CONNECTIONS, rows))


class Typist:
    """Presses keys at random moments and notes when each has been answered.

    :param loop: of the console; what it draws is the answer.
    """

    def __init__(self, reactor: Any, loop: Any, keyboard: int, seconds: float) -> None:
        self.took: dict[str, list[float]] = {}
        self._reactor = reactor
        self._keyboard = keyboard
        self._seconds = seconds
        self._due: list[float] = []
        self._view = ""
        self._draw = loop.draw_screen
        loop.draw_screen = self._drawn
        self._random = random.Random(7)

    def begin(self) -> None:
        """Look at each view for a while."""
        wait = 1.0
        for key, name in VIEWS:
            self._reactor.callLater(wait, self._look, key, name)
            wait += 0.5
            until = wait + self._seconds
            while wait < until:
                wait += self._random.uniform(0.03, 0.12)
                self._reactor.callLater(wait, self._press, self._reactor.seconds() + wait)
        self._reactor.callLater(wait + 0.5, self._reactor.stop)

    def _look(self, key: str, name: str) -> None:
        self._view = name
        os.write(self._keyboard, key.encode())

    def _press(self, due: float) -> None:
        self._due.append(due)
        os.write(self._keyboard, self._random.choice(KEYS).encode())

    def _drawn(self) -> None:
        had, self._due = self._due, []
        self._draw()
        now = self._reactor.seconds()
        if had:
            self.took.setdefault(self._view, []).extend(now - due for due in had)


def keys(seconds: float) -> None:
    """A console on a pseudo terminal, busy, and somebody who types."""
    from twisted.internet import reactor

    running: Any = reactor
    keyboard, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", SIZE[1], SIZE[0], 0, 0))
    threading.Thread(target=_read_all, args=(keyboard,), daemon=True).start()
    screen = urwid.display.raw.Screen(
        input=os.fdopen(slave, "r"), output=os.fdopen(os.dup(slave), "w")
    )
    daemon = FakeDaemon(running)
    terminal = Terminal(daemon.connect, running, "a benchmark", Look(), screen)  # type: ignore[arg-type]
    typist = Typist(running, terminal.loop, keyboard, seconds)
    running.callWhenRunning(typist.begin)
    terminal.run()
    print(
        f"a key, with {MESSAGES} messages a second, {CONNECTIONS} connections, ms until it shows:"
    )
    for view, took in typist.took.items():
        print(f"    {view:12} {percentiles(took)}   of {len(took)}")


def _read_all(terminal: int) -> None:
    while True:
        try:
            os.read(terminal, 1 << 16)
        except OSError:
            return


def percentiles(took: Sequence[float]) -> str:
    ordered = sorted(took)
    parts = [(p, ordered[min(len(ordered) - 1, int(len(ordered) * p / 100))]) for p in (50, 95, 99)]
    shown = "  ".join(f"p{p} {seconds * 1000:5.1f}" for p, seconds in parts)
    return f"{shown}  most {ordered[-1] * 1000:5.1f}"


# --- a daemon that is watched ---------------------------------------------------------


class Daemon:
    """A real daemon with an echo server behind it."""

    def __init__(self, place: Path) -> None:
        self.socket = str(place / "admin.sock")
        server = {"command": sys.executable, "args": ["-S", "-E", str(HERE / "echo_server.py")]}
        config = {
            "listen": ["tcp:0:interface=127.0.0.1"],
            "admin_socket": self.socket,
            "mcpServers": {"echo": server},
        }
        (place / "config.json").write_text(json.dumps(config))
        place.chmod(0o700)
        words = [sys.executable, "-m", "mcptwist", "run", "--config", str(place / "config.json")]
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, cwd=HERE.parent, text=True)
        assert self.process.stdout is not None
        for line in self.process.stdout:
            found = re.search(r"http://\S+/servers/echo/mcp", line) or re.search(
                r"http://\S+:\d+/", line
            )
            if found:
                self.url = found[0].split("/mcp")[0].rstrip("/") + "/mcp"
                break

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(20)


def watch(socket: str, key: str) -> None:
    """A console without a terminal, that looks at one view until it is ended."""
    from twisted.internet import reactor

    from mcptwist.console.app import Console
    from mcptwist.watching.whereabouts import Way, Whereabouts

    running: Any = reactor
    console = Console(Way(Whereabouts(socket), running).connect, running, socket)

    def ready() -> None:
        if console.world.status is None:
            running.callLater(0.05, ready)
        else:
            console.key(key)
            running.callLater(0.3, print, "ready", flush=True)

    console.start()
    ready()
    running.run()


class Turn(msgspec.Struct):
    """What the daemon did in one turn."""

    calls: int
    seconds: float
    processor: float
    instructions: float


def take_turn(daemon: Daemon, key: str, seconds: float) -> Turn:
    """So many calls a second for so long, with a console that looks at a view, or without."""
    watcher = None
    if key:
        words = [sys.executable, __file__, "watch", daemon.socket, key]
        watcher = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        assert watcher.stdout is not None
        watcher.stdout.readline()
    before = _spent(daemon.process.pid)
    perf = _perf(daemon.process.pid)
    began = time.monotonic()
    calls = ask(daemon.url, seconds)
    took = time.monotonic() - began
    instructions = 0.0 if perf is None else _instructions(perf)
    processor = _spent(daemon.process.pid) - before
    if watcher is not None:
        watcher.kill()
        watcher.wait()
    return Turn(calls, took, processor, instructions)


def ask(url: str, seconds: float) -> int:
    """Call at an even pace; how many calls that were."""
    done = [0] * ASKERS

    def work(number: int) -> None:
        address = urlsplit(url)
        connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=20)
        due = time.monotonic() + number / CALLS
        until = due + seconds
        while due < until:
            time.sleep(max(0.0, due - time.monotonic()))
            connection.request("POST", address.path, CALL, HEADERS)
            answer = connection.getresponse().read()
            assert b"some text" in answer, answer
            done[number] += 1
            due += ASKERS / CALLS

    threads = [threading.Thread(target=work, args=(number,)) for number in range(ASKERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(done)


def _perf(pid: int) -> subprocess.Popen[str] | None:
    if shutil.which("perf") is None:
        return None
    words = ["perf", "stat", "-x,", "-e", "instructions:u", "-p", str(pid)]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    time.sleep(0.3)  # it says nothing when it has begun
    return process


def _instructions(perf: subprocess.Popen[str]) -> float:
    perf.send_signal(signal.SIGINT)
    _, text = perf.communicate(timeout=10)
    return float(text.split(",")[0])


def _spent(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def watched(rounds: int, seconds: float) -> None:
    """What looking costs a daemon, in turns."""
    place = Path(tempfile.mkdtemp(prefix="watch"))
    daemon = Daemon(place)
    try:
        take_turn(daemon, "", 1.0)  # warm
        turns: dict[str, list[Turn]] = {mode: [] for mode in MODES}
        for _ in range(rounds):
            for mode, key in MODES.items():
                turns[mode].append(take_turn(daemon, key, seconds))
    finally:
        daemon.stop()
        shutil.rmtree(place, ignore_errors=True)
    counts = any(turn.instructions for turn in turns["nobody"])
    quiet = turns["nobody"]
    work: Callable[[Turn], float]
    work = (lambda turn: turn.instructions) if counts else (lambda turn: turn.processor)
    call = statistics.median(work(turn) / turn.calls for turn in quiet)
    core = statistics.median(work(turn) / turn.processor for turn in quiet)
    unit = "instructions" if counts else "seconds"
    print(f"a call costs the daemon {call:.4g} {unit}; in a second a core does {core:.4g}")
    for mode in ("servers", "traffic"):
        more = [(work(turn) - turn.calls * call) / turn.seconds / core for turn in turns[mode]]
        pace = statistics.median(turn.calls / turn.seconds for turn in turns[mode])
        parts = ", ".join(f"{part * 100:.2f}" for part in sorted(more))
        middle = statistics.median(more) * 100
        print(f"    watching {mode:8} takes {middle:5.2f} % of it ({parts}), at {pace:.0f} calls/s")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("what", nargs="?", choices=("keys", "daemon", "watch"))
    parser.add_argument("rest", nargs="*", help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=float, default=3.0, help="for each view, or each turn")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    if args.what == "watch":
        watch(*args.rest)
        return
    if args.what in (None, "daemon"):
        watched(args.rounds, args.seconds)
    if args.what in (None, "keys"):
        keys(args.seconds)


if __name__ == "__main__":
    main()
