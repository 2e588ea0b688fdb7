"""Every command in every place it is for, and every key: nothing breaks, and something is seen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from mcptwist.console import keymap
from mcptwist.console.palette import ASCII, UNICODE, Signs
from tests.administered import Administered, FakeDesk
from tests.console.seat import Seat

WORDS = {
    "sort": "name", "interval": "2", "filter": "x", "level": "info", "lift": "203.0.113.9",
    "set": "a 1", "down": "2", "up": "1", "page": "1",
}  # fmt: skip


def _go(*keys: str) -> Callable[[Seat], None]:
    def press(seat: Seat) -> None:
        for key in keys:
            seat.press(key)
            seat.turn(0.6)

    return press


PLACES: dict[str, Callable[[Seat], None]] = {
    keymap.SERVERS: _go("1"),
    keymap.SERVER: _go("1", "<enter>"),
    keymap.CONNECTIONS: _go("2"),
    keymap.CONNECTION: _go("2", "<enter>"),
    keymap.SESSIONS: _go("2", "<tab>"),
    keymap.SESSION: _go("2", "<tab>", "<enter>"),
    keymap.BANS: _go("2", "<tab>", "<tab>"),
    keymap.TRAFFIC: _go("3"),
    keymap.MESSAGE: _go("3", "g", "<enter>"),
    keymap.TOOLS: _go("4"),
    keymap.OFFER: _go("4", "<enter>"),
    keymap.FORM: _go("4", "g", "c"),
    keymap.CALL: _go("4", "G", "c"),
    keymap.KEYS: _go("5"),
    keymap.LOGINS: _go("5", "<tab>"),
    keymap.LOG: _go("6"),
    keymap.AUDIT: _go("6", "<tab>"),
    keymap.METRICS: _go("7"),
    keymap.TEXT: _go("5", "<enter>"),
    keymap.HELP: _go("1", "?"),
}
"""How one gets to each place."""


class EverywhereTests(SynchronousTestCase):
    """One console in each place after the other."""

    def sit(self, read_only: bool = False, signs: Signs = UNICODE) -> Seat:
        """A console that has seen something of everything."""
        desk = FakeDesk()
        desk.audit.add(0.0, "info", "auth.token.issued", "principal=ada")
        house = Administered(desk=desk)
        seat = Seat(house, size=(120, 30), read_only=read_only, signs=signs)
        self.addCleanup(seat.close)
        house.peer()
        house.ask_server(era="legacy")
        self.asker = house.ask_server()
        seat.press("4", "3")
        seat.turn(1)
        return seat

    def get_to(self, seat: Seat, place: str) -> None:
        seat.press("<esc>")
        seat.house.peer()  # one that does nothing is closed after a while
        for name in keymap.MAIN:
            seat.console.show(name)
            seat.console.execute("filter")
        seat.console.world.pause(False)
        seat.console.show(keymap.TRAFFIC)
        seat.turn()
        if not seat.console.world.messages:
            seat.house.result(self.asker.call_tool("add", {"a": 1, "b": 2}))
            seat.turn(0.6)
        PLACES[place](seat)
        seat.console.message = None
        self.assertEqual(seat.console.screen.place, place)

    def test_every_place_is_known(self) -> None:
        """There is a way to each place that keys or commands are for."""
        named = {b.place for b in keymap.BINDINGS} | {p for c in keymap.COMMANDS for p in c.places}
        self.assertEqual(named - {keymap.ANYWHERE} - PLACES.keys(), set())

    def test_every_command(self) -> None:
        """Each can be done, or says why not; those that ask are asked, and told no."""
        seat = self.sit()
        for place in PLACES:
            for command in keymap.at(place):
                self.get_to(seat, place)
                words = WORDS.get(command.name, "")
                if command.name == "export":
                    words = str(Path(self.mktemp()).absolute())
                line = f"{command.name} {words}".strip()
                seat.console.execute(line)
                seat.turn()
                where = f"{line} in {place}:\n{seat.screen()}"
                self.assertNotIn("the console failed", seat.screen(), where)
                if command.places:
                    self.assertNotIn("means nothing here", seat.screen(), where)
                if command.asks:
                    asked = seat.console.prompt is not None or seat.console.message is not None
                    self.assertTrue(asked, where)
                if seat.console.prompt is not None:
                    seat.press("<esc>")
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_every_key(self) -> None:
        """Each key of each place does what its command does, with ASCII as well."""
        seat = self.sit(signs=ASCII)
        for place in PLACES:
            for binding in keymap.BINDINGS:
                if binding.place not in (place, keymap.ANYWHERE):
                    continue
                self.get_to(seat, place)
                seat.press(binding.keys[0])
                screen = seat.screen()
                where = f"{binding.keys[0]} in {place}:\n{screen}"
                self.assertNotIn("the console failed", screen, where)
                if binding.place:
                    self.assertNotIn("means nothing here", screen, where)
                self.assertTrue(screen.isascii(), where)
                seat.press("<esc>")
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_read_only(self) -> None:
        """Where nothing may be changed, every command that would change something says so."""
        seat = self.sit(read_only=True)
        for place in PLACES.keys() - {keymap.FORM, keymap.CALL}:
            for command in keymap.at(place):
                if command.changes:
                    self.get_to(seat, place)
                    seat.console.execute(f"{command.name} {WORDS.get(command.name, '')}".strip())
                    self.assertIn("this console only looks", seat.screen(), (place, command.name))
                    self.assertIsNone(seat.console.prompt)
