"""The server of a daemon that was given none, asked over a wire."""

import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

import mcptwist
from mcptwist.serving.loading import load_server
from mcptwist.serving.toolbox import NAME, make_toolbox
from tests.conversations.asking import Client, ModernClient

NOON = 1785240000  # 2026-07-28T12:00:00Z, a Tuesday


class ToolboxTests(SynchronousTestCase):
    def setUp(self) -> None:
        clock = Clock()
        clock.advance(NOON)
        self.server = make_toolbox(clock, random.Random(1), version="3")
        self.client = Client(self.server, clock)
        self.welcome = self.client.shake_hands(capabilities={"elicitation": {}})

    def call(self, tool: str, **arguments: Any) -> Any:
        return self.client.ask("tools/call", name=tool, arguments=arguments)

    def structured(self, tool: str, **arguments: Any) -> Any:
        return self.call(tool, **arguments)["structuredContent"]

    def text(self, tool: str, **arguments: Any) -> str:
        result = self.call(tool, **arguments)
        self.assertNotIn("isError", result)
        return str(result["content"][0]["text"])

    def refusal(self, tool: str, **arguments: Any) -> str:
        result = self.call(tool, **arguments)
        self.assertTrue(result.get("isError"), result)
        return str(result["content"][0]["text"])

    def test_introduces_itself(self) -> None:
        """It says who it is, and every tool says what it does."""
        self.assertEqual(NAME, self.welcome["serverInfo"]["name"])
        self.assertEqual("3", self.welcome["serverInfo"]["version"])
        tools = self.client.ask("tools/list")["tools"]
        self.assertGreaterEqual(len(tools), 10)
        for tool in tools:
            self.assertTrue(tool["description"], tool["name"])
            self.assertTrue(tool["annotations"]["readOnlyHint"], tool["name"])

    def test_configured(self) -> None:
        """The daemon makes it from its name, with the daemon's version."""
        server = load_server("mcptwist.serving.toolbox:toolbox", Clock())
        welcome = Client(server).shake_hands()
        self.assertEqual(mcptwist.__version__, welcome["serverInfo"]["version"])

    def test_now(self) -> None:
        """The time, anywhere."""
        self.assertEqual(
            {
                "iso": "2026-07-28T12:00:00+00:00",
                "zone": "UTC",
                "weekday": "Tuesday",
                "week": 31,
                "unix": NOON,
            },
            self.structured("now"),
        )
        berlin = self.structured("now", zone="Europe/Berlin")
        self.assertEqual("2026-07-28T14:00:00+02:00", berlin["iso"])

    def test_unknown_zone(self) -> None:
        """A zone there is not, is refused with what may have been meant; no file is looked for."""
        self.assertIn("did you mean Europe/Berlin", self.refusal("now", zone="Europe/Berln"))
        self.assertIn("no time zone", self.refusal("now", zone="../../etc/passwd"))

    def test_dates(self) -> None:
        """Dates are reckoned with."""
        later = self.structured("shift_time", when="2026-02-27T12:00:00+02:00", days=2, hours=-1)
        self.assertEqual("2026-03-01T11:00:00+02:00", later["iso"])
        sooner = self.structured("shift_time", when="2026-02-27T12:00:00+02:00", seconds=-1)
        self.assertEqual("2026-02-27T11:59:59+02:00", sooner["iso"])
        tokyo = self.structured("convert_time", when="2026-07-28T12:00", zone="Asia/Tokyo")
        self.assertEqual("2026-07-28T21:00:00+09:00", tokyo["iso"])
        span = self.structured("time_between", start="2026-07-28", end="2026-07-30T12:00:00Z")
        self.assertEqual({"days": 2, "seconds": 216000.0, "text": "2 days, 12:00:00"}, span)

    def test_wrong_dates(self) -> None:
        """What is no date, or beyond all dates, is refused."""
        self.assertIn("no date", self.refusal("time_between", start="soon", end="2026-07-28"))
        self.assertIn("1 to 9999", self.refusal("shift_time", when="2026-07-28", days=1e9))
        self.assertIn("1 to 9999", self.refusal("shift_time", when="2026-07-28", days=1e300))
        beyond = self.refusal("convert_time", when="9999-12-31T23:00:00", zone="Asia/Tokyo")
        self.assertIn("1 to 9999", beyond)

    def test_calculate(self) -> None:
        """Exact decimals; what cannot be calculated is refused with the reason."""
        value = self.structured("calculate", expression="0.1 + 0.2")
        self.assertEqual({"value": "0.3", "exact": True}, value)
        self.assertIn("divided by zero", self.refusal("calculate", expression="1/0"))

    def test_text(self) -> None:
        """Digests and base64."""
        self.assertEqual(
            "900150983cd24fb0d6963f7d28e17f72", self.text("digest", text="abc", algorithm="md5")
        )
        self.assertEqual("w7_Dvw==", self.text("encode_base64", text="ÿÿ", url_safe=True))
        self.assertEqual("ÿÿ", self.text("decode_base64", text="w7_Dvw"))
        self.assertEqual("ÿÿ", self.text("decode_base64", text="w7/D\nvw=="))
        self.assertIn("not base64", self.refusal("decode_base64", text="a"))
        self.assertIn("UTF-8", self.refusal("decode_base64", text="/w=="))

    def test_json(self) -> None:
        """Documents are laid out and looked into, and numbers stay as they were written."""
        document = '{"a": [1.10, {"b/c": 100000000000000000000.5}]}'
        self.assertEqual("1.10", self.text("look_into_json", document=document, pointer="/a/0"))
        inner = self.text("look_into_json", document=document, pointer="/a/1/b~1c")
        self.assertEqual("100000000000000000000.5", inner)
        self.assertEqual('{"a":[1]}', self.text("format_json", document='{"a" : [1]}', indent=0))
        self.assertEqual("[\n  1\n]", self.text("format_json", document="[1]"))

    def test_wrong_json(self) -> None:
        """What is not there, or no JSON, is refused."""
        for pointer in ("/b", "/a/9", "/a/x", "/a/0/0"):
            words = self.refusal("look_into_json", document='{"a": [1]}', pointer=pointer)
            self.assertIn("nothing at", words)
        self.assertIn("begins with", self.refusal("look_into_json", document="1", pointer="a"))
        self.assertIn("not JSON", self.refusal("look_into_json", document="{", pointer=""))
        self.assertIn("not JSON", self.refusal("format_json", document="[" * 100_000))

    @settings(deadline=None, max_examples=25)
    @given(st.text(max_size=30), st.text(max_size=10))
    def test_hostile_json(self, document: str, pointer: str) -> None:
        """Whatever comes, there is an answer."""
        self.assertIn(
            "content", self.call("look_into_json", document=document, pointer="/" + pointer)
        )

    def test_chance(self) -> None:
        """Random numbers are within their bounds, UUIDs are of version 4."""
        numbers = self.text("random_numbers", low=1, high=3, count=100)
        self.assertEqual({"1", "2", "3"}, set(numbers.strip("[]").split(",")))
        dice = self.text("random_numbers", count=100)
        self.assertEqual(set("123456"), set(dice.strip("[]").split(",")))
        self.assertIn("low must not", self.refusal("random_numbers", low=2, high=1))
        first, second = self.text("make_uuids", count=2).splitlines()
        self.assertNotEqual(first, second)
        self.assertEqual("4", first[14])

    def test_wait(self) -> None:
        """Progress is told every second, if it was asked for."""
        id = self.client.begin(
            "tools/call", name="wait", arguments={"seconds": 2.5}, _meta={"progressToken": "t"}
        )
        for _ in range(3):
            self.client.turn(1)
        told = self.client.said("notifications/progress")
        self.assertEqual([1.0, 2.0, 2.5], [params["progress"] for params in told])
        self.assertEqual({("t", 2.5)}, {(p["progressToken"], p["total"]) for p in told})
        self.assertIn("2.5 seconds", self.client.answers[id]["content"][0]["text"])

    def test_who_is_calling(self) -> None:
        """It shows the connection, whatever the era."""
        shown = self.structured("who_is_calling")
        self.assertEqual("bob", shown["client"]["name"])
        self.assertEqual(("2025-11-25", "legacy"), (shown["revision"], shown["era"]))
        self.assertEqual({"elicitation": {}}, shown["capabilities"])
        modern = ModernClient(self.server).ask("tools/call", name="who_is_calling")
        self.assertEqual("modern", modern["structuredContent"]["era"])

    def test_ask_person(self) -> None:
        """A question goes to the person and the answer comes back."""
        modern = ModernClient(self.server)
        modern.capabilities = {"elicitation": {}}
        question = {
            "name": "ask_person",
            "arguments": {"question": "Which?", "choices": ["red", "blue"]},
        }
        asked = modern.ask("tools/call", **question)
        [(key, request)] = asked["inputRequests"].items()
        self.assertEqual("Which?", request["params"]["message"])
        answer = request["params"]["requestedSchema"]["properties"]["answer"]
        self.assertEqual(["red", "blue"], answer["enum"])
        for response, text in (
            ({"action": "accept", "content": {"answer": "red"}}, "red"),
            ({"action": "decline"}, "the person did not answer (decline)"),
        ):
            state = modern.ask("tools/call", **question)["requestState"]
            result = modern.ask(
                "tools/call", **question, inputResponses={key: response}, requestState=state
            )
            self.assertEqual(text, result["content"][0]["text"])

    def test_zones(self) -> None:
        """Zones can be listed, read and completed."""
        listed = self.client.ask("resources/read", uri="toolbox://zones")["contents"][0]
        self.assertEqual("application/json", listed["mimeType"])
        self.assertIn('"Europe/Berlin"', listed["text"])
        berlin = self.client.ask("resources/read", uri="toolbox://zones/Europe%2FBerlin")
        self.assertIn("14:00:00+02:00", berlin["contents"][0]["text"])
        nowhere = self.client.ask("resources/read", uri="toolbox://zones/Nowhere")
        self.assertEqual(-32602, nowhere["code"])
        completed = self.client.ask(
            "completion/complete",
            ref={"type": "ref/prompt", "name": "plan_meeting"},
            argument={"name": "here", "value": "europe/ber"},
        )["completion"]
        self.assertEqual(["Europe/Berlin"], completed["values"])

    def test_plan_meeting(self) -> None:
        """The prompt says its arguments and makes a message of them."""
        [prompt] = self.client.ask("prompts/list")["prompts"]
        self.assertEqual(
            [("topic", True), ("here", True), ("there", True)],
            [(argument["name"], argument["required"]) for argument in prompt["arguments"]],
        )
        got = self.client.ask(
            "prompts/get",
            name="plan_meeting",
            arguments={"topic": "tea", "here": "Asia/Tokyo", "there": "Europe/Berlin"},
        )
        [message] = got["messages"]
        self.assertIn("both in Asia/Tokyo and in Europe/Berlin", message["content"]["text"])
