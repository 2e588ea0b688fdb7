"""Everything on the terminal: a view, the lines around it, and what is typed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import urwid

from mcptwist.console import keymap
from mcptwist.console.model import CONNECTED, CONNECTING, clean
from mcptwist.console.palette import ASCII
from mcptwist.console.tables import Markup
from mcptwist.console.widgets import Rows, canvas_of, width_of
from mcptwist.watching.figures import amount, rate, span

if TYPE_CHECKING:
    from mcptwist.console.app import Console


class Window(urwid.WidgetWrap[Any]):
    """Everything on the terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bare = bare = console.signs is ASCII
        self._rows = Rows(self._draw, self._clicked, self._scrolled, ascii_only=bare)
        self._header = Rows(
            lambda width, height: [self.header(width), self.second()], ascii_only=bare
        )
        self._footer = Rows(
            lambda width, height: [self.last(), self.footer(width)], ascii_only=bare
        )
        body = urwid.Pile(
            [(2, self._header), ("weight", 1, self._rows), (2, self._footer)], focus_item=1
        )
        super().__init__(body)

    def _draw(self, width: int, height: int) -> Sequence[Markup]:
        return self._console.screen.draw(width, height)

    def _clicked(self, row: int, column: int) -> None:
        self._console.screen.fresh()
        self._console.screen.clicked(row, column)
        self._console.changed()

    def _scrolled(self, lines: int) -> None:
        self._console.execute(f"down {lines}" if lines > 0 else f"up {-lines}")

    def render(self, size: Any, focus: bool = False) -> Any:
        """Called to draw it; what is typed takes the place of what can be done."""
        prompt = self._console.prompt
        if prompt is None or size[1] < 5:
            return super().render(size, focus)
        columns, rows = size
        above = urwid.Pile([(2, self._header), ("weight", 1, self._rows)])
        return urwid.CanvasCombine(
            [
                (above.render((columns, rows - 2), False), None, False),
                (canvas_of([self.last()], columns, self._bare), None, False),
                (prompt.edit.render((columns,), True), None, True),
            ]
        )

    no_cache = ["render"]

    def keypress(self, size: Any, key: str) -> None:
        """Called with keys."""
        self._console.key(key, size[0])

    def selectable(self) -> bool:
        """It takes keys."""
        return True

    # --- the lines around the view ----------------------------------------------------

    def crumbs(self) -> str:
        """Where one is."""
        return self._console.signs.crumb.join(clean(screen.title) for screen in self._console.stack)

    def header(self, width: int) -> Markup:
        """The first line: whom one looks at, and how it does."""
        link, status = self._console.world.link, self._console.world.status
        left = f" mcptwist {clean(link.where)}"
        if link.state != CONNECTED:
            right = "connecting " if link.state == CONNECTING else f"{link.state.upper()} "
            right += self._age()
        elif status is None:
            right = "looking "
        else:
            state = "DRAINING " if status.draining else ""
            open_now = sum(server.in_flight for server in status.servers)
            right = (
                f"{state}up {span(status.uptime)}  {_many(len(status.servers), 'server')}  "
                f"{_many(sum(status.connections.values()), 'connection')}  "
                f"{rate(self._console.world.whole.rate)}/s  {open_now} open "
            )
        room = max(1, width - width_of(left) - width_of(right))
        colour = "alarm" if link.state not in (CONNECTED, CONNECTING) else "title"
        return (colour, left + " " * room + right)

    def second(self) -> Markup:
        """The second line: where one is, and what is special about it."""
        parts: list[Any] = [("crumbs", f" {self.crumbs()} ")]
        badge = self._console.screen.badge()
        if badge:
            parts += ["  ", ("badge", f" {clean(badge)} ")]
        if self._console.read_only:
            parts += ["  ", ("badge", " only looking ")]
        return parts

    def _age(self) -> str:
        """How old the picture is that is still shown."""
        seen = self._console.world.seen
        return "" if seen is None else f"{span(self._console.seconds() - seen)} ago "

    def last(self) -> Markup:
        """The last line but one: what was said, what is wrong, or more of the focused row."""
        link, message = self._console.world.link, self._console.message
        if message is not None:
            return message
        if link.state not in (CONNECTED, CONNECTING):
            return ("bad", f"trying again: {clean(link.reason)}")
        return ("quiet", clean(self._console.screen.hint()))

    def footer(self, width: int) -> Markup:
        """The last line: what can be done here, as far as there is room."""
        parts: list[Any] = []
        for key, short in keymap.footer(self._console.screen.place):
            width -= len(key) + len(short) + 3
            if width < -2:
                break
            parts += [("key", key), f" {short}  "]
        return parts


def _many(count: int, what: str) -> str:
    return f"{amount(count)} {what}" + ("" if count == 1 else "s")
