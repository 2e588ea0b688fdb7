"""Autobahn's test-suite for RFC 6455, put to our WebSockets."""

from __future__ import annotations

import sys

from tests.interop.install import CHECKOUT
from tests.interop.rig import InteropCase
from tests.patience import SECONDS

#: All sections that are about what is right; the others measure time, or are about compression.
SECTIONS = ("1_", "2_", "3_", "4_", "5_", "6_", "7_", "10_")


class AutobahnTests(InteropCase):
    environments = ("autobahn",)

    async def test_rules(self) -> None:
        """Every case passes, some by doing better than they ask."""
        self.environ = {"PYTHONPATH": str(CHECKOUT)}
        argv = [sys.executable, "-m", "tests.interop.autobahn", *SECTIONS]
        ending = await self.run_program(argv, 4 * SECONDS)
        self.assertEqual(ending.out, "247 of 247 cases are good\n", ending.said())
