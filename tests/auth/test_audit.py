"""The audit log: a line for each event, whatever is in it."""

from __future__ import annotations

import json
import os
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.auth.audit import Audit, AuditFile


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
        self.audit.tell("e", text=text, data=data, items={text})
        (line,) = self.lines
        self.assertEqual(line.count(b"\n"), 1)
        self.assertTrue(line.endswith(b"\n"))
        said = json.loads(line)
        for value in (said["text"], said["data"], *said["items"]):
            self.assertTrue(value.isprintable())
        self.assertTrue(line[:-1].decode().isprintable())
        self.assertLess(len(said["text"]), 301 * 11)

    def test_terminal(self) -> None:
        self.audit.tell("e", name='a\n{"event":"auth.ok"}\x1b[2J\u202e\x85')
        expected = 'a\\u{a}{"event":"auth.ok"}\\u{1b}[2J\\u{202e}\\u{85}'
        self.assertEqual(json.loads(self.lines[0])["name"], expected)


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

    def test_no_link_is_followed(self) -> None:
        link = Path(self.mktemp())
        link.symlink_to("/dev/null")
        self.assertRaises(OSError, AuditFile, str(link))

    def test_cannot_be_written(self) -> None:
        """The daemon goes on; it is told of once."""
        self.file.close()
        self.file._path = "/nonexistent/audit"
        self.file.write(b"x")
        self.file.write(b"x")
        self.assertEqual(self.file.failures, 2)
