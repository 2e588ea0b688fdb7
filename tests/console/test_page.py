"""``docs/console.rst``: its screens and tables are those of the console as it is."""

from __future__ import annotations

import re

from twisted.trial.unittest import SynchronousTestCase

from tests.console.screenshots import FOLDER, PAGE, draw, rewritten

HOW = "python -m tests.console.screenshots writes it"


class PageTests(SynchronousTestCase):
    """The page and its screens."""

    def test_tables(self) -> None:
        """The keys and the commands are those of the key map."""
        page = PAGE.read_text(encoding="utf-8")
        self.assertEqual(page, rewritten(page), HOW)

    def test_screens(self) -> None:
        """Each screen is what the console draws, but for the version of the daemon."""
        for name, screen in draw().items():
            kept = (FOLDER / f"{name}.txt").read_text(encoding="utf-8")
            self.assertEqual(_unversioned(kept), _unversioned(screen), f"{name}: {HOW}")

    def test_every_screen_is_shown(self) -> None:
        """No screen is drawn for nobody, and none is shown that is not drawn."""
        page = PAGE.read_text(encoding="utf-8")
        shown = set(re.findall(r"literalinclude:: screens/(\w+)\.txt", page))
        self.assertEqual(shown, {path.stem for path in FOLDER.glob("*.txt")})


def _unversioned(screen: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"mcptwist \d[\w.…]*", "mcptwist V", screen)).strip()
