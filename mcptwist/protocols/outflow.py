"""What waits to be written where the far end does not take it as fast as it is made.

An :class:`Outflow` gives its transport a slice at a time, holds back what makes more, and knows
since when nothing was taken.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from twisted.internet.interfaces import IPushProducer, IReactorTime
from twisted.internet.protocol import Protocol
from zope.interface import implementer

from mcptwist.protocols import sockets
from mcptwist.protocols.meter import Meter

__all__ = ["NEVER", "SLICE", "SMALL", "Outflow", "take"]

#: The most given to the transport in one write, bytes; what it sends in one call.
SLICE = 128 * 1024
#: Answers up to this size, bytes, are joined and written at once.
SMALL = 64 * 1024

#: When what is not waited for has taken too long.
NEVER = float("inf")


def take(queue: deque[memoryview], room: int) -> bytes:
    """The next bytes of a queue, which are out of it then; nothing that stays is copied.

    :param room: how many bytes at most.
    """
    batch: list[memoryview] = []
    while queue and room:
        piece = queue[0]
        if len(piece) <= room:
            queue.popleft()
        else:
            piece, queue[0] = piece[:room], piece[room:]
        batch.append(piece)
        room -= len(piece)
    return b"".join(batch)


@implementer(IPushProducer)
class Outflow(Protocol):
    """The writing side of a connection.

    :param clock: knows the time.
    :ivar stalled: since when the client takes nothing of what waits for it, or `NEVER`.
    :ivar meter: what is counted of the connection.
    """

    stalled = NEVER

    def __init__(self, clock: IReactorTime, meter: Meter) -> None:
        self.clock = clock
        self.meter = meter
        self._queue: deque[memoryview] = deque()  # of the answer, not yet in the transport
        self._queued = 0
        self._paused = False  # the transport has enough
        self._producer: IPushProducer | None = None

    def _transport_write(self, data: bytes) -> None:
        if self._queued:
            self._enqueue((data,))
        else:
            self.meter.sent += len(data)
            sockets.write(self.transport, data)

    def _send(self, pieces: Sequence[bytes], size: int) -> None:
        if not self._queued and not self._paused and size <= SMALL:
            data = b"".join(pieces)
            self.meter.sent += len(data)
            sockets.write(self.transport, data)
            return
        self._enqueue(pieces)
        self._pump()

    def _enqueue(self, pieces: Sequence[bytes]) -> None:
        for piece in pieces:
            if piece:
                self._queue.append(memoryview(piece))
                self._queued += len(piece)

    def _pump(self) -> None:
        """Give the transport slices until it has enough."""
        while self._queue and not self._paused:
            data = take(self._queue, SLICE)
            self._queued -= len(data)
            self.meter.sent += len(data)
            self.transport.write(data)  # type: ignore[union-attr]

    def pauseProducing(self) -> None:
        """Called by the transport when it has enough."""
        if not self._paused:
            self._paused = True
            self.stalled = self.clock.seconds()
            if self._producer is not None:
                self._producer.pauseProducing()

    def resumeProducing(self) -> None:
        """Called by the transport when all it had is with the operating system."""
        self._paused = False
        self.stalled = NEVER
        self._pump()
        if not self._queued:
            self._drained()

    def _drained(self) -> None:
        """Called when all that waited is with the transport."""
        raise NotImplementedError

    def stopProducing(self) -> None:
        """Called by the transport when it is gone; `connectionLost` follows."""

    def register_producer(self, producer: IPushProducer) -> None:
        self._producer = producer
        if self._paused or self._queued:
            producer.pauseProducing()

    def unregister_producer(self) -> None:
        self._producer = None

    def backlog(self) -> int:
        # How much the transport itself holds is not told; when it is full it is a slice.
        return self._queued + (SLICE if self._paused else 0)
