#!/usr/bin/env python3
"""What watching costs the daemon, and how soon the console answers a key.

    python3 benchmarks/console.py

Everything is in memory: a daemon's counting without and with somebody who watches, per call; and
a console that knows of 10,000 connections, hears 1,000 messages a second, and is drawn after each
key. Figures are the best of several runs, for other work on the machine only ever adds to them.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import urwid.testing
from twisted.internet.task import Clock

from mcptwist.asked import Asked
from mcptwist.console.app import Console
from mcptwist.exchange import Exchange
from mcptwist.messages import Request, Result, encode_json
from mcptwist.session import Visit
from mcptwist.watching.events import Events
from mcptwist.watching.status import ConnectionStatus, Gauge, ServerStatus, Status
from mcptwist.watching.tally import Tally
from mcptwist.watching.traffic import Frame, Traffic

CALLS = 20_000
PARAMS = encode_json({"name": "echo", "arguments": {"text": "some text that is said"}})
ANSWER = encode_json({"content": [{"type": "text", "text": "some text"}], "isError": False})
STAY = Visit("2026-07-28", b'{"name":"bench","version":"1"}', b"{}")
SIZE = (160, 50)


class Nobody:
    """Hears answers and does nothing."""

    def answered(self, exchange: Exchange, answer: Result) -> None:
        pass


def best(work: Callable[[], float], runs: int = 7) -> float:
    return min(work() for _ in range(runs))


def per_call(tally: Tally | None, traffic: Traffic | None = None) -> float:
    """Seconds that one question and its answer take in the table of a link."""
    asked, reply = Asked(8192, tally), Nobody()
    exchanges = [Exchange(Request(n, "tools/call", PARAMS), reply, STAY) for n in range(CALLS)]
    watcher = traffic.watch() if traffic is not None else None
    began = time.perf_counter()
    for number, exchange in enumerate(exchanges):
        request = asked.put(exchange, 0.0, 300.0, 3600.0)
        if traffic is not None and traffic.watched:
            traffic.asked("one", exchange)
        asked.answered(Result(request.id, ANSWER))
        if watcher is not None and number % 500 == 499:
            watcher.take()
    spent = (time.perf_counter() - began) / CALLS
    if traffic is not None and watcher is not None:
        traffic.leave(watcher)
    return spent


def counting() -> None:
    from twisted.internet import reactor

    bare = best(lambda: per_call(None))
    counted = best(lambda: per_call(Tally("one", reactor)))
    traffic = Traffic()
    watched = best(lambda: per_call(Tally("one", reactor, traffic), traffic))
    print(f"a question and its answer, uncounted      {bare * 1e6:7.2f} us")
    print(f"counting adds                             {(counted - bare) * 1e6:7.2f} us a call")
    print(f"a watcher of 1,000 messages in 5 s adds   {(watched - counted) * 1e6:7.2f} us a call")


def crowded() -> Console:
    """A console that knows a lot."""
    console = Console(lambda: None, Clock(), "a benchmark")  # type: ignore[arg-type, return-value]
    servers = tuple(ServerStatus(name=f"server{n}", state="up", scope="shared") for n in range(50))
    gauges = {"sessions": Gauge(used=10_000, limit=10_000)}
    console.world.connected()
    console.world.saw(Status(clock=1.0, servers=servers, gauges=gauges))
    rows = [
        ConnectionStatus(id=f"c{n}", wire="http/1.1", peer=f"203.0.113.{n % 256}:{n}", age=n / 7)
        for n in range(10_000)
    ]
    console.world.saw_connections(rows, 10_000, 1.0)
    console.world.heard(Events(frames=tuple(frames(1, 5000))))
    return console


def frames(first: int, count: int) -> list[Frame]:
    text = PARAMS.decode()
    return [
        Frame(n, 0.0, "request", "one", "tools/call", "echo", str(n), "bench 1", 60, text=text)
        for n in range(first, first + count)
    ]


def keys() -> None:
    """The time from a key to the screen drawn, and what else a second of messages takes."""
    console = crowded()

    def press(key: str) -> float:
        began = time.perf_counter()
        console.top.keypress(SIZE, key)
        urwid.testing.render_text(console.top, SIZE, focus=True)
        return time.perf_counter() - began

    for view, name in (("1", "servers"), ("2", "10,000 connections"), ("3", "5,000 messages")):
        press(view)
        slowest = max(best(lambda key=key: press(key), 5) for key in ("j", "k", "G", "g", "N", "T"))
        print(f"a key in {name:20} is on the screen in {slowest * 1000:7.1f} ms at most")
    number = [10_000]

    def hear() -> float:
        number[0] += 1000
        told = tuple(frames(number[0], 1000))
        began = time.perf_counter()
        for start in range(0, 1000, 100):
            console.world.heard(Events(frames=told[start : start + 100]))
            urwid.testing.render_text(console.top, SIZE, focus=True)
        return time.perf_counter() - began

    print(f"1,000 messages in ten draws take          {best(hear) * 1000:7.1f} ms of a second")


if __name__ == "__main__":
    counting()
    keys()
