"""A fixture server that knows the legacy era only, on the last Python SDK 1.x (``mcp`` 1.30).

It offers what ``offers.py`` says, and everything that asks its client asks by a request of its own
(``elicitation/create``, ``sampling/createMessage``, ``roots/list``), also in the tools that the
suite of 2026-07-28 wants to answer ``input_required``: that is what makes it a measure of whoever
translates. It says everything it has to say, whether its client declared that it wants to hear it
or not, as servers do.

Run as ``python legacy_server.py`` it serves stdio; with ``--http PORT`` it serves the SDK's own
Streamable HTTP on ``http://127.0.0.1:PORT/mcp``, without a daemon in between.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any

import anyio
from mcp import types
from mcp.server.lowlevel.helper_types import ReadResourceContents
from mcp.server.lowlevel.server import NotificationOptions, Server
from mcp.server.stdio import stdio_server
from mcp.shared.exceptions import McpError
from mcp.shared.message import ServerMessageMetadata
from offers import (
    CAPITAL,
    CONFIRM,
    CONTEXT,
    DEFAULTS,
    ENUMS,
    GREETING,
    NAME,
    PLAIN_PROMPTS,
    PLAIN_TOOLS,
    RESOURCES,
    ROOTS,
    STEP_1,
    STEP_2,
    STRING,
    TEMPLATE,
    WATCHED,
    Json,
    Plain,
    completion,
    contents,
    elicited,
    listed_prompt,
    listed_tool,
    note,
    sampled,
    sampling,
    text,
    who,
)
from pydantic import AnyUrl

NOT_FOUND = -32002

RESULTS: dict[str, Any] = {
    "elicitation/create": types.ElicitResult,
    "sampling/createMessage": types.CreateMessageResult,
    "roots/list": types.ListRootsResult,
}


class LegacyServer(Server[Any, Any]):
    """A server that says its lists may change and its resources can be subscribed to."""

    def create_initialization_options(self, *_: Any, **__: Any) -> Any:
        changes = NotificationOptions(
            prompts_changed=True, resources_changed=True, tools_changed=True
        )
        said = super().create_initialization_options(changes)
        assert said.capabilities.resources is not None
        said.capabilities.resources.subscribe = True  # the SDK has no setting for this
        return said


server = LegacyServer(
    "mcptwist-legacy-fixture", version="1.0.0", instructions="A server for tests."
)
watched: set[str] = set()


@dataclass(frozen=True)
class Call:
    """One ``tools/call`` or ``prompts/get``: its arguments, and ways to speak to the caller."""

    arguments: Json

    @property
    def context(self) -> Any:
        return server.request_context

    @property
    def offered(self) -> types.ClientCapabilities:
        """The capabilities that the client declared in its handshake."""
        params = self.context.session.client_params
        return params.capabilities if params else types.ClientCapabilities()

    async def ask(self, request: Json) -> Json:
        """Ask the client in the course of this call; ``McpError`` if it refuses."""
        said = await self.context.session.send_request(
            types.ServerRequest.model_validate(request),
            RESULTS[request["method"]],
            metadata=ServerMessageMetadata(related_request_id=self.context.request_id),
        )
        return said.model_dump(by_alias=True, mode="json", exclude_none=True)

    async def ask_all(self, *requests: Json) -> list[Json]:
        """Ask several things at once; the answers come in the order of the questions."""
        answers: list[Json] = [{}] * len(requests)

        async def one(number: int, request: Json) -> None:
            answers[number] = await self.ask(request)

        async with anyio.create_task_group() as group:
            for number, request in enumerate(requests):
                group.start_soon(one, number, request)
        return answers

    async def log(self, words: str) -> None:
        await self.context.session.send_log_message(
            "info", words, related_request_id=self.context.request_id
        )

    async def progress(self, done: float, total: float) -> None:
        meta, id_ = self.context.meta, self.context.request_id
        if meta is not None and meta.progressToken is not None:
            await self.context.session.send_progress_notification(
                meta.progressToken, done, total, related_request_id=str(id_)
            )


Body = Callable[[Call], Awaitable[Any]]


@dataclass(frozen=True)
class Offer:
    """A tool or a prompt: how it is listed, and what it does."""

    listed: Json
    body: Body


def only_answers(plain: Plain) -> Offer:
    async def body(call: Call) -> Any:
        return plain.says(call.arguments)

    return Offer(plain.listed, body)


tools = {name: only_answers(plain) for name, plain in PLAIN_TOOLS.items()}
prompts = {name: only_answers(plain) for name, plain in PLAIN_PROMPTS.items()}


def tool(name: str, description: str, **properties: Json) -> Any:
    """Offer the decorated coroutine as a tool; keyword arguments are its required properties."""

    def register(body: Body) -> Body:
        tools[name] = Offer(listed_tool(name, description, properties), body)
        return body

    return register


# Tools that say something before they answer.


async def logs_three_times(call: Call) -> Any:
    await call.log("Tool execution started")
    await anyio.sleep(0.05)
    await call.log("Tool processing data")
    await anyio.sleep(0.05)
    await call.log("Tool execution completed")
    return text("Tool with logging executed successfully")


tool("test_tool_with_logging", "Logs three times, then answers")(logs_three_times)
tool("test_logging_tool", "Logs three times, whether anybody wants it or not")(logs_three_times)


@tool("test_tool_with_progress", "Reports progress three times, then answers")
async def tool_with_progress(call: Call) -> Any:
    for done in (0, 50, 100):
        await call.progress(done, 100)
        await anyio.sleep(0.05)
    return text("Tool with progress executed successfully")


@tool("test_reconnection", "Has its stream closed half way, where the transport can")
async def reconnection(call: Call) -> Any:
    await call.log("This makes the answer a stream, if it was not one yet")
    if call.context.close_sse_stream is not None:
        await call.context.close_sse_stream()
    await anyio.sleep(0.1)
    return text("Reconnection test completed")


@tool("wait", "Echoes after a while; its start and its cancelling are in the journal",
      text=STRING, seconds={"type": "number"})  # fmt: skip
async def wait(call: Call) -> Any:
    words = call.arguments["text"]
    note(f"started {words}")
    try:
        await anyio.sleep(call.arguments["seconds"])
    except anyio.get_cancelled_exc_class():
        note(f"cancelled {words}")
        raise
    return text(words)


# Tools that announce a change.


@tool("test_trigger_tool_change", "Announces that the list of tools changed")
async def trigger_tool_change(call: Call) -> Any:
    await call.context.session.send_tool_list_changed()
    return text("tools changed")


@tool("test_trigger_prompt_change", "Announces that the list of prompts changed")
async def trigger_prompt_change(call: Call) -> Any:
    await call.context.session.send_prompt_list_changed()
    return text("prompts changed")


@tool("trigger_resource_update", f"Announces that {WATCHED} changed, to whoever subscribed")
async def trigger_resource_update(call: Call) -> Any:
    if WATCHED in watched:
        await call.context.session.send_resource_updated(AnyUrl(WATCHED))
    return text("resource updated")


# Tools that ask the client.


@tool("test_sampling", "Asks the client's model", prompt=STRING)
async def ask_model(call: Call) -> Any:
    return text(sampled(await call.ask(sampling(call.arguments["prompt"]))))


@tool("test_missing_capability", "Asks the client's model, whether it declared one or not")
async def missing_capability(call: Call) -> Any:
    await call.ask(sampling("Are you there?"))
    return text("The client offers sampling.")


@tool("test_elicitation", "Asks the user", message=STRING)
async def ask_user(call: Call) -> Any:
    said = await call.ask(who(call.arguments["message"]))
    return text(f"User response: {elicited(said)}")


@tool("test_elicitation_sep1034_defaults", "Asks the user, with a default of every kind")
async def elicitation_defaults(call: Call) -> Any:
    return text(f"Elicitation completed: {elicited(await call.ask(DEFAULTS))}")


@tool("test_elicitation_sep1330_enums", "Asks the user to choose, in every way there is")
async def elicitation_enums(call: Call) -> Any:
    return text(f"Elicitation completed: {elicited(await call.ask(ENUMS))}")


@tool("test_input_required_result_elicitation", "Needs the user's name")
async def needs_elicitation(call: Call) -> Any:
    said = await call.ask(NAME)
    return text(f"Hello, {said.get('content', {}).get('name', 'stranger')}!")


@tool("test_streaming_elicitation", "Reports progress, then needs the user's name")
async def streaming_elicitation(call: Call) -> Any:
    await call.progress(1, 2)
    return await needs_elicitation(call)


@tool("test_input_required_result_sampling", "Needs the client's model")
async def needs_sampling(call: Call) -> Any:
    return text(sampled(await call.ask(CAPITAL)))


@tool("test_input_required_result_list_roots", "Needs the client's roots")
async def needs_roots(call: Call) -> Any:
    said = await call.ask(ROOTS)
    return text("Roots: " + ", ".join(root["uri"] for root in said["roots"]))


async def needs_confirmation(call: Call) -> Any:
    await call.ask(CONFIRM)
    return text("state-ok")


tool("test_input_required_result_request_state", "Needs a confirmation")(needs_confirmation)
tool("test_input_required_result_tampered_state", "Needs a confirmation")(needs_confirmation)


@tool("test_input_required_result_multiple_inputs", "Needs three things at once")
async def needs_three(call: Call) -> Any:
    await call.ask_all(NAME, GREETING, ROOTS)
    return text("Got all three.")


@tool("test_input_required_result_multi_round", "Needs one thing, then another")
async def needs_two_rounds(call: Call) -> Any:
    first = await call.ask(STEP_1)
    second = await call.ask(STEP_2)
    name, color = first.get("content", {}).get("name"), second.get("content", {}).get("color")
    return text(f"{name} likes {color}.")


@tool("test_input_required_result_capabilities", "Needs whatever the client says it can give")
async def needs_what_is_offered(call: Call) -> Any:
    wanted = (
        (call.offered.elicitation, NAME),
        (call.offered.sampling, GREETING),
        (call.offered.roots, ROOTS),
    )
    await call.ask_all(*(request for capability, request in wanted if capability is not None))
    return text("Nothing left to ask.")


async def needs_context(call: Call) -> Any:
    said = await call.ask(CONTEXT)
    return [text(f"Context: {said.get('content', {}).get('context')}")]


prompts["test_input_required_result_prompt"] = Offer(
    listed_prompt("test_input_required_result_prompt", "Needs to know the context", {}),
    needs_context,
)


# The methods of the protocol.


@server.list_tools()
async def list_tools() -> list[types.Tool]:
    return [types.Tool.model_validate(offer.listed) for offer in tools.values()]


@server.call_tool()
async def call_tool(name: str, arguments: Json) -> types.CallToolResult:
    if name not in tools:
        raise ValueError(f"Unknown tool: {name}")
    said = await tools[name].body(Call(arguments))
    if isinstance(said, dict) and "type" not in said:
        return types.CallToolResult.model_validate(said)
    return types.CallToolResult.model_validate(
        {"content": said if isinstance(said, list) else [said]}
    )


@server.list_prompts()
async def list_prompts() -> list[types.Prompt]:
    return [types.Prompt.model_validate(offer.listed) for offer in prompts.values()]


@server.get_prompt()
async def get_prompt(name: str, arguments: dict[str, str] | None) -> types.GetPromptResult:
    if name not in prompts:
        raise McpError(types.ErrorData(code=types.INVALID_PARAMS, message=f"Unknown: {name}"))
    said = await prompts[name].body(Call(dict(arguments or {})))
    messages = [{"role": "user", "content": content} for content in said]
    return types.GetPromptResult.model_validate({"messages": messages})


@server.list_resources()
async def list_resources() -> list[types.Resource]:
    return [types.Resource.model_validate(resource) for resource in RESOURCES]


@server.list_resource_templates()
async def list_templates() -> list[types.ResourceTemplate]:
    return [types.ResourceTemplate.model_validate(TEMPLATE)]


@server.read_resource()
async def read_resource(uri: AnyUrl) -> Iterable[ReadResourceContents]:
    found = contents(str(uri))
    if found is None:
        data = {"uri": str(uri)}
        raise McpError(types.ErrorData(code=NOT_FOUND, message="Resource not found", data=data))
    if "text" in found:
        return [ReadResourceContents(found["text"], found["mimeType"])]
    return [ReadResourceContents(base64.b64decode(found["blob"]), found["mimeType"])]


@server.subscribe_resource()
async def subscribe(uri: AnyUrl) -> None:
    watched.add(str(uri))


@server.unsubscribe_resource()
async def unsubscribe(uri: AnyUrl) -> None:
    watched.discard(str(uri))


@server.completion()
async def complete(ref: Any, argument: Any, context: Any) -> types.Completion:
    return types.Completion.model_validate(completion(argument.value))


@server.set_logging_level()
async def set_level(level: types.LoggingLevel) -> None:
    pass


async def serve_stdio() -> None:
    async with stdio_server() as (incoming, outgoing):
        await server.run(incoming, outgoing, server.create_initialization_options())


def serve_http(port: int) -> None:
    import uvicorn
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
    from mcp.server.transport_security import TransportSecuritySettings
    from starlette.applications import Starlette
    from starlette.routing import Mount

    hosts = [f"127.0.0.1:{port}", f"localhost:{port}"]
    security = TransportSecuritySettings(
        allowed_hosts=hosts, allowed_origins=[f"http://{host}" for host in hosts]
    )
    sessions = StreamableHTTPSessionManager(server, security_settings=security)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with sessions.run():
            yield

    app = Starlette(routes=[Mount("/mcp", app=sessions.handle_request)], lifespan=lifespan)
    uvicorn.run(app, port=port, log_level="warning")


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description="A legacy fixture: stdio unless told otherwise")
    parser.add_argument("--http", type=int, metavar="PORT", help="serve Streamable HTTP instead")
    port = parser.parse_args(arguments).http
    if port is None:
        anyio.run(serve_stdio)
    else:
        serve_http(port)


if __name__ == "__main__":
    main(sys.argv[1:])
