"""One client's stay.

A legacy client shakes hands and stays: a :class:`Session` remembers who it is,
which revision was agreed, what it has asked and what it was asked. A modern
client's stay lasts one request: a :class:`Visit`.

MCP 2025-11-25, *Lifecycle* and *Transports, Session Management*.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec
from zope.interface import implementer

from mcptwist.asked import Asked
from mcptwist.errors import (
    ClientGone,
    InvalidParams,
    McpTwistError,
    NotInitialized,
    Overloaded,
)
from mcptwist.exchange import PROGRESS, Exchange
from mcptwist.interfaces import IAnswerer, IReply, IStay
from mcptwist.messages import (
    Answer,
    Json,
    Notification,
    Request,
    Result,
    encode,
)
from mcptwist.negotiation import Envelope, Hello, agree, read_hello
from mcptwist.opened import Opened
from mcptwist.versions import LATEST_LEGACY, LEGACY, MODERN

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime

    from mcptwist.interfaces import IBackChannel, IView

_HELD = 64
_UNASKABLE = frozenset({"initialize", "ping"})
ANYONE = ""


@implementer(IStay)
class Visit(msgspec.Struct, frozen=True, gc=False):
    """The stay of a modern client: as long as its request.

    :ivar log_level: the least severe log message the request asked for, if for any.
    :ivar mirror: holds a tool's input schema and a call's params against what
        the client's wire mirrors of them; raises
        :class:`~mcptwist.errors.HeaderMismatch`. ``None`` where the wire mirrors nothing.
    """

    revision: str
    client: Json
    capabilities: Json
    principal: str = ANYONE
    log_level: str | None = None
    mirror: Callable[[Any, Json], None] | None = None
    era: str = MODERN  # a field, because what a class has takes ten times as long to look up

    @property
    def wants_log(self) -> bool:
        """Whether the request asked for log messages."""
        return self.log_level is not None


def visit(
    envelope: Envelope,
    principal: str = ANYONE,
    mirror: Callable[[Any, Json], None] | None = None,
) -> Visit:
    """The stay that a modern request's envelope describes."""
    return Visit(
        envelope.version,
        envelope.client or b"",
        envelope.capabilities,
        principal,
        envelope.log_level,
        mirror,
    )


@implementer(IStay, IAnswerer)
class Session:
    """A legacy client's stay, from its ``initialize`` until it leaves or is forgotten.

    :param key: the secret it is known by on wires that have no connection of
        their own; never logged.
    :param view: what it sees.
    :param clock: for its idle time.
    :param in_flight: how many requests may be open, in each direction.
    :ivar hello: the params of its ``initialize`` as they came.
    :ivar wants_log: whether log messages of calls in translation are for it.
    :ivar back: where it hears what belongs to no open exchange.
    :ivar number: what people know it by, for its key is a secret.
    :ivar wire: what it is spoken over, for people.
    :ivar visitor: who spoke last, as whoever let them in knows them; ``None`` where nobody did.
    """

    number = 0
    wire = "http"

    def __init__(
        self,
        key: str,
        view: IView,
        clock: IReactorTime,
        principal: str = ANYONE,
        in_flight: int = 256,
    ) -> None:
        self.key = key
        self.view = view
        self.principal = principal
        self.era = LEGACY  # of its own, as a visit's
        self.revision = LATEST_LEGACY
        self.hello: Json = b""
        self.client: Json = b""
        self.capabilities: Json = b"{}"
        self.initialized = False
        self.wants_log = False
        self.ended: McpTwistError | None = None
        self.back: IBackChannel | None = None
        self.opened = Opened(in_flight)
        self.asked = Asked(in_flight)
        self.began = self.last_used = clock.seconds()
        self.unheard = 0
        self.visitor: Any = None
        self._clock = clock
        self._held: dict[bytes, Notification] = {}
        self._unasked: list[Exchange] = []
        self._when_ended: list[Callable[[Session], None]] = []

    # --- what the client says ---------------------------------------------------------

    def request(self, request: Request, reply: IReply) -> Exchange:
        """The client asks; *reply* is told everything that comes of it.

        :raises McpTwistError: the request was refused at once; *reply* is not told.
        """
        self.last_used = self._clock.seconds()
        if self.ended is not None:
            raise self.ended
        exchange = Exchange(request, reply, self)
        if request.method == "initialize":
            self._greet(request)
        elif self.hello == b"" and request.method != "ping":
            raise NotInitialized(f"send initialize before {request.method}")
        self.opened.add(exchange)
        if request.method == "ping":
            exchange.answer(Result(request.id, b"{}"))
        else:
            self.view.begin(exchange)
            if self._unasked:
                self._ask_postponed()
        return exchange

    def _greet(self, request: Request) -> None:
        if self.hello != b"":
            raise InvalidParams("this session is initialized already")
        hello: Hello = read_hello(request.params)
        self.hello = bytes(request.params)
        self.revision = agree(hello.protocolVersion)
        self.client, self.capabilities = bytes(hello.clientInfo), bytes(hello.capabilities)

    def notification(self, notification: Notification) -> None:
        """The client says something that wants no answer."""
        self.last_used = self._clock.seconds()
        method = notification.method
        if method == "notifications/cancelled":
            self.opened.cancelled(notification)
        elif method == PROGRESS:
            self.asked.progressed(notification)
        elif method == "notifications/initialized":
            self.initialized = True
        else:
            self.view.overhear(self, notification)

    def answer(self, answer: Answer) -> bool:
        """The client answers a question; whether anybody had asked it."""
        self.last_used = self._clock.seconds()
        return self.asked.answered(answer)

    # --- what it is told --------------------------------------------------------------

    def begin(self, exchange: Exchange) -> None:
        """Put a server's question to the client, where it can hear it.

        That is the call in whose course it was asked, where only one is open; else
        where the client listens, or the newest call. A question that comes while the
        client can hear nothing (servers ask for roots as soon as they were greeted)
        waits until it can.
        """
        calls = [e for e in self.opened if e.request.method not in _UNASKABLE]
        if len(calls) == 1:
            calls[0].ask(exchange)
            return
        request = self.put(exchange)
        if request is None or (self.back is not None and self.back.say(request)):
            return
        self.asked.take(request.id)
        if calls:
            calls[-1].ask(exchange)
        else:
            self._postpone(exchange)

    def _postpone(self, question: Exchange) -> None:
        self._unasked = [waiting for waiting in self._unasked if not waiting.over]
        if self.ended is not None:
            question.fail(ClientGone("the client has left"))
        elif len(self._unasked) >= _HELD:
            question.fail(Overloaded(f"{_HELD} questions wait for the client already"))
        else:
            question.in_charge(None)
            self._unasked.append(question)

    def _ask_postponed(self) -> None:
        waiting, self._unasked = self._unasked, []
        for question in waiting:
            if not question.over:
                self.begin(question)

    def put(self, question: Exchange) -> Request | None:
        """Give a server's question an id of this session's, to be sent by the caller.

        :return: ``None`` where it was refused; the asker knows then.
        """
        try:
            request = self.asked.put(question)
        except McpTwistError as problem:
            question.fail(problem)
            return None
        question.in_charge(lambda reason: self._withdraw(request, reason))
        return request

    def tell(self, server: str, notification: Notification) -> None:
        """Pass on what a server said to nobody in particular."""
        seen = self.view.hear(self, server, notification)
        if seen is None:
            return
        near = self._only_open() if seen.method == "notifications/message" else None
        if near is not None:
            near.notify(seen)
        elif not self._say(seen):
            self._hold(seen)

    def release(self) -> None:
        """The client listens again: say what was held back for it."""
        held, self._held = self._held, {}
        for notification in held.values():
            self._say(notification)
        self._ask_postponed()

    def _say(self, message: Notification) -> bool:
        if self.back is not None and self.back.say(message):
            return True
        newest = None
        for newest in self.opened:  # noqa: B007 the last one is meant
            pass
        if newest is None or newest.request.method == "initialize":
            return False
        newest.notify(message)
        return True

    def _only_open(self) -> Exchange | None:
        if len(self.opened) != 1:
            return None
        return next(iter(self.opened))

    def _hold(self, notification: Notification) -> None:
        """Keep it until the client listens; equal ones once, and only so many."""
        if notification.method == "notifications/message" or len(self._held) >= _HELD:
            self.unheard += 1
        else:
            self._held[encode(notification)] = notification

    def _withdraw(self, request: Request, reason: str) -> None:
        cancelled = self.asked.cancelled(request.id, reason)
        if cancelled is not None:
            self._say(cancelled)

    # --- its end ----------------------------------------------------------------------

    def when_ended(self, told: Callable[[Session], None]) -> None:
        """Have *told* called once with this session when it ends."""
        self._when_ended.append(told)

    def end(self, reason: McpTwistError) -> None:
        """It is over: nobody waits for its answers, nobody gets any from it."""
        if self.ended is not None:
            return
        self.ended = reason
        self.opened.abandon_all(reason)
        gone = ClientGone("the client left before it answered")
        self.asked.fail_all(gone)
        unasked, self._unasked = self._unasked, []
        for question in unasked:
            question.fail(gone)
        self.view.leave(self)
        listeners, self._when_ended = self._when_ended, []
        for told in listeners:
            told(self)
