"""The audit log: a line of JSON for each grant, refusal and call.

It has fingerprints, names and the first digits of a token's hash, never a secret: who writes an
event hands in what it may tell, and nothing is written but that. No text that came from outside can
make a line look like two, or like another, or move the cursor of who reads it.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec
from twisted.logger import Logger

from mcptwist.auth.denials import CannotStart
from mcptwist.watching.journal import Journal

if TYPE_CHECKING:
    from mcptwist.auth.authorizedkeys import Grant

_LONGEST = 300
_OF_OTHERS = "it belongs to another user, or others can write it; chown it, or chmod go-w it"
_TROUBLE = re.compile("refused|denied|penalty|revoked|replay|failed|stepup")
_encode = msgspec.json.Encoder().encode


class Audit:
    """Writes events.

    :param wall: seconds since 1970.
    :param write: takes each line; without it, events only go to the daemon's log.
    :param journal: keeps the last ones, for whoever looks at the daemon.
    :ivar counts: how many there were of each.
    """

    log = Logger()

    def __init__(
        self,
        wall: Callable[[], float],
        write: Callable[[bytes], object] | None = None,
        journal: Journal | None = None,
    ) -> None:
        self.journal = journal or Journal()
        self._wall = wall
        self._write = write
        self._second, self._written = -1, ""
        self._millisecond, self._whole = -1, ""
        self.counts: dict[str, int] = {}

    @property
    def is_kept(self) -> bool:
        """Whether events are written to a file, so that it is worth telling of every call."""
        return self._write is not None

    def count(self, event: str) -> None:
        """Something happened that is not worth a line."""
        self.counts[event] = self.counts.get(event, 0) + 1

    def tell(self, event: str, **fields: Any) -> None:
        """Something happened.

        :param event: its name, ``auth.token.issued`` say.
        :param fields: what it was about; those that are ``None`` are left out.
        """
        told = self.write(event, **fields)
        self.log.debug("{event} {told}", event=event, told=told)
        text = " ".join(f"{name}={value}" for name, value in told.items())
        level = "warn" if _TROUBLE.search(event) else "info"
        self.journal.add(self._wall(), level, event, text)

    def write(self, event: str, **fields: Any) -> dict[str, Any]:
        """The same for what happens all the time, and is for the file alone; what was written."""
        self.count(event)
        told = {}
        for name, value in fields.items():
            if value is not None:
                told[name] = inert(value)
        if self._write is not None:
            self._write(_encode({"ts": self._time(), "event": event, **told}) + b"\n")
        return told

    def write_call(self, event: str, grant: Grant, method: str, name: str | None) -> None:
        """The same for a call: who may call what is mostly what it was before.

        :param grant: whose it is.
        :param name: what it names.
        """
        self.count(event)
        if self._write is not None:
            if name is not None and len(name) > _LONGEST:
                name = _cut(name)
            said = _call_line(event, grant.principal, grant.key.fingerprint, method, name)
            self._write(b'{"ts":"%b",%b' % (self._time().encode(), said))

    def _time(self) -> str:
        """The time of day, in UTC, to the millisecond."""
        now = int(self._wall() * 1000)
        if now != self._millisecond:
            self._millisecond = now
            second, millisecond = divmod(now, 1000)
            if second != self._second:
                self._second = second
                self._written = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
            self._whole = f"{self._written}.{millisecond:03}Z"
        return self._whole


class AuditFile:
    """A file that events are added to; it may be moved away at any time, and is made anew.

    :param path: readable by nobody but us.
    :ivar failures: how many events it could not take.
    :raises CannotStart: it cannot be written, or others could write it, too; the message tells
        what to do.
    """

    log = Logger()

    def __init__(self, path: str) -> None:
        self._path = path
        self._file = -1
        self._node = (0, 0)
        self._missed = 0
        self._is_torn = False
        self._has_ended = False
        self.failures = 0
        problem = file_problem(path)
        if problem:
            raise CannotStart(problem)
        try:
            self._open()
        except OSError as refused:
            raise CannotStart(_cannot(path, str(refused.strerror))) from None

    def write(self, line: bytes) -> None:
        """Add one line. A disk that is full does not stop the daemon, but is told of."""
        try:
            if self._file < 0:
                self._open()
            self._append(line)
        except OSError as problem:
            self.failures += 1
            self._missed += 1
            if self._missed == 1:
                self.log.error(
                    "{told}; events are lost until it can be",
                    told=_cannot(self._path, str(problem.strerror)),
                )
        if self._has_ended:
            self._shut()

    def look(self) -> None:
        """Open it anew if it was moved away; to be called now and then."""
        try:
            status = os.stat(self._path)
            moved = (status.st_dev, status.st_ino) != self._node
        except OSError:
            moved = True
        if moved:
            self._shut()
            # Where it cannot be made, the next event tells so.
            with suppress(OSError):
                self._open()

    def close(self) -> None:
        """The daemon stops: hold nothing open for what somebody who goes later has to say yet."""
        self._has_ended = True
        self._shut()

    def _shut(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _append(self, line: bytes) -> None:
        """:raises OSError: not all of it could be written."""
        # What was cut off by a full disk must not run together with what comes after it.
        data = b"\n" + line if self._is_torn else line
        written = os.write(self._file, data)
        if written < len(data):
            self._is_torn = True
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._is_torn = False
        if self._missed:
            self.log.warn(
                "the audit log {path} can be written again; events lost: {missed}",
                path=self._path,
                missed=self._missed,
            )
            self._missed = 0

    def _open(self) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        file = os.open(self._path, flags, 0o600)
        status = os.fstat(file)
        if _is_of_others(status):
            os.close(file)
            raise PermissionError(errno.EPERM, _OF_OTHERS)
        self._file = file
        self._node = (status.st_dev, status.st_ino)
        self._is_torn = False


def file_problem(path: str) -> str:
    """What keeps an audit log from being written there, and what to do; empty if nothing does.

    Nothing is made or opened.
    """
    directory = os.path.dirname(path) or "."
    if os.path.islink(path):
        return _cannot(path, "it is a link, and none is followed; name the file itself")
    if not os.path.isdir(directory):
        return _cannot(path, f"there is no directory {directory}; make it, for the daemon's user")
    if os.path.exists(path) and _is_of_others(os.stat(path)):
        return _cannot(path, _OF_OTHERS)
    there = path if os.path.exists(path) else directory
    if not os.path.isdir(path) and os.access(there, os.W_OK):
        return ""
    return _cannot(path, f"{there} is not for this user to write; correct its owner and mode")


def _is_of_others(status: os.stat_result) -> bool:
    """Whether what stands in a file proves nothing, for somebody else may have written it."""
    is_shared = stat.S_ISREG(status.st_mode) and status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return bool(is_shared) or status.st_uid not in (0, os.geteuid())


def _cannot(path: str, why: str) -> str:
    return f"the audit log {path} cannot be written: {why}"


def inert(value: Any) -> Any:
    """*value* as it may stand in a log: short, and no character that does anything."""
    if isinstance(value, str):
        return _inert_text(value if len(value) <= _LONGEST else _cut(value))
    if isinstance(value, bytes):
        return inert(value.decode("latin-1"))
    if isinstance(value, frozenset | set):
        return sorted(inert(each) for each in value)
    if isinstance(value, tuple | list):
        return [inert(each) for each in value]
    return value


def _cut(text: str) -> str:
    return text[:_LONGEST] + "…"


@lru_cache(1024)
def _call_line(event: str, principal: str, key: str, method: str, name: str | None) -> bytes:
    """What the line of a call says after its time."""
    told = {"event": event, "principal": principal, "key": key, "method": method, "name": name}
    said = _encode({field: inert(value) for field, value in told.items() if value is not None})
    return said[1:] + b"\n"


@lru_cache(1024)
def _inert_text(text: str) -> str:
    """Who calls, and what, is mostly the same."""
    return text if text.isprintable() else "".join(map(_shown, text))


def _shown(character: str) -> str:
    return character if character.isprintable() else f"\\u{{{ord(character):x}}}"
