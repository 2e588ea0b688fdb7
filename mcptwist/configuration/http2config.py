"""The sections of HTTP/2, one for each end: whether it is spoken, and within which bounds.

Each section may be ``false`` instead of a table: HTTP/1.1 is spoken there then.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from mcptwist.configuration.settings import (
    KIB,
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

__all__ = ["Http2", "Http2Client", "http2_table"]

#: RFC 9113 section 6.9.1.
_WIDEST = 2**31 - 1


def _window(place: Place, value: Any) -> int | None:
    found = size(place, value)
    if found is not None and found > _WIDEST:
        place.mistake("is more than HTTP/2 has numbers for", "2 GiB less one byte at most")
        return None
    return found


class Http2(msgspec.Struct, frozen=True, kw_only=True):
    """The ``[http2]`` section: encrypted endpoints."""

    spoken: Annotated[bool, Key(yes_or_no, "whether clients may choose it over HTTP/1.1")] = True
    stream_window: Annotated[
        int, Key(_window, "of a request's body that may come ahead of its use", "bytes")
    ] = MIB
    connection_window: Annotated[
        int, Key(_window, "the same, of all that one client asks at a time", "bytes")
    ] = 4 * MIB
    backlog_bytes: Annotated[
        int, Key(size, "answers waiting for one client; beyond, it may ask for nothing new")
    ] = 64 * MIB
    control_bytes: Annotated[
        int, Key(size, "all else that waits for a client that does not read; cut off beyond")
    ] = 256 * KIB


class Http2Client(msgspec.Struct, frozen=True, kw_only=True):
    """The ``[http2_client]`` section: the connections to each server that is elsewhere."""

    spoken: Annotated[bool, Key(yes_or_no, "whether it is offered to servers")] = True
    streams: Annotated[
        int, Key(count, "requests open on a connection, if the server allows as many; others wait")
    ] = 256
    waiting: Annotated[int, Key(count, "requests that wait for that; those beyond fail")] = 1024
    stream_window: Annotated[
        int, Key(_window, "of an answer that may come ahead of its use", "bytes")
    ] = 512 * KIB
    connection_window: Annotated[
        int, Key(_window, "the same, of all answers of a connection together", "bytes")
    ] = 32 * MIB
    header_bytes: Annotated[int, Key(size, "longest head of an answer", "bytes")] = 64 * KIB
    control_bytes: Annotated[
        int, Key(size, "all but bodies that waits for a server that does not read; cut off beyond")
    ] = 256 * KIB
    attempts: Annotated[
        int, Key(count, "how often a request is made with which the server did not begin")
    ] = 4
    replay_bytes: Annotated[
        int, Key(size, "longest body that is kept to be sent again then", "bytes")
    ] = MIB
    connect_timeout: Annotated[
        float, Key(seconds, "for a connection to be made and encrypted", "seconds")
    ] = 10.0
    idle_timeout: Annotated[
        float, Key(seconds, "after which a connection is closed on which nothing is asked")
    ] = 60.0
    ping: Annotated[
        float, Key(seconds, "a server that answers nothing is asked for a sign of life after this")
    ] = 30.0
    ping_timeout: Annotated[float, Key(seconds, "and has so long to give one", "seconds")] = 15.0
    http1_time: Annotated[
        float, Key(seconds, "a server that chose HTTP/1.1 is not offered HTTP/2 for so long")
    ] = 600.0
    farewell_timeout: Annotated[
        float, Key(seconds, "for what is open to end when a server is not used any more")
    ] = 1.0


def http2_table(struct: type[msgspec.Struct]) -> Reader:
    """A reader of such a section, which may be ``true`` or ``false`` as well."""

    def read(place: Place, value: Any) -> msgspec.Struct | None:
        if isinstance(value, bool):
            return struct(spoken=value)
        return read_table(place, value, struct)

    return read
