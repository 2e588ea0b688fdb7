"""What clients of both eras and a server written in Python say to each other.

MCP 2025-11-25 (*Lifecycle*, *Cancellation*, *Progress*, *Logging*, *Elicitation*,
*Sampling*, *Roots*, *Resources*) and MCP 2026-07-28 (*Base protocol*, *Versioning*,
*Discovery*, *Multi Round-Trip Requests*, *Subscriptions*, *Caching*).
"""

from collections.abc import Iterator
from itertools import count
from typing import Any, Literal

import msgspec
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.errors import InvalidMessage, UnparsableMessage
from mcptwist.messages import Error, Notification, Request, Result, encode_json
from mcptwist.server import AnswerRefused, Context, Limits, MissingCapability, Refused, Server
from tests.conversations.asking import (
    CAPABILITIES,
    LOG_LEVEL,
    SERVER,
    SUBSCRIPTION,
    VERSION,
    Client,
    ModernClient,
)

ACCEPTED = {"action": "accept", "content": {"name": "Ann"}}


class Person(msgspec.Struct):
    name: str
    mood: Literal["good", "bad"] = "good"


class Stories(SynchronousTestCase):
    """A server that asks, waits and tells."""

    limits = Limits(patience=60.0, held=2, watched=2, in_flight=4)

    def setUp(self) -> None:
        numbers: Iterator[int] = count(1)
        self.clock = Clock()
        self.server = server = Server(
            "stories",
            version="1",
            instructions="Ask.",
            ttl=1.5,
            cache_scope="public",
            limits=self.limits,
            unguessable=lambda: f"state-{next(numbers)}",
        )
        self.steps: list[str] = []
        self.gates: list[Deferred[None]] = []

        @server.tool
        async def greet(ctx: Context, greeting: str = "Hello") -> str:
            self.steps.append("begun")
            person = await ctx.elicit("Who are you?", Person)
            self.steps.append("answered")
            if not person.accepted or person.content is None:
                raise Refused(f"so you {person.action}")
            return f"{greeting}, {person.content.name}"

        @server.tool
        async def twice(ctx: Context) -> str:
            first = await ctx.elicit("First?", Person)
            second = await ctx.elicit("Second?", Person)
            assert first.content is not None
            assert second.content is not None
            return first.content.name + second.content.name

        @server.tool
        async def both(ctx: Context) -> str:
            said, roots = await gatherResults(
                [ctx.sample("Say hi", 9, system_prompt="Be kind"), ctx.list_roots()],
                consumeErrors=True,
            )
            return f"{said.text} from {roots[0].uri}"

        @server.tool
        async def lenient(ctx: Context) -> str:
            try:
                await ctx.list_roots()
            except (MissingCapability, AnswerRefused) as problem:
                return f"without roots: {problem.message}"
            return "with roots"

        @server.tool
        async def wait(ctx: Context) -> str:
            gate: Deferred[None] = Deferred(lambda _: self.steps.append("cancelled"))
            self.gates.append(gate)
            await gate
            ctx.progress(2)
            return "waited"

        @server.tool
        def work(ctx: Context) -> str:
            for done in (1, 2, 2, 1, 3):
                ctx.progress(done, 3, "working")
            ctx.log("debug", "d")
            ctx.log("info", {"i": 1}, logger="here")
            ctx.log("error", "e")
            return "done"

        @server.resource("notes://one")
        async def one(ctx: Context) -> str:
            person = await ctx.elicit("Who reads?", Person)
            return f"for {person.action}"

        @server.prompt
        async def story(ctx: Context) -> str:
            person = await ctx.elicit("Who tells?", Person)
            return f"by {person.action}"

    def connect(self, **capabilities: Any) -> Client:
        client = Client(self.server, self.clock)
        client.shake_hands(capabilities=capabilities)
        return client

    def modern(self, **capabilities: Any) -> ModernClient:
        client = ModernClient(self.server, self.clock)
        client.capabilities = capabilities
        return client

    def text(self, result: dict[str, Any]) -> str:
        return str(result["content"][0]["text"])


class LegacyOpeningTests(Stories):
    def test_handshake(self) -> None:
        """Each revision is agreed to; for others the latest legacy one is offered."""
        for asked, agreed in (
            ("2024-11-05", "2024-11-05"),
            ("2025-03-26", "2025-03-26"),
            ("2025-06-18", "2025-06-18"),
            ("2025-11-25", "2025-11-25"),
            ("2026-07-28", "2025-11-25"),
            ("1999-01-01", "2025-11-25"),
        ):
            welcome = Client(self.server).shake_hands(asked)
            self.assertEqual(agreed, welcome["protocolVersion"])
        self.assertEqual({"name": "stories", "version": "1"}, welcome["serverInfo"])
        self.assertEqual("Ask.", welcome["instructions"])
        self.assertNotIn("resultType", welcome)

    def test_before(self) -> None:
        """Before the handshake there is only ping."""
        client = Client(self.server)
        self.assertEqual({}, client.ask("ping"))
        refused = client.ask("tools/list")
        self.assertEqual((-32600, "not-initialized"), (refused["code"], refused["data"]["code"]))
        self.assertEqual(-32602, client.ask("initialize")["code"])

    def test_methods(self) -> None:
        """What is no method of the revision is refused by name."""
        client = self.connect()
        for method in ("nothing", "server/discover", "subscriptions/listen", "tasks/list"):
            self.assertEqual(-32601, client.ask(method)["code"])

    def test_results_are_plain(self) -> None:
        """Nothing of the modern era is in a legacy result."""
        self.assertEqual({"tools"}, set(self.connect().ask("tools/list")))


class ModernOpeningTests(Stories):
    def test_discover(self) -> None:
        """The server says what it is, and how long that may be kept."""
        self.assertEqual(
            {
                "resultType": "complete",
                "supportedVersions": ["2026-07-28"],
                "capabilities": {
                    "logging": {},
                    "tools": {"listChanged": True},
                    "resources": {"subscribe": True, "listChanged": True},
                    "prompts": {"listChanged": True},
                },
                "instructions": "Ask.",
                "ttlMs": 1500,
                "cacheScope": "public",
                "_meta": {SERVER: {"name": "stories", "version": "1"}},
            },
            self.modern().ask("server/discover"),
        )

    def test_envelope(self) -> None:
        """Every request says its revision and what its client can do."""
        client = self.modern()
        for meta in ({VERSION: "2026-07-28"}, {VERSION: 3, CAPABILITIES: {}}, {CAPABILITIES: {}}):
            answer = client.ask("server/discover", _meta=meta)
            self.assertEqual(-32602, answer["code"])
        self.assertEqual(-32602, client.ask("server/discover", _meta=3)["code"])
        self.assertEqual(-32602, Client(self.server).ask("server/discover")["code"])

    def test_revision(self) -> None:
        """Another revision is refused, with those there are."""
        answer = self.modern().ask("tools/list", _meta={VERSION: "2027-01-01", CAPABILITIES: {}})
        self.assertEqual(-32022, answer["code"])
        self.assertEqual({"supported": ["2026-07-28"], "requested": "2027-01-01"}, answer["data"])

    def test_removed(self) -> None:
        """What the modern era has not any more is no method."""
        client = self.modern()
        for method in ("initialize", "ping", "logging/setLevel", "resources/subscribe"):
            self.assertEqual(-32601, client.ask(method)["code"], method)

    def test_results(self) -> None:
        """Every result says its type and whose it is; lists say how long they keep."""
        client = self.modern(elicitation={})
        for method in (
            "tools/list",
            "prompts/list",
            "resources/list",
            "resources/templates/list",
        ):
            result = client.ask(method)
            self.assertEqual("complete", result["resultType"])
            self.assertEqual((1500, "public"), (result["ttlMs"], result["cacheScope"]))
            self.assertEqual("stories", result["_meta"][SERVER]["name"])
        called = client.ask("tools/call", name="work")
        self.assertEqual("complete", called["resultType"])
        self.assertNotIn("ttlMs", called)

    def test_both_on_one_wire(self) -> None:
        """Each request is served by what it says of itself."""
        client = ModernClient(self.server)
        self.assertIn("supportedVersions", client.ask("server/discover"))
        client.ask("initialize", protocolVersion="2025-11-25", capabilities={}, _meta={})
        self.assertNotIn("resultType", client.ask("tools/list", _meta={}))
        self.assertIn("resultType", client.ask("tools/list"))


class RequestTests(Stories):
    def test_duplicate_id(self) -> None:
        """A second request under an open id is refused at once; the first is untouched."""
        client = self.connect()
        id = client.begin("tools/call", name="wait")
        client.send(Request(id, "ping"))
        self.assertEqual("duplicate-id", client.answers.pop(id)["data"]["code"])
        self.assertEqual(1, self.server.refused["duplicate-id"])
        self.gates[0].callback(None)
        client.turn()
        self.assertEqual("waited", self.text(client.answers[id]))

    def test_too_many(self) -> None:
        """More than the limit are refused, and counted."""
        client = self.connect()
        for _ in range(4):
            client.begin("tools/call", name="wait")
        self.assertEqual("overloaded", client.ask("ping")["data"]["code"])
        self.assertEqual(1, self.server.refused["in_flight"])

    def test_malformed(self) -> None:
        """What is no message is answered with an error, under its id where it had one."""
        client = self.connect()
        far = client.wire.other.reader  # type: ignore[attr-defined]
        far.malformed(UnparsableMessage("not JSON"))
        far.malformed(InvalidMessage("no method", 7))
        client.turn()
        self.assertEqual(-32700, client.answers[None]["code"])
        self.assertEqual(-32600, client.answers[7]["code"])

    def test_wrong_params(self) -> None:
        """Params that do not fit are refused, with the place."""
        client = self.connect()
        for method, params, words in (
            ("tools/call", {}, "`name`"),
            ("tools/call", {"name": 3}, "$.name"),
            ("tools/call", {"name": "work", "_meta": 3}, "$._meta"),
            ("tools/call", {"name": "work", "_meta": {"progressToken": 1.5}}, "progressToken"),
            ("resources/read", {"uri": 3}, "$.uri"),
            ("prompts/get", {"name": "story", "arguments": {"a": 3}}, "$.arguments"),
            ("logging/setLevel", {"level": "loud"}, "'loud'"),
            ("resources/subscribe", {}, "`uri`"),
        ):
            answer = client.ask(method, **params)
            self.assertEqual(-32602, answer["code"], method)
            self.assertIn(words, answer["message"])

    def test_cancelled(self) -> None:
        """A cancelled call is stopped and never answered."""
        client = self.connect()
        id = client.begin("tools/call", name="wait")
        client.notify("notifications/cancelled", requestId=id)
        self.assertEqual(["cancelled"], self.steps)
        self.assertNotIn(id, client.answers)
        self.assertEqual({}, client.ask("ping"))

    def test_server_stops(self) -> None:
        """When the server stops, calls that run are stopped."""
        client = self.connect()
        client.begin("tools/call", name="wait")
        self.server.close()
        self.assertEqual(["cancelled"], self.steps)

    def test_wire_lost(self) -> None:
        """When the wire is lost, its calls are stopped."""
        client = self.connect(elicitation={})
        client.begin("tools/call", name="wait")
        client.begin("tools/call", name="greet")
        client.wire.close()
        client.turn()
        self.assertEqual(["begun", "cancelled"], sorted(self.steps))
        self.server.add_tool(lambda: None, name="later")
        client.turn()
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_strange_messages(self) -> None:
        """Notifications nobody knows and answers nobody waits for change nothing."""
        client = self.connect()
        client.notify("notifications/whatever", a=1)
        client.notify("notifications/cancelled", requestId=99)
        client.notify("notifications/cancelled")
        client.send(Result(99, b"{}"))
        client.send(Error(None, b"{}"))
        self.assertEqual({}, client.ask("ping"))


class TellingTests(Stories):
    def progress_of(self, client: Client, **meta: Any) -> list[Any]:
        client.ask("tools/call", name="work", _meta=meta)
        return client.said("notifications/progress")

    def test_progress(self) -> None:
        """Progress is told under the token given, and it always increases."""
        told = self.progress_of(self.connect(), progressToken="t")
        self.assertEqual(
            [
                {"progressToken": "t", "progress": done, "total": 3, "message": "working"}
                for done in (1, 2, 3)
            ],
            told,
        )
        modern = self.modern()
        told = self.progress_of(modern, **modern.meta(progressToken=7))
        self.assertEqual([7, 7, 7], [params["progressToken"] for params in told])

    def test_no_progress(self) -> None:
        """Without a token nothing is told."""
        self.assertEqual([], self.progress_of(self.connect()))

    def test_legacy_log(self) -> None:
        """What is below the level set is not sent."""
        client = self.connect()
        for level, heard in (
            (None, ["info", "error"]),
            ("debug", ["debug", "info", "error"]),
            ("error", ["error"]),
            ("emergency", []),
        ):
            if level is not None:
                self.assertEqual({}, client.ask("logging/setLevel", level=level))
            client.heard.clear()
            client.ask("tools/call", name="work")
            told = client.said("notifications/message")
            self.assertEqual(heard, [params["level"] for params in told])
        client.ask("logging/setLevel", level="info")
        client.ask("tools/call", name="work")
        self.assertIn(
            {"level": "info", "logger": "here", "data": {"i": 1}},
            client.said("notifications/message"),
        )

    def test_modern_log(self) -> None:
        """A request that names no level gets no log messages."""
        client = self.modern()
        client.ask("tools/call", name="work")
        self.assertEqual([], client.said("notifications/message"))
        client.ask("tools/call", name="work", _meta=client.meta(**{LOG_LEVEL: "error"}))
        self.assertEqual([{"level": "error", "data": "e"}], client.said("notifications/message"))
        wrong = client.ask("tools/call", name="work", _meta=client.meta(**{LOG_LEVEL: "x"}))
        self.assertEqual(-32602, wrong["code"])


class LegacyAskingTests(Stories):
    def test_elicit(self) -> None:
        """The server asks in the course of the call; the answer lets it go on."""
        client = self.connect(elicitation={})
        id = client.begin("tools/call", name="greet")
        [asked] = client.heard
        self.assertEqual("elicitation/create", asked["method"])
        self.assertEqual("Who are you?", asked["params"]["message"])
        self.assertEqual(["name"], asked["params"]["requestedSchema"]["required"])
        self.assertNotIn("mode", asked["params"])
        client.send(Result(asked["id"], encode_json(ACCEPTED)))
        self.assertEqual("Hello, Ann", self.text(client.answers[id]))
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_declined(self) -> None:
        """Declining is an answer too."""
        client = self.connect(elicitation={"form": {}})
        id = client.begin("tools/call", name="greet")
        client.send(Result(client.heard[0]["id"], b'{"action": "decline"}'))
        self.assertEqual("so you decline", self.text(client.answers[id]))

    def test_sample_and_roots(self) -> None:
        """Two questions may be open at once."""
        client = self.connect(sampling={}, roots={})
        id = client.begin("tools/call", name="both")
        sampling, roots = client.heard
        self.assertEqual(
            {
                "messages": [{"role": "user", "content": {"type": "text", "text": "Say hi"}}],
                "maxTokens": 9,
                "systemPrompt": "Be kind",
            },
            sampling["params"],
        )
        client.send(Result(roots["id"], b'{"roots": [{"uri": "file:///a"}]}'))
        client.send(
            Result(
                sampling["id"],
                b'{"role": "assistant", "content": {"type": "text", "text": "hi"}, "model": "m"}',
            )
        )
        self.assertEqual("hi from file:///a", self.text(client.answers[id]))

    def test_undeclared(self) -> None:
        """A client that declared nothing is not asked; the function may do without."""
        client = self.connect()
        result = client.ask("tools/call", name="greet")
        self.assertTrue(result["isError"])
        self.assertIn("elicitation (form)", self.text(result))
        self.assertIn("without roots", self.text(client.ask("tools/call", name="lenient")))
        self.assertEqual([], client.heard)
        self.assertEqual(-32602, client.ask("prompts/get", name="story")["code"])
        only_urls = self.connect(elicitation={"url": {}})
        self.assertTrue(only_urls.ask("tools/call", name="greet")["isError"])

    def test_wrong_answers(self) -> None:
        """Errors and nonsense from the client are told to the function."""
        client = self.connect(roots={})
        for answer, words in (
            (b'{"roots": 3}', "Expected `array`"),
            (b"[]", "Expected `object`"),
        ):
            id = client.begin("tools/call", name="lenient")
            client.send(Result(client.heard[-1]["id"], answer))
            self.assertIn(words, self.text(client.answers[id]))
        id = client.begin("tools/call", name="lenient")
        client.send(Error(client.heard[-1]["id"], b'{"code": -1, "message": "not now"}'))
        self.assertIn("not now", self.text(client.answers[id]))

    def test_late(self) -> None:
        """A client that does not answer in time is told so, and the call fails."""
        client = self.connect(roots={})
        id = client.begin("tools/call", name="lenient")
        client.turn(60)
        self.assertIn("within 60 seconds", self.text(client.answers[id]))
        [cancelled] = client.said("notifications/cancelled")
        self.assertEqual(client.heard[0]["id"], cancelled["requestId"])

    def test_cancelled_while_asking(self) -> None:
        """When the call is cancelled, its question is withdrawn."""
        client = self.connect(elicitation={})
        id = client.begin("tools/call", name="greet")
        client.notify("notifications/cancelled", requestId=id)
        [cancelled] = client.said("notifications/cancelled")
        self.assertEqual(client.heard[0]["id"], cancelled["requestId"])
        self.assertEqual(["begun"], self.steps)
        self.assertNotIn(id, client.answers)


class ModernAskingTests(Stories):
    def ask_back(self, client: Client, **params: Any) -> dict[str, Any]:
        """A call that asks back: the whole of what it asks."""
        asked = client.ask("tools/call", **params)
        self.assertEqual("input_required", asked["resultType"])
        return asked

    def answers(self, asked: dict[str, Any], response: Any) -> dict[str, Any]:
        """What a client adds to its request to answer every question the same."""
        return {
            "inputResponses": dict.fromkeys(asked["inputRequests"], response),
            "requestState": asked["requestState"],
        }

    def test_elicit(self) -> None:
        """The server answers that it needs input; the same request with it goes on."""
        client = self.modern(elicitation={})
        asked = self.ask_back(client, name="greet", arguments={"greeting": "Hi"})
        self.assertEqual({"resultType", "inputRequests", "requestState", "_meta"}, set(asked))
        [request] = asked["inputRequests"].values()
        self.assertEqual("elicitation/create", request["method"])
        self.assertEqual("form", request["params"]["mode"])
        done = client.ask(
            "tools/call",
            name="greet",
            arguments={"greeting": "Hi"},
            **self.answers(asked, ACCEPTED),
        )
        self.assertEqual("complete", done["resultType"])
        self.assertEqual("Hi, Ann", self.text(done))
        self.assertEqual(["begun", "answered"], self.steps)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_other_wire(self) -> None:
        """The answer may come over another wire: nothing is inferred from the connection."""
        asked = self.ask_back(self.modern(elicitation={}), name="greet")
        done = self.modern(elicitation={}).ask(
            "tools/call", name="greet", **self.answers(asked, ACCEPTED)
        )
        self.assertEqual("Hello, Ann", self.text(done))

    def test_several_rounds(self) -> None:
        """A call may ask again; every round has a state of its own."""
        client = self.modern(elicitation={})
        first = self.ask_back(client, name="twice")
        second = self.ask_back(client, name="twice", **self.answers(first, ACCEPTED))
        self.assertNotEqual(first["requestState"], second["requestState"])
        self.assertNotEqual(set(first["inputRequests"]), set(second["inputRequests"]))
        done = client.ask("tools/call", name="twice", **self.answers(second, ACCEPTED))
        self.assertEqual("AnnAnn", self.text(done))

    def test_at_once(self) -> None:
        """Questions asked together are put together, and answered as they come."""
        client = self.modern(sampling={}, roots={})
        asked = self.ask_back(client, name="both")
        by_method = {r["method"]: key for key, r in asked["inputRequests"].items()}
        said = {"role": "assistant", "content": {"type": "text", "text": "hi"}, "model": "m"}
        again = self.ask_back(
            client,
            name="both",
            inputResponses={by_method["sampling/createMessage"]: said, "other": 3},
            requestState=asked["requestState"],
        )
        self.assertEqual({by_method["roots/list"]}, set(again["inputRequests"]))
        done = client.ask(
            "tools/call", name="both", **self.answers(again, {"roots": [{"uri": "file:///a"}]})
        )
        self.assertEqual("hi from file:///a", self.text(done))

    def test_nothing_answered(self) -> None:
        """When the answer is missing, it is asked for again."""
        client = self.modern(elicitation={})
        asked = self.ask_back(client, name="greet")
        again = self.ask_back(client, name="greet", requestState=asked["requestState"])
        self.assertEqual(asked["inputRequests"], again["inputRequests"])

    def test_wrong_answer(self) -> None:
        """An answer that does not fit is refused, and may be corrected."""
        client = self.modern(elicitation={})
        asked = self.ask_back(client, name="greet")
        for response in (
            {"action": "accept", "content": {"name": 3}},
            {"action": "accept"},
            {"action": "nod"},
            [],
        ):
            refused = client.ask("tools/call", name="greet", **self.answers(asked, response))
            self.assertEqual(-32602, refused["code"])
            self.assertIn("inputResponses", refused["message"])
        done = client.ask("tools/call", name="greet", **self.answers(asked, ACCEPTED))
        self.assertEqual("Hello, Ann", self.text(done))

    def test_used_state(self) -> None:
        """A state is good for one use."""
        client = self.modern(elicitation={})
        asked = self.ask_back(client, name="greet")
        answers = self.answers(asked, ACCEPTED)
        client.ask("tools/call", name="greet", **answers)
        self.assertEqual(-32602, client.ask("tools/call", name="greet", **answers)["code"])
        self.assertEqual(["begun", "answered"], self.steps)

    def test_foreign_state(self) -> None:
        """A state is good only for the request that it was given for."""
        client = self.modern(elicitation={})
        asked = self.ask_back(client, name="greet", arguments={"greeting": "Hi"})
        answers = self.answers(asked, ACCEPTED)
        for params in (
            {"name": "twice", **answers},
            {"name": "greet", "arguments": {"greeting": "Ho"}, **answers},
            {"name": "greet", **answers},
            {"name": "greet", "requestState": "made up", "arguments": {"greeting": "Hi"}},
        ):
            self.assertEqual(-32602, client.ask("tools/call", **params)["code"])
        done = client.ask("tools/call", name="greet", arguments={"greeting": "Hi"}, **answers)
        self.assertEqual("Hi, Ann", self.text(done))

    def test_order_of_members(self) -> None:
        """The same request is the same whatever the order of its members."""
        client = self.modern(elicitation={})

        @self.server.tool
        async def sum_up(ctx: Context, a: int, b: Any) -> str:
            await ctx.elicit("Really?", Person)
            return "summed up"

        asked = self.ask_back(client, name="sum_up", arguments={"a": 1, "b": {"c": 1, "d": 2}})
        done = client.ask(
            "tools/call",
            arguments={"b": {"d": 2, "c": 1}, "a": 1},
            name="sum_up",
            **self.answers(asked, ACCEPTED),
        )
        self.assertEqual("summed up", self.text(done))

    def test_hostile_nesting(self) -> None:
        """Params too deep to be opened change nothing about what is held."""
        client = self.modern(elicitation={})
        asked = self.ask_back(client, name="greet")
        deep = msgspec.Raw(b"[" * 5000 + b"]" * 5000)
        answers = self.answers(asked, ACCEPTED)
        refused = client.ask("tools/call", name="greet", deep=deep, **answers)
        self.assertEqual(-32602, refused["code"])
        done = client.ask("tools/call", name="greet", **answers)
        self.assertEqual("Hello, Ann", self.text(done))

    def test_expired(self) -> None:
        """A call is not held for ever."""
        client = self.modern(elicitation={})
        asked = self.ask_back(client, name="greet")
        client.turn(60)
        self.assertEqual(["begun"], self.steps)
        expired = client.ask("tools/call", name="greet", **self.answers(asked, ACCEPTED))
        self.assertEqual(-32602, expired["code"])
        self.assertIn("expired", expired["message"])

    def test_too_many_held(self) -> None:
        """No more are held than the limit says; the others are told so, and it is counted."""
        client = self.modern(elicitation={})
        for _ in range(2):
            self.ask_back(client, name="greet")
        refused = client.ask("tools/call", name="greet")
        self.assertEqual("overloaded", refused["data"]["code"])
        self.assertEqual("held", refused["data"]["limit"])
        self.assertEqual(1, self.server.refused["held"])

    def test_undeclared(self) -> None:
        """A client that did not declare it gets to hear what it would need to."""
        client = self.modern()
        answer = client.ask("tools/call", name="greet")
        self.assertEqual(-32021, answer["code"])
        self.assertEqual({"requiredCapabilities": {"elicitation": {"form": {}}}}, answer["data"])
        self.assertIn("without roots", self.text(client.ask("tools/call", name="lenient")))

    def test_other_requests(self) -> None:
        """Resources and prompts may ask back as well."""
        client = self.modern(elicitation={})
        for method, params, member in (
            ("resources/read", {"uri": "notes://one"}, "contents"),
            ("prompts/get", {"name": "story"}, "messages"),
        ):
            asked = client.ask(method, **params)
            self.assertEqual("input_required", asked["resultType"])
            self.assertNotIn("ttlMs", asked)
            done = client.ask(method, **params, **self.answers(asked, ACCEPTED))
            self.assertIn("accept", str(done[member]))

    def test_cancelled_later(self) -> None:
        """A call that went on can be cancelled like any other."""

        @self.server.tool
        async def slow(ctx: Context) -> str:
            await ctx.elicit("Really?", Person)
            gate: Deferred[None] = Deferred(lambda _: self.steps.append("cancelled"))
            await gate
            return "never"

        client = self.modern(elicitation={})
        asked = self.ask_back(client, name="slow")
        id = client.begin("tools/call", name="slow", **self.answers(asked, ACCEPTED))
        client.notify("notifications/cancelled", requestId=id)
        self.assertEqual(["cancelled"], self.steps)
        self.assertNotIn(id, client.answers)

    def test_server_stops(self) -> None:
        """What is held when the server stops is gone."""
        client = self.modern(elicitation={})
        asked = self.ask_back(client, name="greet")
        self.server.close()
        gone = client.ask("tools/call", name="greet", **self.answers(asked, ACCEPTED))
        self.assertEqual(-32602, gone["code"])
        self.assertEqual(["begun"], self.steps)

    def test_ended_while_held(self) -> None:
        """What a call came to without waiting for its client is told when that comes back."""
        gate: Deferred[str] = Deferred()

        @self.server.tool
        async def impatient(ctx: Context) -> str:
            ctx.list_roots().addErrback(lambda _: None)
            return await gate

        client = self.modern(roots={})
        asked = self.ask_back(client, name="impatient")
        gate.callback("done without")
        done = client.ask("tools/call", name="impatient", requestState=asked["requestState"])
        self.assertEqual("done without", self.text(done))


class LegacyWatchingTests(Stories):
    def test_lists(self) -> None:
        """Changes are told once, however many there were."""
        client = self.connect()
        for name in "ab":
            self.server.add_tool(lambda: None, name=name)
        self.server.remove_prompt("story")
        self.server.remove_resource("notes://one")
        client.turn()
        self.assertEqual(
            [
                "notifications/prompts/list_changed",
                "notifications/resources/list_changed",
                "notifications/tools/list_changed",
            ],
            sorted(message["method"] for message in client.heard),
        )

    def test_not_ready(self) -> None:
        """Before it said it is ready, a client is told nothing."""
        client = Client(self.server, self.clock)
        client.ask("initialize", protocolVersion="2025-11-25", capabilities={}, clientInfo={})
        self.server.remove_tool("work")
        client.turn()
        self.assertEqual([], client.heard)

    def test_resources(self) -> None:
        """Who subscribed is told of updates, until unsubscribed."""
        client, other = self.connect(), self.connect()
        self.assertEqual({}, client.ask("resources/subscribe", uri="notes://one"))
        self.server.resource_updated("notes://one")
        self.server.resource_updated("notes://two")
        client.turn()
        other.turn()
        self.assertEqual([{"uri": "notes://one"}], client.said("notifications/resources/updated"))
        self.assertEqual([], other.heard)
        self.assertEqual({}, client.ask("resources/unsubscribe", uri="notes://one"))
        self.server.resource_updated("notes://one")
        client.turn()
        self.assertEqual(1, len(client.heard))

    def test_refused(self) -> None:
        """Nothing that is not there can be watched, nor too much at once."""
        self.server.add_resource("n://{n}", _text)
        client = self.connect()
        self.assertEqual(-32002, client.ask("resources/subscribe", uri="else://")["code"])
        for uri in ("n://1", "n://2"):
            client.ask("resources/subscribe", uri=uri)
        refused = client.ask("resources/subscribe", uri="n://3")
        self.assertEqual("watched", refused["data"]["limit"])
        self.assertEqual(1, self.server.refused["watched"])
        self.assertEqual({}, client.ask("resources/subscribe", uri="n://2"))


def _text(n: str) -> str:
    return n


class ListeningTests(Stories):
    def listen(self, client: Client, **notifications: Any) -> int:
        return client.begin("subscriptions/listen", notifications=notifications)

    def test_acknowledged(self) -> None:
        """The first thing said is what will be told."""
        client = self.modern()
        id = self.listen(client, toolsListChanged=True, resourceSubscriptions=["a://b"], else_=3)
        self.assertEqual(
            [
                {
                    "jsonrpc": "2.0",
                    "method": "notifications/subscriptions/acknowledged",
                    "params": {
                        "notifications": {
                            "toolsListChanged": True,
                            "resourceSubscriptions": ["a://b"],
                        },
                        "_meta": {SUBSCRIPTION: id},
                    },
                }
            ],
            client.heard,
        )
        self.assertNotIn(id, client.answers)

    def test_told(self) -> None:
        """Each stream is told what it asked for, under its own id, and nothing else."""
        client = self.modern()
        tools = self.listen(client, toolsListChanged=True)
        both = self.listen(client, toolsListChanged=True, resourceSubscriptions=["a://b"])
        client.heard.clear()
        self.server.remove_tool("work")
        self.server.remove_prompt("story")
        self.server.resource_updated("a://b")
        self.server.resource_updated("a://c")
        client.turn()
        self.assertEqual(
            [{"_meta": {SUBSCRIPTION: tools}}, {"_meta": {SUBSCRIPTION: both}}],
            client.said("notifications/tools/list_changed"),
        )
        self.assertEqual(
            [{"uri": "a://b", "_meta": {SUBSCRIPTION: both}}],
            client.said("notifications/resources/updated"),
        )
        self.assertEqual(3, len(client.heard))

    def test_cancelled(self) -> None:
        """A cancelled stream is told nothing more."""
        client = self.modern()
        id = self.listen(client, toolsListChanged=True)
        client.notify("notifications/cancelled", requestId=id)
        client.heard.clear()
        self.server.remove_tool("work")
        client.turn()
        self.assertEqual([], client.heard)
        self.assertNotIn(id, client.answers)

    def test_ended(self) -> None:
        """When the server stops, streams end in good order."""
        client = self.modern()
        id = self.listen(client, toolsListChanged=True)
        self.server.close()
        client.turn()
        self.assertEqual("complete", client.answers[id]["resultType"])
        self.assertEqual(id, client.answers[id]["_meta"][SUBSCRIPTION])

    def test_refused(self) -> None:
        """Too many resources, or a filter that is none, are refused."""
        client = self.modern()
        id = self.listen(client, resourceSubscriptions=["a://1", "a://2", "a://3"])
        self.assertEqual("watched", client.answers[id]["data"]["limit"])
        self.assertEqual(-32602, client.ask("subscriptions/listen")["code"])
        id = self.listen(client, toolsListChanged=3)
        self.assertEqual(-32602, client.answers[id]["code"])
        self.assertEqual([], client.heard)

    def test_legacy_notification_has_no_id(self) -> None:
        """A legacy client on the same wire is told in its own words."""
        client = ModernClient(self.server, self.clock)
        client.ask("initialize", protocolVersion="2025-11-25", capabilities={}, _meta={})
        client.send(Notification("notifications/initialized"))
        self.server.remove_tool("work")
        client.turn()
        self.assertEqual([{}], client.said("notifications/tools/list_changed"))
