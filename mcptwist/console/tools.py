"""What servers offer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from mcptwist.console import keymap
from mcptwist.console.calls import begin_call
from mcptwist.console.model import Offer, clean
from mcptwist.console.screen import TableScreen, TextScreen
from mcptwist.console.tables import Column, Markup, Table
from mcptwist.console.widgets import json_lines

if TYPE_CHECKING:
    from mcptwist.console.app import Console


class ToolsScreen(TableScreen):
    """Tools, resources and prompts of all servers."""

    place = title = keymap.TOOLS

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        columns = [
            Column("server", "SERVER", 16, lambda o: o.server, lambda o: clean(o.server)),
            Column("kind", "KIND", 8, lambda o: o.kind, lambda o: o.kind),
            Column("name", "NAME", 28, lambda o: o.name, lambda o: clean(o.name)),
            Column("description", "DESCRIPTION", 0, lambda o: o.description,
                   lambda o: clean(o.description)),
        ]  # fmt: skip
        self.table = Table(columns, lambda offer: (offer.server, offer.kind, offer.name))

    def entered(self) -> None:
        """Ask every server once; each is started by that, if it was not."""
        if not self.world.offers:
            self.do_refresh()

    def rows(self) -> Sequence[Any]:
        """What was told so far."""
        return self.world.offers

    def empty(self) -> str:
        """Nothing has come yet."""
        return "the servers are being asked; ctrl-r asks them again"

    def badge(self) -> str:
        """Who has not told anything."""
        told = {offer.server for offer in self.world.offers}
        asked = {name for name, s in self.world.servers.items() if s.state != "misconfigured"}
        silent = sorted(asked - told)
        parts = [super().badge(), f"nothing from {', '.join(silent)}" if silent else ""]
        return "  ".join(part for part in parts if part)

    def hint(self) -> str:
        """The description, for which its column may be too narrow."""
        return "" if self.table.row is None else str(self.table.row.description)

    def words(self) -> Iterable[str]:
        """The columns."""
        return [column.name for column in self.table.columns]

    def do_refresh(self) -> None:
        self.console.browse()

    def do_open(self) -> None:
        if self.table.row is not None:
            self.console.push(OfferScreen(self.console, self.table.row))

    def do_call(self) -> None:
        if self.table.row is not None:
            begin_call(self.console, self.table.row)


class OfferScreen(TextScreen):
    """One tool, resource or prompt."""

    def __init__(self, console: Console, offer: Offer) -> None:
        super().__init__(console, offer.name, place=keymap.OFFER)
        self.offer = offer

    def lines(self, width: int) -> Sequence[Markup]:
        """All that its server says of it."""
        offer = self.offer
        text = msgspec.json.encode(offer.told).decode()
        return [
            [("head", "Server      "), clean(offer.server)],
            [("head", f"{offer.kind.capitalize():12}"), clean(offer.name)],
            "",
            *(clean(line) for line in offer.description.splitlines()),
            "",
            *json_lines(text),
        ]

    def do_call(self) -> None:
        begin_call(self.console, self.offer)
