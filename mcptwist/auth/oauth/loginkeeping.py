"""What of a login outlasts the daemon, and who keeps it.

Of a refresh token its hash is kept, never the token; of codes and access tokens nothing is. Pure.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

import msgspec

from mcptwist.auth.authorizedkeys import Grant
from mcptwist.auth.oauth.tokens import digest_of, mark_of

_LINE = msgspec.structs.fields(Grant)


class NotKept(Exception):
    """It could not be written down, so it may not be said either."""


class Kept(msgspec.Struct, frozen=True):
    """A login, as it is written down.

    :ivar refresh: the hash of the refresh token that is good.
    :ivar client: the ``client_id``.
    :ivar key: the fingerprint of the key that approved it.
    :ivar line: what that key might do then, by :func:`digest_of_line`.
    :ivar base: the name of ours, and
    :ivar path: the path there, that its tokens are for.
    :ivar jkt: the thumbprint of the key that its refresh tokens are bound to, if to any.
    :ivar left: seconds that it may last yet.
    :ivar way: how it was given.
    :ivar age: seconds since it was.
    :ivar source: the address that its tokens went to last.
    :ivar unused: seconds since then.
    """

    id: str
    refresh: bytes
    client: str
    key: str
    principal: str
    line: bytes
    base: str
    path: str
    scopes: frozenset[str]
    jkt: str | None
    left: float
    way: str
    age: float
    source: str
    unused: float = 0.0

    @property
    def mark(self) -> str:
        """What it is called in the audit log."""
        return mark_of(self.id)


class LoginStore(Protocol):
    """Whoever keeps logins.

    :ivar failures: how often something could not be written.
    :ivar is_behind: whether a login that has ended is still written down.
    """

    failures: int

    @property
    def is_behind(self) -> bool: ...

    def all(self) -> list[Kept]:
        """What is kept, the oldest first.

        :raises CannotStart: it cannot be read.
        """

    def keep(self, login: Kept, before: bytes | None) -> bool:
        """Write a login down, as it is from now on.

        :param before: the hash that it had; ``None`` for one that is new.
        :return: whether that is what was written before; nothing is changed otherwise.
        :raises NotKept: it cannot be written.
        """

    def end(self, ids: Collection[str]) -> None:
        """These have ended. What cannot be written now is tried again, and comes first then."""

    def look(self) -> None:
        """Time has passed."""

    def close(self) -> None:
        """Hold nothing open until there is need again: in another process, or never."""


class NothingKept:
    """Keeps nothing: logins end with the daemon."""

    failures = 0
    is_behind = False

    def all(self) -> list[Kept]:
        """See :meth:`LoginStore.all`."""
        return []

    def keep(self, login: Kept, before: bytes | None) -> bool:
        """See :meth:`LoginStore.keep`."""
        return True

    def end(self, ids: Collection[str]) -> None:
        """See :meth:`LoginStore.end`."""

    def look(self) -> None:
        """See :meth:`LoginStore.look`."""

    def close(self) -> None:
        """See :meth:`LoginStore.close`."""


def digest_of_line(grant: Grant) -> bytes:
    """What tells one line of ``authorized_keys`` from another that says something else.

    What a line does not say is left out, so that options yet to come change nothing for it.
    """
    said = {
        field.name: getattr(grant, field.name)
        for field in _LINE
        if field.name != "key" and getattr(grant, field.name) != field.default
    }
    said["scopes"] = sorted(grant.scopes)
    return digest_of(repr((grant.key.fingerprint, sorted(said.items()))).encode())
