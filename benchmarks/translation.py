#!/usr/bin/env python3
"""What it costs a call when client and server are of different eras.

    translation.py [--calls N] [--repeat R]

The server is in this process and answers at once (see catalog.py), so nothing but our own work is
measured.  A client that may be asked has a process of the server for its call alone.  Prints one
JSON object, in microseconds.
"""

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from catalog import Far, backend, legacy_client, modern_client, timed
from twisted.internet.task import Clock

from mcptwist.gateway import ServerView

PARAMS = b'{"name":"look_for_things_1","arguments":{"path":"/a/b/c","limit":10}}'
CLIENTS = {"legacy": legacy_client, "modern": modern_client}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--calls", type=int, default=5000)
    parser.add_argument("--repeat", type=int, default=7)
    options = parser.parse_args()
    found = {
        f"{client} client, {server} server": cost(client, server, options)
        for server in CLIENTS
        for client in CLIENTS
    }
    found["modern client that may be asked, legacy server"] = cost(
        "modern", "legacy", options, b'{"elicitation":{}}'
    )
    print(json.dumps(found, indent=1))


def cost(client, server, options, capabilities=None):
    """Microseconds of a call and of a list."""
    clock = Clock()
    view = ServerView(backend("s", Far(40, server), clock))
    more = () if capabilities is None else (capabilities,)
    ask = CLIENTS[client](view, clock, *more)
    assert ask("tools/call", PARAMS).result
    clock.advance(1)
    return {
        "call_us": timed(lambda: ask("tools/call", PARAMS), options.calls, options.repeat),
        "list_of_40_us": timed(lambda: ask("tools/list"), 200, options.repeat),
    }


if __name__ == "__main__":
    main()
