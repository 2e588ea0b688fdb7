"""Which of a server's things clients see, and what they are called."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as some
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.catalog.directory import PROMPTS, RESOURCES, TEMPLATES, TOOLS
from mcptwist.catalog.selection import NamedSelection, Selection, Selections

NAMES = some.text("ab*[]", max_size=3)
PATTERNS = some.lists(NAMES.filter(bool), max_size=2).map(tuple)
SELECTIONS = some.builds(
    NamedSelection,
    allow=some.none() | PATTERNS,
    deny=PATTERNS,
    hide=PATTERNS,
    rename=some.dictionaries(NAMES, NAMES.filter(bool), max_size=3).map(
        lambda table: tuple({new: old for old, new in table.items()}.items())
    ),
)


class SelectionTests(SynchronousTestCase):
    def test_everything(self) -> None:
        """Where nothing is said everything is seen as it is."""
        for selection in (Selection(), NamedSelection()):
            for name in ("read", "", "*", "x" * 1000):
                self.assertEqual(selection.shown(name), name)
                self.assertEqual(selection.listed(name), name)
                self.assertEqual(selection.own(name), name)

    def test_allow_and_deny(self) -> None:
        """Only what is allowed, and of that not what is denied."""
        selection = Selection(allow=("read_*", "stat"), deny=("*_all",))
        seen = [n for n in ("read_a", "read_all", "stat", "STAT", "write") if selection.shown(n)]
        self.assertEqual(seen, ["read_a", "stat"])

    def test_allow_nothing(self) -> None:
        """An empty list allows nothing; that is not the same as no list."""
        self.assertIsNone(Selection(allow=()).shown("x"))

    def test_hide(self) -> None:
        """What is hidden is not listed, and there all the same."""
        selection = Selection(hide=("x*",))
        self.assertIsNone(selection.listed("x1"))
        self.assertEqual(selection.own("x1"), "x1")

    def test_rename(self) -> None:
        """The new name leads to the tool, the old one nowhere."""
        selection = NamedSelection(rename=(("old", "new"),))
        self.assertEqual(selection.listed("old"), "new")
        self.assertEqual(selection.own("new"), "old")
        self.assertIsNone(selection.own("old"))

    def test_rename_takes_a_name(self) -> None:
        """A tool whose name was given to another can be had under none."""
        selection = NamedSelection(rename=(("a", "b"),))
        self.assertIsNone(selection.shown("b"))
        swapped = NamedSelection(rename=(("a", "b"), ("b", "a")))
        self.assertEqual((swapped.own("b"), swapped.own("a")), ("a", "b"))

    def test_patterns_see_old_names(self) -> None:
        """What a tool is renamed to neither allows nor denies it."""
        selection = NamedSelection(deny=("bad*",), rename=(("bad", "good"), ("fine", "bad2")))
        self.assertIsNone(selection.own("good"))
        self.assertEqual(selection.own("bad2"), "fine")

    @settings(max_examples=200, deadline=None)
    @given(SELECTIONS, NAMES)
    def test_there_and_back(self, selection: NamedSelection, name: str) -> None:
        """What is listed can be asked for; what is asked for is what was shown as that."""
        shown = selection.shown(name)
        if shown is not None:
            self.assertEqual(selection.own(shown), name)
        own = selection.own(name)
        if own is not None:
            self.assertEqual(selection.shown(own), name)
        self.assertIn(selection.listed(name), (None, shown))


class SelectionsTests(SynchronousTestCase):
    def test_kinds(self) -> None:
        """Templates go with resources."""
        tools, prompts = NamedSelection(deny=("t",)), NamedSelection(deny=("p",))
        selections = Selections(tools, prompts, Selection(deny=("r",)))
        found = [selections.of(shelf).deny for shelf in (TOOLS, PROMPTS, RESOURCES, TEMPLATES)]
        self.assertEqual(found, [("t",), ("p",), ("r",), ("r",)])

    def test_everything(self) -> None:
        """Whether anything was said at all."""
        self.assertTrue(Selections().everything())
        self.assertFalse(Selections(NamedSelection(hide=("x",))).everything())
