"""What a principal may reach, applied to what is asked, not to how it was announced.

Two questions, asked of every request of every wire. May the caller *do* this: that is a scope,
and belongs to the token that came with the request (:func:`scope_of`, :class:`Scoped`). May its
key reach *that tool, resource or prompt*: that is an allow-list in ``authorized_keys``
(:class:`Policed`). What one may not reach is not in lists either, and asking for it is answered as
asking for what does not exist.

Names in allow-lists are those of the merged view (``SERVER__TOOL``), whichever URL is used;
resources go by their URI.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import msgspec
from msgspec import Raw
from zope.interface import implementer

from mcptwist.auth.authorizedkeys import CALL, READ, SUBSCRIBE, Grant
from mcptwist.auth.denials import InsufficientScope, KeyWithdrawn
from mcptwist.auth.keyring import Keyring
from mcptwist.auth.patterns import Patterns
from mcptwist.auth.realm import Principal
from mcptwist.catalog.subscription import read_wanted
from mcptwist.catalog.toolnames import public_name
from mcptwist.errors import (
    InvalidMessage,
    InvalidParams,
    McpTwistError,
    MethodNotFound,
    ServerMisbehaved,
    UnknownName,
)
from mcptwist.exchange import LISTEN, Exchange
from mcptwist.interfaces import IReply, ISource, IView
from mcptwist.messages import (
    Answer,
    Error,
    Json,
    Notification,
    Request,
    Result,
    encode_json,
    open_error,
    open_fields,
)
from mcptwist.session import Session

_SCOPES: Mapping[str, str] = {
    "initialize": READ,
    "ping": READ,
    "server/discover": READ,
    "tools/list": READ,
    "prompts/list": READ,
    "prompts/get": READ,
    "resources/list": READ,
    "resources/templates/list": READ,
    "resources/read": READ,
    "completion/complete": READ,
    "logging/setLevel": READ,
    "tools/call": CALL,
    LISTEN: SUBSCRIBE,
    "resources/subscribe": SUBSCRIBE,
    "resources/unsubscribe": SUBSCRIBE,
}
#: What the answer to a list is made of: its member, and what its entries are known by.
_LISTS: Mapping[str, tuple[str, str]] = {
    "tools/list": ("tools", "name"),
    "prompts/list": ("prompts", "name"),
    "resources/list": ("resources", "uri"),
    "resources/templates/list": ("resourceTemplates", "uriTemplate"),
}
#: What is asked for by name: the allow-list, and the member that holds the name.
_NAMED: Mapping[str, tuple[str, str]] = {
    "tools/call": ("tools", "name"),
    "prompts/get": ("prompts", "name"),
    "resources/read": ("resources", "uri"),
    "resources/subscribe": ("resources", "uri"),
    "resources/unsubscribe": ("resources", "uri"),
}
_FREE = frozenset({"initialize", "ping", "server/discover", "logging/setLevel"})
_ALLOWED_BY = {"resourceTemplates": "resources"}

Told: TypeAlias = Callable[[Exchange, Grant, str], None]


def scope_of(method: str) -> str:
    """The scope that a request needs. What we do not know may change anything: as a call."""
    return _SCOPES.get(method, CALL)


class Policies:
    """What principals may reach, as the keyring says now."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring

    def of(self, identity: str) -> Grant | None:
        """The grant of a principal; ``None`` if its key is not good any more."""
        return self._keyring.of(identity)


class _Around:
    """A view of a view: what it does not say otherwise is the inner one's."""

    def __init__(self, view: IView) -> None:
        self.name = view.name
        self._view = view

    def hear(self, stay: Session, server: str, notification: Notification) -> Notification | None:
        """What a server says unasked."""
        return self._view.hear(stay, server, notification)

    def overhear(self, stay: Session, notification: Notification) -> None:
        """What a client says unasked."""
        self._view.overhear(stay, notification)

    def leave(self, stay: Session) -> None:
        """The session is over."""
        self._view.leave(stay)


@implementer(IView)
class Scoped(_Around):
    """A view for one connection, whose principal was proved when it was opened.

    Where every request brings a token of its own, the guard looks at the scopes instead.
    """

    def __init__(self, view: IView, principal: Principal) -> None:
        super().__init__(view)
        self._principal = principal

    def begin(self, exchange: Exchange) -> None:
        """Answer *exchange*, if the scope is there."""
        needed = scope_of(exchange.request.method)
        if needed in self._principal.scopes:
            self._view.begin(exchange)
        else:
            exchange.fail(InsufficientScope(needed))


@implementer(IView)
class Policed(_Around):
    """A view in which everyone sees and reaches what their key may.

    :param told: told of every request that names something, with ``allowed`` or ``denied``.
    """

    def __init__(self, view: IView, policies: Policies, told: Told | None = None) -> None:
        super().__init__(view)
        self._policies = policies
        self._told = told

    def begin(self, exchange: Exchange) -> None:
        """Answer *exchange* as far as its principal may have it answered."""
        grant = self._policies.of(exchange.stay.principal)
        if grant is None:
            exchange.fail(KeyWithdrawn("the key that this came with is not good any more"))
            return
        method = exchange.request.method
        free = method in _FREE or is_unrestricted(grant)
        try:
            if not free:
                exchange = self._narrowed(exchange, grant)
        except McpTwistError as problem:
            self._tell(exchange, grant, "denied")
            exchange.fail(problem)
            return
        if method in _NAMED:
            self._tell(exchange, grant, "allowed")
        self._view.begin(exchange)

    def _tell(self, exchange: Exchange, grant: Grant, outcome: str) -> None:
        if self._told is not None:
            self._told(exchange, grant, outcome)

    def _narrowed(self, exchange: Exchange, grant: Grant) -> Exchange:
        """The exchange to put to the view instead.

        :raises McpTwistError: it asks for what the grant has not.
        """
        method, params = exchange.request.method, exchange.request.params
        reply: _Passing
        if method in _NAMED:
            kind, member = _NAMED[method]
            fields = _unambiguous(open_fields(params), member)
            name = _text(fields, member)
            self._check(grant, kind, name)
            reply = _Hushed(exchange, unknown(kind, name))
            return _through(exchange, reply, encode_json(fields))
        if method in _LISTS:
            member, key = _LISTS[method]
            kind = _ALLOWED_BY.get(member, member)
            reply = _Filtered(exchange, member, key, self._seen(grant, kind))
            return _through(exchange, reply, params)
        if method == "completion/complete":
            self._check_completion(grant, params)
        elif method == LISTEN:
            for uri in read_wanted(params).resourceSubscriptions:
                self._check(grant, "resources", uri)
        else:
            raise MethodNotFound(f"{method} is not to be had with a key of restricted reach")
        return exchange

    def _check(self, grant: Grant, kind: str, name: str) -> None:
        if not self._seen(grant, kind)(name):
            raise unknown(kind, name)

    def _check_completion(self, grant: Grant, params: Json) -> None:
        try:
            reference = open_fields(open_fields(params).get("ref", b""))
        except InvalidMessage:
            raise InvalidParams("params.ref must be an object") from None
        if _text(reference, "type") == "ref/prompt":
            self._check(grant, "prompts", _text(reference, "name"))
        else:
            self._check(grant, "resources", _text(reference, "uri"))

    def _seen(self, grant: Grant, kind: str) -> Callable[[str], bool]:
        """Says of a name, as this view has it, whether the grant reaches it."""
        patterns: Patterns | None = getattr(grant, kind)
        if patterns is None:
            return lambda name: True
        if kind == "resources" or not self.name:
            return patterns.allow
        server = self.name
        return lambda name: patterns.allow(public_name(server, name))


def is_unrestricted(grant: Grant) -> bool:
    """Whether it reaches everything."""
    return grant.tools is None and grant.resources is None and grant.prompts is None


def unknown(kind: str, name: str) -> UnknownName:
    """There is no such thing, or none for this principal: it is told the same."""
    return UnknownName(f"Unknown {kind.removesuffix('s')}: {name[:100]}")


def name_in(request: Request) -> str | None:
    """What a request asks for by name, for the audit log."""
    named = _NAMED.get(request.method)
    if named is None:
        return None
    try:
        return _text(open_fields(request.params), named[1])
    except (InvalidMessage, InvalidParams):
        return None


def _text(fields: Mapping[str, Raw], name: str) -> str:
    try:
        return msgspec.json.decode(fields[name], type=str)
    except (KeyError, msgspec.DecodeError):
        raise InvalidParams(f"params need a string {name!r}") from None


def _unambiguous(fields: dict[str, Raw], member: str) -> dict[str, Raw]:
    """The same; each member is in it once, and whoever reads it reads the same name.

    :raises InvalidParams: a member is spelt so that some would take it for *member*.
    """
    if any(name != member and name.casefold() == member for name in fields):
        raise InvalidParams(f"params have a member that differs from {member!r} only in its case")
    return fields


def _through(exchange: Exchange, reply: _Passing, params: Json) -> Exchange:
    """An exchange in place of *exchange*, whose answer goes through *reply*."""
    request = exchange.request
    inner = Exchange(Request(request.id, request.method, params), reply, exchange.stay)
    reply.inner = inner
    exchange.in_charge(inner.cancel)
    exchange.source = reply
    return inner


@implementer(IReply, ISource)
class _Passing:
    """The reply of an exchange that stands for another: all that is said reaches that one."""

    inner: Exchange

    def __init__(self, outer: Exchange) -> None:
        self._outer = outer

    def notified(self, exchange: Exchange, notification: Notification) -> None:
        """Something was said."""
        self._outer.notify(notification)

    def asked(self, exchange: Exchange, question: Exchange) -> None:
        """The server asks."""
        self._outer.ask(question)

    def answered(self, exchange: Exchange, answer: Answer) -> None:
        """The answer."""
        self._outer.answer(self._seen(answer))

    def cancelled(self, exchange: Exchange, reason: str) -> None:
        """The client did not want it any more."""

    def hold(self, exchange: Exchange) -> None:
        """The client cannot take more."""
        self.inner.hold()

    def release(self, exchange: Exchange) -> None:
        """It can again."""
        self.inner.release()

    def _seen(self, answer: Answer) -> Answer:
        return answer


class _Hushed(_Passing):
    """Says of what does not exist what is said of what one may not reach.

    :param problem: how it is said.
    """

    def __init__(self, outer: Exchange, problem: UnknownName) -> None:
        super().__init__(outer)
        self._problem = problem

    def _seen(self, answer: Answer) -> Answer:
        if not isinstance(answer, Error) or not _is_unknown(answer):
            return answer
        return Error(answer.id, encode_json(self._problem.body()))


def _is_unknown(answer: Error) -> bool:
    try:
        data = open_error(answer).data
    except InvalidMessage:
        return False
    return isinstance(data, dict) and str(data.get("code", "")).startswith("unknown-")


class _Filtered(_Passing):
    """Leaves out of a list what the principal may not reach.

    :param member: of the result, that holds the entries.
    :param key: of an entry, that holds its name.
    """

    def __init__(self, outer: Exchange, member: str, key: str, seen: Callable[[str], bool]) -> None:
        super().__init__(outer)
        self._member = member
        self._key = key
        self._allow = seen

    def _seen(self, answer: Answer) -> Answer:
        if not isinstance(answer, Result):
            return answer
        try:
            return Result(answer.id, self._kept(answer.result))
        except (InvalidMessage, InvalidParams, msgspec.DecodeError, RecursionError):
            problem = ServerMisbehaved("the server's list is not as lists must be")
            return Error(answer.id, encode_json(problem.body()))

    def _kept(self, result: Json) -> bytes:
        fields: dict[str, Any] = dict(open_fields(result))
        if self._member in fields:
            entries = _entries.decode(fields[self._member])
            fields[self._member] = [entry for entry in entries if self._is_kept(entry)]
        return encode_json(fields)

    def _is_kept(self, entry: Raw) -> bool:
        return self._allow(_text(open_fields(entry), self._key))


_entries = msgspec.json.Decoder(list[Raw])
