"""A configured server, and how clients share it.

A :class:`Backend` decides which link an exchange is put on: by the era of the
client, and by the server's scope. ``shared``: one process for all; ``pool``:
several, each client keeping to one; ``session``: one for each legacy session,
opened with that client's own handshake, so that it may be asked back.

A server may be asked in both eras and then has a process for each, because a
process is locked to the era of its first request.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import count
from typing import TYPE_CHECKING, Any

import msgspec
from twisted.internet.defer import Deferred, DeferredList
from twisted.logger import Logger
from zope.interface import implementer

from mcptwist.attachment import Attachment, Membership, OwnProcess
from mcptwist.company import Assembly, Crowd
from mcptwist.eras.leases import Leases, LeaseSettings
from mcptwist.eras.legacy_as_modern import LegacyAsModern
from mcptwist.eras.modern_as_legacy import Interpreted
from mcptwist.eras.spoken import SpokenEras
from mcptwist.errors import Draining, EraMismatch, McpTwistError, MethodNotFound
from mcptwist.exchange import Exchange
from mcptwist.interfaces import IAnswerer, IConnector
from mcptwist.messages import Notification
from mcptwist.negotiation import hello_params
from mcptwist.opening import Discovering, Handshake
from mcptwist.spare import Spare
from mcptwist.supervisor import (
    IDLE,
    STARTING,
    UP,
    WAITING,
    Supervisor,
    SupervisorSettings,
    end_connections,
)
from mcptwist.versions import LEGACY, MODERN, REMOVED
from mcptwist.watching.tally import Tally

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime

    from mcptwist.eras.held import Held
    from mcptwist.link import Link
    from mcptwist.patience import Patience
    from mcptwist.session import Session
    from mcptwist.watching.traffic import Traffic

SHARED, POOL, SESSION = "shared", "pool", "session"


class BackendSettings(msgspec.Struct, frozen=True):
    """How a server is shared and kept.

    :ivar scope: ``shared``, ``pool`` or ``session``.
    :ivar pool: how many processes of one era a pool has.
    :ivar lazy: whether it is started when first asked rather than with the daemon.
    :ivar eras: which eras it may be asked in.
    :ivar revive: whether a session's own link that was lost is opened again before
        the client asks; for servers that are not ours to start.
    :ivar leases: bounds of the processes that calls have for themselves.
    """

    scope: str = SHARED
    pool: int = 1
    lazy: bool = True
    eras: tuple[str, ...] = ("legacy", "modern")
    supervision: SupervisorSettings = SupervisorSettings()
    revive: bool = False
    leases: LeaseSettings = LeaseSettings()


@implementer(IAnswerer)
class Backend:
    """One configured server.

    :param name: as configured; a segment of URLs and the prefix of its tools.
    :param connector: makes wires to it.
    :param make_patience: makes one back-off for each process.
    :param identity: name and version of the daemon, told to the server where no
        single client stands behind the link.
    :param held: where calls in translation wait for their clients; of the whole daemon.
    :param traffic: told of each call while anybody watches; of the whole daemon.
    :ivar tally: what was counted of it, over all of its processes.
    :ivar stopped: why nobody may ask it until it is woken, if so.
    :ivar watchers: told when a process is ``up``, and when a list has ``changed``.
    :ivar elicitations: numbers for those by URL, which have to differ.
    :ivar described: what its configuration says, fit for anyone's eyes.
    :ivar unattributed: log messages dropped because nobody could tell whose
        call on a shared process they belong to.
    """

    log = Logger()

    def __init__(
        self,
        name: str,
        connector: IConnector,
        clock: IReactorTime,
        make_patience: Callable[[], Patience],
        identity: dict[str, str],
        held: Held,
        settings: BackendSettings | None = None,
        traffic: Traffic | None = None,
    ) -> None:
        self.name = name
        self.tally = Tally(name, clock, traffic)
        self.settings = settings or BackendSettings()
        self.unattributed = 0
        self.elicitations = count(1)
        self.described: Mapping[str, str] = {}
        self.watchers: list[Any] = []
        self._connector = connector
        self._clock = clock
        self._make_patience = make_patience
        self._attachments: dict[Session, Attachment] = {}
        self.eras = SpokenEras(self.settings.eras, clock)
        self._leaving: set[Deferred[None]] = set()
        self.stopped: McpTwistError | None = None
        size = self.settings.pool if self.settings.scope == POOL else 1
        self._identity = identity
        self.spare = Spare(clock, self.departing, self.settings.leases.idle)
        self._modern = [Assembly(self, Discovering(identity)) for _ in range(size)]
        hello = hello_params({}, identity)
        self._crowds = [Crowd(self, Handshake(hello)) for _ in range(size)]
        self._as_modern = LegacyAsModern(
            self, self._crowds[0], held, clock, identity, self.settings.leases
        )

    def __repr__(self) -> str:
        return f"<Backend {self.name} {self.settings.scope}>"

    # --- asking -----------------------------------------------------------------------

    def begin(self, exchange: Exchange) -> None:
        """Put *exchange* to the process that serves its client, in its era or in translation."""
        if self.stopped is not None:
            exchange.fail(self.stopped)
        elif exchange.stay.era == MODERN:
            self._begin_modern(exchange)
        else:
            self.attach(exchange.stay).begin(exchange)

    def _begin_modern(self, exchange: Exchange) -> None:
        if exchange.request.method in REMOVED:
            exchange.fail(
                MethodNotFound(f"{exchange.request.method} is not in revision 2026-07-28 any more")
            )
        elif MODERN not in self.eras:
            self._as_modern.begin(exchange)
        elif len(self._modern) == 1:
            self._modern[0].supervisor.begin(exchange)
        else:
            min(self._modern, key=lambda a: a.load()).supervisor.begin(exchange)

    def attach(self, session: Session) -> Attachment:
        """What ties a legacy session to this server; made on first use."""
        attachment = self._attachments.get(session)
        if attachment is None:
            attachment = self._attachment(session)
            self._attachments[session] = attachment
        return attachment

    def _attachment(self, session: Session) -> Attachment:
        if LEGACY not in self.eras:
            return self._interpreted(session)
        if self.settings.scope == SESSION:
            return OwnProcess(self, session)
        return Membership(session, min(self._crowds, key=len))

    def _interpreted(self, session: Session) -> Interpreted:
        """A legacy session at a server that is modern only."""
        if self.settings.scope == SESSION:
            # Its log messages, which name no call, can thus be told from those of others.
            return Interpreted(session, Assembly(self, Discovering(self._identity)), True)
        return Interpreted(session, min(self._modern, key=lambda a: len(a.interpreted)))

    # --- being asked for lists --------------------------------------------------------

    def enquire(self, exchange: Exchange) -> None:
        """Like :meth:`begin`, but nothing is taken out of the answer that the client's revision
        does not know: it may be given to others too."""
        if self.stopped is None and exchange.stay.era == LEGACY:
            self.attach(exchange.stay).enquire(exchange)
        else:
            self.begin(exchange)

    def answers_in(self, stay: Any) -> str:
        """The era of the process that answers *stay*, as far as that is known."""
        if stay.era == MODERN:
            return MODERN if MODERN in self.eras else LEGACY
        attachment = self._attachments.get(stay)
        if attachment is None:
            return LEGACY if LEGACY in self.eras else MODERN
        return MODERN if isinstance(attachment, Interpreted) else LEGACY

    def is_alone(self, stay: Any) -> bool:
        """Whether *stay* has, or is to have, a process of its own that runs."""
        if stay.era == MODERN or self.settings.scope != SESSION:
            return False
        attachment = self._attachments.get(stay)
        return attachment is None or attachment.owns_process

    def rests(self, stay: Any) -> bool:
        """Whether it would have to be started to answer *stay*, and nothing speaks against that."""
        if self.stopped is not None or not self.settings.lazy:
            return False
        supervisors = [company.supervisor for company in (*self._modern, *self._crowds)]
        if self.is_alone(stay):
            attachment = self._attachments.get(stay)
            supervisors = [] if attachment is None else [attachment.supervisor]
        return all(s.state == IDLE and _is_harmless(s.reason) for s in supervisors)

    def bring_up(self, stay: Any) -> None:
        """Start the process that answers *stay*, though nothing is asked of it."""
        companies: list[Any] = self._crowds if self.answers_in(stay) == LEGACY else self._modern
        companies[0].supervisor.when_up().addErrback(lambda _: None)

    def follow(self, session: Session) -> None:
        """Let a session hear of changes that was given lists without asking."""
        if self.stopped is None and self.settings.scope != SESSION:
            self.attach(session)

    def came_up(self, link: Link, session: Session | None = None) -> None:
        """A process is up: *session*'s own, or one that is shared."""
        for watcher in self.watchers:
            watcher.up(link, session)

    def seen_up(self, link: Link) -> None:
        """A call's process is up: where there is no other, it can tell whether lists still hold."""
        if not any(company.supervisor.state == UP for company in (*self._modern, *self._crowds)):
            for watcher in self.watchers:
                watcher.verify(link)

    def changed(self, method: str, session: Session | None = None) -> None:
        """A process told of a change: *session*'s own, or one that is shared."""
        for watcher in self.watchers:
            watcher.changed(method, session)

    def announce(self, notification: Notification) -> None:
        """Tell everybody who shares a process something that the process did not say itself."""
        for session, attachment in list(self._attachments.items()):
            if not attachment.owns_process:
                session.tell(self.name, notification)
        self._as_modern.changed(notification)

    # --- which eras it speaks ---------------------------------------------------------

    def modern_refused(self, exchange: Exchange, problem: EraMismatch) -> None:
        """A modern client's exchange met a server that is not modern: translate."""
        if self.eras.refused(MODERN) and exchange.stay.era == MODERN:
            self._as_modern.begin(exchange)
        else:
            exchange.fail(problem)

    def legacy_refused(self, exchange: Exchange, problem: EraMismatch) -> None:
        """A legacy client's handshake met a server that is not legacy: translate."""
        if self.eras.refused(LEGACY):
            self.detach(exchange.stay)
            self._reattach()
            self.begin(exchange)
        else:
            exchange.fail(problem)

    def _reattach(self) -> None:
        """Those who only follow a process that there will never be shall hear of changes too."""
        for session, attachment in list(self._attachments.items()):
            if isinstance(attachment, Membership) and not len(attachment.supervisor):
                self.detach(session)
                self.attach(session)

    def detach(self, session: Session) -> None:
        """That session is over."""
        attachment = self._attachments.pop(session, None)
        if attachment is not None:
            attachment.leave()

    def overhear(self, session: Session, notification: Notification) -> None:
        """A client said something that wants no answer."""
        attachment = self._attachments.get(session)
        if attachment is not None:
            attachment.overhear(notification)

    # --- keeping it up ----------------------------------------------------------------

    def start(self) -> None:
        """Start what shall not wait to be asked: in the legacy era, whose clients are the norm."""
        if self.settings.lazy or self.settings.scope == SESSION:
            return
        for crowd in self._crowds:
            crowd.supervisor.keep_up()

    def supervise(self, opening: Any, company: Any, restart: bool = True) -> Supervisor:
        """A supervisor for one more process of this server."""
        supervision = self.settings.supervision
        spare = None if self.eras.certain else self.spare
        if not restart:
            supervision = msgspec.structs.replace(supervision, restart=False)
        return Supervisor(
            self.name,
            self._connector,
            opening,
            company,
            self._make_patience(),
            self._clock,
            supervision,
            self.tally,
            spare,
        )

    def supervisors(self) -> Iterator[Supervisor]:
        """Those of all its processes."""
        for company in (*self._modern, *self._crowds):
            yield company.supervisor
        for lease in list(self._as_modern.leases.all):
            yield lease.supervisor
        for attachment in list(self._attachments.values()):
            if attachment.owns_process:
                yield attachment.supervisor

    def stop(self, reason: McpTwistError | None = None) -> Deferred[None]:
        """Stop every process; fires when none is left."""
        self.stopped = reason or Draining(f"{self.name} is being stopped")
        self._as_modern.leases.stop()
        self.spare.drop()
        stopping = [supervisor.stop(reason) for supervisor in self.supervisors()]
        stopped = DeferredList([*stopping, *self._leaving])
        return stopped.addCallback(lambda _: end_connections(self._connector))

    def refuse(self, reason: McpTwistError) -> None:
        """Let nobody ask it any more; what is in flight goes on."""
        self.stopped = reason

    def wake(self) -> None:
        """Let it be asked again after :meth:`stop` or :meth:`refuse`."""
        self.stopped = None
        self._as_modern.leases.resume()
        for supervisor in self.supervisors():
            supervisor.wake()

    def replace(self, connector: IConnector) -> None:
        """Reach it by another way from now on: whatever is up is restarted with that."""
        before, self._connector = self._connector, connector
        self.spare.trusted = True
        supervisors = list(self.supervisors())
        for supervisor in supervisors:
            supervisor.replace(connector)
        self.restart()
        closed = DeferredList([supervisor.when_closed() for supervisor in supervisors])
        self.departing(closed.addCallback(lambda _: end_connections(before)))

    def start_now(self) -> None:
        """Start it, if it is not started, whatever its back-off says."""
        if any(supervisor.state in (UP, STARTING) for supervisor in self.supervisors()):
            return
        companies: list[Any] = [*self._modern] if MODERN in self.eras else []
        companies += self._crowds if LEGACY in self.eras else []
        known = [company for company in companies if company.supervisor.starts]
        for company in known or (self._crowds if LEGACY in self.eras else self._modern):
            company.supervisor.restart()

    @property
    def leases(self) -> Leases:
        """The processes that calls have for themselves."""
        return self._as_modern.leases

    def sessions(self) -> list[Session]:
        """The legacy sessions that have to do with it."""
        return list(self._attachments)

    def departing(self, stopped: Deferred[None]) -> None:
        """A session's own process is being stopped; so is the server, until *stopped* fires."""
        self._leaving.add(stopped)
        stopped.addBoth(lambda _: self._leaving.discard(stopped))

    def restart(self) -> None:
        """Replace every process that is up, and do not make those wait that failed."""
        self.spare.drop()
        self.eras.forget()
        for supervisor in self.supervisors():
            supervisor.forget()
            if supervisor.state in (UP, WAITING):
                supervisor.restart()

    def end_listening(self) -> None:
        """End all modern subscriptions in good order."""
        for supervisor in self.supervisors():
            if supervisor.link is not None:
                supervisor.link.end_listening()
        self._as_modern.end_listening()

    def in_flight(self) -> int:
        """How many exchanges wait for it, or for it to start."""
        return sum(len(supervisor) for supervisor in self.supervisors())

    def trouble(self) -> McpTwistError | None:
        """Why it cannot be asked at present, if so."""
        troubles = [s.reason for s in self.supervisors() if s.link is None and s.reason is not None]
        up = any(s.state == UP for s in self.supervisors())
        real = [t for t in troubles if not isinstance(t, EraMismatch)]
        return real[0] if real and not up else None


def _is_harmless(reason: McpTwistError | None) -> bool:
    """Whether a process that is not there can be had: none was, or it ended in good order."""
    return reason is None or isinstance(reason, EraMismatch) or reason.data.get("exitStatus") == 0
