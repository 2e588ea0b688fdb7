"""A fixture server that knows the modern era only: ``initialize`` is refused, whatever it says.

It is ``fixture_server.py`` with a doorkeeper before its standard input, so that a legacy client has
anything of it only where somebody translates.
"""

from __future__ import annotations

from typing import Any

import anyio
import mcp_types as types
from fixture_server import make_server
from mcp.server.lowlevel.server import NotificationOptions
from mcp.server.stdio import stdio_server
from mcp.shared.message import SessionMessage


async def serve() -> None:
    """Serve standard input and output, past the doorkeeper."""
    changes = NotificationOptions(prompts_changed=True, resources_changed=True, tools_changed=True)
    inward, admitted = anyio.create_memory_object_stream[SessionMessage | Exception](16)
    server = make_server()
    async with stdio_server() as (incoming, outgoing), anyio.create_task_group() as group:

        async def keep_the_door() -> None:
            async with inward:
                async for message in incoming:
                    if is_handshake(message):
                        await outgoing.send(refusal(message))
                    else:
                        await inward.send(message)

        group.start_soon(keep_the_door)
        await server.run(admitted, outgoing, server.create_initialization_options(changes))


def is_handshake(message: Any) -> bool:
    inner = getattr(message, "message", None)
    return getattr(inner, "method", None) == "initialize"


def refusal(message: SessionMessage) -> SessionMessage:
    said = types.ErrorData(code=types.METHOD_NOT_FOUND, message="This server shakes no hands")
    id_: Any = getattr(message.message, "id")  # noqa: B009 a request's, as is_handshake saw
    return SessionMessage(types.JSONRPCError(jsonrpc="2.0", id=id_, error=said))


if __name__ == "__main__":
    anyio.run(serve)
