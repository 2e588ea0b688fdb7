"""What was used once and may not be used again, for several daemons and beyond a restart.

The same promises as those of :class:`~mcptwist.auth.oauth.replay.ReplayCache`, kept in an SQLite
file that all daemons of one machine may share: of those that see the same assertion at the same
time, one takes it. What cannot be written down is not accepted.

A file is not written through to the disk with each use. So what was made before the machine was
last started may have been used before, and is refused; so is what was made before the file was.
RFC 7523 section 3, RFC 9449 section 11.1.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from typing import Any

from mcptwist.auth.oauth.replay import ReplaysFull
from mcptwist.auth.oauth.statefile import StateFile

_VERSION = 1
_SWEEP = 10.0
_TABLES = """
CREATE TABLE used (
  owner BLOB NOT NULL, name BLOB NOT NULL, until REAL NOT NULL,
  boot TEXT NOT NULL, kept REAL NOT NULL,
  PRIMARY KEY (owner, name)
) WITHOUT ROWID;
CREATE INDEX used_until ON used (until);
CREATE TABLE counted (owner BLOB PRIMARY KEY, number INTEGER NOT NULL) WITHOUT ROWID;
CREATE TRIGGER used_added AFTER INSERT ON used BEGIN
  INSERT INTO counted VALUES (NEW.owner, 1) ON CONFLICT (owner) DO UPDATE SET number = number + 1;
  INSERT INTO counted VALUES ('', 1) ON CONFLICT (owner) DO UPDATE SET number = number + 1;
END;
CREATE TRIGGER used_removed AFTER DELETE ON used BEGIN
  UPDATE counted SET number = number - 1 WHERE owner IN (OLD.owner, '');
  DELETE FROM counted WHERE owner = OLD.owner AND number <= 0;
END;
CREATE TABLE made (at REAL NOT NULL);
"""
_MADE = "INSERT INTO made SELECT ? WHERE NOT EXISTS (SELECT * FROM made)"
_COUNTS = "SELECT owner, number FROM counted WHERE owner IN ('', ?)"
_ALL = "SELECT number FROM counted WHERE owner = ''"
_ADD = "INSERT OR IGNORE INTO used VALUES (?, ?, ?, ?, ?)"
_FORGET = "DELETE FROM used WHERE until < ? AND (boot <> ? OR kept < ?)"


class ReplayStore:
    """Who used what.

    :param path: of the file, which is made if need be; its directory must be ours alone to write.
    :param wall: seconds since 1970.
    :param limit: how many uses are remembered.
    :param share: how many of them one owner may have.
    :param since_boot: seconds since the machine was started, whichever process asks.
    :param boot: what tells one start of the machine from another.
    :ivar refused: how often one more could not be remembered,
    :ivar failures: and how often that was the file's fault.
    :ivar remembers_since: seconds since 1970; what was made before may have been used.
    :raises StoreProblem: the file cannot be used.
    """

    def __init__(
        self,
        path: str,
        wall: Callable[[], float],
        limit: int = 100_000,
        share: int = 25_000,
        since_boot: Callable[[], float] | None = None,
        boot: str | None = None,
    ) -> None:
        self._file = StateFile(path, "remember what was used")
        self._wall = wall
        self._since_boot = since_boot or _since_boot
        self._boot = _boot() if boot is None else boot
        self.limit = limit
        self._share = share
        self._swept = float("-inf")
        self.failures = 0
        self.refused = 0
        self.remembers_since = self._prepared()

    def __len__(self) -> int:
        """How many uses are in the file; those that are over go when there is need or time."""
        try:
            found = self._file.connection().execute(_ALL).fetchone()
        except (sqlite3.Error, OSError):
            return 0
        return 0 if found is None else int(found[0])

    def first_use(self, owner: str, name: str, until: float) -> bool:
        """Remember that *owner* used *name*; whether it is the first time.

        :param until: seconds since 1970 from which on it would be refused anyway.
        :raises ReplaysFull: it cannot be remembered.
        """
        # As bytes: JSON can say strings that are no text to the file.
        use = owner.encode("utf-8", "surrogatepass"), name.encode("utf-8", "surrogatepass")
        try:
            is_first = self._first_use(self._file.connection(), use, until)
        except _NoRoom:
            self.refused += 1
            raise ReplaysFull from None
        except (sqlite3.Error, OSError) as problem:
            self.failures += 1
            self.refused += 1
            self._file.failed(problem, "nothing is taken that may be used once only")
            raise ReplaysFull from None
        self._file.worked()
        return is_first

    def close(self) -> None:
        """Nothing is remembered any more."""
        self._file.close()

    def _first_use(
        self, connection: sqlite3.Connection, use: tuple[bytes, bytes], until: float
    ) -> bool:
        now, booted = self._wall(), self._since_boot()
        connection.execute("BEGIN IMMEDIATE")
        with connection:
            counts = dict(connection.execute(_COUNTS, use[:1]).fetchall())
            if counts.get("", 0) >= self.limit or booted - self._swept >= _SWEEP:
                self._swept = booted
                connection.execute(_FORGET, (now, self._boot, booted))
                counts = dict(connection.execute(_COUNTS, use[:1]).fetchall())
            kept = booted + max(0.0, until - now)
            added = connection.execute(_ADD, (*use, until, self._boot, kept)).rowcount == 1
            if added and (counts.get("", 0) >= self.limit or counts.get(use[0], 0) >= self._share):
                raise _NoRoom
        return added

    def _prepared(self) -> float:
        """Make the tables, if need be; since when uses are remembered."""
        self._file.prepare(_TABLES, _VERSION)
        try:
            connection = self._file.connection()
            with connection:
                connection.execute(_MADE, (self._wall(),))
            (made,) = connection.execute("SELECT at FROM made").fetchone()
        except sqlite3.Error as problem:
            raise self._file.problem(problem) from None
        finally:
            self._file.close()
        return max(float(made), self._wall() - self._since_boot())


class _NoRoom(Exception):
    """There are as many uses as there may be; what was begun is undone."""


def _since_boot() -> float:
    clock: Any = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return time.clock_gettime(clock)


def _boot() -> str:
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""
