"""What was used once, in a file: once between all, also after a restart, or not at all."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.logger import Logger
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.auth.denials import CannotStart
from mcptwist.auth.oauth.replay import ReplaysFull
from mcptwist.auth.oauth.replaystore import ReplayStore
from mcptwist.auth.oauth.statefile import StoreProblem
from tests.auth.closed import BASE, Closed, ClosedCase
from tests.auth.people import NOW, assertion

#: Also what is no text to a file: JSON can say it.
_ANY = st.text(st.characters(), max_size=3)


class StoreCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.place = Path(self.mktemp())
        self.place.mkdir(mode=0o700)
        self.path = str(self.place / "replay.sqlite3")
        self.clock = Clock()
        self.clock.advance(5000)
        self.moved = 0.0

    def wall(self) -> float:
        return NOW + self.clock.seconds() + self.moved

    def open(self, boot: str = "one", **bounds: int) -> ReplayStore:
        store = ReplayStore(
            self.path, self.wall, since_boot=self.clock.seconds, boot=boot, **bounds
        )
        self.addCleanup(store.close)
        return store

    def use(self, store: ReplayStore, name: str, owner: str = "alice", lasts: float = 300) -> bool:
        return store.first_use(owner, name, self.wall() + lasts)


class UseTests(StoreCase):
    def test_once(self) -> None:
        store = self.open()
        self.assertTrue(self.use(store, "a"))
        self.assertFalse(self.use(store, "a"))
        self.assertTrue(self.use(store, "a", "bob"))
        self.assertTrue(self.use(store, "b"))

    def test_once_between_all(self) -> None:
        """C1: of several daemons one takes it."""
        stores = [self.open() for _ in range(3)]
        for number in range(20):
            uses = [self.use(store, str(number)) for store in stores]
            self.assertEqual(uses, [True, False, False])

    def test_after_a_restart(self) -> None:
        """C1: also after the machine was started again."""
        store = self.open()
        self.use(store, "a")
        store.close()
        self.assertFalse(self.use(self.open(), "a"))
        self.assertFalse(self.use(self.open("two"), "a"))

    def test_ends(self) -> None:
        """What is over is forgotten, by both clocks."""
        store = self.open(limit=1)
        self.use(store, "a", lasts=100)
        self.clock.advance(99)
        self.assertRaises(ReplaysFull, self.use, store, "b")
        self.clock.advance(2)
        self.assertTrue(self.use(store, "b"))
        self.assertEqual(store.failures, 0)

    def test_clock_set_forward(self) -> None:
        """G19: what was set forward may be set back, and then brings nothing back."""
        store = self.open()
        self.use(store, "a")
        self.moved = 3600.0
        self.clock.advance(60)
        self.use(store, "b")
        self.moved = 0.0
        self.assertFalse(self.use(store, "a"))

    def test_full(self) -> None:
        """C16: what cannot be remembered is not accepted; nor is another's room taken."""
        store = self.open(limit=4, share=2)
        for name in "ab":
            self.use(store, name)
        self.assertRaises(ReplaysFull, self.use, store, "c")
        self.assertFalse(self.use(store, "a"))
        for name in "ab":
            self.assertTrue(self.use(store, name, "bob"))
        self.assertRaises(ReplaysFull, self.use, store, "a", "carol")
        self.clock.advance(301)
        self.assertTrue(self.use(store, "a", "carol"))

    def test_no_text(self) -> None:
        store = self.open()
        self.assertEqual([self.use(store, "\ud800", "\udfff") for _ in "ab"], [True, False])

    @settings(max_examples=40, deadline=None)
    @given(st.lists(st.tuples(st.sampled_from("ab"), _ANY), max_size=12))
    def test_as_a_set(self, uses: list[tuple[str, str]]) -> None:
        """However it is called, the first use of each is the only one."""
        self.path = str(self.place / os.urandom(8).hex())
        store, known = self.open(), set()
        for use in uses:
            self.assertEqual(store.first_use(*use, self.wall() + 300), use not in known)
            known.add(use)


class SinceTests(StoreCase):
    def test_new_file(self) -> None:
        """What was made before the file was may have been used."""
        self.assertEqual(self.open().remembers_since, self.wall())

    def test_old_file(self) -> None:
        made = self.wall()
        self.open().close()
        self.clock.advance(100)
        self.assertEqual(self.open().remembers_since, made)

    def test_machine_started(self) -> None:
        """What was written before the machine was started may not have reached the disk."""
        self.open().close()
        self.clock = Clock()
        self.clock.advance(10)
        self.moved = 6000.0
        self.assertEqual(self.open("two").remembers_since, NOW + 6000)


class TroubleTests(StoreCase):
    def test_nobody_elses(self) -> None:
        self.open().close()
        os.chmod(self.path, 0o644)
        self.assertRaises(CannotStart, self.open)
        os.chmod(self.path, 0o600)
        for mode in (0o777, 0o770, 0o1777, 0o1770):  # a journal beside it would be believed
            self.place.chmod(mode)
            self.assertRaises(CannotStart, self.open)
        self.place.chmod(0o700)

    def test_no_such_file(self) -> None:
        Path(self.path).write_bytes(b"x" * 5000)
        os.chmod(self.path, 0o600)
        self.assertRaises(StoreProblem, self.open)

    def test_another_version(self) -> None:
        self.open().close()
        connection = sqlite3.connect(self.path)
        connection.execute("PRAGMA user_version = 9")
        connection.close()
        self.assertRaises(StoreProblem, self.open)

    def test_link(self) -> None:
        os.symlink("/etc/passwd", self.path)
        self.assertRaises(StoreProblem, self.open)

    def test_locked(self) -> None:
        """While another writes and does not stop, nothing is accepted; afterwards it is."""
        store = self.open()
        self.use(store, "a")
        other = sqlite3.connect(self.path, isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        told: list[str] = []
        store._file.log = Logger(observer=lambda event: told.append(event["log_level"].name))
        self.assertRaises(ReplaysFull, self.use, store, "b")
        other.execute("ROLLBACK")
        other.close()
        self.assertTrue(self.use(store, "b"))
        self.assertEqual((store.failures, told), (1, ["error", "warn"]))

    def test_another_process(self) -> None:
        """A connection is never carried into another process."""
        store = self.open()
        self.use(store, "a")
        assert store._file._opened is not None
        mine = store._file._opened[1]
        store._file._opened = (os.getpid() + 1, mine)
        self.assertFalse(self.use(store, "a"))
        self.assertIsNot(store._file._opened[1], mine)
        mine.close()


class GateTests(ClosedCase):
    """Two daemons that share a file."""

    def setUp(self) -> None:
        self.store = Path(self.mktemp())
        self.auth: Any = {**self.auth, "replay_store": str(self.store / "replay.sqlite3")}
        super().setUp()
        self.other = Closed(Path(self.mktemp()), *self.authorized(), auth=self.auth)
        self.addCleanup(self.other.gatehouse.stopService)
        # They have the machine's own clock behind them, and tests have another.
        for house in (self.house, self.other):
            self.assertGreater(house.gatehouse.server._on.born, 0)

    def test_once_between_them(self) -> None:
        made = assertion(self.alice, "alice", self.house.wall(), aud=BASE)
        first = self.house.ask_token(self.alice, assertion=made)
        again = self.other.ask_token(self.alice, assertion=made)
        self.assertEqual((first.status, again.status), (200, 401))
        self.assertEqual(len(self.other.events("auth.replay")), 1)

    def test_full(self) -> None:
        store: Any = self.house.gatehouse.books.replays
        store.limit = 0
        self.assertEqual(self.house.ask_token(self.alice).status, 503)
