"""What all servers as one read in messages, and change in them. Pure."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec import Raw

from mcptwist.catalog.directory import Directory
from mcptwist.catalog.links import linked, relinked
from mcptwist.errors import InvalidMessage, InvalidParams
from mcptwist.messages import Json, Notification, encode_json, open_fields


def text(fields: Mapping[str, Raw], name: str) -> str:
    """A string member of params.

    :raises InvalidParams: there is none.
    """
    try:
        return msgspec.json.decode(fields[name], type=str)
    except (KeyError, msgspec.DecodeError):
        raise InvalidParams(f"params need a string {name!r}") from None


def reference(fields: Mapping[str, Raw]) -> dict[str, Raw]:
    """The members of ``ref``, by which ``completion/complete`` says what is completed.

    :return: nothing where there is none.
    :raises InvalidParams: it is no object.
    """
    try:
        return open_fields(fields.get("ref", b""))
    except InvalidMessage:
        raise InvalidParams("params.ref must be an object") from None


def only_meta(params: Json) -> Json:
    """What a question of ours inherits from the client's: its envelope, but no progress token."""
    meta = open_fields(open_fields(params).get("_meta", b""))
    meta.pop("progressToken", None)
    return encode_json({"_meta": meta}) if meta else b""


def signed(notification: Notification, server: str) -> Notification:
    """A log message with the server's name before that of its logger."""
    try:
        fields = open_fields(notification.params)
        logger = fields.get("logger")
        name = f"{server}/{msgspec.json.decode(logger, type=str)}" if logger else server
    except (InvalidMessage, msgspec.DecodeError):
        return notification
    fields["logger"] = Raw(encode_json(name))
    return Notification(notification.method, encode_json(fields))


def located(
    directory: Directory, server: str, method: str, known: Mapping[str, str], result: Json
) -> Json:
    """A server's result with the URIs that the client knows its resources by.

    Those that it points to need not be listed (MCP 2025-11-25, *Tools, Resource Links*), so they
    are remembered for when the client asks for them.
    """
    uris = linked(method, result)
    if not uris:
        return result
    public = {uri: known.get(uri) or directory.public_uri(server, uri) for uri in uris}
    moved = {uri: other for uri, other in public.items() if other != uri}
    directory.mention(server, (uri for uri in uris if uri not in moved))
    return relinked(method, result, moved) if moved else result
