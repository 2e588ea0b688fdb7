"""Who is logged in, and ending logins."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from mcptwist.console import keymap
from mcptwist.console.model import clean
from mcptwist.console.screen import CannotDo, TableScreen, TextScreen
from mcptwist.console.tables import Column, Markup, Table
from mcptwist.watching.figures import amount, span
from mcptwist.watching.reports import LoginStatus

if TYPE_CHECKING:
    from mcptwist.console.app import Console

_FIELDS = ("id", "principal", "key", "client", "way", "resource", "source")
_TIMES = ("since", "ends", "last_used")


class LoginsScreen(TableScreen):
    """Clients that people let in, and tokens that keys asked for."""

    place = title = keymap.LOGINS

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        columns = [
            Column("id", "ID", 8, lambda each: each.id, lambda each: each.id),
            Column("principal", "PRINCIPAL", 16, lambda each: each.principal,
                   lambda each: clean(each.principal)),
            Column("client", "CLIENT", 0, lambda each: each.client,
                   lambda each: clean(each.client or "-")),
            Column("by", "BY", 7, lambda each: each.way, lambda each: clean(each.way)),
            Column("since", "SINCE", 7, lambda each: -each.since,
                   lambda each: self._ago(each.since), right=True, falls=True),
            Column("used", "USED", 7, lambda each: each.last_used or 0.0,
                   lambda each: self._ago(each.last_used), right=True, falls=True),
            Column("from", "FROM", 15, lambda each: each.source,
                   lambda each: clean(each.source or "-")),
            Column("open", "OPEN", 4, lambda each: each.open, lambda each: amount(each.open),
                   right=True, falls=True),
            Column("ends", "ENDS IN", 7, lambda each: each.ends, self._left, right=True),
            Column("may", "MAY", 28, lambda each: each.scopes,
                   lambda each: clean(" ".join(each.scopes)), from_width=120),
        ]  # fmt: skip
        self.table = Table(
            columns,
            lambda login: login.id,
            fields=lambda login: {name: getattr(login, name) for name in _FIELDS},
            names=_FIELDS,
            sort="used",
        )

    def rows(self) -> Sequence[Any]:
        """Those the daemon told."""
        return self.world.logins

    def wants(self) -> set[str]:
        """The logins."""
        return {"logins"}

    def badge(self) -> str:
        """How many there are beyond those that are told."""
        beyond = self.world.login_count - len(self.world.logins)
        more = f"{beyond} more are not shown" if beyond > 0 else ""
        return "  ".join(part for part in (super().badge(), more) if part)

    def hint(self) -> str:
        """For what it is, and with which key."""
        login: LoginStatus | None = self.table.row
        if login is None:
            return ""
        return clean(f"{login.resource}, by the key {login.key}")

    def empty(self) -> str:
        """There may be none."""
        return "nobody is logged in"

    def _ago(self, moment: float | None) -> str:
        status = self.world.status
        if moment is None or status is None:
            return "-"
        return span(max(0.0, status.now - moment))

    def _left(self, login: LoginStatus) -> str:
        status = self.world.status
        return "-" if status is None else span(max(0.0, login.ends - status.now))

    def words(self) -> Iterable[str]:
        """The ids."""
        return [login.id for login in self.rows()]

    def _chosen(self, words: Sequence[str]) -> list[LoginStatus]:
        found: list[LoginStatus] = self.table.chosen()
        if words:
            found = [login for login in self.rows() if login.id in words]
        if len(found) < len(words) or not found:
            raise CannotDo("there is no such login here")
        return found

    def what(self, command: str, words: Sequence[str]) -> str:
        """Whose they are, and what they were given to."""
        return ", ".join(clean(_name(login)) for login in self._chosen(words))

    def do_end(self, *words: str) -> None:
        self.console.act("end_login", *({"id": login.id} for login in self._chosen(words)))

    def do_open(self) -> None:
        login = self.table.row
        if login is not None:
            self.console.push(TextScreen(self.console, "login", lambda width: _whole(login)))


def _name(login: LoginStatus) -> str:
    return f"{login.id} ({login.principal}, {login.client or login.way})"


def _whole(login: LoginStatus) -> list[Markup]:
    lines: list[Markup] = []
    for name in login.__struct_fields__:
        value = getattr(login, name)
        if name in _TIMES and value is not None:
            value = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(value))
        if isinstance(value, tuple):
            value = " ".join(value)
        lines.append([("head", f"{name.replace('_', ' '):12}"), clean(value)])
    return lines
