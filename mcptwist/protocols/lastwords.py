"""Which of the last lines of a program says why it ended.

The last line is seldom the one. Stack frames, borders, the name of the
runtime and advice where to read on come after what a person wants to know.
What follows here knows the reports of Python, Node.js, npm, Rust, Go and
Java; anything else is searched for its last line that has a word in it.
Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

_WORD = re.compile(r"[^\W_]")

# Python draws a margin around the members of an exception group.
_MARGIN = re.compile(r"^\s*(?:\| ?|\+ (?=\w)|(?=\+-))")
_MEMBER = re.compile(r"\+[+-]*- \d+ -+$")

# After one of these, the first line that is not indented says what went wrong.
_BEGINS = re.compile(
    r"(?:Exception Group )?Traceback \(most recent call last\):$"
    r"|\s*\^+$"  # where Python and Node.js point to in the source
    r"|thread '.*' (?:\(\d+\) )?panicked at "
    r"|npm (?:error|ERR!) code "
)
_NPM = re.compile(r"npm (?:error|ERR!) (?!(?:code|syscall|path|dest|errno|file) |\S+$)")

# These say it themselves.
_SAYS = re.compile(r"(?:panic|fatal error): ")

# A line of a log: the program went on after its report.
_LOGGED = re.compile(
    r"[\[(]?\d{4}[-/]\d\d[-/]\d\d[T ]|[\[(]?\d\d:\d\d:\d\d"
    r"|\[?(?:TRACE|DEBUG|INFO|WARN(?:ING)?|ERROR|CRITICAL)\b|\[(?:trace|debug|info|warn|error)\]"
)

# These say nothing.
_NOISE = re.compile(
    r"(?:Node\.js|Bun) v\d"
    r"|npm notice|npm (?:error|ERR!) A complete log of this run"
    r"|note: .*`?RUST_BACKTRACE"
    r"|stack backtrace:$"
    r"|goroutine \d+ \[|exit status \d+$"
    r"|\s+(?:at|\d+:) "  # frames of Node.js, Java, .NET and Rust
    r"|\s+\.\.\. \d+ more"
    r"|\+[+-]*- (?:\d+|\.\.\.) -+$|and \d+ more exceptions?$"
)
_FIELDS_FOLLOW = re.compile(r"\s+at .*\{$")


def telling_line(lines: Sequence[str]) -> str:
    """The line of these that a person would want to see.

    :param lines: the last lines, oldest first, without line ends.
    :returns: one of them, without the space and the margin around it, or
        nothing where no line has a letter or a digit.
    """
    said = [_MARGIN.sub("", line.rstrip()) for line in lines]
    telling = _reported(said) or next(reversed(list(_speaking(said))), "")
    return telling.strip()


def _reported(said: Sequence[str]) -> str:
    """What the last report says, unless the program went on after it."""
    for number in range(len(said) - 1, -1, -1):
        line = said[number]
        if _LOGGED.match(line):
            return ""
        if _SAYS.match(line):
            return line
        if _BEGINS.match(line) or _MEMBER.match(line):
            return _headline(said[number:])
    return ""


def _headline(report: Sequence[str]) -> str:
    """The line of a report that names what went wrong."""
    if report[0].startswith("npm "):
        return next(filter(_NPM.match, report), "")
    return next((line for line in _speaking(report[1:]) if not line[0].isspace()), "")


def _speaking(said: Iterable[str]) -> Iterator[str]:
    """The lines that say something, without the fields that Node.js prints of an error."""
    among_fields = False
    for line in said:
        if among_fields:
            among_fields = not line.startswith("}")
        elif _FIELDS_FOLLOW.match(line):
            among_fields = True
        elif _WORD.search(line) and not _NOISE.match(line):
            yield line
