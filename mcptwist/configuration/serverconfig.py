"""One server of the configuration: what can be said about it, and how its table is read.

Servers come in three kinds, told apart by the one key each must have: ``command`` (a child
process), ``url`` (somewhere else) and ``python`` (inside the daemon). Each kind is a struct whose
fields are the keys. Pure. No message, and no repr, shows a value of an environment or of a header.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import msgspec

from mcptwist.catalog.selection import NamedSelection
from mcptwist.configuration.anyserver import TIMEOUT, TIMEOUT_MAX, Breaker, Restart, Server
from mcptwist.configuration.childserver import INHERITED, StdioServer
from mcptwist.configuration.pythonserver import PythonServer
from mcptwist.configuration.remoteserver import SOCKET, RemoteServer
from mcptwist.configuration.servernames import check_name
from mcptwist.configuration.settings import (
    Place,
    full_text,
    is_table,
    keys_of,
    kind_of,
    many,
    read_fields,
    report_repeated,
    report_unknown,
    shown,
    yes_or_no,
)

__all__ = [
    "CLIENT_KEYS",
    "INHERITED",
    "NOT_USED",
    "SERVER_KINDS",
    "Breaker",
    "PythonServer",
    "RemoteServer",
    "Restart",
    "Server",
    "ServerConfig",
    "StdioServer",
    "is_switched_off",
    "read_server",
]

ServerConfig: TypeAlias = StdioServer | RemoteServer | PythonServer

SERVER_KINDS: tuple[type[ServerConfig], ...] = (StdioServer, RemoteServer, PythonServer)

#: Other names that clients have for the same.
ALIASES = {
    "httpUrl": "url",
    "serverUrl": "url",
    "transport": "type",
    "transportType": "type",
    "workingDirectory": "cwd",
}

_TYPES: dict[str, tuple[str, str]] = {
    "stdio": ("command", ""),
    "http": ("url", "http"),
    "streamable-http": ("url", "http"),
    "streamablehttp": ("url", "http"),
    "sse": ("url", "sse"),
    "ws": ("url", "websocket"),
    "websocket": ("url", "websocket"),
}

NOT_USED = "is for clients; the daemon does not use it"
_NOT_ASKED = "is for clients, which ask no leave for such tools; see tools.allow for what is served"
_NO_SIGN_IN = "is for clients; the daemon signs in with a key, or with a token in headers"

#: What clients call what we have in ``tools``.
TOOL_KEYS: dict[str, str] = {
    "disabledTools": "deny",
    "excludeTools": "deny",
    "enabledTools": "allow",
    "includeTools": "allow",
}

#: What clients keep in the same tables, and what we say about it.
CLIENT_KEYS: dict[str, str] = {
    **dict.fromkeys(
        ("autoApprove", "alwaysAllow", "autoStart", "chatMenu", "comment", "description", "dev",
         "displayName", "gallery", "icon", "iconPath", "icons", "id", "initTimeout", "instructions",
         "metadata", "name", "note", "notes", "provider", "sandbox", "sandboxEnabled",
         "serverInstructions", "source", "startup", "tags", "title", "trust", "version"),
        NOT_USED,
    ),
    "allowedTools": _NOT_ASKED,
    **dict.fromkeys(("auth", "authProviderType", "headersHelper", "oauth"), _NO_SIGN_IN),
}  # fmt: skip

_SWITCHES = ("disabled", "enabled", "isActive")

_KEYS_BY_KIND = {kind: keys_of(kind) for kind in SERVER_KINDS}
_ALL_KEYS = {name: key for keys in _KEYS_BY_KIND.values() for name, key in keys.items()}


def read_server(place: Place, name: str, table: Any) -> ServerConfig | None:
    """One server; None after a mistake was reported."""
    check_name(place, name)
    if not is_table(place, table):
        return None
    report_repeated(place, table)
    given = _in_our_words(place, table)
    kind = _which_kind(place, given)
    _check_keys(place, given, kind)
    fields = read_fields(place, given, _KEYS_BY_KIND[kind] if kind else _ALL_KEYS)
    if fields is None or kind is None or place.ledger.mistakes:
        return None
    _join_tools(place, given, fields)
    fields |= {"name": name, "confidential": frozenset(place.ledger.revealed)}
    if kind is RemoteServer:
        fields["wire"] = _wire(place, fields["url"], given.get("type"))
    _settle(place, fields)
    return None if place.ledger.mistakes else kind(**fields)


def _in_our_words(place: Place, table: Mapping[str, Any]) -> dict[str, Any]:
    """The table with our names for its keys. A key that is null was not given."""
    given: dict[str, Any] = {}
    for key, value in table.items():
        ours = ALIASES.get(key, key)
        if value is None:
            continue
        if ours in given:
            place.at(key).mistake(f'says the same as "{ours}"', "one of the two")
        given[ours] = value
    return given


def _which_kind(place: Place, given: Mapping[str, Any]) -> type[ServerConfig] | None:
    marks = {kind.MARK: kind for kind in SERVER_KINDS}
    found = [mark for mark in marks if mark in given]
    if len(found) != 1:
        what = f"has {' and '.join(found)}" if found else "says nowhere what to run or to reach"
        place.mistake(what, "one of command, url and python")
        return None
    _check_type(place.at("type"), given.get("type"), found[0])
    return marks[found[0]]


def _check_type(place: Place, value: Any, mark: str) -> None:
    if value is None:
        return
    said = _TYPES.get(_folded_type(value))
    if said is None:
        what = f"is {shown(value)}" if isinstance(value, str) else f"is {kind_of(value)}"
        place.mistake(what, "one of " + ", ".join(f'"{word}"' for word in _TYPES))
    elif said[0] != mark:
        place.mistake(f"does not go with {mark}", f"{said[0]}, or another type")


def _folded_type(value: Any) -> str:
    return value.lower().replace("_", "-") if isinstance(value, str) else ""


def _wire(place: Place, url: str, said: Any) -> str:
    """What is spoken at an address, of which the type says one thing and the scheme another."""
    if url.startswith(SOCKET):
        if said is not None:
            place.at("type").mistake("does not go with a UNIX socket", "no type")
        return "auto"
    is_websocket = url.lower().startswith("ws")
    if said is None:
        return "websocket" if is_websocket else "auto"
    wire = _TYPES[_folded_type(said)][1]
    if is_websocket != (wire == "websocket"):
        schemes = "http:// or https://" if is_websocket else "ws:// or wss://"
        place.at("type").mistake("does not go with the scheme of url", f"a URL with {schemes}")
    return wire


def _check_keys(place: Place, given: Mapping[str, Any], kind: type[ServerConfig] | None) -> None:
    """Report keys that we do not know, that go with another kind, or that are for clients."""
    keys = _KEYS_BY_KIND[kind] if kind else _ALL_KEYS
    for key, value in given.items():
        if key in keys or key == "type" or key in _SWITCHES or key in TOOL_KEYS:
            continue
        if key in CLIENT_KEYS:
            place.at(key).note(CLIENT_KEYS[key])
        elif key == "envFile":
            place.at(key).mistake("is not read by the daemon", "the variables in env")
        elif key in _ALL_KEYS and value not in ([], {}):
            marks = [each.MARK for each in SERVER_KINDS if key in _KEYS_BY_KIND[each]]
            place.at(key).mistake("does not go with this server", f"it beside {marks[0]}")
    known = {*_ALL_KEYS, "type", "envFile", *_SWITCHES, *CLIENT_KEYS, *TOOL_KEYS}
    report_unknown(place, given, known)


def _join_tools(place: Place, given: Mapping[str, Any], fields: dict[str, Any]) -> None:
    """Join what clients' keys say of tools to what ours does."""
    selection: NamedSelection = fields.get("tools", NamedSelection())
    for key in [key for key in TOOL_KEYS if key in given]:
        names = many(full_text)(place.at(key), given[key])
        if names is None:
            continue
        place.at(key).note(f"counts as tools.{TOOL_KEYS[key]}")
        if TOOL_KEYS[key] == "deny":
            selection = msgspec.structs.replace(selection, deny=(*selection.deny, *names))
        elif selection.allow is None:
            selection = msgspec.structs.replace(selection, allow=names)
        else:
            place.at(key).mistake('says the same as "tools"', "one of the two")
    fields["tools"] = selection


def _settle(place: Place, fields: dict[str, Any]) -> None:
    """Settle what one key means for another."""
    if not str(fields.get("url")).lower().startswith(("https:", "wss:")):
        for key in {"ca", "host_key", "known_hosts", "accept_new"} & fields.keys():
            place.at(key).mistake("means nothing where nothing is encrypted", "https:// or wss://")
    if "http2" in fields and not str(fields.get("url")).lower().startswith("https:"):
        place.at("http2").mistake("means nothing where HTTP/2 is not spoken", "https://")
    named = {name.lower() for name, _ in fields.get("headers") or ()}
    if fields.get("sign_requests") and "authorization" in named:
        place.at("sign_requests").mistake("is not done beside an Authorization", "one of the two")
    if "pool" in fields and fields.get("scope") != "pool":
        place.at("pool").mistake("means nothing with this scope", 'scope = "pool"')
    if "timeout_max" not in fields:
        fields["timeout_max"] = max(TIMEOUT_MAX, fields.get("timeout", TIMEOUT))
    elif "timeout" not in fields:
        fields["timeout"] = min(TIMEOUT, fields["timeout_max"])
    elif fields["timeout_max"] < fields["timeout"]:
        place.at("timeout_max").mistake("is below timeout", "a longer time than timeout")


def is_switched_off(place: Place, table: Any) -> bool:
    """Is this server not to be used? ``disabled`` says yes, ``enabled`` or ``isActive`` say no."""
    if not isinstance(table, dict):
        return False
    said = {key: table[key] for key in _SWITCHES if table.get(key) is not None}
    off = {
        (value if key == "disabled" else not value)
        for key, value in said.items()
        if yes_or_no(place.at(key), value) is not None
    }
    if len(off) > 1:
        place.mistake("is both enabled and disabled", "one of the two")
        return False
    return off == {True}
