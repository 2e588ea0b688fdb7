"""What a session told all servers as one, for the servers that it will reach later."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred

from mcptwist.catalog.directory import Owned, Shelf
from mcptwist.messages import Answer, Result

if TYPE_CHECKING:
    from mcptwist.exchange import Exchange
    from mcptwist.session import Session


_SUBSCRIPTIONS = 10_000


class Guest:
    """What a session told the catalog, for the servers that it will reach later.

    :ivar met: the servers it has been put to.
    :ivar level: the log level it set.
    :ivar subscribed: the owner of each resource it subscribed to.
    :ivar late: lists that did not come in time and are still waited for.
    :ivar missed: the lists it was shown without a server that could not be asked.
    """

    __slots__ = ("_known_as", "late", "level", "met", "missed", "subscribed")

    def __init__(self) -> None:
        self.met: set[str] = set()
        self.level: str | None = None
        self.subscribed: dict[str, Owned] = {}
        self.late: dict[tuple[str, Shelf], Deferred[Any]] = {}
        self.missed: set[tuple[str, Shelf]] = set()
        self._known_as: dict[Owned, str] = {}

    def remember(self, uri: str, owned: Owned) -> None:
        """It subscribed there; so much is remembered and no more, the rest can be looked up."""
        if len(self.subscribed) < _SUBSCRIPTIONS:
            self.subscribed[uri] = owned
            self._known_as[owned] = uri

    def forget(self, uri: str) -> Owned | None:
        """It does not want to hear of that resource any more; the owner, if it is remembered."""
        owned = self.subscribed.pop(uri, None)
        if owned is not None:
            self._known_as.pop(owned, None)
        return owned

    def part(self, server: str) -> None:
        """That server is no more."""
        for key in [key for key in self.late if key[0] == server]:
            self.late[key].cancel()
            self.late.pop(key, None)
        self.missed = {key for key in self.missed if key[0] != server}
        self.met.discard(server)
        for owned in [owned for owned in self._known_as if owned.server == server]:
            self.forget(self._known_as[owned])

    def known_as(self, owned: Owned) -> str | None:
        """The URI under which it subscribed to a resource."""
        return self._known_as.get(owned)


class Guests:
    """The sessions that said something worth remembering."""

    def __init__(self) -> None:
        self._known: dict[Session, Guest] = {}

    def of(self, session: Session) -> Guest:
        """What *session* told; for one that is over, nothing is kept."""
        guest = self._known.get(session)
        if guest is None:
            guest = Guest()
            if session.ended is None:
                self._known[session] = guest
        return guest

    def known(self, session: Session | None = None) -> list[tuple[Session, Guest]]:
        """All of them, or that one if it is known."""
        if session is None:
            return list(self._known.items())
        return [(session, self._known[session])] if session in self._known else []

    def leave(self, session: Session) -> None:
        """It is over: what it was still waiting for is not read any more."""
        guest = self._known.pop(session, None)
        for reading in list(guest.late.values()) if guest is not None else ():
            reading.cancel()


def remembered(guest: Guest, uri: str, owned: Owned, exchange: Exchange, answer: Answer) -> Answer:
    """A subscription is one when the server has accepted it."""
    if isinstance(answer, Result):
        guest.remember(uri, owned)
    return answer
