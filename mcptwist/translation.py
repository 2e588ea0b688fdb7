"""What crosses between the eras, and between the legacy revisions: pure JSON to JSON.

A modern client and a legacy server, or the reverse, share methods and most of
their words. What differs is written down here, one function for each thing that
crosses; who holds what while it crosses is :mod:`mcptwist.legacy_as_modern` and
:mod:`mcptwist.modern_as_legacy`. ``docs/eras.rst`` has the whole table.

MCP 2026-07-28, changelog and *Versioning*; 2025-03-26, 2025-06-18, 2025-11-25,
changelogs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from msgspec import Raw

from mcptwist.errors import (
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    MISSING_CLIENT_CAPABILITY,
    InvalidMessage,
)
from mcptwist.messages import Error, Json, encode_json, open_error, open_fields
from mcptwist.negotiation import (
    CAPABILITIES_KEY,
    CLIENT_KEY,
    LOG_LEVEL_KEY,
    SERVER_KEY,
    VERSION_KEY,
    agree,
)
from mcptwist.versions import LATEST, LATEST_LEGACY, MODERN_REVISIONS

INPUT_METHODS = frozenset({"tools/call", "prompts/get", "resources/read"})
"""Methods that may be answered ``input_required`` (MCP 2026-07-28, *MRTR, Supported Requests*)."""

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

ASKED_BY: Mapping[str, str] = {
    "elicitation/create": "elicitation",
    "sampling/createMessage": "sampling",
    "roots/list": "roots",
}
"""A server's question → the capability its client must have declared."""

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
URL_ELICITATION_REQUIRED = -32042

_OURS = frozenset({VERSION_KEY, CAPABILITIES_KEY, CLIENT_KEY, LOG_LEVEL_KEY})
_RETRY = ("inputResponses", "requestState")
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
    for name in _RETRY:
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
    fields.setdefault("resultType", Raw(b'"complete"'))
    if method in CACHEABLE:
        for name, value in _NOT_CACHED.items():
            fields.setdefault(name, Raw(encode_json(value)))
    if server:
        meta = open_fields(fields.get("_meta", b""))
        meta.setdefault(SERVER_KEY, Raw(bytes(server)))
        fields["_meta"] = Raw(encode_json(meta))
    return encode_json(fields)


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


def lacking(capabilities: Json, method: str, params: Json = b"") -> dict[str, Any] | None:
    """The capabilities that a question needs and its client did not declare.

    :param capabilities: the client's.
    :return: as ``data.requiredCapabilities`` has them; ``None`` if it can be asked.
    """
    capability = ASKED_BY[method]
    declared = open_fields(capabilities).get(capability)
    if capability != "elicitation":
        return {capability: {}} if declared is None else None
    url = open_fields(params).get("mode") == Raw(b'"url"')
    if declared is not None and _elicits(open_fields(declared), url):
        return None
    return {capability: {"url": {}} if url else {}}


def _elicits(modes: Fields, url: bool) -> bool:
    """None declared means forms only (MCP 2025-11-25, *Elicitation, Capabilities*)."""
    return "url" in modes if url else "form" in modes or "url" not in modes


def url_elicitations(error: Error) -> dict[str, Any] | None:
    """The inputs that a legacy ``-32042`` asks for, by key; ``None`` if it is another error."""
    try:
        body = open_error(error)
    except InvalidMessage:
        return None
    if body.code != URL_ELICITATION_REQUIRED or not isinstance(body.data, dict):
        return None
    listed = body.data.get("elicitations")
    wanted = [each for each in listed or () if isinstance(each, dict)]
    return {
        f"url-{number}": {"method": "elicitation/create", "params": {"mode": "url", **each}}
        for number, each in enumerate(wanted)
    } or None


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


def retried(params: Json, responses: Mapping[str, Json], state: Json | None) -> Json:
    """The params of the same request, asked once more with the inputs it required."""
    fields = open_fields(params)
    for name in _RETRY:
        fields.pop(name, None)
    if responses:
        answers = {key: Raw(bytes(value)) for key, value in responses.items()}
        fields["inputResponses"] = Raw(encode_json(answers))
    if state is not None:
        fields["requestState"] = Raw(bytes(state))
    return encode_json(fields)


class Inputs(msgspec.Struct, frozen=True):
    """What a modern server requires before it goes on.

    :ivar requests: by key.
    :ivar state: to be handed back as it is, ``None`` if there is none.
    """

    requests: dict[str, InputRequest]
    state: Raw | None


class InputRequest(msgspec.Struct, frozen=True):
    """One question of a modern server."""

    method: str
    params: Raw = Raw(b"{}")


class _Required(msgspec.Struct):
    inputRequests: dict[str, InputRequest] = {}
    requestState: str | None = None


_required = msgspec.json.Decoder(_Required)


def inputs_required(result: Json) -> Inputs | None:
    """The inputs that a result asks for, or ``None`` if it is complete.

    :raises InvalidMessage: it asks, but not as it must.
    """
    if b'"input_required"' not in bytes(result):
        return None
    if open_fields(result).get("resultType") != Raw(b'"input_required"'):
        return None
    try:
        required: _Required = _required.decode(result)
    except (msgspec.DecodeError, RecursionError) as problem:
        raise InvalidMessage(f"malformed input_required: {problem}") from None
    state = required.requestState
    return Inputs(required.inputRequests, None if state is None else Raw(encode_json(state)))


def question_params(params: Json, revision: str) -> bytes:
    """A modern server's question as a client of that legacy revision reads it."""
    fields = open_fields(params)
    if revision < "2025-11-25" and fields.get("mode") == Raw(b'"form"'):
        del fields["mode"]
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
    if method == "tools/list":
        _each(fields, "tools", _object_output_only)
    elif method == "tools/call":
        _wrap_structured(fields)
    return encode_json(fields)


def _object_output_only(tool: Fields) -> None:
    """Legacy revisions know output schemas for objects only."""
    schema = tool.get("outputSchema")
    if schema is not None and open_fields(schema).get("type") != Raw(b'"object"'):
        del tool["outputSchema"]


def legacy_entry(entry: Json, revision: str) -> Raw:
    """An entry of a list as a client of that legacy revision reads it."""
    fields = open_fields(entry)
    try:
        _object_output_only(fields)
    except InvalidMessage:
        del fields["outputSchema"]
    if revision < LATEST_LEGACY:
        _without_news(fields, revision)
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
    found: dict[str, Any] = {
        "protocolVersion": agree(requested, LATEST_LEGACY),
        "capabilities": _legacy_capabilities(fields.get("capabilities", b"{}")),
        "serverInfo": info if info is not None else {"name": "unknown", "version": "0"},
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


# --- legacy revisions among themselves -----------------------------------------------------


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
        _each(fields, listed[method], lambda entry: _without_news(entry, revision))
    elif method == "tools/call":
        _revise_call(fields, revision)
    elif method == "prompts/get":
        _each(fields, "messages", lambda message: _revise_message(message, revision))
    return encode_json(fields)


def _without_news(entry: Fields, revision: str) -> None:
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
    _each(fields, "content", lambda block: _revise_block(block, revision))


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


def _each(fields: Fields, name: str, edit: _Edit) -> None:
    """Edit every object in the list *name*."""
    if name not in fields:
        return
    entries = []
    for raw in msgspec.json.decode(fields[name], type=list[Raw]):
        entry = open_fields(raw)
        edit(entry)
        entries.append(entry)
    fields[name] = Raw(encode_json(entries))


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
