"""A server of which clients see what was selected.

A :class:`SelectedServer` stands before a server that a selection was made of; others have nothing
before them. It looks at what is asked, not at what was listed: who has never seen a list, or makes
names up, meets the same rules. Every request it lets pass is written anew, so that a server cannot
read another name in it than was looked at.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Raw
from zope.interface import implementer

from mcptwist.catalog.directory import PROMPTS, RESOURCES, SHELVES, TEMPLATES, TOOLS, Shelf
from mcptwist.catalog.listings import Listing, Made, renamed
from mcptwist.catalog.selection import Selections
from mcptwist.catalog.subscription import read_wanted
from mcptwist.errors import (
    InvalidMessage,
    InvalidParams,
    McpTwistError,
    ServerMisbehaved,
    UnknownName,
    unknown_resource,
)
from mcptwist.exchange import LISTEN, Exchange
from mcptwist.interfaces import IAnswerer
from mcptwist.messages import Json, Notification, encode_json, open_fields
from mcptwist.passing import pass_on

if TYPE_CHECKING:
    from mcptwist.session import Session

_LISTED = {shelf.method: shelf for shelf in SHELVES}
_NAMED = {
    "tools/call": TOOLS,
    "prompts/get": PROMPTS,
    "resources/read": RESOURCES,
    "resources/subscribe": RESOURCES,
    "resources/unsubscribe": RESOURCES,
}
_array = msgspec.json.Decoder(list[Raw])
_string = msgspec.json.Decoder(str)


def seen(selections: Selections, shelf: Shelf, listing: Listing) -> Listing:
    """What clients see of a list."""
    selection = selections.of(shelf)
    entries: dict[str, Raw] = {}
    for own, entry in listing.entries.items():
        name = selection.listed(own)
        if name is not None:
            entries[name] = entry if name == own else renamed(entry, shelf, name)
    return msgspec.structs.replace(listing, entries=entries, made=Made())


@implementer(IAnswerer)
class SelectedServer:
    """A server, of which clients see what was selected.

    :param server: what is asked, a :class:`~mcptwist.backend.Backend` for one.
    """

    def __init__(self, server: Any, selections: Selections) -> None:
        self.name: str = server.name
        self._server = server
        self._selections = selections

    def begin(self, exchange: Exchange) -> None:
        """Put it to the server, if it asks for what may be asked for."""
        try:
            self._begin(exchange)
        except McpTwistError as problem:
            exchange.fail(problem)

    def _begin(self, exchange: Exchange) -> None:
        method, params = exchange.request.method, exchange.request.params
        put = self._server.begin
        if method in _NAMED:
            fields = open_fields(params)
            self._settle(fields, _NAMED[method], exchange.stay.era)
            pass_on(exchange, put, encode_json(fields))
        elif method in _LISTED:
            pass_on(exchange, put, params, partial(self._page, _LISTED[method]))
        elif method == "completion/complete":
            pass_on(exchange, put, self._completing(params, exchange.stay.era))
        elif method == LISTEN:
            pass_on(exchange, put, self._listening(params))
        else:
            put(exchange)

    def overhear(self, session: Session, notification: Notification) -> None:
        """Pass the client's words on."""
        self._server.overhear(session, notification)

    def detach(self, session: Session) -> None:
        """That session is over."""
        self._server.detach(session)

    def _settle(self, fields: dict[str, Raw], shelf: Shelf, era: str) -> None:
        """Put the server's own name into *fields*.

        :raises InvalidParams: it cannot be told what is meant.
        :raises UnknownName: clients may not have it.
        """
        member = "uri" if shelf in (RESOURCES, TEMPLATES) else "name"
        if any(other != member and other.casefold() == member for other in fields):
            raise InvalidParams(f"a member differs from {member!r} only in its case")
        try:
            shown = _string.decode(fields[member])
        except (KeyError, msgspec.DecodeError):
            raise InvalidParams(f"params need a string {member!r}") from None
        own = self._selections.of(shelf).own(shown)
        if own is None and member == "uri":
            raise unknown_resource(shown, era)
        if own is None:
            kind = shelf.member.removesuffix("s")
            raise UnknownName(f"there is no {kind} {shown[:100]!r}", server=self.name)
        fields[member] = Raw(encode_json(own))

    def _completing(self, params: Json, era: str) -> Json:
        fields = open_fields(params)
        try:
            reference = open_fields(fields.get("ref", b""))
        except InvalidMessage:
            raise InvalidParams("params.ref must be an object") from None
        kind = bytes(reference.get("type", b""))
        if kind not in (b'"ref/prompt"', b'"ref/resource"'):
            raise InvalidParams("params.ref.type must be ref/prompt or ref/resource")
        self._settle(reference, PROMPTS if kind == b'"ref/prompt"' else TEMPLATES, era)
        fields["ref"] = Raw(encode_json(reference))
        return encode_json(fields)

    def _listening(self, params: Json) -> Json:
        """Without the resources that clients may not have."""
        wanted = read_wanted(params)
        own = self._selections.resources.own
        kept = [uri for uri in wanted.resourceSubscriptions if own(uri) is not None]
        wanted = msgspec.structs.replace(wanted, resourceSubscriptions=kept)
        return encode_json({**open_fields(params), "notifications": wanted})

    def _page(self, shelf: Shelf, result: Json) -> Json:
        """A page of a list, as clients see it."""
        try:
            fields: dict[str, Any] = dict(open_fields(result))
            kept = [self._entry(shelf, entry) for entry in _array.decode(fields[shelf.member])]
        except (KeyError, InvalidMessage, msgspec.DecodeError, RecursionError):
            raise ServerMisbehaved(
                f"{self.name} answered {shelf.method} with something that is no list of "
                f"{shelf.member}",
                server=self.name,
            ) from None
        fields[shelf.member] = [entry for entry in kept if entry is not None]
        return encode_json(fields)

    def _entry(self, shelf: Shelf, entry: Raw) -> Raw | None:
        own = _string.decode(open_fields(entry)[shelf.key])
        name = self._selections.of(shelf).listed(own)
        if name is None or name == own:
            return None if name is None else entry
        return renamed(entry, shelf, name)
