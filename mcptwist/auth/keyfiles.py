"""``authorized_keys`` and ``revoked_keys`` on disk, read again as soon as they change.

As sshd's StrictModes: a file that others could have written is not believed. A file that cannot be
believed, or read, changes nothing: what was read last stays. No notification is relied on; both
files are looked at several times a second, which costs a microsecond each.

A file that takes another's place (``rename``) is whole by construction and read at once. One that
is being written to in its place is read when it has been left alone from one look to the next, so
that half of it is never taken for the whole.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from typing import Any

from twisted.logger import Logger

from mcptwist.auth.audit import Audit
from mcptwist.auth.authorizedkeys import (
    KEYS_PER_PRINCIPAL,
    LineProblem,
    read_authorized_keys,
    read_revoked_keys,
)
from mcptwist.auth.denials import CannotStart
from mcptwist.auth.keyring import Keyring

LARGEST = 4 << 20


class FileProblem(CannotStart):
    """A file cannot be believed or read; the message tells why and what to do."""


class WatchedFile:
    """One file, and whether it is another than it was.

    :ivar content: what it said when it was read last, ``None`` where there was none.
    :ivar problem: why what it says now is not believed, empty while that is well.
    """

    def __init__(self, path: str, optional: bool) -> None:
        self.path = path
        self.content: str | None = None
        self.problem = ""
        self._optional = optional
        self._read: Any = None
        self._seen: Any = None

    def read(self) -> None:
        """Read it.

        :raises FileProblem: it cannot be read, or not be believed.
        """
        signature = self._signature()
        self.content = read_strictly(self.path) if signature is not None else None
        if signature is None and not self._optional:
            raise FileProblem(f"{self.path} does not exist; make it with mcptwist authorize add")
        self._read = self._seen = signature

    def has_changed(self) -> bool:
        """Whether it is time to read it again; to be asked at each look."""
        seen, self._seen = self._seen, self._signature()
        if self._seen == self._read:
            return False
        both = self._seen is not None and self._read is not None
        is_another = both and self._seen[:2] != self._read[:2]
        return bool(is_another or self._seen == seen)

    def accept(self) -> None:
        """Do not try this one again."""
        self._read = self._seen

    def _signature(self) -> Any:
        try:
            found = os.stat(self.path)
        except OSError:
            return None
        return (found.st_dev, found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size)


class KeyFiles:
    """Keeps a keyring to what the files say.

    :param authorized: the path of ``authorized_keys``.
    :param revoked: the path of ``revoked_keys``, which need not exist.
    :param keys_per_principal: how many keys may go by one name.
    """

    log = Logger()

    def __init__(
        self,
        authorized: str,
        revoked: str,
        keyring: Keyring,
        audit: Audit,
        keys_per_principal: int = KEYS_PER_PRINCIPAL,
    ) -> None:
        self._authorized = WatchedFile(authorized, optional=False)
        self._revoked = WatchedFile(revoked, optional=True)
        # Who is revoked and authorized at once is revoked first.
        self._both = (self._revoked, self._authorized)
        self._keyring = keyring
        self._audit = audit
        self._keys_per_principal = keys_per_principal

    @property
    def problem(self) -> str:
        """Why what they say now is not believed, empty while all is well."""
        return "; ".join(each.problem for each in self._both if each.problem)

    def load(self) -> None:
        """Read both.

        :raises FileProblem: one of them cannot be read or not be believed.
        """
        self._authorized.read()
        self._revoked.read()
        self._take(*self._both)

    def look(self) -> None:
        """Read again what has changed, and see whose time is over; to be called often."""
        for each in self._both:
            if each.has_changed():
                self._reload(each)
        self._keyring.look()

    def _reload(self, file: WatchedFile) -> None:
        """Read one by itself: what is wrong with it keeps no key good that the other revokes.

        What cannot be believed is not tried again until it changes once more.
        """
        before = file.content
        try:
            self._read_again(file)
            self._take(file)
        except FileProblem as problem:
            file.content = before
            file.accept()
            file.problem = str(problem)
            self._failed(file.problem)
        else:
            file.problem = ""

    def _read_again(self, file: WatchedFile) -> None:
        try:
            file.read()
        except FileProblem:
            if not os.path.lexists(file.path) and file is self._authorized:
                file.content = ""  # who deletes the file wants nobody to come in
                file.accept()
                return
            raise
        if file.content is None:
            raise FileProblem(f"{file.path} is gone; what it revoked stays revoked")

    def _take(self, *changed: WatchedFile) -> None:
        """Go by what they say now; of lines that are refused one hears when their file changes."""
        try:
            revoked = read_revoked_keys(self._revoked.content or "")
        except LineProblem as problem:
            raise FileProblem(f"{self._revoked.path}: {problem}") from None
        found = read_authorized_keys(self._authorized.content or "", self._keys_per_principal)
        for line in found.refused if self._authorized in changed else ():
            self.log.error(
                "{path} line {number} is refused: it {reason}",
                path=self._authorized.path,
                number=line.number,
                reason=line.reason,
            )
            self._audit.tell("auth.keys.line_refused", line=line.number, reason=line.reason)
        self._keyring.replace(found, revoked)
        self._audit.tell("auth.keys.loaded", keys=len(self._keyring), refused=len(found.refused))

    def _failed(self, problem: str) -> None:
        self.log.error("the keys stay as they were: {problem}", problem=problem)
        self._audit.tell("auth.keys.reload_failed", reason=problem)


def read_strictly(path: str, secret: bool = False, whose: Callable[[], int] = os.geteuid) -> str:
    """The text of a file that nobody else could have written.

    :param secret: whether nobody else may be able to read it either.
    :param whose: the user who may own it, beside root.
    :raises FileProblem: it cannot be read or not be believed.
    """
    try:
        with open(path, "rb") as file:
            check_mode(path, os.fstat(file.fileno()), secret, whose())
            check_mode(os.path.dirname(path) or ".", os.stat(os.path.dirname(path) or "."))
            content = file.read(LARGEST + 1)
    except OSError as problem:
        raise FileProblem(f"{path} cannot be read: {problem.strerror}") from None
    if len(content) > LARGEST:
        raise FileProblem(f"{path} is longer than {LARGEST >> 20} MiB")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        raise FileProblem(f"{path} is not UTF-8") from None


def check_mode(
    path: str, status: os.stat_result, secret: bool = False, user: int | None = None
) -> None:
    """As sshd's StrictModes.

    :raises FileProblem: others may write it, or read it where it is secret, or own it.
    """
    mode, owner = status.st_mode, status.st_uid
    if owner not in (0, os.geteuid() if user is None else user):
        raise FileProblem(f"{path} belongs to another user; make it yours with chown")
    is_shared = stat.S_ISDIR(mode) and bool(mode & stat.S_ISVTX)
    if mode & (stat.S_IWGRP | stat.S_IWOTH) and not is_shared:
        raise FileProblem(f"{path} can be written by others; chmod go-w it")
    if secret and mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise FileProblem(f"{path} can be read by others; chmod 600 it")
