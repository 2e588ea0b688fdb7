"""``mcptwist token``: how it is written, and what it prints."""

from __future__ import annotations

import json

from twisted.internet.defer import Deferred
from twisted.python import usage
from twisted.trial.unittest import SynchronousTestCase

from mcptwist import tokens
from mcptwist.auth.asking.signin import Want
from mcptwist.auth.asking.tokenendpoint import Granted
from mcptwist.configuration.reach import Reach
from mcptwist.tokens import TokenOptions, TokenQuestion, ask_for_token, endpoint, printed

SAID = {"access_token": "abc", "token_type": "Bearer", "expires_in": 600}


class OptionsTests(SynchronousTestCase):
    def read(self, *words: str) -> TokenOptions:
        options = TokenOptions()
        options.parseOptions(list(words))
        return options

    def test_written(self) -> None:
        """Options may follow the URL."""
        options = self.read("https://A.example", "--ttl", "8h", "--scope", "a b", "-p", "alice")
        self.assertEqual(options["url"], "https://a.example/mcp")
        self.assertEqual(options["seconds"], 8 * 3600)
        self.assertEqual(options.reach.principal, "alice")

    def test_wrong(self) -> None:
        fine = "https://a.example/mcp"
        for words in ((), (fine, fine), (fine, "--ttl", "soon"), (fine, "--format", "xml")):
            self.assertRaises(usage.UsageError, self.read, *words)

    def test_no_url(self) -> None:
        for url in (
            "",
            "mcp.example.com",
            "ftp://x/",
            "https://a@b/mcp",
            "https://x/mcp?a",
            "https://[/",
            "https://x:0/",
        ):
            self.assertRaises(usage.UsageError, endpoint, url)


class PrintedTests(SynchronousTestCase):
    def test_forms(self) -> None:
        granted = Granted("abc", "", 600, SAID)
        header = {"Authorization": "Bearer abc"}
        self.assertEqual(json.loads(printed(granted, "header")), header)
        self.assertEqual(json.loads(printed(granted, "json")), SAID)
        self.assertEqual(printed(granted, "env"), "MCPTWIST_TOKEN=abc")
        self.assertEqual(printed(granted, "text"), "abc")


class AskedTests(SynchronousTestCase):
    def asked(self, seconds: int | None, login: str = "") -> tuple[list[str], list[str]]:
        """What is printed, and what is said beside it."""
        said: list[str] = []
        beside: list[str] = []

        class SignIn:
            async def token(self, want: Want) -> Granted:
                return Granted("abc", "", 600, SAID, login=login)

        self.patch(tokens, "make_signin", lambda *_: SignIn())
        question = TokenQuestion("https://a.example/mcp", Reach(), seconds=seconds, form="text")
        asking = ask_for_token(question, None, said.append, beside.append)
        self.successResultOf(Deferred.fromCoroutine(asking))
        return said, beside

    def test_a_token_for_less_time_than_was_asked_for(self) -> None:
        said, (beside,) = self.asked(8 * 3600)
        self.assertEqual(said, ["abc"])
        self.assertIn("600 s", beside)
        self.assertIn("max-token-ttl", beside)

    def test_a_token_for_as_long_as_was_asked_for(self) -> None:
        for seconds in (None, 600, 300):
            self.assertEqual(self.asked(seconds), (["abc"], []))

    def test_a_token_of_a_login(self) -> None:
        """It is said whose it is, and how it ends."""
        said, (beside,) = self.asked(None, "https://login.example")
        self.assertEqual(said, ["abc"])
        self.assertIn("by your login at https://login.example; ", beside)
        self.assertIn("mcptwist logout https://a.example/mcp", beside)
