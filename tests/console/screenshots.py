"""Draws the screens of ``docs/console.rst`` and writes its tables of keys and commands.

``python -m tests.console.screenshots`` does. The screens are those of a daemon in memory, after
some traffic.
"""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

from mcptwist.console import keymap
from tests.administered import Administered
from tests.console.seat import Seat

DOCS = Path(__file__).resolve().parent.parent.parent / "docs"
FOLDER, PAGE = DOCS / "screens", DOCS / "console.rst"
SIZE = (108, 18)


def draw() -> dict[str, str]:
    """Every screen of the tour, by name; the hours are those of Greenwich."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = "UTC"
    time.tzset()
    random.seed(1)  # back-off has jitter
    try:
        return _drawn()
    finally:
        os.environ.pop("TZ") if before is None else os.environ.update(TZ=before)
        time.tzset()


def _drawn() -> dict[str, str]:
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
    seat.size = (SIZE[0], 34)
    seat.press("7")
    seat.turn(2)
    screens["metrics"] = seat.screen()
    seat.size = (SIZE[0], 24)
    seat.press("1", "?")
    screens["help"] = seat.screen()
    seat.close()
    screens["form"] = _form()
    return screens


def _form() -> str:
    """A form, of a daemon with one server: of several, it depends on who answers first."""
    seat = Seat(Administered(), size=SIZE)
    seat.press("4")
    seat.turn(1.5)
    seat.press("c", "<enter>", "4", "0", "<enter>")
    screen = seat.screen()
    seat.close()
    return screen


def rewritten(page: str) -> str:
    """The page, with the tables as they have to be."""
    head, _, rest = page.partition("Keys\n----\n")
    _, _, tail = rest.partition("What it costs\n-------------\n")
    return f"{head}{_keys()}\n{_commands()}\nWhat it costs\n-------------\n{tail}"


def _keys() -> str:
    """The key map, as a table."""
    rows = "".join(
        f"   * - {where}\n     - ``{keys}``\n     - {meaning}\n"
        for where, keys, meaning in keymap.help_table()
    )
    return f"""\
Keys
----

``?`` shows those of the view one is in, and the capital letters that sort there.

.. list-table::
   :header-rows: 1
   :widths: 18 22 60

   * - Where
     - Key
     - What it does
{rows}"""


def _commands() -> str:
    """The commands, as a list of definitions."""
    rows = "".join(
        f"``:{f'{command.name} {command.takes}'.strip()}``\n   {command.help[:1].upper()}"
        f"{command.help[1:]}.{_where(command.places)}\n"
        for command in keymap.COMMANDS
    )
    return f"""\
Commands
--------

Every key is a command, and commands can be typed after ``:``, as short as they are clear, with
``tab`` to complete them and the arrows for what was typed before. Names and ids may follow; without
them, what is marked is meant, or what has the cursor.

{rows}"""


def _where(places: tuple[str, ...]) -> str:
    return f" In: {', '.join(places)}." if places else ""


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, text in draw().items():
        (FOLDER / f"{name}.txt").write_text(text.rstrip() + "\n", encoding="utf-8")
    PAGE.write_text(rewritten(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
