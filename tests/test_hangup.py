"""``mcptwist.hangup``: the configuration, read again on SIGHUP."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

from twisted.internet.testing import MemoryReactorClock
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from mcptwist import hangup
from mcptwist.reloading import CannotReload


class Reactor(MemoryReactorClock):
    """Calls what comes from signals when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Callable[[], None]] = []

    def callFromThread(self, call: Callable[[], None]) -> None:  # type: ignore[override]
        """Called by whoever is not in the reactor's turn."""
        self.calls.append(call)


class HangupTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.heeded: dict[int, Any] = {}
        self.patch(hangup.signal, "signal", self.heeded.__setitem__)
        self.events: list[Any] = []
        globalLogPublisher.addObserver(self.events.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.events.append)
        self.reactor = Reactor()
        self.has_terminal = False
        self.patch(hangup.os, "isatty", lambda descriptor: self.has_terminal)
        self.lines: list[str] = []
        hangup.Hangup(self.reactor, self.reload).heed()

    def reload(self) -> list[str]:
        if "broken" in self.lines:
            raise CannotReload("listen must be a list")
        if "our mistake" in self.lines:
            raise ZeroDivisionError
        return self.lines

    def logged(self) -> list[tuple[str, str]]:
        """What is logged when the signal comes: the level and the text of each line."""
        self.events.clear()
        self.heeded[signal.SIGHUP](signal.SIGHUP, None)
        self.assertEqual(self.events, [])
        self.reactor.calls.pop()()
        return [
            (event["log_level"].name, event["log_format"].format(**event)) for event in self.events
        ]

    def test_heeded(self) -> None:
        """In the reactor's turn, not in the signal's; a line for each thing that has changed."""
        self.assertEqual(self.logged(), [("warn", "configuration: nothing has changed")])
        self.lines = ["a is new", "b changed"]
        self.assertEqual(
            self.logged(),
            [("warn", "configuration: a is new"), ("warn", "configuration: b changed")],
        )

    def test_terminal(self) -> None:
        """A daemon with a terminal ends with it; whether it has one is asked when it runs."""
        self.heeded.clear()
        waiting = hangup.Hangup(self.reactor, self.reload)
        self.has_terminal = True
        waiting.heed()
        self.assertEqual(self.heeded, {})

    def test_unusable(self) -> None:
        """Why it cannot be used is logged, and the next signal is heeded as well."""
        self.lines = ["broken"]
        for _ in range(2):
            self.assertEqual(self.logged(), [("error", "configuration: listen must be a list")])

    def test_our_mistake(self) -> None:
        """A mistake of ours is logged, and the next signal is heeded as well."""
        self.lines = ["our mistake"]
        ((level, text),) = self.logged()
        self.assertEqual(level, "critical")
        self.assertIn("all stays as it was", text)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.lines = []
        self.assertEqual(self.logged(), [("warn", "configuration: nothing has changed")])
