"""The commands about keys, and the files they write."""

from __future__ import annotations

import json
import os
import stat
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any
from unittest import mock

from cryptography.hazmat.primitives.asymmetric import rsa
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.auth.authorizedkeys import read_authorized_keys, read_revoked_keys
from mcptwist.auth.keys import PrivateKey, PublicKey
from mcptwist.cli import main
from tests.auth.people import NOW, key
from tests.auth.touched import HARDWARE, Authenticator


class Typed(StringIO):
    """What a person, or a program, types."""

    def __init__(self, text: str, is_terminal: bool) -> None:
        super().__init__(text)
        self._is_terminal = is_terminal

    def isatty(self) -> bool:
        return self._is_terminal


class CommandCase(SynchronousTestCase):
    """A person with an empty directory.

    :ivar place: where its keys are.
    """

    is_terminal = False

    def setUp(self) -> None:
        home = Path(self.mktemp())
        home.mkdir(mode=0o700)
        self.place = home.resolve() / "mcptwist"
        self.patch(os, "environ", {**os.environ, "XDG_CONFIG_HOME": str(home.resolve())})

    def run_command(self, *words: str, says: str = "") -> tuple[int, str, str]:
        """The exit status, and what was printed."""
        out, err = StringIO(), StringIO()
        stdin = mock.patch.object(sys, "stdin", Typed(says, self.is_terminal))
        with stdin, redirect_stdout(out), redirect_stderr(err):
            ended = self.assertRaises(SystemExit, main, words)
        return int(ended.code or 0), out.getvalue(), err.getvalue()

    def assert_done(self, *words: str, says: str = "") -> str:
        status, out, err = self.run_command(*words, says=says)
        self.assertEqual((status, err), (0, ""))
        return out

    def assert_failed(self, *words: str, status: int = 1) -> str:
        found, out, err = self.run_command(*words)
        self.assertEqual((found, out), (status, ""))
        self.assertTrue(err)
        return err


class KeygenTests(CommandCase):
    def test_made(self) -> None:
        for kind in ("ed25519", "ecdsa"):
            out = self.assert_done("keygen", "-t", kind, "-C", "alice@here")
            path = self.place / f"id_{kind}"
            private = PrivateKey.from_text(path.read_bytes())
            self.assertIn(private.public.fingerprint, out)
            self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600)
            self.assertEqual(stat.S_IMODE(self.place.stat().st_mode), 0o700)
            public = (self.place / f"id_{kind}.pub").read_text()
            self.assertEqual(PublicKey.from_text(public), private.public)
            self.assertTrue(public.endswith(" alice@here\n"))
            self.assertNotIn("PRIVATE", out)

    def test_never_overwrites(self) -> None:
        self.assert_done("keygen")
        before = (self.place / "id_ed25519").read_bytes()
        self.assertIn("not overwritten", self.assert_failed("keygen"))
        self.assertEqual((self.place / "id_ed25519").read_bytes(), before)

    def test_asked_about_overwriting(self) -> None:
        """On a terminal one is asked, as by ssh-keygen; anything but yes leaves it."""
        self.assert_done("keygen", "-N", "")
        before = (self.place / "id_ed25519").read_bytes()
        self.is_terminal = True
        for answer in ("n\n", "", "what\n"):
            status, _, err = self.run_command("keygen", "-N", "", says=answer)
            self.assertEqual(status, 1)
            self.assertIn("Overwrite", err)
            self.assertEqual((self.place / "id_ed25519").read_bytes(), before)
        self.assertEqual(self.run_command("keygen", "-N", "", says="y\n")[0], 0)
        self.assertNotEqual((self.place / "id_ed25519").read_bytes(), before)

    def test_passphrase(self) -> None:
        self.assert_done("keygen", "-N", "sesame")
        text = (self.place / "id_ed25519").read_bytes()
        self.assertTrue(PrivateKey.from_text(text, b"sesame"))
        self.assert_failed("key", "export", "--pem", "--private")

    def test_listed(self) -> None:
        self.assert_done("keygen")
        out = self.assert_done("keygen", "-l")
        self.assertTrue(out.startswith("256 SHA256:"))
        self.assertIn(out.split()[1], self.assert_done("key", "show"))

    def test_exported(self) -> None:
        self.assert_done("keygen")
        private = PrivateKey.from_text((self.place / "id_ed25519").read_bytes())
        jwk = json.loads(self.assert_done("key", "export", "--jwk"))
        self.assertEqual(PublicKey.from_jwk(jwk), private.public)
        for form in ("--pem", "--ssh"):
            out = self.assert_done("key", "export", form)
            self.assertEqual(PublicKey.from_text(out), private.public)
            out = self.assert_done("key", "export", form, "--private")
            self.assertEqual(PrivateKey.from_text(out.encode()).public, private.public)
        self.assertEqual(
            json.loads(self.assert_done("key", "export", "--jwk", "--private")), private.jwk()
        )

    def test_readable_by_others(self) -> None:
        """A4."""
        self.assert_done("keygen")
        (self.place / "id_ed25519").chmod(0o644)
        self.assertIn("chmod 600", self.assert_failed("key", "export", "--jwk", "--private"))

    def test_wrong_usage(self) -> None:
        for words in (
            ("keygen", "-t", "dsa"), ("key",), ("key", "export"), ("authorize",), ("revoke",),
            ("token",), ("keyscan",), ("key", "export", "--jwk", "--pem"), ("authorize", "add"),
            ("token", "--format", "xml", "http://x/"), ("keyscan", "host:port"),
        ):  # fmt: skip
            self.assertEqual(self.run_command(*words)[0], 2, words)


class AuthorizeTests(CommandCase):
    def setUp(self) -> None:
        super().setUp()
        self.file = self.place / "authorized_keys"
        self.pub = Path(self.mktemp())
        self.pub.write_text(f"{key().public.words()} alice@here\n")

    def test_added(self) -> None:
        out = self.assert_done(
            "authorize", "add", "--scope", "mcp:read mcp:call", "--tools", "a__*", "--require-dpop",
            str(self.pub),
        )  # fmt: skip
        self.assertIn(f"alice {key().public.fingerprint} mcp:call mcp:read", out)
        (grant,) = read_authorized_keys(self.file.read_text()).grants.values()
        self.assertEqual((grant.principal, grant.require_dpop), ("alice", True))
        assert grant.tools
        self.assertFalse(grant.tools.allow("b__x"))
        self.assertEqual(stat.S_IMODE(self.file.stat().st_mode), 0o600)

    def test_ways_to_give_a_key(self) -> None:
        self.assert_done("authorize", "add", "-", says=f"{key('a').public.words()} a\n")
        self.assert_done("authorize", "add", *f"{key('b').public.words()} b".split())
        self.assert_done("authorize", "add", "--principal", "c", key("c").public.words())
        out = self.assert_done("authorize", "list")
        self.assertEqual([line.split()[0] for line in out.splitlines()], ["a", "b", "c"])

    def test_not_understood(self) -> None:
        """What is not understood does not get into the file."""
        for words in (
            ("--tools", 'x" ,scope="mcp:admin', str(self.pub)),
            ("--scope", "everything", str(self.pub)),
            ("--from", "here", str(self.pub)),
            ("--principal", 'a",require-dpop="', str(self.pub)),
            ("ssh-ed25519", "AAAA"),
            ("/nonexistent",),
        ):
            self.assert_failed("authorize", "add", *words)
        self.assertFalse(self.file.exists())

    def test_many(self) -> None:
        """The daemon takes so many keys of one name; with one more, that is said."""
        self.place.mkdir(mode=0o700)
        lines = [f"{key(f'old {number}').public.words()} alice" for number in range(16)]
        self.file.write_text("\n".join(lines) + "\n")
        self.file.chmod(0o600)
        status, _, err = self.run_command("authorize", "add", str(self.pub))
        self.assertEqual(status, 0)
        self.assertIn("alice has 17 keys", err)
        self.assertIn("keys_per_principal is 16", err)

    def test_twice(self) -> None:
        self.assert_done("authorize", "add", str(self.pub))
        self.assert_failed("authorize", "add", "--scope", "mcp:call", str(self.pub))
        self.assertEqual(len(self.file.read_text().splitlines()), 1)

    def test_removed(self) -> None:
        """By name or by fingerprint; comments and what is not understood stay."""
        self.place.mkdir(mode=0o700)
        lines = [
            "# mine",
            f"{key('a').public.words()} a",
            "nonsense",
            f"{key('b').public.words()} b",
        ]
        self.file.write_text("\n".join(lines))
        self.file.chmod(0o600)
        self.assert_done("authorize", "rm", "a")
        self.assertEqual(self.file.read_text().splitlines(), ["# mine", "nonsense", lines[3]])
        self.assert_done("authorize", "rm", key("b").public.fingerprint)
        self.assertEqual(self.run_command("authorize", "rm", "a")[0], 1)
        self.assertIn("line 2 is refused", self.assert_failed("authorize", "list"))

    def test_revoked(self) -> None:
        self.assert_done("revoke", str(self.pub))
        self.assert_done("revoke", key("b").public.fingerprint)
        self.assert_done("revoke", key("b").public.fingerprint)
        text = (self.place / "revoked_keys").read_text()
        both = {key(name).public.fingerprint for name in ("alice", "b")}
        self.assertEqual(read_revoked_keys(text), both)
        self.assertEqual(len(text.splitlines()), 2)
        self.assert_failed("revoke", "SHA256:short")

    def test_revoked_in_hardware(self) -> None:
        """By its file, as any other; so is one that is too short for most lines."""
        short = rsa.generate_private_key(65537, 2048).public_key()
        publics = [Authenticator(kind=kind).public for kind in HARDWARE]
        for public in (*publics, PublicKey(short, 2048)):
            path = self.pub.with_name("lost.pub")
            path.write_text(f"{public.words()} ann@token\n")
            shown = self.assert_done("key", "show", str(path))
            self.assertIn(public.fingerprint, shown)
            self.assertEqual("thumbprint" in shown, bool(public.thumbprint))
            self.assert_done("revoke", str(path))
            revoked = read_revoked_keys((self.place / "revoked_keys").read_text())
            self.assertIn(public.fingerprint, revoked)

    def test_revoked_keys_are_listed_as_such(self) -> None:
        for name in ("a", "b"):
            self.assert_done("authorize", "add", "--principal", name, key(name).public.words())
        self.assert_done("revoke", "a")
        first, second = self.assert_done("authorize", "list").splitlines()
        self.assertTrue(first.endswith(" (revoked)"), first)
        self.assertNotIn("(revoked)", second)

    def test_revoked_by_name(self) -> None:
        """All keys of whoever lost a laptop."""
        for name in ("a", "b", "c"):
            owner = "bob" if name == "c" else "alice"
            self.assert_done("authorize", "add", "--principal", owner, key(name).public.words())
        out = self.assert_done("revoke", "alice")
        self.assertEqual(len(out.splitlines()), 2)
        revoked = read_revoked_keys((self.place / "revoked_keys").read_text())
        self.assertEqual(revoked, {key(name).public.fingerprint for name in ("a", "b")})
        self.assertIn("nobody", self.assert_failed("revoke", "carol"))

    def test_options_after_arguments(self) -> None:
        self.assert_done("authorize", "add", str(self.pub), "--scope", "mcp:call")
        (grant,) = read_authorized_keys(self.file.read_text()).grants.values()
        self.assertEqual(grant.scopes, {"mcp:call"})


class RotateTests(CommandCase):
    """A new key in the place of an old one."""

    def setUp(self) -> None:
        super().setUp()
        self.patch(time, "time", lambda: NOW)
        self.file = self.place / "authorized_keys"
        options = ("--scope", "mcp:read mcp:call", "--tools", "a__*")
        self.assert_done("authorize", "add", *options, f"{key('old').public.words()} alice@home")

    def grants(self) -> dict[str, Any]:
        found = read_authorized_keys(self.file.read_text())
        self.assertEqual(found.refused, ())
        return {grant.key.fingerprint: grant for grant in found.grants.values()}

    def test_rotated(self) -> None:
        """The same name and reach; the old one ends."""
        new = f"{key('new').public.words()} somebody@else"
        out = self.assert_done("authorize", "rotate", "alice", new, "--grace", "2h")
        self.assertIn("is good until", out)
        grants = self.grants()
        old, young = (grants[key(name).public.fingerprint] for name in ("old", "new"))
        self.assertEqual((young.principal, young.scopes), ("alice", old.scopes))
        assert young.tools
        self.assertFalse(young.tools.allow("b__x"))
        self.assertIsNone(young.expires)
        self.assertEqual(old.expires, NOW + 7200)
        self.assertIn("(until ", self.assert_done("authorize", "list"))

    def test_at_once(self) -> None:
        self.assert_done("authorize", "rotate", "--grace", "0", "alice", key("new").public.words())
        self.assertEqual(list(self.grants()), [key("new").public.fingerprint])

    def test_never_longer(self) -> None:
        """A key that ends sooner ends then, and so does its successor."""
        self.file.write_text(
            f'expiry-time="20200101",scope="mcp:call" {key("old").public.words()} alice'
        )
        self.assert_done("authorize", "rotate", "alice", key("new").public.words())
        ends = {grant.expires for grant in self.grants().values()}
        self.assertEqual(len(ends), 1)
        self.assertLess(ends.pop(), NOW)

    def test_refused(self) -> None:
        new = key("new").public.words()
        before = self.file.read_text()
        self.assertIn("nobody", self.assert_failed("authorize", "rotate", "bob", new))
        self.assert_failed("authorize", "rotate", "alice", key("old").public.words())
        self.assert_failed("authorize", "rotate", "alice", "ssh-dss AAAA")
        self.assert_failed("authorize", "rotate", "--grace", "soon", "alice", new)
        self.assertEqual(self.file.read_text(), before)
        self.assert_done("authorize", "add", f"{key('second').public.words()} alice")
        self.assertIn("several", self.assert_failed("authorize", "rotate", "alice", new))
