"""``python2_login.py URL MODE BROWSER CALLS``: have a person log in, and call.

*BROWSER* is a program that is given the URL to open. The rest is as in python2_keys.py, of the
modern era where there is a difference.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import warnings
from collections.abc import Awaitable, Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import anyio
import httpx2
from mcp.client import Client
from mcp.client.auth import AuthorizationCodeResult, OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import OAuthClientMetadata
from mcp.shared.exceptions import MCPDeprecationWarning, MCPError

warnings.simplefilter("ignore", MCPDeprecationWarning)


class Storage:
    def __init__(self) -> None:
        self.tokens: Any = None
        self.info: Any = None
        self.seen: list[Any] = []

    async def get_tokens(self) -> Any:
        return self.tokens

    async def set_tokens(self, tokens: Any) -> None:
        self.tokens = tokens
        self.seen.append([tokens.token_type, tokens.scope, bool(tokens.refresh_token)])

    async def get_client_info(self) -> Any:
        return self.info

    async def set_client_info(self, info: Any) -> None:
        self.info = info


class Listening(BaseHTTPRequestHandler):
    """Where the browser comes back to."""

    def do_GET(self) -> None:
        self.server.heard = dict(parse_qsl(urlsplit(self.path).query))  # type: ignore[attr-defined]
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"This page may be closed.")

    def log_message(self, format: str, *args: Any) -> None:
        pass


def browsed(browser: str) -> tuple[str, Callable[[str], Awaitable[None]], Callable[[], Any]]:
    """Where to come back to, what opens a URL, and what tells what came of it."""
    server = HTTPServer(("127.0.0.1", 0), Listening)
    answering: list[threading.Thread] = []

    async def open_url(url: str) -> None:
        answering.append(threading.Thread(target=server.handle_request))
        answering[-1].start()
        await anyio.to_thread.run_sync(lambda: subprocess.run([browser, url], check=True))

    async def heard() -> dict[str, str]:
        await anyio.to_thread.run_sync(answering[-1].join)
        found: dict[str, str] = server.heard  # type: ignore[attr-defined]
        return found

    return f"http://127.0.0.1:{server.server_port}/callback", open_url, heard


async def visit(url: str, mode: str, browser: str, calls: str) -> Any:
    back, open_url, heard = browsed(browser)

    async def came_back() -> AuthorizationCodeResult:
        return AuthorizationCodeResult(**await heard())

    storage = Storage()
    provider = OAuthClientProvider(
        server_url=url,
        client_metadata=OAuthClientMetadata(client_name="Python visit", redirect_uris=[back]),
        storage=storage,
        redirect_handler=open_url,
        callback_handler=came_back,
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
                        async with visitor.listen(resource_subscriptions=[arguments]):
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
