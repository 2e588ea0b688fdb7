"""The daemon in the foreground, for ``mcptwist run``."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from twisted.logger import (
    FilteringLogObserver,
    LogLevel,
    LogLevelFilterPredicate,
    globalLogBeginner,
    textFileLogObserver,
)
from twisted.python.failure import Failure

from mcptwist.config import Loaded, report
from mcptwist.daemon import Daemon
from mcptwist.receipt import receipt
from mcptwist.services import make_daemon


def run(loaded: Loaded, log_level: str = "warn") -> int:
    """Serve until SIGINT or SIGTERM.

    :param loaded: a configuration that can be used.
    :return: the exit status: 0 after a drain, 1 if nothing could be served.
    """
    from twisted.internet import reactor

    begin_logging(log_level)
    assert loaded.config is not None
    if loaded.mistakes:
        print(report(loaded), file=sys.stderr)
    foreground = _Foreground(loaded, reactor)
    foreground.start()
    reactor.run()
    return foreground.status


def begin_logging(level: str) -> None:
    """Log to standard error, from *level* on."""
    observer = FilteringLogObserver(
        textFileLogObserver(sys.stderr),
        [LogLevelFilterPredicate(LogLevel.levelWithName(level))],
    )
    globalLogBeginner.beginLoggingTo([observer], redirectStandardIO=False)


class _Foreground:
    """One run of the daemon in the foreground."""

    def __init__(self, loaded: Loaded, reactor: Any) -> None:
        assert loaded.config is not None
        self.status = 0
        self._stopping = False
        self._loaded = loaded
        self._reactor = reactor
        self._daemon: Daemon = make_daemon(loaded.config, reactor)

    def start(self) -> None:
        """Start the daemon when the reactor runs."""
        self._reactor.addSystemEventTrigger("before", "shutdown", self._daemon.stopService)
        self._reactor.callWhenRunning(self._started)

    def _started(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._signalled)
        self._daemon.privilegedStartService()
        self._daemon.startService()
        self._daemon.when_bound().addCallbacks(self._bound, self._not_bound)

    def _signalled(self, number: int, _: Any) -> None:
        """Called on a signal: the first drains, the second does not wait."""
        if self._stopping:
            # What is left of the children, the warden ends.
            os._exit(128 + number)
        self._stopping = True
        if number == signal.SIGINT:
            print("\nStopping; press Ctrl-C again not to wait.", file=sys.stderr)
        self._reactor.callFromThread(self._reactor.stop)

    def _bound(self, _: Any) -> None:
        config = self._loaded.config
        assert config is not None
        urls = [listener.url() for listener in self._daemon.listeners]
        broken = [f"{each.name}: {each.mistakes[0]}" for each in config.broken]
        print(receipt(urls, [each.name for each in config.servers], broken), flush=True)

    def _not_bound(self, failure: Failure) -> None:
        reason = getattr(failure.value, "subFailure", failure).getErrorMessage()
        print(f"mcptwist: {reason}", file=sys.stderr)
        self.status = 1
        if not self._stopping:
            self._stopping = True
            self._reactor.stop()
