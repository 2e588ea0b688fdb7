"""``python1_socket.py URL MODE NAME``: the modern era over a WebSocket, by hand.

No SDK speaks the modern revision over a WebSocket, so this client is our own: each request stands
alone with its ``_meta``, ``input_required`` is answered and the request made again, a subscription
is told by its id, and a call is cancelled by ``notifications/cancelled``, as on stdio. It runs
where the SDK 1.x is, whose ``websockets`` it uses and nothing else of it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
from tour import LOG_LEVEL, Json, Progress, main
from websockets.asyncio.client import connect as dial

REVISION = "2026-07-28"
PREFIX = "io.modelcontextprotocol/"
ANSWERS = {"username": "alice", "email": "alice@example.com"}
CHANGED = "notifications/tools/list_changed"
UPDATED = "notifications/resources/updated"


def answer_to(request: Json) -> Json:
    """What this client says to one input request."""
    match request["method"]:
        case "elicitation/create":
            asked = request["params"]["requestedSchema"]["properties"]
            return {"action": "accept", "content": {name: ANSWERS[name] for name in asked}}
        case "sampling/createMessage":
            content = {"type": "text", "text": "forty-two"}
            return {"role": "assistant", "model": "a-test", "content": content}
        case _:
            return {"roots": [{"uri": "file:///work"}]}


class Refused(Exception):
    def __init__(self, error: Json) -> None:
        super().__init__(error["message"])
        self.code = error["code"]


class Visitor:
    modern = True

    def __init__(self, socket: Any) -> None:
        self.socket = socket
        self.logs: list[Any] = []
        self.answers: dict[int, Json] = {}
        self.ready: dict[int, anyio.Event] = {}
        self.progress: dict[int, Progress] = {}
        self.seen: dict[int, list[str]] = {}
        self.last = 0

    async def listen(self) -> None:
        """Read what comes, until the socket is closed."""
        async for frame in self.socket:
            message = json.loads(frame)
            if "method" in message:
                await self.told(message["method"], message.get("params", {}))
            else:
                self.answers[message["id"]] = message
                self.ready[message["id"]].set()

    async def told(self, method: str, params: Json) -> None:
        subscription = params.get("_meta", {}).get(f"{PREFIX}subscriptionId")
        if method == "notifications/message":
            self.logs.append(params["data"])
        elif method == "notifications/progress":
            hear = self.progress[params["progressToken"]]
            await hear(params["progress"], params.get("total"), params.get("message"))
        elif method == "notifications/subscriptions/acknowledged":
            self.ready[subscription].set()
        elif method in (CHANGED, UPDATED):
            self.seen[subscription].append("tools" if method == CHANGED else params["uri"])

    async def send(self, method: str, params: Json, id_: int | None = None) -> None:
        message = {"jsonrpc": "2.0", "method": method, "params": params}
        await self.socket.send(json.dumps(message | ({} if id_ is None else {"id": id_})))

    async def begin(self, method: str, params: Json, meta: Json | None = None) -> int:
        """Send one request; its id."""
        self.last += 1
        self.ready[self.last] = anyio.Event()
        envelope = {
            f"{PREFIX}protocolVersion": REVISION,
            f"{PREFIX}clientInfo": {"name": "socket", "version": "1"},
            f"{PREFIX}clientCapabilities": {"elicitation": {}, "sampling": {}, "roots": {}},
        }
        await self.send(method, {**params, "_meta": envelope | (meta or {})}, self.last)
        return self.last

    async def ask(self, method: str, params: Json, meta: Json | None = None) -> Json:
        """Send a request as often as it takes, and return its complete result."""
        while True:
            id_ = await self.begin(method, params, meta)
            await self.ready[id_].wait()
            message = self.answers.pop(id_)
            if "error" in message:
                raise Refused(message["error"])
            result: Json = message["result"]
            if result["resultType"] != "input_required":
                return result
            wanted = result["inputRequests"]
            params = {**params, "inputResponses": {k: answer_to(v) for k, v in wanted.items()}}
            params.pop("requestState", None)
            if "requestState" in result:
                params["requestState"] = result["requestState"]

    async def call(
        self, name: str, arguments: Json, progress: Progress | None = None, meta: Any = None
    ) -> Json:
        meta = {LOG_LEVEL: meta[LOG_LEVEL]} if meta else {}
        if progress is not None:
            # The id of the request will do for a token.
            meta["progressToken"] = self.last + 1
            self.progress[self.last + 1] = progress
        return await self.ask("tools/call", {"name": name, "arguments": arguments}, meta)

    async def call_and_cancel(
        self, name: str, arguments: Json, begun: Callable[[], Awaitable[None]]
    ) -> None:
        id_ = await self.begin("tools/call", {"name": name, "arguments": arguments})
        await begun()
        await self.send("notifications/cancelled", {"requestId": id_, "reason": "no interest"})

    async def read(self, uri: str) -> Json:
        return await self.ask("resources/read", {"uri": uri})

    @asynccontextmanager
    async def watching(self, uri: str) -> AsyncIterator[list[str]]:
        wanted = {"toolsListChanged": True, "resourceSubscriptions": [uri]}
        id_ = self.last + 1
        self.seen[id_] = []
        await self.begin("subscriptions/listen", {"notifications": wanted})
        await self.ready[id_].wait()
        yield self.seen[id_]
        await self.send("notifications/cancelled", {"requestId": id_, "reason": "heard enough"})

    def error_code(self, error: BaseException) -> int | None:
        return getattr(error, "code", None)


@asynccontextmanager
async def connect() -> AsyncIterator[Any]:
    async with (
        dial(sys.argv[1], subprotocols=["mcp"]) as socket,
        anyio.create_task_group() as reader,
    ):
        visitor = Visitor(socket)
        reader.start_soon(visitor.listen)
        yield visitor
        reader.cancel_scope.cancel()


if __name__ == "__main__":
    main(connect, sys.argv[3])
