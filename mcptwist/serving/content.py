"""What a server's functions answer with: text, pictures, sound, resources.

A function may return plain Python values; :func:`blocks`, :func:`contents` and
:func:`prompt_messages` make of them what the protocol has for tools, resources
and prompts.

MCP 2026-07-28, *Tools, Tool Result*; *Resources, Resource Contents*; *Prompts,
Data Types*.
"""

from __future__ import annotations

import base64
from typing import Any, Literal

import msgspec

from mcptwist.messages import encode_json

Block = dict[str, Any]

OCTETS = "application/octet-stream"
JSON = "application/json"
TEXT = "text/plain"


class Content(msgspec.Struct, frozen=True, kw_only=True):
    """One piece of an answer.

    :ivar annotations: ``audience``, ``priority``, ``lastModified``; as the
        protocol spells them.
    :ivar meta: goes to the client as ``_meta``.
    """

    annotations: dict[str, Any] | None = None
    meta: dict[str, Any] | None = None

    def block(self) -> Block:
        """The content block of the protocol."""
        raise NotImplementedError

    def _with(self, **members: Any) -> Block:
        return present(annotations=self.annotations, _meta=self.meta, **members)


class Text(Content, frozen=True):
    """Text, where annotations are wanted; else a plain ``str`` will do."""

    text: str

    def block(self) -> Block:
        return self._with(type="text", text=self.text)


class Image(Content, frozen=True):
    """A picture.

    :ivar data: its bytes.
    """

    data: bytes
    mime_type: str = "image/png"

    def block(self) -> Block:
        return self._with(type="image", data=base64_text(self.data), mimeType=self.mime_type)


class Audio(Content, frozen=True):
    """A sound.

    :ivar data: its bytes.
    """

    data: bytes
    mime_type: str = "audio/wav"

    def block(self) -> Block:
        return self._with(type="audio", data=base64_text(self.data), mimeType=self.mime_type)


class EmbeddedResource(Content, frozen=True):
    """A resource and what is in it."""

    uri: str
    content: str | bytes
    mime_type: str | None = None

    def block(self) -> Block:
        return self._with(type="resource", resource=_one(self.uri, self.content, self.mime_type))


class ResourceLink(Content, frozen=True):
    """Where a resource is to be had."""

    uri: str
    name: str
    title: str | None = None
    description: str | None = None
    mime_type: str | None = None
    size: int | None = None

    def block(self) -> Block:
        return self._with(
            type="resource_link",
            uri=self.uri,
            name=self.name,
            title=self.title,
            description=self.description,
            mimeType=self.mime_type,
            size=self.size,
        )


class ToolResult(msgspec.Struct, frozen=True, kw_only=True):
    """The whole answer of a tool, for one that wants to say every part itself.

    :ivar content: whatever :func:`blocks` takes.
    :ivar structured: any JSON value; a tool that promised an object must give it.
    :ivar is_error: whether the tool failed in a way the model can learn from.
    :ivar meta: goes to the client as ``_meta``.
    """

    content: Any = ()
    structured: Any = msgspec.UNSET
    is_error: bool = False
    meta: dict[str, Any] | None = None


class PromptMessage(msgspec.Struct, frozen=True):
    """One line of the conversation that a prompt begins.

    :ivar content: text, or any :class:`Content`.
    """

    content: str | Content
    role: Literal["user", "assistant"] = "user"

    def told(self) -> dict[str, Any]:
        """The message as the protocol has it."""
        return {"role": self.role, "content": block_of(self.content)}


def blocks(value: Any) -> list[Block]:
    """The content blocks for what a tool returned.

    Text and :class:`Content` are taken as they are, alone or in a list;
    anything else is written as JSON.
    """
    if value is None:
        return []
    if isinstance(value, list | tuple) and any(isinstance(v, str | Content) for v in value):
        return [block_of(each) for each in value]
    return [block_of(value)]


def block_of(value: Any) -> Block:
    """The content block for one value."""
    if isinstance(value, Content):
        return value.block()
    if isinstance(value, bytes):
        return EmbeddedResource(uri="attachment:result", content=value).block()
    text = value if isinstance(value, str) else encode_json(value).decode()
    return {"type": "text", "text": text}


def contents(uri: str, value: Any, mime_type: str | None) -> list[dict[str, Any]]:
    """The contents of a resource for what its function returned.

    Text and bytes are taken as they are, :class:`EmbeddedResource` values (a
    list of them where reading one resource gives several) bring their own
    URI; anything else is written as JSON.
    """
    if isinstance(value, EmbeddedResource):
        value = [value]
    if isinstance(value, list) and value and all(isinstance(v, EmbeddedResource) for v in value):
        return [_one(v.uri, v.content, v.mime_type or mime_type) for v in value]
    if not isinstance(value, str | bytes):
        value, mime_type = encode_json(value).decode(), mime_type or JSON
    return [_one(uri, value, mime_type)]


def prompt_messages(value: Any) -> list[dict[str, Any]]:
    """The messages for what a prompt returned: one, or a list of them."""
    each = value if isinstance(value, list | tuple) else [value]
    return [(v if isinstance(v, PromptMessage) else PromptMessage(v)).told() for v in each]


def present(**members: Any) -> dict[str, Any]:
    """The members that are there; ``None`` is an absent one."""
    return {name: value for name, value in members.items() if value is not None}


def base64_text(data: bytes) -> str:
    """Bytes as JSON can carry them."""
    return base64.b64encode(data).decode()


def _one(uri: str, content: str | bytes, mime_type: str | None) -> dict[str, Any]:
    if isinstance(content, bytes):
        return {"uri": uri, "mimeType": mime_type or OCTETS, "blob": base64_text(content)}
    return {"uri": uri, "mimeType": mime_type or TEXT, "text": content}
