"""Every view of the console, driven by keys and read as text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.client import Client
from mcptwist.console.palette import ASCII
from mcptwist.errors import ServerUnreachable
from tests.administered import LOGIN, WAITS, Administered, FakeDesk
from tests.console.seat import Seat

MANY = {
    "sums": {"python": "tests.administered:sums"},
    "other": {"python": "tests.administered:sums"},
    "bad": {"comand": "x"},
}


class SeatCase(SynchronousTestCase):
    """Somebody at a console."""

    read_only = False
    size = (110, 24)
    servers: dict[str, Any] | None = None

    def setUp(self) -> None:
        self.seat = self.sit()
        self.addCleanup(lambda: self.seat.close())

    def sit(self) -> Seat:
        house = Administered(self.servers)
        return Seat(house, size=self.size, read_only=self.read_only)

    def client(self, name: str = "sums", era: str = "modern") -> Client:
        return self.seat.house.ask_server(name, era)

    def call(self, client: Client, tool: str = "add", **arguments: Any) -> None:
        """A call, and a while for the console to hear of it."""
        if tool == "add":
            arguments = {"a": 1, "b": 2, **arguments}
        self.seat.house.result(client.call_tool(tool, arguments))
        self.seat.turn(0.5)

    def sees(self, *texts: str) -> None:
        screen = self.seat.screen()
        for text in texts:
            self.assertIn(text, screen)

    def sees_not(self, *texts: str) -> None:
        screen = self.seat.screen()
        for text in texts:
            self.assertNotIn(text, screen)


class FrameTests(SeatCase):
    """What is around every view."""

    def test_header_and_footer(self) -> None:
        """Whom one looks at, where one is, and what can be done."""
        lines = self.seat.lines()
        self.assertTrue(lines[0].startswith(" mcptwist a test"))
        self.assertIn("1 server ", lines[0])
        self.assertEqual(lines[1], " servers")
        self.assertIn("? help", lines[-1])

    def test_views(self) -> None:
        """A number leads to each view."""
        names = ("servers", "connections", "traffic", "tools", "keys", "log", "metrics")
        for number, name in enumerate(names, 1):
            self.seat.press(str(number))
            self.assertTrue(self.seat.lines()[1].startswith(f" {name}"), name)

    def test_help(self) -> None:
        """Help is about where one is, and goes away again."""
        self.seat.press("2", "?")
        self.sees("In connections", "c ", "close connections, or end sessions", "Everywhere")
        self.assertIn(
            "connections \N{SINGLE RIGHT-POINTING ANGLE QUOTATION MARK} help", self.seat.lines()[1]
        )
        self.seat.press("?", "<esc>")
        self.assertEqual(self.seat.lines()[1], " connections")

    def test_crumbs(self) -> None:
        """Enter goes in, esc comes out."""
        self.seat.press("<enter>")
        self.assertEqual(
            self.seat.lines()[1], " servers \N{SINGLE RIGHT-POINTING ANGLE QUOTATION MARK} sums"
        )
        self.seat.press("<esc>")
        self.assertEqual(self.seat.lines()[1], " servers")

    def test_quit(self) -> None:
        """q leaves a view, and at the bottom the console; so does ctrl-c."""
        self.seat.press("<enter>", "q")
        self.assertFalse(self.seat.left)
        self.seat.press("q")
        self.assertTrue(self.seat.left)

    def test_ctrl_c(self) -> None:
        """ctrl-c is q."""
        self.seat.press("ctrl c")
        self.assertTrue(self.seat.left)

    def test_commands(self) -> None:
        """What a key does can be typed; nonsense is said to be some."""
        self.seat.command("traffic")
        self.assertTrue(self.seat.lines()[1].startswith(" traffic"))
        self.seat.command("xyzzy")
        self.sees("there is no command 'xyzzy'")
        self.seat.command("start sums")
        self.sees("start means nothing here; it does in servers or server")
        self.seat.command("sort")
        self.sees("that cannot be understood: sort")

    def test_completion(self) -> None:
        """Tab goes on as far as it can, and shows what there is."""
        self.seat.press(*":res", "<tab>")
        self.sees(":restart")
        self.seat.press("<tab>", *"su", "<tab>")
        self.sees(":restart sums")
        self.seat.press("<esc>", *":re", "<tab>")
        self.sees("refresh  reload  restart")

    def test_history(self) -> None:
        """What was typed comes back."""
        self.seat.command("log")
        self.seat.command("servers")
        self.seat.press(":", "<up>", "<up>", "<enter>")
        self.assertTrue(self.seat.lines()[1].startswith(" log"))
        self.seat.press(":", "<up>", "<down>")
        self.assertEqual(self.seat.lines()[-1], ":")

    def test_editing(self) -> None:
        """The line can be edited, and left."""
        self.seat.press(*":servers xy", "ctrl w")
        self.assertEqual(self.seat.lines()[-1], ":servers")
        self.seat.press("ctrl u")
        self.assertEqual(self.seat.lines()[-1], ":")
        self.seat.press("<back>")
        self.assertIn("? help", self.seat.lines()[-1])

    def test_messages_go(self) -> None:
        """What was said is gone after a while."""
        self.seat.command("xyzzy")
        self.seat.turn(7)
        self.sees_not("xyzzy")

    def test_export(self) -> None:
        """What is seen can be written to a file, which must not be there yet."""
        path = Path(self.mktemp())
        self.seat.command(f"export {path}")
        self.assertIn("sums", path.read_text())
        self.assertEqual(path.stat().st_mode & 0o777, 0o600)
        self.seat.command(f"export {path}")
        self.sees("File exists")

    def test_sizes(self) -> None:
        """Any size of terminal will do."""
        for view in "1234567?":
            self.seat.press(view)
            for size in ((200, 60), (80, 24), (40, 10), (10, 5), (3, 3), (1, 1)):
                self.seat.size = size
                self.assertEqual(len(self.seat.lines()), size[1])
            self.seat.size = (3, 2)
            self.seat.press(":")
            self.seat.lines()
            self.seat.size = (110, 24)
            self.seat.press("<esc>")

    def test_interval(self) -> None:
        """How often it looks can be changed, within reason."""
        self.seat.press("7", "+")
        self.sees("every 0.5 s")
        self.seat.press("-", "-")
        self.sees("every 2 s")
        self.seat.command("interval 1000")
        self.sees("every 60 s")
        self.seat.command("interval often")
        self.sees("often is no number of seconds")

    def test_reload(self) -> None:
        """The configuration can be read again, after a question."""
        self.seat.command("reload")
        self.sees("Read the configuration again, and restart servers that changed? [y/N]")
        self.seat.press("y", "<enter>")
        self.sees("not started from a configuration file")

    def test_failure_of_the_console(self) -> None:
        """A mistake in the console is told, and the console goes on."""

        def broken() -> None:
            raise ZeroDivisionError("oops")

        self.seat.console.screen.do_open = broken  # type: ignore[attr-defined]
        self.seat.press("<enter>")
        self.sees("the console failed: oops")
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)


class ServersTests(SeatCase):
    """The servers."""

    servers = MANY

    def row(self, name: str) -> str:
        return next(line for line in self.seat.body() if line[1:].startswith(f"{name} "))

    def test_states(self) -> None:
        """Each server, how it is and why."""
        self.assertIn("idle", self.row("sums"))
        self.assertIn("misconfi", self.row("bad"))
        self.seat.size = (160, 24)
        self.sees("mcpServers.bad")
        self.call(self.client())
        self.seat.turn(2)
        self.assertIn(" up ", self.row("sums"))
        self.seat.press("j")
        self.assertEqual(self.seat.colour_of("up  "), "good")

    def test_moving(self) -> None:
        """With letters and arrows alike."""
        self.assertTrue(self.seat.focused().startswith("sums"))
        self.seat.press("j")
        self.assertTrue(self.seat.focused().startswith("other"))
        self.seat.press("<up>")
        self.assertTrue(self.seat.focused().startswith("sums"))
        self.seat.press("G")
        self.assertTrue(self.seat.focused().startswith("bad"))
        self.seat.press("g")
        self.assertTrue(self.seat.focused().startswith("sums"))

    def test_sort(self) -> None:
        """A capital letter sorts, and again the other way round; the title shows it."""
        self.seat.press("N")
        self.sees("SERVER▲")
        self.assertTrue(self.seat.body()[1].startswith(" bad"))
        self.seat.press("N")
        self.sees("SERVER▼")
        self.assertTrue(self.seat.body()[1].startswith(" sums"))
        self.seat.command("sort colour")
        self.sees("there is no column colour; there are name, state")

    def test_filter(self) -> None:
        """Typed tokens; a badge shows the filter, and esc drops it."""
        self.seat.press(*"/state:misc", "<enter>")
        self.assertEqual(len(self.seat.body()), 2)
        self.sees("filter: state:misc")
        self.seat.press("<esc>")
        self.assertEqual(len(self.seat.body()), 4)
        self.seat.press(*"/color:x", "<enter>")
        self.sees("there is no color:, there are name:")

    def test_detail(self) -> None:
        """One server: calls, processes, tools with their percentiles."""
        client = self.client()
        self.call(client)
        self.call(client, "fail")
        self.seat.press("<enter>")
        self.seat.turn(1.5)
        self.sees("State     up", "2 ok, 1 failed", "modern", "1 starts", "fail", "p99")
        self.sees("Configuration", "reached         tests.administered:sums")

    def test_restart(self) -> None:
        """It asks first; y does it, anything else does not."""
        self.call(self.client())
        self.seat.press("r")
        self.sees("Restart sums? [y/N]")
        self.seat.press("n", "<enter>")
        self.sees("nothing was done")
        self.seat.press("r", "<esc>")
        self.seat.press("r", "y", "<enter>")
        self.seat.turn(1.5)
        (server,) = [s for s in self.seat.house.survey.status().servers if s.name == "sums"]
        self.assertEqual(server.restarts, 1)
        self.sees("sums is restarting")

    def test_stop_marked(self) -> None:
        """What is marked is what is stopped."""
        self.seat.press("<space>", "<space>")
        self.sees("2 marked", "●")
        self.seat.press("x")
        self.sees("Stop sums, other?")
        self.seat.press("y", "<enter>")
        self.sees("sums is stopped; other is stopped")
        self.sees_not("marked")
        self.seat.turn(1.5)
        self.assertIn("stopped", self.row("sums"))
        self.assertIn("stopped", self.row("other"))

    def test_many(self) -> None:
        """What was done to many is told in one line."""
        self.seat.command("stop sums other nobody nowhere")
        self.seat.press("y", "<enter>")
        self.sees("2 of 4 were done; there is no server nobody")

    def test_reason(self) -> None:
        """Why the server with the cursor is as it is has a line of its own."""
        self.seat.press("G")
        self.assertIn("bad: mcpServers.bad", self.seat.lines()[-2])

    def test_completion_of_filters(self) -> None:
        """Tab goes on with fields, and with what is in them."""
        self.seat.press(*"/sta", "<tab>")
        self.assertEqual(self.seat.lines()[-1], "/state:")
        self.seat.press("m", "<tab>", *"-na", "<tab>", "o", "<tab>")
        self.assertEqual(self.seat.lines()[-1], "/state:misconfigured -name:other")
        self.seat.press("ctrl u", *"nothing:", "<tab>")
        self.assertEqual(self.seat.lines()[-1], "/nothing:")

    def test_to_its_tools_and_traffic(self) -> None:
        """Its tools and its traffic are one key away."""
        self.seat.press("t")
        self.sees("tools    filter: server:sums")
        self.seat.press("1", "j", "<enter>", "w")
        self.sees("traffic    filter: server:other")

    def test_help_names_columns(self) -> None:
        """Help has the letters that sort."""
        self.seat.size = (110, 60)
        self.seat.press("?")
        self.sees("by restarts (RST)", "by calls (CALLS/S)")

    def test_start_by_name(self) -> None:
        """A command names servers itself."""
        self.seat.command("start other")
        self.seat.turn(1.5)
        self.assertIn(" up ", self.row("other"))
        self.seat.command("stop nobody")
        self.seat.press("y", "<enter>")
        self.sees("there is no server nobody; there is:")

    def test_drain_from_detail(self) -> None:
        """The same can be done from near."""
        self.seat.press("<enter>", "d", "y", "<enter>")
        self.seat.turn(1.5)
        self.sees("sums is stopped", "State     stopped")

    def test_unmark(self) -> None:
        """Marks can be dropped."""
        self.seat.press("<space>")
        self.seat.command("unmark")
        self.sees_not("marked")

    def test_click(self) -> None:
        """A click goes to a row; one on a title sorts."""
        self.seat.console.top.mouse_event(self.seat.size, "mouse press", 1, 3, 4, True)
        self.assertTrue(self.seat.focused().startswith("other"))
        self.seat.console.top.mouse_event(self.seat.size, "mouse press", 1, 3, 2, True)
        self.sees("SERVER▲")
        self.seat.console.top.mouse_event(self.seat.size, "mouse press", 5, 3, 4, True)
        self.assertTrue(self.seat.focused())

    def test_narrow(self) -> None:
        """A narrow terminal leaves columns out, not rows."""
        self.seat.size = (80, 24)
        self.sees("SERVER", "STATE", "CALLS/S", "MEM")
        self.sees_not("SCOPE", "LAST")


class ConnectionsTests(SeatCase):
    """Who is connected."""

    def setUp(self) -> None:
        super().setUp()
        self.peers = [self.seat.house.peer(port=port) for port in (1001, 1002, 1003)]
        self.seat.press("2")
        self.seat.turn(2)

    def test_rows(self) -> None:
        """Each connection."""
        self.assertEqual(len(self.seat.body()), 4)
        self.sees("c1", "http/1.1", "203.0.113.7:1002")

    def test_detail(self) -> None:
        """All that is known of one."""
        self.seat.press("<enter>")
        self.sees("peer", "203.0.113.7", "received    0 bytes")
        for peer in self.peers:
            peer.protocol.dataReceived(b"GET /health HTTP/1.1\r\nHost: localhost:8808\r\n\r\n")
        self.seat.turn(2)
        self.sees("requests    1", "received    46 bytes")

    def test_steering_from_detail(self) -> None:
        """What can be done in the list can be done from near, and what is gone is said to be."""
        self.seat.press("I", "g", "<enter>")
        for key, question in (("c", "Close c1"), ("d", "Drain c1"), ("b", "Ban 203.0.113.7")):
            self.seat.press(key)
            self.sees(question)
            self.seat.press("<esc>")
        self.seat.press("c", "y", "<enter>")
        self.seat.turn(2)
        self.assertEqual(sum(peer.connected for peer in self.peers), 2)
        self.sees("c1 is gone", "peer        203.0.113.7")

    def test_close(self) -> None:
        """The one with the cursor, after a question."""
        self.seat.press("c")
        self.sees("Close c")
        self.seat.press("y", "<enter>")
        self.seat.turn(1.5)
        self.assertEqual(sum(peer.connected for peer in self.peers), 2)
        self.assertEqual(len(self.seat.body()), 3)

    def test_drain(self) -> None:
        """An idle one is closed at once."""
        self.seat.press("d", "y", "<enter>")
        self.seat.turn(4)
        self.assertEqual(sum(peer.connected for peer in self.peers), 2)

    def test_ban_and_lift(self) -> None:
        """All of an address go, and stay out until they are let in."""
        self.seat.press("b")
        self.sees("Ban 203.0.113.7 for an hour?")
        self.seat.press("y", "<enter>")
        self.assertFalse(any(peer.connected for peer in self.peers))
        self.assertRaises(ConnectionRefusedError, self.seat.house.peer)
        self.seat.command("bans")
        self.seat.turn(1.5)
        self.sees("203.0.113.7", "59m")
        self.seat.press("x")
        self.sees("may connect again")
        self.seat.turn(1.5)
        self.sees("nobody is banned")
        self.seat.press("x")
        self.sees("nobody is banned")
        self.seat.press("1")
        self.seat.command("lift")
        self.sees(":bans shows them")
        self.seat.command("lift 203.0.113.7")
        self.sees("203.0.113.7 is not banned")
        self.seat.house.peer()

    def test_kick_all(self) -> None:
        """It takes more than a y."""
        self.seat.command("kick-all")
        self.sees("This closes 3 connections. Type their number to do it:")
        self.seat.press("y", "<enter>")
        self.assertTrue(all(peer.connected for peer in self.peers))
        self.seat.command("kick-all")
        self.seat.press("3", "<enter>")
        self.assertFalse(any(peer.connected for peer in self.peers))

    def test_sessions(self) -> None:
        """Tab leads to the sessions of legacy clients, and back; they can be closed."""
        self.client(era="legacy")
        self.seat.press("<tab>")
        self.seat.turn(2)
        self.sees("s1", "2025-11-25", "sums")
        self.seat.press("<enter>")
        self.sees("revision")
        self.seat.press("<esc>", "c", "y", "<enter>")
        self.seat.turn(2)
        self.assertEqual(len(self.seat.house.daemon.concourse.sessions), 0)
        self.seat.press("<tab>")
        self.assertTrue(self.seat.lines()[1].startswith(" bans"))
        self.seat.press("<tab>")
        self.assertTrue(self.seat.lines()[1].startswith(" connections"))

    def test_nobody(self) -> None:
        """Where nobody is, nothing can be closed."""
        for peer in self.peers:
            peer.lose()
        self.seat.turn(2)
        self.seat.press("c")
        self.sees("there is nothing here to do that to")


class TrafficTests(SeatCase):
    """What passes."""

    def setUp(self) -> None:
        super().setUp()
        self.asker = self.client()
        self.seat.press("3")
        self.seat.turn(0.5)

    def test_live(self) -> None:
        """A request and its answer are one line."""
        self.call(self.asker)
        self.call(self.asker, "fail")
        self.seat.size = (140, 24)
        self.sees('{"a":1,"b":2}', "→ it does not work")
        self.seat.size = self.size
        rows = [line for line in self.seat.body() if "tools/call" in line]
        self.assertEqual(len(rows), 2)
        self.assertIn("add", rows[0])
        self.assertIn("ok", rows[0])
        self.assertIn("failed", rows[1])

    def test_nothing_is_watched_elsewhere(self) -> None:
        """Whoever leaves the view costs the daemon nothing any more."""
        self.assertTrue(self.seat.house.daemon.traffic.watched)
        self.seat.press("1")
        self.seat.turn(0.5)
        self.assertFalse(self.seat.house.daemon.traffic.watched)

    def test_filter(self) -> None:
        """The filter is the daemon's too, so that what passes it is not missed."""
        self.seat.press(*"/tool:fail", "<enter>")
        self.seat.turn(0.5)
        self.call(self.asker)
        self.call(self.asker, "fail")
        self.assertEqual(len(self.seat.body()), 2)
        self.assertEqual(
            {m.frame.tool for m in self.seat.console.world.messages.values()}, {"fail"}
        )
        self.seat.press("<esc>")
        self.call(self.asker)
        self.assertEqual(len(self.seat.body()), 3)

    def test_pause(self) -> None:
        """It stands still and counts what comes."""
        self.call(self.asker)
        before = len(self.seat.body())
        self.seat.press("p")
        self.call(self.asker)
        self.assertEqual(len(self.seat.body()), before)
        self.sees("PAUSED, 2 came since")
        self.seat.press("p")
        self.sees_not("PAUSED")

    def test_follow(self) -> None:
        """Moving up stops following; f follows again."""
        for _ in range(3):
            self.call(self.asker)
        newest = self.seat.focused()
        self.seat.press("k")
        self.sees_not("following")
        self.assertNotEqual(self.seat.focused(), newest)
        self.seat.press("f")
        self.sees("following")
        self.assertEqual(self.seat.focused(), newest)
        self.seat.press("g")
        self.sees_not("following")

    def test_detail(self) -> None:
        """Both sides as JSON."""
        self.call(self.asker)
        self.seat.press("<enter>")
        self.seat.size = (110, 50)
        self.sees("Server    sums", "tools/call add", '"a": 1', "Answer ok", '"text": "3"')

    def test_long_messages_are_fetched(self) -> None:
        """What the frame does not show is asked for."""
        self.call(self.asker, a=1, note="x" * 5000 + "THE END")
        self.seat.press("<enter>")
        self.seat.size = (6000, 60)
        self.seat.turn(0.5)
        self.sees("THE END")

    def test_replay(self) -> None:
        """A call is made again, after a question, and its answer shown."""
        self.call(self.asker, a=20, b=22)
        self.seat.press("r")
        self.sees("Make this call again: tools/call add of sums?")
        self.seat.press("y", "<enter>")
        self.sees("add again", "Answer ok", '"text": "42"')

    def test_replay_after_looking_away(self) -> None:
        """What is on the screen whole can be made again, whatever the daemon has kept."""
        self.call(self.asker, a=20, b=22)
        self.seat.press("1")
        self.seat.turn(0.5)
        self.seat.press("3", "r", "y", "<enter>")
        self.sees("add again", '"text": "42"')

    def test_replay_of_what_is_long(self) -> None:
        """What is longer the daemon still has while it is watched."""
        self.call(self.asker, note="x" * 5000)
        self.seat.press("r", "y", "<enter>")
        self.sees("add again", "unknown field `note`")

    def test_unseen(self) -> None:
        """A call whose answer came while nobody looked is not said to be open for ever."""
        waiting = self.asker.call_tool("wait", {})
        waiting.addErrback(lambda _: None)
        self.seat.turn(0.5)
        self.sees(" open ")
        self.seat.press("1", "3")
        self.sees("unseen")

    def test_filter_keeps_answers(self) -> None:
        """Another filter misses no answer to what was asked before."""
        waiting = self.asker.call_tool("wait", {})
        self.seat.turn(0.5)
        self.seat.press(*"/tool:wait", "<enter>")
        self.seat.turn(0.5)
        waiting.addErrback(lambda _: None)
        waiting.cancel()
        self.seat.turn(0.5)
        self.sees("cancelled")

    def test_replay_from_detail(self) -> None:
        """The same from near."""
        self.call(self.asker)
        self.seat.press("<enter>", "r", "y", "<enter>")
        self.sees("Answer ok")

    def test_replay_of_nothing(self) -> None:
        """What is no message cannot be made again."""
        self.seat.command("replay 99")
        self.sees("there is no such message")

    def test_clear(self) -> None:
        """What has passed can be forgotten."""
        self.call(self.asker)
        self.seat.press("c")
        self.sees("nothing has passed since")

    def test_export(self) -> None:
        """Messages are written as JSON lines."""
        self.call(self.asker)
        path = Path(self.mktemp())
        self.seat.command(f"export {path}")
        (line,) = path.read_text().splitlines()
        self.assertEqual(json.loads(line)["answer"]["status"], "ok")


class ToolsTests(SeatCase):
    """What servers offer."""

    def setUp(self) -> None:
        super().setUp()
        self.seat.press("4")
        self.seat.turn(1)

    def test_rows(self) -> None:
        """Tools of every server."""
        self.sees("add", "Add two numbers.", "fail")

    def test_detail(self) -> None:
        """The description and the schema."""
        self.seat.press("<enter>")
        self.sees("Tool        add", '"inputSchema"')

    def test_call(self) -> None:
        """A form is made of the schema; what is wrong is said, what is right is called."""
        self.seat.press("c")
        self.sees("call add", "integer*")
        self.seat.press("c")
        self.sees("a must be filled in")
        self.seat.press("<enter>")
        self.assertEqual(self.seat.lines()[-1], "a (integer):")
        self.seat.press(*"x1", "<enter>")
        self.sees("a: x1 is no integer")
        self.seat.press("<enter>", "4", "0", "<enter>")
        self.seat.command("set b 2")
        self.seat.press("c")
        self.sees("Answer    ok", "42")
        self.seat.press("<esc>", "<esc>")
        self.assertTrue(self.seat.lines()[1].startswith(" tools"))

    def test_call_without_arguments(self) -> None:
        """There is no form where there is nothing to fill in."""
        self.seat.press("j", "c")
        self.sees("Answer    failed", "it does not work")

    def test_progress(self) -> None:
        """Progress is shown while one waits."""
        self.seat.press("G", "c")
        self.seat.turn(0.5)
        self.sees("Progress  half", "waiting for the answer")
        self.seat.press("x")
        self.sees("given up", "wait was cancelled")
        self.assertEqual(self.seat.house.daemon.gateway.in_flight(), 0)
        self.seat.press("x")
        self.sees("there is nothing to wait for any more")

    def test_leaving_cancels(self) -> None:
        """Whoever goes back before there is an answer waits for none."""
        self.seat.press("G", "c")
        self.seat.turn(0.5)
        self.assertEqual(self.seat.house.daemon.gateway.in_flight(), 1)
        self.seat.press("<esc>")
        self.seat.turn(0.5)
        self.assertEqual(self.seat.house.daemon.gateway.in_flight(), 0)

    def test_nobody_to_decline(self) -> None:
        """A form of the console's own cannot be declined."""
        self.seat.press("c", "d")
        self.sees("nobody asks for this")

    def test_silent(self) -> None:
        """Who has offered nothing is named."""
        self.sees_not("nothing from")
        self.seat.console.world.offers = []
        self.sees("nothing from sums")

    def test_set_nothing(self) -> None:
        """A field that is none is said to be none."""
        self.seat.press("c")
        self.seat.command("set x 2")
        self.sees("there is no field x")


class ElicitationTests(SeatCase):
    """A server that asks the person something."""

    servers = {"asking": {"python": "tests.console.asking_server:server"}}

    def test_form(self) -> None:
        """Its form is shown, and what was filled in reaches it."""
        self.seat.press("4")
        self.seat.turn(1)
        self.seat.press("c")
        self.seat.turn(1)
        self.sees("asking asks", "How many daisies?", "count", "c answers, d declines")
        self.seat.console.top.mouse_event(self.seat.size, "mouse press", 1, 3, 2, True)
        self.seat.press("<enter>", "7", "<enter>", "c")
        self.seat.turn(1)
        self.sees("Answer    ok", "7 daisies")

    def ask(self) -> None:
        self.seat.press("4")
        self.seat.turn(1)
        self.seat.press("c")
        self.seat.turn(1)

    def test_decline(self) -> None:
        """The person may say no, or go back and say nothing; the server hears which."""
        self.ask()
        self.seat.press("d")
        self.seat.turn(1)
        self.sees("Answer    failed", "no daisies")
        self.ask()
        self.seat.press("<esc>")
        self.seat.turn(1)
        self.sees("Answer    failed", "no daisies")

    def test_nobody_looks(self) -> None:
        """A question does not open over whatever else is looked at by then."""
        self.seat.press("4")
        self.seat.turn(1)
        for key in ("c", "1"):
            self.seat.console.top.keypress(self.seat.size, key)
        self.seat.turn(1)
        self.assertTrue(self.seat.lines()[1].startswith(" servers"))
        self.sees("daisies: failed after")


class LogTests(SeatCase):
    """The log."""

    def setUp(self) -> None:
        super().setUp()
        self.log = Logger("somewhere")
        self.seat.press("6")

    def test_lines(self) -> None:
        """Lines come as they are logged, and can be read whole."""
        self.log.warn("first {text}", text="x" * 300 + " the end")
        self.seat.turn(0.5)
        self.sees("warn", "first xxx")
        self.seat.press("<enter>")
        self.seat.size = (400, 24)
        self.sees("the end", "System  somewhere")

    def test_filter_and_follow(self) -> None:
        """It can be filtered, and stands still when one goes up."""
        for word in ("alpha", "beta", "gamma"):
            self.log.info("{word}", word=word)
        self.seat.turn(0.5)
        self.assertIn("gamma", self.seat.focused())
        self.seat.press("k")
        self.assertIn("beta", self.seat.focused())
        self.sees_not("following")
        self.seat.press("p")
        self.assertIn("gamma", self.seat.focused())
        self.seat.press(*"/text:alpha", "<enter>")
        self.assertEqual(len(self.seat.body()), 2)

    def test_click(self) -> None:
        """The line that was clicked stays under the cursor, whatever comes."""
        for word in ("alpha", "beta", "gamma"):
            self.log.info("{word}", word=word)
        self.seat.turn(0.5)
        row = next(n for n, line in enumerate(self.seat.lines()) if "beta" in line)
        self.seat.console.top.mouse_event(self.seat.size, "mouse press", 1, 3, row, True)
        self.log.info("delta")
        self.seat.turn(0.5)
        self.assertIn("beta", self.seat.focused())

    def test_level(self) -> None:
        """The level can be set from here."""
        self.seat.command("level debug")
        self.sees("logging from debug on")
        self.log.debug("very quiet")
        self.seat.turn(0.5)
        self.sees("very quiet")
        self.seat.command("level loud")
        self.sees("level")


class MetricsTests(SeatCase):
    """Numbers."""

    def test_all(self) -> None:
        """Graphs, servers, bounds and counters."""
        self.call(self.client())
        self.seat.size = (110, 60)
        self.seat.press("7")
        self.seat.turn(3)
        self.sees("Calls/s", "Reactor lag", "Memory", "sessions", "10.0k", "sums", "█", "every 1 s")

    def test_narrow_and_filtered(self) -> None:
        """One column of counters, and only lines with a word."""
        self.seat.size = (80, 60)
        self.seat.press("7")
        self.seat.house.peer()
        self.seat.turn(2)
        self.sees("http.connections")
        self.seat.press(*"/lag", "<enter>")
        self.sees("Reactor lag")
        self.sees_not("Memory")

    def test_scrolling(self) -> None:
        """A short terminal scrolls."""
        self.seat.size = (80, 10)
        self.seat.press("7", "G")
        self.sees_not("Reactor lag")
        self.seat.press("g")
        self.sees("Reactor lag")
        self.seat.press("j", "ctrl f", "k", "ctrl b")
        self.assertEqual(len(self.seat.lines()), 10)


class KeysTests(SeatCase):
    """The keys."""

    def test_keys(self) -> None:
        """Who may come in, and revoking, which asks."""
        self.seat.close()
        self.seat = Seat(Administered(desk=FakeDesk()), size=(140, 24))
        self.seat.press("5")
        self.seat.turn(1)
        self.sees("ada", "in use", "mcp:read mcp:admin", "never", "over", "unknown", "1m30s ago")
        self.seat.press("G")
        self.sees("somebody at 203.0.113.9 calls itself SHA256:new", "mcptwist authorize add")
        self.seat.press("x", "y", "<enter>")
        self.sees("a key that is not authorized cannot be revoked")
        self.seat.press("g")
        self.seat.press("x")
        self.sees("Revoke the keys of ada SHA256:one? That stays so:")
        self.seat.press("y", "<enter>")
        self.seat.turn(1.5)
        self.sees_not("ada")
        self.seat.press("x", "y", "<enter>")
        self.sees("No space left")
        self.seat.press("<enter>")
        self.sees("fingerprint", "SHA256:two")

    def test_waiting(self) -> None:
        """What waits for somebody with a key is there too, and what to type about it."""
        desk = FakeDesk()
        desk.waits.append(WAITS)
        self.seat.close()
        self.seat = Seat(Administered(desk=desk), size=(140, 24))
        self.seat.press("5")
        self.seat.turn(1)
        self.sees("inspector", "waits", "BCDF-GHJK", "ada")
        self.seat.press("g")
        self.sees("inspector (back to localhost:6274) at 203.0.113.9 waits 3m20s more")
        self.sees("mcptwist approve BCDF-GHJK --url https://a.example")
        self.seat.press("<enter>")
        self.sees("issuer", "https://a.example/mcp", "3m20s")
        self.seat.press("<esc>", "x", "y", "<enter>")
        self.sees("cannot be revoked")
        desk.waits.clear()
        self.seat.turn(2)
        self.sees_not("inspector")

    def test_logins(self) -> None:
        """Who is logged in is behind the keys; one is ended, which asks."""
        desk = FakeDesk()
        self.seat.close()
        self.seat = Seat(Administered(desk=desk), size=(140, 24))
        self.seat.press("5", "<tab>")
        self.seat.turn(1)
        self.sees("8f3a01c2", "ada", "inspector", "browser", "2h00m", "1m30s", "203.0.113.9")
        self.sees("https://a.example/mcp, by the key SHA256:one", "10h00m", "device", "bob")
        self.seat.press("g", "<enter>")
        self.sees("last used", "bound", "True")
        self.seat.press("<esc>")
        self.seat.command("end 5ca1ab1e")
        self.sees("End 5ca1ab1e (bob, key)?")
        self.seat.press("n", "<enter>")
        self.assertEqual(desk.guests.ended, [])
        self.seat.command("end 5ca1ab1e")
        self.seat.press("y", "<enter>")
        self.seat.turn(1.5)
        self.assertEqual(desk.guests.ended, ["5ca1ab1e"])
        self.sees("5ca1ab1e has ended")
        self.sees_not("bob")
        self.seat.command("end 0badc0de")
        self.seat.press("y", "<enter>")
        self.sees("cannot be written")
        self.seat.command("end nothing")
        self.sees("there is no such login here")
        self.seat.press("<tab>")
        self.assertTrue(self.seat.lines()[1].startswith(" keys"))

    def test_no_logins(self) -> None:
        """Without any, and where nobody can log in."""
        self.seat.press("5", "<tab>")
        self.seat.turn(1)
        self.sees("nobody is logged in")
        self.seat.press("x")
        self.sees("there is no such login here")

    def test_many_logins(self) -> None:
        """How many there are beyond those that are told."""
        self.seat.console.world.saw_logins([LOGIN], 501)
        self.seat.press("5", "<tab>")
        self.sees("500 more are not shown")

    def test_audit(self) -> None:
        """What happens at the gate is a log of its own, behind the other."""
        desk = FakeDesk()
        self.seat.close()
        desk.audit.add(0.0, "info", "auth.token.issued", "principal=ada")
        self.seat = Seat(Administered(desk=desk), size=(140, 24))
        self.seat.press("6", "<tab>")
        self.sees("audit    following", "auth.token.issued", "principal=ada")
        desk.audit.add(1.0, "warn", "auth.request.denied", "reason=stale")
        self.seat.turn(0.5)
        self.sees("auth.request.denied", "reason=stale")
        self.seat.press("<tab>")
        self.assertTrue(self.seat.lines()[1].startswith(" log"))

    def test_no_keys(self) -> None:
        """A daemon without keys says so."""
        self.seat.press("5")
        self.seat.turn(1)
        self.sees("no [auth] section")
        self.seat.command("audit")
        self.sees("nothing happened at the gate")


class ReadOnlyTests(SeatCase):
    """``--read-only``."""

    read_only = True

    def test_nothing_can_be_changed(self) -> None:
        """It is said on the screen, and every change is refused before it asks."""
        self.sees("only looking")
        for line in ("stop", "restart", "start", "drain", "level debug", "lift 1.2.3.4"):
            self.seat.command(line)
            self.sees("this console only looks")
        self.seat.press("4")
        self.seat.turn(1)
        self.seat.press("c")
        self.sees("this console only looks")
        self.assertEqual(self.seat.house.levels, [])


class AsciiTests(SynchronousTestCase):
    """``--ascii``."""

    def test_nothing_else(self) -> None:
        """No view has anything but ASCII on it."""
        seat = Seat(signs=ASCII, size=(110, 40))
        self.addCleanup(seat.close)
        seat.house.result(seat.house.ask_server().call_tool("add", {"a": 1, "b": 2}))
        seat.turn(2)
        for key in ("1", "N", "<space>", "<enter>", "2", "3", "4", "5", "6", "7", "?"):
            seat.press(key)
            self.assertTrue(seat.screen().isascii(), key)


class LinkTests(SynchronousTestCase):
    """The line to the daemon."""

    def setUp(self) -> None:
        self.house = Administered()
        self.clients: list[Client] = []
        self.problem: Exception | None = None
        self.seat = Seat(self.house, connect=self.connect, size=(120, 12))
        self.addCleanup(self.seat.close)

    def connect(self) -> Deferred[Client]:
        if self.problem is not None:
            failed: Deferred[Client] = Deferred()
            failed.errback(self.problem)
            return failed
        return self.house.connect().addCallback(self.remember)

    def remember(self, client: Client) -> Client:
        self.clients.append(client)
        return client

    def cut(self) -> None:
        """The connection is lost."""
        supervisor: Any = self.clients[-1]._supervisor
        supervisor.link.wire.close()
        self.seat.turn(0.2)

    def test_comes_back(self) -> None:
        """A connection that is lost is made again, and that is said."""
        self.seat.turn(1)
        self.cut()
        self.seat.turn(2)
        self.assertEqual(len(self.clients), 2)
        self.assertIn("connected again", self.seat.screen())
        self.assertIn("sums", self.seat.screen())

    def test_stays_away(self) -> None:
        """While nobody is there, that is seen, with the reason; what was seen stays."""
        self.problem = ServerUnreachable("nobody listens there")
        self.cut()
        self.seat.turn(3)
        self.assertIn("LOST", self.seat.lines()[0])
        self.assertIn("trying again: nobody listens there", self.seat.screen())
        self.assertIn("sums", self.seat.screen())
        self.assertEqual(self.seat.colour_of("LOST"), "alarm")
        self.seat.press("r", "y", "<enter>")
        self.assertIn("not reached at present", self.seat.screen())
        self.problem = None
        self.seat.turn(6)
        self.assertNotIn("LOST", self.seat.screen())

    def test_another_daemon(self) -> None:
        """What passed before stays, is never taken for a message of another connection."""
        self.seat.press("3")
        self.seat.turn(0.5)
        asker = self.house.ask_server()
        self.house.result(asker.call_tool("add", {"a": 1, "b": 2, "note": "x" * 5000}))
        self.seat.turn(0.5)
        self.cut()
        self.seat.turn(2)
        self.house.daemon.traffic.frames = 0
        self.house.result(asker.call_tool("fail", {}))
        self.seat.turn(0.5)
        self.assertIn(" add ", self.seat.screen())
        self.assertIn(" fail ", self.seat.screen())
        self.seat.press(*"/tool:add", "<enter>", "r", "y", "<enter>")
        self.assertIn("the daemon has forgotten it", self.seat.screen())

    def test_what_was_said_before(self) -> None:
        """Why it is lost is seen at once, and how old the picture is."""
        self.seat.turn(1)
        self.seat.command("xyzzy")
        self.problem = ServerUnreachable("nobody listens there")
        self.cut()
        self.seat.turn(3)
        self.assertIn("trying again: nobody listens there", self.seat.screen())
        self.assertRegex(self.seat.lines()[0], r"LOST 2\.\ds ago")

    def test_traffic_is_watched_again(self) -> None:
        """What was seen is seen again after that."""
        self.seat.press("3")
        self.seat.turn(0.5)
        self.cut()
        self.seat.turn(2)
        self.house.result(self.house.ask_server().call_tool("add", {"a": 1, "b": 2}))
        self.seat.turn(0.5)
        self.assertIn("tools/call", self.seat.screen())

    def test_other_version(self) -> None:
        """A daemon whose pictures cannot be read is said to be of another version."""
        self.patch_format(99)
        self.seat.turn(2)
        self.assertIn("is newer than this console", self.seat.screen())
        self.patch_format(1)
        self.seat.turn(2)
        self.assertNotIn("newer", self.seat.screen())

    def patch_format(self, format: int) -> None:
        survey = self.house.survey

        def status(detailed: str = "") -> Any:
            return msgspec.structs.replace(type(survey).status(survey, detailed), format=format)

        survey.status = status  # type: ignore[method-assign]
