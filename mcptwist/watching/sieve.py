"""The filters of a traffic view: words and ``field:value`` tokens, all of which must hold.

    tool:search status:error          the failures of one tool
    server:git* -method:ping          all of some servers, but no pings
    "connection refused"              anything that says so

A value is a part of what it is compared with, case set aside; with ``*`` or ``?``
in it, it is a pattern for the whole. A ``-`` before a token turns it around.
Several tokens of one field are alternatives. Pure.
"""

from __future__ import annotations

import shlex
from collections.abc import Collection, Mapping
from fnmatch import fnmatchcase

import msgspec

LONGEST = 1000


class Token(msgspec.Struct, frozen=True):
    """One token of a filter.

    :ivar field: what it looks at; empty for everything.
    :ivar wanted: whether it has to hold, or must not.
    """

    field: str
    value: str
    wanted: bool = True

    def holds(self, text: str) -> bool:
        """Whether *text* is as the token says."""
        text = text.casefold()
        if "*" in self.value or "?" in self.value:
            return fnmatchcase(text, self.value)
        return self.value in text


class BadFilter(ValueError):
    """A filter nobody can understand; the message says why."""


class Sieve:
    """A filter, ready to be used.

    :param text: as it was typed.
    :param fields: the names that tokens may have.
    :raises BadFilter: telling what is wrong.
    """

    def __init__(self, text: str, fields: Collection[str]) -> None:
        self.text = text.strip()
        self.tokens = tuple(_tokens(self.text, fields))
        named = dict.fromkeys(token.field for token in self.tokens if token.field)
        self._fields = [
            (field, [t for t in self.tokens if t.field == field and t.wanted]) for field in named
        ]
        self._not = [token for token in self.tokens if token.field and not token.wanted]
        self._words = [token for token in self.tokens if not token.field]

    def __bool__(self) -> bool:
        return bool(self.tokens)

    def passes(self, row: Mapping[str, object]) -> bool:
        """Whether a row, by its fields, is wanted."""
        for field, tokens in self._fields:
            if tokens and not any(token.holds(_text(row.get(field))) for token in tokens):
                return False
        if any(token.holds(_text(row.get(token.field))) for token in self._not):
            return False
        if not self._words:
            return True
        texts = [_text(value) for value in row.values()]
        return all(any(map(word.holds, texts)) is word.wanted for word in self._words)


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _tokens(text: str, fields: Collection[str]) -> list[Token]:
    if len(text) > LONGEST:
        raise BadFilter(f"a filter may have {LONGEST} characters")
    try:
        words = shlex.split(text)
    except ValueError as problem:
        raise BadFilter(f"{str(problem).lower()}: {text}") from None
    return [_token(word, fields) for word in words]


def _token(word: str, fields: Collection[str]) -> Token:
    wanted = not (word.startswith("-") and len(word) > 1)
    bare = word if wanted else word[1:]
    field, colon, value = bare.partition(":")
    if not colon or not field.isidentifier():
        return Token("", bare.casefold(), wanted)
    if field not in fields:
        raise BadFilter(f"there is no {field}:, there are {', '.join(f'{f}:' for f in fields)}")
    return Token(field, value.casefold(), wanted)
