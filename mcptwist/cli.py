"""``mcptwist``: the commands a person types.

Each command is a :class:`twisted.python.usage.Options`; what it does is in
:mod:`mcptwist.running`, :mod:`mcptwist.config`, :mod:`mcptwist.asking`,
:mod:`mcptwist.watching.commands` and :mod:`mcptwist.stdio`.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Sequence
from typing import Any

from twisted.python import usage

from mcptwist import config as configuration
from mcptwist.auth.commands import COMMANDS as KEY_COMMANDS
from mcptwist.auth.reachoptions import ReachOptions
from mcptwist.command import Command
from mcptwist.tap import load
from mcptwist.tokens import COMMANDS as TOKEN_COMMANDS
from mcptwist.watching.commands import COMMANDS as WATCH_COMMANDS

OK, FAILED, USAGE = 0, 1, 2
_VARIABLE = re.compile(r"\$\{(\w+)\}")
_SCHEMES = ("http://", "https://", "ws://", "wss://", "unix:")


class RunOptions(Command):
    """Serve in the foreground: the command after ``--``, a file, or the built-in server."""

    synopsis = "mcptwist run [options] [-- COMMAND [ARGUMENT]…]"
    optParameters = [
        ["config", "c", None, "mcpServers JSON or TOML file."],
        ["name", None, None, "Name of the server that COMMAND starts; made from it otherwise."],
        ["log-level", None, "warn", "The least that is logged: debug, info, warn, error."],
    ]

    def __init__(self) -> None:
        super().__init__()
        self["listen"] = []
        self["command"] = ()

    def opt_listen(self, endpoint: str) -> None:
        """A Twisted endpoint to answer on, such as tcp:8808:interface=127.0.0.1; port 0 takes a
        free one. May be given several times."""
        self["listen"].append(endpoint)

    def parseArgs(self, *command: str) -> None:
        """Called with what follows the options."""
        self["command"] = command

    def postOptions(self) -> None:
        """Called when all options are there."""
        if self["command"] and self["config"]:
            raise usage.UsageError("give either --config or a command, not both")
        if self["name"] and not self["command"]:
            raise usage.UsageError("--name names a command's server; give one after --")
        _check_log_level(self["log-level"])

    def loaded(self) -> configuration.Loaded:
        """The configuration that the options describe."""
        if self["command"]:
            return configuration.command_config(self["name"], self["command"], self["listen"])
        return load(self["config"], self["listen"])

    def perform(self) -> int:
        """Run until told to stop."""
        loaded = self.loaded()
        if loaded.config is None:
            print(configuration.report(loaded), file=sys.stderr)
            return FAILED
        from mcptwist.running import run

        return run(loaded, self["log-level"], self.loaded if self["config"] else None)


class CheckOptions(Command):
    """Tell every mistake in a configuration file, without starting anything."""

    synopsis = "mcptwist check FILE"

    def parseArgs(self, path: str) -> None:  # type: ignore[override]
        """Called with the file's path."""
        self["path"] = path

    def perform(self) -> int:
        """Check the file."""
        loaded = configuration.read(self["path"], os.environ)
        print(configuration.report(loaded))
        return configuration.exit_code(loaded)


class AskingOptions(ReachOptions):
    """What ``call`` and ``list`` have in common."""

    optParameters = [
        ["config", "c", None, "Start the server for this, from that file; no daemon is needed."],
        ["url", "u", None, "Where the daemon is; otherwise MCPTWIST_URL or http://127.0.0.1:8808."],
    ]
    optFlags = [["json", "j", "Print JSON, for scripts."]]

    def __init__(self) -> None:
        super().__init__()
        self["headers"] = []
        self["server"] = self["tool"] = ""
        self["arguments"] = {}

    def opt_header(self, header: str) -> None:
        """A header, as "Authorization: Bearer ${VAR}", VAR of the environment. Repeatable."""
        self["headers"].append(_header(header))

    def postOptions(self) -> None:
        """Called when all options are there."""
        if self["config"] and (self["url"] or self["headers"]):
            raise usage.UsageError("--url and --header go with a daemon, not with --config")

    def ask(self, command: str) -> int:
        """Do it."""
        from mcptwist import asking

        question = asking.Question(
            self["server"],
            self["tool"],
            self["arguments"],
            asking.daemon_url(self["url"]),
            self["config"],
            self["headers"],
            self.reach,
            bool(self["json"]),
        )
        return asking.perform(getattr(asking, command), question)


class CallOptions(AskingOptions):
    """Call a tool and print what it answers. JSON holds its arguments; - reads them from stdin."""

    synopsis = "mcptwist call [options] SERVER TOOL [JSON]"

    def parseArgs(  # type: ignore[override]
        self, server: str, tool: str, arguments: str = "{}"
    ) -> None:
        """Called with what follows the options."""
        self["server"], self["tool"] = server, tool
        text = sys.stdin.read() if arguments == "-" else arguments
        try:
            self["arguments"] = json.loads(text)
        except ValueError as problem:
            raise usage.UsageError(f"the arguments are not JSON: {problem}") from None
        if not isinstance(self["arguments"], dict):
            raise usage.UsageError("the arguments must be a JSON object, such as '{\"a\": 1}'")

    def perform(self) -> int:
        """Call it."""
        return self.ask("call")


class ListOptions(AskingOptions):
    """Print the servers there are, or what one of them has. SERVER may be the URL of any."""

    synopsis = "mcptwist list [options] [SERVER]"

    def parseArgs(self, server: str = "") -> None:
        """Called with what follows the options."""
        self["server"] = server

    def perform(self) -> int:
        """List them."""
        return self.ask("list_servers")


class StdioOptions(Command):
    """Be a stdio server to whoever started this: with the servers of a file, all as one."""

    synopsis = "mcptwist stdio [options]"
    optParameters = [
        ["config", "c", None, "mcpServers JSON or TOML file; without one, the built-in server."],
        ["log-level", None, "warn", "The least that is logged: debug, info, warn, error."],
    ]

    def postOptions(self) -> None:
        """Called when all options are there."""
        _check_log_level(self["log-level"])

    def perform(self) -> int:
        """Serve until standard input ends."""
        from mcptwist.stdio import serve

        return serve(load(self["config"], []), self["log-level"])


class ConnectOptions(ReachOptions):
    """Be a stdio server to whoever started this: with what is at a URL, over whatever wire.

    URL is that of an MCP endpoint (http, https, ws, wss, or unix: and a path); without one it is
    all servers of the daemon on this machine.
    """

    synopsis = "mcptwist connect [options] [URL]"
    optParameters = [
        ["log-level", None, "error", "The least that is logged: debug, info, warn, error."],
    ]

    def __init__(self) -> None:
        super().__init__()
        self["headers"] = []

    def opt_header(self, header: str) -> None:
        """A header, as "Authorization: Bearer ${VAR}", VAR of the environment. Repeatable."""
        self["headers"].append(_header(header))

    def parseArgs(self, url: str = "") -> None:
        """Called with what follows the options."""
        self["url"] = url

    def postOptions(self) -> None:
        """Called when all options are there."""
        _check_log_level(self["log-level"])
        if self["url"] and not self["url"].startswith(_SCHEMES):
            raise usage.UsageError(f"URL begins with one of {', '.join(_SCHEMES)}")

    def perform(self) -> int:
        """Serve until standard input ends."""
        from mcptwist.asking import daemon_url
        from mcptwist.stdio import connect

        url = self["url"] or f"{daemon_url(None)}/mcp"
        return connect(url, self["headers"], self["log-level"], self.reach)


class MainOptions(Command):
    """The Model Context Protocol daemon."""

    synopsis = "mcptwist COMMAND [options]"
    subCommands = [
        ["run", None, RunOptions, "Serve in the foreground."],
        ["call", None, CallOptions, "Call a tool."],
        ["list", None, ListOptions, "Print the servers there are, or what one has."],
        ["connect", None, ConnectOptions, "Serve what is at a URL on standard input and output."],
        ["stdio", None, StdioOptions, "Serve a file's servers on standard input and output."],
        ["check", None, CheckOptions, "Tell the mistakes in a configuration file."],
        *WATCH_COMMANDS,
        *KEY_COMMANDS,
        *TOKEN_COMMANDS,
    ]

    def postOptions(self) -> None:
        """Called when all options are there."""
        if getattr(self, "subOptions", None) is None:
            raise usage.UsageError("which command?")


def _check_log_level(level: str) -> None:
    if level not in ("debug", "info", "warn", "error"):
        raise usage.UsageError("--log-level is one of debug, info, warn, error")


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    value = _VARIABLE.sub(lambda found: os.environ.get(found[1], ""), value.strip())
    if not colon or not name.strip() or not value.isprintable() or not value.isascii():
        raise usage.UsageError("--header is NAME: VALUE, in ASCII")
    return name.strip(), value


def main(argv: Sequence[str] | None = None) -> None:
    """The entry point; exits with 0, with 1 where the work failed, with 2 on wrong usage."""
    options = MainOptions()
    try:
        options.parseOptions(list(sys.argv[1:] if argv is None else argv))
    except usage.UsageError as problem:
        print(_usage(options, problem), file=sys.stderr)
        sys.exit(USAGE)
    sys.exit(_performed(options.subOptions))


def _performed(command: Any) -> int:
    """Do it; whoever reads what it prints may stop reading, as ``head`` does."""
    try:
        status: int = command.perform()
        sys.stdout.flush()
    except BrokenPipeError:
        # What is still to be flushed when Python ends must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    return status


def _usage(options: Any, problem: Exception) -> str:
    command = getattr(options, "subOptions", None) or options
    return f"{command}\nmcptwist: {problem}"


if __name__ == "__main__":
    main()
