"""The text of a configuration file: JSON as clients write it, or TOML, turned into plain tables.

Nothing here knows what a key means. Promises: whatever the text is, the answer is a value
or a :class:`SyntaxMistake` saying where it went wrong; a repeated key is remembered, not
swallowed. JSON may have comments and trailing commas, for that is how VS Code writes its
``mcp.json``. Pure.
"""

from __future__ import annotations

import codecs
import json
import re
import tomllib
from collections import Counter
from typing import Any


class Table(dict[str, Any]):
    """A JSON object or a TOML table, which remembers the keys that were written more than once."""

    repeated: tuple[str, ...] = ()


class SyntaxMistake(ValueError):
    """The text is no JSON or no TOML.

    :ivar where: "line 3, column 7", or "" when it cannot be said.
    :ivar problem: what is wrong there.
    """

    def __init__(self, problem: str, where: str = "") -> None:
        super().__init__(problem, where)
        self.problem = problem
        self.where = where


def parse(text: str | bytes, name: str = "") -> tuple[str, Any]:
    """Read the text as what its name says, or else as what its first character says.

    :param text: the whole file; bytes are UTF-8, with or without a byte order mark.
    :param name: the file's name; ``.json``, ``.jsonc`` and ``.toml`` decide.
    :return: the format's name and what the text says, which should be a table.
    :raises SyntaxMistake: when it cannot be read.
    """
    plain = decoded(text)
    if _format(plain, name) == "TOML":
        return "TOML", _from_toml(plain)
    return "JSON", _from_json(plain)


def decoded(text: str | bytes) -> str:
    """The text without its byte order mark.

    :raises SyntaxMistake: when bytes are not UTF-8.
    """
    if isinstance(text, str):
        return text.removeprefix("\ufeff")
    if text.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise SyntaxMistake("the file is UTF-16; save it as UTF-8")
    try:
        return text.decode("utf-8-sig")
    except UnicodeDecodeError as why:
        before = text[: why.start]
        line = before.count(b"\n") + 1
        column = why.start - (before.rfind(b"\n") + 1) + 1
        raise SyntaxMistake(
            f"byte 0x{text[why.start]:02x} is not UTF-8", _where(line, column)
        ) from None


def _format(text: str, name: str) -> str:
    lowered = name.lower()
    if lowered.endswith(".toml"):
        return "TOML"
    if lowered.endswith((".json", ".jsonc")):
        return "JSON"
    # "[" opens a section in TOML; as JSON it would be a list, which no configuration is.
    return "JSON" if _without_comments(text).lstrip()[:1] == "{" else "TOML"


def _from_toml(text: str) -> Table:
    try:
        return Table(tomllib.loads(text))
    except RecursionError:
        raise SyntaxMistake("is nested too deeply") from None
    except ValueError as why:  # TOMLDecodeError, or a number too long for Python
        problem, _, place = str(why).partition(" (at ")
        where = place.removesuffix(")").replace("end of document", _end_of(text))
        raise SyntaxMistake(problem, where) from None


def _from_json(text: str) -> Any:
    try:
        return json.loads(_without_comments(text), object_pairs_hook=_table)
    except RecursionError:
        raise SyntaxMistake("is nested too deeply") from None
    except json.JSONDecodeError as why:
        raise SyntaxMistake(why.msg, _where(why.lineno, why.colno)) from None
    except ValueError as why:  # a number too long for Python
        raise SyntaxMistake(str(why)) from None


def _table(pairs: list[tuple[str, Any]]) -> Table:
    table = Table(pairs)
    if len(table) != len(pairs):
        times = Counter(key for key, _ in pairs)
        table.repeated = tuple(key for key in times if times[key] > 1)
    return table


# What the first group finds is kept, all else that is found becomes blanks. An unclosed comment
# runs to the end of the text, so that no text makes these patterns look twice.
_STRING = r'"(?:[^"\\\n]|\\.)*+"?'
_COMMENT = re.compile(rf"({_STRING})|//[^\n]*|/\*(?:.*?\*/|.*)", re.DOTALL)
# A comma after a bracket or another comma ends no item: it is kept, for json to complain about.
_TRAILING_COMMA = re.compile(rf"({_STRING}|[\[{{:,][ \t\r\n]*+,)|,(?=[ \t\r\n]*+[}}\]])", re.DOTALL)


def _without_comments(text: str) -> str:
    """JSON without comments and trailing commas; all else stays on its line and column."""
    return _TRAILING_COMMA.sub(_kept_or_blank, _COMMENT.sub(_kept_or_blank, text))


def _kept_or_blank(match: re.Match[str]) -> str:
    return match[0] if match[1] is not None else re.sub(r"[^\n]", " ", match[0])


def _end_of(text: str) -> str:
    return _where(text.count("\n") + 1, len(text) - (text.rfind("\n") + 1) + 1)


def _where(line: int, column: int) -> str:
    return f"line {line}, column {column}"
