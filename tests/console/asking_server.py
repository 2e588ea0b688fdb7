"""A server that asks the person something before it answers."""

from dataclasses import dataclass
from typing import Annotated

from mcptwist.server import Context, Refused, Server

server = Server("asking")


@dataclass
class Count:
    count: Annotated[int, "how many"]


@server.tool
async def daisies(ctx: Context) -> str:
    """Count daisies."""
    counted = await ctx.elicit("How many daisies?", Count)
    if counted.content is None:
        raise Refused("no daisies")
    return f"{counted.content.count} daisies"
