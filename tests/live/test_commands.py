"""The commands as a person starts them: a daemon, and those who ask it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from tests.interop.rig import Ending, InteropCase, Program
from tests.patience import SECONDS

MCPTWIST = str(Path(sys.executable).with_name("mcptwist"))
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "live", "version": "1"},
    },
}
INITIALIZED = {"jsonrpc": "2.0", "method": "notifications/initialized"}


def calculate(id: int, expression: str) -> dict[str, Any]:
    params = {"name": "calculate", "arguments": {"expression": expression}}
    return {"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params}


class CommandCase(InteropCase):
    """Real processes, and nothing to install."""

    environments = ()

    async def serve(self, *options: str) -> str:
        """Start a daemon with the built-in server; its base URL."""
        program = self.start([MCPTWIST, "run", "--listen", "tcp:0:interface=127.0.0.1", *options])
        heard = await program.when_said(r"(http://127\.0\.0\.1:\d+)/mcp", SECONDS)
        self.served = program
        return heard.group(1)

    async def run_command(self, *words: str, url: str = "", said: bytes = b"") -> Ending:
        """Run a command to its end, with *said* on its standard input."""
        program = self.start([MCPTWIST, *words], {"MCPTWIST_URL": url})
        self.say(program, said)
        self.hush(program)
        return await program.when_ended(SECONDS)

    def say(self, program: Program, said: bytes) -> None:
        assert program.transport is not None
        program.transport.write(said)

    def hush(self, program: Program) -> None:
        assert program.transport is not None
        program.transport.closeStdin()


class AskingTests(CommandCase):
    async def test_the_daemon_is_asked(self) -> None:
        url = await self.serve()
        listed = await self.run_command("list", url=url)
        self.assertEqual((listed.code, listed.out.split()[0]), (0, "toolbox"), listed.said())
        one = await self.run_command("list", "toolbox", "--json", url=url)
        self.assertIn("calculate", [tool["name"] for tool in json.loads(one.out)["tools"]])
        called = await self.run_command("call", "toolbox", "calculate", "-", "--url", url,
                                        said=b'{"expression": "6*7"}')  # fmt: skip
        self.assertEqual((called.code, json.loads(called.out)["value"]), (0, "42"), called.said())

    async def test_what_is_not_there(self) -> None:
        url = await self.serve()
        nobody = await self.run_command("call", "nobody", "x", url=url)
        self.assertEqual(nobody.code, 1)
        self.assertIn("it has: toolbox", nobody.err)
        nothing = await self.run_command("call", "toolbox", "nothing", url=url)
        self.assertEqual((nothing.code, nothing.out), (1, ""), nothing.said())
        wrong = await self.run_command("call", "toolbox", url=url)
        self.assertEqual(wrong.code, 2)

    async def test_no_daemon(self) -> None:
        ending = await self.run_command("list", url="http://127.0.0.1:1")
        self.assertEqual((ending.code, ending.out), (1, ""))
        self.assertIn("no daemon answers at http://127.0.0.1:1", ending.err)

    async def test_a_server_for_the_call(self) -> None:
        config = self.place / "servers.json"
        config.write_text('{"mcpServers": {"box": {"python": "mcptwist.serving.toolbox:toolbox"}}}')
        ending = await self.run_command(
            "call", "-c", str(config), "box", "calculate", '{"expression": "1+1"}', "--json"
        )
        self.assertEqual(ending.code, 0, ending.said())
        self.assertEqual(json.loads(ending.out)["structuredContent"]["value"], "2")


class StandingTests(CommandCase):
    def lines(self, *messages: dict[str, Any]) -> bytes:
        return b"".join(json.dumps(message).encode() + b"\n" for message in messages)

    def answers(self, out: str) -> dict[Any, Any]:
        """Every line is a message; the answers by their ids."""
        messages = [json.loads(line) for line in out.splitlines()]
        return {message["id"]: message for message in messages if "id" in message}

    async def assert_stands(self, *words: str) -> None:
        said = self.lines(INITIALIZE, INITIALIZED, calculate(2, "6*7"))
        ending = await self.run_command(*words, said=said)
        self.assertEqual(ending.code, 0, ending.said())
        answers = self.answers(ending.out)
        self.assertEqual(answers[1]["result"]["serverInfo"]["name"], "toolbox", ending.said())
        self.assertEqual(answers[2]["result"]["structuredContent"]["value"], "42")

    async def test_stdio(self) -> None:
        await self.assert_stands("stdio")

    async def test_connect(self) -> None:
        """Over each wire."""
        url = await self.serve("--listen", f"lines:unix:{self.place}/s")
        for where in (f"{url}/mcp", f"{url}/sse", f"{url.replace('http', 'ws')}/ws"):
            await self.assert_stands("connect", where)
        await self.assert_stands("connect", f"unix:{self.place}/s")

    async def test_connect_outlives_the_daemon(self) -> None:
        first = await self.serve()
        port = first.rpartition(":")[2]
        client = self.start([MCPTWIST, "connect", f"{first}/mcp"])
        self.say(client, self.lines(INITIALIZE, INITIALIZED, calculate(2, "1+1")))
        await client.when_said(r'"id":2,"result"', SECONDS)
        self.served.signal("TERM")
        await self.served.when_ended(SECONDS)
        self.say(client, self.lines(calculate(3, "1+2")))
        await client.when_said(r'"id":3,"error"', SECONDS)
        again = self.start([MCPTWIST, "run", "--listen", f"tcp:{port}:interface=127.0.0.1"])
        await again.when_said("Ctrl-C", SECONDS)
        for id in range(4, 60):
            self.say(client, self.lines(calculate(id, "1+3")))
            answer = await client.when_said(rf'"id":{id},"(result|error)"', SECONDS)
            if answer.group(1) == "result":
                break
            await deferLater(IReactorTime(reactor), 0.5)
        else:
            self.fail("it does not come back")
        self.hush(client)
        ending = await client.when_ended(SECONDS)
        self.assertEqual(ending.code, 0, ending.said())
