"""A server of which clients see what was selected."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as some
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from mcptwist.catalog.selectedserver import SelectedServer
from mcptwist.catalog.selection import NamedSelection, Selection, Selections
from mcptwist.errors import MethodNotFound
from mcptwist.exchange import Exchange
from mcptwist.gateway import ServerView
from mcptwist.interfaces import IAnswerer
from mcptwist.messages import Notification, Request, encode_json
from mcptwist.session import Session
from tests.scripted import (
    HELLO,
    Heard,
    ScriptedServer,
    Source,
    modern_request,
    modern_visit,
    opened,
    tools,
)

SELECTED = Selections(
    NamedSelection(deny=("bad*",), hide=("quiet",), rename=(("old", "new"),)),
    NamedSelection(allow=("p*",), rename=(("prompt", "p2"),)),
    Selection(deny=("x:secret*",)),
)


class SelectedCase(SynchronousTestCase):
    """A server with a selection, and clients of both eras."""

    def setUp(self) -> None:
        self.server = ScriptedServer(
            {
                "tools/list": tools("old", "quiet", "bad1", "plain"),
                "tools/call": {"content": []},
                "prompts/get": {"messages": []},
                "resources/list": {"resources": [{"uri": "x:1"}, {"uri": "x:secret"}]},
                "resources/templates/list": {"resourceTemplates": [{"uriTemplate": "x:{n}"}]},
                "resources/read": {"contents": []},
                "resources/subscribe": {},
                "completion/complete": {"completion": {"values": []}},
                "subscriptions/listen": None,
                "initialize": {"protocolVersion": "2025-11-25"},
            }
        )
        self.server.name = "s"
        self.selected = SelectedServer(self.server, SELECTED)
        self.view = ServerView(self.selected)
        self.session = Session("k", self.view, Clock())
        self.session.request(Request(0, "initialize", encode_json(HELLO)), Heard())

    def legacy(self, method: str, params: Any = None, raw: bytes = b"") -> Heard:
        heard = Heard()
        self.session.request(Request("n", method, raw or encode_json(params or {})), heard)
        return heard

    def modern(self, method: str, params: Any = None) -> Heard:
        heard = Heard()
        self.view.begin(Exchange(modern_request(method, params), heard, modern_visit()))
        return heard


class SelectedServerTests(SelectedCase):
    def test_provides(self) -> None:
        """It is asked like any server."""
        verifyObject(IAnswerer, self.selected)

    def test_list(self) -> None:
        """A list shows what is selected, renamed, in the server's order; nothing else of an entry
        changes, and nothing of the rest of the page."""
        self.server.script["tools/list"] = {
            "tools": [
                {"name": "old", "title": "Old", "x": [1.0]},
                {"name": "bad1"},
                {"name": "quiet"},
                {"name": "plain"},
            ],
            "nextCursor": "2",
            "_meta": {"a": 1},
        }
        expected = {
            "tools": [{"name": "new", "title": "Old", "x": [1.0]}, {"name": "plain"}],
            "nextCursor": "2",
            "_meta": {"a": 1},
        }
        self.assertEqual(self.legacy("tools/list").answer, expected)
        self.assertEqual(self.modern("tools/list").answer, expected)

    def test_resources(self) -> None:
        """Resources and templates go by their URIs."""
        self.assertEqual(self.legacy("resources/list").answer["resources"], [{"uri": "x:1"}])
        listed = self.legacy("resources/templates/list").answer["resourceTemplates"]
        self.assertEqual(listed, [{"uriTemplate": "x:{n}"}])

    def test_no_list(self) -> None:
        """What cannot be looked through is not passed on."""
        for nonsense in ({}, {"tools": 3}, {"tools": [{"name": 3}]}, [1]):
            self.server.script["tools/list"] = nonsense
            self.assertEqual(
                self.legacy("tools/list").error["data"]["code"], "server-misbehaved", nonsense
            )

    def test_call(self) -> None:
        """What is shown can be called, and what is hidden; the server hears its own names."""
        for shown, own in (("new", "old"), ("quiet", "quiet"), ("plain", "plain")):
            heard = self.legacy("tools/call", {"name": shown, "arguments": {"a": 1}})
            self.assertEqual(heard.answer, {"content": []})
            asked = self.server.asked_for("tools/call")[-1]
            self.assertEqual(asked, {"name": own, "arguments": {"a": 1}})

    def test_denied(self) -> None:
        """What is not selected does not exist, in calls as in lists, and for every client."""
        for method, params in (
            ("tools/call", {"name": "bad1"}),
            ("tools/call", {"name": "old"}),
            ("prompts/get", {"name": "other"}),
            ("prompts/get", {"name": "prompt"}),
            ("resources/read", {"uri": "x:secret/1"}),
            ("completion/complete", {"ref": {"type": "ref/prompt", "name": "other"}}),
            ("completion/complete", {"ref": {"type": "ref/resource", "uri": "x:secret{n}"}}),
        ):
            for ask in (self.legacy, self.modern):
                error = ask(method, params).error
                self.assertIn(error["data"]["code"], ("unknown-name", "unknown-resource"), params)
            self.assertEqual(self.server.asked_for(method), [])
        error = self.legacy("resources/subscribe", {"uri": "x:secret"}).error
        self.assertEqual(error["code"], -32002)

    def test_two_names(self) -> None:
        """A server cannot read another name in a request than was looked at."""
        for raw in (
            b'{"name":"bad1","name":"plain"}',
            b'{"n\\u0061me":"bad1","name":"plain"}',
            b'{"name":"plain","arguments":{"name":"bad1"}}',
        ):
            self.legacy("tools/call", raw=raw)
            params = self.server.asked[-1].request.params
            self.assertEqual(opened(params)["name"], "plain")
            self.assertEqual(bytes(params).count(b'bad1"'), raw.count(b"arguments"))
        for raw in (b'{"name":"plain","Name":"bad1"}', b'{"NAME":"bad1"}', b"{}", b'{"name":3}'):
            before = len(self.server.asked)
            self.assertEqual(self.legacy("tools/call", raw=raw).error["code"], -32602, raw)
            self.assertEqual(len(self.server.asked), before)

    def test_complete(self) -> None:
        """A completion is for what the server knows by its own name."""
        params = {"ref": {"type": "ref/prompt", "name": "p2", "title": "P"}, "argument": {}}
        self.legacy("completion/complete", params)
        (asked,) = self.server.asked_for("completion/complete")
        self.assertEqual(asked, {**params, "ref": {**params["ref"], "name": "prompt"}})
        for ref in (3, {}, {"type": "ref/tool"}, {"type": "ref/prompt"}):
            error = self.legacy("completion/complete", {"ref": ref}).error
            self.assertEqual(error["code"], -32602, ref)

    def test_listen(self) -> None:
        """One cannot listen to what one cannot read."""
        wanted = {"toolsListChanged": True, "resourceSubscriptions": ["x:1", "x:secret"]}
        self.modern("subscriptions/listen", {"notifications": wanted})
        (asked,) = self.server.asked_for("subscriptions/listen")
        self.assertEqual(
            asked["notifications"], {"toolsListChanged": True, "resourceSubscriptions": ["x:1"]}
        )

    def test_the_rest_passes(self) -> None:
        """Other requests and words are not looked at."""
        self.server.script["x/y"] = {"z": 1}
        self.assertEqual(self.modern("x/y").answer, {"z": 1})
        said = Notification("notifications/roots/list_changed")
        self.session.notification(said)
        self.session.end(MethodNotFound("bye"))
        self.assertEqual(self.server.overheard, [(self.session, said)])
        self.assertEqual(self.server.detached, [self.session])

    def test_on_the_way(self) -> None:
        """Progress, questions, pressure and cancellation pass through."""
        self.server.script["tools/call"] = None
        heard = Heard()
        exchange = Exchange(modern_request("tools/call", {"name": "new"}), heard, modern_visit())
        self.view.begin(exchange)
        call, source = self.server.open("tools/call"), Source()
        call.source = source
        call.notify(Notification("notifications/progress", b'{"progress":1}'))
        call.ask(Exchange(Request(1, "elicitation/create"), Heard()))
        exchange.hold()
        exchange.release()
        reasons: list[str] = []
        call.in_charge(reasons.append)
        exchange.cancel("enough")
        self.assertEqual([method for method, _ in heard.said], ["notifications/progress"])
        self.assertEqual(len(heard.questions), 1)
        self.assertEqual(source.told[:2], ["hold", "release"])
        self.assertEqual((reasons, call.over), (["enough"], True))

    @settings(max_examples=100, deadline=None)
    @given(
        some.dictionaries(
            some.sampled_from(["name", "uri", "ref", "_meta"]), some.text() | some.integers()
        )
    )
    def test_wild(self, params: dict[str, Any]) -> None:
        """Whatever is asked is answered, and nothing that is denied gets through."""
        for method in ("tools/call", "resources/read", "completion/complete"):
            self.server.asked.clear()
            heard = self.legacy(method, params)
            self.assertEqual(heard.answers, 1)
            for exchange in self.server.asked:
                asked = opened(exchange.request.params)
                self.assertFalse(str(asked.get("name", "")).startswith("bad"))
