"""What the interop tests stand on can be stood on: it notices what it is there to notice."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar
from unittest import mock

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests.interop import install, rig
from tests.interop.rig import Hurry, InteropCase, marked
from tests.interop.test_conformance import Check, shortcomings
from tests.patience import SECONDS

FOREVER = "import time; print('here', flush=True); time.sleep(600)"


class ProgramTests(InteropCase):
    environments: ClassVar[Sequence[str]] = ()

    async def test_end(self) -> None:
        """How a program ended, and what it said."""
        said = "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"
        ending = await self.run_program([sys.executable, "-c", said])
        self.assertEqual((ending.code, ending.out, ending.err), (3, "out\n", "err\n"))

    async def test_said(self) -> None:
        """What a program says is waited for, also when it has been said before."""
        program = self.start([sys.executable, "-c", FOREVER])
        for _ in range(2):
            heard = await program.when_said("h(.)re", SECONDS)
            self.assertEqual(heard.group(1), "e")

    async def test_never_said(self) -> None:
        """A program that ends without the awaited words is an error at once."""
        program = self.start([sys.executable, "-c", "print('something else')"])
        error = await self.assertFailure(program.when_said("h(.)re", SECONDS), Hurry)
        self.assertIn("something else", str(error))

    async def test_too_slow(self) -> None:
        """A program that outstays its time is killed, and its words are in the error."""
        program = self.start([sys.executable, "-c", FOREVER])
        await program.when_said("here", SECONDS)
        error = await self.assertFailure(program.when_ended(within=0.01), Hurry)
        self.assertIn("here", str(error))
        self.assertEqual((await program.when_ended(SECONDS)).code, -9)

    async def test_left_behind(self) -> None:
        """What a program leaves behind is found, and fails the test that left it."""
        if not os.path.exists("/proc/self/environ"):
            raise SkipTest("needs /proc to look at processes")
        leaving = (
            "import subprocess, sys;"
            f"subprocess.Popen([sys.executable, '-c', {FOREVER!r}], stdout=subprocess.DEVNULL,"
            " start_new_session=True)"
        )
        await self.run_program([sys.executable, "-c", leaving])
        self.assertEqual(len(list(marked(self.mark))), 1)
        self.patch(rig, "SECONDS_TO_VANISH", 0.0)
        with self.assertRaises(self.failureException) as caught:
            await self.nothing_left()
        self.assertIn("time.sleep(600)", str(caught.exception))


class RequirementTests(SynchronousTestCase):
    """What happens where something is missing."""

    def require(self, *, npm: bool, ci: bool) -> None:
        case = InteropCase("run_program")
        which = "/usr/bin/npm" if npm else None
        with (
            mock.patch.object(install.Environment, "is_installed", return_value=False),
            mock.patch.object(shutil, "which", return_value=which),
            mock.patch.dict(os.environ, {"CI": "true" if ci else ""}),
        ):
            case.require("node")

    def test_without_node(self) -> None:
        """Without Node.js the test is skipped, and says what is missing."""
        error = self.assertRaises(SkipTest, self.require, npm=False, ci=False)
        self.assertIn("npm is not on PATH", str(error))

    def test_without_node_in_ci(self) -> None:
        """In CI nothing is skipped."""
        self.assertRaises(self.failureException, self.require, npm=False, ci=True)

    def test_not_installed(self) -> None:
        """With Node.js, but nothing installed, the test fails, and says what to run."""
        error = self.assertRaises(self.failureException, self.require, npm=True, ci=False)
        self.assertIn("python -m tests.interop.install", str(error))


class StampTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.made: list[str] = []
        self.said: list[str] = []
        self.patch(install, "say", self.said.append)
        self.patch(install, "HOME", Path(self.mktemp()))
        self.environment = install.Environment("x", ("python1.txt",), self.make)

    def make(self, environment: install.Environment) -> None:
        self.made.append(environment.name)

    def test_installed_once(self) -> None:
        """What is up to date is left alone."""
        self.assertTrue(install.bring_up(self.environment))
        self.assertTrue(install.bring_up(self.environment))
        self.assertEqual(self.made, ["x"])

    def test_installed_again(self) -> None:
        """Other pins, another environment."""
        install.bring_up(self.environment)
        pinned_otherwise = install.Environment("x", ("python2.txt",), self.make)
        self.assertFalse(pinned_otherwise.is_installed())
        install.bring_up(pinned_otherwise)
        self.assertEqual(self.made, ["x", "x"])

    def test_interrupted(self) -> None:
        """An environment that was not finished does not pass for one."""

        def fail(environment: install.Environment) -> None:
            raise install.InstallError("no network")

        broken = install.Environment("x", ("python1.txt",), fail)
        self.assertFalse(install.bring_up(broken))
        self.assertFalse(broken.is_installed())
        self.assertIn("interop: no network", self.said)


class ShortcomingTests(SynchronousTestCase):
    def found(self, *statuses: str) -> list[str]:
        checks = [Check("tools-list", f"check-{s}", s, "a message", {"a": 1}) for s in statuses]
        return list(shortcomings("tools-list", checks))

    def test_passed(self) -> None:
        """Success is enough; what is only informative does not matter."""
        self.assertEqual(self.found("SUCCESS", "INFO", "SKIPPED"), [])

    def test_failed(self) -> None:
        """Failures and warnings are reported by name, with the message."""
        failures = self.found("SUCCESS", "FAILURE", "WARNING")
        self.assertEqual(len(failures), 2)
        self.assertIn("tools-list / check-FAILURE: FAILURE: a message", failures[0])

    def test_not_run(self) -> None:
        """A scenario without a success did not pass."""
        self.assertEqual(self.found(), ["tools-list: no check succeeded"])
        self.assertEqual(self.found("SKIPPED"), ["tools-list: no check succeeded"])
