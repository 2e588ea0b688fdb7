"""The running daemon: how it starts, what it says of itself, how it ends.

It ends by draining: no new work is taken, what is in flight is finished within
a grace period, subscriptions are ended in good order, children are stopped.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.application.service import MultiService
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IListeningPort, IReactorTime
from twisted.internet.task import LoopingCall, deferLater
from twisted.logger import Logger, globalLogPublisher

from mcptwist.errors import ClientGone, Draining
from mcptwist.supervisor import UP
from mcptwist.watching.bans import Bans
from mcptwist.watching.journal import Journal
from mcptwist.watching.lag import Lag
from mcptwist.watching.traffic import Traffic

if TYPE_CHECKING:
    from mcptwist.backend import Backend
    from mcptwist.catalog.gathering import Gathering
    from mcptwist.config import Loaded
    from mcptwist.eras.held import Held
    from mcptwist.gateway import Gateway
    from mcptwist.protocols.adminsocket import AdminSocket
    from mcptwist.protocols.listener import Listener
    from mcptwist.protocols.streamable import Concourse
    from mcptwist.protocols.tls import Certificates
    from mcptwist.watching.status import Gauge

_EXPIRY = 15.0
_LOOK = 0.05
_LINGER = 1.0


class CannotListen(Exception):
    """An endpoint is taken, or not this machine's."""


class Daemon(MultiService):
    """All of it, as one service.

    :param clock: of the sweeps and the grace period.
    :param grace: seconds that calls in flight may take when it stops.
    :ivar listeners: the endpoints it answers on.
    :ivar certificates: what those show that are encrypted; None where none is.
    :ivar closing: called when it stops, to close wires that outlive a request.
    :ivar traffic: what passes, for those who watch.
    :ivar gathering: its servers, which may become others while it runs.
    :ivar held: the calls that wait for their clients, where there are any.
    :ivar lag: how late the reactor is.
    :ivar journal: the last log events.
    :ivar bans: who may not connect.
    :ivar counters: those of its parts, by name.
    :ivar gauges: what the gate holds, where there is one.
    :ivar reread: reads its configuration again, where there is one to read.
    :ivar reload: does so, puts into effect what can be, and tells what has changed.
    :ivar admin: where it is administered, if anywhere; it stays open until the end.
    """

    log = Logger()

    def __init__(
        self, gateway: Gateway, concourse: Concourse, clock: IReactorTime, grace: float = 10.0
    ) -> None:
        super().__init__()
        self.gateway = gateway
        self.concourse = concourse
        self.listeners: list[Listener] = []
        self.certificates: Certificates | None = None
        self.closing: list[Callable[[], list[Deferred[None]]]] = []
        self.traffic = Traffic()
        self.held: Held | None = None
        self.gathering: Gathering | None = None
        self.lag = Lag(clock)
        self.journal = Journal()
        self.bans = Bans(clock)
        self.counters: dict[str, Any] = {}
        self.gauges: Callable[[], dict[str, Gauge]] = dict
        self.reread: Callable[[], Loaded] | None = None
        self.reload: Callable[[], list[str]] | None = None
        self.admin: AdminSocket | None = None
        self._clock = clock
        self._grace = grace
        self._expiry = LoopingCall(self._expire)
        self._expiry.clock = clock

    def listen(self, listener: Listener) -> None:
        """Answer on one more endpoint."""
        self.listeners.append(listener)
        listener.setServiceParent(self)

    def administer(self, admin: AdminSocket) -> None:
        """Be administered there."""
        self.admin = admin
        admin.setServiceParent(self)

    def all_listeners(self) -> list[Listener]:
        """Those that clients come to, and the one of those who administer it."""
        admin = [] if self.admin is None or self.admin.listener is None else [self.admin.listener]
        return [*self.listeners, *admin]

    def privilegedStartService(self) -> None:
        """Called before privileges are shed, and by twistd before it detaches.

        :raises CannotListen: an endpoint is not to be had; nothing was started.
        """
        super().privilegedStartService()
        for listener in self.listeners:
            if listener.problem is not None:
                raise CannotListen(f"cannot listen on {listener.endpoint}: {listener.problem}")

    def startService(self) -> None:
        """Called when the daemon starts."""
        super().startService()
        self._expiry.start(_EXPIRY, now=False)
        self.lag.start()
        globalLogPublisher.addObserver(self.journal)
        self.gateway.start()

    def when_bound(self) -> Deferred[list[IListeningPort]]:
        """Fires when every endpoint listens; fails with the first that cannot."""
        bound = DeferredList(
            [listener.when_bound() for listener in self.listeners],
            fireOnOneErrback=True,
            consumeErrors=True,
        )
        return bound.addCallback(lambda results: [port for _, port in results])

    def _expire(self) -> None:
        """Forget idle sessions; a failure must not end the forgetting for good."""
        try:
            self.concourse.sessions.expire()
        except Exception:
            self.log.failure("sessions could not be expired")

    # --- what it says of itself -------------------------------------------------------

    def health(self) -> tuple[int, Any]:
        """Whether the process is alive: HTTP status and report."""
        return 200, {"status": "ok"}

    def ready(self) -> tuple[int, Any]:
        """Whether it can do its work: HTTP status, and each server and group.

        Not while it drains, nor while a server that starts with the daemon is
        not up, nor when every server is in trouble.
        """
        servers = {backend.name: _condition(backend) for backend in self.gateway}
        servers |= {
            name: {"state": "misconfigured", "reason": reason}
            for name, reason in self.gateway.broken.items()
        }
        draining = self.concourse.draining is not None
        usable = any(s["state"] not in ("misconfigured", "failing") for s in servers.values())
        eager = all(_is_up(backend) for backend in self.gateway if not backend.settings.lazy)
        good = not draining and eager and (usable or not servers)
        status = "draining" if draining else "ready" if good else "not ready"
        groups = {name: list(group.servers) for name, group in self.gateway.groups.items()}
        report = {"status": status, "servers": servers, "groups": groups}
        return (200 if good else 503), report

    # --- its end ----------------------------------------------------------------------

    def stopService(self) -> Deferred[None]:
        """Called on SIGTERM: drain, and stop everything."""
        return Deferred.fromCoroutine(self._drain())

    async def _drain(self) -> None:
        reason = Draining("the daemon is about to stop")
        self.concourse.draining = reason
        if self._expiry.running:
            self._expiry.stop()
        self.lag.stop()
        await DeferredList([listener.close() for listener in self.listeners])
        self.gateway.end_listening()
        await self._quiet()
        self.concourse.sessions.end_all(ClientGone("the daemon stops"))
        closed = [waiting for close in self.closing for waiting in close()]
        closed += [listener.drain() for listener in self.listeners]
        await self.gateway.stop(reason)
        self.concourse.pulse.stop()
        if self.admin is not None:
            closed += await self.admin.end()
        await DeferredList([c.addTimeout(_LINGER, self._clock) for c in closed], consumeErrors=True)
        for listener in self.listeners:
            listener.abort()
        await _done(super().stopService())
        globalLogPublisher.removeObserver(self.journal)

    async def _quiet(self) -> None:
        """Wait until nothing is in flight, or the grace period is over."""
        until = self._clock.seconds() + self._grace
        while self.gateway.in_flight() and self._clock.seconds() < until:
            await deferLater(self._clock, _LOOK)
        left = self.gateway.in_flight()
        if left:
            self.log.warn(
                "{left} calls were still open after {grace} s", left=left, grace=self._grace
            )


def _condition(backend: Backend) -> dict[str, Any]:
    trouble = backend.trouble()
    if trouble is not None:
        return {"state": "failing", "reason": trouble.message}
    return {"state": "up" if _is_up(backend) else "idle"}


def _is_up(backend: Backend) -> bool:
    return backend.settings.scope == "session" or any(s.state == UP for s in backend.supervisors())


async def _done(stopping: Any) -> None:
    if stopping is not None:
        await stopping
