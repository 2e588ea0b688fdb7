"""Writing servers: what is offered, what clients see of it, what functions may return."""

from dataclasses import dataclass
from typing import Annotated, Any

from msgspec import Meta
from twisted.internet.defer import Deferred, fail, succeed
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.server import (
    Audio,
    Context,
    EmbeddedResource,
    Image,
    Limits,
    PromptMessage,
    Refused,
    ResourceLink,
    Server,
    Text,
    ToolResult,
)
from tests.conversations.asking import Client, ModernClient


@dataclass
class Weather:
    city: str
    degrees: Annotated[int, Meta(le=60)] = 20


class Unwritable:
    """JSON has no word for it."""


class ServerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.server = Server("test", version="1")

    def client(self) -> Client:
        client = Client(self.server)
        client.shake_hands()
        return client

    def listed(self, method: str, member: str) -> Any:
        return self.client().ask(method)[member]

    def call(self, name: str, **arguments: Any) -> Any:
        return self.client().ask("tools/call", name=name, arguments=arguments)


class OfferingTests(ServerTests):
    def test_tool(self) -> None:
        """A tool is its function: name, docstring, annotations; the function stays as it is."""

        @self.server.tool
        def add(a: int, b: int = 1) -> int:
            """Add them."""
            return a + b

        self.assertEqual(3, add(1, 2))
        [tool] = self.listed("tools/list", "tools")
        self.assertEqual({"name", "description", "inputSchema"}, set(tool))
        self.assertEqual(("add", "Add them."), (tool["name"], tool["description"]))
        self.assertEqual(["a"], tool["inputSchema"]["required"])

    def test_told(self) -> None:
        """What is said about a tool beyond its function is told."""
        icon = {"src": "data:image/png;base64,", "mimeType": "image/png"}
        self.server.tool(
            name="a.b",
            title="A",
            description="D",
            read_only=True,
            destructive=False,
            idempotent=True,
            open_world=False,
            icons=[icon],
            meta={"x/y": 1},
        )(lambda: None)
        [tool] = self.listed("tools/list", "tools")
        self.assertEqual(
            {
                "readOnlyHint": True,
                "destructiveHint": False,
                "idempotentHint": True,
                "openWorldHint": False,
            },
            tool["annotations"],
        )
        self.assertEqual(
            ("a.b", "A", "D", [icon], {"x/y": 1}),
            tuple(tool[k] for k in ("name", "title", "description", "icons", "_meta")),
        )

    def test_wrong_names(self) -> None:
        """A name is one MCP allows, and there is one of it."""
        self.server.add_tool(lambda: None, name="a")
        self.assertRaises(ValueError, self.server.add_tool, lambda: None, name="a")
        self.assertRaises(ValueError, self.server.add_tool, lambda: None, name="a b")
        self.assertRaises(ValueError, self.server.add_tool, lambda: None, name="a" * 129)
        self.assertRaises(KeyError, self.server.remove_tool, "b")

    def test_resources(self) -> None:
        """Resources and templates are listed apart."""

        @self.server.resource("notes://all", mime_type="text/markdown", title="All", size=3)
        def everything() -> str:
            """All notes."""
            return "abc"

        @self.server.resource("notes://by/{author}/{year}")
        def written(author: str, year: int) -> str:
            return f"{author} {year + 1}"

        [resource] = self.listed("resources/list", "resources")
        self.assertEqual(
            {
                "uri": "notes://all",
                "name": "everything",
                "title": "All",
                "description": "All notes.",
                "mimeType": "text/markdown",
                "size": 3,
            },
            resource,
        )
        [template] = self.listed("resources/templates/list", "resourceTemplates")
        self.assertEqual("notes://by/{author}/{year}", template["uriTemplate"])
        client = self.client()
        [content] = client.ask("resources/read", uri="notes://all")["contents"]
        self.assertEqual(
            {"uri": "notes://all", "mimeType": "text/markdown", "text": "abc"}, content
        )
        [content] = client.ask("resources/read", uri="notes://by/J%C3%BCrgen%2F/1999")["contents"]
        self.assertEqual("Jürgen/ 2000", content["text"])
        self.assertEqual("notes://by/J%C3%BCrgen%2F/1999", content["uri"])

    def test_unreadable(self) -> None:
        """A URI that matches nothing, or with values that do not fit, is refused."""

        @self.server.resource("notes://{year}")
        def of(year: int) -> str:
            return str(year)

        legacy, modern = self.client(), ModernClient(self.server)
        for uri in ("notes://", "notes://a/b", "xnotes://1", "notes://%FF", "notes://1\n"):
            self.assertEqual(-32002, legacy.ask("resources/read", uri=uri)["code"], uri)
            self.assertEqual(-32602, modern.ask("resources/read", uri=uri)["code"], uri)
        self.assertEqual(-32602, legacy.ask("resources/read", uri="notes://x")["code"])

    def test_wrong_uris(self) -> None:
        """A template's variables are its function's parameters, and it is of level 1."""
        for uri in ("no-scheme", "a://{+path}", "a://{a}{a}", "a://{", "a://{a"):
            self.assertRaises(ValueError, self.server.add_resource, uri, lambda: None)
        self.assertRaises(TypeError, self.server.add_resource, "a://{b}", lambda: None)
        self.server.add_resource("a://b", lambda: None)
        self.assertRaises(ValueError, self.server.add_resource, "a://b", lambda: None)
        self.server.remove_resource("a://b")
        self.assertRaises(KeyError, self.server.remove_resource, "a://b")

    def test_prompts(self) -> None:
        """A prompt says its arguments, and makes messages."""

        @self.server.prompt(title="Greet")
        def greet(name: Annotated[str, "who"], times: int = 1) -> list[Any]:
            """Greets."""
            return [
                f"Hello {name}! " * times,
                PromptMessage(Image(b"i"), role="assistant"),
            ]

        [prompt] = self.listed("prompts/list", "prompts")
        self.assertEqual(
            {
                "name": "greet",
                "title": "Greet",
                "description": "Greets.",
                "arguments": [
                    {"name": "name", "description": "who", "required": True},
                    {"name": "times", "required": False},
                ],
            },
            prompt,
        )
        client = self.client()
        got = client.ask("prompts/get", name="greet", arguments={"name": "A", "times": "2"})
        self.assertEqual("Greets.", got["description"])
        self.assertEqual(
            [
                {"role": "user", "content": {"type": "text", "text": "Hello A! Hello A! "}},
                {
                    "role": "assistant",
                    "content": {"type": "image", "data": "aQ==", "mimeType": "image/png"},
                },
            ],
            got["messages"],
        )
        missing = client.ask("prompts/get", name="greet", arguments={})
        self.assertEqual(-32602, missing["code"])
        self.assertIn("`name`", missing["message"])
        self.assertEqual(-32602, client.ask("prompts/get", name="nothing")["code"])
        self.server.remove_prompt("greet")
        self.assertEqual(-32602, client.ask("prompts/get", name="greet")["code"])

    def test_completions(self) -> None:
        """Values are proposed, a hundred at most; other arguments may be looked at."""
        self.server.prompt(name="paint")(lambda: "")
        self.server.add_resource("a://{b}", _letter)

        @self.server.completion("paint", "colour")
        async def colours(typed: str) -> list[str]:
            return [typed + str(number) for number in range(150)]

        @self.server.completion("a://{b}", "b")
        def others(typed: str, filled: dict[str, str]) -> list[str]:
            return [typed + filled.get("c", "")]

        client = self.client()

        def completed(ref: Any, name: str, **context: Any) -> Any:
            argument = {"name": name, "value": "x"}
            return client.ask("completion/complete", ref=ref, argument=argument, **context)

        paint = {"type": "ref/prompt", "name": "paint"}
        template = {"type": "ref/resource", "uri": "a://{b}"}
        many = completed(paint, "colour")["completion"]
        self.assertEqual((100, 150, True), (len(many["values"]), many["total"], many["hasMore"]))
        filled = completed(template, "b", context={"arguments": {"c": "y"}})["completion"]
        self.assertEqual({"values": ["xy"], "total": 1, "hasMore": False}, filled)
        self.assertEqual([], completed(paint, "brush")["completion"]["values"])
        for ref in ({"type": "ref/prompt", "name": "b"}, {"type": "ref/resource", "uri": "b://"}):
            self.assertEqual(-32602, completed(ref, "x")["code"])
        other = completed({"type": "ref/else"}, "x")
        self.assertEqual(-32602, other["code"])
        self.assertIn("ref/else", other["message"])
        self.assertRaises(TypeError, self.server.completion("paint", "x"), lambda: ["x"])

    def test_pages(self) -> None:
        """A list comes page by page, and goes on rightly when something is taken down."""
        self.server = Server("test", limits=Limits(page_size=2))
        for name in "abcde":
            self.server.add_tool(lambda: None, name=name)
        client = self.client()
        first = client.ask("tools/list")
        self.assertEqual(["a", "b"], [tool["name"] for tool in first["tools"]])
        self.server.remove_tool("b")
        second = client.ask("tools/list", cursor=first["nextCursor"])
        self.assertEqual(["c", "d"], [tool["name"] for tool in second["tools"]])
        third = client.ask("tools/list", cursor=second["nextCursor"])
        self.assertEqual(["e"], [tool["name"] for tool in third["tools"]])
        self.assertNotIn("nextCursor", third)
        for cursor in ("", "x", "é", "dG9vbDp4", first["nextCursor"] + "x"):
            self.assertEqual(-32602, client.ask("tools/list", cursor=cursor)["code"], cursor)
        elsewhere = client.ask("prompts/list", cursor=first["nextCursor"])
        self.assertEqual(-32602, elsewhere["code"])

    def test_capabilities(self) -> None:
        """What is offered is declared."""
        client = Client(self.server)
        self.assertEqual(
            {"logging": {}, "tools": {"listChanged": True}}, client.shake_hands()["capabilities"]
        )
        self.server.prompt(name="p")(lambda: "")
        self.server.add_resource("a://b", lambda: "")
        self.server.completion("p", "x")(lambda typed: [typed])
        self.assertEqual(
            {"logging", "tools", "prompts", "resources", "completions"},
            set(Client(self.server).shake_hands()["capabilities"]),
        )

    def test_nothing_to_complete(self) -> None:
        """Completion that is not declared is no method."""
        ref = {"type": "ref/prompt", "name": "p"}
        answer = self.client().ask(
            "completion/complete", ref=ref, argument={"name": "a", "value": ""}
        )
        self.assertEqual(-32601, answer["code"])


def _letter(b: str) -> str:
    return b


class ReturningTests(ServerTests):
    def content(self, value: Any) -> Any:
        self.server.add_tool(lambda: value, name=f"t{len(self.server.repertoire.tools)}")
        return self.call(f"t{len(self.server.repertoire.tools) - 1}")["content"]

    def test_content(self) -> None:
        """Each kind of value becomes the content block of its kind."""
        for value, blocks in (
            (None, []),
            ("a", [{"type": "text", "text": "a"}]),
            (3, [{"type": "text", "text": "3"}]),
            ([1, 2], [{"type": "text", "text": "[1,2]"}]),
            ([], [{"type": "text", "text": "[]"}]),
            ({"a": 1}, [{"type": "text", "text": '{"a":1}'}]),
            (["a", 3], [{"type": "text", "text": "a"}, {"type": "text", "text": "3"}]),
            (
                Text("a", annotations={"audience": ["user"]}),
                [{"type": "text", "text": "a", "annotations": {"audience": ["user"]}}],
            ),
            (Image(b"i"), [{"type": "image", "data": "aQ==", "mimeType": "image/png"}]),
            (
                Audio(b"a", "audio/ogg", meta={"m": 1}),
                [{"type": "audio", "data": "YQ==", "mimeType": "audio/ogg", "_meta": {"m": 1}}],
            ),
            (
                ResourceLink("a://b", "b", size=1),
                [{"type": "resource_link", "uri": "a://b", "name": "b", "size": 1}],
            ),
            (
                EmbeddedResource("a://b", "t", "text/html"),
                [
                    {
                        "type": "resource",
                        "resource": {"uri": "a://b", "mimeType": "text/html", "text": "t"},
                    }
                ],
            ),
            (
                b"b",
                [
                    {
                        "type": "resource",
                        "resource": {
                            "uri": "attachment:result",
                            "mimeType": "application/octet-stream",
                            "blob": "Yg==",
                        },
                    }
                ],
            ),
        ):
            self.assertEqual(blocks, self.content(value), repr(value))

    def test_structured(self) -> None:
        """A promised object comes as structured content, and as text for older clients."""

        @self.server.tool
        def weather(city: str) -> Weather:
            return Weather(city)

        [tool] = self.listed("tools/list", "tools")
        self.assertEqual("object", tool["outputSchema"]["type"])
        result = self.call("weather", city="Bonn")
        self.assertEqual({"city": "Bonn", "degrees": 20}, result["structuredContent"])
        self.assertEqual('{"city":"Bonn","degrees":20}', result["content"][0]["text"])

    def test_promise_broken(self) -> None:
        """A result that its own schema forbids is the function's failure."""

        @self.server.tool
        def weather() -> Weather:
            return Weather("Bonn", 99)

        self.assertTrue(self.call("weather")["isError"])
        self.assertEqual(1, len(self.flushLoggedErrors()))

    def test_in_full(self) -> None:
        """A tool may say every part of its result itself."""
        self.server.add_tool(
            lambda: ToolResult(content="no", structured=[1], is_error=True, meta={"m": 1}),
            name="t",
        )
        self.assertEqual(
            {
                "content": [{"type": "text", "text": "no"}],
                "structuredContent": [1],
                "isError": True,
                "_meta": {"m": 1},
            },
            self.call("t"),
        )
        self.server.add_tool(lambda: ToolResult(content="yes", structured=[2]), name="u")
        self.assertEqual([2], self.call("u")["structuredContent"])
        modern = ModernClient(self.server).ask("tools/call", name="t")
        self.assertEqual(1, modern["_meta"]["m"])
        self.assertEqual("test", modern["_meta"]["io.modelcontextprotocol/serverInfo"]["name"])

    def test_contents(self) -> None:
        """Each kind of value becomes the contents of a resource."""
        for number, (value, contents) in enumerate(
            (
                ("t", {"mimeType": "text/plain", "text": "t"}),
                (b"b", {"mimeType": "application/octet-stream", "blob": "Yg=="}),
                ({"a": 1}, {"mimeType": "application/json", "text": '{"a":1}'}),
            )
        ):
            uri = f"a://{number}"
            self.server.add_resource(uri, _returning(value))
            [content] = self.client().ask("resources/read", uri=uri)["contents"]
            self.assertEqual({"uri": uri, **contents}, content)

    def test_several_contents(self) -> None:
        """Reading one resource may give several."""
        self.server.add_resource(
            "a://", _returning([EmbeddedResource("a://1", "x"), EmbeddedResource("a://2", b"y")])
        )
        contents = self.client().ask("resources/read", uri="a://")["contents"]
        self.assertEqual(["a://1", "a://2"], [content["uri"] for content in contents])

    def test_kinds_of_functions(self) -> None:
        """A function is plain, a coroutine function, or returns a Deferred."""
        waiting: Deferred[str] = Deferred()

        async def coroutine() -> str:
            return "c" + await waiting

        self.server.add_tool(lambda: "p", name="plain")
        self.server.add_tool(lambda: succeed("d"), name="deferred")
        self.server.add_tool(coroutine)
        client = self.client()
        first = client.begin("tools/call", name="coroutine")
        for name, text in (("plain", "p"), ("deferred", "d")):
            self.assertEqual(text, client.ask("tools/call", name=name)["content"][0]["text"])
        self.assertNotIn(first, client.answers)
        waiting.callback("!")
        client.turn()
        self.assertEqual("c!", client.answers[first]["content"][0]["text"])


def _returning(value: Any) -> Any:
    return lambda: value


class FailingTests(ServerTests):
    def offer(self, problem: Exception) -> None:
        async def broken() -> str:
            raise problem

        self.server.add_tool(broken)
        self.server.add_tool(lambda: fail(problem), name="later")
        self.server.add_resource("a://b", lambda: fail(problem))
        self.server.add_prompt(lambda: fail(problem), name="p")

    def test_unexpected(self) -> None:
        """What goes wrong unexpectedly is logged, and its words are not told."""
        self.offer(ValueError("the password is hunter2"))
        for name in ("broken", "later"):
            result = self.call(name)
            self.assertTrue(result["isError"])
            self.assertIn("ValueError", result["content"][0]["text"])
            self.assertNotIn("hunter2", str(result))
        for answer in (
            self.client().ask("resources/read", uri="a://b"),
            self.client().ask("prompts/get", name="p"),
        ):
            self.assertEqual(-32603, answer["code"])
            self.assertNotIn("hunter2", str(answer))
        self.assertEqual(4, len(self.flushLoggedErrors(ValueError)))

    def test_refused(self) -> None:
        """A function's own words are told, and nothing is logged."""
        self.offer(Refused("only on Mondays"))
        self.assertEqual(
            {"content": [{"type": "text", "text": "only on Mondays"}], "isError": True},
            self.call("broken"),
        )
        answer = self.client().ask("resources/read", uri="a://b")
        self.assertEqual((-32602, "only on Mondays"), (answer["code"], answer["message"]))

    def test_unwritable(self) -> None:
        """What cannot be JSON is the function's failure."""
        self.server.add_tool(_returning(Unwritable()), name="t")
        self.server.add_tool(_returning(ToolResult(structured=Unwritable())), name="u")
        for name in ("t", "u"):
            self.assertTrue(self.call(name)["isError"])
        self.assertEqual(2, len(self.flushLoggedErrors()))

    def test_wrong_arguments(self) -> None:
        """From 2025-11-25 on models are told; before, it was an error (SEP-1303)."""

        @self.server.tool
        def add(a: int) -> int:
            return a

        for revision in ("2025-11-25", "2025-06-18"):
            client = Client(self.server)
            client.shake_hands(revision)
            answer = client.ask("tools/call", name="add", arguments={"a": "x"})
            if revision == "2025-11-25":
                self.assertTrue(answer["isError"])
                words = answer["content"][0]["text"]
            else:
                self.assertEqual(-32602, answer["code"])
                words = answer["message"]
            self.assertIn("Expected `int`, got `str` - at `$.a`", words)

    def test_unknown_tool(self) -> None:
        """A tool there is not is an error in every revision."""
        answer = self.call("nothing")
        self.assertEqual(-32602, answer["code"])
        self.assertIn("'nothing'", answer["message"])


class ContextTests(ServerTests):
    def test_who_asks(self) -> None:
        """A function can look at who asks, in either era."""

        @self.server.tool
        def look(ctx: Context) -> dict[str, Any]:
            return {
                "era": ctx.era,
                "revision": ctx.revision,
                "client": ctx.client,
                "roots": ctx.can("roots"),
                "meta": sorted(ctx.meta),
            }

        legacy = Client(self.server)
        legacy.shake_hands("2024-11-05", {"roots": {}})
        seen = legacy.ask("tools/call", name="look", _meta={"traceparent": "00-1"})
        self.assertEqual(
            {
                "era": "legacy",
                "revision": "2024-11-05",
                "client": {"name": "bob", "version": "1"},
                "roots": True,
                "meta": ["traceparent"],
            },
            seen["structuredContent"],
        )
        modern = ModernClient(self.server).ask("tools/call", name="look")["structuredContent"]
        self.assertEqual(("modern", "2026-07-28"), (modern["era"], modern["revision"]))
        self.assertFalse(modern["roots"])
