"""What can be seen of those who may come in, and done about them: keys, logins, what waits."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta
from twisted.logger import Logger

from mcptwist.server import Refused
from mcptwist.watching.reports import CannotEnd, Done, KeyDesk, KeyStatus, Logins, WaitingStatus

_ID = "such as 8f3a01c2, as logins has it"


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

    def logins(
        self,
        whose: Annotated[str, Meta(max_length=200)] = "",
        limit: Annotated[int, Meta(description="how many at most", ge=1, le=10_000)] = 500,
    ) -> Logins:
        """List who is logged in, those heard last first: clients that people let in, and tokens
        that keys asked for.

        :param whose: a principal's name or a key's fingerprint; everybody's otherwise
        """
        assert self._desk is not None
        return self._desk.guests.told(whose, limit)

    def all_logins(self) -> Logins:
        """The 500 logins that were heard last."""
        return self.logins()

    def end_login(self, id: Annotated[str, Meta(description=_ID, max_length=40)]) -> Done:
        """End a login at once: its tokens, sessions, streams and WebSockets. Its key stays good."""
        assert self._desk is not None
        try:
            return Done(self._desk.guests.end(id))
        except CannotEnd as problem:
            raise Refused(str(problem)) from None

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
