"""Servers gathered into what clients see."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from twisted.internet.defer import succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.catalog.gathering import Gathering, settings_of
from mcptwist.catalog.keptlists import KeptLists
from mcptwist.catalog.selectedserver import SelectedServer
from mcptwist.config import load
from mcptwist.exchange import Exchange
from mcptwist.gateway import Gateway, ServerView
from mcptwist.interfaces import IView
from tests.scripted import Heard, ScriptedServer, modern_request, modern_visit, tools

IDENTITY = {"name": "mcptwist", "version": "1"}
COMMAND = {"command": "x"}


def asked(view: IView, method: str = "tools/list", params: Any = None) -> Heard:
    heard = Heard()
    view.begin(Exchange(modern_request(method, params), heard, modern_visit()))
    return heard


def names(view: IView) -> list[str]:
    return [tool["name"] for tool in asked(view).answer["tools"]]


class GatheringCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.directory = Path(self.mktemp())

    def gather(self, servers: Any, **more: Any) -> Gateway:
        """The gateway of a configuration, over scripted servers."""
        loaded = load(json.dumps({"mcpServers": servers, **more}), "mcp.json", {})
        assert loaded.config is not None, loaded.mistakes
        self.servers = {server.name: self.scripted(server.name) for server in loaded.config.servers}
        self.kept = KeptLists(
            self.directory, self.clock, lambda: 1e9, lambda work, *args: succeed(work(*args)), 60
        )
        backends: Any = self.servers
        return Gathering(loaded.config, backends, self.clock, IDENTITY, self.kept).gateway

    def scripted(self, name: str) -> ScriptedServer:
        server = ScriptedServer({"tools/list": tools("x", "y"), "tools/call": {"content": []}})
        server.name = name
        return server


class GatheringTests(GatheringCase):
    def test_plain(self) -> None:
        """Where nothing is selected nothing stands before a server."""
        gateway = self.gather({"a": COMMAND, "b": COMMAND})
        view = gateway.view("a")
        assert isinstance(view, ServerView)
        self.assertIs(view._backend, self.servers["a"])
        self.assertEqual(names(gateway.whole), ["a__x", "a__y", "b__x", "b__y"])

    def test_selected(self) -> None:
        """What was selected counts alone, among all, and in groups; in lists and in calls."""
        tools = {"allow": ["x"], "rename": {"x": "z"}}
        gateway = self.gather(
            {"a": {**COMMAND, "tools": tools}, "b": COMMAND}, groups={"g": {"servers": ["b", "a"]}}
        )
        self.assertEqual(names(gateway.view("a")), ["z"])
        self.assertEqual(names(gateway.whole), ["a__z", "b__x", "b__y"])
        self.assertEqual(names(gateway.group("g")), ["b__x", "b__y", "a__z"])
        for view, prefix in ((gateway.view("a"), ""), (gateway.whole, "a__")):
            self.servers["a"].asked.clear()
            for name in ("x", "y"):
                error = asked(view, "tools/call", {"name": prefix + name}).error
                self.assertEqual(error["data"]["code"], "unknown-name")
            self.assertIsNotNone(asked(view, "tools/call", {"name": f"{prefix}z"}).answer)
            (call,) = self.servers["a"].asked_for("tools/call")
            self.assertEqual(call["name"], "x")

    def test_only_one(self) -> None:
        """The only server is seen as it is, or as it was selected."""
        gateway = self.gather({"a": {**COMMAND, "tools": ["x"]}})
        self.assertEqual(names(gateway.whole), ["x"])
        assert isinstance(gateway.whole, ServerView)
        self.assertIsInstance(gateway.whole._backend, SelectedServer)

    def test_group_of_one(self) -> None:
        """A group has the names of a group, so that another server can join it."""
        gateway = self.gather({"a": COMMAND}, groups={"g": {"servers": ["a"]}})
        self.assertEqual(names(gateway.group("g")), ["a__x", "a__y"])

    def test_broken(self) -> None:
        """A server that cannot be used is named where it would have been."""
        gateway = self.gather(
            {"a": COMMAND, "b": COMMAND, "odd": {"command": 3}},
            groups={"with": {"servers": ["a", "odd"]}, "without": {"servers": ["a"]}},
        )
        for view, there in (
            (gateway.whole, True),
            (gateway.group("with"), True),
            (gateway.group("without"), False),
        ):
            self.assertEqual("mcptwist/unavailable" in asked(view).answer["_meta"], there)

    def test_settings(self) -> None:
        """The section's keys are the catalog's bounds."""
        gateway = self.gather({"a": COMMAND, "b": COMMAND}, catalog={"deadline": 2, "entries": 1})
        self.servers["a"].script["tools/list"] = None
        heard = asked(gateway.whole)
        self.clock.advance(2)
        self.assertEqual(len(heard.answer["tools"]), 2)
        config = load('{"catalog":{"pages":7,"rejoin_max":9}}', "x.json", {}).config
        assert config is not None
        found = settings_of(config.catalog)
        self.assertEqual((found.bounds.pages, found.listening.rejoin_most), (7, 9.0))


class KeptTests(GatheringCase):
    """Which servers are listed without being started."""

    def listed_in_another_life(self, server: Any, then: Any = None) -> ScriptedServer:
        gateway = self.gather({"a": server, "b": COMMAND})
        self.kept.startService()
        asked(gateway.whole)
        self.kept.stopService()
        gateway = self.gather({"a": then or server, "b": COMMAND})
        self.kept.startService()
        self.servers["a"].resting = self.servers["b"].resting = True
        self.assertEqual(len(names(gateway.whole)), 4)
        self.assertEqual(self.servers["b"].asked, [])
        return self.servers["a"]

    def test_child(self) -> None:
        """A child that is started when first called is not started for a list."""
        server = self.listed_in_another_life(COMMAND)
        self.assertEqual((server.asked, server.brought_up), ([], 0))

    def test_remote(self) -> None:
        """What runs elsewhere is asked, but not waited for."""
        server = self.listed_in_another_life({"url": "http://localhost/mcp"})
        self.assertEqual((server.asked, server.brought_up), ([], 1))

    def test_asked(self) -> None:
        """What starts with the daemon, or is in it, is asked."""
        for one in ({**COMMAND, "lazy": False}, {"python": "x:y"}):
            self.assertEqual(len(self.listed_in_another_life(one).asked), 1)

    def test_configured_differently(self) -> None:
        """So is what is another server under the same name."""
        for one in (
            {"command": "y"},
            {**COMMAND, "args": ["z"]},
            {**COMMAND, "env": {"A": "1"}},
            {**COMMAND, "cwd": "/"},
            {"url": "http://localhost/x"},
        ):
            self.assertEqual(len(self.listed_in_another_life(COMMAND, one).asked), 1, one)
        same = {**COMMAND, "timeout": 9, "tools": {"deny": ["nothing"]}}
        self.assertEqual(self.listed_in_another_life(COMMAND, same).asked, [])
