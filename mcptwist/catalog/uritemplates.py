"""Whether a URI can have come from a URI template (RFC 6570).

Good enough to find the server that offers the template, which then decides for itself: an
expression is taken to stand for any text its kind may expand to, whatever its variables are called.

Templates and URIs are other people's, so the time taken grows with the length of one times the
number of parts of the other and no faster. Pure.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_EXPRESSION = re.compile(r"\{([+#./;?&]?)([^{}]*)\}")
_STOPS = {"": "/", ".": "/", "+": "", "#": "", "/": "?#", ";": "?#", "?": "#", "&": "#"}
_PARTS = 32
_LENGTH = 2048


class Gap(NamedTuple):
    """Where an expression stood.

    :ivar stops: the characters that what it expands to cannot hold.
    """

    stops: str


class UriTemplate:
    """A URI template, taken apart.

    :param text: the template as its server wrote it.
    :ivar weight: how many characters of it are fixed; the more, the closer a match is.
    """

    __slots__ = ("_parts", "text", "weight")

    def __init__(self, text: str) -> None:
        self.text = text
        self._parts = _parts(text)
        self.weight = sum(len(part) for part in self._parts if isinstance(part, str))

    def matches(self, uri: str) -> bool:
        """Whether *uri* can have come from this template."""
        if len(uri) > _LENGTH or len(self._parts) > _PARTS:
            return False
        ends = {0}
        for part in self._parts:
            ends = (
                _after_text(ends, uri, part)
                if isinstance(part, str)
                else _after_gap(ends, uri, part)
            )
            if not ends:
                return False
        return len(uri) in ends


def _parts(text: str) -> list[str | Gap]:
    parts: list[str | Gap] = []
    end = 0
    for expression in _EXPRESSION.finditer(text):
        if expression.start() > end:
            parts.append(text[end : expression.start()])
        parts.append(Gap(_STOPS[expression[1]]))
        end = expression.end()
    if end < len(text):
        parts.append(text[end:])
    return parts


def _after_text(ends: set[int], uri: str, text: str) -> set[int]:
    return {end + len(text) for end in ends if uri.startswith(text, end)}


def _after_gap(ends: set[int], uri: str, gap: Gap) -> set[int]:
    """Every place in *uri* where an expression may end that began at one of *ends*."""
    reached = set()
    going = False
    for place in range(min(ends), len(uri) + 1):
        going = going or place in ends
        if going:
            reached.add(place)
        if place < len(uri) and uri[place] in gap.stops:
            going = False
    return reached
