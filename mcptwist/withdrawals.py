"""What we asked of one far end and no longer want, and when it is told.

A server that has just got the answer to a question of its own is, as a rule,
about to answer the call that the question was part of. Servers on the Python SDK
1.x end when ``notifications/cancelled`` reaches them while they write that answer,
and one that is shared ends for everybody. So a cancellation waits a little after
an answer of ours, and is not sent at all when the call is answered meanwhile; the
specification has every party expect that the two cross.

MCP 2025-11-25, *Cancellation, Timing Considerations*.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from mcptwist.messages import MessageId, Notification

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall, IReactorTime

#: Seconds that a server has, after an answer of ours, to end its call by itself.
GRACE = 1.0


class Withdrawals:
    """The cancellations that one far end has still to be told.

    :param tell: sends a notification to it.
    :param limit: how many may wait; those beyond it are sent at once.
    """

    def __init__(
        self, clock: IReactorTime, tell: Callable[[Notification], None], limit: int
    ) -> None:
        self._clock = clock
        self._tell = tell
        self._limit = limit
        self._busy_until = 0.0
        self._waiting: dict[MessageId, IDelayedCall] = {}

    def __len__(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def we_answered(self) -> None:
        """A question of the far end's was answered: it will want to answer in turn."""
        self._busy_until = self._clock.seconds() + GRACE

    def add(self, id: MessageId, cancelled: Notification) -> None:
        """*cancelled* says that our request *id* is not wanted any more."""
        # No longer than that either where the clock was set back meanwhile.
        wait = min(GRACE, self._busy_until - self._clock.seconds())
        if wait <= 0 or len(self._waiting) >= self._limit:
            self._tell(cancelled)
        else:
            self._waiting[id] = self._clock.callLater(wait, self._due, id, cancelled)

    def _due(self, id: MessageId, cancelled: Notification) -> None:
        del self._waiting[id]
        self._tell(cancelled)

    def answered(self, id: MessageId | None) -> bool:
        """The far end answered *id*; whether it need not be told any more."""
        waiting = self._waiting.pop(id, None)  # type: ignore[arg-type]
        if waiting is None:
            return False
        waiting.cancel()
        return True

    def forget(self) -> None:
        """The far end is gone."""
        waiting, self._waiting = self._waiting, {}
        for call in waiting.values():
            call.cancel()
