"""Paths in the file: from the file's own folder on, or from the person's home. Pure."""

from __future__ import annotations

import os
from typing import Any

from mcptwist.configuration.settings import Place, expanded, full_text

__all__ = ["path"]


def path(place: Place, value: Any) -> str | None:
    """Read a path, which may begin with ``~/``; None after a mistake was reported."""
    found = expanded(place, value)
    if found is None or full_text(place, found) is None:
        return None
    if found == "~" or found.startswith("~/"):
        found = place.ledger.environ.get("HOME", "~") + found[1:]
    return os.path.normpath(os.path.join(place.ledger.directory, found))
