"""Servers that a configuration names are found, or it is said why not."""

import sys
from types import ModuleType
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.errors import ServerStartFailed
from mcptwist.server import (
    Server,
)
from mcptwist.serving.loading import load_server


class LoadingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.module = module = ModuleType("mcptwist_loading")
        self.server = module.server = Server("a")  # type: ignore[attr-defined]
        module.make = lambda: self.server  # type: ignore[attr-defined]
        module.broken = lambda: 1 / 0  # type: ignore[attr-defined]
        module.number = 3  # type: ignore[attr-defined]
        sys.modules["mcptwist_loading"] = module
        self.addCleanup(sys.modules.pop, "mcptwist_loading")

    def test_found(self) -> None:
        """A server, or a function that returns one."""
        for attribute in ("server", "make"):
            self.assertIs(self.server, load_server(f"mcptwist_loading:{attribute}", self.clock))

    def test_clock(self) -> None:
        """A function that wants a clock is given it."""
        given: list[Any] = []

        def make(clock: Any) -> Server:
            given.append(clock)
            return self.server

        self.module.make = make  # type: ignore[attr-defined]
        load_server("mcptwist_loading:make", self.clock)
        self.assertEqual([self.clock], given)

    def test_not_found(self) -> None:
        """What is wrong with it is said."""
        for where, words in (
            ("mcptwist_loading", "package.module:attribute"),
            (":server", "package.module:attribute"),
            ("mcptwist_loading:", "package.module:attribute"),
            ("mcptwist_nowhere:server", "ModuleNotFoundError"),
            ("mcptwist_loading:nothing", "has no nothing"),
            ("mcptwist_loading:number", "is a int"),
            ("mcptwist_loading:broken", "ZeroDivisionError"),
        ):
            problem = self.assertRaises(ServerStartFailed, load_server, where, self.clock)
            self.assertIn(words, problem.message)
