"""``mcptwist console``, ``status`` and ``top``: looking at a running daemon.

The daemon is reached by the socket that only its own user can open, or by the URL of
its ``/admin/mcp`` with a key that has the scope ``mcp:admin``.
"""

from __future__ import annotations

import locale
import os
import sys
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python import usage
from twisted.python.failure import Failure

from mcptwist.auth.commands.reachoptions import ReachOptions
from mcptwist.auth.keyfiles import FileProblem
from mcptwist.auth.keys import KeyProblem
from mcptwist.awaited import Refused
from mcptwist.client import Client
from mcptwist.errors import HostNotTrusted, McpTwistError
from mcptwist.watching.overview import FAILED, say_status, say_top
from mcptwist.watching.whereabouts import CannotFind, Way, Whereabouts, found
from mcptwist.wiring.reaching import introduce_to

NOT_TRUSTED = 3


class WatchOptions(ReachOptions):
    """What the three have in common."""

    synopsis = ""

    def __init__(self) -> None:
        super().__init__()
        self["headers"] = []
        self["where"] = ""

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
            self.reach,
        )

    def perform(self) -> int:
        """Do it; what goes wrong is told on standard error."""
        try:
            there = self.whereabouts()
            introduce_to(there.where if there.is_url else "", there.reach)
            return self.do(there)
        except (McpTwistError, KeyProblem, FileProblem) as problem:
            return _failed(problem)

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
        if isinstance(problem, BrokenPipeError):
            return  # whoever reads what we print has read enough
        if not isinstance(problem, (McpTwistError, Refused)):
            failure.printTraceback(sys.stderr)
        else:
            statuses.append(_failed(problem))

    def begin() -> None:
        working = Deferred.fromCoroutine(main())
        working.addErrback(failed)
        working.addBoth(lambda _: running.stop())

    running.callWhenRunning(begin)
    running.run()
    return statuses[0] if statuses else FAILED


def _failed(problem: BaseException) -> int:
    """Tell the person; the exit status."""
    print(f"mcptwist: {getattr(problem, 'message', problem)}", file=sys.stderr)
    return NOT_TRUSTED if isinstance(problem, HostNotTrusted) else FAILED


def _say_at_once(text: str) -> None:
    print(text, flush=True)
