"""``mcptwist.console.tables``: rows that are sorted, filtered, marked and walked through."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from mcptwist.console.tables import Column, Table, sort_letters
from mcptwist.watching.sieve import BadFilter

ROWS = [("b", 2), ("a", 10), ("c", None)]
COLUMNS = [
    Column("name", "NAME", 8, lambda row: row[0], lambda row: row[0]),
    Column("number", "NUMBER", 0, lambda row: row[1], lambda row: str(row[1]), falls=True),
]


class TableTests(SynchronousTestCase):
    """A table of three rows."""

    def setUp(self) -> None:
        self.table = Table(COLUMNS, lambda row: row[0])
        self.table.look(ROWS)

    def names(self, rows: list[Any] | None = None) -> str:
        return "".join(row[0] for row in self.table.look(ROWS if rows is None else rows))

    def test_order(self) -> None:
        """Rows stay as they come until they are sorted."""
        self.assertEqual(self.names(), "bac")

    def test_sort(self) -> None:
        """By a column, and the other way round when asked again; where nothing is comes first."""
        self.table.sort("name")
        self.assertEqual(self.names(), "abc")
        self.table.sort("name")
        self.assertEqual(self.names(), "cba")
        self.table.sort("number")
        self.assertEqual(self.names(), "abc")
        self.assertEqual(self.table.arrow(COLUMNS[1], "^", "v"), "v")
        self.assertEqual(self.table.arrow(COLUMNS[0], "^", "v"), "")
        self.assertRaises(KeyError, self.table.sort, "colour")

    def test_letters(self) -> None:
        """Each column has a letter of its own, and none has G."""
        self.assertEqual(
            {k: c.name for k, c in sort_letters(COLUMNS).items()}, {"N": "name", "U": "number"}
        )

    def test_focus_stays_with_its_row(self) -> None:
        """Rows may come and go; the cursor stays where it is meant."""
        self.table.go(1)
        self.assertEqual(self.table.row, ("a", 10))
        self.names([("z", 1), *ROWS])
        self.assertEqual((self.table.row, self.table.at), (("a", 10), 2))

    def test_focus_row_gone(self) -> None:
        """Where the row is gone, the cursor stays at its place."""
        self.table.go(2)
        self.names(ROWS[:2])
        self.assertEqual(self.table.row, ("a", 10))
        self.names([])
        self.assertIsNone(self.table.row)

    def test_moving(self) -> None:
        """The cursor does not leave the table."""
        self.table.move(-5)
        self.assertEqual(self.table.at, 0)
        self.table.move(50)
        self.assertEqual(self.table.at, 2)

    def test_filter(self) -> None:
        """By what the columns show."""
        self.table.filter("number:10")
        self.assertEqual(self.names(), "a")
        self.assertRaises(BadFilter, self.table.filter, "colour:red")
        self.table.filter("")
        self.assertEqual(self.names(), "bac")

    def test_marks(self) -> None:
        """Marked rows are chosen, else the one with the cursor; marks of gone rows go."""
        self.assertEqual(self.table.chosen(), [("b", 2)])
        self.table.mark()
        self.table.mark()
        self.assertEqual(self.table.chosen(), ROWS[:2])
        self.names(ROWS[1:])
        self.assertEqual(self.table.marks, {"a"})
