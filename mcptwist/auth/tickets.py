"""Tickets for WebSockets: good once, and for seconds.

A page in a browser cannot send a header with a WebSocket. It asks for a ticket with its token and
opens the WebSocket with that; the ticket stands for the token then, for the same key, scopes and
place, and for pages of the same origin. The table knows only its SHA-256.

``docs/auth/websockets.rst``. Pure.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from mcptwist.auth.givenout import GivenOut
from mcptwist.auth.keys import to_base64url
from mcptwist.auth.oauth.tokens import Token, digest_of

PREFIX = "mcp.ticket."
"""What a ticket follows where sub-protocols are offered."""

_BYTES = 32


class TicketsExhausted(Exception):
    """There are as many tickets as there may be."""


class Ticket(msgspec.Struct, frozen=True):
    """What is known of one ticket.

    :ivar key: the fingerprint of the key that it was given for.
    :ivar token: the token that it was asked for with, if with one.
    :ivar resource: where it may be used.
    :ivar origin: of the page that may use it, ``None`` if it was no page.
    :ivar deadline: when it ends, by the clock that only goes forward.
    """

    digest: bytes
    key: str
    token: Token | None
    resource: str
    origin: bytes | None
    deadline: float

    @property
    def mark(self) -> str:
        """What it is called in the audit log."""
        return self.digest.hex()[:8]


class TicketTable(GivenOut[Ticket]):
    """The tickets that nobody has used yet.

    :param monotonic: seconds that only grow.
    :param make_bytes: so many unguessable bytes each time.
    :param lifetime: seconds that a ticket is good for.
    """

    def __init__(
        self,
        monotonic: Callable[[], float],
        make_bytes: Callable[[int], bytes],
        lifetime: float = 30.0,
        limit: int = 10_000,
        per_key: int = 16,
    ) -> None:
        super().__init__(monotonic, limit, per_key)
        self.lifetime = lifetime
        self._make_bytes = make_bytes

    def issue(
        self, key: str, token: Token | None, resource: str, origin: bytes | None
    ) -> tuple[str, Ticket]:
        """A new ticket, and what is known of it.

        :raises TicketsExhausted: there are too many.
        """
        if not self.has_room(key):
            raise TicketsExhausted
        text = to_base64url(self._make_bytes(_BYTES))
        deadline = self._monotonic() + self.lifetime
        if token is not None:
            deadline = min(deadline, token.deadline)
        ticket = Ticket(digest_of(text.encode()), key, token, resource, origin, deadline)
        self.add(ticket)
        return text, ticket

    def use(self, text: bytes) -> Ticket | None:
        """The ticket, if it is good; it never is again."""
        ticket = self.take(digest_of(text))
        if ticket is None or ticket.deadline <= self._monotonic():
            return None
        return ticket
