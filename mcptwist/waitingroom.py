"""Those who wait for a link to a server to open."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred

from mcptwist.errors import McpTwistError, Overloaded
from mcptwist.exchange import Exchange

if TYPE_CHECKING:
    from mcptwist.link import Link


class WaitingRoom:
    """Exchanges that wait, in the order they came, and whoever only wants to know.

    :param server: its configured name, for errors.
    :param seats: how many exchanges may wait.
    """

    def __init__(self, server: str, seats: int) -> None:
        self._server = server
        self._seats = seats
        self._exchanges: deque[Exchange] = deque()
        self._watchers: list[Deferred[Link]] = []

    def __len__(self) -> int:
        return sum(not exchange.over for exchange in self._exchanges)

    def full(self) -> McpTwistError | None:
        """Why an exchange cannot wait, if so."""
        if len(self._exchanges) < self._seats:
            return None
        self._exchanges = deque(exchange for exchange in self._exchanges if not exchange.over)
        if len(self._exchanges) < self._seats:
            return None
        return Overloaded(
            f"{self._seats} requests wait for {self._server} to start already", limit="queue"
        )

    def enter(self, exchange: Exchange) -> None:
        """Wait."""
        self._exchanges.append(exchange)

    def watch(self) -> Deferred[Link]:
        """Fires with the link; fails with the reason why there is none."""
        watcher: Deferred[Link] = Deferred()
        self._watchers.append(watcher)
        return watcher

    def call_in(self, link: Link, put: Callable[[Link, Exchange], None]) -> None:
        """The link is open: each exchange is put to it."""
        exchanges, self._exchanges = self._exchanges, deque()
        for exchange in exchanges:
            if not exchange.over:
                put(link, exchange)
        watchers, self._watchers = self._watchers, []
        for watcher in watchers:
            watcher.callback(link)

    def send_away(
        self, problem: McpTwistError, refuse: Callable[[Exchange, McpTwistError], None]
    ) -> None:
        """There will be no link: everybody is told why."""
        exchanges, self._exchanges = self._exchanges, deque()
        for exchange in exchanges:
            refuse(exchange, problem)
        watchers, self._watchers = self._watchers, []
        for watcher in watchers:
            watcher.errback(problem)
