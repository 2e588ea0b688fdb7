"""``python1_page.py URL``: what docs/wires/websocket.rst promises, seen from outside.

Written from that page alone, as somebody would who builds a client of their own, with the package
``websockets`` and nothing of MCP. The server behind must have the tools ``calculate`` and ``wait``.
Prints one JSON object: for each promise what was seen.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

Json = dict[str, Any]
CLIENT = {"name": "page", "version": "1"}
META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": CLIENT,
    "io.modelcontextprotocol/clientCapabilities": {},
}
HELLO = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": CLIENT}
PROMISES: dict[str, Callable[[], Awaitable[Any]]] = {}


def promise(check: Callable[[], Awaitable[Any]]) -> Callable[[], Awaitable[Any]]:
    PROMISES[check.__name__.replace("_", " ")] = check
    return check


def dial(**how: Any) -> Any:
    how = {"subprotocols": ["mcp"], "compression": None, "max_size": None} | how
    return connect(sys.argv[1], **how)


def request(id_: Any, method: str, **params: Any) -> str:
    return json.dumps({"jsonrpc": "2.0", "id": id_, "method": method, "params": params})


def note(method: str, **params: Any) -> str:
    return json.dumps({"jsonrpc": "2.0", "method": method, "params": params})


def modern_call(id_: Any, name: str, **arguments: Any) -> str:
    token = {"progressToken": "p"} if name == "wait" else {}
    return request(id_, "tools/call", name=name, arguments=arguments, _meta=META | token)


async def hear(socket: Any) -> Json:
    return json.loads(await asyncio.wait_for(socket.recv(), 20))


async def hear_answer(socket: Any) -> Json:
    while True:
        message = await hear(socket)
        if "method" not in message:
            return message


async def ask(socket: Any, message: str) -> Json:
    await socket.send(message)
    return await hear_answer(socket)


async def error(socket: Any, message: str) -> list[Any]:
    """Id and code of the error that is answered, and the daemon's own word for it."""
    answer = await ask(socket, message)
    return [answer["id"], answer["error"]["code"], answer["error"]["data"]["code"]]


async def closed(socket: Any) -> int:
    """The code with which the server closes."""
    try:
        while True:
            await asyncio.wait_for(socket.recv(), 20)
    except ConnectionClosed as gone:
        return gone.rcvd.code if gone.rcvd else 0


# Opening


@promise
async def sub_protocol_is_chosen() -> Any:
    async with dial(subprotocols=["other", "mcp"]) as socket:
        return socket.subprotocol


@promise
async def none_is_needed() -> Any:
    async with dial(subprotocols=None) as socket:
        return [socket.subprotocol, (await ask(socket, request(1, "ping")))["result"]]


@promise
async def only_others_are_refused() -> Any:
    try:
        async with dial(subprotocols=["other"]):
            return "opened"
    except InvalidStatus as refused:
        return refused.response.status_code


@promise
async def compression_is_not_agreed_on() -> Any:
    async with dial(compression="deflate") as socket:
        return socket.response.headers.get("Sec-WebSocket-Extensions")


@promise
async def foreign_pages_are_refused() -> Any:
    found = []
    for origin in ("https://evil.example", "null"):
        try:
            async with dial(origin=origin):
                found.append(101)
        except InvalidStatus as refused:
            found.append(refused.response.status_code)
    return found


# Messages


@promise
async def binary_messages_are_refused() -> Any:
    async with dial() as socket:
        await socket.send(request(1, "ping").encode())
        return await closed(socket)


@promise
async def frames_mean_nothing() -> Any:
    async with dial() as socket:
        text = modern_call(1, "calculate", expression="6*7")
        await socket.send(text[at : at + 7] for at in range(0, len(text), 7))
        return (await hear_answer(socket))["result"]["structuredContent"]["value"]


@promise
async def what_is_no_message_is_answered() -> Any:
    async with dial() as socket:
        wrong = ("{no", "[]", "[" + request(1, "ping") + "]", '{"jsonrpc":"2.0","id":7}')
        return [await error(socket, text) for text in wrong] + [
            (await ask(socket, request(2, "ping")))["result"]
        ]


@promise
async def text_is_utf_8() -> Any:
    async with dial() as socket:
        await socket.send(b'"\xff"', text=True)
        return await closed(socket)


@promise
async def a_message_has_a_bound() -> Any:
    async with dial() as socket:
        try:
            await socket.send("x" * (16 << 20) + "x")
        except ConnectionClosed:
            pass
        return await closed(socket)


# Sessions and requests


@promise
async def before_the_handshake_there_is_only_ping() -> Any:
    async with dial() as socket:
        refused = await error(socket, request(1, "tools/list"))
        return [refused, (await ask(socket, request(2, "ping")))["result"]]


@promise
async def a_second_handshake_is_refused() -> Any:
    async with dial() as socket:
        bad = await ask(socket, request(1, "initialize"))
        good = await ask(socket, request(2, "initialize", **HELLO))
        again = await error(socket, request(3, "initialize", **HELLO))
        return ["error" in bad, good["result"]["protocolVersion"], again]


@promise
async def both_eras_on_one_connection() -> Any:
    async with dial() as socket:
        call = modern_call(1, "calculate", expression="1+1")
        before = (await ask(socket, call))["result"]
        await ask(socket, request(2, "initialize", **HELLO))
        await socket.send(note("notifications/initialized"))
        legacy = request(3, "tools/call", name="calculate", arguments={"expression": "1+2"})
        between = (await ask(socket, legacy))["result"]
        after = (await ask(socket, call))["result"]
        values = [each["structuredContent"]["value"] for each in (before, between, after)]
        return [*values, [each.get("resultType") for each in (before, between, after)]]


@promise
async def an_open_id_is_not_used_again() -> Any:
    async with dial() as socket:
        await socket.send(modern_call(1, "wait", seconds=30))
        second = await ask(socket, modern_call(1, "calculate", expression="1"))
        wrong = second["error"]
        return [second["id"], wrong["code"], wrong["data"]["code"], wrong["data"]["id"]]


@promise
async def a_cancelled_request_is_not_answered() -> Any:
    async with dial() as socket:
        await socket.send(modern_call(1, "wait", seconds=30))
        await socket.send(note("notifications/cancelled", requestId=1))
        answer = await ask(socket, modern_call(1, "calculate", expression="2*2"))
        return [answer["id"], answer["result"]["structuredContent"]["value"]]


@promise
async def answers_come_in_their_own_order() -> Any:
    async with dial() as socket:
        await socket.send(modern_call("slow", "wait", seconds=1))
        await socket.send(modern_call("fast", "calculate", expression="1"))
        return [(await hear_answer(socket))["id"], (await hear_answer(socket))["id"]]


@promise
async def progress_comes_before_the_answer() -> Any:
    async with dial() as socket:
        await socket.send(modern_call(1, "wait", seconds=1))
        heard = [await hear(socket)]
        while "method" in heard[-1]:
            heard.append(await hear(socket))
        return [message.get("method", "answer") for message in heard][-2:]


@promise
async def subscriptions_bear_their_id() -> Any:
    async with dial() as socket:
        wanted = {"toolsListChanged": True}
        await socket.send(request("s", "subscriptions/listen", notifications=wanted, _meta=META))
        heard = await hear(socket)
        return [heard["method"], heard["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"]]


# Signs of life, and the end


@promise
async def pings_are_answered() -> Any:
    async with dial() as socket:
        await asyncio.wait_for(await socket.ping(b"are you there"), 20)
        return True


@promise
async def a_close_is_answered() -> Any:
    async with dial() as socket:
        await socket.close()
        return socket.close_code


async def main() -> None:
    checks = [check() for check in PROMISES.values()]
    seen = await asyncio.gather(*checks, return_exceptions=True)
    found = dict(zip(PROMISES, seen, strict=True))
    print(json.dumps(found, default=repr))


if __name__ == "__main__":
    asyncio.run(main())
