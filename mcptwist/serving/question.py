"""Something that a server in Python asks back of its client."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from zope.interface import implementer

from mcptwist.errors import ClientError, InvalidMessage, InvalidParams, McpTwistError
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
)


class AnswerRefused(ClientError):
    """The client answered a question of ours with an error, or with nonsense."""

    code = "answer-refused"


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


def _why(answer: Error) -> str:
    try:
        return open_error(answer).message or "it gave no reason"
    except InvalidMessage:
        return "it gave no reason"
