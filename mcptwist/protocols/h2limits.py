"""How much HTTP/2 takes at either end, how long it waits, and what is counted when it asks.

What is counted when it answers is with the other counts of the HTTP front
(:class:`mcptwist.protocols.limits.Counters`). Sizes are in bytes, times in seconds.
"""

from __future__ import annotations

import msgspec

from mcptwist.protocols.h2codec import CodecLimits
from mcptwist.protocols.h2purses import Rates

__all__ = ["HTTP2ClientLimits", "HTTP2Limits"]


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
    """

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
