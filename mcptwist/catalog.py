"""All servers as one: their tools, prompts and resources in one view.

The :class:`Catalog` asks servers on behalf of whoever asked it, and passes on what belongs to one
of them. It never changes what it has no need to understand: of an entry only the name, of a call
only the name of what is called.

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
from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from mcptwist.company import LEVELS
from mcptwist.directory import (
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
from mcptwist.errors import (
    ClientGone,
    EraMismatch,
    InvalidMessage,
    InvalidParams,
    McpTwistError,
    MethodNotFound,
    ServerTimeout,
    UnknownName,
)
from mcptwist.exchange import LISTEN, Awaited, Exchange, ask
from mcptwist.interfaces import IAnswerer, IReply, ISource, IView
from mcptwist.links import linked
from mcptwist.listings import Bounds, Listing, merged, none_available, read_all, trouble
from mcptwist.messages import (
    Answer,
    Json,
    Notification,
    Request,
    Result,
    encode_json,
    open_fields,
)
from mcptwist.negotiation import SERVER_KEY, agree, read_hello
from mcptwist.subscription import Patiences, Subscription, Wanted, read_wanted
from mcptwist.versions import MODERN, MODERN_REVISIONS

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime

    from mcptwist.session import Session

_Work: TypeAlias = Coroutine[Deferred[Any], Any, None]
_SUBSCRIPTIONS = 10_000
_MESSAGE = "notifications/message"
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


class UnknownResource(UnknownName):
    """No server has a resource of that URI (MCP 2026-07-28, *Resources, Error handling*)."""

    code = "unknown-resource"


class ResourceNotFound(UnknownResource):
    """The same as the legacy revisions say it."""

    rpc_code = -32002


class Guest:
    """What a session told the catalog, for the servers that it will reach later.

    :ivar met: the servers it has been put to.
    :ivar level: the log level it set.
    :ivar subscribed: the server of each resource it subscribed to.
    :ivar late: lists that did not come in time and are still waited for.
    """

    __slots__ = ("late", "level", "met", "subscribed")

    def __init__(self) -> None:
        self.met: set[str] = set()
        self.level: str | None = None
        self.subscribed: dict[str, str] = {}
        self.late: dict[tuple[str, Shelf], Deferred[Any]] = {}

    def remember(self, uri: str, server: str) -> None:
        """It subscribed there; so much is remembered and no more, the rest can be looked up."""
        if len(self.subscribed) < _SUBSCRIPTIONS:
            self.subscribed[uri] = server


@implementer(IView)
class Catalog:
    """The view of all servers as one.

    :param backends: the servers (:class:`ICatalogued`) by name, in the order of their lists.
    :param clock: for the deadlines.
    :param identity: name and version of the daemon.
    """

    log = Logger()
    name = ""

    def __init__(
        self,
        backends: Mapping[str, Any],
        clock: IReactorTime,
        identity: Mapping[str, str],
        settings: CatalogSettings | None = None,
    ) -> None:
        self._backends = dict(backends)
        self._clock = clock
        self._identity = dict(identity)
        self._settings = settings or CatalogSettings()
        self._directories = Directories(tuple(self._backends))
        self._guests: dict[Session, Guest] = {}

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
                "capabilities": CAPABILITIES,
                "serverInfo": self._identity,
                "instructions": self._instructions(),
            }
        )

    def _instructions(self) -> str:
        return (
            "Several MCP servers in one. The tools and prompts of each begin with its name and "
            f"two underscores. The servers: {', '.join(self._backends)}."
        )

    async def _discover(self, exchange: Exchange) -> None:
        """Answer ``server/discover``, unless no server speaks the modern revision.

        A client of both eras takes a refusal as the sign to shake hands instead, and then
        reaches them all.
        """
        params = exchange.request.params
        asked = [self._probe(name, exchange, params) for name in self._backends]
        found = [each for _, each in await DeferredList(asked, consumeErrors=True)]
        if all(
            each.trouble is not None and each.trouble.code == EraMismatch.code for each in found
        ):
            raise none_available(found)
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

    def _probe(self, server: str, exchange: Exchange, params: Json) -> Deferred[Listing]:
        """Whether *server* answers in the modern era, told as a list without entries."""
        answer = self._ask(server, exchange.stay, "server/discover", params)
        return self._in_time(server, answer.addCallback(lambda _: Listing(server)))

    # --- lists ------------------------------------------------------------------------

    async def _list(self, exchange: Exchange, shelf: Shelf) -> None:
        params = exchange.request.params
        cursor = open_fields(params).get("cursor", _NULL)
        if cursor != _NULL:
            raise InvalidParams("cursor is none of ours: this list has one page only")
        listings = await self._listings(exchange.stay, shelf, params, tuple(self._backends))
        modern = exchange.stay.era == MODERN
        exchange.succeed(merged(shelf, listings, self._identity, modern))

    async def _listings(
        self, stay: Any, shelf: Shelf, params: Json, servers: Sequence[str]
    ) -> list[Listing]:
        """What *servers* list on *shelf*, each in its own time, and learn from it."""
        asked = [self._listing(name, stay, shelf, params) for name in servers]
        found: list[Listing] = [each for _, each in await DeferredList(asked, consumeErrors=True)]
        directory = self._directory(stay)
        for listing in found:
            if listing.trouble is None or listing.entries:
                directory.learn(listing.server, shelf, listing.entries)
        return found

    def _listing(self, server: str, stay: Any, shelf: Shelf, params: Json) -> Deferred[Listing]:
        asker = partial(self._ask, server, stay)
        reading = Deferred.fromCoroutine(
            read_all(server, shelf, params, asker, self._settings.bounds)
        )
        if stay.era == MODERN or (server, shelf) in self._guest(stay).late:
            return self._in_time(server, reading)
        return self._now_or_later(server, stay, shelf, reading).addErrback(self._without, server)

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
                if isinstance(result, Listing) and session.ended is None:
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

    def _ask(self, server: str, stay: Any, method: str, params: Json) -> Deferred[Json]:
        """Ask *server* something for the client whose *stay* it is."""
        awaited = Awaited()
        answer = awaited.answer
        awaited.begin(_Way(partial(self._put, server)), method, params, stay)
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

    def _pass(self, exchange: Exchange, server: str, params: Json) -> None:
        """Let *server* answer *exchange*, with *params* in place of its own."""
        if exchange.over:
            return
        request = exchange.request
        reply = _Passing(exchange, partial(self._directory(exchange.stay).mention, server))
        inner = Exchange(Request(request.id, request.method, params), reply, exchange.stay)
        reply.inner = inner
        exchange.in_charge(inner.cancel)
        exchange.source = reply
        self._put(server, inner)

    # --- resources --------------------------------------------------------------------

    async def _to_owner(self, exchange: Exchange) -> None:
        """Pass on what names a resource."""
        params = exchange.request.params
        uri = _text(open_fields(params), "uri")
        server = await self._owner(exchange, uri)
        if exchange.request.method == "resources/subscribe":
            self._guest(exchange.stay).remember(uri, server)
        self._pass(exchange, server, params)

    async def _unsubscribe(self, exchange: Exchange) -> None:
        """Pass it on to whom the subscription was passed."""
        params = exchange.request.params
        uri = _text(open_fields(params), "uri")
        server = self._guest(exchange.stay).subscribed.pop(uri, None)
        self._pass(exchange, server or await self._owner(exchange, uri), params)

    async def _owner(self, exchange: Exchange, uri: str) -> str:
        """The server whose resource *uri* is.

        :raises UnknownResource: nobody has it.
        """
        directory = self._directory(exchange.stay)
        owner = directory.owner(uri)
        if owner is None:
            await self._list_resources(exchange)
            owner = directory.owner(uri)
        if owner is None:
            kind = UnknownResource if exchange.stay.era == MODERN else ResourceNotFound
            raise kind("Resource not found: no server has one of this URI", uri=uri)
        return owner

    async def _list_resources(self, exchange: Exchange) -> None:
        params = _only_meta(exchange.request.params)
        servers = tuple(self._backends)
        both = (
            Deferred.fromCoroutine(self._listings(exchange.stay, shelf, params, servers))
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
            server = await self._owner(exchange, _text(reference, "uri"))
            self._pass(exchange, server, exchange.request.params)
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
            self._backends[server], "logging/setLevel", encode_json({"level": level}), session
        )
        told.addErrback(lambda _: None)  # most servers have no levels

    async def _listen(self, exchange: Exchange) -> None:
        """Listen to every server for a modern client."""
        wanted = read_wanted(exchange.request.params)
        directory = self._directory(exchange.stay)
        if any(directory.owner(uri) is None for uri in wanted.resourceSubscriptions):
            await self._list_resources(exchange)
        if exchange.over:
            return
        Subscription(
            exchange,
            self._shared_out(wanted, directory),
            self._put,
            self._directories.forget,
            self._clock,
            self._settings.listening,
        ).start()

    def _shared_out(self, wanted: Wanted, directory: Directory) -> dict[str, Wanted]:
        """What to ask of each server: its own resources, and those that nobody is known to have."""
        owners = {uri: directory.owner(uri) for uri in wanted.resourceSubscriptions}
        parts = {
            server: msgspec.structs.replace(
                wanted,
                resourceSubscriptions=[u for u, owner in owners.items() if owner in (server, None)],
            )
            for server in self._backends
        }
        return {server: part for server, part in parts.items() if part != Wanted()}

    def hear(self, stay: Session, server: str, notification: Notification) -> Notification | None:
        """What a server says to a session, with its name on what it logs."""
        if notification.method in CHANGES:
            self._directories.forget(server, notification.method)
        elif notification.method == _MESSAGE:
            return _signed(notification, server)
        return notification

    def overhear(self, stay: Session, notification: Notification) -> None:
        """Pass a client's words on to the servers it has asked."""
        for backend in self._backends.values():
            backend.overhear(stay, notification)

    def leave(self, stay: Session) -> None:
        """The session is over."""
        guest = self._guests.pop(stay, None)
        for reading in list(guest.late.values()) if guest is not None else ():
            reading.cancel()
        for backend in self._backends.values():
            backend.detach(stay)

    # --- ways -------------------------------------------------------------------------

    def _put(self, server: str, exchange: Exchange) -> None:
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
        self._backends[server].begin(exchange)

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


@implementer(IReply, ISource)
class _Passing:
    """The reply of an exchange that stands for another: everything said reaches that one, and
    what holds that one back holds it back too.

    :param mention: told the URIs of resources that the answer points to, which need not be
        listed (MCP 2025-11-25, *Tools, Resource Links*).
    """

    __slots__ = ("_mention", "_outer", "inner")
    inner: Exchange

    def __init__(self, outer: Exchange, mention: Callable[[Sequence[str]], None]) -> None:
        self._outer = outer
        self._mention = mention

    def notified(self, exchange: Exchange, notification: Notification) -> None:
        """Something was said."""
        self._outer.notify(notification)

    def asked(self, exchange: Exchange, question: Exchange) -> None:
        """The server asks."""
        self._outer.ask(question)

    def answered(self, exchange: Exchange, answer: Answer) -> None:
        """The answer."""
        if isinstance(answer, Result):
            links = linked(answer.result)
            if links:
                self._mention(links)
        self._outer.answer(answer)

    def cancelled(self, exchange: Exchange, reason: str) -> None:
        """The client did not want it any more."""

    def hold(self, exchange: Exchange) -> None:
        """The client cannot take more."""
        self.inner.hold()

    def release(self, exchange: Exchange) -> None:
        """It can again."""
        self.inner.release()


_NULL = Raw(b"null")


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
