"""The keys that are good now: what the files say, less what is revoked, begun and not ended.

The :class:`Keyring` is asked; :class:`~mcptwist.auth.keyfiles.KeyFiles` tells it what the files
say. Who stops being good, because their line is gone or changed, their key revoked or their time
over, is told to all who want to know. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from twisted.logger import Logger

from mcptwist.auth.authorizedkeys import AuthorizedKeys, Grant

Withdrawn = Callable[[Grant, str], object]


class Keyring:
    """The good keys.

    :param wall: seconds since 1970.
    :ivar refused: the lines that were not understood.
    """

    log = Logger()

    def __init__(self, wall: Callable[[], float]) -> None:
        self._wall = wall
        self._told: AuthorizedKeys = AuthorizedKeys()
        self._revoked: frozenset[str] = frozenset()
        self._grants: dict[str, Grant] = {}
        self._by_principal: dict[str, list[Grant]] = {}
        self._by_identity: dict[str, Grant] = {}
        #: What a principal may do, by what its sessions belong to; ``None`` if it is not good.
        self.of: Callable[[str], Grant | None] = self._by_identity.get
        self._by_thumbprint: dict[str, Grant] | None = None
        self._most_keys = 0
        self._listeners: list[Withdrawn] = []

    def __len__(self) -> int:
        return len(self._grants)

    def __iter__(self) -> Iterator[Grant]:
        return iter(list(self._grants.values()))

    @property
    def told(self) -> AuthorizedKeys:
        """What the file says, good or not."""
        return self._told

    def grant(self, fingerprint: str) -> Grant | None:
        """What that key may do; ``None`` if it is not good."""
        return self._grants.get(fingerprint)

    def of_thumbprint(self, thumbprint: str) -> Grant | None:
        """What the key of that thumbprint (RFC 7638) may do; ``None`` if it is not good."""
        known = self._by_thumbprint
        if known is None:
            # Most daemons are never asked, and thousands of thumbprints take a while.
            known = {grant.key.thumbprint: grant for grant in self if grant.key.thumbprint}
            self._by_thumbprint = known
        return known.get(thumbprint)

    @property
    def most_keys(self) -> int:
        """How many keys the principal has that has most."""
        return self._most_keys

    def candidates(self, client: str) -> list[Grant]:
        """The grants that a client may mean by its id: a principal's name, or a fingerprint."""
        own = self._grants.get(client)
        return [own] if own is not None else list(self._by_principal.get(client, ()))

    def when_withdrawn(self, told: Withdrawn) -> None:
        """Have *told* called with each grant that is not good any more, and why."""
        self._listeners.append(told)

    def replace(self, told: AuthorizedKeys, revoked: frozenset[str]) -> None:
        """The files say something else now."""
        self._told, self._revoked = told, revoked
        self.look()

    def look(self) -> None:
        """Time has passed, or the files have changed: see who is good now."""
        now = self._wall()
        good = {
            fingerprint: grant
            for fingerprint, grant in self._told.grants.items()
            if grant.is_good(now) and fingerprint not in self._revoked
        }
        if good == self._grants:
            return
        before, self._grants = self._grants, good
        self._by_principal, self._by_thumbprint = {}, None
        self._by_identity.clear()  # and not another: it is asked directly
        self._by_identity.update((grant.identity, grant) for grant in good.values())
        for grant in good.values():
            self._by_principal.setdefault(grant.principal, []).append(grant)
        self._most_keys = max(map(len, self._by_principal.values()), default=0)
        self._tell_withdrawn(before)

    def _tell_withdrawn(self, before: Mapping[str, Grant]) -> None:
        for fingerprint, grant in before.items():
            if self._grants.get(fingerprint) != grant:
                self._tell(grant, self._why(fingerprint))

    def _tell(self, grant: Grant, why: str) -> None:
        """Everyone hears it, whatever becomes of the others."""
        for listener in self._listeners:
            try:
                listener(grant, why)
            except Exception:
                self.log.failure("telling {listener} of a withdrawn key broke", listener=listener)

    def _why(self, fingerprint: str) -> str:
        if fingerprint in self._revoked:
            return "revoked"
        if fingerprint in self._grants:
            return "changed"
        return "expired" if fingerprint in self._told.grants else "removed"
