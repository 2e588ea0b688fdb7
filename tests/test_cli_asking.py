"""The options of the commands that ask, and of those that stand for a server."""

from __future__ import annotations

from typing import Any

from twisted.python import usage
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.askingcommands import CallOptions, ListOptions
from mcptwist.cli import MainOptions
from mcptwist.servingcommands import ConnectOptions, StdioOptions


class AskingOptionsTests(SynchronousTestCase):
    def parse(self, *words: str) -> Any:
        options = CallOptions()
        options.parseOptions(words)
        return options

    def test_a_call(self) -> None:
        options = self.parse("time", "now", '{"a": 1}')
        self.assertEqual(
            (options["server"], options["tool"], options["arguments"]), ("time", "now", {"a": 1})
        )
        self.assertEqual(self.parse("time", "now")["arguments"], {})

    def test_options_may_follow(self) -> None:
        options = self.parse("time", "now", "{}", "--json", "--url=http://a", "-u", "http://b")
        self.assertTrue(options["json"])
        self.assertEqual(options["url"], "http://b")
        self.assertEqual(self.parse("time", "now", "--url", "")["url"], "")
        self.assertEqual(self.parse("--", "time", "--json")["tool"], "--json")

    def test_headers(self) -> None:
        self.patch(__import__("os"), "environ", {"TOKEN": "t"})
        options = self.parse("a", "b", "--header", "Authorization: Bearer ${TOKEN}", "--header=x:y")
        self.assertEqual(options["headers"], [("Authorization", "Bearer t"), ("x", "y")])

    def test_what_is_wrong(self) -> None:
        for words in (
            (), ("a",), ("a", "b", "{"), ("a", "b", "[]"), ("a", "b", "{}", "c"),
            ("a", "b", "--no"), ("a", "b", "--header", "x"), ("a", "b", "--header", "x: \x07"),
            ("a", "b", "-c", "f", "-u", "u"),
        ):  # fmt: skip
            with self.assertRaises(usage.UsageError, msg=words):
                self.parse(*words)

    def test_signing_beside_an_authorization(self) -> None:
        """What would not be signed, though it was asked for, is not sent."""
        own = ("--header", "authorization: Bearer x", "--sign-requests")
        for make, words in ((CallOptions, ["a", "b"]), (ListOptions, []), (ConnectOptions, [])):
            with self.assertRaises(usage.UsageError) as caught:
                make().parseOptions([*words, *own])
            self.assertIn("leave out --sign-requests, or --header", str(caught.exception))
            make().parseOptions([*words, *own[:2]])
            make().parseOptions([*words, "--header", "x: y", "--sign-requests"])

    def test_a_list(self) -> None:
        options = ListOptions()
        options.parseOptions(["-j"])
        self.assertEqual((options["server"], options["json"]), ("", 1))


class StandingOptionsTests(SynchronousTestCase):
    def test_connect(self) -> None:
        for url in ("", "http://a/mcp", "wss://a/ws", "unix:/run/x"):
            options = ConnectOptions()
            options.parseOptions([url] if url else [])
            self.assertEqual(options["url"], url)
        for words in (["a/mcp"], ["http://a", "b"], ["--log-level", "loud"]):
            with self.assertRaises(usage.UsageError):
                ConnectOptions().parseOptions(words)

    def test_stdio(self) -> None:
        options = StdioOptions()
        options.parseOptions(["-c", "f"])
        self.assertEqual(options["config"], "f")
        with self.assertRaises(usage.UsageError):
            StdioOptions().parseOptions(["--log-level", "loud"])


class HelpTests(SynchronousTestCase):
    def test_each_command_is_shown_as_it_is_written(self) -> None:
        for name, _, make, about in MainOptions.subCommands:
            options = make()
            self.assertTrue(options.getSynopsis().startswith(f"Usage: mcptwist {name}"), name)
            self.assertTrue(about)
