"""What the legacy revisions do not know of each other's words: pure JSON to JSON.

MCP 2025-03-26, 2025-06-18 and 2025-11-25, changelogs.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from msgspec import Raw

from mcptwist.messages import Json, encode_json, open_fields

Fields = dict[str, Raw]

_Edit = Callable[[Fields], None]

_NEW_IN_2025_06 = ("title", "outputSchema", "_meta")
_NEW_IN_2025_11 = ("icons", "execution")


def revised(method: str, result: Json, revision: str) -> Json:
    """A result without what the client's revision does not know.

    :param revision: a legacy revision, older than the server's.
    """
    listed = {"tools/list": "tools", "prompts/list": "prompts", "resources/list": "resources"}
    listed["resources/templates/list"] = "resourceTemplates"
    fields = open_fields(result)
    if method in listed:
        each(fields, listed[method], lambda entry: without_news(entry, revision))
    elif method == "tools/call":
        _revise_call(fields, revision)
    elif method == "prompts/get":
        each(fields, "messages", lambda message: _revise_message(message, revision))
    return encode_json(fields)


def without_news(entry: Fields, revision: str) -> None:
    news = _NEW_IN_2025_11 if revision < "2025-11-25" else ()
    if revision < "2025-06-18":
        news = (*news, *_NEW_IN_2025_06)
    if revision < "2025-03-26" and "inputSchema" in entry:
        news = (*news, "annotations")
    for name in news:
        entry.pop(name, None)


def _revise_call(fields: Fields, revision: str) -> None:
    if revision < "2025-06-18":
        fields.pop("structuredContent", None)
    each(fields, "content", lambda block: _revise_block(block, revision))


def _revise_message(message: Fields, revision: str) -> None:
    if "content" in message:
        block = open_fields(message["content"])
        _revise_block(block, revision)
        message["content"] = Raw(encode_json(block))


def _revise_block(block: Fields, revision: str) -> None:
    """A kind of content that the revision does not know becomes a text that says what it was."""
    kind = bytes(block.get("type", b""))
    if kind == b'"resource_link"' and revision < "2025-06-18":
        _say(block, b"resource", block.get("uri", b'""'))
    elif kind == b'"audio"' and revision < "2025-03-26":
        _say(block, b"audio", block.get("mimeType", b'""'))


def _say(block: Fields, what: bytes, which: Json) -> None:
    text = f"[{what.decode()}: {msgspec.json.decode(which)}]"
    block.clear()
    block["type"] = Raw(b'"text"')
    block["text"] = Raw(encode_json(text))


def each(fields: Fields, name: str, edit: _Edit) -> None:
    """Edit every object in the list *name*."""
    if name not in fields:
        return
    entries = []
    for raw in msgspec.json.decode(fields[name], type=list[Raw]):
        entry = open_fields(raw)
        edit(entry)
        entries.append(entry)
    fields[name] = Raw(encode_json(entries))
