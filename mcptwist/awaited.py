"""Exchanges that we begin on our own behalf."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from zope.interface import implementer

from mcptwist.errors import (
    INTERNAL_ERROR,
    Cancelled,
    InvalidMessage,
    MethodNotFound,
)
from mcptwist.exchange import Exchange
from mcptwist.interfaces import IReply
from mcptwist.messages import (
    Answer,
    Error,
    ErrorBody,
    Json,
    Notification,
    Request,
    Result,
    open_error,
)

if TYPE_CHECKING:
    from mcptwist.interfaces import IAnswerer


@implementer(IReply)
class Awaited:
    """A reply to ourselves: the answer fires a Deferred, what comes before is heard or dropped.

    :param heard: told each notification said before the answer.
    :ivar answer: fires with the :class:`~mcptwist.messages.Result`'s JSON, or
        fails with :class:`Refused`. Cancelling it cancels the exchange.
    """

    def __init__(self, heard: Callable[[Notification], None] | None = None) -> None:
        self.answer: Deferred[Json] = Deferred(self._unwanted)
        self._heard = heard
        self._exchange: Exchange | None = None

    def begin(self, answerer: IAnswerer, method: str, params: Json, stay: Any = None) -> Exchange:
        """Ask *answerer* and hear the answer."""
        self._exchange = Exchange(Request(0, method, params), self, stay)
        answerer.begin(self._exchange)
        return self._exchange

    def notified(self, exchange: Exchange, notification: Notification) -> None:
        """Something was said before the answer."""
        if self._heard is not None:
            self._heard(notification)

    def asked(self, exchange: Exchange, question: Exchange) -> None:
        """Nobody here can be asked anything."""
        question.fail(MethodNotFound("nobody is here to answer that"))

    def answered(self, exchange: Exchange, answer: Answer) -> None:
        """The answer."""
        if isinstance(answer, Result):
            self.answer.callback(answer.result)
        else:
            self.answer.errback(Refused(answer))

    def cancelled(self, exchange: Exchange, reason: str) -> None:
        """It was cancelled, by ourselves or not."""
        if not self.answer.called:
            self.answer.errback(Cancelled(reason))

    def _unwanted(self, _: Deferred[Json]) -> None:
        if self._exchange is not None:
            self._exchange.cancel("not wanted any more")


class Refused(Exception):
    """The answer was an error.

    :ivar answer: the error as it came.
    """

    def __init__(self, answer: Answer) -> None:
        assert isinstance(answer, Error)
        self.answer = answer
        try:
            body = open_error(answer)
        except InvalidMessage:
            body = ErrorBody(INTERNAL_ERROR, "an error that is no error object")
        super().__init__(f"{body.message} ({body.code})")
        self.body = body


def ask(answerer: IAnswerer, method: str, params: Json = b"", stay: Any = None) -> Deferred[Json]:
    """Ask *answerer* something on the daemon's own behalf.

    :return: the result as JSON; fails with :class:`Refused`.
    """
    awaited = Awaited()
    awaited.begin(answerer, method, params, stay)
    return awaited.answer
