"""The examples of ``docs/python-servers.rst`` do what the page says."""

import re
import textwrap
from pathlib import Path
from typing import Any

from twisted.application.service import IServiceCollection
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.messages import Request, Result, encode_json
from mcptwist.protocols.inprocess import PythonConnector
from tests.conversations.asking import Client, ModernClient
from tests.fakes import FakeReader

PAGE = Path(__file__).resolve().parent.parent / "docs" / "python-servers.rst"
EXAMPLE = re.compile(r"^\.\. code-block:: python\n   :name: (\w+)\n\n((?:   .*\n|\n)+)", re.M)


def examples() -> dict[str, str]:
    return {name: textwrap.dedent(text) for name, text in EXAMPLE.findall(PAGE.read_text())}


class PageTests(SynchronousTestCase):
    def run_example(self, name: str, reactor: Any = None) -> dict[str, Any]:
        """What an example defines, with *reactor* in the place of the one that it imports."""
        names: dict[str, Any] = {"__name__": f"example_{name}", "reactor": reactor}
        text = examples()[name].replace("from twisted.internet import reactor\n", "")
        exec(compile(text, f"{PAGE.name}:{name}", "exec"), names)
        return names

    def text(self, result: dict[str, Any]) -> str:
        return str(result["content"][0]["text"])

    def test_all(self) -> None:
        """Every example on the page has its test here."""
        tested = {name.removeprefix("test_") for name in dir(self) if name.startswith("test_")}
        self.assertEqual(set(), set(examples()) - tested)
        self.assertEqual(PAGE.read_text().count("code-block:: python"), len(examples()))

    def test_first(self) -> None:
        client = ModernClient(self.run_example("first")["server"])
        good = client.ask("tools/call", name="now", arguments={"zone": "Europe/Berlin"})
        self.assertRegex(self.text(good), r"\+0[12]:00$")
        bad = client.ask("tools/call", name="now", arguments={"zone": "Nowhere"})
        self.assertEqual("there is no time zone 'Nowhere'", self.text(bad))

    def test_arguments(self) -> None:
        client = ModernClient(self.run_example("arguments")["server"])
        [tool] = client.ask("tools/list")["tools"]
        shown = tool["inputSchema"]["properties"]
        self.assertEqual("Region", shown["region"]["x-mcp-header"])
        self.assertEqual("for the people in the warehouse", shown["note"]["description"])
        arguments = {"region": "eu", "lines": [{"article": "pen", "count": 0}]}
        words = self.text(client.ask("tools/call", name="order", arguments=arguments))
        page = " ".join(PAGE.read_text().split())
        self.assertIn(words, page)
        arguments["lines"] = [{"article": "pen", "count": 2}, {"article": "ink"}]
        good = client.ask("tools/call", name="order", arguments=arguments)
        self.assertEqual("3 pieces for eu", self.text(good))

    def test_notes(self) -> None:
        client = Client(self.run_example("notes")["server"])
        client.shake_hands()
        uri = "notes://by-name/today"
        client.ask("resources/subscribe", uri=uri)
        client.ask("tools/call", name="write", arguments={"name": "today", "text": "Tea."})
        self.assertEqual([{"uri": uri}], client.said("notifications/resources/updated"))
        self.assertEqual("Tea.", client.ask("resources/read", uri=uri)["contents"][0]["text"])
        arguments = {"name": "today", "words": "5"}
        got = client.ask("prompts/get", name="summarize", arguments=arguments)
        self.assertIn("in 5 words", got["messages"][0]["content"]["text"])
        ref = {"type": "ref/prompt", "name": "summarize"}
        argument = {"name": "name", "value": "to"}
        completed = client.ask("completion/complete", ref=ref, argument=argument)
        self.assertEqual(["today"], completed["completion"]["values"])

    def test_context(self) -> None:
        client = Client(self.run_example("context")["server"])
        client.shake_hands(capabilities={"elicitation": {}})
        for consent, words in (
            ({"action": "accept", "content": {"sure": True}}, "mown slowly"),
            ({"action": "accept", "content": {"sure": False}}, "the daisies stay"),
            ({"action": "cancel"}, "the daisies stay"),
        ):
            id = client.begin("tools/call", name="mow", _meta={"progressToken": 1})
            client.send(Result(client.heard[-1]["id"], encode_json(consent)))
            self.assertEqual(words, self.text(client.answers[id]))
        self.assertEqual(3, len(client.said("notifications/progress")))

    def test_application(self) -> None:
        """It is put together; asked in this process, it says what the page says."""
        reactor = MemoryReactorClock()
        names = self.run_example("application", reactor)
        (daemon,) = list(IServiceCollection(names["application"]))
        self.assertEqual([backend.name for backend in daemon.gateway], ["garden"])
        asking = Deferred.fromCoroutine(
            names["ask"](PythonConnector(names["server"], reactor), reactor)
        )
        reactor.pump([0] * 20)
        self.assertEqual(self.successResultOf(asking), "3 beds")
        self.assertIn("It says ``3 beds``", PAGE.read_text())

    def test_embedded(self) -> None:
        clock = Clock()
        first = self.run_example("first")["server"]
        wire = self.run_example("embedded")["join"](first, clock)
        wire.reader = reader = FakeReader()
        wire.send(Request(1, "ping"))
        clock.pump([0, 0])
        self.assertEqual([Result(1, b"{}")], reader.messages)
