"""The table of attacks names tests that there are, and leaves none of the catalogue out."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any
from unittest import TestCase

from twisted.trial.unittest import SynchronousTestCase

from tests.auth.attacks import CANNOT_HAPPEN, MADE

ROOT = Path(__file__).resolve().parents[2]
#: How many attacks there are of each letter.
NUMBERS = {
    "A": (1, 6), "B": (1, 12), "C": (1, 20), "D": (1, 9), "E": (1, 7), "F": (1, 7), "G": (13, 20),
    "H": (1, 12),
}  # fmt: skip


def found(name: str) -> Any:
    """What a dotted name stands for: a module, a class in one, or a method of one."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            thing: Any = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for part in parts[length:]:
            thing = getattr(thing, part)
        return thing
    raise AssertionError(f"{name} is nowhere")


def makes_tests(thing: Any) -> bool:
    """Whether there is a test in it, or it is what tests call."""
    if callable(thing) and not isinstance(thing, type):
        return True
    if isinstance(thing, type):
        return issubclass(thing, TestCase) and any(name.startswith("test") for name in dir(thing))
    return any(makes_tests(each) for each in vars(thing).values() if isinstance(each, type))


class TableTests(SynchronousTestCase):
    def test_complete(self) -> None:
        told = {name.split()[0] for name in (*MADE, *CANNOT_HAPPEN)}
        wanted = {f"{letter}{number}" for letter, (first, last) in NUMBERS.items()
                  for number in range(first, last + 1)}  # fmt: skip
        self.assertEqual(told, wanted)

    def test_once(self) -> None:
        told = [name.split()[0] for name in (*MADE, *CANNOT_HAPPEN)]
        self.assertEqual(len(told), len(set(told)))

    def test_page(self) -> None:
        """What the page about threats names in brackets is there, too."""
        page = ROOT / "docs" / "auth" / "threats.rst"
        named = {name.strip() for names in re.findall(r"\[(test_[^]]*)\]", page.read_text())
                 for name in names.replace("\n", " ").split(",")}  # fmt: skip
        there = {path.stem for path in (ROOT / "tests").rglob("test_*.py")}
        self.assertEqual(named - there, set())
        self.assertGreater(len(named), 10)

    def test_there(self) -> None:
        for attack, tests in MADE.items():
            self.assertTrue(tests, attack)
            for name in tests:
                self.assertTrue(makes_tests(found(name)), name)
