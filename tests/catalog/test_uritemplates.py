"""Whether a URI can have come from a template."""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.catalog.uritemplates import UriTemplate

WORDS = st.text(alphabet="ab-", max_size=3)


class UriTemplateTests(SynchronousTestCase):
    def assert_matches(self, template: str, *uris: str) -> None:
        for uri in uris:
            self.assertTrue(UriTemplate(template).matches(uri), f"{template} {uri}")

    def assert_no_match(self, template: str, *uris: str) -> None:
        for uri in uris:
            self.assertFalse(UriTemplate(template).matches(uri), f"{template} {uri}")

    def test_no_expression(self) -> None:
        """A template without expressions makes itself and nothing else."""
        self.assert_matches("x://a", "x://a")
        self.assert_no_match("x://a", "x://", "x://ab", "y://a", "")

    def test_simple(self) -> None:
        """A simple expression stays within one segment."""
        self.assert_matches("x://{id}/data", "x://7/data", "x://a%20b/data")
        self.assert_no_match("x://{id}/data", "x://7/8/data", "x://7/dat", "x://7/data/")

    def test_reserved(self) -> None:
        """``+`` may make anything, ``#`` too."""
        self.assert_matches("file:///{+path}", "file:///a/b?c#d", "file:///")
        self.assert_matches("x:a{#part}", "x:a", "x:a#b/c")

    def test_segments_and_query(self) -> None:
        """``/`` makes segments, ``?`` and ``&`` a query."""
        self.assert_matches("x:{/parts*}", "x:/a/b")
        self.assert_no_match("x:{/parts*}", "x:/a?b=1")
        self.assert_matches("x:a{?q,r}", "x:a", "x:a?q=1&r=2/3")
        self.assert_no_match("x:a{?q}", "x:a?q=1#f")

    def test_must_look_ahead(self) -> None:
        """The first place where a part fits need not be the right one."""
        self.assert_matches("{+a}x{b}", "x/x1")
        self.assert_matches("{a}-{b}-end", "1-2-3-end")

    def test_braces_that_are_none(self) -> None:
        """What is no expression stands for itself."""
        self.assert_matches("x:{a", "x:{a")
        self.assert_matches("x:}{b}", "x:}1")

    def test_bounds(self) -> None:
        """What is too long to be looked at is not from here."""
        self.assert_no_match("{+a}", "x" * 2049)
        self.assert_no_match("{a}" * 33, "x")

    def test_weight(self) -> None:
        """The more of it is fixed, the closer is a match."""
        self.assertGreater(UriTemplate("x://b-{id}").weight, UriTemplate("x://{id}").weight)

    @settings(max_examples=100, deadline=None)
    @given(st.lists(st.tuples(WORDS, WORDS), max_size=5), WORDS)
    def test_what_it_makes(self, pairs: list[tuple[str, str]], tail: str) -> None:
        """Whatever a template is filled with, the outcome is recognised."""
        template = "".join(text + "{v}" for text, _ in pairs) + tail
        uri = "".join(text + value for text, value in pairs) + tail
        self.assert_matches(template, uri)
