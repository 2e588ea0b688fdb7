"""Which key we come with."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.auth.asking.identity import Identity, Named, named
from mcptwist.errors import SignInFailed
from tests.auth.people import key


class IdentityTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.place = Path(self.mktemp()).resolve()
        self.place.mkdir(mode=0o700)
        self.asked: list[str] = []
        self.passphrase: bytes | None = None

    def write(self, name: str, who: str, passphrase: bytes | None = None) -> str:
        path = self.place / name
        path.write_bytes(key(who).openssh(passphrase))
        path.chmod(0o600)
        return str(path)

    def ask(self, path: str) -> bytes | None:
        self.asked.append(path)
        return self.passphrase

    def identity(self, *names: str) -> Identity:
        return Identity(Named([str(self.place / name) for name in names]), self.ask)

    def load(self, identity: Identity) -> Any:
        return self.successResultOf(Deferred.fromCoroutine(identity.load())).public

    def problem(self, identity: Identity) -> str:
        loading = Deferred.fromCoroutine(identity.load())
        return str(self.failureResultOf(loading, SignInFailed).value)

    def test_first(self) -> None:
        self.write("b", "bob")
        identity = self.identity("a", "b")
        self.assertEqual(self.load(identity), key("bob").public)
        self.write("a", "alice")
        self.assertEqual(self.load(identity), key("alice").public)

    def test_replaced(self) -> None:
        path = self.write("a", "alice")
        identity = self.identity("a")
        self.load(identity)
        self.write("new", "bob")
        os.replace(self.place / "new", path)
        self.assertEqual(self.load(identity), key("bob").public)

    def test_none(self) -> None:
        own = Identity(named("", str(self.place)), self.ask)
        self.assertIn("mcptwist keygen", self.problem(own))
        problem = self.problem(self.identity("a"))
        self.assertIn(f"there is no key {self.place}/a", problem)

    def test_passphrase(self) -> None:
        """It is asked for once; where nobody can be asked, an agent is what helps."""
        path = self.write("a", "alice", b"sesame")
        self.assertIn("ssh-add", self.problem(self.identity("a")))
        self.passphrase = b"sesame"
        identity = self.identity("a")
        for _ in range(2):
            self.assertEqual(self.load(identity), key("alice").public)
        self.assertEqual(self.asked, [path, path])
        self.passphrase = b"wrong"
        self.assertIn("wrong", self.problem(self.identity("a")))

    def test_readable_by_others(self) -> None:
        """A4."""
        Path(self.write("a", "alice")).chmod(0o644)
        self.assertIn("chmod 600", self.problem(self.identity("a")))
