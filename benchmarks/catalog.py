#!/usr/bin/env python3
"""What many servers as one cost: time to list, memory, and what the catalog adds to a call.

    catalog.py [--servers N] [--tools N] [--calls N] [--repeat R]

The servers are in this process and answer at once, so that nothing but our own work is measured:
real backends and links, over wires in memory.  Prints one JSON object.
"""

import argparse
import json
import statistics
import sys
import time
import tracemalloc
from pathlib import Path

from twisted.internet.defer import succeed
from twisted.internet.task import Clock
from zope.interface import implementer

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from mcptwist.backend import Backend
from mcptwist.catalog.catalog import Catalog
from mcptwist.catalog.inventory import Inventory
from mcptwist.catalog.selectedserver import SelectedServer
from mcptwist.catalog.selection import NamedSelection, Selections
from mcptwist.eras.held import Held
from mcptwist.errors import MethodNotFound
from mcptwist.exchange import Exchange
from mcptwist.gateway import ServerView
from mcptwist.interfaces import IConnector, IReply, IWire
from mcptwist.messages import Request, Result, encode_json, error_answer
from mcptwist.negotiation import Envelope, modern_meta
from mcptwist.patience import Patience
from mcptwist.session import Session, visit

ME = {"name": "benchmark", "version": "0"}
SCHEMA = {
    "type": "object",
    "properties": {
        "path": {"type": "string", "description": "Where to look, from the root on."},
        "limit": {"type": "integer", "minimum": 1, "default": 100},
    },
    "required": ["path"],
}
ANSWER = encode_json({"content": [{"type": "text", "text": "x" * 64}]})
HELLO = encode_json({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": ME})


@implementer(IWire)
class Echo:
    """A wire to a server that answers before ``send`` returns."""

    description, backlog = "benchmark", 0

    def __init__(self, reader, far):
        self.reader, self.far = reader, far

    def send(self, message):
        if isinstance(message, Request):
            self.reader.received(self.far.answer(message))

    def pause(self):
        pass

    resume = pause

    def close(self):
        return succeed(None)


@implementer(IConnector)
class Far:
    """A server of one era with so many tools."""

    description = "benchmark"

    def __init__(self, tools, era, promises=True):
        self.era = era
        listed = {"tools": [tool(number) for number in range(tools)]}
        if era == "modern":
            listed |= {"resultType": "complete", "ttlMs": 0, "cacheScope": "public"}
        capabilities = {"tools": {"listChanged": promises}}
        legacy = {"protocolVersion": "2025-11-25", "capabilities": capabilities, "serverInfo": ME}
        modern = {"supportedVersions": ["2026-07-28"], "capabilities": capabilities}
        opening = {"initialize": legacy} if era == "legacy" else {"server/discover": modern}
        answers = {**opening, "tools/list": listed}
        self.answers = {method: encode_json(answer) for method, answer in answers.items()}

    def connect(self, reader):
        return succeed(Echo(reader, self))

    def answer(self, request):
        if (
            request.method in ("initialize", "server/discover")
            and request.method not in self.answers
        ):
            return error_answer(request.id, MethodNotFound(request.method))
        return Result(request.id, self.answers.get(request.method, ANSWER))


def tool(number):
    """One tool, as long as tools are."""
    return {
        "name": f"look_for_things_{number}",
        "title": f"Look for things {number}",
        "description": "Looks for things, and tells where they are. " * 4,
        "inputSchema": SCHEMA,
    }


@implementer(IReply)
class Answered:
    """A reply that remembers its answer."""

    answer = None

    def notified(self, exchange, notification):
        pass

    asked = cancelled = notified

    def answered(self, exchange, answer):
        self.answer = answer


def backend(name, far, clock):
    """A real backend."""
    held = Held(clock, lambda size: b"x" * size)
    return Backend(name, far, clock, Patience, ME, held)


def legacy_client(view, clock):
    """Asks as a legacy client does."""
    session = Session("k", view, clock, in_flight=1024)
    session.request(Request(0, "initialize", HELLO), Answered())

    def ask(method, params=b"{}"):
        reply = Answered()
        session.request(Request(1, method, params), reply)
        return reply.answer

    return ask


def modern_client(view, clock, capabilities=b"{}"):
    """Asks as a modern client does, its envelope read already."""
    stay = visit(Envelope("2026-07-28", capabilities, encode_json(ME)))
    meta = encode_json(modern_meta(ME))[:-1]

    def ask(method, params=b"{}"):
        reply = Answered()
        whole = params[:-1] + (b"," if len(params) > 2 else b"") + b'"_meta":' + meta + b"}}"
        view.begin(Exchange(Request(1, method, whole), reply, stay))
        return reply.answer

    return ask


def timed(work, times, repeat):
    """Microseconds that one of *times* takes: the median of the repetitions."""
    found = []
    for _ in range(repeat):
        begun = time.perf_counter()
        for _ in range(times):
            work()
        found.append((time.perf_counter() - begun) / times * 1e6)
    return round(statistics.median(found), 1)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--servers", type=int, default=50)
    parser.add_argument("--tools", type=int, default=40)
    parser.add_argument("--calls", type=int, default=5000)
    parser.add_argument("--repeat", type=int, default=7)
    options = parser.parse_args()
    print(json.dumps(measured(options), indent=1))


def measured(options):
    clock = Clock()
    found = {"servers": options.servers, "tools": options.servers * options.tools}
    for promises in (True, False):
        tracemalloc.start()
        fars = [Far(options.tools, "legacy", promises) for _ in range(options.servers)]
        before = tracemalloc.get_traced_memory()[0]
        backends = {f"s{n}": backend(f"s{n}", far, clock) for n, far in enumerate(fars)}
        inventories = {n: Inventory(n, b, clock, ME) for n, b in backends.items()}
        catalog = Catalog(backends, clock, ME, None, inventories)
        started = tracemalloc.get_traced_memory()[0]
        ask = legacy_client(catalog, clock)
        first = ask("tools/list")
        memory = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        key = "remembered" if promises else "asked each time"
        found[key] = {
            "list_ms": timed(lambda ask=ask: ask("tools/list"), 5, options.repeat) / 1000,
            "list_bytes": len(first.result),
            "memory_of_backends_KiB": (started - before) // 1024,
            "memory_with_lists_KiB": (memory - before) // 1024,
        }
    found["first_list_ms"] = timed(lambda: fresh(fars, clock)("tools/list"), 1, 3) / 1000
    found["call_us"] = calls(fars[0], catalog, clock, options)
    return found


def fresh(fars, clock):
    """A client of a catalog that has asked nobody yet."""
    backends = {f"s{n}": backend(f"s{n}", far, clock) for n, far in enumerate(fars)}
    return legacy_client(Catalog(backends, clock, ME), clock)


def calls(far, catalog, clock, options):
    """Microseconds of a call, straight and through what stands before a server."""
    alone = backend("s0", far, clock)
    renamed = Selections(NamedSelection(rename=(("look_for_things_1", "look"),)))
    arguments = b'"arguments":{"path":"/a/b/c","limit":10}}'
    plain = b'{"name":"look_for_things_1",' + arguments
    views = {
        "server": (ServerView(alone), plain),
        "selected": (ServerView(SelectedServer(alone, renamed)), b'{"name":"look",' + arguments),
        "catalog": (catalog, b'{"name":"s0__look_for_things_1",' + arguments),
    }
    found = {}
    for name, (view, params) in views.items():
        ask = legacy_client(view, clock)
        assert ask("tools/call", params).result == ANSWER
        found[name] = timed(
            lambda ask=ask, params=params: ask("tools/call", params), options.calls, options.repeat
        )
    return found


if __name__ == "__main__":
    main()
