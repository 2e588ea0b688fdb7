"""Structured fields: HTTP headers that hold dictionaries, lists and their parameters.

As much of them as signatures need: dictionaries, inner lists, strings, tokens, integers, booleans
and byte sequences. Nothing else is understood, and nothing is read leniently: a key that is said
twice, for which the RFC takes the last, is refused here, for it may be read otherwise elsewhere.

RFC 9651 (which obsoletes RFC 8941). Pure.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from typing import TypeAlias

import msgspec

__all__ = ["Bare", "FieldProblem", "InnerList", "Item", "Member", "Token", "read_dictionary"]

MOST_MEMBERS = 32
"""Members of a dictionary or of a list, and parameters of one of them."""

_KEY = re.compile(r"[a-z*][a-z0-9_.*-]{0,63}", re.ASCII)
_VALUE = re.compile(
    r'"(?P<string>(?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"'
    r"|(?P<integer>-?[0-9]{1,15})(?![0-9.])"
    r"|:(?P<bytes>[A-Za-z0-9+/]*={0,2}):"
    r"|(?P<token>[A-Za-z*][!#$%&'*+.^_`|~0-9A-Za-z:/-]*)"
    r"|\?(?P<boolean>[01])",
    re.ASCII,
)
_ESCAPED = re.compile(r'\\(["\\])')
_LARGEST = 10**15


class FieldProblem(ValueError):
    """It is no field that we take; the message tells why, and holds nothing of it."""


class Token(str):
    """A word that stands without quotes."""

    __slots__ = ()


Bare: TypeAlias = str | int | bool | bytes


class Item(msgspec.Struct, frozen=True):
    """One value and its parameters."""

    value: Bare
    parameters: Mapping[str, Bare] = {}

    def __str__(self) -> str:
        return _bare(self.value) + _parameters(self.parameters)


class InnerList(msgspec.Struct, frozen=True):
    """Items in parentheses, and the parameters of them all."""

    items: tuple[Item, ...]
    parameters: Mapping[str, Bare] = {}

    def __str__(self) -> str:
        return f"({' '.join(map(str, self.items))}){_parameters(self.parameters)}"


Member: TypeAlias = Item | InnerList


def read_dictionary(text: str, limit: int) -> dict[str, Member]:
    """Read the value of a field that is a dictionary.

    :param limit: characters that it may have.
    :raises FieldProblem: it is none, or too long, or says something that is not understood.
    """
    if len(text) > limit:
        raise FieldProblem("is too long")
    return _Reader(text.strip(" ")).dictionary()


# --- writing --------------------------------------------------------------------------------


def _bare(value: Bare) -> str:
    """:raises FieldProblem: it cannot be written."""
    if isinstance(value, bool):
        return "?1" if value else "?0"
    if isinstance(value, int):
        if not -_LARGEST < value < _LARGEST:
            raise FieldProblem("holds an integer that is too large")
        return str(value)
    if isinstance(value, bytes):
        return f":{base64.b64encode(value).decode('ascii')}:"
    if isinstance(value, Token):
        return str(value)
    if not value.isascii() or not value.isprintable():
        raise FieldProblem("holds a string that is not of printable ASCII")
    return '"{}"'.format(value.replace("\\", "\\\\").replace('"', '\\"'))


def _parameters(parameters: Mapping[str, Bare]) -> str:
    return "".join(
        f";{key}" if value is True else f";{key}={_bare(value)}"
        for key, value in parameters.items()
    )


# --- reading --------------------------------------------------------------------------------


class _Reader:
    """Reads one field from left to right."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def dictionary(self) -> dict[str, Member]:
        found: dict[str, Member] = {}
        while True:
            key = self._key()
            if key in found:
                raise FieldProblem("says a key twice")
            if len(found) == MOST_MEMBERS:
                raise FieldProblem("has too many members")
            found[key] = self._member() if self._took("=") else Item(True, self._parameters())
            self._skip(" \t")
            if self._at == len(self._text):
                return found
            self._expect(",")
            self._skip(" \t")

    def _member(self) -> Member:
        return self._inner_list() if self._took("(") else Item(self._value(), self._parameters())

    def _inner_list(self) -> InnerList:
        items: list[Item] = []
        while True:
            self._skip(" ")
            if self._took(")"):
                return InnerList(tuple(items), self._parameters())
            if len(items) == MOST_MEMBERS:
                raise FieldProblem("has too many items")
            items.append(Item(self._value(), self._parameters()))
            if self._text[self._at : self._at + 1] not in (" ", ")"):
                raise FieldProblem("has items that are not separated")

    def _parameters(self) -> dict[str, Bare]:
        found: dict[str, Bare] = {}
        while self._took(";"):
            self._skip(" ")
            key = self._key()
            if key in found:
                raise FieldProblem("says a parameter twice")
            if len(found) == MOST_MEMBERS:
                raise FieldProblem("has too many parameters")
            found[key] = self._value() if self._took("=") else True
        return found

    def _value(self) -> Bare:
        found = self._match(_VALUE)
        kind = None if found is None else found.lastgroup
        if found is None or kind is None:
            raise FieldProblem("holds a value that is not understood")
        return _READERS[kind](found[kind])

    def _key(self) -> str:
        key = self._match(_KEY)
        if key is None:
            raise FieldProblem("has no key where one must be")
        return key[0]

    def _match(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        found = pattern.match(self._text, self._at)
        if found is not None:
            self._at = found.end()
        return found

    def _took(self, character: str) -> bool:
        if self._text[self._at : self._at + 1] != character:
            return False
        self._at += 1
        return True

    def _expect(self, character: str) -> None:
        if not self._took(character):
            raise FieldProblem("is not understood after a member")

    def _skip(self, characters: str) -> None:
        while self._text[self._at : self._at + 1] in characters and self._at < len(self._text):
            self._at += 1


def _decoded(text: str) -> bytes:
    """Base64 in its one form: padded, and without stray bits."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise FieldProblem("holds bytes that are not base64") from None
    if base64.b64encode(data).decode("ascii") != text:
        raise FieldProblem("holds base64 that is not in its canonical form")
    return data


_READERS: Mapping[str, Callable[[str], Bare]] = {
    "string": lambda text: _ESCAPED.sub(r"\1", text) if "\\" in text else text,
    "integer": int,
    "bytes": _decoded,
    "token": Token,
    "boolean": lambda text: text == "1",
}
