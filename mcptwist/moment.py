"""Something that happens once, and may be waited for with patience."""

from __future__ import annotations

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime


class Moment:
    """Something that happens once; anybody may wait for it, but need not wait for ever.

    :param clock: what patience is measured with.
    :ivar happened: whether it has.
    """

    __slots__ = ("_clock", "_waiting", "happened")

    def __init__(self, clock: IReactorTime) -> None:
        self.happened = False
        self._clock = clock
        self._waiting: list[Deferred[bool]] = []

    def happen(self) -> None:
        """It happens now; those who wait go on at once, in the order they came."""
        self.happened = True
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            waiter.callback(True)

    def within(self, seconds: float | None = None) -> Deferred[bool]:
        """Wait for it.

        :param seconds: how long at most, ``None`` for as long as it takes.
        :return: fires with whether it has happened.
        """
        if self.happened:
            return succeed(True)
        waiter: Deferred[bool] = Deferred(self._forget)
        self._waiting.append(waiter)
        if seconds is not None:
            late = self._clock.callLater(seconds, self._give_up, waiter)

            def over(happened: bool) -> bool:
                if late.active():
                    late.cancel()
                return happened

            waiter.addBoth(over)
        return waiter

    def _give_up(self, waiter: Deferred[bool]) -> None:
        self._forget(waiter)
        waiter.callback(False)

    def _forget(self, waiter: Deferred[bool]) -> None:
        if waiter in self._waiting:
            self._waiting.remove(waiter)
