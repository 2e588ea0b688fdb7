#!/usr/bin/env python3
"""What the stdio server alone can do, over a raw pipe: the ceiling for anything before it.

    pipebench.py [--seconds S] [--repeat R] [--depth 1,8,64,256] [--payload N] [-- COMMAND...]

For each depth that many tools/call requests are kept in the pipe at once (1 is one at a time,
what one sequential session sees).  Prints one JSON object a depth, with the median, least and
most calls a second.  COMMAND is echo_server.py unless given.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

ECHO = [sys.executable, "-S", "-E", str(Path(__file__).with_name("echo_server.py"))]
HELLO = (
    b'{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25",'
    b'"capabilities":{},"clientInfo":{"name":"pipebench","version":"1"}}}\n'
    b'{"jsonrpc":"2.0","method":"notifications/initialized"}\n'
)
CALL = (
    b'{"jsonrpc":"2.0","id":1000001,"method":"tools/call",'
    b'"params":{"name":"echo","arguments":{"text":"%s"}}}\n'
)


class Pipe:
    """A server's stdin and stdout."""

    def __init__(self, command):
        self.child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )

    def write(self, data):
        """Put bytes in."""
        os.write(self.child.stdin.fileno(), data)

    def lines(self):
        """How many lines have come out since; at least one."""
        while True:
            data = os.read(self.child.stdout.fileno(), 1 << 20)
            if not data:
                raise SystemExit("the server went away")
            if found := data.count(b"\n"):
                return found

    def close(self):
        """End the server, by ending its input."""
        self.child.stdin.close()
        self.child.stdout.close()
        self.child.wait()


def bench(command, depth, seconds, payload):
    """Calls a second, with that many in the pipe, each echoing ``payload`` characters."""
    pipe = Pipe(command)
    call = CALL % (b"x" * payload)
    pipe.write(HELLO)
    pipe.lines()
    done = 0
    pipe.write(call * depth)
    start = time.perf_counter()
    while time.perf_counter() < start + seconds:
        got = pipe.lines()
        done += got
        pipe.write(call * got)
    took = time.perf_counter() - start
    pipe.close()
    return done / took


def main():
    """The command."""
    own, command = sys.argv[1:], ECHO
    if "--" in own:
        cut = own.index("--")
        own, command = own[:cut], own[cut + 1 :]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--depth", default="1,8,64,256")
    parser.add_argument("--payload", type=int, default=32, help="characters to echo")
    parser.add_argument("--cpu", type=int, help="pin this end to one core")
    args = parser.parse_args(own)
    if args.cpu is not None:
        os.sched_setaffinity(0, {args.cpu})
    for depth in map(int, args.depth.split(",")):
        rates = [bench(command, depth, args.seconds, args.payload) for _ in range(args.repeat)]
        middle = round(statistics.median(rates))
        found = {
            "depth": depth,
            "calls_s": middle,
            "min": round(min(rates)),
            "max": round(max(rates)),
        }
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
