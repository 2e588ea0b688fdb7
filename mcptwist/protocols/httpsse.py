"""HTTP+SSE of revision 2024-11-05, the answering end.

A client opens an event stream with GET; its first event tells the URL to POST
messages to. Everything the server says comes on the stream; POSTs are answered
202. The stream is the session: it ends with it.

MCP 2024-11-05, *Transports, HTTP with SSE*. Deprecated since 2025-03-26.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from twisted.python.failure import Failure
from twisted.web.server import NOT_DONE_YET
from zope.interface import implementer

from mcptwist.caller import Caller
from mcptwist.errors import (
    ClientError,
    ClientGone,
    McpTwistError,
    NotAcceptable,
    Overloaded,
    SessionRequired,
    UnknownSession,
)
from mcptwist.interfaces import IWire
from mcptwist.messages import Message, decode, pieces
from mcptwist.messages import Request as Asked
from mcptwist.protocols.eventstream import HEADERS, KEEP_ALIVE, event
from mcptwist.protocols.inbox import Inbox
from mcptwist.protocols.media import accepts, check_content_type
from mcptwist.protocols.meter import HTTP1, SSE
from mcptwist.protocols.pages import Endpoint
from mcptwist.protocols.replies import refuse
from mcptwist.protocols.streams import Pulse
from mcptwist.session import ANYONE
from mcptwist.sessiontable import Foreign

if TYPE_CHECKING:
    from mcptwist.protocols.request import Request

_UNRESERVED = b"-_abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
_GONE = "that stream has ended or never was; open it again"


class HttpSseSettings(msgspec.Struct, frozen=True):
    """Bounds of the wire.

    :ivar body: bytes that a POST may have.
    :ivar streams: clients that one URL may have at a time.
    """

    body: int = 16 << 20
    streams: int = 10_000


@implementer(IWire, IPushProducer)
class HttpSseWire:
    """One client: what it is told goes to its stream.

    :param told_gone: told when the stream is gone.
    """

    def __init__(
        self,
        request: Request,
        caller: Caller,
        pulse: Pulse,
        told_gone: Callable[[], None],
    ) -> None:
        self.description = "HTTP+SSE"
        self.caller = caller
        self._request: Request | None = request
        self._pulse = pulse
        self._told_gone = told_gone
        self._inbox = Inbox(caller, pulse.clock, self.description)
        caller.wire = self
        request.on_lost = self._lost

    @property
    def backlog(self) -> int:
        """Bytes that wait for the client."""
        return 0 if self._request is None else self._request.backlog

    def begin(self, endpoint: bytes) -> None:
        """Open the stream and tell where to POST."""
        assert self._request is not None
        self._request.start(200, HEADERS)
        self._request.write(b"event: endpoint\ndata: %b\n\n" % endpoint)
        self._request.registerProducer(self, True)
        self._pulse.heard(self)

    @property
    def open(self) -> bool:
        """Whether the stream is there to answer on."""
        return self._request is not None

    def spoken(self, message: Message) -> None:
        """The client posted *message*."""
        self._inbox.put(message)

    def send(self, message: Message) -> None:
        """Say *message* on the stream."""
        if self._request is not None:
            self._request.write(event(pieces(message)))
            self._pulse.heard(self)

    def keep_alive(self) -> None:
        """Give a sign of life."""
        if self._request is not None:
            self._request.write(KEEP_ALIVE)
            self._pulse.heard(self)

    def pause(self) -> None:
        """Take nothing of what is posted from now on to heart, until resumed."""
        self._inbox.pause()

    def resume(self) -> None:
        """Go on."""
        self._inbox.resume()

    def close(self) -> Deferred[None]:
        """End the stream."""
        closed = self._inbox.when_lost()
        request = self._request
        if request is not None:
            request.on_lost = None
            self._end("the stream was ended")
            request.finish()
        self._inbox.clear()
        return closed

    def pauseProducing(self) -> None:
        """Called when the client does not read as fast as it is written to."""
        self.caller.told_flow(False)

    def resumeProducing(self) -> None:
        """Called when it has caught up."""
        self.caller.told_flow(True)

    def stopProducing(self) -> None:
        """Called when it is gone."""

    def _lost(self, _: Failure) -> None:
        self._end("the client closed its stream")

    def _end(self, why: str) -> None:
        self._request = None
        self._pulse.closed(self)
        self._told_gone()
        self._inbox.end(ClientGone(why))


class HttpSse:
    """Both URLs of one view: ``sse`` to listen at, ``messages`` to speak to.

    :param make_caller: makes the client of a new stream, from its request.
    :param make_key: returns a new unguessable key each time.
    :param principal: says who is calling, from the request.
    :param foreign: told when somebody speaks to what another listens to.
    :param admit: says who is calling, too, for a message that was in the request; it raises if
        they may not ask that. By default everybody may ask everything.
    """

    def __init__(
        self,
        make_caller: Callable[[Request], Caller],
        make_key: Callable[[], str],
        pulse: Pulse,
        settings: HttpSseSettings | None = None,
        principal: Callable[[Request], str] = lambda _: ANYONE,
        foreign: Foreign = lambda owner, asker: None,
        admit: Callable[[Request, Asked], str] | None = None,
    ) -> None:
        self.listening = _Place(self._listen)
        self.speaking = _Place(self._speak)
        self._make_caller = make_caller
        self._make_key = make_key
        self._principal = principal
        self._foreign = foreign
        self._admit = admit
        self._pulse = pulse
        self._settings = settings or HttpSseSettings()
        self._wires: dict[str, HttpSseWire] = {}

    def __len__(self) -> int:
        return len(self._wires)

    def close(self) -> list[Deferred[None]]:
        """The daemon stops: end all streams."""
        return [wire.close() for wire in list(self._wires.values())]

    def _listen(self, request: Request) -> None:
        if request.method != b"GET":
            _not_allowed(request, b"GET")
            return
        if not accepts(request.header(b"accept"))[1]:
            raise NotAcceptable("accept text/event-stream")
        if len(self._wires) >= self._settings.streams:
            raise Overloaded(
                f"{self._settings.streams} clients listen here already", limit="streams"
            )
        key = self._make_key()
        caller = self._make_caller(request)
        wire = HttpSseWire(request, caller, self._pulse, partial(self._gone, key))
        self._wires[key] = wire
        meter = request.stream.connection.meter
        if meter.wire == HTTP1:  # on HTTP/2 the connection is not the client's alone
            meter.wire, meter.caller = SSE, caller
        place = request.path.rpartition(b"/")[0] + b"/messages"
        wire.begin(b"%b?session_id=%b" % (place, key.encode()))

    def _gone(self, key: str) -> None:
        self._wires.pop(key, None)

    def _speak(self, request: Request) -> None:
        if request.method != b"POST":
            _not_allowed(request, b"POST")
            return
        wire = self._wire_of(request)
        check_content_type(request.header(b"content-type"))
        request.receive_body(self._settings.body, partial(self._spoken, request, wire))

    def _wire_of(self, request: Request) -> HttpSseWire:
        keys = _keys(request.uri.partition(b"?")[2])
        if len(keys) != 1:
            raise SessionRequired("the URL lacks session_id; POST to the URL the stream told")
        wire = self._wires.get(keys[0])
        if wire is None:
            raise UnknownSession(_GONE)
        owner, asker = wire.caller.principal, self._principal(request)
        if owner != asker:
            self._foreign(owner, asker)
            raise UnknownSession(_GONE)
        return wire

    def _spoken(self, request: Request, wire: HttpSseWire, body: bytes) -> None:
        try:
            message = decode(body)
        except ClientError as problem:
            refuse(request, problem)
            return
        if self._admit is not None and isinstance(message, Asked):
            try:
                self._admit(request, message)
            except McpTwistError as problem:
                refuse(request, problem, message.id)
                return
        if wire.open:
            request.respond(202, [(b"content-type", b"text/plain")], b"Accepted\n")
            wire.spoken(message)
        else:
            refuse(request, UnknownSession(_GONE))


class _Place(Endpoint):
    """A URL that one method of :class:`HttpSse` answers."""

    def __init__(self, answer: Callable[[Request], None]) -> None:
        self._answer = answer

    def render(self, request: Request) -> int:
        """Answer, now or later."""
        try:
            self._answer(request)
        except McpTwistError as problem:
            refuse(request, problem)
        return NOT_DONE_YET


def _not_allowed(request: Request, allow: bytes) -> None:
    headers = [(b"allow", allow), (b"content-type", b"text/plain")]
    request.respond(405, headers, b"Method Not Allowed\n")


def _keys(query: bytes) -> list[str]:
    """The sessions that a query names; nearly always it is that and nothing else."""
    name, _, value = query.partition(b"=")
    if name == b"session_id" and value and not value.strip(_UNRESERVED):
        return [value.decode("latin-1")]
    return parse_qs(query.decode("latin-1")).get("session_id", [])
