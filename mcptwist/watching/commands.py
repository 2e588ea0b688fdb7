"""``mcptwist console``, ``status`` and ``top``: looking at a running daemon.

The daemon is reached by the socket that only its own user can open, or by the URL of
its ``/admin/mcp`` with a key that has the scope ``mcp:admin``.
"""

from __future__ import annotations

import locale
import os
import secrets
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.python import usage
from twisted.python.failure import Failure

from mcptwist.auth.asking import Asker, AskingFailed
from mcptwist.auth.authorizedkeys import ADMIN, CALL, READ
from mcptwist.auth.commands import ask_passphrase, known_hosts
from mcptwist.auth.keyfiles import FileProblem
from mcptwist.auth.keys import KeyProblem
from mcptwist.auth.keystore import load_private
from mcptwist.client import Client, connect
from mcptwist.console.model import Pace, amount, octets, rate, span
from mcptwist.errors import McpTwistError
from mcptwist.exchange import Refused
from mcptwist.interfaces import IConnector
from mcptwist.link import Deadlines
from mcptwist.protocols.adminsocket import existing, is_alive
from mcptwist.protocols.bytestream import ByteStreamConnector
from mcptwist.protocols.remote import AUTO, remote_connector
from mcptwist.supervisor import SupervisorSettings
from mcptwist.watching.builtin import STATUS
from mcptwist.watching.status import FORMAT, ServerStatus, Status

OK, FAILED = 0, 1
_PLACE = "/admin/mcp"
_URLS = ("http://", "https://", "ws://", "wss://")
_SCOPE = f"{READ} {CALL} {ADMIN}"
_START = 10.0


class CannotFind(McpTwistError):
    """There is no daemon to look at, or several; the message tells what to do."""


class Whereabouts(msgspec.Struct, frozen=True):
    """Where a daemon is administered.

    :ivar where: a URL or the path of a socket.
    :ivar headers: sent with every request to a URL.
    :ivar identity: the file of a private key, to get a token with; empty for none.
    :ivar principal: as whom; the key's fingerprint otherwise.
    :ivar ca: a PEM file of the certificates that are trusted in place of the system's.
    """

    where: str
    headers: tuple[tuple[str, str], ...] = ()
    identity: str = ""
    principal: str = ""
    ca: str = ""

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
        raise CannotFind("no daemon of yours runs on this machine; name a socket or a URL")
    raise CannotFind(f"several daemons of yours run; name one: {', '.join(alive)}")


class Way:
    """Makes clients of a daemon's own server.

    :param there: where it is.
    """

    def __init__(self, there: Whereabouts, reactor: Any) -> None:
        self._there = there
        self._reactor = reactor
        self._signer: Any = None
        if there.identity:
            self._signer = load_private(there.identity, ask_passphrase)

    def connect(self) -> Deferred[Client]:
        """One more client."""
        return Deferred.fromCoroutine(self._connect())

    async def _connect(self) -> Client:
        headers = list(self._there.headers)
        if self._signer is not None:
            token = await deferToThread(self._token)
            headers.append(("Authorization", f"Bearer {token}"))
        settings = SupervisorSettings(_START, deadlines=Deadlines(None, None))
        return await connect(
            self._connector(headers), reactor=self._reactor, name="the daemon", settings=settings
        )

    def _connector(self, headers: list[tuple[str, str]]) -> IConnector:
        there = self._there
        if there.is_url:
            return remote_connector(there.where, AUTO, self._reactor, headers, ca=there.ca or None)
        return ByteStreamConnector(f"unix:{_quoted(there.where)}", self._reactor)

    def _token(self) -> str:
        client = self._there.principal or self._signer.public.fingerprint
        try:
            asker = Asker(known_hosts())
            granted = asker.token(
                self._there.where,
                self._signer,
                client,
                _SCOPE,
                make_id=lambda: secrets.token_urlsafe(24),
            )
        except (AskingFailed, FileProblem) as problem:
            raise CannotFind(f"no token was given: {problem}") from None
        return str(granted.get("access_token"))


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


# --- status and top -------------------------------------------------------------------

_COLUMNS = (
    ("SERVER", 18, False), ("STATE", 10, False), ("PID", 8, True), ("UP", 7, True),
    ("RST", 4, True), ("CALLS", 7, True), ("CALLS/S", 8, True), ("P50", 7, True),
    ("P95", 7, True), ("P99", 7, True), ("ERR", 5, True), ("OPEN", 5, True), ("MEM", 6, True),
)  # fmt: skip


def table(status: Status, paces: Mapping[str, Pace] | None = None) -> str:
    """A picture as lines of text.

    :param paces: how the servers go, where that is known.
    """
    connections = sum(status.connections.values())
    lines = [
        f"mcptwist {status.version}, pid {status.pid}, up {span(status.uptime)}, "
        f"{connections} connections, {status.gauges['sessions'].used} sessions, "
        f"{octets(status.memory)}, lag {span(status.lag.worst)}"
        + (", DRAINING" if status.draining else ""),
        *(f"  {endpoint}" for endpoint in status.endpoints),
        _row([title for title, _, _ in _COLUMNS]),
    ]
    for server in status.servers:
        lines.append(_row(_cells(server, (paces or {}).get(server.name))))
        if server.reason:
            lines.append(f"    {server.reason}")
    return "\n".join(lines)


def _cells(server: ServerStatus, pace: Pace | None) -> list[str]:
    took = server.calls.took if pace is None or not pace.took.count else pace.took
    return [
        server.name,
        server.state,
        str(server.pids[0]) if server.pids else "-",
        span(server.uptime),
        str(server.restarts),
        amount(server.calls.count),
        "-" if pace is None else rate(pace.rate),
        span(took.p50),
        span(took.p95),
        span(took.p99),
        amount(server.troubles),
        amount(server.in_flight),
        octets(server.memory),
    ]


def _row(cells: list[str]) -> str:
    parts = [
        cell.rjust(width) if right else cell[:width].ljust(width)
        for cell, (_, width, right) in zip(cells, _COLUMNS, strict=True)
    ]
    return " ".join(parts).rstrip()


async def say_status(client: Client, as_json: bool, say: Callable[[str], None]) -> int:
    """Say how the daemon is.

    :return: 0 when all is well, 1 when a server is in trouble or it drains.
    """
    status = await look(client)
    say(msgspec.json.encode(status).decode() if as_json else table(status))
    troubled = any(s.state in ("failing", "waiting", "misconfigured") for s in status.servers)
    return FAILED if troubled or status.draining else OK


async def say_top(
    client: Client,
    reactor: Any,
    every: float,
    count: int,
    as_json: bool,
    say: Callable[[str], None],
) -> int:
    """Say it again and again, with what happened between.

    :param every: seconds.
    :param count: how often; 0 for ever.
    """
    from twisted.internet.task import deferLater

    paces: dict[str, Pace] = {}
    _pace(paces, await look(client))
    done = 0
    while not count or done < count:
        await deferLater(reactor, every)
        status = await look(client)
        _pace(paces, status)
        say(_json_of(status, paces) if as_json else table(status, paces) + "\n")
        done += 1
    return OK


def _pace(paces: dict[str, Pace], status: Status) -> None:
    for server in status.servers:
        pace = paces.setdefault(server.name, Pace())
        pace.look(status.clock, server.calls.count, server.troubles, server.calls.took)


def _json_of(status: Status, paces: Mapping[str, Pace]) -> str:
    """One line: what is interesting again and again."""
    servers = [
        {
            "name": server.name,
            "state": server.state,
            "rate": round(paces[server.name].rate, 3),
            "p95": paces[server.name].took.p95,
            "troubles": round(paces[server.name].troubles, 3),
            "inFlight": server.in_flight,
            "memory": server.memory,
        }
        for server in status.servers
    ]
    told = {"now": status.now, "connections": status.connections, "servers": servers}
    return msgspec.json.encode(told).decode()


# --- the commands ---------------------------------------------------------------------


class WatchOptions(usage.Options):
    """What the three have in common."""

    synopsis = ""
    optParameters: list[Any] = [
        ["identity", "i", "", "A private key to get tokens with, for a daemon with keys."],
        ["principal", "p", "", "As whom; the key's fingerprint otherwise."],
        ["ca", None, "", "A PEM file of certificates to trust in place of the system's."],
    ]

    def __init__(self) -> None:
        super().__init__()
        self["headers"] = []
        self["where"] = ""

    def getSynopsis(self) -> str:
        """Called for ``--help``."""
        return f"Usage: {self.synopsis}"

    def opt_header(self, header: str) -> None:
        """NAME: VALUE, sent with every request to a URL; may be given several times."""
        name, colon, value = header.partition(":")
        if not colon or not header.isascii() or not header.isprintable():
            raise usage.UsageError("--header is NAME: VALUE, in ASCII")
        self["headers"].append((name.strip(), value.strip()))

    def parseArgs(self, where: str = "") -> None:
        """Called with what follows the options."""
        self["where"] = where

    def whereabouts(self) -> Whereabouts:
        """Where the daemon is.

        :raises CannotFind: nobody knows.
        """
        where = found(self["where"])
        return Whereabouts(
            where,
            tuple(self["headers"]),
            self["identity"] or "",
            self["principal"] or "",
            self["ca"] or "",
        )

    def perform(self) -> int:
        """Do it; what goes wrong is told on standard error."""
        try:
            return self.do(self.whereabouts())
        except (CannotFind, KeyProblem, FileProblem) as problem:
            print(f"mcptwist: {getattr(problem, 'message', problem)}", file=sys.stderr)
            return FAILED

    def do(self, there: Whereabouts) -> int:
        """The work."""
        raise NotImplementedError


class StatusOptions(WatchOptions):
    """Print how the daemon and its servers are; exit with 1 when one of them is in trouble."""

    synopsis = "mcptwist status [options] [URL|SOCKET]"
    optFlags = [["json", "j", "Print JSON, for scripts."]]

    def do(self, there: Whereabouts) -> int:
        """Look once."""

        async def work(client: Client, reactor: Any) -> int:
            return await say_status(client, bool(self["json"]), print)

        return run(there, work)


class TopOptions(WatchOptions):
    """Print how the servers do, again and again."""

    synopsis = "mcptwist top [options] [URL|SOCKET]"
    optFlags = [["json", "j", "Print a line of JSON each time, for scripts."]]
    optParameters: list[Any] = [
        ["delay", "d", 2.0, "Seconds between two looks.", float],
        ["count", "n", 0, "How often to look; 0 for ever.", int],
    ]

    def postOptions(self) -> None:
        """Called when all options are there."""
        if not 0.1 <= self["delay"] <= 3600 or self["count"] < 0:
            raise usage.UsageError("--delay is 0.1 to 3600 seconds, --count is not negative")

    def do(self, there: Whereabouts) -> int:
        """Look again and again."""

        async def work(client: Client, reactor: Any) -> int:
            delay, count = self["delay"], self["count"]
            return await say_top(client, reactor, delay, count, bool(self["json"]), _say_at_once)

        return run(there, work)


class ConsoleOptions(WatchOptions):
    """See and steer a running daemon from this terminal."""

    synopsis = "mcptwist console [options] [URL|SOCKET]"
    optFlags = [
        ["read-only", "r", "Only look; change nothing."],
        ["ascii", "a", "Draw with nothing but ASCII."],
        ["mono", "m", "Use no colours; NO_COLOR in the environment does the same."],
    ]
    optParameters: list[Any] = [
        ["interval", "n", 1.0, "Seconds between two looks at the daemon.", float]
    ]

    def postOptions(self) -> None:
        """Called when all options are there."""
        if not 0.2 <= self["interval"] <= 60:
            raise usage.UsageError("--interval is 0.2 to 60 seconds")

    def do(self, there: Whereabouts) -> int:
        """Open the console."""
        if not (sys.stdin.isatty() and sys.stdout.isatty()):
            raise CannotFind("a console needs a terminal; `mcptwist status` does not")
        from twisted.internet import reactor

        from mcptwist.console.palette import has_colours, signs
        from mcptwist.console.terminal import Look, open_console

        look = Look(
            signs=signs(bool(self["ascii"]), locale.getpreferredencoding(False)),
            colours=has_colours(os.environ) and not self["mono"],
            read_only=bool(self["read-only"]),
            interval=self["interval"],
        )
        return open_console(Way(there, reactor).connect, reactor, there.where, look)


def run(there: Whereabouts, work: Callable[[Client, Any], Any]) -> int:
    """Connect, do the work, leave.

    :return: the exit status.
    """
    from twisted.internet import reactor

    statuses: list[int] = []
    running: Any = reactor

    async def main() -> None:
        client = await Way(there, running).connect()
        try:
            statuses.append(await work(client, running))
        finally:
            await client.close()

    def failed(failure: Failure) -> None:
        problem = failure.value
        if not isinstance(problem, (McpTwistError, Refused)):
            failure.printTraceback(sys.stderr)
        else:
            print(f"mcptwist: {getattr(problem, 'message', problem)}", file=sys.stderr)

    def begin() -> None:
        working = Deferred.fromCoroutine(main())
        working.addErrback(failed)
        working.addBoth(lambda _: running.stop())

    running.callWhenRunning(begin)
    running.run()
    return statuses[0] if statuses else FAILED


def _say_at_once(text: str) -> None:
    print(text, flush=True)


COMMANDS = [
    ["console", None, ConsoleOptions, "See and steer a running daemon."],
    ["status", None, StatusOptions, "Print how a running daemon is."],
    ["top", None, TopOptions, "Print how its servers do, again and again."],
]
"""For the command line."""
