"""One call that may be asked back, over as many exchanges of its client as that takes.

When the legacy server asks, the client's exchange ends with ``input_required``, and the
call is held until it comes back.

MCP 2026-07-28, *Multi Round-Trip Requests*; 2025-11-25, *Elicitation*, *Sampling*, *Roots*.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Raw
from zope.interface import implementer

from mcptwist.company import text_member, wants_log
from mcptwist.eras.crossing import behind, in_modern_words, info_of
from mcptwist.eras.inputs import (
    ASKED_BY,
    BY_URL,
    lacking,
    lacks,
    modern_question,
    required,
    url_elicitations,
)
from mcptwist.errors import ClientGone, InvalidParams, MethodNotFound, Overloaded
from mcptwist.exchange import PROGRESS, Behind, Exchange
from mcptwist.interfaces import IReply
from mcptwist.messages import (
    Answer,
    Error,
    Json,
    Notification,
    Request,
    Result,
    encode_json,
    error_answer,
    open_fields,
)

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall

    from mcptwist.eras.leases import Lease
    from mcptwist.eras.legacy_as_modern import LegacyAsModern


_GATHER = 0.02
"""Seconds in which further questions are put into the same ``input_required``."""


_URL_MODE = b'{"mode":"url"}'


@implementer(IReply)
class HeldCall:
    """One call of a client that may be asked, over as many exchanges as that takes.

    :param lease: the process it has.
    :param front: the client's first exchange.
    :ivar principal: whose it is.
    :ivar away_since: when its client was sent for inputs (seconds of the clock),
        ``None`` while it is here.
    """

    def __init__(self, side: LegacyAsModern, lease: Lease, front: Exchange) -> None:
        self._side = side
        self._lease = lease
        self._front: Exchange | None = front
        self._request = front.request
        self.principal: str = front.stay.principal
        self.away_since: float | None = None
        self._capabilities: Json = front.stay.capabilities
        self._behind = Exchange(behind(front.request), self, front.stay)
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
            return in_modern_words(self._request.method, answer, info_of(self._lease.supervisor))
        if lacking(self._capabilities, "elicitation/create", _URL_MODE) is not None:
            return lacks(self._behind, BY_URL)
        front, self._front = self._front, None
        self._wanted = wanted
        if front is not None:
            self._require_first(front)
        return None

    def _require_first(self, front: Exchange) -> None:
        """Have the client see to what the server needs before it can be asked at all."""
        self._side.again(front, self._wanted, info_of(self._lease.supervisor))

    # --- what the client does ---------------------------------------------------------

    def resume(self, _: LegacyAsModern, front: Exchange, responses: dict[str, Raw]) -> None:
        """The client came back with inputs; those nobody asked for are ignored."""
        self._front = front
        self.away_since = None
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

    def evict(self) -> None:
        """Another call needs the process; the client hears so when it comes back."""
        reason = (
            "while its inputs were waited for, the call lost its process of "
            f"{self._side.backend.name} to another; make it again"
        )
        self._end(reason)
        self._outcome = error_answer(0, Overloaded(reason, limit="call_processes"))

    def _left(self, reason: str) -> None:
        """The client closed its exchange."""
        self._front = None
        self._give_up(reason)

    def _give_up(self, reason: str) -> None:
        self._stop_gathering()
        if self._outcome is None and not self._behind.over:
            self._end(reason)

    def _end(self, reason: str) -> None:
        """Have the server stop, and its process with it."""
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
        requests = {
            key: modern_question(question.request.method, question.request.params)
            for key, question in self._questions.items()
        }
        try:
            name = self._side.backend.name
            state = self._side.held.hold(self, self._request, self.principal, name)
        except Overloaded as problem:
            self._front = None
            front.fail(problem)
            self._give_up(problem.message)
            return
        self._front = None
        self.away_since = self._side.clock.seconds()
        front.succeed(required(requests, state, info_of(self._lease.supervisor)))

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
        front.answer(lacks(front, wanted))
        self._give_up("the client lacks a capability")

    def _deliver(self) -> None:
        front = self._front
        if front is not None and self._outcome is not None:
            self._front = None
            front.answer(self._outcome)


class Anew:
    """A call that is put to the server from the start when its client comes back.

    :param requests: what its client was asked, by key.
    """

    def __init__(self, requests: dict[str, Any], server: Json) -> None:
        self._requests = requests
        self._server = server

    def resume(self, side: LegacyAsModern, front: Exchange, responses: dict[str, Raw]) -> None:
        """The client came back.

        :param side: that of the server as it is now, which may have been put there anew.
        """
        missing = {key: self._requests[key] for key in self._requests if key not in responses}
        if missing:
            side.again(front, missing, self._server)
        elif all(text_member(responses[key], "action") == "accept" for key in self._requests):
            side.call(front)
        else:
            front.fail(InvalidParams("the user did not agree to what the server needs first"))

    def expired(self) -> None:
        """It did not; nothing was kept."""


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
