"""The conversations of the documentation are what is said."""

from __future__ import annotations

import re

from twisted.trial.unittest import SynchronousTestCase

from tests.conversations.recorded import CONVERSATIONS, FOLDER


class RecordedTests(SynchronousTestCase):
    maxDiff = None

    def test_as_documented(self) -> None:
        """Had again, each is word for word the one that is shown.

        Where a change is meant, ``python -m tests.conversations.recorded`` writes them anew.
        """
        for name, have in CONVERSATIONS.items():
            shown = (FOLDER / f"{name}.txt").read_text(encoding="utf-8")
            self.assertEqual(have().split("\n"), shown.split("\n"), name)

    def test_all_are_shown(self) -> None:
        """Each is on a page, and no page shows one that is not had."""
        pages = "\n".join(page.read_text("utf-8") for page in FOLDER.parent.glob("*.rst"))
        shown = re.findall(r"literalinclude:: conversations/(.+)\.txt", pages)
        self.assertEqual(sorted(shown), sorted(CONVERSATIONS))
        self.assertEqual({path.stem for path in FOLDER.iterdir()}, set(CONVERSATIONS))
