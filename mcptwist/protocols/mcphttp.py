"""MCP's use of HTTP headers and statuses, as both ends read it.

MCP 2026-07-28, *Streamable HTTP*: Request Metadata, Custom Headers from Tool
Parameters, Value Encoding, Server Validation.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec
from msgspec import UNSET, Raw, UnsetType

from mcptwist.errors import HeaderMismatch, InvalidParams
from mcptwist.messages import Json, Request
from mcptwist.params import Usual

VERSION = b"mcp-protocol-version"
METHOD = b"mcp-method"
NAME = b"mcp-name"
SESSION = b"mcp-session-id"
PARAM_PREFIX = b"mcp-param-"

NAMED_BY: Mapping[str, str] = {
    "tools/call": "name",
    "prompts/get": "name",
    "resources/read": "uri",
    "tasks/get": "taskId",
    "tasks/update": "taskId",
    "tasks/cancel": "taskId",
}
"""Method → the member of its params that ``Mcp-Name`` mirrors."""

_SENTINEL = re.compile(r"=\?base64\?(.*)\?=", re.DOTALL)
_PLAIN = re.compile(r"[\x21-\x7e]([\x20-\x7e\t]*[\x21-\x7e])?")
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_DECIMAL = re.compile(r"(-?[0-9]{1,30})(?:\.0{1,30})?")
_PRIMITIVE = frozenset({"string", "integer", "boolean"})
_DEEPEST = 32

HeaderValues = Callable[[bytes], list[bytes]]
"""All values of a header, by its lower-case name."""


_MEMBERS = {
    name: msgspec.json.Decoder(
        msgspec.defstruct(f"_With_{name}", [(name, str | UnsetType, UNSET)], gc=False)
    )
    for name in set(NAMED_BY.values())
}
_string = msgspec.json.Decoder(str)


def encode_value(value: str) -> str:
    """A parameter's text as it may stand in a header."""
    if value == "" or (_PLAIN.fullmatch(value) and not _SENTINEL.fullmatch(value)):
        return value
    return f"=?base64?{base64.b64encode(value.encode()).decode()}?="


def decode_value(value: bytes) -> str:
    """The text that a header's value stands for.

    :raises HeaderMismatch: it holds characters that may not stand in a header,
        or base64 that is malformed or not in its canonical form.
    """
    try:
        text = value.decode("ascii")
    except UnicodeDecodeError:
        raise HeaderMismatch("a header holds characters other than ASCII") from None
    sentinel = _SENTINEL.fullmatch(text)
    if sentinel is None:
        return text
    return _from_base64(sentinel[1])


def _from_base64(payload: str) -> str:
    try:
        raw = base64.b64decode(payload, validate=True)
        if base64.b64encode(raw).decode() != payload:
            raise HeaderMismatch("a header's base64 is not in its canonical form")
        return raw.decode()
    except (binascii.Error, ValueError):
        raise HeaderMismatch("a header's base64 is malformed") from None


def sole_value(values: HeaderValues, name: bytes) -> str:
    """The one value of a routing header.

    Two copies are refused: whoever reads the first and whoever reads the last
    would route differently.

    :raises HeaderMismatch: it is missing or comes more than once.
    """
    found = values(name)
    if len(found) != 1:
        title = name.decode().title().replace("Mcp-P", "MCP-P")
        raise HeaderMismatch(f"the header {title} must come once, not {len(found)} times")
    return found[0].decode("latin-1")


def check_headers(
    request: Request, version: str, values: HeaderValues, beside: Usual | None = None
) -> None:
    """Hold the routing headers of a modern request against its body.

    :param version: what the body's ``_meta`` says.
    :param beside: the envelope's.
    :raises HeaderMismatch: a header is missing, malformed or says otherwise.
    """
    if sole_value(values, VERSION) != version:
        raise HeaderMismatch("MCP-Protocol-Version differs from the revision in params._meta")
    if sole_value(values, METHOD) != request.method:
        raise HeaderMismatch("Mcp-Method differs from the body's method")
    member = NAMED_BY.get(request.method)
    if member is not None:
        _check_name(member, request.params, values, beside)


def _check_name(member: str, params: Json, values: HeaderValues, beside: Usual | None) -> None:
    try:
        wanted = _named(member, params) if beside is None else _text(getattr(beside, member))
    except (msgspec.DecodeError, RecursionError):
        raise InvalidParams(f"params.{member} must be a string") from None
    if wanted is UNSET:
        return
    if decode_value(sole_value(values, NAME).encode("latin-1")) != wanted:
        raise HeaderMismatch(f"Mcp-Name differs from the body's params.{member}")


def _named(member: str, params: Json) -> str | UnsetType:
    wanted: str | UnsetType = getattr(_MEMBERS[member].decode(params), member)
    return wanted


def _text(value: Raw | UnsetType) -> str | UnsetType:
    return UNSET if value is UNSET else _string.decode(value)


class MirroredParam(msgspec.Struct, frozen=True):
    """A tool's argument that calls over HTTP mirror in a header.

    :ivar path: the chain of properties that leads to it.
    :ivar header: ``Mcp-Param-…``, in lower case.
    :ivar kind: its JSON Schema type.
    """

    path: tuple[str, ...]
    header: bytes
    kind: str


def mirrored_params(schema: Any) -> tuple[MirroredParam, ...]:
    """The mirrored arguments of a tool, from its ``inputSchema``.

    :raises InvalidParams: an ``x-mcp-header`` breaks the rules, which makes the
        tool unusable over HTTP.
    """
    found: dict[bytes, MirroredParam] = {}
    for path, subschema, reachable in _positions(schema, (), True, 0):
        if "x-mcp-header" not in subschema:
            continue
        if not path or not reachable:
            raise InvalidParams("x-mcp-header on something that is not a plain property")
        param = _mirrored(path, subschema)
        if param.header in found:
            raise InvalidParams(f"x-mcp-header names {param.header.decode()} twice")
        found[param.header] = param
    return tuple(found.values())


def _mirrored(path: tuple[str, ...], schema: Mapping[str, Any]) -> MirroredParam:
    header, kind = schema["x-mcp-header"], schema.get("type")
    if not isinstance(header, str) or not _TOKEN.fullmatch(header):
        raise InvalidParams(f"x-mcp-header of {'.'.join(path)} is not a header name")
    if not isinstance(kind, str) or kind not in _PRIMITIVE:
        raise InvalidParams(f"x-mcp-header of {'.'.join(path)} is not on a primitive type")
    return MirroredParam(path, PARAM_PREFIX + header.lower().encode(), kind)


_ONE = ("items", "contains", "not", "if", "then", "else", "additionalProperties", "propertyNames")
_MANY = ("oneOf", "anyOf", "allOf", "prefixItems")
_KEYED = ("$defs", "definitions", "patternProperties", "dependentSchemas")


def _positions(
    schema: Any, path: tuple[str, ...], reachable: bool, depth: int
) -> Iterator[tuple[tuple[str, ...], Mapping[str, Any], bool]]:
    """Every place of a schema where a schema stands."""
    if not isinstance(schema, dict) or depth > _DEEPEST:
        return
    yield path, schema, reachable
    properties = schema.get("properties")
    if isinstance(properties, dict):
        for name, inner in properties.items():
            yield from _positions(inner, (*path, str(name)), reachable, depth + 1)
    for inner in _unreachable(schema):
        yield from _positions(inner, path, False, depth + 1)


def _unreachable(schema: Mapping[str, Any]) -> Iterator[Any]:
    for key in _ONE:
        yield schema.get(key)
    for key in _MANY:
        if isinstance(schema.get(key), list):
            yield from schema[key]
    for key in _KEYED:
        if isinstance(schema.get(key), dict):
            yield from schema[key].values()


class _Call(msgspec.Struct, gc=False):
    arguments: Any = None


_call = msgspec.json.Decoder(_Call)


def check_mirrored(mirrored: tuple[MirroredParam, ...], params: Json, values: HeaderValues) -> None:
    """Hold the ``Mcp-Param-*`` headers of a call against its arguments.

    :raises HeaderMismatch: one is missing, superfluous or says otherwise.
    :raises InvalidParams: the arguments are nested too deeply to look into.
    """
    try:
        arguments = _call.decode(params).arguments
    except (msgspec.DecodeError, RecursionError) as problem:
        raise InvalidParams(f"params.arguments: {problem}") from None
    for param in mirrored:
        _check_mirrored(param, at_path(arguments, param.path), values(param.header))


def _check_mirrored(param: MirroredParam, value: Any, found: list[bytes]) -> None:
    title = param.header.decode()
    if len(found) > 1:
        raise HeaderMismatch(f"the header {title} comes {len(found)} times")
    if value is None and not found:
        return
    if not found:
        raise HeaderMismatch(f"the header {title} is missing; call tools/list for the schema")
    if value is None or not _same(param.kind, value, decode_value(found[0])):
        raise HeaderMismatch(f"the header {title} differs from argument {'.'.join(param.path)}")


def at_path(arguments: Any, path: tuple[str, ...]) -> Any:
    """The argument at the end of a chain of properties, ``None`` where it leads nowhere."""
    for name in path:
        if not isinstance(arguments, dict):
            return None
        arguments = arguments.get(name)
    return arguments


def _same(kind: str, value: Any, header: str) -> bool:
    if isinstance(value, bool):
        return header == ("true" if value else "false")
    if kind == "integer" and isinstance(value, int | float):
        decimal = _DECIMAL.fullmatch(header)
        return decimal is not None and int(decimal[1]) == value
    return isinstance(value, str) and header == value


def header_text(value: Any) -> str | None:
    """An argument as the asking end mirrors it, or ``None`` where it cannot be."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int):
        return encode_value(str(value))
    return None
