"""``mcptwist run``, ``stdio``, ``connect`` and ``check``."""

from __future__ import annotations

import os
import sys

from twisted.python import usage

from mcptwist import config as configuration
from mcptwist.auth.commands.reachoptions import CallingOptions
from mcptwist.command import FAILED, Command
from mcptwist.configuration.commandline import load

_FILES = (".json", ".toml")
_SCHEMES = ("http://", "https://", "ws://", "wss://", "unix:")


class RunOptions(Command):
    """Serve in the foreground: the command after ``--``, a file, or the built-in server.

    FILE is what ``--config`` would name; it ends with .json or .toml.
    """

    synopsis = "mcptwist run [options] [FILE | -- COMMAND [ARGUMENT]…]"
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
        is_file = len(command) == 1 and command[0].endswith(_FILES)
        if is_file and not self["config"]:
            self["config"] = command[0]
        else:
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


class ConnectOptions(CallingOptions):
    """Be a stdio server to whoever started this: with what is at a URL, over whatever wire.

    URL is that of an MCP endpoint (http, https, ws, wss, or unix: and a path); without one it is
    all servers of the daemon on this machine.
    """

    synopsis = "mcptwist connect [options] [URL]"
    optParameters = [
        ["log-level", None, "error", "The least that is logged: debug, info, warn, error."],
    ]

    def parseArgs(self, url: str = "") -> None:
        """Called with what follows the options."""
        self["url"] = url

    def postOptions(self) -> None:
        """Called when all options are there."""
        super().postOptions()
        _check_log_level(self["log-level"])
        if self["url"] and not self["url"].startswith(_SCHEMES):
            raise usage.UsageError(f"URL begins with one of {', '.join(_SCHEMES)}")

    def perform(self) -> int:
        """Serve until standard input ends."""
        from mcptwist.asking import daemon_url
        from mcptwist.stdio import connect

        url = self["url"] or f"{daemon_url(None)}/mcp"
        return connect(url, self["headers"], self["log-level"], self.reach)


def _check_log_level(level: str) -> None:
    if level not in ("debug", "info", "warn", "error"):
        raise usage.UsageError("--log-level is one of debug, info, warn, error")
