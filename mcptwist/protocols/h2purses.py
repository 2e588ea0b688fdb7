"""What the frames of an HTTP/2 connection cost. Pure.

A frame is cheap to send and dear to answer, so each kind that asks for work without bringing a
request is paid for out of a purse: see :class:`Purses`. A purse fills with time, and for window
updates with what we send; it does not fill because a stream ended, which a client that floods
would see to.
"""

from __future__ import annotations

import msgspec

from mcptwist.protocols.h2frames import ENHANCE_YOUR_CALM, ConnectionFailed

__all__ = ["Purses", "Rate", "Rates"]


class Rate(msgspec.Struct, frozen=True):
    """What a purse holds at most, and what is put in each second."""

    burst: float
    per_second: float


class Rates(msgspec.Struct, frozen=True, kw_only=True):
    """How much of each kind of frame one connection may send.

    :ivar reset: RST_STREAM, and streams that had to be reset because of what the client did.
    :ivar ping: PING.
    :ivar settings: SETTINGS, by the parameters in it.
    :ivar priority: PRIORITY.
    :ivar empty_data: DATA without content that does not end its stream.
    :ivar window_update: WINDOW_UPDATE, beyond two for each DATA frame that we send.
    :ivar stray: frames for streams that are over.
    :ivar other: everything unknown.
    """

    reset: Rate = Rate(200, 20)
    ping: Rate = Rate(200, 20)
    settings: Rate = Rate(200, 20)
    priority: Rate = Rate(200, 20)
    empty_data: Rate = Rate(200, 20)
    window_update: Rate = Rate(1000, 100)
    stray: Rate = Rate(2000, 200)
    other: Rate = Rate(200, 20)


class Purses:
    """Out of which one connection pays for what it sends; one purse for each of `Rates`."""

    def __init__(self, rates: Rates, now: float) -> None:
        self._rates = rates
        self._left: dict[str, tuple[float, float]] = {}  # content, and when that was so
        self._earned: dict[str, float] = {}  # and not yet put in
        self._start = now

    def pay(self, purse: str, now: float, cost: float = 1) -> None:
        """Take `cost` out of a purse.

        :param purse: the name of a field of `Rates`.
        :param now: seconds.
        :raises ConnectionFailed: there is not enough in it.
        """
        rate: Rate = getattr(self._rates, purse)
        left, since = self._left.get(purse, (rate.burst, self._start))
        left += (now - since) * rate.per_second + self._earned.pop(purse, 0)
        left = min(rate.burst, left) - cost
        self._left[purse] = left, now
        if left < 0:
            raise ConnectionFailed(ENHANCE_YOUR_CALM, f"too much: {purse}", flood=purse)

    def earn(self, purse: str, amount: float) -> None:
        """Put something in; what is more than the burst is lost when it is next paid from.

        :param amount: of frames that it is good for.
        """
        self._earned[purse] = self._earned.get(purse, 0) + amount
