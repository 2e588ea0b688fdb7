"""Asking a person about a host that is met for the first time."""

from __future__ import annotations

import io
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from mcptwist.auth.asking import introduction
from mcptwist.auth.asking.introduction import introduce
from mcptwist.auth.asking.knownhosts import KNOWN, KnownHosts, line_of
from mcptwist.auth.asking.pinning import Pinning
from mcptwist.auth.keys import P256
from mcptwist.errors import HostNotTrusted
from tests.auth.people import key

HOST = key("host", P256).public
URL = "https://mcp.example.com:8443/mcp"
PLACE = ("mcp.example.com", 8443)


class IntroductionTests(SynchronousTestCase):
    def setUp(self) -> None:
        place = Path(self.mktemp()).resolve()
        place.mkdir(mode=0o700)
        self.file = place / "known_hosts"
        self.questions: list[str] = []
        self.answers: list[str] = []
        self.vouched = False
        self.scanned: list[tuple[str, int]] = []
        self.patch(introduction, "scan", self.scan)
        self.patch(introduction, "_is_vouched", lambda *_: self.vouched)
        self.patch(sys, "stderr", io.StringIO())

    def scan(self, host: str, port: int) -> object:
        self.scanned.append((host, port))
        return HOST

    def ask(self, question: str) -> str:
        self.questions.append(question)
        return self.answers.pop(0)

    def introduce(self, *answers: str, url: str = URL, accept_new: bool = False) -> None:
        self.answers = list(answers)
        introduce(url, Pinning(str(self.file), (), accept_new), None, self.ask)

    def test_yes(self) -> None:
        for answer in ("yes\n", f"{HOST.fingerprint}\n"):
            self.file.unlink(missing_ok=True)
            self.introduce(answer)
            self.assertEqual(KnownHosts(self.file.read_text()).verdict(*PLACE, HOST), KNOWN)
        self.assertIn(HOST.fingerprint, self.questions[0])
        self.assertIn("[mcp.example.com]:8443", self.questions[0])

    def test_no(self) -> None:
        """Nor is another fingerprint a yes, the end of input, or what is neither, for ever."""
        other = key("other", P256).public.fingerprint
        for answers in (("no\n",), (f"{other}\n",), ("",), ("y\n", "maybe\n", "ok\n")):
            self.assertRaises(HostNotTrusted, self.introduce, *answers)
            self.assertEqual(self.answers, [])
        self.assertFalse(self.file.exists())

    def test_asked_again(self) -> None:
        self.introduce("y\n", "yes\n")
        self.assertIn("Please type", self.questions[1])

    def test_no_need(self) -> None:
        """It is known, vouched for, not encrypted, or accepted anyway."""
        for url in ("http://127.0.0.1:1/mcp", "unix:/run/x", "ws://127.0.0.1/ws", ""):
            self.introduce(url=url)
        self.introduce(accept_new=True)
        self.vouched = True
        self.introduce()
        self.vouched = False
        self.file.write_text(line_of(*PLACE, HOST))
        self.introduce()
        self.assertEqual((self.questions, self.scanned), ([], []))

    def test_nobody_to_ask(self) -> None:
        """Then nothing is asked, and nothing is believed: the connection will be refused."""
        self.patch(sys, "stdin", io.StringIO("yes\n"))
        introduce(URL, Pinning(str(self.file)))
        self.assertFalse(self.file.exists())
