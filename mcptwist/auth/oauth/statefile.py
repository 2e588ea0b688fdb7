"""An SQLite file of ours alone, in which something is remembered beyond a restart.

It is opened by the process that uses it, when it first does: no connection may be carried into
another process.
"""

from __future__ import annotations

import os
import sqlite3
import stat

from twisted.logger import Logger

from mcptwist.auth.denials import CannotStart
from mcptwist.auth.keyfiles import FileProblem, check_mode

_WAIT = 0.25  # seconds for another daemon to finish writing


class StoreProblem(CannotStart):
    """The file cannot be used; the message tells why."""


class StateFile:
    """One such file.

    :param path: of the file, which is made if need be; its directory must be ours alone to write.
    :param purpose: what it cannot be used for, if it cannot: ``remember what was used``.
    :param durable: whether what was written is on the disk before anything else is done, and not
        only safe from our own end.
    """

    log = Logger()

    def __init__(self, path: str, purpose: str, durable: bool = False) -> None:
        self.path = path
        self._purpose = purpose
        self._synchronous = "FULL" if durable else "NORMAL"
        self._opened: tuple[int, sqlite3.Connection] | None = None
        self._is_failing = False

    def connection(self) -> sqlite3.Connection:
        """The one of this process.

        :raises sqlite3.Error: the file cannot be opened.
        """
        if self._opened is None or self._opened[0] != os.getpid():
            self._opened = os.getpid(), self._connected()
        return self._opened[1]

    def close(self) -> None:
        """Close what this process has opened."""
        opened, self._opened = self._opened, None
        if opened is not None and opened[0] == os.getpid():
            opened[1].close()

    def prepare(self, script: str, version: int) -> None:
        """Make what is missing: directory, file, tables.

        :param script: makes the tables.
        :raises StoreProblem: it cannot be done, others may read or write there, or the tables are
            of another version.
        """
        try:
            os.makedirs(_directory(self.path), 0o700, exist_ok=True)
            _check_directory(self.path)
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600))
            check_file(self.path)
            connection = self._connected()
            try:
                _make_tables(connection, script, version)
            finally:
                connection.close()
        except (OSError, sqlite3.Error) as problem:
            raise self.problem(problem) from None

    def problem(self, problem: Exception) -> StoreProblem:
        """Why the daemon cannot start with it."""
        return StoreProblem(f"{self.path} cannot {self._purpose}: {problem}")

    def failed(self, problem: Exception, outcome: str) -> None:
        """Tell that it cannot be used at present: once, until it can be again.

        :param outcome: what comes of that.
        """
        if not self._is_failing:
            self._is_failing = True
            self.log.error(
                "{path} cannot {purpose}: {problem}; until it can, {outcome}",
                path=self.path,
                purpose=self._purpose,
                problem=str(problem),
                outcome=outcome,
            )

    def worked(self) -> None:
        """It could be used."""
        if self._is_failing:
            self._is_failing = False
            self.log.warn("{path} can {purpose} again", path=self.path, purpose=self._purpose)

    def _connected(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=_WAIT, isolation_level=None)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(f"PRAGMA synchronous = {self._synchronous}")
        except sqlite3.Error:
            connection.close()  # else each try would leave a file open
            raise
        return connection


def check_file(path: str) -> None:
    """Whether others may read or write the file at *path*, as far as it is there.

    :raises FileProblem: they may, or it is somebody else's.
    :raises OSError: it cannot be looked at.
    """
    if os.path.lexists(_directory(path)):
        _check_directory(path)
    if os.path.lexists(path):
        check_mode(path, os.stat(path), secret=True)


def _check_directory(path: str) -> None:
    """Whether nobody else can put anything beside the file.

    Not even where they could not touch the file itself, as in ``/tmp``: SQLite takes up whatever
    journal it finds there, and believes it.
    """
    directory = _directory(path)
    status = os.stat(directory)
    check_mode(directory, status)
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise FileProblem(
            f"{directory} can be written by others; keep {os.path.basename(path)} in a directory "
            "of your own"
        )


def _directory(path: str) -> str:
    return os.path.dirname(os.path.abspath(path))


def _make_tables(connection: sqlite3.Connection, script: str, version: int) -> None:
    connection.execute("BEGIN IMMEDIATE")
    with connection:
        (found,) = connection.execute("PRAGMA user_version").fetchone()
        if found == 0:
            for statement in _statements(script):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {version}")
        elif found != version:
            raise sqlite3.DatabaseError("it is of another version of mcptwist")


def _statements(script: str) -> list[str]:
    """The statements of a script, each whole."""
    found, rest = [], ""
    for line in script.splitlines():
        rest += f"{line}\n"
        if sqlite3.complete_statement(rest):
            found.append(rest)
            rest = ""
    return found
