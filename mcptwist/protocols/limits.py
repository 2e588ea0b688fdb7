"""How much the HTTP front takes, how long it waits, and how often each bound was met.

Every bound has a default that suits a daemon on a shared machine, and a counter. Sizes are in
bytes, times in seconds.
"""

from __future__ import annotations

import msgspec

from mcptwist.protocols import refusals

__all__ = ["Counters", "Limits"]


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The bounds of one listener.

    :ivar head: request line and headers together, bytes.
    :ivar headers: header lines.
    :ivar uri: request target, bytes.
    :ivar body: request body of resources that do not choose a limit themselves, bytes.
    :ivar connections: connections open at one time.
    :ivar pipeline: bytes read ahead of the request being answered; reading pauses beyond it.
    :ivar backlog: bytes of one streamed answer the client has not taken; beyond it, it is cut.
    :ivar spare_body: an unwanted body up to this length is read and dropped so that the
        connection can be kept; a longer one closes it.
    :ivar head_time: from the first byte of a request (or from the connection) to the end of
        its headers; absolute, so that dripping bytes does not prolong it.
    :ivar body_time: without any progress of a request body.
    :ivar body_total: for a whole request body; absolute.
    :ivar idle_time: between two requests on one connection.
    :ivar write_time: while a client takes nothing of an answer that waits for it.
    :ivar linger_time: after the last answer, for the client to read it and close.
    """

    head: int = 16 * 1024
    headers: int = 100
    uri: int = 8 * 1024
    body: int = 4 * 1024 * 1024
    connections: int = 4096
    pipeline: int = 64 * 1024
    backlog: int = 16 * 1024 * 1024
    spare_body: int = 64 * 1024
    head_time: float = 10.0
    body_time: float = 60.0
    body_total: float = 600.0
    idle_time: float = 75.0
    write_time: float = 60.0
    linger_time: float = 2.0


class Counters:
    """What happened on one listener since it started; plain integers, read by anyone.

    :ivar connections: accepted.
    :ivar requests: whose headers were complete and in order.
    :ivar failures: resources that raised instead of answering.
    :ivar clients_lost: that left before their answer was finished.
    :ivar idle_closed: connections closed for silence between requests.
    :ivar writes_stalled: answers cut because the client stopped reading.
    :ivar backlogs_exceeded: streamed answers cut because too much waited for the client.
    :ivar connections_refused: turned away without an answer, far beyond the limit.
    :ivar answers_cut: connections closed because an answer did not keep to its own length.
    :ivar streams_refused: HTTP/2 requests beyond what one connection may have open.
    :ivar streams_malformed: HTTP/2 streams that broke a rule.
    :ivar streams_reset: HTTP/2 streams that the client gave up.
    :ivar connections_failed: HTTP/2 connections ended for a broken rule or a flood.
    :ivar control_exceeded: HTTP/2 connections cut because they asked and did not read.
    :ivar floods: what was sent too much of on HTTP/2 connections, how often by its kind.
    :ivar handshakes_failed: TLS handshakes that came to nothing.
    :ivar handshakes_late: TLS handshakes that took too long.
    :ivar handshakes_dropped: TLS handshakes given up in favour of newer ones.
    :ivar refused: how often each refusal was given, by its code.
    """

    __slots__ = (
        "answers_cut",
        "backlogs_exceeded",
        "clients_lost",
        "connections",
        "connections_failed",
        "connections_refused",
        "control_exceeded",
        "failures",
        "floods",
        "handshakes_dropped",
        "handshakes_failed",
        "handshakes_late",
        "idle_closed",
        "refused",
        "requests",
        "streams_malformed",
        "streams_refused",
        "streams_reset",
        "writes_stalled",
    )

    def __init__(self) -> None:
        self.connections = 0
        self.requests = 0
        self.failures = 0
        self.clients_lost = 0
        self.idle_closed = 0
        self.writes_stalled = 0
        self.backlogs_exceeded = 0
        self.connections_refused = 0
        self.answers_cut = 0
        self.streams_refused = 0
        self.streams_malformed = 0
        self.streams_reset = 0
        self.connections_failed = 0
        self.control_exceeded = 0
        self.handshakes_failed = 0
        self.handshakes_late = 0
        self.handshakes_dropped = 0
        self.floods: dict[str, int] = {}
        self.refused = dict.fromkeys(refusals.ALL, 0)

    def count(self, refusal: refusals.Refusal) -> None:
        """Count a refusal under its code."""
        self.refused[refusal.code] = self.refused.get(refusal.code, 0) + 1

    def snapshot(self) -> dict[str, int]:
        """All counts by name; refusals as ``refused.CODE``, floods as ``floods.KIND``."""
        counts = {name: getattr(self, name) for name in self.__slots__ if name not in _TABLES}
        for table in _TABLES:
            named = getattr(self, table).items()
            counts.update((f"{table}.{name}", count) for name, count in named)
        return counts


_TABLES = ("floods", "refused")
