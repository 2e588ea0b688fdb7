"""A client on a wire of its own: WebSocket, stdio, a UNIX socket.

The wire is the session: what a legacy client shook hands on ends when the wire
does. Modern requests, which stand alone, may come on the same wire; they are
cancelled by notification, as on stdio, for there is no response to close.

MCP 2025-11-25, *Lifecycle*; MCP 2026-07-28, *stdio* and *Custom Transports*.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.logger import Logger
from zope.interface import implementer

from mcptwist.errors import (
    ClientError,
    ClientGone,
    Draining,
    DuplicateId,
    InvalidMessage,
    McpTwistError,
    NotInitialized,
)
from mcptwist.exchange import Exchange
from mcptwist.interfaces import IBackChannel, IReply, IWireReader
from mcptwist.messages import (
    Answer,
    Error,
    Message,
    MessageId,
    Notification,
    Request,
    Result,
    error_answer,
)
from mcptwist.negotiation import looks_modern, read_envelope, require_modern
from mcptwist.opened import Opened
from mcptwist.session import ANYONE, Session, Visit, visit

if TYPE_CHECKING:
    from mcptwist.interfaces import IView, IWire


@implementer(IWireReader, IReply, IBackChannel)
class Caller:
    """One client, as long as its wire lasts.

    :param view: what it sees.
    :param make_session: makes the session of a legacy client when it shakes hands.
    :param in_flight: how many modern requests may be open.
    :param draining: the reason to take no new work, once there is one.
    :ivar session: the legacy session, once it shook hands.
    :ivar stay: the last one heard, of either era (:class:`~mcptwist.interfaces.IStay`), or None.
    :ivar visitor: who it is, as whoever let them in knows them; ``None`` where nobody did.
    :ivar lost_reason: why the wire is gone, once it is.
    """

    log = Logger()

    def __init__(
        self,
        view: IView,
        make_session: Callable[[IView, str], Session],
        principal: str = ANYONE,
        in_flight: int = 256,
        draining: Callable[[], Draining | None] = lambda: None,
    ) -> None:
        self.view = view
        self.principal = principal
        self.session: Session | None = None
        self.stay: Session | Visit | None = None
        self.wire: IWire | None = None
        self.visitor: Any = None
        self.malformations = 0
        self.lost_reason: McpTwistError | None = None
        self._make_session = make_session
        self._draining = draining
        self._opened = Opened(in_flight)
        self._held = False

    @property
    def open(self) -> bool:
        """Whether the client can hear anything."""
        return self.lost_reason is None

    @property
    def in_flight(self) -> int:
        """How many requests are open."""
        return len(self._opened) + (0 if self.session is None else len(self.session.opened))

    def waits(self) -> bool:
        """Whether anything the client asked is not answered yet."""
        return bool(len(self._opened) or (self.session is not None and len(self.session.opened)))

    # --- what the client says ---------------------------------------------------------

    def received(self, message: Message) -> None:
        """The client said something; what was in hand when its wire was lost is dropped."""
        if not self.open:
            return
        if isinstance(message, Request):
            self._asked(message)
        elif isinstance(message, Notification):
            self._told(message)
        elif self.session is not None:
            self.session.answer(message)

    def malformed(self, problem: ClientError) -> None:
        """The client sent something that is no message; it hears so.

        Under the id that was in it, unless a request of that id is open: an answer by that
        id would be taken for that request's.
        """
        self.malformations += 1
        id = problem.id if isinstance(problem, InvalidMessage) else None
        self._refuse(None if id is None or self._open_request(id) else id, problem)

    def lost(self, reason: McpTwistError) -> None:
        """The wire is gone, and the client with it."""
        self.lost_reason = reason
        self._opened.cancel_all("the client left")
        if self.session is not None:
            self.session.end(ClientGone("the client left"))

    def told_flow(self, runs: bool) -> None:
        """The client takes nothing more at present, or takes on: hold its servers back or not."""
        self._held = not runs
        for exchange in self._exchanges():
            (exchange.release if runs else exchange.hold)()

    def _asked(self, request: Request) -> None:
        if self._open_request(request.id) is not None:
            problem = f"a request with the id {request.id!r} is open already"
            self._refuse(None, DuplicateId(problem, id=request.id))
            return
        try:
            if (draining := self._draining()) is not None:
                raise draining
            self._begin(request)
        except McpTwistError as problem:
            self._refuse(request.id, problem)
        except Exception:
            self.log.failure("no answer to {method}", method=request.method)
            self._fail(request.id, McpTwistError("the daemon failed; its log says how"))
        else:
            self._hold_if_held(request.id)

    def _exchanges(self) -> list[Exchange]:
        return [*self._opened, *(self.session.opened if self.session is not None else ())]

    def _open_request(self, id: MessageId) -> Exchange | None:
        """The open request of that id, of either era."""
        if self.session is not None and (found := self.session.opened.get(id)) is not None:
            return found
        return self._opened.get(id)

    def _fail(self, id: MessageId, problem: McpTwistError) -> None:
        exchange = self._open_request(id)
        if exchange is not None:
            exchange.fail(problem)
        else:
            self._refuse(id, problem)

    def _hold_if_held(self, id: MessageId) -> None:
        if self._held and (exchange := self._open_request(id)) is not None:
            exchange.hold()

    def _begin(self, request: Request) -> None:
        if looks_modern(request.params):
            self._begin_modern(request)
        elif self.session is not None or request.method == "initialize":
            self._legacy_session().request(request, self)
        elif request.method == "ping":
            self._send(Result(request.id, b"{}"))
        else:
            raise NotInitialized(f"send initialize before {request.method}")

    def _legacy_session(self) -> Session:
        if self.session is None:
            self.session = self._make_session(self.view, self.principal)
            self.session.back = self
            self.stay = self.session
            if self.wire is not None:
                self.session.wire = self.wire.description
            self.session.when_ended(self._session_ended)
        return self.session

    def _session_ended(self, session: Session) -> None:
        """The house ended the session: it was the wire, so the wire ends as well."""
        if session is self.session and self.open and self.wire is not None:
            self.wire.close()

    def _begin_modern(self, request: Request) -> None:
        envelope = read_envelope(request.params)
        require_modern(envelope.version)
        self.stay = stay = visit(envelope, self.principal)
        exchange = Exchange(request, self, stay, envelope.beside)
        self._opened.add(exchange)
        self.view.begin(exchange)

    def _told(self, notification: Notification) -> None:
        if notification.method == "notifications/cancelled" and self._opened.cancelled(
            notification
        ):
            return
        if self.session is not None:
            self.session.notification(notification)

    # --- what it is told --------------------------------------------------------------

    def notified(self, exchange: Exchange, notification: Notification) -> None:
        """Something is said before the answer."""
        self._send(notification)

    def asked(self, exchange: Exchange, question: Exchange) -> None:
        """A server asks the client something in the course of its call."""
        if self.session is None or exchange.stay is not self.session:
            question.fail(ClientGone("a client of revision 2026-07-28 cannot be asked"))
            return
        request = self.session.put(question)
        if request is not None:
            self._send(request)

    def answered(self, exchange: Exchange, answer: Answer) -> None:
        """The answer."""
        self._send(answer)
        if exchange.stay is self.session and _failed_to_greet(exchange, answer):
            self._handshake_failed()

    def cancelled(self, exchange: Exchange, reason: str) -> None:
        """It is not wanted any more; nothing is said of it (MCP, *Cancellation*)."""

    def say(self, message: Message) -> bool:
        """Say what belongs to no exchange."""
        if not self.open:
            return False
        self._send(message)
        return True

    def _handshake_failed(self) -> None:
        """The client may shake hands again."""
        session, self.session = self.session, None
        if session is not None:
            session.end(ClientGone("the handshake failed"))

    def _refuse(self, id: MessageId | None, problem: McpTwistError) -> None:
        self._send(error_answer(id, problem))

    def _send(self, message: Message) -> None:
        if self.wire is not None and self.lost_reason is None:
            self.wire.send(message)


def _failed_to_greet(exchange: Exchange, answer: Answer) -> bool:
    return exchange.request.method == "initialize" and isinstance(answer, Error)
