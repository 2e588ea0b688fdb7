"""One exchange that crosses from a modern client to a legacy server, without being asked back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zope.interface import implementer

from mcptwist.eras.inputs import ASKED_BY, BY_URL, lacking, lacks, url_elicitations
from mcptwist.eras.words import legacy_params, modern_error, modern_result
from mcptwist.errors import InvalidMessage, MethodNotFound, ServerMisbehaved
from mcptwist.exchange import Behind, Exchange
from mcptwist.interfaces import IReply
from mcptwist.messages import (
    Answer,
    Error,
    Json,
    Notification,
    Request,
    Result,
    error_answer,
    open_fields,
)

if TYPE_CHECKING:
    from mcptwist.supervisor import Supervisor


@implementer(IReply)
class Crossing:
    """One exchange that crosses from a modern client to a legacy server and back."""

    def __init__(self, front: Exchange) -> None:
        self._front = front
        self._supervisor: Supervisor | None = None

    def begin(self, supervisor: Supervisor) -> None:
        """Ask."""
        self._supervisor = supervisor
        crossed = Exchange(behind(self._front.request), self, self._front.stay)
        self._front.in_charge(crossed.cancel)
        self._front.source = Behind(crossed)
        supervisor.begin(crossed)

    def notified(self, exchange: Exchange, notification: Notification) -> None:
        """Pass it on."""
        self._front.notify(notification)

    def asked(self, exchange: Exchange, question: Exchange) -> None:
        """The client did not say that it can be asked: its call cannot go on."""
        question.fail(MethodNotFound("the client did not declare that it can be asked"))
        if question.request.method in ASKED_BY:
            wanted = lacking(self._front.stay.capabilities, question.request.method)
            self._front.answer(lacks(self._front, wanted or {}))
            exchange.cancel("the client cannot be asked")

    def answered(self, exchange: Exchange, answer: Answer) -> None:
        """Put it into modern words."""
        if isinstance(answer, Error) and url_elicitations(answer) is not None:
            self._front.answer(lacks(self._front, BY_URL))
        else:
            self._front.answer(
                in_modern_words(exchange.request.method, answer, info_of(self._supervisor))
            )

    def cancelled(self, exchange: Exchange, reason: str) -> None:
        """The client cancelled; it knows."""


def behind(request: Request) -> Request:
    return Request(0, request.method, legacy_params(request.params))


def info_of(supervisor: Supervisor | None) -> Json:
    link = None if supervisor is None else supervisor.link
    return b"" if link is None else server_info(link.welcome)


def in_modern_words(method: str, answer: Answer, server: Json) -> Answer:
    if not isinstance(answer, Result):
        return modern_error(method, answer)
    try:
        return Result(answer.id, modern_result(method, answer.result, server))
    except InvalidMessage as problem:
        return error_answer(answer.id, ServerMisbehaved(f"its result: {problem.message}"))


def server_info(welcome: Json) -> Json:
    """The server's name and version, from its welcome."""
    return open_fields(welcome).get("serverInfo", b"")
