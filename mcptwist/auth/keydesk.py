"""The keys, for whoever administers the daemon: who may come in, and revoking."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from mcptwist.auth.authorizedkeys import SCOPES, Grant
from mcptwist.auth.keyfiles import FileProblem, KeyFiles
from mcptwist.auth.keyring import Keyring
from mcptwist.auth.keystore import KeyList, is_revoked_by
from mcptwist.auth.policy import is_unrestricted
from mcptwist.watching.reports import KeyStatus

__all__ = ["Desk"]


class Desk:
    """See :class:`~mcptwist.watching.reports.KeyDesk`.

    :param revoked: the path of ``revoked_keys``.
    :param identities: those of everybody who is here now.
    :param wall: seconds since 1970.
    """

    def __init__(
        self,
        keyring: Keyring,
        files: KeyFiles,
        revoked: str,
        identities: Callable[[], Iterable[str]],
        wall: Callable[[], float],
    ) -> None:
        self._keyring = keyring
        self._files = files
        self._revoked = KeyList(revoked)
        self._identities = identities
        self._wall = wall

    def all(self) -> list[KeyStatus]:
        """Those that are good, and those that will be or were."""
        here = Counter(self._identities())
        return [
            self._status(grant, here[grant.identity])
            for grant in self._keyring.told.grants.values()
        ]

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

    def _status(self, grant: Grant, sessions: int) -> KeyStatus:
        return KeyStatus(
            grant.key.fingerprint,
            grant.principal,
            self._state(grant, sessions),
            tuple(scope for scope in SCOPES if scope in grant.scopes),
            grant.expires,
            sessions,
            not is_unrestricted(grant),
        )

    def _state(self, grant: Grant, sessions: int) -> str:
        if self._keyring.grant(grant.key.fingerprint) is not None:
            return "in use" if sessions else "good"
        not_yet = grant.begins is not None and self._wall() < grant.begins
        return "not yet" if not_yet else "over"
