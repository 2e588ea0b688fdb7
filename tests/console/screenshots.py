"""Draws the screens of ``docs/console.rst``: ``python -m tests.console.screenshots``.

They are those of a daemon in memory, after some traffic. The key map of the page is printed
with ``--keys``.
"""

from __future__ import annotations

import sys
from pathlib import Path

from mcptwist.console import keymap
from tests.administered import Administered
from tests.console.seat import Seat

FOLDER = Path(__file__).resolve().parent.parent.parent / "docs" / "screens"
SIZE = (108, 18)


def draw() -> dict[str, str]:
    """Every screen of the tour, by name."""
    house = Administered(
        {
            "sums": {"python": "tests.administered:sums"},
            "notes": {"python": "tests.administered:sums", "scope": "session"},
            "broken": {"python": "tests.administered:nobody"},
        }
    )
    seat = Seat(house, size=SIZE)
    sums, legacy = house.ask_server(), house.ask_server("notes", "legacy")
    for port in (50112, 50340, 50341):
        peer = house.peer("203.0.113.7", port)
        peer.protocol.dataReceived(b"GET /health HTTP/1.1\r\nHost: localhost:8808\r\n\r\n" * 3)
    for count in (1, 3, 2, 5, 4, 6):
        for number in range(count):
            house.result(sums.call_tool("add", {"a": number, "b": 2}))
        house.result(legacy.call_tool("add", {"a": 1, "b": 2}))
        seat.turn(1.0)
    house.call("start_server", name="broken")
    seat.turn(1.5)
    screens = {"servers": seat.screen()}
    seat.press("<enter>")
    seat.turn(1.5)
    screens["server"] = seat.screen()
    seat.press("2")
    seat.turn(1.5)
    screens["connections"] = seat.screen()
    seat.press("c")
    screens["confirm"] = seat.screen()
    seat.press("<esc>", "3")
    seat.turn(0.5)
    for tool, arguments in (("add", {"a": 20, "b": 22}), ("fail", {}), ("add", {"a": 1, "b": 1})):
        house.result(sums.call_tool(tool, arguments))
    seat.turn(0.5)
    screens["traffic"] = seat.screen()
    seat.press("g", "<enter>")
    screens["message"] = seat.screen()
    seat.press("4")
    seat.turn(1.5)
    seat.press(*"/server:sums", "<enter>", "c", "<enter>", "4", "0", "<enter>")
    screens["form"] = seat.screen()
    seat.press("7")
    seat.turn(2)
    screens["metrics"] = seat.screen()
    seat.press("1", "?")
    screens["help"] = seat.screen()
    seat.close()
    return screens


def key_rows() -> str:
    """The key map, as rows of a table."""
    return "".join(
        f"   * - {where}\n     - ``{keys}``\n     - {meaning}\n"
        for where, keys, meaning in keymap.help_table()
    )


def command_rows() -> str:
    """The commands, as a list of definitions."""
    return "".join(
        f"``:{f'{command.name} {command.takes}'.strip()}``\n   {command.help[:1].upper()}"
        f"{command.help[1:]}.{_where(command.places)}\n"
        for command in keymap.COMMANDS
    )


def _where(places: tuple[str, ...]) -> str:
    return f" In: {', '.join(places)}." if places else ""


if __name__ == "__main__":
    if "--keys" in sys.argv:
        sys.stdout.write(key_rows() + "\n" + command_rows())
    else:
        FOLDER.mkdir(exist_ok=True)
        for name, text in draw().items():
            (FOLDER / f"{name}.txt").write_text(text.rstrip() + "\n", encoding="utf-8")
