"""The grant of clients that have a key of their own: ``client_credentials``.

The client proves its key by ``private_key_jwt``. What RFC 6749 calls registration is a line in
``authorized_keys``. MCP extension ``io.modelcontextprotocol/oauth-client-credentials`` (SEP-1046);
RFC 6749 section 4.4, RFC 7523.
"""

from __future__ import annotations

from mcptwist.auth.addresses import Address
from mcptwist.auth.authorizedkeys import Grant
from mcptwist.auth.checkers import CredentialsRefused
from mcptwist.auth.credentials import KeySignature
from mcptwist.auth.guard import now, source_of
from mcptwist.auth.oauth.assertions import TYPE, Assertion, AssertionRefused, read_assertion
from mcptwist.auth.oauth.forms import Form, Refused, invalid_client
from mcptwist.auth.oauth.issuing import Issuer, scopes_of
from mcptwist.auth.realm import IPrincipal
from mcptwist.protocols.request import Request


class ClientCredentials:
    """The grant; and who it is that sends a form."""

    name = "client_credentials"

    def __init__(self, issuer: Issuer) -> None:
        self._issuer = issuer
        self._on = issuer.on

    def answer(self, request: Request, address: Address, form: Form) -> None:
        """Give a token to whoever proves a key, one check after the other.

        :raises Refused: there is none.
        :raises ReplaysFull: that the proof was used cannot be remembered.
        :raises TokensExhausted: there are too many tokens.
        """
        check_type(form)
        issuer = self._issuer
        resource = issuer.resource(address, form)
        grant = self.authenticated(request, address, form)
        jkt = issuer.possession(request, address, grant)
        if not grant.leads_to(resource.place):
            raise Refused("invalid_target", "the key is not for that resource")
        scopes = scopes_of(form.get("scope"), grant, resource)
        lifetime = issuer.lifetime(form, grant)
        issuer.give(request, issuer.issue(request, grant, resource, scopes, lifetime, jkt))

    def authenticated(self, request: Request, address: Address, form: Form) -> Grant:
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
                self._on.leeway,
            )
            grant = self._grant_of(assertion, request)
        except (AssertionRefused, CredentialsRefused) as refused:
            raise invalid_client(refused.reason) from None
        owner = grant.key.fingerprint
        if not self._on.replays.first_use(owner, assertion.jti, assertion.until):
            self._on.audit.tell("auth.replay", key=owner, peer=source_of(request))
            raise invalid_client("the assertion was used before")
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


def check_type(form: Form) -> None:
    """Whether there is an assertion of the sort that we read.

    :raises Refused: there is none.
    """
    if form.get("client_assertion_type") != TYPE:
        raise invalid_client("client_assertion_type is not a JWT's")
