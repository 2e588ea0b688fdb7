"""The sessions that are known by a key, and their expiry."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.errors import (
    ClientGone,
    Overloaded,
)
from mcptwist.messages import Notification, Request, Result, encode_json
from mcptwist.sessiontable import SessionTable
from tests.scripted import HELLO, Back, Heard
from tests.test_session import View

LIST_CHANGED = "notifications/tools/list_changed"


class TableTests(SynchronousTestCase):
    """The sessions known by a key."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.view = View({"tools/call": None})
        self.keys = iter(range(100))
        self.table = self.make()

    def make(self, **more: Any) -> SessionTable:
        arguments = {"limit": 3, "idle": 100.0, **more}
        return SessionTable(self.clock, lambda: f"key-{next(self.keys)}", **arguments)

    def test_find(self) -> None:
        """By its key, in its view, by its principal: all three or none."""
        session = self.table.begin(self.view, "bob")
        self.assertIs(self.table.find(session.key, self.view, "bob"), session)
        self.assertIsNone(self.table.find("key-9", self.view, "bob"))
        self.assertIsNone(self.table.find(session.key, View(), "bob"))
        self.assertIsNone(self.table.find(session.key, self.view, "eve"))
        self.assertIsNone(self.table.find(session.key, self.view))

    def test_ended(self) -> None:
        """One that ended is not found, and makes room."""
        sessions = [self.table.begin(self.view) for _ in range(3)]
        self.assertRaises(Overloaded, self.table.begin, self.view)
        sessions[0].end(ClientGone("bye"))
        self.assertIsNone(self.table.find(sessions[0].key, self.view))
        self.table.begin(self.view)
        self.assertEqual((len(self.table), self.table.refused), (3, 1))

    def test_idle(self) -> None:
        """Forgotten after so long without a word; any word counts."""
        quiet, *others = [self.table.begin(self.view) for _ in range(3)]
        self.clock.advance(60)
        others[0].notification(Notification("notifications/initialized"))
        others[1].answer(Result(1, b"{}"))
        self.clock.advance(60)
        self.table.expire()
        self.assertEqual(set(self.table), set(others))
        self.assertEqual((self.table.expired, type(quiet.ended)), (1, ClientGone))

    def test_found_is_used(self) -> None:
        """Being asked for, as by a client that comes back for its stream, is a sign of life."""
        session = self.table.begin(self.view)
        for _ in range(3):
            self.clock.advance(60)
            self.table.find(session.key, self.view)
            self.table.expire()
        self.assertEqual(list(self.table), [session])

    def test_not_while_it_waits(self) -> None:
        """A session that waits for an answer or holds a stream is not idle, and its idle time
        begins when that ends."""
        waiting, listening = self.table.begin(self.view), self.table.begin(self.view)
        waiting.request(Request(1, "initialize", encode_json(HELLO)), Heard())
        waiting.request(Request(1, "tools/call"), Heard())
        listening.back = back = Back()
        back.open = True  # type: ignore[attr-defined]
        for _ in range(5):
            self.clock.advance(60)
            self.table.expire()
        back.open = False  # type: ignore[attr-defined]
        self.view.asked[-1].succeed({})
        self.clock.advance(60)
        self.table.expire()
        self.assertEqual(len(self.table), 2)
        self.clock.advance(60)
        self.table.expire()
        self.assertEqual(len(self.table), 0)

    def test_age(self) -> None:
        """With an age, a session ends then, however busy."""
        table = self.make(age=150.0)
        session = table.begin(self.view)
        for _ in range(3):
            self.assertIsNone(session.ended)
            self.clock.advance(60)
            table.find(session.key, self.view)
            table.expire()
        self.assertIsNotNone(session.ended)
        self.assertEqual(table.expired, 1)

    def test_end_all(self) -> None:
        """When the daemon stops all of them end."""
        sessions = [self.table.begin(self.view) for _ in range(3)]
        self.table.end_all(ClientGone("the daemon stops"))
        self.assertEqual((len(self.table), self.view.left), (0, sessions))
