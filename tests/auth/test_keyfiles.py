"""Key files on disk: read again when they change, and not believed when others could write them."""

from __future__ import annotations

import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from mcptwist.auth.audit import Audit
from mcptwist.auth.authorizedkeys import Grant
from mcptwist.auth.keyfiles import FileProblem, KeyFiles, read_strictly
from mcptwist.auth.keyring import Keyring
from tests.auth.people import NOW, key


class KeyFilesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.place = Path(self.mktemp())
        self.place.mkdir(mode=0o700)
        self.authorized = self.place / "authorized_keys"
        self.revoked = self.place / "revoked_keys"
        self.keyring = Keyring(lambda: NOW)
        self.withdrawn: list[str] = []
        self.keyring.when_withdrawn(self.hear)
        self.audit = Audit(lambda: NOW)
        self.put(self.authorized, "alice", "bob")
        self.files = KeyFiles(str(self.authorized), str(self.revoked), self.keyring, self.audit)

    def hear(self, grant: Grant, why: str) -> None:
        self.withdrawn.append(f"{grant.principal} {why}")

    def text(self, *names: str) -> str:
        return "".join(f"{key(name).public.words()} {name}\n" for name in names)

    def put(self, path: Path, *names: str, text: str = "") -> None:
        """In its place, as ``rename`` does."""
        new = self.place / "new"
        new.write_text(self.text(*names) + text)
        new.chmod(0o600)
        os.replace(new, path)

    def names(self) -> list[str]:
        return sorted(grant.principal for grant in self.keyring)

    def test_loaded(self) -> None:
        self.files.load()
        self.assertEqual(self.names(), ["alice", "bob"])

    def test_replaced(self) -> None:
        """Another file in its place is read at the next look."""
        self.files.load()
        self.put(self.authorized, "bob", "carol")
        self.files.look()
        self.assertEqual(self.names(), ["bob", "carol"])
        self.assertEqual(self.withdrawn, ["alice removed"])

    def test_being_written(self) -> None:
        """A file that is being written to is read when it has been left alone for a look."""
        self.files.load()
        self.authorized.write_text("")
        self.files.look()
        self.assertEqual(self.names(), ["alice", "bob"])
        self.authorized.write_text(self.text("bob"))
        self.files.look()
        self.assertEqual(self.names(), ["alice", "bob"])
        self.files.look()
        self.assertEqual(self.names(), ["bob"])

    def test_reload_storm(self) -> None:
        """G18: never an empty or half-read state."""
        self.files.load()
        for number in range(200):
            self.put(self.authorized, "alice", f"n{number % 5}")
            self.files.look()
            self.assertIn("alice", self.names())
            self.assertEqual(len(self.names()), 2)
        self.assertNotIn("alice removed", self.withdrawn)

    def test_deleted(self) -> None:
        """Without the file nobody comes in, as soon as it is sure that it is not being replaced."""
        self.files.load()
        self.authorized.unlink()
        self.files.look()
        self.assertEqual(self.names(), ["alice", "bob"])
        self.files.look()
        self.assertEqual(self.names(), [])
        self.put(self.authorized, "alice")
        self.files.look()
        self.files.look()
        self.assertEqual(self.names(), ["alice"])

    def test_revoked(self) -> None:
        self.files.load()
        self.put(self.revoked, text=key("alice").public.fingerprint)
        self.files.look()
        self.files.look()
        self.assertEqual((self.names(), self.withdrawn), (["bob"], ["alice revoked"]))

    def test_revocations_are_not_forgotten(self) -> None:
        """Neither when the file goes, nor when it cannot be understood."""
        self.put(self.revoked, text=key("alice").public.fingerprint)
        self.files.load()
        self.revoked.unlink()
        self.files.look()
        self.files.look()
        self.assertEqual(self.names(), ["bob"])
        self.assertIn("stays revoked", self.files.problem)
        self.put(self.revoked, text="nonsense")
        self.files.look()
        self.files.look()
        self.assertEqual(self.names(), ["bob"])
        self.assertIn("line 1", self.files.problem)
        self.put(self.revoked, text="# nobody")
        self.files.look()
        self.assertEqual((self.names(), self.files.problem), (["alice", "bob"], ""))

    def test_what_cannot_be_believed_changes_nothing(self) -> None:
        """A4: at a reload the last good state stays, and it is told once, not at every look."""
        self.files.load()
        self.put(self.authorized, "mallory")
        self.authorized.chmod(0o666)
        for _ in range(5):
            self.files.look()
        self.assertEqual(self.names(), ["alice", "bob"])
        self.assertIn("chmod", self.files.problem)
        self.assertEqual(self.audit.counts["auth.keys.reload_failed"], 1)
        self.authorized.chmod(0o600)
        self.files.look()
        self.files.look()
        self.assertEqual((self.names(), self.files.problem), (["mallory"], ""))

    def test_each_for_itself(self) -> None:
        """Who is revoked is out, whatever becomes of the other file in the same moment."""
        self.files.load()
        self.put(self.authorized, "alice", "mallory")
        self.authorized.chmod(0o666)
        self.put(self.revoked, text=key("alice").public.fingerprint)
        self.files.look()
        self.files.look()
        self.assertEqual((self.names(), self.withdrawn), (["bob"], ["alice revoked"]))
        self.assertIn("authorized_keys can be written", self.files.problem)

    def test_the_other_for_itself(self) -> None:
        self.files.load()
        self.put(self.revoked, text="nonsense")
        self.put(self.authorized, "carol")
        self.files.look()
        self.files.look()
        self.assertEqual(self.names(), ["carol"])
        self.assertIn("line 1", self.files.problem)

    def test_both_at_once(self) -> None:
        """A key that is put in both was never let in in between."""
        self.put(self.revoked, text="# nobody")
        self.files.load()
        come: list[str] = []
        self.keyring.when_withdrawn(lambda grant, why: come.append(grant.principal))
        self.put(self.authorized, "alice", "bob", "mallory")
        self.put(self.revoked, text=key("mallory").public.fingerprint)
        self.files.look()
        self.files.look()
        self.assertEqual((self.names(), come), (["alice", "bob"], []))

    def test_start(self) -> None:
        """A4: at the start, nothing is believed, and the daemon does not start."""
        self.authorized.chmod(0o620)
        self.assertRaises(FileProblem, self.files.load)
        self.authorized.chmod(0o600)
        self.place.chmod(0o770)
        self.assertRaises(FileProblem, self.files.load)
        self.place.chmod(0o700)
        self.files.load()
        self.authorized.unlink()
        self.assertRaises(FileProblem, self.files.load)

    def test_bad_lines(self) -> None:
        """They are told of; the others count."""
        self.put(self.authorized, "alice", text='command="sh" ssh-rsa AAAA\n')
        self.files.load()
        self.assertEqual(self.names(), ["alice"])
        self.assertEqual(self.audit.counts["auth.keys.line_refused"], 1)
        self.put(self.revoked, "carol")
        for _ in range(2):
            self.files.look()
        self.assertEqual(self.audit.counts["auth.keys.loaded"], 2)
        self.assertEqual(self.audit.counts["auth.keys.line_refused"], 1)  # it is told once

    def test_strictly(self) -> None:
        file = self.place / "secret"
        file.write_text("x")
        file.chmod(0o644)
        self.assertEqual(read_strictly(str(file)), "x")
        self.assertRaises(FileProblem, read_strictly, str(file), True)
        file.chmod(0o600)
        self.assertEqual(read_strictly(str(file), True), "x")
        file.write_bytes(b"\xff")
        self.assertRaises(FileProblem, read_strictly, str(file))
        file.write_bytes(b"x" * (5 << 20))
        self.assertRaises(FileProblem, read_strictly, str(file))
        self.assertRaises(FileProblem, read_strictly, str(self.place))

    def test_of_another(self) -> None:
        """A file that belongs to somebody else may change at any time."""
        file = self.place / "theirs"
        file.write_text("x")
        file.chmod(0o600)
        if os.geteuid() == 0:
            os.chown(file, 12345, -1)
        somebody = os.geteuid() + 1
        self.assertRaises(FileProblem, read_strictly, str(file), False, lambda: somebody)
