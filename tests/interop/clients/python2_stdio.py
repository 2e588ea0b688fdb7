"""``python2_stdio.py COMMAND ARGUMENT…``: a server that is started, with the Python SDK 2.x.

Prints one JSON object: the revision that was agreed, and the names of the tools.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import anyio
from mcp.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client


async def visit(command: str, arguments: list[str]) -> dict[str, Any]:
    server = StdioServerParameters(command=command, args=arguments)
    async with Client(stdio_client(server)) as client:
        tools = sorted(tool.name for tool in (await client.list_tools()).tools)
        revision = client.protocol_version
    return {"revision": revision, "tools": tools}


if __name__ == "__main__":
    print(json.dumps(anyio.run(visit, sys.argv[1], sys.argv[2:])))
