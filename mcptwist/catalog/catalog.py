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
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from mcptwist.catalog.directory import (
    CHANGES,
    PROMPTS,
    SHELVES,
    TEMPLATES,
    TOOLS,
    Directories,
    Directory,
    Owned,
    Shelf,
)
from mcptwist.catalog.edits import located, reference, signed, text
from mcptwist.catalog.finder import Finder
from mcptwist.catalog.greeting import Greeting
from mcptwist.catalog.guest import Guests, remembered
from mcptwist.catalog.inventory import Inventory
from mcptwist.catalog.listeners import Listeners
from mcptwist.catalog.listings import Bounds, Listing, Trouble, merged
from mcptwist.catalog.lists import Lists
from mcptwist.catalog.subscription import Patiences
from mcptwist.catalog.ways import Ways
from mcptwist.errors import InvalidMessage, InvalidParams, McpTwistError, MethodNotFound
from mcptwist.exchange import LISTEN, Exchange
from mcptwist.interfaces import IGroup
from mcptwist.messages import Json, Notification, encode_json, open_fields
from mcptwist.passing import pass_on
from mcptwist.versions import MODERN

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime

    from mcptwist.session import Session

_Work: TypeAlias = Coroutine[Deferred[Any], Any, None]
_MESSAGE = "notifications/message"
_UPDATED = "notifications/resources/updated"
_HOLDING = frozenset({"tools/call", "prompts/get", "resources/read"})
"""Methods whose results may hold resources, or point to some."""

_LISTED = {shelf.method: shelf for shelf in SHELVES}
_NAMED = {"tools/call": TOOLS, "prompts/get": PROMPTS}


class CatalogSettings(msgspec.Struct, frozen=True):
    """The bounds of a catalog.

    :ivar deadline: seconds that a server has to list what it has.
    :ivar bounds: how much of a server's list is taken.
    :ivar listening: how long subscriptions wait.
    """

    deadline: float = 15.0
    bounds: Bounds = Bounds()
    listening: Patiences = Patiences()


@implementer(IGroup)
class Catalog:
    """The view of all servers as one.

    :param servers: those to be asked, by name, in the order of their lists
        (:class:`~mcptwist.interfaces.ICatalogued`).
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
        self._guests = Guests()
        self._broken = _misconfigured(broken or {})
        self._inventories = dict(inventories or {}) or {
            name: Inventory(name, server, clock, self._identity, self._settings.bounds)
            for name, server in self._servers.items()
        }
        for name in self._servers:
            self._inventories[name].followers.append(self)
        known = (self._inventories, self._directories)
        self._ways = Ways(self._servers, self._inventories, self._guests)
        self._greeting = Greeting(self._inventories, identity)
        self._lists = Lists(
            *known, self._guests, self._ways.enquire, clock, self._settings.deadline
        )
        self._finder = Finder(*known, self._lists)
        self._listeners = Listeners(
            *known, self._finder, self._ways.put, clock, self._settings.listening
        )

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

    def _welcome(self, exchange: Exchange) -> None:
        """Greet a session, and remember it: it is to hear of servers that come and go."""
        self._guests.of(exchange.stay)
        self._greeting.welcome(exchange)

    # --- lists ------------------------------------------------------------------------

    async def _list(self, exchange: Exchange, shelf: Shelf) -> None:
        params = exchange.request.params
        cursor = open_fields(params).get("cursor", _NULL)
        if cursor != _NULL:
            raise InvalidParams("cursor is none of ours: this list has one page only")
        stay = exchange.stay
        listings = await self._lists.read(stay, shelf, params, tuple(self._servers))
        directory = self._directory(stay)
        locate = directory.public_template if shelf is TEMPLATES else directory.public_uri
        exchange.succeed(
            merged(shelf, listings, self._identity, stay.revision, locate, self._broken)
        )

    # --- calls ------------------------------------------------------------------------

    def _to_named(self, exchange: Exchange, shelf: Shelf) -> None:
        """Pass a call on to the owner of what it names."""
        fields = open_fields(exchange.request.params)
        public = text(fields, "name")
        found = self._directory(exchange.stay).find(shelf, public)
        if found is not None:
            self._pass_named(exchange, fields, found)
        else:
            self._run(exchange, self._to_listed(exchange, shelf, fields, public))

    async def _to_listed(
        self, exchange: Exchange, shelf: Shelf, fields: dict[str, Raw], public: str
    ) -> None:
        found = await self._finder.named(exchange, shelf, public)
        self._pass_named(exchange, fields, found)

    def _pass_named(self, exchange: Exchange, fields: dict[str, Raw], found: Owned) -> None:
        fields["name"] = Raw(encode_json(found.name))
        self._pass(exchange, found.server, encode_json(fields))

    def _pass(
        self, exchange: Exchange, server: str, params: Json, known: Mapping[str, str] | None = None
    ) -> None:
        """Let *server* answer *exchange*, with *params* in place of its own.

        :param known: what the client knows some of the server's resources as.
        """
        directory = self._directory(exchange.stay)
        method = exchange.request.method
        edit = partial(located, directory, server, method, known or {})
        pass_on(
            exchange, partial(self._ways.put, server), params, edit if method in _HOLDING else None
        )

    # --- resources --------------------------------------------------------------------

    async def _to_owner(self, exchange: Exchange) -> None:
        """Pass on what names a resource."""
        fields = open_fields(exchange.request.params)
        uri = text(fields, "uri")
        owned = await self._finder.resource(exchange, uri)
        if exchange.request.method == "resources/subscribe":
            guest = self._guests.of(exchange.stay)
            exchange.see_through(partial(remembered, guest, uri, owned))
        self._pass_resource(exchange, fields, uri, owned)

    async def _unsubscribe(self, exchange: Exchange) -> None:
        """Pass it on to whom the subscription was passed."""
        fields = open_fields(exchange.request.params)
        uri = text(fields, "uri")
        owned = self._guests.of(exchange.stay).forget(uri)
        if owned is None:
            owned = await self._finder.resource(exchange, uri)
        self._pass_resource(exchange, fields, uri, owned)

    def _pass_resource(
        self, exchange: Exchange, fields: dict[str, Raw], uri: str, owned: Owned
    ) -> None:
        fields["uri"] = Raw(encode_json(owned.name))
        self._pass(exchange, owned.server, encode_json(fields), {owned.name: uri})

    async def _complete(self, exchange: Exchange) -> None:
        """Pass ``completion/complete`` on to the owner of what it refers to."""
        fields = open_fields(exchange.request.params)
        ref = reference(fields)
        kind = text(ref, "type")
        if kind == "ref/prompt":
            key, found = "name", await self._finder.named(exchange, PROMPTS, text(ref, "name"))
        elif kind == "ref/resource":
            key, found = "uri", await self._finder.resource(exchange, text(ref, "uri"))
        else:
            raise InvalidParams("params.ref.type must be ref/prompt or ref/resource")
        ref[key] = Raw(encode_json(found.name))
        fields["ref"] = Raw(encode_json(ref))
        self._pass(exchange, found.server, encode_json(fields))

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
        before = dict(self._servers)
        self._servers.clear()
        self._servers.update(servers)
        self._broken = _misconfigured(broken)
        gone = [name for name, server in before.items() if servers.get(name) is not server]
        come = [name for name, server in servers.items() if before.get(name) is not server]
        for name in gone:
            self._dismiss(name, before[name])
        self._inventories.clear()
        self._inventories.update(inventories)
        if gone or come or list(before) != list(servers):
            self._directories.begin_anew(tuple(servers))
            self._admit(come)

    def _dismiss(self, name: str, server: Any) -> None:
        self._inventories[name].followers.remove(self)
        for stay, guest in self._guests.known():
            guest.part(name)
            server.detach(stay)
        self._listeners.dismiss(name)

    def _admit(self, names: Sequence[str]) -> None:
        for name in names:
            self._inventories[name].followers.append(self)
        self._listeners.admit(names)
        for stay, _ in self._guests.known():
            for change in sorted(CHANGES):
                stay.tell("", Notification(change))

    # --- what becomes of servers ------------------------------------------------------

    def server_up(self, server: str, session: Session | None) -> None:
        """It is there, for the first time or again: who missed it can list again."""
        for stay, guest in self._guests.known(session):
            missed = {key for key in guest.missed if key[0] == server}
            guest.missed -= missed
            for change in sorted({shelf.changed for _, shelf in missed}):
                stay.tell(server, Notification(change))
        if session is None:
            self._listeners.woken(server)

    def list_changed(self, server: str, change: str, silently: bool) -> None:
        """A list is not what clients were given."""
        self._directories.forget(server, change)
        self._listeners.changed(server, change, silently)

    def hear(self, stay: Session, server: str, notification: Notification) -> Notification | None:
        """What a server says to a session, with its name on what it logs."""
        if notification.method in CHANGES:
            self._directories.forget(server, notification.method)
        elif notification.method == _MESSAGE:
            return signed(notification, server)
        elif notification.method == _UPDATED:
            return self._updated(stay, server, notification)
        return notification

    def _updated(self, stay: Session, server: str, notification: Notification) -> Notification:
        """An update under the URI that the session subscribed to."""
        try:
            fields = open_fields(notification.params)
            owned = Owned(server, text(fields, "uri"))
        except (InvalidMessage, InvalidParams):
            return notification
        known = self._guests.of(stay).known_as(owned)
        fields["uri"] = Raw(encode_json(known or self._directory(stay).public_uri(*owned)))
        return Notification(notification.method, encode_json(fields))

    def overhear(self, stay: Session, notification: Notification) -> None:
        """Pass a client's words on to the servers it has asked."""
        for backend in self._servers.values():
            backend.overhear(stay, notification)

    def leave(self, stay: Session) -> None:
        """The session is over."""
        self._guests.leave(stay)
        for backend in self._servers.values():
            backend.detach(stay)

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
    "initialize": Catalog._welcome,
    "logging/setLevel": lambda catalog, exchange: catalog._ways.set_level(exchange),
    "resources/subscribe": Catalog._to_owner,
    "resources/unsubscribe": Catalog._unsubscribe,
}
_MODERN_ANSWERS: Mapping[str, _Answering] = {
    **_ANSWERS,
    "server/discover": lambda catalog, exchange: catalog._greeting.discovery(exchange),
    LISTEN: lambda catalog, exchange: catalog._listeners.begin(exchange),
}


_NULL = Raw(b"null")


def _misconfigured(broken: Mapping[str, str]) -> list[Listing]:
    return [
        Listing(name, trouble=Trouble("misconfigured", reason)) for name, reason in broken.items()
    ]
