"""What can be seen of those who may come in, and done about them: keys, and what waits for one."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta
from twisted.logger import Logger

from mcptwist.server import Refused
from mcptwist.watching.reports import Done, KeyDesk, KeyStatus, WaitingStatus


class Keykeeper:
    """The part of the daemon's own server that is there where there are keys."""

    log: Logger
    _desk: KeyDesk | None

    def keys(self) -> list[KeyStatus]:
        """The keys that are authorized, and those that nobody knows and somebody came with."""
        assert self._desk is not None
        return self._desk.all()

    def approvals(self) -> list[WaitingStatus]:
        """The browsers and devices that wait for somebody with a key to say yes."""
        assert self._desk is not None
        return self._desk.waiting()

    def revoke_key(self, fingerprint: Annotated[str, Meta(max_length=100)]) -> Done:
        """Revoke a key for good: its tokens and connections end, and it is written down."""
        assert self._desk is not None
        if fingerprint not in {key.fingerprint for key in self._desk.all()}:
            raise Refused(f"no key {fingerprint} is authorized")
        try:
            self._desk.revoke(fingerprint)
        except OSError as problem:
            raise Refused(f"it could not be written down: {problem.strerror}") from None
        self.log.warn("the key {key} is revoked by request", key=fingerprint)
        return Done(f"{fingerprint} is revoked")
