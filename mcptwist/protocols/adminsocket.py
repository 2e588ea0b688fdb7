"""The UNIX socket where the daemon is administered: for its own user and nobody else.

It stands in a directory that only this user can enter, is named after the port the
daemon answers on, and so is found again by a console when the daemon was started anew.
That it cannot be made is told in the log, and keeps no daemon from its work.
"""

from __future__ import annotations

import errno
import os
import re
import socket
import stat
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from mcptwist.protocols.hostcertificate import state_directory
from mcptwist.protocols.listener import Listener

__all__ = ["AUTO", "OFF", "AdminSocket", "directory", "existing", "is_alive", "path_for"]

AUTO, OFF = "auto", "off"
LONGEST = 100
"""Bytes that the path of a UNIX socket may have; the system's own limit is not far beyond."""

_PORT = re.compile(r"[a-z0-9:]*?\b(?:tcp6?|ssl|https?|mtls):(\d+)")


def directory(environ: Mapping[str, str]) -> Path | None:
    """Where sockets of this user's daemons are; ``None`` where there is no place for them."""
    for variable in ("XDG_RUNTIME_DIR", "RUNTIME_DIRECTORY"):
        found = environ.get(variable, "").partition(":")[0]
        if found.startswith("/"):
            return Path(found) / "mcptwist"
    if any(environ.get(name) for name in ("STATE_DIRECTORY", "XDG_STATE_HOME", "HOME")):
        return state_directory(environ) / "run"
    return None


def path_for(
    configured: str, listen: Sequence[str], environ: Mapping[str, str], pid: int
) -> Path | None:
    """Where a daemon's socket is to be.

    :param configured: ``auto``, ``off`` or a path.
    :param listen: its endpoints; the port of the first that has one names the socket.
    :param pid: names it where there is none.
    """
    if configured == OFF:
        return None
    if configured != AUTO:
        return Path(configured).absolute()
    place = directory(environ)
    ports = [found[1] for entry in listen if (found := _PORT.match(entry)) and found[1] != "0"]
    return None if place is None else place / f"{ports[0] if ports else f'pid-{pid}'}.sock"


def existing(environ: Mapping[str, str]) -> list[Path]:
    """The sockets of this user's daemons; some may be of daemons that are gone."""
    place = directory(environ)
    try:
        return [] if place is None else sorted(place.glob("*.sock"))
    except OSError:
        return []


def prepare(path: Path) -> None:
    """See to it that a socket can be made at *path*, and that nobody else gets there.

    :raises OSError: it cannot, or somebody could; the message says why.
    """
    if len(os.fsencode(path)) > LONGEST:
        raise OSError(f"a path of more than {LONGEST} bytes is too long for a socket")
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = path.parent.stat()
    if found.st_uid != os.geteuid() or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise OSError(f"others may write to {path.parent}")
    if path.exists() and not _removed(path):
        raise OSError("another daemon is administered there")


def _removed(path: Path) -> bool:
    """Remove what a daemon left behind that is gone; whether that was so."""
    if _probed(path) != errno.ECONNREFUSED or not path.is_socket():
        return False
    path.unlink()
    return True


def is_alive(path: Path) -> bool:
    """Whether a daemon answers there."""
    try:
        return _probed(path) == 0
    except OSError:  # no socket can have that path
        return False


def _probed(path: Path) -> int:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as probe:
        return probe.connect_ex(os.fsencode(path))


class AdminSocket(Service):
    """The socket, as long as the daemon runs.

    :param factory: answers on it.
    :param ended: asked when the daemon ends, after all else.
    :ivar listener: what listens, while it does.
    """

    log = Logger()

    def __init__(
        self, path: Path, factory: Any, reactor: Any, ended: Callable[[], Deferred[None]]
    ) -> None:
        self.path = path
        self.listener: Listener | None = None
        self._factory = factory
        self._reactor = reactor
        self._ended = ended

    def startService(self) -> None:
        """Called when the daemon starts, as the user it runs as."""
        super().startService()
        try:
            prepare(self.path)
        except OSError as problem:
            self._not_bound(problem)
            return
        endpoint = f"unix:{_quoted(self.path)}:mode=600:lockfile=0"
        self.listener = Listener(endpoint, self._factory, self._reactor)
        self.listener.startService()
        self.listener.when_bound().addCallbacks(
            lambda _: None, lambda failure: self._not_bound(failure.value)
        )

    def end(self) -> Deferred[list[Deferred[None]]]:
        """Close it; fires with what is still being closed."""
        return Deferred.fromCoroutine(self._end())

    async def _end(self) -> list[Deferred[None]]:
        listener = self.listener
        if listener is None:
            return [self._ended()]
        await listener.stopService()
        return [self._ended(), listener.drain()]

    def _not_bound(self, problem: BaseException) -> None:
        self.listener = None
        self.log.warn(
            "the daemon cannot be administered at {path}: {problem}",
            path=str(self.path),
            problem=str(problem),
        )


def _quoted(path: Path) -> str:
    return str(path).replace("\\", "\\\\").replace(":", "\\:").replace("=", "\\=")
