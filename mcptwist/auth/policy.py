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
from functools import partial
from typing import Any, TypeAlias

import msgspec
from msgspec import Raw
from zope.interface import implementer

from mcptwist.auth.authorizedkeys import CALL, READ, SUBSCRIBE, Grant
from mcptwist.auth.denials import InsufficientScope, KeyWithdrawn
from mcptwist.auth.handles import (
    TASK_STATUS,
    States,
    Tasks,
    may_bring_state,
    may_hold,
    task_in,
    unambiguous,
)
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
from mcptwist.interfaces import IView
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
_TASKS = "tasks/"
#: What servers answer with handles that are for the asker alone.
_GIVING = frozenset({"tools/call", "prompts/get", "resources/read"})
_FREE = frozenset({"initialize", "ping", "server/discover", "logging/setLevel"})
_ALLOWED_BY = {"resourceTemplates": "resources"}

ALLOWED, DENIED = "allowed", "denied"
Told: TypeAlias = Callable[[Exchange, Grant, str], None]


def scope_of(method: str) -> str:
    """The scope that a request needs. What we do not know may change anything: as a call."""
    return _SCOPES.get(method, CALL)


class Handles:
    """Whose the handles are that servers give out.

    :param secret: 32 unguessable bytes.
    """

    def __init__(self, secret: bytes) -> None:
        self.states = States(secret)
        self.tasks = Tasks()


class Policies:
    """What principals may reach, as the keyring says now."""

    def __init__(self, keyring: Keyring) -> None:
        #: The grant of a principal; ``None`` if its key is not good any more.
        self.of = keyring.of


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

    :param handles: whose the handles are that servers give out.
    :param told: told of every request that names something, with ``ALLOWED`` or ``DENIED``.
    """

    def __init__(
        self, view: IView, policies: Policies, handles: Handles, told: Told | None = None
    ) -> None:
        super().__init__(view)
        self._grant_of = policies.of
        self._handles = handles
        self._told = told

    def begin(self, exchange: Exchange) -> None:
        """Answer *exchange* as far as its principal may have it answered."""
        grant = self._grant_of(exchange.stay.principal)
        if grant is None:
            exchange.fail(KeyWithdrawn("the key that this came with is not good any more"))
            return
        method = exchange.request.method
        try:
            if not is_unrestricted(grant) and method not in _FREE:
                self._narrow(exchange, grant)
            if method in _GIVING:
                self._keep_apart(exchange)
            elif method.startswith(_TASKS):
                self._keep_tasks_apart(exchange)
        except McpTwistError as problem:
            self._tell(exchange, grant, DENIED)
            exchange.fail(problem)
            return
        if self._told is not None and method in _NAMED:
            self._told(exchange, grant, ALLOWED)
        self._view.begin(exchange)

    def hear(self, stay: Session, server: str, notification: Notification) -> Notification | None:
        """What a server says unasked, but for what it says of another's task."""
        if notification.method == TASK_STATUS:
            task = task_in(notification.params)
            if not self._handles.tasks.is_of(self.name, task, stay.principal):
                return None
        return super().hear(stay, server, notification)

    def _tell(self, exchange: Exchange, grant: Grant, outcome: str) -> None:
        if self._told is not None:
            self._told(exchange, grant, outcome)

    # --- handles --------------------------------------------------------------------------

    def _keep_apart(self, exchange: Exchange) -> None:
        """See to it that what a server hands out comes back from whom it was given to.

        :raises McpTwistError: a state that this brings back did not.
        """
        params, owner = exchange.request.params, exchange.stay.principal
        if may_bring_state(params):
            params = self._handles.states.opened(params, self._where(owner))

        def see(answer: Answer) -> Answer:
            if not isinstance(answer, Result) or not may_hold(answer.result):
                return answer
            return self._given(owner, answer)

        exchange.amend(params, see)

    def _given(self, owner: str, answer: Answer) -> Answer:
        """How *owner* sees an answer with handles: they are theirs from now on."""

        def given(result: Json) -> Json:
            self._handles.tasks.note(self.name, result, owner)
            return self._handles.states.sealed(result, self._where(owner))

        return _edited(given)(answer)

    def _keep_tasks_apart(self, exchange: Exchange) -> None:
        """See to it that tasks are there for whom they were begun for.

        :raises McpTwistError: this one was not.
        """
        request, owner = exchange.request, exchange.stay.principal
        tasks = self._handles.tasks
        if request.method == "tasks/list":
            exchange.amend(request.params, _edited(partial(tasks.own, self.name, owner=owner)))
        else:
            exchange.amend(tasks.check(self.name, request.params, owner))

    def _where(self, owner: str) -> str:
        return f"{owner} {self.name}"

    # --- reach ----------------------------------------------------------------------------

    def _narrow(self, exchange: Exchange, grant: Grant) -> None:
        """Let it ask for no more than the grant has.

        :raises McpTwistError: it asks for what the grant has not.
        """
        method, params = exchange.request.method, exchange.request.params
        if method in _NAMED:
            kind, member = _NAMED[method]
            fields = unambiguous(open_fields(params), member)
            name = _text(fields, member)
            self._check(grant, kind, name)
            exchange.amend(encode_json(fields), _hushed(unknown(kind, name)))
        elif method in _LISTS:
            member, key = _LISTS[method]
            seen = self._seen(grant, _ALLOWED_BY.get(member, member))
            exchange.amend(params, _edited(partial(_kept, member, key, seen)))
        elif method == "completion/complete":
            exchange.amend(self._checked_completion(grant, params))
        elif method == LISTEN:
            params = _rewritten(params, "notifications", "resourceSubscriptions")
            for uri in read_wanted(params).resourceSubscriptions:
                self._check(grant, "resources", uri)
            exchange.amend(params)
        else:
            raise MethodNotFound(f"{method} is not to be had with a key of restricted reach")

    def _check(self, grant: Grant, kind: str, name: str) -> None:
        if not self._seen(grant, kind)(name):
            raise unknown(kind, name)

    def _checked_completion(self, grant: Grant, params: Json) -> Json:
        params = _rewritten(params, "ref", "type", "name", "uri")
        reference = open_fields(open_fields(params).get("ref", b"{}"))
        if _text(reference, "type") == "ref/prompt":
            self._check(grant, "prompts", _text(reference, "name"))
        else:
            self._check(grant, "resources", _text(reference, "uri"))
        return params

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


def _rewritten(params: Json, member: str, *inner: str) -> bytes:
    """The same params, in which nobody can read another *member*, nor another *inner* of it.

    :raises InvalidParams: it is no object, or some would take another member for it.
    """
    fields = unambiguous(open_fields(params), member)
    try:
        found = open_fields(fields.get(member, b"{}"))
    except InvalidMessage:
        raise InvalidParams(f"params.{member} must be an object") from None
    for name in inner:
        unambiguous(found, name)
    return encode_json({**fields, member: found})


def _edited(edit: Callable[[Json], Json]) -> Callable[[Answer], Answer]:
    """How an answer is seen whose result is changed; what cannot be read is not passed on."""

    def see(answer: Answer) -> Answer:
        if not isinstance(answer, Result):
            return answer
        try:
            return Result(answer.id, edit(answer.result))
        except (InvalidMessage, InvalidParams, msgspec.DecodeError, RecursionError):
            problem = ServerMisbehaved("the server's answer is not as such answers must be")
            return Error(answer.id, encode_json(problem.body()))

    return see


def _hushed(problem: UnknownName) -> Callable[[Answer], Answer]:
    """How an answer is seen that says that something does not exist: as if it might not be had."""

    def see(answer: Answer) -> Answer:
        if not isinstance(answer, Error) or not _is_unknown(answer):
            return answer
        return Error(answer.id, encode_json(problem.body()))

    return see


def _is_unknown(answer: Error) -> bool:
    try:
        data = open_error(answer).data
    except InvalidMessage:
        return False
    return isinstance(data, dict) and str(data.get("code", "")).startswith("unknown-")


def _kept(member: str, key: str, allow: Callable[[str], bool], result: Json) -> bytes:
    """A list without what the principal may not reach.

    :param member: of the result, that holds the entries.
    :param key: of an entry, that holds its name.
    """
    fields: dict[str, Any] = dict(open_fields(result))
    if member in fields:
        entries = _entries.decode(fields[member])
        fields[member] = [each for each in entries if allow(_text(open_fields(each), key))]
    return encode_json(fields)


_entries = msgspec.json.Decoder(list[Raw])
