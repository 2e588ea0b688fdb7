"""The protocol revisions and what each allows.

Two eras: *legacy* revisions shake hands (``initialize``) and keep sessions;
*modern* ones make every request stand alone (MCP 2026-07-28, *Versioning*).
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

LEGACY = "legacy"
MODERN = "modern"


class Revision(msgspec.Struct, frozen=True):
    """One published revision of the protocol.

    :ivar batches: whether a JSON array of messages is a message (2025-03-26 only).
    :ivar primes_streams: whether an event stream begins with an empty event
        that carries an id, so that it can be resumed from the start (SEP-1699).
    :ivar names_itself: whether HTTP requests after the handshake must say the
        revision in a header.
    """

    name: str
    era: str = LEGACY
    batches: bool = False
    primes_streams: bool = False
    names_itself: bool = True


REVISIONS: Mapping[str, Revision] = {
    revision.name: revision
    for revision in (
        Revision("2024-11-05", names_itself=False),
        Revision("2025-03-26", batches=True, names_itself=False),
        Revision("2025-06-18"),
        Revision("2025-11-25", primes_streams=True),
        Revision("2026-07-28", era=MODERN),
    )
}

LEGACY_REVISIONS = tuple(r.name for r in REVISIONS.values() if r.era == LEGACY)
MODERN_REVISIONS = tuple(r.name for r in REVISIONS.values() if r.era == MODERN)
LATEST_LEGACY = LEGACY_REVISIONS[-1]
LATEST = MODERN_REVISIONS[-1]

UNNAMED = "2025-03-26"
"""What a legacy HTTP request without a version header is taken for."""

REMOVED = frozenset(
    {
        "initialize",
        "notifications/initialized",
        "ping",
        "logging/setLevel",
        "resources/subscribe",
        "resources/unsubscribe",
        "notifications/roots/list_changed",
        "notifications/elicitation/complete",
    }
)
"""Methods the modern era does not have any more."""


def is_legacy(name: str) -> bool:
    """Whether *name* is a revision that begins with a handshake."""
    revision = REVISIONS.get(name)
    return revision is not None and revision.era == LEGACY


def is_modern(name: str) -> bool:
    """Whether *name* is a revision whose requests stand alone."""
    revision = REVISIONS.get(name)
    return revision is not None and revision.era == MODERN
