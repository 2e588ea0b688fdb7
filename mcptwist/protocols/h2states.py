"""The streams of an HTTP/2 connection at the server's end: their states and windows. Pure.

RFC 9113 section 5.1. A stream is idle, or open until both ends have sent all of it, or over; those
that are over are remembered for a while, because what a client sent before it knew is no mistake.
"""

from __future__ import annotations

from itertools import islice

__all__ = ["ENDED", "RESET_BY_CLIENT", "RESET_BY_US", "Flow", "Streams"]

# How a stream came to be over.
ENDED, RESET_BY_CLIENT, RESET_BY_US = range(3)

#: So many that are over are known, and up to twice as many.
REMEMBERED = 512


class Flow:
    """A stream that is not over.

    :ivar asked: whether the client has sent all of it.
    :ivar answered: whether we have.
    :ivar window: bytes of an answer that may be sent; below nought when the client shrank it.
    :ivar room: bytes of a body that the client may still send.
    :ivar used: those it sent, we used, and it was not told of.
    """

    __slots__ = ("answered", "asked", "room", "used", "window")

    def __init__(self, asked: bool, window: int, room: int) -> None:
        self.asked = asked
        self.answered = False
        self.window = window
        self.room = room
        self.used = 0


class Streams:
    """All streams of one connection.

    :param window: bytes of an answer that may be sent on a new stream.
    :param room: bytes of a body that may come on a new stream.
    :ivar open: those that are not over, by number.
    :ivar highest: the highest that was opened.
    """

    def __init__(self, window: int, room: int) -> None:
        self.open: dict[int, Flow] = {}
        self.highest = 0
        self._window = window
        self._room = room
        self._over: dict[int, int] = {}

    def is_idle(self, stream: int) -> bool:
        """Whether the client has not opened it yet, or never can (section 5.1.1)."""
        return stream > self.highest or not stream & 1

    def how(self, stream: int) -> int | None:
        """How one came to be over; None when that was long ago, or it was never opened."""
        return self._over.get(stream)

    def begin(self, stream: int, asked: bool) -> None:
        """The client has opened one, above all others."""
        self.highest = stream
        self.open[stream] = Flow(asked, self._window, self._room)

    def asked(self, stream: int) -> None:
        """The client has sent all of one that is open."""
        flow = self.open[stream]
        flow.asked = True
        if flow.answered:
            self.end(stream, ENDED)

    def answered(self, stream: int) -> None:
        """We have."""
        flow = self.open[stream]
        flow.answered = True
        if flow.asked:
            self.end(stream, ENDED)

    def end(self, stream: int, how: int) -> bool:
        """One is over; False when it was before."""
        if self.open.pop(stream, None) is None:
            return False
        self._over[stream] = how
        if len(self._over) >= 2 * REMEMBERED:
            self._over = dict(islice(self._over.items(), REMEMBERED, None))
        return True

    @property
    def window(self) -> int:
        """Of new streams. Those that are open change with it, below nought too (6.9.2)."""
        return self._window

    @window.setter
    def window(self, window: int) -> None:
        more, self._window = window - self._window, window
        for flow in self.open.values():
            flow.window += more

    @property
    def room(self) -> int:
        """Of new streams; it changes as `window` does."""
        return self._room

    @room.setter
    def room(self, room: int) -> None:
        more, self._room = room - self._room, room
        for flow in self.open.values():
            flow.room += more

    def widest(self) -> int:
        """The largest window of all."""
        return max((flow.window for flow in self.open.values()), default=self._window)
