"""What one server lists, for as long as that holds."""

from __future__ import annotations

from typing import Any

from msgspec import Raw
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.awaited import ask
from mcptwist.catalog.directory import PROMPTS, TOOLS, Shelf
from mcptwist.catalog.inventory import Inventory
from mcptwist.catalog.listings import Listing
from mcptwist.catalog.selection import NamedSelection, Selections
from mcptwist.errors import ServerExited
from mcptwist.exchange import Exchange
from mcptwist.messages import Json, Notification, encode_json
from mcptwist.session import Session
from mcptwist.versions import LEGACY, MODERN
from tests.scripted import ScriptedServer, modern_visit, opened, tools

ME = {"name": "mcptwist", "version": "0"}
CHANGED = TOOLS.changed


class ProcessOf(ScriptedServer):
    """A process of a server, asked by the house itself.

    :ivar told: the changes it promises to tell of.
    """

    def __init__(self, script: Any, era: str = LEGACY, capabilities: Any = None) -> None:
        super().__init__(script)
        self.era = era
        features = {"tools": {"listChanged": True}} if capabilities is None else capabilities
        self.welcome = encode_json({"capabilities": features, "instructions": "Mind the gap."})


class FollowerOf:
    """Remembers what became of servers."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def server_up(self, server: str, session: Any) -> None:
        self.told.append(("up", server, session))

    def list_changed(self, server: str, change: str, silently: bool) -> None:
        self.told.append((change, silently))


class InventoryCase(SynchronousTestCase):
    """One server's lists, and clients who want them."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.server = ScriptedServer({"tools/list": tools("a")})
        self.alone = False
        self.patch(self.server, "is_alone", lambda stay: self.alone)
        self.kept = 0
        self.make()

    def make(self, **more: Any) -> None:
        def told() -> None:
            self.kept += 1

        self.server.watchers.clear()
        self.inventory = Inventory(
            "s", self.server, self.clock, ME, leisure=True, told=told, **more
        )
        self.follower = FollowerOf()
        self.inventory.followers.append(self.follower)

    def session(self, principal: str = "") -> Session:
        view: Any = object()
        session = Session("k", view, self.clock, principal)
        self.heard: list[str] = []
        self.patch(session, "tell", lambda server, said: self.heard.append(said.method))
        return session

    def read(self, stay: Any, shelf: Shelf = TOOLS) -> Listing:
        """Ask the server for the list."""

        def asker(method: str, params: Json) -> Any:
            return ask(self.server, method, params, stay)

        return self.successResultOf(
            Deferred.fromCoroutine(self.inventory.read(stay, shelf, b"", asker))
        )

    def known(self, stay: Any, anew: bool = False, shelf: Shelf = TOOLS) -> list[str] | None:
        listing = self.inventory.known(stay, shelf, anew)
        return None if listing is None else list(listing.entries)

    def process(self, *names: str, era: str = LEGACY, **more: Any) -> ProcessOf:
        return ProcessOf({"tools/list": tools(*names, **more)}, era)


class ModernTests(InventoryCase):
    """A modern server says itself how long its lists are good (MCP 2026-07-28, *Caching*)."""

    def list_with(self, **more: Any) -> None:
        self.server.script["tools/list"] = tools("a", **more)

    def test_fresh(self) -> None:
        """A list is good for as long as it says, and then not any more."""
        self.list_with(ttlMs=2500, cacheScope="public")
        self.assertIsNone(self.known(modern_visit()))
        self.read(modern_visit())
        self.clock.advance(2.4)
        self.assertEqual(self.known(modern_visit()), ["a"])
        self.clock.advance(0.1)
        self.assertIsNone(self.known(modern_visit()))

    def test_time_left(self) -> None:
        """What is passed on is good for the rest of the time."""
        self.list_with(ttlMs=2500, cacheScope="public")
        self.read(modern_visit())
        self.clock.advance(1)
        listing = self.inventory.known(modern_visit(), TOOLS)
        assert listing is not None
        self.assertEqual((listing.ttl, listing.private), (1500, False))

    def test_stale_at_once(self) -> None:
        """Without a time to live a list is not remembered, but for a server that rests."""
        for more in ({}, {"ttlMs": 0}, {"ttlMs": -5}, {"ttlMs": "9999"}):
            self.list_with(**more, cacheScope="public")
            self.read(modern_visit())
            self.assertIsNone(self.known(modern_visit()), more)

    def test_public(self) -> None:
        """What is public is anybody's."""
        self.list_with(ttlMs=9000, cacheScope="public")
        self.read(modern_visit("alice"))
        self.assertEqual(self.known(modern_visit("bob")), ["a"])

    def test_private(self) -> None:
        """What is private is one principal's, whatever becomes of the server; so is what does
        not say."""
        for scope in ({"cacheScope": "private"}, {}, {"cacheScope": 3}):
            self.list_with(ttlMs=9000, **scope)
            self.read(modern_visit("alice"))
            self.assertEqual(self.known(modern_visit("alice")), ["a"])
            for resting in (False, True):
                self.server.resting = resting
                for other in ("bob", ""):
                    self.assertIsNone(self.known(modern_visit(other)), (scope, resting))

    def test_private_of_nobody(self) -> None:
        """What is private to those without a name is not anybody's either."""
        self.list_with(ttlMs=9000, cacheScope="private")
        self.read(modern_visit(""))
        self.assertIsNone(self.known(modern_visit("alice")))
        self.assertEqual(self.known(modern_visit("")), ["a"])

    def test_changed(self) -> None:
        """A change ends it before its time."""
        self.list_with(ttlMs=9000, cacheScope="public")
        self.read(modern_visit())
        self.inventory.changed(PROMPTS.changed)
        self.assertEqual(self.known(modern_visit()), ["a"])
        self.inventory.changed(CHANGED)
        self.assertIsNone(self.known(modern_visit()))
        self.inventory.changed("notifications/x")

    def test_anew(self) -> None:
        """Who missed something in it may have it asked for again."""
        self.list_with(ttlMs=9000, cacheScope="public")
        self.read(modern_visit())
        self.assertIsNone(self.known(modern_visit(), anew=True))

    def test_changed_while_asked(self) -> None:
        """An answer that a change has overtaken is good for nobody else."""
        self.list_with(ttlMs=9000, cacheScope="public")
        page = self.server.script["tools/list"]

        def answer(exchange: Exchange) -> Any:
            self.inventory.changed(CHANGED)
            return page

        self.server.script["tools/list"] = answer
        self.assertEqual(list(self.read(modern_visit()).entries), ["a"])
        self.assertIsNone(self.known(modern_visit()))

    def test_principals_bounded(self) -> None:
        """Of very many principals those that came last are remembered."""
        self.list_with(ttlMs=9000, cacheScope="private")
        for number in range(70):
            self.read(modern_visit(f"p{number}"))
        self.assertIsNone(self.known(modern_visit("p0")))
        self.assertEqual(self.known(modern_visit("p69")), ["a"])

    def test_restart(self) -> None:
        """When its process is another, private lists are forgotten and public ones asked for."""
        self.list_with(ttlMs=9000, cacheScope="private")
        self.read(modern_visit("alice"))
        self.inventory.up(self.process("a", era=MODERN))
        self.assertIsNone(self.known(modern_visit("alice")))

    def test_public_no_more(self) -> None:
        """A list that is private from now on is taken from those who had it."""
        self.list_with(ttlMs=9000, cacheScope="public")
        self.read(modern_visit("alice"))
        self.known(modern_visit("bob"))
        self.inventory.up(self.process("a", era=MODERN, ttlMs=9000, cacheScope="private"))
        self.assertIsNone(self.known(modern_visit("bob")))
        self.assertIn((CHANGED, True), self.follower.told)

    def test_own_questions(self) -> None:
        """The house asks a modern process in its own name."""
        self.list_with(ttlMs=9000, cacheScope="public")
        self.read(modern_visit())
        self.known(modern_visit())
        process = self.process("a", era=MODERN)
        self.inventory.up(process)
        (params,) = process.asked_for("tools/list")
        self.assertEqual(params["_meta"]["io.modelcontextprotocol/clientInfo"], ME)


class LegacyTests(InventoryCase):
    """A legacy server tells of changes, if it promises to (MCP 2025-11-25, *List Changed*)."""

    def test_until_changed(self) -> None:
        """A list is good until a change is told of."""
        self.inventory.up(self.process())
        self.read(self.session())
        self.clock.advance(99999)
        self.assertEqual(self.known(self.session("alice")), ["a"])
        self.inventory.changed(CHANGED)
        self.assertIsNone(self.known(self.session()))

    def test_no_promise(self) -> None:
        """Where no change would be told of the server is asked each time."""
        for capabilities in ({"tools": {}}, {"tools": {"listChanged": False}}):
            self.inventory.up(ProcessOf({}, LEGACY, capabilities))
            self.read(self.session())
            self.assertIsNone(self.known(self.session()))

    def test_what_it_has_not(self) -> None:
        """What a server has none of it need not be asked for twice."""
        self.inventory.up(self.process())
        self.read(self.session(), PROMPTS)
        self.assertEqual(self.known(self.session(), shelf=PROMPTS), [])

    def test_odd_welcome(self) -> None:
        """A welcome that is not as it should be promises nothing."""
        for capabilities in (3, {"tools": 3}, [1]):
            self.inventory.up(ProcessOf({}, LEGACY, capabilities))
            self.read(self.session())
            self.assertIsNone(self.known(self.session()), capabilities)

    def test_own_process(self) -> None:
        """Who has a process is answered by it; who would have to start one need not."""
        self.alone = True
        self.inventory.up(self.process())
        self.read(self.session("alice"))
        self.assertIsNone(self.known(self.session("alice")))
        self.server.resting = True
        self.assertEqual(self.known(self.session("alice")), ["a"])
        self.assertIsNone(self.known(self.session("bob")))

    def test_not_of_others(self) -> None:
        """Who has a process is not answered by what one that is shared has listed."""
        self.inventory.up(self.process())
        self.read(self.session())
        self.alone = True
        self.assertIsNone(self.known(self.session()))

    def test_hears_of_changes(self) -> None:
        """Who is given a list without asking hears of changes like who asked."""
        self.inventory.up(self.process())
        self.read(self.session())
        session = self.session()
        self.known(session)
        self.assertEqual(self.server.followers, [session])


class RestingTests(InventoryCase):
    """A server that is not running."""

    def rest(self) -> None:
        self.read(self.session())
        self.server.resting = True

    def test_given(self) -> None:
        """Its last list is given out, also to who missed something in it, and as stale."""
        self.rest()
        for stay in (self.session(), modern_visit()):
            self.assertEqual(self.known(stay, anew=True), ["a"])
        listing = self.inventory.known(modern_visit(), TOOLS)
        assert listing is not None
        self.assertEqual(listing.ttl, 0)
        self.assertEqual(self.server.brought_up, 0)

    def test_no_leisure(self) -> None:
        """One that may be started at once is."""
        self.make()
        self.inventory._leisure = False
        self.rest()
        self.assertIsNone(self.known(self.session()))

    def test_refresh(self) -> None:
        """One that is merely elsewhere is asked at once whether it still holds."""
        self.make(refresh=True)
        self.rest()
        self.known(self.session())
        self.assertEqual(self.server.brought_up, 1)

    def test_same(self) -> None:
        """When it starts and lists the same nobody is told anything."""
        self.rest()
        self.known(self.session())
        process = self.process("a")
        self.inventory.up(process)
        self.assertEqual(len(process.asked), 1)
        self.assertEqual(self.server.announced, [])
        self.assertEqual(self.follower.told, [("up", "s", None)])

    def test_other(self) -> None:
        """When it lists something else everybody is told."""
        self.rest()
        self.known(self.session())
        self.inventory.up(self.process("a", "b"))
        self.assertEqual(self.server.announced, [Notification(CHANGED)])
        self.assertIn((CHANGED, False), self.follower.told)
        self.assertEqual(self.known(self.session()), ["a", "b"])

    def test_told_by_the_way(self) -> None:
        """To tell of it is not taken for a change that the server tells of."""
        self.rest()
        self.known(self.session())
        self.patch(self.server, "announce", lambda said: self.inventory.changed(said.method))
        self.inventory.up(self.process("b"))
        self.server.resting = True
        self.assertEqual(self.known(self.session()), ["b"])

    def test_not_given(self) -> None:
        """What nobody was given is not asked for."""
        self.rest()
        process = self.process("b")
        self.inventory.up(process)
        self.assertEqual(process.asked, [])

    def test_order_and_spelling(self) -> None:
        """A list in another order, or written in another way, is the same list."""
        self.server.script["tools/list"] = tools("a", "b")
        self.rest()
        self.known(self.session())
        page = b'{"tools":[{"inputSchema":{"type":"object"} ,"name":"b"},{"name":"\\u0061",'
        page += b'"inputSchema":{"type":"object"}}]}'

        def answer(exchange: Exchange) -> Any:
            return Raw(page)

        self.inventory.up(ProcessOf({"tools/list": answer}))
        self.assertEqual(self.server.announced, [])

    def test_changed_while_checked(self) -> None:
        """What was said meanwhile counts for more than an old answer."""
        self.rest()
        self.known(self.session())
        process = ProcessOf({"tools/list": None})
        self.inventory.up(process)
        self.inventory.changed(CHANGED)
        process.open("tools/list").succeed(tools("b"))
        self.assertEqual(self.server.announced, [])
        self.assertIsNone(self.known(self.session()))

    def test_not_checked(self) -> None:
        """A process that does not answer leaves all as it was."""
        for problem in (ServerExited("gone"), {"tools": 3}):
            self.setUp()
            self.rest()
            self.known(self.session())
            self.inventory.up(ProcessOf({"tools/list": problem}))
            self.assertEqual(self.server.announced, [])
            self.assertEqual(self.known(self.session()), ["a"])

    def test_own_process(self) -> None:
        """A session whose own process lists something else is told; others have their own."""
        self.alone = True
        self.rest()
        other = self.session()
        self.known(other)
        session = self.session()
        self.known(session)
        self.inventory.up(self.process("b"), session)
        self.assertEqual(self.heard, [CHANGED])
        self.assertEqual(self.server.announced, [])
        self.assertEqual(self.follower.told, [("up", "s", session)])

    def test_change_of_own_process(self) -> None:
        """What one principal's process tells of is not so for others."""
        self.alone = True
        for who in ("alice", "bob"):
            self.read(self.session(who))
        self.server.resting = True
        self.inventory.changed(CHANGED, self.session("alice"))
        self.inventory.changed(CHANGED, self.session("carol"))
        self.assertIsNone(self.known(self.session("alice")))
        self.assertEqual(self.known(self.session("bob")), ["a"])

    def test_verify(self) -> None:
        """A process that came up for a call can tell as well whether lists hold."""
        self.rest()
        self.known(self.session())
        self.inventory.verify(self.process("b"))
        self.assertEqual(self.server.announced, [Notification(CHANGED)])
        self.assertEqual(self.follower.told, [(CHANGED, False)])


class SelectionTests(InventoryCase):
    def test_seen(self) -> None:
        """Clients are given what was selected; what the server gave is kept."""
        self.make(selections=Selections(NamedSelection(deny=("b",), rename=(("a", "z"),))))
        self.server.script["tools/list"] = tools("a", "b", "c")
        listing = self.read(self.session())
        self.assertEqual(list(listing.entries), ["z", "c"])
        self.assertEqual(opened(listing.entries["z"])["name"], "z")
        ((_, kept, _),) = self.inventory.to_keep()
        self.assertEqual(list(kept.entries), ["a", "b", "c"])


class KeepingTests(InventoryCase):
    def test_to_keep(self) -> None:
        """What is anybody's, and what is of those without a name; nobody's secrets."""
        self.server.script["tools/list"] = tools("secret", ttlMs=1, cacheScope="private")
        self.read(modern_visit("alice"))
        self.assertEqual((self.inventory.to_keep(), self.kept), ([], 0))
        self.server.script["tools/list"] = tools("open", ttlMs=1, cacheScope="public")
        self.read(modern_visit("alice"))
        self.read(modern_visit("alice"))
        self.assertEqual(self.kept, 1)
        ((shelf, listing, nameless),) = self.inventory.to_keep()
        self.assertEqual((shelf, list(listing.entries), nameless), (TOOLS, ["open"], False))
        self.server.script["tools/list"] = tools("mine", ttlMs=1, cacheScope="private")
        self.read(modern_visit(""))
        self.assertEqual([nameless for _, _, nameless in self.inventory.to_keep()], [False, True])

    def test_changed(self) -> None:
        """What has changed is not kept."""
        self.read(self.session())
        self.inventory.changed(CHANGED)
        self.assertEqual((self.inventory.to_keep(), self.kept), ([], 2))

    def test_restore(self) -> None:
        """An earlier life's list is good until the server runs, and then nobody relies on it."""
        self.read(self.session())
        kept, words = self.inventory.to_keep(), "Hello."
        self.make()
        self.inventory.restore(kept, words)
        self.assertIsNone(self.known(self.session()))
        self.server.resting = True
        self.assertEqual(self.known(self.session("alice")), ["a"])
        self.assertEqual(self.inventory.words, "Hello.")

    def test_restore_nameless(self) -> None:
        """What was of those without a name is not anybody's in another life."""
        self.inventory.restore([(TOOLS, Listing("s", {}), True)], "")
        self.server.resting = True
        self.assertEqual(self.known(self.session("")), [])
        self.assertIsNone(self.known(self.session("alice")))

    def test_words(self) -> None:
        """What a server says of itself is known from then on, within bounds."""
        process = self.process()
        self.inventory.up(process)
        self.assertEqual((self.inventory.words, self.kept), ("Mind the gap.", 1))
        for welcome in (b"", b"3", b'{"instructions":3}'):
            process.welcome = welcome
            self.inventory.up(process)
            self.assertEqual(self.inventory.words, "")
        process.welcome = encode_json({"instructions": "x" * 10_000})
        self.inventory.up(process)
        self.assertEqual(len(self.inventory.words), 4096)
