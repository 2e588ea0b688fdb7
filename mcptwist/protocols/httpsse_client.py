"""HTTP+SSE of revision 2024-11-05, the asking end.

A GET opens an event stream, whose first event tells the URL to POST messages to.
All that the server says comes on the stream, which is the session: when it ends
the wire is lost.

MCP 2024-11-05, *Transports, HTTP with SSE*. Deprecated since 2025-03-26.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import urljoin

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from zope.interface import implementer

from mcptwist.errors import (
    HostNotTrusted,
    McpTwistError,
    ServerError,
    ServerExited,
    ServerStartFailed,
)
from mcptwist.interfaces import IConnector, IKeepsConnections, IWire, IWireReader
from mcptwist.messages import Message, Notification, Request, encode, error_answer
from mcptwist.protocols.bodies import EVENTS, EventBody, drop, media_type, messages_of
from mcptwist.protocols.eventstream import Event
from mcptwist.protocols.inbox import Inbox
from mcptwist.protocols.lane import Lane
from mcptwist.protocols.upstream import Upstream, UpstreamLimits, origin

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime
    from twisted.python.failure import Failure
    from twisted.web.iweb import IResponse

_LISTENING = [(b"accept", b"text/event-stream"), (b"cache-control", b"no-store")]
_POSTING = [(b"content-type", b"application/json"), (b"accept", b"*/*")]


@implementer(IConnector, IKeepsConnections)
class HttpSseConnector:
    """A way to a server that speaks HTTP+SSE; its URL is that of the stream."""

    def __init__(
        self, upstream: Upstream, clock: IReactorTime, limits: UpstreamLimits | None = None
    ) -> None:
        self.description = upstream.description
        self._upstream = upstream
        self._clock = clock
        self._limits = limits or UpstreamLimits()

    def connect(self, reader: IWireReader) -> Deferred[IWire]:
        """Open a stream and wait to be told where to POST."""
        opening: Deferred[IWire] = Deferred.fromCoroutine(self._open(reader))
        return opening

    def close(self) -> Deferred[None]:
        """End the connections to it; see :class:`~mcptwist.interfaces.IKeepsConnections`."""
        return self._upstream.close()

    async def _open(self, reader: IWireReader) -> IWire:
        wire = HttpSseWire(self._upstream, reader, self._clock, self._limits)
        opening = Deferred.fromCoroutine(wire.open())
        opening.addTimeout(self._limits.opening, self._clock, self._late)
        try:
            await opening
        except HostNotTrusted:
            raise
        except ServerError as problem:
            raise ServerStartFailed(problem.message, **problem.data) from None
        return wire

    def _late(self, _: object, seconds: float) -> None:
        raise ServerStartFailed(
            f"{self.description} opened no HTTP+SSE stream within {seconds:.0f} s"
        )


@implementer(IWire)
class HttpSseWire:
    """One stream, and the POSTs that go with it."""

    log = Logger()

    def __init__(
        self,
        upstream: Upstream,
        reader: IWireReader,
        clock: IReactorTime,
        limits: UpstreamLimits,
    ) -> None:
        self.description = f"{upstream.description} (HTTP+SSE)"
        self.backlog = 0
        self._upstream = upstream
        self._clock = clock
        self._limits = limits
        self._inbox = Inbox(reader, clock, self.description)
        self._lane = Lane()
        self._place = ""
        self._told_place: Deferred[str] = Deferred()
        self._body: EventBody | None = None
        self._posts: set[Deferred[None]] = set()

    async def open(self) -> None:
        """Open the stream.

        :raises ServerError: there is none.
        """
        response = await self._upstream.request(b"GET", _LISTENING)
        if response.code != 200 or media_type(response) != EVENTS:
            raise await self._no_stream(response)
        body = self._body = EventBody(self._event, self._limits.body)
        response.deliverBody(body)
        body.done.addErrback(lambda _: None).addCallback(self._ended)
        try:
            self._place = await self._told_place
        except CancelledError:
            body.close()
            raise

    async def _no_stream(self, response: IResponse) -> ServerError:
        if response.code == 200:
            drop(response)
            return ServerError(f"{self.description} answered a GET with no event stream")
        refusal = await self._upstream.refusal(response, self._limits.refusal)
        return refusal.problem

    # --- what the house asks ----------------------------------------------------------

    def send(self, message: Message) -> None:
        """POST *message*."""
        if self._inbox.reason is None:
            alone = isinstance(message, Notification)
            self._lane.put(lambda left: self._begin(message, left), alone)

    def pause(self) -> None:
        """Read no more of the stream."""
        if self._inbox.reason is None and not self._inbox.paused:
            self._inbox.pause()
            if self._body is not None:
                self._body.hold()

    def resume(self) -> None:
        """Read on."""
        if self._inbox.paused:
            self._inbox.resume()
            if self._body is not None:
                self._body.release()

    def close(self) -> Deferred[None]:
        """End the stream."""
        closed = self._inbox.when_lost()
        self._inbox.clear()
        self._lose(ServerExited("the wire was closed"))
        return closed

    # --- what leaves ------------------------------------------------------------------

    def _begin(self, message: Message, left: Callable[[], None]) -> None:
        written = (lambda: None) if isinstance(message, Notification) else left
        going = Deferred.fromCoroutine(self._post(message, written))
        self._posts.add(going)
        going.addTimeout(self._limits.accept, self._clock)
        going.addErrback(self._not_accepted, message)

        def gone(_: None) -> None:
            self._posts.discard(going)
            left()

        going.addCallback(gone)

    async def _post(self, message: Message, written: Callable[[], None]) -> None:
        body = encode(message)
        size = [len(body)]
        self.backlog += size[0]

        def out() -> None:
            self.backlog -= size[0]
            size[0] = 0
            written()

        try:
            response = await self._upstream.request(b"POST", _POSTING, body, out, self._place)
        finally:
            out()
        if response.code < 300:
            drop(response)
            return
        raise (await self._upstream.refusal(response, self._limits.refusal)).problem

    def _not_accepted(self, failure: Failure, message: Message) -> None:
        problem = failure.value
        if not isinstance(problem, McpTwistError):
            problem = ServerError(f"{self.description} did not accept a message in time")
        if isinstance(message, Request):
            self._inbox.put(error_answer(message.id, problem))
        else:
            self.log.debug("{wire}: {problem}", wire=self.description, problem=problem.message)

    # --- what comes -------------------------------------------------------------------

    def _event(self, event: Event) -> None:
        if event.kind == "endpoint":
            self._told_to_post(event.data)
        else:
            for message in messages_of(event):
                self._inbox.put(message)

    def _told_to_post(self, where: str) -> None:
        """The first event: where to POST, which must be of the stream's own origin."""
        if self._told_place.called:
            return
        place = urljoin(self._upstream.url, where.strip())
        if origin(place) == origin(self._upstream.url) and place.isascii():
            self._told_place.callback(place)
            return
        text = "wants its messages at another origin, which none of our headers may reach"
        self._told_place.errback(ServerError(f"{self.description} {text}"))
        if self._body is not None:
            self._body.close()

    def _ended(self, problem: ServerError | None) -> None:
        """The stream is over; before it told where to POST, nobody speaks to the wire yet."""
        reason = problem or ServerExited(f"{self.description} ended its stream")
        if not self._told_place.called:
            self._told_place.errback(reason)
        elif self._place:
            self._lose(reason)

    def _lose(self, reason: McpTwistError) -> None:
        if self._inbox.reason is not None:
            return
        self._inbox.end(reason)
        self._lane.clear()
        for post in list(self._posts):
            post.cancel()
        if self._body is not None:
            self._body.close()
