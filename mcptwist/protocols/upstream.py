"""A far end that is reached over HTTP, as the asking ends of the wires see it.

An :class:`Upstream` makes requests with the configured headers and nothing of
anybody else's and follows redirects within its own origin. Why it had no success
is told in words by :mod:`mcptwist.protocols.setbacks`.

It asks an :class:`twisted.web.iweb.IAgent` directly: treq's convenience around
it costs 140 µs a request and buys nothing here.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Collection, Sequence
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit

import msgspec
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IConsumer
from twisted.python.failure import Failure
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IBodyProducer, IResponse
from zope.interface import implementer

import mcptwist
from mcptwist.configuration.redaction import redact
from mcptwist.errors import McpTwistError, ServerError, ServerMisbehaved
from mcptwist.interfaces import IAdmission, IKeepsConnections
from mcptwist.protocols.bodies import WholeBody, drop, header
from mcptwist.protocols.setbacks import Refusal, unreachable

HeaderList = Sequence[tuple[bytes, bytes]]

_REDIRECTS = 3
_ADMISSIONS = 3
_TURNED_AWAY = (401, 403)
_KEPT = (307, 308)
_DEFAULT_PORTS = {"http": 80, "https": 443}
_keeps = IKeepsConnections.providedBy


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
    :param admission: how requests are let in; by what is in the headers alone otherwise.
    """

    def __init__(
        self,
        agent: IAgent,
        url: str,
        headers: Sequence[tuple[str, str]] = (),
        description: str = "",
        secrets: Collection[str] = (),
        admission: IAdmission | None = None,
    ) -> None:
        self.admission = admission
        self.url, credentials = _without_credentials(url)
        self.description = description or redact(url, secrets)
        self._agent = agent
        self._secrets = frozenset(secrets)
        own = [(b"user-agent", b"mcptwist/" + mcptwist.__version__.encode())]
        given = [
            (name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers
        ]
        own += credentials
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
            response = await self._admitted(method, url, headers, body, written)
            if response.code not in _KEPT:
                return response
            drop(response)
            url = self._redirected(url, response)
        raise ServerMisbehaved(f"{self.description} redirects too often; correct its url")

    @property
    def asks_person(self) -> bool:
        """Whether a person is being asked to let us in, who may take their time."""
        return self.admission is not None and bool(self.admission.asks_person)

    def close(self) -> Deferred[None]:
        """End the connections that are kept for it; fires when they are gone."""
        agent: Any = self._agent
        closed: Deferred[None] = agent.close() if _keeps(agent) else succeed(None)
        return closed

    async def _admitted(
        self,
        method: bytes,
        url: str,
        headers: HeaderList,
        body: bytes | None,
        written: Callable[[], None],
    ) -> IResponse:
        """Make the request with what lets it in, and again if that has to be had first."""
        admission = self.admission
        if admission is None:
            return await self._once(method, url, headers, body, written)
        for left in reversed(range(_ADMISSIONS)):
            before = [*self._headers, *headers]
            shown = await admission.headers(method.decode("ascii"), url, before, body or b"")
            response = await self._once(method, url, [*headers, *shown], body, written)
            if response.code not in _TURNED_AWAY or not left:
                break
            if not await admission.turned_away(response, shown):
                break
            drop(response)
        return response

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
        producer = None if body is None else AtHand(body, written)
        try:
            response: IResponse = await self._agent.request(method, url.encode(), sent, producer)
        except (CancelledError, McpTwistError):
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
        secrets = self._secrets
        if self.admission is not None:
            secrets = secrets | frozenset(self.admission.secrets)
        return Refusal(response, content, self.description, secrets)


@implementer(IBodyProducer)
class AtHand:
    """The body of a request, at hand as a whole.

    :param written: told when it was written out.
    """

    def __init__(self, data: bytes, written: Callable[[], None] = lambda: None) -> None:
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


def origin(url: str) -> tuple[str, str, int | None]:
    """Scheme, host and port."""
    parts = urlsplit(url)
    scheme = parts.scheme.lower()
    return scheme, (parts.hostname or "").lower(), parts.port or _DEFAULT_PORTS.get(scheme)


def _without_credentials(url: str) -> tuple[str, list[tuple[bytes, bytes]]]:
    """A URL without user and password, and the header that says them instead."""
    parts = urlsplit(url)
    if "@" not in parts.netloc:
        return url, []
    said, _, place = parts.netloc.rpartition("@")
    basic = base64.b64encode(unquote(said).encode())
    return urlunsplit(parts._replace(netloc=place)), [(b"authorization", b"Basic " + basic)]


def _shown(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname or ''}"
