"""A file of ours alone: nobody else's, of our version, and open in one process."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Any

from twisted.logger import Logger, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.auth.keyfiles import FileProblem
from mcptwist.auth.oauth.statefile import StateFile, StoreProblem, check_file

SCRIPT = """
CREATE TABLE one (a TEXT);
CREATE TRIGGER two AFTER INSERT ON one BEGIN
    DELETE FROM one WHERE a = 'x'; SELECT 1;
END;
"""


class StateCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.place = Path(self.mktemp())
        self.path = self.place / "in" / "state.sqlite3"
        self.file = self.made()

    def made(self, durable: bool = False) -> StateFile:
        file = StateFile(str(self.path), "remember", durable)
        self.addCleanup(file.close)
        return file

    def pragma(self, name: str, file: StateFile | None = None) -> Any:
        return (file or self.file).connection().execute(f"PRAGMA {name}").fetchone()[0]


class TroubleTests(StateCase):
    """That it cannot be used is told of."""

    def test_each_time(self) -> None:
        """Once each time that it begins, and when it is over."""
        told: list[tuple[str, str]] = []
        self.file.log = Logger(
            observer=lambda event: told.append((event["log_level"].name, formatEvent(event)))
        )
        self.file.worked()
        for _ in range(2):
            self.file.failed(OSError("disk full"), "nobody gets in")
            self.file.failed(OSError("still"), "nobody gets in")
            self.file.worked()
            self.file.worked()
        trouble = ("error", f"{self.path} cannot remember: disk full; until it can, nobody gets in")
        over = ("warn", f"{self.path} can remember again")
        self.assertEqual(told, [trouble, over] * 2)


class PrepareTests(StateCase):
    """Making it, or taking up what there is."""

    def test_made(self) -> None:
        """A directory and a file of nobody else's; statements that hold others are whole."""
        self.file.prepare(SCRIPT, 3)
        modes = [each.stat().st_mode & 0o777 for each in (self.path, self.path.parent)]
        self.assertEqual(modes, [0o600, 0o700])
        connection = self.file.connection()
        names = connection.execute("SELECT name FROM sqlite_master ORDER BY name").fetchall()
        self.assertEqual(names, [("one",), ("two",)])
        self.assertEqual(self.pragma("user_version"), 3)

    def test_again(self) -> None:
        """What is there is left as it is."""
        self.file.prepare(SCRIPT, 3)
        self.file.connection().execute("INSERT INTO one VALUES ('a')")
        self.file.close()
        self.file.prepare(SCRIPT, 3)
        self.assertEqual(self.file.connection().execute("SELECT a FROM one").fetchall(), [("a",)])

    def test_another_version(self) -> None:
        """Earlier or later; nothing in it is touched."""
        self.file.prepare(SCRIPT, 3)
        for version in (2, 4):
            problem = self.assertRaises(StoreProblem, self.file.prepare, SCRIPT, version)
            self.assertIn("cannot remember: it is of another version", str(problem))
        self.assertEqual(self.pragma("user_version"), 3)

    def test_half_a_script(self) -> None:
        """All of it is made, or nothing."""
        self.assertRaises(StoreProblem, self.file.prepare, "CREATE TABLE a (b);\nNONSENSE;", 1)
        self.file.prepare(SCRIPT, 1)
        names = self.file.connection().execute("SELECT name FROM sqlite_master").fetchall()
        self.assertNotIn(("a",), names)

    def test_two_daemons(self) -> None:
        """One that makes the tables keeps the other from doing so meanwhile."""
        self.file.prepare("CREATE TABLE one (a);", 1)
        self.file.connection().execute("BEGIN IMMEDIATE")
        problem = self.assertRaises(StoreProblem, self.made().prepare, SCRIPT, 1)
        self.assertIn("locked", str(problem))
        self.file.connection().execute("ROLLBACK")
        self.made().prepare(SCRIPT, 1)

    def test_nobody_elses(self) -> None:
        """Neither the file nor what could be laid beside it."""
        self.file.prepare(SCRIPT, 1)
        self.path.chmod(0o640)
        self.assertRaises(FileProblem, self.file.prepare, SCRIPT, 1)
        self.assertRaises(FileProblem, check_file, str(self.path))
        self.path.chmod(0o600)
        check_file(str(self.path))
        for mode in (0o720, 0o702, 0o1777):
            self.path.parent.chmod(mode)
            self.assertRaises(FileProblem, self.file.prepare, SCRIPT, 1)
            self.assertRaises(FileProblem, check_file, str(self.path))
        self.path.parent.chmod(0o700)

    def test_nothing_there_yet(self) -> None:
        """What will be made is nobody else's."""
        check_file(str(self.path))
        self.assertFalse(self.path.parent.exists())
        self.path.parent.mkdir(parents=True, mode=0o700)
        check_file(str(self.path))
        self.path.parent.chmod(0o777)
        self.assertRaises(FileProblem, check_file, str(self.path))

    def test_no_place(self) -> None:
        self.place.mkdir()
        (self.place / "in").write_text("a file")
        problem = self.assertRaises(StoreProblem, self.file.prepare, SCRIPT, 1)
        self.assertIn("cannot remember", str(problem))


class ConnectionTests(StateCase):
    """The connection of this process."""

    def setUp(self) -> None:
        super().setUp()
        self.file.prepare(SCRIPT, 1)

    def open_files(self) -> int:
        found = [f"/proc/self/fd/{each}" for each in os.listdir("/proc/self/fd")]
        paths = [os.readlink(each) for each in found if os.path.lexists(each)]
        return paths.count(os.path.realpath(self.path))

    def test_prepared(self) -> None:
        """Nothing is open by then: the daemon may yet become another process."""
        self.assertEqual(self.open_files(), 0)

    def test_one(self) -> None:
        first = self.file.connection()
        self.assertIs(self.file.connection(), first)
        self.assertEqual(self.open_files(), 1)
        self.file.close()
        self.assertEqual(self.open_files(), 0)
        self.file.close()
        self.assertIsNot(self.file.connection(), first)

    def test_another_process(self) -> None:
        """What a parent has opened is neither used nor closed."""
        first = self.file.connection()
        self.patch(os, "getpid", lambda: -1)
        self.assertIsNot(self.file.connection(), first)
        first.execute("SELECT 1")
        second = self.file.connection()
        self.patch(os, "getpid", lambda: -2)
        self.file.close()
        second.execute("SELECT 1")
        second.close()
        first.close()

    def test_durable(self) -> None:
        """Written ahead, and on the disk where that is wanted: 1 is NORMAL, 2 is FULL."""
        self.assertEqual((self.pragma("journal_mode"), self.pragma("synchronous")), ("wal", 1))
        self.assertEqual(self.pragma("synchronous", self.made(durable=True)), 2)

    def test_cannot_be_opened(self) -> None:
        """Nothing is left open by what failed, however often it is tried."""
        self.path.write_bytes(b"x" * 5000)
        connect = self.file.connection
        problems = [self.assertRaises(sqlite3.DatabaseError, connect) for _ in range(3)]
        # Their tracebacks hold on to what was opened, as those of logged failures do.
        self.assertEqual((len(problems), self.open_files()), (3, 0))
