"""Stories of clients who see several servers as one, over real backends and wires in memory.

Legacy: MCP 2025-11-25, *Lifecycle*, *Server features*. Modern: MCP 2026-07-28, *Discovery*,
*Subscriptions*.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from mcptwist.backend import Backend, BackendSettings
from mcptwist.catalog.catalog import Catalog
from mcptwist.eras.held import Held
from mcptwist.errors import MethodNotFound, ServerExited, ServerStartFailed
from mcptwist.exchange import Exchange
from mcptwist.interfaces import IConnector, IWire, IWireReader
from mcptwist.messages import Message, Notification, Request, Result, encode_json, error_answer
from mcptwist.patience import Patience
from mcptwist.session import Session
from tests.fakes import FakeWire
from tests.scripted import HELLO, Back, Heard, modern_request, modern_visit, opened, tools

IDENTITY = {"name": "mcptwist", "version": "1"}
TOOLS = "notifications/tools/list_changed"


class TalkingWire(FakeWire):
    """A wire at whose far end somebody answers, on the clock's next turn."""

    answering: Callable[[FakeWire, Message], None]

    def send(self, message: Message) -> None:
        super().send(message)
        assert self.clock is not None
        self.clock.callLater(0, self.answering, self, message)


@implementer(IConnector)
class Village:
    """A server of one era, or of both, that can be launched as often as one likes.

    :ivar wires: to all its processes so far.
    :ivar fault: with what a launch fails, if it does.
    """

    def __init__(self, clock: Clock, eras: str, names: tuple[str, ...]) -> None:
        self.description = "a village"
        self.clock = clock
        self.eras = eras
        self.names = names
        self.wires: list[FakeWire] = []
        self.fault: ServerStartFailed | None = None
        self.calls: list[tuple[FakeWire, Request]] = []

    def connect(self, reader: IWireReader) -> Deferred[IWire]:
        if self.fault is not None:
            raise self.fault
        wire = TalkingWire(reader, "to the village", self.clock)
        wire.answering = self.answer
        self.wires.append(wire)
        return succeed(wire)

    def answer(self, wire: FakeWire, message: Message) -> None:
        if not isinstance(message, Request):
            return
        if message.method == "tools/call":
            self.calls.append((wire, message))
        elif message.method == "subscriptions/listen":
            self.acknowledge(wire, message)
        else:
            self.reply(wire, message)

    def reply(self, wire: FakeWire, request: Request) -> None:
        legacy, modern = "legacy" in self.eras, "modern" in self.eras
        answers: dict[str, Any] = {"tools/list": tools(*self.names), "resources/subscribe": {}}
        if legacy:
            welcome = {"protocolVersion": "2025-06-18", "capabilities": {}, "serverInfo": {}}
            answers |= {"initialize": welcome, "logging/setLevel": {}}
        if modern:
            answers["server/discover"] = {"supportedVersions": ["2026-07-28"], "capabilities": {}}
        if request.method in answers:
            wire.receive(Result(request.id, encode_json(answers[request.method])))
        else:
            wire.receive(error_answer(request.id, MethodNotFound(f"no {request.method}")))

    def acknowledge(self, wire: FakeWire, request: Request) -> None:
        wanted = opened(request.params)["notifications"]
        params = {"_meta": subscription(request.id), "notifications": wanted}
        wire.receive(Notification(ACKNOWLEDGED, encode_json(params)))

    def listens(self) -> list[tuple[FakeWire, Request]]:
        return [
            (wire, message)
            for wire in self.wires
            for message in wire.sent
            if isinstance(message, Request) and message.method == "subscriptions/listen"
        ]


ACKNOWLEDGED = "notifications/subscriptions/acknowledged"


def subscription(id: Any) -> dict[str, Any]:
    return {"io.modelcontextprotocol/subscriptionId": id}


class Story(SynchronousTestCase):
    """Two servers, one catalog, and clients to be."""

    eras = "legacy"
    scope = "shared"

    def setUp(self) -> None:
        self.clock = Clock()
        self.north = Village(self.clock, self.eras, ("read", "write"))
        self.south = Village(self.clock, self.eras, ("read",))
        self.backends = {
            name: Backend(
                name,
                village,
                self.clock,
                Patience,
                IDENTITY,
                Held(self.clock, bytes),
                BackendSettings(scope=self.scope),
            )
            for name, village in (("north", self.north), ("south", self.south))
        }
        self.catalog = Catalog(self.backends, self.clock, IDENTITY)
        self.ids = 0

    def turn(self, seconds: float = 0) -> None:
        self.clock.advance(seconds)
        for _ in range(12):
            self.clock.advance(0)

    def stay(self) -> Session:
        session = Session("key", self.catalog, self.clock)
        session.back = Back()
        self.ask(session, "initialize", HELLO)
        session.notification(Notification("notifications/initialized"))
        return session

    def ask(self, session: Session, method: str, params: Any = None) -> Heard:
        heard = Heard()
        self.ids += 1
        session.request(Request(self.ids, method, encode_json(params or {})), heard)
        self.turn()
        return heard

    def visit(self, method: str, params: Any = None, id: Any = 1) -> tuple[Exchange, Heard]:
        heard = Heard()
        exchange = Exchange(modern_request(method, params, id), heard, modern_visit())
        self.catalog.begin(exchange)
        self.turn()
        return exchange, heard

    def said_to(self, session: Session) -> list[Message]:
        assert isinstance(session.back, Back)
        return session.back.said


def names(heard: Heard) -> list[str]:
    return [tool["name"] for tool in heard.answer["tools"]]


class LegacyStories(Story):
    def test_list_and_call(self) -> None:
        """A client shakes hands with the house, lists, calls, and is answered by the server."""
        session = self.stay()
        self.assertEqual((self.north.wires, self.south.wires), ([], []))
        heard = self.ask(session, "tools/list")
        self.assertEqual(names(heard), ["north__read", "north__write", "south__read"])
        call = self.ask(session, "tools/call", {"name": "south__read", "arguments": {"a": 1}})
        ((wire, request),) = self.south.calls
        self.assertEqual(opened(request.params), {"name": "read", "arguments": {"a": 1}})
        wire.receive(Result(request.id, b'{"content":[]}'))
        self.assertEqual(call.answer, {"content": []})

    def test_same_ids(self) -> None:
        """Two clients with equal ids and progress tokens hear of their own calls only."""
        calls = []
        for tool in ("north__read", "north__write"):
            heard = Heard()
            params = {"name": tool, "_meta": {"progressToken": "t"}}
            self.stay().request(Request(1000, "tools/call", encode_json(params)), heard)
            calls.append(heard)
        self.turn()
        for wire, request in reversed(self.north.calls):
            tool = opened(request.params)["name"]
            token = opened(request.params)["_meta"]["progressToken"]
            progress = {"progressToken": token, "progress": len(tool)}
            wire.receive(Notification("notifications/progress", encode_json(progress)))
            wire.receive(Result(request.id, encode_json({"was": tool})))
        self.assertEqual([heard.answer["was"] for heard in calls], ["read", "write"])
        self.assertEqual(
            [heard.said[0][1] for heard in calls],
            [{"progressToken": "t", "progress": 4}, {"progressToken": "t", "progress": 5}],
        )

    def test_one_cannot_be_started(self) -> None:
        """A server that cannot be started is named; once it can be, it is in the list again."""
        self.north.fault = ServerStartFailed("no such file", exitStatus=127)
        session = self.stay()
        heard = self.ask(session, "tools/list")
        self.assertEqual(names(heard), ["south__read"])
        (missing,) = heard.answer["_meta"]["mcptwist/unavailable"]
        self.assertEqual((missing["server"], missing["code"]), ("north", "server-start-failed"))
        self.assertIn("no such file", missing["reason"])
        self.north.fault = None
        self.turn(2)
        self.assertEqual(len(names(self.ask(session, "tools/list"))), 3)

    def test_one_dies_during_a_call(self) -> None:
        """The caller of a server that dies is told why; another server's caller is left alone."""
        session = self.stay()
        doomed = self.ask(session, "tools/call", {"name": "north__read"})
        safe = self.ask(session, "tools/call", {"name": "south__read"})
        self.north.wires[0].lose(ServerExited("it crashed", exitStatus=3, stderr=["boom"]))
        self.assertEqual(doomed.error["data"]["exitStatus"], 3)
        self.assertEqual(doomed.error["data"]["stderr"], ["boom"])
        ((wire, request),) = self.south.calls
        wire.receive(Result(request.id, b'{"content":[]}'))
        self.assertEqual(safe.answers, 1)
        self.assertIsNone(safe.error)

    def test_cancel(self) -> None:
        """A cancelled call is cancelled at its server, under the id that server knows."""
        session = self.stay()
        call = self.ask(session, "tools/call", {"name": "north__read"})
        session.notification(
            Notification("notifications/cancelled", encode_json({"requestId": self.ids}))
        )
        ((wire, request),) = self.north.calls
        last = wire.sent[-1]
        assert isinstance(last, Notification)
        self.assertEqual(last.method, "notifications/cancelled")
        self.assertEqual(opened(last.params)["requestId"], request.id)
        wire.receive(Result(request.id, b'{"content":[]}'))
        self.assertEqual(call.answers, 0)

    def test_changes_and_logs(self) -> None:
        """What servers say of themselves reaches the clients that use them, with their names."""
        session, stranger = self.stay(), self.stay()
        self.ask(session, "tools/list")
        self.north.wires[0].receive(Notification(TOOLS))
        said = {"level": "info", "logger": "db", "data": "x"}
        self.south.wires[0].receive(Notification("notifications/message", encode_json(said)))
        changed, message = self.said_to(session)
        self.assertEqual(changed, Notification(TOOLS))
        assert isinstance(message, Notification)
        self.assertEqual(opened(message.params)["logger"], "south/db")
        self.assertEqual(self.said_to(stranger), [])

    def test_level_reaches_servers(self) -> None:
        """The level a client set before it met a server is the server's when it meets it."""
        session = self.stay()
        self.ask(session, "logging/setLevel", {"level": "error"})
        self.ask(session, "tools/list")
        methods = [m.method for m in self.north.wires[0].sent if isinstance(m, Request)]
        self.assertIn("logging/setLevel", methods)

    def test_leave(self) -> None:
        """A client that left is told nothing any more."""
        session = self.stay()
        self.ask(session, "tools/list")
        session.end(ServerExited("bye"))
        self.north.wires[0].receive(Notification(TOOLS))
        self.assertEqual(self.said_to(session), [])


class OwnProcessStories(Story):
    scope = "session"

    def test_questions(self) -> None:
        """A server of the client's own gets the client's handshake and may ask it back."""
        session = self.stay()
        call = self.ask(session, "tools/call", {"name": "north__read"})
        ((wire, request),) = self.north.calls
        hello = next(m for m in wire.sent if isinstance(m, Request))
        self.assertEqual(opened(hello.params), HELLO)
        wire.receive(Request("q1", "elicitation/create", b'{"message":"sure?"}'))
        (question,) = call.questions
        question.succeed({"action": "accept"})
        self.assertEqual(wire.sent[-1], Result("q1", b'{"action":"accept"}'))
        wire.receive(Result(request.id, b'{"content":[]}'))
        self.assertEqual(call.answer, {"content": []})

    def test_leave(self) -> None:
        """When the client leaves, its processes end, all of them."""
        session = self.stay()
        self.ask(session, "tools/list")
        session.end(ServerExited("bye"))
        self.assertTrue(self.north.wires[0].closing)
        self.assertTrue(self.south.wires[0].closing)


class ModernStories(Story):
    eras = "modern"

    def test_discover_list_call(self) -> None:
        """A modern client discovers, lists and calls; every request stands alone."""
        _, heard = self.visit("server/discover")
        self.assertEqual(heard.answer["supportedVersions"], ["2026-07-28"])
        _, heard = self.visit("tools/list")
        self.assertEqual(names(heard), ["north__read", "north__write", "south__read"])
        self.assertEqual(heard.answer["resultType"], "complete")
        _, call = self.visit("tools/call", {"name": "north__write"})
        ((wire, request),) = self.north.calls
        self.assertEqual(opened(request.params)["name"], "write")
        wire.receive(Result(request.id, b'{"resultType":"complete","content":[]}'))
        self.assertEqual(call.answer, {"resultType": "complete", "content": []})

    def test_listen(self) -> None:
        """One subscription hears both servers under the client's own id, until it is closed."""
        exchange, heard = self.visit(
            "subscriptions/listen", {"notifications": {"toolsListChanged": True}}, "mine"
        )
        tag = {"_meta": subscription("mine")}
        granted = {**tag, "notifications": {"toolsListChanged": True}}
        self.assertEqual(heard.said, [(ACKNOWLEDGED, granted)])
        for village in (self.north, self.south):
            ((wire, request),) = village.listens()
            self.assertNotEqual(request.id, "mine")
            said = encode_json({"_meta": subscription(request.id)})
            wire.receive(Notification(TOOLS, said))
        self.assertEqual(heard.said[1:], [(TOOLS, tag), (TOOLS, tag)])
        exchange.cancel("closed")
        for village in (self.north, self.south):
            last = village.wires[0].sent[-1]
            assert isinstance(last, Notification)
            self.assertEqual(last.method, "notifications/cancelled")

    def test_listen_through_a_crash(self) -> None:
        """A server that crashed is listened to again, and its lists count as changed."""
        _, heard = self.visit(
            "subscriptions/listen", {"notifications": {"toolsListChanged": True}}, 7
        )
        self.south.wires[0].lose(ServerExited("it crashed", exitStatus=1))
        self.assertEqual(heard.answers, 0)
        self.turn(5)
        self.assertEqual(len(self.south.listens()), 2)
        self.assertEqual(heard.said[1:], [(TOOLS, {"_meta": subscription(7)})])


class MixedStories(Story):
    def setUp(self) -> None:
        super().setUp()
        self.north.eras = "legacy"
        self.south.eras = "modern"

    def test_each_sees_both(self) -> None:
        """Each client sees every server, of whatever era: what differs is translated."""
        both = ["north__read", "north__write", "south__read"]
        self.assertEqual(names(self.ask(self.stay(), "tools/list")), both)
        self.assertEqual(names(self.visit("tools/list")[1]), both)

    def test_discover_goes_by_the_modern(self) -> None:
        """One modern server is enough to be discovered."""
        self.assertEqual(self.visit("server/discover")[1].answer["resultType"], "complete")


class LegacyOnlyStories(Story):
    def test_discovered(self) -> None:
        """Legacy servers are shown to a modern client as if they were modern."""
        _, heard = self.visit("server/discover")
        self.assertEqual(heard.answer["supportedVersions"], ["2026-07-28"])
        self.assertEqual(len(names(self.visit("tools/list")[1])), 3)
