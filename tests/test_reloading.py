"""``mcptwist.reloading``: the configuration, read again while the daemon runs."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from mcptwist.config import Loaded, load
from mcptwist.reloading import CannotReload, Reloading
from tests.administered import Administered

SUMS = {"python": "tests.administered:sums"}


def configured(servers: Any, **more: Any) -> Loaded:
    text = json.dumps({"mcpServers": servers, **more})
    return load(text, "test.json", {"SECRET_TOKEN": "hunter2hunter2"})


class ReloadingTests(SynchronousTestCase):
    """A daemon with one server."""

    def setUp(self) -> None:
        self.house = Administered({"sums": SUMS})
        self.addCleanup(self.house.stop)
        before = configured({"sums": SUMS})
        assert before.config is not None
        self.now = before
        self.made: list[str] = []
        self.reloading = Reloading(
            before.config, self.house.daemon.gateway, lambda: self.now, self.make
        )

    def make(self, server: Any) -> Any:
        self.made.append(server.name)
        return self.house.daemon.gateway.backends["sums"]._connector

    def put(self, servers: Any, **more: Any) -> list[str]:
        self.now = configured(servers, **more)
        return self.reloading.reload()

    def test_nothing(self) -> None:
        """Where nothing has changed nothing is done."""
        self.assertEqual((self.put({"sums": SUMS}), self.made), ([], []))

    def test_another_way(self) -> None:
        """A server that is reached otherwise is restarted with that, once."""
        self.house.ask_server()
        changed = {"python": "tests.administered:other"}
        (line,) = self.put({"sums": changed})
        self.assertEqual(line, "sums: python changed; it is restarted with that")
        self.assertEqual(self.made, ["sums"])
        self.house.turn(1)
        (server,) = self.house.survey.status().servers
        self.assertEqual(server.restarts, 1)
        self.assertEqual(self.put({"sums": changed}), [])

    def test_what_has_to_wait(self) -> None:
        """New and absent servers, other settings and other sections are named, not heeded."""
        lines = self.put(
            {"more": SUMS, "sums": {**SUMS, "timeout": 5}},
            limits={"sessions": 5},
            allowed_hosts=["a.example"],
        )
        self.assertEqual(self.made, [])
        text = "\n".join(lines)
        for part in ("more is new; ", "sums: timeout changed; ", "limits changed; "):
            self.assertIn(part, text)
        self.assertIn("allowed_hosts changed; restart the daemon", text)
        (line,) = self.put({})
        self.assertIn("sums is not there any more", line)

    def test_another_kind(self) -> None:
        """A server of another kind has to wait as well."""
        (line,) = self.put({"sums": {"command": "cat"}})
        self.assertIn("restart the daemon", line)

    def test_mistakes(self) -> None:
        """A configuration that cannot be used changes nothing; every mistake is told."""
        problem = self.assertRaises(CannotReload, self.put, {"sums": SUMS}, listen=7)
        self.assertIn("listen", problem.message)
        (line,) = self.put({"sums": SUMS, "bad": {"url": 7}})
        self.assertIn("mcpServers.bad", line)

    def test_no_value_is_told(self) -> None:
        """Names of settings are told, what they are is not."""
        self.put({"sums": SUMS})
        lines = self.put({"sums": {"command": "cat", "env": {"A_TOKEN": "${SECRET_TOKEN}"}}})
        self.assertNotIn("hunter2", "\n".join(lines))
