"""What one small request costs: CPU of the server process per request, ours beside stock.

    python benchmarks/http_front.py [--requests N] [--connections C] [--rounds R] [--varied]
        [--profile]

Each server runs in a process of its own, echoing a JSON-RPC call of some 212 bytes, and is asked
by C keep-alive connections with one request in flight each. With ``--varied``, each request of a
connection has another length than the one before, so that no head is like the last. The figure
is the server's CPU time (user and system, from ``/proc/PID/schedstat``) divided by the requests
it answered; the load driver's own speed does not enter it. Rounds alternate, so that a slow
minute falls on all.
"""

from __future__ import annotations

import argparse
import os
import selectors
import socket
import subprocess
import sys
import time

CALL = (
    b'{"jsonrpc":"2.0","id":12345,"method":"tools/call","params":{"name":"echo","arguments":'
    b'{"text":"0123456789012345678901234567890123456789"},"_meta":{"progressToken":"abcdef"}}'
)


def body_of(size: int) -> bytes:
    return CALL + b" " * (size - 1 - len(CALL)) + b"}"


def request_bytes(port: int, body: bytes) -> bytes:
    return (
        b"POST /echo HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: application/json\r\n"
        b"Accept: application/json, text/event-stream\r\nMCP-Protocol-Version: 2025-11-25\r\n"
        b"Mcp-Session-Id: 0123456789abcdef0123456789abcdef\r\nUser-Agent: bench/1\r\n"
        b"Content-Length: %d\r\n\r\n" % (port, len(body)) + body
    )


def serve(kind: str, profile: bool) -> None:
    """Be the server: print the port, serve until stdin closes."""
    from twisted.internet import reactor, stdio
    from twisted.internet.protocol import Factory, Protocol
    from twisted.web.resource import Resource
    from zope.interface import implementer

    from mcptwist.protocols.request import IAsksEarly

    class Stock(Resource):
        isLeaf = True

        def render_POST(self, request):
            request.setHeader(b"content-type", b"application/json")
            return request.content.read()

    @implementer(IAsksEarly)
    class Early(Resource):
        isLeaf = True

        def render(self, request):
            def answer(body: bytes) -> None:
                request.respond(200, [(b"Content-Type", b"application/json")], body)

            request.receive_body(1 << 20, answer)
            return 1  # NOT_DONE_YET

    class Bare(Protocol):
        """The floor: what the reactor alone costs."""

        def dataReceived(self, data):
            body = data[data.index(b"\r\n\r\n") + 4 :]
            self.transport.write(
                b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
            )

    root = Resource()
    root.putChild(b"echo", Early() if kind == "ours" else Stock())
    if kind in ("ours", "ours-stock-resource"):
        from mcptwist.protocols.http1factory import HTTP1Factory
        from mcptwist.protocols.site import HostGuard, Site

        factory = HTTP1Factory(Site(root, HostGuard(), clock=reactor), reactor)
    elif kind == "bare":
        factory = Factory.forProtocol(Bare)
    else:
        from twisted.web.server import Site as StockSite

        class Quiet(StockSite):
            def log(self, request):
                pass

        factory = (StockSite if kind == "stock" else Quiet)(
            root, **({} if kind == "stock" else {"parsePOSTFormSubmission": False})
        )
    factory.noisy = False

    class Watch(Protocol):
        def connectionLost(self, reason):
            reactor.stop()

    stdio.StandardIO(Watch())
    port = reactor.listenTCP(0, factory, interface="127.0.0.1", backlog=1024)
    print(port.getHost().port, flush=True)
    if profile:
        import cProfile
        import pstats

        with cProfile.Profile() as profiler:
            reactor.run()
        pstats.Stats(profiler, stream=sys.stderr).sort_stats("tottime").print_stats(35)
    else:
        reactor.run()


def cpu(pid: int) -> float:
    with open(f"/proc/{pid}/schedstat") as file:
        return int(file.read().split()[0]) / 1e9


def load(port: int, connections: int, requests: int, varied: bool) -> None:
    """Ask `requests` times over `connections`, one in flight on each; check each answer."""
    bodies = [body_of(212 + extra) for extra in range(7 if varied else 1)]
    texts = [request_bytes(port, body) for body in bodies]
    selector = selectors.DefaultSelector()
    turn: dict[socket.socket, int] = {}
    for _ in range(connections):
        sock = socket.create_connection(("127.0.0.1", port))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        selector.register(sock, selectors.EVENT_READ)
        sock.sendall(texts[0])
        turn[sock] = 0
    sent, done = connections, 0
    held: dict[socket.socket, bytes] = {}
    while done < requests:
        for key, _ in selector.select():
            sock = key.fileobj
            data = held.pop(sock, b"") + sock.recv(65536)
            if not data.startswith(b"HTTP/1.1 200 OK\r\n"):
                raise SystemExit(f"unexpected answer: {data[:200]!r}")
            if not data.endswith(bodies[turn[sock]]):
                held[sock] = data
                continue
            done += 1
            turn[sock] = (turn[sock] + 1) % len(texts)
            if sent < requests:
                sock.sendall(texts[turn[sock]])
                sent += 1
    for sock in turn:
        sock.close()


def measure(kind: str, options: argparse.Namespace) -> tuple[float, float]:
    """One round with one server: µs of CPU per request, requests per second."""
    command = [sys.executable, __file__, "--serve", kind]
    if options.profile:
        command.append("--profile")
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        port = int(server.stdout.readline())
        if len(os.sched_getaffinity(0)) > 1:
            os.sched_setaffinity(server.pid, {min(os.sched_getaffinity(0))})
        load(port, options.connections, options.requests // 10, options.varied)
        before, started = cpu(server.pid), time.monotonic()
        load(port, options.connections, options.requests, options.varied)
        took = time.monotonic() - started
        return (cpu(server.pid) - before) / options.requests * 1e6, options.requests / took
    finally:
        server.stdin.close()
        server.wait(10)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=20000)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kinds", default="bare,ours,ours-stock-resource,stock-tuned,stock")
    parser.add_argument("--varied", action="store_true")
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve, options.profile)
        return
    kinds = options.kinds.split(",")
    results: dict[str, list[tuple[float, float]]] = {kind: [] for kind in kinds}
    for _ in range(options.rounds):
        for kind in kinds:
            results[kind].append(measure(kind, options))
    for kind, rounds in results.items():
        best = min(rounds)
        print(f"{kind:22} {best[0]:6.1f} us CPU/request (best of {len(rounds)}), {best[1]:7.0f}/s")


if __name__ == "__main__":
    main()
