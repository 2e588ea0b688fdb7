"""A legacy server as modern clients see it.

Most exchanges are put to a process that all modern clients of the server share.
A call of a client that may be asked gets a process of its own for the time it
takes (a :class:`Lease`), because a legacy server's question carries no hint of
the call it belongs to. When the server asks, the client's exchange ends with
``input_required``, and the call is held until it comes back (:class:`HeldCall`).

MCP 2026-07-28, *Multi Round-Trip Requests*, *Discovery*, *Subscriptions*; MCP
2025-11-25, *Elicitation*, *Sampling*, *Roots*.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Raw
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from zope.interface import implementer

from mcptwist.catalog.subscription import ACKNOWLEDGED, Wanted, read_wanted
from mcptwist.company import (
    MESSAGE,
    Company,
    Crowd,
    Member,
    quietly,
    remind,
    text_member,
    wants_log,
)
from mcptwist.errors import (
    MISSING_CLIENT_CAPABILITY,
    ClientGone,
    InvalidParams,
    McpTwistError,
    MethodNotFound,
    Overloaded,
)
from mcptwist.exchange import LISTEN, PROGRESS, SUBSCRIPTION_ID, Behind, Exchange, ask
from mcptwist.held import Held, read_retry
from mcptwist.interfaces import IReply
from mcptwist.messages import (
    Answer,
    Error,
    Json,
    Notification,
    Request,
    Result,
    encode_json,
    open_fields,
)
from mcptwist.negotiation import SERVER_KEY, hello_params
from mcptwist.opening import Handshake
from mcptwist.translation import (
    ASKED_BY,
    INPUT_METHODS,
    discovery,
    lacking,
    legacy_params,
    modern_error,
    modern_result,
    url_elicitations,
)

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall, IReactorTime

    from mcptwist.backend import Backend
    from mcptwist.link import Link
    from mcptwist.supervisor import Supervisor

DISCOVER = "server/discover"
_GATHER = 0.02
"""Seconds in which further questions are put into the same ``input_required``."""


class LeaseSettings(msgspec.Struct, frozen=True):
    """Bounds of the processes that calls have for themselves.

    :ivar limit: how many one server may have.
    :ivar idle: seconds after which one that nobody uses is stopped.
    """

    limit: int = 16
    idle: float = 60.0


class LegacyAsModern:
    """Puts modern clients' exchanges to a legacy server.

    :param crowd: the process that is shared.
    :param held: where calls wait for their clients; of the whole daemon.
    """

    def __init__(
        self,
        backend: Backend,
        crowd: Crowd,
        held: Held,
        clock: IReactorTime,
        identity: dict[str, str],
        settings: LeaseSettings | None = None,
    ) -> None:
        self.backend = backend
        self.held = held
        self.clock = clock
        self.leases = Leases(self, identity, settings or LeaseSettings())
        self.listening: set[Listening] = set()
        self._crowd = crowd

    def begin(self, exchange: Exchange) -> None:
        """Take charge of a modern client's exchange."""
        try:
            self._begin(exchange)
        except McpTwistError as problem:
            exchange.fail(problem)

    def _begin(self, exchange: Exchange) -> None:
        method = exchange.request.method
        if method == DISCOVER:
            self._with_link(exchange, lambda link: exchange.succeed(discovery(link.welcome)))
        elif method == LISTEN:
            wanted = read_wanted(exchange.request.params)
            self._with_link(exchange, lambda link: self._listen(exchange, wanted, link))
        elif method in INPUT_METHODS:
            self._call(exchange)
        elif method.startswith("tasks/"):
            exchange.fail(MethodNotFound(f"{method} means another thing in the server's era"))
        else:
            Crossing(exchange).begin(self._crowd.supervisor)

    def _call(self, exchange: Exchange) -> None:
        retry = read_retry(exchange.request.params)
        if retry.state is not None:
            call = self.held.take(retry.state, exchange.request, exchange.stay.principal)
            call.resume(exchange, retry.responses)
        else:
            self.call(exchange)

    def call(self, exchange: Exchange) -> None:
        """Put a call to the server for the first time."""
        declared = _askable(exchange.stay.capabilities)
        if declared:
            HeldCall(self, self.leases.take(declared), exchange).begin()
        else:
            Crossing(exchange).begin(self._crowd.supervisor)

    def again(self, exchange: Exchange, requests: dict[str, Any], server: Json) -> None:
        """End *exchange* with inputs that the server wants before it is asked anew."""
        retry = _Anew(self, requests, server)
        state = self.held.hold(retry, exchange.request, exchange.stay.principal)
        exchange.succeed(_required(requests, state, server))

    def _with_link(self, exchange: Exchange, then: Callable[[Link], None]) -> None:
        def up(link: Link) -> None:
            if not exchange.over:
                then(link)

        waiting: Deferred[Any] = self._crowd.supervisor.when_up()
        waiting.addCallback(up).addErrback(_fail, exchange)

    def _listen(self, exchange: Exchange, wanted: Wanted, link: Link) -> None:
        listening = Listening(exchange, wanted, self._crowd, self.listening.discard)
        self.listening.add(listening)
        listening.begin(link)

    def changed(self, notification: Notification) -> None:
        """A call's own process told of a change: those who listen hear of it too."""
        for listening in list(self.listening):
            listening.tell(notification)

    def watched(self) -> set[str]:
        """The resources that somebody subscribed to."""
        return set().union(*(listening.subscriptions for listening in self.listening))

    def end_listening(self) -> None:
        """End all subscriptions in good order."""
        for listening in list(self.listening):
            listening.end()


def _fail(failure: Failure, exchange: Exchange) -> None:
    problem = failure.value
    if not isinstance(problem, McpTwistError):
        problem = McpTwistError("the daemon failed to ask the server; see its log")
    exchange.fail(problem)


def _askable(capabilities: Json) -> bytes:
    """The client's capabilities to be asked, as JSON; empty if it has none."""
    fields = open_fields(capabilities)
    found = {name: fields[name] for name in sorted(ASKED_BY.values()) if name in fields}
    return encode_json(found) if found else b""


def server_info(welcome: Json) -> Json:
    """The server's name and version, from its welcome."""
    return open_fields(welcome).get("serverInfo", b"")


def _required(requests: dict[str, Any], state: str, server: Json) -> dict[str, Any]:
    result = {"resultType": "input_required", "inputRequests": requests, "requestState": state}
    if server:
        result["_meta"] = {SERVER_KEY: Raw(bytes(server))}
    return result


# --- exchanges that cannot be asked back ----------------------------------------------------


@implementer(IReply)
class Crossing:
    """One exchange that crosses from a modern client to a legacy server and back."""

    def __init__(self, front: Exchange) -> None:
        self._front = front
        self._supervisor: Supervisor | None = None

    def begin(self, supervisor: Supervisor) -> None:
        """Ask."""
        self._supervisor = supervisor
        behind = Exchange(_behind(self._front.request), self, self._front.stay)
        self._front.in_charge(behind.cancel)
        self._front.source = Behind(behind)
        supervisor.begin(behind)

    def notified(self, exchange: Exchange, notification: Notification) -> None:
        """Pass it on."""
        self._front.notify(notification)

    def asked(self, exchange: Exchange, question: Exchange) -> None:
        """The client did not say that it can be asked: its call cannot go on."""
        question.fail(MethodNotFound("the client did not declare that it can be asked"))
        if question.request.method in ASKED_BY:
            wanted = lacking(self._front.stay.capabilities, question.request.method)
            self._front.answer(_lacks(self._front, wanted or {}))
            exchange.cancel("the client cannot be asked")

    def answered(self, exchange: Exchange, answer: Answer) -> None:
        """Put it into modern words."""
        if isinstance(answer, Error) and url_elicitations(answer) is not None:
            self._front.answer(_lacks(self._front, _BY_URL))
        else:
            self._front.answer(_modern(exchange.request.method, answer, _info(self._supervisor)))

    def cancelled(self, exchange: Exchange, reason: str) -> None:
        """The client cancelled; it knows."""


def _behind(request: Request) -> Request:
    return Request(0, request.method, legacy_params(request.params))


def _info(supervisor: Supervisor | None) -> Json:
    link = None if supervisor is None else supervisor.link
    return b"" if link is None else server_info(link.welcome)


def _modern(method: str, answer: Answer, server: Json) -> Answer:
    if isinstance(answer, Result):
        return Result(answer.id, modern_result(method, answer.result, server))
    return modern_error(method, answer)


# --- processes for one call at a time -------------------------------------------------------


class Lease(Company):
    """A legacy process that one call at a time has for itself.

    :param capabilities: those to be asked that its calls' clients declare, as JSON.
    :ivar call: the one that has it now.
    """

    def __init__(self, side: LegacyAsModern, capabilities: bytes, identity: dict[str, str]) -> None:
        self.capabilities = capabilities
        self.call: HeldCall | None = None
        self._side = side
        self._level: str | None = None
        self._watched: set[str] = set()
        hello = hello_params(Raw(capabilities), identity)
        super().__init__(side.backend, Handshake(hello), restart=False)

    def up(self, link: Link) -> None:
        """A new process was told nothing yet."""
        self._level = None
        self._watched = set()
        self._side.backend.seen_up(link)

    def admit(self, link: Link, exchange: Exchange) -> None:
        """Tell the process before the call what is wanted: log messages, and which updates."""
        level = getattr(exchange.stay, "log_level", None)
        if level is not None and level != self._level:
            self._level = level
            remind(link, level, ())
        new = self._side.watched() - self._watched
        self._watched |= new
        remind(link, None, new)

    def told(self, link: Link, notification: Notification) -> None:
        """Log messages are for its call; changes are for all who listen."""
        if notification.method != MESSAGE:
            self._side.backend.changed(notification.method)
            self._side.changed(notification)
        elif self.call is not None:
            self.call.told(notification)

    def questioned(self, link: Link, question: Exchange) -> None:
        """What the process asks is for its call's client."""
        if self.call is not None:
            self.call.questioned(question)
        else:
            question.fail(ClientGone("the call this belonged to is over"))


class Leases:
    """The processes of one server that calls have for themselves.

    :ivar all: idle and taken.
    """

    def __init__(
        self, side: LegacyAsModern, identity: dict[str, str], settings: LeaseSettings
    ) -> None:
        self.all: set[Lease] = set()
        self._side = side
        self._clock = side.clock
        self._identity = identity
        self._settings = settings
        self._idle: dict[Lease, IDelayedCall] = {}
        self._stopped = False

    def take(self, capabilities: bytes) -> Lease:
        """A process whose client has exactly these capabilities to be asked.

        :raises Overloaded: too many calls have one.
        """
        for lease, timer in self._idle.items():
            if lease.capabilities == capabilities:
                timer.cancel()
                del self._idle[lease]
                return lease
        self._make_room()
        lease = Lease(self._side, capabilities, self._identity)
        self.all.add(lease)
        return lease

    def give_back(self, lease: Lease) -> None:
        """The call is over; keep the process for the next one, for a while."""
        lease.call = None
        if not self._stopped:
            self._idle[lease] = self._clock.callLater(self._settings.idle, self._stop_idle, lease)

    def discard(self, lease: Lease) -> None:
        """The process may still be busy with what nobody wants: stop it."""
        lease.call = None
        self.all.discard(lease)
        self._side.backend.departing(lease.supervisor.stop())

    def stop(self) -> None:
        """Forget the idle ones' timers; the processes are stopped by the backend."""
        self._stopped = True
        for timer in self._idle.values():
            timer.cancel()
        self._idle.clear()

    def resume(self) -> None:
        """Keep idle ones again; those there were are gone."""
        if self._stopped:
            self._stopped = False
            self.all.clear()

    def _make_room(self) -> None:
        if len(self.all) < self._settings.limit:
            return
        if not self._idle:
            raise Overloaded(
                f"{self._settings.limit} calls have a process of {self._side.backend.name} already",
                limit="leases",
                server=self._side.backend.name,
            )
        oldest = next(iter(self._idle))
        self._idle[oldest].cancel()
        self._stop_idle(oldest)

    def _stop_idle(self, lease: Lease) -> None:
        del self._idle[lease]
        self.discard(lease)


# --- calls that may be asked back -----------------------------------------------------------


@implementer(IReply)
class HeldCall:
    """One call of a client that may be asked, over as many exchanges as that takes.

    :param lease: the process it has.
    :param front: the client's first exchange.
    """

    def __init__(self, side: LegacyAsModern, lease: Lease, front: Exchange) -> None:
        self._side = side
        self._lease = lease
        self._front: Exchange | None = front
        self._request = front.request
        self._principal: str = front.stay.principal
        self._capabilities: Json = front.stay.capabilities
        self._behind = Exchange(_behind(front.request), self, front.stay)
        self._questions: dict[str, Exchange] = {}
        self._asked = 0
        self._gathering: IDelayedCall | None = None
        self._outcome: Answer | None = None
        self._wanted: dict[str, Any] = {}
        lease.call = self

    def begin(self) -> None:
        """Put the call to the server."""
        self._follow(self._front)
        self._lease.supervisor.begin(self._behind)

    def _follow(self, front: Exchange | None) -> None:
        if front is not None:
            front.in_charge(self._left)
            front.source = Behind(self._behind)

    # --- what the server says ---------------------------------------------------------

    def notified(self, exchange: Exchange, notification: Notification) -> None:
        """Pass progress on, under the token of the exchange that is open now."""
        if self._front is not None:
            renamed = _under_token_of(self._front.request, notification)
            if renamed is not None:
                self._front.notify(renamed)

    def told(self, notification: Notification) -> None:
        """Pass a log message on, if the client asked for any."""
        front = self._front
        if front is not None and wants_log(front.stay, text_member(notification.params, "level")):
            front.notify(notification)

    def questioned(self, question: Exchange) -> None:
        """Put it to the client, together with others asked at the same time."""
        method = question.request.method
        if method not in ASKED_BY:
            question.fail(MethodNotFound(f"{method} cannot be asked of a client"))
            return
        wanted = lacking(self._capabilities, method, question.request.params)
        if wanted is not None:
            self._undeclared(question, wanted)
            return
        self._asked += 1
        key = f"{ASKED_BY[method]}-{self._asked}"
        self._questions[key] = question
        question.in_charge(lambda _: self._withdrawn(key))
        self._gather()

    def asked(self, exchange: Exchange, question: Exchange) -> None:
        """The server asks in the course of the call."""
        self.questioned(question)

    def answered(self, exchange: Exchange, answer: Answer) -> None:
        """The call is over; its client hears so now, or when it comes back."""
        self._stop_gathering()
        self._outcome = self._in_modern_words(answer)
        self._side.leases.give_back(self._lease)
        for question in list(self._questions.values()):
            question.fail(ClientGone("the call this belonged to is over"))
        self._questions.clear()
        self._deliver()

    def cancelled(self, exchange: Exchange, reason: str) -> None:
        """It was cancelled from this side."""

    def _in_modern_words(self, answer: Answer) -> Answer | None:
        """The answer, or ``None`` where it sends the client for inputs first."""
        wanted = url_elicitations(answer) if isinstance(answer, Error) else None
        if wanted is None:
            return _modern(self._request.method, answer, _info(self._lease.supervisor))
        if lacking(self._capabilities, "elicitation/create", _URL_MODE) is not None:
            return _lacks(self._behind, _BY_URL)
        front, self._front = self._front, None
        self._wanted = wanted
        if front is not None:
            self._require_first(front)
        return None

    def _require_first(self, front: Exchange) -> None:
        """Have the client see to what the server needs before it can be asked at all."""
        self._side.again(front, self._wanted, _info(self._lease.supervisor))

    # --- what the client does ---------------------------------------------------------

    def resume(self, front: Exchange, responses: dict[str, Raw]) -> None:
        """The client came back with inputs; those nobody asked for are ignored."""
        self._front = front
        self._follow(front)
        for key in [key for key in self._questions if key in responses]:
            self._questions.pop(key).answer(Result(0, responses[key]))
        if self._outcome is not None:
            self._deliver()
        elif self._wanted:
            self._require_first(front)
        elif self._questions:
            self._require()

    def expired(self) -> None:
        """The client did not come back."""
        self._give_up("the client did not come back with its inputs")

    def _left(self, reason: str) -> None:
        """The client closed its exchange."""
        self._front = None
        self._give_up(reason)

    def _give_up(self, reason: str) -> None:
        self._stop_gathering()
        if self._outcome is not None or self._behind.over:
            return
        self._behind.cancel(reason)
        for question in list(self._questions.values()):
            question.fail(ClientGone(reason))
        self._questions.clear()
        self._side.leases.discard(self._lease)

    # --- asking the client ------------------------------------------------------------

    def _gather(self) -> None:
        if self._front is not None and self._gathering is None:
            self._gathering = self._side.clock.callLater(_GATHER, self._require)

    def _require(self) -> None:
        """End the client's exchange with all questions there are."""
        self._stop_gathering()
        front = self._front
        if front is None or not self._questions:
            return
        requests = {key: _input_request(q.request) for key, q in self._questions.items()}
        try:
            state = self._side.held.hold(self, self._request, self._principal)
        except Overloaded as problem:
            self._front = None
            front.fail(problem)
            self._give_up(problem.message)
            return
        self._front = None
        front.succeed(_required(requests, state, _info(self._lease.supervisor)))

    def _stop_gathering(self) -> None:
        timer, self._gathering = self._gathering, None
        if timer is not None and timer.active():
            timer.cancel()

    def _withdrawn(self, key: str) -> None:
        self._questions.pop(key, None)

    def _undeclared(self, question: Exchange, wanted: dict[str, Any]) -> None:
        """The server asks what the client did not say it can answer."""
        question.fail(MethodNotFound("the client did not declare that it can be asked this"))
        if self._front is None:
            return
        front, self._front = self._front, None
        front.answer(_lacks(front, wanted))
        self._give_up("the client lacks a capability")

    def _deliver(self) -> None:
        front = self._front
        if front is not None and self._outcome is not None:
            self._front = None
            front.answer(self._outcome)


_URL_MODE = b'{"mode":"url"}'
_BY_URL: dict[str, Any] = {"elicitation": {"url": {}}}


def _lacks(front: Exchange, wanted: dict[str, Any]) -> Error:
    """The error of a call that needs what its client did not declare."""
    body = {
        "code": MISSING_CLIENT_CAPABILITY,
        "message": f"the server needs the client's capability {', '.join(wanted)} for this",
        "data": {"requiredCapabilities": wanted},
    }
    return Error(front.request.id, encode_json(body))


class _Anew:
    """A call that is put to the server from the start when its client comes back.

    :param requests: what its client was asked, by key.
    """

    def __init__(self, side: LegacyAsModern, requests: dict[str, Any], server: Json) -> None:
        self._side = side
        self._requests = requests
        self._server = server

    def resume(self, front: Exchange, responses: dict[str, Raw]) -> None:
        """The client came back."""
        missing = {key: self._requests[key] for key in self._requests if key not in responses}
        if missing:
            self._side.again(front, missing, self._server)
        elif all(text_member(responses[key], "action") == "accept" for key in self._requests):
            self._side.call(front)
        else:
            front.fail(InvalidParams("the user did not agree to what the server needs first"))

    def expired(self) -> None:
        """It did not; nothing was kept."""


def _input_request(request: Request) -> dict[str, Any]:
    found: dict[str, Any] = {"method": request.method}
    if request.params:
        found["params"] = Raw(bytes(legacy_params(request.params)))
    return found


def _under_token_of(request: Request, notification: Notification) -> Notification | None:
    """Progress under another request's token; ``None`` if that has none."""
    if notification.method != PROGRESS:
        return notification
    meta = open_fields(open_fields(request.params).get("_meta", b""))
    token = meta.get("progressToken")
    if token is None:
        return None
    fields = open_fields(notification.params)
    fields["progressToken"] = token
    return Notification(PROGRESS, encode_json(fields))


# --- subscriptions ---------------------------------------------------------------------------


class Listening(Member):
    """A modern client's subscription to a legacy server: a member of the crowd that only hears.

    :param told_over: told when it has ended.
    """

    def __init__(
        self,
        exchange: Exchange,
        wanted: Wanted,
        crowd: Crowd,
        told_over: Callable[[Listening], None],
    ) -> None:
        super().__init__()
        self._exchange = exchange
        self._wanted = wanted
        self._crowd = crowd
        self._told_over = told_over
        self._changes: set[str] = set()

    def begin(self, link: Link) -> None:
        """Say what will be told, and listen for it."""
        honoured = _honoured(self._wanted, link.welcome)
        self._changes = set(honoured.of_lists())
        self._exchange.in_charge(lambda _: self._leave())
        self._say(ACKNOWLEDGED, {"notifications": honoured})
        new = set(honoured.resourceSubscriptions) - self._crowd.subscriptions()
        self.subscriptions.update(honoured.resourceSubscriptions)
        self._crowd.members.add(self)
        for uri in new:
            quietly(ask(link, "resources/subscribe", encode_json({"uri": uri})))

    def tell(self, notification: Notification) -> None:
        """Pass on what was subscribed to."""
        subscribed = text_member(notification.params, "uri") in self.subscriptions
        if notification.method in self._changes or subscribed:
            self._say(notification.method, open_fields(notification.params))

    def wants(self, level: str | None) -> bool:
        """Log messages are not for subscriptions (MCP 2026-07-28, *Logging*)."""
        return False

    def end(self) -> None:
        """End it in good order."""
        meta = {SUBSCRIPTION_ID: self._exchange.request.id}
        self._leave()
        self._exchange.succeed({"resultType": "complete", "_meta": meta})

    def _say(self, method: str, params: dict[str, Any]) -> None:
        meta: dict[str, Any] = dict(open_fields(params.get("_meta", b"")))
        meta[SUBSCRIPTION_ID] = self._exchange.request.id
        self._exchange.notify(Notification(method, encode_json({**params, "_meta": meta})))

    def _leave(self) -> None:
        self._crowd.leave(self)
        self._told_over(self)


def _honoured(wanted: Wanted, welcome: Json) -> Wanted:
    """What of it a server with these capabilities will tell."""
    capabilities = open_fields(open_fields(welcome).get("capabilities", b""))

    def can(feature: str, what: str) -> bool:
        return open_fields(capabilities.get(feature, b"")).get(what) == Raw(b"true")

    return Wanted(
        wanted.toolsListChanged and can("tools", "listChanged"),
        wanted.promptsListChanged and can("prompts", "listChanged"),
        wanted.resourcesListChanged and can("resources", "listChanged"),
        wanted.resourceSubscriptions if can("resources", "subscribe") else [],
    )
