"""What the daemon's own server answers with."""

from __future__ import annotations

from typing import Any, Protocol

import msgspec

from mcptwist.watching.journal import Journal
from mcptwist.watching.status import ConnectionStatus, SessionStatus


class Done(msgspec.Struct, frozen=True):
    """What an action did."""

    done: str


class Answered(msgspec.Struct, frozen=True):
    """What a server answered.

    :ivar status: ``ok``, ``failed`` (the tool says so) or ``error``.
    :ivar answer: the result, or the error object.
    """

    status: str
    seconds: float
    answer: Any


class Connections(msgspec.Struct, frozen=True):
    """Some connections, and how many there are."""

    total: int
    connections: list[ConnectionStatus]


class Sessions(msgspec.Struct, frozen=True):
    """Some legacy sessions, and how many there are."""

    total: int
    sessions: list[SessionStatus]


UNKNOWN = "unknown"


class KeyStatus(msgspec.Struct, frozen=True):
    """One authorized key, or one that nobody knows and somebody came with.

    :ivar fingerprint: of the key; of one that is unknown, what its holder says it is.
    :ivar state: ``good``, ``in use``, ``not yet``, ``over`` or ``unknown``.
    :ivar scopes: what its holder may do.
    :ivar expires: when it ends, in seconds since the epoch; ``None`` for never.
    :ivar sessions: how many are here with it now.
    :ivar last_used: when somebody was heard with it last, in seconds since the epoch.
    :ivar source: where an unknown one came from.
    """

    fingerprint: str
    principal: str
    state: str
    scopes: tuple[str, ...] = ()
    expires: float | None = None
    sessions: int = 0
    restricted: bool = False
    last_used: float | None = None
    source: str = ""


class WaitingStatus(msgspec.Struct, frozen=True):
    """A browser or a device that waits for somebody with a key to say yes.

    :ivar code: what it is known by.
    :ivar issuer: under which of the daemon's names it asked.
    :ivar client: as it calls itself.
    :ivar host: where the browser is sent back to; empty for a device.
    :ivar resource: the URL of the MCP endpoint that it wants to come to.
    :ivar source: the address that it asked from.
    :ivar seconds: how long it will wait yet.
    """

    code: str
    issuer: str
    client: str
    host: str
    resource: str
    scopes: tuple[str, ...]
    source: str
    seconds: float


class KeyDesk(Protocol):
    """Where keys are looked up and revoked.

    :ivar audit: what happened at the gate.
    """

    audit: Journal

    def all(self) -> list[KeyStatus]:
        """Those that are authorized."""

    def waiting(self) -> list[WaitingStatus]:
        """What waits for approval."""

    def revoke(self, fingerprint: str) -> None:
        """Let a key in no more.

        :raises OSError: that cannot be written down.
        """


class Bans(msgspec.Struct, frozen=True):
    """From where nobody may connect, and for how many seconds more."""

    hosts: dict[str, float]
