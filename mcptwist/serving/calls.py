"""Running a server's functions: one call, and those that wait for their client.

A :class:`Call` is one run of a function. In the legacy era it begins and ends
with one request, and what it asks back is a request of the server's own. In the
modern era a server asks by *answering* ``input_required``; the client then makes
the same request again, with its answers. So a call may take several turns, and
between two of them it is *held*: the coroutine stays where it is, in ``await``.

Holding was chosen over running the function anew at every turn, because then
``await ctx.elicit(…)`` means what it says: nothing before it happens twice, and
what the function knows stays in its variables and never passes through the
client. The price: what is held takes memory, so it is bounded in number and in
time, and it is lost when the process ends; the client is then told to begin anew.

``requestState`` is the name of a held call and nothing else: unguessable, good for
one use, for a limited time, and only for the request that it was given for.

MCP 2026-07-28, *Multi Round-Trip Requests*; MCP 2025-11-25, *Elicitation*,
*Sampling*, *Roots*.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
from msgspec import Raw
from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from mcptwist.errors import (
    INVALID_PARAMS,
    MISSING_CLIENT_CAPABILITY,
    ClientError,
    InvalidMessage,
    InvalidParams,
    McpTwistError,
    Overloaded,
)
from mcptwist.exchange import Exchange
from mcptwist.interfaces import IReply
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

if TYPE_CHECKING:
    from mcptwist.serving.conversation import Conversation

_OWN_TO_A_TURN = ("_meta", "inputResponses", "requestState")


class Refused(ClientError):
    """Raised by a function that refuses, with words meant for whoever asked.

    From a tool it becomes a result with ``isError``, so that the model can read
    it and do better; from a resource or a prompt, an error answer.
    """

    rpc_code = INVALID_PARAMS
    code = "refused"


class MissingCapability(ClientError):
    """The client did not declare that it can be asked this.

    :param needed: the capabilities it would have to declare.
    """

    rpc_code = MISSING_CLIENT_CAPABILITY
    code = "missing-capability"

    def __init__(self, message: str, needed: Mapping[str, Any]) -> None:
        super().__init__(message, requiredCapabilities=dict(needed))

    def body(self) -> dict[str, Any]:
        """The error object; ``data`` is the specification's own shape."""
        return {"code": self.rpc_code, "message": self.message, "data": dict(self.data)}


class AnswerRefused(ClientError):
    """The client answered a question of ours with an error, or with nonsense."""

    code = "answer-refused"


class Terms(msgspec.Struct, frozen=True):
    """What holds for one request: agreed by handshake, or said in its ``_meta``.

    What the client says of itself is opened only when somebody looks.

    :ivar revision: of the protocol.
    :ivar declared: the capabilities that the client declared, as JSON.
    :ivar described: who it says it is, as JSON.
    :ivar log_level: the least severe log message it wants, ``None`` for none.
    :ivar token: the progress token it gave.
    :ivar meta: the request's ``_meta``.
    """

    revision: str
    modern: bool
    declared: Json = b"{}"
    described: Json = b"{}"
    log_level: str | None = None
    token: int | str | None = None
    meta: Mapping[str, Raw] = {}

    @property
    def capabilities(self) -> dict[str, Any]:
        """What the client declared it can do."""
        return _opened(self.declared)

    @property
    def client(self) -> dict[str, Any]:
        """Who the client says it is; empty when it does not say."""
        return _opened(self.described)

    def can(self, capability: str, part: str | None = None) -> bool:
        """Whether the client declared a capability, and that part of it.

        An empty ``elicitation`` means forms (MCP 2026-07-28, *Elicitation, Capabilities*).
        """
        declared = self.capabilities.get(capability)
        if not isinstance(declared, Mapping):
            return False
        if part is None or part in declared:
            return True
        return (capability, part) == ("elicitation", "form") and "url" not in declared


class Turn:
    """One request, as a call sees it."""

    def __init__(self, exchange: Exchange, terms: Terms, conversation: Conversation) -> None:
        self.exchange = exchange
        self.terms = terms
        self.conversation = conversation

    @property
    def clock(self) -> IReactorTime:
        """Whose time it is measured in."""
        return self.conversation.clock

    @property
    def params(self) -> Json:
        """The params of the request."""
        return self.exchange.request.params

    def say(self, method: str, params: Any) -> None:
        """Notify the client in the course of the request."""
        self.exchange.notify(Notification(method, encode_json(params)))

    def answer(self, result: dict[str, Any]) -> None:
        """Answer the request."""
        self.conversation.answer(self, result)


@implementer(IReply)
class Question:
    """Something asked back of the client.

    :param params: of the request, anything msgspec can encode.
    :param needs: the capability, and its part if any, that the client must declare.
    :param read: makes the value to go on with of the client's result, or raises
        :class:`~mcptwist.errors.InvalidParams`.
    :ivar when_answered: fires with that value.
    """

    def __init__(
        self,
        method: str,
        params: Any,
        needs: tuple[str, str | None],
        read: Callable[[Json], Any],
    ) -> None:
        self.method = method
        self.params = params
        self.needs = needs
        self.read = read
        self.withdraw: Callable[[str], None] | None = None
        self.when_answered: Deferred[Any] = Deferred(self._unwanted)

    def told(self) -> dict[str, Any]:
        """As ``inputRequests`` has it."""
        return {"method": self.method, "params": self.params}

    def request(self) -> Request:
        """As the legacy era has it; the id is given by who sends it."""
        return Request(0, self.method, encode_json(self.params))

    def fail(self, problem: McpTwistError) -> None:
        """There will be no answer."""
        if not self.when_answered.called:
            self.when_answered.errback(problem)

    def notified(self, exchange: Exchange, notification: Notification) -> None:
        """Nothing that clients say before they answer is of use here."""

    def asked(self, exchange: Exchange, question: Exchange) -> None:
        """A client has no questions in the course of one of ours."""
        question.fail(InvalidMessage("a question cannot be answered with a question"))

    def answered(self, exchange: Exchange, answer: Answer) -> None:
        """A legacy client's answer."""
        if self.when_answered.called:
            return
        try:
            if not isinstance(answer, Result):
                raise AnswerRefused(f"the client refused {self.method}: {_why(answer)}")
            value = self.read(answer.result)
        except InvalidParams as problem:
            self.fail(AnswerRefused(f"the client's answer to {self.method}: {problem.message}"))
        except AnswerRefused as problem:
            self.fail(problem)
        else:
            self.when_answered.callback(value)

    def cancelled(self, exchange: Exchange, reason: str) -> None:
        """Nobody waits for it any more."""

    def _unwanted(self, _: Deferred[Any]) -> None:
        if self.withdraw is not None:
            self.withdraw("the answer is not needed any more")


class Work(Protocol):
    """A function, its arguments, and what becomes of what it returns."""

    def start(self, call: Call) -> Any:
        """Run the function."""

    def result(self, value: Any) -> dict[str, Any]:
        """The result for what it returned."""

    def broken(self, failure: Failure, terms: Terms) -> dict[str, Any] | McpTwistError:
        """The result or the error for what it raised."""


class Call:
    """One run of a function, from its first request to its last answer.

    :ivar turn: the request being served, ``None`` while the call is held.
    """

    _log = Logger()

    def __init__(self, work: Work, turn: Turn, held: HeldCalls) -> None:
        self.turn: Turn | None = turn
        self.terms = turn.terms
        self._work = work
        self._held = held
        self._over = False
        self._outcome: dict[str, Any] | McpTwistError | None = None
        self._questions: dict[str, Question] = {}
        self._numbered = 0
        self._soon: IDelayedCall | None = None
        self._running: Deferred[Any] | None = None

    def begin(self) -> None:
        """Run the function; its outcome answers the turn it then has."""
        self._take(self.turn)
        try:
            value = self._work.start(self)
            if not isinstance(value, Deferred | Coroutine):
                self._ended(self._work.result(value))
                return
        except Exception:
            self._ended(self._broken(Failure()))
            return
        self._running = Deferred.fromCoroutine(value) if isinstance(value, Coroutine) else value
        self._running.addCallback(self._work.result)
        self._running.addErrback(self._broken)
        self._running.addCallback(self._ended)

    def ask(self, question: Question) -> Deferred[Any]:
        """Ask the client back.

        :return: fires with what *question* reads from the answer; fails with
            :class:`MissingCapability` or :class:`AnswerRefused`.
        """
        if self._over:
            return fail(McpTwistError("the call this belongs to is over"))
        if self.turn is None or self.turn.terms.modern:
            self._numbered += 1
            self._questions[f"question-{self._numbered}"] = question
            self._ask_soon()
        elif not self.terms.can(*question.needs):
            question.fail(self._missing(question))
        else:
            self.turn.conversation.ask(question)
        return question.when_answered

    def read_answers(self, responses: Mapping[str, Raw]) -> dict[str, Any]:
        """The values of those answers that were asked for; others are left aside.

        :raises InvalidParams: one of them is not what was asked for; nothing
            has happened then and the call is still held.
        """
        values = {}
        for key in self._questions.keys() & responses.keys():
            try:
                values[key] = self._questions[key].read(responses[key])
            except InvalidParams as problem:
                raise InvalidParams(f"inputResponses[{key!r}]: {problem.message}") from None
        return values

    def go_on(self, turn: Turn, values: Mapping[str, Any]) -> None:
        """The client came back with answers: the call has a turn again."""
        self._take(turn)
        outcome, self._outcome = self._outcome, None
        if outcome is not None:
            self._ended(outcome)
            return
        for key, value in values.items():
            self._questions.pop(key).when_answered.callback(value)
        if self._questions:
            self._ask_soon()

    def cancel(self, reason: str) -> None:
        """Nobody wants its outcome any more."""
        self._log.debug("a call was cancelled: {reason}", reason=reason)
        self._end()
        if self._running is not None:
            self._running.cancel()

    def _take(self, turn: Turn | None) -> None:
        assert turn is not None
        self.turn = turn
        self.terms = turn.terms
        turn.exchange.in_charge(self.cancel)

    def _ask_soon(self) -> None:
        """On the next turn of the reactor, so that questions asked at once go out as one."""
        if self._soon is None and self.turn is not None and not self._over:
            self._soon = self.turn.clock.callLater(0, self._put_questions)

    def _put_questions(self) -> None:
        self._soon = None
        for key, question in list(self._questions.items()):
            if question.when_answered.called:
                self._questions.pop(key, None)
            elif not self.terms.can(*question.needs):
                self._questions.pop(key, None)
                question.fail(self._missing(question))
        turn = self.turn
        if turn is None or self._over or not self._questions:
            return
        try:
            state = self._held.hold(self, turn)
        except Overloaded as problem:
            self._ended(problem)
            self.cancel(problem.message)
            return
        self.turn = None
        turn.exchange.in_charge(None)
        asked = {key: question.told() for key, question in self._questions.items()}
        turn.answer({"resultType": "input_required", "inputRequests": asked, "requestState": state})

    def _missing(self, question: Question) -> MissingCapability:
        capability, part = question.needs
        text = f"this needs a client that declared the capability {capability}"
        text += f" ({part})" if part else ""
        return MissingCapability(text, {capability: {part: {}} if part else {}})

    def _broken(self, failure: Failure) -> dict[str, Any] | McpTwistError | None:
        return None if self._over else self._work.broken(failure, self.terms)

    def _ended(self, outcome: dict[str, Any] | McpTwistError | None) -> None:
        if self._over or outcome is None:
            return
        if self.turn is None:
            self._outcome = outcome  # kept for when the client comes back
            return
        turn = self.turn
        self._end()
        if isinstance(outcome, McpTwistError):
            turn.exchange.fail(outcome)
            return
        try:
            turn.answer(outcome)
        except Exception:
            # What was returned cannot be written as JSON: the function's fault like any other.
            self._say_broken(turn, Failure())

    def _say_broken(self, turn: Turn, failure: Failure) -> None:
        outcome = self._work.broken(failure, self.terms)
        if isinstance(outcome, McpTwistError):
            turn.exchange.fail(outcome)
        else:
            turn.answer(outcome)

    def _end(self) -> None:
        self._over = True
        self.turn = None
        if self._soon is not None:
            self._soon.cancel()
            self._soon = None


class _Held(msgspec.Struct, gc=False):
    call: Call
    purpose: bytes
    timer: IDelayedCall


class HeldCalls:
    """Calls that wait for their client to come back, by ``requestState``.

    :param limit: how many may wait at once.
    :param patience: seconds each may wait; then it is cancelled.
    :param unguessable: makes a new name, of at least 128 random bits.
    :param refused: counts under ``held`` what the limit refused.
    """

    _log = Logger()

    def __init__(
        self, limit: int, patience: float, unguessable: Callable[[], str], refused: Counter[str]
    ) -> None:
        self._limit = limit
        self._patience = patience
        self._unguessable = unguessable
        self._refused = refused
        self._held: dict[str, _Held] = {}

    def __len__(self) -> int:
        return len(self._held)

    def hold(self, call: Call, turn: Turn) -> str:
        """Keep *call* until the client of *turn* comes back with the same request.

        :return: the ``requestState`` to come back with.
        :raises Overloaded: too many are kept already.
        """
        if len(self._held) >= self._limit:
            self._refused["held"] += 1
            raise Overloaded(
                f"{self._limit} calls are waiting for an answer of their clients already; "
                "try again later",
                limit="held",
            )
        state = self._unguessable()
        timer = turn.clock.callLater(self._patience, self._expired, state)
        self._held[state] = _Held(call, _purpose(turn.exchange.request), timer)
        return state

    def find(self, state: str, request: Request) -> Call:
        """The call of that name, which is held still.

        :raises InvalidParams: there is none, or it was for another request.
        """
        held = self._held.get(state)
        if held is None or held.purpose != _purpose(request):
            raise InvalidParams(
                "requestState is unknown: it was used, it expired, or it belongs to another "
                "request; make the request again without it"
            )
        return held.call

    def release(self, state: str) -> None:
        """It is held no longer; its name is worth nothing from now on."""
        self._held.pop(state).timer.cancel()

    def drop_all(self, reason: str) -> None:
        """Cancel all that are held."""
        held, self._held = self._held, {}
        for each in held.values():
            each.timer.cancel()
            each.call.cancel(reason)

    def _expired(self, state: str) -> None:
        held = self._held.pop(state)
        held.call.cancel(f"its client did not come back within {self._patience:g} seconds")


def _purpose(request: Request) -> bytes:
    """What the request asks, the same for every turn whatever the order of its members."""
    fields = open_fields(request.params)
    for name in _OWN_TO_A_TURN:
        fields.pop(name, None)
    text = encode_json([request.method, fields])
    try:
        text = msgspec.json.encode(msgspec.json.decode(text), order="sorted")
    except RecursionError:
        pass  # too deep to be put in order; the same text still means the same
    return hashlib.sha256(text).digest()


def _opened(json: Json) -> dict[str, Any]:
    """What a far end says of itself; nothing where that is not an object."""
    try:
        opened: dict[str, Any] = msgspec.json.decode(json, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError):
        return {}
    return opened


def _why(answer: Error) -> str:
    try:
        return open_error(answer).message or "it gave no reason"
    except InvalidMessage:
        return "it gave no reason"
