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
from mcptwist.config import Config, Group
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
    """The servers of a configuration, gathered into views.

    :param backends: the usable servers by name, in the order of the file.
    :param identity: name and version of the daemon.
    :param kept: keeps the lists of those that may be listed without being started.
    :ivar gateway: finds the view of a name.
    """

    def __init__(
        self,
        config: Config,
        backends: Mapping[str, Backend],
        clock: IReactorTime,
        identity: dict[str, str],
        kept: KeptLists | None = None,
    ) -> None:
        self._clock = clock
        self._identity = identity
        self._settings = settings_of(config.catalog)
        self._kept = kept
        self._config = config
        self._backends = dict(backends)
        self._selected: dict[str, SelectedServer] = {}
        self._inventories: dict[str, Inventory] = {}
        self._take_in(config)
        broken = _broken(config)
        self._whole = self._catalog(tuple(backends), broken)
        self._groups = {group.name: self._group(group) for group in config.groups}
        self._former: dict[str, Catalog] = {}  # known by their URLs, should they come back
        whole = whole_view(self._shown(tuple(backends)), self._whole, broken)
        self.gateway = Gateway(self._backends, whole, broken, self._groups, self._selected)

    @property
    def whole_is_merged(self) -> bool:
        """Whether ``/mcp`` shows servers as one, and so can show more of them or fewer."""
        return self.gateway.whole is self._whole

    def regather(self, config: Config, backends: Mapping[str, Backend]) -> None:
        """Gather what another configuration has; a backend that is the same is left as it is.

        :param backends: the usable servers by name, in the order of the file.
        """
        gone = [n for n, backend in self._backends.items() if backends.get(n) is not backend]
        for name in gone:
            self.gateway.dismiss(self._backends[name])
        inventories = [self._inventories.pop(name) for name in gone]
        for name in gone:
            self._selected.pop(name, None)
            if self._kept is not None:
                self._kept.forget(name)
        self._config, self._backends = config, dict(backends)
        self._take_in(config)
        broken = _broken(config)
        self._whole.regather(self._shown(tuple(backends)), self._inventories, broken)
        groups = {group.name: self._regrouped(group) for group in config.groups}
        for name in self._groups.keys() - groups.keys():
            self._groups[name].regather({}, {}, {})
            self._former[name] = self._groups[name]
        self._groups = groups
        self.gateway.regather(self._backends, broken, self._groups, self._selected)
        for inventory in inventories:
            inventory.close()

    def _take_in(self, config: Config) -> None:
        """Make what stands before each server that has nothing there yet."""
        for server in config.servers:
            if server.name in self._inventories:
                continue
            if not server.selections.everything():
                backend = self._backends[server.name]
                self._selected[server.name] = SelectedServer(backend, server.selections)
            self._inventories[server.name] = self._inventory(server)

    def _regrouped(self, group: Group) -> Catalog:
        known = self._groups.get(group.name) or self._former.pop(group.name, None)
        if known is None:
            return self._group(group)
        names, broken = self._members(group)
        known.regather(self._shown(names), {n: self._inventories[n] for n in names}, broken)
        return known

    def _group(self, group: Group) -> Catalog:
        return self._catalog(*self._members(group))

    def _members(self, group: Group) -> tuple[list[str], dict[str, str]]:
        """Those of a group that can be used, and those that cannot, with the reason for each."""
        broken = _broken(self._config)
        names = [name for name in group.servers if name in self._backends]
        return names, {name: broken[name] for name in group.servers if name in broken}

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


def _broken(config: Config) -> dict[str, str]:
    return {each.name: str(each.mistakes[0]) for each in config.broken}


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
