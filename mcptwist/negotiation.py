"""Agreeing on a revision, in both roles and both eras.

Legacy: ``initialize``, where the server answers with the revision asked for
if it has it and with its best otherwise (MCP 2025-11-25, *Lifecycle*).
Modern: the ``_meta`` of every request (MCP 2026-07-28, *Versioning* and
*Base protocol, Per-request protocol fields*).
"""

from __future__ import annotations

import msgspec
from msgspec import UNSET, Raw, UnsetType

from mcptwist.errors import InvalidParams, UnsupportedVersion
from mcptwist.messages import Json, encode_json, holds
from mcptwist.params import Usual
from mcptwist.versions import (
    LATEST,
    LATEST_LEGACY,
    LEGACY_REVISIONS,
    MODERN_REVISIONS,
    is_legacy,
)

VERSION_KEY = "io.modelcontextprotocol/protocolVersion"
CAPABILITIES_KEY = "io.modelcontextprotocol/clientCapabilities"
CLIENT_KEY = "io.modelcontextprotocol/clientInfo"
LOG_LEVEL_KEY = "io.modelcontextprotocol/logLevel"
SERVER_KEY = "io.modelcontextprotocol/serverInfo"

ENVELOPE_MARK = VERSION_KEY.encode()
"""Stands in the text of every request with a modern envelope, and seldom elsewhere."""
_EMPTY = Raw(b"{}")


class Hello(msgspec.Struct, frozen=True):
    """The params of ``initialize``; capabilities and client stay unopened."""

    protocolVersion: str
    capabilities: Raw = _EMPTY
    clientInfo: Raw = _EMPTY


class Welcome(msgspec.Struct, frozen=True):
    """The result of ``initialize``, as far as the house needs it."""

    protocolVersion: str
    capabilities: Raw = _EMPTY
    serverInfo: Raw = _EMPTY
    instructions: str | None = None


class Discovery(msgspec.Struct, frozen=True):
    """The result of ``server/discover``, as far as the house needs it."""

    supportedVersions: list[str]
    capabilities: Raw = _EMPTY
    instructions: str | None = None


class Envelope(msgspec.Struct, frozen=True, gc=False):
    """What a modern request says of itself in ``_meta``.

    :ivar version: the revision it speaks.
    :ivar capabilities: the client's, unopened.
    :ivar client: name and version, unopened; clients should, but need not, say it.
    :ivar log_level: the least severe log message wanted for this request.
    :ivar beside: what stands beside ``_meta``, where those are no other members than usual.
    """

    version: str
    capabilities: Raw
    client: Raw | None = None
    log_level: str | None = None
    beside: Usual | None = None


class _Meta(msgspec.Struct, gc=False):
    version: str | UnsetType = msgspec.field(default=UNSET, name=VERSION_KEY)
    capabilities: Raw | UnsetType = msgspec.field(default=UNSET, name=CAPABILITIES_KEY)
    client: Raw | UnsetType = msgspec.field(default=UNSET, name=CLIENT_KEY)
    log_level: str | UnsetType = msgspec.field(default=UNSET, name=LOG_LEVEL_KEY)


class _WithMeta(msgspec.Struct, gc=False):
    _meta: _Meta | UnsetType = UNSET


class _UsualWithMeta(Usual, forbid_unknown_fields=True, gc=False):
    _meta: _Meta | UnsetType = UNSET


_hello = msgspec.json.Decoder(Hello)
_welcome = msgspec.json.Decoder(Welcome)
_discovery = msgspec.json.Decoder(Discovery)
_with_meta = msgspec.json.Decoder(_WithMeta)
_usual_with_meta = msgspec.json.Decoder(_UsualWithMeta)


def looks_modern(params: Json) -> bool:
    """Whether the params carry a modern envelope, whatever its worth.

    Searching for the key first leaves legacy params unopened.
    """
    if not params or not holds(params, ENVELOPE_MARK):
        return False
    try:
        meta = _with_meta.decode(params)._meta
    except (msgspec.DecodeError, RecursionError):
        return True
    return meta is not UNSET and meta.version is not UNSET


def read_envelope(params: Json) -> Envelope:
    """The modern envelope of a request.

    :raises InvalidParams: naming what is missing or of the wrong type.
    """
    beside: _UsualWithMeta | None = None
    try:
        beside = _usual_with_meta.decode(params)
        meta = beside._meta
    except (msgspec.DecodeError, RecursionError):
        meta = _meta_among_others(params)
    if meta is UNSET:
        raise InvalidParams(f"params._meta must hold {VERSION_KEY} and {CAPABILITIES_KEY}")
    return _complete(meta, beside)


def _meta_among_others(params: Json) -> _Meta | UnsetType:
    try:
        return _with_meta.decode(params or b"{}")._meta
    except (msgspec.DecodeError, RecursionError) as problem:
        raise InvalidParams(f"params._meta is not as it must be: {problem}") from None


def _complete(meta: _Meta, beside: Usual | None) -> Envelope:
    if meta.version is UNSET:
        raise InvalidParams(f"params._meta lacks {VERSION_KEY}")
    if meta.capabilities is UNSET:
        raise InvalidParams(f"params._meta lacks {CAPABILITIES_KEY}")
    if memoryview(meta.capabilities)[0] != 0x7B:
        raise InvalidParams(f"params._meta: {CAPABILITIES_KEY} must be an object")
    client = None if meta.client is UNSET else meta.client
    level = None if meta.log_level is UNSET else meta.log_level
    return Envelope(meta.version, meta.capabilities, client, level, beside)


def require_modern(version: str) -> None:
    """Refuse a revision that is not served as modern.

    :raises UnsupportedVersion: with ``supported`` and ``requested``.
    """
    if version not in MODERN_REVISIONS:
        raise UnsupportedVersion(
            f"protocol revision {version} is not served for requests that stand alone",
            supported=list(MODERN_REVISIONS),
            requested=version,
        )


def read_hello(params: Json) -> Hello:
    """The params of ``initialize``.

    :raises InvalidParams: they are not as they must be.
    """
    try:
        hello: Hello = _hello.decode(params or b"{}")
    except (msgspec.DecodeError, RecursionError) as problem:
        raise InvalidParams(f"initialize: {problem}") from None
    for name in ("capabilities", "clientInfo"):
        if memoryview(getattr(hello, name))[0] != 0x7B:
            raise InvalidParams(f"initialize: params.{name} must be an object")
    return hello


def read_welcome(result: Json) -> Welcome:
    """The result of ``initialize``.

    :raises InvalidParams: it is not as it must be, or of a revision unknown here.
    """
    try:
        welcome: Welcome = _welcome.decode(result)
    except (msgspec.DecodeError, RecursionError) as problem:
        raise InvalidParams(f"the answer to initialize is malformed: {problem}") from None
    if not is_legacy(welcome.protocolVersion):
        raise InvalidParams(f"initialize agreed on unknown revision {welcome.protocolVersion!r}")
    return welcome


def read_discovery(result: Json) -> Discovery:
    """The result of ``server/discover``.

    :raises InvalidParams: it is not as it must be.
    """
    try:
        discovery: Discovery = _discovery.decode(result)
    except (msgspec.DecodeError, RecursionError) as problem:
        raise InvalidParams(f"the answer to server/discover is malformed: {problem}") from None
    return discovery


def agree(requested: str, best: str = LATEST_LEGACY) -> str:
    """The revision to answer ``initialize`` with.

    :param best: the newest that the server behind can do; revisions sort by date.
    """
    if requested in LEGACY_REVISIONS:
        return min(requested, best)
    return best


def hello_params(capabilities: object, client: object, version: str = LATEST_LEGACY) -> bytes:
    """The params of an ``initialize`` of ours."""
    return encode_json(
        {"protocolVersion": version, "capabilities": capabilities, "clientInfo": client}
    )


def discover_params(client: object, version: str = LATEST) -> bytes:
    """The params of a modern request of ours that needs nothing else."""
    return encode_json({"_meta": modern_meta(client, version)})


def modern_meta(client: object, version: str = LATEST) -> dict[str, object]:
    """The ``_meta`` of a modern request of ours."""
    return {VERSION_KEY: version, CAPABILITIES_KEY: {}, CLIENT_KEY: client}
