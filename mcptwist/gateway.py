"""Where an exchange goes: one server, or several of them as one.

The :class:`Gateway` knows the configured servers by name and makes the views
that clients have of them. A view of one server passes everything on as it is,
unless something was selected of it; the views of several are :mod:`~mcptwist.catalog.catalog`'s.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, DeferredList
from zope.interface import implementer

from mcptwist.errors import McpTwistError, ServerUnavailable, UnknownServer
from mcptwist.interfaces import IGroup, IView

if TYPE_CHECKING:
    from mcptwist.backend import Backend
    from mcptwist.catalog.selectedserver import SelectedServer
    from mcptwist.exchange import Exchange
    from mcptwist.messages import Notification
    from mcptwist.session import Session


@implementer(IView)
class ServerView:
    """One server, seen as it is, or as much of it as was selected."""

    def __init__(self, backend: Backend | SelectedServer) -> None:
        self.name = backend.name
        self._backend = backend

    def show(self, backend: Backend | SelectedServer) -> None:
        """Be the view of what has the name now."""
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
    :param groups: the views of some servers as one, by name.
    :param selected: what stands before those servers of which something was selected.
    :ivar whole: the view of all servers as one.
    """

    def __init__(
        self,
        backends: Mapping[str, Backend],
        whole: IView,
        broken: Mapping[str, str] | None = None,
        groups: Mapping[str, IGroup] | None = None,
        selected: Mapping[str, SelectedServer] | None = None,
    ) -> None:
        self.backends = dict(backends)
        self.broken = dict(broken or {})
        self.whole = whole
        self.groups = dict(groups or {})
        shown: Mapping[str, Backend | SelectedServer] = {**self.backends, **(selected or {})}
        self._views = {name: ServerView(each) for name, each in shown.items()}
        self._leaving: list[Deferred[None]] = []

    def __iter__(self) -> Iterator[Backend]:
        return iter(self.backends.values())

    def view(self, name: str) -> IView:
        """The view of one server.

        :raises UnknownServer: there is none of that name; the message tells
            where its configuration is broken, if that is why.
        """
        if name in self.backends:
            return self._views[name]
        if name in self.broken:
            raise UnknownServer(f"server {name} is not configured rightly: {self.broken[name]}")
        known = ", ".join(sorted(self.backends)) or "none"
        raise UnknownServer(f"there is no server {name}; there is: {known}", server=name)

    def group(self, name: str) -> IView:
        """The view of a group of servers.

        :raises UnknownServer: there is no such group.
        """
        view = self.groups.get(name)
        if view is None:
            known = ", ".join(sorted(self.groups)) or "none"
            raise UnknownServer(f"there is no group {name}; there is: {known}")
        return view

    def regather(
        self,
        backends: Mapping[str, Backend],
        broken: Mapping[str, str],
        groups: Mapping[str, IGroup],
        selected: Mapping[str, SelectedServer],
    ) -> None:
        """Have these servers and groups from now on.

        A name is seen by the same view whenever there is a server of that name, for connections
        know views by the URLs they ask for. Sessions of servers that are no more end: clients
        shake hands with what is there now, if anything.
        """
        gone = [each for name, each in self.backends.items() if backends.get(name) is not each]
        self.backends, self.broken, self.groups = dict(backends), dict(broken), dict(groups)
        shown: Mapping[str, Backend | SelectedServer] = {**backends, **selected}
        if isinstance(self.whole, ServerView) and self.whole.name in shown:
            self.whole.show(shown[self.whole.name])
        for name, each in shown.items():
            self._views.setdefault(name, ServerView(each)).show(each)
        for backend in gone:
            for session in backend.sessions():
                session.end(_taken_out(backend.name))

    def dismiss(self, backend: Backend) -> None:
        """Stop a server that is to be no more: who listens or waits is told."""
        backend.end_listening()
        stopping = backend.stop(_taken_out(backend.name))
        self._leaving.append(stopping)
        stopping.addBoth(lambda _: self._leaving.remove(stopping))

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
        return DeferredList([*stopping, *self._leaving]).addCallback(lambda _: None)


def _taken_out(name: str) -> ServerUnavailable:
    reason = f"{name} was taken out of the configuration, or put there anew"
    return ServerUnavailable(reason, server=name)


def whole_view(
    servers: Mapping[str, Backend | SelectedServer],
    merged: IView,
    broken: Mapping[str, str] | None = None,
) -> IView:
    """The view at ``/mcp``: the only server as it is, or the *merged* view of several.

    A server that cannot be used for a mistake counts: names must not change when it is mended.
    """
    if not servers:
        return NoServers("no server is configured; see mcptwist check")
    if len(servers) == 1 and not broken:
        return ServerView(next(iter(servers.values())))
    return merged
