"""The authorization server that lives in the daemon: metadata, tokens, revocation.

Each grant has a file of its own; here is what comes before it, and how its refusals are told.

MCP 2026-07-28, *Authorization*; RFC 9728, RFC 8414, RFC 6749 section 5, RFC 7009.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.logger import Logger

from mcptwist.auth.addresses import Address
from mcptwist.auth.checkers import USE_NONCE
from mcptwist.auth.guard import NONCE_CHALLENGED, source_of
from mcptwist.auth.oauth.clientcredentials import ClientCredentials, check_type
from mcptwist.auth.oauth.forms import LARGEST_FORM, Form, Refused, check_form, overloaded, read_form
from mcptwist.auth.oauth.issuing import Issuer, Issuing, TokenGrant
from mcptwist.auth.oauth.metadata import NO_STORE, Page, describe_resource, describe_server, respond
from mcptwist.auth.oauth.people import People
from mcptwist.auth.oauth.replay import ReplaysFull
from mcptwist.auth.oauth.tokens import TokensExhausted
from mcptwist.protocols.request import Request

#: What is no failure, and may happen all the time, is not worth a line.
_COUNTED = {
    USE_NONCE: NONCE_CHALLENGED,
    "authorization_pending": "auth.device.waiting",
    "slow_down": "auth.device.hasty",
}


class AuthorizationServer:
    """The pages of the authorization server, and of the resource server it is for."""

    log = Logger()

    def __init__(self, on: Issuing, people: People | None = None) -> None:
        self._on = on
        self._people = people
        self._keyed = ClientCredentials(Issuer(on))
        grants: list[TokenGrant] = [self._keyed, *(people.grants() if people else ())]
        self._grants = {grant.name: grant for grant in grants}

    def pages(self) -> dict[bytes, dict[bytes, Any]]:
        """What is public, by the first and second part of its path."""
        page = partial(Page, guard=self._on.guard)
        forms: dict[bytes, Any] = {b"token": self._issue, b"revoke": self._revoke}
        if self._people is not None:
            forms[b"device_authorization"] = self._people.devices.begin
        return {
            b".well-known": {
                b"oauth-protected-resource": page(
                    partial(describe_resource, signatures=self._on.guard.takes_signatures)
                ),
                b"oauth-authorization-server": page(partial(describe_server, self._offered)),
            },
            b"oauth": {name: page(partial(self._receive, do)) for name, do in forms.items()},
        }

    def _offered(self, base: str) -> dict[str, Any]:
        """What there is beyond clients with keys of their own, as metadata have it."""
        if self._people is None:
            return {}
        return {**self._people.metadata(base), "grant_types_supported": list(self._grants)}

    def _receive(
        self, answer: Callable[[Request, Address, Form], None], request: Request, address: Address
    ) -> None:
        """Read the form, and let it be answered."""
        if request.method != b"POST":
            respond(request, 405, {"error": "invalid_request"}, ((b"allow", b"POST"),))
            return
        self._on.guard.check_pace(request)
        done = partial(self._received, answer, request, address)
        try:
            check_form(request)
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
            self._refuse(request, address, overloaded(reason))

    def _refuse(self, request: Request, address: Address, refused: Refused) -> None:
        counted = _COUNTED.get(refused.error)
        if counted is None:
            self._on.audit.tell(
                "auth.token.refused",
                error=refused.error,
                reason=refused.reason,
                peer=source_of(request),
                issuer=address.base,
            )
        else:
            self._on.audit.count(counted)
        if refused.failure:
            self._on.guard.blame(request, refused.failure)
        body = {"error": refused.error}
        if refused.description:
            body["error_description"] = refused.description
        respond(request, refused.status, body, (*NO_STORE, *refused.headers))

    def _issue(self, request: Request, address: Address, form: Form) -> None:
        """The token endpoint: which grant it is, decides."""
        grant = self._grants.get(form.get("grant_type", ""))
        if grant is None:
            names = " or ".join(self._grants)
            raise Refused("unsupported_grant_type", f"grant_type is not {names}")
        grant.answer(request, address, form)

    def _revoke(self, request: Request, address: Address, form: Form) -> None:
        """The revocation endpoint (RFC 7009): what is none of the client's stays as it is."""
        if self._people is not None and "client_assertion_type" not in form:
            self._people.desk.revoke(request, form)
            respond(request, 200, {}, NO_STORE)
            return
        check_type(form)
        grant = self._keyed.authenticated(request, address, form)
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
