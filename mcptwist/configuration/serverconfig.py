"""One server of the configuration: what can be said about it, and how its table is read.

Servers come in three kinds, told apart by the one key each must have: ``command`` (a child
process), ``url`` (somewhere else) and ``python`` (inside the daemon). Each kind is a struct whose
fields are the keys. Pure. No message, and no repr, shows a value of an environment or of a header.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Annotated, Any, ClassVar, Literal, TypeAlias
from urllib.parse import urlsplit

import msgspec

from mcptwist.catalog.selection import NamedSelection, Selection, Selections
from mcptwist.configuration.paths import path
from mcptwist.configuration.reach import Keys, Reach, private_key
from mcptwist.configuration.redaction import (
    redact,
    secret_values,
    secrets_in_address,
    secrets_in_arguments,
)
from mcptwist.configuration.servernames import check_name
from mcptwist.configuration.settings import (
    Key,
    Place,
    Reader,
    choice,
    count,
    expanded,
    full_text,
    is_number,
    is_table,
    keys_of,
    kind_of,
    many,
    none_or,
    read_fields,
    read_table,
    report_repeated,
    report_unknown,
    seconds,
    shown,
    table_of,
    text,
    yes_or_no,
)

#: What a child gets of the daemon's environment, beside its own ``env``.
INHERITED = (
    "HOME", "LANG", "LC_*", "LOGNAME", "PATH", "SHELL", "TERM", "TMPDIR", "TZ", "USER",
)  # fmt: skip

Pairs: TypeAlias = tuple[tuple[str, str], ...]


# ── what every server has ───────────────────────────────────────────────────────────────────────


class Breaker(msgspec.Struct, frozen=True, kw_only=True):
    """When a server that keeps dying is left alone for a while."""

    starts: Annotated[int, Key(count, "so many starts")] = 5
    within: Annotated[float, Key(seconds, "within this time open the breaker", "seconds")] = 60.0
    open_for: Annotated[
        float, Key(seconds, "no start is tried for so long; calls fail at once", "seconds")
    ] = 60.0


class Restart(msgspec.Struct, frozen=True, kw_only=True):
    """What follows when a server's wire is lost."""

    policy: Annotated[
        Literal["on-failure", "always", "never"],
        Key(choice("on-failure", "always", "never"), "when to start it again"),
    ] = "on-failure"
    backoff_min: Annotated[float, Key(seconds, "the first wait; doubles", "seconds")] = 0.5
    backoff_max: Annotated[float, Key(seconds, "the longest wait", "seconds")] = 60.0
    reset_after: Annotated[
        float, Key(seconds, "after so much uptime its failures are forgotten", "seconds")
    ] = 30.0
    breaker: Annotated[
        Breaker | None,
        Key(none_or(table_of(Breaker)), 'a table as below, or "none"'),
    ] = Breaker()


def _restart(place: Place, value: Any) -> Restart | None:
    if isinstance(value, str):
        found = read_table(place, {"policy": value}, Restart)
    else:
        found = read_table(place, value, Restart)
    if found is not None and found.backoff_min > found.backoff_max:
        place.mistake("has a backoff_min above its backoff_max", "the other way round")
        return None
    return found


TIMEOUT = 300.0
TIMEOUT_MAX = 3600.0

#: A bare ``timeout`` above this is in milliseconds.
LONGEST_TIMEOUT_IN_SECONDS = 3600


def _timeout(place: Place, value: Any) -> float | None:
    """Clients disagree on ``timeout``: for some it is in seconds, for others in milliseconds."""
    if is_number(value) and value > LONGEST_TIMEOUT_IN_SECONDS:
        place.note('is above 3600, so it was read as milliseconds; write "90s" or "2h" to be exact')
        value = value / 1000
    return seconds(place, value)


def _tools(place: Place, value: Any) -> NamedSelection | None:
    """A table, or the list of names that some clients have under the same key."""
    if isinstance(value, list | str):
        value = {"allow": value}
    found: NamedSelection | None = table_of(NamedSelection)(place, value)
    return found


class Server(msgspec.Struct, frozen=True, kw_only=True):
    """What every server has, whatever it is reached by.

    :ivar name: its path segment under ``/servers/`` and the prefix of its tools.
    :ivar confidential: secrets that were found while reading, beside those in its own fields.
    """

    KIND: ClassVar[str] = ""
    MARK: ClassVar[str] = ""

    name: str
    scope: Annotated[
        Literal["shared", "session", "pool"],
        Key(
            choice("shared", "session", "pool"),
            "one for all clients, one per session, or a few shared out",
        ),
    ] = "shared"
    pool: Annotated[int, Key(count, 'how many there are with scope = "pool"')] = 4
    lazy: Annotated[bool, Key(yes_or_no, "started by its first call, not with the daemon")] = True
    restart: Annotated[
        Restart, Key(_restart, "a policy, or a table as below; when it is started again")
    ] = Restart()
    timeout: Annotated[
        float, Key(_timeout, "a call may be silent for so long; progress starts it anew", "seconds")
    ] = TIMEOUT
    timeout_max: Annotated[
        float, Key(seconds, "a call may take so long, progress or not", "seconds")
    ] = TIMEOUT_MAX
    start_timeout: Annotated[
        float, Key(seconds, "from its start to its first answer", "seconds")
    ] = 60.0
    era: Annotated[
        Literal["auto", "legacy", "modern"],
        Key(choice("auto", "legacy", "modern"), "the protocol era it speaks; auto finds out"),
    ] = "auto"
    max_in_flight: Annotated[
        int | None,
        Key(count, "requests not yet answered, instead of limits.in_flight_per_server"),
    ] = None
    tools: Annotated[
        NamedSelection, Key(_tools, "a table as below, or a list of those that are served")
    ] = NamedSelection()
    prompts: Annotated[
        NamedSelection, Key(table_of(NamedSelection), "a table as below: which are served")
    ] = NamedSelection()
    resources: Annotated[
        Selection, Key(table_of(Selection), "a table as below, without rename, by their URIs")
    ] = Selection()
    confidential: frozenset[str] = frozenset()

    @property
    def selections(self) -> Selections:
        """What of it clients see."""
        return Selections(self.tools, self.prompts, self.resources)

    @property
    def target(self) -> str:
        """What is reached, in a line fit for anyone's eyes."""
        return redact(self._target(), self.secrets())

    def secrets(self) -> frozenset[str]:
        """Values not to be shown to anyone (:mod:`mcptwist.configuration.redaction`)."""
        return self.confidential

    def _target(self) -> str:
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}: {self.target}>"


# ── servers that are child processes ────────────────────────────────────────────────────────────


def _command(place: Place, value: Any) -> str | None:
    if isinstance(value, list):
        place.mistake("is a list", "the program alone; its arguments belong into args")
        return None
    found = expanded(place, value)
    if found is None:
        return None
    if " " in found.strip() and "/" not in found and "\\" not in found:
        place.note("has a space in it; arguments belong into args, one by one")
    return full_text(place, found)


_VARIABLE_NAME = re.compile(r"[^=\0]+\Z")


def _env(place: Place, value: Any) -> Pairs | None:
    return _pairs(place, value, _env_name, _env_value)


def _env_name(place: Place, name: str) -> None:
    if text(place, name) is not None and not _VARIABLE_NAME.match(name):
        place.mistake("is no name for a variable", "a name without =")


def _env_value(place: Place, value: Any) -> str | None:
    if isinstance(value, bool):
        place.mistake("is true or false", 'a string, as "true"')
        return None
    return expanded(place, str(value) if is_number(value) else value)


def _pairs(place: Place, value: Any, check_name: Any, read_value: Reader) -> Pairs | None:
    if not is_table(place, value):
        return None
    before = len(place.ledger.mistakes)
    report_repeated(place, value)
    for name in value:
        check_name(place.at(name), name)
    pairs = tuple((name, read_value(place.at(name), each)) for name, each in value.items())
    return pairs if len(place.ledger.mistakes) == before else None


class StdioServer(Server, frozen=True, kw_only=True):
    """A server that is a child process of the daemon."""

    KIND: ClassVar[str] = "stdio"
    MARK: ClassVar[str] = "command"

    command: Annotated[str, Key(_command, "the program; found on PATH unless it has a slash")]
    args: Annotated[tuple[str, ...], Key(many(expanded), "its arguments")] = ()
    env: Annotated[Pairs, Key(_env, "variables set for it")] = ()
    env_inherit: Annotated[
        tuple[str, ...],
        Key(many(full_text), "variables it gets from the daemon; * stands for any characters"),
    ] = INHERITED
    cwd: Annotated[str | None, Key(path, "its working directory, from the file's directory on")] = (
        None
    )
    stop_grace: Annotated[
        float,
        Key(seconds, "wait after closing its stdin before TERM, and again before KILL", "seconds"),
    ] = 5.0

    def environment(self, environ: Mapping[str, str]) -> dict[str, str]:
        """The child's whole environment.

        :param environ: the daemon's own.
        """
        inherited = {
            name: value
            for name, value in environ.items()
            if any(fnmatchcase(name, pattern) for pattern in self.env_inherit)
        }
        return inherited | dict(self.env)

    def secrets(self) -> frozenset[str]:
        return self.confidential | secret_values(self.env) | secrets_in_arguments(self.args)

    def _target(self) -> str:
        return " ".join((self.command, *self.args))


# ── servers somewhere else ──────────────────────────────────────────────────────────────────────

_SCHEMES = ("http", "https", "ws", "wss")
_SOCKET = "unix:"


def _url(place: Place, value: Any) -> str | None:
    found = expanded(place, value)
    if found is None:
        return None
    problem = _url_problem(found)
    if problem:
        place.mistake(problem, "a URL such as https://example.com/mcp")
        return None
    return found


def _url_problem(url: str) -> str:
    if not url.isascii() or not url.isprintable() or " " in url:
        return "holds a space or a character that no URL has"
    if url.startswith(_SOCKET):
        return "" if url.startswith(f"{_SOCKET}/") else "names no socket by its whole path"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "is not a URL"
    if parts.scheme not in _SCHEMES:
        return "does not begin with http://, https://, ws://, wss:// or unix:/"
    return "names no host" if not parts.hostname or port == 0 else ""


_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*\Z")
_OUR_HEADERS = frozenset({
    "accept", "connection", "content-encoding", "content-length", "content-type", "expect",
    "host", "keep-alive", "last-event-id", "mcp-method", "mcp-name",
    "mcp-protocol-version", "mcp-session-id", "te", "trailer", "transfer-encoding",
    "upgrade",
})  # fmt: skip


def _headers(place: Place, value: Any) -> Pairs | None:
    pairs = _pairs(place, value, _header_name, _header_value)
    if pairs is None:
        return None
    names = [name.lower() for name, _ in pairs]
    for name, _ in pairs:
        if names.count(name.lower()) > 1:
            place.at(name).mistake("differs from another header in case only", "each header once")
            return None
    return pairs


def _header_name(place: Place, name: str) -> None:
    if not _TOKEN.match(name):
        place.mistake("is no name for a header", "letters, digits and dashes")
    elif name.lower() in _OUR_HEADERS:
        place.mistake("is a header which the daemon sets itself", "any other header")


def _header_value(place: Place, value: Any) -> str | None:
    found = expanded(place, value)
    if found is not None and not _HEADER_VALUE.match(found):
        place.mistake("holds a character that no header has", "one line of Latin-1 text")
        return None
    return found.strip() if found is not None else None


_FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}\Z")


def _fingerprint(place: Place, value: Any) -> str | None:
    found = expanded(place, value)
    if found is not None and not _FINGERPRINT.match(found):
        place.mistake("is no fingerprint", '"SHA256:…", as mcptwist keyscan prints it')
        return None
    return found


def _fingerprints(place: Place, value: Any) -> tuple[str, ...] | None:
    if isinstance(value, str):
        found = _fingerprint(place, value)
        return None if found is None else (found,)
    several: tuple[str, ...] | None = many(_fingerprint)(place, value)
    return several


class RemoteServer(Server, frozen=True, kw_only=True):
    """A server that is reached over the network.

    :ivar wire: what is spoken there, from the key ``type``; ``auto`` is Streamable HTTP, or
        HTTP+SSE where the server knows no better.
    """

    KIND: ClassVar[str] = "remote"
    MARK: ClassVar[str] = "url"

    url: Annotated[str, Key(_url, "where it is: http, https, ws, wss, or unix: and a path")]
    headers: Annotated[Pairs, Key(_headers, "headers sent with every request")] = ()
    ca: Annotated[
        str | None, Key(path, "PEM file: certificates trusted in place of the system's")
    ] = None
    key: Annotated[
        str | None,
        Key(private_key, "file of the private key to sign in with; SHA256:… of an agent's"),
    ] = None
    principal: Annotated[
        str | None, Key(full_text, "what its owner is called there; its fingerprint otherwise")
    ] = None
    host_key: Annotated[
        tuple[str, ...],
        Key(_fingerprints, "SHA256:… of the key it must show, or a list"),
    ] = ()
    known_hosts: Annotated[
        str | None, Key(path, "file of servers' keys, in place of the daemon's own")
    ] = None
    accept_new: Annotated[
        bool | None, Key(yes_or_no, "believe the key it shows when it is met for the first time")
    ] = None
    http2: Annotated[bool, Key(yes_or_no, "whether it is offered HTTP/2 beside HTTP/1.1")] = True
    wire: Literal["auto", "http", "sse", "websocket"] = "auto"

    def with_defaults(self, keys: Keys) -> RemoteServer:
        """The same, where its own table does not say otherwise."""
        if self.url.startswith(_SOCKET):
            return self
        given = {name: getattr(keys, name) for name in keys.__struct_fields__}
        missing = {name: value for name, value in given.items() if getattr(self, name) is None}
        return msgspec.structs.replace(self, **missing)

    @property
    def reach(self) -> Reach:
        """What both ends prove to each other."""
        return Reach(
            key=self.key,
            principal=self.principal or "",
            host_keys=self.host_key,
            known_hosts=self.known_hosts,
            accept_new=bool(self.accept_new),
            ca=self.ca,
        )

    def secrets(self) -> frozenset[str]:
        return self.confidential | secret_values(self.headers) | secrets_in_address(self.url)

    def _target(self) -> str:
        return self.url


# ── servers inside the daemon ───────────────────────────────────────────────────────────────────

_ATTRIBUTE = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*:[^\W\d]\w*(?:\.[^\W\d]\w*)*\Z")


def _attribute(place: Place, value: Any) -> str | None:
    found = text(place, value)
    if found is not None and not _ATTRIBUTE.match(found):
        place.mistake("does not name a Python object", '"package.module:attribute"')
        return None
    return found


class PythonServer(Server, frozen=True, kw_only=True):
    """A server written in Python that runs inside the daemon."""

    KIND: ClassVar[str] = "python"
    MARK: ClassVar[str] = "python"

    python: Annotated[str, Key(_attribute, 'the server object, as "package.module:attribute"')]

    def _target(self) -> str:
        return self.python


ServerConfig: TypeAlias = StdioServer | RemoteServer | PythonServer

SERVER_KINDS: tuple[type[ServerConfig], ...] = (StdioServer, RemoteServer, PythonServer)


# ── reading one server ──────────────────────────────────────────────────────────────────────────

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
    if url.startswith(_SOCKET):
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
