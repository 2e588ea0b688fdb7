"""Those who listen to all servers as one.

MCP 2026-07-28, *Subscriptions*.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from mcptwist.catalog.directory import Directories, Owned
from mcptwist.catalog.finder import Finder
from mcptwist.catalog.inventory import Inventory
from mcptwist.catalog.subscription import Patiences, Subscription, Wanted, read_wanted
from mcptwist.exchange import Exchange

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime


class Listeners:
    """The subscriptions of modern clients.

    :param put: puts an exchange to a server.
    :param patiences: how long subscriptions wait.
    """

    def __init__(
        self,
        inventories: Mapping[str, Inventory],
        directories: Directories,
        finder: Finder,
        put: Callable[[str, Exchange], None],
        clock: IReactorTime,
        patiences: Patiences,
    ) -> None:
        self._inventories = inventories
        self._directories = directories
        self._finder = finder
        self._put = put
        self._clock = clock
        self._patiences = patiences
        self._subscriptions: set[Subscription] = set()

    async def begin(self, exchange: Exchange) -> None:
        """Listen to every server for a modern client."""
        wanted = read_wanted(exchange.request.params)
        directory = self._directories.of(exchange.stay.principal)
        if any(directory.resource(uri) is None for uri in wanted.resourceSubscriptions):
            await self._finder.list_resources(exchange)
        if exchange.over:
            return
        owners = {uri: directory.resource(uri) for uri in wanted.resourceSubscriptions}
        known = {owned: uri for uri, owned in owners.items() if owned is not None}
        subscription = Subscription(
            exchange,
            self._shared_out(wanted, owners),
            self._put,
            self._heard_of,
            self._clock,
            self._patiences,
            lambda server: self._inventories[server].rests(exchange.stay),
            lambda server, uri: known.get(Owned(server, uri)) or directory.public_uri(server, uri),
        )
        self._subscriptions = {each for each in self._subscriptions if not each.over}
        self._subscriptions.add(subscription)
        subscription.start()

    def _shared_out(self, wanted: Wanted, owners: Mapping[str, Owned | None]) -> dict[str, Wanted]:
        """What to ask of each server: its own resources, and those that nobody is known to have."""
        parts = {
            server: msgspec.structs.replace(
                wanted,
                resourceSubscriptions=[
                    uri if owned is None else owned.name
                    for uri, owned in owners.items()
                    if owned is None or owned.server == server
                ],
            )
            for server in self._inventories
        }
        return {server: part for server, part in parts.items() if part != Wanted()}

    def _heard_of(self, server: str, change: str) -> None:
        """A server told a subscription of a change."""
        self._directories.forget(server, change)
        self._inventories[server].changed(change)

    def dismiss(self, server: str) -> None:
        """That server is no more."""
        for subscription in list(self._subscriptions):
            subscription.dismiss(server)

    def admit(self, servers: Sequence[str]) -> None:
        """These servers are there too."""
        for subscription in list(self._subscriptions):
            for server in servers:
                subscription.admit(server)
            subscription.announce()

    def woken(self, server: str) -> None:
        """A process of it is up, for all."""
        for subscription in list(self._subscriptions):
            subscription.woken(server)

    def changed(self, server: str, change: str, silently: bool) -> None:
        """A list is not what clients were given."""
        for subscription in list(self._subscriptions):
            subscription.changed(server, change, silently)
