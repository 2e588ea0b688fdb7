"""Resources that a result points to (MCP 2025-11-25, *Tools, Resource Links*). Pure."""

from __future__ import annotations

import msgspec

from mcptwist.messages import Json

_MARK = b'"resource_link"'
_LARGE = 1 << 20


class _Block(msgspec.Struct, gc=False):
    type: str = ""
    uri: str = ""


class _Content(msgspec.Struct, gc=False):
    content: list[_Block] = []


_content = msgspec.json.Decoder(_Content)


def linked(result: Json) -> list[str]:
    """The URIs of the resource links in a tool's result.

    None for a result of more than a mebibyte: looking would cost more than it is worth.
    """
    if len(result) > _LARGE or _MARK not in bytes(result):
        return []
    try:
        blocks = _content.decode(result).content
    except (msgspec.DecodeError, RecursionError):
        return []
    return [block.uri for block in blocks if block.type == "resource_link" and block.uri]
