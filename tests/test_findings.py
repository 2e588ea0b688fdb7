"""What was found, as people and programs read it."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from mcptwist.findings import as_json, exit_code, fail, ok, shown, summary, warn

ALL = (ok("a", "fine"), warn("b", "odd", "look"), fail("c", "broken\nvery", "mend it"))


class FindingTests(SynchronousTestCase):
    def test_shown(self) -> None:
        text = "\n".join(map(shown, ALL))
        self.assertEqual(
            text.splitlines(),
            [
                " ok   a: fine",
                "WARN  b: odd",
                "      → look",
                "FAIL  c: broken",
                "      very",
                "      → mend it",
            ],
        )

    def test_nothing_steers_the_terminal(self) -> None:
        self.assertNotIn("\x1b", shown(fail("x", "\x1b[31m", "\x1b]0;x\x07")))

    def test_altogether(self) -> None:
        self.assertEqual((summary(ALL[:1]), exit_code(ALL[:2])), ("All is well.", 0))
        self.assertEqual(exit_code(ALL), 1)
        self.assertIn("1 to be mended, 1 to be", summary(ALL))
        self.assertEqual(
            [each["level"] for each in json.loads(as_json(ALL))], ["ok", "warn", "fail"]
        )
