"""``mcptwist login`` and ``logout``: what they are told, and what they say."""

from __future__ import annotations

import os
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python import usage
from twisted.trial.unittest import SynchronousTestCase

from mcptwist import asking, logins
from mcptwist.configuration.reach import Reach
from mcptwist.logins import LoginOptions, LoginQuestion, LogoutOptions, described
from tests.auth.asking.test_wallet import grant


class OptionsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.asked: list[Any] = []
        self.patch(asking, "perform", lambda *words: self.asked.append(words))

    def perform(self, options: Any, *words: str) -> Any:
        options.parseOptions(words)
        options.perform()
        return self.asked.pop()

    def test_login(self) -> None:
        ask, question = self.perform(
            LoginOptions(), "https://MCP.example.com", "--scope", "a b", "--client-id", "us",
            "--issuer", "https://login.example.com", "--redirect-port", "4711",
        )  # fmt: skip
        self.assertIs(ask, logins.log_in)
        self.assertEqual(question.place, "https://mcp.example.com/mcp")
        self.assertEqual(question.scopes, frozenset({"a", "b"}))
        reach = question.reach
        known = (reach.client, reach.issuer, reach.redirect_port)
        self.assertEqual(known, ("us", "https://login.example.com", 4711))

    def test_where(self) -> None:
        """Without a URL it says where somebody is logged in."""
        ask, question = self.perform(LoginOptions())
        self.assertEqual((ask, question.place), (logins.tell_logins, ""))

    def test_logout(self) -> None:
        ask, question = self.perform(LogoutOptions(), "https://mcp.example.com/x/mcp")
        self.assertEqual((ask, question.place), (logins.log_out, "https://mcp.example.com/x/mcp"))

    def test_wrong(self) -> None:
        for options, words in (
            (LogoutOptions(), []),
            (LogoutOptions(), ["mcp.example.com"]),
            (LoginOptions(), ["file:///etc/passwd"]),
            (LoginOptions(), ["--redirect-port", "x", "https://mcp.example.com"]),
        ):
            self.assertRaises(usage.UsageError, options.parseOptions, words)


class TellingTests(SynchronousTestCase):
    """``mcptwist login`` without a URL."""

    def said(self) -> tuple[list[str], list[str]]:
        said: list[str] = []
        aside: list[str] = []
        question = LoginQuestion("", Reach(), frozenset())
        telling = logins.tell_logins(question, None, said.append, aside.append)
        self.assertEqual(self.successResultOf(Deferred.fromCoroutine(telling)), 0)
        return said, aside

    def test_nowhere(self) -> None:
        """Nothing is not said with nothing."""
        self.patch(os, "environ", {**os.environ, "XDG_CONFIG_HOME": self.mktemp()})
        self.assertEqual(self.said(), ([], ["you are logged in nowhere"]))


class DescribedTests(SynchronousTestCase):
    def test_forms(self) -> None:
        """No secret in it, and nothing that does anything to a terminal."""
        plain = described(grant(refresh=""), 400)
        self.assertTrue(plain.endswith("at https://login.example.com (a), for 10 min"), plain)
        renewed = described(grant(proof="ES256", scopes=()), 400)
        self.assertTrue(renewed.endswith("example.com, renewed by itself, bound to a key"), renewed)
        hostile = described(grant(scopes=("\x1b[2J",)), 400)
        self.assertNotIn("\x1b", hostile)
        for text in (plain, renewed):
            self.assertNotIn("t0ken", text)
            self.assertNotIn("refr3sh", text)
