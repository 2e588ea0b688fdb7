"""What is drawn on the terminal: rows of text, sparklines, JSON in colours."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
import urwid

from mcptwist.console.palette import Signs
from mcptwist.console.tables import Markup
from mcptwist.protocols.tail import inert

_JSON = re.compile(
    r'(?P<string>"(?:[^"\\]|\\.)*")(?P<colon>\s*:)?|(?P<number>-?\d[\d.eE+-]*|true|false|null)'
)
_LONGEST = 200_000


def sparkline(values: Sequence[float], width: int, signs: Signs) -> str:
    """The last values as bars, the highest of them full.

    :param width: in signs; where there are fewer values, it begins with blanks.
    """
    shown = list(values)[-width:] if width > 0 else []
    top = max(shown, default=0.0)
    steps = len(signs.bars) - 1
    bars = (
        signs.bars[0] if value <= 0 or top <= 0 else signs.bars[max(1, round(value / top * steps))]
        for value in shown
    )
    return "".join(bars).rjust(max(0, width))


def width_of(text: str) -> int:
    """How many columns it takes."""
    return len(text) if text.isascii() else int(urwid.calc_width(text, 0, len(text)))


def fit(text: str, width: int, signs: Signs, right: bool = False) -> str:
    """The text in exactly so many columns."""
    if width <= 0:
        return ""
    taken = width_of(text)
    if taken > width:
        end, taken = urwid.calc_text_pos(text, 0, len(text), width - 1)
        text, taken = text[:end] + signs.more, taken + 1
    padding = " " * (width - taken)
    return padding + text if right else text + padding


def plain(markup: Markup) -> str:
    """The text of markup."""
    if isinstance(markup, str):
        return markup
    if isinstance(markup, tuple):
        return plain(markup[1])
    return "".join(plain(part) for part in markup)


def tinted(markup: Markup, attribute: str) -> Markup:
    """The same text, all in one colour."""
    return (attribute, plain(markup))


def wrapped(markup: Markup, width: int) -> list[Markup]:
    """The same in as many lines as it takes, broken between words where there are some."""
    text = plain(markup).rstrip()
    if width <= 0 or width_of(text) <= width:
        return [markup]
    lines: list[Markup] = []
    start = 0
    while start < len(text):
        end, _ = urwid.calc_text_pos(text, start, len(text), width)
        end = max(end, start + 1)
        if end < len(text):
            space = text.rfind(" ", start + (end - start) // 2, end)
            end = space + 1 if space >= 0 else end
        lines.append(_part(markup, start, end))
        start = end
    return lines


def _part(markup: Markup, start: int, end: int) -> Markup:
    """The signs of markup from *start* up to *end*."""
    if isinstance(markup, str):
        return markup[start:end]
    if isinstance(markup, tuple):
        return (markup[0], plain(markup[1])[start:end])
    parts: list[Any] = []
    at = 0
    for each in markup:
        length = len(plain(each))
        if at < end and at + length > start:
            parts.append(_part(each, max(0, start - at), end - at))
        at += length
    return parts


def _harmless(text: str) -> str:
    """On one line, without anything that steers a terminal, whoever forgot it before."""
    if text.isprintable():
        return text
    shown = inert(text.replace("\n", " ").replace("\t", " "))
    return shown.encode("utf-8", "replace").decode()  # halves of characters have no place there


def json_lines(text: str) -> list[Markup]:
    """JSON in lines and colours; what is none, or too long, as it is."""
    try:
        if len(text) > _LONGEST:
            raise ValueError
        text = msgspec.json.format(text, indent=2)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return [inert(line) for line in text[:_LONGEST].splitlines()] or [""]
    return [_coloured(inert(line)) for line in text.splitlines()]


def _coloured(line: str) -> Markup:
    parts: list[Any] = []
    end = 0
    for found in _JSON.finditer(line):
        parts.append(line[end : found.start()])
        if found["number"]:
            parts.append(("number", found["number"]))
        elif found["colon"]:
            parts += [("name", found["string"]), found["colon"]]
        else:
            parts.append(("text", found["string"]))
        end = found.end()
    return [part for part in (*parts, line[end:]) if part]


def canvas_of(lines: Sequence[Markup], columns: int, ascii_only: bool = False) -> Any:
    """Lines as urwid draws them, each cut or filled to so many columns.

    :param ascii_only: whether the terminal has nothing else, whatever names others gave.

    urwid's own Text finds out anew where each line has to be broken, which none has to here, and
    takes three times as long.
    """
    texts, attributes, charsets = [], [], []
    for line in lines:
        text, attribute, charset = _row(line, columns, ascii_only)
        texts.append(text)
        attributes.append(attribute)
        charsets.append(charset)
    return urwid.TextCanvas(texts, attributes, charsets, maxcol=columns, check_width=False)


def _row(line: Markup, columns: int, ascii_only: bool) -> tuple[bytes, list[Any], list[Any]]:
    """The bytes of a line, and how many of them have each colour and character set."""
    parts: list[bytes] = []
    attributes: list[Any] = []
    charsets: list[Any] = []
    left = columns
    for attribute, text in (*_runs(line, None), (None, " " * columns)):
        text = _in_ascii(_harmless(text)) if ascii_only else _harmless(text)
        taken = width_of(text)
        if taken > left:
            end, taken = urwid.calc_text_pos(text, 0, len(text), left)
            text, left = text[:end] + " " * (left - taken), taken
        left -= taken
        encoded, charset = urwid.util.apply_target_encoding(text)
        parts.append(encoded)
        urwid.util.rle_append_modify(attributes, (attribute, len(encoded)))
        urwid.util.rle_join_modify(charsets, charset)
        if not left:
            break
    return b"".join(parts), attributes, charsets


def _in_ascii(text: str) -> str:
    """The same in as many columns, with what is no ASCII left out."""
    if text.isascii():
        return text
    return "".join(
        sign if sign.isascii() else "~" if sign == "…" else "?" * width_of(sign) for sign in text
    )


def _runs(markup: Markup, attribute: str | None) -> Iterator[tuple[str | None, str]]:
    """The pieces of a line that have a colour of their own."""
    if isinstance(markup, str):
        yield attribute, markup
    elif isinstance(markup, tuple):
        yield markup[0], plain(markup[1])
    else:
        for part in markup:
            yield from _runs(part, attribute)


class Rows(urwid.Widget):
    """Lines of text, made anew each time they are drawn: only what is seen costs anything.

    :param draw: gives the lines for a width and a height.
    :param clicked: told the line and the column that were clicked.
    :param scrolled: told by how many lines the wheel was turned.
    :param ascii_only: whether nothing but ASCII can be drawn.
    """

    _sizing = frozenset([urwid.BOX])
    _selectable = True
    no_cache = ["render"]

    def __init__(
        self,
        draw: Callable[[int, int], Sequence[Markup]],
        clicked: Callable[[int, int], None] = lambda row, column: None,
        scrolled: Callable[[int], None] = lambda lines: None,
        ascii_only: bool = False,
    ) -> None:
        super().__init__()
        self._ascii_only = ascii_only
        self._draw = draw
        self._clicked = clicked
        self._scrolled = scrolled

    def render(self, size: Any, focus: bool = False) -> Any:
        """Called to draw it."""
        columns, rows = size
        if rows == 0 or columns == 0:
            return urwid.SolidCanvas(" ", columns, rows)
        lines = list(self._draw(columns, rows))[:rows]
        lines += [""] * (rows - len(lines))
        return canvas_of(lines, columns, self._ascii_only)

    def keypress(self, size: Any, key: str) -> str | None:
        """Called with keys; all of them are the console's."""
        return key

    def mouse_event(
        self, size: Any, event: str, button: int, column: int, row: int, focus: bool
    ) -> bool:
        """Called with the mouse."""
        if not event.startswith("mouse press"):
            return False
        if button in (4, 5):
            self._scrolled(-3 if button == 4 else 3)
        elif button == 1:
            self._clicked(row, column)
        return True
