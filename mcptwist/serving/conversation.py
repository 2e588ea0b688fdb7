"""What a server and one far end say to each other over one wire.

Both eras may be spoken on it, even mixed: each request is served by what it says of
itself (MCP 2026-07-28, *Versioning, Backward Compatibility*). One that carries
the modern ``_meta`` stands alone. Others belong to the stay that ``initialize`` began.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Raw
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from mcptwist.asked import Asked
from mcptwist.errors import (
    ClientError,
    ClientGone,
    InvalidMessage,
    InvalidParams,
    McpTwistError,
    MethodNotFound,
    NotInitialized,
    Overloaded,
)
from mcptwist.exchange import SUBSCRIPTION_ID, Exchange
from mcptwist.interfaces import IReply, IWire, IWireReader
from mcptwist.messages import (
    Answer,
    Message,
    Notification,
    Request,
    encode_json,
    error_answer,
)
from mcptwist.negotiation import (
    VERSION_KEY,
    Envelope,
    agree,
    read_envelope,
    read_hello,
    require_modern,
)
from mcptwist.opened import Opened
from mcptwist.serving.calls import Turn
from mcptwist.serving.context import LEVELS
from mcptwist.serving.question import AnswerRefused, Question
from mcptwist.serving.repertoire import UriParams, read_params
from mcptwist.serving.terms import Terms
from mcptwist.versions import LATEST, LATEST_LEGACY, MODERN_REVISIONS

if TYPE_CHECKING:
    from mcptwist.server import Server

TOOLS = "tools"
RESOURCES = "resources"
PROMPTS = "prompts"

_QUIET = "info"
_NOTHING = Raw(b"{}")
_ASKED_OF_NOBODY = frozenset({"server/discover", "subscriptions/listen"})


class _Filter(msgspec.Struct, omit_defaults=True):
    """What a ``subscriptions/listen`` wants to hear of."""

    toolsListChanged: bool = False
    promptsListChanged: bool = False
    resourcesListChanged: bool = False
    resourceSubscriptions: list[str] = []

    def wants(self, kind: str) -> bool:
        """Whether a change of that list is one."""
        return bool(getattr(self, f"{kind}ListChanged"))


class _ListenParams(msgspec.Struct):
    notifications: _Filter


class _LevelParams(msgspec.Struct):
    level: str


class _TokenMeta(msgspec.Struct):
    progressToken: int | str | None = None


class _AnyParams(msgspec.Struct):
    meta: dict[str, Raw] = msgspec.field(default_factory=dict, name="_meta")


@implementer(IWireReader, IReply)
class Conversation:
    """One wire's talk with a server.

    :param server: what it is about.
    :param wire: what carries it; this is its reader.
    :param clock: time, in seconds.
    """

    _log = Logger()

    def __init__(self, server: Server, wire: IWire, clock: IReactorTime) -> None:
        self.clock = clock
        self._server = server
        self._wire: IWire | None = wire
        self._opened = Opened(server.limits.in_flight)
        self._asked = Asked(server.limits.in_flight)
        self._agreed: Terms | None = None
        self._ready = False
        self._watched: set[str] = set()
        self._listening: dict[Exchange, _Filter] = {}
        self._changed: set[str] = set()
        self._telling: IDelayedCall | None = None
        self._modern: Mapping[str, Callable[[Turn], None]] = {
            "server/discover": self._discover,
            "subscriptions/listen": self._listen,
        }
        self._legacy: Mapping[str, Callable[[Turn], None]] = {
            "initialize": self._initialize,
            "ping": self._ping,
            "logging/setLevel": self._set_level,
            "resources/subscribe": self._subscribe,
            "resources/unsubscribe": self._unsubscribe,
        }

    @property
    def backlog(self) -> int:
        """Bytes that the far end was sent and has not taken yet."""
        return 0 if self._wire is None else int(self._wire.backlog)

    # --- told by the wire ---------------------------------------------------------

    def received(self, message: Message) -> None:
        """The far end said *message*."""
        if isinstance(message, Request):
            self._requested(message)
        elif isinstance(message, Notification):
            self._notified(message)
        elif not self._asked.answered(message):
            self._log.info("the far end answered what nobody asked", id=message.id)

    def malformed(self, problem: ClientError) -> None:
        """The far end sent what is no message; it gets to hear so."""
        self._send(error_answer(getattr(problem, "id", None), problem))

    def lost(self, reason: McpTwistError) -> None:
        """The wire is gone: nobody wants anything any more."""
        self._wire = None
        self._server.left(self)
        self._listening.clear()
        if self._telling is not None:
            self._telling.cancel()
            self._telling = None
        self._opened.cancel_all(reason.message)
        self._asked.fail_all(ClientGone(f"the client left before it answered: {reason.message}"))

    # --- told by exchanges (IReply) -----------------------------------------------

    def notified(self, exchange: Exchange, notification: Notification) -> None:
        """Something is said about an open request."""
        self._send(notification)

    def asked(self, exchange: Exchange, question: Exchange) -> None:
        """Exchanges of a server of ours ask through :meth:`ask`."""
        question.fail(InvalidMessage("a call asks back through its context"))

    def answered(self, exchange: Exchange, answer: Answer) -> None:
        """A request has its answer."""
        self._forget(exchange)
        self._send(answer)

    def cancelled(self, exchange: Exchange, reason: str) -> None:
        """A request is not wanted any more."""
        self._forget(exchange)

    # --- asked by calls and the server --------------------------------------------

    def answer(self, turn: Turn, result: dict[str, Any]) -> None:
        """Answer the request of *turn*, in the words of its era."""
        if turn.terms.modern:
            result = self._server.signed(turn.exchange.request.method, result)
        turn.exchange.succeed(result)

    def ask(self, question: Question) -> None:
        """Put a question of the server's own to the far end (legacy only)."""
        exchange = Exchange(question.request(), question)
        try:
            request = self._asked.put(exchange)
        except Overloaded as problem:
            self._server.refused["questions"] += 1
            question.fail(problem)
            return
        late = self.clock.callLater(self._server.limits.patience, self._late, request, question)
        question.when_answered.addBoth(_stop, late)
        question.withdraw = lambda reason: self._withdraw(request, reason)
        self._send(request)

    def changed(self, kind: str) -> None:
        """A list changed; those who want to hear of it do, once per turn of the reactor."""
        self._changed.add(kind)
        if self._telling is None and self._wire is not None:
            self._telling = self.clock.callLater(0, self._tell_changes)

    def updated(self, uri: str) -> None:
        """The resource at *uri* changed; those who watch it get to hear so."""
        method = "notifications/resources/updated"
        if uri in self._watched:
            self._send(Notification(method, encode_json({"uri": uri})))
        for exchange, wanted in list(self._listening.items()):
            if uri in wanted.resourceSubscriptions:
                _tell(exchange, method, uri=uri)

    def close(self) -> None:
        """End it in good order: streams are ended, calls are cancelled."""
        for exchange in list(self._listening):
            ended = {"_meta": {SUBSCRIPTION_ID: exchange.request.id}}
            exchange.succeed(self._server.signed(exchange.request.method, ended))
        self._opened.cancel_all("the server is stopping")

    # --- requests -----------------------------------------------------------------

    def _requested(self, request: Request) -> None:
        exchange = Exchange(request, self)
        try:
            self._opened.add(exchange)
        except McpTwistError as problem:
            self._server.refused[problem.data.get("limit", problem.code)] += 1
            self._send(error_answer(request.id, problem))
            return
        try:
            terms = self._terms(request)
            self._answerer(request.method, terms)(Turn(exchange, terms, self))
        except McpTwistError as problem:
            exchange.fail(problem)
        except Exception:
            self._log.failure("{method} could not be answered", method=request.method)
            exchange.fail(McpTwistError(f"{request.method} failed; the server's log has more"))

    def _answerer(self, method: str, terms: Terms) -> Callable[[Turn], None]:
        own = self._modern if terms.modern else self._legacy
        answerer = own.get(method) or self._server.repertoire.answers.get(method)
        if answerer is None:
            raise MethodNotFound(f"{method} is no method of revision {terms.revision}")
        return answerer

    def _terms(self, request: Request) -> Terms:
        """What holds for *request*.

        :raises McpTwistError: nothing does, for it says neither enough nor belongs anywhere.
        """
        meta = read_params(request.params, _AnyParams).meta
        if VERSION_KEY in meta:
            envelope = read_envelope(request.params)
            require_modern(envelope.version)
            return _modern_terms(envelope, meta)
        if request.method in _ASKED_OF_NOBODY and self._agreed is None:
            read_envelope(request.params)
        if self._agreed is None:
            if request.method in ("initialize", "ping"):
                return Terms(LATEST_LEGACY, False)
            raise NotInitialized(
                f"{request.method} came before initialize and does not carry the _meta that "
                f"revision {LATEST} asks for"
            )
        return msgspec.structs.replace(self._agreed, meta=meta, token=_token(meta))

    def _initialize(self, turn: Turn) -> None:
        hello = read_hello(turn.params)
        revision = agree(hello.protocolVersion)
        self._agreed = Terms(revision, False, hello.capabilities, hello.clientInfo, _QUIET)
        self._ready = False
        turn.answer({"protocolVersion": revision, **self._server.introduction()})

    def _ping(self, turn: Turn) -> None:
        turn.answer({})

    def _set_level(self, turn: Turn) -> None:
        level = _level(read_params(turn.params, _LevelParams).level)
        assert self._agreed is not None
        self._agreed = msgspec.structs.replace(self._agreed, log_level=level)
        turn.answer({})

    def _subscribe(self, turn: Turn) -> None:
        uri = read_params(turn.params, UriParams).uri
        self._server.repertoire.require_resource(uri, turn.terms)
        self._allow(len(self._watched | {uri}))
        self._watched.add(uri)
        turn.answer({})

    def _unsubscribe(self, turn: Turn) -> None:
        self._watched.discard(read_params(turn.params, UriParams).uri)
        turn.answer({})

    def _discover(self, turn: Turn) -> None:
        introduction = self._server.introduction()
        del introduction["serverInfo"]  # it is in every modern result's _meta
        turn.answer({"supportedVersions": list(MODERN_REVISIONS), **introduction})

    def _listen(self, turn: Turn) -> None:
        wanted = read_params(turn.params, _ListenParams).notifications
        self._allow(len(wanted.resourceSubscriptions))
        self._listening[turn.exchange] = wanted
        _tell(turn.exchange, "notifications/subscriptions/acknowledged", notifications=wanted)

    def _allow(self, watched: int) -> None:
        if watched > self._server.limits.watched:
            self._server.refused["watched"] += 1
            raise Overloaded(
                f"at most {self._server.limits.watched} resources can be watched at once",
                limit="watched",
            )

    # --- notifications ------------------------------------------------------------

    def _notified(self, notification: Notification) -> None:
        if notification.method == "notifications/cancelled":
            self._opened.cancelled(notification)
        elif notification.method == "notifications/initialized":
            self._ready = self._agreed is not None

    def _tell_changes(self) -> None:
        self._telling = None
        kinds, self._changed = sorted(self._changed), set()
        for kind in kinds:
            method = f"notifications/{kind}/list_changed"
            if self._ready:
                self._send(Notification(method))
            for exchange, wanted in list(self._listening.items()):
                if wanted.wants(kind):
                    _tell(exchange, method)

    # --- small matters ------------------------------------------------------------

    def _forget(self, exchange: Exchange) -> None:
        self._opened.remove(exchange)
        self._listening.pop(exchange, None)

    def _late(self, request: Request, question: Question) -> None:
        patience = self._server.limits.patience
        self._withdraw(request, f"no answer within {patience:g} seconds")
        question.fail(AnswerRefused(f"no answer to {question.method} within {patience:g} seconds"))

    def _withdraw(self, request: Request, reason: str) -> None:
        notification = self._asked.cancelled(request.id, reason)
        if notification is not None:
            self._send(notification)

    def _send(self, message: Message) -> None:
        if self._wire is not None:
            self._wire.send(message)


def _modern_terms(envelope: Envelope, meta: dict[str, Raw]) -> Terms:
    level = None if envelope.log_level is None else _level(envelope.log_level)
    client = envelope.client or _NOTHING
    return Terms(envelope.version, True, envelope.capabilities, client, level, _token(meta), meta)


def _token(meta: Mapping[str, Raw]) -> int | str | None:
    raw = meta.get("progressToken")
    if raw is None:
        return None
    try:
        token: int | str = msgspec.json.decode(raw, type=int | str)
    except msgspec.ValidationError:
        raise InvalidParams("_meta.progressToken must be a string or an integer") from None
    return token


def _level(name: str) -> str:
    if name not in LEVELS:
        raise InvalidParams(f"{name!r} is no log level; there are {', '.join(LEVELS)}")
    return name


def _tell(exchange: Exchange, method: str, **params: Any) -> None:
    """Say something on the stream that *exchange* opened."""
    params["_meta"] = {SUBSCRIPTION_ID: exchange.request.id}
    exchange.notify(Notification(method, encode_json(params)))


def _stop(outcome: Any, timer: IDelayedCall) -> Any:
    if timer.active():
        timer.cancel()
    return outcome
