"""The server of the recorded conversations: it does the same each time."""

from __future__ import annotations

from dataclasses import dataclass

from mcptwist.server import Server
from mcptwist.serving.context import Context

server = Server("garden", version="1")


@dataclass
class Consent:
    """What is asked for before flowers go."""

    mow: bool


@server.tool
async def water(ctx: Context, beds: int) -> str:
    """Water the beds, one after another."""
    for bed in range(1, beds + 1):
        ctx.progress(bed, beds)
    return f"{beds} beds watered"


@server.tool
async def mow(ctx: Context) -> str:
    """Mow the lawn."""
    answer = await ctx.elicit("The daisies will be gone. Mow?", Consent)
    return "mown" if answer.content and answer.content.mow else "left as it is"
