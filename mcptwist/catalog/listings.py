"""The lists of many servers as one.

Each server is asked for all its pages, within bounds; entries are kept as they came. One that
fails costs nobody else anything: it is named in the result, with its reason.

MCP 2025-11-25 and 2026-07-28, *Pagination*; 2026-07-28, *Caching*.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias

import msgspec
from msgspec import Raw
from twisted.internet.defer import Deferred

from mcptwist.awaited import Refused
from mcptwist.catalog.directory import PROMPTS, TOOLS, Shelf
from mcptwist.catalog.links import may_have_views, view_of, with_view
from mcptwist.catalog.toolnames import public_name
from mcptwist.eras.revisions import KINDS
from mcptwist.eras.words import legacy_entry
from mcptwist.errors import (
    METHOD_NOT_FOUND,
    EraMismatch,
    InvalidMessage,
    McpTwistError,
    ServerError,
    ServerMisbehaved,
    ServerUnavailable,
)
from mcptwist.messages import Json, encode_json, open_fields
from mcptwist.negotiation import SERVER_KEY
from mcptwist.versions import LATEST_LEGACY, LEGACY, MODERN, is_legacy

UNAVAILABLE_KEY = "mcptwist/unavailable"
_string = msgspec.json.Decoder(str)
_array = msgspec.json.Decoder(list[Raw])


class Bounds(msgspec.Struct, frozen=True):
    """How much of a server's list is taken.

    :ivar pages: how many pages.
    :ivar entries: how many entries in all.
    """

    pages: int = 1000
    entries: int = 10_000


class Trouble(NamedTuple):
    """Why a server is missing, or a part of what it has.

    :ivar code: a stable word (see :mod:`~mcptwist.errors`).
    :ivar reason: what happened, for a person.
    """

    code: str
    reason: str


Form: TypeAlias = "list[tuple[str, Raw]]"


class Made(msgspec.Struct):
    """What was made of a list's entries, once somebody needed it.

    :ivar forms: the entries as clients of several revisions get them.
    :ivar views: by name of a tool, the URI of the resource it is shown by;
        ``None`` until somebody looked.
    """

    forms: dict[str, Form] = {}
    views: dict[str, str] | None = None


class Listing(msgspec.Struct):
    """What one server listed.

    :ivar entries: as it gave them, by what each is known by.
    :ivar ttl: milliseconds for which it is fresh; negative when it listed nothing.
    :ivar private: whether it is meant for the asker alone.
    :ivar trouble: why there is nothing, or not all there is.
    :ivar era: of the words that the entries are in.
    :ivar made: what was made of the entries, for those that list them again.
    """

    server: str
    entries: dict[str, Raw] = {}
    ttl: int = -1
    private: bool = False
    trouble: Trouble | None = None
    era: str = LEGACY
    made: Made = msgspec.field(default_factory=Made)

    def form(self, shelf: Shelf, revision: str) -> Form:
        """The entries as clients of *revision* get them, each by its public name or its URI."""
        adapted = is_legacy(revision) and (self.era == MODERN or revision < LATEST_LEGACY)
        wanted = revision if adapted else ""
        found = self.made.forms.get(wanted)
        if found is None:
            found = self.made.forms[wanted] = [
                self._formed(shelf, key, entry, wanted) for key, entry in self.entries.items()
            ]
        return found

    def views_of_tools(self) -> dict[str, str]:
        """By name of the tool, the URI of the resource it is shown by."""
        if self.made.views is None:
            found = ((name, view_of(tool)) for name, tool in self.entries.items())
            self.made.views = {name: uri for name, uri in found if uri}
        return self.made.views

    def _formed(self, shelf: Shelf, key: str, entry: Raw, revision: str) -> tuple[str, Raw]:
        if revision:
            entry = legacy_entry(KINDS[shelf.method].parts[shelf.member], entry, revision)
        if shelf not in (TOOLS, PROMPTS):
            return key, entry
        name = public_name(self.server, key)
        return name, renamed(entry, shelf, name)


class Asker(Protocol):
    """Asks one server something on the asker's behalf."""

    def __call__(self, method: str, params: Json, /) -> Deferred[Json]: ...


async def read_all(server: str, shelf: Shelf, params: Json, ask: Asker, bounds: Bounds) -> Listing:
    """Ask *server* for all pages of *shelf*.

    :param params: of the client's request; its ``_meta`` goes with every page.
    :raises Refused: it answered with an error.
    :raises McpTwistError: it answered with something else that is no list.
    """
    listing = Listing(server)
    listing.made.views = {}  # until a page has one
    fields: dict[str, Any] = {k: v for k, v in open_fields(params).items() if k != "cursor"}
    for _ in range(bounds.pages):
        try:
            page = await ask(shelf.method, encode_json(fields) if fields else b"")
        except Refused as refusal:
            if refusal.body.code == METHOD_NOT_FOUND:
                return listing  # it has none of the kind
            raise
        cursor = _take(page, shelf, listing)
        if cursor is None:
            return listing
        if len(listing.entries) >= bounds.entries:
            break
        fields["cursor"] = cursor
    listing.trouble = Trouble(
        "too-much",
        f"it lists more {shelf.member} than {bounds.entries}, or on more than {bounds.pages} "
        "pages; the rest is left out",
    )
    return listing


def _take(page: Json, shelf: Shelf, listing: Listing) -> Raw | None:
    """Add a page to a listing; the cursor of the next, if there is one."""
    try:
        fields = open_fields(page)
        for entry in _array.decode(fields[shelf.member]):
            listing.entries.setdefault(_string.decode(open_fields(entry)[shelf.key]), entry)
    except (KeyError, InvalidMessage, msgspec.DecodeError, RecursionError):
        raise ServerMisbehaved(
            f"{listing.server} answered {shelf.method} with something that is no list of "
            f"{shelf.member}",
            server=listing.server,
        ) from None
    if may_have_views(page):
        listing.made.views = None
    ttl = _ttl(fields)
    listing.ttl = ttl if listing.ttl < 0 else min(ttl, listing.ttl)
    listing.private = listing.private or fields.get("cacheScope") != Raw(b'"public"')
    cursor = fields.get("nextCursor")
    return None if cursor is None or cursor == Raw(b"null") else cursor


def _ttl(fields: Mapping[str, Raw]) -> int:
    try:
        return max(0, msgspec.json.decode(fields["ttlMs"], type=int))
    except (KeyError, msgspec.DecodeError):
        return 0


class Locate(Protocol):
    """What clients know a server's resource or template as."""

    def __call__(self, server: str, key: str, /) -> str: ...


def merged(
    shelf: Shelf,
    listings: Sequence[Listing],
    identity: Mapping[str, str],
    revision: str,
    locate: Locate,
    broken: Sequence[Listing] = (),
) -> dict[str, Any]:
    """The result that tells what all servers listed, in the order given.

    :param identity: name and version of the daemon, who answers.
    :param revision: the client's.
    :param broken: servers that could not be configured; they are named, and that is all.
    :raises McpTwistError: not one of them could be asked; it tells why.
    """
    failed = [each for each in listings if each.trouble is not None]
    if failed and len(failed) == len(listings) and not any(each.entries for each in listings):
        raise none_available([*failed, *broken])
    modern = not is_legacy(revision)
    meta: dict[str, Any] = {SERVER_KEY: identity} if modern else {}
    if failed or broken:
        meta[UNAVAILABLE_KEY] = unavailable([*failed, *broken])
    result: dict[str, Any] = {"resultType": "complete"} if modern else {}
    result[shelf.member] = _entries(shelf, listings, revision, locate)
    if modern:
        result.update(_freshness(listings))
    if meta:
        result["_meta"] = meta
    return result


def _entries(shelf: Shelf, listings: Iterable[Listing], revision: str, locate: Locate) -> list[Raw]:
    """All entries, known by their public names and URIs."""
    found: dict[str, Raw] = {}
    for listing in listings:
        moved = _moved_views(listing, locate) if shelf is TOOLS else {}
        for key, entry in listing.form(shelf, revision):
            if shelf in (TOOLS, PROMPTS):
                found.setdefault(key, with_view(entry, moved[key]) if key in moved else entry)
                continue
            uri = locate(listing.server, key)
            found.setdefault(uri, entry if uri == key else renamed(entry, shelf, uri))
    return list(found.values())


def _moved_views(listing: Listing, locate: Locate) -> dict[str, str]:
    """By public name, the views of tools that are called otherwise here than at their server."""
    moved = {}
    for name, uri in listing.views_of_tools().items():
        there = locate(listing.server, uri)
        if there != uri:
            moved[public_name(listing.server, name)] = there
    return moved


def renamed(entry: Json, shelf: Shelf, name: str) -> Raw:
    """*entry*, but for the name or URI it is known by as it was."""
    fields = open_fields(entry)
    fields[shelf.key] = Raw(encode_json(name))
    return Raw(encode_json(fields))


def _freshness(listings: Iterable[Listing]) -> dict[str, Any]:
    """As short-lived and as private as any part; what has gaps is stale at once."""
    told = [each for each in listings if each.ttl >= 0 or each.trouble is not None]
    whole = bool(told) and all(each.trouble is None for each in told)
    ttl = min(each.ttl for each in told) if whole else 0
    private = not whole or any(each.private for each in told)
    return {"ttlMs": ttl, "cacheScope": "private" if private else "public"}


def unavailable(failed: Iterable[Listing]) -> list[dict[str, str]]:
    """Which servers are missing from a list, or from a part of it, and why."""
    troubles = ((each.server, each.trouble) for each in failed)
    return [{"server": s, "reason": t.reason, "code": t.code} for s, t in troubles if t]


def none_available(failed: Sequence[Listing]) -> McpTwistError:
    """What to say when no server could be asked at all."""
    missing = unavailable(failed)
    reasons = "; ".join(f"{each['server']}: {each['reason']}" for each in missing)
    other_era = all(each["code"] == EraMismatch.code for each in missing)
    kind = EraMismatch if other_era else ServerUnavailable
    return kind(f"none of the servers could be asked: {reasons}", unavailable=missing)


def trouble(problem: BaseException | None) -> Trouble:
    """What a problem with a server comes down to."""
    if isinstance(problem, McpTwistError):
        return Trouble(problem.code, problem.message)
    if isinstance(problem, Refused):
        data = problem.body.data
        code = data.get("code") if isinstance(data, dict) else None
        return Trouble(code if isinstance(code, str) else ServerError.code, problem.body.message)
    return Trouble(McpTwistError.code, "the daemon failed to ask it; see its log")
