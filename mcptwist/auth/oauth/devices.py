"""Devices and programs that no browser can come back to: the secret with which they wait.

A device gets two codes: one that it shows, under which it waits for approval as browsers do, and a
secret one with which it asks, again and again, what came of that. The table knows only the hash of
the secret. RFC 8628. Pure.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from mcptwist.auth.keys import to_base64url
from mcptwist.auth.oauth.approvals import Pending
from mcptwist.auth.oauth.tokens import digest_of

PREFIX = "mcp_dc_"
INTERVAL = 5.0
"""Seconds that a device has to wait before it asks again, and what is added when it does not."""

_BYTES = 32
_LONGEST = 128
_TOLERANCE = 1.0
"""Seconds that an answer may have taken longer to come than the next question to get here."""
_REMEMBERED = 60.0
"""Seconds that it is known that a code has ended."""


class DevicesFull(Exception):
    """As many devices wait as may."""


class Device:
    """One that waits.

    :ivar pending: what it waits for.
    :ivar deadline: when it is forgotten, by the clock that only goes forward.
    :ivar interval: seconds that it has to wait before it asks again.
    """

    __slots__ = ("_asked", "deadline", "digest", "interval", "pending")

    def __init__(self, digest: bytes, pending: Pending, now: float) -> None:
        self.digest = digest
        self.pending = pending
        self.deadline = pending.deadline + _REMEMBERED
        self.interval = INTERVAL
        self._asked = now - INTERVAL

    def is_hasty(self, now: float) -> bool:
        """It asks once more; whether that is too soon, for which it has to wait longer."""
        since, self._asked = now - self._asked, now
        if since >= self.interval - _TOLERANCE:
            return False
        self.interval += INTERVAL
        return True


class Devices:
    """All that wait, or have until a moment ago.

    :param monotonic: seconds that only grow.
    :param make_bytes: so many unguessable bytes each time.
    :param limit: how many there may be.
    """

    def __init__(
        self,
        monotonic: Callable[[], float],
        make_bytes: Callable[[int], bytes],
        limit: int = 2000,
    ) -> None:
        self._monotonic = monotonic
        self._make_bytes = make_bytes
        self._limit = limit
        self._devices: OrderedDict[bytes, Device] = OrderedDict()

    def __len__(self) -> int:
        return len(self._devices)

    def check_room(self) -> None:
        """:raises DevicesFull: there is none for one more."""
        self.expire()
        if len(self._devices) >= self._limit:
            raise DevicesFull

    def begin(self, pending: Pending) -> str:
        """The secret code for what waits."""
        text = PREFIX + to_base64url(self._make_bytes(_BYTES))
        digest = digest_of(text.encode())
        self._devices[digest] = Device(digest, pending, self._monotonic())
        return text

    def find(self, code: str) -> Device | None:
        """Who has that secret code."""
        self.expire()
        if len(code) > _LONGEST:
            return None
        return self._devices.get(digest_of(code.encode("utf-8", "replace")))

    def is_hasty(self, device: Device) -> bool:
        """It asks once more; whether that is too soon."""
        return device.is_hasty(self._monotonic())

    def end(self, device: Device) -> None:
        """It has had its answer."""
        self._devices.pop(device.digest, None)

    def expire(self) -> None:
        """Forget those whose time is long over; all wait for as long."""
        now = self._monotonic()
        while self._devices:
            device = next(iter(self._devices.values()))
            if device.deadline > now:
                return
            self.end(device)
