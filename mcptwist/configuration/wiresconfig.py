"""The sections of the wires over HTTP: whether each is served, where, and within which bounds.

Each section may be ``false`` instead of a table: the wire is not served then.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

import msgspec

from mcptwist.configuration.listening import LINES, endpoints
from mcptwist.configuration.settings import (
    MIB,
    Key,
    Place,
    Reader,
    count,
    read_table,
    seconds,
    size,
    yes_or_no,
)

__all__ = ["Sse", "StreamableHttp", "WebSocket", "Wire", "wire_table"]


W = TypeVar("W", bound="Wire")


def _endpoints(place: Place, value: Any) -> tuple[str, ...] | None:
    if value == []:
        return ()
    found = endpoints(place, value)
    for number, entry in enumerate(found or ()):
        if entry.startswith(LINES):
            place.item(number).mistake("is for messages as lines", "an endpoint for HTTP")
            return None
    return found


class Wire(msgspec.Struct, frozen=True, kw_only=True):
    """What each of the sections has."""

    shared: Annotated[
        bool, Key(yes_or_no, "whether it is served on the endpoints of the top-level listen")
    ] = True
    listen: Annotated[
        tuple[str, ...], Key(_endpoints, "endpoints that serve this wire and no other")
    ] = ()


class StreamableHttp(Wire, frozen=True, kw_only=True):
    """The ``[streamable_http]`` section: ``/mcp``."""


class WebSocket(Wire, frozen=True, kw_only=True):
    """The ``[websocket]`` section: ``/ws``."""

    message_bytes: Annotated[
        int, Key(size, "longest message taken from a client; closed with 1009 beyond", "bytes")
    ] = 16 * MIB
    message_time: Annotated[
        float, Key(seconds, "from the first frame of a message to its last", "seconds")
    ] = 60.0
    backlog_bytes: Annotated[
        int, Key(size, "what may wait for a client that does not read; it is cut off beyond")
    ] = 16 * MIB
    ping: Annotated[
        float, Key(seconds, "a client is asked for a sign of life as often as this", "seconds")
    ] = 20.0
    ping_timeout: Annotated[float, Key(seconds, "and has so long to give one", "seconds")] = 20.0


class Sse(Wire, frozen=True, kw_only=True):
    """The ``[sse]`` section: ``/sse`` and ``/messages``."""

    streams: Annotated[int, Key(count, "clients that one URL may have at a time; 503 beyond")] = (
        10_000
    )


def wire_table(struct: type[W]) -> Reader:
    """A reader of such a section, which may be ``true`` or ``false`` as well."""

    def read(place: Place, value: Any) -> W | None:
        return struct(shared=value) if isinstance(value, bool) else read_table(place, value, struct)

    return read
