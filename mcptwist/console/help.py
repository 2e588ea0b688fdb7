"""What can be done in a place, from the key map."""

from __future__ import annotations

from mcptwist.console import keymap
from mcptwist.console.tables import Markup


def help_lines(place: str) -> list[Markup]:
    """What can be done in a place, from the key map."""
    lines: list[Markup] = []
    for title, where in ((f"In {place}", place), ("Everywhere", keymap.ANYWHERE)):
        rows = keymap.help_table([where])
        if rows:
            lines.append(("head", title))
            lines += [[("key", f"  {keys:18}"), meaning] for _, keys, meaning in rows]
            lines.append("")
    lines += [
        ("head", "Sorting"),
        [
            ("key", f"  {'shift and a letter':18}"),
            " sorts by the column that begins so; again, ",
            "",
        ],
        "                     the other way round",
        "",
        ("head", "Commands, after a colon"),
    ]
    for command in keymap.at(place):
        keys = ", ".join(dict.fromkeys(keymap.keys_of(command.name, place)))
        line = f"{command.name} {command.takes}".strip()
        lines.append([("key", f"  {line:22}"), f"{command.help}{f'  ({keys})' if keys else ''}"])
    return lines
