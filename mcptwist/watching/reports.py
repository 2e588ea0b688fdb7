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


class LoginStatus(msgspec.Struct, frozen=True):
    """Somebody who is logged in: a client that a person let in, or who got a token for a key.

    Times are in seconds since the epoch.

    :ivar id: what it is known by, here and in the audit log; it opens nothing.
    :ivar key: the fingerprint of the key that approved it, or that asked for it.
    :ivar client: as it calls itself; empty for who has the key.
    :ivar way: how it was given: ``browser``, ``device`` or ``key``.
    :ivar resource: the URL of the MCP endpoint that it is for.
    :ivar scopes: what it may do.
    :ivar ends: when it ends by itself.
    :ivar last_used: ``None`` if it never was.
    :ivar source: the address that it was used from last.
    :ivar open: how many streams, open requests and WebSockets it has now.
    :ivar bound: whether it is worth nothing without a key of the client's.
    """

    id: str
    principal: str
    key: str
    client: str
    way: str
    resource: str
    scopes: tuple[str, ...]
    since: float
    ends: float
    last_used: float | None = None
    source: str = ""
    open: int = 0
    bound: bool = False


class Logins(msgspec.Struct, frozen=True):
    """Some of those who are logged in, and how many there are.

    :ivar now: when that was, by the daemon's clock.
    """

    total: int
    now: float
    logins: list[LoginStatus]


class CannotEnd(Exception):
    """A login did not end, or not for good; the message tells why."""


class Guests(Protocol):
    """Where those are looked up who are logged in."""

    def told(self, whose: str = "", limit: int = 500) -> Logins:
        """Some of them, who was heard last first.

        :param whose: a principal's name or a key's fingerprint; everybody's otherwise.
        """

    def end(self, name: str) -> str:
        """End the one of that id; what has ended, in words.

        :raises CannotEnd: there is none, or it may come back.
        """


class KeyDesk(Protocol):
    """Where keys are looked up and revoked.

    :ivar audit: what happened at the gate.
    :ivar guests: who is logged in.
    """

    audit: Journal
    guests: Guests

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
