"""``mcptwist keygen`` with files of keys, and ``ssh-keygen`` with the same files."""

from __future__ import annotations

import subprocess

from mcptwist.auth.asking.knownhosts import KNOWN, UNKNOWN, KnownHosts, line_of, read_host
from mcptwist.auth.keys import P256
from tests.auth.commands.test_commands import CommandCase
from tests.auth.people import key
from tests.debian import SSH_KEYGEN

HOST, OTHER, USER = key("host", P256).public, key("other", P256).public, key("user").public


class ListCase(CommandCase):
    """Somebody who knows two hosts.

    :ivar file: ``known_hosts``.
    """

    lines: tuple[str, ...] = (
        "# mine",
        f"{line_of('a', 1, HOST)} of the house",
        line_of("b", 22, OTHER),
        "something else",
    )

    def setUp(self) -> None:
        super().setUp()
        self.place.mkdir(mode=0o700)
        self.file = self.place / "known_hosts"
        self.write(*self.lines)

    def write(self, *lines: str) -> None:
        self.file.write_text("".join(f"{line}\n" for line in lines))
        self.file.chmod(0o600)

    def verdict(self, host: str = "a", port: int = 1) -> str:
        return KnownHosts(self.file.read_text()).verdict(host, port, HOST)


class FindTests(ListCase):
    def test_found(self) -> None:
        out = self.assert_done("keygen", "-F", "a:1")
        self.assertEqual(out, f"# Host [a]:1 found: line 2 \n{self.lines[1]}\n")
        self.assertEqual(self.assert_done("keygen", "-F", "[a]:1"), out)

    def test_fingerprint(self) -> None:
        out = self.assert_done("keygen", "-l", "-F", "b:22")
        self.assertIn(f"256 {OTHER.fingerprint} b (ECDSA)\n", out)

    def test_hashed(self) -> None:
        self.write(line_of("c", 443, HOST, lambda size: b"s" * size))
        self.assertIn("line 1", self.assert_done("keygen", "-F", "c"))

    def test_revoked(self) -> None:
        self.write(f"@revoked [a]:1 {HOST.words()}")
        self.assertIn("REVOKED", self.assert_done("keygen", "-F", "a:1"))

    def test_not_found(self) -> None:
        """Nothing is printed, and the exit status says so, as with ssh-keygen."""
        self.assertEqual(self.run_command("keygen", "-F", "a:2"), (1, "", ""))

    def test_another_file(self) -> None:
        other = self.place / "others"
        self.file.rename(other)
        self.assertIn("line 2", self.assert_done("keygen", "-F", "a:1", "-f", str(other)))
        self.assertEqual(self.run_command("keygen", "-F", "a:1")[0], 1)

    def test_no_host(self) -> None:
        self.assert_failed("keygen", "-F", "a:b", status=2)


class ForgetTests(ListCase):
    def test_forgotten(self) -> None:
        self.assertIn("1 keys", self.assert_done("keygen", "-R", "a:1"))
        self.assertEqual(self.verdict(), UNKNOWN)
        left = [line for line in self.lines if line != self.lines[1]]
        self.assertEqual(self.file.read_text().splitlines(), left)
        self.assertEqual(self.run_command("keygen", "-R", "a:1")[0], 1)


class HashTests(ListCase):
    def test_hashed(self) -> None:
        """The names cannot be read any more, and are known; all else is as it was."""
        self.assertIn("2 names", self.assert_done("keygen", "-H"))
        first, mine, theirs, last = self.file.read_text().splitlines()
        self.assertEqual((first, last), ("# mine", "something else"))
        self.assertTrue(mine.startswith("|1|") and mine.endswith(" of the house"))
        self.assertTrue(theirs.startswith("|1|"))
        self.assertEqual(self.verdict(), KNOWN)
        before = self.file.read_text()
        self.assertIn("0 names", self.assert_done("keygen", "-H"))
        self.assertEqual(self.file.read_text(), before)

    def test_several_names(self) -> None:
        """Each gets a line, as nothing tells that they are the same host."""
        self.write(f"[a]:1,[A.example]:2 {HOST.words()}")
        self.assert_done("keygen", "-H")
        self.assertEqual(len(self.file.read_text().splitlines()), 2)
        self.assertEqual((self.verdict(), self.verdict("a.example", 2)), (KNOWN, KNOWN))

    def test_patterns(self) -> None:
        lines = (f"*.example {HOST.words()}", f"@revoked c {OTHER.words()}")
        self.write(*lines)
        status, _, err = self.run_command("keygen", "-H")
        self.assertEqual(status, 0)
        self.assertIn("2 lines", err)
        self.assertEqual(self.file.read_text().splitlines(), list(lines))

    def test_nothing_there(self) -> None:
        self.file.unlink()
        self.assertIn("does not exist", self.assert_failed("keygen", "-H"))


class FingerprintTests(ListCase):
    def test_hosts(self) -> None:
        out = self.assert_done("keygen", "-l", "-f", str(self.file)).splitlines()
        self.assertEqual(out[0], f"256 {HOST.fingerprint} of the house (ECDSA)")
        self.assertEqual(len(out), 2)

    def test_authorized(self) -> None:
        """Options, and who is not a key, are no trouble."""
        path = self.place / "authorized_keys"
        lines = [f'principal="al",scope="mcp:read" {USER.words()} x', f"{OTHER.words()} bob@there"]
        path.write_text("\n".join([*lines, 'principal="me" local-user uid:0', "nothing"]) + "\n")
        out = self.assert_done("keygen", "-l", "-f", str(path)).splitlines()
        self.assertEqual(out[0], f"256 {USER.fingerprint} al (ED25519)")
        self.assertEqual(out[1], f"256 {OTHER.fingerprint} bob@there (ECDSA)")
        self.assertEqual(len(out), 2)

    def test_private(self) -> None:
        """What is beside it is looked at, so that nobody has to type a passphrase."""
        self.assert_done("keygen", "-N", "sesame", "-C", "me@here")
        out = self.assert_done("keygen", "-l")
        self.assertTrue(out.endswith(" me@here (ED25519)\n"), out)

    def test_nothing(self) -> None:
        self.assertIn("cannot be read", self.assert_failed("keygen", "-l", "-f", "nowhere"))
        self.write("nothing")
        self.assert_failed("keygen", "-l", "-f", str(self.file))


class InteropTests(ListCase):
    """``ssh-keygen`` reads what we wrote, and we what it wrote."""

    def setUp(self) -> None:
        super().setUp()
        self.program = SSH_KEYGEN.needed()
        self.write(*self.lines[:3])

    def ssh_keygen(self, *words: str) -> str:
        argv = [self.program, *words, "-f", str(self.file)]
        return subprocess.run(argv, capture_output=True, text=True, check=True).stdout

    def test_lists_alike(self) -> None:
        self.assertEqual(self.assert_done("keygen", "-l", "-f", str(self.file)),
                         self.ssh_keygen("-l"))  # fmt: skip

    def test_lists_a_key_alike(self) -> None:
        self.assert_done("keygen", "-t", "rsa", "-C", "alice@laptop")
        self.file = self.place / "id_rsa"
        ours = self.assert_done("keygen", "-l", "-t", "rsa")
        self.assertEqual(ours, self.ssh_keygen("-l"))
        self.assertIn("3072 SHA256:", ours)

    def test_finds_alike(self) -> None:
        self.assertEqual(self.assert_done("keygen", "-F", "a:1"), self.ssh_keygen("-F", "[a]:1"))

    def test_our_hashes(self) -> None:
        self.assert_done("keygen", "-H")
        self.assertIn(HOST.fingerprint, self.ssh_keygen("-l", "-F", "[a]:1"))
        self.ssh_keygen("-R", "[a]:1")
        self.assertEqual((self.verdict(), self.verdict("b", 22)), (UNKNOWN, "changed"))

    def test_their_hashes(self) -> None:
        self.ssh_keygen("-H")
        self.assertNotIn("[a]", self.file.read_text())
        self.assertIn("line 2", self.assert_done("keygen", "-F", "a:1"))
        self.assertIn("1 keys", self.assert_done("keygen", "-R", "a:1"))
        self.ssh_keygen("-l", "-F", "b")
        entries = [read_host(line) for line in self.file.read_text().splitlines()]
        self.assertEqual([each.key for each in entries if each is not None], [OTHER])

    def test_after_we_forgot(self) -> None:
        self.assert_done("keygen", "-R", "a:1")
        self.assertIn(OTHER.fingerprint, self.ssh_keygen("-l", "-F", "b"))
