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
from typing import Annotated, Any, Literal

import msgspec

from mcptwist.configuration.catalogconfig import Catalog, Group, check_groups, groups_table
from mcptwist.configuration.configtext import SyntaxMistake, parse
from mcptwist.configuration.gateconfig import Auth
from mcptwist.configuration.listening import (
    DEFAULT_ENDPOINT,
    encrypted,
    endpoints,
    header_name,
    host,
    is_local,
    origin,
)
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
from mcptwist.configuration.servernames import check_name, name_of_command
from mcptwist.configuration.settings import (
    Key,
    Ledger,
    Mistake,
    Note,
    Place,
    choice,
    count,
    full_text,
    is_table,
    keys_of,
    kind_of,
    many,
    none_or,
    read_fields,
    report_unknown,
    seconds,
    shown,
    size,
    table_of,
)
from mcptwist.configuration.tlsconfig import KeyPair, Tls, tls_table
from mcptwist.configuration.wiresconfig import Sse, StreamableHttp, WebSocket, Wire, wire_table

__all__ = [
    "Auth",
    "BrokenServer",
    "Catalog",
    "Config",
    "Cors",
    "Group",
    "Http",
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

KIB = 1024
MIB = 1024 * KIB

#: A longer file is no configuration.
FILE_BYTES = MIB

#: The server that is there when nothing was configured.
BUILTIN_NAME = "toolbox"
BUILTIN_SERVER = "mcptwist.serving.toolbox:toolbox"

# ── the daemon's own sections ───────────────────────────────────────────────────────────────────


def _keepalive(place: Place, value: Any) -> float | None:
    found = seconds(place, value)
    if found is not None and not 15 <= found <= 25:
        place.note("proxies give up on silent streams; 15 to 25 seconds suits nearly all of them")
    return found


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The ``[limits]`` section: what any one party may use of the daemon."""

    body_bytes: Annotated[int, Key(size, "longest HTTP request body; 413 beyond", "bytes")] = (
        16 * MIB
    )
    header_bytes: Annotated[
        int, Key(size, "request line and headers of one request; 431 beyond", "bytes")
    ] = 64 * KIB
    connections: Annotated[int, Key(count, "open connections at a time")] = 4096
    sessions: Annotated[int, Key(count, "sessions at a time; 503 beyond")] = 10_000
    session_idle: Annotated[
        float, Key(seconds, "a session unused for so long is ended", "seconds")
    ] = 1800.0
    session_age: Annotated[
        float | None,
        Key(none_or(seconds), "a session older than this is ended, used or not", "seconds"),
    ] = None
    streams_per_session: Annotated[int, Key(count, "open streams of one session")] = 32
    event_log_events: Annotated[
        int, Key(count, "events kept per session, for clients that come back for them")
    ] = 256
    event_log_bytes: Annotated[int, Key(size, "the same, by size", "bytes")] = MIB
    batch: Annotated[int, Key(count, "messages in one batch, where a revision has batches")] = 100
    streams_per_connection: Annotated[
        int, Key(count, "requests open on one HTTP/2 connection; more are refused")
    ] = 100
    in_flight_per_session: Annotated[
        int, Key(count, "requests of one session not yet answered")
    ] = 256
    in_flight_per_server: Annotated[
        int, Key(count, "requests to one server not yet answered; see max_in_flight")
    ] = 1024
    line_bytes: Annotated[int, Key(size, "longest line taken from a child", "bytes")] = 64 * MIB
    stderr_lines: Annotated[int, Key(count, "last lines kept of a child's stderr")] = 100
    stderr_bytes: Annotated[int, Key(size, "the same, by size", "bytes")] = 64 * KIB
    keepalive: Annotated[
        float, Key(_keepalive, "a comment is sent on a stream silent for so long", "seconds")
    ] = 20.0
    drain: Annotated[
        float, Key(seconds, "calls in flight may take so long after SIGTERM", "seconds")
    ] = 10.0


class Http(msgspec.Struct, frozen=True, kw_only=True):
    """The ``[http]`` section: how long a peer may take before its connection is closed."""

    handshake_timeout: Annotated[
        float, Key(seconds, "for the TLS handshake, where there is one", "seconds")
    ] = 10.0
    header_timeout: Annotated[
        float, Key(seconds, "from the first byte of a request to its last header", "seconds")
    ] = 10.0
    body_timeout: Annotated[
        float, Key(seconds, "from the last header of a request to the end of its body", "seconds")
    ] = 60.0
    idle_timeout: Annotated[
        float, Key(seconds, "between an answer and the next request", "seconds")
    ] = 75.0
    write_timeout: Annotated[
        float, Key(seconds, "a peer that reads nothing while there is more to send", "seconds")
    ] = 60.0


class Cors(msgspec.Struct, frozen=True, kw_only=True):
    """The ``[cors]`` section: what web pages of other origins may send and read.

    Which pages these are is said by ``allowed_origins``.
    """

    methods: Annotated[
        tuple[str, ...],
        Key(
            many(choice("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")),
            "what pages may do, beside GET, HEAD and POST that browsers let them do anyway",
        ),
    ] = ("GET", "POST", "DELETE")
    headers: Annotated[
        tuple[str, ...],
        Key(many(header_name), "headers pages may send, beside those of MCP"),
    ] = ()
    exposed_headers: Annotated[
        tuple[str, ...],
        Key(many(header_name), "headers pages may read in answers, beside those of MCP"),
    ] = ()
    max_age: Annotated[
        float, Key(seconds, "browsers may remember for so long what pages may do", "seconds")
    ] = 600.0


class Log(msgspec.Struct, frozen=True, kw_only=True):
    """The ``[log]`` section."""

    level: Annotated[
        Literal["debug", "info", "warn", "error", "critical"],
        Key(choice("debug", "info", "warn", "error", "critical"), "the least that is logged"),
    ] = "info"
    format: Annotated[
        Literal["text", "json"], Key(choice("text", "json"), "lines for people, or JSON lines")
    ] = "text"


# ── the whole ─────────────────────────────────────────────────────────────────────────────────


class BrokenServer(msgspec.Struct, frozen=True):
    """A server of the file that cannot be used, and why."""

    name: str
    mistakes: tuple[Mistake, ...]


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """All there is to know before the daemon starts.

    :ivar servers: those that can be used and are not disabled, in the order of the file.
    :ivar broken: those that cannot.
    :ivar disabled: the names of those that are not to be used.
    :ivar notes: what a person may want to know about the file.
    """

    listen: Annotated[
        tuple[str, ...],
        Key(endpoints, "Twisted endpoints, or https: for tcp: with TLS; port 0 is any free port"),
    ] = (DEFAULT_ENDPOINT,)
    allowed_hosts: Annotated[
        tuple[str, ...],
        Key(many(host), "names in the Host header we answer to, beside this machine's own"),
    ] = ()
    allowed_origins: Annotated[
        tuple[str, ...],
        Key(many(origin), "web pages whose scripts may call, beside those of this machine"),
    ] = ()
    admin_socket: Annotated[
        str, Key(full_text, "path of the socket that a console comes to; auto finds one, or off")
    ] = "auto"
    limits: Annotated[Limits, Key(table_of(Limits), "a table as below")] = Limits()
    http: Annotated[Http, Key(table_of(Http), "a table as below")] = Http()
    streamable_http: Annotated[
        StreamableHttp, Key(wire_table(StreamableHttp), "a table as below, or false")
    ] = StreamableHttp()
    websocket: Annotated[WebSocket, Key(wire_table(WebSocket), "a table as below, or false")] = (
        WebSocket()
    )
    sse: Annotated[Sse, Key(wire_table(Sse), "a table as below, or false")] = Sse()
    cors: Annotated[Cors, Key(table_of(Cors), "a table as below")] = Cors()
    tls: Annotated[Tls, Key(tls_table, "a table as below")] = Tls()
    auth: Annotated[
        Auth | None,
        Key(table_of(Auth), "a table as below; without it, whoever gets here may come in"),
    ] = None
    catalog: Annotated[Catalog, Key(table_of(Catalog), "a table as below")] = Catalog()
    groups: Annotated[
        tuple[Group, ...], Key(groups_table, "tables as below, by the groups' names")
    ] = ()
    log: Annotated[Log, Key(table_of(Log), "a table as below")] = Log()
    servers: tuple[ServerConfig, ...] = ()
    broken: tuple[BrokenServer, ...] = ()
    disabled: tuple[str, ...] = ()
    notes: tuple[Note, ...] = ()

    @property
    def wires(self) -> dict[str, Wire]:
        """The wires over HTTP, by the names of their sections."""
        return {name: getattr(self, name) for name in WIRES}

    @property
    def endpoints(self) -> dict[str, str]:
        """Every endpoint that is listened on, by where it stands in the file."""
        places = {"listen": self.listen} | {f"{n}.listen": w.listen for n, w in self.wires.items()}
        return {
            f"{place}[{number}]": entry
            for place, entries in places.items()
            for number, entry in enumerate(entries)
        }

    def server(self, name: str) -> ServerConfig | None:
        """The usable server of that name."""
        return next((each for each in self.servers if each.name == name), None)


class Loaded(msgspec.Struct, frozen=True):
    """What came of reading a configuration.

    :ivar name: the file's name, for messages.
    :ivar config: the values; None after a mistake outside the servers.
    :ivar mistakes: all of them, those of servers too.
    """

    name: str
    config: Config | None
    mistakes: tuple[Mistake, ...] = ()


#: The sections of the wires over HTTP.
WIRES = ("streamable_http", "websocket", "sse")

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
    return _assembled(name, whole, own, found)


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
    known = Config(**own)
    if "tls" in own and not any(encrypted(entry)[0] for entry in known.endpoints.values()):
        place.at("tls").note("means nothing, as no endpoint begins with https:")
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


# ── without a file ──────────────────────────────────────────────────────────────────────────────


def default_config() -> Config:
    """What is used when nothing was configured: the built-in server alone."""
    return Config(servers=(PythonServer(name=BUILTIN_NAME, python=BUILTIN_SERVER),))


def command_config(name: str | None, argv: Sequence[str], listen: Sequence[str] = ()) -> Loaded:
    """The configuration of ``mcptwist run -- COMMAND``: that server alone, with the caller's whole
    environment, as any command started from a shell.

    :param name: the server's name; None to take it from the command (see ``name_of_command``).
    :param argv: the command and its arguments.
    :param listen: endpoints, as for ``override_listen``.
    """
    ledger = Ledger({})
    chosen = name_of_command(argv) if name is None else name
    check_name(ledger.place("--name"), chosen)
    if not argv or not argv[0]:
        ledger.place("--").mistake("has no command after it", "the command of a stdio server")
    if ledger.mistakes:
        return Loaded("the command line", None, tuple(ledger.mistakes))
    server = StdioServer(name=chosen, command=argv[0], args=tuple(argv[1:]), env_inherit=("*",))
    return override_listen(Loaded("the command line", Config(servers=(server,))), listen)


def override_listen(loaded: Loaded, listen: Sequence[str]) -> Loaded:
    """The same, listening on the endpoints of the command line, if there are any."""
    if not listen or loaded.config is None:
        return _refuse_exposure(loaded, "listen")
    ledger = Ledger({})
    chosen = endpoints(ledger.place("--listen"), list(listen))
    if ledger.mistakes or chosen is None:
        return Loaded(loaded.name, None, (*loaded.mistakes, *ledger.mistakes))
    old = tuple(note for note in loaded.config.notes if not note.path.startswith("listen["))
    config = msgspec.structs.replace(loaded.config, listen=chosen, notes=(*old, *ledger.notes))
    return _refuse_exposure(Loaded(loaded.name, config, loaded.mistakes), "--listen")


def _refuse_exposure(loaded: Loaded, where: str) -> Loaded:
    """Nobody listens to a network without knowing who is calling."""
    if loaded.config is None or loaded.config.auth is not None:
        return loaded
    ledger = Ledger({})
    for path, entry in loaded.config.endpoints.items():
        if not is_local(entry):
            shown_path = path.replace("listen", where, 1) if path.startswith("listen") else path
            Place(ledger, shown_path).mistake(
                "is open to the network, and there are no keys",
                "an [auth] section, or interface=127.0.0.1",
            )
    if not ledger.mistakes:
        return loaded
    return Loaded(loaded.name, None, (*loaded.mistakes, *ledger.mistakes))


# ── what mcptwist check says ────────────────────────────────────────────────────────────────────


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
