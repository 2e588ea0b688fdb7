"""``mcptwist.watching.commands``: finding a daemon, and telling how it is."""

from __future__ import annotations

import json
import os
import shutil
import socket
import tempfile
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python import usage
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.watching.commands import ConsoleOptions, StatusOptions, TopOptions
from mcptwist.watching.overview import say_status, say_top
from mcptwist.watching.whereabouts import (
    CannotFind,
    found,
    look,
)
from tests.administered import Administered


class FoundTests(SynchronousTestCase):
    """The daemon that is meant."""

    def setUp(self) -> None:
        # Trial's own folders are too deep for the path of a socket.
        self.place = Path(tempfile.mkdtemp(prefix="mcp"))
        self.addCleanup(shutil.rmtree, self.place)
        self.run = self.place / "mcptwist"
        self.run.mkdir()
        self.environ = {"XDG_RUNTIME_DIR": str(self.place.absolute())}
        self.sockets: list[socket.socket] = []

    def tearDown(self) -> None:
        for each in self.sockets:
            each.close()

    def bind(self, name: str, alive: bool = True) -> str:
        made = socket.socket(socket.AF_UNIX)
        self.sockets.append(made)
        made.bind(str(self.run / f"{name}.sock"))
        if alive:
            made.listen()
        return str((self.run / f"{name}.sock").absolute())

    def find(self, given: str = "") -> str:
        return found(given, self.environ)

    def test_urls(self) -> None:
        """A URL without a path is that of a daemon."""
        self.assertEqual(self.find("https://a:1"), "https://a:1/admin/mcp")
        self.assertEqual(self.find("https://a:1/"), "https://a:1/admin/mcp")
        self.assertEqual(self.find("https://a:1/x/mcp"), "https://a:1/x/mcp")

    def test_paths(self) -> None:
        """A path is a path, a port the socket of that name."""
        self.assertEqual(self.find("/run/x.sock"), "/run/x.sock")
        self.assertEqual(self.find("unix:/run/x.sock"), "/run/x.sock")
        path = self.bind("8808")
        self.assertEqual(self.find("8808"), path)

    def test_the_only_one(self) -> None:
        """Where only one is alive, that is meant."""
        self.bind("1", alive=False)
        path = self.bind("2")
        self.assertEqual(self.find(), path)
        self.bind("3")
        self.assertIn("several daemons", str(self.assertRaises(CannotFind, self.find)))

    def test_none(self) -> None:
        """Where there is none, it is said what to do."""
        self.assertIn("no daemon of yours", str(self.assertRaises(CannotFind, self.find)))
        self.assertRaises(CannotFind, found, "", {})


class SayingTests(SynchronousTestCase):
    """What scripts get to read."""

    def setUp(self) -> None:
        servers = {"sums": {"python": "tests.administered:sums"}, "bad": {"comand": "x"}}
        self.house = Administered(servers)
        self.addCleanup(self.house.stop)
        self.said: list[str] = []
        client = self.house.ask_server()
        self.house.result(client.call_tool("add", {"a": 1, "b": 2}))

    def run_it(self, work: Any) -> Any:
        return self.house.result(Deferred.fromCoroutine(work), turns=400, step=0.05)

    def test_status(self) -> None:
        """A table, and a status that tells of trouble."""
        code = self.run_it(say_status(self.house.client, False, self.said.append))
        (text,) = self.said
        self.assertIn("pid 4711", text)
        self.assertRegex(text, r"(?m)^sums +up +- ")
        self.assertRegex(text, r"(?m)^bad +misconfigured ")
        self.assertIn("    mcpServers.bad:", text)
        self.assertEqual(code, 1)

    def test_json(self) -> None:
        """The same as JSON."""
        self.run_it(say_status(self.house.client, True, self.said.append))
        status = json.loads(self.said[0])
        self.assertEqual([s["name"] for s in status["servers"]], ["sums", "bad"])

    def test_top(self) -> None:
        """Again and again, with what happened between."""
        work = say_top(self.house.client, self.house.reactor, 1.0, 2, False, self.said.append)
        self.assertEqual(self.run_it(work), 0)
        self.assertEqual(len(self.said), 2)
        self.assertIn("CALLS/S", self.said[0])

    def test_top_json(self) -> None:
        """A line each time."""
        work = say_top(self.house.client, self.house.reactor, 1.0, 1, True, self.said.append)
        self.run_it(work)
        (line,) = self.said
        self.assertEqual(json.loads(line)["servers"][0]["rate"], 0.0)

    def test_other_version(self) -> None:
        """A daemon of another version is said to be one."""
        self.house.admin.status = lambda: None  # type: ignore[method-assign, assignment, return-value]
        self.house.admin.server.remove_resource("mcptwist://status")
        self.house.admin.server.add_resource(
            "mcptwist://status", lambda: {"format": 99, "version": "9.9"}, name="status"
        )
        problem = self.assertRaises(CannotFind, self.run_it, look(self.house.client))
        self.assertIn("is of version 9.9", str(problem))


class OptionsTests(SynchronousTestCase):
    """How the commands are written."""

    def test_where_and_headers(self) -> None:
        """A place, headers, an identity."""
        options = StatusOptions()
        options.parseOptions(["--header", "X-A: 1", "-i", "key", "https://a:1"])
        there = options.whereabouts()
        self.assertEqual((there.where, there.headers), ("https://a:1/admin/mcp", (("X-A", "1"),)))
        self.assertEqual((there.reach.key, there.is_url), (os.path.abspath("key"), True))

    def test_wrong(self) -> None:
        """What makes no sense is refused."""
        for options, words in (
            (StatusOptions(), ["--header", "nonsense"]),
            (TopOptions(), ["-d", "0"]),
            (TopOptions(), ["-n", "-1"]),
            (ConsoleOptions(), ["-n", "1000"]),
        ):
            self.assertRaises(usage.UsageError, options.parseOptions, words)
