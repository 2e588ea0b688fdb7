"""An exchange that stands for another: what is said about it is said about that one.

Where somebody in between has to change a request, or its answer, a second exchange is put to the
server, whose reply passes everything on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from zope.interface import implementer

from mcptwist.errors import McpTwistError
from mcptwist.exchange import Exchange
from mcptwist.interfaces import IReply, ISource
from mcptwist.messages import Answer, Json, Notification, Request, Result

Edit: TypeAlias = Callable[[Json], Json]


def pass_on(
    exchange: Exchange,
    put: Callable[[Exchange], None],
    params: Json,
    edit: Edit | None = None,
    heard: Callable[[Notification], Notification | None] | None = None,
) -> None:
    """Have *exchange* answered by another that has *params* in place of its own.

    :param put: takes charge of the other one.
    :param edit: makes the result that the asker gets of the one that came; where it raises a
        :class:`~mcptwist.errors.McpTwistError` that is the answer.
    :param heard: makes of each notification the one that the asker gets, or ``None``.
    """
    if exchange.over:
        return
    request = exchange.request
    reply = Passing(exchange, edit, heard)
    inner = Exchange(Request(request.id, request.method, params), reply, exchange.stay)
    reply.inner = inner
    exchange.in_charge(inner.cancel)
    exchange.source = reply
    put(inner)


@implementer(IReply, ISource)
class Passing:
    """The reply of an exchange that stands for another, and its source: what holds that one back
    holds it back too."""

    __slots__ = ("_edit", "_heard", "_outer", "inner")
    inner: Exchange

    def __init__(
        self,
        outer: Exchange,
        edit: Edit | None,
        heard: Callable[[Notification], Notification | None] | None = None,
    ) -> None:
        self._outer = outer
        self._edit = edit
        self._heard = heard

    def notified(self, exchange: Exchange, notification: Notification) -> None:
        """Something was said."""
        said = notification if self._heard is None else self._heard(notification)
        if said is not None:
            self._outer.notify(said)

    def asked(self, exchange: Exchange, question: Exchange) -> None:
        """The server asks."""
        self._outer.ask(question)

    def answered(self, exchange: Exchange, answer: Answer) -> None:
        """The answer."""
        if self._edit is not None and isinstance(answer, Result):
            try:
                answer = Result(answer.id, self._edit(answer.result))
            except McpTwistError as problem:
                self._outer.fail(problem)
                return
        self._outer.answer(answer)

    def cancelled(self, exchange: Exchange, reason: str) -> None:
        """The client did not want it any more."""

    def hold(self, exchange: Exchange) -> None:
        """The client cannot take more."""
        self.inner.hold()

    def release(self, exchange: Exchange) -> None:
        """It can again."""
        self.inner.release()
