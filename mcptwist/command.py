"""What all commands have in common: how they are written, and how that is read."""

from __future__ import annotations

import getopt
import inspect
import os
import re
import sys
from collections.abc import Sequence

from twisted.python import usage

import mcptwist

OK, FAILED, USAGE = 0, 1, 2
"""What commands end with."""

_CALLED = re.compile(r"mcptwist(?: [a-z]+)*(?![^ ])")
_MISCOUNTED = "Wrong number of arguments."
"""What Twisted says where there are too few arguments, or too many."""
_VARIABLE = re.compile(r"\$\{(\w+)\}")


class Command(usage.Options):
    """One of the commands.

    :cvar synopsis: how it is written.
    :cvar is_free: whether options may also follow the arguments.
    """

    synopsis = ""
    is_free = False

    opt_h = usage.Options.opt_help

    @property
    def called(self) -> str:
        """How it is called: the synopsis as far as nothing is to be filled in."""
        found = _CALLED.match(self.synopsis)
        return found[0] if found else "mcptwist"

    @property
    def longdesc(self) -> str:
        """Called for ``--help``: what it does."""
        return (inspect.getdoc(type(self)) or "").partition("\n:")[0]

    def getUsage(self, width: int | None = None) -> str:
        """Called for ``--help``: all of it; what is said of an option may take several lines."""
        self.defaults = {name: value for name, value in self.defaults.items() if value != ""}
        self.docs = {name: " ".join(said.split()) for name, said in self.docs.items() if said}
        return super().getUsage(width)

    def getSynopsis(self) -> str:
        """Called for ``--help``: how the command is written, without its parent's options."""
        return f"Usage: {self.synopsis}"

    def opt_version(self) -> None:
        """Print the version."""
        print(f"mcptwist {mcptwist.__version__}")
        sys.exit(0)

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """Called with the rest of the command line."""
        given = list(options or ())
        if self.is_free:
            try:
                found, arguments = getopt.gnu_getopt(given, self.shortOpt, self.longOpt)
            except getopt.error as problem:
                raise usage.UsageError(str(problem)) from None
            words = [word for pair in found for word in self._words(*pair)]
            given = [*words, "--", *arguments]
        try:
            super().parseOptions(given)
        except usage.UsageError as problem:
            if str(problem) != _MISCOUNTED:
                raise
            raise usage.UsageError(f"that is too little or too much for {self.synopsis}") from None

    def _words(self, name: str, value: str) -> list[str]:
        """An option as it is written in one or two words; its value may be empty."""
        if name.startswith("--"):
            return [f"{name}={value}"] if f"{name[2:]}=" in self.longOpt else [name]
        return [name, value] if f"{name[1:]}:" in self.shortOpt else [name]


def misuse(options: Command, problem: Exception) -> str:
    """What is said of wrong usage: what is wrong, and where to read what would be right.

    :param options: of the command, or of one above it, as far as they were read.
    """
    while isinstance(below := getattr(options, "subOptions", None), Command):
        options = below
    return f"{options.called}: {problem}\ntry '{options.called} --help'"


def header(text: str) -> tuple[str, str]:
    """A header as it is given on a command line, with variables of the environment.

    :raises UsageError: it is none.
    """
    name, colon, value = text.partition(":")
    value = _VARIABLE.sub(lambda found: os.environ.get(found[1], ""), value.strip())
    if not colon or not name.strip() or not value.isprintable() or not value.isascii():
        raise usage.UsageError("--header is NAME: VALUE, in ASCII")
    return name.strip(), value
