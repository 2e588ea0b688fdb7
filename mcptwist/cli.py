"""``mcptwist``: the commands a person types.

Each command is a :class:`~mcptwist.command.Command`, imported when it is typed: somebody waits.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

from twisted.python import usage

from mcptwist.command import FAILED, OK, USAGE, Command, misuse


def named(where: str) -> Callable[[], Any]:
    """What makes the options of a command that is at *where*, as ``module:Class``."""
    module, _, name = where.partition(":")
    return lambda: getattr(import_module(module), name)()


_SERVING, _ASKING = "mcptwist.servingcommands", "mcptwist.askingcommands"
_WATCHING = "mcptwist.watching.commands"
_KEYS, _AUTHORITY = "mcptwist.auth.commands.keycommands", "mcptwist.auth.commands.authorizecommands"
COMMANDS = {
    "run": (f"{_SERVING}:RunOptions", "Serve in the foreground."),
    "call": (f"{_ASKING}:CallOptions", "Call a tool."),
    "list": (f"{_ASKING}:ListOptions", "Print the servers there are, or what one has."),
    "connect": (
        f"{_SERVING}:ConnectOptions",
        "Serve what is at a URL on standard input and output.",
    ),
    "stdio": (
        f"{_SERVING}:StdioOptions",
        "Serve a file's servers on standard input and output.",
    ),
    "check": (f"{_SERVING}:CheckOptions", "Tell the mistakes in a configuration file."),
    "doctor": ("mcptwist.doctor:DoctorOptions", "Look everything over, and say what to do."),
    "console": (f"{_WATCHING}:ConsoleOptions", "See and steer a running daemon."),
    "status": (f"{_WATCHING}:StatusOptions", "Print how a running daemon is."),
    "top": (f"{_WATCHING}:TopOptions", "Print how its servers do, again and again."),
    "keygen": (f"{_KEYS}:KeygenOptions", "Make a key."),
    "key": (f"{_KEYS}:KeyOptions", "Look at a key."),
    "hostkey": (
        "mcptwist.auth.commands.hostcommands:HostKeyOptions",
        "The key that a daemon shows, and the next one.",
    ),
    "authorize": (f"{_AUTHORITY}:AuthorizeOptions", "Say who is let in."),
    "revoke": (f"{_AUTHORITY}:RevokeOptions", "Let a key in nowhere any more."),
    "keyscan": (f"{_KEYS}:KeyscanOptions", "Print the key that a host shows."),
    "approve": (
        "mcptwist.auth.commands.approvecommand:ApproveOptions",
        "Let a browser or a device in that shows a code.",
    ),
    "login": ("mcptwist.logins:LoginOptions", "Log in at a server elsewhere, in a browser."),
    "logout": ("mcptwist.logins:LogoutOptions", "Log out there, and forget what it gave."),
    "logins": (
        "mcptwist.auth.commands.loginscommand:LoginsOptions",
        "See who is logged in at a running daemon, and end logins.",
    ),
    "token": (
        "mcptwist.tokens:TokenOptions",
        "Print a token, for clients that can only send a header.",
    ),
}
"""By its name, where each command is, and what it does."""


class MainOptions(Command):
    """The Model Context Protocol daemon."""

    synopsis = "mcptwist COMMAND [options]"
    subCommands = [[name, None, named(where), does] for name, (where, does) in COMMANDS.items()]

    def postOptions(self) -> None:
        """Called when all options are there."""
        if getattr(self, "subOptions", None) is None:
            raise usage.UsageError("which command?")


def main(argv: Sequence[str] | None = None) -> None:
    """The entry point; exits with 0, with 1 where the work failed, with 2 on wrong usage."""
    try:
        status = _run(list(sys.argv[1:] if argv is None else argv))
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever reads what is printed may stop reading, as ``head`` does; and what is still to be
        # flushed when Python ends must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = FAILED
    sys.exit(status)


def _run(words: Sequence[str]) -> int:
    options = MainOptions()
    try:
        options.parseOptions(words)
    except usage.UsageError as problem:
        print(misuse(options, problem), file=sys.stderr)
        return USAGE
    except SystemExit:
        return OK  # --help and --version have said all
    status: int = options.subOptions.perform()
    return status


if __name__ == "__main__":
    main()
