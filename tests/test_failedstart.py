"""``mcptwist.failedstart``: why a link could not be opened, in words."""

from __future__ import annotations

from typing import Any

from twisted.internet.error import TimeoutError as TwistedTimeout
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.errors import (
    EraMismatch,
    McpTwistError,
    ServerExited,
    ServerStartFailed,
    ServerUnreachable,
)
from mcptwist.failedstart import failed_start, is_foreseen, not_available
from mcptwist.link import Link
from mcptwist.versions import MODERN
from tests.fakes import FakeWire
from tests.test_link import Listeners


class FailedStartTests(SynchronousTestCase):
    def told(self, problem: Exception, probed: bool = False, wire: bool = True) -> McpTwistError:
        link = Link("time", MODERN, Listeners(), Clock())
        link.wire = FakeWire(link) if wire else None
        return failed_start(Failure(problem), link, 3, 10.0, probed)

    def test_kinds(self) -> None:
        """A server that cannot be reached or started is told from one that fails; all are named."""
        for problem, kind in (
            (ServerUnreachable("no route"), ServerUnreachable),
            (ServerStartFailed("no such file"), ServerStartFailed),
            (ServerExited("it fell", exitStatus=3), ServerStartFailed),
            (TwistedTimeout(), ServerStartFailed),
            (KeyError("ours"), ServerStartFailed),
        ):
            found = self.told(problem)
            self.assertIs(type(found), kind)
            self.assertEqual((found.data["server"], found.data["attempt"]), ("time", 3))

    def test_silence(self) -> None:
        """A server that says nothing is told by how long."""
        self.assertIn("within 10 s", self.told(TwistedTimeout()).message)

    def test_words_that_are_no_messages(self) -> None:
        """A server that wrote only other things to stdout is told what is wrong with that."""
        link = Link("time", MODERN, Listeners(), Clock())
        wire: Any = FakeWire(link)
        wire.malformed, link.wire = 2, wire
        found = failed_start(Failure(TwistedTimeout()), link, 3, 10.0, False)
        self.assertIn("stdout (2 lines) is no message", found.message)

    def test_probed(self) -> None:
        """A failure of one that was only probed tells of its era, once there is a process."""
        for problem in (ServerExited("it fell", exitStatus=3), TwistedTimeout()):
            found = self.told(problem, probed=True)
            self.assertIsInstance(found, EraMismatch)
            self.assertEqual(found.data["era"], MODERN)
        self.assertIsInstance(self.told(ServerStartFailed("x"), True, False), ServerStartFailed)
        self.assertIsInstance(self.told(ServerUnreachable("x"), True), ServerUnreachable)

    def test_foreseen(self) -> None:
        """Mistakes of ours are for the log."""
        self.assertFalse(is_foreseen(Failure(KeyError("x"))))
        self.assertTrue(is_foreseen(Failure(TwistedTimeout())))
        self.assertTrue(is_foreseen(Failure(McpTwistError("x"))))

    def test_not_available(self) -> None:
        """Why, and when to come back."""
        found = not_available("time", ServerExited("It fell.", exitStatus=3), 2, 7.25)
        self.assertIn("It fell. Next try in 7 s", found.message)
        self.assertEqual((found.data["retryAfter"], found.data["exitStatus"]), (7.2, 3))
        self.assertIn("it failed", not_available("time", None, 1, 1.0).message)
