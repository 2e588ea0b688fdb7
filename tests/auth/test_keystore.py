"""Keys and lists of keys in a person's files."""

from __future__ import annotations

import fcntl
import os
import stat
from base64 import b64decode, b64encode
from pathlib import Path
from textwrap import wrap

from cryptography.hazmat.primitives.serialization import load_pem_private_key
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from mcptwist.auth.keyfiles import FileProblem
from mcptwist.auth.keys import KeyProblem
from mcptwist.auth.keystore import (
    PRIVATE,
    PUBLIC,
    KeyList,
    is_line_of,
    is_revoked_by,
    key_of_certificate,
    load_private,
    load_public,
    write_new,
)
from tests.auth.people import DSA, key
from tests.protocols.tlsfront import make_pair

ALICE = key("alice").public
LINE = f"{ALICE.words()} alice@home"


class Case(SynchronousTestCase):
    """A directory of nobody else's."""

    def setUp(self) -> None:
        self.place = Path(self.mktemp())
        self.place.mkdir(mode=0o700)
        self.path = self.place / "keys"

    def mode(self, path: Path | None = None) -> int:
        return stat.S_IMODE((path or self.path).stat().st_mode)


class PrivateTests(Case):
    """A private key in a file."""

    def asked(self, answer: bytes | None) -> bytes | None:
        self.questions += 1
        return answer

    def write(self, passphrase: bytes | None = None) -> None:
        self.questions = 0
        write_new(str(self.path), key("alice").openssh(passphrase), PRIVATE)

    def test_plain(self) -> None:
        """Nobody is asked for a passphrase that there is none of."""
        self.write()
        found = load_private(str(self.path), lambda: self.asked(b"x"))
        self.assertEqual((found.public, self.questions), (ALICE, 0))

    def test_passphrase(self) -> None:
        self.write(b"open sesame")
        found = load_private(str(self.path), lambda: self.asked(b"open sesame"))
        self.assertEqual((found.public, self.questions), (ALICE, 1))

    def test_nobody_there(self) -> None:
        """It is said that a passphrase is missing, not that it is wrong."""
        self.write(b"open sesame")
        for answer in (None, b"open barley"):
            path = str(self.path)
            self.assertRaises(KeyProblem, load_private, path, lambda each=answer: self.asked(each))
        self.assertEqual(self.questions, 2)

    def test_readable_by_others(self) -> None:
        self.write()
        self.path.chmod(0o640)
        problem = self.assertRaises(FileProblem, load_private, str(self.path), lambda: None)
        self.assertIn("chmod 600", str(problem))


class PublicTests(Case):
    """A public key in a file, or in a certificate."""

    def test_read(self) -> None:
        self.path.write_text(f"{LINE}\n")
        self.assertEqual(load_public(str(self.path)), ALICE)

    def test_not_there(self) -> None:
        problem = self.assertRaises(FileProblem, load_public, str(self.path))
        self.assertIn("No such file", str(problem))

    def test_bounded(self) -> None:
        """Of a file as large as a disk only its beginning is read."""
        self.path.write_text(f"{LINE}{'x' * 100}\n")
        self.assertEqual(load_public(str(self.path), most=len(LINE)), ALICE)
        self.assertRaises(KeyProblem, load_public, str(self.path), most=40)

    def test_certificate(self) -> None:
        signer = load_pem_private_key(key("alice").pem(), None)
        files = make_pair(self.place, "ours", key=signer)
        self.assertEqual(key_of_certificate(files.certificate), ALICE)

    def test_no_certificate(self) -> None:
        self.path.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
        self.assertIsNone(key_of_certificate(str(self.path)))
        self.assertIsNone(key_of_certificate(str(self.place / "none")))

    def test_certificate_of_an_unheard_of_kind(self) -> None:
        """The daemon only says nothing of a key that it cannot read."""
        signer = load_pem_private_key(key("alice").pem(), None)
        lines = Path(make_pair(self.place, "ours", key=signer).certificate).read_text().split("\n")
        der = b64decode("".join(line for line in lines if not line.startswith("-")))
        unheard_of = der.replace(b"\x06\x03\x2b\x65\x70", b"\x06\x03\x2b\x65\x7e")
        self.assertNotEqual(der, unheard_of)
        body = "\n".join(wrap(b64encode(unheard_of).decode(), 64))
        self.path.write_text(f"-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n")
        self.assertIsNone(key_of_certificate(str(self.path)))


class WriteTests(Case):
    """A new file."""

    def test_modes(self) -> None:
        """Of a secret nobody else ever sees anything; directories are made for one person."""
        path = self.place / "in" / "here"
        write_new(str(path), b"x", PRIVATE)
        self.assertEqual((self.mode(path), self.mode(path.parent)), (0o600, 0o700))
        before = os.umask(0)
        self.addCleanup(os.umask, before)
        write_new(str(self.path), b"x", PUBLIC)
        self.assertEqual(self.mode(), 0o644)

    def test_never_overwritten(self) -> None:
        """Nor is anything written where a link leads that somebody has laid there."""
        elsewhere = self.place / "elsewhere"
        self.path.symlink_to(elsewhere)
        self.assertRaises(FileProblem, write_new, str(self.path), b"x", PRIVATE)
        self.assertFalse(elsewhere.exists())


class ListTests(Case):
    """A list that a daemon reads meanwhile."""

    def setUp(self) -> None:
        super().setUp()
        self.list = KeyList(str(self.path))

    def test_added(self) -> None:
        """Behind a last line that was not ended, too."""
        self.assertEqual(self.list.text(), "")
        self.list.add("one")
        self.path.write_text("one")
        self.list.add("two")
        self.assertEqual(self.list.text(), "one\ntwo\n")
        self.assertEqual(self.mode(), 0o600)

    def test_kept(self) -> None:
        self.path.write_text("a\nb\n\na")
        self.assertEqual(self.list.keep(lambda line: line != "a"), 2)
        self.assertEqual(self.list.text(), "b\n\n")

    def test_nothing_to_do(self) -> None:
        """What says the same already is left alone: a daemon would read it again."""
        self.path.write_text("a\nb")
        before = self.path.stat().st_ino
        self.assertEqual(self.list.keep(lambda line: True), 0)
        self.assertFalse(self.list.rewrite(lambda text: text))
        self.assertEqual(self.path.stat().st_ino, before)
        self.assertTrue(self.list.rewrite(str.upper))
        self.assertEqual(self.list.text(), "A\nB")

    def test_changed(self) -> None:
        self.path.write_text("a\nb\nc\n")
        self.list.change(lambda line: {"a": [], "b": ["b", "d"]}.get(line, [line]))
        self.assertEqual(self.list.text(), "b\nd\nc\n")

    def test_nothing_there(self) -> None:
        self.assertEqual(self.list.keep(lambda line: False), 0)
        self.list.change(lambda line: [])
        self.assertEqual(self.list.text(), "")

    def test_a_line_is_what_the_daemon_takes_for_one(self) -> None:
        """What stands behind another break in a comment does not come to count."""
        for strange in ("\r", "\v", "\f", "\x1c", "\x85", "\u2028"):
            text = f"# out:{strange}{LINE}\nb\n"
            self.path.write_text(text, newline="")
            self.list.change(lambda line: [line])
            self.assertEqual(self.path.read_bytes().decode(), text)
            self.assertEqual(self.list.keep(lambda line: line != "b"), 1)
            self.assertEqual(self.path.read_bytes().decode(), f"# out:{strange}{LINE}\n")

    def test_one_at_a_time(self) -> None:
        """Nobody else of us writes meanwhile, and all can afterwards, however it went."""

        def is_free() -> bool:
            handle = os.open(self.place, os.O_RDONLY)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            finally:
                os.close(handle)
            return True

        def fail(text: str) -> str:
            raise FileProblem(f"{is_free()}")

        self.assertEqual(str(self.assertRaises(FileProblem, self.list.rewrite, fail)), "False")
        self.assertTrue(is_free())

    def test_what_was_left_behind(self) -> None:
        """A half-written file of one who was killed is no hindrance."""
        Path(f"{self.path}.new").write_text("half")
        self.list.add("one")
        self.assertEqual(self.list.text(), "one\n")
        self.assertEqual([each.name for each in self.place.iterdir()], ["keys"])

    def test_readers_stay(self) -> None:
        """Who could read the file before it was changed still can."""
        self.path.write_text("one\n")
        self.path.chmod(0o640)
        self.list.add("two")
        self.assertEqual(self.mode(), 0o640)

    def test_changed_by_root(self) -> None:
        """The group that a daemon reads it by stays: else whom root lets out would stay in."""
        if os.geteuid() != 0:
            raise SkipTest("only root can give files to any group")
        self.path.write_text("one\n")
        os.chown(self.path, 0, 23456)
        self.path.chmod(0o640)
        self.list.add("two")
        self.assertEqual((self.path.stat().st_gid, self.mode()), (23456, 0o640))

    def test_not_given_away(self) -> None:
        """One who may not give files away has it alone."""
        self.path.write_text("one\n")
        self.path.chmod(0o644)

        def refuse(*how: object) -> None:
            raise PermissionError

        self.patch(os, "chown", refuse)
        self.list.add("two")
        self.assertEqual((self.list.text(), self.mode()), ("one\ntwo\n", 0o600))

    def test_disk_trouble(self) -> None:
        """It is told as our errors are, and what there was is whole."""
        self.path.write_text("one\n")

        def refuse(*how: object) -> None:
            raise OSError(28, "No space left on device")

        self.patch(os, "replace", refuse)
        problem = self.assertRaises(FileProblem, self.list.add, "two")
        self.assertIn("No space left", str(problem))
        self.assertEqual(self.list.text(), "one\n")

    def test_no_directory(self) -> None:
        self.path.write_text("a file")
        problem = self.assertRaises(FileProblem, KeyList(str(self.path / "list")).add, "one")
        self.assertIn("cannot be used", str(problem))
        problem = self.assertRaises(FileProblem, write_new, str(self.path / "key"), b"", PRIVATE)
        self.assertIn("cannot be written", str(problem))
        KeyList(str(self.place / "new" / "list")).add("one")
        self.assertEqual(self.mode(self.place / "new"), 0o700)


class LineTests(SynchronousTestCase):
    """Whose a line is."""

    def test_whose(self) -> None:
        for name in ("alice", ALICE.fingerprint):
            self.assertTrue(is_line_of(f" {LINE}\r", name))
        self.assertFalse(is_line_of(LINE, "home"))

    def test_nobodys(self) -> None:
        """Comments, and what the daemon does not understand."""
        for line in ("", "  ", f"# {LINE}", f"friend {LINE}", DSA):
            self.assertFalse(is_line_of(line, "alice"))

    def test_revoked(self) -> None:
        self.assertTrue(is_revoked_by(f"{ALICE.fingerprint}\n", ALICE.fingerprint))
        self.assertFalse(is_revoked_by("", ALICE.fingerprint))
        problem = self.assertRaises(FileProblem, is_revoked_by, "mallory", ALICE.fingerprint)
        self.assertIn("revoked_keys", str(problem))
