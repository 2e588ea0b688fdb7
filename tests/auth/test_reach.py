"""What a key reaches, by the names of one view."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.auth.authorizedkeys import Grant, read_authorized_keys
from mcptwist.auth.reach import Reach
from mcptwist.errors import UnknownName
from tests.auth.people import key


def grant(options: str = "") -> Grant:
    (found,) = read_authorized_keys(f"{options} {key().public.words()} alice").grants.values()
    return found


class ReachTests(SynchronousTestCase):
    def test_everything(self) -> None:
        reach = Reach(grant(), "far")
        self.assertTrue(reach.is_everything)
        reach.check("tools", "anything")

    def test_named(self) -> None:
        """A server's own names are looked up as those that they have among all, but for URIs."""
        given = grant('tools="far__t*",resources="file:///a"')
        self.assertFalse(Reach(given, "").is_everything)
        for server, name, has in (
            ("far", "time", True), ("near", "time", False), ("", "far__time", True),
            ("far", "far__time", False), ("", "time", False),
        ):  # fmt: skip
            self.assertEqual(Reach(given, server).has("tools", name), has, (server, name))
        reach = Reach(given, "far")
        self.assertTrue(reach.has("resources", "file:///a"))
        self.assertTrue(reach.has("prompts", "x"))
        self.assertRaises(UnknownName, reach.check, "resources", "file:///b")

    def test_kinds_apart(self) -> None:
        """What was found of a tool is not believed of a resource."""
        reach = Reach(grant('tools="a",resources="b"'), "")
        self.assertTrue(reach.has("tools", "a"))
        self.assertFalse(reach.has("resources", "a"))
        self.assertFalse(reach.has("tools", "b"))

    @settings(max_examples=50, deadline=None)
    @given(st.lists(st.text("ab_*?", max_size=6), max_size=20))
    def test_asked_again(self, names: list[str]) -> None:
        """However often it is asked, and for what before, it says the same."""
        given, reach = grant('tools="a*,b_?"'), Reach(grant('tools="a*,b_?"'), "")
        for name in [*names, *names]:
            self.assertEqual(reach.has("tools", name), Reach(given, "").has("tools", name))

    def test_bounded(self) -> None:
        """Whoever asks for ever more names has little of them remembered, and none that is long."""
        reach = Reach(grant('tools="t*"'), "")
        for number in range(1000):
            self.assertTrue(reach.has("tools", f"t{number}"))
            self.assertTrue(reach.has("tools", "t" * 101 + str(number)))
            self.assertFalse(reach.has("tools", f"u{number}"))
        self.assertLessEqual(len(reach._known), 256)
        self.assertTrue(all(len(name) <= 100 for _, name in reach._known))
