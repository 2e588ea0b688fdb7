"""Streamable HTTP, the answering end: one URL for clients of both eras.

Modern clients (2026-07-28) POST requests that stand alone; legacy ones
(2025-03-26 … 2025-11-25) shake hands, keep a session, may listen with GET and end
with DELETE. Which of the two a POST belongs to is told by its version header, or
by the envelope in its body.

MCP 2025-11-25 and 2026-07-28, *Streamable HTTP*.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from twisted.internet.interfaces import IReactorTime
from twisted.web.server import NOT_DONE_YET

from mcptwist.errors import (
    ClientGone,
    Draining,
    InvalidMessage,
    InvalidParams,
    McpTwistError,
    NotAcceptable,
    SessionRequired,
    UnknownSession,
)
from mcptwist.exchange import Exchange
from mcptwist.messages import (
    Error,
    Json,
    Message,
    Notification,
    Request,
    Result,
    decode,
    decode_many,
    error_answer,
    is_batch,
)
from mcptwist.negotiation import ENVELOPE_MARK, looks_modern, read_envelope, require_modern
from mcptwist.protocols import mcphttp
from mcptwist.protocols.media import accepts, check_accept, check_content_type
from mcptwist.protocols.pages import Endpoint
from mcptwist.protocols.replies import (
    BatchReply,
    LegacyReply,
    ModernReply,
    refuse,
    retry_of,
)
from mcptwist.protocols.request import Request as HttpRequest
from mcptwist.protocols.streams import Allowance, Desk, Pulse, StreamLimits
from mcptwist.session import ANYONE, Session, visit
from mcptwist.sessiontable import SessionTable
from mcptwist.versions import REVISIONS, UNNAMED, is_legacy

if TYPE_CHECKING:
    from twisted.python.failure import Failure

    from mcptwist.interfaces import IView

_ALLOW = (b"allow", b"GET, POST, DELETE")
# What is concluded from a head and holds for the next one like it (see Request.facts).
_LEGACY, _SESSION = "streamable.legacy", "streamable.session"
_MODERN_ALLOW = (b"allow", b"POST")


class StreamableSettings:
    """Bounds of the endpoint.

    :ivar body: bytes that a POST may have.
    :ivar batch: messages that a batch may have.
    """

    def __init__(
        self, body: int = 16 << 20, batch: int = 100, streams: StreamLimits | None = None
    ) -> None:
        self.body = body
        self.batch = batch
        self.streams = streams or StreamLimits()


class Concourse:
    """What all Streamable HTTP endpoints of the daemon share.

    :param sessions: of legacy clients, whichever endpoint they came to.
    """

    def __init__(
        self,
        clock: IReactorTime,
        sessions: SessionTable,
        settings: StreamableSettings | None = None,
    ) -> None:
        self.clock = clock
        self.sessions = sessions
        self.settings = settings or StreamableSettings()
        limits = self.settings.streams
        self.pulse = Pulse(clock, limits.patience, limits.keep_alive)
        self.allowance = Allowance(limits.log_total)
        self.draining: Draining | None = None

    def begin(self, view: IView, principal: str) -> Session:
        """A session for a client that is about to shake hands."""
        session = self.sessions.begin(view, principal)
        desk = Desk(self.pulse, self.settings.streams, self.allowance, session.release)
        session.back = desk
        session.when_ended(lambda _: desk.close())
        return session


class StreamableHttp(Endpoint):
    """One MCP endpoint: a resource that takes every method.

    :param view: what clients of this URL see.
    :param principal: says who is calling, from the request.
    :param admit: the same, for a message that was in it; it raises if they may not ask that. By
        default everybody may ask everything.
    """

    def __init__(
        self,
        concourse: Concourse,
        view: IView,
        principal: Callable[[HttpRequest], str] = lambda _: ANYONE,
        admit: Callable[[HttpRequest, Request], str] | None = None,
    ) -> None:
        self._concourse = concourse
        self._view = view
        self._principal = principal
        self._admit = admit or (lambda request, asked: principal(request))

    def render(self, request: HttpRequest) -> int:
        """Answer *request*, now or later."""
        try:
            if request.method == b"POST":
                self._post(request)
            else:
                self._other(request)
        except McpTwistError as problem:
            refuse(request, problem)
        return NOT_DONE_YET

    # --- POST -------------------------------------------------------------------------

    def _post(self, request: HttpRequest) -> None:
        facts = request.facts
        if facts is None or _LEGACY not in facts:
            check_content_type(request.header(b"content-type"))
            check_accept(request.header(b"accept"))
            legacy = _says_legacy(request)
            if facts is not None:
                facts[_LEGACY] = legacy
        else:
            legacy = facts[_LEGACY]
        request.receive_body(self._concourse.settings.body, partial(self._posted, request, legacy))

    def _posted(self, request: HttpRequest, legacy: bool, body: bytes) -> None:
        try:
            if legacy:
                self._legacy_or_unnamed(request, body)
            else:
                self._modern(request, _single(body))
        except InvalidMessage as problem:
            refuse(request, problem, problem.id)
        except McpTwistError as problem:
            refuse(request, problem)

    def _legacy_or_unnamed(self, request: HttpRequest, body: bytes) -> None:
        if is_batch(body):
            self._batch(request, body)
            return
        message = decode(body)
        if not isinstance(message, Request):
            self._listen_to(request, message)
        elif ENVELOPE_MARK in body and looks_modern(message.params):
            self._modern(request, message)
        else:
            self._legacy(request, message)

    # --- modern -----------------------------------------------------------------------

    def _modern(self, request: HttpRequest, message: Message) -> None:
        if not isinstance(message, Request):
            _hear_modern(request, message)
            return
        try:
            if self._concourse.draining is not None:
                raise self._concourse.draining
            self._begin_modern(request, message)
        except McpTwistError as problem:
            refuse(request, problem, message.id)

    def _begin_modern(self, request: HttpRequest, message: Request) -> None:
        envelope = read_envelope(message.params)
        values = request.headers_alone()
        mcphttp.check_headers(message, envelope.version, values, envelope.beside)
        require_modern(envelope.version)
        principal = self._admit(request, message)
        stay = visit(envelope, principal, partial(_check_mirrored, values))
        request.stream.connection.meter.stay = stay
        reply = ModernReply(request, self._concourse.pulse)
        exchange = Exchange(message, reply, stay, envelope.beside)
        reply.carry(exchange)
        self._view.begin(exchange)

    # --- legacy -----------------------------------------------------------------------

    def _legacy(self, request: HttpRequest, message: Request) -> None:
        try:
            self._take_no_work_while_draining()
            principal = self._admit(request, message)
            if message.method == "initialize" and request.header(mcphttp.SESSION) is None:
                self._initialize(request, message, principal)
            else:
                self._ask(request, message, principal)
        except McpTwistError as problem:
            refuse(request, problem, message.id)

    def _take_no_work_while_draining(self) -> None:
        """New work is refused; answers are let in, for what is in flight may need them."""
        if self._concourse.draining is not None:
            raise self._concourse.draining

    def _listen_to(self, request: HttpRequest, message: Notification | Result | Error) -> None:
        _listen_to(self._session(request), message)
        request.respond(202, [], b"")

    def _initialize(self, request: HttpRequest, message: Request, principal: str) -> None:
        session = self._concourse.begin(self._view, principal)
        session.visitor = request.principal
        header = (mcphttp.SESSION, session.key.encode())
        reply = _Greeting(request, self._concourse.pulse, session, _desk(session), [header])
        if not self._put(session, message, reply, request):
            session.end(UnknownSession("the handshake failed"))

    def _ask(self, request: HttpRequest, message: Request, principal: str) -> None:
        session = self._session_of(request, principal)
        reply = LegacyReply(request, self._concourse.pulse, session, _desk(session))
        self._put(session, message, reply, request)

    def _put(
        self, session: Session, message: Request, reply: LegacyReply, request: HttpRequest
    ) -> bool:
        """Put a client's request to its session; whether it was taken."""
        request.stream.connection.meter.stay = session
        try:
            reply.carry(session.request(message, reply))
        except McpTwistError as problem:
            self._concourse.pulse.done(reply)
            refuse(request, problem, message.id)
            return False
        return True

    def _session(self, request: HttpRequest) -> Session:
        return self._session_of(request, self._principal(request))

    def _session_of(self, request: HttpRequest, principal: str) -> Session:
        facts = request.facts
        known: Session | None = None if facts is None else facts.get(_SESSION)
        if known is not None and known.ended is None and known.principal == principal:
            known.visitor = request.principal
            return known
        session = self._named_session(request, principal)
        session.visitor = request.principal
        if facts is not None:
            facts[_SESSION] = session
        return session

    def _named_session(self, request: HttpRequest, principal: str) -> Session:
        key = request.header(mcphttp.SESSION)
        if key is None:
            raise SessionRequired(
                "the header Mcp-Session-Id is missing; send initialize first to get one"
            )
        session = self._concourse.sessions.find(key.decode("latin-1"), self._view, principal)
        if session is None:
            raise UnknownSession("that session has ended or never was; send initialize again")
        return session

    # --- batches ----------------------------------------------------------------------

    def _batch(self, request: HttpRequest, body: bytes) -> None:
        self._take_no_work_while_draining()
        session = self._session(request)
        version = request.header(mcphttp.VERSION)
        name = session.revision if version is None else version.decode("latin-1")
        if not REVISIONS[name if is_legacy(name) else UNNAMED].batches:
            raise InvalidMessage(f"revision {name} has no batches; send one message at a time")
        members = decode_many(body, self._concourse.settings.batch)
        assert isinstance(members, list)
        for member in members:
            if isinstance(member, Request):
                self._admit(request, member)
        self._answer_batch(request, session, members)

    def _answer_batch(
        self, request: HttpRequest, session: Session, members: list[Message | InvalidMessage]
    ) -> None:
        expected = sum(isinstance(m, Request | InvalidMessage) for m in members)
        if expected == 0:
            for member in members:
                _listen_to(session, member)
            request.respond(202, [], b"")
            return
        reply = BatchReply(request, self._concourse.pulse, session, _desk(session), expected)
        for member in members:
            _begin_member(session, member, reply)

    # --- everything but POST ----------------------------------------------------------

    def _other(self, request: HttpRequest) -> None:
        version = request.header(mcphttp.VERSION)
        if version is not None and not is_legacy(version.decode("latin-1")):
            _method_not_allowed(request, _MODERN_ALLOW)
        elif request.method == b"GET":
            self._get(request)
        elif request.method == b"DELETE":
            self._session(request).end(UnknownSession("the client ended the session"))
            request.respond(204, [], b"")
        else:
            _method_not_allowed(request, _ALLOW)

    def _get(self, request: HttpRequest) -> None:
        if not accepts(request.header(b"accept"))[1]:
            raise NotAcceptable("GET opens an event stream; accept text/event-stream")
        session = self._session(request)
        desk = _desk(session)
        last = request.header(b"last-event-id")
        if last is None:
            desk.listen(request, retry_of(session, desk))
        else:
            desk.resume(request, last)


def _hear_modern(request: HttpRequest, message: Notification | Result | Error) -> None:
    if not isinstance(message, Notification):
        raise InvalidMessage("a client of revision 2026-07-28 sends no answers", message.id)
    require_modern((request.header(mcphttp.VERSION) or b"").decode("latin-1"))
    request.respond(202, [], b"")


class _Greeting(LegacyReply):
    """The way back of ``initialize``: a handshake that fails leaves no session."""

    __slots__ = ()

    def answered(self, exchange: Exchange, answer: Result | Error) -> None:
        """The handshake succeeded or failed."""
        if isinstance(answer, Error):
            self._headers = []
            super().answered(exchange, answer)
            self._session.end(UnknownSession("the handshake failed"))
        else:
            super().answered(exchange, answer)

    def _lost(self, reason: Failure) -> None:
        """The client left before it was told its session's id, so it cannot come back."""
        super()._lost(reason)
        self._session.end(ClientGone("the client left during the handshake"))


def _says_legacy(request: HttpRequest) -> bool:
    """Whether the version header names a legacy revision, or nothing."""
    version = request.header(mcphttp.VERSION)
    return version is None or is_legacy(version.decode("latin-1"))


def _begin_member(session: Session, member: Message | InvalidMessage, reply: BatchReply) -> None:
    if isinstance(member, InvalidMessage):
        reply.add(error_answer(member.id, member))
    elif isinstance(member, Request):
        try:
            if member.method == "initialize":
                raise InvalidParams("initialize may not be part of a batch")
            session.request(member, reply)
        except McpTwistError as problem:
            reply.add(error_answer(member.id, problem))
    else:
        _listen_to(session, member)


def _listen_to(session: Session, message: Message | InvalidMessage) -> None:
    if isinstance(message, Notification):
        session.notification(message)
    elif not isinstance(message, Request | InvalidMessage):
        session.answer(message)


def _desk(session: Session) -> Desk:
    """The streams of a session that :meth:`Concourse.begin` made."""
    return cast(Desk, session.back)


def _single(body: bytes) -> Message:
    if is_batch(body):
        raise InvalidMessage("the body must be one message, not a batch")
    return decode(body)


def _check_mirrored(values: mcphttp.HeaderValues, schema: Any, params: Json) -> None:
    """Hold a call's headers against its tool; a schema that breaks the rules checks nothing."""
    try:
        mirrored = mcphttp.mirrored_params(schema)
    except InvalidParams:
        return
    mcphttp.check_mirrored(mirrored, params, values)


def _method_not_allowed(request: HttpRequest, allow: tuple[bytes, bytes]) -> None:
    request.respond(405, [allow, (b"content-type", b"text/plain")], b"Method Not Allowed\n")
