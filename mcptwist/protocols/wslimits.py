"""How much WebSockets take, how long they wait, and what is counted of them."""

from __future__ import annotations

from typing import Any, Protocol

import msgspec

from mcptwist.protocols.h2purses import Rate

__all__ = ["WebSocketCounters", "WebSocketLimits", "protocol_options"]


class WebSocketLimits(msgspec.Struct, frozen=True):
    """Bounds of one connection.

    :ivar message: bytes that a client's message may have, in one frame or several.
    :ivar message_time: seconds from its first frame to its last.
    :ivar backlog: bytes that may wait for a client that does not read.
    :ivar ping: seconds until the client is asked for a sign of life.
    :ivar ping_timeout: seconds it has to give one.
    :ivar handshake: seconds that opening may take.
    :ivar closing: seconds that closing may take.
    :ivar idle_frames: how many frames it may send that carry nothing, or next to nothing:
        pings, pongs, and parts of messages of less than ``wsframes.TINY`` bytes.
    """

    message: int = 16 << 20
    message_time: float = 60.0
    backlog: int = 16 << 20
    ping: float = 20.0
    ping_timeout: float = 20.0
    handshake: float = 5.0
    closing: float = 2.0
    idle_frames: Rate = Rate(200, 20)


class WebSocketCounters(msgspec.Struct):
    """What happened on all connections so far.

    :ivar refused: that were not opened, for their handshake was not in order.
    :ivar binary: closed for a binary message.
    :ivar too_big: closed for a message that was too big.
    :ivar invalid: closed for text that is not UTF-8.
    :ivar violations: closed for breaking another rule of RFC 6455.
    :ivar flooded: closed for too many frames that carry nothing.
    :ivar too_slow: closed for a message that took too long.
    :ivar overflowed: closed because too much waited for the client.
    :ivar silent: closed because the client gave no sign of life.
    """

    opened: int = 0
    closed: int = 0
    refused: int = 0
    binary: int = 0
    too_big: int = 0
    invalid: int = 0
    violations: int = 0
    flooded: int = 0
    too_slow: int = 0
    overflowed: int = 0
    silent: int = 0


class Bounds(Protocol):
    """What both ends are bound by; sizes in bytes, times in seconds."""

    @property
    def message(self) -> int: ...
    @property
    def ping(self) -> float: ...
    @property
    def ping_timeout(self) -> float: ...
    @property
    def handshake(self) -> float: ...
    @property
    def closing(self) -> float: ...


def protocol_options(limits: Bounds) -> dict[str, Any]:
    """Autobahn's settings for one end of a connection, whichever it is."""
    return {
        "maxFramePayloadSize": limits.message,
        "maxMessagePayloadSize": limits.message,
        "autoPingInterval": limits.ping,
        "autoPingTimeout": limits.ping_timeout,
        "autoPingRestartOnAnyTraffic": True,
        "openHandshakeTimeout": limits.handshake,
        "closeHandshakeTimeout": limits.closing,
        "failByDrop": False,
        "tcpNoDelay": True,
    }
