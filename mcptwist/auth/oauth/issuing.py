"""What all grants have in common: the token that comes of them.

RFC 6749 section 5.1, RFC 8707, RFC 9449 section 5.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Protocol

import msgspec
from twisted.cred.portal import Portal

from mcptwist.auth.addresses import Address
from mcptwist.auth.audit import Audit
from mcptwist.auth.authorizedkeys import SCOPES, Grant
from mcptwist.auth.checkers import USE_NONCE
from mcptwist.auth.guard import Guard, baseline, source_of
from mcptwist.auth.oauth.assertions import USUAL, Leeway
from mcptwist.auth.oauth.dpop import ProofReader, ProofRefused
from mcptwist.auth.oauth.forms import Form, Refused
from mcptwist.auth.oauth.metadata import NO_STORE, respond
from mcptwist.auth.oauth.replay import Replays
from mcptwist.auth.oauth.tokens import Token, TokenTable, mark_of
from mcptwist.protocols.request import Request

_SECONDS = re.compile(r"[1-9][0-9]{0,8}\Z", re.ASCII)
_PRINTABLE = re.compile(r"[ -~]*\Z", re.ASCII)


class Issuing(msgspec.Struct, frozen=True):
    """What the endpoints stand on.

    :ivar born: seconds since 1970 since when uses of assertions are remembered.
    :ivar token_ttl: seconds that a token is good for.
    :ivar leeway: how much is made of assertions' times.
    """

    portal: Portal
    guard: Guard
    tokens: TokenTable
    replays: Replays
    proofs: ProofReader
    audit: Audit
    wall: Callable[[], float]
    born: float
    token_ttl: int = 600
    leeway: Leeway = USUAL


class TokenGrant(Protocol):
    """One way to come to a token: a value of ``grant_type``."""

    name: str

    def answer(self, request: Request, address: Address, form: Form) -> None:
        """Answer a form sent to the token endpoint.

        :raises Refused: there is no token, or not yet.
        """


class Issued(msgspec.Struct, frozen=True):
    """A token that was made.

    :ivar lifetime: seconds.
    """

    text: str
    token: Token
    lifetime: int


class Issuer:
    """Gives tokens out, whatever the grant was."""

    def __init__(self, on: Issuing) -> None:
        self.on = on

    def resource(self, address: Address, form: Form) -> Address:
        """The place of ours that the token is to be for (RFC 8707).

        :raises Refused: there is none of that name.
        """
        found = self.on.guard.resource(address, form.get("resource", ""))
        if found is None:
            raise Refused(
                "invalid_target",
                "resource is none of ours",
                description="resource must be the URL of an MCP endpoint of this server, exactly",
            )
        return found

    def possession(self, request: Request, address: Address, grant: Grant | None) -> str | None:
        """The thumbprint that the token is to be bound to, if the client proves its key.

        :param grant: says whether it must; ``None`` while that is not known.
        :raises Refused: the proof is not good, or missing.
        """
        values = request.header_values(b"dpop")
        if not values:
            if grant is not None:
                check_bound(grant, None)
            return None
        if len(values) > 1:
            raise Refused("invalid_dpop_proof", "there are several proofs")
        try:
            proof = self.on.proofs.read(values[0].decode("latin-1"), "POST", address.url)
        except ProofRefused as refused:
            if refused.wants_nonce:
                raise Refused(USE_NONCE, refused.reason, headers=self.nonce(True)) from None
            raise Refused("invalid_dpop_proof", f"the proof {refused.reason}") from None
        return proof.jkt

    def issue(
        self,
        request: Request,
        grant: Grant,
        resource: Address,
        scopes: frozenset[str],
        lifetime: int,
        jkt: str | None,
        client: str = "",
        login: str = "",
    ) -> Issued:
        """Make a token, and tell of it.

        :param lifetime: seconds.
        :param jkt: what it is bound to, if to anything.
        :param client: whom a person has let in, where it is not the key's owner that asks.
        :param login: the id of the login that it comes of, then.
        :raises TokensExhausted: there are too many.
        """
        fingerprint, source = grant.key.fingerprint, source_of(request)
        text, token = self.on.tokens.issue(
            grant.principal, fingerprint, resource.resource, scopes, lifetime, jkt, client, login,
            source,
        )  # fmt: skip
        self.on.audit.tell(
            "auth.token.issued",
            principal=grant.principal,
            key=fingerprint,
            peer=source,
            resource=resource.url,
            scope=scopes,
            kind=_kind(token),
            token=token.mark,
            login=mark_of(token.login),
            lifetime=lifetime,
            client=client or None,
        )
        return Issued(text, token, lifetime)

    def give(self, request: Request, issued: Issued, refresh: str | None = None) -> None:
        """Answer with a token, and what renews it, if there is something."""
        token = issued.token
        granted = {
            "access_token": issued.text,
            "token_type": _kind(token),
            "expires_in": issued.lifetime,
            "scope": " ".join(scope for scope in SCOPES if scope in token.scopes),
        }
        if refresh is not None:
            granted["refresh_token"] = refresh
        respond(request, 200, granted, (*NO_STORE, *self.nonce(token.jkt is not None)))

    def nonce(self, wanted: bool) -> tuple[tuple[bytes, bytes], ...]:
        """The nonce for the next proof, as a header, where proofs must have one."""
        nonces = self.on.proofs.nonces
        if not wanted or nonces is None:
            return ()
        return ((b"dpop-nonce", nonces.current().encode()),)

    def lifetime(self, form: Form, grant: Grant) -> int:
        """Seconds: what is usual, or what was asked for as far as the key's line allows it."""
        most = grant.token_ttl or self.on.token_ttl
        asked = form.get("expires_in", "")
        wanted = int(asked) if _SECONDS.match(asked) else self.on.token_ttl
        left = most if grant.expires is None else int(grant.expires - self.on.wall())
        return max(1, min(wanted, most, left))


def check_bound(grant: Grant, jkt: str | None) -> None:
    """Whether tokens for that key may be bound to what was proved, or to nothing.

    :raises Refused: they may not.
    """
    if grant.require_dpop and jkt is None:
        raise Refused("invalid_dpop_proof", "the key needs DPoP", description="a proof is required")


def _kind(token: Token) -> str:
    return "Bearer" if token.jkt is None else "DPoP"


def scopes_of(asked: str | None, grant: Grant, resource: Address) -> frozenset[str]:
    """What was asked for, as far as it is granted; what is usual, where nothing was."""
    if not asked:
        found = grant.scopes & frozenset(baseline(resource.place))
    else:
        if not _PRINTABLE.match(asked):
            raise Refused("invalid_scope", "scope is malformed")
        found = grant.scopes & frozenset(asked.split(" "))
    if not found:
        raise Refused(
            "invalid_scope",
            "nothing of what was asked for is granted",
            description="the key's line in authorized_keys does not grant that",
        )
    return found
