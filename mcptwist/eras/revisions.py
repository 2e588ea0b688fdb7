"""What the legacy revisions do not know of each other's words: pure JSON to JSON.

:data:`KINDS` has every kind of thing that a server says, and the first revision that knows
each of its newer fields; what is not there all revisions know.

MCP 2024-11-05, 2025-03-26, 2025-06-18 and 2025-11-25, schemas.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import NamedTuple

import msgspec
from msgspec import Raw

from mcptwist.errors import InvalidMessage
from mcptwist.messages import Json, Notification, encode_json, open_fields, open_list

Fields = dict[str, Raw]

_2025_03, _2025_06, _2025_11 = "2025-03-26", "2025-06-18", "2025-11-25"


class Kind(NamedTuple):
    """One kind of object.

    :ivar since: its newer fields, and the first revision that knows each.
    :ivar parts: what kind of thing is in a field, or in the list that a field has.
    """

    since: Mapping[str, str] = {}
    parts: Mapping[str, str] = {}


_NAMED: Mapping[str, str] = {"title": _2025_06, "_meta": _2025_06, "icons": _2025_11}

KINDS: Mapping[str, Kind] = {
    # results and notifications, by their methods
    "initialize": Kind({}, {"serverInfo": "Implementation", "capabilities": "ServerCapabilities"}),
    "tools/list": Kind({}, {"tools": "Tool"}),
    "prompts/list": Kind({}, {"prompts": "Prompt"}),
    "resources/list": Kind({}, {"resources": "Resource"}),
    "resources/templates/list": Kind({}, {"resourceTemplates": "ResourceTemplate"}),
    "resources/read": Kind({}, {"contents": "ResourceContents"}),
    "prompts/get": Kind({}, {"messages": "PromptMessage"}),
    "tools/call": Kind({"structuredContent": _2025_06}, {"content": "ContentBlock"}),
    "notifications/progress": Kind({"message": _2025_03}),
    # questions
    "elicitation/create": Kind(
        {"mode": _2025_11, "url": _2025_11, "elicitationId": _2025_11, "task": _2025_11},
        {"requestedSchema": "Form"},
    ),
    "sampling/createMessage": Kind(
        {"tools": _2025_11, "toolChoice": _2025_11, "task": _2025_11},
        {"messages": "SamplingMessage"},
    ),
    # what these consist of
    "Implementation": Kind(
        {"title": _2025_06, "description": _2025_11, "icons": _2025_11, "websiteUrl": _2025_11}
    ),
    "ServerCapabilities": Kind({"completions": _2025_03, "tasks": _2025_11}),
    "Tool": Kind(
        {**_NAMED, "annotations": _2025_03, "outputSchema": _2025_06, "execution": _2025_11}
    ),
    "Prompt": Kind(_NAMED, {"arguments": "PromptArgument"}),
    "PromptArgument": Kind({"title": _2025_06}),
    "PromptMessage": Kind({}, {"content": "ContentBlock"}),
    "SamplingMessage": Kind({"_meta": _2025_11}, {"content": "ContentBlock"}),
    "Resource": Kind(_NAMED, {"annotations": "Annotations"}),
    "ResourceTemplate": Kind(_NAMED, {"annotations": "Annotations"}),
    "ResourceContents": Kind({"_meta": _2025_06}),
    "ContentBlock": Kind(
        {"_meta": _2025_06, "icons": _2025_11},
        {"annotations": "Annotations", "resource": "ResourceContents"},
    ),
    "Annotations": Kind({"lastModified": _2025_06}),
    "Form": Kind(),
}

CONTENT: Mapping[str, str] = {
    "audio": _2025_03,
    "resource_link": _2025_06,
    "tool_use": _2025_11,
    "tool_result": _2025_11,
}
"""Newer kinds of content, and the first revision that knows each."""

SAID_SINCE: Mapping[str, str] = {
    "notifications/elicitation/complete": _2025_11,
    "notifications/tasks/status": _2025_11,
}
"""Newer notifications, and the first revision that knows each."""

_TOLD_BY = {"audio": "mimeType", "resource_link": "uri", "tool_use": "name"}


def revised(kind: str, json: Json, revision: str) -> bytes:
    """A result, or the params of something said or asked, without what a revision does not know.

    :param kind: a key of :data:`KINDS`; of others nothing is known to be newer.
    :param revision: a legacy revision, older than the server's.
    """
    text = bytes(json)
    if not _may_be_changed(kind, text, revision):
        return text
    fields = open_fields(json)
    revise(kind, fields, revision)
    return encode_json(fields)


def revise(kind: str, fields: Fields, revision: str) -> None:
    """The same with an object that is open, in place."""
    edit = _EDITS.get(kind)
    if edit is not None:
        edit(fields, revision)
    news, parts = _changes(kind, revision)
    for name in news:
        fields.pop(name, None)
    for name, part in parts.items():
        if name in fields:
            fields[name] = _revised_part(part, fields[name], revision)


def said(notification: Notification, revision: str) -> Notification | None:
    """A notification as a client of that revision knows it; ``None`` if it does not."""
    method = notification.method
    if revision < SAID_SINCE.get(method, ""):
        return None
    params = revised(method, notification.params, revision)
    return Notification(method, params)


def _may_be_changed(kind: str, text: bytes, revision: str) -> bool:
    """Whether a text must be looked into; one without any of the words in question need not be."""
    return any(map(text.__contains__, _signs(kind, revision)))


@cache
def _signs(kind: str, revision: str) -> tuple[bytes, ...]:
    """What a text has one of at least, if anything has to be changed in it."""
    news, parts = _changes(kind, revision)
    found = {f'"{name}"'.encode() for name in news}
    if kind == "ContentBlock":
        found |= {f'"{name}"'.encode() for name, first in CONTENT.items() if revision < first}
    if kind == "Form" and revision < _2025_11:
        found |= {b'"default"', b'"oneOf"'}
    found = found.union(*(_signs(part, revision) for part in parts.values()))
    # Written with an escape, a word is there and cannot be seen.
    return (*sorted(found), b"\\u") if found else ()


@cache
def _changes(kind: str, revision: str) -> tuple[tuple[str, ...], dict[str, str]]:
    """The fields that a revision does not know, and those in which something has to be changed."""
    since, parts = KINDS.get(kind, Kind())
    news = tuple(name for name, first in since.items() if revision < first)
    return news, {name: part for name, part in parts.items() if _is_changed(part, revision)}


def _is_changed(kind: str, revision: str) -> bool:
    return (kind in _EDITS and revision < _2025_11) or any(_changes(kind, revision))


def _revised_part(kind: str, part: Raw, revision: str) -> Raw:
    """One object, or a list of them; what is neither is left as it is."""
    if memoryview(part)[0] != 0x5B:
        return _revised_object(kind, part, revision)
    entries = [_revised_object(kind, entry, revision) for entry in open_list(part)]
    return Raw(encode_json(entries))


def _revised_object(kind: str, part: Raw, revision: str) -> Raw:
    if memoryview(part)[0] != 0x7B:
        return part
    fields = open_fields(part)
    revise(kind, fields, revision)
    return Raw(encode_json(fields))


# --- kinds of things that a revision does not know ------------------------------------------


def _revise_content(block: Fields, revision: str) -> None:
    """A kind of content that the revision does not know becomes a text that says what it was."""
    kind = _text(block.get("type"))
    if revision < CONTENT.get(kind, ""):
        which = _text(block.get(_TOLD_BY.get(kind, "")))
        what = kind.removesuffix("_link")
        block.clear()
        block["type"] = Raw(b'"text"')
        block["text"] = Raw(encode_json(f"[{what}: {which}]" if which else f"[{what}]"))


def _revise_form(form: Fields, revision: str) -> None:
    """The inputs of a form, with the names of choices where 2025-06-18 has them."""
    try:
        inputs = {name: open_fields(raw) for name, raw in open_fields(form["properties"]).items()}
    except (KeyError, InvalidMessage):
        return
    for each in inputs.values():
        _revise_input(each)
    form["properties"] = Raw(encode_json(inputs))


def _revise_input(each: Fields) -> None:
    if _text(each.get("type")) != "boolean":
        each.pop("default", None)
    try:
        choices = msgspec.json.decode(each.get("oneOf", b"[]"), type=list[_Choice])
    except msgspec.ValidationError:
        return
    if choices:
        del each["oneOf"]
        each["enum"] = Raw(encode_json([choice.const for choice in choices]))
        each["enumNames"] = Raw(encode_json([choice.title for choice in choices]))


class _Choice(msgspec.Struct):
    const: str
    title: str


_EDITS: Mapping[str, Callable[[Fields, str], None]] = {
    "ContentBlock": _revise_content,
    "Form": _revise_form,
}


def _text(raw: Raw | None) -> str:
    value = None if raw is None else msgspec.json.decode(raw)
    return value if isinstance(value, str) else ""
