"""The ``[auth.people]`` section."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from mcptwist.configuration.peopleconfig import People, people_table
from mcptwist.configuration.settings import Ledger


def read(value: Any) -> tuple[People | None, list[str]]:
    """What comes of a value, and what is said of it."""
    ledger = Ledger({})
    found = people_table(ledger.place("auth", "people"), value)
    return found, [str(mistake) for mistake in ledger.mistakes]


class PeopleTests(SynchronousTestCase):
    def test_on_and_off(self) -> None:
        for value, found in ((True, People()), ({}, People()), (False, None)):
            self.assertEqual(read(value), (found, []))
        self.assertIn("is a string", read("yes")[1][0])

    def test_redirects(self) -> None:
        good = ["https://claude.ai", "https://a.example:8443", "cursor://anysphere.x", "vscode://b"]
        found, mistakes = read({"redirects": good})
        assert found is not None
        self.assertEqual((found.redirects, mistakes), (tuple(good), []))

    def test_the_usual_port(self) -> None:
        """Browsers leave it out, and so do clients."""
        found, _ = read({"redirects": "https://claude.ai:443"})
        assert found is not None
        self.assertEqual(found.redirects, ("https://claude.ai",))

    def test_nowhere(self) -> None:
        """No scheme of the browser's own, no path, nothing that is no host."""
        for value in (
            "http://claude.ai",
            "http://localhost",
            "javascript://x",
            "data://x",
            "file://x",
            "blob://x",
            "view-source://x",
            "https://claude.ai/cb",
            "https://*.claude.ai",
            "https://a@b.example",
            "https://",
            "https:",
            "HTTPS://CLAUDE.AI",
            "claude.ai",
            "*",
            "",
            7,
        ):
            found, mistakes = read({"redirects": [value]})
            self.assertIsNone(found, value)
            self.assertEqual(len(mistakes), 1, value)

    def test_times(self) -> None:
        found, _ = read({"approval_ttl": "2m", "login_ttl": "none"})
        assert found is not None
        self.assertEqual((found.approval_ttl, found.login_ttl), (120.0, None))
        for wrong in ({"approval_ttl": "1s"}, {"approval_ttl": "2h"}, {"login_ttl": 0}):
            self.assertIn("is out of range", read(wrong)[1][0])

    def test_numbers(self) -> None:
        for name in ("waiting", "waiting_per_source", "tries", "logins", "logins_per_key"):
            self.assertIn("is out of range", read({name: 0})[1][0])
        self.assertIn("is not a key we know", read({"login": 1})[1][0])
