"""A process that refused to speak one era, kept for whoever needs one that speaks the other.

Whether a server is modern is found out by asking it. One that answers with an error
and runs on was not hurt by the question: it can still be greeted, and whoever needs a
process of that server next is spared the wait for another.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from mcptwist.interfaces import ITransferable

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred
    from twisted.internet.interfaces import IDelayedCall, IReactorTime

    from mcptwist.link import Link

IDLE = 60.0


class Spare:
    """The one spare process of a server, if it has one.

    :param told_closing: told when one that nobody took is being stopped, with what
        fires when it is.
    :param idle: seconds after which one that nobody took is stopped.
    :ivar since: when the one there is was put here (seconds of the clock).
    :ivar trusted: whether those handed on so far could be greeted; no other is kept else.
    """

    def __init__(
        self,
        clock: IReactorTime,
        told_closing: Callable[[Deferred[None]], None],
        idle: float = IDLE,
    ) -> None:
        self.trusted = True
        self._clock = clock
        self._told_closing = told_closing
        self._idle = idle
        self._link: Link | None = None
        self.since = 0.0
        self._timer: IDelayedCall | None = None

    def __len__(self) -> int:
        return 0 if self._link is None else 1

    @property
    def link(self) -> Link | None:
        """The link to it, if there is one."""
        return self._link

    def keep(self, link: Link) -> bool:
        """Keep the process at the far end of *link*; whether it is worth it.

        Only of children: whatever else there is to connect to is connected to at once.
        """
        whole = link.refused_politely and link.gone is None
        if not (self.trusted and whole and ITransferable.providedBy(link.wire)):
            return False
        self.drop()
        self._link = link
        self.since = self._clock.seconds()
        self._timer = self._clock.callLater(self._idle, self.drop)
        return True

    def take(self) -> Link | None:
        """The link to it, which the taker is to :meth:`~mcptwist.link.Link.inherit`."""
        link, self._link = self._link, None
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
        return None if link is None or link.gone is not None else link

    def drop(self) -> None:
        """Stop it, for nobody will take it."""
        link = self.take()
        if link is not None and link.wire is not None:
            self._told_closing(link.wire.close())
