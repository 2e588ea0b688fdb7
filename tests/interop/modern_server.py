"""A fixture server that knows the modern era only: ``initialize`` is refused, whatever it says.

It is ``fixture_server.py`` with a doorkeeper before its standard input. What a legacy client asks
for by name (``test_sampling``, ``test_elicitation`` …) it answers ``input_required``, as a modern
server must, so that these tools can be had by a legacy client only where somebody translates.
"""

from __future__ import annotations

from typing import Any

import anyio
import mcp_types as types
from fixture_server import Call, make_server, tool
from mcp.server.lowlevel.server import NotificationOptions
from mcp.server.stdio import stdio_server
from mcp.shared.message import SessionMessage
from offers import DEFAULTS, ENUMS, STRING, Json, elicited, sampled, sampling, text, who


def plain(said: Any) -> Json:
    return said.model_dump(by_alias=True, mode="json", exclude_none=True)


@tool("test_sampling", "Asks the client's model", prompt=STRING)
async def ask_model(call: Call) -> Any:
    said = call.answer("model")
    if said is None:
        return call.needs(model=sampling(call.arguments["prompt"]))
    return text(sampled(plain(said)))


@tool("test_elicitation", "Asks the user", message=STRING)
async def ask_user(call: Call) -> Any:
    said = call.answer("user")
    if said is None:
        return call.needs(user=who(call.arguments["message"]))
    return text(f"User response: {elicited(plain(said))}")


@tool("test_elicitation_sep1034_defaults", "Asks the user, with a default of every kind")
async def elicitation_defaults(call: Call) -> Any:
    said = call.answer("values")
    if said is None:
        return call.needs(values=DEFAULTS)
    return text(f"Elicitation completed: {elicited(plain(said))}")


@tool("test_elicitation_sep1330_enums", "Asks the user to choose, in every way there is")
async def elicitation_enums(call: Call) -> Any:
    said = call.answer("choice")
    if said is None:
        return call.needs(choice=ENUMS)
    return text(f"Elicitation completed: {elicited(plain(said))}")


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
