"""What the asking end of Streamable HTTP mirrors of a modern request in headers.

So that those between can route without opening the body (MCP 2026-07-28,
*Streamable HTTP, Request Metadata* and *Custom Headers from Tool Parameters*).
Which arguments of a tool are mirrored is told by its schema, so every answer to
``tools/list`` that passes is looked at. Pure.
"""

from __future__ import annotations

from typing import Any

import msgspec

from mcptwist.errors import InvalidParams
from mcptwist.messages import Json, Request
from mcptwist.protocols import mcphttp
from mcptwist.protocols.mcphttp import MirroredParam, at_path, header_text, mirrored_params

_MARK = b"x-mcp-header"
_TOOLS = 10_000


class _Tool(msgspec.Struct):
    name: str
    inputSchema: Any = None


class _Page(msgspec.Struct):
    tools: list[_Tool]
    nextCursor: str | None = None


class _Params(msgspec.Struct):
    name: Any = None
    uri: Any = None
    taskId: Any = None
    arguments: Any = None


_page = msgspec.json.Decoder(_Page)
_params = msgspec.json.Decoder(_Params)


class Mirror:
    """The tools of one server that mirror arguments."""

    def __init__(self) -> None:
        self._tools: dict[str, tuple[MirroredParam, ...]] = {}

    def learn(self, result: Json) -> str | None:
        """Look at a page of ``tools/list``; the cursor of the next one is returned.

        A tool whose schema breaks the rules mirrors nothing.
        """
        if not self._tools and _MARK not in bytes(result) and b"nextCursor" not in bytes(result):
            return None
        try:
            page: _Page = _page.decode(result)
        except (msgspec.DecodeError, RecursionError):
            return None
        for tool in page.tools:
            self._tools.pop(tool.name, None)
            found = _mirrored(tool.inputSchema)
            if found and len(self._tools) < _TOOLS:
                self._tools[tool.name] = found
        return page.nextCursor

    def headers(self, request: Request, version: str) -> list[tuple[bytes, bytes]]:
        """The headers that go with *request*."""
        found = [(mcphttp.VERSION, version.encode()), (mcphttp.METHOD, _text(request.method))]
        member = mcphttp.NAMED_BY.get(request.method)
        if member is None:
            return found
        try:
            params: _Params = _params.decode(request.params)
        except (msgspec.DecodeError, RecursionError):
            return found  # the server shall say what is wrong with them
        name = getattr(params, member)
        if isinstance(name, str):
            found.append((mcphttp.NAME, _text(name)))
        if request.method == "tools/call" and isinstance(name, str):
            found += self._arguments(name, params.arguments)
        return found

    def _arguments(self, tool: str, arguments: Any) -> list[tuple[bytes, bytes]]:
        mirrored = self._tools.get(tool, ())
        texts = [(each.header, header_text(at_path(arguments, each.path))) for each in mirrored]
        return [(name, text.encode()) for name, text in texts if text is not None]


def _text(value: str) -> bytes:
    return mcphttp.encode_value(value).encode()


def _mirrored(schema: Any) -> tuple[MirroredParam, ...]:
    try:
        return mirrored_params(schema)
    except InvalidParams:
        return ()
