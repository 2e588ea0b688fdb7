"""The friendly asking side, with a server in this process behind it."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.caller import Caller
from mcptwist.client import Client, Progress, Refused, ToolResult, _missing_from, connect
from mcptwist.errors import EraMismatch, ServerMisbehaved, ServerStartFailed
from mcptwist.messages import Notification
from mcptwist.protocols.inprocess import PythonConnector
from mcptwist.protocols.memory import MemoryConnector
from mcptwist.server import Context, Server
from tests.administered import Administered
from tests.fakes import FakeConnector


def make_server() -> Server:
    server = Server("friend")

    @server.tool()
    def add(a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    @server.tool()
    def steps(ctx: Context) -> str:
        ctx.progress(1, 2, "half")
        ctx.progress(2, 2)
        return "done"

    @server.tool()
    def broken() -> str:
        raise RuntimeError("no")

    @server.resource("note://one")
    def note() -> str:
        return "hello"

    @server.prompt()
    def greet(name: str) -> str:
        return f"Greet {name}"

    return server


class ClientTests(SynchronousTestCase):
    era = "auto"
    revision = "2026-07-28"

    def setUp(self) -> None:
        self.clock = Clock()
        self.told: list[Notification] = []
        self.client = self.now(self.connect())

    def connect(self, **more: Any) -> Any:
        connector = PythonConnector(make_server(), self.clock)
        return connect(connector, reactor=self.clock, era=self.era, told=self.told.append, **more)

    def now(self, waiting: Any) -> Any:
        for _ in range(20):
            self.clock.advance(0)
        return self.successResultOf(waiting)

    def test_who_is_there(self) -> None:
        self.assertEqual(self.client.revision, self.revision)
        self.assertIn("tools", self.client.welcome["capabilities"])
        self.assertIn(self.revision, repr(self.client))

    def test_tools(self) -> None:
        tools = self.now(self.client.list_tools())
        self.assertEqual([tool["name"] for tool in tools], ["add", "steps", "broken"])

    def test_servers_that_are_missing(self) -> None:
        """Of many servers as one, those that could not be asked are known with the reason."""
        house = Administered({"sums": {"python": "tests.administered:sums"}, "odd": {"url": 5}})
        self.addCleanup(house.stop)

        def welcome(wire: Any) -> Caller:
            caller = Caller(house.daemon.gateway.whole, house.daemon.concourse.sessions.begin)
            caller.wire = wire
            return caller

        connector = MemoryConnector(house.reactor, "all", welcome)
        client = house.result(connect(connector, reactor=house.reactor, era=self.era))
        self.assertEqual(client.missing, {})
        house.result(client.list_tools(), step=0.05)
        self.assertEqual(list(client.missing), ["odd"])
        self.assertIn("mcpServers.odd", client.missing["odd"])

    def test_a_list_that_tells_nonsense(self) -> None:
        """Hostile words about what is missing harm nobody."""
        odd: Any = ((5, {}), ([5], {}), ([{"server": 1}], {"1": ""}), ({"server": "x"}, {}))
        for said, found in odd:
            self.assertEqual(_missing_from({"_meta": {"mcptwist/unavailable": said}}), found)
        self.assertEqual(_missing_from({"_meta": 5}), {})

    def test_a_call(self) -> None:
        result = self.now(self.client.call_tool("add", {"a": 1, "b": 2}))
        self.assertEqual((result.text, result.is_error), ("3", False))
        self.assertEqual(result.whole["content"], result.content)

    def test_a_call_that_fails(self) -> None:
        self.assertTrue(self.now(self.client.call_tool("broken")).is_error)
        self.flushLoggedErrors(RuntimeError)

    def test_a_call_that_is_refused(self) -> None:
        calling = self.client.call_tool("nothing")
        for _ in range(20):
            self.clock.advance(0)
        self.failureResultOf(calling, Refused)

    def test_progress(self) -> None:
        heard: list[Progress] = []
        result = self.now(self.client.call_tool("steps", progress=heard.append))
        self.assertEqual(result.text, "done")
        self.assertEqual(heard, [Progress(1, 2, "half"), Progress(2, 2)])

    def test_resources_and_prompts(self) -> None:
        self.assertEqual(self.now(self.client.read("note://one"))[0]["text"], "hello")
        self.assertEqual(self.now(self.client.list_resources())[0]["uri"], "note://one")
        self.assertEqual(self.now(self.client.list_resource_templates()), [])
        self.assertEqual(self.now(self.client.list_prompts())[0]["name"], "greet")
        prompt = self.now(self.client.get_prompt("greet", {"name": "Ann"}))
        self.assertIn("Ann", str(prompt["messages"]))

    def test_leaving(self) -> None:
        self.now(self.client.close())
        self.failureResultOf(self.client.list_tools())

    def test_a_visit(self) -> None:
        async def visit() -> str:
            async with self.client as client:
                return str((await client.call_tool("add", {"a": 1, "b": 1})).text)

        self.assertEqual(self.now(Deferred.fromCoroutine(visit())), "2")
        self.failureResultOf(self.client.list_tools())


class LegacyClientTests(ClientTests):
    era = "legacy"
    revision = "2025-11-25"


class ConnectingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.connector = FakeConnector(clock=self.clock)

    def connect(self, era: str = "auto") -> Any:
        return connect(self.connector, reactor=self.clock, era=era, name="far")

    def advance(self) -> None:
        for _ in range(5):
            self.clock.advance(0)

    def test_a_server_of_the_legacy_era(self) -> None:
        connecting = self.connect()
        self.connector.wire.receive_json(
            b'{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"no"}}'
        )
        self.advance()
        self.connector.wire.receive_json(
            b'{"jsonrpc":"2.0","id":1,"result":{"protocolVersion":"2025-06-18"}}'
        )
        self.advance()
        client = self.successResultOf(connecting)
        self.assertEqual((client.era, client.revision), ("legacy", "2025-06-18"))
        self.assertTrue(self.connector.wires[0].gone)

    def test_unless_the_modern_one_is_wanted(self) -> None:
        connecting = self.connect("modern")
        self.connector.wire.receive_json(
            b'{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"no"}}'
        )
        self.advance()
        self.failureResultOf(connecting, EraMismatch)
        self.assertEqual(self.connector.attempts, 1)

    def test_nobody_there(self) -> None:
        self.connector.plan = [ServerStartFailed("not there")]
        self.failureResultOf(self.connect(), ServerStartFailed)
        self.assertEqual(self.connector.attempts, 1)

    def client(self) -> Client:
        connecting = self.connect("legacy")
        self.connector.wire.receive_json(
            b'{"jsonrpc":"2.0","id":1,"result":{"protocolVersion":"2025-06-18"}}'
        )
        self.advance()
        client: Client = self.successResultOf(connecting)
        return client

    def answer(self, id: int, result: bytes) -> None:
        self.connector.wire.receive_json(b'{"jsonrpc":"2.0","id":%d,"result":%b}' % (id, result))
        self.advance()

    def test_pages(self) -> None:
        listing = self.client().list_tools()
        self.answer(2, b'{"tools":[{"name":"a"}],"nextCursor":"x"}')
        self.answer(3, b'{"tools":[{"name":"b"}]}')
        self.assertEqual(self.successResultOf(listing), [{"name": "a"}, {"name": "b"}])

    def test_what_is_no_result(self) -> None:
        client = self.client()
        for number, (result, asking) in enumerate(
            (
                (b"[]", client.ask("x")),
                (b'{"tools":1}', client.list_tools()),
                (b'{"content":1}', client.call_tool("x")),
                (b'{"resultType":"input_required"}', client.call_tool("x")),
            ),
            2,
        ):
            self.answer(number, result)
            self.failureResultOf(asking, ServerMisbehaved)

    def test_questions_are_declined(self) -> None:
        self.client()
        self.connector.wire.receive_json(
            b'{"jsonrpc":"2.0","id":"q","method":"sampling/createMessage"}'
        )
        self.assertEqual(self.connector.wire.sent[-1].id, "q")  # type: ignore[union-attr]

    def test_a_result_without_text(self) -> None:
        self.assertEqual(ToolResult().text, "")
