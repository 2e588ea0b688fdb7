"""``mcptwist.configuration.settings``: how one value is read, and what is said when it is wrong."""

from typing import Annotated, Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as some
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.configuration.configtext import Table
from mcptwist.configuration.settings import (
    Key,
    Ledger,
    Mistake,
    Note,
    Reader,
    choice,
    count,
    expanded,
    full_text,
    keys_of,
    many,
    none_or,
    read_table,
    seconds,
    size,
    text,
    yes_or_no,
)

NAN, INFINITY = float("nan"), float("inf")
WILD = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats() | some.text(max_size=9),
    lambda inner: (
        some.lists(inner, max_size=3) | some.dictionaries(some.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)


def read(reader: Reader, value: Any, **environ: str) -> tuple[Any, list[str]]:
    """What is read from a value at x, and the mistakes."""
    ledger = Ledger(environ)
    found = reader(ledger.place("x"), value)
    return found, [str(mistake) for mistake in ledger.mistakes]


class PlaceTests(SynchronousTestCase):
    """Where something is, as a person would write it."""

    def test_paths(self) -> None:
        """Keys with dots, keys with anything, items of lists, the file itself."""
        ledger = Ledger({}, server="time")
        ledger.place("mcpServers", "time").at("args").item(2).mistake("is odd", "even")
        ledger.place("a b").at('"').at("\ud800\x9b").mistake("is odd")
        ledger.place().note("is new")
        self.assertEqual(
            ledger.mistakes,
            [
                Mistake("mcpServers.time.args[2]", "is odd", "even", "time"),
                Mistake('["a b"]["\\""]["\\ud800\\u009b"]', "is odd", "", "time"),
            ],
        )
        self.assertEqual(ledger.notes, [Note("the file", "is new", "time")])

    def test_words(self) -> None:
        """A mistake in one line."""
        self.assertEqual(str(Mistake("a.b", "is odd", "even")), "a.b: is odd; expected even")
        self.assertEqual(str(Mistake("a.b", "is odd")), "a.b: is odd")
        self.assertEqual(str(Note("a.b", "is new")), "a.b: is new")


class TextTests(SynchronousTestCase):
    """Strings."""

    def test_good(self) -> None:
        """As they are."""
        self.assertEqual(read(text, " é "), (" é ", []))
        self.assertEqual(read(text, ""), ("", []))

    def test_bad(self) -> None:
        """Other kinds, and what no operating system takes; the value itself is not shown."""
        for value in (5, None, ["secret"], "secret\0", "secret\udc80"):
            found, mistakes = read(text, value)
            self.assertIsNone(found)
            self.assertEqual(len(mistakes), 1)
            self.assertNotIn("secret", mistakes[0])

    def test_full(self) -> None:
        """Some places need something."""
        self.assertEqual(
            read(full_text, " "), (None, ["x: is empty; expected a string with something in it"])
        )
        self.assertEqual(len(read(full_text, 5)[1]), 1)


class ChoiceTests(SynchronousTestCase):
    """Words and switches."""

    def test_choice(self) -> None:
        """One of some words; the wrong one is repeated, without what upsets a terminal."""
        reader = choice("a", "b")
        self.assertEqual(read(reader, "a"), ("a", []))
        self.assertEqual(
            read(reader, "\x1b[c"), (None, ['x: is "\\u001b[c"; expected one of "a", "b"'])
        )
        self.assertEqual(read(reader, ["a"]), (None, ['x: is a list; expected one of "a", "b"']))

    def test_yes_or_no(self) -> None:
        """Neither strings nor numbers will do."""
        self.assertEqual(read(yes_or_no, False), (False, []))
        for value in ("true", 1, None):
            self.assertEqual(len(read(yes_or_no, value)[1]), 1)

    def test_none(self) -> None:
        """Some bounds need not be."""
        self.assertEqual(read(none_or(count), "none"), (None, []))
        self.assertEqual(read(none_or(count), 3), (3, []))


class NumberTests(SynchronousTestCase):
    """Counts, lengths of time, sizes."""

    def test_count(self) -> None:
        """Whole and above zero."""
        self.assertEqual(read(count, 1), (1, []))
        for value in (0, -1, 1.0, True, "1", NAN, 10**30):
            self.assertEqual((read(count, value)[0], len(read(count, value)[1])), (None, 1), value)

    def test_seconds(self) -> None:
        """Numbers are seconds, strings have a unit."""
        said = {
            2: 2.0,
            0.5: 0.5,
            "500ms": 0.5,
            "30s": 30,
            " 1.5 m ": 90,
            "2min": 120,
            "1h": 3600,
            "1d": 86400,
        }
        for value, expected in said.items():
            self.assertEqual(read(seconds, value), (float(expected), []), value)

    def test_no_seconds(self) -> None:
        """Zero, below, beyond a year, no number, a string without a unit."""
        for value in (
            0,
            -1,
            NAN,
            INFINITY,
            True,
            "5",
            "s",
            "1 day",
            "-1s",
            "0s",
            "٣s",
            "400d",
            10**400,
            [],
            None,
        ):
            self.assertEqual(
                (read(seconds, value)[0], len(read(seconds, value)[1])), (None, 1), value
            )

    def test_size(self) -> None:
        """Numbers are bytes, and so are strings without a unit."""
        said = {
            5: 5,
            "5": 5,
            "5b": 5,
            "1kB": 1000,
            "64KiB": 65536,
            "1.5 MiB": 1572864,
            "2g": 2**31,
            "1MB": 10**6,
        }
        for value, expected in said.items():
            self.assertEqual(read(size, value), (expected, []), value)

    def test_no_size(self) -> None:
        """Zero, below, beyond a terabyte, no number, no unit anyone knows."""
        for value in (0, -1, 0.5, NAN, False, "", "MiB", "1XB", "1e3", "9999GiB", 10**400, {}):
            self.assertEqual((read(size, value)[0], len(read(size, value)[1])), (None, 1), value)


class ManyTests(SynchronousTestCase):
    """Lists."""

    def test_all_mistakes(self) -> None:
        """Each item's, at its place."""
        found, mistakes = read(many(text), ["a", 5, "b", None])
        self.assertIsNone(found)
        self.assertEqual([mistake.partition(":")[0] for mistake in mistakes], ["x[1]", "x[3]"])

    def test_good(self) -> None:
        """A list, none, or one string."""
        self.assertEqual(read(many(text), ["a", "b"]), (("a", "b"), []))
        self.assertEqual(read(many(text), []), ((), []))
        self.assertEqual(read(many(text), "a"), (("a",), []))
        self.assertEqual(read(many(text), {}), (None, ["x: is a table; expected a list"]))


class ExpandedTests(SynchronousTestCase):
    """``${VAR}`` and its like."""

    def test_filled_in(self) -> None:
        """Variables, defaults, editors' spellings; nothing is looked at twice."""
        said = {
            "${A}": "1", "x${A}${B}y": "x1${A}y", "${A:-2}": "1", "${NO:-2}": "2", "${NO:-}": "",
            "${EMPTY}": "", "${EMPTY:-e}": "e", "${NO:-a b:-c}": "a b:-c", "${env:A}": "1",
            "${userHome}/x": "/root/x", "$${A}": "${A}", "$$${A}": "$${A}", "$A $": "$A $",
        }  # fmt: skip
        for value, expected in said.items():
            found = read(expanded, value, A="1", B="${A}", EMPTY="", HOME="/root")
            self.assertEqual(found, (expected, []), value)

    def test_missing(self) -> None:
        """Every missing variable is named, and what to do about it."""
        found, mistakes = read(expanded, "${A}${NO}${NAY}", A="secret")
        self.assertIsNone(found)
        self.assertEqual(len(mistakes), 2)
        self.assertIn("names the variable NO, which is not set", mistakes[0])
        self.assertIn("${NAY:-default}", mistakes[1])
        self.assertNotIn("secret", "".join(mistakes))

    def test_no_variable(self) -> None:
        """What a daemon cannot fill in, and what nobody can."""
        for value in (
            "${",
            "a ${A",
            "${}",
            "${a b}",
            "${1}",
            "${input:key}",
            "${workspaceFolder}",
            "${A-b}",
        ):
            found, mistakes = read(expanded, value, A="1", workspaceFolder="x")
            self.assertIsNone(found, value)
            self.assertEqual(len(mistakes), 1, value)

    def test_secrets_are_remembered(self) -> None:
        """The value of a secret-looking variable is known afterwards, to be kept from view."""
        ledger = Ledger({"API_KEY": "abcd", "MODE": "fast"})
        expanded(ledger.place(), "--key=${API_KEY} ${MODE}")
        self.assertEqual(ledger.revealed, {"abcd"})

    @settings(deadline=None, max_examples=60)
    @given(some.text(some.characters(exclude_characters="\0", exclude_categories=["Cs"])))
    def test_round_trip(self, value: str) -> None:
        """Any value comes through a variable as it is, and any text when it is escaped."""
        self.assertEqual(read(expanded, "${A}", A=value), (value, []))
        self.assertEqual(read(expanded, "${NO:-${A}", A=value)[0], "${A")
        self.assertEqual(read(expanded, value.replace("${", "$${")), (value, []))


class Sample(msgspec.Struct, frozen=True):
    """A table for the tests below."""

    number: Annotated[int, Key(count, "how many")]
    wait_time: Annotated[float, Key(seconds, "how long", "seconds")] = 1.0
    hidden: int = 0


class ReadTableTests(SynchronousTestCase):
    """Tables into structs."""

    def read(self, value: Any) -> tuple[Any, list[str]]:
        return read(lambda place, table: read_table(place, table, Sample), value)

    def test_keys(self) -> None:
        """Only fields with a key beside them can be given in a file."""
        self.assertEqual(list(keys_of(Sample)), ["number", "wait_time"])

    def test_good(self) -> None:
        """What is not given has its default; comments count for nothing."""
        self.assertEqual(self.read({"number": 3, "_why": 1, "//": 2}), (Sample(3), []))

    def test_unknown(self) -> None:
        """Each unknown key with the one it resembles."""
        _, mistakes = self.read({"number": 3, "waitTime": 1, "hidden": 5})
        self.assertEqual(
            mistakes,
            [
                'x.waitTime: is not a key we know; expected "wait_time"',
                "x.hidden: is not a key we know; expected one of number, wait_time",
            ],
        )

    def test_all_mistakes(self) -> None:
        """Unknown keys, repeated keys and wrong values together."""
        table = Table({"number": 0, "wait_time": "long", "x": 1})
        table.repeated = ("number",)
        found, mistakes = self.read(table)
        self.assertIsNone(found)
        self.assertEqual(
            [mistake.partition(":")[0] for mistake in mistakes],
            ["x.number", "x.x", "x.number", "x.wait_time"],
        )

    def test_no_table(self) -> None:
        """Anything else is named."""
        self.assertEqual(
            self.read([]), (None, ["x: is a list; expected a table of keys and values"])
        )
        self.assertEqual(
            self.read(NAN)[1], ["x: is not a finite number; expected a table of keys and values"]
        )


class AnyReaderTests(SynchronousTestCase):
    """What all readers promise."""

    @settings(deadline=None, max_examples=150)
    @given(
        WILD,
        some.sampled_from(
            [
                text,
                full_text,
                yes_or_no,
                count,
                seconds,
                size,
                expanded,
                many(expanded),
                choice("a"),
            ]
        ),
    )
    def test_value_or_mistake(self, value: Any, reader: Reader) -> None:
        """A value without a mistake, or None with at least one; never an exception."""
        found, mistakes = read(reader, value)
        self.assertEqual(found is None, bool(mistakes))
