#!/usr/bin/env python3
"""What it costs to know who is calling.

    auth.py [calls] [work] [--count N] [--rounds R] [--sessions S] [--transport ws]

`calls`: calls of a tool through a daemon that asks nobody, one that wants keys (with a key that
reaches everything, and with one that has a list of tools), one that also writes an audit log, and
one to which each request comes signed, without a token;
the same load, one after the other, by turns.  Where `perf` may count, instructions for each call
(user space, the daemon's process) tell more than time does: they are the same on a busy machine.

`work`: how often in a second one core does what a key costs now and then: gives a token for a
signed assertion, hears a request with a DPoP proof, shakes hands over TLS without and with a
certificate of the client's.  The other end's part is done before, or taken off.

Prints one JSON object.
"""

import argparse
import contextlib
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import authwork
import peers

COMMAND = "{twistd} --pidfile= -n mcpd --config {config} --listen tcp:{port}:interface=127.0.0.1"
SERVERS = '"mcpServers": {"echo": {"command": {child_command}, "args": {child_args}}}'
URLS = {
    "http": "http://127.0.0.1:{port}/servers/echo/mcp",
    "ws": "ws://127.0.0.1:{port}/servers/echo/ws",
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", nargs="*", default=["calls", "work"])
    parser.add_argument("--count", type=int, default=4000, help="calls in each round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sessions", type=int, default=8)
    parser.add_argument("--transport", choices=URLS, default="http")
    options = parser.parse_args()
    found = {}
    with tempfile.TemporaryDirectory(prefix="mcptwist-auth-") as folder:
        if "calls" in options.what:
            found["calls"] = calls(Path(folder), options)
        if "work" in options.what:
            found["work"] = authwork.all_of_it(Path(folder))
    print(json.dumps(found, indent=1))


class Person:
    """Somebody who has a key, and the files that let them in.

    :param options: of the line in `authorized_keys`, as `authorize add` takes them.
    """

    def __init__(self, folder, *options):
        folder.mkdir(mode=0o700)
        self.environ = {**os.environ, "XDG_CONFIG_HOME": str(folder)}
        own = folder / "mcptwist"
        self.authorized_keys = own / "authorized_keys"
        self.log = own / "audit.jsonl"
        self._run("keygen")
        scope = ("--scope", "mcp:read mcp:call")
        self._run("authorize", "add", *scope, *options, str(own / "id_ed25519.pub"))

    def header(self, url):
        """The words for `mcpload.py` that let requests in there."""
        made = json.loads(self._run("token", "--ttl", "1h", url))
        return ("--header", f"Authorization: {made['Authorization']}")

    def _run(self, *words):
        command = [peers.command_of("mcptwist"), *words]
        return subprocess.run(
            command, env=self.environ, capture_output=True, text=True, check=True
        ).stdout


class Signer(Person):
    """Somebody who signs each request instead."""

    def header(self, url):
        return ("--sign", str(self.authorized_keys.with_name("id_ed25519")))


def people(folder):
    """Who calls whom: for each name the person, None where nobody is asked, and the `auth`."""
    anyone, some = Person(folder / "anyone"), Person(folder / "some", "--tools", "echo__*,blob__?")
    signer = Signer(folder / "signer")
    by_anyone = {"authorized_keys": str(anyone.authorized_keys)}
    by_signer = {"authorized_keys": str(signer.authorized_keys), "http_signatures": True}
    by_some = {"authorized_keys": str(some.authorized_keys)}
    return {
        "open": (None, False),
        "keys": (anyone, by_anyone),
        "keys, tools": (some, by_some),
        "keys, signed": (signer, by_signer),
        "keys, audit log": (anyone, {**by_anyone, "audit_log": str(anyone.log)}),
    }


def daemon(auth, transport):
    """A daemon's table, as in `peers.toml`."""
    config = "{" + SERVERS + f', "auth": {json.dumps(auth)}' + "}"
    url = URLS[transport]
    return {"command": COMMAND, "url": url, "config": config, "transport": transport}


def calls(folder, options):
    """For each era, what a call costs each daemon: figures, and times the open one's."""
    found = {}
    with contextlib.ExitStack() as running:
        cores = peers.Cores()
        started = {}
        for name, (person, auth) in people(folder).items():
            if options.transport == "ws" and isinstance(person, Signer):
                continue  # only requests are signed, not what is said on a socket
            spec = daemon(auth, options.transport)
            peer = running.enter_context(peers.Peer(name.partition(",")[0], spec, cores))
            url = spec["url"].replace("{port}", str(peer.port))
            started[name] = (peer, person.header(url) if person else ())
        for era, revision in peers.REVISIONS.items():
            rounds = {name: [] for name in started}
            for _ in range(options.rounds):
                for name, (peer, header) in started.items():
                    rounds[name].append(one_round(peer, revision, header, options))
            found[era] = compared(rounds)
    return found


def one_round(peer, revision, header, options):
    """Load it with so many calls: what `mcpload.py` found, and how many instructions each took."""
    words = ("--protocol", revision, "--sessions", options.sessions, "--count", options.count)
    peer.load("calls", *header, *words[:-1], 200)
    counting = Instructions(peer.process.pid)
    result = peer.load("calls", *header, *words)
    instructions = counting.stop()
    if "failed" in result or result["errors"]:
        raise SystemExit(f"the load of {peer.name} went wrong: {result}")
    made = {"per_second": result["calls_s"], "cpu_us": result["gateway_cpu_us_per_call"]}
    if instructions is not None:
        made["instructions"] = instructions / options.count
    return made


class Instructions:
    """Counts what a process does from now on, in user space, where `perf` is there and may."""

    def __init__(self, pid):
        self._perf = None
        if shutil.which("perf"):
            command = ["perf", "stat", "-x", ",", "-e", "instructions:u", "-p", str(pid)]
            self._perf = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
            time.sleep(0.3)  # until it has begun, of which it says nothing

    def stop(self):
        """How many there were; None where they cannot be counted."""
        if self._perf is None:
            return None
        self._perf.send_signal(signal.SIGINT)
        _, said = self._perf.communicate()
        counted = said.partition(",")[0].strip()
        return int(counted) if counted.isdigit() else None


def compared(rounds):
    """The median of each figure, and how many times the open daemon's it is."""
    figures = {
        name: {
            figure: round(statistics.median(each[figure] for each in made), 1) for figure in made[0]
        }
        for name, made in rounds.items()
    }
    least = figures["open"]
    for name, own in figures.items():
        if name != "open":
            own["times"] = {figure: round(own[figure] / least[figure], 3) for figure in least}
    return figures


if __name__ == "__main__":
    main()
