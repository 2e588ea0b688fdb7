"""The lists of many servers, each in its own time.

A server that fails or is slow costs nobody else anything: it is missing from a list, and
named there with the reason; a session hears when its list has come after all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, DeferredList, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from mcptwist.catalog.directory import TOOLS, Directories, Shelf
from mcptwist.catalog.guest import Guests
from mcptwist.catalog.inventory import Inventory
from mcptwist.catalog.listings import Listing, trouble
from mcptwist.errors import McpTwistError, ServerTimeout
from mcptwist.messages import Json, Notification
from mcptwist.versions import MODERN

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime

    from mcptwist.session import Session


class Lists:
    """Reads what servers list, and learns from it.

    :param inventories: what each of them lists, by name.
    :param directories: who was shown what.
    :param enquire: asks a server something on behalf of a client.
    :param deadline: seconds that a server has.
    """

    log = Logger()

    def __init__(
        self,
        inventories: Mapping[str, Inventory],
        directories: Directories,
        guests: Guests,
        enquire: Callable[[str, Any, str, Json], Deferred[Json]],
        clock: IReactorTime,
        deadline: float,
    ) -> None:
        self._inventories = inventories
        self._directories = directories
        self._guests = guests
        self._enquire = enquire
        self._clock = clock
        self._deadline = deadline

    async def read(
        self, stay: Any, shelf: Shelf, params: Json, servers: Sequence[str], anew: bool = False
    ) -> list[Listing]:
        """What *servers* list on *shelf*, each in its own time, and learn from it."""
        asked = [self._listing(name, stay, shelf, params, anew) for name in servers]
        found: list[Listing] = [each for _, each in await DeferredList(asked, consumeErrors=True)]
        directory = self._directories.of(stay.principal)
        for listing in found:
            if listing.trouble is None or listing.entries:
                directory.learn(listing.server, shelf, listing.entries)
                if shelf is TOOLS:
                    directory.claim(listing.server, listing.views_of_tools().values())
        return found

    def _listing(
        self, server: str, stay: Any, shelf: Shelf, params: Json, anew: bool
    ) -> Deferred[Listing]:
        inventory = self._inventories[server]
        known = inventory.known(stay, shelf, anew)
        if known is not None:
            return succeed(known)
        asker = partial(self._enquire, server, stay)
        reading = Deferred.fromCoroutine(inventory.read(stay, shelf, params, asker))
        if stay.era == MODERN or (server, shelf) in self._guests.of(stay).late:
            found = self._in_time(server, reading)
        else:
            found = self._now_or_later(server, stay, shelf, reading)
            found.addErrback(self._without, server)
        return found.addCallback(self._noted, stay, shelf)

    def _noted(self, listing: Listing, stay: Any, shelf: Shelf) -> Listing:
        """Remember of a session that it was shown a list with a gap, to tell it later."""
        if stay.era != MODERN:
            guest, key = self._guests.of(stay), (listing.server, shelf)
            if listing.trouble is None or key in guest.late:
                guest.missed.discard(key)
            else:
                guest.missed.add(key)
        return listing

    def _now_or_later(
        self, server: str, session: Session, shelf: Shelf, reading: Deferred[Listing]
    ) -> Deferred[Listing]:
        """*reading*, which goes on when its time is up. Once it is there the session is told that
        the list has changed, and so asks again: a server that is slow to start needs that.
        """
        late, key = self._guests.of(session).late, (server, shelf)
        waiting: Deferred[Listing] = Deferred(lambda _: reading.cancel())

        def too_late() -> None:
            waiting.errback(_late(server, self._deadline))
            if late.setdefault(key, reading) is not reading:
                reading.cancel()

        def arrived(result: Listing | Failure) -> None:
            if not waiting.called:
                timer.cancel()
                waiting.callback(result)
            elif late.get(key) is reading:
                del late[key]
                if isinstance(result, Failure):
                    self._guests.of(session).missed.add(key)
                elif session.ended is None:
                    session.tell(server, Notification(shelf.changed))

        timer = self._clock.callLater(self._deadline, too_late)
        reading.addBoth(arrived)
        return waiting

    def _in_time(self, server: str, listing: Deferred[Listing]) -> Deferred[Listing]:
        """*listing*, or one that tells why there is none."""
        listing.addTimeout(self._deadline, self._clock, partial(_raise_late, server))
        return listing.addErrback(self._without, server)

    def _without(self, failure: Failure, server: str) -> Listing:
        problem = trouble(failure.value)
        if problem.code == McpTwistError.code and not isinstance(failure.value, McpTwistError):
            self.log.failure("asking {server} broke", failure, server=server)
        return Listing(server, trouble=problem)


def _late(server: str, seconds: float) -> ServerTimeout:
    return ServerTimeout(f"{server} did not answer within {seconds:g} s", server=server)


def _raise_late(server: str, result: object, seconds: float) -> Any:
    raise _late(server, seconds)
