"""Keeping one link to a server up: lazily or always, with patience.

A :class:`Supervisor` opens a wire when somebody asks or when it is told to,
agrees on a revision, and lets exchanges wait meanwhile. When the wire is lost
it waits as long as its back-off says, and tells whoever asks in that time why
there is no answer and when to come back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from twisted.internet.defer import Deferred, DeferredList, fail, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from mcptwist.errors import Draining, EraMismatch, McpTwistError, Overloaded, ServerUnavailable
from mcptwist.exchange import Exchange
from mcptwist.failedstart import failed_start, is_foreseen, not_available
from mcptwist.interfaces import IAnswerer, IKeepsConnections
from mcptwist.link import Deadlines, Link
from mcptwist.opening import agreed
from mcptwist.versions import LEGACY, MODERN
from mcptwist.waitingroom import WaitingRoom

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall, IReactorTime

    from mcptwist.interfaces import ICompany, IConnector
    from mcptwist.patience import Patience
    from mcptwist.spare import Spare
    from mcptwist.watching.tally import Tally

_BRIEF = 1.5
"""Seconds that an exchange may wait for the next try rather than be told to come back."""

_ERA_MEMORY = 300.0
"""Seconds for which a server's silence in one era counts as not speaking it."""

_SECOND_HAND = 5.0
"""Seconds that a process taken over has to agree; it runs already, and answered before."""

IDLE, STARTING, UP, WAITING, STOPPED = "idle", "starting", "up", "waiting", "stopped"


class SupervisorSettings(msgspec.Struct, frozen=True):
    """How a link is kept up.

    :ivar start_timeout: seconds that launching and agreeing may take.
    :ivar restart: whether a lost link is opened again before anybody asks.
    :ivar queue: how many exchanges may wait for the link to open.
    """

    start_timeout: float = 60.0
    restart: bool = True
    queue: int = 1024
    deadlines: Deadlines = Deadlines()


@implementer(IAnswerer)
class Supervisor:
    """Keeps one link to a server up.

    :param server: its configured name.
    :param connector: makes wires to it.
    :param opening: the first words on each (:class:`~mcptwist.opening.IOpening`).
    :param company: those whom its own words are meant for; also asked to
        ``admit`` each exchange, and told when a link is ``up``.
    :param patience: when it may be started again.
    :param tally: where what it answers is counted.
    :param spare: where a process that refused one era waits for the other.
    :ivar state: one of ``idle``, ``starting``, ``up``, ``waiting``, ``stopped``.
    :ivar reason: why there is no link, once one failed.
    """

    log = Logger()

    def __init__(
        self,
        server: str,
        connector: IConnector,
        opening: Any,
        company: ICompany,
        patience: Patience,
        clock: IReactorTime,
        settings: SupervisorSettings | None = None,
        tally: Tally | None = None,
        spare: Spare | None = None,
    ) -> None:
        self.server = server
        self.tally = tally
        self.state = IDLE
        self.reason: McpTwistError | None = None
        self.link: Link | None = None
        self.since = clock.seconds()
        self.starts = 0
        self._connector = connector
        self._opening = opening
        self._company = company
        self._patience = patience
        self._clock = clock
        self._settings = settings or SupervisorSettings()
        self._spare = spare
        self._waiting = WaitingRoom(server, self._settings.queue)
        self._opening_now: Deferred[Any] | None = None
        self._wire: Any = None
        self._timer: IDelayedCall | None = None
        self._closing: list[Deferred[None]] = []
        self._refused: tuple[EraMismatch, float] | None = None
        self._agreed = False
        self._wanted = False
        self._superseded = False

    def __len__(self) -> int:
        """How many exchanges wait for the server, or for it to start."""
        return len(self._waiting) + (0 if self.link is None else len(self.link))

    # --- asking -----------------------------------------------------------------------

    def begin(self, exchange: Exchange) -> None:
        """Put *exchange* to the server as soon as there is a link."""
        if self.link is not None:
            self._pass(self.link, exchange)
            return
        problem = self._no_hope() or self._waiting.full()
        if isinstance(problem, Overloaded) and self.tally is not None:
            self.tally.refused += 1
        if problem is not None:
            self._refuse(exchange, problem)
            return
        self._waiting.enter(exchange)
        self._start_soon()

    def keep_up(self) -> None:
        """Open a link before anybody asks, and try again when that fails."""
        self._wanted = True
        if self.link is None and self._no_hope() is None:
            self._start_soon()

    def when_up(self) -> Deferred[Link]:
        """The link, opened if it was not.

        :return: fails with the :class:`~mcptwist.errors.McpTwistError` that tells why not.
        """
        if self.link is not None:
            return succeed(self.link)
        problem = self._no_hope()
        if problem is not None:
            return fail(problem)
        watcher = self._waiting.watch()
        self._start_soon()
        return watcher

    def _pass(self, link: Link, exchange: Exchange) -> None:
        try:
            self._company.admit(link, exchange)
        except McpTwistError as problem:
            exchange.fail(problem)
            return
        link.begin(exchange)

    def _no_hope(self) -> McpTwistError | None:
        """Why asking now is no use, if so."""
        now = self._clock.seconds()
        if self.state == STOPPED:
            return self.reason or Draining(f"{self.server} is being stopped")
        if self._refused is not None and now < self._refused[1]:
            return self._refused[0]
        wait = self._patience.may_start(now)
        if self.state == STARTING or wait <= _BRIEF:
            return None
        return not_available(self.server, self.reason, self._patience.attempt, wait)

    # --- opening ----------------------------------------------------------------------

    def _start_soon(self) -> None:
        if self.state in (STARTING, UP, STOPPED):
            return
        wait = self._patience.may_start(self._clock.seconds())
        if wait <= 0:
            self._start()
        elif self._timer is None:
            self._schedule(wait)

    def _schedule(self, wait: float) -> None:
        self._turn(WAITING)
        self._timer = self._clock.callLater(wait, self._start)

    def _start(self) -> None:
        self._stop_timer()
        self._turn(STARTING)
        self.starts += 1
        self._patience.started(self._clock.seconds())
        legacy = self._opening.era == LEGACY
        self._launch(self._spare.take() if legacy and self._spare is not None else None)

    def _launch(self, used: Link | None) -> None:
        """Open a link, over the wire of one that is not used any more or over another."""
        link = Link(
            self.server,
            self._opening.era,
            self._company,
            self._clock,
            self._settings.deadlines,
            self._lost,
            self.tally,
        )
        opening = Deferred.fromCoroutine(self._open(link, used))
        self._opening_now = opening
        failed = self._failed if used is None else self._unfit
        opening.addCallbacks(self._opened, failed, callbackArgs=(link,), errbackArgs=(link,))

    async def _open(self, link: Link, used: Link | None) -> None:
        seconds = self._settings.start_timeout
        if used is None:
            await self._when_closed()
            agreeing = Deferred.fromCoroutine(self._agree(link))
        else:
            link.inherit(used)
            agreeing = agreed(self._opening, link)
            seconds = min(seconds, _SECOND_HAND)
        await agreeing.addTimeout(seconds, self._clock)

    async def _agree(self, link: Link) -> None:
        link.wire = await self._connector.connect(link)
        await agreed(self._opening, link)

    def _when_closed(self) -> Deferred[None]:
        """Nothing is left of the link before: a server may not bear another of its kind."""
        closed: Deferred[None] = Deferred()

        def tell(_: object) -> None:
            if not closed.called:  # nobody waits any more
                closed.callback(None)

        DeferredList(self._closing).addCallback(tell)
        return closed

    def _unfit(self, failure: Failure, link: Link) -> None:
        """A process that refused another era is none the better for it: start one."""
        if self._gave_up(link):
            return
        self._opening_now = None
        self._close(link)
        if self._spare is not None:
            self._spare.trusted = False
        self.log.info(
            "{server} would not shake hands after it was probed; starting it anew",
            server=self.server,
        )
        if self.state != STOPPED:
            self._launch(None)

    def _gave_up(self, link: Link) -> bool:
        """Whether it was being opened by a way that is not gone any more; then another is."""
        if not self._superseded:
            return False
        self._superseded, self._opening_now = False, None
        self._close(link)
        if self.state != STOPPED:
            self._launch(None)
        return True

    def _opened(self, _: None, link: Link) -> None:
        if self._gave_up(link):
            return
        self._opening_now = None
        if link.gone is not None:
            self._failed(Failure(link.gone), link)
            return
        self._turn(UP)
        self._agreed = True
        self.link = link
        self.reason = None
        self._refused = None
        self._company.up(link)
        self._waiting.call_in(link, self._pass)

    def _failed(self, failure: Failure, link: Link) -> None:
        if self._gave_up(link):
            return
        self._opening_now = None
        problem = self._explain(failure, link)
        if self.state == STOPPED or not self._left_over(problem, link):
            self._close(link)
        if self.state == STOPPED:
            return
        if isinstance(problem, EraMismatch):
            self._patience.ended(self._clock.seconds(), True)
            self._refused = (problem, self._clock.seconds() + _ERA_MEMORY)
        else:
            self._patience.ended(self._clock.seconds(), False)
        self._turn(IDLE)
        self._disappoint(problem)
        if not isinstance(problem, EraMismatch):
            self.log.warn("{reason}", reason=problem.message, server=self.server)
            self._try_again(clean=False)

    def _left_over(self, problem: McpTwistError, link: Link) -> bool:
        """Whether the process is kept, because it may be asked in the other era."""
        known = isinstance(problem, EraMismatch) and self._opening.era == MODERN
        return known and self._spare is not None and self._spare.keep(link)

    def _try_again(self, clean: bool) -> None:
        """Open another link unasked, if the server is wanted and its policy says so."""
        if self._wanted and self._settings.restart and self._patience.restarts(clean):
            self._schedule(self._patience.may_start(self._clock.seconds()))

    def _explain(self, failure: Failure, link: Link) -> McpTwistError:
        """What to tell those who waited."""
        if not is_foreseen(failure):
            self.log.failure("opening a link to {server} broke", failure, server=self.server)
        return failed_start(
            failure,
            link,
            self._patience.attempt,
            self._settings.start_timeout,
            self._opening.era == MODERN and not self._agreed,
        )

    def _disappoint(self, problem: McpTwistError) -> None:
        """Tell everybody who waits that there is no link."""
        self.reason = problem
        self._waiting.send_away(problem, self._refuse)

    def _refuse(self, exchange: Exchange, problem: McpTwistError) -> None:
        if isinstance(problem, EraMismatch):
            self._company.refused(exchange, problem)
        else:
            exchange.fail(problem)

    # --- losing and stopping ----------------------------------------------------------

    def _lost(self, link: Link, reason: McpTwistError) -> None:
        """A link's wire is gone; one that was still opening is told by its opening."""
        if link is not self.link:
            return
        self.link = None
        if self.state == STOPPED:
            return
        self.reason = reason
        clean = reason.data.get("exitStatus") == 0
        self._patience.ended(self._clock.seconds(), clean)
        self._turn(IDLE)
        self.log.warn("{server} is gone: {reason}", server=self.server, reason=reason.message)
        self._wanted = self._wanted or self._patience.restarts(clean)
        self._try_again(clean)

    def stop(self, reason: McpTwistError | None = None) -> Deferred[None]:
        """End the link in good order and open no other.

        :return: fires when nothing of the server is left.
        """
        self._stop_timer()
        self._turn(STOPPED)
        problem = reason or Draining(f"{self.server} is being stopped")
        self._disappoint(problem)
        link, self.link = self.link, None
        if self._opening_now is not None:
            self._opening_now.cancel()
        if link is not None:
            self._close(link)
            link.lost(problem)
        return self.when_closed()

    def when_closed(self) -> Deferred[None]:
        """Fires when nothing is left of the links that were ended before."""
        return DeferredList(self._closing).addCallback(lambda _: None)

    def replace(self, connector: IConnector) -> None:
        """Open links by another way from now on; one that is being opened is opened anew."""
        self._connector = connector
        if self._opening_now is not None:
            self._superseded = True
            self._opening_now.cancel()

    def forget(self) -> None:
        """It may be another server now: whether it starts and speaks this era is not known."""
        self._refused = None
        self._agreed = False
        if self.state == IDLE:
            self._patience.forgive()
            self.reason = None

    def wake(self) -> None:
        """Take up work again after :meth:`stop`, when somebody asks."""
        if self.state == STOPPED:
            self._patience.forgive()
            self.reason = None
            self._turn(IDLE)

    @property
    def era(self) -> str:
        """In which the server is asked."""
        era: str = self._opening.era
        return era

    def restart(self) -> None:
        """Stop the link and open another at once, whatever the back-off says.

        Nothing where one is being opened already, nor when it was stopped for good.
        """
        if self.state in (STARTING, STOPPED):
            return
        self._patience.forgive()
        link, self.link = self.link, None
        self._refused = None
        self._turn(IDLE)
        if link is not None:
            self._close(link)
            link.lost(ServerUnavailable(f"{self.server} is being restarted", server=self.server))
        self._start_soon()

    def _close(self, link: Link) -> None:
        """End the link's wire, and remember until that is done."""
        if link.wire is None:
            return
        closed = link.wire.close()
        self._closing.append(closed)
        closed.addBoth(lambda _: self._closing.remove(closed))

    def _stop_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()

    def _turn(self, state: str) -> None:
        self.state = state
        self.since = self._clock.seconds()


def end_connections(connector: IConnector) -> Deferred[None]:
    """End what a way to a server keeps open between wires, if anything; fires when it is gone."""
    if not IKeepsConnections.providedBy(connector):
        return succeed(None)
    keeper: Any = connector
    closed: Deferred[None] = keeper.close()
    return closed
