"""``python2_again.py URL MODE``: call, wait, call until it is answered; with the Python SDK 2.x.

Says ``first`` when it was answered the first time, and goes on when there is something on its
standard input. Then prints one JSON object: the revision that was agreed, and both answers.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import anyio
from mcp.client import Client
from mcp.shared.exceptions import MCPError
from python2 import server_at

PATIENCE = 45.0  # seconds


async def ask(client: Client, expression: str) -> Any:
    result = await client.call_tool("calculate", {"expression": expression})
    assert result.structured_content is not None
    return result.structured_content["value"]


async def ask_until_answered(client: Client, expression: str) -> Any:
    with anyio.fail_after(PATIENCE):
        while True:
            try:
                return await ask(client, expression)
            except MCPError:
                await anyio.sleep(0.3)


async def stay(url: str, mode: str) -> dict[str, Any]:
    async with Client(server_at(url), mode=mode) as client:
        first = await ask(client, "6*7")
        print("first", flush=True)
        await anyio.to_thread.run_sync(sys.stdin.readline)
        again = await ask_until_answered(client, "6*8")
        return {"revision": client.protocol_version, "answers": [first, again]}


if __name__ == "__main__":
    print(json.dumps(anyio.run(stay, *sys.argv[1:])))
