"""The daemon in the foreground, for ``mcptwist run``."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from typing import Any

from twisted.logger import globalLogBeginner
from twisted.python.failure import Failure

from mcptwist import logs
from mcptwist.auth.denials import CannotStart
from mcptwist.auth.keystore import key_of_certificate
from mcptwist.collecting import spare_what_stays
from mcptwist.config import Loaded, report
from mcptwist.daemon import CannotListen, Daemon
from mcptwist.protocols.openfiles import open_files
from mcptwist.receipt import receipt
from mcptwist.services import make_daemon
from mcptwist.stopping import Stopping


def run(loaded: Loaded, log_level: str = "warn", reread: Callable[[], Loaded] | None = None) -> int:
    """Serve until SIGINT or SIGTERM.

    :param loaded: a configuration that can be used.
    :param reread: reads it again, where there is something to read.
    :return: the exit status: 0 after a drain, 1 if nothing could be served.
    """
    from twisted.internet import reactor

    assert loaded.config is not None
    begin_logging(log_level, loaded.config.log.format)
    if loaded.mistakes:
        print(report(loaded), file=sys.stderr)
    try:
        foreground = _Foreground(loaded, reactor, reread)
    except CannotStart as problem:
        print(f"mcptwist: {problem}", file=sys.stderr)
        return 1
    foreground.start()
    reactor.run()
    return foreground.status


def begin_logging(level: str, format: str = logs.TEXT) -> None:
    """Log to standard error, from *level* on."""
    observer = logs.observer(level, format, sys.stderr)
    globalLogBeginner.beginLoggingTo([observer], redirectStandardIO=False)


class _Foreground:
    """One run of the daemon in the foreground."""

    def __init__(
        self, loaded: Loaded, reactor: Any, reread: Callable[[], Loaded] | None = None
    ) -> None:
        assert loaded.config is not None
        self.status = 0
        self._stopping = Stopping(reactor, _say_stopping)
        self._loaded = loaded
        self._reactor = reactor
        self._daemon: Daemon = make_daemon(loaded.config, reactor)
        self._daemon.reread = reread

    def start(self) -> None:
        """Start the daemon when the reactor runs."""
        self._reactor.addSystemEventTrigger("before", "shutdown", self._daemon.stopService)
        self._reactor.callWhenRunning(self._started)

    def _started(self) -> None:
        self._stopping.heed()
        try:
            self._daemon.privilegedStartService()
        except CannotListen as problem:
            print(f"mcptwist: {problem}", file=sys.stderr)
            self.status = 1
            self._stopping.stop()
            return
        self._daemon.startService()
        spare_what_stays()
        if self._loaded.config is not None:
            open_files.suffice(self._loaded.config.limits.connections)
        self._daemon.when_bound().addCallbacks(self._bound, self._not_bound)

    def _bound(self, _: Any) -> None:
        config = self._loaded.config
        assert config is not None
        urls = [listener.url() for listener in self._daemon.listeners]
        broken = [f"{each.name}: {each.mistakes[0]}" for each in config.broken]
        shown = self._daemon.certificates
        certificate = None
        if shown:
            key = key_of_certificate(shown.path)
            certificate = (shown.path, shown.fingerprint, key.fingerprint if key else "")
        names = [each.name for each in config.servers]
        wires = [n for n, wire in (("ws", config.websocket), ("sse", config.sse)) if wire.shared]
        known_as = (*config.auth.public_urls, *urls)[0] if config.auth and urls else ""
        logs_in = config.auth is not None and config.auth.people is not None
        print(receipt(urls, names, broken, certificate, wires, known_as, logs_in), flush=True)

    def _not_bound(self, failure: Failure) -> None:
        reason = getattr(failure.value, "subFailure", failure).getErrorMessage()
        print(f"mcptwist: {reason}", file=sys.stderr)
        self.status = 1
        self._stopping.stop()


def _say_stopping(number: int) -> None:
    if number == signal.SIGINT:
        print("\nStopping; press Ctrl-C again not to wait.", file=sys.stderr)
