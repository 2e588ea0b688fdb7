"""``mcptwist.console.widgets`` and ``palette``: what is drawn."""

from __future__ import annotations

from typing import Any

import urwid.testing
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.console.palette import ASCII, UNICODE, has_colours, palette, signs
from mcptwist.console.widgets import Rows, fit, json_lines, plain, sparkline, tinted, width_of


class SparklineTests(SynchronousTestCase):
    """Values as bars."""

    def test_bars(self) -> None:
        """The highest is full, nothing is blank, and a little is seen."""
        self.assertEqual(sparkline([0, 1, 50, 100], 4, UNICODE), " ▁▄█")
        self.assertEqual(sparkline([0, 1, 50, 100], 4, ASCII), " _:#")

    def test_width(self) -> None:
        """As wide as it shall be, whatever there is."""
        self.assertEqual(sparkline([5], 3, UNICODE), "  █")
        self.assertEqual(sparkline([1, 2, 3, 4], 2, UNICODE), "▆█")
        self.assertEqual(sparkline([], 2, UNICODE), "  ")
        self.assertEqual(sparkline([1], 0, UNICODE), "")


class FitTests(SynchronousTestCase):
    """Text in so many columns."""

    def test_short_and_long(self) -> None:
        """Padded or cut."""
        self.assertEqual(fit("ab", 4, UNICODE), "ab  ")
        self.assertEqual(fit("ab", 4, UNICODE, right=True), "  ab")
        self.assertEqual(fit("abcdef", 4, UNICODE), "abc…")
        self.assertEqual(fit("abcdef", 4, ASCII), "abc~")
        self.assertEqual(fit("abc", 0, UNICODE), "")

    def test_wide_signs(self) -> None:
        """Signs that take two columns are not cut through."""
        text = fit("日本語日本語", 6, UNICODE)
        self.assertEqual((width_of(text), text), (6, "日本… "))


class JsonTests(SynchronousTestCase):
    """JSON in colours."""

    def test_colours(self) -> None:
        """Names, texts and numbers differ."""
        lines = json_lines('{"a":"b: c","n":[1,true]}')
        self.assertEqual(plain(lines[1]), '  "a": "b: c",')
        self.assertIn(("name", '"a"'), lines[1])
        self.assertIn(("text", '"b: c"'), lines[1])
        self.assertIn(("number", "true"), lines[4])

    def test_no_json(self) -> None:
        """What is none is shown as it is, and harmless."""
        self.assertEqual(json_lines('{"a": "\x1b[2J'), ['{"a": "'])
        self.assertEqual(json_lines(""), [""])

    def test_escapes_stay_escapes(self) -> None:
        """What JSON escapes is not unescaped for the terminal."""
        (line,) = json_lines('"\\u001b[2J"')
        self.assertNotIn("\x1b", plain(line))


class RowsTests(SynchronousTestCase):
    """The widget."""

    def make(self) -> Rows:
        self.told: list[Any] = []
        return Rows(
            lambda width, height: [f"line {n} of {width}" for n in range(100)],
            lambda row, column: self.told.append((row, column)),
            self.told.append,
        )

    def test_only_what_is_seen(self) -> None:
        """It is as high as the terminal."""
        lines = urwid.testing.render_text(self.make(), (12, 3), strip=True)
        self.assertEqual(lines, ["line 0 of 12", "line 1 of 12", "line 2 of 12"])

    def test_every_size(self) -> None:
        """It can be drawn in any size, none at all included."""
        urwid.testing.check_box_sizing(self.make())

    def test_ascii(self) -> None:
        """Where there is nothing else, names of others take as many columns of question marks."""
        rows = Rows(lambda width, height: ["naïve 日本…", [("bad", "é")]], ascii_only=True)
        self.assertEqual(
            urwid.testing.render_text(rows, (14, 2)), ["na?ve ????~   ", "?             "]
        )

    def test_mouse(self) -> None:
        """Clicks and the wheel are told; letting go of the button is nothing."""
        rows = self.make()
        urwid.testing.click(rows, (12, 3), 4, 1)
        urwid.testing.click(rows, (12, 3), 0, 0, button=5)
        urwid.testing.click(rows, (12, 3), 0, 0, button=4)
        self.assertFalse(urwid.testing.click(rows, (12, 3), 0, 0, event="mouse release"))
        self.assertEqual(self.told, [(1, 4), 3, -3])

    def test_tinted(self) -> None:
        """All of a line in one colour."""
        self.assertEqual(tinted(["a", ("bad", "b")], "focus"), ("focus", "ab"))


class PaletteTests(SynchronousTestCase):
    """Terminals of every sort."""

    def test_every_colour_is_one_of_sixteen(self) -> None:
        """No entry asks for more than a terminal of sixteen colours has."""
        for entry in palette(True):
            spec = urwid.testing.resolve_attr(entry[0], palette(True), colors=16)
            self.assertLessEqual(spec.colors, 16)

    def test_without_colours(self) -> None:
        """Then focus and alarm are told by other means."""
        entries = {entry[0]: entry[1] for entry in palette(False)}
        self.assertEqual((entries["focus"], entries["alarm"]), ("standout", "standout"))
        self.assertFalse({"light", "dark"} & set(" ".join(entries.values()).split()))

    def test_who_wants_colours(self) -> None:
        """NO_COLOR and terminals without colours are heeded."""
        self.assertTrue(has_colours({"TERM": "xterm"}))
        self.assertFalse(has_colours({"TERM": "xterm", "NO_COLOR": "1"}))
        self.assertFalse(has_colours({"TERM": "dumb"}))
        self.assertFalse(has_colours({}))

    def test_signs(self) -> None:
        """ASCII where it is asked for, or where there is no Unicode."""
        self.assertIs(signs(False, "UTF-8"), UNICODE)
        self.assertIs(signs(True, "UTF-8"), ASCII)
        self.assertIs(signs(False, "ANSI_X3.4-1968"), ASCII)
        self.assertTrue(all(sign.isascii() for sign in (ASCII.bars, ASCII.up, ASCII.crumb)))
