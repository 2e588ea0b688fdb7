"""``python2_visit.py URL CALLS``: list a server's tools and call some, with the Python SDK 2.x.

*CALLS* is a JSON array of ``[TOOL, ARGUMENTS]``. Prints one JSON object: the revision that was
agreed, the names of the tools, how many times progress was reported, and the text of each answer.
*URL* is as in python2.py.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import anyio
from mcp.client import Client
from python2 import server_at


async def visit(url: str, calls: list[tuple[str, dict[str, Any]]]) -> dict[str, Any]:
    said: list[str] = []
    steps: list[float] = []

    async def progress(done: float, total: float | None, message: str | None) -> None:
        steps.append(done)

    async with Client(server_at(url)) as client:
        tools = sorted(tool.name for tool in (await client.list_tools()).tools)
        for name, arguments in calls:
            result = await client.call_tool(name, arguments, progress_callback=progress)
            said.append("".join(getattr(part, "text", "") for part in result.content))
        revision = client.protocol_version
    return {"revision": revision, "tools": tools, "progress": len(steps), "said": said}


if __name__ == "__main__":
    print(json.dumps(anyio.run(visit, sys.argv[1], json.loads(sys.argv[2]))))
