"""``mcptwist logins``: what is printed, and how the command is written."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.python import usage
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.auth.commands.loginscommand import (
    LoginsOptions,
    NoLogins,
    end_logins,
    list_logins,
    table,
)
from mcptwist.watching.reports import Logins
from tests.administered import LOGIN, NOW, Administered, FakeDesk


class SayingTests(SynchronousTestCase):
    """What is printed, of a daemon with three logins."""

    def setUp(self) -> None:
        self.desk = FakeDesk()
        self.house = Administered(desk=self.desk)
        self.addCleanup(lambda: self.house.stop())
        self.said: list[str] = []
        self.aside: list[str] = []

    def run_it(self, work: Any) -> Any:
        return self.house.result(Deferred.fromCoroutine(work), step=0.05)

    def list(self, whose: str = "", limit: int = 500, as_json: bool = False) -> Any:
        client = self.house.client
        return self.run_it(
            list_logins(client, whose, limit, as_json, self.said.append, self.aside.append)
        )

    def end(self, *ids: str) -> Any:
        client = self.house.client
        return self.run_it(end_logins(client, ids, self.said.append, self.aside.append))

    def test_all(self) -> None:
        self.assertEqual(self.list(), 0)
        title, first, second, third = self.said
        self.assertTrue(title.startswith("ID        PRINCIPAL  CLIENT     BY       SINCE"))
        self.assertRegex(
            first,
            "^8f3a01c2 +ada +inspector +browser +2h00m ago +1m30s ago +203.0.113.9 +1 +in 10h00m +"
            "mcp:read mcp:call +https://a.example/mcp +SHA256:one$",
        )
        self.assertIn(" device ", second)
        self.assertIn(" never ", third)
        self.assertEqual(self.aside, [])

    def test_whose(self) -> None:
        self.list("bob")
        self.assertEqual(len(self.said), 2)
        self.assertEqual(self.list("nobody"), 0)
        self.assertEqual((len(self.said), self.aside), (2, ["nobody is not logged in"]))

    def test_some(self) -> None:
        """It is said that there are more."""
        self.list(limit=1)
        self.assertEqual(len(self.said), 2)
        self.assertIn("2 more", self.aside[0])

    def test_none(self) -> None:
        self.desk.guests.here.clear()
        self.assertEqual(self.list(), 0)
        self.assertEqual((self.said, self.aside), ([], ["nobody is logged in"]))

    def test_json(self) -> None:
        self.list(as_json=True)
        found = json.loads(self.said[0])
        self.assertEqual((found["total"], found["now"]), (3, NOW))
        self.assertEqual(found["logins"][0]["id"], "8f3a01c2")

    def test_end(self) -> None:
        self.assertEqual(self.end("8f3a01c2", "5ca1ab1e"), 0)
        self.assertEqual(self.said, ["8f3a01c2 has ended", "5ca1ab1e has ended"])

    def test_end_some(self) -> None:
        """One that cannot be ended keeps none from being, and is told of."""
        self.assertEqual(self.end("8f3a01c2", "nothing", "0badc0de", "5ca1ab1e"), 1)
        self.assertEqual(self.desk.guests.ended, ["8f3a01c2", "0badc0de", "5ca1ab1e"])
        self.assertEqual(self.said, ["8f3a01c2 has ended", "5ca1ab1e has ended"])
        self.assertIn("no login is called nothing", self.aside[0])
        self.assertIn("cannot be written", self.aside[1])

    def test_without_keys(self) -> None:
        """A daemon where nobody logs in."""
        self.house.stop()
        self.house = Administered()
        for ask in (self.list, lambda: self.end("8f3a01c2")):
            problem = self.assertRaises(NoLogins, ask)
            self.assertIn("[auth]", str(problem))


class TableTests(SynchronousTestCase):
    @settings(max_examples=50, deadline=None)
    @given(st.text(min_size=1), st.floats(-1e9, 1e9))
    def test_hostile(self, text: str, seconds: float) -> None:
        """Whatever they call themselves, each has one line, on which nothing does anything."""
        login = msgspec.structs.replace(
            LOGIN, client=text, principal=text, source=text, since=NOW + seconds, ends=NOW + seconds
        )
        lines = table(Logins(1, NOW, [login]))
        self.assertEqual(len(lines), 2)
        self.assertTrue(all(line.isprintable() for line in lines))


class OptionsTests(SynchronousTestCase):
    def parsed(self, *words: str) -> LoginsOptions:
        options = LoginsOptions()
        options.parseOptions(words)
        return options

    def test_list(self) -> None:
        options = self.parsed("alice", "--json", "-n", "3")
        self.assertEqual((options["whose"], options["ids"]), ("alice", ()))
        self.assertEqual((options["limit"], bool(options["json"])), (3, True))
        self.assertEqual(self.parsed()["whose"], "")

    def test_end(self) -> None:
        options = self.parsed("end", "8f3a01c2", "0badc0de", "--at", "https://a:1")
        self.assertEqual(options["ids"], ("8f3a01c2", "0badc0de"))
        self.assertEqual(options.whereabouts().where, "https://a:1/admin/mcp")

    def test_wrong(self) -> None:
        for words in (["end"], ["alice", "bob"], ["-n", "0"], ["-n", "10001"], ["-n", "x"]):
            self.assertRaises(usage.UsageError, self.parsed, *words)
