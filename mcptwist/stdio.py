"""The daemon on its own standard input and output: ``mcptwist stdio`` and ``mcptwist connect``.

To the local client it is one MCP server like any other. What it serves is the
servers of a file, or one that is somewhere else, such as a running daemon; then
it is the daemon, with that one server and without a port, that keeps the
connection up, speaks the wire that is spoken there and begins anew what was lost.

MCP 2026-07-28, *stdio*: standard output is for messages alone, logs go to
standard error, and the end of standard input is the end of the work.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from typing import Any

import msgspec
from twisted.internet.stdio import StandardIO
from twisted.python.failure import Failure

from mcptwist.config import Config, Loaded, report
from mcptwist.configuration.reach import Reach
from mcptwist.configuration.serverconfig import RemoteServer, Restart
from mcptwist.daemon import Daemon
from mcptwist.errors import HostNotTrusted, ServerUnreachable
from mcptwist.protocols.bytestream import ByteStreamWire, wire_of
from mcptwist.protocols.linelimits import LineLimits
from mcptwist.running import begin_logging
from mcptwist.services import make_daemon
from mcptwist.stopping import Stopping
from mcptwist.wiring.reaching import introduce_to
from mcptwist.wiring.wires import make_caller

OK, FAILED, NOT_TRUSTED = 0, 1, 3
NAME = "remote"


def serve(loaded: Loaded, log_level: str = "warn") -> int:
    """Serve the servers of a configuration until standard input ends.

    :param loaded: a configuration that can be used; where it listens does not matter.
    :return: the exit status.
    """
    if loaded.config is None:
        print(report(loaded), file=sys.stderr)
        return FAILED
    if loaded.mistakes:
        print(report(loaded), file=sys.stderr)
    return _run(loaded.config, log_level)


def connect(
    url: str,
    headers: Sequence[tuple[str, str]] = (),
    log_level: str = "error",
    reach: Reach | None = None,
) -> int:
    """Serve what is at *url* until standard input ends.

    Also until it is not the server that it should be: what was asked is answered with that, in
    words for its person, and nobody takes the bridge for one that still leads somewhere.

    :param reach: what both ends prove to each other.
    """
    try:
        introduce_to(url, reach or Reach())
    except HostNotTrusted as problem:
        print(f"mcptwist: {problem}", file=sys.stderr)
        return NOT_TRUSTED
    except ServerUnreachable:
        pass  # it may be there later, and is judged then
    return _run(config_for(url, headers, reach), log_level, ends_on_distrust=True)


def config_for(
    url: str, headers: Sequence[tuple[str, str]] = (), reach: Reach | None = None
) -> Config:
    """The configuration with one server, which is at *url*.

    Each session has its own, so that it may be asked back. No breaker: the one
    client shall find the server as soon as it is there again.
    """
    known = reach or Reach()
    server = RemoteServer(
        name=NAME,
        given=known,
        url=url,
        headers=tuple(headers),
        scope="session",
        restart=Restart(policy="always", backoff_max=5.0, breaker=None),
    )
    return Config(servers=(server,))


def _run(config: Config, log_level: str, ends_on_distrust: bool = False) -> int:
    from twisted.internet import reactor

    begin_logging(log_level)
    # Whatever a server in Python prints is no message.
    sys.stdout = sys.stderr
    standing = _Standing(msgspec.structs.replace(config, listen=()), reactor, ends_on_distrust)
    reactor.callWhenRunning(standing.start)
    reactor.run()
    return standing.status


class _Standing:
    """One client at standard input and output, from its beginning to its end.

    :param ends_on_distrust: whether it ends when a server shows a key that is not to be believed.
    """

    def __init__(self, config: Config, reactor: Any, ends_on_distrust: bool = False) -> None:
        self.status = OK
        self._config = config
        self._reactor = reactor
        told = self._distrusted if ends_on_distrust else lambda problem: None
        self._daemon: Daemon = make_daemon(config, reactor, distrusted=told)
        self._stopping = Stopping(reactor)
        self._wire: ByteStreamWire | None = None

    def start(self) -> None:
        """Begin when the reactor runs."""
        self._stopping.heed()
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        self._reactor.addSystemEventTrigger("before", "shutdown", self._daemon.stopService)
        self._daemon.startService()
        limits = self._config.limits
        self._wire = wire = wire_of(
            make_caller(self._daemon, self._daemon.gateway.whole, limits),
            self._reactor,
            LineLimits(limits.body_bytes, linger=limits.drain),
            "standard input and output",
            told_gone=self._gone,
        )
        self._daemon.closing.append(lambda: [wire.close()])
        try:
            StandardIO(wire, reactor=self._reactor)
        except Exception:
            print(f"mcptwist: {Failure().getErrorMessage()}", file=sys.stderr)
            self.status = FAILED
            self._stopping.stop()

    def _distrusted(self, problem: HostNotTrusted) -> None:
        """The server is another than it should be; what was asked is still answered."""
        if self.status == OK:
            self.status = NOT_TRUSTED
            print(f"mcptwist: {problem}", file=sys.stderr)
            wire = self._wire
            self._reactor.callLater(0, self._stopping.stop if wire is None else wire.finish)

    def _gone(self, _: ByteStreamWire) -> None:
        """The client has left."""
        self._reactor.callLater(0, self._stopping.stop)
