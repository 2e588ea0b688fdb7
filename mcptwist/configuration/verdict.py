"""What people are told of a configuration: by ``mcptwist check``, and where one is refused."""

from __future__ import annotations

from collections.abc import Iterable

from mcptwist.configuration.serverconfig import ServerConfig
from mcptwist.configuration.settings import shown
from mcptwist.configuration.whole import Config, Loaded


def exit_code(loaded: Loaded) -> int:
    """What ``mcptwist check`` ends with: 0 when there is no mistake, 1 when there is one."""
    return 1 if loaded.mistakes else 0


def report(loaded: Loaded) -> str:
    """What a person wants to know about a configuration: every mistake, then every server."""
    lines = [f"{_printable(loaded.name)}: {_verdict(loaded)}"]
    lines += _section("mistakes", map(str, loaded.mistakes))
    if loaded.config is not None:
        lines += _section("notes", map(str, loaded.config.notes))
        lines += _section("servers", _server_lines(loaded.config))
        lines += _section("groups", _group_lines(loaded.config))
        lines += _section("listens on", loaded.config.endpoints.values())
    return "\n".join(lines) + "\n"


def _verdict(loaded: Loaded) -> str:
    if loaded.config is None:
        return f"cannot be used ({_counted(len(loaded.mistakes), 'mistake')})"
    usable = _counted(len(loaded.config.servers), "server")
    if not loaded.mistakes:
        return f"good ({usable})"
    return f"{_counted(len(loaded.mistakes), 'mistake')}; {usable} can be used all the same"


def _server_lines(config: Config) -> list[str]:
    rows = [(each.name, each.KIND, f"{each.target}  {_manner(each)}") for each in config.servers]
    rows += [
        (each.name, "broken", _counted(len(each.mistakes), "mistake")) for each in config.broken
    ]
    rows += [(name, "disabled", "") for name in config.disabled]
    named = [(_printable(name), kind, what) for name, kind, what in rows]
    wide = max((len(name) for name, _, _ in named), default=0)
    return [f"{name:{wide}}  {kind:8}  {what}".rstrip() for name, kind, what in named]


def _group_lines(config: Config) -> list[str]:
    wide = max((len(group.name) for group in config.groups), default=0)
    return [f"{g.name:{wide}}  {', '.join(g.servers)}" for g in config.groups]


def _manner(server: ServerConfig) -> str:
    scope = f"pool of {server.pool}" if server.scope == "pool" else server.scope
    return f"({scope}, {'when first called' if server.lazy else 'started with the daemon'})"


def _section(title: str, lines: Iterable[str]) -> list[str]:
    shown_lines = [f"  {_printable(line)}" for line in lines]
    return ["", f"{title}:", *shown_lines] if shown_lines else []


def _counted(number: int, noun: str) -> str:
    return f"{number or 'no'} {noun}{'' if number == 1 else 's'}"


def _printable(line: str) -> str:
    return line if line.isprintable() else shown(line)
