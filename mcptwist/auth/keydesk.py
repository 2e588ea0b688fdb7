"""The keys, for whoever administers the daemon: who may come in, and revoking."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from mcptwist.auth.authorizedkeys import SCOPES, Grant
from mcptwist.auth.guestbook import Guestbook, Knock
from mcptwist.auth.keyfiles import FileProblem, KeyFiles
from mcptwist.auth.keyring import Keyring
from mcptwist.auth.keystore import KeyList, is_revoked_by
from mcptwist.auth.oauth.approvals import Approvals, Pending
from mcptwist.auth.reach import is_unrestricted
from mcptwist.watching.journal import Journal
from mcptwist.watching.reports import UNKNOWN, Guests, KeyStatus, WaitingStatus

__all__ = ["Desk"]


class Desk:
    """See :class:`~mcptwist.watching.reports.KeyDesk`.

    :param revoked: the path of ``revoked_keys``.
    :param identities: those of everybody who is here now.
    :param wall: seconds since 1970.
    :param guestbook: who came in with which key, and who knocked in vain.
    :param idle: how many seconds ago something was heard, by identity, of everybody who is here.
    :param approvals: what waits for somebody with a key, where anything may.
    :ivar audit: what happened at the gate.
    :ivar guests: who is logged in.
    """

    def __init__(
        self,
        keyring: Keyring,
        files: KeyFiles,
        revoked: str,
        identities: Callable[[], Iterable[str]],
        wall: Callable[[], float],
        guests: Guests,
        guestbook: Guestbook | None = None,
        idle: Callable[[], Iterable[tuple[str, float]]] = lambda: (),
        audit: Journal | None = None,
        approvals: Approvals | None = None,
    ) -> None:
        self.audit = audit or Journal()
        self.guests = guests
        self._approvals = approvals
        self._guestbook = guestbook or Guestbook(wall)
        self._idle = idle
        self._keyring = keyring
        self._files = files
        self._revoked = KeyList(revoked)
        self._identities = identities
        self._wall = wall

    def all(self) -> list[KeyStatus]:
        """Those that are good, that will be or were, and that nobody knows but who knocked."""
        here = Counter(self._identities())
        idle: dict[str, float] = {}
        for identity, seconds in self._idle():
            idle[identity] = min(seconds, idle.get(identity, seconds))
        known = [
            self._status(grant, here[grant.identity], idle.get(grant.identity))
            for grant in self._keyring.told.grants.values()
        ]
        return [*known, *map(_stranger, self._guestbook.knocks())]

    def waiting(self) -> list[WaitingStatus]:
        """What waits for approval, the oldest first."""
        approvals = self._approvals
        if approvals is None:
            return []
        return [_waiting(each, approvals.seconds_left(each)) for each in approvals.waiting()]

    def revoke(self, fingerprint: str) -> None:
        """Write the key down as revoked, and have that read.

        :raises OSError: it cannot be written.
        """
        try:
            if not is_revoked_by(self._revoked.text(), fingerprint):
                self._revoked.add(fingerprint)
        except FileProblem as problem:
            raise OSError(0, str(problem)) from None
        self._files.look()

    def _status(self, grant: Grant, sessions: int, idle: float | None) -> KeyStatus:
        came = self._guestbook.last.get(grant.key.fingerprint)
        heard = None if idle is None else self._wall() - idle
        return KeyStatus(
            grant.key.fingerprint,
            grant.principal,
            self._state(grant, sessions),
            tuple(scope for scope in SCOPES if scope in grant.scopes),
            grant.expires,
            sessions,
            not is_unrestricted(grant),
            max((moment for moment in (came, heard) if moment is not None), default=None),
        )

    def _state(self, grant: Grant, sessions: int) -> str:
        if self._keyring.grant(grant.key.fingerprint) is not None:
            return "in use" if sessions else "good"
        not_yet = grant.begins is not None and self._wall() < grant.begins
        return "not yet" if not_yet else "over"


def _waiting(pending: Pending, seconds: float) -> WaitingStatus:
    wanted = pending.wanted
    return WaitingStatus(
        pending.code,
        wanted.issuer,
        wanted.client_name,
        wanted.host,
        wanted.resource.url,
        tuple(scope for scope in SCOPES if scope in wanted.scopes),
        wanted.source,
        seconds,
    )


def _stranger(knock: Knock) -> KeyStatus:
    """Somebody unknown who wanted to come in, by what they call themselves."""
    return KeyStatus(knock.client, "?", UNKNOWN, last_used=knock.time, source=knock.source)
