"""The daemon's ends of a child's pipes, as the reactor watches them.

Reads are of 64 KiB. Writes go straight into the pipe while it takes them:
that saves a turn of the reactor and two system calls for each message; what
does not fit waits in a queue and is not copied again.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from typing import IO, TYPE_CHECKING

from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor, IWriteDescriptor
from zope.interface import implementer

from mcptwist.messages import Json
from mcptwist.protocols.lines import READ_SIZE

if TYPE_CHECKING:
    from twisted.python.failure import Failure

_JOIN_BELOW = 1 << 16
_WRITES_A_TURN = 8


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
    :param file: the pipe; it is made non-blocking and closed here.
    :param broken: told once when nobody reads the other end any more.
    """

    def __init__(self, reactor: IReactorFDSet, file: IO[bytes], broken: Callable[[], None]) -> None:
        self.backlog = 0
        self._reactor = reactor
        self._file = file
        self._fd = file.fileno()
        self._broken = broken
        self._queue: deque[memoryview] = deque()
        self._finishing = False
        self.closed = False
        os.set_blocking(self._fd, False)

    def write(self, parts: list[Json]) -> None:
        """Write all of *parts*, in order, or nothing when it is closed."""
        if self.closed or self._finishing:
            return
        size = sum(map(len, parts))
        waiting = bool(self._queue)
        self.backlog += size
        if size < _JOIN_BELOW:
            self._queue.append(memoryview(b"".join(parts)))
        else:
            self._queue += map(memoryview, parts)
        if not waiting:
            self._push()
            if self._queue:
                self._reactor.addWriter(self)

    def finish(self) -> None:
        """Close it as soon as the queue is empty."""
        self._finishing = True
        if not self._queue:
            self.close()

    def close(self) -> None:
        """Close it now; what is queued is dropped."""
        if not self.closed:
            self._reactor.removeWriter(self)
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
        if not self._queue and not self.closed:
            self._reactor.removeWriter(self)
            if self._finishing:
                self.close()

    def connectionLost(self, reason: Failure) -> None:
        """The reactor found the pipe broken, or stops."""
        self._break()

    def _push(self) -> None:
        for _ in range(_WRITES_A_TURN):
            if not self._queue:
                return
            part = self._queue[0]
            try:
                taken = os.write(self._fd, part)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                self._break()
                return
            self.backlog -= taken
            if taken == len(part):
                self._queue.popleft()
            else:
                self._queue[0] = part[taken:]

    def _break(self) -> None:
        if not self.closed:
            self.close()
            self._broken()
