"""What was given out and is good for a while: bounded, in all and for each key. Pure."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Generic, Protocol, TypeVar


class IsGood(Protocol):
    """Something that was given out.

    :ivar digest: what it is known by.
    :ivar key: the fingerprint of the key that it was given for.
    :ivar deadline: when it ends, by the clock that only goes forward.
    """

    @property
    def digest(self) -> bytes:
        """See above."""

    @property
    def key(self) -> str:
        """See above."""

    @property
    def deadline(self) -> float:
        """See above."""


T = TypeVar("T", bound=IsGood)


class GivenOut(Generic[T]):
    """All of one sort; to be derived from.

    :param monotonic: seconds that only grow.
    :param limit: how many there may be.
    :param per_key: how many of one key's; the oldest goes when there would be more.
    :ivar displaced: how many good ones went to make room for another of their key.
    :ivar refused: how often there was no room.
    """

    def __init__(
        self,
        monotonic: Callable[[], float],
        limit: int,
        per_key: int,
    ) -> None:
        self.limit = limit
        self.displaced = self.refused = 0
        self._monotonic = monotonic
        self._per_key = per_key
        self._all: dict[bytes, T] = {}
        self._by_key: dict[str, OrderedDict[bytes, T]] = {}

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[T]:
        return iter(list(self._all.values()))

    def known(self, digest: bytes) -> T | None:
        """The one of that name, good or not."""
        return self._all.get(digest)

    def gone(self, one: T) -> None:
        """Called with each that goes, for whatever reason."""

    def has_room(self, key: str) -> bool:
        """Whether there is room for one more of that key's; the oldest goes if that makes some."""
        own = self._by_key.get(key)
        if own is not None and len(own) >= self._per_key:
            oldest = next(iter(own.values()))
            self.displaced += oldest.deadline > self._monotonic()
            self.take(oldest.digest)
        if len(self._all) >= self.limit:
            self.expire()
        is_full = len(self._all) >= self.limit
        self.refused += is_full
        return not is_full

    def add(self, one: T) -> None:
        """One more, for which there is room."""
        self._all[one.digest] = one
        self._by_key.setdefault(one.key, OrderedDict())[one.digest] = one

    def take(self, digest: bytes) -> T | None:
        """The one of that name, which is there no more."""
        one = self._all.pop(digest, None)
        if one is not None:
            own = self._by_key[one.key]
            del own[digest]
            if not own:
                del self._by_key[one.key]
            self.gone(one)
        return one

    def withdraw(self, key: str) -> int:
        """End all of that key; how many there were."""
        own = list(self._by_key.get(key, ()))
        for digest in own:
            self.take(digest)
        return len(own)

    def expire(self) -> None:
        """End those whose time is over; to be called now and then."""
        now = self._monotonic()
        for one in [each for each in self._all.values() if each.deadline <= now]:
            self.take(one.digest)
