"""``mcptwist.watching.sieve``: the filters of a traffic view."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.watching.sieve import LONGEST, BadFilter, Sieve

FIELDS = ("tool", "server", "method", "status")
ROW = {"tool": "Search", "server": "github", "method": "tools/call", "status": "error", "size": 12}


class SieveTests(SynchronousTestCase):
    """What passes and what does not."""

    def passes(self, text: str) -> bool:
        return Sieve(text, FIELDS).passes(ROW)

    def test_empty(self) -> None:
        """No filter lets everything pass, and says that it is none."""
        self.assertFalse(Sieve("  ", FIELDS))
        self.assertTrue(self.passes(""))

    def test_fields(self) -> None:
        """A token looks at its own field, at a part of it and whatever the case."""
        self.assertTrue(self.passes("tool:sEar"))
        self.assertFalse(self.passes("server:search"))

    def test_patterns(self) -> None:
        """With a star it is a pattern for the whole."""
        self.assertTrue(self.passes("server:git*"))
        self.assertFalse(self.passes("server:*git"))

    def test_all_must_hold_and_one_of_a_field(self) -> None:
        """Different fields must all hold; of one field, any."""
        self.assertTrue(self.passes("tool:search status:error"))
        self.assertFalse(self.passes("tool:search status:ok"))
        self.assertTrue(self.passes("status:ok status:error"))

    def test_not(self) -> None:
        """A minus turns a token around; alternatives do not weaken it."""
        self.assertFalse(self.passes("-tool:search"))
        self.assertTrue(self.passes("-tool:fetch"))
        self.assertFalse(self.passes("tool:search -server:github"))

    def test_words(self) -> None:
        """Words are looked for in every field, all of them, numbers too."""
        self.assertTrue(self.passes("github 12"))
        self.assertFalse(self.passes("github gitlab"))
        self.assertFalse(self.passes("-github"))
        self.assertTrue(self.passes('"tools/call"'))

    def test_urls_are_words(self) -> None:
        """What stands before a colon and is no name is part of a word."""
        self.assertFalse(self.passes("http-x:y"))

    def test_unknown_field(self) -> None:
        """A field there is not is said, with those there are."""
        problem = self.assertRaises(BadFilter, Sieve, "tol:x", FIELDS)
        self.assertIn("tool:", str(problem))

    def test_unclosed_quote_and_length(self) -> None:
        """What cannot be read is said."""
        self.assertIn("quotation", str(self.assertRaises(BadFilter, Sieve, 'a "b', FIELDS)))
        self.assertRaises(BadFilter, Sieve, "x" * (LONGEST + 1), FIELDS)

    @given(st.text(max_size=60))
    def test_any_text(self, text: str) -> None:
        """Whatever is typed is a filter or a BadFilter."""
        try:
            sieve = Sieve(text, FIELDS)
        except BadFilter:
            return
        self.assertIn(sieve.passes(ROW), (True, False))
