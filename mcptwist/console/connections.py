"""Who is connected: connections, and the sessions of legacy clients."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from mcptwist.console import keymap
from mcptwist.console.model import clean
from mcptwist.console.screen import CannotDo, TableScreen, TextScreen
from mcptwist.console.tables import Column, Markup, Table
from mcptwist.watching.figures import amount, octets, rate, span
from mcptwist.watching.status import CONNECTION_FIELDS, ConnectionStatus, SessionStatus

if TYPE_CHECKING:
    from mcptwist.console.app import Console


_ORDERS = {
    "age": "age", "quiet": "idle", "open": "in_flight", "requests": "requests",
    "in": "received", "out": "sent",
}  # fmt: skip
"""Which order of the daemon's is that of a column; the others order what it tells."""


class _Clients(TableScreen):
    """What both have in common."""

    def ids(self, words: Sequence[str]) -> list[str]:
        """Those that were named, or marked, or the one with the cursor."""
        return list(words) or [each.id for each in self.table.chosen()]

    def words(self) -> Iterable[str]:
        """Their ids."""
        return [*(each.id for each in self.rows()), *(c.name for c in self.table.columns)]

    def what(self, command: str, words: Sequence[str]) -> str:
        """Their ids and names."""
        ids = set(self.ids(words))
        return ", ".join(f"{e.id} {clean(e.client)}".strip() for e in self.rows() if e.id in ids)

    def _each(self, tool: str, words: Sequence[str]) -> None:
        ids = self.ids(words)
        if not ids:
            raise CannotDo("there is nobody here")
        self.console.act(tool, *({"id": id} for id in ids))

    def do_open(self) -> None:
        if self.table.row is not None:
            self.console.push(ClientScreen(self, self.table.row.id))


class ClientScreen(TextScreen):
    """One connection or session, as it is now; what can be done to it is the list's business."""

    def __init__(self, among: _Clients, id: str) -> None:
        place = among.place.removesuffix("s")
        super().__init__(among.console, id, place=place)
        self.id = id
        self._among = among
        self._known: list[Markup] = []

    def wants(self) -> set[str]:
        """What the list wants."""
        return self._among.wants()

    def what(self, command: str, words: Sequence[str]) -> str:
        """This one."""
        return self._among.what(command, words or [self.id])

    def words(self) -> Iterable[str]:
        """The ids of all of them."""
        return self._among.words()

    def lines(self, width: int) -> Sequence[Markup]:
        """All that is known of it; when it is gone, what was known last."""
        row = next((row for row in self._among.rows() if row.id == self.id), None)
        if row is None:
            return [*self._known, "", ("bad", f"{self.id} is gone")]
        self._known = _detail(row)
        return self._known

    def do_close(self, *words: str) -> None:
        self._among.method("close")(*(words or [self.id]))  # type: ignore[misc]

    def do_drain(self, *words: str) -> None:
        self._among.method("drain")(*(words or [self.id]))  # type: ignore[misc]

    def do_ban(self, *words: str) -> None:
        self._among.method("ban")(*(words or [self.id]))  # type: ignore[misc]


class ConnectionsScreen(_Clients):
    """Connections."""

    place = title = keymap.CONNECTIONS

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        columns = [
            Column("id", "ID", 6, lambda c: int(c.id[1:]), lambda c: c.id),
            Column("client", "CLIENT", 0, lambda c: c.client, lambda c: clean(c.client or "-")),
            Column("principal", "PRINCIPAL", 20, lambda c: c.principal,
                   lambda c: clean(c.principal), from_width=130),
            Column("wire", "WIRE", 9, lambda c: c.wire, lambda c: c.wire),
            Column("era", "ERA", 6, lambda c: c.era, lambda c: c.era),
            Column("tls", "TLS", 6, lambda c: c.tls, _tls, from_width=100),
            Column("peer", "PEER", 21, lambda c: c.peer, lambda c: clean(c.peer), from_width=110),
            Column("age", "AGE", 6, lambda c: c.age, lambda c: span(c.age), right=True, falls=True),
            Column("quiet", "IDLE", 6, lambda c: c.idle, lambda c: span(c.idle), right=True,
                   falls=True),
            Column("open", "OPEN", 4, lambda c: c.in_flight, lambda c: amount(c.in_flight),
                   right=True, falls=True),
            Column("requests", "REQS", 6, lambda c: c.requests, lambda c: amount(c.requests),
                   right=True, falls=True),
            Column("speed", "REQ/S", 6, self._rate, lambda c: rate(self._rate(c)), right=True,
                   falls=True, from_width=90),
            Column("in", "IN", 6, lambda c: c.received, lambda c: octets(c.received), right=True,
                   falls=True),
            Column("out", "OUT", 6, lambda c: c.sent, lambda c: octets(c.sent), right=True,
                   falls=True),
        ]  # fmt: skip
        names = [name for name in CONNECTION_FIELDS if name != "server"]
        self.table = Table(
            columns,
            lambda connection: connection.id,
            fields=lambda c: {name: getattr(c, name) for name in names},
            names=names,
            sort="age",
        )

    def _rate(self, connection: ConnectionStatus) -> float:
        return self.world.request_rates.get(connection.id, 0.0)

    def rows(self) -> Sequence[Any]:
        """Those the daemon told."""
        return self.world.connections

    def wants(self) -> set[str]:
        """The connections."""
        return {"connections"}

    def do_sort(self, name: str) -> None:
        super().do_sort(name)
        self._ask()

    def do_filter(self, text: str = "") -> None:
        super().do_filter(text)
        self._ask()

    def clicked(self, row: int, column: int) -> None:
        """A row or a title was clicked."""
        super().clicked(row, column)
        self._ask()

    def _ask(self) -> None:
        """Have the daemon tell those that matter here, for it may have more than it tells."""
        asking: dict[str, Any] = {"sort": _ORDERS.get(self.table.order, "age")}
        if self.table.order in _ORDERS and not self.table.falls:
            asking["least"] = True
        if self.table.sieve:
            asking["filter"] = self.table.sieve.text
        if asking != self.console.feed.connections:
            self.console.feed.connections = asking
            self.console.feed.look_soon()

    def badge(self) -> str:
        """How many there are beyond those that are told."""
        beyond = self.world.connection_count - len(self.world.connections)
        more = f"{beyond} more are not shown" if beyond > 0 else ""
        return "  ".join(part for part in (super().badge(), more) if part)

    def what(self, command: str, words: Sequence[str]) -> str:
        """All of those that are shown, for what is done to all."""
        if command == "kick-all":
            return f"{len(self._shown())} connections"
        if command == "ban":
            ids = set(self.ids(words))
            hosts = {c.peer.rpartition(":")[0] or c.peer for c in self.rows() if c.id in ids}
            return ", ".join(sorted(map(clean, hosts)))
        return super().what(command, words)

    def _shown(self) -> list[ConnectionStatus]:
        return [c for c in self.table.shown() if c.wire != "socket"]

    def answer_to(self, command: str) -> str:
        """What has to be typed before a command is done; empty where ``y`` is enough."""
        return str(len(self._shown())) if command == "kick-all" else ""

    def do_close(self, *words: str) -> None:
        self._each("close_connection", words)

    def do_drain(self, *words: str) -> None:
        self._each("drain_connection", words)

    def do_ban(self, *words: str) -> None:
        self._each("ban_connection", words)

    def do_kick_all(self) -> None:
        ids = [connection.id for connection in self._shown()]
        self.console.act("close_connection", *({"id": id} for id in ids))


class SessionsScreen(_Clients):
    """Sessions of legacy clients."""

    place = title = keymap.SESSIONS

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        columns = [
            Column("id", "ID", 6, lambda s: int(s.id[1:]), lambda s: s.id),
            Column("client", "CLIENT", 0, lambda s: s.client, lambda s: clean(s.client or "-")),
            Column("server", "SERVER", 14, lambda s: s.server, lambda s: clean(s.server or "all")),
            Column("wire", "WIRE", 14, lambda s: s.wire, lambda s: clean(s.wire)),
            Column("revision", "REVISION", 10, lambda s: s.revision, lambda s: s.revision),
            Column("principal", "PRINCIPAL", 20, lambda s: s.principal,
                   lambda s: clean(s.principal), from_width=130),
            Column("age", "AGE", 6, lambda s: s.age, lambda s: span(s.age), right=True, falls=True),
            Column("quiet", "IDLE", 6, lambda s: s.idle, lambda s: span(s.idle), right=True,
                   falls=True),
            Column("open", "OPEN", 4, lambda s: s.in_flight, lambda s: amount(s.in_flight),
                   right=True, falls=True),
            Column("listens", "HEARS", 5, lambda s: s.listens,
                   lambda s: "yes" if s.listens else "no"),
        ]  # fmt: skip
        names = ("id", "client", "server", "wire", "principal")
        self.table = Table(
            columns,
            lambda session: session.id,
            fields=lambda s: {name: getattr(s, name) for name in names},
            names=names,
            sort="age",
        )

    def rows(self) -> Sequence[Any]:
        """Those the daemon told."""
        return self.world.sessions

    def wants(self) -> set[str]:
        """The sessions."""
        return {"sessions"}

    def do_close(self, *words: str) -> None:
        self._each("close_session", words)


def _tls(connection: ConnectionStatus) -> str:
    """The version alone, for the protocol inside is in the column of the wire."""
    return clean(connection.tls.partition(" ")[0].removeprefix("TLSv"))


def _detail(row: ConnectionStatus | SessionStatus) -> list[Markup]:
    lines: list[Markup] = []
    for name in row.__struct_fields__:
        value = getattr(row, name)
        if name in ("age", "idle"):
            value = span(value)
        elif name in ("received", "sent"):
            value = f"{value} bytes"
        lines.append([("head", f"{name.replace('_', ' '):12}"), clean(value)])
    return lines
