"""What a wire's reader is told: in order, not while it is paused, and ``lost`` last and once."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.errors import InvalidMessage, McpTwistError, ServerExited
from mcptwist.protocols.inbox import Inbox

GONE = ServerExited("it has gone")


class Reader:
    """Writes down what it is told; *doing* happens meanwhile."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.doing: Any = None

    def _hear(self, what: Any) -> None:
        self.told.append(what)
        if self.doing is not None:
            self.doing(what)

    def received(self, message: Any) -> None:
        self._hear(message)

    def malformed(self, problem: Any) -> None:
        self._hear(problem)

    def lost(self, reason: McpTwistError) -> None:
        self._hear(reason)


class InboxTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.reader = Reader()
        reader: Any = self.reader
        self.inbox = Inbox(reader, self.clock, "a wire")

    def put(self, *messages: Any) -> None:
        for each in messages:
            self.inbox.put(each)

    def assert_told(self, *expected: Any) -> None:
        self.assertEqual(self.reader.told, list(expected))

    def test_at_once(self) -> None:
        problem = InvalidMessage("no message")
        self.put(1, problem, 2)
        self.assert_told(1, problem, 2)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_paused(self) -> None:
        """What comes after the pause has been lifted comes after what waited, too."""
        self.inbox.pause()
        self.put(1, 2)
        self.inbox.resume()
        self.put(3)
        self.assert_told()
        self.clock.advance(0)
        self.assert_told(1, 2, 3)
        self.put(4)
        self.assert_told(1, 2, 3, 4)

    def test_resumed_for_nothing(self) -> None:
        self.inbox.resume()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_paused_by_the_reader(self) -> None:
        """In the midst of what it is told."""
        self.inbox.pause()
        self.put(1, 2, 3)
        self.reader.doing = lambda what: self.inbox.pause() if what == 2 else None
        self.inbox.resume()
        self.clock.advance(0)
        self.assert_told(1, 2)
        self.inbox.resume()
        self.clock.advance(0)
        self.assert_told(1, 2, 3)

    def test_lost(self) -> None:
        """On a later turn, after what waits, and once; nothing is told after it."""
        lost = self.inbox.when_lost()
        self.inbox.pause()
        self.put(1)
        self.inbox.end(GONE)
        self.put(2)
        self.clock.advance(0)
        self.assert_told()
        self.inbox.resume()
        self.inbox.end(ServerExited("again"))
        self.assertNoResult(lost)
        self.clock.advance(0)
        self.clock.advance(0)
        self.assert_told(1, GONE)
        self.successResultOf(lost)
        self.successResultOf(self.inbox.when_lost())
        self.assertIs(self.inbox.reason, GONE)
        self.put(3)
        self.inbox.resume()
        self.assert_told(1, GONE)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_cleared(self) -> None:
        """Whoever ends it wants to hear of nothing but that it is over; no pause holds that up."""
        self.inbox.pause()
        self.put(1)
        self.inbox.end(GONE)
        self.inbox.clear()
        self.put(2)
        self.clock.advance(0)
        self.assert_told(GONE)

    def test_cleared_before_the_end(self) -> None:
        self.inbox.pause()
        self.put(1)
        self.inbox.clear()
        self.put(2)
        self.clock.advance(0)
        self.assert_told()
        self.inbox.end(GONE)
        self.clock.advance(0)
        self.assert_told(GONE)

    def test_broken_reader(self) -> None:
        """What breaks there keeps nothing from what comes after it, and is logged."""

        def fail(what: Any) -> None:
            raise ZeroDivisionError

        self.reader.doing = fail
        lost = self.inbox.when_lost()
        self.put(1, InvalidMessage("x"), 2)
        self.inbox.end(GONE)
        self.clock.advance(0)
        self.assertEqual((len(self.reader.told), self.reader.told[-1]), (4, GONE))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 4)
        self.successResultOf(lost)
