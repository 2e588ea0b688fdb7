"""Somebody at a terminal that is not there: keys go in, the screen comes out as text."""

from __future__ import annotations

from typing import Any

import urwid.testing

from mcptwist.console.app import Console
from mcptwist.console.palette import UNICODE, Signs
from tests.administered import Administered

_KEYS = {"<enter>": "enter", "<esc>": "esc", "<tab>": "tab", "<up>": "up", "<down>": "down",
         "<space>": " ", "<back>": "backspace"}  # fmt: skip


class Seat:
    """A console, connected to a daemon in memory.

    :ivar left: whether it was left.
    """

    def __init__(
        self,
        house: Administered | None = None,
        *,
        size: tuple[int, int] = (100, 24),
        signs: Signs = UNICODE,
        read_only: bool = False,
        connect: Any = None,
    ) -> None:
        self.house = house or Administered()
        self.size = size
        self.left = False
        self.console = Console(
            connect or self.house.connect,
            self.house.reactor,
            "a test",
            left=self._leave,
            signs=signs,
            read_only=read_only,
        )
        self.console.start()
        self.turn()

    def _leave(self) -> None:
        self.left = True

    def turn(self, seconds: float = 0.3) -> None:
        """Let things happen."""
        self.house.turn(seconds, 30)

    def press(self, *keys: str) -> list[str]:
        """Press keys, and see what is on the screen then."""
        for key in keys:
            self.console.top.keypress(self.size, _KEYS.get(key, key))
        self.turn()
        return self.lines()

    def type(self, text: str) -> list[str]:
        """Type a text and end it with enter."""
        return self.press(*text, "<enter>")

    def command(self, line: str) -> list[str]:
        """Type a command."""
        return self.type(f":{line}")

    def lines(self) -> list[str]:
        """What is on the screen."""
        found: list[str] = urwid.testing.render_text(
            self.console.top, self.size, focus=True, strip=True
        )
        return found

    def screen(self) -> str:
        """The same as one text."""
        return "\n".join(self.lines())

    def body(self) -> list[str]:
        """What is between the lines above and below."""
        return [line for line in self.lines()[2:-2] if line]

    def focused(self) -> str:
        """The row with the cursor."""
        runs = urwid.testing.render_runs(self.console.top, self.size, focus=True)
        marked = ["".join(t for a, t in row if a == "focus") for row in runs]
        return next((text.strip() for text in marked if text), "")

    def colour_of(self, text: str) -> Any:
        """In which colour that text is written."""
        runs = urwid.testing.render_runs(self.console.top, self.size, focus=True)
        return next(a for row in runs for a, shown in row if text in shown)

    def close(self) -> None:
        """Leave; and the daemon stops as well."""
        self.house.result(self.console.stop(), turns=200, step=0.1)
        self.house.stop()
