"""Where a daemon is administered, and the way there.

By the socket that only its own user can open, or by the URL of its ``/admin/mcp`` with a key
that has the scope ``mcp:admin``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from twisted.internet.defer import Deferred

from mcptwist.auth.authorizedkeys import ADMIN, CALL, READ
from mcptwist.client import Client, connect
from mcptwist.configuration.reach import Reach
from mcptwist.errors import McpTwistError
from mcptwist.interfaces import IConnector
from mcptwist.link import Deadlines
from mcptwist.protocols.adminsocket import existing, is_alive
from mcptwist.protocols.bytestream import ByteStreamConnector
from mcptwist.supervisor import SupervisorSettings
from mcptwist.watching.builtin import STATUS
from mcptwist.watching.status import FORMAT, Status
from mcptwist.wiring.reaching import way_to

_PLACE = "/admin/mcp"
_URLS = ("http://", "https://", "ws://", "wss://")
_SCOPES = (READ, CALL, ADMIN)
_START = 10.0


class CannotFind(McpTwistError):
    """There is no daemon to look at, or several; the message tells what to do."""


class Whereabouts(msgspec.Struct, frozen=True):
    """Where a daemon is administered.

    :ivar where: a URL or the path of a socket.
    :ivar headers: sent with every request to a URL.
    :ivar reach: whom we believe to be the daemon.
    """

    where: str
    headers: tuple[tuple[str, str], ...] = ()
    reach: Reach = Reach()

    @property
    def is_url(self) -> bool:
        """Whether it is reached over the network."""
        return self.where.startswith(_URLS)


def found(given: str, environ: Mapping[str, str] = os.environ) -> str:
    """The daemon that is meant.

    :param given: a URL, a path, the name of a socket such as ``8808``, or nothing.
    :raises CannotFind: there is none, or more than one.
    """
    if given.startswith(_URLS):
        url = given.rstrip("/")
        return url if url.partition("://")[2].count("/") else url + _PLACE
    path = given.removeprefix("unix:")
    sockets = existing(environ)
    if path:
        named = [str(each) for each in sockets if each.stem == path]
        return str(Path(named[0] if named else path).absolute())
    alive = [str(each) for each in sockets if is_alive(each)]
    if len(alive) == 1:
        return alive[0]
    if not alive:
        raise CannotFind(
            "no daemon of yours runs on this machine; start one with mcptwist run or twistd mcpd, "
            "or name a socket or a URL (one of another user's, of root's say, is not looked for)"
        )
    raise CannotFind(f"several daemons of yours run; name one: {', '.join(alive)}")


class Way:
    """Makes clients of a daemon's own server.

    :param there: where it is.
    """

    def __init__(self, there: Whereabouts, reactor: Any) -> None:
        self._there = there
        self._reactor = reactor

    def connect(self) -> Deferred[Client]:
        """One more client."""
        return Deferred.fromCoroutine(self._connect())

    async def _connect(self) -> Client:
        settings = SupervisorSettings(_START, deadlines=Deadlines(None, None))
        return await connect(
            self._connector(), reactor=self._reactor, name="the daemon", settings=settings
        )

    def _connector(self) -> IConnector:
        there = self._there
        if there.is_url:
            reach = msgspec.structs.replace(there.reach, scopes=_SCOPES)
            return way_to(there.where, self._reactor, there.headers, reach)
        return ByteStreamConnector(f"unix:{_quoted(there.where)}", self._reactor)


def _quoted(path: str) -> str:
    return path.replace("\\", "\\\\").replace(":", "\\:").replace("=", "\\=")


async def look(client: Client) -> Status:
    """The picture of now.

    :raises CannotFind: the daemon is of another version.
    """
    (content, *_) = await client.read(STATUS)
    text = str(content.get("text", ""))
    known = msgspec.json.decode(text)
    if not isinstance(known, dict) or known.get("format") != FORMAT:
        version = known.get("version", "?") if isinstance(known, dict) else "?"
        raise CannotFind(f"that daemon is of version {version}; use a mcptwist of its version")
    return msgspec.json.decode(text, type=Status)
