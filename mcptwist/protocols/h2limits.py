"""How much HTTP/2 takes at either end, how long it waits, and what is counted when it asks.

What is counted when it answers is with the other counts of the HTTP front
(:class:`mcptwist.protocols.limits.Counters`). Sizes are in bytes, times in seconds.
"""

from __future__ import annotations

import msgspec

from mcptwist.protocols.h2codec import CodecLimits
from mcptwist.protocols.h2purses import Rates

__all__ = ["HTTP2ClientCounters", "HTTP2ClientLimits", "HTTP2Limits"]


class HTTP2Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The bounds that only HTTP/2 has; the others are those of the listener.

    :ivar streams: requests open on one connection at one time; more are refused.
    :ivar stream_window: bytes of a request body that may come ahead of its use.
    :ivar connection_window: the same, for all streams of a connection together.
    :ivar backlog: bytes of answers waiting for one client; beyond it, it may ask for nothing new.
    :ivar control: bytes of everything but bodies that may wait for a client that does not read.
    :ivar codec: what frames may be sent how often, in `CodecLimits.rates`.
    """

    streams: int = 100
    stream_window: int = 1 << 20
    connection_window: int = 4 << 20
    backlog: int = 64 << 20
    control: int = 256 * 1024
    rates: Rates = Rates()

    def for_codec(self, fields: int) -> CodecLimits:
        """What of it concerns the codec."""
        return CodecLimits(
            streams=self.streams,
            stream_window=self.stream_window,
            connection_window=self.connection_window,
            fields=fields,
            rates=self.rates,
        )


class HTTP2ClientLimits(msgspec.Struct, frozen=True, kw_only=True):
    """The bounds of the connections to one origin; sizes in bytes, times in seconds.

    :ivar spoken: whether it is offered at all; if not, HTTP/1.1 is spoken everywhere.
    :ivar streams: requests open at one time on a connection, if the server allows as many.
    :ivar first_streams: the same, before the server has said how many it allows.
    :ivar waiting: requests that wait for one of these to end.
    :ivar stream_window: of one answer that may come ahead of its use.
    :ivar connection_window: the same, of all answers of a connection together.
    :ivar fields: of the head of an answer.
    :ivar control: of what is no body that may wait for a server that does not read.
    :ivar replay: of a body that is kept for the case that it must be sent again.
    :ivar attempts: how often a request is made that the server did not begin with.
    :ivar again: before the second attempt; it doubles.
    :ivar connect: until a connection is made and encrypted.
    :ivar idle: after which a connection without requests is closed.
    :ivar ping: of silence while requests are open, after which the server is pinged.
    :ivar pong: that it has to answer.
    :ivar http1: that an origin which chose HTTP/1.1 is not asked again.
    :ivar farewell: that a connection may take to end, once nothing new is asked on it.
    """

    spoken: bool = True
    streams: int = 256
    first_streams: int = 100
    waiting: int = 1024
    stream_window: int = 512 << 10
    connection_window: int = 32 << 20
    fields: int = 64 << 10
    control: int = 256 << 10
    replay: int = 1 << 20
    attempts: int = 4
    again: float = 0.05
    connect: float = 10.0
    idle: float = 60.0
    ping: float = 30.0
    pong: float = 15.0
    http1: float = 600.0
    farewell: float = 1.0


class HTTP2ClientCounters(msgspec.Struct):
    """What happened on our own connections to servers since the daemon started.

    :ivar connections: made, over which HTTP/2 is spoken.
    :ivar connects_failed: connections that came to nothing, or took too long.
    :ivar http1_chosen: those on which the server chose HTTP/1.1.
    :ivar requests: made.
    :ivar requests_waited: for others to end, before they were made.
    :ivar requests_refused: that failed because too many waited.
    :ivar requests_repeated: because the server had not begun with them.
    :ivar requests_given_up: repeated too often, or too long to be repeated.
    :ivar streams_reset: requests that the server gave up.
    :ivar connections_failed: ended because the server broke a rule or said more than it may.
    :ivar control_exceeded: cut because the server asked and did not read.
    :ivar pings_unanswered: connections cut because the server was silent.
    :ivar idle_closed: connections closed because nothing was asked.
    :ivar farewells_late: connections cut because they did not end in time.
    """

    connections: int = 0
    connects_failed: int = 0
    http1_chosen: int = 0
    requests: int = 0
    requests_waited: int = 0
    requests_refused: int = 0
    requests_repeated: int = 0
    requests_given_up: int = 0
    streams_reset: int = 0
    connections_failed: int = 0
    control_exceeded: int = 0
    pings_unanswered: int = 0
    idle_closed: int = 0
    farewells_late: int = 0
