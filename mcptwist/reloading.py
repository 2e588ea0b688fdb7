"""Reading the configuration again, and putting into effect what can be while the daemon runs.

How a server is reached (its command, environment, URL …) is put into effect at once: the server is
restarted with it. Whatever else has changed is named, and heeded when the daemon is restarted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from mcptwist import config as configuration
from mcptwist.configuration.serverconfig import ServerConfig
from mcptwist.errors import McpTwistError

if TYPE_CHECKING:
    from mcptwist.gateway import Gateway
    from mcptwist.interfaces import IConnector

WAY = frozenset(
    {"command", "args", "env", "env_inherit", "cwd", "stop_grace", "url", "headers", "ca", "python"}
)
"""The settings of a server that say how it is reached."""

_SERVERS = frozenset({"servers", "broken", "disabled", "notes"})


class CannotReload(McpTwistError):
    """The configuration as it is now cannot be used; the message tells every mistake."""

    code = "cannot-reload"


class Reloading:
    """The configuration that is in effect, and the one that could be.

    :param config: the one the daemon was made of.
    :param reread: reads it again.
    :param make_connector: the way to a server, by its settings.
    """

    def __init__(
        self,
        config: configuration.Config,
        gateway: Gateway,
        reread: Callable[[], configuration.Loaded],
        make_connector: Callable[[ServerConfig], IConnector],
    ) -> None:
        self._config = config
        self._servers = {server.name: server for server in config.servers}
        self._gateway = gateway
        self._reread = reread
        self._make_connector = make_connector

    def reload(self) -> list[str]:
        """Read it again.

        :return: a line for each thing that has changed; none when nothing has.
        :raises CannotReload: it cannot be used, and all stays as it is.
        """
        loaded = self._reread()
        if loaded.config is None:
            raise CannotReload(configuration.report(loaded).strip())
        new = loaded.config
        lines = [str(mistake) for mistake in loaded.mistakes]
        for server in new.servers:
            lines += self._changed(server)
        names = {server.name for server in new.servers}
        gone = [name for name in self._servers if name not in names]
        lines += [f"{name} is not there any more; {_LATER}" for name in gone]
        return [*lines, *self._sections(new)]

    def _changed(self, server: ServerConfig) -> list[str]:
        known = self._servers.get(server.name)
        if known is None:
            return [f"{server.name} is new; {_LATER}"]
        differing = _differing(known, server)
        if not differing:
            return []
        if type(known) is not type(server) or differing - WAY:
            return [f"{server.name}: {', '.join(sorted(differing))} changed; {_LATER}"]
        backend = self._gateway.backends[server.name]
        backend.replace(self._make_connector(server))
        self._servers[server.name] = server
        return [f"{server.name}: {', '.join(sorted(differing))} changed; it is restarted with that"]

    def _sections(self, new: configuration.Config) -> list[str]:
        changed = sorted(_differing(self._config, new) - _SERVERS)
        return [f"{name} changed; {_LATER}" for name in changed]


_LATER = "restart the daemon to have that heeded"


def _differing(old: msgspec.Struct, new: msgspec.Struct) -> set[str]:
    """The names of the settings that differ; never their values, which may be secret."""
    names = {*old.__struct_fields__, *new.__struct_fields__}
    nothing = object()
    return {n for n in names if getattr(old, n, nothing) != getattr(new, n, nothing)}
