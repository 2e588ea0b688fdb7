"""From where nobody may connect."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from mcptwist.console import keymap
from mcptwist.console.model import clean
from mcptwist.console.screen import CannotDo, TableScreen
from mcptwist.console.tables import Column, Table
from mcptwist.watching.figures import span

if TYPE_CHECKING:
    from mcptwist.console.app import Console


class BansScreen(TableScreen):
    """Addresses that are kept out, and for how long."""

    place = title = keymap.BANS

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        columns = [
            Column("host", "HOST", 40, lambda ban: ban[0], lambda ban: clean(ban[0])),
            Column("left", "FOR", 8, lambda ban: ban[1], lambda ban: span(ban[1]), right=True,
                   falls=True),
        ]  # fmt: skip
        self.table = Table(columns, lambda ban: ban[0])

    def rows(self) -> Sequence[Any]:
        """Those the daemon told."""
        return list(self.world.bans.items())

    def empty(self) -> str:
        """There is none."""
        return "nobody is banned"

    def wants(self) -> set[str]:
        """The bans."""
        return {"bans"}

    def words(self) -> Iterable[str]:
        """The addresses."""
        return self.world.bans

    def do_lift(self, *words: str) -> None:
        hosts = list(words) or [host for host, _ in self.table.chosen()]
        if not hosts:
            raise CannotDo(self.empty())
        self.console.act("lift_ban", *({"host": host} for host in hosts))
