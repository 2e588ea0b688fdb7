"""``mcptwist.configuration.configtext``: text to tables, or where it went wrong."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as some
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.configuration.configtext import SyntaxMistake, decoded, parse

WILD_JSON = some.recursive(
    some.none() | some.booleans() | some.integers() | some.text(max_size=8),
    lambda inner: (
        some.lists(inner, max_size=4) | some.dictionaries(some.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)


class ParseTests(SynchronousTestCase):
    """Which format it is, and what the text says."""

    def mistake(self, text: str | bytes, name: str = "") -> tuple[str, str]:
        mistake = self.assertRaises(SyntaxMistake, parse, text, name)
        return mistake.where, mistake.problem

    def test_suffix_decides(self) -> None:
        """A known suffix is believed, whatever the text looks like."""
        self.assertEqual(parse("a = 1", "x.TOML"), ("TOML", {"a": 1}))
        self.assertEqual(parse("{}", "x.json"), ("JSON", {}))
        self.assertEqual(self.mistake("a = 1", "x.json")[0], "line 1, column 1")

    def test_first_character_decides(self) -> None:
        """Without a known suffix a brace is JSON, also after comments, and all else is TOML."""
        self.assertEqual(parse(' // hi\n {"a": 1}', "mcp"), ("JSON", {"a": 1}))
        self.assertEqual(parse("# hi\n[a]\nb = 1", "mcp"), ("TOML", {"a": {"b": 1}}))
        self.assertEqual(parse("", "mcp"), ("TOML", {}))

    def test_where_json_went_wrong(self) -> None:
        """Line and column are those of the person's editor, comments or not."""
        where, _ = self.mistake('{ /* a\n comment */ "a": 1,\n "b" 2}', "x.json")
        self.assertEqual(where, "line 3, column 6")

    def test_where_toml_went_wrong(self) -> None:
        """The same for TOML, whose place does not stay in the message."""
        where, problem = self.mistake("a = 1\nb = \n", "x.toml")
        self.assertEqual(where, "line 2, column 5")
        self.assertNotIn("line", problem)

    def test_comments_and_trailing_commas(self) -> None:
        """As VS Code writes JSON; what looks like a comment within a string is none."""
        text = '{"a": "http://x/*", // c\n "b": [1, 2,\n], /* , */ "c": ",]",}'
        self.assertEqual(parse(text, "x.json")[1], {"a": "http://x/*", "b": [1, 2], "c": ",]"})

    def test_commas_that_end_nothing(self) -> None:
        """Only a comma after an item may trail."""
        for text in ("{,}", "[1,,]", "[ ,]", '{"a":,}', '{"a": 1,,}'):
            self.mistake(text, "x.json")

    def test_repeated_keys_are_remembered(self) -> None:
        """Every key that is there twice, once."""
        _, table = parse('{"a": 1, "b": {"c": 1, "c": 2, "c": 3, "d": 4}, "a": 2}', "x.json")
        self.assertEqual(table.repeated, ("a",))
        self.assertEqual(table, {"a": 2, "b": {"c": 3, "d": 4}})
        self.assertEqual(table["b"].repeated, ("c",))

    def test_too_deep(self) -> None:
        """Nesting that Python cannot follow is the file's mistake."""
        self.assertIn("deeply", self.mistake("[" * 100_000, "x.json")[1])
        self.assertIn("deeply", self.mistake("a = " + "[" * 100_000, "x.toml")[1])

    def test_too_long_a_number(self) -> None:
        """So is a number that Python does not read."""
        self.mistake("[" + "9" * 10_000 + "]", "x.json")
        self.mistake("a = " + "9" * 10_000, "x.toml")

    @settings(deadline=None, max_examples=60)
    @given(WILD_JSON)
    def test_json_round_trip(self, value: Any) -> None:
        """Whatever JSON says is what we read."""
        self.assertEqual(parse(json.dumps(value, indent=1), "x.json"), ("JSON", value))

    @settings(deadline=None, max_examples=150)
    @given(
        some.binary(max_size=40) | some.text('{}[]",:/*\\\n a1=#', max_size=40),
        some.sampled_from(["x.json", "x.toml", ""]),
    )
    def test_any_text(self, text: str | bytes, name: str) -> None:
        """Any text is a value or a mistake that says what is wrong."""
        try:
            form, _ = parse(text, name)
        except SyntaxMistake as mistake:
            self.assertTrue(mistake.problem)
        else:
            self.assertIn(form, ("JSON", "TOML"))


class DecodedTests(SynchronousTestCase):
    """Bytes to text."""

    def test_byte_order_mark(self) -> None:
        """It is no part of the text, in bytes or in a string."""
        self.assertEqual(decoded(b"\xef\xbb\xbf{}"), "{}")
        self.assertEqual(decoded("\ufeff{}"), "{}")

    def test_utf_16(self) -> None:
        """What PowerShell writes gets told what to do."""
        mistake = self.assertRaises(SyntaxMistake, decoded, "{}".encode("utf-16"))
        self.assertIn("UTF-8", mistake.problem)

    def test_not_utf_8(self) -> None:
        """The byte and its place are named."""
        mistake = self.assertRaises(SyntaxMistake, decoded, b'{\n "a\xff"}')
        self.assertEqual(
            (mistake.where, mistake.problem), ("line 2, column 4", "byte 0xff is not UTF-8")
        )
