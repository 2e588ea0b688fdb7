"""Stories of servers that are not running and are listed all the same, over real backends.

MCP 2026-07-28, *Caching*, *Subscriptions*; MCP 2025-11-25, *Tools, List Changed Notification*.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock

from mcptwist.catalog.catalog import Catalog
from mcptwist.catalog.inventory import Inventory
from mcptwist.errors import ServerExited, ServerStartFailed
from mcptwist.messages import Message, Notification, Request, Result, encode_json
from mcptwist.session import Session
from tests.conversations import test_catalog_stories as stories
from tests.conversations.test_catalog_stories import (
    ACKNOWLEDGED,
    IDENTITY,
    TOOLS,
    Story,
    Village,
    names,
    subscription,
)
from tests.fakes import FakeWire
from tests.scripted import HELLO, Back, Heard

CHANGED = Notification(TOOLS)
LISTEN = "subscriptions/listen"
WANTED = {"notifications": {"toolsListChanged": True}}


class Hamlet(Village):
    """A server that promises to tell of changes, and says how long its lists are good.

    :ivar more: what else stands in its pages.
    """

    def __init__(self, clock: Clock, eras: str, names: tuple[str, ...]) -> None:
        super().__init__(clock, eras, names)
        self.more: dict[str, Any] = {}

    def reply(self, wire: FakeWire, request: Request) -> None:
        capabilities = {"tools": {"listChanged": True}}
        if request.method == "initialize" and "legacy" in self.eras:
            welcome = {
                "protocolVersion": "2025-11-25",
                "capabilities": capabilities,
                "serverInfo": {},
            }
            wire.receive(Result(request.id, encode_json(welcome)))
        elif request.method == "server/discover" and "modern" in self.eras:
            found = {"supportedVersions": ["2026-07-28"], "capabilities": capabilities}
            wire.receive(Result(request.id, encode_json(found)))
        elif request.method == "tools/list":
            tools = [{"name": name, "title": name.upper()} for name in self.names]
            wire.receive(Result(request.id, encode_json({"tools": tools, **self.more})))
        else:
            super().reply(wire, request)

    def listed(self) -> int:
        """How often it was asked for its tools."""
        sent = (message for wire in self.wires for message in wire.sent)
        return sum(isinstance(m, Request) and m.method == "tools/list" for m in sent)


class Rested(Story):
    """Two servers that were listed in an earlier life, and rest since."""

    kept = True

    def setUp(self) -> None:
        self.patch_villages()
        self.inventories = self.gather()
        if self.kept:
            self.live_before()

    def patch_villages(self) -> None:
        self.patch(stories, "Village", Hamlet)
        super().setUp()
        assert isinstance(self.north, Hamlet)
        assert isinstance(self.south, Hamlet)

    def gather(self) -> dict[str, Inventory]:
        for backend in self.backends.values():
            backend.watchers.clear()
        inventories = {
            name: Inventory(name, backend, self.clock, IDENTITY, leisure=True)
            for name, backend in self.backends.items()
        }
        self.catalog = Catalog(
            self.backends, self.clock, IDENTITY, None, inventories, {"odd": "command is missing"}
        )
        return inventories

    def live_before(self) -> None:
        """Learn what there is in one life, and begin another with it."""
        session = self.stay()
        self.ask(session, "tools/list")
        kept = {name: each.to_keep() for name, each in self.inventories.items()}
        for backend in self.backends.values():
            backend.stop()
        self.turn(10)
        super().setUp()
        self.inventories = self.gather()
        for name, inventory in self.inventories.items():
            inventory.restore(kept[name], "")

    def call(self, session: Session, tool: str) -> None:
        """Call a tool, which starts its server."""
        village = self.north if tool.startswith("north") else self.south
        heard = self.ask(session, "tools/call", {"name": tool})
        wire, request = village.calls[-1]
        wire.receive(Result(request.id, b'{"content":[]}'))
        self.assertEqual(heard.answer, {"content": []})

    def grow(self) -> None:
        """The northern server has another tool, from its next start on."""
        self.north.names = ("read", "write", "burn")

    def hamlet(self) -> Hamlet:
        assert isinstance(self.north, Hamlet)
        return self.north


ALL = ["north__read", "north__write", "south__read"]


class LegacyStories(Rested):
    def test_listed_without_starting(self) -> None:
        """A client lists what there is, and nothing is started before it calls."""
        session = self.stay()
        heard = self.ask(session, "tools/list")
        self.assertEqual(names(heard), ALL)
        self.assertEqual((self.north.wires, self.south.wires), ([], []))
        self.call(session, "north__read")
        self.assertEqual((len(self.north.wires), len(self.south.wires)), (1, 0))
        self.assertEqual(self.said_to(session), [])

    def test_misconfigured(self) -> None:
        """A server that cannot be used is named, whatever the others do."""
        heard = self.ask(self.stay(), "tools/list")
        self.assertEqual(
            heard.answer["_meta"]["mcptwist/unavailable"],
            [{"server": "odd", "reason": "command is missing", "code": "misconfigured"}],
        )

    def test_another_list(self) -> None:
        """When it turns out that the list is another now, everybody who had it is told."""
        caller, watcher, stranger = self.stay(), self.stay(), self.stay()
        for session in (caller, watcher):
            self.ask(session, "tools/list")
        self.grow()
        self.call(caller, "north__read")
        self.assertEqual(self.said_to(caller), [CHANGED])
        self.assertEqual(self.said_to(watcher), [CHANGED])
        self.assertEqual(self.said_to(stranger), [])
        self.assertIn("north__burn", names(self.ask(watcher, "tools/list")))

    def test_later_changes(self) -> None:
        """Who never asked the server anything hears of its changes too."""
        caller, watcher = self.stay(), self.stay()
        self.ask(watcher, "tools/list")
        self.call(caller, "north__read")
        self.north.wires[0].receive(CHANGED)
        self.assertEqual(self.said_to(watcher), [CHANGED])

    def test_remembered_while_running(self) -> None:
        """A server that tells of changes is asked for its list once, until it does."""
        session = self.stay()
        self.call(session, "north__read")
        for _ in range(3):
            self.ask(session, "tools/list")
        self.assertEqual(self.hamlet().listed(), 1)
        self.grow()
        self.north.wires[0].receive(CHANGED)
        self.assertIn("north__burn", names(self.ask(session, "tools/list")))
        self.assertEqual(self.hamlet().listed(), 2)

    def test_restarted(self) -> None:
        """When a server was started anew, who has its list is told if it is another."""
        session = self.stay()
        self.ask(session, "tools/list")
        self.call(session, "north__read")
        for grows, said in ((False, []), (True, [CHANGED])):
            if grows:
                self.grow()
            self.backends["north"].restart()
            self.turn(5)
            self.assertEqual(self.said_to(session), said)

    def test_ended_in_good_order(self) -> None:
        """A server that ended by itself rests again."""
        session = self.stay()
        self.call(session, "north__read")
        self.ask(session, "tools/list")
        self.north.wires[0].lose(ServerExited("bye", exitStatus=0))
        self.assertEqual(names(self.ask(session, "tools/list")), ALL)
        self.assertEqual(len(self.north.wires), 1)

    def test_in_trouble(self) -> None:
        """A server that cannot be started is not listed as if it could."""
        self.north.fault = ServerStartFailed("no such file")
        session = self.stay()
        self.assertEqual(names(self.ask(session, "tools/list")), ALL)
        self.assertIsNotNone(self.ask(session, "tools/call", {"name": "north__read"}).error)
        heard = self.ask(session, "tools/list")
        self.turn(2)
        self.assertEqual(names(heard), ["south__read"])
        self.assertEqual(heard.answer["_meta"]["mcptwist/unavailable"][0]["server"], "north")

    def test_back_again(self) -> None:
        """Who saw a list without a server is told when that server is there."""
        self.north.fault = ServerStartFailed("no such file")
        session, other = self.stay(), self.stay()
        self.ask(session, "tools/call", {"name": "north__read"})
        self.ask(session, "tools/list")
        self.turn(2)
        self.north.fault = None
        self.turn(5)
        self.assertEqual(self.said_to(session), [])
        self.call(other, "north__read")
        self.assertEqual(self.said_to(session), [CHANGED])
        self.assertEqual(names(self.ask(session, "tools/list")), ALL)

    def test_revisions(self) -> None:
        """What an old client is not told is not lost on a new one, who asks after it."""
        self.kept = False
        self.setUp()
        old = Session("key", self.catalog, self.clock)
        old.back = Back()
        self.ask(old, "initialize", {**HELLO, "protocolVersion": "2024-11-05"})
        new = Session("key", self.catalog, self.clock)
        self.ask(new, "initialize", {**HELLO, "protocolVersion": "2025-11-25"})
        for _ in range(2):
            self.assertNotIn("title", self.ask(old, "tools/list").answer["tools"][0])
            self.assertEqual(self.ask(new, "tools/list").answer["tools"][0]["title"], "READ")
        self.assertEqual(self.hamlet().listed(), 1)


class OwnProcessStories(Rested):
    scope = "session"

    def test_listed_without_starting(self) -> None:
        """A client that would get processes of its own gets them when it calls."""
        session = self.stay()
        self.assertEqual(names(self.ask(session, "tools/list")), ALL)
        self.assertEqual(self.north.wires, [])
        self.call(session, "north__read")
        self.assertEqual(self.said_to(session), [])

    def test_another_list(self) -> None:
        """If its own process lists something else it is told, and nobody else."""
        caller, watcher = self.stay(), self.stay()
        for session in (caller, watcher):
            self.ask(session, "tools/list")
        self.grow()
        self.call(caller, "north__read")
        self.assertEqual(self.said_to(caller), [CHANGED])
        self.assertEqual(self.said_to(watcher), [])
        self.assertIn("north__burn", names(self.ask(caller, "tools/list")))

    def test_shared_process(self) -> None:
        """What a process lists that others share is no news for who has one of its own."""
        session = self.stay()
        self.ask(session, "tools/list")
        self.call(session, "north__read")
        self.grow()
        self.visit("tools/call", {"name": "north__read"})
        self.turn(61)
        self.assertGreater(len(self.north.wires), 1)
        self.assertEqual(self.said_to(session), [])

    def test_back_again(self) -> None:
        """Who saw a list without its own process is told when that is there."""
        self.north.fault = ServerStartFailed("no such file")
        session = self.stay()
        self.ask(session, "tools/call", {"name": "north__read"})
        heard = self.ask(session, "tools/list")
        self.turn(2)
        self.assertEqual(names(heard), ["south__read"])
        self.north.fault = None
        self.turn(5)
        self.call(session, "north__read")
        self.assertEqual(self.said_to(session), [CHANGED])


class LegacyAtModernStories(Rested):
    eras = "modern"

    def test_listed_without_starting(self) -> None:
        """A legacy client lists modern servers that rest, and is told of changes as well."""
        session, watcher = self.stay(), self.stay()
        for each in (session, watcher):
            self.assertEqual(names(self.ask(each, "tools/list")), ALL)
        self.assertEqual(self.north.wires, [])
        self.grow()
        self.call_modern(session)
        self.assertEqual(self.said_to(watcher), [CHANGED])
        self.assertIn("north__burn", names(self.ask(watcher, "tools/list")))

    def call_modern(self, session: Session) -> None:
        heard = self.ask(session, "tools/call", {"name": "north__read"})
        self.turn(61)
        wire, request = self.north.calls[-1]
        wire.receive(Result(request.id, b'{"resultType":"complete","content":[]}'))
        self.assertEqual(heard.answer, {"content": []})


class ModernStories(Rested):
    """Modern clients, at servers of either era."""

    eras = "legacy"

    def visit_all(self) -> Heard:
        self.assertEqual(self.visit("server/discover")[1].answer["resultType"], "complete")
        self.assertEqual(names(self.visit("tools/list")[1]), ALL)
        return self.visit(LISTEN, WANTED, "mine")[1]

    def call_north(self) -> None:
        _, heard = self.visit("tools/call", {"name": "north__read"})
        self.turn(61)
        wire, request = self.north.calls[-1]
        wire.receive(Result(request.id, b'{"resultType":"complete","content":[]}'))
        self.assertIsNotNone(heard.answer)

    def test_nothing_started(self) -> None:
        """To discover, to list and to listen to changes starts nothing."""
        heard = self.visit_all()
        tag = {"_meta": subscription("mine")}
        self.assertEqual(
            heard.said, [(ACKNOWLEDGED, {**tag, "notifications": {"toolsListChanged": True}})]
        )
        self.assertEqual((self.north.wires, self.south.wires), ([], []))

    def test_same_list(self) -> None:
        """When a server starts with the list that it had nobody is told anything."""
        heard = self.visit_all()
        self.call_north()
        self.assertEqual(len(heard.said), 1)
        self.assertEqual(self.south.wires, [])

    def test_another_list(self) -> None:
        """When it has another, who listens is told."""
        heard = self.visit_all()
        self.grow()
        self.call_north()
        self.assertIn((TOOLS, {"_meta": subscription("mine")}), heard.said)
        self.assertIn("north__burn", names(self.visit("tools/list")[1]))

    def test_later_changes(self) -> None:
        """Once it runs it is listened to."""
        heard = self.visit_all()
        self.call_north()
        wire = self.speaking()
        said = {"_meta": subscription(self.id_at(wire))} if "modern" in self.eras else {}
        wire.receive(Notification(TOOLS, encode_json(said)))
        self.assertEqual(heard.said[1:], [(TOOLS, {"_meta": subscription("mine")})])

    def speaking(self) -> FakeWire:
        return self.north.wires[-1]

    def id_at(self, wire: FakeWire) -> Any:
        return next(r.id for w, r in self.north.listens() if w is wire)

    def test_resource_wanted(self) -> None:
        """Who wants to hear of a resource has its server started."""
        wanted = {"notifications": {"resourceSubscriptions": ["x:1"]}}
        self.visit(LISTEN, wanted, "mine")
        self.assertTrue(self.north.wires)

    def test_closed(self) -> None:
        """A subscription that is over has nobody listened to."""
        exchange, _ = self.visit(LISTEN, WANTED, "mine")
        exchange.cancel("closed")
        self.call_north()
        sent: list[Message] = [m for w in self.north.wires for m in w.sent]
        self.assertFalse([m for m in sent if isinstance(m, Request) and m.method == LISTEN])


class ModernAtModernStories(ModernStories):
    eras = "modern"

    def test_time_to_live(self) -> None:
        """A list is asked for again when its time is up, and not before."""
        self.hamlet().more = {"ttlMs": 5000, "cacheScope": "public", "resultType": "complete"}
        self.call_north()
        before = self.hamlet().listed()
        for seconds, times in ((0, 1), (4, 1), (2, 2)):
            self.turn(seconds)
            self.visit("tools/list")
            self.assertEqual(self.hamlet().listed() - before, times, seconds)
