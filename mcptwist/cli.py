"""``mcptwist``: the commands a person types.

Each command is a :class:`twisted.python.usage.Options`; what it does is in
:mod:`mcptwist.running`, :mod:`mcptwist.config` and :mod:`mcptwist.asking`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

from twisted.python import usage

import mcptwist
from mcptwist import config as configuration
from mcptwist.tap import load

OK, FAILED, USAGE = 0, 1, 2


class RunOptions(usage.Options):
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
        if self["log-level"] not in ("debug", "info", "warn", "error"):
            raise usage.UsageError("--log-level is one of debug, info, warn, error")

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

        return run(loaded, self["log-level"])


class CheckOptions(usage.Options):
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


class MainOptions(usage.Options):
    """The Model Context Protocol daemon."""

    synopsis = "mcptwist COMMAND [options]"
    subCommands = [
        ["run", None, RunOptions, "Serve in the foreground."],
        ["check", None, CheckOptions, "Tell the mistakes in a configuration file."],
    ]

    def opt_version(self) -> None:
        """Print the version."""
        print(f"mcptwist {mcptwist.__version__}")
        sys.exit(OK)

    def postOptions(self) -> None:
        """Called when all options are there."""
        if getattr(self, "subOptions", None) is None:
            raise usage.UsageError("which command?")


def main(argv: Sequence[str] | None = None) -> None:
    """The entry point; exits with 0, with 1 where the work failed, with 2 on wrong usage."""
    options = MainOptions()
    try:
        options.parseOptions(list(sys.argv[1:] if argv is None else argv))
    except usage.UsageError as problem:
        print(_usage(options, problem), file=sys.stderr)
        sys.exit(USAGE)
    command: Any = options.subOptions
    sys.exit(command.perform())


def _usage(options: Any, problem: Exception) -> str:
    command = getattr(options, "subOptions", None) or options
    return f"{command}\nmcptwist: {problem}"


if __name__ == "__main__":
    main()
