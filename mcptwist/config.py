"""
The configuration: a file and the environment in, frozen values or all the mistakes at once out.

The file is an C{mcpServers} JSON file as people have it for their clients, or TOML with the same
names; either may hold the daemon's own sections too. docs/configuration.rst has every key.

Promises: C{load} raises for no text whatever. A mistake inside one server makes that server broken
and leaves the others as they are; a mistake anywhere else is fatal, for then we cannot know what
was meant. No message and no repr shows a value of an environment or of a header.

Each struct is its own schema: a field with a L{Key} is a key of the file, and its default is the
default. Pure, except for C{read}, which opens the file.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import Annotated, Any, ClassVar, Literal, TypeAlias
from urllib.parse import urlsplit

import msgspec
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IStreamServerEndpointStringParser
from twisted.plugin import getPlugins

from mcptwist.configtext import SyntaxMistake, parse
from mcptwist.redaction import redact, secret_values, secrets_in_address, secrets_in_arguments
from mcptwist.settings import (
    Key,
    Ledger,
    Mistake,
    Note,
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
    size,
    text,
    yes_or_no,
)

__all__ = [
    "BrokenServer",
    "Config",
    "Http",
    "Limits",
    "Loaded",
    "Log",
    "Mistake",
    "Note",
    "PythonServer",
    "RemoteServer",
    "Restart",
    "ServerConfig",
    "StdioServer",
    "command_config",
    "default_config",
    "exit_code",
    "load",
    "override_listen",
    "read",
    "report",
]

KIB = 1024
MIB = 1024 * KIB

#: A longer file is no configuration.
FILE_BYTES = MIB

#: Where the daemon listens unless told otherwise.
DEFAULT_ENDPOINT = "tcp:8808:interface=127.0.0.1"

#: The server that is there when nothing was configured.
BUILTIN_NAME = "mcptwist"
BUILTIN_SERVER = "mcptwist.builtin:server"

#: What a child gets of the daemon's environment, beside its own C{env}.
INHERITED = (
    "HOME", "LANG", "LC_*", "LOGNAME", "PATH", "SHELL", "TERM", "TMPDIR", "TZ", "USER",
)  # fmt: skip

Pairs: TypeAlias = tuple[tuple[str, str], ...]


def _table_of(struct: type[msgspec.Struct]) -> Reader:
    return lambda place, value: read_table(place, value, struct)


# ── the daemon's own sections ───────────────────────────────────────────────────────────────────


def _keepalive(place: Place, value: Any) -> float | None:
    found = seconds(place, value)
    if found is not None and not 15 <= found <= 25:
        place.note("proxies give up on silent streams; 15 to 25 seconds suits nearly all of them")
    return found


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """
    The C{[limits]} section: what any one party may use of the daemon.
    """

    body_bytes: Annotated[int, Key(size, "bytes", "longest HTTP request body; 413 beyond")] = (
        16 * MIB
    )
    header_bytes: Annotated[
        int, Key(size, "bytes", "request line and headers of one request; 431 beyond")
    ] = 64 * KIB
    connections: Annotated[int, Key(count, "", "open connections at a time")] = 4096
    sessions: Annotated[int, Key(count, "", "sessions at a time; 503 beyond")] = 10_000
    session_idle: Annotated[
        float, Key(seconds, "seconds", "a session unused for so long is ended")
    ] = 1800.0
    session_age: Annotated[
        float | None,
        Key(none_or(seconds), "seconds", "a session older than this is ended, used or not"),
    ] = None
    streams_per_session: Annotated[int, Key(count, "", "open streams of one session")] = 32
    event_log_events: Annotated[
        int, Key(count, "", "events kept per session, for clients that come back for them")
    ] = 256
    event_log_bytes: Annotated[int, Key(size, "bytes", "the same, by size")] = MIB
    batch: Annotated[int, Key(count, "", "messages in one batch, where a revision has batches")] = (
        100
    )
    in_flight_per_session: Annotated[
        int, Key(count, "", "requests of one session not yet answered")
    ] = 256
    in_flight_per_server: Annotated[
        int, Key(count, "", "requests to one server not yet answered; see max_in_flight")
    ] = 1024
    line_bytes: Annotated[int, Key(size, "bytes", "longest line taken from a child")] = 64 * MIB
    stderr_lines: Annotated[int, Key(count, "", "last lines kept of a child's stderr")] = 100
    stderr_bytes: Annotated[int, Key(size, "bytes", "the same, by size")] = 64 * KIB
    keepalive: Annotated[
        float, Key(_keepalive, "seconds", "a comment is sent on a stream silent for so long")
    ] = 20.0
    drain: Annotated[
        float, Key(seconds, "seconds", "calls in flight may take so long after SIGTERM")
    ] = 10.0


class Http(msgspec.Struct, frozen=True, kw_only=True):
    """
    The C{[http]} section: how long a peer may take. A connection that takes longer is closed.
    """

    header_timeout: Annotated[
        float, Key(seconds, "seconds", "from the first byte of a request to its last header")
    ] = 10.0
    body_timeout: Annotated[
        float, Key(seconds, "seconds", "from the last header of a request to the end of its body")
    ] = 60.0
    idle_timeout: Annotated[
        float, Key(seconds, "seconds", "between an answer and the next request")
    ] = 75.0
    write_timeout: Annotated[
        float, Key(seconds, "seconds", "a peer that reads nothing while there is more to send")
    ] = 60.0


class Log(msgspec.Struct, frozen=True, kw_only=True):
    """
    The C{[log]} section.
    """

    level: Annotated[
        Literal["debug", "info", "warn", "error", "critical"],
        Key(choice("debug", "info", "warn", "error", "critical"), "", "the least that is logged"),
    ] = "info"
    format: Annotated[
        Literal["text", "json"], Key(choice("text", "json"), "", "lines for people, or JSON lines")
    ] = "text"


# ── what every server has ───────────────────────────────────────────────────────────────────────


class Breaker(msgspec.Struct, frozen=True, kw_only=True):
    """
    When a server that keeps dying is left alone for a while.
    """

    starts: Annotated[int, Key(count, "", "so many starts")] = 5
    within: Annotated[float, Key(seconds, "seconds", "within this time open the breaker")] = 60.0
    open_for: Annotated[
        float, Key(seconds, "seconds", "no start is tried for so long; calls fail at once")
    ] = 60.0


class Restart(msgspec.Struct, frozen=True, kw_only=True):
    """
    What follows when a server's wire is lost.
    """

    policy: Annotated[
        Literal["on-failure", "always", "never"],
        Key(choice("on-failure", "always", "never"), "", "when to start it again"),
    ] = "on-failure"
    backoff_min: Annotated[float, Key(seconds, "seconds", "the first wait; doubles")] = 0.5
    backoff_max: Annotated[float, Key(seconds, "seconds", "the longest wait")] = 60.0
    reset_after: Annotated[
        float, Key(seconds, "seconds", "after so much uptime its failures are forgotten")
    ] = 30.0
    breaker: Annotated[
        Breaker | None,
        Key(none_or(_table_of(Breaker)), "", 'a table as below, or "none"'),
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


#: A bare ``timeout`` above this is in milliseconds.
LONGEST_TIMEOUT_IN_SECONDS = 3600


def _timeout(place: Place, value: Any) -> float | None:
    """
    C{timeout} is in seconds for some clients and in milliseconds for others, in the same files.
    """
    if is_number(value) and value > LONGEST_TIMEOUT_IN_SECONDS:
        place.note('is above 3600, so it was read as milliseconds; write "90s" or "2h" to be exact')
        value = value / 1000
    return seconds(place, value)


class Server(msgspec.Struct, frozen=True, kw_only=True):
    """
    What every server has, whatever it is reached by.

    @ivar name: its path segment under C{/servers/} and the prefix of its tools.
    @ivar confidential: secrets that were found while reading, beside those in its own fields.
    """

    KIND: ClassVar[str] = ""
    MARK: ClassVar[str] = ""

    name: str
    scope: Annotated[
        Literal["shared", "session", "pool"],
        Key(
            choice("shared", "session", "pool"),
            "",
            "one for all clients, one per session, or a few shared out",
        ),
    ] = "shared"
    pool: Annotated[int, Key(count, "", 'how many there are with scope = "pool"')] = 4
    lazy: Annotated[bool, Key(yes_or_no, "", "started by its first call, not with the daemon")] = (
        True
    )
    restart: Annotated[
        Restart, Key(_restart, "", "a policy, or a table as below; when it is started again")
    ] = Restart()
    timeout: Annotated[
        float, Key(_timeout, "seconds", "a call may be silent for so long; progress starts it anew")
    ] = 300.0
    timeout_max: Annotated[
        float, Key(seconds, "seconds", "a call may take so long, progress or not")
    ] = 3600.0
    start_timeout: Annotated[
        float, Key(seconds, "seconds", "from its start to its first answer")
    ] = 60.0
    era: Annotated[
        Literal["auto", "legacy", "modern"],
        Key(choice("auto", "legacy", "modern"), "", "the protocol era it speaks; auto finds out"),
    ] = "auto"
    max_in_flight: Annotated[
        int | None,
        Key(count, "", "requests not yet answered, instead of limits.in_flight_per_server"),
    ] = None
    confidential: frozenset[str] = frozenset()

    @property
    def target(self) -> str:
        """
        What is reached, in a line fit for anyone's eyes.
        """
        return redact(self._target(), self.secrets())

    def secrets(self) -> frozenset[str]:
        """
        Values that must not be shown to anyone, wherever they turn up; see L{mcptwist.redaction}.
        """
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
    if not _VARIABLE_NAME.match(name) or text(place, name) is None:
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


def _directory(place: Place, value: Any) -> str | None:
    found = expanded(place, value)
    if found is None or full_text(place, found) is None:
        return None
    if found == "~" or found.startswith("~/"):
        found = place.ledger.environ.get("HOME", "~") + found[1:]
    return os.path.normpath(os.path.join(place.ledger.directory, found))


class StdioServer(Server, frozen=True, kw_only=True, tag="stdio", repr_omit_defaults=True):
    """
    A server that is a child process of the daemon.
    """

    KIND: ClassVar[str] = "stdio"
    MARK: ClassVar[str] = "command"

    command: Annotated[str, Key(_command, "", "the program; found on PATH unless it has a slash")]
    args: Annotated[tuple[str, ...], Key(many(expanded), "", "its arguments")] = ()
    env: Annotated[Pairs, Key(_env, "", "variables set for it")] = ()
    env_inherit: Annotated[
        tuple[str, ...],
        Key(many(full_text), "", "variables it gets from the daemon; * stands for any characters"),
    ] = INHERITED
    cwd: Annotated[
        str | None, Key(_directory, "", "its working directory, from the file's directory on")
    ] = None
    stop_grace: Annotated[
        float,
        Key(seconds, "seconds", "wait after closing its stdin before TERM, and again before KILL"),
    ] = 5.0

    def environment(self, environ: Mapping[str, str]) -> dict[str, str]:
        """
        The child's whole environment.

        @param environ: the daemon's own.
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

    __repr__ = Server.__repr__


# ── servers somewhere else ──────────────────────────────────────────────────────────────────────

_SCHEMES = ("http", "https", "ws", "wss")


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
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "is not a URL"
    if parts.scheme not in _SCHEMES:
        return "does not begin with http://, https://, ws:// or wss://"
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


class RemoteServer(Server, frozen=True, kw_only=True, tag="remote"):
    """
    A server that is reached over the network.

    @ivar wire: what is spoken there, from the key C{type}; C{auto} is Streamable HTTP, or HTTP+SSE
        where the server knows no better.
    """

    KIND: ClassVar[str] = "remote"
    MARK: ClassVar[str] = "url"

    url: Annotated[str, Key(_url, "", "where it is: http, https, ws or wss")]
    headers: Annotated[Pairs, Key(_headers, "", "headers sent with every request")] = ()
    wire: Literal["auto", "http", "sse", "websocket"] = "auto"

    def secrets(self) -> frozenset[str]:
        return self.confidential | secret_values(self.headers) | secrets_in_address(self.url)

    def _target(self) -> str:
        return self.url

    __repr__ = Server.__repr__


# ── servers inside the daemon ───────────────────────────────────────────────────────────────────

_ATTRIBUTE = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*:[^\W\d]\w*(?:\.[^\W\d]\w*)*\Z")


def _attribute(place: Place, value: Any) -> str | None:
    found = text(place, value)
    if found is not None and not _ATTRIBUTE.match(found):
        place.mistake("does not name a Python object", '"package.module:attribute"')
        return None
    return found


class PythonServer(Server, frozen=True, kw_only=True, tag="python"):
    """
    A server written in Python that runs inside the daemon.
    """

    KIND: ClassVar[str] = "python"
    MARK: ClassVar[str] = "python"

    python: Annotated[str, Key(_attribute, "", 'the server object, as "package.module:attribute"')]

    def _target(self) -> str:
        return self.python

    __repr__ = Server.__repr__


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

_NOT_USED = "is for clients; the daemon does not use it"
_ALL_SERVED = "is for clients; the daemon serves every tool of the server"
_NO_SIGN_IN = "is for clients; the daemon signs in nowhere by itself, put a token into headers"

#: What clients keep in the same tables, and what we say about it.
CLIENT_KEYS: dict[str, str] = {
    **dict.fromkeys(
        ("autoApprove", "alwaysAllow", "autoStart", "chatMenu", "comment", "description", "dev",
         "displayName", "gallery", "icon", "iconPath", "icons", "id", "initTimeout", "instructions",
         "metadata", "name", "note", "notes", "provider", "sandbox", "sandboxEnabled",
         "serverInstructions", "source", "startup", "tags", "title", "trust", "version"),
        _NOT_USED,
    ),
    **dict.fromkeys(
        ("allowedTools", "disabledTools", "enabledTools", "excludeTools", "includeTools", "tools"),
        _ALL_SERVED,
    ),
    **dict.fromkeys(("auth", "authProviderType", "headersHelper", "oauth"), _NO_SIGN_IN),
}  # fmt: skip

_SWITCHES = ("disabled", "enabled", "isActive")

_KEYS_BY_KIND = {kind: keys_of(kind) for kind in SERVER_KINDS}
_COMMON_KEYS = keys_of(Server)
_ALL_KEYS = {name: key for keys in _KEYS_BY_KIND.values() for name, key in keys.items()}

_NAME = re.compile(r"[A-Za-z0-9_.\-]{1,64}\Z")


def _read_server(place: Place, name: str, table: Any) -> ServerConfig | None:
    """
    One server; None after a mistake was reported.
    """
    _check_name(place, name)
    if not is_table(place, table):
        return None
    report_repeated(place, table)
    given = _in_our_words(place, table)
    kind = _which_kind(place, given)
    _check_keys(place, given, kind)
    fields = read_fields(place, given, _KEYS_BY_KIND[kind] if kind else _COMMON_KEYS)
    if fields is None or kind is None or place.ledger.mistakes:
        return None
    fields |= {"name": name, "confidential": frozenset(place.ledger.revealed)}
    if kind is RemoteServer:
        fields["wire"] = _wire(given)
    _settle(place, fields)
    return None if place.ledger.mistakes else kind(**fields)


def _check_name(place: Place, name: str) -> None:
    if _NAME.match(name) and "__" not in name and name[-1] != "_" and name.strip("."):
        return
    better = re.sub(r"_{2,}", "_", re.sub(r"[^A-Za-z0-9_.\-]+", "-", name[:64])).strip("-_.")
    place.mistake(
        "is no name for a server, for it becomes part of a URL and of tool names",
        "letters, digits, - . and _, at most 64 of them, no two _ together and none at the end"
        + (f', such as "{better}"' if better and better != name else ""),
    )


def _in_our_words(place: Place, table: Mapping[str, Any]) -> dict[str, Any]:
    """
    The table with our names for its keys. A key that is null was not given.
    """
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


def _wire(given: Mapping[str, Any]) -> str:
    if "type" in given:
        return _TYPES[_folded_type(given["type"])][1]
    return "websocket" if str(given["url"]).lower().startswith("ws") else "auto"


def _check_keys(place: Place, given: Mapping[str, Any], kind: type[ServerConfig] | None) -> None:
    """
    Report the keys that we do not know, those that go with another kind, and those of clients.
    """
    keys = _KEYS_BY_KIND[kind] if kind else _ALL_KEYS
    for key, value in given.items():
        if key in keys or key == "type" or key in _SWITCHES:
            continue
        if key in CLIENT_KEYS:
            place.at(key).note(CLIENT_KEYS[key])
        elif key == "envFile":
            place.at(key).mistake("is not read by the daemon", "the variables in env")
        elif key in _ALL_KEYS and value not in ([], {}):
            marks = [each.MARK for each in SERVER_KINDS if key in _KEYS_BY_KIND[each]]
            place.at(key).mistake("does not go with this server", f"it beside {marks[0]}")
    known = {*_ALL_KEYS, "type", "envFile", *_SWITCHES, *CLIENT_KEYS}
    report_unknown(place, given, known)


def _settle(place: Place, fields: dict[str, Any]) -> None:
    """
    Settle what one key means for another.
    """
    if "pool" in fields and fields.get("scope") != "pool":
        place.at("pool").mistake("means nothing with this scope", 'scope = "pool"')
    timeout = fields.get("timeout", 0)
    if "timeout_max" not in fields:
        longest = next(f.default for f in msgspec.structs.fields(Server) if f.name == "timeout_max")
        fields["timeout_max"] = max(timeout, longest)
    elif fields["timeout_max"] < timeout:
        place.at("timeout_max").mistake("is below timeout", "a longer time than timeout")


def _is_switched_off(place: Place, table: Any) -> bool:
    """
    Is this server not to be used? C{disabled} says yes, C{enabled} or C{isActive} say no.
    """
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


# ── the whole ───────────────────────────────────────────────────────────────────────────────────


def _endpoint(place: Place, value: Any) -> str | None:
    found = full_text(place, value)
    if found is None:
        return None
    problem, expected = _endpoint_problem(found)
    if problem:
        place.mistake(problem, expected)
        return None
    if _is_open_to_the_network(found):
        place.note("is open to the network, and everyone there may use the servers")
    return found


_AN_ENDPOINT = f'a Twisted endpoint such as "{DEFAULT_ENDPOINT}"'
_HOST_AND_PORT = re.compile(r"(?:(?P<host>[A-Za-z0-9.\-]+):)?(?P<port>\d{1,5})\Z", re.ASCII)
#: Endpoints that can be made without opening or reading anything.
_PLAIN_ENDPOINTS = frozenset({"tcp", "tcp6", "unix"})


def _endpoint_problem(description: str) -> tuple[str, str]:
    """
    What is wrong with an endpoint's description, and what would be right; nothing is opened.
    """
    kind, _, rest = description.partition(":")
    bare = _HOST_AND_PORT.match(description)
    if bare and kind not in _PLAIN_ENDPOINTS:
        host = bare["host"] or "127.0.0.1"
        return "is no endpoint", f'"tcp:{bare["port"]}:interface={host}"'
    if kind not in {*_PLAIN_ENDPOINTS, "ssl"} and kind not in _plugin_endpoints():
        return f"is an endpoint of the unknown kind {shown(kind)}", _AN_ENDPOINT
    if kind not in _PLAIN_ENDPOINTS:
        return "", ""
    try:
        serverFromString(object(), description)  # type: ignore[no-untyped-call]
    except Exception:  # each parser of endpoints fails in its own way
        return "is not complete, or has arguments this endpoint does not take", _AN_ENDPOINT
    port = rest.partition(":")[0]
    if kind != "unix" and not (port.isdecimal() and int(port) < 65536):
        return "has no port from 0 to 65535", _AN_ENDPOINT
    return "", ""


def _plugin_endpoints() -> frozenset[str]:
    return frozenset(parser.prefix for parser in getPlugins(IStreamServerEndpointStringParser))


_LOOPBACK = re.compile(r":interface=(?:127\.|localhost(?::|\Z)|\\:\\:1(?::|\Z))")


def _is_open_to_the_network(description: str) -> bool:
    return description.startswith(("tcp:", "tcp6:", "ssl:")) and not _LOOPBACK.search(description)


def _endpoints(place: Place, value: Any) -> tuple[str, ...] | None:
    found = many(_endpoint)(place, value)
    if found is None:
        return None
    if not found:
        place.mistake("is empty", f"at least one endpoint, such as {_AN_ENDPOINT}")
    for number, description in enumerate(found):
        # Each port 0 is another port.
        if description in found[:number] and ":0" not in description:
            place.item(number).mistake("is there already", "each endpoint once")
    return found


_HOST = re.compile(r"(?:[A-Za-z0-9_.\-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?\Z", re.ASCII)
_ORIGIN = re.compile(r"[a-z][a-z0-9+.\-]*://(?:[a-z0-9_.\-]+|\[[0-9a-f:.]+\])(?::\d{1,5})?\Z")


def _host(place: Place, value: Any) -> str | None:
    found = text(place, value)
    if found is not None and not _HOST.match(found):
        place.mistake("is no host", '"mcp.example.com", or with a port "mcp.example.com:8443"')
        return None
    return found.lower() if found is not None else None


def _origin(place: Place, value: Any) -> str | None:
    found = text(place, value)
    if found is None:
        return None
    if not _ORIGIN.match(found.lower()):
        place.mistake("is no origin", '"https://app.example.com", with no path after it')
        return None
    return found.lower()


class BrokenServer(msgspec.Struct, frozen=True):
    """
    A server of the file that cannot be used, and why.
    """

    name: str
    mistakes: tuple[Mistake, ...]


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """
    All there is to know before the daemon starts.

    @ivar servers: those that can be used and are not disabled, in the order of the file.
    @ivar broken: those that cannot.
    @ivar disabled: the names of those that are not to be used.
    @ivar notes: what a person may want to know about the file.
    """

    listen: Annotated[
        tuple[str, ...], Key(_endpoints, "", "Twisted endpoints; port 0 is any free port")
    ] = (DEFAULT_ENDPOINT,)
    allowed_hosts: Annotated[
        tuple[str, ...],
        Key(many(_host), "", "names in the Host header we answer to, beside this machine's own"),
    ] = ()
    allowed_origins: Annotated[
        tuple[str, ...],
        Key(many(_origin), "", "web pages whose scripts may call, beside those of this machine"),
    ] = ()
    limits: Annotated[Limits, Key(_table_of(Limits), "", "a table as below")] = Limits()
    http: Annotated[Http, Key(_table_of(Http), "", "a table as below")] = Http()
    log: Annotated[Log, Key(_table_of(Log), "", "a table as below")] = Log()
    servers: tuple[ServerConfig, ...] = ()
    broken: tuple[BrokenServer, ...] = ()
    disabled: tuple[str, ...] = ()
    notes: tuple[Note, ...] = ()

    def server(self, name: str) -> ServerConfig | None:
        """
        The usable server of that name.
        """
        return next((each for each in self.servers if each.name == name), None)


class Loaded(msgspec.Struct, frozen=True):
    """
    What came of reading a configuration.

    @ivar name: the file's name, for messages.
    @ivar config: the values; None after a mistake outside the servers.
    @ivar mistakes: all of them, those of servers too.
    """

    name: str
    config: Config | None
    mistakes: tuple[Mistake, ...] = ()


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
    """
    Read a configuration.

    @param text: the file's text.
    @param name: its name; the suffix C{.json} or C{.toml} tells the format, else the text does.
    @param environ: the variables that C{${VAR}} may name.
    @param directory: where the file is, for relative paths in it.
    @param mode: the file's permissions, for a warning about secrets; 0 when not known.
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
    return _assembled(name, whole, own, found)


class _Found:
    """
    One server of the file and what was found out about it.
    """

    def __init__(self, name: str, table: Any, place: Place) -> None:
        self.name = name
        self.table = table
        self.place = place
        self.ledger = place.ledger
        self.server: ServerConfig | None = None
        self.is_off = False


def _read_own(whole: Ledger, value: Mapping[str, Any]) -> dict[str, Any]:
    """
    The daemon's own sections.
    """
    place = whole.place()
    for key in getattr(value, "repeated", ()):
        if key not in CLIENT_SECTIONS:
            place.at(key).mistake("is written more than once", "each key once")
    for key in CLIENT_SECTIONS & value.keys():
        place.at(key).note(_NOT_USED)
    stray = {key for key in value if key not in _OWN_KEYS and _looks_like_a_server(value[key])}
    for key in sorted(stray - set(SERVER_SECTIONS)):
        place.at(key).mistake("is a server outside of any section", 'it inside of "mcpServers"')
    report_unknown(place, value, {*_OWN_KEYS, *SERVER_SECTIONS, *CLIENT_SECTIONS, *stray})
    return read_fields(place, value, _OWN_KEYS) or {}


def _looks_like_a_server(value: Any) -> bool:
    return isinstance(value, dict) and any(kind.MARK in value for kind in SERVER_KINDS)


def _server_tables(whole: Ledger, value: Mapping[str, Any]) -> Iterable[tuple[str, str, Any, bool]]:
    """
    Section, name, table, and whether the name is there twice, of every server in the file.
    """
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
    found.is_off = _is_switched_off(found.place, table)
    found.server = _read_server(found.place, name, table)
    if found.is_off:
        _forgive(ledger)
    return found


def _forgive(ledger: Ledger) -> None:
    """
    What is wrong with a disabled server hurts nobody: it is worth a note.
    """
    ledger.notes = [
        Note(each.path, f"{each.problem} (the server is disabled)", each.server)
        for each in ledger.mistakes
    ]
    ledger.mistakes = []


def _check_clashes(found: Sequence[_Found]) -> None:
    """
    Two servers must differ in their URL, and in their tools' prefix, which can have no dot.
    """
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
    """
    The secrets which stand in a server's table themselves, not by the name of a variable.
    """
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
    ledgers = [whole, *(each.ledger for each in found)]
    mistakes = tuple(mistake for ledger in ledgers for mistake in ledger.mistakes)
    if whole.mistakes:
        return Loaded(name, None, mistakes)
    config = Config(
        **own,
        servers=tuple(
            each.server
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


def _unreadable(name: str, path: str, problem: str, expected: str = "") -> Loaded:
    return Loaded(name, None, (Mistake(path, problem, expected),))


def read(path: str, environ: Mapping[str, str]) -> Loaded:
    """
    Open a file and read the configuration in it.

    @param path: the file.
    @param environ: as for C{load}.
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


# ── without a file ──────────────────────────────────────────────────────────────────────────────


def default_config() -> Config:
    """
    What is used when nothing was configured: the built-in server alone.
    """
    return Config(servers=(PythonServer(name=BUILTIN_NAME, python=BUILTIN_SERVER),))


def command_config(name: str | None, argv: Sequence[str], listen: Sequence[str] = ()) -> Loaded:
    """
    The configuration of C{mcptwist run -- COMMAND}: that server alone, with the caller's whole
    environment, as any command started from a shell.

    @param name: the server's name; None to take it from the command (see L{name_of_command}).
    @param argv: the command and its arguments.
    @param listen: endpoints, as for L{override_listen}.
    """
    ledger = Ledger({})
    chosen = name_of_command(argv) if name is None else name
    _check_name(ledger.place("--name"), chosen)
    if not argv or not argv[0]:
        ledger.place("--").mistake("has no command after it", "the command of a stdio server")
    if ledger.mistakes:
        return Loaded("the command line", None, tuple(ledger.mistakes))
    server = StdioServer(name=chosen, command=argv[0], args=tuple(argv[1:]), env_inherit=("*",))
    return override_listen(Loaded("the command line", Config(servers=(server,))), listen)


def override_listen(loaded: Loaded, listen: Sequence[str]) -> Loaded:
    """
    The same, listening on the endpoints of the command line, if there are any.
    """
    if not listen or loaded.config is None:
        return loaded
    ledger = Ledger({})
    endpoints = _endpoints(ledger.place("--listen"), list(listen))
    if ledger.mistakes or endpoints is None:
        return Loaded(loaded.name, None, (*loaded.mistakes, *ledger.mistakes))
    old = tuple(note for note in loaded.config.notes if not note.path.startswith("listen["))
    config = msgspec.structs.replace(loaded.config, listen=endpoints, notes=(*old, *ledger.notes))
    return Loaded(loaded.name, config, loaded.mistakes)


_LAUNCHERS = frozenset({
    "bun", "bunx", "deno", "docker", "node", "npm", "npx", "pipx", "pnpm", "podman", "py",
    "pypy", "pypy3", "python", "python3", "sh", "bash", "sudo", "env", "tsx", "uv", "uvx",
    "yarn",
})  # fmt: skip
_SUBCOMMANDS = frozenset({"dlx", "exec", "run", "tool", "x"})
_OPTIONS_WITH_VALUE = frozenset({
    "--from", "--with", "--python", "-p", "--package", "--index-url", "-e", "--env",
    "--env-file", "-v", "--volume", "--mount", "--network", "--name", "-w", "--workdir",
    "--directory", "--project", "--entrypoint", "-u", "--user",
})  # fmt: skip
_GENERIC = frozenset({
    "__main__", "app", "bin", "build", "cli", "dist", "index", "lib", "main", "mcp", "run",
    "server", "src", "start",
})  # fmt: skip


def name_of_command(argv: Sequence[str]) -> str:
    """
    A name for the server which this command starts: that of the program, or of what a launcher
    such as C{npx} or C{docker run} is to start, without what all such names have in common.
    C{uvx mcp-server-time} is "time"; "server" when nothing is left.
    """
    words = list(argv)
    while words and _stem(words[0]) in _LAUNCHERS:
        words = _after_options(words[1:])
    parts = PurePosixPath(words[0].replace("\\", "/")).parts if words else ()
    for part in reversed(parts):
        name = _plain_name(part)
        if name and name.lower() not in _GENERIC:
            return name
    return "server"


def _stem(word: str) -> str:
    return PurePosixPath(word.replace("\\", "/")).name.removesuffix(".exe").rstrip("0123456789.")


def _after_options(words: Sequence[str]) -> list[str]:
    rest = list(words)
    while rest and (rest[0].startswith("-") or rest[0] in _SUBCOMMANDS):
        word = rest.pop(0)
        if word in {"-m", "--"}:
            break
        if word in _OPTIONS_WITH_VALUE and rest:
            rest.pop(0)
    return rest


def _plain_name(part: str) -> str:
    name = re.split(r"(?<=.)[@:=<>~\[]", part, maxsplit=1)[0]
    name = re.sub(r"\.(?:py|js|mjs|cjs|ts|sh|exe|jar)\Z", "", name)
    name = re.sub(r"^(?:mcp[-_])?server[-_]|^mcp[-_]", "", name)
    name = re.sub(r"[-_](?:mcp[-_]?server|mcp|server)\Z", "", name)
    return re.sub(r"_{2,}", "_", re.sub(r"[^A-Za-z0-9_.\-]+", "-", name))[:64].strip("-_.")


# ── what mcptwist check says ────────────────────────────────────────────────────────────────────


def exit_code(loaded: Loaded) -> int:
    """
    0 when all is well, 1 when some server cannot be used, 2 when the daemon would not start.
    """
    if loaded.config is None:
        return 2
    return 1 if loaded.mistakes else 0


def report(loaded: Loaded) -> str:
    """
    What a person wants to know about a configuration: every mistake, then every server.
    """
    lines = [f"{_printable(loaded.name)}: {_verdict(loaded)}"]
    lines += _section("mistakes", map(str, loaded.mistakes))
    if loaded.config is not None:
        lines += _section("notes", map(str, loaded.config.notes))
        lines += _section("servers", _server_lines(loaded.config))
        lines += _section("listens on", loaded.config.listen)
    return "\n".join(lines) + "\n"


def _verdict(loaded: Loaded) -> str:
    if loaded.config is None:
        return f"cannot be used ({_counted(len(loaded.mistakes), 'mistake')})"
    usable = _counted(len(loaded.config.servers), "server")
    if not loaded.mistakes:
        return f"good ({usable})"
    return f"{_counted(len(loaded.mistakes), 'mistake')}; {usable} can be used all the same"


def _server_lines(config: Config) -> list[str]:
    rows = [(each.name, each.KIND, each.target, _manner(each)) for each in config.servers]
    rows += [
        (each.name, "broken", _counted(len(each.mistakes), "mistake"), "") for each in config.broken
    ]
    rows += [(name, "disabled", "", "") for name in config.disabled]
    wide = max((len(_printable(row[0])) for row in rows), default=0)
    return [f"{_printable(row[0]):{wide}}  {row[1]:8}  {row[2]}  {row[3]}".rstrip() for row in rows]


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
