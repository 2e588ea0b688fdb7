"""The authorization server that lives in the daemon: metadata, tokens, revocation.

One grant: ``client_credentials``, with the client proving its key by ``private_key_jwt``. What
RFC 6749 calls registration is a line in ``authorized_keys``.

MCP 2026-07-28, *Authorization*, and its extension ``io.modelcontextprotocol/
oauth-client-credentials`` (SEP-1046); RFC 9728, RFC 8414, RFC 6749 section 4.4 and 5, RFC 7523,
RFC 8707, RFC 7009, RFC 9449 section 5.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias
from urllib.parse import parse_qsl

import msgspec
from twisted.cred.portal import Portal
from twisted.logger import Logger

from mcptwist.auth.addresses import Address
from mcptwist.auth.audit import Audit
from mcptwist.auth.authorizedkeys import SCOPES, Grant
from mcptwist.auth.checkers import USE_NONCE, CredentialsRefused
from mcptwist.auth.credentials import KeySignature
from mcptwist.auth.denials import TooManyFailures
from mcptwist.auth.guard import NONCE_CHALLENGED, Guard, baseline, now, source_of
from mcptwist.auth.oauth.assertions import TYPE, Assertion, AssertionRefused, read_assertion
from mcptwist.auth.oauth.dpop import ProofReader, ProofRefused
from mcptwist.auth.oauth.metadata import NO_STORE, Page, describe_resource, describe_server, respond
from mcptwist.auth.oauth.replay import Replays, ReplaysFull
from mcptwist.auth.oauth.tokens import TokensExhausted, TokenTable
from mcptwist.auth.penalties import BAD_LOGIN, Penalties
from mcptwist.auth.realm import IPrincipal
from mcptwist.protocols.request import Request

LARGEST_FORM = 16 * 1024
MOST_PARAMETERS = 32
_FORM = b"application/x-www-form-urlencoded"
_SECONDS = re.compile(r"[1-9][0-9]{0,8}\Z", re.ASCII)
_PRINTABLE = re.compile(r"[ -~]*\Z", re.ASCII)

Form: TypeAlias = dict[str, str]


class Refused(Exception):
    """A request to the token endpoint is refused, as RFC 6749 section 5.2 has it.

    :ivar reason: for the audit log; the client is told ``error`` and ``description``.
    """

    def __init__(
        self,
        error: str,
        reason: str,
        status: int = 400,
        description: str = "",
        headers: tuple[tuple[bytes, bytes], ...] = (),
    ) -> None:
        super().__init__(reason)
        self.error = error
        self.reason = reason
        self.status = status
        self.description = description
        self.headers = headers


def _invalid_client(reason: str) -> Refused:
    """Whatever was wrong, the client is told the same."""
    return Refused("invalid_client", reason, 401)


def _overloaded(reason: str) -> Refused:
    return Refused(
        "temporarily_unavailable", reason, 503, "try again shortly", ((b"retry-after", b"5"),)
    )


class Issuing(msgspec.Struct, frozen=True):
    """What the endpoints stand on.

    :ivar born: seconds since 1970 since when uses of assertions are remembered.
    :ivar token_ttl: seconds that a token is good for.
    """

    portal: Portal
    guard: Guard
    tokens: TokenTable
    replays: Replays
    proofs: ProofReader
    penalties: Penalties
    audit: Audit
    wall: Callable[[], float]
    born: float
    token_ttl: int = 600


class AuthorizationServer:
    """The pages of the authorization server, and of the resource server it is for."""

    log = Logger()

    def __init__(self, on: Issuing) -> None:
        self._on = on

    def pages(self) -> dict[bytes, dict[bytes, Any]]:
        """What is public, by the first and second part of its path."""
        page = partial(Page, guard=self._on.guard)
        return {
            b".well-known": {
                b"oauth-protected-resource": page(describe_resource),
                b"oauth-authorization-server": page(describe_server),
            },
            b"oauth": {
                b"token": page(partial(self._receive, self._issue)),
                b"revoke": page(partial(self._receive, self._revoke)),
            },
        }

    # --- tokens ---------------------------------------------------------------------------

    def _receive(
        self, answer: Callable[[Request, Address, Form], None], request: Request, address: Address
    ) -> None:
        """Read the form, and let it be answered."""
        if request.method != b"POST":
            respond(request, 405, {"error": "invalid_request"}, ((b"allow", b"POST"),))
            return
        source = source_of(request)
        self._on.guard.check_patience(source)
        if self._on.penalties.is_hasty(source):
            self._on.audit.count("auth.request.delayed")
            after = ((b"retry-after", b"1"),)
            raise TooManyFailures("that many tokens a second are more than anyone needs", after)
        done = partial(self._received, answer, request, address)
        try:
            _check_request(request)
        except Refused as refused:
            self._refuse(request, address, refused)
        else:
            request.receive_body(LARGEST_FORM, done)

    def _received(
        self,
        answer: Callable[[Request, Address, Form], None],
        request: Request,
        address: Address,
        body: bytes,
    ) -> None:
        try:
            answer(request, address, read_form(body))
        except Refused as refused:
            self._refuse(request, address, refused)
        except (ReplaysFull, TokensExhausted) as full:
            reason = "no room for tokens" if isinstance(full, TokensExhausted) else "no room"
            self._refuse(request, address, _overloaded(reason))

    def _refuse(self, request: Request, address: Address, refused: Refused) -> None:
        if refused.error != USE_NONCE:
            self._on.audit.tell(
                "auth.token.refused",
                error=refused.error,
                reason=refused.reason,
                peer=source_of(request),
                issuer=address.base,
            )
        else:
            self._on.audit.count(NONCE_CHALLENGED)
        if refused.error == "invalid_client":
            self._on.guard.blame(request, BAD_LOGIN)
        body = {"error": refused.error}
        if refused.description:
            body["error_description"] = refused.description
        respond(request, refused.status, body, (*NO_STORE, *refused.headers))

    def _issue(self, request: Request, address: Address, form: Form) -> None:
        """The token endpoint (RFC 6749 section 4.4), one check after the other."""
        if form.get("grant_type") != "client_credentials":
            raise Refused("unsupported_grant_type", "grant_type is not client_credentials")
        if form.get("client_assertion_type") != TYPE:
            raise _invalid_client("client_assertion_type is not a JWT's")
        resource = self._on_resource(address, form)
        grant = self._authenticated(request, address, form)
        jkt = self._possession(request, address, grant)
        if not grant.leads_to(resource.place):
            raise Refused("invalid_target", "the key is not for that resource")
        scopes = _scopes(form.get("scope"), grant, resource)
        lifetime = self._lifetime(form, grant)
        fingerprint = grant.key.fingerprint
        text, token = self._on.tokens.issue(
            grant.principal, fingerprint, resource.resource, scopes, lifetime, jkt
        )
        kind = "Bearer" if jkt is None else "DPoP"
        self._on.audit.tell(
            "auth.token.issued",
            principal=grant.principal,
            key=fingerprint,
            peer=source_of(request),
            resource=resource.url,
            scope=scopes,
            kind=kind,
            token=token.mark,
            lifetime=lifetime,
        )
        granted = {
            "access_token": text,
            "token_type": kind,
            "expires_in": lifetime,
            "scope": " ".join(scope for scope in SCOPES if scope in scopes),
        }
        respond(request, 200, granted, (*NO_STORE, *self._nonce(jkt is not None)))

    def _revoke(self, request: Request, address: Address, form: Form) -> None:
        """The revocation endpoint (RFC 7009): what is none of the client's stays as it is."""
        if form.get("client_assertion_type") != TYPE:
            raise _invalid_client("client_assertion_type is not a JWT's")
        grant = self._authenticated(request, address, form)
        text = form.get("token", "").encode("utf-8", "replace")
        token = self._on.tokens.revoke(text, grant.key.fingerprint)
        if token is not None:
            self._on.audit.tell(
                "auth.token.revoked",
                principal=grant.principal,
                key=grant.key.fingerprint,
                token=token.mark,
            )
        respond(request, 200, {}, NO_STORE)

    def _on_resource(self, address: Address, form: Form) -> Address:
        resource = self._on.guard.resource(address, form.get("resource", ""))
        if resource is None:
            raise Refused(
                "invalid_target",
                "resource is none of ours",
                description="resource must be the URL of an MCP endpoint of this server, exactly",
            )
        return resource

    def _authenticated(self, request: Request, address: Address, form: Form) -> Grant:
        """Whose assertion it is: the grant of the key it was signed with.

        :raises Refused: that is not to be believed.
        :raises ReplaysFull: that it was used cannot be remembered.
        """
        try:
            assertion = read_assertion(
                form.get("client_assertion", ""),
                address.base,
                self._on.wall(),
                self._on.born,
                form.get("client_id"),
            )
            grant = self._grant_of(assertion, request)
        except (AssertionRefused, CredentialsRefused) as refused:
            raise _invalid_client(refused.reason) from None
        owner = grant.key.fingerprint
        if not self._on.replays.first_use(owner, assertion.jti, assertion.until):
            self._on.audit.tell("auth.replay", key=owner, peer=source_of(request))
            raise _invalid_client("the assertion was used before")
        return grant

    def _grant_of(self, assertion: Assertion, request: Request) -> Grant:
        credentials = KeySignature(
            assertion.client,
            assertion.key,
            assertion.algorithm,
            assertion.signed,
            assertion.signature,
            source_of(request),
        )
        principal = now(self._on.portal.login(credentials, request, IPrincipal))
        grant: Grant = principal.grant
        return grant

    def _possession(self, request: Request, address: Address, grant: Grant) -> str | None:
        """The thumbprint that the token is to be bound to, if the client proves its key."""
        values = request.header_values(b"dpop")
        if not values:
            if grant.require_dpop:
                raise Refused(
                    "invalid_dpop_proof", "the key needs DPoP", description="a proof is required"
                )
            return None
        if len(values) > 1:
            raise Refused("invalid_dpop_proof", "there are several proofs")
        try:
            proof = self._on.proofs.read(values[0].decode("latin-1"), "POST", address.url)
        except ProofRefused as refused:
            if refused.wants_nonce:
                raise Refused(USE_NONCE, refused.reason, headers=self._nonce(True)) from None
            raise Refused("invalid_dpop_proof", f"the proof {refused.reason}") from None
        return proof.jkt

    def _nonce(self, wanted: bool) -> tuple[tuple[bytes, bytes], ...]:
        nonces = self._on.proofs.nonces
        if not wanted or nonces is None:
            return ()
        return ((b"dpop-nonce", nonces.current().encode()),)

    def _lifetime(self, form: Form, grant: Grant) -> int:
        """Seconds: what is usual, or what was asked for as far as the key's line allows it."""
        most = grant.token_ttl or self._on.token_ttl
        asked = form.get("expires_in", "")
        wanted = int(asked) if _SECONDS.match(asked) else self._on.token_ttl
        left = most if grant.expires is None else int(grant.expires - self._on.wall())
        return max(1, min(wanted, most, left))


def _check_request(request: Request) -> None:
    if b"?" in request.uri:
        raise Refused("invalid_request", "a query", description="parameters go into the body")
    if request.header(b"authorization") is not None:
        raise Refused("invalid_request", "an Authorization header", description="one way only")
    kind = (request.header(b"content-type") or b"").partition(b";")[0].strip().lower()
    if kind != _FORM or len(request.header_values(b"content-type")) > 1:
        raise Refused("invalid_request", "no form", description=f"send {_FORM.decode()}")


def read_form(body: bytes) -> Form:
    """The parameters of a form, each of which may be there once (RFC 6749 section 3.2).

    :raises Refused: it is no such form.
    """
    try:
        pairs = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=bool(body),
            max_num_fields=MOST_PARAMETERS,
            errors="strict",
        )
    except ValueError:
        raise Refused("invalid_request", "the form is malformed") from None
    form = dict(pairs)
    if len(form) != len(pairs):
        raise Refused("invalid_request", "a parameter is there twice")
    return form


def _scopes(asked: str | None, grant: Grant, resource: Address) -> frozenset[str]:
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
