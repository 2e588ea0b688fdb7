"""Opening a conversation with a server: the first words on a new link.

Legacy: ``initialize`` and ``notifications/initialized`` (MCP 2025-11-25,
*Lifecycle*). Modern: ``server/discover``, which also tells whether the server
is modern at all (MCP 2026-07-28, *stdio, Backward Compatibility*). A server
that is asked in the wrong era may refuse, stay silent or exit, and locks the
process to the era of its first request, so a process is opened once, in one era;
but one that refused ``server/discover`` as any unknown method can still be greeted.
"""

from __future__ import annotations

from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from zope.interface import Interface, implementer

from mcptwist.awaited import Refused, ask
from mcptwist.errors import (
    HEADER_MISMATCH,
    INTERNAL_ERROR,
    MISSING_CLIENT_CAPABILITY,
    UNSUPPORTED_VERSION,
    EraMismatch,
    InvalidParams,
    McpTwistError,
    ServerError,
    ServerMisbehaved,
    ServerStartFailed,
)
from mcptwist.link import Link
from mcptwist.messages import Json, Notification, encode_json
from mcptwist.negotiation import (
    discover_params,
    modern_meta,
    read_discovery,
    read_welcome,
)
from mcptwist.versions import LATEST, LEGACY, MODERN, MODERN_REVISIONS

_PAGES = 100
_MODERN_ERRORS = frozenset({HEADER_MISMATCH, MISSING_CLIENT_CAPABILITY, UNSUPPORTED_VERSION})
"""By which a server shows that it is modern, whatever it makes of this client."""


class IOpening(Interface):
    """The first words on a link."""

    async def agree(link: Link) -> None:
        """Say them; *link* then knows its revision and the server's welcome.

        :raises EraMismatch: the server speaks, but not this era.
        :raises McpTwistError: it cannot be talked to.
        """


@implementer(IOpening)
class Handshake:
    """The legacy opening.

    :param hello: the params of ``initialize``, as the client behind it sent them
        or as the daemon says them for all.
    """

    era = LEGACY

    def __init__(self, hello: Json) -> None:
        self.hello = hello

    async def agree(self, link: Link) -> None:
        """Shake hands on *link*."""
        try:
            answer = await ask(link, "initialize", self.hello)
            link.revision = read_welcome(answer).protocolVersion
        except Refused as refusal:
            raise link.gone or _refused(link, refusal) from None
        except InvalidParams as problem:
            raise ServerMisbehaved(f"{link.server}: {problem.message}") from None
        link.welcome = bytes(answer)
        link.tell(Notification("notifications/initialized"))


@implementer(IOpening)
class Discovering:
    """The modern opening: find out that the server is modern, and what it mirrors in headers.

    :param client: name and version of whom the server shall think is asking.
    """

    era = MODERN

    def __init__(self, client: dict[str, str]) -> None:
        self._client = client

    async def agree(self, link: Link) -> None:
        """Probe the server on *link*."""
        try:
            answer = await ask(link, "server/discover", discover_params(self._client))
            discovery = read_discovery(answer)
        except Refused as refusal:
            if link.gone is None and _tells_why(refusal.body.data):
                raise ServerStartFailed(refusal.body.message) from None
            link.refused_politely = refusal.body.code not in _MODERN_ERRORS
            raise link.gone or _not_of_era(link, MODERN, refusal) from None
        except InvalidParams as problem:
            raise _not_of_era(link, MODERN, problem) from None
        if not set(MODERN_REVISIONS) & set(discovery.supportedVersions):
            raise _not_of_era(link, MODERN, f"it supports {discovery.supportedVersions}")
        link.revision = LATEST
        link.welcome = bytes(answer)
        if b'"tools"' in bytes(discovery.capabilities):
            link.mirroring = await self._mirroring(link)

    async def _mirroring(self, link: Link) -> dict[str, Any]:
        """The schemas of the tools that mirror arguments in HTTP headers.

        A listing that fails leaves calls unchecked: the check guards those who
        route by headers, and must not break a server that cannot list.
        """
        found: dict[str, Any] = {}
        cursor: str | None = None
        for _ in range(_PAGES):
            params = {"_meta": modern_meta(self._client), **({"cursor": cursor} if cursor else {})}
            try:
                page = await ask(link, "tools/list", encode_json(params))
                cursor = _collect(page, found)
            except (Refused, msgspec.DecodeError, RecursionError):
                return found
            if cursor is None:
                break
        return found


class _Tool(msgspec.Struct):
    name: str
    inputSchema: Any = None


class _Page(msgspec.Struct):
    tools: list[msgspec.Raw]
    nextCursor: str | None = None


_page = msgspec.json.Decoder(_Page)
_tool = msgspec.json.Decoder(_Tool)


def _collect(json: Json, found: dict[str, Any]) -> str | None:
    page: _Page = _page.decode(json)
    for raw in page.tools:
        if b"x-mcp-header" in bytes(raw):
            tool: _Tool = _tool.decode(raw)
            found[tool.name] = tool.inputSchema
    return page.nextCursor


def _refused(link: Link, refusal: Refused) -> McpTwistError:
    """Why a handshake failed: a server that fails inside may know the era all the same."""
    if refusal.body.code != INTERNAL_ERROR:
        return _not_of_era(link, LEGACY, refusal)
    if _tells_why(refusal.body.data):
        return ServerStartFailed(refusal.body.message)
    return ServerError(f"it refused the handshake: {refusal.body.message}")


def _tells_why(data: Any) -> bool:
    """Whether an error is a daemon's like this one, about a server behind it."""
    return isinstance(data, dict) and str(data.get("code", "")).startswith("server-")


def _not_of_era(link: Link, era: str, why: object) -> McpTwistError:
    return EraMismatch(
        f"{link.server} does not speak the {era} revisions of MCP: {why}",
        server=link.server,
        era=era,
    )


def agreed(opening: Any, link: Link) -> Deferred[None]:
    """The opening as a Deferred."""
    return Deferred.fromCoroutine(opening.agree(link))
