#!/usr/bin/env python3
"""What a client that reads slowly costs the daemon: its memory while 50 MB are said to it.

    python benchmarks/slow_reader.py
    python benchmarks/slow_reader.py --peers mcptwist-ws --bytes 200000000 --pause 10

A server says 50 MB in the course of one call, as fast as they are taken. The client takes nothing
for some seconds, then a little at a time, then all the rest. Told are the daemon's resident memory
before, the most of it, and whether all arrived. A daemon that keeps what is not taken would grow
by all of it; one that holds its server back, by next to nothing.
"""

import argparse
import base64
import json
import os
import socket
import time
import urllib.parse

import peers

FIRST = 64 * 1024  # taken at a time while it is slow
META = "io.modelcontextprotocol/"


class Reader:
    """One client on a blocking socket.

    :param url: of the wire.
    :param port: on loopback.
    """

    def __init__(self, url, port):
        self.path = urllib.parse.urlsplit(url).path
        self.port = port
        self.arrived = 0
        self.tail = b""
        self.socket = self.connect()

    def connect(self):
        """A socket with a small buffer, so that what the kernel keeps is little."""
        connected = socket.socket()
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, FIRST)
        connected.connect(("127.0.0.1", self.port))
        return connected

    def head(self, method, path, *lines):
        """The head of a request."""
        return "\r\n".join(
            [f"{method} {path} HTTP/1.1", f"Host: localhost:{self.port}", *lines, "", ""]
        )

    def take(self, most):
        """Read once; whether there may be more."""
        data = self.socket.recv(most)
        self.arrived += len(data)
        self.tail = (self.tail + data)[-400:]
        return bool(data) and b'"result"' not in self.tail


class Http(Reader):
    """Streamable HTTP, a request that stands alone."""

    def ask(self, body):
        lines = [
            "Content-Type: application/json",
            "Accept: application/json, text/event-stream",
            "MCP-Protocol-Version: 2026-07-28",
            "Mcp-Method: tools/call",
            "Mcp-Name: stream",
            f"Content-Length: {len(body)}",
        ]
        self.socket.sendall(self.head("POST", self.path, *lines).encode() + body)


class Sse(Reader):
    """HTTP+SSE: the stream is read slowly, the question is posted beside it."""

    def ask(self, body):
        accept = "Accept: text/event-stream"
        self.socket.sendall(self.head("GET", self.path, accept).encode())
        told = b""
        while b"session_id=" not in told or not told.endswith(b"\n\n\r\n"):
            told += self.socket.recv(FIRST)
        url = told.partition(b"data: ")[2].partition(b"\n")[0].decode()
        lines = ["Content-Type: application/json", f"Content-Length: {len(body)}"]
        with self.connect() as speaking:
            speaking.sendall(self.head("POST", url, *lines).encode() + body)
            speaking.recv(FIRST)


class WebSocket(Reader):
    """WebSocket: one connection for both."""

    def ask(self, body):
        key = base64.b64encode(os.urandom(16)).decode()
        lines = [
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {key}",
            "Sec-WebSocket-Protocol: mcp",
        ]
        self.socket.sendall(self.head("GET", self.path, *lines).encode())
        self.socket.recv(FIRST)
        size = len(body).to_bytes(2, "big")
        self.socket.sendall(b"\x81\xfe" + size + b"\0\0\0\0" + body)


READERS = {"http": Http, "sse": Sse, "ws": WebSocket}


def question(size):
    """The call, as a modern client makes it."""
    meta = {
        "progressToken": 1,
        META + "protocolVersion": "2026-07-28",
        META + "clientInfo": {"name": "slow", "version": "1"},
        META + "clientCapabilities": {},
    }
    params = {"name": "stream", "arguments": {"bytes": size}, "_meta": meta}
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    return json.dumps(message).encode()


def resident(pid):
    """Resident memory of a process, in MB."""
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def measure(name, spec, options):
    """One wire: resident memory before, the most, and bytes that arrived."""
    with peers.Peer(name, spec, peers.Cores(options.pin)) as peer:
        reader_class = READERS[spec.get("transport", "http")]
        url = peer._filled(spec["url"])
        warm = reader_class(url, peer.port)
        warm.ask(question(0))
        while warm.take(FIRST):
            pass
        before = most = resident(peer.process.pid)
        reader = reader_class(url, peer.port)
        reader.ask(question(options.bytes))
        slow_until = time.monotonic() + 2 * options.pause
        silent_until = time.monotonic() + options.pause
        more = True
        while more:
            most = max(most, resident(peer.process.pid))
            if time.monotonic() < silent_until:
                time.sleep(0.05)
                continue
            if time.monotonic() < slow_until:
                time.sleep(0.02)
            more = reader.take(FIRST)
        return before, most, reader.arrived


def main(argv=None):
    """The command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--peers", default="mcptwist,mcptwist-ws,mcptwist-sse", help="of peers.toml, with commas")
    add("--bytes", type=int, default=50_000_000, help="how much is said")
    add("--pause", type=float, default=3.0, help="seconds of silence, then of reading slowly")
    add("--pin", action=argparse.BooleanOptionalAction, default=True, help="cores of their own")
    options = parser.parse_args(argv)
    _, known = peers.catalogue()
    for name in options.peers.split(","):
        before, most, arrived = measure(name, known[name], options)
        print(
            f"{name:14} {before:6.1f} MB before, {most:6.1f} MB at most"
            f" (+{most - before:.1f}), {arrived / 1e6:.1f} MB arrived",
            flush=True,
        )


if __name__ == "__main__":
    main()
