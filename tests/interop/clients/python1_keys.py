"""``python1_keys.py URL MODE ISSUER CLIENT KEY ALGORITHM CALLS``: the same with the SDK 1.x."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import anyio
import httpx
from mcp import ClientSession
from mcp.client.auth.extensions.client_credentials import (
    PrivateKeyJWTOAuthProvider,
    SignedJWTParameters,
)
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import McpError


class Storage:
    def __init__(self) -> None:
        self.tokens: Any = None
        self.seen: list[Any] = []

    async def get_tokens(self) -> Any:
        return self.tokens

    async def set_tokens(self, tokens: Any) -> None:
        self.tokens = tokens
        self.seen.append([tokens.token_type, tokens.scope])

    async def get_client_info(self) -> Any:
        return None

    async def set_client_info(self, info: Any) -> None:
        pass


async def visit(
    url: str, mode: str, issuer: str, client: str, key: str, algorithm: str, calls: str
) -> Any:
    parameters = SignedJWTParameters(
        issuer=client,
        subject=client,
        signing_key=Path(key).read_text(),
        signing_algorithm=algorithm,
    )
    storage = Storage()
    provider = PrivateKeyJWTOAuthProvider(
        server_url=url,
        storage=storage,
        client_id=client,
        assertion_provider=parameters.create_assertion_provider(),
        issuer=issuer,
    )
    said: list[Any] = []
    async with (
        httpx.AsyncClient(auth=provider, timeout=60) as http,
        streamable_http_client(url, http_client=http) as (incoming, outgoing, _),
        ClientSession(incoming, outgoing) as session,
    ):
        welcome = await session.initialize()
        tools = sorted(tool.name for tool in (await session.list_tools()).tools)
        for name, arguments in json.loads(calls):
            if name == "wait":
                await anyio.sleep(arguments)
                continue
            try:
                if name == "subscribe":
                    await session.subscribe_resource(arguments)
                    said.append("subscribed")
                    continue
                result = await session.call_tool(name, arguments)
                said.append("".join(getattr(part, "text", "") for part in result.content))
            except McpError as problem:
                said.append(problem.error.code)
    revision = welcome.protocolVersion
    return {"revision": revision, "tools": tools, "said": said, "tokens": storage.seen}


if __name__ == "__main__":
    print(json.dumps(anyio.run(visit, *sys.argv[1:])))
