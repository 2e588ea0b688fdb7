"""What a wire's reader is told: in order, not while it is paused, and ``lost`` last.

For wires that cannot stop what is in hand already when they are paused, such as
those that get several messages from one read.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from mcptwist.errors import ClientError, McpTwistError

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime

    from mcptwist.interfaces import IWireReader
    from mcptwist.messages import Message


class Inbox:
    """The way from one wire to its reader.

    :param clock: ``lost``, and what waited while paused, is told on a later turn of it.
    :ivar paused: whether the reader wants nothing for now.
    :ivar reason: why the wire is gone, once it is.
    """

    log = Logger()

    def __init__(self, reader: IWireReader, clock: IReactorTime, description: str) -> None:
        self.reader = reader
        self.paused = False
        self.reason: McpTwistError | None = None
        self._clock = clock
        self._description = description
        self._waiting: deque[Message | ClientError] = deque()
        self._lost = False
        self._deaf = False
        self._watchers: list[Deferred[None]] = []

    def put(self, message: Message | ClientError) -> None:
        """Tell *message*, or what was no message, when it is its turn."""
        if self.reason is not None or self._deaf:
            return
        if self.paused or self._waiting:
            self._waiting.append(message)
        else:
            self._tell(message)

    def pause(self) -> None:
        """Tell nothing for now."""
        self.paused = True

    def resume(self) -> None:
        """Tell what waits, and go on."""
        if self.paused:
            self.paused = False
            self._clock.callLater(0, self._tell_on)

    def end(self, reason: McpTwistError) -> None:
        """The wire is gone: ``lost`` is told after what waits."""
        if self.reason is None:
            self.reason = reason
            self._clock.callLater(0, self._tell_on)

    def clear(self) -> None:
        """Nothing is wanted any more but ``lost``: not what waits, not what comes, no pause."""
        self._deaf = True
        self._waiting.clear()
        self.paused = False
        if self.reason is not None:
            self._clock.callLater(0, self._tell_on)

    def when_lost(self) -> Deferred[None]:
        """Fires when ``lost`` was told."""
        if self._lost:
            return succeed(None)
        watcher: Deferred[None] = Deferred()
        self._watchers.append(watcher)
        return watcher

    def _tell_on(self) -> None:
        while self._waiting and not self.paused:
            self._tell(self._waiting.popleft())
        if self.reason is not None and not self._waiting and not self.paused and not self._lost:
            self._lost = True
            try:
                self.reader.lost(self.reason)
            except Exception:
                self.log.failure("the end of {wire} was not taken", wire=self._description)
            watchers, self._watchers = self._watchers, []
            for watcher in watchers:
                watcher.callback(None)

    def _tell(self, message: Message | ClientError) -> None:
        try:
            if isinstance(message, ClientError):
                self.reader.malformed(message)
            else:
                self.reader.received(message)
        except Exception:
            self.log.failure("a message of {wire} was not taken", wire=self._description)
