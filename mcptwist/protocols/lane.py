"""The order in which messages leave, where each is an HTTP request of its own."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial


class Lane:
    """The order in which messages leave, where each is an HTTP request of its own.

    Requests and answers leave side by side. A notification leaves when all that
    were sent before it have been written, and what is sent after it waits until it
    was accepted: a server never hears a call before ``notifications/initialized``,
    nor that a call is cancelled before the call.
    """

    def __init__(self) -> None:
        self._waiting: deque[tuple[Callable[[Callable[[], None]], None], bool]] = deque()
        self._leaving = 0
        self._held = False
        self._moving = False

    def put(self, leave: Callable[[Callable[[], None]], None], alone: bool) -> None:
        """Have *leave* called when it is its turn.

        :param leave: given what it has to call once it is written, or accepted where *alone*.
        """
        self._waiting.append((leave, alone))
        self._move()

    def clear(self) -> None:
        """Nothing more leaves."""
        self._waiting.clear()

    def _move(self) -> None:
        if self._moving:  # what has left at once is seen by the loop, however much there is of it
            return
        self._moving = True
        try:
            while self._waiting and not self._held:
                leave, alone = self._waiting[0]
                if alone and self._leaving:
                    return
                self._waiting.popleft()
                self._leaving += 1
                self._held = alone
                leave(_Once(partial(self._left, alone)))
        finally:
            self._moving = False

    def _left(self, alone: bool) -> None:
        self._leaving -= 1
        if alone:
            self._held = False
        self._move()


class _Once:
    """Something to be called, which counts but once."""

    __slots__ = ("_told",)

    def __init__(self, told: Callable[[], None]) -> None:
        self._told: Callable[[], None] | None = told

    def __call__(self) -> None:
        told, self._told = self._told, None
        if told is not None:
            told()
