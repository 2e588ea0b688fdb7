"""Where an exchange goes: one server, or all of them as one.

The :class:`Gateway` knows the configured servers by name and makes the views
that clients have of them. A view of one server passes everything on as it is;
the view of several is the :mod:`~mcptwist.catalog`'s.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, DeferredList
from zope.interface import implementer

from mcptwist.errors import McpTwistError, UnknownServer
from mcptwist.interfaces import IView

if TYPE_CHECKING:
    from mcptwist.backend import Backend
    from mcptwist.exchange import Exchange
    from mcptwist.messages import Notification
    from mcptwist.session import Session


@implementer(IView)
class ServerView:
    """One server, seen as it is."""

    def __init__(self, backend: Backend) -> None:
        self.name = backend.name
        self._backend = backend

    def begin(self, exchange: Exchange) -> None:
        """Put it to the server."""
        self._backend.begin(exchange)

    def hear(self, stay: Session, server: str, notification: Notification) -> Notification:
        """Everything it says is heard as it was said."""
        return notification

    def overhear(self, stay: Session, notification: Notification) -> None:
        """Pass the client's words on."""
        self._backend.overhear(stay, notification)

    def leave(self, stay: Session) -> None:
        """The session is over."""
        self._backend.detach(stay)


@implementer(IView)
class NoServers:
    """The view where nothing is configured: every question gets the reason."""

    name = ""

    def __init__(self, reason: str) -> None:
        self._reason = reason

    def begin(self, exchange: Exchange) -> None:
        """Refuse it."""
        exchange.fail(UnknownServer(self._reason))

    def hear(self, stay: Session, server: str, notification: Notification) -> None:
        """Nobody speaks."""

    def overhear(self, stay: Session, notification: Notification) -> None:
        """Nobody listens."""

    def leave(self, stay: Session) -> None:
        """Nothing was kept."""


class Gateway:
    """All servers of the daemon.

    :param broken: servers that could not be configured, with the reason for each.
    :ivar whole: the view of all servers as one.
    """

    def __init__(
        self, backends: Mapping[str, Backend], whole: IView, broken: Mapping[str, str] | None = None
    ) -> None:
        self.backends = dict(backends)
        self.broken = dict(broken or {})
        self.whole = whole
        self._views: dict[str, IView] = {n: ServerView(b) for n, b in self.backends.items()}

    def __iter__(self) -> Iterator[Backend]:
        return iter(self.backends.values())

    def view(self, name: str) -> IView:
        """The view of one server.

        :raises UnknownServer: there is none of that name; the message tells
            where its configuration is broken, if that is why.
        """
        view = self._views.get(name)
        if view is not None:
            return view
        if name in self.broken:
            raise UnknownServer(f"server {name} is not configured rightly: {self.broken[name]}")
        known = ", ".join(sorted(self.backends)) or "none"
        raise UnknownServer(f"there is no server {name}; there is: {known}", server=name)

    def start(self) -> None:
        """Start the servers that shall not wait to be asked."""
        for backend in self:
            backend.start()

    def in_flight(self) -> int:
        """How many exchanges wait for servers."""
        return sum(backend.in_flight() for backend in self)

    def end_listening(self) -> None:
        """End all modern subscriptions in good order."""
        for backend in self:
            backend.end_listening()

    def stop(self, reason: McpTwistError | None = None) -> Deferred[None]:
        """Stop all servers; fires when nothing of them is left."""
        stopping = [backend.stop(reason) for backend in self]
        return DeferredList(stopping).addCallback(lambda _: None)


def whole_view(backends: Mapping[str, Backend], merged: IView) -> IView:
    """The view at ``/mcp``: the only server as it is, or the *merged* view of several."""
    if not backends:
        return NoServers("no server is configured; see mcptwist check")
    if len(backends) == 1:
        return ServerView(next(iter(backends.values())))
    return merged
