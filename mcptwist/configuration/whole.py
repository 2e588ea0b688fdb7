"""The whole configuration, and what came of reading one."""

from __future__ import annotations

from typing import Annotated

import msgspec

from mcptwist.configuration.catalogconfig import Catalog, Group, groups_table
from mcptwist.configuration.gateconfig import Auth, auth_table
from mcptwist.configuration.http2config import Http2, Http2Client, http2_table
from mcptwist.configuration.limitsconfig import Cors, Http, Limits, Log
from mcptwist.configuration.listening import DEFAULT_ENDPOINT, endpoints, host, origin
from mcptwist.configuration.reach import Keys
from mcptwist.configuration.serverconfig import ServerConfig
from mcptwist.configuration.settings import Key, Mistake, Note, full_text, many, table_of
from mcptwist.configuration.tlsconfig import Tls, tls_table
from mcptwist.configuration.wiresconfig import Sse, StreamableHttp, WebSocket, Wire, wire_table

#: The sections of the wires over HTTP.
WIRES = ("streamable_http", "websocket", "sse")


class BrokenServer(msgspec.Struct, frozen=True):
    """A server of the file that cannot be used, and why."""

    name: str
    mistakes: tuple[Mistake, ...]


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """All there is to know before the daemon starts.

    :ivar keyless: whether the file says that no keys are wanted.
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
    http2: Annotated[Http2, Key(http2_table(Http2), "a table as below, or false")] = Http2()
    http2_client: Annotated[
        Http2Client, Key(http2_table(Http2Client), "a table as below, or false")
    ] = Http2Client()
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
        Key(auth_table, "a table as below, or false: whoever is on this machine may come in"),
    ] = None
    keys: Annotated[Keys, Key(table_of(Keys), "a table as below")] = Keys()
    catalog: Annotated[Catalog, Key(table_of(Catalog), "a table as below")] = Catalog()
    groups: Annotated[
        tuple[Group, ...], Key(groups_table, "tables as below, by the groups' names")
    ] = ()
    log: Annotated[Log, Key(table_of(Log), "a table as below")] = Log()
    keyless: bool = False
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
    :ivar form: what it is written in, ``JSON`` or ``TOML``.
    """

    name: str
    config: Config | None
    mistakes: tuple[Mistake, ...] = ()
    form: str = "TOML"

    def table(self, name: str) -> str:
        """How one speaks of a table of that file."""
        return f'"{name}"' if self.form == "JSON" else f"[{name}] section"

    def setting(self, key: str, value: str) -> str:
        """How a setting is written there, outside of any table."""
        return f'"{key}": {value}' if self.form == "JSON" else f"{key} = {value}"
