"""``mcptwist call`` and ``list``, with servers that are started for the call."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.asking import DAEMON, FAILED, OK, CannotAsk, Question, call, daemon_url, list_servers

CONFIG = {
    "mcpServers": {
        "box": {"python": "mcptwist.serving.toolbox:toolbox"},
        "off": {"command": "x", "disabled": True},
        "bad": {"command": ["x"]},
    },
    "groups": {"some": {"servers": ["box", "bad"]}},
}


class AskingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.said: list[str] = []
        self.aside: list[str] = []
        path = Path(self.mktemp())
        path.write_text(json.dumps(CONFIG))
        self.config = str(path)

    def begin(self, ask: Any, server: str = "", tool: str = "", **more: Any) -> Deferred[int]:
        question = Question(server, tool, config=self.config, **more)
        asking = Deferred.fromCoroutine(
            ask(question, self.clock, self.said.append, self.aside.append)
        )
        for _ in range(30):
            self.clock.advance(0)
        return asking

    def ask(self, ask: Any, server: str = "", tool: str = "", **more: Any) -> int:
        return self.successResultOf(self.begin(ask, server, tool, **more))

    def test_a_call(self) -> None:
        status = self.ask(call, "box", "calculate", arguments={"expression": "6*7"})
        self.assertEqual((status, json.loads(self.said[0])["value"]), (OK, "42"))
        self.assertEqual(self.aside, [])

    def test_a_call_for_scripts(self) -> None:
        self.ask(call, "box", "calculate", arguments={"expression": "6*7"}, as_json=True)
        self.assertEqual(json.loads(self.said[0])["structuredContent"]["value"], "42")

    def test_a_call_that_fails(self) -> None:
        status = self.ask(call, "box", "calculate", arguments={"expression": "6*"})
        self.assertEqual(status, FAILED)
        self.assertEqual(len(self.said), 1)
        self.assertIn("calculate", self.aside[0])

    def test_progress_is_no_part_of_the_answer(self) -> None:
        asking = self.begin(call, "box", "wait", arguments={"seconds": 2})
        for _ in range(3):
            self.clock.pump([1, 0, 0, 0])
        self.assertEqual(self.successResultOf(asking), OK)
        self.assertEqual(self.aside, ["1/2", "2/2"])
        self.assertEqual(len(self.said), 1)

    def test_what_a_server_has(self) -> None:
        self.assertEqual(self.ask(list_servers, "box"), OK)
        self.assertIn("calculate", self.said[0])
        self.assertEqual(self.ask(list_servers, "box", as_json=True), OK)
        self.assertIn("calculate", [tool["name"] for tool in json.loads(self.said[1])["tools"]])

    def test_what_servers_there_are(self) -> None:
        self.assertEqual(self.ask(list_servers), OK)
        self.assertEqual([line.split()[:2] for line in self.said[0].splitlines()],
                         [["box", "python"], ["bad", "broken"], ["off", "disabled"], [],
                          ["groups:"], ["some", "box,"]])  # fmt: skip
        self.assertEqual(self.ask(list_servers, as_json=True), OK)
        found = json.loads(self.said[1])
        self.assertEqual(list(found["servers"]), ["box", "bad", "off"])
        self.assertEqual(found["groups"], {"some": ["box", "bad"]})

    def test_a_server_that_is_not_there(self) -> None:
        for name, why in (("x", "there is: box"), ("off", "disabled"), ("bad", "not configured")):
            failure = self.failureResultOf(self.begin(list_servers, name), CannotAsk)
            self.assertIn(why, failure.value.message)

    def test_a_file_that_is_none(self) -> None:
        self.config = "/nowhere/x.json"
        self.failureResultOf(self.begin(list_servers), CannotAsk)

    def test_where_the_daemon_is(self) -> None:
        self.assertEqual(daemon_url(None, {}), DAEMON)
        self.assertEqual(daemon_url(None, {"MCPTWIST_URL": "http://a:1/"}), "http://a:1")
        self.assertEqual(daemon_url("http://b/mcp", {"MCPTWIST_URL": "http://a:1/"}), "http://b")
