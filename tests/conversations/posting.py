"""The client's end of Streamable HTTP, and the far server's, in memory.

Between them stands all that the daemon is made of but the sockets and the processes: HTTP/1.1
connections over string transports, the site, the endpoint, the sessions, a backend.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from mcptwist.backend import Backend, BackendSettings
from mcptwist.daemon import Daemon
from mcptwist.eras.held import Held
from mcptwist.errors import McpTwistError
from mcptwist.gateway import Gateway, whole_view
from mcptwist.messages import Message, Request, Result, encode_json
from mcptwist.negotiation import modern_meta
from mcptwist.patience import Patience
from mcptwist.protocols.http1factory import HTTP1Factory
from mcptwist.protocols.pages import site_tree
from mcptwist.protocols.site import HostGuard, Site
from mcptwist.protocols.streamable import Concourse, StreamableHttp, StreamableSettings
from mcptwist.protocols.streams import StreamLimits
from mcptwist.sessiontable import SessionTable
from mcptwist.supervisor import SupervisorSettings
from tests.fakes import FakeConnector, FakeWire
from tests.protocols.front import PORT, Wire

ME = {"name": "mcptwist", "version": "0"}
BOB = {"name": "bob", "version": "1"}
JSON, EVENTS = "application/json", "text/event-stream"
BOTH = f"{JSON}, {EVENTS}"
WELCOME = {
    "protocolVersion": "2025-11-25",
    "capabilities": {"tools": {}},
    "serverInfo": {"name": "far"},
}
DISCOVERY = {"supportedVersions": ["2026-07-28"], "capabilities": {}, "resultType": "complete"}


class Response:
    """What came back on one connection, as far as it has come.

    :ivar wire: the client's connection.
    """

    def __init__(self, wire: Wire) -> None:
        self.wire = wire

    @property
    def head(self) -> list[bytes]:
        return self.wire.value().partition(b"\r\n\r\n")[0].split(b"\r\n")

    @property
    def status(self) -> int:
        """The status, 0 while there is none."""
        line = self.head[0]
        return int(line.split(b" ")[1]) if line else 0

    @property
    def headers(self) -> dict[str, str]:
        pairs = (line.decode().partition(": ") for line in self.head[1:])
        return {name.lower(): value for name, _, value in pairs}

    @property
    def _chunks(self) -> tuple[bytes, bool]:
        """The body so far, and whether it has ended."""
        body, rest = b"", self.wire.value().partition(b"\r\n\r\n")[2]
        if self.headers.get("transfer-encoding") != "chunked":
            return rest, len(rest) == int(self.headers.get("content-length", -1))
        while rest:
            line, _, rest = rest.partition(b"\r\n")
            size = int(line, 16)
            body, rest = body + rest[:size], rest[size + 2 :]
            if not size:
                return body, True
        return body, False

    @property
    def body(self) -> bytes:
        return self._chunks[0]

    @property
    def ended(self) -> bool:
        """Whether the answer is complete."""
        return self._chunks[1]

    @property
    def json(self) -> Any:
        """The body of a JSON answer."""
        assert self.headers["content-type"] == JSON, self.wire.value()
        return msgspec.json.decode(self.body)

    @property
    def error(self) -> dict[str, Any]:
        error: dict[str, Any] = self.json["error"]
        return error

    @property
    def blocks(self) -> list[dict[str, str]]:
        """The blocks of an event stream, comments under the empty name."""
        assert self.headers["content-type"] == EVENTS, self.wire.value()
        found = []
        for text in self.body.decode().split("\n\n")[:-1]:
            pairs = (line.partition(":") for line in text.split("\n"))
            found.append({name: value.removeprefix(" ") for name, _, value in pairs})
        return found

    @property
    def said(self) -> list[Any]:
        """The messages of an event stream."""
        return [msgspec.json.decode(b["data"]) for b in self.blocks if b.get("data")]

    @property
    def ids(self) -> list[str]:
        """The ids of its events."""
        return [block["id"] for block in self.blocks if "id" in block]

    @property
    def comments(self) -> int:
        """How many signs of life there were."""
        return sum("" in block for block in self.blocks)

    def leave(self) -> None:
        """The client closes its connection."""
        self.wire.lose()


class House:
    """A daemon without sockets, and its clients.

    :param names: of the servers; the first is the one that is asked unless a path is given.
    """

    def __init__(
        self, names: Iterable[str] = ("far",), *, sessions: int = 100, idle: float = 1800.0,
        body: int = 1 << 20, batch: int = 8, streams: StreamLimits | None = None, plan: Any = (),
        **settings: Any,
    ) -> None:  # fmt: skip
        self.clock = Clock()
        self.connector = FakeConnector(plan, clock=self.clock)
        held = Held(self.clock, lambda size: b"x" * size)
        supervision = SupervisorSettings(start_timeout=30.0)
        backends = {
            name: Backend(
                name, self.connector, self.clock, lambda: Patience(1.0, 8.0), ME, held,
                BackendSettings(**settings, supervision=supervision),
            )
            for name in names
        }  # fmt: skip
        self.backend = next(iter(backends.values()))
        self.gateway = Gateway(backends, whole_view(backends, None), {"odd": "command is missing"})  # type: ignore[arg-type]
        keys = iter(range(1000))
        table = SessionTable(self.clock, lambda: f"key-{next(keys)}", sessions, idle)
        bounds = StreamableSettings(body, batch, streams or StreamLimits())
        self.concourse = Concourse(self.clock, table, bounds)
        self.daemon = Daemon(self.gateway, self.concourse, self.clock, grace=10.0)
        tree = site_tree(
            self.gateway,
            lambda view: {b"mcp": StreamableHttp(self.concourse, view)},
            self.daemon.health,
            self.daemon.ready,
        )
        self.factory = HTTP1Factory(Site(tree, HostGuard(), clock=self.clock), self.clock)
        self.session = ""
        self.revision = ""

    # --- the far server ---------------------------------------------------------------

    @property
    def wire(self) -> FakeWire:
        return self.connector.wire

    def agree(self, **more: Any) -> None:
        """The far server answers the opening."""
        opening = self.wire.sent.pop(0)
        assert isinstance(opening, Request)
        answer = WELCOME if opening.method == "initialize" else DISCOVERY
        self.wire.receive(Result(opening.id, encode_json({**answer, **more})))
        sent = [
            m for m in self.wire.sent if getattr(m, "method", "") != "notifications/initialized"
        ]
        self.wire.sent = sent

    def asked(self) -> Request:
        """The one request that the far server got since."""
        (request,) = self.wire.take()
        assert isinstance(request, Request), request
        return request

    def answer(self, request: Request, result: Any = None) -> None:
        """The far server answers."""
        self.wire.receive(Result(request.id, encode_json({} if result is None else result)))

    def say(self, message: Message) -> None:
        self.wire.receive(message)

    # --- the client -------------------------------------------------------------------

    def request(
        self, method: str, path: str, headers: dict[str, Any], body: bytes = b""
    ) -> Response:
        """One HTTP request on a connection of its own; a header that is None is left out."""
        connection = self.factory.buildProtocol(None)
        assert connection is not None
        wire = Wire(hostAddress=IPv4Address("TCP", "127.0.0.1", PORT))
        wire.protocol = connection
        connection.makeConnection(wire)
        headers = {"Host": f"localhost:{PORT}", **headers}
        if body:
            headers["Content-Length"] = str(len(body))
        lines = [f"{method} {path} HTTP/1.1", *(_lines(headers)), "", ""]
        connection.dataReceived("\r\n".join(lines).encode() + body)
        return Response(wire)

    def post(self, message: Any, path: str = "/mcp", **headers: Any) -> Response:
        """POST a message, a batch or any bytes, as a client of the session would."""
        body = message if isinstance(message, bytes) else encode_json(message)
        return self.request("POST", path, {
            "Content-Type": JSON, "Accept": BOTH, **self.identity(), **_titled(headers),
        }, body)  # fmt: skip

    def get(self, path: str = "/mcp", **headers: Any) -> Response:
        """GET the client's own stream."""
        return self.request("GET", path, {"Accept": EVENTS, **self.identity(), **_titled(headers)})

    def delete(self, path: str = "/mcp", **headers: Any) -> Response:
        """End the session."""
        return self.request("DELETE", path, {**self.identity(), **_titled(headers)})

    def identity(self) -> dict[str, Any]:
        """The headers of the session, once there is one."""
        return {
            "Mcp-Session-Id": self.session or None,
            "MCP-Protocol-Version": self.revision or None,
        }

    def call(self, name: str = "t", id: Any = 1, meta: Any = None, **headers: Any) -> Response:
        """Call a tool."""
        params = {"name": name, **({"_meta": meta} if meta is not None else {})}
        return self.post(rpc("tools/call", params, id), **headers)

    def greet(
        self, revision: str = "2025-11-25", best: str | None = None, **headers: Any
    ) -> Response:
        """Begin to shake hands; the far server is started and answers where it was not up."""
        self.session = self.revision = ""
        wires = len(self.connector.wires)
        params = {"protocolVersion": revision, "capabilities": {}, "clientInfo": BOB}
        response = self.post(rpc("initialize", params, 0), **headers)
        if len(self.connector.wires) > wires:
            self.agree(protocolVersion=best or revision)
        self.session = response.headers.get("mcp-session-id", "")
        return response

    def shake_hands(self, revision: str = "2025-11-25", **headers: Any) -> Response:
        """Begin as a legacy client does, to the end."""
        response = self.greet(revision, **headers)
        self.revision = revision if revision >= "2025-06-18" else ""
        self.post(rpc("notifications/initialized", id=None), **headers)
        return response

    def modern(self, method: str, params: Any = None, id: Any = 1, **headers: Any) -> Response:
        """A request that stands alone; the far server is started where it was not up."""
        wires = len(self.connector.wires)
        params = {"_meta": modern_meta(BOB), **(params or {})}
        named = params.get("name", params.get("uri"))
        headers = {
            "mcp_protocol_version": "2026-07-28",
            "mcp_method": method,
            "mcp_name": named,
            **headers,
        }
        response = self.post(rpc(method, params, id), **headers)
        if len(self.connector.wires) > wires:
            self.agree()
        return response

    def turn(self, seconds: float, step: float = 0.5) -> None:
        """Let time pass."""
        while seconds > 0:
            self.clock.advance(min(step, seconds))
            seconds -= step

    def stop(self, reason: McpTwistError | None = None) -> Deferred[None]:
        return self.daemon.stopService()


def rpc(method: str, params: Any = None, id: Any = 1) -> dict[str, Any]:
    """A request, or with ``id=None`` a notification."""
    message: dict[str, Any] = {"jsonrpc": "2.0", "method": method}
    if id is not None:
        message["id"] = id
    if params is not None:
        message["params"] = params
    return message


def _titled(headers: dict[str, Any]) -> dict[str, Any]:
    """``mcp_session_id`` as a header's name; the two that begin otherwise keep their spelling."""
    spelt = {"mcp_protocol_version": "MCP-Protocol-Version"}
    return {spelt.get(n, n.replace("_", "-").title()): v for n, v in headers.items()}


def _lines(headers: dict[str, Any]) -> list[str]:
    return [
        f"{name}: {each}"
        for name, value in headers.items()
        for each in (value if isinstance(value, list) else [value])
        if each is not None
    ]
