"""What we have asked of one far end and are waiting for.

Ids, progress tokens and subscription ids are made anew for every far end and mapped
back, so two clients with equal ids cannot get each other's answer.

MCP 2026-07-28, *Base protocol*: Messages, Cancellation, Progress, Subscriptions.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec
from msgspec import Raw

from mcptwist.errors import (
    InvalidMessage,
    McpTwistError,
    Overloaded,
)
from mcptwist.exchange import LISTEN, SUBSCRIPTION_ID, Exchange
from mcptwist.messages import (
    Answer,
    Json,
    MessageId,
    Notification,
    Request,
    Result,
    encode_json,
    holds,
    id_text,
    open_fields,
)

if TYPE_CHECKING:
    from mcptwist.watching.tally import Tally


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
        question = self._waiting.pop(answer.id, None)
        if question is None:
            return False
        if self._listening:
            self._listening.discard(answer.id)
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
    if not holds(params, b'"progressToken"') and not holds(params, b"\\u00"):
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
