"""Autobahn's timers, by a clock of ours.

Autobahn asks txaio for its timers, which knows one reactor for the whole process
and takes no other; so what waits could not be tested, nor run on another reactor.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IReactorTime


class Timers:
    """What Autobahn calls a batched timer: ``factory._batched_timer``."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock

    def call_later(
        self, delay: float, called: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> Timer:
        """Called by Autobahn: have *called* called after so many seconds."""
        return Timer(self._clock.callLater(delay, called, *args, **kwargs))


class Timer:
    """Something that will happen, unless it is cancelled; cancelling it late is nothing."""

    __slots__ = ("_call",)

    def __init__(self, call: IDelayedCall) -> None:
        self._call = call

    def cancel(self) -> None:
        """Called by Autobahn."""
        if self._call.active():
            self._call.cancel()
