"""An MCP server we can ask.

A :class:`Link` is one agreed conversation with a server over one wire: it
gives our questions ids of its own, brings the answers back, and knows which
revision was agreed. It asks on behalf of many clients and never mixes them up.

MCP 2025-11-25 and 2026-07-28, *Base protocol*; 2026-07-28, *stdio,
Cancellation*.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
from twisted.logger import Logger
from zope.interface import implementer

from mcptwist.asked import Asked
from mcptwist.errors import ClientError, McpTwistError, Overloaded, ServerTimeout
from mcptwist.exchange import LISTEN, PROGRESS, SUBSCRIPTION_ID, Exchange
from mcptwist.interfaces import (
    IAnswerer,
    IReminder,
    IReply,
    ISource,
    ITransferable,
    IWireReader,
)
from mcptwist.messages import (
    Answer,
    Error,
    Json,
    Message,
    MessageId,
    Notification,
    Request,
    Result,
    error_answer,
)
from mcptwist.opened import Opened
from mcptwist.versions import MODERN
from mcptwist.watching.tally import Tally
from mcptwist.withdrawals import Withdrawals

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall, IReactorTime

    from mcptwist.interfaces import ICompany, IWire

_SWEEP = 1.0
_SUBSCRIPTION = SUBSCRIPTION_ID.encode()


class Deadlines(msgspec.Struct, frozen=True):
    """How long to wait for a server's answers.

    :ivar idle: seconds without an answer or a word of progress, ``None`` for ever.
    :ivar total: seconds whatever is reported, ``None`` for ever.
    :ivar in_flight: how many requests may wait on one link, subscriptions not counted.
    :ivar listens: how many subscriptions may.
    :ivar backlog: bytes that a server which does not read may leave waiting.
    """

    idle: float | None = 300.0
    total: float | None = 3600.0
    in_flight: int = 1024
    backlog: int = 64 << 20
    listens: int = 10_000


@implementer(IWireReader, IReminder, IAnswerer, IReply, ISource)
class Link:
    """One conversation with a server.

    :param server: its configured name, for errors.
    :param era: of the conversation; agreed by whoever opens it.
    :param company: those whom the server's own words are meant for.
    :param told_lost: told once when the wire is gone.
    :param tally: where its answers are counted; by default one of its own.
    :ivar welcome: the server's answer to the opening, as JSON.
    :ivar mirroring: input schemas, by name, of tools whose arguments HTTP mirrors in headers.
    :ivar strays: answers that nobody waited for, so far.
    :ivar refused_politely: whether the server refused the opening as it would any
        request, and may well agree to another.
    """

    log = Logger()

    def __init__(
        self,
        server: str,
        era: str,
        company: ICompany,
        clock: IReactorTime,
        deadlines: Deadlines | None = None,
        told_lost: Callable[[Link, McpTwistError], None] | None = None,
        tally: Tally | None = None,
    ) -> None:
        self.server = server
        self.era = era
        self.company = company
        self.wire: IWire | None = None
        self.welcome: Json = b""
        self.revision = ""
        self.gone: McpTwistError | None = None
        self.mirroring: dict[str, Any] = {}
        self.refused_politely = False
        self._told_lost = told_lost
        self.strays = 0
        self.malformations = 0
        self.answers = 0
        self._deadlines = deadlines or Deadlines()
        self._clock = clock
        self.tally = tally or Tally(server, clock)
        self._traffic = self.tally.traffic
        self._asked = Asked(self._deadlines.in_flight, self.tally, self._deadlines.listens)
        self._opened = Opened(self._deadlines.in_flight)
        self._withdrawals = Withdrawals(clock, self.tell, self._deadlines.in_flight)
        self._held: set[Exchange] = set()
        self._paused = False
        self._sweep: IDelayedCall | None = None

    def __len__(self) -> int:
        """How many exchanges wait for this server."""
        return len(self._asked)

    def __repr__(self) -> str:
        return f"<Link {self.server} {self.era} {self.revision} waiting={len(self._asked)}>"

    def inherit(self, earlier: Link) -> None:
        """Take over the wire of *earlier*, on which nothing waits.

        Ids go on where that left off: a far end may see none of them twice (MCP
        2025-11-25, *Base protocol, Requests*).
        """
        wire, earlier.wire = earlier.wire, None
        earlier.stop_watching()
        self._asked.follow(earlier._asked)
        self.wire = wire
        ITransferable(wire).hand_over(self)

    # --- asking it --------------------------------------------------------------------

    def begin(self, exchange: Exchange) -> None:
        """Put *exchange* to the server."""
        if self.gone is not None or self.wire is None:
            exchange.fail(self.gone or McpTwistError("the link is not open"))
            return
        listens = exchange.request.method == LISTEN
        idle, total = (None, None) if listens else (self._deadlines.idle, self._deadlines.total)
        if self.wire.backlog > self._deadlines.backlog:
            exchange.fail(_does_not_read(self.server))
            return
        try:
            request = self._asked.put(exchange, self._clock.seconds(), idle, total)
        except McpTwistError as problem:
            self.tally.refused += 1
            exchange.fail(problem)
            return
        if self._traffic.watched:
            request = self._traffic.asked(self.server, exchange, request, self.wire)
        exchange.in_charge(partial(self._cancelled, request.id, exchange))
        exchange.source = self
        if self._held:
            self._flow()
        self._watch()
        self.wire.send(request)

    def hold(self, exchange: Exchange) -> None:
        """Read no more of the server while *exchange*'s asker cannot take it.

        Only as long as nobody waits for this server who could take what it says; a
        slow client of a shared server is cut off by its own wire's bounds instead.
        """
        self._held.add(exchange)
        self._flow()

    def release(self, exchange: Exchange) -> None:
        """*exchange*'s asker can take more, or it is over."""
        if exchange in self._held:
            self._held.discard(exchange)
            self._flow()

    def _flow(self) -> None:
        """Pause or resume the wire as those who wait would have it."""
        paused = bool(self._held) and not self._suffers()
        if paused != self._paused and self.wire is not None and self.gone is None:
            self._paused = paused
            (self.wire.pause if paused else self.wire.resume)()

    def _suffers(self) -> bool:
        """Whether anybody waits who is neither held back nor the same client as one who is.

        Whoever only listens can wait: what is held back comes later, and a client that
        takes nothing is let go before long.
        """
        slow = {id(exchange.stay) for exchange in self._held}
        return any(
            exchange not in self._held
            and id(exchange.stay) not in slow
            and exchange.request.method != LISTEN
            for exchange in self._asked
        )

    def tell(self, notification: Notification) -> None:
        """Say something to the server that wants no answer."""
        if self.wire is not None and self.gone is None:
            self.wire.send(notification)

    def end_listening(self) -> None:
        """End every ``subscriptions/listen`` in good order (MCP 2026-07-28, *Graceful Closure*)."""
        for id, exchange in self._asked.listening():
            self._cancel(id, "the daemon is about to stop")
            meta = {SUBSCRIPTION_ID: exchange.request.id}
            exchange.succeed({"resultType": "complete", "_meta": meta})

    def open_exchanges(self) -> list[Exchange]:
        """Those that wait for the server."""
        return list(self._asked)

    def _cancelled(self, id: MessageId, exchange: Exchange, reason: str) -> None:
        """The asker does not want *exchange* any more."""
        self.tally.cancelled += 1
        self._traffic.unanswered(exchange, "cancelled")
        self._cancel(id, reason)

    def _cancel(self, id: MessageId, reason: str) -> None:
        cancelled = self._asked.cancelled(id, reason)
        if cancelled is not None:
            self._withdrawals.add(id, cancelled)

    def _watch(self) -> None:
        """See to it that late answers are noticed, with one timer for all of them."""
        wanted = self._deadlines.idle is not None or self._deadlines.total is not None
        if self._sweep is None and wanted:
            self._sweep = self._clock.callLater(_SWEEP, self._give_up_late)

    def stop_watching(self) -> None:
        """Nothing will be late any more."""
        sweep, self._sweep = self._sweep, None
        if sweep is not None:
            sweep.cancel()

    def _give_up_late(self) -> None:
        self._sweep = None
        now = self._clock.seconds()
        if len(self._opened):
            # It is not idle: it waits itself, for a client or the person before it.
            self._asked.hearten(now)
        for id, exchange in self._asked.late(now):
            self.tally.late += 1
            self._traffic.unanswered(exchange, "late")
            self._cancel(id, "no answer in time")
            exchange.fail(
                ServerTimeout(
                    f"{self.server} did not answer {exchange.request.method} in time",
                    server=self.server,
                )
            )
        if len(self._asked):
            self._watch()

    # --- hearing it -------------------------------------------------------------------

    def received(self, message: Message) -> None:
        """The server said something."""
        if isinstance(message, (Result, Error)):
            self._answered(message)
        elif isinstance(message, Notification):
            self._notified(message)
        else:
            self._questioned(message)

    def malformed(self, problem: ClientError) -> None:
        """The server sent something that is no message."""
        self.malformations += 1
        self.tally.malformed += 1

    def renewed(self) -> None:
        """The server had forgotten us: have it told again what it should know."""
        self.company.up(self)

    def lost(self, reason: McpTwistError) -> None:
        """The wire is gone: tell everybody who waits."""
        if self.gone is not None:
            return
        self.gone = reason
        self.stop_watching()
        self._withdrawals.forget()
        self.tally.lost += len(self._asked)
        for exchange in self._asked:
            self._traffic.unanswered(exchange, "lost")
        self._asked.fail_all(reason)
        self._opened.cancel_all(reason.message)
        if self._told_lost is not None:
            self._told_lost(self, reason)

    def _answered(self, answer: Answer) -> None:
        if self._asked.answered(answer):
            self.answers += 1
            if self._held:
                self._flow()
            return
        if self._withdrawals.answered(answer.id):
            return
        self._stray()
        self.log.debug(
            "{server} answered {id!r}, which nobody asked", server=self.server, id=answer.id
        )

    def _stray(self) -> None:
        self.strays += 1
        self.tally.strays += 1

    def _notified(self, notification: Notification) -> None:
        method = notification.method
        if self._traffic.watched:
            self._traffic.said(self.server, notification)
        try:
            if method == PROGRESS:
                if not self._asked.progressed(notification, self._clock.seconds()):
                    self._stray()
            elif method == "notifications/cancelled":
                self._opened.cancelled(notification)
            elif self.era == MODERN and _SUBSCRIPTION in bytes(notification.params):
                self._asked.subscribed(notification)
            else:
                self.company.told(self, notification)
        except ClientError as problem:
            self.malformed(problem)

    def _questioned(self, request: Request) -> None:
        question = Exchange(request, self)
        if self._traffic.watched:
            self._traffic.questioned(self.server, question)
        try:
            self._opened.add(question)
        except McpTwistError as problem:
            self._send(error_answer(request.id, problem))
            return
        if request.method == "ping":
            question.answer(Result(request.id, b"{}"))
        else:
            self.company.questioned(self, question)

    # --- replies to its questions -----------------------------------------------------

    def notified(self, exchange: Exchange, notification: Notification) -> None:
        """Something is said about a question of the server's."""
        self._send(notification)

    def asked(self, exchange: Exchange, question: Exchange) -> None:
        """A question about a question; MCP has none."""
        question.fail(McpTwistError("a question may not be answered with a question"))

    def answered(self, exchange: Exchange, answer: Answer) -> None:
        """The answer to a question of the server's."""
        if exchange.request.method != "ping":
            self._withdrawals.we_answered()
        self._send(answer)

    def cancelled(self, exchange: Exchange, reason: str) -> None:
        """The server took its question back."""

    def _send(self, message: Message) -> None:
        if self.wire is not None and self.gone is None:
            self.wire.send(message)


def _does_not_read(server: str) -> Overloaded:
    return Overloaded(
        f"{server} does not read what it is sent; try again later", limit="backlog", server=server
    )
