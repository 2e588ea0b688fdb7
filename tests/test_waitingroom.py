"""``mcptwist.waitingroom``: those who wait for a link to a server to open."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.errors import McpTwistError, Overloaded, ServerStartFailed
from mcptwist.exchange import Exchange
from mcptwist.link import Link
from mcptwist.messages import Request
from mcptwist.versions import LEGACY
from mcptwist.waitingroom import WaitingRoom
from tests.scripted import Heard
from tests.test_link import Listeners


class WaitingRoomTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.room = WaitingRoom("time", 2)
        self.link = Link("time", LEGACY, Listeners(), Clock())

    def enter(self, id: int) -> Exchange:
        exchange = Exchange(Request(id, "tools/call"), Heard())
        self.room.enter(exchange)
        return exchange

    def test_called_in(self) -> None:
        """In the order they came; who left meanwhile is not called."""
        first, left = self.enter(1), self.enter(2)
        watcher = self.room.watch()
        left.cancel("enough")
        called: list[Any] = []
        self.room.call_in(self.link, lambda link, exchange: called.append(exchange))
        self.assertEqual(called, [first])
        self.assertIs(self.successResultOf(watcher), self.link)
        self.assertEqual(len(self.room), 0)

    def test_full(self) -> None:
        """There are so many seats; those of who left are free."""
        self.enter(1)
        self.assertIsNone(self.room.full())
        second = self.enter(2)
        self.assertIsInstance(self.room.full(), Overloaded)
        second.cancel("enough")
        self.assertIsNone(self.room.full())

    def test_sent_away(self) -> None:
        """Everybody hears why, once."""
        waiting, watcher = self.enter(1), self.room.watch()
        problem = ServerStartFailed("no such file")
        told: list[tuple[Exchange, McpTwistError]] = []
        self.room.send_away(problem, lambda exchange, why: told.append((exchange, why)))
        self.assertEqual(told, [(waiting, problem)])
        self.failureResultOf(watcher, ServerStartFailed)
        self.assertEqual(len(self.room), 0)
