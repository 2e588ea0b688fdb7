"""Rows that can be sorted, filtered, marked and walked through. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import msgspec

from mcptwist.watching.sieve import Sieve

Markup: TypeAlias = "str | tuple[str, str] | list[Any]"

_VALUES = 40
_PASSED = 1000


class Column(msgspec.Struct, frozen=True):
    """One column.

    :ivar name: for filters and ``:sort``; its first free letter sorts with shift.
    :ivar width: in signs; 0 takes what is left.
    :ivar value: what it is sorted by.
    :ivar show: what is written.
    :ivar colour: the name of its colour, or empty.
    :ivar falls: whether the largest come first when it is sorted by.
    :ivar from_width: how wide the terminal must be for it to be shown.
    """

    name: str
    title: str
    width: int
    value: Callable[[Any], Any]
    show: Callable[[Any], str]
    colour: Callable[[Any], str] = lambda _: ""
    right: bool = False
    falls: bool = False
    from_width: int = 0


def sort_letters(columns: Sequence[Column]) -> dict[str, Column]:
    """The capital letter that sorts by each column: its first, or else the next that is free.

    ``G`` goes to the last line everywhere, so it sorts nothing.
    """
    letters: dict[str, Column] = {}
    rest = [column for column in columns if not _take_letter(letters, column, column.name[:1])]
    for column in rest:
        _take_letter(letters, column, column.name)
    return letters


def _take_letter(letters: dict[str, Column], column: Column, name: str) -> bool:
    for letter in name.upper():
        if letter.isalpha() and letter != "G" and letter not in letters:
            letters[letter] = column
            return True
    return False


class Table:
    """A view of some rows.

    :param columns: from left to right.
    :param key: what a row is known by while others come and go.
    :param fields: of a row, for the filter; by default what the columns show.
    :param sort: the column it is sorted by at first; none leaves the order of the rows.
    :param settled: whether a row will stay as it is, so that it need be filtered only once.
    :ivar focus: the key of the row with the cursor.
    :ivar marks: keys of the rows that are marked.
    """

    def __init__(
        self,
        columns: Sequence[Column],
        key: Callable[[Any], Any],
        *,
        fields: Callable[[Any], dict[str, object]] | None = None,
        names: Sequence[str] = (),
        sort: str = "",
        settled: Callable[[Any], bool] = lambda row: False,
    ) -> None:
        self.columns = tuple(columns)
        self.key = key
        self.sieve: Sieve | None = None
        self.focus: Any = None
        self.marks: set[Any] = set()
        self.letters = sort_letters(self.columns)
        self.names = tuple(names) or tuple(column.name for column in self.columns)
        self._fields = fields or self._shown
        self._settled = settled
        self._passed: dict[Any, bool] = {}
        self._by: Column | None = None
        self._falls = False
        self._rows: list[Any] = []
        self._at = 0
        if sort:
            self.sort(sort)

    # --- what is seen -----------------------------------------------------------------

    def look(self, rows: Sequence[Any]) -> list[Any]:
        """The rows as they are to be shown now; the cursor stays with its row, or at its place."""
        if self.sieve:
            if len(self._passed) > 2 * len(rows) + _PASSED:
                self._passed.clear()
            rows = [row for row in rows if self._passes(row)]
        if self._by is not None:
            rows = sorted(rows, key=self._sortable, reverse=self._falls)
        self._rows = list(rows)
        keys = {self.key(row): number for number, row in enumerate(self._rows)}
        self.marks &= keys.keys()
        self._at = max(0, min(keys.get(self.focus, self._at), len(self._rows) - 1))
        self.focus = self.key(self._rows[self._at]) if self._rows else None
        return self._rows

    def _passes(self, row: Any) -> bool:
        assert self.sieve is not None
        key = self.key(row)
        passed = self._passed.get(key)
        if passed is None:
            passed = self.sieve.passes(self._fields(row))
            if self._settled(row):
                self._passed[key] = passed
        return passed

    @property
    def view(self) -> tuple[Any, ...]:
        """What decides how given rows are shown: the filter and the order."""
        return self.sieve, self._by, self._falls

    @property
    def order(self) -> str:
        """The name of the column it is sorted by, or empty."""
        return "" if self._by is None else self._by.name

    @property
    def falls(self) -> bool:
        """Whether the largest come first."""
        return self._falls

    def shown(self) -> list[Any]:
        """The rows as they were looked at last."""
        return self._rows

    @property
    def at(self) -> int:
        """The number of the row with the cursor."""
        return self._at

    @property
    def row(self) -> Any:
        """The row with the cursor, or None."""
        return self._rows[self._at] if self._rows else None

    def chosen(self) -> list[Any]:
        """The marked rows, or else the one with the cursor."""
        marked = [row for row in self._rows if self.key(row) in self.marks]
        return marked or ([self.row] if self._rows else [])

    def arrow(self, column: Column, up: str, down: str) -> str:
        """The sign behind the title of the column it is sorted by."""
        if column is not self._by:
            return ""
        return down if self._falls else up

    # --- what is done -----------------------------------------------------------------

    def move(self, by: int) -> None:
        """Move the cursor."""
        self.go(self._at + by)

    def go(self, to: int) -> None:
        """Put the cursor on a row; a negative number counts from the end."""
        count = len(self._rows)
        if count:
            self._at = max(0, min(to, count - 1))
            self.focus = self.key(self._rows[self._at])

    def mark(self) -> None:
        """Mark the row with the cursor, or not any more, and go on to the next."""
        if self._rows:
            self.marks ^= {self.focus}
            self.move(1)

    def sort(self, name: str) -> None:
        """Sort by a column, or by the same the other way round.

        :raises KeyError: there is no such column.
        """
        column = next((each for each in self.columns if each.name == name), None)
        if column is None:
            raise KeyError(name)
        self._falls = not self._falls if column is self._by else column.falls
        self._by = column

    def values(self, name: str, start: str) -> list[str]:
        """What the rows have in a field that begins so, as a filter has it; not too many."""
        found: set[str] = set()
        for row in self._rows:
            value = str(self._fields(row).get(name) or "")
            if value.casefold().startswith(start.strip("'\"").casefold()):
                found.add(shlex.quote(value) if value else "")
            if len(found) > _VALUES:
                break
        return sorted(found - {""})

    def filter(self, text: str) -> None:
        """Show only what passes.

        :raises BadFilter: it is none.
        """
        self.sieve = Sieve(text, self.names) or None
        self._passed.clear()

    def _shown(self, row: Any) -> dict[str, object]:
        return {column.name: column.show(row) for column in self.columns}

    def _sortable(self, row: Any) -> tuple[bool, Any]:
        assert self._by is not None
        value = self._by.value(row)
        return (value is not None, value.casefold() if isinstance(value, str) else value)
