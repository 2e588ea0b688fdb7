"""Whether a connection is alive, and of use still: what is to be done about its silence. Pure."""

from __future__ import annotations

__all__ = ["DEAD", "IDLE", "PING", "WAIT", "Pulse"]

# What is to be done.
WAIT = "wait"
PING = "ping"
IDLE = "idle"
DEAD = "dead"


class Pulse:
    """When a connection was last heard of. All times are in seconds.

    :param idle: of silence that a connection may keep on which nothing is asked.
    :param ping: of silence, while something is asked, after which the far end is pinged.
    :param pong: that it has to answer.
    :param now: when the connection begins.
    """

    def __init__(self, idle: float, ping: float, pong: float, now: float) -> None:
        self._idle = idle
        self._ping = ping
        self._pong = pong
        self._heard_at = now
        self._is_pinged = False

    def heard(self, now: float) -> None:
        """Something came, or what was asked came to its end."""
        self._heard_at = now
        self._is_pinged = False

    def look(self, now: float, is_asked: bool) -> tuple[str, float]:
        """What is to be done now, and after how long to look again.

        :param is_asked: whether something was asked that has no whole answer yet.
        :return: `WAIT`, or `PING`, which is taken for done; or `IDLE` or `DEAD`, which are the
            end, so that there is no next time.
        """
        silent = now - self._heard_at
        if not is_asked:
            return (IDLE, 0.0) if silent >= self._idle else (WAIT, self._idle - silent)
        if self._is_pinged:
            return DEAD, 0.0
        if silent < self._ping:
            return WAIT, self._ping - silent
        self._is_pinged = True
        return PING, self._pong
