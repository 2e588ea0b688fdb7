"""Servers gathered into what clients see: each alone, all as one, and groups of them.

What was selected of a server stands before it; what it lists is remembered once, for every view
that it is in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

from mcptwist.backend import Backend
from mcptwist.catalog.catalog import Catalog, CatalogSettings
from mcptwist.catalog.inventory import Inventory
from mcptwist.catalog.keptlists import KeptLists, mark_of
from mcptwist.catalog.listings import Bounds
from mcptwist.catalog.selectedserver import SelectedServer
from mcptwist.catalog.subscription import Patiences
from mcptwist.config import Catalog as CatalogKeys
from mcptwist.config import Config
from mcptwist.configuration.serverconfig import (
    PythonServer,
    RemoteServer,
    ServerConfig,
    StdioServer,
)
from mcptwist.gateway import Gateway, whole_view

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime

_Shown: TypeAlias = "Backend | SelectedServer"


class Gathering:
    """Makes the gateway of a configuration.

    :param backends: the usable servers by name, in the order of the file.
    :param identity: name and version of the daemon.
    :param kept: keeps the lists of those that may be listed without being started.
    """

    def __init__(
        self,
        config: Config,
        backends: Mapping[str, Backend],
        clock: IReactorTime,
        identity: dict[str, str],
        kept: KeptLists | None = None,
    ) -> None:
        self._config = config
        self._backends = backends
        self._clock = clock
        self._identity = identity
        self._settings = settings_of(config.catalog)
        self._kept = kept
        self._broken = {each.name: str(each.mistakes[0]) for each in config.broken}
        self._selected = {
            server.name: SelectedServer(backends[server.name], server.selections)
            for server in config.servers
            if not server.selections.everything()
        }
        self._inventories = {server.name: self._inventory(server) for server in config.servers}

    def gateway(self) -> Gateway:
        """All of it."""
        names = tuple(self._backends)
        return Gateway(
            self._backends,
            whole_view(self._shown(names), self._catalog(names, self._broken), self._broken),
            self._broken,
            {group.name: self._group(group.servers) for group in self._config.groups},
            self._selected,
        )

    def _group(self, servers: Sequence[str]) -> Catalog:
        names = [name for name in servers if name in self._backends]
        broken = {name: self._broken[name] for name in servers if name in self._broken}
        return self._catalog(names, broken)

    def _catalog(self, names: Sequence[str], broken: Mapping[str, str]) -> Catalog:
        return Catalog(
            self._shown(names),
            self._clock,
            self._identity,
            self._settings,
            {name: self._inventories[name] for name in names},
            broken,
        )

    def _shown(self, names: Sequence[str]) -> dict[str, _Shown]:
        return {name: self._selected.get(name) or self._backends[name] for name in names}

    def _inventory(self, server: ServerConfig) -> Inventory:
        """What a server lists.

        To start a child costs something. To reach what runs elsewhere costs little, so that is
        asked at once whether its last lists still hold; what is in the daemon costs nothing.
        """
        kept = self._kept if not isinstance(server, PythonServer) and server.lazy else None
        inventory = Inventory(
            server.name,
            self._backends[server.name],
            self._clock,
            self._identity,
            self._settings.bounds,
            server.selections,
            leisure=kept is not None,
            refresh=isinstance(server, RemoteServer),
            told=None if kept is None else lambda: kept.changed(server.name),
        )
        if kept is not None:
            kept.keep(inventory, mark_of(_reached_by(server)))
        return inventory


def _reached_by(server: ServerConfig) -> list[object]:
    """All that what a server lists may depend on."""
    if isinstance(server, StdioServer):
        inherited = server.env_inherit
        return ["stdio", server.command, server.args, server.cwd, server.env, inherited, server.era]
    if isinstance(server, RemoteServer):
        return ["remote", server.url, server.wire, server.headers, server.era]
    return ["python", server.python]


def settings_of(keys: CatalogKeys) -> CatalogSettings:
    """The bounds of catalogs, from the ``[catalog]`` section."""
    return CatalogSettings(
        keys.deadline,
        Bounds(keys.pages, keys.entries),
        Patiences(keys.acknowledge, keys.rejoin_min, keys.rejoin_max),
    )
