"""``mcptwist.logs``: from which level on, and in which form."""

from __future__ import annotations

import json
import os
from io import StringIO
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as some
from twisted.logger import ILogObserver, LogLevel
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from mcptwist import logs


def event(**more: Any) -> dict[str, Any]:
    return {
        "log_time": 1_700_000_000.25,
        "log_level": LogLevel.warn,
        "log_namespace": "mcptwist.child.Launcher",
        "log_format": "{server} ended with {status}",
        **more,
    }


class Unprintable:
    """Fails when it is to be shown."""

    def __str__(self) -> str:
        raise ValueError("secret")


class JsonTests(SynchronousTestCase):
    """JSON lines."""

    def line(self, **more: Any) -> dict[str, Any]:
        """What one event becomes, read again."""
        file = StringIO()
        observer = logs.JsonLines(file)
        verifyObject(ILogObserver, observer)
        observer(event(**more))
        text = file.getvalue()
        self.assertEqual((text.count("\n"), text[-1]), (1, "\n"))
        found: dict[str, Any] = json.loads(text)
        return found

    def test_event(self) -> None:
        """Time, level, system, message, and the event's own fields."""
        self.assertEqual(
            self.line(server="time", status=3, tail=["a", b"\xff"]),
            {
                "time": "2023-11-14T22:13:20.250+00:00",
                "level": "warn",
                "system": "mcptwist.child.Launcher",
                "message": "time ended with 3",
                "server": "time",
                "status": 3,
                "tail": ["a", "\\xff"],
            },
        )

    def test_fields_that_look_like_ours(self) -> None:
        """A field cannot pass for the time or the level of the event."""
        found = self.line(server="s", status=1, level="critical", time="never", message="x")
        self.assertEqual((found["level"], found["message"]), ("warn", "s ended with 1"))

    def test_line_ends(self) -> None:
        """Text from elsewhere cannot begin a line of its own."""
        found = self.line(server='a\n{"level":"critical"}\r', status="\u2028")
        self.assertEqual(found["server"], 'a\n{"level":"critical"}\r')

    def test_failure(self) -> None:
        """A failure comes with its traceback."""
        try:
            raise ZeroDivisionError("no")
        except ZeroDivisionError:
            found = self.line(server="s", status=1, log_failure=Failure())
        self.assertIn("ZeroDivisionError: no", found["failure"])

    def test_legacy(self) -> None:
        """An event of the old logger has no level, and its text is the message."""
        file = StringIO()
        logs.JsonLines(file)({"log_time": 0.0, "log_format": "{log_text}", "log_text": "old"})
        found = json.loads(file.getvalue())
        self.assertEqual((found["level"], found["message"], found["system"]), ("info", "old", "-"))

    def test_long(self) -> None:
        """A field may be only so long."""
        self.assertEqual(len(self.line(server="x" * 100_000, status=1)["server"]), 64 * 1024)

    def test_strange_fields(self) -> None:
        """Whatever a field is, a line comes of it; why one could not be written tells no secret."""
        endless: list[Any] = []
        endless.append(endless)
        for value in (
            object(), {1: {2: {3}}}, float("nan"), 2**100, "\ud800", Failure, endless,
            Unprintable(),
        ):  # fmt: skip
            found = self.line(server="s", status=value)
            self.assertNotIn("secret", json.dumps(found))
            self.assertIn("level", found)

    @settings(deadline=None, max_examples=60)
    @given(some.dictionaries(some.text(max_size=8), some.text() | some.binary() | some.floats()))
    def test_any_fields(self, fields: dict[str, Any]) -> None:
        """Any fields give one line of JSON."""
        json.loads(logs.json_line({**fields, **event(log_format="x")}))


class LevelTests(SynchronousTestCase):
    """From which level on."""

    def test_from(self) -> None:
        """That one and those above; events without one count as info."""
        for level, expected in (
            ("debug", ["debug", "info", None, "warn", "error", "critical"]),
            ("info", ["info", None, "warn", "error", "critical"]),
            ("warn", ["warn", "error", "critical"]),
            ("critical", ["critical"]),
        ):
            passed: list[Any] = []
            observer = logs.FromLevel(passed.append, level)
            for name in ("debug", "info", None, "warn", "error", "critical"):
                observer({"log_level": LogLevel.lookupByName(name)} if name else {})
            found = [e["log_level"].name if e else None for e in passed]
            self.assertEqual(found, expected)

    def test_forms(self) -> None:
        """Both forms, from a level on."""
        for form, check in (("text", "mcptwist.child"), ("json", '"level":"warn"')):
            file = StringIO()
            observer = logs.observer("warn", form, file)
            verifyObject(ILogObserver, observer)
            observer(event(server="s", status=1))
            observer(event(server="s", status=1, log_level=LogLevel.info))
            self.assertIn(check, file.getvalue())
            self.assertEqual(file.getvalue().count("\n"), 1)

    def test_for_twistd(self) -> None:
        """``twistd --logger mcptwist.logs.json_lines``."""
        file = StringIO()
        logs.json_lines(file)(event(server="s", status=1))
        self.assertEqual(json.loads(file.getvalue())["server"], "s")
        verifyObject(ILogObserver, logs.json_lines())


class FileTests(SynchronousTestCase):
    """Where twistd would write."""

    def test_named(self) -> None:
        """The file that was named, else twistd's own; it can be rotated."""
        path = self.mktemp()
        file = logs.log_file(path, True)
        self.addCleanup(file.close)
        file.write("x")
        self.assertTrue(os.path.exists(path))
        self.assertTrue(hasattr(file, "rotate"))

    def rotated(self, moved: bool, made: bool) -> dict[str, str]:
        """What the files beside it hold after a new one was begun, and something written."""
        folder = Path(self.mktemp())
        folder.mkdir()
        path = folder / "log"
        file = logs.log_file(str(path), True)
        self.addCleanup(file.close)
        file.write("old")
        if moved:
            path.rename(folder / "log-2026")
        if made:
            path.write_text("")
        file.rotate()
        file.write("new")
        return {each.name: each.read_text() for each in folder.iterdir()}

    def test_rotated(self) -> None:
        self.assertEqual(self.rotated(False, False), {"log": "new", "log.1": "old"})

    def test_rotated_after_somebody_moved_it(self) -> None:
        """As logrotate does, with and without ``create``."""
        for made in (False, True):
            self.assertEqual(self.rotated(True, made), {"log": "new", "log-2026": "old"})

    def test_where_none_can_be_begun_the_old_one_goes_on(self) -> None:
        folder = Path(self.mktemp())
        folder.mkdir()
        file = logs.log_file(str(folder / "log"), True)
        self.addCleanup(file.close)
        (folder / "log").rename(folder / "old")
        self.patch(os, "access", lambda *_: False)
        file.rotate()
        file.write("still")
        self.assertEqual((folder / "old").read_text(), "still")

    def test_standard_output(self) -> None:
        """In the foreground, or where it was asked for."""
        import sys

        self.assertIs(logs.log_file("", True), sys.stdout)
        self.assertIs(logs.log_file("-", False), sys.stdout)
