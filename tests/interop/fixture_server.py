"""The MCP server that interop and conformance runs put behind the daemon.

It speaks both eras, on the official Python SDK (``mcp`` 2.3), and offers what ``offers.py`` says.
``legacy_server.py`` and ``modern_server.py`` offer the same in one era only.

Run as ``python fixture_server.py`` it serves stdio, which is how the daemon starts it; with
``--http PORT`` it serves the SDK's own Streamable HTTP on ``http://127.0.0.1:PORT/mcp``, so that a
failing check can be tried without the daemon in between.

Answers are written as the plain objects that go over the wire; the SDK validates them. It runs in
the interop environment, not in the daemon's: it imports nothing of mcptwist.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import hmac
import json
import sys
import warnings
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import anyio
import mcp_types as types
from mcp.server.caching import CacheHint
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel.server import NotificationOptions, Server
from mcp.server.stdio import stdio_server
from mcp.server.subscriptions import (
    InMemorySubscriptionBus,
    ListenHandler,
    PromptsListChanged,
    ResourceUpdated,
    ServerEvent,
    ToolsListChanged,
)
from mcp.shared.exceptions import MCPDeprecationWarning, MCPError
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
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

# Logging, roots and sampling are deprecated in the modern revision, not gone: they are tested here.
warnings.simplefilter("ignore", MCPDeprecationWarning)

# A retry may reach another copy of this server, so the key is the same in all of them.
STATE_KEY = b"mcptwist interop fixture: nothing depends on this being secret"

bus = InMemorySubscriptionBus()
watched: Counter[str] = Counter()  # how many sessions of this process have subscribed


def sealed(state: Json) -> str:
    """A ``requestState`` that a client can carry but not change."""
    body = base64.urlsafe_b64encode(json.dumps(state).encode()).decode()
    return f"{body}.{hmac.new(STATE_KEY, body.encode(), hashlib.sha256).hexdigest()}"


def unsealed(token: str) -> Json:
    """What :func:`sealed` was given; ``MCPError`` (-32602) if anyone touched it."""
    body, _, seal = token.partition(".")
    expected = hmac.new(STATE_KEY, body.encode(), hashlib.sha256).hexdigest()
    if not hmac.compare_digest(seal, expected):
        raise MCPError(types.INVALID_PARAMS, "requestState failed its integrity check")
    return json.loads(base64.urlsafe_b64decode(body))


def is_modern(ctx: ServerRequestContext[Any, Any]) -> bool:
    return ctx.protocol_version in MODERN_PROTOCOL_VERSIONS


class Needs(Exception):
    """A tool cannot go on without inputs; ``result`` says which."""

    def __init__(self, result: Json) -> None:
        super().__init__()
        self.result = result


def plain(said: Any) -> Json:
    return said.model_dump(by_alias=True, mode="json", exclude_none=True)


@dataclass(frozen=True)
class Call:
    """One ``tools/call`` or ``prompts/get``: what was sent, and ways to speak to the caller."""

    ctx: ServerRequestContext[Any, Any]
    params: Any

    @property
    def arguments(self) -> Json:
        return self.params.arguments or {}

    @property
    def capabilities(self) -> types.ClientCapabilities:
        return self.ctx.session.client_capabilities or types.ClientCapabilities()

    def answer(self, key: str) -> Any:
        """The client's response to the input request *key*, or ``None``."""
        return (self.params.input_responses or {}).get(key)

    def needs(self, state: str | None = None, **requests: Json) -> Json:
        """The modern way to ask: an ``input_required`` result."""
        if not is_modern(self.ctx):
            raise MCPError(
                types.INVALID_REQUEST, "This tool asks with input_required, which needs 2026-07-28"
            )
        result: Json = {"resultType": "input_required", "inputRequests": requests}
        return result | ({} if state is None else {"requestState": state})

    async def ask(self, key: str, request: Json) -> Json:
        """Ask the client as its era does; raises :class:`Needs` until a modern one answers."""
        if not is_modern(self.ctx):
            return await self.request(request)
        if (said := self.answer(key)) is None:
            raise Needs(self.needs(**{key: request}))
        return plain(said)

    async def request(self, request: Json) -> Json:
        """The legacy way to ask: a request of our own, on the stream of this call."""
        session, params, id_ = self.ctx.session, request["params"], self.ctx.request_id
        match request["method"]:
            case "elicitation/create":
                asked = params["message"], params["requestedSchema"]
                return plain(await session.elicit_form(*asked, id_))
            case "sampling/createMessage":
                messages = [types.SamplingMessage.model_validate(m) for m in params["messages"]]
                tokens = params["maxTokens"]
                return plain(
                    await session.create_message(
                        messages, max_tokens=tokens, related_request_id=id_
                    )
                )
            case _:
                return plain(await session.list_roots())

    async def log(self, words: str) -> None:
        await self.ctx.session.send_log_message(
            "info", words, related_request_id=self.ctx.request_id
        )

    async def changed(self, event: ServerEvent, tell: Callable[[], Awaitable[None]]) -> None:
        """Announce a change: to listen streams in the modern era, unsolicited in the legacy one."""
        await (bus.publish(event) if is_modern(self.ctx) else tell())


Body = Callable[[Call], Awaitable[Any]]


@dataclass(frozen=True)
class Offer:
    """A tool or a prompt: how it is listed, and what it does."""

    listed: Json
    body: Body


tools: dict[str, Offer] = {}
prompts: dict[str, Offer] = {}


def tool(name: str, description: str, **properties: Json) -> Any:
    """Offer the decorated coroutine as a tool; keyword arguments are its required properties."""

    def register(body: Body) -> Body:
        tools[name] = Offer(listed_tool(name, description, properties), body)
        return body

    return register


def prompt(name: str, description: str, **arguments: str) -> Any:
    """Offer the decorated coroutine as a prompt; keyword arguments describe its arguments."""

    def register(body: Body) -> Body:
        prompts[name] = Offer(listed_prompt(name, description, arguments), body)
        return body

    return register


def only_answers(plain: Plain) -> Offer:
    async def body(call: Call) -> Any:
        return plain.says(call.arguments)

    return Offer(plain.listed, body)


tools.update({name: only_answers(plain) for name, plain in PLAIN_TOOLS.items()})
prompts.update({name: only_answers(plain) for name, plain in PLAIN_PROMPTS.items()})


# Tools that answer according to what the client is.


@tool("test_missing_capability", "Refuses a client that has not declared sampling")
async def missing_capability(call: Call) -> Any:
    if call.capabilities.sampling is None:
        raise MCPError(
            types.MISSING_REQUIRED_CLIENT_CAPABILITY,
            "This tool needs a client that offers sampling",
            {"requiredCapabilities": {"sampling": {}}},
        )
    return text("The client offers sampling.")


# Tools that say something before they answer.


async def logs_three_times(call: Call) -> Any:
    await call.log("Tool execution started")
    await anyio.sleep(0.05)
    await call.log("Tool processing data")
    await anyio.sleep(0.05)
    await call.log("Tool execution completed")
    return text("Tool with logging executed successfully")


tool("test_tool_with_logging", "Logs three times, then answers")(logs_three_times)
tool("test_logging_tool", "Logs three times, when asked for logs")(logs_three_times)


@tool("test_tool_with_progress", "Reports progress three times, then answers")
async def tool_with_progress(call: Call) -> Any:
    for done in (0, 50, 100):
        await call.ctx.session.report_progress(done, 100)
        await anyio.sleep(0.05)
    return text("Tool with progress executed successfully")


@tool("test_reconnection", "Has its stream closed half way, where the transport can")
async def reconnection(call: Call) -> Any:
    await call.log("This makes the answer a stream, if it was not one yet")
    if call.ctx.close_sse_stream is not None:
        await call.ctx.close_sse_stream()
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
    await call.changed(ToolsListChanged(), call.ctx.session.send_tool_list_changed)
    return text("tools changed")


@tool("test_trigger_prompt_change", "Announces that the list of prompts changed")
async def trigger_prompt_change(call: Call) -> Any:
    await call.changed(PromptsListChanged(), call.ctx.session.send_prompt_list_changed)
    return text("prompts changed")


@tool("trigger_resource_update", f"Announces that {WATCHED} changed, to whoever subscribed")
async def trigger_resource_update(call: Call) -> Any:
    async def tell() -> None:
        if watched[WATCHED]:
            await call.ctx.session.send_resource_updated(WATCHED)

    await call.changed(ResourceUpdated(WATCHED), tell)
    return text("resource updated")


# Tools that ask the client in the way of its era.


@tool("test_sampling", "Asks the client's model", prompt=STRING)
async def test_sampling(call: Call) -> Any:
    return text(sampled(await call.ask("model", sampling(call.arguments["prompt"]))))


@tool("test_elicitation", "Asks the user", message=STRING)
async def test_elicitation(call: Call) -> Any:
    said = await call.ask("user", who(call.arguments["message"]))
    return text(f"User response: {elicited(said)}")


@tool("test_elicitation_sep1034_defaults", "Asks the user, with a default of every kind")
async def elicitation_defaults(call: Call) -> Any:
    return text(f"Elicitation completed: {elicited(await call.ask('values', DEFAULTS))}")


@tool("test_elicitation_sep1330_enums", "Asks the user to choose, in every way there is")
async def elicitation_enums(call: Call) -> Any:
    return text(f"Elicitation completed: {elicited(await call.ask('choice', ENUMS))}")


@tool("test_input_required_result_list_roots", "Needs the client's roots")
async def needs_roots(call: Call) -> Any:
    said = await call.ask("client_roots", ROOTS)
    return text("Roots: " + ", ".join(root["uri"] for root in said["roots"]))


# Tools that ask the client by answering input_required: the modern era.


@tool("test_input_required_result_elicitation", "Needs the user's name")
async def needs_elicitation(call: Call) -> Any:
    said = call.answer("user_name")
    if said is None:
        return call.needs(user_name=NAME)
    return text(f"Hello, {(said.content or {}).get('name', 'stranger')}!")


@tool("test_streaming_elicitation", "Reports progress, then needs the user's name")
async def streaming_elicitation(call: Call) -> Any:
    await call.ctx.session.report_progress(1, 2)
    return await needs_elicitation(call)


@tool("test_input_required_result_sampling", "Needs the client's model")
async def needs_sampling(call: Call) -> Any:
    said = call.answer("capital_question")
    if said is None:
        return call.needs(capital_question=CAPITAL)
    return text(f"LLM response: {getattr(said.content, 'text', said.content)}")


async def needs_confirmation(call: Call) -> Any:
    if call.params.request_state is not None:
        unsealed(call.params.request_state)
        if call.answer("confirm") is not None:
            return text("state-ok")
    return call.needs(sealed({"step": "confirm"}), confirm=CONFIRM)


tool("test_input_required_result_request_state", "Needs its state back")(needs_confirmation)
tool("test_input_required_result_tampered_state", "Needs its state back unchanged")(
    needs_confirmation
)


@tool("test_input_required_result_multiple_inputs", "Needs three things at once")
async def needs_three(call: Call) -> Any:
    keys = ("user_name", "greeting", "client_roots")
    if call.params.request_state is None or any(call.answer(key) is None for key in keys):
        return call.needs(
            sealed({"step": "all"}),
            user_name=NAME,
            greeting=GREETING,
            client_roots=ROOTS,
        )
    unsealed(call.params.request_state)
    return text("Got all three.")


@tool("test_input_required_result_multi_round", "Needs one thing, then another")
async def needs_two_rounds(call: Call) -> Any:
    state = unsealed(call.params.request_state) if call.params.request_state else {}
    if state.get("step") == 2 and (said := call.answer("step2")) is not None:
        return text(f"{state['name']} likes {(said.content or {}).get('color')}.")
    if state.get("step") == 1 and (said := call.answer("step1")) is not None:
        name = (said.content or {}).get("name")
        return call.needs(sealed({"step": 2, "name": name}), step2=STEP_2)
    return call.needs(sealed({"step": 1}), step1=STEP_1)


@tool("test_input_required_result_capabilities", "Needs whatever the client says it can give")
async def needs_what_is_offered(call: Call) -> Any:
    offered = call.capabilities
    wanted = {
        "user_name": NAME if offered.elicitation is not None else None,
        "greeting": GREETING if offered.sampling is not None else None,
        "client_roots": ROOTS if offered.roots is not None else None,
    }
    missing = {k: v for k, v in wanted.items() if v is not None and call.answer(k) is None}
    return call.needs(**missing) if missing else text("Nothing left to ask.")


# Prompts.


@prompt("test_input_required_result_prompt", "Needs to know the context")
async def needs_context(call: Call) -> Any:
    said = call.answer("user_context")
    if said is None:
        return call.needs(user_context=CONTEXT)
    return [text(f"Context: {(said.content or {}).get('context')}")]


# The methods of the protocol.


async def list_tools(ctx: Any, params: Any) -> Any:
    return {"tools": [offer.listed for offer in tools.values()]}


async def call_tool(ctx: Any, params: Any) -> Any:
    if (offer := tools.get(params.name)) is None:
        raise MCPError(types.INVALID_PARAMS, f"Unknown tool: {params.name}")
    try:
        said = await offer.body(Call(ctx, params))
    except Needs as needs:
        return needs.result
    if isinstance(said, dict) and "type" not in said:
        return said  # a whole result, such as input_required
    return {"content": said if isinstance(said, list) else [said]}


async def list_prompts(ctx: Any, params: Any) -> Any:
    return {"prompts": [offer.listed for offer in prompts.values()]}


async def get_prompt(ctx: Any, params: Any) -> Any:
    if (offer := prompts.get(params.name)) is None:
        raise MCPError(types.INVALID_PARAMS, f"Unknown prompt: {params.name}")
    said = await offer.body(Call(ctx, params))
    if isinstance(said, dict):
        return said
    return {"messages": [{"role": "user", "content": content} for content in said]}


async def list_resources(ctx: Any, params: Any) -> Any:
    return {"resources": RESOURCES}


async def list_templates(ctx: Any, params: Any) -> Any:
    return {"resourceTemplates": [TEMPLATE]}


async def read_resource(ctx: Any, params: Any) -> Any:
    uri = str(params.uri)
    if (found := contents(uri)) is None:
        raise MCPError(types.INVALID_PARAMS, "Resource not found", {"uri": uri})
    return {"contents": [found]}


async def subscribe(ctx: Any, params: Any) -> Any:
    watched[str(params.uri)] += 1
    return {}


async def unsubscribe(ctx: Any, params: Any) -> Any:
    watched[str(params.uri)] -= 1
    return {}


async def complete(ctx: Any, params: Any) -> Any:
    return {"completion": completion(params.argument.value)}


async def set_level(ctx: Any, params: Any) -> Any:
    return {}


def whole(method: Callable[[Any, Any], Awaitable[Json]]) -> Callable[[Any, Any], Awaitable[Json]]:
    """*method* with ``resultType`` on every result of the modern era, which requires it."""

    async def answer(ctx: Any, params: Any) -> Json:
        result = await method(ctx, params)
        return {"resultType": "complete"} | result if is_modern(ctx) else result

    return answer


def make_server() -> Server[Any]:
    """The server with everything above registered."""
    lists = ("tools/list", "prompts/list", "resources/list", "resources/templates/list")
    return Server(
        "mcptwist-fixture",
        version="1.0.0",
        instructions="A server for tests.",
        cache_hints=dict.fromkeys((*lists, "resources/read"), CacheHint(ttl_ms=1500)),
        on_list_tools=whole(list_tools),
        on_call_tool=whole(call_tool),
        on_list_prompts=whole(list_prompts),
        on_get_prompt=whole(get_prompt),
        on_list_resources=whole(list_resources),
        on_list_resource_templates=whole(list_templates),
        on_read_resource=whole(read_resource),
        on_subscribe_resource=whole(subscribe),
        on_unsubscribe_resource=whole(unsubscribe),
        on_subscriptions_listen=ListenHandler(bus),
        on_completion=whole(complete),
        on_set_logging_level=whole(set_level),
    )


async def serve_stdio(server: Server[Any]) -> None:
    changes = NotificationOptions(prompts_changed=True, resources_changed=True, tools_changed=True)
    async with stdio_server() as (incoming, outgoing):
        options = server.create_initialization_options(changes)
        await server.run(incoming, outgoing, options)


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description="The interop fixture: stdio unless told otherwise")
    parser.add_argument("--http", type=int, metavar="PORT", help="serve Streamable HTTP instead")
    port = parser.parse_args(arguments).http
    if port is None:
        anyio.run(serve_stdio, make_server())
        return
    import uvicorn

    uvicorn.run(make_server().streamable_http_app(), port=port, log_level="warning")


if __name__ == "__main__":
    main(sys.argv[1:])
