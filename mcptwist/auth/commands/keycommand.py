"""What the commands about keys have in common.

They have the habits of OpenSSH's. Files are in the person's own directory unless they say
otherwise; nothing is ever overwritten unasked, and no secret is printed but where it was asked for.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from twisted.python import usage

from mcptwist.auth.authorizedkeys import LineProblem
from mcptwist.auth.denials import CannotStart
from mcptwist.auth.keys import KeyProblem
from mcptwist.command import Command, misuse
from mcptwist.configuration.gateconfig import MACHINE, config_directory
from mcptwist.errors import HostNotTrusted, McpTwistError

OK, FAILED, USAGE, NOT_TRUSTED = 0, 1, 2, 3
_TROUBLES = (CannotStart, KeyProblem, LineProblem, McpTwistError, OSError)


def own(name: str) -> str:
    """A file of the person's own."""
    return os.path.join(config_directory(os.environ), name)


def tell_root(path: str, environ: Mapping[str, str] = os.environ) -> None:
    """Say on standard error whose a file is that root has made without saying where."""
    if not path.startswith(f"{MACHINE}/") or config_directory(environ) != MACHINE:
        return
    person = environ.get("SUDO_USER")
    own = (
        f"for one of {person}'s own, leave sudo out" if person else "for one elsewhere, give --file"
    )
    print(f"mcptwist: made by root, so it is this machine's, in {MACHINE}; {own}", file=sys.stderr)


class KeyCommand(Command):
    """One of the commands about keys."""

    is_free = True

    def perform(self) -> int:
        """Do it; what goes wrong is told on standard error."""
        try:
            return self.do()
        except usage.UsageError as problem:
            print(misuse(self, problem), file=sys.stderr)
            return USAGE
        except HostNotTrusted as problem:
            return _failed(problem, NOT_TRUSTED)
        except EOFError:
            return _failed(KeyProblem("no answer, so nothing was done"), FAILED)
        except _TROUBLES as problem:
            return _failed(problem, FAILED)

    def do(self) -> int:
        """What the command does; returns its exit status."""
        raise NotImplementedError


def _failed(problem: Exception, status: int) -> int:
    print(f"mcptwist: {problem}", file=sys.stderr)
    return status


class Nouns(KeyCommand):
    """A command that has others below it."""

    is_free = False
    subCommands: Sequence[Any]

    def postOptions(self) -> None:
        """Called when all options are there."""
        if getattr(self, "subOptions", None) is None:
            names = ", ".join(name for name, *_ in self.subCommands)
            raise usage.UsageError(f"which command: {names}?")

    def do(self) -> int:
        """Do what was asked."""
        command: Any = self.subOptions
        status: int = command.perform()
        return status
