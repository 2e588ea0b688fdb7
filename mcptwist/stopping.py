"""Stopping on a signal: drain once, and do not make an impatient person wait."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopping:
    """Stops the reactor on the first SIGINT or SIGTERM, and the process on the second.

    Twisted's own handlers make ``twistd`` end by the signal that stopped it; a
    daemon that has drained ends with exit status 0.

    :param reactor: to be stopped; its ``shutdown`` triggers do the draining.
    :param said: told the number of the first signal.
    :ivar begun: whether stopping has begun.
    """

    def __init__(self, reactor: Any, said: Callable[[int], None] = lambda number: None) -> None:
        self.begun = False
        self._reactor = reactor
        self._said = said

    def heed(self) -> None:
        """Heed signals from now on; to be called when the reactor runs."""
        for number in SIGNALS:
            signal.signal(number, self._signalled)

    def stop(self) -> None:
        """Stop now, unless that has begun."""
        if not self.begun:
            self.begun = True
            self._reactor.stop()

    def _signalled(self, number: int, _: Any) -> None:
        if self.begun:
            # Children that are left are ended by their warden.
            os._exit(128 + number)
        self._said(number)
        self._reactor.callFromThread(self.stop)
