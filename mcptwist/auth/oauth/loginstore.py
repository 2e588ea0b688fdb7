"""Logins in an SQLite file, which outlast the daemon.

What is said to be so is on the disk before it is said: neither our own end nor the machine's makes
a refresh token that was used good again. Who changes a login says what it was; so of two daemons
that have taken up the same one, only one can go on with it.

A login ends by the wall's clock *and* by how long daemons have run with the file, whichever comes
first: a clock that is set back makes none longer than it may be.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection
from typing import Any

from twisted.logger import Logger

from mcptwist.auth.oauth.loginkeeping import Kept, NotKept
from mcptwist.auth.oauth.statefile import StateFile

_VERSION = 2
_NOTED = 60.0
"""Seconds of running after which they are written down."""
_TABLES = """
CREATE TABLE login (
  number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, refresh BLOB NOT NULL,
  client TEXT NOT NULL, key TEXT NOT NULL, principal TEXT NOT NULL, line BLOB NOT NULL,
  base TEXT NOT NULL, path TEXT NOT NULL, scopes TEXT NOT NULL, jkt TEXT,
  ends REAL NOT NULL, until REAL NOT NULL,
  way TEXT NOT NULL, begun REAL NOT NULL, source TEXT NOT NULL, renewed REAL NOT NULL
);
CREATE TABLE clock (ran REAL NOT NULL);
INSERT INTO clock VALUES (0);
"""
_ALL = """SELECT id, refresh, client, key, principal, line, base, path, scopes, jkt,
  min(ends - :now, until - (SELECT ran FROM clock)), way, max(0.0, :now - begun), source,
  max(0.0, :now - renewed) FROM login ORDER BY number"""
_NEW = """INSERT INTO login (id, refresh, client, key, principal, line, base, path, scopes, jkt,
  ends, until, way, begun, source, renewed)
  VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ? + (SELECT ran FROM clock), ?, ?, ?, ?)"""
_NEXT = "UPDATE login SET refresh = ?, source = ?, renewed = ? WHERE id = ? AND refresh = ?"
_END = "DELETE FROM login WHERE id = ?"
_RAN = "UPDATE clock SET ran = ran + ?"


class LoginFile:
    """Keeps logins; see :class:`~mcptwist.auth.oauth.loginkeeping.LoginStore`.

    :param path: of the file, which is made if need be; its directory must be ours alone to write.
    :param wall: seconds since 1970.
    :param monotonic: seconds that only grow.
    :ivar failures: how often something could not be written.
    :raises StoreProblem: the file cannot be used.
    """

    log = Logger()

    def __init__(
        self, path: str, wall: Callable[[], float], monotonic: Callable[[], float]
    ) -> None:
        self._file = StateFile(path, "keep logins", durable=True)
        self._wall = wall
        self._monotonic = monotonic
        self._noted = monotonic()
        self._ended: set[str] = set()
        self.failures = 0
        self._file.prepare(_TABLES, _VERSION)

    @property
    def is_behind(self) -> bool:
        """See :attr:`LoginStore.is_behind`."""
        return bool(self._ended)

    def all(self) -> list[Kept]:
        """See :meth:`LoginStore.all`."""
        try:
            rows = self._file.connection().execute(_ALL, {"now": self._wall()}).fetchall()
            return [_read(row) for row in rows]
        except (sqlite3.Error, TypeError, AttributeError) as problem:
            raise self._file.problem(problem) from None

    def keep(self, login: Kept, before: bytes | None) -> bool:
        """See :meth:`LoginStore.keep`."""
        if before is None:
            return self._add(login)
        values = (login.refresh, login.source, self._wall(), login.id, before)
        return self._write(_NEXT, values) == 1

    def end(self, ids: Collection[str]) -> None:
        """See :meth:`LoginStore.end`."""
        self._ended.update(ids)
        if self._ended:
            self._try()

    def look(self) -> None:
        """See :meth:`LoginStore.look`."""
        if self._ended or self._monotonic() - self._noted >= _NOTED:
            self._try()

    def close(self) -> None:
        """See :meth:`LoginStore.close`."""
        self._try()
        self._file.close()
        if self._ended:
            self.log.error(
                "{path} still holds {count} logins that have ended; remove it",
                path=self._file.path,
                count=len(self._ended),
            )

    def _add(self, login: Kept) -> bool:
        try:
            return self._write(_NEW, _row(login, self._wall())) == 1
        except NotKept:
            self._ended.add(login.id)  # nobody knows what has become of it
            raise

    def _try(self) -> None:
        try:
            self._write()
        except NotKept:
            pass  # it was told of, and is tried again

    def _write(self, statement: str = "", values: tuple[Any, ...] = ()) -> int:
        """Write what is due, and *statement*: all of it or nothing.

        :return: how many rows it has changed.
        :raises NotKept: nothing was written.
        """
        now, changed = self._monotonic(), 0
        try:
            connection = self._file.connection()
            connection.execute("BEGIN IMMEDIATE")
            with connection:
                connection.execute(_RAN, (max(0.0, now - self._noted),))
                connection.executemany(_END, [(name,) for name in self._ended])
                if statement:
                    changed = connection.execute(statement, values).rowcount
        except (sqlite3.Error, OSError) as problem:
            self.failures += 1
            self._file.failed(problem, "nobody is logged in, or renewed")
            raise NotKept from None
        self._file.worked()
        self._noted = now
        self._ended.clear()
        return changed


def _row(login: Kept, wall: float) -> tuple[Any, ...]:
    return (
        login.id, login.refresh, login.client, login.key, login.principal, login.line, login.base,
        login.path, " ".join(sorted(login.scopes)), login.jkt, wall + login.left, login.left,
        login.way, wall - login.age, login.source, wall,
    )  # fmt: skip


def _read(row: tuple[Any, ...]) -> Kept:
    name, refresh, client, key, principal, line, base, path, scopes, jkt, left, *told = row
    granted = frozenset(scopes.split(" "))
    return Kept(name, refresh, client, key, principal, line, base, path, granted, jkt, left, *told)
