"""What a principal may reach, applied to what is asked, not to how it was announced.

Two questions, asked of every request of every wire. May the caller *do* this: that is a scope,
and belongs to the token that came with the request (:mod:`~mcptwist.auth.scopes`,
:class:`Scoped`). May its key reach *that tool, resource or prompt*: that is an allow-list in
``authorized_keys`` (:class:`Policed`). What one may not reach is not in lists either, and asking
for it is answered as asking for what does not exist.

Names in allow-lists are those of the merged view (``SERVER__TOOL``), whichever URL is used;
resources go by their URI.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeAlias

import msgspec
from msgspec import UNSET, Raw, UnsetType
from zope.interface import implementer

from mcptwist.auth.authorizedkeys import Grant
from mcptwist.auth.denials import InsufficientScope, KeyWithdrawn
from mcptwist.auth.handles import (
    TASK_STATUS,
    States,
    Tasks,
    holds_handle,
    task_in,
    unambiguous,
)
from mcptwist.auth.keyring import Keyring
from mcptwist.auth.reach import Reach, unknown
from mcptwist.auth.realm import Principal
from mcptwist.auth.scopes import NEEDED
from mcptwist.catalog.subscription import read_wanted
from mcptwist.errors import (
    InvalidMessage,
    InvalidParams,
    McpTwistError,
    MethodNotFound,
    ServerMisbehaved,
)
from mcptwist.exchange import LISTEN, Exchange, See
from mcptwist.interfaces import IView
from mcptwist.messages import (
    Answer,
    Error,
    Json,
    Notification,
    Result,
    encode_json,
    open_error,
    open_fields,
)
from mcptwist.params import read_params
from mcptwist.session import Session
from mcptwist.versions import MODERN

#: What the answer to a list is made of: its member, and what its entries are known by.
_LISTS: Mapping[str, tuple[str, str]] = {
    "tools/list": ("tools", "name"),
    "prompts/list": ("prompts", "name"),
    "resources/list": ("resources", "uri"),
    "resources/templates/list": ("resourceTemplates", "uriTemplate"),
}


class _Named(msgspec.Struct, frozen=True):
    """What a method asks for by name.

    :ivar kind: the allow-list.
    :ivar member: of the params, that holds the name.
    :ivar gives: whether servers answer with handles that are for the asker alone.
    """

    kind: str
    member: str
    gives: bool = False


_NAMED: Mapping[str, _Named] = {
    "tools/call": _Named("tools", "name", gives=True),
    "prompts/get": _Named("prompts", "name", gives=True),
    "resources/read": _Named("resources", "uri", gives=True),
    "resources/subscribe": _Named("resources", "uri"),
    "resources/unsubscribe": _Named("resources", "uri"),
}
_TASKS = "tasks/"
_FREE = frozenset({"initialize", "ping", "server/discover", "logging/setLevel"})
_ALLOWED_BY = {"resourceTemplates": "resources"}

#: How many principals' reaches a view remembers.
_MOST_REACHES = 10_000

ALLOWED, DENIED = "allowed", "denied"
Told: TypeAlias = Callable[[Exchange, Grant, str], None]


class Handles:
    """Whose the handles are that servers give out.

    :param secret: 32 unguessable bytes.
    :param tasks: how many tasks are remembered.
    """

    def __init__(self, secret: bytes, tasks: int = 100_000) -> None:
        self.states = States(secret)
        self.tasks = Tasks(tasks)


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
        needed = NEEDED[exchange.request.method]
        if needed in self._principal.scopes:
            self._view.begin(exchange)
        else:
            exchange.fail(InsufficientScope(needed))


@implementer(IView)
class Policed(_Around):
    """A view in which everyone sees and reaches what their key may.

    :param keyring: what principals may reach, as it says now.
    :param handles: whose the handles are that servers give out.
    :param told: told of every request that names something, with ``ALLOWED`` or ``DENIED``.
    """

    def __init__(
        self, view: IView, keyring: Keyring, handles: Handles, told: Told | None = None
    ) -> None:
        super().__init__(view)
        self._grant_of = keyring.of
        self._reaches: dict[str, Reach] = {}
        self._handles = handles
        self._told = told
        self._see: See = self._seen  # bound once, not with every call

    def begin(self, exchange: Exchange) -> None:
        """Answer *exchange* as far as its principal may have it answered."""
        owner = exchange.stay.principal
        reach = self._reaches.get(owner)
        if reach is None or reach.grant is not self._grant_of(owner):
            reach = self._found(owner)
            if reach is None:
                exchange.fail(KeyWithdrawn("the key that this came with is not good any more"))
                return
        method = exchange.request.method
        named = _NAMED.get(method)
        try:
            if named is not None:
                self._check_named(exchange, reach, named)
            elif method not in _FREE:
                self._check_other(exchange, reach)
        except McpTwistError as problem:
            self._tell(exchange, reach.grant, DENIED)
            exchange.fail(problem)
            return
        if self._told is not None and named is not None:
            self._told(exchange, reach.grant, ALLOWED)
        self._view.begin(exchange)

    def _found(self, owner: str) -> Reach | None:
        """What a principal reaches here, found out anew; ``None`` if its key is not good."""
        grant = self._grant_of(owner)
        if grant is None:
            return None
        if len(self._reaches) >= _MOST_REACHES:
            self._reaches.clear()
        reach = self._reaches[owner] = Reach(grant, self.name)
        return reach

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

    # --- what is asked for by name --------------------------------------------------------

    def _check_named(self, exchange: Exchange, reach: Reach, named: _Named) -> None:
        """See to it that it names what the reach has, and that what a server hands out comes back
        from whom it was given to.

        :raises McpTwistError: it does not.
        """
        is_seen = not reach.is_everything
        if is_seen:
            _check_name(exchange, reach, named)
        if named.gives:
            usual = exchange.usual
            if usual is None:
                usual = exchange.usual = read_params(exchange.request.params)
            if usual is None:
                where = self._where(exchange.stay.principal)
                exchange.amend(self._handles.states.opened(exchange.request.params, where))
            # Of a legacy client a server knows no states, and begins no task unless it is asked for
            # one (MCP 2025-11-25, Tasks); what it gives out all the same is nobody's.
            if exchange.stay.era == MODERN or usual is None or usual.task is not UNSET:
                is_seen = True
        if is_seen:
            exchange.see_through(self._see)

    def _seen(self, exchange: Exchange, answer: Answer) -> Answer:
        """How an answer is seen: handles in it are the asker's from now on, and what does not exist
        is what may not be had.
        """
        # By type, as messages are written: isinstance takes ten times as long.
        if type(answer) is Result:
            return self._kept_apart(exchange, answer) if holds_handle(answer.result) else answer
        assert isinstance(answer, Error)
        return self._hushed(exchange, answer)

    def _kept_apart(self, exchange: Exchange, answer: Result) -> Answer:
        owner: str = exchange.stay.principal

        def given(result: Json) -> Json:
            self._handles.tasks.note(self.name, result, owner)
            return self._handles.states.sealed(result, self._where(owner))

        return _edited(given, exchange, answer)

    def _hushed(self, exchange: Exchange, answer: Error) -> Error:
        reach = self._reaches.get(exchange.stay.principal)
        if (reach is not None and reach.is_everything) or not _is_unknown(answer):
            return answer
        kind = _NAMED[exchange.request.method].kind
        return Error(answer.id, encode_json(unknown(kind, name_in(exchange) or "").body()))

    def _where(self, owner: str) -> str:
        return f"{owner} {self.name}"

    # --- what is asked otherwise ----------------------------------------------------------

    def _check_other(self, exchange: Exchange, reach: Reach) -> None:
        """Let it ask for no more than the reach has, and for no tasks of others.

        :raises McpTwistError: it asks for what the reach has not.
        """
        if not reach.is_everything:
            self._narrow(exchange, reach)
        elif exchange.request.method.startswith(_TASKS):
            self._keep_tasks_apart(exchange)

    def _keep_tasks_apart(self, exchange: Exchange) -> None:
        """See to it that tasks are there for whom they were begun for.

        :raises McpTwistError: this one was not.
        """
        request, owner = exchange.request, exchange.stay.principal
        tasks = self._handles.tasks
        if request.method == "tasks/list":
            own = partial(tasks.own, self.name, owner=owner)
            exchange.see_through(partial(_edited, own))
        else:
            exchange.amend(tasks.check(self.name, request.params, owner))

    def _narrow(self, exchange: Exchange, reach: Reach) -> None:
        method, params = exchange.request.method, exchange.request.params
        if method in _LISTS:
            member, key = _LISTS[method]
            seen = partial(reach.has, _ALLOWED_BY.get(member, member))
            exchange.see_through(partial(_edited, partial(_kept, member, key, seen)))
        elif method == "completion/complete":
            exchange.amend(_checked_completion(reach, params))
        elif method == LISTEN:
            params = _rewritten(params, "notifications", "resourceSubscriptions")
            for uri in read_wanted(params).resourceSubscriptions:
                reach.check("resources", uri)
            exchange.amend(params)
        else:
            raise MethodNotFound(f"{method} is not to be had with a key of restricted reach")


def _check_name(exchange: Exchange, reach: Reach, named: _Named) -> None:
    """Let it name only what the reach has, and nobody read another name.

    :raises McpTwistError: it names something else, or several things.
    """
    params = exchange.request.params
    usual = read_params(params)
    if usual is not None:
        name = _text(getattr(usual, named.member), named.member)
        exchange.amend(encode_json(usual), usual)
    else:
        fields = unambiguous(open_fields(params), named.member)
        name = _text(fields.get(named.member), named.member)
        exchange.amend(encode_json(fields))
    reach.check(named.kind, name)


def _checked_completion(reach: Reach, params: Json) -> Json:
    params = _rewritten(params, "ref", "type", "name", "uri")
    reference = open_fields(open_fields(params).get("ref", b"{}"))
    if _text(reference.get("type"), "type") == "ref/prompt":
        reach.check("prompts", _text(reference.get("name"), "name"))
    else:
        reach.check("resources", _text(reference.get("uri"), "uri"))
    return params


def name_in(exchange: Exchange) -> str | None:
    """What is asked for by name, for the audit log."""
    named = _NAMED.get(exchange.request.method)
    if named is None:
        return None
    params = exchange.request.params
    try:
        usual = exchange.usual or read_params(params)
        if usual is not None:
            return _text(getattr(usual, named.member), named.member)
        return _text(open_fields(params).get(named.member), named.member)
    except (InvalidMessage, InvalidParams):
        return None


def _text(value: Raw | UnsetType | None, member: str) -> str:
    try:
        return _string.decode(value)  # type: ignore[arg-type]
    except (TypeError, msgspec.DecodeError):
        raise InvalidParams(f"params need a string {member!r}") from None


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


def _edited(edit: Callable[[Json], Json], exchange: Exchange, answer: Answer) -> Answer:
    """How an answer is seen whose result is changed; what cannot be read is not passed on."""
    if not isinstance(answer, Result):
        return answer
    try:
        return Result(answer.id, edit(answer.result))
    except (InvalidMessage, InvalidParams, msgspec.DecodeError, RecursionError):
        problem = ServerMisbehaved("the server's answer is not as such answers must be")
        return Error(answer.id, encode_json(problem.body()))


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
        fields[member] = [e for e in entries if allow(_text(open_fields(e).get(key), key))]
    return encode_json(fields)


_entries = msgspec.json.Decoder(list[Raw])
_string = msgspec.json.Decoder(str)
