"""``docs/errors.rst`` has every error there is, with the numbers it has."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import mcptwist
from mcptwist.errors import McpTwistError
from mcptwist.protocols import refusals

PAGE = Path(__file__).resolve().parents[1] / "docs" / "errors.rst"
ROW = re.compile(
    r"^   \* - (?P<codes>.+)\n     - (?P<status>\d+)\n(?:     - (?P<rpc>-\d+)\n)?", re.M
)


def kinds(of: type[McpTwistError] = McpTwistError) -> Iterator[type[McpTwistError]]:
    """Every class of errors that the package defines."""
    yield of
    for kind in of.__subclasses__():
        if kind.__module__.startswith("mcptwist"):
            yield from kinds(kind)


def rows(page: str) -> dict[str, set[tuple[int, int | None]]]:
    """The statuses and JSON-RPC codes that the page gives a code."""
    found: dict[str, set[tuple[int, int | None]]] = {}
    for row in ROW.finditer(page):
        numbers = int(row["status"]), int(row["rpc"]) if row["rpc"] else None
        for code in re.findall("``(.+?)``", row["codes"]):
            found.setdefault(code, set()).add(numbers)
    return found


class PageTests(SynchronousTestCase):
    """The page against the classes."""

    def setUp(self) -> None:
        self.page = PAGE.read_text(encoding="utf-8")
        self.rows = rows(self.page)
        for module in pkgutil.walk_packages(mcptwist.__path__, "mcptwist."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)

    def test_errors(self) -> None:
        """Each code of an error is there; its numbers are those of one of its classes."""
        there: dict[str, set[tuple[int, int | None]]] = {}
        for kind in kinds():
            there.setdefault(kind.code, set()).add((kind.status, kind.rpc_code))
        missing = {
            code for code, numbers in there.items() if not numbers & self.rows.get(code, set())
        }
        self.assertEqual(missing, set())

    def test_refusals(self) -> None:
        """So is each of what the HTTP front says no to."""
        all_of_them = [r for r in vars(refusals).values() if isinstance(r, refusals.Refusal)]
        self.assertGreater(len(all_of_them), 20)
        missing = [r.code for r in all_of_them if (r.status, None) not in self.rows.get(r.code, ())]
        self.assertEqual(missing, [])

    def test_nothing_else(self) -> None:
        """Nothing is there that nobody says."""
        codes = {kind.code for kind in kinds()}
        codes |= {r.code for r in vars(refusals).values() if isinstance(r, refusals.Refusal)}
        self.assertEqual(set(self.rows) - codes, set())
