"""Colours and signs, for terminals of every sort.

``NO_COLOR`` (https://no-color.org) and terminals without colours get bold, underlined
and reversed text; with ``--ascii``, and where the locale has no Unicode, nothing else
than ASCII is drawn.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

# name, foreground, background, in monochrome; sixteen colours are enough, and so they do over ssh.
_ENTRIES = (
    ("title", "white,bold", "dark blue", "standout"),
    ("crumbs", "light cyan", "dark blue", "standout"),
    ("good", "light green", "default", "default"),
    ("busy", "yellow", "default", "default"),
    ("bad", "light red", "default", "bold"),
    ("quiet", "dark gray", "default", "default"),
    ("head", "light cyan,bold", "default", "underline"),
    ("focus", "black", "light gray", "standout"),
    ("mark", "light magenta,bold", "default", "bold"),
    ("key", "yellow,bold", "default", "bold"),
    ("badge", "black", "yellow", "standout"),
    ("alarm", "white,bold", "dark red", "standout"),
    ("prompt", "white,bold", "default", "bold"),
    ("name", "light blue", "default", "bold"),
    ("text", "light green", "default", "default"),
    ("number", "light magenta", "default", "default"),
    ("spark", "light cyan", "default", "default"),
)


class Signs(msgspec.Struct, frozen=True):
    """The signs that are drawn.

    :ivar bars: of a sparkline, from nothing to full.
    """

    bars: str = " ▁▂▃▄▅▆▇█"
    up: str = "▲"
    down: str = "▼"
    mark: str = "●"
    crumb: str = " \N{SINGLE RIGHT-POINTING ANGLE QUOTATION MARK} "
    more: str = "…"
    to: str = "→"


UNICODE = Signs()
ASCII = Signs(" _.-:=+*#", "^", "v", "*", " > ", "~", "->")


def palette(colours: bool) -> list[Any]:
    """The entries for urwid."""
    if colours:
        return list(_ENTRIES)
    return [(name, mono, "default", mono) for name, _, _, mono in _ENTRIES]


def has_colours(environ: Mapping[str, str]) -> bool:
    """Whether the person wants colours, and the terminal has some."""
    return not environ.get("NO_COLOR") and environ.get("TERM") not in ("dumb", "vt100", None)


def signs(ascii_only: bool, encoding: str) -> Signs:
    """What can be drawn."""
    return ASCII if ascii_only or "utf" not in encoding.lower() else UNICODE
