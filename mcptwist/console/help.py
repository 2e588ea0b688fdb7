"""What can be done in a place, from the key map."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from mcptwist.console import keymap
from mcptwist.console.tables import Column, Markup


def help_lines(place: str, letters: Mapping[str, Column] = MappingProxyType({})) -> list[Markup]:
    """What can be done in a place, from the key map.

    :param letters: the columns that capital letters sort by.
    """
    lines: list[Markup] = []
    for title, where in ((f"In {place}", place), ("Everywhere", keymap.ANYWHERE)):
        rows = keymap.help_table([where])
        if rows:
            lines.append(("head", title))
            lines += [[("key", f"  {keys:18}"), meaning] for _, keys, meaning in rows]
            lines.append("")
    if letters:
        lines.append(("head", "Sorting, with a capital letter; once more, the other way round"))
        lines += [
            [("key", f"  {letter:18}"), f"by {column.name} ({column.title})"]
            for letter, column in letters.items()
        ]
        lines.append("")
    lines.append(("head", "Commands, after a colon"))
    for command in keymap.at(place):
        keys = ", ".join(dict.fromkeys(keymap.keys_of(command.name, place)))
        line = f"{command.name} {command.takes}".strip()
        lines.append([("key", f"  {line:22}"), f"{command.help}{f'  ({keys})' if keys else ''}"])
    return lines
