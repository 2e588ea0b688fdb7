"""One HTTP request, and the way back to whoever sent it.

A :class:`Request` is what resources are given, whichever version of HTTP it came by. It provides
Twisted's ``IRequest`` for ordinary resources (klein, prometheus, static files), and a shorter
way for our own, which does not build what nobody asks for: see :meth:`Request.header`,
:meth:`Request.receive_body`, :meth:`Request.respond`, :meth:`Request.start`.

It writes through :class:`~mcptwist.protocols.httpstream.IHTTPStream`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from io import BytesIO
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web import http
from twisted.web.error import UnsupportedMethod
from twisted.web.resource import IResource
from twisted.web.server import NOT_DONE_YET
from zope.interface import Interface

from mcptwist.protocols import refusals
from mcptwist.protocols.httpstream import HeaderList
from mcptwist.protocols.lazyrequest import LazyRequest
from mcptwist.protocols.pulling import Pulled
from mcptwist.protocols.refusals import Refusal

__all__ = ["IAsksEarly", "Request"]

Body = bytes | bytearray | memoryview | Sequence[bytes]


class IAsksEarly(Interface):
    """Marks a resource whose ``render`` is called as soon as the headers are complete.

    Such a resource asks for the body with :meth:`Request.receive_body`, or answers without it.
    """


def _pieces(body: Body) -> Sequence[bytes]:
    if isinstance(body, bytes):
        return (body,)
    return (bytes(body),) if isinstance(body, bytearray | memoryview) else body


class Request(LazyRequest):
    """A request as its resource sees it: what was asked, and the way back.

    :ivar answer_headers: headers every answer to this request carries, whoever makes it; None
        or a list to append to.
    :ivar principal: who is calling, as far as that was proved; set by whoever found out.
    :ivar body_check: told the whole body before whoever asked for it; says whether they may have
        it, and has answered where they may not.
    :ivar on_lost: called once with the reason when the client goes away before the answer is
        finished.
    """

    _log = Logger()

    answer_headers: list[tuple[bytes, bytes]] | None = None
    principal: Any = None
    body_check: Callable[[bytes], bool] | None = None
    on_lost: Callable[[Failure], object] | None = None

    _open = True
    _producer: Any = None
    _notifications: list[Deferred[None]] | None = None
    _body: BytesIO | None = None
    _body_limit = 0
    _body_done: Callable[[bytes], None] | None = None

    @property
    def is_open(self) -> bool:
        """Whether an answer is still possible: not finished, and the client is there."""
        return self._open

    # -- its body ------------------------------------------------------------------------

    def receive_body(self, limit: int, done: Callable[[bytes], None]) -> None:
        """Ask for the body; `done` gets all of it, at once when it is already here.

        :param limit: bytes; a longer body is refused with 413 and `done` is not called.
        :param done: never called if the client leaves before the body is complete.
        """
        if not self._open:
            return
        length = self.content_length
        if length > limit:
            self.refuse(refusals.BODY_TOO_LARGE, close=True)
            return
        body = self.stream.whole_body() if length else b""
        if body is None:
            self._body_limit = limit
            self._body_done = done
            self.stream.resume_body()
        else:
            self._deliver(done, body)

    def _deliver(self, done: Callable[[bytes], None], body: bytes) -> None:
        check = self.body_check
        try:
            if check is None or check(body):
                done(body)
        except Exception:
            self.processingFailed(Failure())

    def body_received(self, data: bytes, last: bool) -> None:
        """Called by the stream with each piece of the body; `last` ends it."""
        done = self._body_done
        if done is None:
            return
        body = self._body
        size = len(data) if body is None else body.tell() + len(data)
        if size > self._body_limit:
            self._body_done = self._body = None
            self.refuse(refusals.BODY_TOO_LARGE, close=True)
            return
        if body is not None or not last:
            if body is None:
                body = self._body = BytesIO()
            body.write(data)
        if last:
            self._body_done = self._body = None
            # getvalue() of a BytesIO written in order shares its bytes: no second copy.
            self._deliver(done, data if body is None else body.getvalue())

    # -- the answer, the short way -------------------------------------------------------

    def respond(self, status: int, headers: HeaderList, body: Body) -> None:
        """Send a whole answer and finish.

        :param headers: without those of the framing: Content-Length, Connection and Date are
            added.
        :param body: bytes, or pieces that are sent one after another without being joined.
        :raises ValueError: a header contains a line break; nothing was sent.
        :raises RuntimeError: the request was answered before.
        """
        self._respond(status, headers, body, False)

    def refuse(self, refusal: Refusal, close: bool = False) -> None:
        """Say no: JSON with a stable code, counted. An answer that has begun is cut instead.

        :param close: close the connection as well.
        """
        if not self._open:
            return
        self.stream.counters.count(refusal)
        if self.startedWriting:
            self.stream.abort()
            return
        headers = [(b"Content-Type", b"application/json"), *refusal.headers]
        self._respond(refusal.status, headers, refusal.body(), close)

    def _respond(self, status: int, headers: HeaderList, body: Body, close: bool) -> None:
        if not self._open:
            self._mind_the_end()
            return
        if self.startedWriting:
            raise RuntimeError("The answer has been started; use write() and finish().")
        if self.answer_headers is not None:
            headers = [*headers, *self.answer_headers]
        self.code = status
        self._open = False
        try:
            self.stream.respond(status, headers, _pieces(body), close)
        except ValueError:
            self._open = True
            raise
        self.startedWriting = self.finished = 1
        if self._notifications is not None:
            self._notify(None)

    def start(self, status: int, headers: HeaderList, length: int | None = None) -> None:
        """Send the head of an answer whose body follows by :meth:`write`.

        :param length: of the body in bytes when it is known.
        :raises ValueError: a header contains a line break; nothing was sent.
        """
        if not self._open:
            self._mind_the_end()
            return
        if self.startedWriting:
            raise RuntimeError("The answer has been started.")
        if self.answer_headers:
            headers = [*headers, *self.answer_headers]
        self.stream.start(status, headers, length)
        self.code = status
        self.startedWriting = 1

    @property
    def backlog(self) -> int:
        """Bytes of the answer not yet given to the operating system."""
        return int(self.stream.backlog()) if self._open else 0

    def upgrade(self, protocol: IProtocol) -> None:
        """Give the connection to another protocol, for good; the request ends here.

        The protocol is connected to the transport and gets whatever the client sent after
        this request. It answers the request itself (``101 Switching Protocols``).
        """
        if not self._open:
            self._mind_the_end()
            return
        self._open = False
        self.stream.upgrade(protocol)

    def _mind_the_end(self) -> None:
        """Nobody is there to answer. That may happen; answering twice may not."""
        if self.finished:
            raise RuntimeError("The request has been answered.")

    # -- what the stream tells -----------------------------------------------------------

    def lost(self, reason: Failure) -> None:
        """Called by the stream when the client went away before the answer was finished."""
        if not self._open:
            return
        self._open = False
        self._disconnected = True
        self._body = self._body_done = None
        producer, self._producer = self._producer, None
        if producer is not None:
            self._guarded_loss(producer.stopProducing)
        if self.on_lost is not None:
            self._guarded_loss(self.on_lost, reason)
        if self._notifications is not None:
            self._notify(reason)

    def _guarded_loss(self, call: Callable[..., object], *arguments: object) -> None:
        try:
            call(*arguments)
        except Exception:
            self._log.failure("told of a lost client, {call} failed", call=call)

    def _notify(self, reason: Failure | None) -> None:
        waiting, self._notifications = self._notifications or [], None
        for deferred in waiting:
            if reason is None:
                deferred.callback(None)
            else:
                deferred.errback(reason)

    # -- the answer, the stock way -------------------------------------------------------

    def write(self, data: Body) -> None:
        """Send more of the body; the first call sends the head from ``responseHeaders``.

        :param data: bytes or pieces; large ones are not copied.
        """
        if not self._open:
            self._mind_the_end()
            return
        if not self.startedWriting:
            self._start_stock()
        self.stream.write(_pieces(data))

    def finish(self) -> None:
        """The answer is complete."""
        if not self._open:
            self._mind_the_end()
            return
        if not self.startedWriting:
            self._start_stock()
        if self._producer is not None:
            self.unregisterProducer()
        self._open = False
        self.finished = 1
        self.stream.finish()
        if self._notifications is not None:
            self._notify(None)

    def _start_stock(self) -> None:
        headers, length = self._stock_headers()
        if not self._names(headers, b"content-type") and self._has_content(length):
            headers.append((b"Content-Type", self.defaultContentType or b"text/html"))
        self.start(self.code, headers, length)

    def _has_content(self, length: int | None) -> bool:
        return length != 0 and self.code not in http.NO_BODY_CODES

    @staticmethod
    def _names(headers: HeaderList, name: bytes) -> bool:
        return any(field.lower() == name for field, _ in headers)

    def _stock_headers(self) -> tuple[list[tuple[bytes, bytes]], int | None]:
        """The headers a stock resource has set, without the framing's own; and the length."""
        length: int | None = None
        headers: list[tuple[bytes, bytes]] = []
        made = self.__dict__.get("responseHeaders")
        for name, values in made.getAllRawHeaders() if made is not None else ():
            lower = name.lower()
            if lower == b"content-length":
                length = int(values[-1])
            elif lower not in _FRAMING:
                headers.extend((name, value) for value in values)
        if self.lastModified is not None and not self._names(headers, b"last-modified"):
            headers.append((b"Last-Modified", http.datetimeToString(self.lastModified)))
        if self.etag is not None and not self._names(headers, b"etag"):
            headers.append((b"ETag", self.etag))
        headers.extend((b"Set-Cookie", cookie) for cookie in self.__dict__.get("cookies", ()))
        return headers, length

    def render(self, resource: IResource) -> None:
        """Let a resource answer: bytes, or NOT_DONE_YET and later by itself."""
        try:
            body = resource.render(self)
        except UnsupportedMethod as error:
            self._render_unsupported(resource, error)
            return
        if body is NOT_DONE_YET:
            return
        if not isinstance(body, bytes):
            raise TypeError(f"{resource!r} rendered {type(body).__name__}, not bytes")
        self._answer(body)

    def _answer(self, body: bytes) -> None:
        if not self._open:
            return
        if self.startedWriting:
            self.write(body)
            self.finish()
            return
        headers, length = self._stock_headers()
        if self.method == b"HEAD" and not body and length is not None:
            self.start(self.code, headers, length)
            self.finish()
            return
        if not self._names(headers, b"content-type") and self._has_content(len(body)):
            headers.append((b"Content-Type", self.defaultContentType or b"text/html"))
        self.respond(self.code, headers, body)

    def _render_unsupported(self, resource: IResource, error: UnsupportedMethod) -> None:
        allowed: list[bytes] = sorted(error.allowedMethods)
        if self.method == b"HEAD" and b"GET" in allowed:
            # RFC 9110 section 9.3.2: HEAD is GET without the body, which the stream withholds.
            self.method = b"GET"
            body = resource.render(self)
            self.method = b"HEAD"
            if body is not NOT_DONE_YET:
                self._answer(body)
            return
        refusal = refusals.METHOD_NOT_ALLOWED
        self.refuse(
            Refusal(
                refusal.status,
                refusal.code,
                refusal.message,
                ((b"Allow", b", ".join(allowed)),),
            )
        )

    def processingFailed(self, reason: Failure) -> Failure:
        """Called when a resource raised: it is logged, and the client learns only that."""
        self._log.failure(
            "no answer to {method} {path}", reason, method=self.method, path=self.path
        )
        self.stream.counters.failures += 1
        if self._open and self.startedWriting:
            self.stream.abort()
        else:
            self.refuse(refusals.INTERNAL_ERROR)
        return reason

    def notifyFinish(self) -> Deferred[None]:
        """A Deferred that fires when the answer is finished, or fails when the client left."""
        deferred: Deferred[None] = Deferred()
        if self._notifications is None:
            self._notifications = []
        self._notifications.append(deferred)
        return deferred

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Let `producer` make the body, as fast as the client takes it."""
        if self._producer is not None:
            raise ValueError(f"{self._producer!r} is registered already.")
        if not self._open:
            producer.stopProducing()
            return
        self._producer = producer if streaming else Pulled(producer, self.stream.clock)
        self.stream.register_producer(self._producer)

    def unregisterProducer(self) -> None:
        """The producer has made all it had."""
        producer, self._producer = self._producer, None
        if isinstance(producer, Pulled):
            producer.pauseProducing()
        if producer is not None and self._open:
            self.stream.unregister_producer()


#: What the stream says itself (RFC 9110 section 7.6.1, and the Date and Server headers).
_FRAMING = frozenset(
    [b"connection", b"keep-alive", b"transfer-encoding", b"upgrade", b"trailer", b"date", b"server"]
)
