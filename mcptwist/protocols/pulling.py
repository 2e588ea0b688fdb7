"""A producer that makes a piece when it is asked to, turned into one that goes on by itself."""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IReactorTime


class Pulled:
    """A push producer around a pull producer: pulls once per reactor turn while allowed.

    :param producer: an ``IPullProducer``.
    :param clock: makes the turns.
    """

    def __init__(self, producer: Any, clock: IReactorTime) -> None:
        self._producer = producer
        self._clock = clock
        self._call: Any = None
        self.resumeProducing()

    def resumeProducing(self) -> None:
        if self._call is None:
            self._call = self._clock.callLater(0, self._pull)

    def pauseProducing(self) -> None:
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def stopProducing(self) -> None:
        self.pauseProducing()
        self._producer.stopProducing()

    def _pull(self) -> None:
        self._call = self._clock.callLater(0, self._pull)
        self._producer.resumeProducing()
