"""Reading the configuration again, and putting into effect what can be while the daemon runs.

Servers and groups are put into effect at once: new ones are there, those that are gone are stopped,
those that changed are restarted, and the others never notice. Where a server only is reached
otherwise (its command, environment, URL …), clients keep their sessions with it. Whatever else has
changed is named, and heeded when the daemon is restarted.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING

import msgspec

from mcptwist import config as configuration
from mcptwist.configuration.described import described
from mcptwist.configuration.serverconfig import ServerConfig
from mcptwist.errors import McpTwistError

if TYPE_CHECKING:
    from mcptwist.backend import Backend
    from mcptwist.catalog.gathering import Gathering
    from mcptwist.interfaces import IConnector

_OF_CHILDREN = {"command", "args", "env", "env_inherit", "cwd", "stop_grace"}
_OF_REMOTES = {"url", "headers", "ca", "http2"}

WAY = frozenset({*_OF_CHILDREN, *_OF_REMOTES, "python"})
"""The settings of a server that say how it is reached."""

_SERVERS = frozenset({"servers", "broken", "disabled", "notes", "groups"})
"""What of a configuration can be put into effect."""


class CannotReload(McpTwistError):
    """The configuration as it is now cannot be used; the message tells every mistake."""

    code = "cannot-reload"


class Reloading:
    """The configuration that is in effect, and the one that could be.

    :param config: the one the daemon was made of.
    :param gathering: its servers.
    :param reread: reads it again.
    :param make_connector: the way to a server, by its settings.
    :param make_backend: a server, by its settings; not started.
    :param draining: the reason to start nothing more, once there is one.
    """

    def __init__(
        self,
        config: configuration.Config,
        gathering: Gathering,
        reread: Callable[[], configuration.Loaded],
        make_connector: Callable[[ServerConfig], IConnector],
        make_backend: Callable[[ServerConfig], Backend],
        draining: Callable[[], McpTwistError | None],
    ) -> None:
        self._config = config
        self._gathering = gathering
        self._reread = reread
        self._make_connector = make_connector
        self._make_backend = make_backend
        self._draining = draining

    def reload(self) -> list[str]:
        """Read it again, and have the servers and groups that it has now.

        :return: a line for each thing that has changed; none when nothing has.
        :raises CannotReload: it cannot be used, or the daemon is about to stop; all stays as it is.
        """
        if (draining := self._draining()) is not None:
            raise CannotReload(f"{draining.message}; nothing is changed any more")
        loaded = self._reread()
        if loaded.config is None:
            raise CannotReload(configuration.report(loaded).strip())
        new = loaded.config
        before = self._config
        lines = [str(mistake) for mistake in loaded.mistakes]
        lines += self._servers(new)
        lines += [f"{name} changed; {_LATER}" for name in sorted(_sections(before, new))]
        # What has to wait is told again each time, until it is heeded.
        self._config = msgspec.structs.replace(before, **{n: getattr(new, n) for n in _SERVERS})
        return lines

    def _servers(self, new: configuration.Config) -> list[str]:
        known = {server.name: server for server in self._config.servers}
        backends = dict(self._gathering.gateway.backends)
        now: dict[str, Backend] = {}
        lines: list[str] = []
        ways: list[tuple[Backend, ServerConfig, IConnector]] = []
        for server in new.servers:
            old = known.get(server.name)
            differing = {"everything"} if old is None else _differing(old, server)
            stays = old is not None and type(old) is type(server) and differing <= WAY
            now[server.name] = backends[server.name] if stays else self._make_backend(server)
            if stays and differing:
                ways.append((now[server.name], server, self._make_connector(server)))
            lines += _told(server.name, old, server, differing)
        names = {server.name for server in new.servers}
        gone = [name for name in known if name not in names]
        lines += [f"{name} is not there any more; it is stopped" for name in gone]
        # Nothing was changed so far, and nothing from here on should fail.
        for backend, server, connector in ways:
            backend.replace(connector)
            backend.described = described(server)
        self._put_in_effect(new, backends, now, lines)
        return lines

    def _put_in_effect(
        self,
        new: configuration.Config,
        before: Mapping[str, Backend],
        now: Mapping[str, Backend],
        lines: list[str],
    ) -> None:
        if new.groups != self._config.groups:
            lines.append("groups changed")
        if lines or new.broken != self._config.broken:
            self._gathering.regather(new, now)
        if before.keys() != now.keys() and not self._gathering.whole_is_merged:
            lines.append(f"/mcp shows the servers that there were, under their names; {_LATER}")
        for name, backend in now.items():
            if before.get(name) is not backend:
                backend.start()


def _told(
    name: str, old: ServerConfig | None, new: ServerConfig, differing: Collection[str]
) -> list[str]:
    """What is said of a server."""
    if old is None:
        return [f"{name} is new"]
    if type(old) is not type(new):
        return [f"{name} is another kind of server; it is started anew"]
    if differing:
        return [f"{name}: {', '.join(sorted(differing))} changed; it is restarted with that"]
    return []


def _sections(old: configuration.Config, new: configuration.Config) -> set[str]:
    return _differing(old, new) - _SERVERS


_LATER = "restart the daemon to have that heeded"


def _differing(old: msgspec.Struct, new: msgspec.Struct) -> set[str]:
    """The names of the settings that differ; never their values, which may be secret."""
    names = {*old.__struct_fields__, *new.__struct_fields__}
    nothing = object()
    return {n for n in names if getattr(old, n, nothing) != getattr(new, n, nothing)}
