"""What the daemon's own server answers with."""

from __future__ import annotations

from typing import Any, Protocol

import msgspec

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


class KeyStatus(msgspec.Struct, frozen=True):
    """One authorized key.

    :ivar state: ``good``, ``in use``, ``not yet`` or ``over``.
    :ivar scopes: what its holder may do.
    :ivar expires: when it ends, in seconds since the epoch; ``None`` for never.
    :ivar sessions: how many are here with it now.
    """

    fingerprint: str
    principal: str
    state: str
    scopes: tuple[str, ...] = ()
    expires: float | None = None
    sessions: int = 0
    restricted: bool = False


class KeyDesk(Protocol):
    """Where keys are looked up and revoked."""

    def all(self) -> list[KeyStatus]:
        """Those that are authorized."""

    def revoke(self, fingerprint: str) -> None:
        """Let a key in no more.

        :raises OSError: that cannot be written down.
        """


class Bans(msgspec.Struct, frozen=True):
    """From where nobody may connect, and for how many seconds more."""

    hosts: dict[str, float]
