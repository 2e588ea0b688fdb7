"""Processes of a legacy server that calls have for themselves.

A legacy server's question carries no hint of the call it belongs to, so whoever may be
asked has a process of their own for the time of the call.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import msgspec
from msgspec import Raw

from mcptwist.company import MESSAGE, Company, remind
from mcptwist.errors import ClientGone, Overloaded
from mcptwist.exchange import Exchange
from mcptwist.messages import Notification
from mcptwist.negotiation import hello_params
from mcptwist.opening import Handshake

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall

    from mcptwist.eras.heldcall import HeldCall
    from mcptwist.eras.legacy_as_modern import LegacyAsModern
    from mcptwist.link import Link


class LeaseSettings(msgspec.Struct, frozen=True):
    """Bounds of the processes that calls have for themselves.

    :ivar limit: how many one server may have.
    :ivar idle: seconds after which one that nobody uses is stopped.
    :ivar yields: seconds after which a call whose client is away may lose its
        process to another call.
    """

    limit: int = 16
    idle: float = 60.0
    yields: float = 30.0


class Lease(Company):
    """A legacy process that one call at a time has for itself.

    :param capabilities: those to be asked that its calls' clients declare, as JSON.
    :ivar call: the one that has it now.
    """

    def __init__(self, side: LegacyAsModern, capabilities: bytes, identity: dict[str, str]) -> None:
        self.capabilities = capabilities
        self.call: HeldCall | None = None
        self._side = side
        self._level: str | None = None
        self._watched: set[str] = set()
        hello = hello_params(Raw(capabilities), identity)
        super().__init__(side.backend, Handshake(hello), restart=False)

    def up(self, link: Link) -> None:
        """A new process was told nothing yet."""
        self._level = None
        self._watched = set()
        self._side.backend.seen_up(link)

    def admit(self, link: Link, exchange: Exchange) -> None:
        """Tell the process before the call what is wanted: log messages, and which updates."""
        level = getattr(exchange.stay, "log_level", None)
        if level is not None and level != self._level:
            self._level = level
            remind(link, level, ())
        new = self._side.watched() - self._watched
        self._watched |= new
        remind(link, None, new)

    def told(self, link: Link, notification: Notification) -> None:
        """Log messages are for its call; changes are for all who listen."""
        if notification.method != MESSAGE:
            self._side.backend.changed(notification.method)
            self._side.changed(notification)
        elif self.call is not None:
            self.call.told(notification)

    def questioned(self, link: Link, question: Exchange) -> None:
        """What the process asks is for its call's client."""
        if self.call is not None:
            self.call.questioned(question)
        else:
            question.fail(ClientGone("the call this belonged to is over"))


class Leases:
    """The processes of one server that calls have for themselves.

    :ivar all: idle and taken.
    :ivar evicted: how many calls have lost theirs to another so far.
    :ivar refused: how many calls found none free so far.
    """

    def __init__(
        self, side: LegacyAsModern, identity: dict[str, str], settings: LeaseSettings
    ) -> None:
        self.all: set[Lease] = set()
        self.evicted = 0
        self.refused = 0
        self._side = side
        self._clock = side.clock
        self._identity = identity
        self._settings = settings
        self._idle: dict[Lease, IDelayedCall] = {}
        self._stopped = False

    def take(self, capabilities: bytes) -> Lease:
        """A process whose client has exactly these capabilities to be asked.

        :raises Overloaded: too many calls have one.
        """
        for lease, timer in self._idle.items():
            if lease.capabilities == capabilities:
                timer.cancel()
                del self._idle[lease]
                return lease
        self._make_room()
        lease = Lease(self._side, capabilities, self._identity)
        self.all.add(lease)
        return lease

    def prepare(self, capabilities: bytes) -> None:
        """Start a process for a call that is likely to come, unless one is free for it."""
        free = any(lease.capabilities == capabilities for lease in self._idle)
        if free or self._stopped or len(self.all) >= self._settings.limit:
            return
        lease = self.take(capabilities)
        self.give_back(lease)
        lease.supervisor.when_up().addErrback(lambda _: self._not_prepared(lease))

    def _not_prepared(self, lease: Lease) -> None:
        """It could not be started: the call that needs one shall hear why, from another."""
        timer = self._idle.get(lease)
        if timer is not None:
            timer.cancel()
            self._stop_idle(lease)

    def give_back(self, lease: Lease) -> None:
        """The call is over; keep the process for the next one, for a while.

        One from before all were stopped is gone, though its call should end only now.
        """
        lease.call = None
        if lease in self.all and not self._stopped:
            self._idle[lease] = self._clock.callLater(self._settings.idle, self._stop_idle, lease)

    def discard(self, lease: Lease) -> None:
        """The process may still be busy with what nobody wants: stop it."""
        lease.call = None
        self.all.discard(lease)
        self._side.backend.departing(lease.supervisor.stop())

    def stop(self) -> None:
        """Forget the idle ones' timers; the processes are stopped by the backend."""
        self._stopped = True
        for timer in self._idle.values():
            timer.cancel()
        self._idle.clear()

    def resume(self) -> None:
        """Keep idle ones again; those there were are gone."""
        if self._stopped:
            self._stopped = False
            self.all.clear()

    def _make_room(self) -> None:
        if len(self.all) < self._settings.limit:
            return
        if self._idle:
            oldest = next(iter(self._idle))
            self._idle[oldest].cancel()
            self._stop_idle(oldest)
            return
        away = self._longest_away()
        if away is None:
            self.refused += 1
            self._side.backend.tally.refused += 1
            name = self._side.backend.name
            raise Overloaded(
                f"{self._settings.limit} calls have a process of {name} already; "
                "wait for one to end, or raise limits.call_processes",
                limit="call_processes",
                server=name,
            )
        self.evicted += 1
        away.evict()

    def _longest_away(self) -> HeldCall | None:
        """Whose process another call may have: of whoever has most, the longest away.

        So one client cannot take what others have by making many calls.
        """
        calls = [lease.call for lease in self.all if lease.call is not None]
        having = Counter(call.principal for call in calls)
        least = self._clock.seconds() - self._settings.yields
        away = [
            (-having[call.principal], call.away_since, number, call)
            for number, call in enumerate(calls)
            if call.away_since is not None and call.away_since <= least
        ]
        return min(away)[-1] if away else None

    def _stop_idle(self, lease: Lease) -> None:
        del self._idle[lease]
        self.discard(lease)
