"""Which eras a server speaks, as far as is known."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from mcptwist.versions import LEGACY, MODERN

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime

_MEMORY = 300.0
"""Seconds for which a server that refused an era is not asked in it again."""


class SpokenEras:
    """What one server is to be asked in.

    :param configured: the eras that it may be asked in at all.
    """

    def __init__(self, configured: Collection[str], clock: IReactorTime) -> None:
        self._configured = configured
        self._clock = clock
        self._refused_until: dict[str, float] = {}

    def __contains__(self, era: object) -> bool:
        """Whether it is to be asked in *era*: configured so, and not refused of late."""
        return (
            isinstance(era, str)
            and era in self._configured
            and self._refused_until.get(era, 0.0) <= self._clock.seconds()
        )

    @property
    def certain(self) -> bool:
        """Whether there is but one era that it can be asked in."""
        return len(self._configured) == 1

    def refused(self, era: str) -> bool:
        """Remember that it does not speak *era*; whether it may speak the other."""
        self._refused_until[era] = self._clock.seconds() + _MEMORY
        return (LEGACY if era == MODERN else MODERN) in self

    def forget(self) -> None:
        """It is another server now, or may be."""
        self._refused_until.clear()
