"""Tests of mcptwist.protocols.limits and refusals: that they are complete, and documented."""

from __future__ import annotations

import json
from pathlib import Path

from msgspec.structs import fields
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.protocols.limits import Counters, Limits
from mcptwist.protocols.refusals import ALL, FOREIGN_HOST

PAGE = Path(__file__).parents[2] / "docs" / "http-front.rst"


class CountersTests(SynchronousTestCase):
    """What happened, in numbers."""

    def test_refusals_are_counted_by_code(self) -> None:
        counters = Counters()
        counters.count(FOREIGN_HOST)
        counters.requests += 2
        counts = counters.snapshot()
        self.assertEqual((counts["refused.foreign-host"], counts["requests"]), (1, 2))
        self.assertEqual(sum(counts.values()), 3)


class RefusalTests(SynchronousTestCase):
    """What is said to whom is refused."""

    def test_body(self) -> None:
        for code, refusal in ALL.items():
            error = json.loads(refusal.body())["error"]
            self.assertEqual(error, {"code": code, "message": refusal.message})
            self.assertTrue(refusal.message.endswith("."), code)


class PageTests(SynchronousTestCase):
    """The documentation knows every limit with its default, every counter, every refusal."""

    def setUp(self) -> None:
        self.text = PAGE.read_text("utf-8")

    def test_limits(self) -> None:
        for field in fields(Limits):
            value = field.default
            if isinstance(value, float):
                said = f"{value:g} s"
            else:
                said = next(
                    f"{value // size} {unit}".strip()
                    for size, unit in [(1 << 20, "MiB"), (1 << 10, "KiB"), (1, "")]
                    if (value % size == 0 and field.name != "connections") or size == 1
                )
            self.assertIn(f"* - ``{field.name}``\n     - {said}\n", self.text)

    def test_counters(self) -> None:
        for name in Counters.__slots__:
            self.assertIn(f"``{name}``", self.text)

    def test_refusals(self) -> None:
        for code in ALL:
            self.assertIn(f"``{code}``", self.text)
