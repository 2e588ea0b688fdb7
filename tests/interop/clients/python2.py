"""``python2.py URL MODE NAME``: the Python SDK 2.x takes the tour.

*MODE* is ``auto``, ``legacy`` or a protocol revision to insist on. *NAME* tells runs apart. A URL
with ``https:`` must be answered over HTTP/2; one with ``stdio:`` is a command, as JSON.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx2
import mcp_types as types
from mcp.client import Client
from mcp.client.stdio import StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPDeprecationWarning, MCPError
from mcp.shared.subscriptions import ResourceUpdated, ToolsListChanged
from tour import Json, Progress, main

warnings.simplefilter("ignore", MCPDeprecationWarning)

ANSWERS = {"name": "Alice", "color": "blue", "context": "a test", "ok": True}
ANSWERS |= {"username": "alice", "email": "alice@example.com"}


async def elicited(ctx: Any, params: Any) -> types.ElicitResult:
    asked = params.requested_schema["properties"]
    return types.ElicitResult(action="accept", content={k: ANSWERS[k] for k in asked})


async def sampled(ctx: Any, params: Any) -> types.CreateMessageResult:
    content = types.TextContent(type="text", text="forty-two")
    return types.CreateMessageResult(role="assistant", model="a-test", content=content)


async def listed_roots(ctx: Any) -> types.ListRootsResult:
    return types.ListRootsResult(roots=[types.Root(uri="file:///work")])


def plain(result: Any) -> Json:
    return result.model_dump(by_alias=True, mode="json", exclude_none=True)


async def check_version(response: httpx2.Response) -> None:
    if response.http_version != "HTTP/2":
        raise RuntimeError(f"answered over {response.http_version}")


@asynccontextmanager
async def over_http2(url: str) -> AsyncIterator[Any]:
    hooks = {"response": [check_version]}
    async with (
        httpx2.AsyncClient(http2=True, timeout=60, event_hooks=hooks) as http,
        streamable_http_client(url, http_client=http) as streams,
    ):
        yield streams


def server_at(url: str) -> Any:
    """What the SDK takes for a server that is reached so."""
    if url.startswith("stdio:"):
        command, *arguments = json.loads(url.removeprefix("stdio:"))
        return StdioServerParameters(command=command, args=arguments, env=dict(os.environ))
    return over_http2(url) if url.startswith("https:") else url


class Visitor:
    def __init__(self, url: str, mode: str) -> None:
        self.logs: list[Any] = []
        self.heard: list[str] = []
        self.client = Client(
            server_at(url),
            mode=mode,
            elicitation_callback=elicited,
            sampling_callback=sampled,
            list_roots_callback=listed_roots,
            logging_callback=self.logged,
            message_handler=self.received,
            cache=None,
        )

    async def logged(self, params: types.LoggingMessageNotificationParams) -> None:
        self.logs.append(params.data)

    async def received(self, message: Any) -> None:
        message = getattr(message, "root", message)
        if isinstance(message, types.ToolListChangedNotification):
            self.heard.append("tools")
        if isinstance(message, types.ResourceUpdatedNotification):
            self.heard.append(str(message.params.uri))

    @property
    def modern(self) -> bool:
        return self.client.protocol_version >= "2026"

    def about(self) -> Json:
        info = self.client.server_info
        return {"revision": self.client.protocol_version, "server": info.name if info else None}

    async def tools(self) -> list[str]:
        return sorted(tool.name for tool in (await self.client.list_tools()).tools)

    async def call(
        self,
        name: str,
        arguments: Json,
        progress: Progress | None = None,
        meta: Any = None,
    ) -> Json:
        done = await self.client.call_tool(
            name, arguments, progress_callback=progress, meta=meta if self.modern else None
        )
        return plain(done)

    async def call_and_cancel(
        self, name: str, arguments: Json, begun: Callable[[], Awaitable[None]]
    ) -> None:
        async with anyio.create_task_group() as calls:
            calls.start_soon(self.call, name, arguments)
            await begun()
            calls.cancel_scope.cancel()

    async def read(self, uri: str) -> Json:
        return plain(await self.client.read_resource(uri))

    async def prompt(self, name: str, arguments: dict[str, str]) -> Json:
        return plain(await self.client.get_prompt(name, arguments))

    async def complete(self, prompt: str, argument: str, value: str) -> list[str]:
        reference = types.PromptReference(type="ref/prompt", name=prompt)
        done = await self.client.complete(reference, {"name": argument, "value": value})
        return done.completion.values

    @asynccontextmanager
    async def watching(self, uri: str) -> AsyncIterator[list[str]]:
        if not self.modern:
            await self.client.subscribe_resource(uri)
            yield self.heard
            await self.client.unsubscribe_resource(uri)
            return
        seen: list[str] = []
        listening = self.client.listen(tools_list_changed=True, resource_subscriptions=[uri])
        async with listening as events, anyio.create_task_group() as reader:
            reader.start_soon(self.collect, events, seen)
            yield seen
            reader.cancel_scope.cancel()

    async def collect(self, events: Any, seen: list[str]) -> None:
        async for event in events:
            if isinstance(event, ToolsListChanged):
                seen.append("tools")
            if isinstance(event, ResourceUpdated):
                seen.append(event.uri)

    def error_code(self, error: BaseException) -> int | None:
        return error.code if isinstance(error, MCPError) else None


@asynccontextmanager
async def connect() -> AsyncIterator[Visitor]:
    visitor = Visitor(sys.argv[1], sys.argv[2])
    async with visitor.client:
        if not visitor.modern:
            await visitor.client.set_logging_level("info")
        yield visitor


if __name__ == "__main__":
    main(connect, sys.argv[3])
