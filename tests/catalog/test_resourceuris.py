"""What resources are called where several servers have the same."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as some
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.catalog.resourceuris import prefixed, split

SERVERS = some.from_regex(r"[A-Za-z0-9_.\-]{1,64}", fullmatch=True)


class PrefixTests(SynchronousTestCase):
    def test_form(self) -> None:
        """It is a URI, whatever the server's own is."""
        self.assertEqual(prefixed("notes", "file:///a?b#c"), "mcptwist:notes/file:///a?b#c")

    @settings(max_examples=50, deadline=None)
    @given(SERVERS, some.text(min_size=1))
    def test_reversible(self, server: str, uri: str) -> None:
        """Server and URI are found again, also in what was prefixed twice."""
        self.assertEqual(split(prefixed(server, uri)), (server, uri))
        twice = prefixed("x", prefixed(server, uri))
        self.assertEqual(split(twice), ("x", prefixed(server, uri)))

    def test_not_prefixed(self) -> None:
        """What has no server, or no URI after it, was not made here."""
        for uri in ("file:///a", "mcptwist:", "mcptwist:a", "mcptwist:a/", "mcptwist:///a", ""):
            self.assertIsNone(split(uri), uri)
