"""Reading the configuration again on SIGHUP, as daemons do."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

from twisted.logger import Logger

from mcptwist.errors import McpTwistError

_STANDARD_INPUT = 0


class Hangup:
    """Reloads on each SIGHUP, and logs what came of it.

    :param reactor: in whose turn it is done.
    :param reload: reads the configuration again and tells what has changed, a line for each;
        raises :class:`~mcptwist.errors.McpTwistError` where it cannot be used.
    """

    log = Logger()

    def __init__(self, reactor: Any, reload: Callable[[], list[str]]) -> None:
        self._reactor = reactor
        self._reload = reload

    def heed(self) -> None:
        """Heed the signal from now on; to be called when the reactor runs.

        A daemon that has a terminal is to end when that is closed, which is the same signal.
        One that goes to the background has let go of its terminal by the time it runs.
        """
        if not os.isatty(_STANDARD_INPUT):
            signal.signal(signal.SIGHUP, self._signalled)

    def _signalled(self, number: int, frame: Any) -> None:
        self._reactor.callFromThread(self._again)

    def _again(self) -> None:
        try:
            lines = self._reload() or ["nothing has changed"]
        except McpTwistError as problem:
            self.log.error("configuration: {problem}", problem=problem.message)
            return
        except Exception:
            self.log.failure("the configuration could not be read again; all stays as it was")
            return
        for line in lines:
            self.log.warn("configuration: {line}", line=line)
