"""``mcptwist.reloading``: the configuration, read again while the daemon runs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from mcptwist.awaited import Refused
from mcptwist.caller import Caller
from mcptwist.client import Client, connect
from mcptwist.config import Loaded, load
from mcptwist.errors import Draining, McpTwistError, UnknownServer
from mcptwist.exchange import LISTEN
from mcptwist.messages import Notification
from mcptwist.protocols.inprocess import PythonConnector
from mcptwist.protocols.memory import MemoryConnector
from mcptwist.reloading import CannotReload
from mcptwist.server import Server
from tests.administered import Administered

SUMS = {"python": "tests.administered:sums"}
WORDS = {"python": "tests.test_reloading:words"}
OTHERS = {"python": "tests.test_reloading:other_words"}
LISTEN_AT = ["tcp:8808:interface=127.0.0.1"]
TOOLS_CHANGED = "notifications/tools/list_changed"


def words() -> Server:
    """A server with one tool."""
    server = Server("words", version="1")

    @server.tool
    def shout(word: str) -> str:
        """Shout."""
        return word.upper()

    return server


def other_words() -> Server:
    """Another one."""
    server = Server("words", version="2")

    @server.tool
    def whisper(word: str) -> str:
        """Whisper."""
        return word.lower()

    return server


def configured(servers: Any, **more: Any) -> Loaded:
    text = json.dumps({"listen": LISTEN_AT, "mcpServers": servers, **more})
    return load(text, "test.json", {"SECRET_TOKEN": "hunter2hunter2"})


class ReloadCase(SynchronousTestCase):
    """A daemon whose configuration the test writes."""

    servers: Any = {"sums": SUMS, "words": WORDS}
    own: Mapping[str, Server] = {}

    def setUp(self) -> None:
        self.house = Administered(self.servers, own=self.own)
        self.addCleanup(self.house.stop)
        self.daemon = self.house.daemon
        self.now = configured(self.servers)
        self.daemon.reread = lambda: self.now

    def put(self, servers: Any, **more: Any) -> list[str]:
        """Write it, have it read, and see what is told."""
        self.now = configured(servers, **more)
        assert self.daemon.reload is not None
        lines = self.daemon.reload()
        self.house.turn(1)
        return lines

    def client(self, view: Any, era: str = "legacy") -> Client:
        """A client of a view."""

        def welcome(wire: Any) -> Any:
            caller = Caller(view, self.daemon.concourse.sessions.begin)
            caller.wire = wire
            return caller

        self.told: list[Notification] = []
        connector = MemoryConnector(self.house.reactor, "a test", welcome)
        told, reactor = self.told.append, self.house.reactor
        client: Client = self.house.result(connect(connector, reactor=reactor, era=era, told=told))
        return client

    def tools(self, client: Client) -> list[str]:
        return sorted(tool["name"] for tool in self.house.result(client.list_tools(), step=0.05))

    def restarts(self) -> dict[str, int]:
        return {server.name: server.restarts for server in self.house.survey.status().servers}


class ServersTests(ReloadCase):
    """Servers that come, go and change."""

    def test_nothing(self) -> None:
        """Where nothing has changed nothing is done."""
        before = dict(self.daemon.gateway.backends)
        self.assertEqual(self.put(self.servers), [])
        self.assertEqual(self.daemon.gateway.backends, before)

    def test_new(self) -> None:
        """It is there at once: at its own URL, and for who sees all of them; others stay."""
        all_of_them, sums = self.daemon.gateway.whole, self.daemon.gateway.view("sums")
        client = self.client(all_of_them)
        self.assertEqual(self.tools(client)[-1], "words__shout")
        self.assertEqual(self.put({**self.servers, "more": OTHERS}), ["more is new"])
        self.assertIn(TOOLS_CHANGED, [each.method for each in self.told])
        self.assertIn("more__whisper", self.tools(client))
        called = self.house.result(client.call_tool("more__whisper", {"word": "A"}), step=0.05)
        self.assertEqual(called.text, "a")
        self.assertEqual(self.tools(self.client(self.daemon.gateway.view("more"))), ["whisper"])
        self.assertIs(self.daemon.gateway.view("sums"), sums)
        self.assertEqual(self.restarts(), {"sums": 0, "words": 0, "more": 0})

    def test_gone(self) -> None:
        """It is stopped, and nowhere any more; who waits for it is told."""
        client = self.client(self.daemon.gateway.whole)
        waiting = client.call_tool("sums__wait", {})
        waiting.addErrback(lambda failure: failure.value.body.message)
        self.house.turn(1)
        (line,) = self.put({"words": WORDS})
        self.assertEqual(line, "sums is not there any more; it is stopped")
        self.assertIn("taken out of the configuration", self.house.result(waiting))
        self.assertEqual(self.tools(client), ["words__shout"])
        self.assertRaises(UnknownServer, self.daemon.gateway.view, "sums")
        problem = self.assertRaises(
            Refused, self.house.result, client.call_tool("sums__add", {"a": 1, "b": 2})
        )
        self.assertIn("sums__add", problem.body.message)

    def test_come_and_gone(self) -> None:
        """One that comes back is there again."""
        client = self.client(self.daemon.gateway.whole)
        view = self.daemon.gateway.view("sums")
        self.put({"words": WORDS})
        self.assertEqual(self.put(self.servers), ["sums is new"])
        # Connections that ask for its URL again and again remember what stands there.
        self.assertIs(self.daemon.gateway.view("sums"), view)
        called = self.house.result(client.call_tool("sums__add", {"a": 1, "b": 2}), step=0.05)
        self.assertEqual(called.text, "3")

    def test_another_way(self) -> None:
        """A server that is reached otherwise is restarted with that, once; sessions stay."""
        client = self.client(self.daemon.gateway.view("words"))
        self.assertEqual(self.tools(client), ["shout"])
        changed = {**self.servers, "words": OTHERS}
        (line,) = self.put(changed)
        self.assertEqual(line, "words: python changed; it is restarted with that")
        self.assertEqual(self.tools(self.client(self.daemon.gateway.view("words"))), ["whisper"])
        self.assertEqual(self.restarts(), {"sums": 0, "words": 1})
        self.assertEqual(self.put(changed), [])

    def test_other_settings(self) -> None:
        """A server with other settings is started anew, and seen as they say."""
        client = self.client(self.daemon.gateway.whole)
        self.assertIn("sums__fail", self.tools(client))
        fewer = {**self.servers, "sums": {**SUMS, "tools": {"deny": ["fail"]}}}
        (line,) = self.put(fewer)
        self.assertIn("changed; it is restarted with that", line)
        self.assertNotIn("sums__fail", self.tools(client))
        self.assertEqual(self.put(fewer), [])

    def test_our_mistake(self) -> None:
        """Where one server cannot be made, for whatever reason, the others are left as they are."""

        def broken(where: str, clock: Any) -> Any:
            if "words" in where:
                raise ZeroDivisionError
            return None

        self.patch(PythonConnector, "named", broken)
        more = {"python": "tests.administered:more"}
        before = self.restarts()
        self.assertRaises(ZeroDivisionError, self.put, {"sums": more, "words": OTHERS})
        self.house.turn(1)
        self.assertEqual(self.restarts(), before)
        client = self.client(self.daemon.gateway.view("sums"))
        self.assertIn("add", self.tools(client))

    def test_another_kind(self) -> None:
        """Another kind of server under the same name is another server."""
        (line,) = self.put({"sums": SUMS, "words": {"command": "/nowhere/cat"}})
        self.assertEqual(line, "words is another kind of server; it is started anew")
        problem = self.assertRaises(McpTwistError, self.client, self.daemon.gateway.view("words"))
        self.assertIn("/nowhere/cat", str(problem))

    def test_modern_listener(self) -> None:
        """Who listens hears that lists have changed, and then of the new server as well."""
        client = self.client(self.daemon.gateway.whole, "modern")
        heard: list[Notification] = []
        wanted = {"notifications": {"toolsListChanged": True}}
        client.ask(LISTEN, wanted, heard=heard.append).addErrback(lambda _: None)
        self.house.turn(1)
        self.put({**self.servers, "more": OTHERS})
        self.assertEqual([n.method for n in heard].count(TOOLS_CHANGED), 1)
        self.put({"words": WORDS, "more": OTHERS})
        self.assertEqual([n.method for n in heard].count(TOOLS_CHANGED), 2)
        self.assertEqual(self.tools(client), ["more__whisper", "words__shout"])

    def test_told_though_nothing_was_asked_of_servers(self) -> None:
        """Sessions hear of a new server that have only shaken hands, or seen remembered lists."""
        before = self.client(self.daemon.gateway.whole)
        self.tools(before)
        for lists in (False, True):
            client = self.client(self.daemon.gateway.whole)
            if lists:
                self.tools(client)
            self.put({**self.servers, f"more{lists}": OTHERS})
            self.assertIn(TOOLS_CHANGED, [each.method for each in self.told], lists)

    def test_call_on_a_process_of_its_own(self) -> None:
        """Whoever has a process of their own is told the same when the server goes."""
        self.put({"sums": {**SUMS, "scope": "session"}, "words": WORDS})
        client = self.client(self.daemon.gateway.whole)
        waiting = client.call_tool("sums__wait", {})
        waiting.addErrback(lambda failure: failure.value.body.message)
        self.house.turn(1)
        self.put({"words": WORDS})
        self.assertIn("taken out of the configuration", self.house.result(waiting))
        self.assertEqual(self.tools(client), ["words__shout"])

    def test_while_draining(self) -> None:
        """A daemon that is about to stop starts nothing more."""
        self.daemon.concourse.draining = Draining("the daemon is about to stop")
        before = dict(self.daemon.gateway.backends)
        problem = self.assertRaises(CannotReload, self.put, {**self.servers, "more": OTHERS})
        expected = "the daemon is about to stop; nothing is changed any more"
        self.assertEqual(problem.message, expected)
        self.assertEqual(self.daemon.gateway.backends, before)

    def test_many_gone(self) -> None:
        """Those that are gone are told in the order in which they were there."""
        many = dict.fromkeys("dbeacf", SUMS)
        self.put({**many, "words": WORDS})
        lines = self.put({"words": WORDS})
        self.assertEqual([line[0] for line in lines], list("dbeacf"))

    def test_modern_listener_of_a_server_that_goes(self) -> None:
        """Who listens to one server alone is told that this is over."""
        for era in ("auto", "legacy"):
            self.put({"sums": SUMS, "words": {**WORDS, "era": era}})
            client = self.client(self.daemon.gateway.view("words"), "modern")
            listening = client.ask(LISTEN, {"notifications": {"toolsListChanged": True}})
            self.house.turn(1)
            self.assertNoResult(listening)
            self.put({"sums": SUMS})
            self.assertEqual(self.successResultOf(listening)["resultType"], "complete", era)

    def test_session_of_a_server_put_there_anew(self) -> None:
        """A session at its own URL ends, and its wire with it, so that the client comes anew."""
        client = self.client(self.daemon.gateway.view("words"))
        (session,) = [s for s in self.daemon.concourse.sessions if s.view.name == "words"]
        self.put({"sums": SUMS, "words": {**WORDS, "timeout": 7}})
        self.assertIn("put there anew", str(session.ended))
        self.assertNotIn(session, list(self.daemon.concourse.sessions))
        self.house.turn(5)
        self.assertEqual(self.tools(client), ["shout"])

    def test_modern_client_of_a_server_put_there_anew(self) -> None:
        """Its requests stand alone: the next one is for the server as it is now."""
        client = self.client(self.daemon.gateway.view("words"), "modern")
        self.put({"sums": SUMS, "words": {**OTHERS, "timeout": 7}})
        self.assertEqual(self.tools(client), ["whisper"])

    def test_drained_with_the_daemon(self) -> None:
        """A server on its way out is waited for when the daemon stops."""
        self.client(self.daemon.gateway.view("words"))
        self.now = configured({"sums": SUMS})
        assert self.daemon.reload is not None
        self.daemon.reload()
        self.house.result(self.daemon.gateway.stop(), step=0.1)


class OneServerTests(ReloadCase):
    """A daemon with one server, which clients see without its name."""

    servers: Any = {"words": WORDS}

    def test_names_stay(self) -> None:
        """More servers do not change what those at ``/mcp`` see; each is at its own URL."""
        client = self.client(self.daemon.gateway.whole)
        lines = self.put({"words": WORDS, "sums": SUMS})
        self.assertEqual(lines[0], "sums is new")
        self.assertIn("/mcp shows the servers that there were", lines[1])
        self.assertEqual(self.tools(client), ["shout"])
        self.assertIn("add", self.tools(self.client(self.daemon.gateway.view("sums"))))

    def test_put_there_anew(self) -> None:
        """What stands at ``/mcp`` is the server as it is now, with other settings too."""
        self.put({"words": {**OTHERS, "timeout": 7}})
        self.assertEqual(self.tools(self.client(self.daemon.gateway.whole)), ["whisper"])
        self.put({"words": {**OTHERS, "tools": {"deny": ["whisper"]}}})
        self.assertEqual(self.tools(self.client(self.daemon.gateway.whole)), [])


class GroupsTests(ReloadCase):
    """Groups that come, go and change."""

    def test_groups(self) -> None:
        """They are as the file says; who sees one is told."""
        self.put(self.servers, groups={"all": {"servers": ["sums", "words"]}})
        client = self.client(self.daemon.gateway.group("all"))
        self.assertEqual(self.tools(client)[-1], "words__shout")
        self.assertEqual(
            self.put(self.servers, groups={"all": {"servers": ["words"]}}), ["groups changed"]
        )
        self.assertIn(TOOLS_CHANGED, [each.method for each in self.told])
        self.assertEqual(self.tools(client), ["words__shout"])
        self.put(self.servers)
        self.assertRaises(UnknownServer, self.daemon.gateway.group, "all")
        self.assertEqual(self.tools(client), [])
        self.put(self.servers, groups={"all": {"servers": ["words"]}})
        self.assertEqual(self.tools(client), ["words__shout"])


class MistakesTests(ReloadCase):
    """Files that are not right, and what has to wait."""

    def test_what_has_to_wait(self) -> None:
        """Other sections are named each time, and not heeded."""
        for _ in range(2):
            lines = self.put(self.servers, limits={"sessions": 5}, allowed_hosts=["a.example"])
            self.assertEqual(
                lines,
                [
                    "allowed_hosts changed; restart the daemon to have that heeded",
                    "limits changed; restart the daemon to have that heeded",
                ],
            )

    def test_unusable(self) -> None:
        """A configuration that cannot be used changes nothing; every mistake is told."""
        before = dict(self.daemon.gateway.backends)
        problem = self.assertRaises(CannotReload, self.put, {}, listen=7, limits=8)
        for name in ("listen", "limits"):
            self.assertIn(name, problem.message)
        self.assertEqual(self.daemon.gateway.backends, before)

    def test_one_server(self) -> None:
        """A mistake in one server stops that one, and tells why wherever it is asked for."""
        (line, gone) = self.put({"sums": SUMS, "words": {"url": 7}})
        self.assertIn("mcpServers.words", line)
        self.assertEqual(gone, "words is not there any more; it is stopped")
        problem = self.assertRaises(UnknownServer, self.daemon.gateway.view, "words")
        self.assertIn("mcpServers.words", problem.message)
        self.assertEqual(self.put(self.servers), ["words is new"])

    def test_no_value_is_told(self) -> None:
        """Names of settings are told, what they are is not."""
        lines = self.put({"words": {**WORDS, "headers": {"A": "${SECRET_TOKEN}"}}})
        lines += self.put({"words": {"command": "cat", "env": {"A_TOKEN": "${SECRET_TOKEN}"}}})
        self.assertNotIn("hunter2", "\n".join(lines))

    def test_no_file(self) -> None:
        """A daemon that was not started from a file has nothing to read again."""
        self.daemon.reread = None
        assert self.daemon.reload is not None
        self.assertRaises(CannotReload, self.daemon.reload)


class OwnTests(ReloadCase):
    """A daemon in an application that has servers of its own."""

    servers: Any = {"sums": SUMS}
    own: Mapping[str, Server] = {"garden": Server("garden")}

    def test_stays(self) -> None:
        """No file names it, and none can take it away."""
        before = self.daemon.gateway.backends["garden"]
        self.put({"sums": SUMS, "words": WORDS})
        self.assertEqual(set(self.daemon.gateway.backends), {"sums", "words", "garden"})
        self.assertIs(self.daemon.gateway.backends["garden"], before)

    def test_its_name(self) -> None:
        """A file that names another so changes nothing."""
        problem = self.assertRaises(CannotReload, self.put, {"garden": WORDS})
        self.assertIn("garden: is configured already", str(problem))
        self.assertEqual(set(self.daemon.gateway.backends), {"sums", "garden"})
