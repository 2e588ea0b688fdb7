"""Who comes in when credentials were found good: the Principal, Cred's avatar.

One :class:`~twisted.cred.portal.Portal` stands before everything. Whoever embeds the daemon may
give it further checkers, for credentials of their own; what a checker returns is a
:class:`Proved`, and the realm makes the :class:`Principal` of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec
from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.portal import IRealm, Portal
from zope.interface import Attribute, Interface, implementer

from mcptwist.auth.authorizedkeys import Grant
from mcptwist.auth.oauth.tokens import Token

SIGNATURE, TOKEN, TICKET = "signature", "token", "ticket"
CERTIFICATE, PROOF, LOCAL = "certificate", "proof", "local"
APPROVAL, SIGNED = "approval", "signed"
"""How it was proved who is calling."""
OF_CONNECTIONS = frozenset({CERTIFICATE, LOCAL})
"""What is proved once for a whole connection."""


class Proved(msgspec.Struct, frozen=True):
    """What a checker found out: the avatar id.

    :ivar grant: what the caller's key may do.
    :ivar via: how it was proved, for the audit log.
    :ivar token: the token that was brought, if one was.
    """

    grant: Grant
    via: str
    token: Token | None = None


class IPrincipal(Interface):
    """Who is calling."""

    name = Attribute("The name it goes by.")
    key = Attribute("The fingerprint of its key.")
    identity = Attribute("What sessions belong to (a str): the name and the key.")
    scopes = Attribute("What the caller may do now, a frozenset.")
    via = Attribute("How it was proved.")


@implementer(IPrincipal)
class Principal(msgspec.Struct, frozen=True):
    """See :class:`IPrincipal`.

    :ivar grant: what its key may do.
    :ivar token: the token it came with, if with one.
    """

    grant: Grant
    scopes: frozenset[str]
    via: str
    identity: str
    token: Token | None = None

    @property
    def name(self) -> str:
        """The name it goes by."""
        return self.grant.principal

    @property
    def key(self) -> str:
        """The fingerprint of its key."""
        return self.grant.key.fingerprint


@implementer(IRealm)
class Realm:
    """Makes principals.

    :param came: told the fingerprint of the key that each came in with.
    """

    def __init__(self, came: Callable[[str], None] = lambda fingerprint: None) -> None:
        self._came = came

    def requestAvatar(
        self, avatarId: Any, mind: Any, *interfaces: Any
    ) -> tuple[Any, Any, Callable[[], None]]:
        """Called by the portal when credentials were found good."""
        if IPrincipal not in interfaces:
            raise NotImplementedError("there are only principals here")
        principal = principal_of(avatarId)
        self._came(principal.key)
        return IPrincipal, principal, _leave


def principal_of(proved: Proved) -> Principal:
    """Who it is that was proved: with a token, what the token is for, and never more than that."""
    grant, token = proved.grant, proved.token
    scopes = grant.scopes if token is None else grant.scopes & token.scopes
    return Principal(grant, scopes, proved.via, grant.identity, token)


def _leave() -> None:
    """Nothing is kept for an avatar; what it opened ends with its key."""


def make_portal(
    checkers: Iterable[Any], came: Callable[[str], None] = lambda fingerprint: None
) -> Portal:
    """The portal.

    :param checkers: for each sort of credentials one (:class:`ICredentialsChecker`).
    :param came: as the realm has it.
    """
    found = list(checkers)
    assert all(ICredentialsChecker.providedBy(checker) for checker in found)
    return Portal(Realm(came), found)
