"""``mcptwist.auth.keydesk``: the keys, for whoever administers the daemon."""

from __future__ import annotations

import os
import time
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from mcptwist.auth.audit import Audit
from mcptwist.auth.guestbook import Guestbook
from mcptwist.auth.keydesk import Desk
from mcptwist.auth.keyfiles import KeyFiles
from mcptwist.auth.keyring import Keyring
from mcptwist.auth.keys import ED25519, PrivateKey
from mcptwist.auth.oauth.approvals import Approvals
from tests.administered import FakeGuests
from tests.auth.approving import wanted


class DeskTests(SynchronousTestCase):
    """Two keys in a file."""

    def setUp(self) -> None:
        folder = Path(self.mktemp()).resolve()
        folder.mkdir(mode=0o700)
        self.authorized, self.revoked = folder / "authorized_keys", folder / "revoked_keys"
        keys = [PrivateKey.generate(ED25519).public for _ in range(2)]
        lines = [
            f'scope="mcp:read mcp:admin" {keys[0].words()} ada',
            f'expiry-time="20200101Z" {keys[1].words()} bob',
        ]
        self.authorized.write_text("\n".join(lines) + "\n")
        self.authorized.chmod(0o600)
        self.one, self.other = (key.fingerprint for key in keys)
        keyring = Keyring(time.time)
        files = KeyFiles(str(self.authorized), str(self.revoked), keyring, Audit(time.time))
        files.load()
        self.here: list[str] = []
        self.book = Guestbook(lambda: 500.0)
        self.idle: list[tuple[str, float]] = []
        self.desk = Desk(
            keyring,
            files,
            str(self.revoked),
            lambda: self.here,
            lambda: 1000.0,
            FakeGuests(),
            self.book,
            lambda: self.idle,
        )

    def test_keys(self) -> None:
        """Each with what it may do and how it is."""
        self.here = [f"ada {self.one}"] * 2
        found = {key.fingerprint: key for key in self.desk.all()}
        ada, bob = found[self.one], found[self.other]
        self.assertEqual((ada.principal, ada.state, ada.sessions), ("ada", "in use", 2))
        self.assertEqual(ada.scopes, ("mcp:read", "mcp:admin"))
        self.assertEqual((bob.state, bob.restricted), ("over", False))
        assert bob.expires is not None
        self.assertLess(bob.expires, time.time())

    def test_waiting(self) -> None:
        """What waits for approval, where anything may."""
        self.assertEqual(self.desk.waiting(), [])
        approvals = Approvals(lambda: 0.0, os.urandom)
        self.desk._approvals = approvals
        pending = approvals.ask(wanted())
        (found,) = self.desk.waiting()
        self.assertEqual((found.code, found.client), (pending.code, "MCP Inspector"))
        self.assertEqual((found.host, found.seconds), ("localhost:6274", 300.0))
        self.assertEqual(found.scopes, ("mcp:read", "mcp:call"))

    def test_nobody_here(self) -> None:
        """A good key that nobody uses."""
        self.assertEqual({key.state for key in self.desk.all()}, {"good", "over"})

    def test_last_used(self) -> None:
        """When somebody came in with it, or was heard that is still here."""
        found = {key.fingerprint: key.last_used for key in self.desk.all()}
        self.assertEqual(found, {self.one: None, self.other: None})
        self.book.came(self.one)
        self.assertEqual(self.desk.all()[0].last_used, 500.0)
        self.idle = [(f"ada {self.one}", 40.0), (f"ada {self.one}", 3.0), ("", 1.0)]
        self.assertEqual(self.desk.all()[0].last_used, 997.0)

    def test_strangers(self) -> None:
        """Who knocked in vain is last, and what they say is told apart from what is known."""
        self.book.knocked("eve", "203.0.113.9")
        stranger = self.desk.all()[-1]
        self.assertEqual(
            (stranger.fingerprint, stranger.state, stranger.source),
            ("eve", "unknown", "203.0.113.9"),
        )

    def test_revoke(self) -> None:
        """It is written down once, and heeded at once."""
        self.desk.revoke(self.one)
        self.desk.revoke(self.one)
        self.assertEqual(self.revoked.read_text(), f"{self.one}\n")
        self.assertEqual(self.revoked.stat().st_mode & 0o777, 0o600)
        self.assertEqual({key.state for key in self.desk.all()}, {"over"})

    def test_cannot(self) -> None:
        """Where it cannot be written down, that is said."""
        self.revoked.mkdir()
        self.assertRaises(OSError, self.desk.revoke, self.one)
