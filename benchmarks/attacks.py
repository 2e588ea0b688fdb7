"""What attacks over HTTP/2 and TLS cost the daemon, and whether others are served meanwhile.

    python benchmarks/attacks.py

A daemon is started with a certificate of its own. Each attack is one connection that sends as fast
as it can until it is cut off or has sent its share; then a newcomer asks for ``/health``. A line
tells what could be sent, in which time, what it cost the daemon (CPU seconds, megabytes of
resident memory), and how long the newcomer waited. The refusals themselves, and the counters, are
in the tests; the figures here depend on the machine.
"""

from __future__ import annotations

import os
import re
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from hpack import Encoder
from load.http2 import frame, u32

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PING, CONTINUATION = 0, 1, 2, 3, 4, 6, 9
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
BEGIN = PREFACE + frame(SETTINGS, 0, 0)
SHARE = 20_000_000
MUCH = 500_000_000


class Daemon:
    """The daemon under attack."""

    def __init__(self, place):
        config = Path(place) / "config.toml"
        config.write_text(f'[tls]\ndirectory = "{place}/tls"\n')
        listen = "https:0:interface=127.0.0.1"
        command = [sys.executable, "-m", "mcptwist", "run", "-c", config, "--listen", listen]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        said = ""
        while "Press" not in said:
            said += self.process.stdout.readline()
        self.port = int(re.search(r"https://127\.0\.0\.1:(\d+)", said)[1])
        self.rest = [(":scheme", "https"), (":authority", f"127.0.0.1:{self.port}")]

    def block(self, method="GET", path="/health"):
        fields = [(":method", method), (":path", path), *self.rest]
        return Encoder().encode([(*field, True) for field in fields])

    def connect(self):
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.set_alpn_protocols(["h2"])
        return context.wrap_socket(socket.create_connection(("127.0.0.1", self.port)))

    def cpu(self):
        return int(Path(f"/proc/{self.process.pid}/schedstat").read_text().split()[0]) / 1e9

    def memory(self):
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGESIZE") / 1e6

    def newcomer(self):
        """How long somebody else waits for an answer."""
        begun = time.monotonic()
        with self.connect() as sock:
            sock.sendall(BEGIN + frame(HEADERS, 5, 1, self.block()))
            heard = b""
            while b'"ok"' not in heard:
                more = sock.recv(65536)
                if not more:
                    return "not served"
                heard += more
        return f"{(time.monotonic() - begun) * 1000:.0f} ms"


def attack(daemon, name, opening, chunk, share=SHARE):
    """Send `chunk`, or what it makes, over and over; print a line."""
    memory, cpu, begun = daemon.memory(), daemon.cpu(), time.monotonic()
    sent = 0
    with daemon.connect() as sock:
        sock.settimeout(5)
        try:
            sock.sendall(BEGIN + opening)
            while sent < share:
                data = chunk() if callable(chunk) else chunk
                sock.sendall(data)
                sent += len(data)
        except OSError:
            pass
    took = time.monotonic() - begun
    report(daemon, f"{name}: {sent / 1e6:.1f} MB in {took:.1f} s", memory, cpu)


def report(daemon, what, memory, cpu):
    spent, grown = daemon.cpu() - cpu, daemon.memory() - memory
    print(
        f"{what:58} CPU {spent:5.2f} s  memory {grown:+6.1f} MB  newcomer {daemon.newcomer()}",
        flush=True,
    )


def rapid_resets(block):
    """Requests that are given up as soon as they were made."""
    number = -1

    def more():
        nonlocal number
        frames = []
        for _ in range(200):
            number += 2
            frames += (frame(HEADERS, 5, number, block), frame(RST_STREAM, 0, number, u32(8)))
        return b"".join(frames)

    return more


def frames_of_all_kinds(daemon):
    opened = frame(HEADERS, 4, 1, daemon.block("POST", "/mcp"))
    bomb = frame(HEADERS, 4, 1, b"\x40\x01x\x7f\xa1\x1e" + b"y" * 4000)
    nonsense = b"\0\x05" + u32(9)
    yield "after a fatal error", frame(DATA, 0, 0, b"x"), frame(9, 0, 1, b"x" * 16000) * 10, MUCH
    yield "small CONTINUATION", frame(HEADERS, 1, 1), frame(CONTINUATION, 0, 1) * 1000, MUCH
    yield "large CONTINUATION", frame(HEADERS, 1, 1), frame(9, 0, 1, b"\0" * 16000) * 10, MUCH
    yield "SETTINGS", b"", frame(SETTINGS, 0, 0) * 1000, SHARE
    yield "large SETTINGS", b"", frame(SETTINGS, 0, 0, (b"\x42\x42" + u32(1)) * 2700), SHARE
    yield "PING, without reading", b"", frame(PING, 0, 0, b"x" * 8) * 1000, SHARE
    yield "PRIORITY", b"", frame(PRIORITY, 0, 1, u32(3) + b"\0") * 1000, SHARE
    yield "empty DATA", opened, frame(DATA, 0, 1) * 1000, SHARE
    yield "rapid resets", b"", rapid_resets(daemon.block()), SHARE
    yield "HPACK bomb", bomb, frame(HEADERS, 5, 3, b"\xbe" * 16000), SHARE
    yield "half a setting", b"", frame(SETTINGS, 0, 0, nonsense[:5]) * 1000, SHARE


def closed_windows(daemon, connections=5, seconds=5):
    """Requests whose answers may not be sent."""
    memory, cpu = daemon.memory(), daemon.cpu()
    shut = PREFACE + frame(SETTINGS, 0, 0, b"\0\4" + u32(0))
    asked = b"".join(frame(HEADERS, 5, number, daemon.block()) for number in range(1, 200, 2))
    held = [daemon.connect() for _ in range(connections)]
    for sock in held:
        sock.sendall(shut + asked)
    time.sleep(1)
    settled = daemon.cpu()
    time.sleep(seconds)
    idle = (daemon.cpu() - settled) / seconds
    report(daemon, f"{connections * 100} closed windows, {idle:.2%} CPU", memory, cpu)
    for sock in held:
        sock.close()


def silent_handshakes(daemon, count=1500):
    """Connections that say nothing."""
    memory, cpu = daemon.memory(), daemon.cpu()
    held = []
    for _ in range(count):
        held.append(socket.create_connection(("127.0.0.1", daemon.port)))
    time.sleep(0.5)
    report(daemon, f"{count} silent handshakes", memory, cpu)
    for sock in held:
        sock.close()


def main():
    with tempfile.TemporaryDirectory() as place:
        daemon = Daemon(place)
        try:
            daemon.newcomer()
            for name, opening, chunk, share in frames_of_all_kinds(daemon):
                attack(daemon, name, opening, chunk, share)
            closed_windows(daemon)
            silent_handshakes(daemon)
        finally:
            daemon.process.terminate()
            daemon.process.wait(15)


if __name__ == "__main__":
    main()
