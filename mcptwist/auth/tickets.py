"""Tickets for WebSockets: good once, and for seconds.

A page in a browser cannot send a header with a WebSocket. It asks for a ticket with its token and
opens the WebSocket with that; the ticket stands for the token then, for the same key, scopes and
place, and for pages of the same origin. The table knows only its SHA-256.

``docs/auth/websockets.rst``. Pure.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import msgspec

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


class TicketTable:
    """The tickets that nobody has used yet.

    :param monotonic: seconds that only grow.
    :param make_bytes: so many unguessable bytes each time.
    :param lifetime: seconds that a ticket is good for.
    :param limit: how many there may be.
    :param per_key: how many of one key's; the oldest goes when there would be more.
    :ivar displaced: how many went for that.
    :ivar refused: how often there was no room for one more.
    """

    def __init__(
        self,
        monotonic: Callable[[], float],
        make_bytes: Callable[[int], bytes],
        lifetime: float = 30.0,
        limit: int = 10_000,
        per_key: int = 16,
    ) -> None:
        self.lifetime = lifetime
        self._monotonic = monotonic
        self._make_bytes = make_bytes
        self.limit = limit
        self._per_key = per_key
        self.displaced = 0
        self.refused = 0
        self._tickets: OrderedDict[bytes, Ticket] = OrderedDict()
        self._by_key: dict[str, OrderedDict[bytes, None]] = {}

    def __len__(self) -> int:
        return len(self._tickets)

    def issue(
        self, key: str, token: Token | None, resource: str, origin: bytes | None
    ) -> tuple[str, Ticket]:
        """A new ticket, and what is known of it.

        :raises TicketsExhausted: there are too many.
        """
        self.expire()
        own = self._by_key.get(key)
        if own is not None and len(own) >= self._per_key:
            self._drop(next(iter(own)))
            self.displaced += 1
        if len(self._tickets) >= self.limit:
            self.refused += 1
            raise TicketsExhausted
        text = to_base64url(self._make_bytes(_BYTES))
        deadline = self._monotonic() + self.lifetime
        if token is not None:
            deadline = min(deadline, token.deadline)
        ticket = Ticket(digest_of(text.encode()), key, token, resource, origin, deadline)
        self._tickets[ticket.digest] = ticket
        self._by_key.setdefault(key, OrderedDict())[ticket.digest] = None
        return text, ticket

    def use(self, text: bytes) -> Ticket | None:
        """The ticket, if it is good; it never is again."""
        ticket = self._drop(digest_of(text))
        if ticket is None or ticket.deadline <= self._monotonic():
            return None
        return ticket

    def withdraw(self, key: str) -> int:
        """End all tickets of that key; how many there were."""
        own = list(self._by_key.get(key, ()))
        for digest in own:
            self._drop(digest)
        return len(own)

    def expire(self) -> None:
        """Forget those whose time is over; all are good for as long, or end with their tokens."""
        now = self._monotonic()
        while self._tickets:
            digest, ticket = next(iter(self._tickets.items()))
            if ticket.deadline > now:
                return
            self._drop(digest)

    def _drop(self, digest: bytes) -> Ticket | None:
        ticket = self._tickets.pop(digest, None)
        if ticket is not None:
            own = self._by_key[ticket.key]
            del own[digest]
            if not own:
                del self._by_key[ticket.key]
        return ticket
