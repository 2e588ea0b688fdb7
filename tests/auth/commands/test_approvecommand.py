"""``mcptwist approve``: what a person is shown and asked."""

from __future__ import annotations

import os
import signal
from typing import Any

from twisted.internet.defer import CancelledError
from twisted.python import usage
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.auth.asking.approving import Asked
from mcptwist.auth.commands import approvecommand
from mcptwist.auth.commands.approvecommand import (
    ApproveOptions,
    base_of,
    outcome,
    shown,
)
from mcptwist.auth.oauth.approvals import APPROVE, DENY
from mcptwist.errors import SignInFailed
from tests.auth.approving import SCOPES, wanted

CODE = "BCDF-GHJK"


def text(agreed: frozenset[str] = SCOPES, **different: Any) -> str:
    """What is shown of a question."""
    return shown(Asked(CODE, wanted(**different), 200), agreed)


class ShownTests(SynchronousTestCase):
    def test_whole(self) -> None:
        told = text(frozenset({"mcp:read"}))
        for part in (
            "BCDF-GHJK asks to be let in at http://localhost",
            "MCP Inspector, as it calls itself",
            "localhost:6274: any program may listen there",
            "may       mcp:read: see what there is",
            "not       mcp:call",
            "from the address 192.168.1.1",
            "Say yes only if you have just begun this yourself",
        ):
            self.assertIn(part, told)

    def test_where(self) -> None:
        for uri, where in (
            ("", "a device or a program elsewhere"),
            ("https://app.example.com/back", "the website app.example.com"),
            ("cursor://anysphere/back", "whichever program opens cursor: links"),
            ("http://127.0.0.1:1/x", "127.0.0.1:1: any program may listen there"),
            ("http://[::1]:1/x", "[::1]:1: any program"),
            ("http://localhost.evil.example/x", "the website localhost.evil.example"),
            ("http://[", "whichever program"),
        ):
            self.assertIn(where, text(redirect_uri=uri))

    def test_inert(self) -> None:
        """Nothing that a stranger chose moves the cursor, or begins a line."""
        nasty = "x\x1b[2J\r\n  may       nothing\u202e"
        told = text(client_name=nasty, redirect_uri=f"https://a/{nasty}", source=nasty)
        self.assertNotIn("\x1b", told)
        self.assertNotIn("\u202e", told)
        self.assertEqual(len(told.splitlines()), len(text().splitlines()))
        self.assertTrue(outcome({"outcome": "approved", "principal": nasty}).isprintable())
        self.assertTrue(outcome({"principal": nasty}).isprintable())

    def test_administering(self) -> None:
        """That stands out."""
        told = text(frozenset({"mcp:admin"}), scopes=frozenset({"mcp:admin"}))
        self.assertIn("administer the daemon", told)


class AskedTests(SynchronousTestCase):
    def decided(self, *answers: str) -> str | None:
        given = list(answers)
        return approvecommand._decided(lambda question: given.pop(0))

    def test_answers(self) -> None:
        self.assertEqual(self.decided("yes\n"), APPROVE)
        self.assertEqual(self.decided("what?\n", " YES \n"), APPROVE)
        self.assertEqual(self.decided("no\n"), DENY)
        self.assertIsNone(self.decided("\n"))
        self.assertIsNone(self.decided(""))
        self.assertIsNone(self.decided("y\n", "ja\n", "ok\n", "yes\n"))

    def test_nobody(self) -> None:
        with self.assertRaises(SignInFailed):
            approvecommand._decided(None)

    def test_interrupted(self) -> None:
        """Ctrl-C ends the question, and what it did before it does again."""
        before = signal.getsignal(signal.SIGINT)

        def interrupt(question: str) -> str:
            os.kill(os.getpid(), signal.SIGINT)
            return "yes"

        with self.assertRaises(CancelledError):
            approvecommand._decided(interrupt)
        self.assertIs(signal.getsignal(signal.SIGINT), before)


class OptionTests(SynchronousTestCase):
    def question(self, *words: str) -> Any:
        self.patch(os, "environ", {"HOME": "/nowhere"})
        options = ApproveOptions()
        options.parseOptions(words)
        return options["question"]

    def test_options(self) -> None:
        found = self.question("bcdfghjk", "--url", "https://A.example:443/mcp", "-i", "/k")
        self.assertEqual((found.code, found.base), (CODE, "https://a.example"))
        self.assertEqual((found.verb, found.reach.key), (None, "/k"))
        self.assertEqual(self.question(CODE, "--deny").verb, DENY)
        self.assertEqual(self.question(CODE, "--yes").verb, APPROVE)
        self.assertEqual(self.question().code, "")
        self.assertEqual(self.question(CODE, "--scope", "mcp:read").scopes, {"mcp:read"})

    def test_mistakes(self) -> None:
        for words in (
            ("ABCD-EFGH",),
            ("x",),
            (CODE, "--yes", "--deny"),
            (CODE, "--scope", "everything"),
            (CODE, "--url", "ftp://a"),
            (CODE, "--url", "https://u@a"),
            (
                CODE,
                "--url",
                "https://[",
            ),
        ):
            self.assertRaises(usage.UsageError, self.question, *words)

    def test_base(self) -> None:
        self.assertEqual(base_of("http://localhost:8808/servers/x/mcp"), "http://localhost:8808")
        self.assertEqual(base_of("http://A:80"), "http://a")
