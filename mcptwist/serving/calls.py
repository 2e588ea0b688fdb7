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

from collections.abc import Coroutine, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from msgspec import Raw
from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from mcptwist.errors import (
    INVALID_PARAMS,
    MISSING_CLIENT_CAPABILITY,
    ClientError,
    InvalidParams,
    McpTwistError,
    Overloaded,
)
from mcptwist.exchange import Exchange
from mcptwist.messages import Json, Notification, encode_json
from mcptwist.serving.heldcalls import HeldCalls
from mcptwist.serving.question import Question
from mcptwist.serving.terms import Terms

if TYPE_CHECKING:
    from mcptwist.serving.conversation import Conversation


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
