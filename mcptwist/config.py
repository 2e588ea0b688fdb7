"""The configuration: a file and the environment in, frozen values or all the mistakes at once out.

The file is an ``mcpServers`` JSON file as people have it for their clients, or TOML with the same
names; either may hold the daemon's own sections too. docs/configuration.rst has every key.

Promises: ``load`` raises for no text whatever. A mistake inside one server makes that server broken
and leaves the others as they are; a mistake anywhere else is fatal, for then we cannot know what
was meant. No message and no repr shows a value of an environment or of a header.

Each struct is its own schema: a field with a :class:`~mcptwist.configuration.settings.Key` is a
key of the file, and its default is the default. Pure, except for ``read``, which opens the file.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from mcptwist.configuration.catalogconfig import Catalog, Group, check_groups
from mcptwist.configuration.configtext import SyntaxMistake, parse
from mcptwist.configuration.gateconfig import Auth
from mcptwist.configuration.http2config import Http2, Http2Client
from mcptwist.configuration.limitsconfig import Cors, Http, Limits, Log
from mcptwist.configuration.listening import encrypted
from mcptwist.configuration.reach import Keys
from mcptwist.configuration.redaction import secret_values
from mcptwist.configuration.serverconfig import (
    NOT_USED,
    SERVER_KINDS,
    PythonServer,
    RemoteServer,
    Restart,
    ServerConfig,
    StdioServer,
    is_switched_off,
    read_server,
)
from mcptwist.configuration.settings import (
    MIB,
    Ledger,
    Mistake,
    Note,
    Place,
    is_table,
    keys_of,
    kind_of,
    read_fields,
    report_unknown,
)
from mcptwist.configuration.tlsconfig import KeyPair, Tls
from mcptwist.configuration.verdict import exit_code, report
from mcptwist.configuration.whole import BrokenServer, Config, Loaded
from mcptwist.configuration.wiresconfig import Sse, StreamableHttp, WebSocket
from mcptwist.configuration.withoutfile import (
    command_config,
    default_config,
    override_listen,
)

__all__ = [
    "Auth",
    "BrokenServer",
    "Catalog",
    "Config",
    "Cors",
    "Group",
    "Http",
    "Http2",
    "Http2Client",
    "KeyPair",
    "Limits",
    "Loaded",
    "Log",
    "Mistake",
    "Note",
    "PythonServer",
    "RemoteServer",
    "Restart",
    "ServerConfig",
    "Sse",
    "StdioServer",
    "StreamableHttp",
    "Tls",
    "WebSocket",
    "command_config",
    "default_config",
    "exit_code",
    "load",
    "override_listen",
    "read",
    "report",
]

#: A longer file is no configuration.
FILE_BYTES = MIB

#: Where servers stand: as most clients have it, and as VS Code has it.
SERVER_SECTIONS = ("mcpServers", "servers")

#: Other things that clients keep in the same file.
CLIENT_SECTIONS = frozenset({"globalShortcut", "inputs", "locale", "preferences", "scale", "theme"})

_OWN_KEYS = keys_of(Config)


def load(
    text: str | bytes,
    name: str,
    environ: Mapping[str, str],
    *,
    directory: str = "",
    mode: int = 0,
) -> Loaded:
    """Read a configuration.

    :param text: the file's text.
    :param name: its name; the suffix ``.json`` or ``.toml`` tells the format, else the text does.
    :param environ: the variables that ``${VAR}`` may name.
    :param directory: where the file is, for relative paths in it.
    :param mode: the file's permissions, for a warning about secrets; 0 when not known.
    """
    try:
        form, value = parse(text, name)
    except SyntaxMistake as why:
        return _unreadable(name, why.where or "the file", why.problem, "JSON or TOML")
    whole = Ledger(environ, directory)
    if not isinstance(value, dict):
        whole.place().mistake(f"is {kind_of(value)}", f"a {form} object with mcpServers in it")
        return Loaded(name, None, tuple(whole.mistakes))
    own = _read_own(whole, value)
    found = [_read_one(whole, *each) for each in _server_tables(whole, value)]
    _check_clashes(found)
    _warn_of_readers(whole, found, mode)
    return msgspec.structs.replace(_assembled(name, whole, own, found), form=form)


class _Found:
    """One server of the file and what was found out about it."""

    def __init__(self, name: str, table: Any, place: Place) -> None:
        self.name = name
        self.table = table
        self.place = place
        self.ledger = place.ledger
        self.server: ServerConfig | None = None
        self.is_off = False


def _read_own(whole: Ledger, value: Mapping[str, Any]) -> dict[str, Any]:
    """The daemon's own sections."""
    place = whole.place()
    for key in getattr(value, "repeated", ()):
        if key not in CLIENT_SECTIONS:
            place.at(key).mistake("is written more than once", "each key once")
    for key in CLIENT_SECTIONS & value.keys():
        place.at(key).note(NOT_USED)
    stray = {key for key in value if key not in _OWN_KEYS and _looks_like_a_server(value[key])}
    for key in sorted(stray - set(SERVER_SECTIONS)):
        place.at(key).mistake("is a server outside of any section", 'it inside of "mcpServers"')
    report_unknown(place, value, {*_OWN_KEYS, *SERVER_SECTIONS, *CLIENT_SECTIONS, *stray})
    own = read_fields(place, value, _OWN_KEYS) or {}
    own["keyless"] = value.get("auth") is False
    known = Config(**own)
    if "tls" in own and not any(encrypted(entry)[0] for entry in known.endpoints.values()):
        place.at("tls").note("means nothing, as no endpoint begins with https: or mtls:")
    if not any(wire.shared or wire.listen for wire in known.wires.values()):
        place.note("serves no wire over HTTP")
    return own


def _looks_like_a_server(value: Any) -> bool:
    return isinstance(value, dict) and any(kind.MARK in value for kind in SERVER_KINDS)


def _server_tables(whole: Ledger, value: Mapping[str, Any]) -> Iterable[tuple[str, str, Any, bool]]:
    """Section, name, table, and whether the name is there twice, of every server in the file."""
    for section in SERVER_SECTIONS:
        servers = value.get(section, {})
        if not is_table(whole.place(section), servers):
            continue
        for name, table in servers.items():
            yield section, name, table, name in getattr(servers, "repeated", ())


def _read_one(whole: Ledger, section: str, name: str, table: Any, repeated: bool) -> _Found:
    ledger = Ledger(whole.environ, whole.directory, name)
    found = _Found(name, table, ledger.place(section, name))
    if repeated:
        found.place.mistake("is written more than once", "each server once")
    found.is_off = is_switched_off(found.place, table)
    found.server = read_server(found.place, name, table)
    if found.is_off:
        _forgive(ledger)
    return found


def _forgive(ledger: Ledger) -> None:
    """What is wrong with a disabled server hurts nobody: it is worth a note."""
    ledger.notes = [
        Note(each.path, f"{each.problem} (the server is disabled)", each.server)
        for each in ledger.mistakes
    ]
    ledger.mistakes = []


def _check_clashes(found: Sequence[_Found]) -> None:
    """Two servers must differ in their URL, and in their tools' prefix, which can have no dot."""
    taken: dict[str, _Found] = {}
    for each in found:
        if each.is_off:
            continue
        first = taken.setdefault(each.name.replace(".", "_"), each)
        if first is not each:
            each.place.mistake(f"has the same name as {first.place.path}", "another name")


def _warn_of_readers(whole: Ledger, found: Sequence[_Found], mode: int) -> None:
    everyone = mode & (stat.S_IRGRP | stat.S_IROTH)
    if everyone and any(_literal_secrets(each.table) for each in found):
        whole.place().note(
            "can be read by others on this machine and holds what look like secrets;"
            " chmod 600 it, or put ${VAR} in their place"
        )


def _literal_secrets(table: Any) -> frozenset[str]:
    """The secrets which stand in a server's table themselves, not by the name of a variable."""
    parts = [table.get(key) for key in ("env", "headers")] if isinstance(table, dict) else []
    return secret_values(
        (name, value)
        for part in parts
        if isinstance(part, dict)
        for name, value in part.items()
        if isinstance(value, str) and "${" not in value
    )


def _assembled(name: str, whole: Ledger, own: dict[str, Any], found: Sequence[_Found]) -> Loaded:
    if not found:
        whole.place().note("configures no server")
    usable = {each.name for each in found if each.server and not each.is_off}
    others = {each.name for each in found} - usable
    check_groups(whole.place("groups"), own.get("groups", ()), usable, others)
    ledgers = [whole, *(each.ledger for each in found)]
    mistakes = tuple(mistake for ledger in ledgers for mistake in ledger.mistakes)
    if whole.mistakes:
        return Loaded(name, None, mistakes)
    config = Config(
        **own,
        servers=tuple(
            _with_defaults(each.server, own.get("keys", Keys()))
            for each in found
            if each.server and not each.is_off and not each.ledger.mistakes
        ),
        broken=tuple(
            BrokenServer(each.name, tuple(each.ledger.mistakes))
            for each in found
            if each.ledger.mistakes
        ),
        disabled=tuple(each.name for each in found if each.is_off),
        notes=tuple(note for ledger in ledgers for note in ledger.notes),
    )
    return Loaded(name, config, mistakes)


def _with_defaults(server: ServerConfig, keys: Keys) -> ServerConfig:
    return server.with_defaults(keys) if isinstance(server, RemoteServer) else server


def _unreadable(name: str, path: str, problem: str, expected: str = "") -> Loaded:
    return Loaded(name, None, (Mistake(path, problem, expected),))


def read(path: str, environ: Mapping[str, str]) -> Loaded:
    """Open a file and read the configuration in it.

    :param path: the file.
    :param environ: as for ``load``.
    """
    try:
        with open(path, "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(FILE_BYTES + 1)
    except (OSError, ValueError) as why:
        problem = why.strerror if isinstance(why, OSError) else "no file can have this name"
        return _unreadable(path, "the file", f"cannot be read: {problem}", "a file")
    if len(content) > FILE_BYTES:
        return _unreadable(path, "the file", "is longer than 1 MiB", "a configuration")
    directory = os.path.dirname(os.path.abspath(path))
    return load(content, path, environ, directory=directory, mode=mode)
