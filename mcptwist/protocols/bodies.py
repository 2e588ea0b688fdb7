"""The bodies of HTTP responses, as the asking ends of the wires read them.

They are bounded, can be held back while nobody wants more, and can be given up.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import ResponseFailed
from twisted.web.iweb import IResponse

from mcptwist.errors import ClientError, InvalidMessage, ServerExited, ServerMisbehaved
from mcptwist.messages import Message, decode_many
from mcptwist.protocols.eventstream import Event, EventReader

JSON = b"application/json"
EVENTS = b"text/event-stream"

_BATCH = 1000
"""Messages taken of one batch of a server."""


class ResponseBody(Protocol):
    """The body of a response, while it comes; it can be held back.

    :ivar done: fires when it is over. Cancelling it ends the body.
    """

    transport: Any

    def __init__(self) -> None:
        self.done: Deferred[Any] = Deferred(lambda _: self.close())
        self.closed = False

    def hold(self) -> None:
        """Read no more for now."""
        if self.transport is not None:
            self.transport.pauseProducing()

    def release(self) -> None:
        """Read on."""
        if self.transport is not None:
            self.transport.resumeProducing()

    def close(self) -> None:
        """Read no more, ever; the connection is given up."""
        if not self.closed:
            self.closed = True
            if self.transport is not None:
                self.transport.loseConnection()

    def _finish(self, outcome: Any) -> None:
        self.closed = True
        if not self.done.called:
            self.done.callback(outcome)


class WholeBody(ResponseBody):
    """A body that is wanted as a whole: ``done`` fires with it, or fails with a ``ServerError``."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self._limit = limit
        self._parts: list[bytes] = []
        self._size = 0

    def dataReceived(self, data: bytes) -> None:
        """Called with what came."""
        if self.closed:
            return
        self._size += len(data)
        if self._size > self._limit:
            problem = ServerMisbehaved(f"its answer is longer than {self._limit} bytes")
            self.close()
            self._finish(Failure(problem))
        else:
            self._parts.append(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Called when it is over."""
        if reason.check(ResponseFailed):
            self._finish(
                Failure(ServerExited("the connection was lost in the midst of its answer"))
            )
        else:
            self._finish(b"".join(self._parts))


_SOONEST = 0.1
"""Seconds after which a far end may have us back at the earliest."""


class EventBody(ResponseBody):
    """A body of server-sent events.

    ``done`` fires with ``None`` when the stream ended, or with the problem that
    made us end it.

    :param found: told each event.
    :ivar last: the id of the last event that had one.
    :ivar retry: seconds the far end wants us to wait before we come back, or ``None``.
    :ivar events: how many came.
    """

    def __init__(self, found: Callable[[Event], None], limit: int) -> None:
        super().__init__()
        self.last = ""
        self.events = 0
        self._told = found
        self._reader = EventReader(self._found, limit)

    @property
    def retry(self) -> float | None:
        """See above; one that wants us back at once would keep us busy with nothing else."""
        said = self._reader.retry
        return None if said is None else max(said / 1000, _SOONEST)

    def dataReceived(self, data: bytes) -> None:
        """Called with what came."""
        if self.closed:
            return
        try:
            self._reader.feed(data)
        except InvalidMessage as problem:
            self.close()
            self._finish(ServerMisbehaved(f"it sent {problem.message}"))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Called when the stream is over, in good order or not."""
        self._finish(None)

    def _found(self, event: Event) -> None:
        if not self.closed:
            self.events += 1
            self.last = event.id or self.last
            self._told(event)


def header(response: IResponse, name: bytes) -> bytes:
    """The last value of a header, empty when it has none."""
    values = response.headers.getRawHeaders(name) or [b""]
    return bytes(values[-1])


def media_type(response: IResponse) -> bytes:
    """What the body is declared to be, in lower case and without parameters."""
    return header(response, b"content-type").partition(b";")[0].strip().lower()


def is_json(response: IResponse) -> bool:
    """Whether the body is declared to be JSON, of whatever dialect."""
    kind = media_type(response)
    return kind == JSON or (kind.startswith(b"application/") and kind.endswith(b"+json"))


def drop(response: IResponse, limit: int = 64 << 10) -> None:
    """Read a body that nobody wants, so that its connection can be used again."""
    body = WholeBody(limit)
    body.done.addErrback(lambda _: None)
    response.deliverBody(body)


def read_messages(text: bytes) -> list[Message | InvalidMessage]:
    """The messages of one body or event: one, or those of a batch.

    :raises ClientError: it holds none.
    """
    found = decode_many(text, _BATCH)
    return found if isinstance(found, list) else [found]


def messages_of(event: Event) -> list[Message | ClientError]:
    """What an event holds; the one that primes a stream, and those of other kinds, hold nothing."""
    if event.kind != "message" or not event.data.strip():
        return []
    try:
        return list(read_messages(event.data.encode()))
    except ClientError as problem:
        return [problem]
