"""Resources that a result points to, or holds, and those that are the views of tools.

MCP 2025-11-25 and 2026-07-28, *Tools, Resource Links* and *Embedded Resources*; *Prompts*;
*Resources, Reading*. MCP Apps (``io.modelcontextprotocol/ui``): ``_meta.ui.resourceUri`` of a
tool, once ``_meta["ui/resourceUri"]``. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import msgspec
from msgspec import Raw

from mcptwist.messages import Json, encode_json, holds, open_fields

_MARK = b'"resource'
_VIEW = b'resourceUri"'
_FLAT = "ui/resourceUri"
_LARGE = 16 << 20
_Fields: TypeAlias = dict[str, Raw]
_Moved: TypeAlias = Mapping[str, str]


class _Resource(msgspec.Struct, gc=False):
    uri: str = ""


class _Block(msgspec.Struct, gc=False):
    type: str = ""
    uri: str = ""
    resource: _Resource | None = None


class _Message(msgspec.Struct, gc=False):
    content: _Block | None = None


class _Called(msgspec.Struct, gc=False):
    content: list[_Block] = []


class _Prompt(msgspec.Struct, gc=False):
    messages: list[_Message] = []


class _Read(msgspec.Struct, gc=False):
    contents: list[_Resource] = []


class _Ui(msgspec.Struct, frozen=True, gc=False):
    resourceUri: str = ""


class _Meta(msgspec.Struct, gc=False):
    ui: _Ui = _Ui()
    flat: str = msgspec.field(name=_FLAT, default="")


class _Tool(msgspec.Struct, gc=False):
    meta: _Meta = msgspec.field(name="_meta", default_factory=_Meta)


_tool = msgspec.json.Decoder(_Tool)
_called = msgspec.json.Decoder(_Called)
_prompt = msgspec.json.Decoder(_Prompt)
_read = msgspec.json.Decoder(_Read)
_array = msgspec.json.Decoder(list[Raw])


def linked(method: str, result: Json) -> list[str]:
    """The URIs of the resources in the result of *method*.

    None for a result of more than 16 MiB: looking would cost more than it is worth.
    """
    if len(result) > _LARGE:
        return []
    try:
        if method == "resources/read":
            return [each.uri for each in _read.decode(result).contents if each.uri]
        if not holds(result, _MARK):
            return []
        found = [_uri_of(block) for block in _blocks(method, result)]
    except (msgspec.DecodeError, RecursionError):
        return []
    return [uri for uri in found if uri]


def _blocks(method: str, result: Json) -> list[_Block]:
    if method == "tools/call":
        return _called.decode(result).content
    if method == "prompts/get":
        return [m.content for m in _prompt.decode(result).messages if m.content is not None]
    return []


def _uri_of(block: _Block) -> str:
    if block.type == "resource_link":
        return block.uri
    if block.type == "resource" and block.resource is not None:
        return block.resource.uri
    return ""


def relinked(method: str, result: Json, moved: _Moved) -> Json:
    """The result of *method* with other URIs for some of the resources in it.

    :param result: one in which :func:`linked` found something.
    :param moved: by the URI that stands there, the one that is to stand there.
    """
    fields = open_fields(result)
    if method == "resources/read":
        _each(fields, "contents", lambda contents: _move(contents, moved))
    elif method == "tools/call":
        _each(fields, "content", lambda block: _move_block(block, moved))
    else:
        _each(fields, "messages", lambda message: _move_message(message, moved))
    return encode_json(fields)


def may_have_views(page: Json) -> bool:
    """Whether it is worth looking for tools that are shown by resources."""
    return _VIEW in bytes(page)


def view_of(tool: Json) -> str:
    """The URI of the resource that a tool is shown by; empty if there is none."""
    if not may_have_views(tool):
        return ""
    try:
        meta = _tool.decode(tool).meta
    except (msgspec.DecodeError, RecursionError):
        return ""
    return meta.ui.resourceUri or meta.flat


def with_view(tool: Json, uri: str) -> Raw:
    """The same tool, shown by another resource.

    :param tool: one of which :func:`view_of` found something.
    """
    fields = open_fields(tool)
    meta = open_fields(fields["_meta"])
    if _FLAT in meta:
        meta[_FLAT] = Raw(encode_json(uri))
    ui = open_fields(meta.get("ui", b""))
    if "resourceUri" in ui:
        ui["resourceUri"] = Raw(encode_json(uri))
        meta["ui"] = Raw(encode_json(ui))
    fields["_meta"] = Raw(encode_json(meta))
    return Raw(encode_json(fields))


def _each(fields: _Fields, name: str, edit: Callable[[_Fields], None]) -> None:
    entries: list[Any] = []
    for raw in _array.decode(fields[name]):
        entry = open_fields(raw)
        edit(entry)
        entries.append(entry)
    fields[name] = Raw(encode_json(entries))


def _move_message(message: _Fields, moved: _Moved) -> None:
    block = open_fields(message.get("content", b""))
    if block:
        _move_block(block, moved)
        message["content"] = Raw(encode_json(block))


def _move_block(block: _Fields, moved: _Moved) -> None:
    kind = block.get("type")
    if kind == Raw(b'"resource_link"'):
        _move(block, moved)
    elif kind == Raw(b'"resource"') and "resource" in block:
        resource = open_fields(block["resource"])
        _move(resource, moved)
        block["resource"] = Raw(encode_json(resource))


def _move(resource: _Fields, moved: _Moved) -> None:
    if "uri" in resource:
        uri = msgspec.json.decode(resource["uri"], type=str)
        resource["uri"] = Raw(encode_json(moved.get(uri, uri)))
