"""One endpoint that the daemon answers on, as a service."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort
from twisted.logger import Logger
from twisted.python.failure import Failure

if TYPE_CHECKING:
    from twisted.internet.interfaces import IProtocolFactory

    from mcptwist.protocols.bytestream import LineFactory
    from mcptwist.protocols.http1factory import HTTP1Factory

#: What Twisted says of a UNIX socket whose lock another process holds.
_LOCKED = "Cannot acquire lock"

_ADVICE = {
    errno.EADDRINUSE: "stop what listens there (ss -ltnp shows who it is), or choose another port",
    errno.EACCES: "choose a port from 1024 on, or let root bind it",
    errno.EADDRNOTAVAIL: "choose an address of this machine",
}


class Listener(Service):
    """Listens as long as the service runs.

    :param endpoint: a Twisted endpoint string.
    :param factory: makes the connections' protocols, and knows how to drain them.
    :param secure: puts TLS around them, or None. Called when the endpoint is bound, for only the
        user that may bind it may be one that can read the key.
    :param only: the path of the one wire that is served here, or "" where all are.
    :ivar port: what listens, once it does.
    """

    log = Logger()

    def __init__(
        self,
        endpoint: str,
        factory: HTTP1Factory | LineFactory,
        reactor: Any,
        secure: Callable[[Any], IProtocolFactory] | None = None,
        only: str = "",
    ) -> None:
        self.endpoint = endpoint
        self.factory = factory
        self._secure = secure
        self._only = only
        self.port: IListeningPort | None = None
        self._reactor = reactor
        self._outcome: IListeningPort | Failure | None = None
        self._waiting: list[Deferred[IListeningPort]] = []
        self._begun = False

    def privilegedStartService(self) -> None:
        """Called before privileges are shed: low ports are bound now."""
        self._listen()

    def startService(self) -> None:
        """Called when the daemon starts."""
        super().startService()
        self._listen()

    def stopService(self) -> Deferred[None]:
        """Called when the daemon stops: accept nobody more."""
        super().stopService()
        return self.close()

    def when_bound(self) -> Deferred[IListeningPort]:
        """Fires with the port, or fails with what kept it from being bound."""
        waiter: Deferred[IListeningPort] = Deferred()
        self._waiting.append(waiter)
        self._tell()
        return waiter

    def close(self) -> Deferred[None]:
        """Accept nobody more; connections that are open go on."""
        port, self.port = self.port, None
        if port is None:
            return succeed(None)
        return maybeDeferred(port.stopListening).addCallback(lambda _: None)

    def drain(self) -> Deferred[None]:
        """Finish what is being answered, and close."""
        return self.factory.drain()

    def abort(self) -> None:
        """Close what is still open."""
        connections: list[Any] = [*self.factory.connections]
        for connection in connections:
            connection.abort()

    @property
    def problem(self) -> str | None:
        """What keeps it from being bound, if anything does, and what to do."""
        if not isinstance(self._outcome, Failure):
            return None
        error = self._outcome.value
        cause = error.socketError if isinstance(error, CannotListenError) else None
        if cause == _LOCKED:
            return "another program answers on this socket"
        if isinstance(cause, OSError) and cause.errno in _ADVICE:
            return f"{cause.strerror}; {_ADVICE[cause.errno]}"
        return self._outcome.getErrorMessage()

    def url(self) -> str:
        """Where the daemon is reached through this endpoint; empty while it is not bound."""
        if self.port is None:
            return ""
        address: Any = self.port.getHost()
        host = getattr(address, "host", None)
        if host is None:
            return f"{self.factory.framing}unix:{getattr(address, 'name', b'').decode()}"
        shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)  # noqa: S104
        scheme = "ws" if self._only == "ws" else "http"
        scheme += "s" if self._secure is not None else ""
        where = f"[{shown}]" if ":" in shown.strip("[]") else shown
        return f"{scheme}://{where}:{address.port}{'/' if self._only else ''}{self._only}"

    def _listen(self) -> None:
        if self._begun:
            return
        self._begun = True
        maybeDeferred(self._open).addCallbacks(self._bound, self._not_bound)

    def _open(self) -> Deferred[IListeningPort]:
        factory: Any = self.factory if self._secure is None else self._secure(self.factory)
        endpoint = serverFromString(self._reactor, self.endpoint)
        listening: Deferred[IListeningPort] = endpoint.listen(factory)
        return listening

    def _bound(self, port: IListeningPort) -> None:
        self.port = port
        self._outcome = port
        self.log.info("answering at {url}", url=self.url())
        self._tell()

    def _not_bound(self, failure: Failure) -> None:
        self._outcome = failure
        self._tell()

    def _tell(self) -> None:
        outcome = self._outcome
        if outcome is None:
            return
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            waiter.callback(outcome)
