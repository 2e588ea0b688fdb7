"""What clients get that a person has let in, and what it is renewed and given back with.

RFC 6749 sections 4.1.3, 5.1 and 6; RFC 7009; RFC 9449 section 5, by which we may choose to bind a
token or not.
"""

from __future__ import annotations

from collections.abc import Callable

from mcptwist.auth.addresses import Address
from mcptwist.auth.authorizedkeys import Grant
from mcptwist.auth.guard import source_of
from mcptwist.auth.keyring import Keyring
from mcptwist.auth.oauth.forms import Form, Refused, invalid_client, overloaded
from mcptwist.auth.oauth.issuing import Issuer, check_bound
from mcptwist.auth.oauth.loginkeeping import NotKept
from mcptwist.auth.oauth.logins import Allowed, Login, LoginRefused, Logins, LoginsFull
from mcptwist.auth.oauth.registrations import CODE, REFRESH
from mcptwist.auth.oauth.tokens import LONGEST, TokensExhausted
from mcptwist.auth.penalties import BAD_LOGIN, BAD_TOKEN, STALE_TOKEN
from mcptwist.protocols.request import Request

TOKEN_TYPE, BEARER = "mcptwist_token_type", "Bearer"
"""With this a refresh token that is bound to a key gets a token that is bound to none."""


def invalid_grant(reason: str, failure: str = "") -> Refused:
    """What was brought for a token is not good; the client is not told why."""
    return Refused("invalid_grant", reason, failure=failure)


class LoginDesk:
    """Where logins become tokens, whichever way they were approved.

    :param dismiss: ends what is open of a login, by its id; how many there were of each.
    """

    def __init__(
        self,
        issuer: Issuer,
        logins: Logins,
        keyring: Keyring,
        dismiss: Callable[[str], dict[str, int]],
    ) -> None:
        self.issuer = issuer
        self._dismiss = dismiss
        self.logins = logins
        self._keyring = keyring
        self._on = issuer.on

    def give(
        self, request: Request, address: Address, login: Login, form: Form, jkt: str | None
    ) -> None:
        """Give the tokens of a login.

        :param address: where the client asks for them.
        :param jkt: the thumbprint of the key that was proved, if one was.
        :raises Refused: its key may not have them, or not there; or they cannot be written down.
        :raises TokensExhausted: there are too many.
        """
        allowed, issuer = login.allowed, self.issuer
        grant = self._good(request, login)
        check_bound(grant, jkt)
        if address.base != allowed.resource.base:
            raise invalid_grant("it was given under another name of ours")
        if form.get("resource", allowed.resource.url) != allowed.resource.url:
            raise Refused("invalid_target", "resource is not what was approved")
        scopes = _narrowed(allowed.scopes, form.get("scope"))
        lifetime = min(issuer.lifetime(form, grant), int(self.logins.seconds_left(login)) or 1)
        issued = issuer.issue(
            request, grant, allowed.resource, scopes, lifetime, jkt, allowed.client, login.id
        )
        if login.refresh is None:
            login.jkt = jkt
        self.logins.given(login, issued.token)
        try:
            refresh = self.logins.next_refresh(login)
        except NotKept:
            self._on.tokens.end(issued.token)
            raise self._unkept(request, login) from None
        except LoginRefused as refused:
            raise self.refused(request, refused) from None
        issuer.give(request, issued, refresh)

    def give_first(
        self, request: Request, address: Address, login: Login, form: Form, jkt: str | None
    ) -> None:
        """The same for a login that has none yet: without them it ends, for what it was begun
        with is used up.
        """
        try:
            self.give(request, address, login, form, jkt)
        except (Refused, TokensExhausted):
            self.logins.end(login)
            raise

    def begin_without_code(self, allowed: Allowed) -> Login:
        """A login for a client that waited for its answer itself, as devices do.

        :raises Refused: there are too many.
        """
        try:
            return self.logins.begin_without_code(allowed)
        except LoginsFull:
            raise overloaded("no room for logins") from None

    def refused(self, request: Request, refused: LoginRefused) -> Refused:
        """Tell of what was not good, and of the login that has ended because of it."""
        login = refused.ended
        if login is None:
            return invalid_grant(refused.reason, STALE_TOKEN if refused.is_stale else BAD_TOKEN)
        self._tell_ended(request, login, refused.reason, refused.tokens)
        if not refused.is_kept:
            return self._unkept(request, login, BAD_LOGIN)
        return invalid_grant(refused.reason, BAD_LOGIN)

    def revoke(self, request: Request, form: Form) -> None:
        """A client without a key gives back what it has (RFC 7009).

        :raises Refused: it does not say who it is, or it cannot be written down.
        """
        client, text = form.get("client_id", ""), form.get("token", "")
        if not client:
            raise invalid_client("neither client_assertion nor client_id")
        login = self.logins.of_refresh(text, client)
        if login is not None:
            self._tell_ended(request, login, "given back", self.logins.end(login))
            if self.logins.store.is_behind:
                raise self._unkept(request, login)
            return
        raw = text.encode("utf-8", "replace")
        token = self._on.tokens.find(raw) if len(raw) <= LONGEST else None
        if token is not None and token.client == client:
            self._on.tokens.end(token)
            self._on.audit.tell(
                "auth.token.revoked", principal=token.principal, key=token.key, token=token.mark
            )

    def _good(self, request: Request, login: Login) -> Grant:
        """What the login's key may do, if it may now and there."""
        grant = login.allowed.grant
        if self._keyring.grant(login.key) != grant:
            raise invalid_grant("the key is not good any more")
        if not grant.oauth or not grant.leads_to(login.allowed.resource.place):
            raise invalid_grant("the key is not for that")
        if not grant.takes(source_of(request)):
            raise invalid_grant("not from there", BAD_TOKEN)
        return grant

    def _unkept(self, request: Request, login: Login, failure: str = "") -> Refused:
        """What has become of the login cannot be written down, so nothing is given for it."""
        self._on.audit.tell(
            "auth.login.unkept",
            principal=login.allowed.grant.principal,
            key=login.key,
            peer=source_of(request),
            client=login.allowed.client,
            login=login.mark,
        )
        refused = overloaded("the login cannot be written down")
        refused.failure = failure
        return refused

    def _tell_ended(self, request: Request, login: Login, reason: str, tokens: int) -> None:
        """A login has ended before its time: so does what is open of it."""
        grant = login.allowed.grant
        self._on.audit.tell(
            "auth.login.ended",
            principal=grant.principal,
            key=login.key,
            peer=source_of(request),
            client=login.allowed.client,
            login=login.mark,
            reason=reason,
            tokens=tokens,
            **self._dismiss(login.id),
        )


class CodeGrant:
    """``authorization_code``: the code that came by a browser, with the verifier of who asked."""

    name = CODE

    def __init__(self, desk: LoginDesk) -> None:
        self._desk = desk

    def answer(self, request: Request, address: Address, form: Form) -> None:
        """Give tokens for a code.

        :raises Refused: there are none.
        """
        code = form.get("code", "")
        # First, for a client that is sent back for a nonce comes again with the same code; but not
        # for whoever has none, as each proof that was good takes up room for a while.
        is_good = self._desk.logins.is_code(code)
        jkt = self._desk.issuer.possession(request, address, None) if is_good else None
        try:
            login = self._desk.logins.redeem(
                code,
                form.get("client_id", ""),
                form.get("redirect_uri"),
                form.get("code_verifier", ""),
                jkt,
            )
        except LoginRefused as refused:
            raise self._desk.refused(request, refused) from None
        self._desk.give_first(request, address, login, form, jkt)


class RefreshGrant:
    """``refresh_token``: the next token for the last one."""

    name = REFRESH

    def __init__(self, desk: LoginDesk) -> None:
        self._desk = desk

    def answer(self, request: Request, address: Address, form: Form) -> None:
        """Give the next tokens.

        :raises Refused: there are none.
        """
        refresh, client = form.get("refresh_token", ""), form.get("client_id", "")
        is_good = self._desk.logins.of_refresh(refresh, client) is not None
        jkt = self._desk.issuer.possession(request, address, None) if is_good else None
        try:
            login = self._desk.logins.renew(refresh, client, jkt)
        except LoginRefused as refused:
            raise self._desk.refused(request, refused) from None
        # Who has the key may want a token for a program that can only send a header.
        is_bound = form.get(TOKEN_TYPE) != BEARER
        self._desk.give(request, address, login, form, jkt if is_bound else None)


def _narrowed(scopes: frozenset[str], asked: str | None) -> frozenset[str]:
    """Some of what was approved, if no more is asked for; more never."""
    found = scopes & frozenset(asked.split(" ")) if asked else scopes
    if not found:
        raise Refused("invalid_scope", "nothing of what was asked for was approved")
    return found
