"""All servers as one: their tools, prompts and resources in one view.

The :class:`Catalog` asks servers on behalf of whoever asked it, and passes on what belongs to one
of them. It never changes what it has no need to understand: of an entry only the name or URI, of a
call only the name of what is called, of a result only URIs that are another server's too.

A server that is down, slow or of another era leaves the others untouched: it is missing from a
list, and named there with the reason.

MCP 2025-11-25 and 2026-07-28, *Server features* and *Utilities*; 2026-07-28, *Discovery*,
*Subscriptions*.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec
from msgspec import Raw
from twisted.internet.defer import CancelledError, Deferred, DeferredList, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import Attribute, implementer

from mcptwist.awaited import Awaited, ask
from mcptwist.catalog.directory import (
    CHANGES,
    PROMPTS,
    RESOURCES,
    SHELVES,
    TEMPLATES,
    TOOLS,
    Directories,
    Directory,
    Owned,
    Shelf,
)
from mcptwist.catalog.inventory import Inventory
from mcptwist.catalog.links import linked, relinked
from mcptwist.catalog.listings import Bounds, Listing, Trouble, merged, trouble
from mcptwist.catalog.subscription import Patiences, Subscription, Wanted, read_wanted
from mcptwist.company import LEVELS
from mcptwist.eras.revisions import revised
from mcptwist.errors import (
    ClientGone,
    InvalidMessage,
    InvalidParams,
    McpTwistError,
    MethodNotFound,
    ServerTimeout,
    UnknownName,
    unknown_resource,
)
from mcptwist.exchange import LISTEN, Exchange
from mcptwist.interfaces import IAnswerer, IGroup
from mcptwist.messages import Answer, Json, Notification, Result, encode_json, open_fields
from mcptwist.negotiation import SERVER_KEY, agree, read_hello
from mcptwist.passing import pass_on
from mcptwist.versions import MODERN, MODERN_REVISIONS

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime

    from mcptwist.session import Session

_Work: TypeAlias = Coroutine[Deferred[Any], Any, None]
_SUBSCRIPTIONS = 10_000
_WORDS = 32_768
"""Characters of what all servers say of themselves."""

_MESSAGE = "notifications/message"
_UPDATED = "notifications/resources/updated"
_HOLDING = frozenset({"tools/call", "prompts/get", "resources/read"})
"""Methods whose results may hold resources, or point to some."""

_LISTED = {shelf.method: shelf for shelf in SHELVES}
_NAMED = {"tools/call": TOOLS, "prompts/get": PROMPTS}
_CHANGING: dict[str, Any] = {"listChanged": True}
CAPABILITIES: Mapping[str, Any] = {
    "tools": _CHANGING,
    "prompts": _CHANGING,
    "resources": {**_CHANGING, "subscribe": True},
    "logging": {},
    "completions": {},
}
"""What the servers together may be capable of; which of it they are is seen when they are asked."""


class ICatalogued(IAnswerer):
    """What a :class:`Catalog` needs of a server; a :class:`~mcptwist.backend.Backend` has it."""

    watchers = Attribute("A list of those who are told when it is ``up`` or has ``changed``.")

    def enquire(exchange: Exchange) -> None:
        """Answer *exchange* in the server's own words, which the client need not all know."""

    def answers_in(stay: Any) -> str:
        """The era of these words."""

    def is_alone(stay: Any) -> bool:
        """Whether what it answers *stay* is for that one only."""

    def rests(stay: Any) -> bool:
        """Whether it would have to be started for *stay*."""

    def bring_up(stay: Any) -> None:
        """Start it for *stay*."""

    def follow(session: Session) -> None:
        """Let that session hear of changes."""

    def announce(notification: Notification) -> None:
        """Let everybody who uses it hear of a change."""

    def overhear(session: Session, notification: Notification) -> None:
        """A client's words; heeded only if that session has asked this server before."""

    def detach(session: Session) -> None:
        """That session is over."""


class CatalogSettings(msgspec.Struct, frozen=True):
    """The bounds of a catalog.

    :ivar deadline: seconds that a server has to list what it has.
    :ivar bounds: how much of a server's list is taken.
    :ivar listening: how long subscriptions wait.
    """

    deadline: float = 15.0
    bounds: Bounds = Bounds()
    listening: Patiences = Patiences()


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


@implementer(IGroup)
class Catalog:
    """The view of all servers as one.

    :param servers: those to be asked (:class:`ICatalogued`) by name, in the order of their lists.
    :param clock: for the deadlines.
    :param identity: name and version of the daemon.
    :param inventories: what each of them lists; by default each has a new one.
    :param broken: servers that could not be configured, with the reason for each.
    """

    log = Logger()
    name = ""

    def __init__(
        self,
        servers: Mapping[str, Any],
        clock: IReactorTime,
        identity: Mapping[str, str],
        settings: CatalogSettings | None = None,
        inventories: Mapping[str, Inventory] | None = None,
        broken: Mapping[str, str] | None = None,
    ) -> None:
        self._servers = dict(servers)
        self._clock = clock
        self._identity = dict(identity)
        self._settings = settings or CatalogSettings()
        self._directories = Directories(tuple(self._servers))
        self._guests: dict[Session, Guest] = {}
        self._subscriptions: set[Subscription] = set()
        self._broken = _misconfigured(broken or {})
        self._inventories: Mapping[str, Inventory] = inventories or {
            name: Inventory(name, server, clock, self._identity, self._settings.bounds)
            for name, server in self._servers.items()
        }
        for name in self._servers:
            self._inventories[name].followers.append(self)

    @property
    def servers(self) -> tuple[str, ...]:
        """Their names, those that could not be configured last."""
        return (*self._servers, *(listing.server for listing in self._broken))

    def begin(self, exchange: Exchange) -> None:
        """Answer *exchange*, or have it answered."""
        method = exchange.request.method
        try:
            if method in _NAMED:
                self._to_named(exchange, _NAMED[method])
            elif method in _LISTED:
                self._run(exchange, self._list(exchange, _LISTED[method]))
            else:
                self._answer_otherwise(exchange)
        except McpTwistError as problem:
            exchange.fail(problem)

    def _answer_otherwise(self, exchange: Exchange) -> None:
        modern = exchange.stay.era == MODERN
        answer = (_MODERN_ANSWERS if modern else _LEGACY_ANSWERS).get(exchange.request.method)
        if answer is None:
            raise MethodNotFound(
                f"{exchange.request.method} is not served for all servers as one; ask the one it "
                "is meant for at its own URL, /servers/NAME/mcp"
            )
        work = answer(self, exchange)
        if work is not None:
            self._run(exchange, work)

    # --- greeting ---------------------------------------------------------------------

    def _greet(self, exchange: Exchange) -> None:
        """Answer ``initialize`` without waking anybody up."""
        stay = exchange.stay
        stay.revision = agree(read_hello(exchange.request.params).protocolVersion)
        exchange.succeed(
            {
                "protocolVersion": stay.revision,
                "capabilities": Raw(
                    revised("ServerCapabilities", encode_json(CAPABILITIES), stay.revision)
                ),
                "serverInfo": self._identity,
                "instructions": self._instructions(),
            }
        )

    def _instructions(self) -> str:
        """What the house says of itself, and what is known of what servers say of themselves."""
        words = [
            "Several MCP servers in one. The tools and prompts of each begin with its name and "
            f"two underscores. The servers: {', '.join(self._servers)}."
        ]
        room = _WORDS
        for name in self._servers:
            said = self._inventories[name].words.strip()
            room -= len(said)
            if said and room > 0:
                words.append(f"{name}: {said}")
        return "\n\n".join(words)

    def _discover(self, exchange: Exchange) -> None:
        """Answer ``server/discover`` without waking anybody up."""
        exchange.succeed(
            {
                "resultType": "complete",
                "supportedVersions": list(MODERN_REVISIONS),
                "capabilities": CAPABILITIES,
                "instructions": self._instructions(),
                "ttlMs": 0,
                "cacheScope": "private",
                "_meta": {SERVER_KEY: self._identity},
            }
        )

    # --- lists ------------------------------------------------------------------------

    async def _list(self, exchange: Exchange, shelf: Shelf) -> None:
        params = exchange.request.params
        cursor = open_fields(params).get("cursor", _NULL)
        if cursor != _NULL:
            raise InvalidParams("cursor is none of ours: this list has one page only")
        stay = exchange.stay
        listings = await self._listings(stay, shelf, params, tuple(self._servers))
        directory = self._directory(stay)
        locate = directory.public_template if shelf is TEMPLATES else directory.public_uri
        exchange.succeed(
            merged(shelf, listings, self._identity, stay.revision, locate, self._broken)
        )

    async def _listings(
        self, stay: Any, shelf: Shelf, params: Json, servers: Sequence[str], anew: bool = False
    ) -> list[Listing]:
        """What *servers* list on *shelf*, each in its own time, and learn from it."""
        asked = [self._listing(name, stay, shelf, params, anew) for name in servers]
        found: list[Listing] = [each for _, each in await DeferredList(asked, consumeErrors=True)]
        directory = self._directory(stay)
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
        if stay.era == MODERN or (server, shelf) in self._guest(stay).late:
            found = self._in_time(server, reading)
        else:
            found = self._now_or_later(server, stay, shelf, reading)
            found.addErrback(self._without, server)
        return found.addCallback(self._noted, stay, shelf)

    def _noted(self, listing: Listing, stay: Any, shelf: Shelf) -> Listing:
        """Remember of a session that it was shown a list with a gap, to tell it later."""
        if stay.era != MODERN:
            guest, key = self._guest(stay), (listing.server, shelf)
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
        late, key = self._guest(session).late, (server, shelf)
        waiting: Deferred[Listing] = Deferred(lambda _: reading.cancel())

        def too_late() -> None:
            waiting.errback(_late(server, self._settings.deadline))
            if late.setdefault(key, reading) is not reading:
                reading.cancel()

        def arrived(result: Listing | Failure) -> None:
            if not waiting.called:
                timer.cancel()
                waiting.callback(result)
            elif late.get(key) is reading:
                del late[key]
                if isinstance(result, Failure):
                    self._guest(session).missed.add(key)
                elif session.ended is None:
                    session.tell(server, Notification(shelf.changed))

        timer = self._clock.callLater(self._settings.deadline, too_late)
        reading.addBoth(arrived)
        return waiting

    def _in_time(self, server: str, listing: Deferred[Listing]) -> Deferred[Listing]:
        """*listing*, or one that tells why there is none."""
        listing.addTimeout(self._settings.deadline, self._clock, partial(_raise_late, server))
        return listing.addErrback(self._without, server)

    def _without(self, failure: Failure, server: str) -> Listing:
        problem = trouble(failure.value)
        if problem.code == McpTwistError.code and not isinstance(failure.value, McpTwistError):
            self.log.failure("asking {server} broke", failure, server=server)
        return Listing(server, trouble=problem)

    def _enquire(self, server: str, stay: Any, method: str, params: Json) -> Deferred[Json]:
        """Ask *server* something for the client whose *stay* it is, in the server's own words."""
        awaited = Awaited()
        answer = awaited.answer
        awaited.begin(_Way(partial(self._put, server, enquiring=True)), method, params, stay)
        return answer

    # --- calls ------------------------------------------------------------------------

    def _to_named(self, exchange: Exchange, shelf: Shelf) -> None:
        """Pass a call on to the owner of what it names."""
        fields = open_fields(exchange.request.params)
        public = _text(fields, "name")
        found = self._directory(exchange.stay).find(shelf, public)
        if found is not None:
            self._pass_named(exchange, fields, found)
        else:
            self._run(exchange, self._to_listed(exchange, shelf, fields, public))

    async def _to_listed(
        self, exchange: Exchange, shelf: Shelf, fields: dict[str, Raw], public: str
    ) -> None:
        found = await self._look_up(exchange, shelf, public)
        self._pass_named(exchange, fields, found)

    def _pass_named(self, exchange: Exchange, fields: dict[str, Raw], found: Owned) -> None:
        fields["name"] = Raw(encode_json(found.name))
        self._pass(exchange, found.server, encode_json(fields))

    async def _look_up(self, exchange: Exchange, shelf: Shelf, public: str) -> Owned:
        """The owner of what clients know as *public*, asking those whose it may be.

        :raises UnknownName: nobody has it.
        """
        directory = self._directory(exchange.stay)
        found = directory.find(shelf, public)
        candidates = directory.candidates(public)
        if found is None and candidates:
            params = _only_meta(exchange.request.params)
            await self._listings(exchange.stay, shelf, params, candidates)
            found = directory.find(shelf, public)
        if found is None:
            raise _unknown_name(shelf, public, directory.similar(shelf, public))
        return found

    def _pass(
        self, exchange: Exchange, server: str, params: Json, known: Mapping[str, str] | None = None
    ) -> None:
        """Let *server* answer *exchange*, with *params* in place of its own.

        :param known: what the client knows some of the server's resources as.
        """
        directory = self._directory(exchange.stay)
        method = exchange.request.method
        edit = partial(_located, directory, server, method, known or {})
        pass_on(exchange, partial(self._put, server), params, edit if method in _HOLDING else None)

    # --- resources --------------------------------------------------------------------

    async def _to_owner(self, exchange: Exchange) -> None:
        """Pass on what names a resource."""
        fields = open_fields(exchange.request.params)
        uri = _text(fields, "uri")
        owned = await self._owner(exchange, uri)
        if exchange.request.method == "resources/subscribe":
            guest = self._guest(exchange.stay)
            exchange.amend(exchange.request.params, partial(_remembered, guest, uri, owned))
        self._pass_resource(exchange, fields, uri, owned)

    async def _unsubscribe(self, exchange: Exchange) -> None:
        """Pass it on to whom the subscription was passed."""
        fields = open_fields(exchange.request.params)
        uri = _text(fields, "uri")
        owned = self._guest(exchange.stay).forget(uri) or await self._owner(exchange, uri)
        self._pass_resource(exchange, fields, uri, owned)

    def _pass_resource(
        self, exchange: Exchange, fields: dict[str, Raw], uri: str, owned: Owned
    ) -> None:
        fields["uri"] = Raw(encode_json(owned.name))
        self._pass(exchange, owned.server, encode_json(fields), {owned.name: uri})

    async def _owner(self, exchange: Exchange, uri: str) -> Owned:
        """Whose resource *uri* is, and what its owner knows it as.

        :raises UnknownResource: nobody has it.
        """
        directory = self._directory(exchange.stay)
        owned = directory.resource(uri)
        if owned is None:
            await self._list_resources(exchange)
            owned = directory.resource(uri)
        if owned is None:
            raise unknown_resource(uri, exchange.stay.era)
        return owned

    async def _list_resources(self, exchange: Exchange) -> None:
        params = _only_meta(exchange.request.params)
        servers = tuple(self._servers)
        both = (
            Deferred.fromCoroutine(self._listings(exchange.stay, shelf, params, servers, anew=True))
            for shelf in (RESOURCES, TEMPLATES)
        )
        await DeferredList(both, consumeErrors=True)

    async def _complete(self, exchange: Exchange) -> None:
        """Pass ``completion/complete`` on to the owner of what it refers to."""
        fields = open_fields(exchange.request.params)
        reference = _reference(fields)
        kind = _text(reference, "type")
        if kind == "ref/prompt":
            found = await self._look_up(exchange, PROMPTS, _text(reference, "name"))
            reference["name"] = Raw(encode_json(found.name))
            fields["ref"] = Raw(encode_json(reference))
            self._pass(exchange, found.server, encode_json(fields))
        elif kind == "ref/resource":
            found = await self._owner(exchange, _text(reference, "uri"))
            reference["uri"] = Raw(encode_json(found.name))
            fields["ref"] = Raw(encode_json(reference))
            self._pass(exchange, found.server, encode_json(fields))
        else:
            raise InvalidParams("params.ref.type must be ref/prompt or ref/resource")

    # --- what reaches all of them -----------------------------------------------------

    def _set_level(self, exchange: Exchange) -> None:
        """Tell the servers this session has met; the others hear it when it meets them."""
        level = _text(open_fields(exchange.request.params), "level")
        if level not in LEVELS:
            raise InvalidParams(f"level must be one of {', '.join(LEVELS)}")
        guest = self._guest(exchange.stay)
        guest.level = level
        for server in guest.met:
            self._tell_level(server, exchange.stay, level)
        exchange.succeed({})

    def _tell_level(self, server: str, session: Session, level: str) -> None:
        told = ask(
            self._servers[server], "logging/setLevel", encode_json({"level": level}), session
        )
        told.addErrback(lambda _: None)  # most servers have no levels

    async def _listen(self, exchange: Exchange) -> None:
        """Listen to every server for a modern client."""
        wanted = read_wanted(exchange.request.params)
        directory = self._directory(exchange.stay)
        if any(directory.resource(uri) is None for uri in wanted.resourceSubscriptions):
            await self._list_resources(exchange)
        if exchange.over:
            return
        owners = {uri: directory.resource(uri) for uri in wanted.resourceSubscriptions}
        known = {owned: uri for uri, owned in owners.items() if owned is not None}
        subscription = Subscription(
            exchange,
            self._shared_out(wanted, owners),
            self._put,
            self._heard_of,
            self._clock,
            self._settings.listening,
            lambda server: self._inventories[server].rests(exchange.stay),
            lambda server, uri: known.get(Owned(server, uri)) or directory.public_uri(server, uri),
        )
        self._subscriptions = {each for each in self._subscriptions if not each.over}
        self._subscriptions.add(subscription)
        subscription.start()

    def _shared_out(self, wanted: Wanted, owners: Mapping[str, Owned | None]) -> dict[str, Wanted]:
        """What to ask of each server: its own resources, and those that nobody is known to have."""
        parts = {
            server: msgspec.structs.replace(
                wanted,
                resourceSubscriptions=[
                    uri if owned is None else owned.name
                    for uri, owned in owners.items()
                    if owned is None or owned.server == server
                ],
            )
            for server in self._servers
        }
        return {server: part for server, part in parts.items() if part != Wanted()}

    def _heard_of(self, server: str, change: str) -> None:
        """A server told a subscription of a change."""
        self._directories.forget(server, change)
        self._inventories[server].changed(change)

    # --- other servers ----------------------------------------------------------------

    def regather(
        self,
        servers: Mapping[str, Any],
        inventories: Mapping[str, Inventory],
        broken: Mapping[str, str],
    ) -> None:
        """Be the view of these servers from now on.

        Whoever sees them is told that lists have changed. A server that is another object than
        before is another server, though it has the same name.
        """
        before, self._servers = self._servers, dict(servers)
        self._broken = _misconfigured(broken)
        gone = [name for name, server in before.items() if servers.get(name) is not server]
        come = [name for name, server in servers.items() if before.get(name) is not server]
        for name in gone:
            self._dismiss(name, before[name])
        self._inventories = dict(inventories)
        if gone or come or list(before) != list(servers):
            self._directories = Directories(tuple(servers))
            self._admit(come)

    def _dismiss(self, name: str, server: Any) -> None:
        self._inventories[name].followers.remove(self)
        for stay, guest in self._guests.items():
            guest.part(name)
            server.detach(stay)
        for subscription in list(self._subscriptions):
            subscription.dismiss(name)

    def _admit(self, names: Sequence[str]) -> None:
        for name in names:
            self._inventories[name].followers.append(self)
        for subscription in list(self._subscriptions):
            for name in names:
                subscription.admit(name)
            subscription.announce()
        for stay in list(self._guests):
            for change in sorted(CHANGES):
                stay.tell("", Notification(change))

    # --- what becomes of servers ------------------------------------------------------

    def server_up(self, server: str, session: Session | None) -> None:
        """It is there, for the first time or again: who missed it can list again."""
        guests = self._guests if session is None else {session} & self._guests.keys()
        for stay in list(guests):
            guest = self._guests[stay]
            missed = {key for key in guest.missed if key[0] == server}
            guest.missed -= missed
            for change in sorted({shelf.changed for _, shelf in missed}):
                stay.tell(server, Notification(change))
        if session is None:
            for subscription in list(self._subscriptions):
                subscription.woken(server)

    def list_changed(self, server: str, change: str, silently: bool) -> None:
        """A list is not what clients were given."""
        self._directories.forget(server, change)
        for subscription in list(self._subscriptions):
            subscription.changed(server, change, silently)

    def hear(self, stay: Session, server: str, notification: Notification) -> Notification | None:
        """What a server says to a session, with its name on what it logs."""
        if notification.method in CHANGES:
            self._directories.forget(server, notification.method)
        elif notification.method == _MESSAGE:
            return _signed(notification, server)
        elif notification.method == _UPDATED:
            return self._updated(stay, server, notification)
        return notification

    def _updated(self, stay: Session, server: str, notification: Notification) -> Notification:
        """An update under the URI that the session subscribed to."""
        try:
            fields = open_fields(notification.params)
            owned = Owned(server, _text(fields, "uri"))
        except (InvalidMessage, InvalidParams):
            return notification
        known = self._guest(stay).known_as(owned)
        fields["uri"] = Raw(encode_json(known or self._directory(stay).public_uri(*owned)))
        return Notification(notification.method, encode_json(fields))

    def overhear(self, stay: Session, notification: Notification) -> None:
        """Pass a client's words on to the servers it has asked."""
        for backend in self._servers.values():
            backend.overhear(stay, notification)

    def leave(self, stay: Session) -> None:
        """The session is over."""
        guest = self._guests.pop(stay, None)
        for reading in list(guest.late.values()) if guest is not None else ():
            reading.cancel()
        for backend in self._servers.values():
            backend.detach(stay)

    # --- ways -------------------------------------------------------------------------

    def _put(self, server: str, exchange: Exchange, enquiring: bool = False) -> None:
        """Put *exchange* to *server*, and introduce its session first where that is news."""
        stay = exchange.stay
        if stay.era != MODERN:
            if stay.ended is not None:
                exchange.fail(ClientGone("the session is over"))
                return
            guest = self._guest(stay)
            if server not in guest.met:
                guest.met.add(server)
                if guest.level is not None:
                    self._tell_level(server, stay, guest.level)
        if enquiring:
            self._inventories[server].enquire(exchange)
        else:
            self._servers[server].begin(exchange)

    def _guest(self, session: Session) -> Guest:
        guest = self._guests.get(session)
        if guest is None:
            guest = Guest()
            if session.ended is None:
                self._guests[session] = guest
        return guest

    def _directory(self, stay: Any) -> Directory:
        return self._directories.of(stay.principal)

    def _run(self, exchange: Exchange, work: _Work) -> None:
        """Let *work* see to *exchange*; a cancellation ends it."""
        task = Deferred.fromCoroutine(work)
        if not task.called:
            exchange.in_charge(lambda reason: task.cancel())
        task.addErrback(self._broke, exchange)

    def _broke(self, failure: Failure, exchange: Exchange) -> None:
        problem = failure.value
        if isinstance(problem, McpTwistError):
            exchange.fail(problem)
        elif not exchange.over or not isinstance(problem, CancelledError):
            self.log.failure("answering {method} broke", failure, method=exchange.request.method)
            exchange.fail(McpTwistError("the daemon failed to answer; see its log"))


_Answering: TypeAlias = Callable[[Catalog, Exchange], _Work | None]
_ANSWERS: Mapping[str, _Answering] = {
    "resources/read": Catalog._to_owner,
    "completion/complete": Catalog._complete,
}
_LEGACY_ANSWERS: Mapping[str, _Answering] = {
    **_ANSWERS,
    "initialize": Catalog._greet,
    "logging/setLevel": Catalog._set_level,
    "resources/subscribe": Catalog._to_owner,
    "resources/unsubscribe": Catalog._unsubscribe,
}
_MODERN_ANSWERS: Mapping[str, _Answering] = {
    **_ANSWERS,
    "server/discover": Catalog._discover,
    LISTEN: Catalog._listen,
}


@implementer(IAnswerer)
class _Way:
    """Somewhere to put exchanges."""

    __slots__ = ("begin",)

    def __init__(self, begin: Callable[[Exchange], None]) -> None:
        self.begin = begin


_NULL = Raw(b"null")


def _located(
    directory: Directory, server: str, method: str, known: Mapping[str, str], result: Json
) -> Json:
    """A server's result with the URIs that the client knows its resources by.

    Those that it points to need not be listed (MCP 2025-11-25, *Tools, Resource Links*), so they
    are remembered for when the client asks for them.
    """
    uris = linked(method, result)
    if not uris:
        return result
    public = {uri: known.get(uri) or directory.public_uri(server, uri) for uri in uris}
    moved = {uri: other for uri, other in public.items() if other != uri}
    directory.mention(server, (uri for uri in uris if uri not in moved))
    return relinked(method, result, moved) if moved else result


def _remembered(guest: Guest, uri: str, owned: Owned, answer: Answer) -> Answer:
    """A subscription is one when the server has accepted it."""
    if isinstance(answer, Result):
        guest.remember(uri, owned)
    return answer


def _misconfigured(broken: Mapping[str, str]) -> list[Listing]:
    return [
        Listing(name, trouble=Trouble("misconfigured", reason)) for name, reason in broken.items()
    ]


def _late(server: str, seconds: float) -> ServerTimeout:
    return ServerTimeout(f"{server} did not answer within {seconds:g} s", server=server)


def _raise_late(server: str, result: object, seconds: float) -> Any:
    raise _late(server, seconds)


def _text(fields: Mapping[str, Raw], name: str) -> str:
    """A string member of params.

    :raises InvalidParams: there is none.
    """
    try:
        return msgspec.json.decode(fields[name], type=str)
    except (KeyError, msgspec.DecodeError):
        raise InvalidParams(f"params need a string {name!r}") from None


def _reference(fields: Mapping[str, Raw]) -> dict[str, Raw]:
    try:
        return open_fields(fields.get("ref", b""))
    except InvalidMessage:
        raise InvalidParams("params.ref must be an object") from None


def _only_meta(params: Json) -> Json:
    """What a question of ours inherits from the client's: its envelope, but no progress token."""
    meta = open_fields(open_fields(params).get("_meta", b""))
    meta.pop("progressToken", None)
    return encode_json({"_meta": meta}) if meta else b""


def _signed(notification: Notification, server: str) -> Notification:
    """A log message with the server's name before that of its logger."""
    try:
        fields = open_fields(notification.params)
        logger = fields.get("logger")
        name = f"{server}/{msgspec.json.decode(logger, type=str)}" if logger else server
    except (InvalidMessage, msgspec.DecodeError):
        return notification
    fields["logger"] = Raw(encode_json(name))
    return Notification(notification.method, encode_json(fields))


def _unknown_name(shelf: Shelf, public: str, similar: Sequence[str]) -> UnknownName:
    kind = shelf.member.removesuffix("s")
    hint = f"did you mean {' or '.join(similar)}?" if similar else f"{shelf.method} tells what is"
    return UnknownName(
        f"there is no {kind} {public[:100]!r}; {hint}", didYouMean=list(similar) or None
    )
