"""The settings of bounds, of deadlines, of what web pages may do, and of the log."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from mcptwist.configuration.listening import header_name
from mcptwist.configuration.settings import (
    KIB,
    MIB,
    Key,
    Place,
    choice,
    count,
    many,
    none_or,
    seconds,
    size,
)


def _keepalive(place: Place, value: Any) -> float | None:
    found = seconds(place, value)
    if found is not None and not 15 <= found <= 25:
        place.note("proxies give up on silent streams; 15 to 25 seconds suits nearly all of them")
    return found


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The ``[limits]`` section: what any one party may use of the daemon."""

    body_bytes: Annotated[int, Key(size, "longest HTTP request body; 413 beyond", "bytes")] = (
        16 * MIB
    )
    header_bytes: Annotated[
        int, Key(size, "request line and headers of one request; 431 beyond", "bytes")
    ] = 64 * KIB
    connections: Annotated[int, Key(count, "open connections at a time")] = 4096
    sessions: Annotated[int, Key(count, "sessions at a time; 503 beyond")] = 10_000
    session_idle: Annotated[
        float, Key(seconds, "a session unused for so long is ended", "seconds")
    ] = 1800.0
    session_age: Annotated[
        float | None,
        Key(none_or(seconds), "a session older than this is ended, used or not", "seconds"),
    ] = None
    streams_per_session: Annotated[int, Key(count, "open streams of one session")] = 32
    event_log_events: Annotated[
        int, Key(count, "events kept per session, for clients that come back for them")
    ] = 256
    event_log_bytes: Annotated[int, Key(size, "the same, by size", "bytes")] = MIB
    batch: Annotated[int, Key(count, "messages in one batch, where a revision has batches")] = 100
    streams_per_connection: Annotated[
        int, Key(count, "requests open on one HTTP/2 connection; more are refused")
    ] = 100
    in_flight_per_session: Annotated[
        int, Key(count, "requests of one session not yet answered")
    ] = 256
    in_flight_per_server: Annotated[
        int, Key(count, "requests to one server not yet answered; see max_in_flight")
    ] = 1024
    listens_per_server: Annotated[int, Key(count, "subscriptions that one server is to serve")] = (
        10_000
    )
    call_processes: Annotated[
        int, Key(count, "processes of one legacy server that calls have for themselves")
    ] = 16
    call_process_idle: Annotated[
        float, Key(seconds, "such a process is stopped when no call needed it so long", "seconds")
    ] = 60.0
    call_process_yield: Annotated[
        float,
        Key(seconds, "a call may lose its to another when its client is away so long", "seconds"),
    ] = 30.0
    held_calls: Annotated[
        int, Key(count, "calls that wait for their clients to come back with inputs")
    ] = 1000
    held_call_wait: Annotated[
        float, Key(seconds, "a client may take so long to come back with inputs", "seconds")
    ] = 600.0
    line_bytes: Annotated[int, Key(size, "longest line taken from a child", "bytes")] = 64 * MIB
    stderr_lines: Annotated[int, Key(count, "last lines kept of a child's stderr")] = 100
    stderr_bytes: Annotated[int, Key(size, "the same, by size", "bytes")] = 64 * KIB
    keepalive: Annotated[
        float, Key(_keepalive, "a comment is sent on a stream silent for so long", "seconds")
    ] = 20.0
    drain: Annotated[
        float, Key(seconds, "calls in flight may take so long after SIGTERM", "seconds")
    ] = 10.0


class Http(msgspec.Struct, frozen=True, kw_only=True):
    """The ``[http]`` section: how long a peer may take before its connection is closed."""

    handshake_timeout: Annotated[
        float, Key(seconds, "for the TLS handshake, where there is one", "seconds")
    ] = 10.0
    header_timeout: Annotated[
        float, Key(seconds, "from the first byte of a request to its last header", "seconds")
    ] = 10.0
    body_timeout: Annotated[
        float, Key(seconds, "from the last header of a request to the end of its body", "seconds")
    ] = 60.0
    idle_timeout: Annotated[
        float, Key(seconds, "between an answer and the next request", "seconds")
    ] = 75.0
    write_timeout: Annotated[
        float, Key(seconds, "a peer that reads nothing while there is more to send", "seconds")
    ] = 60.0


class Cors(msgspec.Struct, frozen=True, kw_only=True):
    """The ``[cors]`` section: what web pages of other origins may send and read.

    Which pages these are is said by ``allowed_origins``.
    """

    methods: Annotated[
        tuple[str, ...],
        Key(
            many(choice("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")),
            "what pages may do, beside GET, HEAD and POST that browsers let them do anyway",
        ),
    ] = ("GET", "POST", "DELETE")
    headers: Annotated[
        tuple[str, ...],
        Key(many(header_name), "headers pages may send, beside those of MCP"),
    ] = ()
    exposed_headers: Annotated[
        tuple[str, ...],
        Key(many(header_name), "headers pages may read in answers, beside those of MCP"),
    ] = ()
    max_age: Annotated[
        float, Key(seconds, "browsers may remember for so long what pages may do", "seconds")
    ] = 600.0


class Log(msgspec.Struct, frozen=True, kw_only=True):
    """The ``[log]`` section."""

    level: Annotated[
        Literal["debug", "info", "warn", "error", "critical"],
        Key(choice("debug", "info", "warn", "error", "critical"), "the least that is logged"),
    ] = "info"
    format: Annotated[
        Literal["text", "json"], Key(choice("text", "json"), "lines for people, or JSON lines")
    ] = "text"
