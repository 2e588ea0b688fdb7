"""Noticing that a child has exited."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from twisted.internet.interfaces import IReadDescriptor
from zope.interface import implementer

from mcptwist.protocols.family import Family
from mcptwist.protocols.pipes import IPipeReactor

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall
    from twisted.python.failure import Failure

_POLL_EVERY = 0.05


@implementer(IReadDescriptor)
class ExitWatch:
    """Tells once that a child has exited: by its pidfd, or by asking now and then.

    :param told: called on a turn of its own.
    """

    def __init__(self, reactor: IPipeReactor, family: Family, told: Callable[[], None]) -> None:
        self._reactor = reactor
        self._family = family
        self._told = told
        self._fd = -1
        self._next: IDelayedCall | None = None

    def start(self) -> None:
        """Begin to watch."""
        try:
            self._fd = os.pidfd_open(self._family.pid)
        except (AttributeError, OSError):  # not Linux, or no file descriptor to be had
            self._next = self._reactor.callLater(_POLL_EVERY, self._ask)
        else:
            self._reactor.addReader(self)

    def fileno(self) -> int:
        """The pidfd."""
        return self._fd

    def logPrefix(self) -> str:
        """What Twisted's log calls it."""
        return "child"

    def doRead(self) -> None:
        """The child may have exited."""
        if self._family.exit() is not None:
            self.stop()
            self._told()

    def connectionLost(self, reason: Failure) -> None:
        """The reactor has done with it."""
        if self._fd >= 0:
            self.stop()
            self._ask()

    def stop(self) -> None:
        """Watch no more."""
        if self._fd >= 0:
            self._reactor.removeReader(self)
            os.close(self._fd)
            self._fd = -1
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def _ask(self) -> None:
        self._next = None
        if self._family.exit() is None:
            self._next = self._reactor.callLater(_POLL_EVERY, self._ask)
        else:
            self._told()
