"""What a grant reaches: its allow-lists, held against the names that things have in one view.

Names in allow-lists are those of the merged view (``SERVER__TOOL``), whichever URL is used;
resources go by their URI. Pure.
"""

from __future__ import annotations

from mcptwist.auth.authorizedkeys import Grant
from mcptwist.auth.patterns import Patterns
from mcptwist.catalog.toolnames import public_name
from mcptwist.errors import UnknownName

#: How many names a reach remembers, and how long they may be.
_MOST, _LONGEST = 256, 100


class Reach:
    """What *grant* reaches in the view of a server.

    :param server: its name, empty where all are seen as one.
    :ivar is_everything: whether nothing is kept from it.
    """

    __slots__ = ("_known", "_server", "grant", "is_everything")

    def __init__(self, grant: Grant, server: str) -> None:
        self.grant = grant
        self.is_everything = is_unrestricted(grant)
        self._server = server
        self._known: set[tuple[str, str]] = set()

    def has(self, kind: str, name: str) -> bool:
        """Whether a thing is in it.

        :param kind: ``tools``, ``resources`` or ``prompts``.
        :param name: as this view has it.
        """
        if (kind, name) in self._known:
            return True
        found = self._is_allowed(kind, name)
        if found and len(name) <= _LONGEST:
            if len(self._known) >= _MOST:
                self._known.clear()
            self._known.add((kind, name))
        return found

    def check(self, kind: str, name: str) -> None:
        """:raises UnknownName: that is not in it."""
        if (kind, name) not in self._known and not self.has(kind, name):
            raise unknown(kind, name)

    def _is_allowed(self, kind: str, name: str) -> bool:
        patterns: Patterns | None = getattr(self.grant, kind)
        if patterns is None:
            return True
        if kind != "resources" and self._server:
            name = public_name(self._server, name)
        return patterns.allow(name)


def is_unrestricted(grant: Grant) -> bool:
    """Whether it reaches everything."""
    return grant.tools is None and grant.resources is None and grant.prompts is None


def unknown(kind: str, name: str) -> UnknownName:
    """There is no such thing, or none for this principal: it is told the same."""
    return UnknownName(f"Unknown {kind.removesuffix('s')}: {name[:100]}")
