"""The audit log: a line for each event, whatever is in it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.logger import LogEvent, Logger, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.auth import audit
from mcptwist.auth.audit import Audit, AuditFile
from mcptwist.auth.authorizedkeys import Grant, read_line
from mcptwist.auth.denials import CannotStart
from tests.auth.people import key


class AuditTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.lines: list[bytes] = []
        self.audit = Audit(lambda: 1_800_000_000.25, self.lines.append)

    def test_line(self) -> None:
        self.audit.tell("auth.token.issued", principal="alice", scope={"b", "a"}, none=None)
        expected = {
            "ts": "2027-01-15T08:00:00.250Z",
            "event": "auth.token.issued",
            "principal": "alice",
            "scope": ["a", "b"],
        }
        self.assertEqual(json.loads(self.lines[0]), expected)
        self.assertEqual(self.audit.counts, {"auth.token.issued": 1})

    @settings(max_examples=200, deadline=None)
    @given(st.text(max_size=500), st.binary(max_size=50))
    def test_injection(self, text: str, data: bytes) -> None:
        """F7: one line each, of printable characters, and not for ever."""
        self.lines.clear()
        self.audit.tell("e", text=text, data=data, items={text}, rows=(text, [data]))
        (line,) = self.lines
        self.assertEqual(line.count(b"\n"), 1)
        self.assertTrue(line.endswith(b"\n"))
        said = json.loads(line)
        row, (inner,) = said["rows"]
        for value in (said["text"], said["data"], *said["items"], row, inner):
            self.assertTrue(value.isprintable())
        self.assertTrue(line[:-1].decode().isprintable())
        self.assertLess(len(said["text"]), 301 * 11)

    def test_terminal(self) -> None:
        self.audit.tell("e", name='a\n{"event":"auth.ok"}\x1b[2J\u202e\x85')
        expected = 'a\\u{a}{"event":"auth.ok"}\\u{1b}[2J\\u{202e}\\u{85}'
        self.assertEqual(json.loads(self.lines[0])["name"], expected)


class OwnedTests(SynchronousTestCase):
    """What others could have written is no log of ours."""

    def test_of_others(self) -> None:
        path = Path(self.mktemp())
        for mode in (0o622, 0o620, 0o602):
            path.touch()
            path.chmod(mode)
            self.assertRaises(CannotStart, AuditFile, str(path))
        path.chmod(0o640)
        AuditFile(str(path)).close()
        if os.geteuid() == 0:
            os.chown(path, 12345, -1)
            self.assertRaises(CannotStart, AuditFile, str(path))

    def test_links(self) -> None:
        """Nobody has us write into another file of ours."""
        path, other = Path(self.mktemp()), Path(self.mktemp())
        other.touch()
        path.symlink_to(other.resolve())
        self.assertRaises(CannotStart, AuditFile, str(path))
        self.assertEqual(other.read_bytes(), b"")

    def test_put_in_its_place(self) -> None:
        """While the daemon runs, that is counted, and nothing is written there."""
        path = Path(self.mktemp())
        file = AuditFile(str(path))
        self.addCleanup(file.close)
        path.unlink()
        path.touch()
        path.chmod(0o666)
        file.look()
        file.write(b"one\n")
        self.flushLoggedErrors()
        self.assertEqual((file.failures, path.read_bytes()), (1, b""))
        path.unlink()
        file.look()
        file.write(b"two\n")
        self.assertEqual((file.failures, path.read_bytes()), (1, b"two\n"))


class CallTests(SynchronousTestCase):
    """The lines of calls, which are remembered but for their time."""

    def setUp(self) -> None:
        self.lines: list[bytes] = []
        self.now = 1_800_000_000.25
        self.audit = Audit(lambda: self.now, self.lines.append)
        self.grant = self.granted("alice")

    def granted(self, name: str) -> Grant:
        """What a key of that name may do; whoever has it is called alice."""
        return read_line(f'principal="alice" {key(name).public.words()}')

    def call(self, name: str | None, method: str = "tools/call") -> None:
        self.audit.write_call("mcp.allowed", self.grant, method, name)

    @settings(max_examples=100, deadline=None)
    @given(st.one_of(st.none(), st.text(max_size=20), st.text("\x1b\nx", min_size=298)))
    def test_as_any_other(self, name: str | None) -> None:
        """Each says what it would if nothing were remembered, the first time and again."""
        self.lines.clear()
        for _ in range(2):
            self.call(name)
        said = {"principal": "alice", "key": self.grant.key.fingerprint, "method": "tools/call"}
        self.audit.write("mcp.allowed", **said, name=name)
        self.assertEqual(len(set(self.lines)), 1)

    def test_each_its_own(self) -> None:
        """Another name, another method, another time, another key: another line."""
        self.call("a")
        self.call("b")
        self.call("b", "prompts/get")
        self.now += 0.001
        self.call("b", "prompts/get")
        self.grant = self.granted("bob")
        self.call("b", "prompts/get")
        self.assertEqual(len(set(self.lines)), 5)
        self.assertEqual(self.audit.counts, {"mcp.allowed": 5})

    def test_long_names_are_not_remembered(self) -> None:
        """What a client sends may be megabytes."""
        given: list[Any] = []

        def remembered(*said: Any) -> bytes:
            given.append(said)
            return b""

        self.patch(audit, "_call_line", remembered)
        self.call("x" * 1_000_000)
        self.assertLess(len(given[0][-1]), 310)

    def test_no_file(self) -> None:
        """They are counted all the same."""
        self.audit = Audit(lambda: self.now)
        self.call("a")
        self.assertEqual(self.audit.counts, {"mcp.allowed": 1})


class FileTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = Path(self.mktemp())
        self.file = AuditFile(str(self.path))
        self.addCleanup(self.file.close)

    def test_written(self) -> None:
        self.file.write(b"one\n")
        self.assertEqual(self.path.read_bytes(), b"one\n")
        self.assertEqual(self.path.stat().st_mode & 0o777, 0o600)
        again = AuditFile(str(self.path))
        again.write(b"two\n")
        again.close()
        self.assertEqual(self.path.read_bytes(), b"one\ntwo\n")

    def test_moved_away(self) -> None:
        """As logrotate does."""
        self.file.write(b"one\n")
        os.rename(self.path, f"{self.path}.1")
        self.file.look()
        self.file.write(b"two\n")
        self.assertEqual(self.path.read_bytes(), b"two\n")
        self.file.look()
        self.file.write(b"three\n")
        self.assertEqual(self.path.read_bytes(), b"two\nthree\n")

    def test_where_it_cannot_be_it_says_why_and_what_to_do(self) -> None:
        link = Path(self.mktemp())
        link.symlink_to("/dev/null")
        directory = Path(self.mktemp())
        directory.mkdir()
        for path, told in (
            (link, "none is followed"),
            (directory / "no" / "log", "there is no directory"),
            (directory, "correct its owner and mode"),
        ):
            with self.assertRaises(CannotStart) as refused:
                AuditFile(str(path))
            self.assertIn(f"{path} cannot be written: ", str(refused.exception))
            self.assertIn(told, str(refused.exception))

    def test_cannot_be_written(self) -> None:
        """The daemon goes on; it is told of once, and again when events are written again."""
        self.file.close()
        directory = self.path.with_suffix(".away")
        path, self.file._path = self.file._path, str(directory / "log")
        told = self.logged(lambda: [self.file.look(), *map(self.file.write, [b"x\n", b"x\n"])])
        self.assertEqual(len(told), 1)
        self.assertIn("No such file", formatEvent(told[0]))
        self.assertEqual(self.file.failures, 2)
        self.file._path = path
        told = self.logged(lambda: self.file.write(b"one\n"))
        self.assertIn("events lost: 2", formatEvent(told[0]))
        self.assertEqual(self.path.read_bytes(), b"one\n")

    def test_what_a_full_disk_cut_off_stays_a_line_of_its_own(self) -> None:
        written = iter((3, 8))
        whole: list[bytes] = []

        def write(_file: int, data: bytes) -> int:
            whole.append(data[: next(written)])
            return len(whole[-1])

        self.patch(os, "write", write)
        told = self.logged(lambda: [self.file.write(line * 3 + b"\n") for line in (b"aa", b"bb")])
        self.assertEqual(b"".join(whole), b"aaa\nbbbbbb\n")
        self.assertIn("No space left", formatEvent(told[0]))
        self.assertIn("events lost: 1", formatEvent(told[1]))

    def logged(self, doing: Callable[[], object]) -> list[LogEvent]:
        """What is logged meanwhile."""
        events: list[LogEvent] = []
        self.file.log = Logger(observer=events.append)  # type: ignore[arg-type]
        doing()
        return events
