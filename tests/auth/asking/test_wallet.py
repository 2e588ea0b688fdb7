"""What people agreed to, on disk: theirs alone, and whole."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.auth.asking.registration import Client
from mcptwist.auth.asking.wallet import MOST, Grant, Wallet
from mcptwist.errors import SignInFailed

URL, WHO = "https://mcp.example.com/mcp", "https://login.example.com"


def grant(**members: Any) -> Grant:
    known: dict[str, Any] = {
        "url": URL, "issuer": WHO, "resource": URL, "client": Client("us"), "bound": False,
        "asked": ("a",), "scopes": ("a",), "token": "t0ken", "proof": "", "key": "",
        "ends": 1000.0, "refresh": "refr3sh",
    }  # fmt: skip
    return Grant(**{**known, **members})


class WalletTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.place = Path(self.mktemp())
        self.path = self.place / "mcptwist" / "grants.json"
        self.wallet = Wallet(str(self.path))

    def test_nothing(self) -> None:
        self.assertIsNone(self.wallet.find(URL, WHO, False))
        self.assertIsNone(self.wallet.client(WHO))
        self.assertFalse(self.path.exists())

    def test_kept(self) -> None:
        """By server, issuer and whether it is bound; the later in the place of the earlier."""
        self.wallet.keep(grant())
        self.wallet.keep(grant(bound=True, token="other"))
        self.wallet.keep(grant(token="later"))
        again = Wallet(str(self.path))
        self.assertEqual(again.find(URL, WHO, False), grant(token="later"))
        self.assertEqual(again.find(URL, WHO, True), grant(bound=True, token="other"))
        self.assertIsNone(again.find(URL, "https://evil.example", False))
        self.assertIsNone(again.find("https://evil.example/mcp", WHO, False))
        self.assertEqual(len(again.of(URL)), 2)

    def test_nobody_else_reads_it(self) -> None:
        self.wallet.keep(grant())
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o600)
        self.assertEqual(stat.S_IMODE(self.path.parent.stat().st_mode), 0o700)
        for text in (repr(grant()), repr(self.wallet.contents().grants)):
            self.assertNotIn("t0ken", text)
            self.assertNotIn("refr3sh", text)

    def test_others_could_read_it(self) -> None:
        """Then it is neither believed nor added to."""
        self.wallet.keep(grant())
        for mode in (0o640, 0o604, 0o620, 0o666):
            self.path.chmod(mode)
            problem = self.assertRaises(SignInFailed, self.wallet.find, URL, WHO, False)
            self.assertIn("chmod", problem.message)
            self.assertRaises(SignInFailed, self.wallet.keep, grant())

    def test_not_ours(self) -> None:
        self.path.parent.mkdir(mode=0o700, parents=True)
        self.path.touch(0o600)
        for text in ("[]", "{", '{"version": 2}', '{"grants": [{"url": 1}]}', "\x00"):
            self.path.write_text(text)
            self.assertRaises(SignInFailed, self.wallet.contents)
            self.assertRaises(SignInFailed, self.wallet.keep, grant())
            self.assertEqual(self.path.read_text(), text)

    def test_too_many(self) -> None:
        grants = tuple(grant(url=f"https://{n}.example/mcp") for n in range(MOST))
        self.wallet.keep(grants[0])
        found = msgspec.structs.replace(self.wallet.contents(), grants=grants)
        self.path.write_bytes(msgspec.json.encode(found))
        self.wallet.keep(grants[7])
        problem = self.assertRaises(SignInFailed, self.wallet.keep, grant())
        self.assertIn("logout", problem.message)

    def test_forgotten(self) -> None:
        """But not what was renewed meanwhile."""
        self.wallet.keep(grant(token="later"))
        self.wallet.forget(grant())
        self.assertIsNotNone(self.wallet.find(URL, WHO, False))
        self.wallet.forget(grant(token="later"))
        self.assertIsNone(self.wallet.find(URL, WHO, False))
        self.assertNotIn("refr3sh", self.path.read_text())

    def test_clients(self) -> None:
        """Who we are to one is nothing to another."""
        self.wallet.introduce(WHO, Client("us", "s", "client_secret_post"))
        self.assertEqual(self.wallet.client(WHO), Client("us", "s", "client_secret_post"))
        self.assertIsNone(self.wallet.client(f"{WHO}/"))
        self.wallet.introduce(WHO, None)
        self.assertIsNone(self.wallet.client(WHO))

    def test_a_link_is_not_followed(self) -> None:
        """What a grant is written over is the file, and nothing that it points to."""
        self.path.parent.mkdir(mode=0o700, parents=True)
        victim = self.place / "victim"
        victim.touch(0o600)
        os.symlink(victim.resolve(), self.path)
        self.wallet.keep(grant())
        self.assertEqual(victim.read_text(), "")
        self.assertFalse(self.path.is_symlink())

    def test_nothing_can_be_written(self) -> None:
        """What renews is good once, and is not used up where the next one cannot be kept."""
        self.wallet.keep(grant())
        os.mkdir(f"{self.path}.turn")
        turn = Deferred.fromCoroutine(self.wallet.turn(Clock()))
        self.assertIn("cannot be renewed", self.failureResultOf(turn, SignInFailed).value.message)

    def test_turns(self) -> None:
        """One renews at a time; who waits too long goes without."""
        clock = Clock()
        self.wallet.keep(grant())
        first, second = (Deferred.fromCoroutine(self.wallet.turn(clock)) for _ in range(2))
        end = self.successResultOf(first)
        clock.advance(1)
        self.assertNoResult(second)
        end()
        clock.advance(1)
        end = self.successResultOf(second)
        third = Deferred.fromCoroutine(self.wallet.turn(clock))
        clock.pump([1.0] * 31)
        self.successResultOf(third)()
        end()
