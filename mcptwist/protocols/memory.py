"""Two wires joined in memory: what is sent into one comes out of the other.

The near end is the one that asks, the far end the one that serves; they
differ only in the reason they give when the wire is lost. Messages are told
on a later turn of the clock, in order, one turn for a burst. They are
immutable, so they cross as they are: nothing is framed, nothing copied.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from mcptwist.errors import ClientGone, McpTwistError, ServerExited, ServerStartFailed
from mcptwist.interfaces import IConnector, IWire, IWireReader
from mcptwist.messages import Error, Message, Notification, Request

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall


def pair(clock: IReactorTime) -> tuple[MemoryWire, MemoryWire]:
    """Two wires joined to each other: the near and the far one.

    Each needs its ``reader`` before the other end sends.
    """
    near = MemoryWire(clock, "in memory", ServerExited)
    far = MemoryWire(clock, "in memory", ClientGone)
    near.other, far.other = far, near
    return near, far


@implementer(IWire)
class MemoryWire:
    """One end of a pair.

    :ivar reader: whom it speaks to.
    :ivar other: the far end of this one.
    """

    log = Logger()
    reader: IWireReader
    other: MemoryWire

    def __init__(
        self, clock: IReactorTime, description: str, reason: Callable[[str], McpTwistError]
    ) -> None:
        self.description = description
        self.backlog = 0
        self._clock = clock
        self._reason = reason
        self._inbox: deque[Message] = deque()
        self._turn: IDelayedCall | None = None
        self._paused = False
        self._ending: str | None = None
        self._lost = False
        self._closing: list[Deferred[None]] = []

    def send(self, message: Message) -> None:
        """Let the other end be told *message* on a later turn."""
        if self._ending is None:
            self.backlog += weight(message)
            self.other._inbox.append(message)
            self.other._wake()

    def pause(self) -> None:
        """Keep what comes until :meth:`resume`."""
        self._paused = True

    def resume(self) -> None:
        """Tell what was kept, and go on."""
        self._paused = False
        self._wake()

    def close(self) -> Deferred[None]:
        """End both ends; what was sent is still told to the other, not to this one."""
        if self._lost:
            return succeed(None)
        closed: Deferred[None] = Deferred()
        self._closing.append(closed)
        self._inbox.clear()
        self.other.backlog = 0
        self._paused = False
        self._end("the wire was closed")
        self.other._end("the other end closed the wire")
        return closed

    def _end(self, why: str) -> None:
        if self._ending is None:
            self._ending = why
        self._wake()

    def _wake(self) -> None:
        if self._turn is None and not self._lost and not self._paused:
            self._turn = self._clock.callLater(0, self._tell)

    def _tell(self) -> None:
        self._turn = None
        # What is sent meanwhile waits for the next turn, so two chatty ends cannot
        # keep the reactor to themselves.
        for _ in range(len(self._inbox)):
            if self._paused or not self._inbox:
                break
            message = self._inbox.popleft()
            self.other.backlog -= weight(message)
            try:
                self.reader.received(message)
            except Exception:
                self.log.failure("a message could not be taken from {wire}", wire=self.description)
        if self._inbox:
            self._wake()
        elif self._ending is not None and not self._paused:
            self._tell_lost(self._ending)

    def _tell_lost(self, why: str) -> None:
        if self._lost:
            return
        self._lost = True
        try:
            self.reader.lost(self._reason(why))
        except Exception:
            self.log.failure("the end of {wire} was not taken", wire=self.description)
        closing, self._closing = self._closing, []
        for closed in closing:
            closed.callback(None)


@implementer(IConnector)
class MemoryConnector:
    """A way to a server that lives in this process.

    :param clock: whose turns the messages take.
    :param description: for people and logs.
    :param welcome: given the server's end of a new wire, it returns who reads it.
    """

    log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        description: str,
        welcome: Callable[[IWire], IWireReader],
    ) -> None:
        self.description = description
        self._clock = clock
        self._welcome = welcome

    def connect(self, reader: IWireReader) -> Deferred[IWire]:
        """Make a pair; the server gets the far end of it."""
        near, far = pair(self._clock)
        near.description = far.description = self.description
        near.reader = reader
        try:
            far.reader = self._welcome(far)
        except Exception:
            self.log.failure("{server} could not be started", server=self.description)
            return fail(ServerStartFailed("it raised an error; see the daemon's log"))
        return succeed(near)


def weight(message: Message) -> int:
    """About how many bytes a message holds."""
    if isinstance(message, Request | Notification):
        return len(message.method) + len(message.params)
    if isinstance(message, Error):
        return len(message.error)
    return len(message.result)
