"""A daemon in memory, and somebody who administers it: nothing is real but the code."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure

from mcptwist.client import Client, connect
from mcptwist.config import load
from mcptwist.messages import Notification
from mcptwist.protocols.inprocess import PythonConnector
from mcptwist.protocols.memory import MemoryConnector
from mcptwist.server import Context, Refused, Server
from mcptwist.services import make_daemon
from mcptwist.watching.builtin import Admin
from mcptwist.watching.journal import Journal
from mcptwist.watching.reports import (
    CannotEnd,
    KeyDesk,
    KeyStatus,
    Logins,
    LoginStatus,
    WaitingStatus,
)
from mcptwist.watching.survey import Machine, Survey

NOW = 1_800_000_000.0


def sums() -> Server:
    """A server with one tool of each kind of outcome."""
    server = Server("sums", version="1")

    @server.tool
    def add(a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    @server.tool
    def fail() -> str:
        """Fail, and say so."""
        raise Refused("it does not work")

    @server.tool
    async def wait(ctx: Context) -> str:
        """Wait for ever, but for a word of progress."""
        ctx.progress(1, 2, "half")
        never: Deferred[str] = Deferred()
        return await never

    return server


class FakeMachine(Machine):
    """Every process has a megabyte for each of its digits."""

    def memory(self, pid: int) -> int | None:
        return len(str(pid)) << 20

    def own_memory(self, pid: int) -> int | None:
        return 9 << 20

    def processor(self) -> float:
        return 1.5


WAITS = WaitingStatus(
    "BCDF-GHJK",
    "https://a.example",
    "inspector",
    "localhost:6274",
    "https://a.example/mcp",
    ("mcp:read",),
    "203.0.113.9",
    200.0,
)


LOGIN = LoginStatus(
    "8f3a01c2",
    "ada",
    "SHA256:one",
    "inspector",
    "browser",
    "https://a.example/mcp",
    ("mcp:read", "mcp:call"),
    NOW - 7200,
    NOW + 36_000,
    NOW - 90,
    "203.0.113.9",
    1,
    True,
)


class FakeGuests:
    """Three logins, one of which does not end for good."""

    def __init__(self) -> None:
        replace = msgspec.structs.replace
        self.here = [
            LOGIN,
            replace(LOGIN, id="0badc0de", client="tv", way="device", open=0, bound=False),
            replace(LOGIN, id="5ca1ab1e", principal="bob", key="SHA256:two", client="", way="key",
                    last_used=None, source="", open=0),
        ]  # fmt: skip
        self.ended: list[str] = []

    def told(self, whose: str = "", limit: int = 500) -> Logins:
        found = [each for each in self.here if whose in ("", each.principal, each.key)]
        return Logins(len(found), NOW, found[:limit])

    def end(self, name: str) -> str:
        if name not in {each.id for each in self.here}:
            raise CannotEnd(f"no login is called {name}")
        self.here = [each for each in self.here if each.id != name]
        self.ended.append(name)
        if name == "0badc0de":
            raise CannotEnd("it has ended, but that cannot be written")
        return f"{name} has ended"


class FakeDesk:
    """Two keys; one of them can be revoked, for the other the disk is full."""

    def __init__(self) -> None:
        self.guests = FakeGuests()
        self.known = [
            KeyStatus("SHA256:one", "ada", "in use", ("mcp:read", "mcp:admin"), None, 2),
            KeyStatus("SHA256:two", "bob", "over", ("mcp:read",), NOW),
            KeyStatus("SHA256:new", "?", "unknown", last_used=NOW - 90, source="203.0.113.9"),
        ]
        self.audit = Journal()
        self.waits: list[WaitingStatus] = []

    def all(self) -> list[KeyStatus]:
        return list(self.known)

    def waiting(self) -> list[WaitingStatus]:
        return list(self.waits)

    def revoke(self, fingerprint: str) -> None:
        if fingerprint == "SHA256:two":
            raise OSError(28, "No space left on device")
        self.known = [key for key in self.known if key.fingerprint != fingerprint]


class Peer(StringTransport):
    """A client's connection."""

    def abortConnection(self) -> None:
        self.lose()

    def loseConnection(self) -> None:
        self.lose()

    def lose(self) -> None:
        if self.connected:
            self.connected = False
            self.protocol.connectionLost(Failure(ConnectionDone()))

    protocol: Any = None


class Administered:
    """The daemon, its clock, and a client of its own server.

    :ivar heard: what the client was told in the course of its calls.
    """

    def __init__(
        self,
        servers: Mapping[str, Any] | None = None,
        era: str = "modern",
        desk: KeyDesk | None = None,
        reload: Callable[[], list[str]] | None = None,
        own: Mapping[str, Server] | None = None,
    ) -> None:
        self.reactor = MemoryReactorClock()
        named = {"sums": {"python": "tests.administered:sums"}} if servers is None else servers
        listen = ["tcp:8808:interface=127.0.0.1"]
        text = json.dumps({"listen": listen, "mcpServers": named})
        loaded = load(text, "test.json", {})
        assert loaded.config is not None, loaded.mistakes
        self.daemon = make_daemon(loaded.config, self.reactor, {}, own=own)
        self.survey = Survey(
            self.daemon, self.reactor, FakeMachine(), pid=lambda: 4711, now=lambda: NOW
        )
        self.daemon.traffic._now = lambda: NOW + self.reactor.seconds()
        self.levels: list[str] = []
        self.admin = Admin(
            self.survey, self.reactor, self.daemon.journal, self.levels.append, desk, reload
        )
        self.daemon.privilegedStartService()
        self.daemon.startService()
        self.heard: list[Notification] = []
        self.client: Client = self.result(self.connect(era))

    def connect(self, era: str = "modern") -> Deferred[Client]:
        """One more who administers it."""
        connector = PythonConnector(self.admin.server, self.reactor)
        return connect(connector, reactor=self.reactor, era=era)

    def result(self, waiting: Deferred[Any], turns: int = 60, step: float = 0.0) -> Any:
        """Turn the clock until it fires, and give what it fires with."""
        found: list[Any] = []
        waiting.addBoth(found.append)
        for _ in range(turns):
            if found:
                break
            self.reactor.advance(step)
        assert found, "nothing came of it"
        if isinstance(found[0], Failure):
            found[0].raiseException()
        return found[0]

    def turn(self, seconds: float = 0.0, turns: int = 10) -> None:
        """Let things happen."""
        for _ in range(turns):
            self.reactor.advance(seconds / turns)

    def call(self, tool: str, **arguments: Any) -> Any:
        """What a tool of the daemon's answers, structured."""
        result = self.result(self.client.call_tool(tool, arguments), step=0.05)
        if result.is_error:
            raise Refused(result.text)
        return result.structured_content

    def watch(self, **arguments: Any) -> Deferred[dict[str, Any]]:
        """Begin to watch."""
        params = {"name": "watch", "arguments": arguments}
        watching = self.client.ask("tools/call", params, heard=self.heard.append)
        return watching.addErrback(lambda _: {})  # it may still run when the test ends

    def events(self) -> list[dict[str, Any]]:
        """What was heard of late."""
        told = [json.loads(bytes(each.params)) for each in self.heard]
        self.heard.clear()
        return [each["_meta"]["mcptwist/events"] for each in told if "_meta" in each]

    def read(self, uri: str) -> Any:
        """What is at a URI, as Python values; text that is no JSON as it is."""
        (content,) = self.result(self.client.read(uri))
        return (
            json.loads(content["text"])
            if content.get("mimeType", "").endswith("json")
            else content["text"]
        )

    def ask_server(self, name: str = "sums", era: str = "modern") -> Client:
        """A client of a server behind the daemon."""
        view = self.daemon.gateway.view(name)

        def welcome(wire: Any) -> Any:
            from mcptwist.caller import Caller

            caller = Caller(view, self.daemon.concourse.sessions.begin)
            caller.wire = wire
            return caller

        connector = MemoryConnector(self.reactor, "a test", welcome)
        client: Client = self.result(connect(connector, reactor=self.reactor, era=era))
        return client

    def peer(self, host: str = "203.0.113.7", port: int = 999) -> Peer:
        """A client's connection to the first listener."""
        factory: Any = self.daemon.listeners[0].factory
        address = IPv4Address("TCP", host, port)
        protocol = factory.buildProtocol(address)
        if protocol is None:
            raise ConnectionRefusedError(host)
        transport = Peer(IPv4Address("TCP", "127.0.0.1", 8808), address)
        transport.protocol = protocol
        protocol.makeConnection(transport)
        return transport

    def stop(self) -> None:
        """The daemon stops."""
        self.result(self.client.close())
        stopping: Any = self.daemon.stopService()
        self.result(stopping, turns=200, step=0.1)
