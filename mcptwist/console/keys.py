"""The keys that may come in."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from mcptwist.console import keymap
from mcptwist.console.model import clean
from mcptwist.console.screen import CannotDo, TableScreen, TextScreen
from mcptwist.console.tables import Column, Markup, Table
from mcptwist.watching.figures import span
from mcptwist.watching.reports import UNKNOWN, KeyStatus, WaitingStatus

if TYPE_CHECKING:
    from mcptwist.console.app import Console

STATE_COLOURS = {
    "good": "good",
    "in use": "good",
    "not yet": "busy",
    "over": "bad",
    "unknown": "busy",
    "waits": "busy",
}
WAITS = "waits"
"""The state of what is no key, but wants that somebody with one says yes."""


class KeysScreen(TableScreen):
    """Authorized keys."""

    place = title = keymap.KEYS

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        columns = [
            Column("principal", "PRINCIPAL", 22, lambda k: k.principal,
                   lambda k: clean(k.principal)),
            Column("state", "STATE", 8, lambda k: k.state, lambda k: k.state,
                   lambda k: STATE_COLOURS.get(k.state, "")),
            Column("sessions", "STAYS", 5, lambda k: k.sessions, lambda k: str(k.sessions),
                   right=True, falls=True),
            Column("used", "LAST USED", 12, lambda k: k.last_used or 0.0, self._used, right=True,
                   falls=True),
            Column("expires", "EXPIRES", 10, lambda k: k.expires or float("inf"), _expires),
            Column("may", "MAY", 30, lambda k: k.scopes, lambda k: clean(" ".join(k.scopes))),
            Column("fingerprint", "KEY", 0, lambda k: k.fingerprint,
                   lambda k: clean(k.fingerprint)),
        ]  # fmt: skip
        self.table = Table(columns, lambda key: key.fingerprint)

    def rows(self) -> Sequence[Any]:
        """Those the daemon told, and before them what waits for one."""
        waiting = [_as_row(each) for each in self.world.waiting.values()]
        return [*waiting, *(self.world.keys or ())]

    def _used(self, key: KeyStatus) -> str:
        status = self.world.status
        if key.last_used is None or status is None:
            return "-"
        seconds = status.now - key.last_used
        return "now" if seconds < 1 else f"{span(seconds)} ago"

    def hint(self) -> str:
        """What to do about what waits, and about a key that nobody knows."""
        key = self.table.row
        waiting = None if key is None else self.world.waiting.get(key.fingerprint)
        if waiting is not None:
            way = f"back to {waiting.host}" if waiting.host else "a device"
            return clean(
                f"{waiting.client} ({way}) at {waiting.source} waits {span(waiting.seconds)} more: "
                f"`mcptwist approve {waiting.code} --url {waiting.issuer}`"
            )
        if key is None or key.state != UNKNOWN:
            return ""
        return (
            f"somebody at {key.source} calls itself {key.fingerprint}; "
            "`mcptwist authorize add` lets a key in"
        )

    def empty(self) -> str:
        """There may be none, or no need of any."""
        if self.world.keys is None:
            return "the daemon has no [auth] section: whoever gets there may come in"
        return "no key is authorized"

    def wants(self) -> set[str]:
        """The keys."""
        return {"keys"}

    def _chosen(self, words: Sequence[str]) -> list[KeyStatus]:
        if not words:
            return self.table.chosen()
        found = [key for key in self.rows() if key.fingerprint in words]
        if len(found) < len(words):
            raise CannotDo("there is no such key here")
        return found

    def words(self) -> Iterable[str]:
        """The fingerprints."""
        return [key.fingerprint for key in self.rows()]

    def what(self, command: str, words: Sequence[str]) -> str:
        """Whose keys they are."""
        return ", ".join(f"{clean(k.principal)} {k.fingerprint}" for k in self._chosen(words))

    def do_revoke(self, *words: str) -> None:
        keys = [key for key in self._chosen(words) if key.state not in (UNKNOWN, WAITS)]
        if not keys:
            raise CannotDo("a key that is not authorized cannot be revoked")
        self.console.act("revoke_key", *({"fingerprint": key.fingerprint} for key in keys))

    def do_open(self) -> None:
        key = self.table.row
        if key is None:
            return
        shown: KeyStatus | WaitingStatus = self.world.waiting.get(key.fingerprint, key)
        self.console.push(TextScreen(self.console, "key", lambda width: _whole(shown)))


def _as_row(waiting: WaitingStatus) -> KeyStatus:
    """What waits, among the keys: under its code."""
    return KeyStatus(waiting.code, waiting.client, WAITS, waiting.scopes, source=waiting.source)


def _expires(key: KeyStatus) -> str:
    if key.state in (UNKNOWN, WAITS):
        return "-"
    return (
        "never" if key.expires is None else time.strftime("%Y-%m-%d", time.localtime(key.expires))
    )


def _whole(key: KeyStatus | WaitingStatus) -> list[Markup]:
    lines: list[Markup] = []
    for name in key.__struct_fields__:
        value = getattr(key, name)
        if name in ("expires", "last_used") and value is not None:
            value = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(value))
        if isinstance(value, tuple):
            value = " ".join(value)
        if name == "seconds":
            value = span(value)
        lines.append([("head", f"{name.replace('_', ' '):12}"), clean(value)])
    return lines
