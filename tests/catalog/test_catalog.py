"""All servers as one, tried with servers that answer from a script."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyClass, verifyObject

from mcptwist.backend import Backend
from mcptwist.catalog import guest
from mcptwist.catalog.catalog import Catalog, CatalogSettings
from mcptwist.catalog.listings import Bounds
from mcptwist.catalog.toolnames import public_name
from mcptwist.errors import EraMismatch, MethodNotFound, ServerStartFailed
from mcptwist.exchange import Exchange
from mcptwist.interfaces import ICatalogued, IView
from mcptwist.messages import Notification, Request, encode_json
from mcptwist.session import Session
from tests.scripted import (
    HELLO,
    Back,
    Heard,
    ScriptedServer,
    Source,
    modern_request,
    modern_visit,
    tools,
)

IDENTITY = {"name": "mcptwist", "version": "1.2"}
ERA = EraMismatch("it is of the other era", server="x", era="modern")


class Desk:
    """A catalog, its servers, and a client of each era."""

    def __init__(
        self, servers: Mapping[str, ScriptedServer], settings: CatalogSettings | None = None
    ) -> None:
        self.clock = Clock()
        self.servers = servers
        self.catalog = Catalog(servers, self.clock, IDENTITY, settings)
        self.back = Back()
        self.ids = 0
        self.session = self.new_session()

    def new_session(self, principal: str = "") -> Session:
        session = Session("key", self.catalog, self.clock, principal)
        session.back = self.back
        session.request(Request("hello", "initialize", encode_json(HELLO)), Heard())
        return session

    def legacy(
        self, method: str, params: Mapping[str, Any] | None = None, session: Session | None = None
    ) -> Heard:
        heard = Heard()
        self.ids += 1
        body = b"" if params is None else encode_json(params)
        (session or self.session).request(Request(self.ids, method, body), heard)
        return heard

    def modern(
        self, method: str, params: Mapping[str, Any] | None = None, principal: str = ""
    ) -> Heard:
        heard = Heard()
        self.ids += 1
        request = modern_request(method, params, self.ids)
        self.catalog.begin(Exchange(request, heard, modern_visit(principal)))
        return heard


def names(heard: Heard) -> list[str]:
    return [tool["name"] for tool in heard.answer["tools"]]


def two(**scripts: Any) -> Desk:
    return Desk({name: ScriptedServer(script) for name, script in scripts.items()})


class SeamTests(SynchronousTestCase):
    def test_provides_view(self) -> None:
        """It is what gateways and sessions expect."""
        self.assertTrue(verifyObject(IView, Catalog({}, Clock(), IDENTITY)))

    def test_servers(self) -> None:
        """The scripted server and the real backend both are what it asks."""
        self.assertTrue(verifyObject(ICatalogued, ScriptedServer()))
        self.assertTrue(verifyClass(ICatalogued, Backend, tentative=True))


class GreetingTests(SynchronousTestCase):
    def test_initialize(self) -> None:
        """The handshake is answered by the house, with the client's revision; nobody is woken."""
        desk = two(a={}, b={})
        heard = Heard()
        session = Session("k", desk.catalog, desk.clock)
        session.request(Request(7, "initialize", encode_json(HELLO)), heard)
        self.assertEqual(heard.answer["protocolVersion"], "2025-06-18")
        self.assertEqual(session.revision, "2025-06-18")
        self.assertEqual(heard.answer["serverInfo"], IDENTITY)
        self.assertTrue(heard.answer["capabilities"]["resources"]["subscribe"])
        self.assertIn("a, b", heard.answer["instructions"])
        self.assertEqual([s.asked for s in desk.servers.values()], [[], []])

    def test_unknown_revision(self) -> None:
        """A client of a revision we have not is offered the latest that shakes hands."""
        desk = two(a={}, b={})
        heard = Heard()
        hello = {**HELLO, "protocolVersion": "2031-01-01"}
        Session("k", desk.catalog, desk.clock).request(
            Request(7, "initialize", encode_json(hello)), heard
        )
        self.assertEqual(heard.answer["protocolVersion"], "2025-11-25")

    def test_discover(self) -> None:
        """Discovery tells the same in the modern form, and wakes nobody either."""
        desk = two(a={}, b={})
        answer = desk.modern("server/discover").answer
        self.assertEqual(answer["supportedVersions"], ["2026-07-28"])
        self.assertEqual(answer["resultType"], "complete")
        self.assertEqual((answer["ttlMs"], answer["cacheScope"]), (0, "private"))
        self.assertEqual(answer["_meta"]["io.modelcontextprotocol/serverInfo"], IDENTITY)
        self.assertEqual([s.asked for s in desk.servers.values()], [[], []])


class ListTests(SynchronousTestCase):
    def test_order_and_names(self) -> None:
        """Entries come in the order of the servers, then of each; only their names change."""
        entry = {
            "name": "z",
            "title": "Z!",
            "inputSchema": {"$defs": {"q": {"type": "integer"}}, "x-mcp-header": 1.50},
            "future": [None],
        }
        desk = two(
            b={"tools/list": {"tools": [entry, {"name": "y"}]}}, a={"tools/list": tools("x")}
        )
        answer = desk.legacy("tools/list").answer
        self.assertEqual([t["name"] for t in answer["tools"]], ["b__z", "b__y", "a__x"])
        self.assertEqual(answer["tools"][0], {**entry, "name": "b__z"})
        self.assertEqual(set(answer), {"tools"})

    def test_all_at_once(self) -> None:
        """Nobody waits for another: all are asked before any has answered."""
        desk = two(a={"tools/list": None}, b={"tools/list": None})
        heard = desk.legacy("tools/list")
        desk.servers["b"].open("tools/list").succeed(tools("y"))
        self.assertIsNone(heard.answer)
        desk.servers["a"].open("tools/list").succeed(tools("x"))
        self.assertEqual(names(heard), ["a__x", "b__y"])

    def test_pages(self) -> None:
        """Every page of every server is asked for, with the client's own envelope."""

        def page(exchange: Exchange) -> Any:
            cursor = json.loads(bytes(exchange.request.params)).get("cursor")
            return tools("two") if cursor == "" else tools("one", nextCursor="")

        desk = two(a={"tools/list": page}, b={"tools/list": tools("x", nextCursor=None)})
        self.assertEqual(names(desk.modern("tools/list")), ["a__one", "a__two", "b__x"])
        for params in desk.servers["a"].asked_for("tools/list"):
            self.assertIn("io.modelcontextprotocol/protocolVersion", params["_meta"])

    def test_endless_pages(self) -> None:
        """A list without end is cut off, and that is said."""
        bounds = CatalogSettings(bounds=Bounds(pages=3))
        endless = ScriptedServer({"tools/list": lambda _: tools("x", nextCursor="again")})
        desk = Desk({"a": endless, "b": ScriptedServer({"tools/list": tools("y")})}, bounds)
        heard = desk.legacy("tools/list")
        self.assertEqual(names(heard), ["a__x", "b__y"])
        self.assertEqual(len(endless.asked), 3)
        (missing,) = heard.answer["_meta"]["mcptwist/unavailable"]
        self.assertEqual((missing["server"], missing["code"]), ("a", "too-much"))

    def test_too_many_entries(self) -> None:
        """Nor may a list grow without bound."""
        bounds = CatalogSettings(bounds=Bounds(entries=2))
        many = {"tools/list": lambda e: tools(*(f"t{n}" for n in range(2)), nextCursor="more")}
        desk = Desk({"a": ScriptedServer(many)}, bounds)
        heard = desk.legacy("tools/list")
        self.assertEqual(len(heard.answer["tools"]), 2)
        self.assertEqual(heard.answer["_meta"]["mcptwist/unavailable"][0]["code"], "too-much")

    def test_one_is_down(self) -> None:
        """A server that fails is left out, and named with its reason."""
        desk = two(
            a={"tools/list": ServerStartFailed("no such file")}, b={"tools/list": tools("y")}
        )
        heard = desk.legacy("tools/list")
        self.assertEqual(names(heard), ["b__y"])
        self.assertEqual(
            heard.answer["_meta"]["mcptwist/unavailable"],
            [{"server": "a", "reason": "no such file", "code": "server-start-failed"}],
        )

    def test_one_is_slow(self) -> None:
        """A server that takes too long is left out when its time is up."""
        desk = two(a={"tools/list": None}, b={"tools/list": tools("y")})
        heard = desk.legacy("tools/list")
        desk.clock.advance(14.9)
        self.assertIsNone(heard.answer)
        desk.clock.advance(0.1)
        self.assertEqual(names(heard), ["b__y"])
        self.assertEqual(heard.answer["_meta"]["mcptwist/unavailable"][0]["code"], "server-timeout")
        self.assertEqual(desk.clock.getDelayedCalls(), [])

    def test_late_list(self) -> None:
        """A legacy client hears when the list that was missing has come, and gets it then."""
        desk = two(a={"tools/list": None}, b={"tools/list": tools("y")})
        self.session_lists(desk, ["b__y"], late=True)
        self.assertEqual(desk.back.said, [])
        desk.servers["a"].asked[0].succeed(tools("x"))
        self.assertEqual(desk.back.said, [Notification("notifications/tools/list_changed")])
        desk.servers["a"].script["tools/list"] = tools("x")
        self.session_lists(desk, ["a__x", "b__y"])

    def test_late_list_once(self) -> None:
        """However often a client asks, one late list is waited for, and no more."""
        desk = two(a={"tools/list": None}, b={"tools/list": tools("y")})
        for _ in range(3):
            self.session_lists(desk, ["b__y"], late=True)
        self.assertEqual([e.over for e in desk.servers["a"].asked], [False, True, True])

    def test_late_and_in_time(self) -> None:
        """Of two requests for a list one may be late and the other not, whichever is answered."""
        for order in ((0, 1), (1, 0)):
            desk = two(a={"tools/list": None}, b={"tools/list": tools("y")})
            first = desk.legacy("tools/list")
            desk.clock.advance(10)
            second = desk.legacy("tools/list")
            desk.clock.advance(5)
            self.assertEqual((names(first), second.answer), (["b__y"], None))
            for place in order:
                desk.servers["a"].asked[place].succeed(tools("x"))
            self.assertEqual(names(second), ["a__x", "b__y"])
            self.assertEqual(len(desk.back.said), 1)
            self.assertEqual(desk.clock.getDelayedCalls(), [])

    def test_two_late_lists(self) -> None:
        """Of two requests that are late together one is waited for."""
        desk = two(a={"tools/list": None}, b={"tools/list": tools("y")})
        heard = [desk.legacy("tools/list"), desk.legacy("tools/list")]
        desk.clock.advance(15)
        self.assertEqual([names(each) for each in heard], [["b__y"], ["b__y"]])
        self.assertEqual([e.over for e in desk.servers["a"].asked], [False, True])
        desk.servers["a"].asked[0].succeed(tools("x"))
        self.assertEqual(len(desk.back.said), 1)

    def test_late_failure(self) -> None:
        """A late answer that is no list is no news; that its server is there again is."""
        desk = two(a={"tools/list": None}, b={"tools/list": tools("y")})
        self.session_lists(desk, ["b__y"], late=True)
        desk.servers["a"].asked[0].fail(ServerStartFailed("no"))
        self.assertEqual(desk.back.said, [])
        desk.catalog.server_up("b", None)
        self.assertEqual(desk.back.said, [])
        desk.catalog.server_up("a", None)
        self.assertEqual(desk.back.said, [Notification("notifications/tools/list_changed")])

    def test_late_list_not_waited_for(self) -> None:
        """When the client leaves nobody waits for the late list any more."""
        desk = two(a={"tools/list": None}, b={"tools/list": tools("y")})
        self.session_lists(desk, ["b__y"], late=True)
        desk.session.end(MethodNotFound("bye"))
        self.assertTrue(desk.servers["a"].asked[0].over)

    def test_modern_is_not_told_later(self) -> None:
        """A modern client cannot be told, so its list is given up in time."""
        desk = two(a={"tools/list": None}, b={"tools/list": tools("y")})
        heard = desk.modern("tools/list")
        desk.clock.advance(15)
        self.assertEqual(names(heard), ["b__y"])
        self.assertTrue(desk.servers["a"].asked[0].over)

    def session_lists(self, desk: Desk, expected: list[str], late: bool = False) -> None:
        heard = desk.legacy("tools/list")
        if late:
            desk.clock.advance(15)
        self.assertEqual(names(heard), expected)

    def test_one_talks_nonsense(self) -> None:
        """A server whose list is none is left out."""
        for nonsense in ({}, {"tools": 3}, {"tools": [3]}, {"tools": [{"name": 3}]}, [1]):
            desk = two(a={"tools/list": nonsense}, b={"tools/list": tools("y")})
            heard = desk.legacy("tools/list")
            self.assertEqual(names(heard), ["b__y"], nonsense)
            reason = heard.answer["_meta"]["mcptwist/unavailable"][0]
            self.assertEqual(reason["code"], "server-misbehaved")

    def test_one_has_none(self) -> None:
        """A server that has no prompts at all is not missing."""
        desk = two(a={}, b={"prompts/list": {"prompts": [{"name": "p"}]}})
        self.assertEqual(desk.legacy("prompts/list").answer, {"prompts": [{"name": "b__p"}]})

    def test_all_down(self) -> None:
        """When nobody could be asked that is an error, with every reason."""
        desk = two(a={"tools/list": ServerStartFailed("no file")}, b={"tools/list": ERA})
        error = desk.legacy("tools/list").error
        self.assertEqual(error["data"]["code"], "server-unavailable")
        self.assertEqual([x["server"] for x in error["data"]["unavailable"]], ["a", "b"])
        self.assertIn("no file", error["message"])

    def test_all_of_other_era(self) -> None:
        """When nobody is of the client's era it hears just that."""
        desk = two(a={"tools/list": ERA}, b={"tools/list": ERA})
        self.assertEqual(desk.modern("tools/list").error["data"]["code"], "era-mismatch")

    def test_foreign_cursor(self) -> None:
        """There is one page only, so no cursor can be ours."""
        desk = two(a={"tools/list": tools("x")}, b={})
        for cursor in ("", "page2", 3):
            error = desk.legacy("tools/list", {"cursor": cursor}).error
            self.assertEqual(error["code"], -32602, cursor)
        self.assertEqual(names(desk.legacy("tools/list", {"cursor": None})), ["a__x"])

    def test_modern_form(self) -> None:
        """A modern list is as short-lived and as private as its most delicate part."""
        desk = two(
            a={"tools/list": tools("x", ttlMs=500, cacheScope="public", resultType="complete")},
            b={"tools/list": tools("y", ttlMs=90, cacheScope="public", resultType="complete")},
            c={},
        )
        answer = desk.modern("tools/list").answer
        self.assertEqual(answer["resultType"], "complete")
        self.assertEqual((answer["ttlMs"], answer["cacheScope"]), (90, "public"))
        self.assertEqual(answer["_meta"], {"io.modelcontextprotocol/serverInfo": IDENTITY})

    def test_modern_private(self) -> None:
        """One private part, or one that does not say, makes the whole private."""
        for scope in ({"cacheScope": "private"}, {}):
            desk = two(
                a={"tools/list": tools("x", ttlMs=500, cacheScope="public")},
                b={"tools/list": tools("y", ttlMs=500, **scope)},
            )
            self.assertEqual(desk.modern("tools/list").answer["cacheScope"], "private")

    def test_modern_pages(self) -> None:
        """Every page of a server counts for that."""

        def page(exchange: Exchange) -> Any:
            last = "cursor" in json.loads(bytes(exchange.request.params))
            if last:
                return tools("two", ttlMs=90, cacheScope="public")
            return tools("one", ttlMs=50, cacheScope="private", nextCursor="2")

        desk = two(a={"tools/list": page}, b={})
        answer = desk.modern("tools/list").answer
        self.assertEqual((answer["ttlMs"], answer["cacheScope"]), (50, "private"))

    def test_modern_gap(self) -> None:
        """A list with a gap is stale at once."""
        desk = two(
            a={"tools/list": tools("x", ttlMs=500, cacheScope="public")},
            b={"tools/list": ServerStartFailed("no")},
        )
        answer = desk.modern("tools/list").answer
        self.assertEqual((answer["ttlMs"], answer["cacheScope"]), (0, "private"))

    def test_same_uri_twice(self) -> None:
        """A resource that another server has under the same URI is listed under one of its own."""
        desk = two(
            a={"resources/list": {"resources": [{"uri": "x:1", "name": "mine"}]}},
            b={"resources/list": {"resources": [{"uri": "x:1", "name": "no"}, {"uri": "x:2"}]}},
        )
        answer = desk.legacy("resources/list").answer
        self.assertEqual(
            answer["resources"],
            [
                {"uri": "x:1", "name": "mine"},
                {"uri": "mcptwist:b/x:1", "name": "no"},
                {"uri": "x:2"},
            ],
        )

    def test_views_of_tools(self) -> None:
        """A tool is shown by its own server's resource, also where another's has the same URI."""
        shown = {"name": "t", "inputSchema": {}, "_meta": {"ui": {"resourceUri": "ui://page"}}}
        read: dict[str, Any] = {"contents": [{"uri": "ui://page", "text": "<p>"}]}
        plain = {"name": "u", "inputSchema": {}}
        script = {"tools/list": {"tools": [shown, plain]}, "resources/read": read}
        desk = two(a=script, b=script)
        for ask in (desk.legacy, desk.modern):
            listed = ask("tools/list").answer["tools"]
            views = [tool["_meta"]["ui"]["resourceUri"] for tool in listed if "_meta" in tool]
            self.assertEqual(views, ["ui://page", "mcptwist:b/ui://page"])
        for uri, server in zip(views, desk.servers.values(), strict=True):
            answer = desk.legacy("resources/read", {"uri": uri}).answer
            self.assertEqual(answer["contents"][0]["uri"], uri)
            self.assertEqual(server.asked_for("resources/read"), [{"uri": "ui://page"}])

    def test_view_of_one_tool(self) -> None:
        """Where no other has the URI the entry passes as it came."""
        raw = {"name": "t", "inputSchema": {}, "_meta": {"ui/resourceUri": "ui://page"}}
        desk = two(a={"tools/list": {"tools": [raw]}}, b={"tools/list": {"tools": []}})
        (tool,) = desk.legacy("tools/list").answer["tools"]
        self.assertEqual(tool["_meta"], raw["_meta"])
        desk.legacy("resources/read", {"uri": "ui://page"})
        self.assertEqual(desk.servers["a"].asked_for("resources/read"), [{"uri": "ui://page"}])

    def test_templates(self) -> None:
        """Templates keep their names too; they are known by what they make."""
        template = {"uriTemplate": "x:{a}", "name": "X"}
        desk = two(a={"resources/templates/list": {"resourceTemplates": [template]}}, b={})
        answer = desk.legacy("resources/templates/list").answer
        self.assertEqual(answer["resourceTemplates"], [template])

    def test_cancelled(self) -> None:
        """Whoever does not want the list any more is not answered, and no server goes on."""
        desk = two(a={"tools/list": None}, b={"tools/list": None})
        heard = desk.legacy("tools/list")
        desk.session.notification(
            Notification("notifications/cancelled", encode_json({"requestId": desk.ids}))
        )
        self.assertIsNotNone(heard.gone)
        self.assertEqual(heard.answers, 0)
        self.assertTrue(all(e.over for s in desk.servers.values() for e in s.asked))
        self.assertEqual(desk.clock.getDelayedCalls(), [])

    @settings(max_examples=50, deadline=None)
    @given(
        st.dictionaries(
            st.sampled_from(["a", "a.b", "files", "s" * 64, "a-b"]),
            st.lists(st.text(max_size=70), max_size=6, unique=True),
            min_size=1,
        )
    )
    def test_what_is_listed_can_be_called(self, offered: dict[str, list[str]]) -> None:
        """Every name in the list reaches the tool it was made for, also for who never listed."""

        def reply(exchange: Exchange) -> Any:
            return {"content": [], "was": json.loads(bytes(exchange.request.params))["name"]}

        def desk() -> Desk:
            return two(
                **{s: {"tools/list": tools(*ts), "tools/call": reply} for s, ts in offered.items()}
            )

        for fresh in (False, True):
            asking = desk()
            listed = (
                names(desk().legacy("tools/list")) if fresh else names(asking.legacy("tools/list"))
            )
            called = [asking.legacy("tools/call", {"name": n}).answer["was"] for n in listed]
            self.assertEqual(called, [tool for ts in offered.values() for tool in ts])


class CallTests(SynchronousTestCase):
    def test_passes_all(self) -> None:
        """A call reaches its server as it was, but for the name; so does the answer come back."""
        params = {"arguments": {"a": [1.0]}, "name": "b__t", "_meta": {"x/y": 1}, "future": {}}
        desk = two(a={}, b={"tools/call": {"content": [], "isError": True, "_meta": {"q": 2}}})
        heard = desk.legacy("tools/call", params)
        self.assertEqual(desk.servers["b"].asked_for("tools/call"), [{**params, "name": "t"}])
        self.assertEqual(heard.answer, {"content": [], "isError": True, "_meta": {"q": 2}})
        self.assertEqual(desk.servers["a"].asked, [])

    def test_what_is_said(self) -> None:
        """Progress, log messages and questions on the way reach the client."""
        desk = two(a={"tools/call": None}, b={})
        heard = desk.legacy("tools/call", {"name": "a__t"})
        call = desk.servers["a"].open("tools/call")
        call.notify(Notification("notifications/progress", b'{"progress":1,"progressToken":"p"}'))
        asker = Heard()
        question = Exchange(Request(9, "elicitation/create", b"{}"), asker)
        call.ask(question)
        heard.questions[0].succeed({"action": "accept"})
        call.succeed({"content": []})
        self.assertEqual(
            heard.said, [("notifications/progress", {"progress": 1, "progressToken": "p"})]
        )
        self.assertEqual(asker.answer, {"action": "accept"})
        self.assertEqual(heard.answer, {"content": []})

    def test_input_required(self) -> None:
        """A modern server's interim result passes, and the retry finds the same tool."""
        interim = {"resultType": "input_required", "requestState": "s", "inputRequests": {}}
        desk = two(a={"tools/call": interim}, b={})
        self.assertEqual(desk.modern("tools/call", {"name": "a__t"}).answer, interim)
        desk.modern("tools/call", {"name": "a__t", "requestState": "s", "inputResponses": {}})
        self.assertEqual(desk.servers["a"].asked_for("tools/call")[1]["requestState"], "s")

    def test_stay(self) -> None:
        """The server learns whose call it is, and under which id."""
        desk = two(a={"tools/call": None}, b={})
        desk.legacy("tools/call", {"name": "a__t"})
        call = desk.servers["a"].open("tools/call")
        self.assertIs(call.stay, desk.session)
        self.assertEqual(call.request.id, desk.ids)

    def test_error_passes(self) -> None:
        """A server's own error is the client's answer."""
        desk = two(a={"tools/call": MethodNotFound("gone")}, b={})
        self.assertEqual(desk.legacy("tools/call", {"name": "a__t"}).error["code"], -32601)

    def test_cancel(self) -> None:
        """A cancellation reaches the server."""
        desk = two(a={"tools/call": None}, b={})
        heard = desk.legacy("tools/call", {"name": "a__t"})
        call = desk.servers["a"].open("tools/call")
        reasons: list[str] = []
        call.in_charge(reasons.append)
        desk.session.notification(
            Notification(
                "notifications/cancelled", encode_json({"requestId": desk.ids, "reason": "enough"})
            )
        )
        self.assertEqual(reasons, ["enough"])
        self.assertEqual(heard.gone, "enough")

    def test_held_back(self) -> None:
        """A client that cannot take more holds its server back through the catalog."""
        desk = two(a={"tools/call": None}, b={})
        exchange = Exchange(modern_request("tools/call", {"name": "a__t"}), Heard(), modern_visit())
        desk.catalog.begin(exchange)
        source = Source()
        desk.servers["a"].open("tools/call").source = source
        exchange.hold()
        exchange.release()
        self.assertEqual(source.told, ["hold", "release"])

    def test_unknown_prefix(self) -> None:
        """A name of nobody's is refused, with the names that may have been meant."""
        desk = two(a={"tools/list": tools("read_file", "stop")}, b={"tools/list": tools("y")})
        desk.legacy("tools/list")
        for asked in ("read_file", "c__read_file", "a_read_file"):
            error = desk.legacy("tools/call", {"name": asked}).error
            self.assertEqual(error["code"], -32602)
            self.assertEqual(error["data"]["didYouMean"][0], "a__read_file", asked)
            self.assertIn("did you mean a__read_file", error["message"])

    def test_unknown_and_nothing_known(self) -> None:
        """Before anything was listed there is nothing to suggest, and nobody is woken for it."""
        desk = two(a={"tools/list": tools("read")}, b={})
        error = desk.legacy("tools/call", {"name": "read"}).error
        self.assertIn("tools/list tells", error["message"])
        self.assertEqual(desk.servers["a"].asked, [])

    def test_no_suggestions_across_principals(self) -> None:
        """What one principal was shown is not suggested to another."""
        desk = two(a={"tools/list": tools("secret")}, b={})
        desk.modern("tools/list", principal="alice")
        error = desk.modern("tools/call", {"name": "secret"}, principal="bob").error
        self.assertNotIn("didYouMean", error["data"])

    def test_bad_name(self) -> None:
        """A call that names nothing is the client's mistake."""
        desk = two(a={}, b={})
        for params in ({}, {"name": 3}, {"name": None}):
            self.assertEqual(desk.legacy("tools/call", params).error["code"], -32602)

    def test_cut_name_unlisted(self) -> None:
        """A cut name leads to its tool also for a client that has not listed."""
        long = "t" * 80
        desk = two(a={"tools/list": tools(long), "tools/call": {"content": []}}, b={})
        desk.modern("tools/call", {"name": public_name("a", long)})
        self.assertEqual(desk.servers["a"].asked_for("tools/call")[0]["name"], long)
        self.assertEqual(desk.servers["b"].asked, [])
        desk.modern("tools/call", {"name": public_name("a", long)})
        self.assertEqual(len(desk.servers["a"].asked_for("tools/list")), 1)

    def test_cut_name_unknown(self) -> None:
        """A cut name that nobody lists is unknown."""
        desk = two(a={"tools/list": tools("t")}, b={})
        error = desk.legacy("tools/call", {"name": public_name("a", "t" * 80)}).error
        self.assertEqual(error["data"]["code"], "unknown-name")

    def test_cut_name_cancelled_while_listing(self) -> None:
        """A call cancelled before its tool was found never reaches the tool."""
        long = "t" * 80
        desk = two(a={"tools/list": None, "tools/call": {"content": []}}, b={})
        desk.legacy("tools/call", {"name": public_name("a", long)})
        listing = desk.servers["a"].open("tools/list")
        desk.session.notification(
            Notification("notifications/cancelled", encode_json({"requestId": desk.ids}))
        )
        listing.succeed(tools(long))
        self.assertTrue(listing.over)
        self.assertEqual(desk.servers["a"].asked_for("tools/call"), [])

    def test_cut_name_of_one_of_two(self) -> None:
        """A call cancelled while one of two lists is there and the other not is not made."""
        long = "t" * 80
        first, second = "s" * 50 + "a", "s" * 50 + "b"
        desk = Desk({name: ScriptedServer({"tools/list": None}) for name in (first, second)})
        desk.legacy("tools/call", {"name": public_name(first, long)})
        desk.servers[first].open("tools/list").succeed(tools(long))
        desk.session.notification(
            Notification("notifications/cancelled", encode_json({"requestId": desk.ids}))
        )
        self.assertEqual(desk.servers[first].asked_for("tools/call"), [])
        self.assertTrue(all(e.over for s in desk.servers.values() for e in s.asked))

    def test_look_up_on_behalf(self) -> None:
        """A look-up carries the client's envelope, but does not pass for the call."""
        desk = two(a={"tools/list": tools("t")}, b={})
        params = {"name": public_name("a", "t" * 80), "_meta": {"progressToken": 3, "x/y": 1}}
        desk.legacy("tools/call", params)
        self.assertEqual(desk.servers["a"].asked_for("tools/list"), [{"_meta": {"x/y": 1}}])

    def test_prompts(self) -> None:
        """Prompts are called as they are listed."""
        desk = two(a={"prompts/get": {"messages": []}}, b={})
        desk.legacy("prompts/get", {"name": "a__p", "arguments": {"x": "y"}})
        self.assertEqual(
            desk.servers["a"].asked_for("prompts/get"), [{"name": "p", "arguments": {"x": "y"}}]
        )


def resources(*uris: str) -> dict[str, Any]:
    return {"resources": [{"uri": uri, "name": uri} for uri in uris]}


def templates(*texts: str) -> dict[str, Any]:
    return {"resourceTemplates": [{"uriTemplate": text, "name": text} for text in texts]}


class ResourceTests(SynchronousTestCase):
    def setUp(self) -> None:
        def read(exchange: Exchange) -> Any:
            return {"contents": []}

        self.desk = two(
            a={
                "resources/list": resources("x:1", "x:both"),
                "resources/templates/list": templates("t://{any}"),
                "resources/read": read,
                "resources/subscribe": {},
                "resources/unsubscribe": {},
                "completion/complete": {"completion": {"values": ["a"]}},
            },
            b={
                "resources/list": resources("x:2", "x:both"),
                "resources/templates/list": templates("t://b-{id}", "u:{+rest}"),
                "resources/read": read,
                "resources/subscribe": {},
                "resources/unsubscribe": {},
                "completion/complete": {"completion": {"values": ["b"]}},
            },
        )

    def reader_of(self, uri: str) -> list[str]:
        before = {name: len(s.asked_for("resources/read")) for name, s in self.desk.servers.items()}
        heard = self.desk.legacy("resources/read", {"uri": uri})
        self.assertEqual(heard.answer, {"contents": []})
        return [
            n
            for n, s in self.desk.servers.items()
            if len(s.asked_for("resources/read")) > before[n]
        ]

    def test_listed(self) -> None:
        """A listed resource is read from its server; of two the first."""
        self.assertEqual(self.reader_of("x:1"), ["a"])
        self.assertEqual(self.reader_of("x:2"), ["b"])
        self.assertEqual(self.reader_of("x:both"), ["a"])

    def test_templates(self) -> None:
        """What a template makes is read from its server; of two the closer."""
        self.assertEqual(self.reader_of("t://something"), ["a"])
        self.assertEqual(self.reader_of("t://b-7"), ["b"])
        self.assertEqual(self.reader_of("u:a/b/c"), ["b"])

    def test_listed_once(self) -> None:
        """Servers are asked for their lists when needed, and not again for what is known."""
        self.reader_of("x:1")
        self.reader_of("x:2")
        self.assertEqual(len(self.desk.servers["a"].asked_for("resources/list")), 1)

    def test_new_resource(self) -> None:
        """A resource that came after the list was read is found all the same."""
        self.reader_of("x:1")
        self.desk.servers["b"].script["resources/list"] = resources("x:2", "x:new")
        self.assertEqual(self.reader_of("x:new"), ["b"])

    def test_linked(self) -> None:
        """A resource that a tool's result points to is read from that tool's server."""
        link = {"type": "resource_link", "uri": "hidden:1", "name": "h"}
        self.desk.servers["b"].script["tools/call"] = {"content": [{"type": "text"}, link]}
        self.desk.legacy("tools/call", {"name": "b__t"})
        self.assertEqual(self.reader_of("hidden:1"), ["b"])

    def test_nobody_has_it(self) -> None:
        """Each era has its own error for it."""
        legacy = self.desk.legacy("resources/read", {"uri": "no:1"}).error
        modern = self.desk.modern("resources/read", {"uri": "no:1"}).error
        self.assertEqual((legacy["code"], modern["code"]), (-32002, -32602))
        self.assertEqual(legacy["data"]["uri"], "no:1")

    def test_no_uri(self) -> None:
        """A request that names nothing is the client's mistake."""
        self.assertEqual(self.desk.legacy("resources/read", {}).error["code"], -32602)

    def test_many_subscriptions(self) -> None:
        """What is remembered of a client's subscriptions has a bound; none is refused for it."""
        self.patch(guest, "_SUBSCRIPTIONS", 1)
        for uri in ("x:1", "x:2"):
            self.assertEqual(self.desk.legacy("resources/subscribe", {"uri": uri}).answer, {})
        for uri in ("x:1", "x:2"):
            self.assertEqual(self.desk.legacy("resources/unsubscribe", {"uri": uri}).answer, {})
        b = self.desk.servers["b"]
        self.assertEqual(b.asked_for("resources/unsubscribe"), [{"uri": "x:2"}])

    def test_subscribe(self) -> None:
        """A subscription reaches the owner; so does its end, listed or not."""
        self.desk.legacy("resources/subscribe", {"uri": "x:2"})
        b = self.desk.servers["b"]
        self.assertEqual(b.asked_for("resources/subscribe"), [{"uri": "x:2"}])
        b.script["resources/list"] = resources()
        self.desk.catalog.hear(
            self.desk.session, "b", Notification("notifications/resources/list_changed")
        )
        self.assertEqual(self.desk.legacy("resources/unsubscribe", {"uri": "x:2"}).answer, {})
        self.assertEqual(b.asked_for("resources/unsubscribe"), [{"uri": "x:2"}])
        self.assertEqual(self.desk.servers["a"].asked_for("resources/subscribe"), [])

    def test_complete_prompt(self) -> None:
        """Completion for a prompt goes to its server, under its own name there."""
        params = {
            "ref": {"type": "ref/prompt", "name": "b__p", "title": "P"},
            "argument": {"name": "x", "value": "y"},
        }
        answer = self.desk.legacy("completion/complete", params).answer
        self.assertEqual(answer, {"completion": {"values": ["b"]}})
        (asked,) = self.desk.servers["b"].asked_for("completion/complete")
        self.assertEqual(asked, {**params, "ref": {**params["ref"], "name": "p"}})

    def test_complete_template(self) -> None:
        """Completion for a template goes to the server that offers it."""
        params = {"ref": {"type": "ref/resource", "uri": "u:{+rest}"}, "argument": {}}
        answer = self.desk.legacy("completion/complete", params).answer
        self.assertEqual(answer, {"completion": {"values": ["b"]}})
        self.assertEqual(self.desk.servers["b"].asked_for("completion/complete"), [params])

    def test_complete_nonsense(self) -> None:
        """A reference that is none is the client's mistake."""
        for ref in ({}, {"type": "ref/tool"}, {"type": "ref/prompt"}, 3):
            error = self.desk.legacy("completion/complete", {"ref": ref}).error
            self.assertEqual(error["code"], -32602, ref)


class SameUriTests(SynchronousTestCase):
    """Resources that two servers have under the same URI: the second server's is prefixed."""

    OURS, THEIRS = "x:1", "mcptwist:b/x:1"

    def setUp(self) -> None:
        def read(exchange: Exchange) -> Any:
            uri = json.loads(bytes(exchange.request.params))["uri"]
            return {"contents": [{"uri": uri, "text": "t"}, {"uri": "x:part", "text": "p"}]}

        link = {"type": "resource_link", "uri": "x:1", "name": "one"}
        embedded = {"type": "resource", "resource": {"uri": "x:1", "text": "t"}}
        script = {
            "resources/list": resources("x:1"),
            "resources/templates/list": templates("t:{n}"),
            "resources/read": read,
            "resources/subscribe": {},
            "resources/unsubscribe": {},
            "completion/complete": {"completion": {"values": []}},
            "tools/call": {"content": [link, embedded]},
            "prompts/get": {"messages": [{"role": "user", "content": embedded}]},
            "subscriptions/listen": None,
        }
        self.desk = two(a=dict(script), b=dict(script))
        self.a, self.b = self.desk.servers["a"], self.desk.servers["b"]

    def test_lists(self) -> None:
        """The first server's keep their URIs, in every list, however often it is asked for."""
        for ask in (self.desk.legacy, self.desk.modern, self.desk.legacy):
            listed = ask("resources/list").answer["resources"]
            self.assertEqual([r["uri"] for r in listed], [self.OURS, self.THEIRS])
            self.assertEqual([r["name"] for r in listed], ["x:1", "x:1"])
            offered = ask("resources/templates/list").answer["resourceTemplates"]
            self.assertEqual([t["uriTemplate"] for t in offered], ["t:{n}", "mcptwist:b/t:{n}"])

    def test_read(self) -> None:
        """Each is read from its server, which hears its own URI; the client sees those it knows."""
        for uri, part, server, other in (
            (self.OURS, "x:part", self.a, self.b),
            (self.THEIRS, "mcptwist:b/x:part", self.b, self.a),
        ):
            answer = self.desk.legacy("resources/read", {"uri": uri}).answer
            self.assertEqual(server.asked_for("resources/read"), [{"uri": "x:1"}])
            self.assertEqual([c["uri"] for c in answer["contents"]], [uri, part])
            other.asked.clear()
            server.asked.clear()

    def test_unlisted(self) -> None:
        """With its server's name a resource can be read that was never listed."""
        self.desk.legacy("resources/read", {"uri": "mcptwist:b/y:9"})
        self.assertEqual(self.b.asked_for("resources/read"), [{"uri": "y:9"}])
        self.assertEqual(self.a.asked, [])

    def test_no_such_server(self) -> None:
        """What only looks prefixed is a URI like any other."""
        error = self.desk.legacy("resources/read", {"uri": "mcptwist:c/x:1"}).error
        self.assertEqual(error["data"]["uri"], "mcptwist:c/x:1")

    def test_looks_prefixed(self) -> None:
        """A server's own URI that looks like another's is prefixed, and so not taken for it."""
        self.b.script["resources/list"] = resources("mcptwist:a/x:1")
        (_, listed) = self.desk.legacy("resources/list").answer["resources"]
        self.assertEqual(listed["uri"], "mcptwist:b/mcptwist:a/x:1")
        self.desk.legacy("resources/read", {"uri": listed["uri"]})
        self.assertEqual(self.b.asked_for("resources/read"), [{"uri": "mcptwist:a/x:1"}])

    def test_links(self) -> None:
        """Where a result points to a resource, or holds one, it is under the URI it is known by."""
        self.desk.legacy("resources/list")
        for server, uri in (("a", self.OURS), ("b", self.THEIRS)):
            called = self.desk.legacy("tools/call", {"name": f"{server}__t"}).answer["content"]
            self.assertEqual([called[0]["uri"], called[1]["resource"]["uri"]], [uri, uri])
            got = self.desk.legacy("prompts/get", {"name": f"{server}__p"}).answer["messages"]
            self.assertEqual(got[0]["content"]["resource"]["uri"], uri)

    def test_links_to_unlisted(self) -> None:
        """Of resources that nobody lists the one that was pointed to first keeps its URI."""
        for server in (self.a, self.b):
            server.script["resources/list"] = resources()
        for server, uri in (("b", "x:1"), ("a", "mcptwist:a/x:1"), ("b", "x:1")):
            called = self.desk.legacy("tools/call", {"name": f"{server}__t"}).answer["content"]
            self.assertEqual(called[0]["uri"], uri)

    def test_subscribe(self) -> None:
        """Updates come under the URI that was subscribed to."""
        self.desk.legacy("resources/list")
        self.desk.legacy("resources/subscribe", {"uri": self.THEIRS})
        self.assertEqual(self.b.asked_for("resources/subscribe"), [{"uri": "x:1"}])
        for server, uri in (("b", self.THEIRS), ("a", self.OURS)):
            self.desk.session.tell(server, updated("x:1"))
            self.assertEqual(self.desk.back.said.pop(), updated(uri))
        self.desk.legacy("resources/unsubscribe", {"uri": self.THEIRS})
        self.assertEqual(self.b.asked_for("resources/unsubscribe"), [{"uri": "x:1"}])
        self.assertEqual(self.a.asked_for("resources/unsubscribe"), [])

    def test_subscribe_with_name(self) -> None:
        """Also where the prefix was not needed."""
        self.b.script["resources/list"] = resources("x:2")
        self.desk.legacy("resources/subscribe", {"uri": "mcptwist:b/x:2"})
        self.desk.session.tell("b", updated("x:2"))
        self.assertEqual(self.desk.back.said, [updated("mcptwist:b/x:2")])

    def test_odd_update(self) -> None:
        """An update of nothing passes as it is."""
        for params in (b"", b"{}", b'{"uri":3}', b"[]"):
            said = Notification("notifications/resources/updated", params)
            self.assertEqual(self.desk.catalog.hear(self.desk.session, "a", said), said)

    def test_listen(self) -> None:
        """So do updates in a subscription, and what it was granted."""
        wanted = {"notifications": {"resourceSubscriptions": [self.OURS, self.THEIRS]}}
        heard = self.desk.modern("subscriptions/listen", wanted)
        for server in (self.a, self.b):
            (asked,) = server.asked_for("subscriptions/listen")
            self.assertEqual(asked["notifications"], {"resourceSubscriptions": ["x:1"]})
            granted = {"notifications": {"resourceSubscriptions": ["x:1"]}}
            said = Notification("notifications/subscriptions/acknowledged", encode_json(granted))
            server.open("subscriptions/listen").notify(said)
            server.open("subscriptions/listen").notify(updated("x:1"))
        (_, acknowledged), *updates = heard.said
        self.assertEqual(acknowledged["notifications"], wanted["notifications"])
        self.assertEqual([params["uri"] for _, params in updates], [self.OURS, self.THEIRS])

    def test_complete(self) -> None:
        """A prefixed template is completed by its server."""
        self.desk.legacy("resources/templates/list")
        for uri, server in (("t:{n}", self.a), ("mcptwist:b/t:{n}", self.b)):
            ref = {"type": "ref/resource", "uri": uri}
            self.desk.legacy("completion/complete", {"ref": ref, "argument": {}})
            (asked,) = server.asked_for("completion/complete")
            self.assertEqual(asked["ref"]["uri"], "t:{n}")

    def test_expanded(self) -> None:
        """What a prefixed template makes is that server's."""
        self.desk.legacy("resources/templates/list")
        self.desk.legacy("resources/read", {"uri": "mcptwist:b/t:7"})
        self.assertEqual(self.b.asked_for("resources/read"), [{"uri": "t:7"}])

    @settings(max_examples=60, deadline=None)
    @given(
        st.dictionaries(
            st.sampled_from(["a", "b", "c"]),
            st.lists(
                st.sampled_from(["x:1", "x:2", "mcptwist:a/x:1", "mcptwist:b/x:1", "mcptwist:"])
                | st.text(min_size=1, max_size=3),
                unique=True,
                max_size=4,
            ),
            min_size=1,
        )
    )
    def test_what_is_listed_can_be_read(self, offered: dict[str, list[str]]) -> None:
        """Every URI in the list is there once, and reaches the resource it was made for."""

        def reader(server: str) -> Any:
            def read(exchange: Exchange) -> Any:
                return {"was": [server, json.loads(bytes(exchange.request.params))["uri"]]}

            return read

        desk = two(
            **{
                server: {"resources/list": resources(*uris), "resources/read": reader(server)}
                for server, uris in offered.items()
            }
        )
        listed = [r["uri"] for r in desk.legacy("resources/list").answer["resources"]]
        read = [desk.legacy("resources/read", {"uri": uri}).answer["was"] for uri in listed]
        self.assertEqual(read, [[server, uri] for server, uris in offered.items() for uri in uris])


def updated(uri: str) -> Notification:
    return Notification("notifications/resources/updated", encode_json({"uri": uri}))


class BrokenTests(SynchronousTestCase):
    """Servers that could not be configured."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.server = ScriptedServer(
            {"tools/list": tools("x", ttlMs=500, cacheScope="public", resultType="complete")}
        )
        self.catalog = Catalog(
            {"a": self.server}, self.clock, IDENTITY, broken={"odd": "no command"}
        )

    def ask(self) -> Heard:
        heard = Heard()
        self.catalog.begin(Exchange(modern_request("tools/list"), heard, modern_visit()))
        return heard

    def test_named(self) -> None:
        """They are named; lists are as good without them, for nothing will bring them back."""
        answer = self.ask().answer
        odd = {"server": "odd", "reason": "no command", "code": "misconfigured"}
        self.assertEqual(answer["_meta"]["mcptwist/unavailable"], [odd])
        self.assertEqual((answer["ttlMs"], answer["cacheScope"]), (500, "public"))

    def test_nothing_else(self) -> None:
        """When nobody else answers they are among the reasons."""
        self.server.script["tools/list"] = ServerStartFailed("no file")
        error = self.ask().error
        self.assertEqual([x["server"] for x in error["data"]["unavailable"]], ["a", "odd"])


class InstructionTests(SynchronousTestCase):
    def test_merged(self) -> None:
        """What servers say of themselves is said on, with their names, as far as it is known."""
        desk = two(a={}, b={}, c={})
        desk.catalog._inventories["a"].words = "Ask first.\n"
        desk.catalog._inventories["c"].words = "x" * 40_000
        instructions = desk.modern("server/discover").answer["instructions"]
        self.assertTrue(instructions.endswith("a, b, c.\n\na: Ask first."))


class SharedTests(SynchronousTestCase):
    def test_level(self) -> None:
        """Servers in use hear the level at once, others when they come into use, once."""
        desk = two(a={"tools/call": {}, "logging/setLevel": {}}, b={"tools/call": {}})
        desk.legacy("tools/call", {"name": "a__t"})
        self.assertEqual(desk.legacy("logging/setLevel", {"level": "error"}).answer, {})
        self.assertEqual(desk.servers["a"].asked_for("logging/setLevel"), [{"level": "error"}])
        self.assertEqual(desk.servers["b"].asked, [])
        desk.legacy("tools/call", {"name": "b__t"})
        desk.legacy("tools/call", {"name": "b__t"})
        methods = [e.request.method for e in desk.servers["b"].asked]
        self.assertEqual(methods, ["logging/setLevel", "tools/call", "tools/call"])

    def test_bad_level(self) -> None:
        """A level there is not is refused."""
        desk = two(a={}, b={})
        for params in ({}, {"level": "loud"}):
            self.assertEqual(desk.legacy("logging/setLevel", params).error["code"], -32602)

    def test_other_methods(self) -> None:
        """What cannot be served for all is refused, with the way to the one."""
        desk = two(a={"tasks/get": {}}, b={})
        for heard in (
            desk.legacy("tasks/get", {}),
            desk.legacy("server/discover"),
            desk.legacy("subscriptions/listen"),
            desk.modern("initialize"),
            desk.modern("ping"),
            desk.modern("logging/setLevel", {"level": "info"}),
            desk.modern("resources/subscribe", {"uri": "x:1"}),
        ):
            self.assertEqual(heard.error["code"], -32601)
            self.assertIn("/servers/NAME/mcp", heard.error["message"])

    def test_params_not_as_they_must_be(self) -> None:
        """``_meta`` that is no object is refused, not stumbled over."""
        desk = two(a={"tools/list": tools("x")}, b={})
        heard = desk.legacy("resources/read", {"uri": "x:1", "_meta": 3})
        self.assertIsNotNone(heard.error)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_hear_changes(self) -> None:
        """A changed list is told on, and what was known of it is not relied on any more."""
        long = "t" * 80
        script = {"tools/list": lambda _: tools(long), "tools/call": {"content": []}}
        desk = two(a=script, b={})
        desk.legacy("tools/list")
        changed = Notification("notifications/tools/list_changed")
        desk.session.tell("a", changed)
        self.assertEqual(desk.back.said, [changed])
        desk.legacy("tools/call", {"name": public_name("a", long)})
        self.assertEqual(len(desk.servers["a"].asked_for("tools/list")), 2)

    def test_hear_log(self) -> None:
        """A log message tells which server's it is."""
        desk = two(a={}, b={})
        for logger, signed in (({"logger": "db"}, "a/db"), ({}, "a")):
            said = {"level": "info", "data": {"x": 1}, **logger}
            heard = desk.catalog.hear(
                desk.session, "a", Notification("notifications/message", encode_json(said))
            )
            assert heard is not None
            self.assertEqual(json.loads(bytes(heard.params)), {**said, "logger": signed})

    def test_hear_anything_else(self) -> None:
        """Everything else passes as it is, also what is not as it should be."""
        desk = two(a={}, b={})
        for said in (
            Notification("notifications/resources/updated", b'{"uri":"x:1"}'),
            Notification("notifications/future", b"{}"),
            Notification("notifications/message", b'{"logger":3}'),
        ):
            self.assertEqual(desk.catalog.hear(desk.session, "a", said), said)

    def test_overhear_and_leave(self) -> None:
        """A client's words reach every server, and so does its leaving."""
        desk = two(a={}, b={})
        said = Notification("notifications/roots/list_changed")
        desk.session.notification(said)
        desk.session.end(MethodNotFound("bye"))
        for server in desk.servers.values():
            self.assertEqual(server.overheard, [(desk.session, said)])
            self.assertEqual(server.detached, [desk.session])

    def test_nothing_after_leaving(self) -> None:
        """A session that is over is put to no server again: nobody would take it off there."""
        desk = two(a={"tools/list": tools("x")}, b={})
        desk.session.end(MethodNotFound("bye"))
        heard = Heard()
        request = Request(1, "tools/list")
        desk.catalog.begin(Exchange(request, heard, desk.session))
        self.assertIsNotNone(heard.error)
        self.assertEqual(desk.servers["a"].asked, [])
