"""``python2_keys.py URL MODE ISSUER CLIENT KEY ALGORITHM CALLS``: come in with a key, and call.

*KEY* is a PEM file. The rest is as in python2_visit.py; a call that fails says its code, and
``["wait", SECONDS]`` is none, nor is ``["subscribe", URI]``.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from typing import Any

import anyio
import httpx2
from mcp.client import Client
from mcp.client.auth.extensions.client_credentials import (
    PrivateKeyJWTOAuthProvider,
    SignedJWTParameters,
)
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPDeprecationWarning, MCPError

warnings.simplefilter("ignore", MCPDeprecationWarning)


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


async def subscribe(visitor: Any, mode: str, uri: str) -> None:
    if mode == "legacy":
        await visitor.subscribe_resource(uri)
    else:
        async with visitor.listen(resource_subscriptions=[uri]):
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
    async with httpx2.AsyncClient(auth=provider, timeout=60) as http:
        transport = streamable_http_client(url, http_client=http)
        async with Client(transport, mode=mode, cache=None) as visitor:
            tools = sorted(tool.name for tool in (await visitor.list_tools()).tools)
            for name, arguments in json.loads(calls):
                if name == "wait":
                    await anyio.sleep(arguments)
                    continue
                try:
                    if name == "subscribe":
                        await subscribe(visitor, mode, arguments)
                        said.append("subscribed")
                        continue
                    result = await visitor.call_tool(name, arguments)
                    said.append("".join(getattr(part, "text", "") for part in result.content))
                except MCPError as problem:
                    said.append(problem.error.code)
            revision = visitor.protocol_version
    return {"revision": revision, "tools": tools, "said": said, "tokens": storage.seen}


if __name__ == "__main__":
    print(json.dumps(anyio.run(visit, *sys.argv[1:])))
