"""What one server lists: asked for once, and remembered for as long as that holds.

How long that is, the server says: a modern one by ``ttlMs`` and ``cacheScope``, a legacy one that
promises to tell of changes by telling of one. What is private is never given to another
principal. The last lists of a server that is not running are given out without starting it, where
it may be started at leisure; when it does start, it is asked again, and who was given a list that
differs is told that it has changed.

MCP 2026-07-28, *Caching*; MCP 2025-11-25, *Tools*, *Prompts* and *Resources, List Changed*.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakKeyDictionary

import msgspec
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from mcptwist.awaited import Refused, ask
from mcptwist.catalog.directory import CHANGES, SHELVES, Shelf
from mcptwist.catalog.listings import Asker, Bounds, Listing, read_all
from mcptwist.catalog.selectedserver import seen
from mcptwist.catalog.selection import EVERYTHING, Selections
from mcptwist.errors import InvalidMessage, McpTwistError
from mcptwist.exchange import Exchange
from mcptwist.messages import Json, Notification, open_fields
from mcptwist.negotiation import discover_params
from mcptwist.session import ANYONE
from mcptwist.versions import LEGACY, MODERN

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime

    from mcptwist.link import Link
    from mcptwist.session import Session

_PRINCIPALS = 64
_WORDS = 4096
_BOUNDS = Bounds()
_FOR_ALL = None
_OF_NOBODY = (_FOR_ALL, ANYONE)
"""Whose lists may be asked for, and kept, without anybody's authority."""


class Record(msgspec.Struct):
    """A list that a server gave.

    :ivar listing: what it gave.
    :ivar seen: what clients see of it.
    :ivar at: when it gave it (seconds of the clock).
    :ivar holds: whether it is good until the server says otherwise.
    :ivar current: whether it came from a process that runs, and nothing was said since.
    :ivar shown: whether anybody was given it from here.
    """

    listing: Listing
    seen: Listing
    at: float
    holds: bool
    current: bool = True
    shown: bool = False

    def is_fresh(self, now: float) -> bool:
        """Whether it is as good as asking the server, which runs."""
        return self.current and (self.holds or now < self.at + self.listing.ttl / 1000)


class IFollower(Protocol):
    """Who wants to know what becomes of a server."""

    def server_up(self, server: str, session: Session | None) -> None:
        """A process of *server* is up: *session*'s own, or one that is shared."""

    def list_changed(self, server: str, change: str, silently: bool) -> None:
        """*server* says so, or a list that somebody was given is not what it lists now.

        :param silently: whether not even those were told who listen to it.
        """


class Inventory:
    """What one server lists.

    :param name: the server's.
    :param server: the server itself, a :class:`~mcptwist.backend.Backend` for one.
    :param clock: for how long lists are good.
    :param identity: name and version of the daemon, for questions of its own.
    :param bounds: how much of a list is taken.
    :param selections: what clients see of it.
    :param leisure: whether its last lists are given out rather than start it.
    :param refresh: whether it is started then all the same, to see whether they still hold.
    :param told: told when there are other lists to be kept.
    :ivar followers: told what becomes of it.
    """

    log = Logger()

    def __init__(
        self,
        name: str,
        server: Any,
        clock: IReactorTime,
        identity: dict[str, str],
        bounds: Bounds = _BOUNDS,
        selections: Selections = EVERYTHING,
        leisure: bool = False,
        refresh: bool = False,
        told: Callable[[], None] | None = None,
    ) -> None:
        self.name = name
        self.followers: list[IFollower] = []
        self.words = ""
        self._server = server
        self._clock = clock
        self._identity = identity
        self._bounds = bounds
        self._selections = selections
        self._leisure = leisure
        self._refresh = refresh
        self._told = told or (lambda: None)
        self._records: OrderedDict[str | None, dict[Shelf, Record]] = OrderedDict()
        self._changes: dict[str, int] = dict.fromkeys(CHANGES, 0)
        self._promised: frozenset[str] = frozenset()
        self._absent: frozenset[str] = frozenset()
        self._announcing = False
        self._shown_to: WeakKeyDictionary[Session, set[Shelf]] = WeakKeyDictionary()
        server.watchers.append(self)

    def close(self) -> None:
        """Follow the server no more."""
        self._server.watchers.remove(self)

    # --- giving out -------------------------------------------------------------------

    def known(self, stay: Any, shelf: Shelf, anew: bool = False) -> Listing | None:
        """The list, if the server need not be asked for it.

        :param anew: for somebody who missed something in it.
        """
        resting = self.rests(stay)
        for key in (stay.principal, _FOR_ALL):
            record = self._records.get(key, {}).get(shelf)
            if record is not None and (resting or (not anew and self._is_fresh(record, stay))):
                return self._given(record, stay, shelf, resting)
        return None

    def _is_fresh(self, record: Record, stay: Any) -> bool:
        return record.is_fresh(self._clock.seconds()) and not self._server.is_alone(stay)

    def _given(self, record: Record, stay: Any, shelf: Shelf, resting: bool) -> Listing:
        record.shown = True
        if stay.era == LEGACY:
            self._server.follow(stay)
            self._shown_to.setdefault(stay, set()).add(shelf)
        if resting and self._refresh:
            self._server.bring_up(stay)
        left = 0.0 if resting else record.at + record.listing.ttl / 1000 - self._clock.seconds()
        ttl = -1 if record.listing.ttl < 0 else max(0, int(left * 1000))
        return msgspec.structs.replace(record.seen, ttl=ttl)

    async def read(self, stay: Any, shelf: Shelf, params: Json, asker: Asker) -> Listing:
        """Ask the server for the list, and remember it.

        :param params: of the client's request.
        :param asker: asks the server for the one whose *stay* it is.
        """
        before = self._changes[shelf.changed]
        listing = await read_all(self.name, shelf, params, asker, self._bounds)
        listing.era = self._server.answers_in(stay)
        common = listing.era == LEGACY and not self._server.is_alone(stay)
        key = _FOR_ALL if common or not listing.private else stay.principal
        record = self._learn(key, shelf, listing, common)
        record.current = before == self._changes[shelf.changed]
        if stay.era == LEGACY:
            self._shown_to.setdefault(stay, set()).add(shelf)
        return record.seen

    def _learn(self, key: str | None, shelf: Shelf, listing: Listing, common: bool) -> Record:
        told = self._promised if listing.entries else self._promised | self._absent
        holds = common and shelf.changed in told
        now = self._clock.seconds()
        old = self._records.get(key, {}).get(shelf)
        if old is not None and _same(old.listing, listing):
            old.listing.ttl = listing.ttl
            old.at, old.holds, old.current = now, holds, True
            return old
        record = Record(listing, self._seen(shelf, listing), now, holds)
        self._put(key, shelf, record)
        if key in _OF_NOBODY:
            self._told()
        return record

    def _seen(self, shelf: Shelf, listing: Listing) -> Listing:
        if self._selections.everything():
            return listing
        return seen(self._selections, shelf, listing)

    def _put(self, key: str | None, shelf: Shelf, record: Record) -> None:
        self._records.setdefault(key, {})[shelf] = record
        self._records.move_to_end(key)
        while len(self._records) > _PRINCIPALS:
            oldest = next(name for name in self._records if name is not _FOR_ALL)
            del self._records[oldest]

    def enquire(self, exchange: Exchange) -> None:
        """Put a question to the server that is answered in its own words."""
        self._server.enquire(exchange)

    def rests(self, stay: Any) -> bool:
        """Whether it would have to be started to answer *stay*."""
        return self._leisure and bool(self._server.rests(stay))

    # --- what becomes of the server ---------------------------------------------------

    def up(self, link: Link, session: Session | None = None) -> None:
        """A process is up, for the first time or again.

        :param session: the one whose own it is; ``None`` for one that is shared.
        """
        if session is None:
            self._renewed(link)
        else:
            for shelf in tuple(self._shown_to.get(session, ())):
                self._check(link, shelf, session.principal, partial(self._tell_alone, session))
        for follower in list(self.followers):
            follower.server_up(self.name, session)

    def _renewed(self, link: Link) -> None:
        self._promised = self._absent = frozenset()
        if link.era == LEGACY:
            self._promised, self._absent = _announced(link)
        self._hear_words(link)
        for key in list(self._records):
            if key not in _OF_NOBODY:
                del self._records[key]
        for records in self._records.values():
            for record in records.values():
                record.current = False
        self.verify(link)

    def verify(self, link: Link) -> None:
        """Ask a process whether the lists that were given out still hold."""
        for key in _OF_NOBODY:
            for shelf, record in list(self._records.get(key, {}).items()):
                if record.shown:
                    self._check(link, shelf, key, partial(self._tell_all, link.era))

    def _check(
        self, link: Link, shelf: Shelf, key: str | None, tell: Callable[[str], None]
    ) -> None:
        """Ask a new process for what clients were given already."""
        params = discover_params(self._identity) if link.era == MODERN else b""
        asker = partial(ask, link)
        before = self._records.get(key, {}).get(shelf)
        changes = self._changes[shelf.changed]

        def checked(listing: Listing) -> None:
            if changes != self._changes[shelf.changed]:
                return
            listing.era = link.era
            if key is _FOR_ALL and listing.era == MODERN and listing.private:
                self._records[key].pop(shelf, None)
            elif self._learn(key, shelf, listing, common=link.era == LEGACY) is before:
                return
            if before is not None:
                tell(shelf.changed)

        reading = Deferred.fromCoroutine(read_all(self.name, shelf, params, asker, self._bounds))
        reading.addCallback(checked).addErrback(self._not_checked)

    def _not_checked(self, failure: Failure) -> None:
        """It is asked again by whoever wants the list next."""
        if not failure.check(McpTwistError, Refused):
            self.log.failure("asking {server} for its lists broke", failure, server=self.name)

    def changed(self, change: str, session: Session | None = None) -> None:
        """The server says that a list has changed.

        :param session: the one whose own process says so; ``None`` for one that is shared.
        """
        if change not in self._changes or self._announcing:
            return
        self._changes[change] += 1
        if session is None:
            keys: Iterable[str | None] = self._records
        else:
            keys = (session.principal,) if session.principal in self._records else ()
        for key in keys:
            for shelf in SHELVES:
                if shelf.changed == change and self._records[key].pop(shelf, None) is not None:
                    self._told()
        if session is None:
            for follower in list(self.followers):
                follower.list_changed(self.name, change, False)

    def _tell_all(self, era: str, change: str) -> None:
        """Tell of a change that a process of that era did not tell of itself."""
        self._announcing = True
        self._server.announce(Notification(change))
        self._announcing = False
        for follower in list(self.followers):
            follower.list_changed(self.name, change, era == MODERN)

    def _tell_alone(self, session: Session, change: str) -> None:
        session.tell(self.name, Notification(change))

    def _hear_words(self, link: Link) -> None:
        """What the server says of itself to whoever connects."""
        try:
            raw = open_fields(link.welcome).get("instructions")
            words = "" if raw is None else msgspec.json.decode(raw, type=str)
        except (InvalidMessage, msgspec.DecodeError):
            words = ""
        if words[:_WORDS] != self.words:
            self.words = words[:_WORDS]
            self._told()

    # --- keeping ----------------------------------------------------------------------

    def to_keep(self) -> list[tuple[Shelf, Listing, bool]]:
        """The lists that are anybody's, and whether each is for those only who said no name."""
        return [
            (shelf, record.listing, key is not _FOR_ALL)
            for key in _OF_NOBODY
            for shelf, record in self._records.get(key, {}).items()
        ]

    def restore(self, lists: Iterable[tuple[Shelf, Listing, bool]], words: str) -> None:
        """Begin with the lists of an earlier life, for as long as the server does not run."""
        now = self._clock.seconds()
        self.words = words[:_WORDS]
        for shelf, listing, nameless in lists:
            record = Record(listing, self._seen(shelf, listing), now, False, current=False)
            self._put(ANYONE if nameless else _FOR_ALL, shelf, record)


def _announced(link: Link) -> tuple[frozenset[str], frozenset[str]]:
    """The changes that a legacy server tells of, and those it cannot have."""
    try:
        capabilities = open_fields(open_fields(link.welcome).get("capabilities", b""))
        told = {
            change
            for change in CHANGES
            if open_fields(capabilities.get(_feature(change), b"")).get("listChanged") == _TRUE
        }
    except InvalidMessage:
        return frozenset(), frozenset()
    absent = {change for change in CHANGES if _feature(change) not in capabilities}
    return frozenset(told), frozenset(absent)


_TRUE = msgspec.Raw(b"true")


def _feature(change: str) -> str:
    return change.split("/")[1]


def _same(one: Listing, other: Listing) -> bool:
    """Whether two lists say the same, in whatever order and however it is written."""
    if one.era != other.era or one.private != other.private or one.trouble != other.trouble:
        return False
    if one.entries.keys() != other.entries.keys():
        return False
    try:
        return all(
            old == other.entries[key]
            or msgspec.json.decode(old) == msgspec.json.decode(other.entries[key])
            for key, old in one.entries.items()
        )
    except (msgspec.DecodeError, RecursionError):
        return False
