"""Tables whose newest row is followed until one looks at another."""

from __future__ import annotations

from mcptwist.console.screen import TableScreen

_LAST = 1 << 40


class FollowingScreen(TableScreen):
    """Rows in order of time, the newest at the end.

    :ivar follows: whether the cursor goes to each new row.
    """

    follows = True

    def fresh(self) -> None:
        """Look at the rows there are, and go to the newest if it is followed."""
        super().fresh()
        if self.follows:
            self.table.go(_LAST)

    def badge(self) -> str:
        """Whether the newest row is followed."""
        parts = (super().badge(), "following" if self.follows else "")
        return "  ".join(part for part in parts if part)

    def clicked(self, row: int, column: int) -> None:
        """The one that was clicked stays under the cursor."""
        self.follows = False
        super().clicked(row, column)

    def do_follow(self) -> None:
        self.follows = not self.follows

    def do_down(self, *words: str) -> None:
        self.follows = False
        super().do_down(*words)

    def do_up(self, *words: str) -> None:
        self.follows = False
        super().do_up(*words)

    def do_page(self, *words: str) -> None:
        self.follows = False
        super().do_page(*words)

    def do_top(self) -> None:
        self.follows = False
        super().do_top()
