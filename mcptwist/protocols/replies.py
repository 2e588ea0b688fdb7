"""The way back of exchanges that came by an HTTP POST.

A reply writes plain JSON if the answer is the first thing said, and becomes an
event stream if anything comes before it, or when the answer is long in coming.

MCP 2025-11-25 and 2026-07-28, *Streamable HTTP, Sending Messages*.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from zope.interface import implementer

from mcptwist.errors import STATUS_OF_CODE, Cancelled, InvalidMessage, McpTwistError
from mcptwist.exchange import Exchange
from mcptwist.interfaces import IReply
from mcptwist.messages import (
    Answer,
    MessageId,
    Notification,
    Result,
    encode,
    error_answer,
    open_error,
    pieces,
)
from mcptwist.protocols.streams import Desk, Pulse, Stream
from mcptwist.versions import REVISIONS

if TYPE_CHECKING:
    from twisted.python.failure import Failure

    from mcptwist.protocols.request import Request
    from mcptwist.session import Session

JSON = (b"content-type", b"application/json")
HeaderList = Sequence[tuple[bytes, bytes]]


def refuse(
    request: Request, problem: McpTwistError, id: MessageId | None = None, headers: HeaderList = ()
) -> None:
    """Answer a POST with an error of ours and the status it deserves."""
    if not request.is_open:
        return
    request.on_lost = None
    told = (*headers, *getattr(problem, "headers", ()))
    request.respond(problem.status, [JSON, *told], encode(error_answer(id, problem)))


def status_of(answer: Answer) -> int:
    """The HTTP status of a modern answer."""
    if isinstance(answer, Result):
        return 200
    try:
        return STATUS_OF_CODE.get(open_error(answer).code, 200)
    except InvalidMessage:
        return 200


@implementer(IReply)
class ModernReply:
    """The way back to a client whose request stands alone.

    A client that closes the response has cancelled its request (MCP 2026-07-28,
    *Streamable HTTP, Cancellation*).
    """

    __slots__ = ("_exchange", "_pulse", "_request", "_stream")

    def __init__(self, request: Request, pulse: Pulse) -> None:
        self._request = request
        self._pulse = pulse
        self._stream: Stream | None = None
        self._exchange: Exchange | None = None
        request.on_lost = self._lost
        pulse.wait(self)

    def carry(self, exchange: Exchange) -> None:
        """The exchange whose way back this is; forgotten at its end, so that both are freed."""
        if not exchange.over:
            self._exchange = exchange

    def notified(self, exchange: Exchange, notification: Notification) -> None:
        """Something is said before the answer."""
        self._opened().send(notification)

    def asked(self, exchange: Exchange, question: Exchange) -> None:
        """Servers may not ask on this wire."""
        question.fail(McpTwistError("a client of revision 2026-07-28 cannot be asked"))

    def answered(self, exchange: Exchange, answer: Answer) -> None:
        """The answer."""
        self._exchange = None
        self._pulse.done(self)
        if self._stream is not None:
            self._stream.send(answer)
            self._stream.finish()
            return
        request = self._request
        request.on_lost = None
        request.respond(status_of(answer), [JSON], pieces(answer))

    def cancelled(self, exchange: Exchange, reason: str) -> None:
        """The client has gone, or the daemon gives the request up."""
        self._exchange = None
        self._pulse.done(self)
        if self._stream is not None:
            self._stream.finish()
        else:
            refuse(self._request, Cancelled(reason), exchange.request.id)

    def late(self) -> None:
        """No answer yet: show signs of life."""
        self._opened()

    def _opened(self) -> Stream:
        if self._stream is None:
            self._pulse.done(self)
            self._stream = Stream(self._pulse, told_detached=self._detached, told_flow=self._flow)
            self._stream.attach(self._request)
        return self._stream

    def _flow(self, runs: bool) -> None:
        if self._exchange is not None:
            (self._exchange.release if runs else self._exchange.hold)()

    def _detached(self, _: Stream) -> None:
        self._cancel()

    def _lost(self, _: Failure) -> None:
        self._cancel()

    def _cancel(self) -> None:
        self._pulse.done(self)
        if self._exchange is not None:
            self._exchange.cancel("the client closed the response")


@implementer(IReply)
class LegacyReply:
    """The way back to a client that keeps a session.

    A client that loses the response has *not* cancelled: the exchange goes on, and
    the rest waits for it to come back (MCP 2025-11-25, *Streamable HTTP, Sending
    Messages*).

    :param headers: to be sent with the answer to ``initialize``.
    """

    __slots__ = ("_desk", "_exchange", "_headers", "_pulse", "_request", "_session", "_stream")

    def __init__(
        self,
        request: Request,
        pulse: Pulse,
        session: Session,
        desk: Desk,
        headers: HeaderList = (),
    ) -> None:
        self._request: Request | None = request
        self._pulse = pulse
        self._session = session
        self._desk = desk
        self._headers = headers
        self._stream: Stream | None = None
        self._exchange: Exchange | None = None
        request.on_lost = self._lost
        pulse.wait(self)

    def carry(self, exchange: Exchange) -> None:
        """The exchange whose way back this is; forgotten at its end, so that both are freed."""
        if not exchange.over:
            self._exchange = exchange

    def notified(self, exchange: Exchange, notification: Notification) -> None:
        """Something is said before the answer."""
        stream = self._opened()
        if stream is not None:
            stream.send(notification)

    def asked(self, exchange: Exchange, question: Exchange) -> None:
        """The server asks the client something in the course of its call."""
        stream = self._opened()
        if stream is None:
            question.fail(McpTwistError("the client has lost the stream to be asked on"))
            return
        request = self._session.put(question)
        if request is not None:
            stream.send(request)

    def answered(self, exchange: Exchange, answer: Answer) -> None:
        """The answer."""
        self._exchange = None
        self._pulse.done(self)
        if self._stream is not None:
            self._stream.send(answer)
            self._close()
        elif self._request is not None:
            self._request.on_lost = None
            self._request.respond(200, [JSON, *self._headers], pieces(answer))

    def answered_all(self, answers: list[Answer]) -> None:
        """The answers to a batch; none if all of its requests were taken back."""
        self._pulse.done(self)
        if self._stream is not None:
            for answer in answers:
                self._stream.send(answer)
            self._close()
        elif self._request is not None:
            self._request.on_lost = None
            if answers:
                self._request.respond(200, [JSON], _array(answers))
            else:
                self._request.respond(202, [], b"")

    def cancelled(self, exchange: Exchange, reason: str) -> None:
        """The client took its request back; the response it waits on ends with that word."""
        self._exchange = None
        self._pulse.done(self)
        if self._stream is not None:
            self._close()
        elif self._request is not None:
            refuse(self._request, _Withdrawn(reason), exchange.request.id)

    def late(self) -> None:
        """No answer yet: show signs of life."""
        self._opened()

    def _opened(self) -> Stream | None:
        """The event stream, begun if it was not; ``None`` if the client left before it was."""
        if self._stream is None and self._request is not None:
            self._pulse.done(self)
            self._stream = self._desk.stream(self._flow)
            self._stream.attach(self._request, self._headers, retry_of(self._session, self._desk))
            self._request = None
        return self._stream

    def _flow(self, runs: bool) -> None:
        if self._exchange is not None:
            (self._exchange.release if runs else self._exchange.hold)()

    def _close(self) -> None:
        assert self._stream is not None
        self._stream.finish()
        self._desk.ended(self._stream)

    def _lost(self, _: Failure) -> None:
        self._pulse.done(self)
        self._request = None


def _array(answers: list[Answer]) -> bytes:
    return b"[%b]" % b",".join(encode(answer) for answer in answers)


class _Withdrawn(McpTwistError):
    """The request was cancelled by its own client."""

    code = "cancelled"
    status = 200


def retry_of(session: Session, desk: Desk) -> int | None:
    """Milliseconds for a priming event, for clients of a revision that knows them."""
    revision = REVISIONS[session.revision]
    return desk.retry if revision.primes_streams else None


@implementer(IReply)
class BatchReply:
    """The way back of a batch (2025-03-26): every answer, as one array or one stream.

    :param expected: how many answers will come.
    """

    def __init__(
        self, request: Request, pulse: Pulse, session: Session, desk: Desk, expected: int
    ) -> None:
        self._one = LegacyReply(request, pulse, session, desk)
        self._expected = expected
        self._answers: list[Answer] = []

    def notified(self, exchange: Exchange, notification: Notification) -> None:
        """Something is said before the answers."""
        self._one.notified(exchange, notification)

    def asked(self, exchange: Exchange, question: Exchange) -> None:
        """The server asks the client something."""
        self._one.asked(exchange, question)

    def answered(self, exchange: Exchange, answer: Answer) -> None:
        """One of the answers."""
        self.add(answer)

    def cancelled(self, exchange: Exchange, reason: str) -> None:
        """One of the requests was taken back: it gets no answer."""
        self._expected -= 1
        self._flush()

    def add(self, answer: Answer) -> None:
        """One of the answers, from a server or of our own."""
        self._answers.append(answer)
        self._flush()

    def late(self) -> None:
        """No answers yet: show signs of life."""
        self._one.late()

    def _flush(self) -> None:
        if len(self._answers) >= self._expected:
            self._one.answered_all(self._answers)
