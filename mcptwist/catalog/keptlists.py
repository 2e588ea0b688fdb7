"""The last lists of servers, kept on disk so that a server need not be started to be listed.

One file a server, for the daemon's user alone, written whole or not at all and away from the
reactor's thread. What is read is believed only if nobody else could have written it, and if it was
kept of the same server: the same command or URL, with the same arguments and environment. A file
that is not believed, or that cannot be written, costs nothing but the start of a server.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec
from msgspec import Raw
from twisted.application.service import Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from mcptwist.catalog.directory import SHELVES, Shelf
from mcptwist.catalog.listings import Bounds, Listing
from mcptwist.errors import InvalidMessage, UnparsableMessage
from mcptwist.messages import check_utf8, open_fields
from mcptwist.versions import LEGACY, MODERN

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall, IReactorTime

    from mcptwist.catalog.inventory import Inventory

VERSION = 1
LARGEST = 8 << 20
"""Bytes that one server's file may have."""

_BOUNDS = Bounds()
_DELAY = 2.0
"""Seconds in which further changes go into the same file."""

_LATE = 300.0
"""Seconds that a clock may have been set back."""

Kept: TypeAlias = tuple[Shelf, Listing, bool]
_SHELVES = {shelf.method: shelf for shelf in SHELVES}


class KeptList(msgspec.Struct):
    """One list. Its entries stay as the server gave them."""

    entries: list[Raw]
    ttl: int
    private: bool
    era: str
    nameless: bool


class KeptFile(msgspec.Struct):
    """What is kept of one server.

    :ivar mark: what it was when it listed this (see :func:`mark_of`).
    :ivar at: when (seconds since 1970).
    :ivar words: what it says of itself to whoever connects.
    :ivar lists: by the method that asks for each.
    """

    version: int
    server: str
    mark: str
    at: float
    words: str
    lists: dict[str, KeptList]


class NotKept(Exception):
    """There is no file, or none that can be believed; the message tells why."""


_file = msgspec.json.Decoder(KeptFile)


def mark_of(parts: Any) -> str:
    """What tells a server from what was configured under its name before.

    :param parts: all that its lists depend on, as msgspec can encode it.
    """
    return hashlib.sha256(msgspec.json.encode(parts, order="sorted")).hexdigest()


def written(server: str, mark: str, at: float, lists: list[Kept], words: str) -> bytes:
    """The text of a file. The longest lists are left out where it would be too long."""
    room = LARGEST - 8 * len(words) - 4096
    kept: dict[str, KeptList] = {}
    for shelf, listing, nameless in sorted(lists, key=lambda each: _length(each[1])):
        room -= _length(listing)
        if room > 0 and listing.trouble is None:
            entries = list(listing.entries.values())
            kept[shelf.method] = KeptList(
                entries, listing.ttl, listing.private, listing.era, nameless
            )
    return msgspec.json.encode(KeptFile(VERSION, server, mark, at, words, kept))


def _length(listing: Listing) -> int:
    return 256 + sum(len(entry) + 1 for entry in listing.entries.values())


def read(text: bytes, server: str, mark: str, now: float, age: float, bounds: Bounds) -> KeptFile:
    """What a file says.

    :param now: seconds since 1970.
    :param age: seconds after which it is too old.
    :raises NotKept: it is damaged, too old, or about another server.
    """
    try:
        check_utf8(text)  # what stays unopened is not looked at when it is decoded
        found: KeptFile = _file.decode(text)
    except (UnparsableMessage, msgspec.DecodeError, RecursionError) as problem:
        raise NotKept(f"it is damaged: {problem}") from None
    if found.version != VERSION:
        raise NotKept(f"it is of version {found.version}")
    if found.server != server or found.mark != mark:
        raise NotKept("the server is configured differently now")
    if not now - age <= found.at <= now + _LATE:
        raise NotKept("it is too old")
    if sum(len(each.entries) for each in found.lists.values()) > 4 * bounds.entries:
        raise NotKept("it has more entries than are taken")
    return found


def lists_in(found: KeptFile) -> Iterator[Kept]:
    """The lists of a file.

    :raises NotKept: one of them is none.
    """
    for method, kept in found.lists.items():
        shelf = _SHELVES.get(method)
        if shelf is None or kept.era not in (LEGACY, MODERN):
            raise NotKept("it is damaged: a list of no kind")
        entries = {_key(entry, shelf): entry for entry in kept.entries}
        # The text of the whole file would be kept for as long as any piece of it.
        entries = {key: entry.copy() for key, entry in entries.items()}
        listing = Listing(found.server, entries, kept.ttl, kept.private, era=kept.era)
        yield shelf, listing, kept.nameless


def _key(entry: Raw, shelf: Shelf) -> str:
    try:
        return msgspec.json.decode(open_fields(entry)[shelf.key], type=str)
    except (KeyError, InvalidMessage, msgspec.DecodeError):
        raise NotKept("it is damaged: an entry without a name") from None


def load(path: Path) -> bytes:
    """The text of a file that nobody else could have written.

    :raises NotKept: there is none, or none such.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            about = os.fstat(file.fileno())
            if not stat.S_ISREG(about.st_mode) or about.st_uid != os.geteuid():
                raise NotKept("it is no file of the daemon's user")
            if stat.S_IMODE(about.st_mode) & 0o022:
                raise NotKept("others can write to it")
            text = file.read(LARGEST + 1)
    except OSError as problem:
        raise NotKept(f"it cannot be read: {problem.strerror}") from None
    if len(text) > LARGEST:
        raise NotKept("it is too long")
    return text


def save(path: Path, text: bytes) -> None:
    """Write a file for us alone, whole or not at all.

    :raises OSError: that is not possible.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.new")
    draft.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(draft, flags, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(text)
            os.fsync(file.fileno())
        draft.rename(path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise


class KeptLists(Service):
    """The lists of all servers that are kept, as a service.

    :param directory: made with access for us alone, if need be.
    :param clock: for how soon they are written.
    :param wall: seconds since 1970.
    :param in_thread: calls a function with arguments in another thread.
    :param age: seconds after which kept lists are forgotten.
    :ivar problems: files that could not be written, so far.
    """

    log = Logger()

    def __init__(
        self,
        directory: Path,
        clock: IReactorTime,
        wall: Callable[[], float],
        in_thread: Callable[..., Deferred[None]],
        age: float,
        bounds: Bounds = _BOUNDS,
    ) -> None:
        self.problems = 0
        self._directory = directory
        self._clock = clock
        self._wall = wall
        self._in_thread = in_thread
        self._age = age
        self._bounds = bounds
        self._kept: dict[str, tuple[Inventory, str]] = {}
        self._changed: set[str] = set()
        self._timer: IDelayedCall | None = None
        self._writing: Deferred[None] | None = None

    def keep(self, inventory: Inventory, mark: str) -> None:
        """Keep the lists of one more server.

        :param mark: what tells it from others of its name (see :func:`mark_of`).
        """
        self._kept[inventory.name] = inventory, mark

    def forget(self, server: str) -> None:
        """Keep its lists no more; what is on disk stays, for a server that comes back."""
        self._kept.pop(server, None)
        self._changed.discard(server)

    def changed(self, server: str) -> None:
        """There are other lists to be kept of *server*."""
        self._changed.add(server)
        if self.running and self._timer is None and self._writing is None:
            self._timer = self._clock.callLater(_DELAY, self._write)

    def startService(self) -> None:
        """Called when the daemon starts: have every server remember its last lists."""
        super().startService()
        for server, (inventory, mark) in self._kept.items():
            path = self._path(server)
            try:
                found = read(load(path), server, mark, self._wall(), self._age, self._bounds)
                inventory.restore(list(lists_in(found)), found.words)
            except NotKept as why:
                self.log.debug("{path} is not used: {why}", path=str(path), why=str(why))

    def stopService(self) -> Any:
        """Called when the daemon stops: write what is not written yet."""
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()
        super().stopService()
        if self._writing is not None:
            return self._writing.addCallback(lambda _: self._write_all(self._texts()))
        self._write_all(self._texts())
        return None

    def _path(self, server: str) -> Path:
        return self._directory / f"{server}.json"

    def _texts(self) -> dict[Path, bytes]:
        changed, self._changed = self._changed, set()
        return {self._path(server): self._text(server) for server in changed & self._kept.keys()}

    def _text(self, server: str) -> bytes:
        inventory, mark = self._kept[server]
        return written(server, mark, self._wall(), inventory.to_keep(), inventory.words)

    def _write(self) -> None:
        self._timer = None
        self._writing = maybeDeferred(self._in_thread, self._write_all, self._texts())
        self._writing.addErrback(self._broke).addCallback(self._has_written)

    def _broke(self, failure: Failure) -> None:
        self.log.failure("keeping lists broke", failure)

    def _has_written(self, _: None) -> None:
        self._writing = None
        if self._changed and self.running:
            self._timer = self._clock.callLater(_DELAY, self._write)

    def _write_all(self, texts: dict[Path, bytes]) -> None:
        for path, text in texts.items():
            try:
                save(path, text)
            except OSError as why:
                self.problems += 1
                self.log.warn("{path} cannot be kept: {why}", path=str(path), why=why.strerror)
