"""What every Python client does at the fixture server, and the report it makes of it.

The SDKs differ in names and types; a :class:`Visitor` hides that and speaks in the plain objects of
the wire, so that all of them take the same tour and the tests can compare what they report.
"""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

import anyio

Json = dict[str, Any]
Progress = Callable[[float, float | None, str | None], Awaitable[None]]

WATCHED = "test://watched-resource"
LOG_LEVEL = "io.modelcontextprotocol/logLevel"
PATIENCE = 60.0  # seconds that something we wait for may take


class Visitor(Protocol):
    """One connected client."""

    modern: bool
    logs: list[Any]

    def about(self) -> Json: ...
    async def tools(self) -> list[str]: ...
    async def call(
        self,
        name: str,
        arguments: Json,
        progress: Progress | None = None,
        meta: Json | None = None,
    ) -> Json: ...
    async def call_and_cancel(
        self, name: str, arguments: Json, begun: Callable[[], Awaitable[None]]
    ) -> None:
        """Call, wait for *begun*, cancel; return when the call has ended here."""

    async def read(self, uri: str) -> Json: ...
    async def prompt(self, name: str, arguments: dict[str, str]) -> Json: ...
    async def complete(self, prompt: str, argument: str, value: str) -> list[str]: ...
    def watching(self, uri: str) -> AbstractAsyncContextManager[list[str]]:
        """Hear of changes to the list of tools and to *uri*, as ``tools`` and as the URI."""

    def error_code(self, error: BaseException) -> int | None: ...


Connect = Callable[[], AbstractAsyncContextManager[Visitor]]


def words(result: Json) -> str:
    return str(result["content"][0]["text"])


async def until(ready: Callable[[], Awaitable[bool]]) -> bool:
    """Ask again until *ready* says yes; false when our patience is at its end."""
    with anyio.move_on_after(PATIENCE):
        while not await ready():
            await anyio.sleep(0.05)
        return True
    return False


async def code_of(visitor: Visitor, attempt: Awaitable[Any]) -> int | str | None:
    try:
        return f"no error but {await attempt}"
    except Exception as error:
        return visitor.error_code(error)


async def in_journal(visitor: Visitor, line: str) -> bool:
    async def written() -> bool:
        said = (await visitor.read("test://journal"))["contents"][0]["text"]
        return line in said.splitlines()

    return await until(written)


async def look_around(visitor: Visitor) -> Json:
    """Tools, resources, prompts and errors: what is the same in both eras."""
    steps: list[list[float | None]] = []

    async def progress(done: float, total: float | None, _: str | None) -> None:
        steps.append([done, total])

    picture = (await visitor.call("test_image_content", {}))["content"][0]
    failure = await visitor.call("test_error_handling", {})
    said = await visitor.call("test_tool_with_progress", {}, progress)
    binary = (await visitor.read("test://static-binary"))["contents"][0]
    arguments = {"arg1": "one", "arg2": "two"}
    message = (await visitor.prompt("test_prompt_with_arguments", arguments))["messages"][0]
    return {
        "tools": await visitor.tools(),
        "simple": words(await visitor.call("test_simple_text", {})),
        "echo": words(await visitor.call("echo", {"text": "snow ☃ and \u2028 and 😀"})),
        "header": words(await visitor.call("test_x_mcp_header", {"region": "Zürich"})),
        "image": [picture["mimeType"], picture["data"][:8]],
        "failure": [failure["isError"], words(failure)],
        "unknown tool": await code_of(visitor, visitor.call("no_such_tool", {})),
        "progress": [words(said), steps],
        "resource": (await visitor.read("test://static-text"))["contents"][0]["text"],
        "binary": [binary["mimeType"], binary["blob"][:8]],
        "template": json.loads(
            (await visitor.read("test://template/7/data"))["contents"][0]["text"]
        ),
        "missing resource": await code_of(visitor, visitor.read("test://nowhere")),
        "prompt": message["content"]["text"],
        "completion": await visitor.complete("test_prompt_with_arguments", "arg1", "par"),
    }


async def listen_in(visitor: Visitor) -> Json:
    """Log messages during a call, and changes at any time."""
    await visitor.call("test_logging_tool", {}, meta={LOG_LEVEL: "info"})

    async def logged() -> bool:
        return len(visitor.logs) >= 3

    await until(logged)
    async with visitor.watching(WATCHED) as seen:
        await visitor.call("test_trigger_tool_change", {})
        await visitor.call("trigger_resource_update", {})

        async def heard() -> bool:
            return {"tools", WATCHED} <= set(seen)

        await until(heard)
    return {"logs": list(visitor.logs), "changes": sorted(set(seen))}


async def be_asked(visitor: Visitor) -> Json:
    """The server asks back, in the way of the era."""
    if not visitor.modern:
        return {
            "elicitation": words(await visitor.call("test_elicitation", {"message": "Who?"})),
            "sampling": words(await visitor.call("test_sampling", {"prompt": "6 x 7?"})),
        }
    three = await visitor.call("test_input_required_result_multiple_inputs", {})
    rounds = await visitor.call("test_input_required_result_multi_round", {})
    asked = await visitor.prompt("test_input_required_result_prompt", {})
    return {
        "three inputs": words(three),
        "two rounds": words(rounds),
        "asking prompt": asked["messages"][0]["content"]["text"],
    }


async def change_my_mind(visitor: Visitor, name: str) -> Json:
    """A call that is cancelled has to end on the server as well."""

    async def begun() -> None:
        await in_journal(visitor, f"started {name}")

    await visitor.call_and_cancel("wait", {"text": name, "seconds": 60}, begun)
    return {"cancelled": await in_journal(visitor, f"cancelled {name}")}


async def come_in_pairs(connect: Connect) -> Json:
    """Two clients, whose ids are the same numbers, call at the same time."""
    wrong: list[str] = []

    async def ask(visitor: Visitor, question: str, seconds: float) -> None:
        said = words(await visitor.call("wait", {"text": question, "seconds": seconds}))
        if said != question:
            wrong.append(f"asked {question}, was told {said}")

    async with connect() as one, connect() as two, anyio.create_task_group() as calls:
        for number in range(8):
            # The later asked is the sooner answered, so that no order helps by chance.
            calls.start_soon(ask, one, f"one {number}", 0.4 - number * 0.05)
            calls.start_soon(ask, two, f"two {number}", 0.05 + number * 0.05)
    return {"mixed up": wrong}


async def tour(connect: Connect, name: str) -> Json:
    report: Json = {}
    async with connect() as visitor:
        report |= visitor.about()
        report |= await look_around(visitor)
        report |= await listen_in(visitor)
        report |= await be_asked(visitor)
        report |= await change_my_mind(visitor, name)
    return report | await come_in_pairs(connect)


async def short_tour(connect: Connect, name: str) -> Json:
    """What differs between the eras, and nothing else."""
    steps: list[float] = []

    async def progress(done: float, total: float | None, message: str | None) -> None:
        steps.append(done)

    async with connect() as visitor:
        await visitor.call("test_tool_with_progress", {}, progress)
        elicited = await visitor.call("test_elicitation", {"message": "Who?"})
        sampled = await visitor.call("test_sampling", {"prompt": "6 x 7?"})
        rooted = await visitor.call("test_input_required_result_list_roots", {})
        return {
            "progress": steps,
            "elicitation": words(elicited),
            "sampling": words(sampled),
            "roots": words(rooted),
            **await listen_in(visitor),
            **await change_my_mind(visitor, name),
        }


def main(connect: Connect, name: str) -> None:
    """Take the tour and print the report, one line of JSON; exit 1 with a traceback otherwise.

    The tour is the short one where the last word of the command line is ``short``.
    """
    try:
        report = anyio.run(short_tour if sys.argv[-1] == "short" else tour, connect, name)
    except BaseException:
        traceback.print_exc()
        sys.exit(1)
    print(json.dumps(report))
