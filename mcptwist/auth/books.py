"""What the gatehouse remembers, each book with its bounds. Pure, but for a replay store's file."""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec

from mcptwist.auth.guestbook import Guestbook
from mcptwist.auth.keyring import Keyring
from mcptwist.auth.oauth.replay import ReplayCache, Replays
from mcptwist.auth.oauth.replaystore import ReplayStore
from mcptwist.auth.oauth.tokens import TokenTable
from mcptwist.auth.pace import Pace
from mcptwist.auth.penalties import Penalties
from mcptwist.auth.policy import Handles
from mcptwist.auth.tickets import TicketTable
from mcptwist.configuration.gateconfig import Auth


class Means(msgspec.Struct, frozen=True, kw_only=True):
    """Time and chance, which everything that stands before the daemon is handed.

    :ivar make_bytes: so many unguessable bytes each time.
    :ivar monotonic: seconds that only grow, whatever the system's time is set to.
    :ivar wall: seconds since 1970.
    :ivar born: when this process began, by that clock.
    """

    make_bytes: Callable[[int], bytes]
    monotonic: Callable[[], float]
    wall: Callable[[], float] = time.time
    born: float


class Books:
    """What is remembered: of keys, of what was given out, of what was used and by whom.

    :ivar guestbook: who came in with which key.
    :ivar keyring: the keys that are good now.
    :ivar tokens: access tokens that were given out.
    :ivar tickets: tickets for WebSockets that were given out.
    :ivar penalties: who has to wait.
    :ivar pace: how fast each source asks for tokens.
    :ivar handles: whose the handles are that servers gave out.
    :ivar replays: assertions and proofs that were used.
    :ivar signatures: signed requests that were. Apart from the others, unless both are in a file:
        who signs much must not keep anybody from getting a token.
    :raises FileProblem: the replay store cannot be used.
    """

    def __init__(self, auth: Auth, means: Means) -> None:
        limits, monotonic, make_bytes = auth.limits, means.monotonic, means.make_bytes
        self.guestbook = Guestbook(means.wall)
        self.keyring = Keyring(means.wall)
        self.tokens = TokenTable(monotonic, make_bytes, limits.tokens, limits.tokens_per_key)
        self.tickets = TicketTable(
            monotonic, make_bytes, auth.ticket_ttl, limits.tickets, limits.tickets_per_key
        )
        self.penalties = Penalties(monotonic, auth.penalties, auth.exempt)
        self.pace = Pace(monotonic, limits.rate, limits.burst, auth.penalties.sources)
        self.handles = Handles(make_bytes(32), limits.tasks)
        self.replays, self.signatures = _open_replays(auth, means)

    def expire(self) -> None:
        """Forget what is over; to be called now and then."""
        self.tokens.expire()
        self.tickets.expire()

    def withdraw(self, fingerprint: str) -> int:
        """Have nothing count that was given to that key.

        :return: how many tokens it had.
        """
        self.tickets.withdraw(fingerprint)
        return self.tokens.withdraw(fingerprint)

    def close(self) -> None:
        """The daemon stops."""
        self.replays.close()


def _open_replays(auth: Auth, means: Means) -> tuple[Replays, Replays]:
    limits = auth.limits
    if auth.replay_store:
        store = ReplayStore(auth.replay_store, means.wall, limits.uses, limits.uses_per_key)
        return store, store

    def cache(most: int, most_per_key: int) -> Replays:
        return ReplayCache(means.wall, means.monotonic, most, most_per_key, means.born)

    return (
        cache(limits.uses, limits.uses_per_key),
        cache(limits.signatures, limits.signatures_per_key),
    )
