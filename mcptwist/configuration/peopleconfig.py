"""The ``[auth.people]`` section: clients that have no key, used by people who have one.

Pure.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

import msgspec

from mcptwist.configuration.paths import path
from mcptwist.configuration.settings import (
    Key,
    Place,
    count,
    many,
    none_or,
    read_table,
    seconds,
    text,
)

__all__ = ["People", "people_table"]

_LONGEST_WAIT = 3600
_SCHEME_AND_HOST = re.compile(r"([a-z][a-z0-9+.-]*)://[a-z0-9_.-]+(:[1-9][0-9]{0,4})?\Z", re.ASCII)
#: What browsers do something else with than handing it to the program that it belongs to.
_NEVER = frozenset({"http", "ws", "wss", "ftp", "file", "data", "blob", "javascript", "about"})


def _redirect(place: Place, value: Any) -> str | None:
    found = text(place, value)
    if found is None:
        return None
    match = _SCHEME_AND_HOST.match(found)
    if match is None or match[1] in _NEVER or match[1].startswith("view-source"):
        place.mistake(
            "is nowhere that browsers may be sent to",
            '"https://app.example.com", or a program\'s own scheme and host such as "cursor://x"; '
            "programs on the browser's own machine need no entry",
        )
        return None
    return found.removesuffix(":443") if match[1] == "https" else found


def _wait(place: Place, value: Any) -> float | None:
    found = seconds(place, value)
    if found is not None and not 30 <= found <= _LONGEST_WAIT:
        place.mistake("is out of range", "a length of time from half a minute to one hour")
        return None
    return found


class People(msgspec.Struct, frozen=True, kw_only=True):
    """The ``[auth.people]`` section: how people log in clients that have no key."""

    redirects: Annotated[
        tuple[str, ...],
        Key(
            many(_redirect), "where browsers may be sent back to, beside programs on their machine"
        ),
    ] = ()
    approval_ttl: Annotated[
        float, Key(_wait, "a code waits to be approved for so long", "seconds")
    ] = 300.0
    waiting: Annotated[int, Key(count, "codes that wait at a time")] = 1000
    waiting_per_source: Annotated[int, Key(count, "the same, of one address")] = 10
    tries: Annotated[int, Key(count, "wrong signatures for one code, with which it ends")] = 5
    login_ttl: Annotated[
        float | None,
        Key(
            none_or(seconds),
            'a client stays logged in for so long; "none": for one token',
            "seconds",
        ),
    ] = 12 * 3600.0
    logins: Annotated[int, Key(count, "clients logged in at a time")] = 10_000
    logins_per_key: Annotated[
        int, Key(count, "the same, by one key; with one more, the oldest ends")
    ] = 64
    store: Annotated[
        str | None,
        Key(
            path,
            "a file of who is logged in, so that logins outlast a restart;"
            " in a directory that nobody else can write to",
        ),
    ] = None


def people_table(place: Place, value: Any) -> People | None:
    """The section; ``true`` is an empty one, ``false`` none."""
    if isinstance(value, bool):
        return People() if value else None
    return read_table(place, value, People)
