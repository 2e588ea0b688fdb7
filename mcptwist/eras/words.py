"""What crosses between the eras: pure JSON to JSON.

A modern client and a legacy server, or the reverse, share methods and most of
their words. What differs is written down here, one function for each thing that
crosses; who holds what while it crosses is :mod:`mcptwist.eras.legacy_as_modern` and
:mod:`mcptwist.eras.modern_as_legacy`. ``docs/eras.rst`` has the whole table.

MCP 2026-07-28, changelog and *Versioning*.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Raw

from mcptwist.eras.inputs import RETRY, URL_ELICITATION_REQUIRED
from mcptwist.eras.revisions import revise, revised
from mcptwist.errors import (
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    MISSING_CLIENT_CAPABILITY,
    InvalidMessage,
)
from mcptwist.messages import Error, Json, encode_json, open_error, open_fields, open_list
from mcptwist.negotiation import (
    CAPABILITIES_KEY,
    CLIENT_KEY,
    LOG_LEVEL_KEY,
    SERVER_KEY,
    VERSION_KEY,
    agree,
)
from mcptwist.versions import LATEST, LATEST_LEGACY, MODERN_REVISIONS

CACHEABLE = frozenset(
    {
        "server/discover",
        "tools/list",
        "prompts/list",
        "resources/list",
        "resources/templates/list",
        "resources/read",
    }
)
"""Methods whose results say how long they hold (MCP 2026-07-28, *Caching*)."""

LEGACY_METHODS = frozenset(
    {
        "completion/complete",
        "logging/setLevel",
        "prompts/get",
        "prompts/list",
        "resources/list",
        "resources/read",
        "resources/subscribe",
        "resources/templates/list",
        "resources/unsubscribe",
        "tools/call",
        "tools/list",
    }
)
"""What a client may ask after the handshake (MCP 2025-11-25)."""

RESOURCE_NOT_FOUND = -32002

_OURS = frozenset({VERSION_KEY, CAPABILITIES_KEY, CLIENT_KEY, LOG_LEVEL_KEY})
_NOT_CACHED: Mapping[str, Any] = {"ttlMs": 0, "cacheScope": "private"}
_MODERN_FIELDS = ("resultType", "ttlMs", "cacheScope")

Fields = dict[str, Raw]


# --- a modern client's words to a legacy server, and back -----------------------------------


def legacy_params(params: Json) -> Json:
    """A modern request's params as a legacy server reads them.

    The envelope and what belongs to a retry are taken out; progress token, trace
    context and everything unknown stay.
    """
    fields = open_fields(params)
    for name in RETRY:
        fields.pop(name, None)
    meta = {k: v for k, v in open_fields(fields.pop("_meta", b"")).items() if k not in _OURS}
    if meta:
        fields["_meta"] = Raw(encode_json(meta))
    return encode_json(fields)


def modern_result(method: str, result: Json, server: Json) -> Json:
    """A legacy server's result as a modern client reads it.

    :param server: the server's ``serverInfo``.
    """
    fields = open_fields(result)
    if method == "tools/list" and "tools" in fields and b'"execution"' in bytes(result):
        _without_tasks(fields)
    fields.setdefault("resultType", Raw(b'"complete"'))
    if method in CACHEABLE:
        for name, value in _NOT_CACHED.items():
            fields.setdefault(name, Raw(encode_json(value)))
    if server:
        meta = open_fields(fields.get("_meta", b""))
        meta.setdefault(SERVER_KEY, Raw(bytes(server)))
        fields["_meta"] = Raw(encode_json(meta))
    return encode_json(fields)


def _without_tasks(fields: Fields) -> None:
    """How a tool goes about tasks, which are another thing in the modern era."""
    tools = [open_fields(raw) for raw in open_list(fields["tools"])]
    for tool in tools:
        tool.pop("execution", None)
    fields["tools"] = Raw(encode_json(tools))


def modern_error(method: str, error: Error) -> Error:
    """A legacy server's error as a modern client may see it.

    Servers on the Python SDK 1.x call the params invalid when they do not know the method.
    """
    codes = {RESOURCE_NOT_FOUND: INVALID_PARAMS, URL_ELICITATION_REQUIRED: INVALID_REQUEST}
    if method not in LEGACY_METHODS:
        codes[INVALID_PARAMS] = METHOD_NOT_FOUND
    return _recoded(error, codes)


def discovery(welcome: Json) -> dict[str, Any]:
    """The ``server/discover`` result that a legacy server's welcome amounts to."""
    fields = open_fields(welcome)
    found: dict[str, Any] = {
        "resultType": "complete",
        "supportedVersions": list(MODERN_REVISIONS),
        "capabilities": _modern_capabilities(fields.get("capabilities", b"{}")),
        **_NOT_CACHED,
    }
    if "instructions" in fields:
        found["instructions"] = fields["instructions"]
    if "serverInfo" in fields:
        found["_meta"] = {SERVER_KEY: fields["serverInfo"]}
    return found


def _modern_capabilities(capabilities: Json) -> Fields:
    """Without what the modern era does not have in this form."""
    return {name: raw for name, raw in open_fields(capabilities).items() if name != "tasks"}


# --- a legacy client's words to a modern server, and back -----------------------------------


def modern_params(params: Json, capabilities: Json, client: Json, level: str | None) -> Json:
    """A legacy request's params as a modern server reads them.

    :param capabilities: what the client declared when it shook hands.
    :param client: its ``clientInfo``.
    :param level: the log level of its session.
    """
    fields = open_fields(params)
    meta = open_fields(fields.get("_meta", b""))
    meta[VERSION_KEY] = Raw(encode_json(LATEST))
    meta[CAPABILITIES_KEY] = Raw(bytes(capabilities) or b"{}")
    if client:
        meta[CLIENT_KEY] = Raw(bytes(client))
    if level is not None:
        meta[LOG_LEVEL_KEY] = Raw(encode_json(level))
    fields["_meta"] = Raw(encode_json(meta))
    return encode_json(fields)


def legacy_result(method: str, result: Json) -> Json:
    """A modern server's result as a legacy client reads it."""
    fields = open_fields(result)
    for name in _MODERN_FIELDS:
        fields.pop(name, None)
    meta = open_fields(fields.get("_meta", b""))
    if meta.pop(SERVER_KEY, None) is not None:
        fields.pop("_meta")
        if meta:
            fields["_meta"] = Raw(encode_json(meta))
    if method == "tools/list" and "tools" in fields:
        _without_other_outputs(fields)
    elif method == "tools/call":
        _wrap_structured(fields)
    return encode_json(fields)


def _without_other_outputs(fields: Fields) -> None:
    tools = [open_fields(raw) for raw in open_list(fields["tools"])]
    for tool in tools:
        _object_output_only(tool)
    fields["tools"] = Raw(encode_json(tools))


def _object_output_only(tool: Fields) -> None:
    """Legacy revisions know output schemas for objects only."""
    schema = tool.get("outputSchema")
    if schema is not None and open_fields(schema).get("type") != Raw(b'"object"'):
        del tool["outputSchema"]


def legacy_entry(kind: str, entry: Json, revision: str) -> Raw:
    """An entry of a list as a client of that legacy revision reads it.

    :param kind: what is listed, as in :data:`~mcptwist.eras.revisions.KINDS`.
    """
    fields = open_fields(entry)
    try:
        _object_output_only(fields)
    except InvalidMessage:
        del fields["outputSchema"]
    if revision < LATEST_LEGACY:
        revise(kind, fields, revision)
    return Raw(encode_json(fields))


def _wrap_structured(fields: Fields) -> None:
    """Legacy revisions know structured content that is an object only."""
    content = fields.get("structuredContent")
    if content is not None and memoryview(content)[0] != 0x7B:
        fields["structuredContent"] = Raw(encode_json({"result": content}))


def legacy_error(error: Error) -> Error:
    """A modern server's error as a legacy client may see it."""
    return _recoded(
        error,
        {
            -32020: INVALID_REQUEST,
            MISSING_CLIENT_CAPABILITY: INVALID_REQUEST,
            -32022: INVALID_REQUEST,
        },
    )


def welcome(discovered: Json, requested: str) -> dict[str, Any]:
    """The ``initialize`` result that a modern server's discovery amounts to.

    :param requested: the revision the client asked for.
    """
    fields = open_fields(discovered)
    info = open_fields(fields.get("_meta", b"")).get(SERVER_KEY)
    revision = agree(requested, LATEST_LEGACY)
    capabilities = _legacy_capabilities(fields.get("capabilities", b"{}"))
    named = info if info is not None else encode_json({"name": "unknown", "version": "0"})
    found: dict[str, Any] = {
        "protocolVersion": revision,
        "capabilities": Raw(revised("ServerCapabilities", encode_json(capabilities), revision)),
        "serverInfo": Raw(revised("Implementation", named, revision)),
    }
    if "instructions" in fields:
        found["instructions"] = fields["instructions"]
    return found


def _legacy_capabilities(capabilities: Json) -> Fields:
    """Without extensions that are spoken in the modern era only."""
    return {name: raw for name, raw in open_fields(capabilities).items() if name != "extensions"}


def unsolicited(params: Json, key: str) -> Json:
    """A subscription's notification without the subscription's id."""
    fields = open_fields(params)
    meta = open_fields(fields.pop("_meta", b""))
    meta.pop(key, None)
    if meta:
        fields["_meta"] = Raw(encode_json(meta))
    return encode_json(fields) if fields else b""


def _recoded(error: Error, codes: Mapping[int, int]) -> Error:
    try:
        fields = open_fields(error.error)
        code = open_error(error).code
    except InvalidMessage:
        return error
    if code not in codes:
        return error
    fields["code"] = Raw(b"%d" % codes[code])
    return Error(error.id, encode_json(fields))
