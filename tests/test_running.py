"""``mcptwist.running``: the daemon in the foreground."""

from __future__ import annotations

import sys
from io import StringIO
from typing import Any

from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from mcptwist import running, stopping
from mcptwist.config import Loaded, command_config, default_config, override_listen


class Reactor(MemoryReactorClock):
    """A reactor that remembers being stopped."""

    stopped = 0

    def stop(self) -> None:
        self.stopped += 1


class ForegroundTests(SynchronousTestCase):
    """One run."""

    def setUp(self) -> None:
        self.out, self.err = StringIO(), StringIO()
        self.patch(sys, "stdout", self.out)
        self.patch(sys, "stderr", self.err)
        self.patch(stopping.signal, "signal", lambda *_: None)
        self.patch(running, "spare_what_stays", lambda: None)
        self.reactor = Reactor()

    def start(self, loaded: Loaded | None = None) -> Any:
        loaded = loaded or override_listen(
            Loaded("", default_config()), ["tcp:8000:interface=127.0.0.1"]
        )
        foreground = running._Foreground(loaded, self.reactor)
        foreground.start()
        self.assertEqual(self.reactor.tcpServers, [])
        for call, args, kwargs in self.reactor.whenRunningHooks:
            call(*args, **kwargs)
        return foreground

    def test_receipt(self) -> None:
        """When it listens it prints where."""
        foreground = self.start()
        self.assertIn("http://127.0.0.1:8000/mcp", self.out.getvalue())
        self.assertEqual((foreground.status, self.err.getvalue()), (0, ""))

    def test_command(self) -> None:
        """Under the name of the command's server."""
        self.start(command_config(None, ("mcp-server-time",), ["tcp:8000:interface=127.0.0.1"]))
        self.assertIn("time", self.out.getvalue())

    def test_taken(self) -> None:
        """What cannot be bound ends it with 1 and the reason, not with a traceback."""

        def taken(*_: Any, **__: Any) -> None:
            raise OSError("that port is taken")

        self.reactor.listenTCP = taken  # type: ignore[method-assign]
        foreground = self.start()
        self.assertEqual((foreground.status, self.reactor.stopped), (1, 1))
        self.assertIn("that port is taken", self.err.getvalue())
        self.assertEqual(self.out.getvalue(), "")

    def test_drains(self) -> None:
        """When the reactor stops, the daemon drains."""
        foreground = self.start()
        (drain, args, kwargs), *_ = self.reactor.triggers["before"]["shutdown"]
        stopped = drain(*args, **kwargs)
        self.reactor.advance(2)
        self.successResultOf(stopped)
        self.assertEqual(foreground.status, 0)
