"""``python1.py URL MODE NAME``: the last Python SDK 1.x takes the tour.

It knows the legacy era only, so *MODE* must be ``legacy``. *NAME* tells one run from another. The
URL says the transport: ``ws:`` and ``wss:`` a WebSocket, ``stdio:`` a command, as JSON, a path that
ends in ``/sse`` HTTP+SSE.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio
from anyio.abc import TaskGroup
from mcp import ClientSession, types
from mcp.client.sse import sse_client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.client.websocket import websocket_client
from mcp.shared.exceptions import McpError
from pydantic import AnyUrl, FileUrl
from tour import Json, Progress, main

ANSWERS = {"username": "alice", "email": "alice@example.com"}


async def elicited(context: Any, params: Any) -> types.ElicitResult:
    asked = params.requestedSchema["properties"]
    return types.ElicitResult(action="accept", content={k: ANSWERS[k] for k in asked})


async def sampled(context: Any, params: Any) -> types.CreateMessageResult:
    content = types.TextContent(type="text", text="forty-two")
    return types.CreateMessageResult(role="assistant", model="a-test", content=content)


async def listed_roots(context: Any) -> types.ListRootsResult:
    return types.ListRootsResult(roots=[types.Root(uri=FileUrl("file:///work"))])


def plain(result: Any) -> Json:
    return result.model_dump(by_alias=True, mode="json", exclude_none=True)


class Visitor:
    modern = False

    def __init__(self, incoming: Any, outgoing: Any, abandoned: TaskGroup) -> None:
        self.abandoned = abandoned
        self.logs: list[Any] = []
        self.heard: list[str] = []
        self.welcome: types.InitializeResult | None = None
        self.session = ClientSession(
            incoming,
            outgoing,
            elicitation_callback=elicited,
            sampling_callback=sampled,
            list_roots_callback=listed_roots,
            logging_callback=self.logged,
            message_handler=self.received,
        )

    async def logged(self, params: types.LoggingMessageNotificationParams) -> None:
        self.logs.append(params.data)

    async def received(self, message: Any) -> None:
        message = getattr(message, "root", message)
        if isinstance(message, types.ToolListChangedNotification):
            self.heard.append("tools")
        if isinstance(message, types.ResourceUpdatedNotification):
            self.heard.append(str(message.params.uri))

    def about(self) -> Json:
        assert self.welcome is not None
        revision = str(self.welcome.protocolVersion)
        return {"revision": revision, "server": self.welcome.serverInfo.name}

    async def tools(self) -> list[str]:
        return sorted(tool.name for tool in (await self.session.list_tools()).tools)

    async def call(
        self,
        name: str,
        arguments: Json,
        progress: Progress | None = None,
        meta: Json | None = None,
    ) -> Json:
        return plain(await self.session.call_tool(name, arguments, progress_callback=progress))

    async def call_and_cancel(
        self, name: str, arguments: Json, begun: Callable[[], Awaitable[None]]
    ) -> None:
        # This SDK leaves it to its users to say that they have lost interest. Should an answer
        # come all the same, it breaks if nobody waits for it: the call is kept until we leave.
        number = self.session._request_id
        self.abandoned.start_soon(self.call_in_vain, name, arguments)
        while self.session._request_id == number:
            await anyio.sleep(0)
        await begun()
        params = types.CancelledNotificationParams(requestId=number, reason="no interest")
        said = types.CancelledNotification(params=params)
        await self.session.send_notification(types.ClientNotification(said))

    async def call_in_vain(self, name: str, arguments: Json) -> None:
        with suppress(McpError):
            await self.call(name, arguments)

    async def read(self, uri: str) -> Json:
        return plain(await self.session.read_resource(AnyUrl(uri)))

    async def prompt(self, name: str, arguments: dict[str, str]) -> Json:
        return plain(await self.session.get_prompt(name, arguments))

    async def complete(self, prompt: str, argument: str, value: str) -> list[str]:
        reference = types.PromptReference(type="ref/prompt", name=prompt)
        done = await self.session.complete(reference, {"name": argument, "value": value})
        return done.completion.values

    @asynccontextmanager
    async def watching(self, uri: str) -> AsyncIterator[list[str]]:
        await self.session.subscribe_resource(AnyUrl(uri))
        yield self.heard
        await self.session.unsubscribe_resource(AnyUrl(uri))

    def error_code(self, error: BaseException) -> int | None:
        return error.error.code if isinstance(error, McpError) else None


def streams(url: str) -> Any:
    """The transport for that URL."""
    if url.startswith("stdio:"):
        command, *arguments = json.loads(url.removeprefix("stdio:"))
        environ = dict(os.environ)
        return stdio_client(StdioServerParameters(command=command, args=arguments, env=environ))
    if url.startswith("ws"):
        return websocket_client(url)
    return sse_client(url) if url.endswith("/sse") else streamable_http_client(url)


@asynccontextmanager
async def connect() -> AsyncIterator[Visitor]:
    async with (
        streams(sys.argv[1]) as (incoming, outgoing, *_),
        anyio.create_task_group() as abandoned,
    ):
        visitor = Visitor(incoming, outgoing, abandoned)
        async with visitor.session as session:
            visitor.welcome = await session.initialize()
            await session.set_logging_level("info")
            yield visitor
            abandoned.cancel_scope.cancel()


if __name__ == "__main__":
    main(connect, sys.argv[3])
