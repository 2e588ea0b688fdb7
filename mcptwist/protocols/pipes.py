"""The daemon's ends of a child's pipes, as the reactor watches them.

Reads are of 64 KiB. A write goes straight into the pipe when the child has
spoken since the last one (``eager``): the single caller's request leaves
without waiting for a turn of the reactor. Else writes are gathered until the
next turn and leave as one. Measured against ``cat``, CPU of the daemon for a
message there and back, with 1 / 8 / 32 in flight: always straight 52 / 22 /
18 µs, always gathered 66 / 15 / 15, this way 48 / 17 / 16. What the pipe does
not take waits in a queue and is not copied again.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import IO, TYPE_CHECKING

from twisted.internet.interfaces import (
    IReactorFDSet,
    IReactorTime,
    IReadDescriptor,
    IWriteDescriptor,
)
from zope.interface import implementer

from mcptwist.messages import Json
from mcptwist.protocols.lines import READ_SIZE

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall
    from twisted.python.failure import Failure


class IPipeReactor(IReactorFDSet, IReactorTime):
    """What pipes need of a reactor: it watches file descriptors and takes turns."""


_JOIN_BELOW = 1 << 16
_MOST_AT_ONCE = 64


@implementer(IReadDescriptor)
class PipeReader:
    """Reads a pipe until its end.

    :param file: the pipe; it is made non-blocking and closed here.
    :param received: told what was read.
    :param ended: told once when nothing more will come, unless it was closed by us.
    """

    def __init__(
        self,
        reactor: IReactorFDSet,
        file: IO[bytes],
        received: Callable[[bytes], None],
        ended: Callable[[], None],
    ) -> None:
        self._reactor = reactor
        self._file = file
        self._fd = file.fileno()
        self._received = received
        self._ended = ended
        self.closed = False
        os.set_blocking(self._fd, False)

    def start(self) -> None:
        """Read, or read on."""
        if not self.closed:
            self._reactor.addReader(self)

    def stop(self) -> None:
        """Read no more until started again; the writer is held up when the pipe is full."""
        if not self.closed:
            self._reactor.removeReader(self)

    def close(self) -> None:
        """Read no more, ever."""
        if not self.closed:
            self._reactor.removeReader(self)
            self.closed = True
            self._fd = -1
            self._file.close()

    def fileno(self) -> int:
        """The file descriptor, -1 when closed."""
        return self._fd

    def logPrefix(self) -> str:
        """What Twisted's log calls it."""
        return "pipe from a child"

    def doRead(self) -> None:
        """There is something to be read, or the end."""
        try:
            data = os.read(self._fd, READ_SIZE)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if data:
            self._received(data)
        else:
            self._end()

    def connectionLost(self, reason: Failure) -> None:
        """The reactor found the pipe ended, or stops."""
        self._end()

    def _end(self) -> None:
        if not self.closed:
            self.close()
            self._ended()


@implementer(IWriteDescriptor)
class PipeWriter:
    """Writes to a pipe without ever waiting for it.

    :ivar backlog: bytes that the pipe has not taken yet.
    :ivar eager: whether the next write need not wait for the next turn.
    :param file: the pipe; it is made non-blocking and closed here.
    :param broken: told once when nobody reads the other end any more.
    """

    def __init__(self, reactor: IPipeReactor, file: IO[bytes], broken: Callable[[], None]) -> None:
        self.backlog = 0
        self.eager = True
        self.closed = False
        self._reactor = reactor
        self._file = file
        self._fd = file.fileno()
        self._broken = broken
        self._queue: deque[Json | memoryview] = deque()
        self._next_turn: IDelayedCall | None = None
        self._full = False
        self._finishing = False
        os.set_blocking(self._fd, False)

    def write(self, parts: list[Json]) -> None:
        """Write all of *parts*, in order, or nothing when it is closed."""
        if self.closed or self._finishing:
            return
        size = sum(map(len, parts))
        self.backlog += size
        if size < _JOIN_BELOW:
            self._queue.append(b"".join(parts))
        else:
            self._queue += parts
        if self._full or self._next_turn is not None:
            return
        if self.eager:
            self.eager = False
            self._push()
        else:
            self._next_turn = self._reactor.callLater(0, self._push)

    def finish(self) -> None:
        """Close it as soon as the queue is empty."""
        self._finishing = True
        if not self._queue:
            self.close()

    def close(self) -> None:
        """Close it now; what is queued is dropped."""
        if self.closed:
            return
        self._reactor.removeWriter(self)
        if self._next_turn is not None:
            self._next_turn.cancel()
            self._next_turn = None
        self.closed = True
        self._fd = -1
        self._queue.clear()
        self.backlog = 0
        self._file.close()

    def fileno(self) -> int:
        """The file descriptor, -1 when closed."""
        return self._fd

    def logPrefix(self) -> str:
        """What Twisted's log calls it."""
        return "pipe to a child"

    def doWrite(self) -> None:
        """The pipe takes something again."""
        self._push()

    def connectionLost(self, reason: Failure) -> None:
        """The reactor found the pipe broken, or stops."""
        self._break()

    def _push(self) -> None:
        self._next_turn = None
        try:
            taken = os.writev(self._fd, list(islice(self._queue, _MOST_AT_ONCE)))
        except (BlockingIOError, InterruptedError):
            taken = 0
        except OSError:
            self._break()
            return
        self._take(taken)
        if bool(self._queue) is not self._full:
            self._full = bool(self._queue)
            (self._reactor.addWriter if self._full else self._reactor.removeWriter)(self)
        if self._finishing and not self._queue:
            self.close()

    def _take(self, taken: int) -> None:
        """The pipe took so many bytes from the front of the queue."""
        self.backlog -= taken
        while taken:
            part = self._queue[0]
            if taken < len(part):
                self._queue[0] = memoryview(part)[taken:]
                return
            taken -= len(part)
            self._queue.popleft()

    def _break(self) -> None:
        if not self.closed:
            self.close()
            self._broken()
