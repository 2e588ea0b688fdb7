"""A line that is being typed, with completion and a history."""

from __future__ import annotations

from collections.abc import Callable

import urwid

from mcptwist.console import keymap
from mcptwist.console.model import clean

HISTORY = 200


class Prompt:
    """A line that is being typed.

    :param taken: gets it when it is ended with enter.
    :param caption: what stands before it.
    :param history: what was typed before, the newest last.
    """

    def __init__(
        self,
        caption: str,
        taken: Callable[[str], None],
        text: str = "",
        history: list[str] | None = None,
        complete: Callable[[str], list[str]] = lambda line: [],
    ) -> None:
        self.edit = urwid.Edit(("prompt", clean(caption)), text, wrap="clip")
        self.taken = taken
        self._history = history if history is not None else []
        self._complete = complete
        self._back = 0

    @property
    def text(self) -> str:
        """What was typed so far."""
        return str(self.edit.edit_text)

    def key(self, key: str, width: int) -> str:
        """A key was pressed: ``go``, ``leave``, what could be meant, or nothing."""
        if key == "enter":
            if self.text.strip() and self._history[-1:] != [self.text]:
                self._history.append(self.text)
                del self._history[:-HISTORY]
            return "go"
        if key in ("esc", "ctrl c") or (key == "backspace" and not self.text):
            return "leave"
        if key in ("up", "down"):
            self._recall(1 if key == "up" else -1)
        elif key == "tab":
            return self._completed()
        elif key == "ctrl u":
            self._put("")
        elif key == "ctrl w":
            self._put(self.text.rstrip().rpartition(" ")[0])
        else:
            self.edit.keypress((width,), key)
        return ""

    def _put(self, text: str) -> None:
        self.edit.set_edit_text(text)
        self.edit.set_edit_pos(len(text))

    def _recall(self, by: int) -> None:
        self._back = max(0, min(self._back + by, len(self._history)))
        self._put(self._history[-self._back] if self._back else "")

    def _completed(self) -> str:
        # What others named may hold line ends and worse; nobody could type that either.
        found = [each for each in self._complete(self.text) if each.isprintable()]
        if len(found) == 1:
            self._put(found[0] + ("" if found[0].endswith(":") else " "))
            return ""
        self._put(keymap.common(found) or self.text)
        return "  ".join(each.rpartition(" ")[2] for each in found)
