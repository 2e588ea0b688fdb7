"""One request and everything said in reply to it.

    one request → zero or more things said about it → exactly one answer, or a cancellation

An :class:`Exchange` carries its own way back, so nothing is sorted by id later.
The two tables here hold exchanges by id where they meet a far end: what it
asked of us (:class:`Opened`), what we asked of it (:class:`Asked`). Ids, progress
tokens and subscription ids are made anew for every far end and mapped back, so
two clients with equal ids cannot get each other's answer.

MCP 2026-07-28, *Base protocol*: Messages, Cancellation, Progress, Subscriptions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Raw
from twisted.internet.defer import Deferred
from zope.interface import implementer

from mcptwist.errors import (
    INTERNAL_ERROR,
    Cancelled,
    DuplicateId,
    InvalidMessage,
    McpTwistError,
    MethodNotFound,
    Overloaded,
)
from mcptwist.interfaces import IReply, ISource
from mcptwist.messages import (
    Answer,
    Error,
    ErrorBody,
    Json,
    MessageId,
    Notification,
    Request,
    Result,
    encode_json,
    error_answer,
    id_text,
    open_error,
    open_fields,
)

if TYPE_CHECKING:
    from mcptwist.interfaces import IAnswerer
    from mcptwist.watching.tally import Tally

LISTEN = "subscriptions/listen"
PROGRESS = "notifications/progress"
SUBSCRIPTION_ID = "io.modelcontextprotocol/subscriptionId"


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
    """

    __slots__ = ("_canceller", "_reply", "listed", "over", "request", "source", "stay")

    def __init__(self, request: Request, reply: IReply, stay: Any = None) -> None:
        self.request = request
        self.stay = stay
        self.over = False
        self._reply = reply
        self.source: ISource | None = None
        self.listed: Opened | None = None
        self._canceller: Callable[[str], None] | None = None

    def __repr__(self) -> str:
        return f"<Exchange {self.request.method} id={self.request.id!r} over={self.over}>"

    def in_charge(self, canceller: Callable[[str], None] | None) -> None:
        """Say who is to be told, with the reason, when the asker cancels."""
        self._canceller = canceller

    def amend(self, params: Json, see: Callable[[Answer], Answer] | None = None) -> None:
        """Before it is put to anybody: other *params*, and an answer that is seen through *see*."""
        if params is not self.request.params:
            self.request = Request(self.request.id, self.request.method, params)
        if see is not None:
            self._reply = _Seen(self._reply, see)

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


@implementer(IReply)
class _Seen:
    """A reply to which the answer is told as *see* makes it."""

    __slots__ = ("_reply", "_see")

    def __init__(self, reply: IReply, see: Callable[[Answer], Answer]) -> None:
        self._reply = reply
        self._see = see

    def notified(self, exchange: Exchange, notification: Notification) -> None:
        self._reply.notified(exchange, notification)

    def asked(self, exchange: Exchange, question: Exchange) -> None:
        self._reply.asked(exchange, question)

    def answered(self, exchange: Exchange, answer: Answer) -> None:
        self._reply.answered(exchange, self._see(answer))

    def cancelled(self, exchange: Exchange, reason: str) -> None:
        self._reply.cancelled(exchange, reason)


class Opened:
    """What one far end has asked of us and is waiting for, by its own ids.

    :param limit: how many may be open at once.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._open: dict[MessageId, Exchange] = {}

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[Exchange]:
        return iter(list(self._open.values()))

    def __contains__(self, id: MessageId) -> bool:
        return id in self._open

    def get(self, id: MessageId) -> Exchange | None:
        """The open one of that id."""
        return self._open.get(id)

    def add(self, exchange: Exchange) -> None:
        """Remember *exchange* until it is over.

        :raises DuplicateId: that far end has one of this id open. It gets to
            hear so at once and the first stays untouched.
        :raises Overloaded: too many are open.
        """
        id = exchange.request.id
        if id in self._open:
            raise DuplicateId(f"a request with the id {id!r} is open already", id=id)
        if len(self._open) >= self._limit:
            raise Overloaded(
                f"{self._limit} requests are open already; wait for one to be answered",
                limit="in_flight",
            )
        self._open[id] = exchange
        exchange.listed = self

    def remove(self, exchange: Exchange) -> None:
        """Forget it, if it is there; called by the exchange itself when it is over."""
        if self._open.get(exchange.request.id) is exchange:
            del self._open[exchange.request.id]

    def cancelled(self, notification: Notification) -> bool:
        """The far end sent ``notifications/cancelled``; whether it named an open request.

        A cancellation that names none is ignored, as the specification asks.
        """
        try:
            params = _cancelled_params.decode(notification.params)
        except (msgspec.DecodeError, RecursionError):
            return False
        exchange = self._open.pop(params.requestId, None)
        if exchange is None:
            return False
        exchange.cancel(params.reason or "cancelled by the client")
        return True

    def cancel_all(self, reason: str) -> None:
        """The far end is gone: nobody wants these any more."""
        exchanges, self._open = list(self._open.values()), {}
        for exchange in exchanges:
            exchange.cancel(reason)

    def abandon_all(self, problem: McpTwistError) -> None:
        """We are done with the far end, which may hear why."""
        exchanges, self._open = list(self._open.values()), {}
        for exchange in exchanges:
            exchange.abandon(problem)


class Question(msgspec.Struct, gc=False):
    """One exchange as put to a far end.

    :ivar token: the asker's own progress token as JSON, empty when it gave none.
    :ivar began: when it was put (seconds of the clock).
    :ivar idle_by: when it is late unless progress is reported (seconds of the
        clock), or ``None``.
    :ivar over_by: when it is late whatever is reported, or ``None``.
    """

    exchange: Exchange
    token: Json
    began: float
    idle: float | None
    idle_by: float | None
    over_by: float | None


class Asked:
    """What we have asked of one far end and are waiting for, by ids of our own.

    The id given also serves as progress token, so that one table maps both.

    :param limit: how many may be waiting at once, subscriptions not counted.
    :param tally: told of each answer, where answers are counted.
    :param listens: how many subscriptions there may be at once.
    """

    def __init__(self, limit: int, tally: Tally | None = None, listens: int = 10_000) -> None:
        self._limit = limit
        self._tally = tally
        self._listens = listens
        self._listening: set[MessageId] = set()
        self._last = 0
        self._waiting: dict[MessageId, Question] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def __iter__(self) -> Iterator[Exchange]:
        return iter([question.exchange for question in self._waiting.values()])

    def follow(self, earlier: Asked) -> None:
        """Let ids go on where those of *earlier*, to the same far end, left off."""
        self._last = earlier._last

    def put(
        self,
        exchange: Exchange,
        now: float = 0.0,
        idle: float | None = None,
        total: float | None = None,
    ) -> Request:
        """Give *exchange* an id of ours.

        :param now: seconds of the clock.
        :param idle: seconds until it is late, counted anew at each progress.
        :param total: seconds until it is late whatever happens.
        :return: the request to send.
        :raises Overloaded: too many are waiting.
        """
        asked = exchange.request
        listens = asked.method == LISTEN
        if listens or len(self._waiting) - len(self._listening) >= self._limit:
            self._see_to_room(listens)
        self._last += 1
        id = self._last
        if listens:
            self._listening.add(id)
        token, params = _own_token(asked.params, id)
        self._waiting[id] = Question(
            exchange,
            token,
            now,
            idle,
            None if idle is None else now + idle,
            None if total is None else now + total,
        )
        return Request(id, asked.method, params)

    def _see_to_room(self, listens: bool) -> None:
        """What waits for long must not keep out what does not.

        :raises Overloaded: there is none.
        """
        if listens and len(self._listening) >= self._listens:
            raise Overloaded(
                f"{self._listens} subscriptions wait for it already", limit="listens_per_server"
            )
        if not listens:
            raise Overloaded(
                f"{self._limit} requests are waiting for it already", limit="in_flight"
            )

    def take(self, id: MessageId) -> Exchange | None:
        """The exchange known to the far end as *id*, which is not waiting any more."""
        question = self._pop(id)
        return None if question is None else question.exchange

    def _pop(self, id: MessageId) -> Question | None:
        question = self._waiting.pop(id, None)
        if self._listening:
            self._listening.discard(id)
        return question

    def answered(self, answer: Answer) -> bool:
        """Pass an answer on; whether anybody waited for it."""
        if answer.id is None:
            return False
        question = self._pop(answer.id)
        if question is None:
            return False
        if self._tally is not None:
            self._tally.answered(question, answer)
        exchange = question.exchange
        if exchange.request.method == LISTEN and isinstance(answer, Result):
            answer = Result(answer.id, _with_subscription(answer.result, exchange.request.id))
        exchange.answer(answer)
        return True

    def progressed(self, notification: Notification, now: float = 0.0) -> bool:
        """Pass ``notifications/progress`` on under the asker's token; whether it had one."""
        fields = open_fields(notification.params)
        question = self._waiting.get(_token_id(fields.get("progressToken")))  # type: ignore[arg-type]
        if question is None:
            return False
        if question.idle is not None:
            question.idle_by = now + question.idle
        if not question.token:
            return False
        fields["progressToken"] = Raw(question.token)
        question.exchange.notify(Notification(notification.method, encode_json(fields)))
        return True

    def subscribed(self, notification: Notification) -> bool:
        """Pass a notification of a ``subscriptions/listen`` on; whether it belongs to one."""
        fields = open_fields(notification.params)
        meta = open_fields(fields.get("_meta", b""))
        question = self._waiting.get(_token_id(meta.get(SUBSCRIPTION_ID)))  # type: ignore[arg-type]
        if question is None:
            return False
        meta[SUBSCRIPTION_ID] = Raw(id_text(question.exchange.request.id))
        fields["_meta"] = Raw(encode_json(meta))
        question.exchange.notify(Notification(notification.method, encode_json(fields)))
        return True

    def cancelled(self, id: MessageId, reason: str) -> Notification | None:
        """What to tell the far end when the exchange it knows as *id* is not wanted any more.

        Nothing where it was not waiting, nor for ``initialize``, which may not be
        cancelled (MCP 2025-11-25, *Cancellation*).
        """
        question = self._pop(id)
        if question is None or question.exchange.request.method == "initialize":
            return None
        return cancelled_notification(id, reason)

    def hearten(self, now: float) -> None:
        """Count idle times anew, as if each had reported progress."""
        for question in self._waiting.values():
            if question.idle is not None:
                question.idle_by = now + question.idle

    def late(self, now: float) -> list[tuple[MessageId, Exchange]]:
        """Those that have waited too long, with our ids; they stay in the table."""
        return [(id, q.exchange) for id, q in self._waiting.items() if _is_late(q, now)]

    def listening(self) -> list[tuple[MessageId, Exchange]]:
        """The subscriptions that wait, with our ids."""
        return [(id, self._waiting[id].exchange) for id in self._listening]

    def fail_all(self, problem: McpTwistError) -> None:
        """The far end is gone: tell every asker why."""
        questions, self._waiting = list(self._waiting.values()), {}
        self._listening.clear()
        for question in questions:
            question.exchange.fail(problem)


def cancelled_notification(id: MessageId, reason: str) -> Notification:
    """``notifications/cancelled`` for the request *id*."""
    return Notification("notifications/cancelled", encode_json({"requestId": id, "reason": reason}))


class _CancelledParams(msgspec.Struct, gc=False):
    requestId: MessageId
    reason: str | None = None


_cancelled_params = msgspec.json.Decoder(_CancelledParams)
_whole_number = msgspec.json.Decoder(int)


def _is_late(question: Question, now: float) -> bool:
    return (question.idle_by is not None and now >= question.idle_by) or (
        question.over_by is not None and now >= question.over_by
    )


def _token_id(token: Json | None) -> int | None:
    if token is None:
        return None
    try:
        number: int = _whole_number.decode(token)
    except msgspec.DecodeError:
        return None
    return number


def _own_token(params: Json, id: int) -> tuple[Json, Json]:
    """The asker's progress token, and *params* with ours in its place.

    Looking for the word first keeps requests without a token unopened. Where
    ASCII is escaped the word may be spelt so, and an asker that got its own
    token past us could name another's.
    """
    text = bytes(params)
    if b'"progressToken"' not in text and b"\\u00" not in text:
        return b"", params
    fields = open_fields(params)
    try:
        meta = open_fields(fields.get("_meta", b""))
    except InvalidMessage:
        return b"", params
    token = bytes(meta.get("progressToken", b"null"))
    if token == b"null":
        return b"", params
    meta["progressToken"] = Raw(b"%d" % id)
    fields["_meta"] = Raw(encode_json(meta))
    return token, encode_json(fields)


def _with_subscription(result: Json, id: MessageId) -> Json:
    try:
        fields = open_fields(result)
        meta = open_fields(fields.get("_meta", b""))
    except InvalidMessage:
        return result
    if SUBSCRIPTION_ID not in meta:
        return result
    meta[SUBSCRIPTION_ID] = Raw(id_text(id))
    fields["_meta"] = Raw(encode_json(meta))
    return encode_json(fields)


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
