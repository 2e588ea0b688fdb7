"""What all views have in common: rows with a cursor, or lines to read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from mcptwist.console import keymap
from mcptwist.console.palette import Signs
from mcptwist.console.tables import Column, Markup, Table
from mcptwist.console.widgets import fit, plain, tinted, wrapped
from mcptwist.watching.sieve import Sieve

if TYPE_CHECKING:
    from mcptwist.console.app import Console
    from mcptwist.console.model import World


class CannotDo(Exception):
    """A command means nothing here, or cannot be done; the message says why."""


class Screen:
    """One view.

    What it can do are its methods ``do_NAME``; each gets what follows the command's
    name.

    :ivar place: which keys and commands there are.
    :ivar title: for the crumbs.
    """

    place = keymap.TEXT
    title = ""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.world: World = console.world
        self.signs: Signs = console.signs

    def wants(self) -> set[str]:
        """What has to be asked for while it is seen."""
        return set()

    def words(self) -> Iterable[str]:
        """What may follow a command here, for completion."""
        return ()

    def what(self, command: str, words: Sequence[str]) -> str:
        """What a command would be done to, for people."""
        return ", ".join(words)

    def badge(self) -> str:
        """What is special about how it is shown now, such as a filter."""
        return ""

    def hint(self) -> str:
        """What there is no room for in the row with the cursor."""
        return ""

    def left(self) -> None:
        """The person went back from it."""

    def completions(self, text: str) -> list[str]:
        """How a filter that is being typed may go on."""
        return []

    def draw(self, width: int, height: int) -> Sequence[Markup]:
        """The lines to show."""
        raise NotImplementedError

    def text(self) -> list[str]:
        """All there is to see, for a file."""
        raise NotImplementedError

    def clicked(self, row: int, column: int) -> None:
        """A line was clicked."""

    def fresh(self) -> None:
        """Something is about to be done: be as the world is now, drawn or not."""

    def entered(self) -> None:
        """It is seen now."""

    def do_open(self) -> None:
        """Look closer, where there is something to look at."""

    def do_back(self) -> bool:
        """Go back within it; whether there was something to go back from."""
        return False

    def method(self, name: str) -> Callable[..., Any] | None:
        """What does a command here."""
        found: Callable[..., Any] | None = getattr(self, f"do_{name.replace('-', '_')}", None)
        return found


def steps(words: Sequence[str], otherwise: int = 1) -> int:
    """How far to move."""
    try:
        return int(words[0]) if words else otherwise
    except ValueError:
        raise CannotDo(f"{words[0]} is no number") from None


class TableScreen(Screen):
    """A view of rows."""

    table: Table

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._top = 0
        self._height = 1
        self._looked: tuple[Any, ...] = ()
        self._order: list[Column] = []
        self._edges: list[int] = []

    def rows(self) -> Sequence[Any]:
        """What there is to show."""
        raise NotImplementedError

    def empty(self) -> str:
        """What is said where there is nothing."""
        return "nothing"

    def wait(self) -> str:
        """Why nothing is shown yet, if so."""
        return "" if self.world.status is not None else f"({self.world.link.state})"

    def fresh(self) -> None:
        """Look at the rows there are, unless they are those of the last time."""
        state = (self.world.version, *self.table.view)
        if state != self._looked:
            self._looked = state
            self.table.look(self.rows())

    # --- drawing ----------------------------------------------------------------------

    def draw(self, width: int, height: int) -> list[Markup]:
        """The title of each column, and as many rows as there is room for."""
        self.fresh()
        rows = self.table.shown()
        self._height = max(1, height - 1)
        self._scroll(len(rows))
        widths = self._widths(width)
        lines: list[Markup] = [self._titles(widths)]
        if not rows:
            return [*lines, ("quiet", f"  {self.wait() or self.empty()}")]
        seen = range(self._top, min(len(rows), self._top + self._height))
        return [*lines, *(self._line(rows[n], n == self.table.at, widths) for n in seen)]

    def _scroll(self, count: int) -> None:
        at = self.table.at
        self._top = min(self._top, at, max(0, count - self._height))
        if at >= self._top + self._height:
            self._top = at - self._height + 1

    def _widths(self, width: int) -> list[tuple[Column, int]]:
        shown = [c for c in self.table.columns if c.from_width <= width]
        fixed = sum(column.width + 1 for column in shown if column.width) + 1
        left = [column for column in shown if not column.width]
        rest = max(0, width - fixed - len(left))
        return [(column, column.width or max(4, rest // max(1, len(left)))) for column in shown]

    def _titles(self, widths: Sequence[tuple[Column, int]]) -> Markup:
        parts = [" "]
        self._order, self._edges = [], []
        at = 1
        for column, width in widths:
            arrow = self.table.arrow(column, self.signs.up, self.signs.down)
            parts += [fit(column.title + arrow, width, self.signs, column.right), " "]
            at += width + 1
            self._order.append(column)
            self._edges.append(at)
        return ("head", "".join(parts))

    def _line(self, row: Any, focused: bool, widths: Sequence[tuple[Column, int]]) -> Markup:
        marked = self.table.key(row) in self.table.marks
        parts: list[Any] = [("mark", self.signs.mark) if marked else " "]
        for column, width in widths:
            text = fit(self.shown(column, row, width), width, self.signs, column.right)
            colour = column.colour(row)
            parts += [(colour, text) if colour else text, " "]
        return tinted(parts, "focus") if focused else parts

    def shown(self, column: Column, row: Any, width: int) -> str:
        """What is written in a column of so many signs."""
        return column.show(row)

    def text(self) -> list[str]:
        """All rows, as wide as a wide terminal has them."""
        widths = self._widths(200)
        self.fresh()
        rows = self.table.shown()
        lines = [self._titles(widths), *(self._line(row, False, widths) for row in rows)]
        return [plain(line).rstrip() for line in lines]

    def badge(self) -> str:
        """The filter, and how many are marked."""
        parts = [f"filter: {self.table.sieve.text}"] if self.table.sieve else []
        if self.table.marks:
            parts.append(f"{len(self.table.marks)} marked")
        return "  ".join(parts)

    def clicked(self, row: int, column: int) -> None:
        """Sort by the column whose title was clicked, or go to the row."""
        if row > 0:
            self.table.go(self._top + row - 1)
            return
        for edge, each in zip(self._edges, self._order, strict=True):
            if column < edge:
                self.table.sort(each.name)
                return

    # --- commands ---------------------------------------------------------------------

    def do_down(self, *words: str) -> None:
        self.table.move(steps(words))

    def do_up(self, *words: str) -> None:
        self.table.move(-steps(words))

    def do_page(self, *words: str) -> None:
        self.table.move(steps(words) * self._height)

    def do_top(self) -> None:
        self.table.go(0)

    def do_bottom(self) -> None:
        self.table.go(1 << 40)

    def do_mark(self) -> None:
        self.table.mark()

    def do_unmark(self) -> None:
        self.table.marks.clear()

    def do_sort(self, name: str) -> None:
        try:
            self.table.sort(name)
        except KeyError:
            known = ", ".join(column.name for column in self.table.columns)
            raise CannotDo(f"there is no column {name}; there are {known}") from None

    def do_filter(self, text: str = "") -> None:
        self.table.filter(text)

    def completions(self, text: str) -> list[str]:
        """Fields, and after a field what is there in it."""
        head, space, last = text.rpartition(" ")
        sign = "-" if last.startswith("-") else ""
        name, colon, value = last.removeprefix("-").partition(":")
        if not colon:
            found = [f"{field}:" for field in self.table.names if field.startswith(name)]
        elif name in self.table.names:
            found = [f"{name}:{each}" for each in self.table.values(name, value)]
        else:
            found = []
        return [f"{head}{space}{sign}{each}" for each in found]

    def do_back(self) -> bool:
        """Drop the marks, then the filter."""
        if self.table.marks:
            self.table.marks.clear()
            return True
        if self.table.sieve:
            self.do_filter("")
            return True
        return False


class TextScreen(Screen):
    """A view of lines to read.

    :param make: gives them, for a width.
    """

    def __init__(
        self,
        console: Console,
        title: str = "",
        make: Callable[[int], Sequence[Markup]] = lambda width: (),
        place: str = keymap.TEXT,
    ) -> None:
        super().__init__(console)
        self.title = title
        self.place = place
        self._make = make
        self._top = 0
        self._height = 1
        self._sieve: Sieve | None = None

    def lines(self, width: int) -> Sequence[Markup]:
        """All of them."""
        return self._make(width)

    def _found(self, width: int) -> list[Markup]:
        lines = self.lines(width)
        if self._sieve:
            lines = [line for line in lines if self._sieve.passes({"line": plain(line)})]
        return [part for line in lines for part in wrapped(line, width)]

    def draw(self, width: int, height: int) -> list[Markup]:
        """Those that are seen."""
        lines = self._found(width)
        self._height = max(1, height)
        self._top = max(0, min(self._top, len(lines) - self._height))
        return lines[self._top : self._top + height]

    def text(self) -> list[str]:
        """All of them, without colours."""
        return [plain(line).rstrip() for line in self._found(100)]

    def badge(self) -> str:
        """The filter."""
        return f"filter: {self._sieve.text}" if self._sieve else ""

    def do_down(self, *words: str) -> None:
        self._top += steps(words)

    def do_up(self, *words: str) -> None:
        self._top = max(0, self._top - steps(words))

    def do_page(self, *words: str) -> None:
        self._top = max(0, self._top + steps(words) * self._height)

    def do_top(self) -> None:
        self._top = 0

    def do_bottom(self) -> None:
        self._top = 1 << 40

    def do_filter(self, text: str = "") -> None:
        self._sieve = Sieve(text, ()) or None

    def do_back(self) -> bool:
        """Drop the filter."""
        had = bool(self._sieve)
        self._sieve = None
        return had
