"""Waiting for so long at most, or longer where there is an excuse."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from mcptwist.errors import ServerError


async def bounded(
    waiting: Deferred[Any], seconds: float, clock: IReactorTime, problem: ServerError
) -> Any:
    """Wait for so long at most.

    :raises ServerError: *problem*, when it was too long.
    """

    def late(_: Failure, __: float) -> Failure:
        return Failure(problem)

    return await waiting.addTimeout(seconds, clock, onTimeoutCancel=late)


async def patient(
    waiting: Deferred[Any],
    seconds: float,
    clock: IReactorTime,
    problem: ServerError,
    excused: Callable[[], bool],
) -> Any:
    """The same, but that as long as there is an excuse it is waited on.

    :param excused: asked each time that so many seconds are over.
    :raises ServerError: *problem*.
    """
    is_late = False
    call: Any = None

    def look() -> None:
        nonlocal call, is_late
        if excused():
            call = clock.callLater(seconds, look)
        else:
            is_late = True
            waiting.cancel()

    call = clock.callLater(seconds, look)
    try:
        return await waiting
    except BaseException:
        if is_late:
            raise problem from None
        raise
    finally:
        if call.active():
            call.cancel()
