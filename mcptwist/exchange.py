"""One request and everything said in reply to it.

    one request → zero or more things said about it → exactly one answer, or a cancellation

An :class:`Exchange` carries its own way back, so nothing is sorted by id later.
Where exchanges meet a far end two tables hold them by id: what it asked of us
(:mod:`mcptwist.opened`), what we asked of it (:mod:`mcptwist.asked`).

MCP 2026-07-28, *Base protocol*: Messages, Cancellation, Progress, Subscriptions.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from zope.interface import implementer

from mcptwist.errors import (
    McpTwistError,
)
from mcptwist.interfaces import IReply, ISource
from mcptwist.messages import (
    Answer,
    Json,
    Notification,
    Request,
    Result,
    encode_json,
    error_answer,
)

if TYPE_CHECKING:
    from mcptwist.opened import Opened
    from mcptwist.params import Usual

LISTEN = "subscriptions/listen"
PROGRESS = "notifications/progress"
SUBSCRIPTION_ID = "io.modelcontextprotocol/subscriptionId"


See: TypeAlias = "Callable[[Exchange, Answer], Answer]"
"""Makes of the answer to an exchange the one that its asker sees."""


class Exchange:
    """A request on its way to being answered.

    It is answered once or cancelled once, and deaf ever after: whatever is
    said to it when it is over is dropped.

    :ivar request: as its asker put it, under the asker's id.
    :ivar stay: whose it is (see :mod:`mcptwist.session`); ``None`` for a
        server's own question.
    :ivar over: whether it was answered or cancelled.
    :ivar source: what its answer comes from and can be held back, once that is known.
    :ivar listed: the list of open ones that it stands on, if it stands on one.
    :ivar usual: the members of its params, where somebody has read them and they are no others
        than usual.
    """

    __slots__ = (
        "_canceller", "_reply", "_see", "listed", "over", "request", "source", "stay", "usual",
    )  # fmt: skip

    def __init__(
        self, request: Request, reply: IReply, stay: Any = None, usual: Usual | None = None
    ) -> None:
        self.request = request
        self.usual = usual
        self.stay = stay
        self.over = False
        self._reply = reply
        self._see: See | None = None
        self.source: ISource | None = None
        self.listed: Opened | None = None
        self._canceller: Callable[[str], None] | None = None

    def __repr__(self) -> str:
        return f"<Exchange {self.request.method} id={self.request.id!r} over={self.over}>"

    def in_charge(self, canceller: Callable[[str], None] | None) -> None:
        """Say who is to be told, with the reason, when the asker cancels."""
        self._canceller = canceller

    def amend(self, params: Json, usual: Usual | None = None) -> None:
        """Before it is put to anybody: other *params*."""
        self.request = Request(self.request.id, self.request.method, params)
        self.usual = usual

    def see_through(self, see: See) -> None:
        """Have its answer seen through *see*, and then through what was to be asked before."""
        before = self._see
        self._see = see if before is None else partial(_seen_twice, see, before)

    def notify(self, notification: Notification) -> None:
        """Say something about it before the answer."""
        if not self.over:
            self._reply.notified(self, notification)

    def ask(self, question: Exchange) -> None:
        """Put a question of the far end's to the asker."""
        if self.over:
            question.fail(McpTwistError("the call this belonged to is over"))
        else:
            self._reply.asked(self, question)

    def answer(self, answer: Answer) -> None:
        """Answer it; the answer's id is replaced by the asker's."""
        if self.over:
            return
        self._end()
        if self._see is not None:
            answer = self._see(self, answer)
        id = self.request.id
        if isinstance(answer, Result):
            self._reply.answered(self, Result(id, answer.result))
        else:
            self._reply.answered(self, type(answer)(id, answer.error))

    def fail(self, problem: McpTwistError) -> None:
        """Answer it with an error of ours."""
        self.answer(error_answer(self.request.id, problem))

    def succeed(self, result: Any) -> None:
        """Answer it with a value of ours, anything msgspec can encode."""
        self.answer(Result(self.request.id, encode_json(result)))

    def cancel(self, reason: str) -> None:
        """The asker does not want it any more."""
        if self.over:
            return
        canceller = self._canceller
        self._end()
        self._reply.cancelled(self, reason)
        if canceller is not None:
            canceller(reason)

    def abandon(self, problem: McpTwistError) -> None:
        """It is given up by us: the asker is told why, and whoever is in charge to stop."""
        canceller = self._canceller
        self.fail(problem)
        if canceller is not None:
            canceller(problem.message)

    def hold(self) -> None:
        """The asker cannot take more at present: hold the source back, if that hurts nobody."""
        if self.source is not None:
            self.source.hold(self)

    def release(self) -> None:
        """The asker can take more."""
        if self.source is not None:
            self.source.release(self)

    def _end(self) -> None:
        self.over = True
        self._canceller = None
        if self.listed is not None:
            self.listed.remove(self)
        source, self.source = self.source, None
        if source is not None:
            source.release(self)


def _seen_twice(first: See, then: See, exchange: Exchange, answer: Answer) -> Answer:
    return then(exchange, first(exchange, answer))


@implementer(ISource)
class Behind:
    """The source of an exchange that is answered by means of another, the one *behind* it."""

    __slots__ = ("_behind",)

    def __init__(self, behind: Exchange) -> None:
        self._behind = behind

    def hold(self, exchange: Exchange) -> None:
        """What holds one back holds back the one behind it."""
        self._behind.hold()

    def release(self, exchange: Exchange) -> None:
        """And lets it go."""
        self._behind.release()
