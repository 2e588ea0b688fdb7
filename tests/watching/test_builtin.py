"""``mcptwist.watching.builtin``: the daemon's own server, asked as any server is."""

from __future__ import annotations

from typing import Any

from twisted.logger import Logger
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.awaited import Refused as ErrorAnswer
from mcptwist.errors import McpTwistError
from mcptwist.server import Refused
from mcptwist.watching.events import EVENTS
from tests.administered import NOW, WAITS, Administered, FakeDesk
from tests.watching.reference import PAGE, rewritten

REQUEST = b"GET /health HTTP/1.1\r\nHost: localhost:8808\r\n\r\n"


class AdminCase(SynchronousTestCase):
    """A daemon in memory, and one who administers it."""

    def setUp(self) -> None:
        self.house = Administered()
        self.addCleanup(self.house.stop)


class SeeingTests(AdminCase):
    """What it tells."""

    def test_offers(self) -> None:
        """Every tool says whether it destroys, and what it is for."""
        tools = self.house.result(self.house.client.list_tools())
        hints = {tool["name"]: tool["annotations"] for tool in tools}
        self.assertTrue(all(tool["description"] for tool in tools))
        self.assertTrue(hints["watch"]["readOnlyHint"])
        self.assertTrue(hints["stop_server"]["destructiveHint"])
        self.assertFalse(hints["start_server"]["destructiveHint"])

    def test_status(self) -> None:
        """The snapshot, after a few calls."""
        client = self.house.ask_server()
        self.house.result(client.call_tool("add", {"a": 1, "b": 2}))
        self.house.result(client.call_tool("fail", {}))
        status = self.house.read("mcptwist://status")
        self.assertEqual((status["format"], status["pid"], status["now"]), (1, 4711, NOW))
        (server,) = status["servers"]
        self.assertEqual((server["name"], server["state"]), ("sums", "up"))
        # The client asks for the list of tools as well, to know what headers mirror.
        self.assertEqual((server["calls"]["good"], server["calls"]["failed"]), (2, 1))
        self.assertEqual(server["tools"], [])

    def test_one_server(self) -> None:
        """A server's own page has its tools."""
        client = self.house.ask_server()
        self.house.result(client.call_tool("add", {"a": 1, "b": 2}))
        server = self.house.read("mcptwist://servers/sums")
        self.assertEqual([tool["name"] for tool in server["tools"]], ["add"])
        self.assertRaises(ErrorAnswer, self.house.read, "mcptwist://servers/none")

    def test_connections(self) -> None:
        """Connections are told with what passed on them, and can be looked for."""
        peer = self.house.peer()
        peer.protocol.dataReceived(REQUEST)
        found = self.house.call("connections")
        self.assertEqual(found["total"], 1)
        (row,) = found["connections"]
        self.assertEqual((row["peer"], row["wire"]), ("203.0.113.7:999", "http/1.1"))
        self.assertEqual((row["requests"], row["received"]), (1, len(REQUEST)))
        none = self.house.call("connections", filter="wire:h2")
        self.assertEqual((none["total"], none["connections"]), (1, []))
        problem = self.assertRaises(Refused, self.house.call, "connections", filter="wir:h2")
        self.assertIn("wire:", str(problem))

    def test_sessions(self) -> None:
        """Legacy sessions are told; their keys are not."""
        self.house.ask_server(era="legacy")
        found = self.house.call("sessions")
        (row,) = found["sessions"]
        self.assertEqual((row["id"], row["server"], row["wire"]), ("s1", "sums", "a test"))
        (session,) = self.house.daemon.concourse.sessions
        self.assertNotIn(session.key, str(found))
        self.assertEqual(self.house.read("mcptwist://sessions"), found)

    def test_log(self) -> None:
        """The last lines of the log, from the level that was set."""
        log = Logger("somewhere")
        log.debug("too quiet")
        log.info("hello {who}", who="there")
        lines = [line["text"] for line in self.house.read("mcptwist://log")]
        self.assertIn("hello there", lines)
        self.assertNotIn("too quiet", lines)
        self.house.call("set_log_level", level="debug")
        log.debug("now heard")
        lines = [line["text"] for line in self.house.read("mcptwist://log")]
        self.assertIn("now heard", lines)
        self.assertEqual(self.house.levels, ["debug"])

    def test_metrics(self) -> None:
        """The metrics are the daemon's."""
        self.assertIn(
            'mcptwist_server_up{server="sums"} 0.0', self.house.read("mcptwist://metrics")
        )


class WatchingTests(AdminCase):
    """Live events."""

    def frames(self) -> list[dict[str, Any]]:
        return [frame for events in self.house.events() for frame in events.get("frames", [])]

    def test_traffic(self) -> None:
        """Requests and answers are told while they pass, and end with the call."""
        watching = self.house.watch(topics=["traffic"], seconds=5)
        client = self.house.ask_server()
        self.house.result(client.call_tool("add", {"a": 1, "b": 2}))
        self.house.turn(0.5)
        frames = [f for f in self.frames() if f["method"] == "tools/call"]
        self.assertEqual([f["kind"] for f in frames], ["request", "answer"])
        self.assertTrue(self.house.daemon.traffic.watched)
        self.house.turn(6)
        result = self.successResultOf(watching)
        self.assertGreaterEqual(result["structuredContent"]["frames"], 2)
        self.assertFalse(self.house.daemon.traffic.watched)

    def test_cancelled(self) -> None:
        """Nothing is made any more once the call is cancelled."""
        watching = self.house.watch(topics=["traffic"])
        self.house.turn(0.3)
        watching.addErrback(lambda _: None)
        watching.cancel()
        self.house.turn(0.3)
        self.assertFalse(self.house.daemon.traffic.watched)

    def test_filter(self) -> None:
        """Only what is wanted is told."""
        self.house.watch(topics=["traffic"], filter="tool:fail", seconds=3)
        client = self.house.ask_server()
        self.house.result(client.call_tool("add", {"a": 1, "b": 2}))
        self.house.result(client.call_tool("fail", {}))
        self.house.turn(1)
        self.assertEqual({f["tool"] for f in self.frames()}, {"fail"})

    def test_servers(self) -> None:
        """How servers are is told at first, and again when it changes."""
        self.house.watch(topics=["servers"], seconds=5)
        self.house.turn(0.3)
        (first,) = [change for e in self.house.events() for change in e["servers"]]
        self.assertEqual((first["name"], first["state"]), ("sums", "idle"))
        self.house.ask_server()
        self.house.turn(0.3)
        changes = [change["state"] for e in self.house.events() for change in e["servers"]]
        self.assertEqual(changes, ["up"])

    def test_log(self) -> None:
        """New lines of the log are told."""
        self.house.watch(topics=["log"], seconds=5)
        self.house.turn(0.3)
        Logger("somewhere").info("news")
        self.house.turn(0.3)
        lines = [line["text"] for e in self.house.events() for line in e["log"]]
        self.assertEqual(lines, ["news"])

    def test_silence(self) -> None:
        """Where nothing happens nothing is told."""
        self.house.watch(topics=["traffic", "log"], seconds=5)
        self.house.turn(1)
        self.assertEqual(self.house.heard, [])

    def test_two_watchers(self) -> None:
        """Each hears for itself."""
        other = self.house.result(self.house.connect())
        heard: list[Any] = []
        params = {"name": "watch", "arguments": {"topics": ["servers"], "seconds": 1}}
        other.ask("tools/call", params, heard=heard.append)
        self.house.watch(topics=["servers"], seconds=1)
        self.house.turn(2)
        self.assertEqual((len(heard), len(self.house.heard)), (1, 1))

    def test_legacy(self) -> None:
        """Events reach clients of the legacy era too."""
        house = Administered(era="legacy")
        self.addCleanup(house.stop)
        house.watch(topics=["servers"], seconds=1)
        house.turn(2)
        self.assertEqual(len(house.events()), 1)

    def test_too_many(self) -> None:
        """So many may watch and no more."""
        for _ in range(self.house.daemon.traffic.limits.watchers):
            self.house.watch(topics=["traffic"], seconds=1)
        self.house.turn(0.1)
        problem = self.assertRaises(Refused, self.house.call, "watch", topics=["traffic"])
        self.assertIn("watch the traffic already", str(problem))
        self.house.turn(2)

    def test_meta_key(self) -> None:
        """The key is one that MCP allows, with a prefix."""
        self.assertRegex(EVENTS, r"^[a-z][a-z0-9.-]*/[a-z]+$")


class ServerActionTests(AdminCase):
    """What can be done to servers."""

    def state(self) -> str:
        state: str = self.house.read("mcptwist://status")["servers"][0]["state"]
        return state

    def test_stop_and_start(self) -> None:
        """A stopped server refuses and says why, until it is started."""
        client = self.house.ask_server()
        self.house.call("stop_server", name="sums")
        self.assertEqual(self.state(), "stopped")
        calling = client.call_tool("add", {"a": 1, "b": 2})
        problem = self.assertRaises(ErrorAnswer, self.house.result, calling)
        self.assertIn("was stopped by whoever runs this daemon", str(problem))
        self.house.call("start_server", name="sums")
        self.house.turn(1)
        self.assertEqual(self.state(), "up")
        answer = self.house.result(client.call_tool("add", {"a": 1, "b": 2}))
        self.assertEqual(answer.text, "3")

    def test_start_idle(self) -> None:
        """A server that waits to be asked is started."""
        self.assertEqual(self.state(), "idle")
        self.house.call("start_server", name="sums")
        self.house.turn(1)
        self.assertEqual(self.state(), "up")

    def test_restart(self) -> None:
        """A restart makes a new link."""
        self.house.ask_server()
        self.house.call("restart_server", name="sums")
        self.house.turn(1)
        (server,) = self.house.read("mcptwist://status")["servers"]
        self.assertEqual((server["state"], server["restarts"]), ("up", 1))

    def test_drain(self) -> None:
        """Draining waits for what is open and takes nothing new."""
        client = self.house.ask_server()
        waiting = client.call_tool("wait", {})
        self.house.turn(0.1)
        draining = self.house.client.call_tool("drain_server", {"name": "sums", "within": 60})
        self.house.turn(0.2)
        self.assertEqual(self.state(), "draining")
        refused = client.call_tool("add", {"a": 1, "b": 2})
        self.assertRaises(ErrorAnswer, self.house.result, refused)
        waiting.addErrback(lambda _: None)
        waiting.cancel()
        done = self.house.result(draining, step=0.05)
        self.assertEqual(done.structured_content, {"done": "sums is stopped"})
        self.assertEqual(self.state(), "stopped")

    def test_drain_that_takes_too_long(self) -> None:
        """What is still open then is counted, and fails."""
        client = self.house.ask_server()
        waiting = client.call_tool("wait", {})
        self.house.turn(0.1)
        done = self.house.call("drain_server", name="sums", within=1)
        self.assertEqual(done, {"done": "sums is stopped; 1 calls were not answered"})
        self.assertRaises(ErrorAnswer, self.house.result, waiting)

    def test_unknown(self) -> None:
        """A name that is none is refused with those there are."""
        problem = self.assertRaises(Refused, self.house.call, "restart_server", name="sum")
        self.assertIn("there is: sums", str(problem))

    def test_ask(self) -> None:
        """A server is asked in one's place; each outcome is told apart."""
        add = {"name": "add", "arguments": {"a": 1, "b": 2}}
        good = self.house.call("ask", server="sums", method="tools/call", params=add)
        self.assertEqual((good["status"], good["answer"]["content"][0]["text"]), ("ok", "3"))
        failed = self.house.call("ask", server="sums", method="tools/call", params={"name": "fail"})
        self.assertEqual(failed["status"], "failed")
        error = self.house.call("ask", server="sums", method="tools/call", params={"name": "none"})
        self.assertEqual((error["status"], error["answer"]["code"]), ("error", -32602))
        every = self.house.call("ask", server="", method="tools/list")
        self.assertEqual(len(every["answer"]["tools"]), 3)

    def test_progress(self) -> None:
        """A server's progress is passed on."""
        params = {"server": "sums", "method": "tools/call", "params": {"name": "wait"}}
        asking = self.house.client.ask(
            "tools/call", {"name": "ask", "arguments": params}, heard=self.house.heard.append
        )
        self.house.turn(0.2)
        (said,) = self.house.heard
        self.assertIn(b'"message":"half"', bytes(said.params))
        asking.addErrback(lambda _: None)
        asking.cancel()
        self.house.turn(0.2)
        self.assertEqual(self.house.daemon.gateway.in_flight(), 0)

    def test_replay(self) -> None:
        """A call that was seen is made again; one that was not, or an answer, is not."""
        self.house.watch(topics=["traffic"], seconds=100)
        client = self.house.ask_server()
        self.house.result(client.call_tool("add", {"a": 2, "b": 2}))
        self.house.turn(0.5)
        frames = [f for e in self.house.events() for f in e["frames"] if f.get("tool") == "add"]
        request, answer = frames
        again = self.house.call("replay", number=request["number"])
        self.assertEqual(again["answer"]["content"][0]["text"], "4")
        self.assertRaises(Refused, self.house.call, "replay", number=answer["number"])
        self.assertRaises(Refused, self.house.call, "replay", number=9999)
        whole = self.house.read(f"mcptwist://traffic/{request['number']}")
        self.assertEqual(whole["arguments"], {"a": 2, "b": 2})
        self.assertRaises(ErrorAnswer, self.house.read, "mcptwist://traffic/x")


class KeyTests(SynchronousTestCase):
    """Keys, where there are any."""

    def setUp(self) -> None:
        self.desk = FakeDesk()
        self.house = Administered(desk=self.desk)
        self.addCleanup(self.house.stop)

    def test_keys(self) -> None:
        """They are listed."""
        keys = self.house.read("mcptwist://keys")
        self.assertEqual([key["principal"] for key in keys], ["ada", "bob", "?"])

    def test_approvals(self) -> None:
        """What waits for approval is listed."""
        self.assertEqual(self.house.read("mcptwist://approvals"), [])
        self.desk.waits.append(WAITS)
        (waiting,) = self.house.read("mcptwist://approvals")
        self.assertEqual((waiting["code"], waiting["client"]), ("BCDF-GHJK", "inspector"))

    def test_logins(self) -> None:
        """Who is logged in, all or one principal's."""
        found = self.house.read("mcptwist://logins")
        self.assertEqual((found["total"], len(found["logins"])), (3, 3))
        found = self.house.call("logins", whose="bob")
        self.assertEqual([each["id"] for each in found["logins"]], ["5ca1ab1e"])
        found = self.house.call("logins", limit=1)
        self.assertEqual((found["total"], len(found["logins"])), (3, 1))

    def test_end_login(self) -> None:
        """One ends; where that does not last, or there is none, it is said."""
        self.assertEqual(self.house.call("end_login", id="8f3a01c2")["done"], "8f3a01c2 has ended")
        for id, why in (("0badc0de", "cannot be written"), ("8f3a01c2", "no login is called")):
            problem = self.assertRaises(Refused, self.house.call, "end_login", id=id)
            self.assertIn(why, str(problem))
        self.assertEqual(self.desk.guests.ended, ["8f3a01c2", "0badc0de"])

    def test_revoke(self) -> None:
        """One is revoked; where that cannot be written down, it is said."""
        self.house.call("revoke_key", fingerprint="SHA256:one")
        self.assertEqual(len(self.house.read("mcptwist://keys")), 2)
        problem = self.assertRaises(
            Refused, self.house.call, "revoke_key", fingerprint="SHA256:two"
        )
        self.assertIn("No space left", str(problem))
        self.assertRaises(Refused, self.house.call, "revoke_key", fingerprint="SHA256:one")

    def test_audit(self) -> None:
        """What happens at the gate can be read, and is told to those who watch."""
        audit = self.house.admin.audit
        audit.add(1.0, "info", "auth.token.issued", "principal=ada")
        (line,) = self.house.read("mcptwist://audit")
        self.assertEqual((line["system"], line["text"]), ("auth.token.issued", "principal=ada"))
        self.house.watch(topics=["audit"])
        self.house.turn(0.3)
        self.assertEqual(self.house.events(), [])
        audit.add(2.0, "warn", "auth.request.denied", "reason=stale")
        self.house.turn(0.3)
        (events,) = self.house.events()
        self.assertEqual([each["system"] for each in events["audit"]], ["auth.request.denied"])

    def test_without_keys(self) -> None:
        """A daemon without keys offers nothing about them."""
        house = Administered()
        self.addCleanup(house.stop)
        self.assertRaises(ErrorAnswer, house.read, "mcptwist://keys")


class PageTests(SynchronousTestCase):
    """``docs/administration.rst``."""

    def test_reference(self) -> None:
        """Everything that is offered is told there as it tells of itself, and nothing else."""
        page = PAGE.read_text(encoding="utf-8")
        self.assertEqual(page, rewritten(page), "python -m tests.watching.reference writes it")
        self.assertIn("``mcptwist://status``", page)


class ReloadTests(SynchronousTestCase):
    """Reading the configuration again."""

    def test_lines(self) -> None:
        """What changed is told; what is wrong is refused."""
        said: list[list[str]] = [["one thing", "another"], []]

        def reload() -> list[str]:
            if not said:
                raise McpTwistError("it is no JSON")
            return said.pop(0)

        house = Administered(reload=reload)
        self.addCleanup(house.stop)
        self.assertEqual(house.call("reload_configuration"), {"done": "one thing\nanother"})
        self.assertEqual(house.call("reload_configuration"), {"done": "nothing has changed"})
        problem = self.assertRaises(Refused, house.call, "reload_configuration")
        self.assertIn("it is no JSON", str(problem))

    def test_no_file(self) -> None:
        """A daemon without a file says so."""
        house = Administered()
        self.addCleanup(house.stop)
        problem = self.assertRaises(Refused, house.call, "reload_configuration")
        self.assertIn("not started from a configuration file", str(problem))


class ClientActionTests(AdminCase):
    """What can be done to clients."""

    def ids(self) -> list[str]:
        return [row["id"] for row in self.house.call("connections")["connections"]]

    def test_close(self) -> None:
        """A connection is cut; it cannot be cut twice."""
        peer = self.house.peer()
        (id,) = self.ids()
        self.house.call("close_connection", id=id)
        self.assertFalse(peer.connected)
        problem = self.assertRaises(Refused, self.house.call, "close_connection", id=id)
        self.assertIn("it may be gone", str(problem))

    def test_drain(self) -> None:
        """An idle connection is closed when it is drained."""
        peer = self.house.peer()
        (id,) = self.ids()
        self.house.call("drain_connection", id=id)
        self.house.turn(5)
        self.assertFalse(peer.connected)

    def test_ban(self) -> None:
        """Who is banned is cut off on all connections, and kept out for a while."""
        first, second = self.house.peer(), self.house.peer()
        other = self.house.peer("198.51.100.1")
        rows = self.house.call("connections", filter="peer:203.0.113.7")["connections"]
        done = self.house.call("ban_connection", id=rows[0]["id"], seconds=60)
        self.assertIn("2 connections were closed", done["done"])
        self.assertEqual((first.connected, second.connected, other.connected), (False, False, True))
        self.assertRaises(ConnectionRefusedError, self.house.peer)
        self.assertEqual(list(self.house.call("bans")["hosts"]), ["203.0.113.7"])
        self.house.turn(61)
        self.house.peer()

    def test_lift_ban(self) -> None:
        """A ban can be lifted, once."""
        self.house.peer()
        (id,) = self.ids()
        self.house.call("ban_connection", id=id)
        self.house.call("lift_ban", host="203.0.113.7")
        self.house.peer()
        self.assertRaises(Refused, self.house.call, "lift_ban", host="203.0.113.7")

    def test_close_session(self) -> None:
        """A legacy session is ended."""
        self.house.ask_server(era="legacy")
        self.house.call("close_session", id="s1")
        self.assertEqual(self.house.call("sessions")["total"], 0)
        self.assertRaises(Refused, self.house.call, "close_session", id="s1")
