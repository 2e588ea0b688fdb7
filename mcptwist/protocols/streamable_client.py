"""Streamable HTTP, the asking end, of both eras.

Every message is a POST. The answer to a request comes as JSON, or on an event
stream after what is said before it. What a wire is used for first tells its era:

- *Legacy*: the session that ``initialize`` was answered with is kept, and what the
  server says by itself is heard on a GET stream. Streams that break are taken up
  again where the server numbers its events. A session that the server has
  forgotten is begun anew, with the same handshake, and the request that found out
  is repeated; the reader is told so (:class:`~mcptwist.interfaces.IReminder`).
- *Modern*: requests stand alone, what those between need to know is mirrored in
  headers, and to cancel a request is to close its response.

A request that fails is answered with an error that says why. The wire is lost
when nothing works any more: no connection is to be had and no stream is open.

MCP 2025-11-25, *Transports, Streamable HTTP*; MCP 2026-07-28, *Streamable HTTP*.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import msgspec
from msgspec import Raw
from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from zope.interface import implementer

from mcptwist.errors import (
    ClientError,
    InvalidMessage,
    McpTwistError,
    Overloaded,
    ServerError,
    ServerExited,
    ServerUnreachable,
)
from mcptwist.interfaces import IConnector, IKeepsConnections, IReminder, IWire, IWireReader
from mcptwist.messages import (
    Answer,
    Error,
    Json,
    Message,
    MessageId,
    Notification,
    Request,
    Result,
    encode,
    encode_json,
    error_answer,
    open_fields,
)
from mcptwist.negotiation import looks_modern, read_envelope
from mcptwist.opened import read_cancelled
from mcptwist.protocols.bodies import EVENTS, EventBody, ResponseBody, drop, media_type
from mcptwist.protocols.eventstream import Event
from mcptwist.protocols.inbox import Inbox
from mcptwist.protocols.lane import Lane
from mcptwist.protocols.mirror import Mirror
from mcptwist.protocols.setbacks import Refusal
from mcptwist.protocols.streamable_asides import Asides
from mcptwist.protocols.streamable_asking import Asking, Stay, forgotten
from mcptwist.protocols.streamable_session import INITIALIZED, Renewal, Standing
from mcptwist.protocols.upstream import HeaderList, Upstream, UpstreamLimits
from mcptwist.protocols.waits import bounded
from mcptwist.versions import LATEST

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime
    from twisted.web.iweb import IResponse

_POSTING = [
    (b"content-type", b"application/json"),
    (b"accept", b"application/json, text/event-stream"),
]
_LISTENING = [(b"accept", b"text/event-stream")]
_CANCELLED = "notifications/cancelled"
_NOT_OF_ERA = frozenset(range(400, 500)) - {401, 403, 407, 408, 421, 425, 429}
"""Statuses that may mean that a server does not know what it was asked."""
_NO_SUCH_WIRE = frozenset({400, 404, 405})
_PAGES = 100

Misled = Callable[[Message], Awaitable[bool]]


async def nobody_else(_: Message) -> bool:
    """There is no other wire to try."""
    return False


@implementer(IConnector, IKeepsConnections)
class StreamableConnector:
    """A way to a server that speaks Streamable HTTP.

    Nothing is sent until the first message is: whether the server can be reached
    shows then.
    """

    def __init__(
        self, upstream: Upstream, clock: IReactorTime, limits: UpstreamLimits | None = None
    ) -> None:
        self.description = upstream.description
        self._upstream = upstream
        self._clock = clock
        self._limits = limits or UpstreamLimits()

    def connect(self, reader: IWireReader) -> Deferred[IWire]:
        """Make a wire; see :class:`~mcptwist.interfaces.IConnector`."""
        return succeed(StreamableWire(self._upstream, reader, self._clock, self._limits))

    def close(self) -> Deferred[None]:
        """End the connections to it; see :class:`~mcptwist.interfaces.IKeepsConnections`."""
        return self._upstream.close()


@implementer(IWire)
class StreamableWire:
    """One conversation with a server.

    :param misled: asked when the first request meets something else than Streamable
        HTTP; whether another wire took that over, in which case nothing is told here.
    :ivar stay: the legacy session, once there is one.
    :ivar standing: what the server says by itself in it.
    :ivar asides: what is said beside requests.
    :ivar renewals: how often the server forgot it.
    :ivar in_progress: POSTs that were written and have no response yet.
    """

    log = Logger()

    def __init__(
        self,
        upstream: Upstream,
        reader: IWireReader,
        clock: IReactorTime,
        limits: UpstreamLimits,
        misled: Misled = nobody_else,
    ) -> None:
        self.description = upstream.description
        self.upstream = upstream
        self.clock = clock
        self.limits = limits
        self.stay: Stay | None = None
        self.modern: bool | None = None
        self.backlog = 0
        self.renewals = 0
        self.overloads = 0
        self.mirror = Mirror()
        self._inbox = Inbox(reader, clock, self.description)
        self._misled = misled
        self._lane = Lane()
        self._open: dict[MessageId, Asking] = {}
        self.asides = Asides(self, self._lane)
        self._bodies: set[ResponseBody] = set()
        self.standing = Standing(self)
        self._renewal = Renewal(self)
        self.in_progress = 0
        self._private = 0
        self._closing = False

    # --- what the house asks ----------------------------------------------------------

    def send(self, message: Message) -> None:
        """POST *message*."""
        if self.ended:
            return
        if isinstance(message, Request):
            self._ask(message)
        elif isinstance(message, Notification):
            self._notify(message)
        elif not self.modern:
            self.asides.put(message, alone=False)

    def pause(self) -> None:
        """Read no more of any response."""
        if not self._inbox.paused and self._inbox.reason is None:
            self._inbox.pause()
            for body in self._bodies:
                body.hold()

    def resume(self) -> None:
        """Read on."""
        if self._inbox.paused:
            self._inbox.resume()
            for body in list(self._bodies):
                body.release()

    def close(self) -> Deferred[None]:
        """Give up what is open, and end the session if there is one."""
        closed = self._inbox.when_lost()
        self._inbox.clear()
        if not self._closing and self._inbox.reason is None:
            self._closing = True
            farewell = Deferred.fromCoroutine(self._farewell())
            self._give_up()
            farewell.addErrback(self.asides.failed)
            farewell.addCallback(lambda _: self._inbox.end(ServerExited("the wire was closed")))
        return closed

    # --- what leaves ------------------------------------------------------------------

    def _ask(self, request: Request) -> None:
        if self.modern is None:
            self.modern = looks_modern(request.params)
        if len(self._open) >= self.limits.posts:
            self.overloads += 1
            problem = Overloaded(
                f"{self.limits.posts} requests to {self.description} are open already; wait for "
                "one to be answered, or raise its max_in_flight",
                limit="max_in_flight",
            )
            self.clock.callLater(0, self.hear, error_answer(request.id, problem))
            return
        if request.method == "initialize":
            self._renewal.hello = bytes(request.params)
        asking = Asking(self, request, self._inbox.put)
        self._open[request.id] = asking
        self._lane.put(asking.start, False)

    def _notify(self, notification: Notification) -> None:
        if notification.method == _CANCELLED:
            asking = self._named(notification)
            if self.modern:
                if asking is not None:
                    asking.abandon()
                return
            self.asides.put(notification, True, None if asking is None else asking.abandon)
        elif not self.modern:
            told = self.standing.begin if notification.method == INITIALIZED else None
            self.asides.put(notification, True, told)
        else:
            self.asides.put(notification, True)

    def _named(self, notification: Notification) -> Asking | None:
        """The request that a cancellation names, if it is open."""
        said = read_cancelled(notification)
        return None if said is None else self._open.get(said.requestId)

    async def post(self, message: Message, written: Callable[[], None]) -> IResponse:
        """POST *message* as its era has it, and wait for the head of the response."""
        body = encode(message)
        waiting = _Counted(self, len(body))

        def out() -> None:
            waiting.written()
            written()

        try:
            headers = [*_POSTING, *self._headers(message)]
            return await self.upstream.request(b"POST", headers, body, out)
        finally:
            waiting.over()

    def _headers(self, message: Message) -> HeaderList:
        if not self.modern:
            begins = isinstance(message, Request) and message.method == "initialize"
            return [] if self.stay is None or begins else self.stay.headers()
        if isinstance(message, Request):
            return self.mirror.headers(message, read_envelope(message.params).version)
        return self.mirror.headers(Request(0, _method(message)), LATEST)

    # --- what comes -------------------------------------------------------------------

    def deliver(self, response: IResponse, body: ResponseBody) -> None:
        """Have *response* read by *body*, which may be held back."""
        self._bodies.add(body)
        body.done.addBoth(self._read, body)
        response.deliverBody(body)
        if self._inbox.paused:
            body.hold()

    def _read(self, outcome: object, body: ResponseBody) -> object:
        self._bodies.discard(body)
        return outcome

    def hear(self, message: Message | ClientError) -> None:
        """The server said *message*: an answer ends its asking, wherever it came."""
        if isinstance(message, Result | Error) and message.id is not None:
            asking = self._open.get(message.id)
            if asking is not None and not asking.over:
                asking.answered(message)
                return
        self._inbox.put(message)

    def agreed(self, key: bytes, result: Json) -> None:
        """``initialize`` was answered well, in a session that goes by *key*."""
        try:
            revision = msgspec.json.decode(open_fields(result)["protocolVersion"], type=str)
        except (KeyError, InvalidMessage, msgspec.DecodeError):
            revision = ""
        visible = len(key) <= 1024 and all(0x21 <= byte <= 0x7E for byte in key)
        self.stay = Stay(key if visible else b"", revision)

    def over(self, asking: Asking) -> None:
        """Nothing more comes of *asking*."""
        if self._open.get(asking.request.id) is asking:
            del self._open[asking.request.id]

    def failed(self, asking: Asking, problem: McpTwistError) -> None:
        """*asking* has no answer from the server, for the reason *problem*."""
        if asking.opens:
            asking.finish()
            if not isinstance(problem, ServerUnreachable):
                problem = ServerUnreachable(problem.message, **problem.data)
            self.lose(problem)
            return
        asking.answered(error_answer(asking.request.id, problem))
        if isinstance(problem, ServerUnreachable):
            self.gone_wrong(problem)

    async def refused(self, asking: Asking, refusal: Refusal) -> None:
        """*asking* was refused."""
        if asking.opens:
            await self._opening_refused(asking, refusal)
        elif refusal.error is not None:
            asking.answered(Error(asking.request.id, refusal.error.error))
        else:
            self.failed(asking, refusal.problem)

    async def _opening_refused(self, asking: Asking, refusal: Refusal) -> None:
        """The first request was refused: is it the era, the wire, or something else?"""
        request = asking.request
        may_be_era = refusal.status in _NOT_OF_ERA
        if may_be_era and refusal.error is not None:
            asking.answered(Error(request.id, refusal.error.error))
        elif refusal.status in _NO_SUCH_WIRE and await self._misled(request):
            asking.finish()
        elif may_be_era and request.method == "server/discover":
            asking.answered(error_answer(request.id, refusal.problem))
        else:
            self.failed(asking, refusal.problem)

    def gone_wrong(self, problem: ServerUnreachable) -> None:
        """There was no connection: with nothing else open, the wire is of no use."""
        if not self._bodies and not self.in_progress:
            self.lose(problem)

    # --- the legacy session -----------------------------------------------------------

    async def open_stream(
        self, stay: Stay, last: str, found: Callable[[Event], None]
    ) -> EventBody | None:
        """GET a stream: a new one, or the one of the event *last*.

        :return: ``None`` when the server has none to give.
        :raises ServerError: nothing came back.
        """
        resuming = [(b"last-event-id", last.encode())] if last else []
        headers = [*_LISTENING, *stay.headers(), *resuming]
        response = await self.upstream.request(b"GET", headers)
        if response.code == 200 and media_type(response) == EVENTS:
            body = EventBody(found, self.limits.body)
            self.deliver(response, body)
            return body
        refusal = await self.upstream.refusal(response, self.limits.refusal)
        if refusal.status >= 500 or refusal.status == 429:
            raise ServerExited(refusal.problem.message)
        if forgotten(refusal, stay):
            self._renew_soon(stay)
        return None

    def _renew_soon(self, stay: Stay) -> None:
        renewing = Deferred.fromCoroutine(self.renew(stay))
        renewing.addErrback(self.asides.failed)

    async def renew(self, stay: Stay) -> bool:
        """The server forgot *stay*: shake hands again; whether there is another stay now."""
        return await self._renewal.of(stay)

    def renewed(self) -> None:
        """The reader may have things to say again."""
        reminder = IReminder(self._inbox.reader, None)
        if reminder is not None:
            reminder.renewed()

    async def ask_privately(self, method: str, params: Json) -> Answer:
        """Ask the server something on the wire's own behalf."""
        self._private += 1
        answer: Deferred[Answer] = Deferred()
        request = Request(f"mcptwist-{self._private}", method, params)
        asking = Asking(self, request, answer.callback, private=True)  # type: ignore[arg-type]
        self._open[request.id] = asking
        asking.start(lambda: None)
        return await answer

    # --- modern -----------------------------------------------------------------------

    async def relearn(self, request: Request) -> None:
        """See again which arguments are mirrored, with the envelope of *request*."""
        meta = open_fields(open_fields(request.params).get("_meta", b""))
        meta.pop("progressToken", None)
        cursor: str | None = None
        for _ in range(_PAGES):
            params = {"_meta": meta, **({"cursor": Raw(encode_json(cursor))} if cursor else {})}
            answer = await self.ask_privately("tools/list", encode_json(params))
            cursor = self.mirror.learn(answer.result) if isinstance(answer, Result) else None
            if cursor is None:
                return

    # --- its end ----------------------------------------------------------------------

    @property
    def ended(self) -> bool:
        """Whether nothing is sent or heard any more."""
        return self._closing or self._inbox.reason is not None

    def lose(self, reason: McpTwistError) -> None:
        """Nothing works any more."""
        if not self.ended:
            self._inbox.end(reason)
            self._give_up()

    def _give_up(self) -> None:
        self._lane.clear()
        for asking in list(self._open.values()):
            asking.abandon()
        self.standing.end()
        self.asides.end()
        for body in list(self._bodies):
            body.close()

    async def _farewell(self) -> None:
        """End the session, if the server lets us (MCP 2025-11-25, *Session Management*)."""
        stay = self.stay
        if stay is None or not stay.key:
            return
        asking = Deferred.fromCoroutine(self.upstream.request(b"DELETE", stay.headers()))
        try:
            late = ServerError("too late")
            drop(await bounded(asking, self.limits.farewell, self.clock, late))
        except McpTwistError:
            pass


class _Counted:
    """What one POST adds to the wire's figures, until its response begins."""

    __slots__ = ("_size", "_waits", "_wire")

    def __init__(self, wire: StreamableWire, size: int) -> None:
        self._wire = wire
        self._size = size
        self._waits = False
        wire.backlog += size

    def written(self) -> None:
        """The far end has it."""
        self._wire.backlog -= self._size
        self._size = 0
        if not self._waits:
            self._waits = True
            self._wire.in_progress += 1

    def over(self) -> None:
        """The response began, or there is none."""
        self._wire.backlog -= self._size
        self._wire.in_progress -= self._waits
        self._size = 0
        self._waits = False


def _method(message: Message) -> str:
    return message.method if isinstance(message, Notification) else ""
