"""A server of the Python SDK 1.x on its own WebSocket: ``socket_server.py PORT``."""

from __future__ import annotations

import sys

import uvicorn
from mcp.server.fastmcp import FastMCP
from mcp.server.websocket import websocket_server
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

server = FastMCP("socket")


@server.tool()
def echo(text: str) -> str:
    """Answers with its argument."""
    return text


async def serve(websocket: WebSocket) -> None:
    inner = server._mcp_server
    async with websocket_server(websocket.scope, websocket.receive, websocket.send) as streams:
        await inner.run(*streams, inner.create_initialization_options())


if __name__ == "__main__":
    app = Starlette(routes=[WebSocketRoute("/ws", serve)])
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
