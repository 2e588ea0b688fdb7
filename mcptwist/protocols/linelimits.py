"""How much streams of lines take, and how long they wait."""

from __future__ import annotations

import msgspec


class LineLimits(msgspec.Struct, frozen=True):
    """Bounds of one stream; sizes in bytes, times in seconds.

    :ivar line: a message.
    :ivar backlog: what may wait for a far end that does not read.
    :ivar connections: that one socket may have at a time.
    :ivar linger: for open requests to be answered once the far end has closed its side.
    :ivar closing: for the far end to take what waits when the stream is closed.
    """

    line: int = 16 << 20
    backlog: int = 16 << 20
    connections: int = 1024
    linger: float = 10.0
    closing: float = 2.0


class LineCounters(msgspec.Struct):
    """What happened on all such connections so far.

    :ivar opened: that clients have made.
    :ivar refused: turned away, for there were too many or their user may not come in.
    :ivar overflowed: closed because too much waited for a far end that does not read.
    :ivar abandoned: that did not take the rest in time when they were closed.
    """

    opened: int = 0
    refused: int = 0
    overflowed: int = 0
    abandoned: int = 0
