"""Structured fields are read in one way or not at all, and written as they are read."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.auth.structuredfields import (
    MOST_MEMBERS,
    FieldProblem,
    InnerList,
    Item,
    Token,
    read_dictionary,
)

LIMIT = 4096


class ReadTests(SynchronousTestCase):
    def test_values(self) -> None:
        found = read_dictionary(
            'a=1, b=-20;x, c="s\\"\\\\", d=tok/en, e=:AAE=:, f=?0, g;p=?1', LIMIT
        )
        wanted = {
            "a": Item(1),
            "b": Item(-20, {"x": True}),
            "c": Item('s"\\'),
            "d": Item(Token("tok/en")),
            "e": Item(b"\0\1"),
            "f": Item(False),
            "g": Item(True, {"p": True}),
        }
        self.assertEqual(found, wanted)
        self.assertIsInstance(found["d"].value, Token)  # type: ignore[union-attr]
        self.assertIs(found["f"].value, False)  # type: ignore[union-attr]

    def test_inner_lists(self) -> None:
        found = read_dictionary('sig=( "a"  "b";req );created=5;n="x" ,\tt=()', LIMIT)
        self.assertEqual(
            found,
            {
                "sig": InnerList((Item("a"), Item("b", {"req": True})), {"created": 5, "n": "x"}),
                "t": InnerList(()),
            },
        )

    def test_written(self) -> None:
        """As they are read, without the spaces that do not count."""
        found = read_dictionary(
            'sig=( "a"  "b";req );created=5;n="x\\"";b=:AAE=:;t=tok;f=?0', LIMIT
        )
        self.assertEqual(str(found["sig"]), '("a" "b";req);created=5;n="x\\"";b=:AAE=:;t=tok;f=?0')

    def test_refused(self) -> None:
        for text in (
            "", " ", ",", "a=1,", ",a=1", "a=1,,b=2", "a=", "A=1", "1=1", "a=1 b=2", "a==1",
            "a=1;", "a=1;=2", "a=1; ;b", "a=1.5", "a=1.", "a=1e400", "a=--1", "a=-", "a=@5",
            "a=1234567890123456", 'a="', 'a="\\x"', 'a="\t"', 'a="é"', "a=é", "a=?2", "a=?",
            "a=:", "a=:A:", "a=:AAE:", "a=:AAF=:", "a=:AA E=:", "a=:A-E=:", "a=(", 'a=("x"',
            'a=("x""y")', 'a=("x"\t"y")', 'a=(("x"))', "a=)", "a=1\nb=2", "a=1\x00", 'a=%"x"',
            "a=1, a=2", "a=1;b;b", "a=();b=1;b=2",
        ):  # fmt: skip
            with self.assertRaises(FieldProblem, msg=text):
                read_dictionary(text, LIMIT)

    def test_bounds(self) -> None:
        many = [f"k{n}" for n in range(MOST_MEMBERS + 1)]
        for text in (", ".join(many), f"a=({' '.join(['1'] * len(many))})", f"a;{';'.join(many)}"):
            with self.assertRaises(FieldProblem, msg=text):
                read_dictionary(text, LIMIT)
        self.assertEqual(len(read_dictionary(", ".join(many[1:]), LIMIT)), MOST_MEMBERS)
        with self.assertRaises(FieldProblem):
            read_dictionary("a" * 10, 9)
        with self.assertRaises(FieldProblem):
            read_dictionary("k" * 65, LIMIT)

    def test_unwritable(self) -> None:
        for value in ("é", "\n", 10**15):
            with self.assertRaises(FieldProblem):
                str(Item(value))


BARE = st.one_of(
    st.booleans(),
    st.integers(-(10**15) + 1, 10**15 - 1),
    st.binary(max_size=20),
    st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=20),
    st.from_regex(r"[A-Za-z*][!#$%&'*+.^_`|~0-9A-Za-z:/-]{0,9}", fullmatch=True).map(Token),
)
KEYS = st.from_regex(r"[a-z*][a-z0-9_.*-]{0,9}", fullmatch=True)
PARAMETERS = st.dictionaries(KEYS, BARE, max_size=3)
ITEMS = st.builds(Item, BARE, PARAMETERS)
LISTS = st.builds(InnerList, st.lists(ITEMS, max_size=4).map(tuple), PARAMETERS)
FIELDS = st.dictionaries(KEYS, ITEMS | LISTS, min_size=1, max_size=4)


class PropertyTests(SynchronousTestCase):
    @settings(deadline=None, max_examples=60)
    @given(FIELDS)
    def test_read_as_written(self, members: dict[str, Item | InnerList]) -> None:
        text = ", ".join(f"{key}={member}" for key, member in members.items())
        self.assertEqual(read_dictionary(text, 1 << 20), members)

    @settings(deadline=None, max_examples=100)
    @given(st.text(st.sampled_from('ab=;,()": ?0:=A\\*-\té'), max_size=40))
    def test_anything(self, text: str) -> None:
        """Whatever comes is understood or refused; what is understood reads the same again."""
        try:
            found = read_dictionary(text, LIMIT)
        except FieldProblem:
            return
        again = ", ".join(f"{key}={member}" for key, member in found.items())
        self.assertEqual(read_dictionary(again, LIMIT), found)
