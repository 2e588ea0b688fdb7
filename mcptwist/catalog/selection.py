"""Which of a server's tools, prompts and resources clients see, and what they are called.

Patterns are those of shells: ``*`` for any characters, ``?`` for one, ``[…]`` for one of some.
They are matched with the names and URIs that the server itself gives, as they are written.

What is not admitted does not exist for clients: it is in no list, and asking for it is answered
like asking for what was never there. What is hidden can be had by who knows its name. Pure.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Annotated, Any

import msgspec

from mcptwist.catalog.directory import PROMPTS, TOOLS, Shelf
from mcptwist.configuration.settings import Key, Place, full_text, is_table, many, report_repeated


def _renames(place: Place, value: Any) -> tuple[tuple[str, str], ...] | None:
    """A table of names, old to new."""
    if not is_table(place, value):
        return None
    before = len(place.ledger.mistakes)
    report_repeated(place, value)
    taken: dict[str, str] = {}
    for old, new in value.items():
        if full_text(place.at(old), new) is None:
            continue
        if taken.setdefault(new, old) != old:
            place.at(old).mistake(f'is given the same name as "{taken[new]}"', "another name")
    return tuple(value.items()) if len(place.ledger.mistakes) == before else None


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """What clients see of one kind of things that a server has."""

    allow: Annotated[
        tuple[str, ...] | None, Key(many(full_text), "only these; * stands for any characters")
    ] = None
    deny: Annotated[tuple[str, ...], Key(many(full_text), "not these, whatever allow says")] = ()
    hide: Annotated[
        tuple[str, ...], Key(many(full_text), "these are in no list, but can be asked for")
    ] = ()

    def shown(self, own: str) -> str | None:
        """What clients know *own* as; ``None`` where they may not have it."""
        if self.allow is not None and not _matches(self.allow, own):
            return None
        return None if _matches(self.deny, own) else own

    def own(self, shown: str) -> str | None:
        """What the server knows as what clients know as *shown*; ``None`` if there is no such."""
        return self.shown(shown)

    def listed(self, own: str) -> str | None:
        """What *own* is called in lists; ``None`` where it is in none."""
        return None if _matches(self.hide, own) else self.shown(own)


class NamedSelection(Selection, frozen=True, kw_only=True):
    """The same of things that have names, which can be others for clients."""

    rename: Annotated[
        tuple[tuple[str, str], ...], Key(_renames, "a table of the server's names and new ones")
    ] = ()

    def shown(self, own: str) -> str | None:
        """What clients know *own* as. Where a new name is another's already, that other is gone."""
        if super().shown(own) is None:
            return None
        news = dict(self.rename)
        return news.get(own) or (None if own in news.values() else own)

    def own(self, shown: str) -> str | None:
        """What the server knows as what clients know as *shown*."""
        old = {new: old for old, new in self.rename}.get(shown, shown)
        return old if self.shown(old) == shown else None


def _matches(patterns: tuple[str, ...], name: str) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


class Selections(msgspec.Struct, frozen=True):
    """What clients see of a server."""

    tools: NamedSelection = NamedSelection()
    prompts: NamedSelection = NamedSelection()
    resources: Selection = Selection()

    def everything(self) -> bool:
        """Whether that is all it has, as it has it."""
        return self == EVERYTHING

    def of(self, shelf: Shelf) -> Selection:
        """What they see of what is on *shelf*."""
        if shelf is TOOLS:
            return self.tools
        return self.prompts if shelf is PROMPTS else self.resources


EVERYTHING = Selections()
