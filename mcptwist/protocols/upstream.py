"""A far end that is reached over HTTP, as the asking ends of the wires see it.

An :class:`Upstream` makes requests with the configured headers and nothing of
anybody else's, follows redirects within its own origin and tells in words why
it had no success. The bodies of answers are read by :class:`EventBody` and
:class:`WholeBody`, which are bounded and can be held back.

It asks an :class:`twisted.web.iweb.IAgent` directly: treq's convenience around
it costs 140 µs a request and buys nothing here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Any
from urllib.parse import urljoin, urlsplit

import msgspec
from twisted.internet import error
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IConsumer, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import ResponseFailed
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IBodyProducer, IResponse
from zope.interface import implementer

import mcptwist
from mcptwist.errors import (
    ClientError,
    InvalidMessage,
    ServerError,
    ServerExited,
    ServerMisbehaved,
    ServerUnreachable,
)
from mcptwist.messages import Error, Message, decode_many
from mcptwist.protocols.eventstream import Event, EventReader
from mcptwist.redaction import redact

HeaderList = Sequence[tuple[bytes, bytes]]

JSON = b"application/json"
EVENTS = b"text/event-stream"
_REDIRECTS = 3
_KEPT = (307, 308)
_EXCERPT = 200
_DEFAULT_PORTS = {"http": 80, "https": 443}
_CUT = (error.ConnectionLost, error.ConnectionDone, error.ConnectionAborted)


class UpstreamLimits(msgspec.Struct, frozen=True):
    """The bounds of one far end; sizes in bytes, times in seconds.

    :ivar body: an answer, or one event of a stream.
    :ivar refusal: what is read of the body of a refusal.
    :ivar posts: requests that may be open at a time.
    :ivar opening: for the answer to the first request, which agrees on a revision.
    :ivar accept: for a notification to be accepted.
    :ivar farewell: for the end of a session to be accepted.
    :ivar linger: for an event stream to end after its answer.
    :ivar retry: before a broken stream is opened again, unless the far end says how long.
    :ivar retry_max: the longest such wait of ours.
    :ivar reconnects: how often in a row that may fail.
    """

    body: int = 64 << 20
    refusal: int = 64 << 10
    posts: int = 256
    opening: float = 50.0
    accept: float = 10.0
    farewell: float = 2.0
    linger: float = 5.0
    retry: float = 1.0
    retry_max: float = 30.0
    reconnects: int = 3


class Upstream:
    """One far end.

    :param agent: makes the requests; it may speak any version of HTTP.
    :param url: where it is.
    :param headers: sent with every request.
    :param description: for people and logs; no secret in it.
    :param secrets: values blotted out of what is shown of the far end.
    """

    def __init__(
        self,
        agent: IAgent,
        url: str,
        headers: Sequence[tuple[str, str]] = (),
        description: str = "",
        secrets: Collection[str] = (),
    ) -> None:
        self.url = url
        self.description = description or redact(url, secrets)
        self._agent = agent
        self._secrets = frozenset(secrets)
        own = [(b"user-agent", b"mcptwist/" + mcptwist.__version__.encode())]
        given = [
            (name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers
        ]
        names = {name for name, _ in given}
        self._headers = [*(pair for pair in own if pair[0] not in names), *given]

    async def request(
        self,
        method: bytes,
        headers: HeaderList,
        body: bytes | None = None,
        written: Callable[[], None] = lambda: None,
        url: str = "",
    ) -> IResponse:
        """Make a request and wait for the head of its response.

        :param written: told when the body was written out.
        :param url: where, if not at the far end's own URL; of the same origin.
        :return: a response whose body must be read or dropped.
        :raises ServerUnreachable: there was no connection.
        :raises ServerExited: it was lost before the response came.
        """
        url = url or self.url
        for _ in range(_REDIRECTS + 1):
            response = await self._once(method, url, headers, body, written)
            if response.code not in _KEPT:
                return response
            drop(response)
            url = self._redirected(url, response)
        raise ServerMisbehaved(f"{self.description} redirects too often; correct its url")

    async def _once(
        self,
        method: bytes,
        url: str,
        headers: HeaderList,
        body: bytes | None,
        written: Callable[[], None],
    ) -> IResponse:
        sent = Headers()
        for name, value in (*self._headers, *headers):
            sent.addRawHeader(name, value)
        producer = None if body is None else _Body(body, written)
        try:
            response: IResponse = await self._agent.request(method, url.encode(), sent, producer)
        except CancelledError:
            raise
        except Exception:
            raise unreachable(self.description, Failure()) from None
        return response

    def _redirected(self, url: str, response: IResponse) -> str:
        location = header(response, b"location").decode("latin-1")
        there = urljoin(url, location)
        if not location or origin(there) != origin(url):
            raise ServerMisbehaved(
                f"{self.description} redirects to {redact(_shown(there), self._secrets)}, another "
                "place, which gets none of our headers; set url to it if that is right"
            )
        return there

    async def refusal(self, response: IResponse, limit: int) -> Refusal:
        """Read a response that is no success, and see what it says."""
        body = WholeBody(limit)
        response.deliverBody(body)
        try:
            content = await body.done
        except ServerError:
            content = b""
        return Refusal(response, content, self.description, self._secrets)


def unreachable(description: str, failure: Failure) -> ServerError:
    """Why there was no connection or no response, for a person."""
    problem = _root(failure).value
    why, advice = _reason(problem)
    text = f"{description} {why}"
    if isinstance(problem, _CUT):
        return ServerExited(text)
    return ServerUnreachable(f"{text}; {advice}" if advice else text)


class Refusal:
    """A response that is no success.

    :ivar status: of HTTP.
    :ivar error: the JSON-RPC error in its body, if there is one.
    :ivar problem: the same for a person.
    """

    def __init__(
        self, response: IResponse, content: bytes, description: str, secrets: Collection[str]
    ) -> None:
        self.status: int = response.code
        self.error = _error_in(content) if is_json(response) else None
        said = redact(_excerpt(response, content), secrets)
        advice = _ADVICE.get(self.status, "")
        text = f"{description} answered {self.status} {_phrase(response)}".rstrip()
        after = _retry_after(response)
        self.problem = ServerError(
            "; ".join(part for part in (text, advice, said) if part),
            httpStatus=self.status,
            retryAfter=after,
        )


_ADVICE = {
    401: "it wants credentials: put a valid Authorization into headers",
    403: "it does not allow that: see whether the credentials in headers suffice",
    404: "see whether url is right",
    405: "see whether url is right, and is spoken to over the right wire",
    407: "a proxy wants credentials",
    413: "the message is longer than it takes",
    429: "it is asked too often",
}


@implementer(IBodyProducer)
class _Body:
    """The body of a request, at hand as a whole."""

    def __init__(self, data: bytes, written: Callable[[], None]) -> None:
        self.length = len(data)
        self._data = data
        self._written = written

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        """Called with where to write."""
        consumer.write(self._data)
        self._written()
        return succeed(None)

    def pauseProducing(self) -> None:
        """Called when the connection is full; there is nothing left to hold back."""

    def resumeProducing(self) -> None:
        """See :meth:`pauseProducing`."""

    def stopProducing(self) -> None:
        """Called when the request was given up."""


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
        """See above."""
        return None if self._reader.retry is None else self._reader.retry / 1000

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


class Lane:
    """The order in which messages leave, where each is an HTTP request of its own.

    Requests and answers leave side by side. A notification leaves when all that
    were sent before it have been written, and what is sent after it waits until it
    was accepted: a server never hears a call before ``notifications/initialized``,
    nor that a call is cancelled before the call.
    """

    def __init__(self) -> None:
        self._waiting: deque[tuple[Callable[[Callable[[], None]], None], bool]] = deque()
        self._leaving = 0
        self._held = False

    def put(self, leave: Callable[[Callable[[], None]], None], alone: bool) -> None:
        """Have *leave* called when it is its turn.

        :param leave: given what it has to call once it is written, or accepted where *alone*.
        """
        self._waiting.append((leave, alone))
        self._move()

    def clear(self) -> None:
        """Nothing more leaves."""
        self._waiting.clear()

    def _move(self) -> None:
        while self._waiting and not self._held:
            leave, alone = self._waiting[0]
            if alone and self._leaving:
                return
            self._waiting.popleft()
            self._leaving += 1
            self._held = alone
            leave(_Once(partial(self._left, alone)))

    def _left(self, alone: bool) -> None:
        self._leaving -= 1
        if alone:
            self._held = False
        self._move()


class _Once:
    """Something to be called, which counts but once."""

    __slots__ = ("_told",)

    def __init__(self, told: Callable[[], None]) -> None:
        self._told: Callable[[], None] | None = told

    def __call__(self) -> None:
        told, self._told = self._told, None
        if told is not None:
            told()


# --- small things about responses -----------------------------------------------------


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


def origin(url: str) -> tuple[str, str, int | None]:
    """Scheme, host and port."""
    parts = urlsplit(url)
    scheme = parts.scheme.lower()
    return scheme, (parts.hostname or "").lower(), parts.port or _DEFAULT_PORTS.get(scheme)


async def bounded(
    waiting: Deferred[Any], seconds: float, clock: IReactorTime, problem: ServerError
) -> Any:
    """Wait for so long at most.

    :raises ServerError: *problem*, when it was too long.
    """

    def late(_: Failure, __: float) -> Failure:
        return Failure(problem)

    return await waiting.addTimeout(seconds, clock, onTimeoutCancel=late)


def read_messages(text: bytes) -> list[Message | InvalidMessage]:
    """The messages of one body or event: one, or those of a batch.

    :raises ClientError: it holds none.
    """
    found = decode_many(text)
    return found if isinstance(found, list) else [found]


def messages_of(event: Event) -> list[Message | ClientError]:
    """What an event holds; the one that primes a stream, and those of other kinds, hold nothing."""
    if event.kind != "message" or not event.data.strip():
        return []
    try:
        return list(read_messages(event.data.encode()))
    except ClientError as problem:
        return [problem]


def _error_in(content: bytes) -> Error | None:
    try:
        found = read_messages(content)[0]
    except ClientError:
        return None
    return found if isinstance(found, Error) else None


class _Said(msgspec.Struct):
    """What frameworks put into the body of a refusal."""

    error: Any = None
    error_description: Any = None
    detail: Any = None
    message: Any = None


def _excerpt(response: IResponse, content: bytes) -> str:
    """The beginning of what a refusal says, where that is meant to be read."""
    text = ""
    if is_json(response):
        try:
            said = msgspec.json.decode(content, type=_Said)
        except msgspec.DecodeError:
            return ""
        found = (said.error_description, said.detail, said.message, said.error)
        text = next((each for each in found if isinstance(each, str)), "")
    elif media_type(response) == b"text/plain":
        text = content.decode("utf-8", "replace")
    line = " ".join(text.split())
    return "".join(c if c.isprintable() else "\ufffd" for c in line)[:_EXCERPT]


def _phrase(response: IResponse) -> str:
    phrase = bytes(getattr(response, "phrase", b"") or b"").decode("latin-1")
    return phrase if phrase.isprintable() else ""


def _retry_after(response: IResponse) -> int | None:
    value = header(response, b"retry-after")
    return int(value) if value.isdigit() and len(value) < 8 else None


def _shown(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname or ''}"


def _root(failure: Failure) -> Failure:
    """What is at the bottom of Twisted's wrapped reasons."""
    while True:
        reasons = getattr(failure.value, "reasons", None)
        if not reasons:
            return failure
        failure = reasons[0]


def _reason(problem: BaseException | None) -> tuple[str, str]:
    """What happened, and what to do."""
    if isinstance(problem, error.ConnectionRefusedError):
        return "refuses connections", "see whether it runs"
    if isinstance(problem, error.DNSLookupError):
        return "has a host name that nobody knows", "correct its url"
    if isinstance(problem, error.TimeoutError):
        return "did not take a connection in time", "see whether it can be reached from here"
    if isinstance(problem, error.ConnectError):
        return f"cannot be reached ({problem.__doc__})", "see whether it can be reached from here"
    if isinstance(problem, _CUT):
        return "closed the connection before it answered", ""
    name = type(problem).__name__
    if "Verif" in name or "certificate" in str(problem).lower():
        return (
            "has a certificate that is not trusted here, or not for its name",
            "see its certificate",
        )
    if type(problem).__module__.startswith("OpenSSL"):
        return f"cannot be spoken to over TLS ({problem})", "see whether url says the right scheme"
    return f"did not answer as HTTP has it ({name})", "see whether url is right"
