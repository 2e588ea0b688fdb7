"""``mcptwist logins``: who is logged in at a running daemon, and ending logins."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from twisted.python import usage

from mcptwist.asking import aside
from mcptwist.auth.audit import inert
from mcptwist.awaited import Refused
from mcptwist.client import Client
from mcptwist.command import FAILED, OK
from mcptwist.errors import McpTwistError
from mcptwist.watching.commands import WatchOptions, run
from mcptwist.watching.figures import span
from mcptwist.watching.reports import Logins, LoginStatus
from mcptwist.watching.whereabouts import Whereabouts

Say = Callable[[str], None]

END = "end"
_TITLES = (
    "ID", "PRINCIPAL", "CLIENT", "BY", "SINCE", "USED", "FROM", "OPEN", "ENDS", "MAY", "AT", "KEY",
)  # fmt: skip


class NoLogins(McpTwistError):
    """The daemon has no keys, so nobody logs in."""


async def list_logins(
    client: Client, whose: str, limit: int, as_json: bool, say: Say, aside: Say
) -> int:
    """Say who is logged in.

    :param client: of the daemon's own server.
    :param whose: a principal's name or a key's fingerprint; empty for everybody's.
    :param aside: takes what is not part of the answer.
    :return: the exit status.
    """
    told = msgspec.convert(await _asked(client, "logins", whose=whose, limit=limit), Logins)
    if as_json:
        say(msgspec.json.encode(told).decode())
        return OK
    for line in table(told):
        say(line)
    if told.total > len(told.logins):
        aside(f"{told.total - len(told.logins)} more were heard longer ago; --limit shows more")
    if not told.logins:
        aside(f"{whose} is not logged in" if whose else "nobody is logged in")
    return OK


async def end_logins(client: Client, ids: Sequence[str], say: Say, aside: Say) -> int:
    """End each, and say so; one that cannot be ended keeps none from being.

    :return: the exit status: 1 if there is one that cannot.
    """
    status = OK
    for each in ids:
        try:
            ended = await _asked(client, "end_login", id=each)
        except CannotBeDone as problem:
            aside(str(problem))
            status = FAILED
        else:
            say(inert(str(ended["done"])))
    return status


class CannotBeDone(McpTwistError):
    """The daemon says why not."""


async def _asked(client: Client, tool: str, **arguments: Any) -> Any:
    """What a tool of the daemon's answers.

    :raises NoLogins: it has none such.
    :raises CannotBeDone: it says no.
    """
    try:
        result = await client.call_tool(tool, arguments)
    except Refused:
        raise NoLogins(
            "nobody logs in at that daemon: it has no [auth] section, or is of an older version"
        ) from None
    if result.is_error:
        raise CannotBeDone(inert(result.text))
    return result.structured_content


def table(told: Logins) -> list[str]:
    """Those who are logged in, one a line; what clients call themselves is made harmless."""
    if not told.logins:
        return []
    rows = [_TITLES, *(_cells(each, told.now) for each in told.logins)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _cells(login: LoginStatus, now: float) -> tuple[str, ...]:
    used = "never" if login.last_used is None else _ago(now - login.last_used)
    cells = (
        login.id,
        login.principal,
        login.client or "-",
        login.way,
        _ago(now - login.since),
        used,
        login.source or "-",
        str(login.open),
        f"in {span(max(0.0, login.ends - now))}",
        " ".join(login.scopes),
        login.resource,
        login.key,
    )
    return tuple(inert(cell) for cell in cells)


def _ago(seconds: float) -> str:
    return "now" if seconds < 1 else f"{span(seconds)} ago"


class LoginsOptions(WatchOptions):
    """See who is logged in at a running daemon, and end logins: `logins end 8f3a01c2`.

    Listed are the clients that people let in, and the tokens that keys asked for; all of them, or
    those of one principal or key. What has ended is out within a second: its tokens, sessions,
    streams and WebSockets. The key stays good; mcptwist revoke ends that.
    """

    synopsis = "mcptwist logins [options] [PRINCIPAL|SHA256:…]\n       mcptwist logins end ID…"
    optFlags = [["json", "j", "Print JSON, for scripts."]]
    optParameters: list[Any] = [
        ["at", None, "", "The daemon, a URL or a socket, where there are several."],
        ["limit", "n", 500, "How many to print at most.", int],
    ]

    def parseArgs(self, *words: str) -> None:
        """Called with what follows the options."""
        self["whose"], self["ids"] = "", ()
        if words[:1] == (END,):
            self["ids"] = words[1:]
            if not self["ids"]:
                raise usage.UsageError("which login? mcptwist logins shows their ids")
        elif len(words) > 1:
            raise usage.UsageError("name one principal or key at most; `end ID…` ends logins")
        elif words:
            self["whose"] = words[0]

    def postOptions(self) -> None:
        """Called when all options are there."""
        if not 1 <= self["limit"] <= 10_000:
            raise usage.UsageError("--limit is 1 to 10000")
        self["where"] = self["at"]

    def do(self, there: Whereabouts) -> int:
        """Ask the daemon."""

        async def work(client: Client, reactor: Any) -> int:
            if self["ids"]:
                return await end_logins(client, self["ids"], print, aside)
            whose, limit = self["whose"], self["limit"]
            return await list_logins(client, whose, limit, bool(self["json"]), print, aside)

        return run(there, work)
