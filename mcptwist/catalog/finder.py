"""Who is meant by a name or a URI, asking servers for their lists where that is not known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from twisted.internet.defer import Deferred, DeferredList

from mcptwist.catalog.directory import RESOURCES, TEMPLATES, Directories, Owned, Shelf
from mcptwist.catalog.edits import only_meta
from mcptwist.catalog.inventory import Inventory
from mcptwist.catalog.lists import Lists
from mcptwist.errors import UnknownName, unknown_resource
from mcptwist.exchange import Exchange


class Finder:
    """Finds the owner of what clients name.

    :param inventories: what each server lists, by name.
    """

    def __init__(
        self, inventories: Mapping[str, Inventory], directories: Directories, lists: Lists
    ) -> None:
        self._inventories = inventories
        self._directories = directories
        self._lists = lists

    async def named(self, exchange: Exchange, shelf: Shelf, public: str) -> Owned:
        """The owner of what clients know as *public*, asking those whose it may be.

        :raises UnknownName: nobody has it.
        """
        directory = self._directories.of(exchange.stay.principal)
        found = directory.find(shelf, public)
        candidates = directory.candidates(public)
        if found is None and candidates:
            params = only_meta(exchange.request.params)
            await self._lists.read(exchange.stay, shelf, params, candidates)
            found = directory.find(shelf, public)
        if found is None:
            raise _unknown_name(shelf, public, directory.similar(shelf, public))
        return found

    async def resource(self, exchange: Exchange, uri: str) -> Owned:
        """Whose resource *uri* is, and what its owner knows it as.

        :raises UnknownResource: nobody has it.
        """
        directory = self._directories.of(exchange.stay.principal)
        owned = directory.resource(uri)
        if owned is None:
            await self.list_resources(exchange)
            owned = directory.resource(uri)
        if owned is None:
            raise unknown_resource(uri, exchange.stay.era)
        return owned

    async def list_resources(self, exchange: Exchange) -> None:
        """Have everybody list resources and templates anew, to learn whose they are."""
        params = only_meta(exchange.request.params)
        servers = tuple(self._inventories)
        both = (
            Deferred.fromCoroutine(
                self._lists.read(exchange.stay, shelf, params, servers, anew=True)
            )
            for shelf in (RESOURCES, TEMPLATES)
        )
        await DeferredList(both, consumeErrors=True)


def _unknown_name(shelf: Shelf, public: str, similar: Sequence[str]) -> UnknownName:
    kind = shelf.member.removesuffix("s")
    hint = f"did you mean {' or '.join(similar)}?" if similar else f"{shelf.method} tells what is"
    return UnknownName(
        f"there is no {kind} {public[:100]!r}; {hint}", didYouMean=list(similar) or None
    )
