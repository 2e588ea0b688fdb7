"""What is asked over HTTP/2: the fields of a request, and its body on the way out."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IConsumer
from twisted.python.failure import Failure
from twisted.web.client import RequestGenerationFailed
from twisted.web.http_headers import Headers
from twisted.web.iweb import UNKNOWN_LENGTH, IBodyProducer, IClientRequest
from zope.interface import implementer

from mcptwist.protocols.h2answer import Answer
from mcptwist.protocols.hpacking import Fields

if TYPE_CHECKING:
    from mcptwist.protocols.h2client import HTTP2Client

__all__ = ["Body", "Question"]

#: Bytes of a body that wait before what makes them is told to pause.
_ENOUGH = 64 << 10

#: What belongs to a connection of HTTP/1.1, or is said otherwise (RFC 9113 section 8.2.2).
_NOT_SENT = frozenset(
    (b"connection", b"host", b"keep-alive", b"proxy-connection", b"te", b"transfer-encoding",
     b"upgrade", b"content-length")
)  # fmt: skip


@implementer(IClientRequest)
class Question:
    """One request; it may be made several times if it was not begun with.

    :param authority: host, and port where it is not 443.
    :param path: and query.
    :ivar number: of its stream.
    :ivar asked: what who asks waits for.
    :ivar answer: what came of it, when its head came.
    """

    def __init__(
        self,
        method: bytes,
        url: bytes,
        authority: bytes,
        path: bytes,
        headers: Headers,
        body: Body,
    ) -> None:
        self.method = method
        self.absoluteURI = url
        self.headers = headers
        self.body = body
        self.number = 0
        self.asked: Deferred[Answer] = Deferred()
        self.answer: Answer | None = None
        self._authority = authority
        self._path = path

    def fields(self) -> list[tuple[bytes, bytes]]:
        """The fields of its head, the pseudo-header fields first (section 8.3.1)."""
        said = [
            (b":method", self.method),
            (b":scheme", b"https"),
            (b":authority", (self.headers.getRawHeaders(b"host") or [self._authority])[-1]),
            (b":path", self._path),
        ]
        for name, values in self.headers.getAllRawHeaders():
            name = name.lower()
            if name not in _NOT_SENT:
                said += ((name, value) for value in values)
        if self.body.length is not None:
            said.append((b"content-length", b"%d" % self.body.length))
        return said

    def answered(self, connection: HTTP2Client, fields: Fields) -> None:
        """The head of the answer came."""
        self.answer = Answer(self, connection, fields)
        if not self.asked.called:
            self.asked.callback(self.answer)

    def fail(self, problem: Exception) -> None:
        """There will be no answer."""
        if not self.asked.called:
            self.asked.errback(Failure(problem))


@implementer(IConsumer)
class Body:
    """The body of a request: what its producer has made and the connection has not sent.

    :param producer: makes it; None when there is none.
    :param replay: bytes that are kept after they were sent, for the case that they must go again.
    :ivar length: in bytes, None when it is not known or there is no body.
    :ivar problem: why it could not be made.
    :ivar sent: whether its end was taken.
    """

    def __init__(self, producer: IBodyProducer | None, replay: int) -> None:
        self.expected = producer is not None and producer.length != 0
        self.length: int | None = None
        if producer is not None and producer.length is not UNKNOWN_LENGTH:
            self.length = int(producer.length)
        self.problem: Exception | None = None
        self.sent = not self.expected
        self._producer = producer
        self._replay = replay
        self._told: Callable[[], None] = lambda: None
        self._parts: deque[memoryview] = deque()
        self._size = 0
        self._kept: list[memoryview] = []
        self._kept_size = 0
        self._started = self._made = self._over = self._held_back = False

    def start(self, told: Callable[[], None]) -> None:
        """Make it; *told* is called whenever there is more, at its end, and if it fails."""
        self._told = told
        if self._started:
            told()
            return
        self._started = True
        assert self._producer is not None
        making: Deferred[Any] = self._producer.startProducing(self)
        making.addCallbacks(self._finished, self._failed)

    def write(self, data: bytes) -> None:
        """Called by the producer."""
        if not data or self._over:
            return
        self._parts.append(memoryview(data))
        self._size += len(data)
        if self._size > _ENOUGH and not self._held_back and self._producer is not None:
            self._held_back = True
            self._producer.pauseProducing()
        self._told()

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Part of the interface; the producer is known."""

    def unregisterProducer(self) -> None:
        """Part of the interface."""

    def _finished(self, _: Any) -> None:
        self._made = True
        self._told()

    def _failed(self, failure: Failure) -> None:
        if not self._over:
            self.problem = RequestGenerationFailed([failure])
            self._told()

    @property
    def waiting(self) -> bool:
        """Whether there is something to send, be it the end."""
        return self._size > 0 or (self._made and not self.sent)

    @property
    def complete(self) -> bool:
        """Whether what was taken last was the end; asked once after each :meth:`take`."""
        if self._made and not self._size and not self.sent:
            self.sent = True
            return True
        return False

    def take(self, room: int) -> bytes:
        """As much of it as there is room for."""
        taken: list[memoryview] = []
        while self._parts and room > 0:
            part = self._parts.popleft()
            if len(part) > room:
                self._parts.appendleft(part[room:])
                part = part[:room]
            room -= len(part)
            taken.append(part)
        data = b"".join(taken)
        self._size -= len(data)
        self._keep(taken, len(data))
        if self._held_back and not self._size and self._producer is not None and not self._made:
            self._held_back = False
            self._producer.resumeProducing()
        return data

    def _keep(self, taken: list[memoryview], size: int) -> None:
        self._kept_size += size
        if self._kept_size <= self._replay:
            self._kept += taken
        else:
            self._kept.clear()

    def settle(self) -> None:
        """There is an answer: it need not be sent again."""
        self._replay = -1
        self._kept.clear()

    def rewind(self) -> bool:
        """Have it sent again from its beginning; whether that can be."""
        if self._kept_size > self._replay or (self._started and not self._made):
            return False
        self._parts.extendleft(reversed(self._kept))
        self._size += self._kept_size
        self._kept, self._kept_size = [], 0
        self.sent = not self.expected
        self._over = False
        return True

    def again(self, producer: IBodyProducer | None) -> IBodyProducer | None:
        """What makes the same over another protocol, after :meth:`rewind`."""
        return _Whole(self.take(self._size)) if self._started else producer

    def stop(self) -> None:
        """Its stream is over. What was made is kept; what is not made is not wanted any more."""
        self._told = lambda: None
        if self._started and not self._made and not self._over and self._producer is not None:
            self._over = True
            self._producer.stopProducing()


@implementer(IBodyProducer)
class _Whole:
    """A body that is at hand as a whole."""

    def __init__(self, data: bytes) -> None:
        self.length = len(data)
        self._data = data

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        consumer.write(self._data)
        return succeed(None)

    def pauseProducing(self) -> None:
        """There is nothing left to hold back."""

    def resumeProducing(self) -> None:
        """See :meth:`pauseProducing`."""

    def stopProducing(self) -> None:
        """See :meth:`pauseProducing`."""
