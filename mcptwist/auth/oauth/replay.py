"""What was used once and may not be used again.

Entries are kept until what they stand for is over, by the clock that judges it (the wall's, which
can be set) *and* by the one that only goes forward. When there is no room, nothing is accepted:
a cache that forgets would let a replay in. RFC 7523 section 3, RFC 9449 section 11.1. Pure.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Protocol


class ReplaysFull(Exception):
    """There is no room to remember one more; nothing can be accepted."""


class Replays(Protocol):
    """Whatever remembers who used what.

    :ivar limit: how many uses are remembered.
    :ivar refused: how often one more could not be.
    :ivar remembers_since: seconds since 1970; what was made before may have been used.
    """

    limit: int
    refused: int
    remembers_since: float

    def __len__(self) -> int: ...

    def first_use(self, owner: str, name: str, until: float) -> bool:
        """Remember that *owner* used *name*; whether it is the first time.

        :param until: seconds since 1970 from which on it would be refused anyway.
        :raises ReplaysFull: it cannot be remembered.
        """

    def close(self) -> None:
        """Nothing is remembered any more."""


class ReplayCache:
    """Who used what.

    :param wall: seconds since 1970.
    :param monotonic: seconds that only grow.
    :param limit: how many uses are remembered.
    :param share: how many of them one owner may have.
    :param born: since when there is one, in seconds since 1970.
    :ivar refused: how often there was no room for one more.
    """

    def __init__(
        self,
        wall: Callable[[], float],
        monotonic: Callable[[], float],
        limit: int = 100_000,
        share: int = 25_000,
        born: float = 0.0,
    ) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self.limit = limit
        self.refused = 0
        self.remembers_since = born
        self._share = share
        self._used: dict[tuple[str, str], float] = {}
        self._owned: dict[str, int] = {}
        self._ends: list[tuple[float, tuple[str, str]]] = []

    def __len__(self) -> int:
        return len(self._used)

    def first_use(self, owner: str, name: str, until: float) -> bool:
        """Remember that *owner* used *name*; whether it is the first time.

        :param until: seconds since 1970 from which on it would be refused anyway.
        :raises ReplaysFull: it cannot be remembered.
        """
        now = self._wall()
        self._forget(now)
        use = (owner, name)
        if use in self._used:
            return False
        if len(self._used) >= self.limit or self._owned.get(owner, 0) >= self._share:
            self.refused += 1
            raise ReplaysFull
        self._used[use] = self._monotonic() + max(0.0, until - now)
        self._owned[owner] = self._owned.get(owner, 0) + 1
        heapq.heappush(self._ends, (until, use))
        return True

    def close(self) -> None:
        """Nothing is remembered any more; of no matter, for nobody asks."""

    def _forget(self, now: float) -> None:
        while self._ends and self._ends[0][0] < now:
            _, use = heapq.heappop(self._ends)
            left = self._used[use] - self._monotonic()
            if left > 0:  # the wall clock was set forward, and may be set back
                heapq.heappush(self._ends, (now + left, use))
                continue
            del self._used[use]
            self._owned[use[0]] -= 1
            if not self._owned[use[0]]:
                del self._owned[use[0]]
