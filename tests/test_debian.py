"""What tests do without a program that they need: they are skipped, and in CI they fail."""

from __future__ import annotations

import os
import shutil
from unittest import SkipTest, mock

from twisted.trial.unittest import SynchronousTestCase

from tests.debian import DebianProgram

PROGRAM = DebianProgram("things", ("thing", "thing2"), "tests.things")


class NeededTests(SynchronousTestCase):
    def needed(self, *there: str, ci: bool) -> str:
        """What a test gets on a machine that has the programs *there*."""
        paths = {name: f"/usr/bin/{name}" for name in there}
        with (
            mock.patch.object(shutil, "which", paths.get),
            mock.patch.dict(os.environ, {"CI": "true" if ci else ""}),
        ):
            return PROGRAM.needed()

    def test_found(self) -> None:
        """The first of its names that there is."""
        for ci in (False, True):
            self.assertEqual(self.needed("thing", "thing2", ci=ci), "/usr/bin/thing")
            self.assertEqual(self.needed("thing2", ci=ci), "/usr/bin/thing2")

    def test_missing(self) -> None:
        """A person is told what is missing and how it gets there, and the test is skipped."""
        said = str(self.assertRaises(SkipTest, self.needed, "other", ci=False))
        self.assertIn("thing is not on PATH: Debian's package things has it", said)
        self.assertIn("python -m tests.things", said)

    def test_missing_in_ci(self) -> None:
        """There it is a failure that names the package."""
        said = str(self.assertRaises(AssertionError, self.needed, ci=True))
        self.assertIn("Debian's package things", said)
