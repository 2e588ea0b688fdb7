"""What tools and prompts are called where servers are seen as one."""

import re
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.catalog.toolnames import LIMIT, is_cut, may_be_of, prefix_of, public_name, split

CHECKOUT = Path(__file__).resolve().parents[2]
STABLE_LONG = "files__xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx__7218acb2af"
STABLE_ILLEGAL = "files__read_file__e8c588a7f0"
LEGAL = re.compile(r"[A-Za-z0-9_-]{1,60}\Z")
SERVERS = (
    st.from_regex(r"[A-Za-z0-9_.\-]{1,64}", fullmatch=True)
    .map(lambda name: re.sub("_{2,}", "_", name))
    .filter(lambda name: name[-1] != "_" and name.strip("."))
)
ALIKE = st.from_regex(r"[ab_.]{1,4}", fullmatch=True).filter(
    lambda name: "__" not in name and name[-1] != "_" and name.strip(".") != ""
)
NAMES = st.one_of(
    st.from_regex(r"[A-Za-z0-9_-]{1,20}", fullmatch=True),
    st.from_regex(r"[ab_]{0,5}", fullmatch=True),
    st.from_regex(r"[a_]{0,3}__[0-9a-f]{10}", fullmatch=True),
    st.text(max_size=80),
)


class PublicNameTests(SynchronousTestCase):
    def test_plain(self) -> None:
        """What is legal and short enough is the two names and what divides them."""
        self.assertEqual(public_name("files", "read_file"), "files__read_file")

    def test_dot_in_server(self) -> None:
        """A dot is legal in a server's name and not in a tool's."""
        self.assertEqual(public_name("mcp.time", "now"), "mcp_time__now")

    def test_just_short_enough(self) -> None:
        """The limit itself is allowed, one more is not."""
        fits = "x" * (LIMIT - len("files__"))
        self.assertEqual(public_name("files", fits), f"files__{fits}")
        cut = public_name("files", fits + "x")
        self.assertEqual(len(cut), LIMIT)
        self.assertTrue(is_cut(cut))

    def test_cut_names_stay(self) -> None:
        """Cut names are part of what clients store, so they may not change between releases."""
        self.assertEqual(public_name("files", "x" * 80), STABLE_LONG)
        self.assertEqual(public_name("files", "read file"), STABLE_ILLEGAL)
        page = CHECKOUT / "docs" / "catalog.rst"
        shown = [line.strip() for line in page.read_text("utf-8").splitlines()]
        name = "create_pull_request_review_comment_with_suggestion_and_thread"
        self.assertIn(public_name("github", name), shown)

    def test_looks_cut(self) -> None:
        """A tool that looks as if it had been cut cannot be taken for one that was."""
        cut = public_name("files", "x" * 80)
        impostor = cut.removeprefix("files__")
        self.assertNotEqual(public_name("files", impostor), cut)
        self.assertTrue(is_cut(public_name("files", impostor)))

    def test_split(self) -> None:
        """A plain name tells its parts, also where the tool's own holds the divider."""
        self.assertEqual(split("files__read"), ("files", "read"))
        self.assertEqual(split("files___read__all"), ("files", "_read__all"))

    def test_split_nothing(self) -> None:
        """What is not made of two parts, or was cut, has none to tell."""
        cut = public_name("files", "x" * 80)
        for name in ("read", "files_read", "__read", "files__", "", cut):
            self.assertIsNone(split(name), name)

    @settings(max_examples=80, deadline=None)
    @given(SERVERS, NAMES)
    def test_legal(self, server: str, name: str) -> None:
        """Every name can be used in every client."""
        self.assertRegex(public_name(server, name), LEGAL)

    @settings(max_examples=100, deadline=None)
    @given(st.sets(st.tuples(st.one_of(SERVERS, ALIKE), NAMES), min_size=2, max_size=12))
    def test_different(self, pairs: set[tuple[str, str]]) -> None:
        """No two tools have the same name."""
        by_prefix: dict[str, str] = {}
        told_apart = {p for p in pairs if by_prefix.setdefault(prefix_of(p[0]), p[0]) == p[0]}
        self.assertEqual(len({public_name(*pair) for pair in told_apart}), len(told_apart))

    @settings(max_examples=80, deadline=None)
    @given(st.one_of(SERVERS, ALIKE), NAMES)
    def test_back(self, server: str, name: str) -> None:
        """A plain name leads back to server and tool, a cut one to the server at least."""
        public = public_name(server, name)
        if is_cut(public):
            self.assertTrue(may_be_of(server, public))
        else:
            self.assertEqual(split(public), (prefix_of(server), name))
