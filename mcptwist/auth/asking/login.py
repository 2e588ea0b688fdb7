"""Tokens that a person agreed to: asked for in a browser once, kept, and renewed without asking.

OAuth's authorization code with PKCE, as MCP has it. What was agreed to is in the wallet, so that it
serves every program of that person, and the daemon, which has nobody to ask.

MCP 2026-07-28, *Authorization*; RFC 6749 sections 4.1 and 6, RFC 7009, RFC 7636, RFC 8252,
RFC 9207, RFC 9449.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from twisted.internet.error import CannotListenError
from twisted.logger import Logger

from mcptwist.auth.asking.authorization import OFFLINE, Request, ask_for, read_answer
from mcptwist.auth.asking.discovery import PEOPLE, RENEWAL, Issuer, Resource
from mcptwist.auth.asking.inquiry import Inquiry, Ways
from mcptwist.auth.asking.possession import Possession
from mcptwist.auth.asking.redirect import Redirect
from mcptwist.auth.asking.registration import (
    Client,
    Told,
    known_client,
    read_registration,
    registration,
)
from mcptwist.auth.asking.tokenendpoint import (
    Granted,
    Headers,
    MakeForm,
    Refused,
    TokenEndpoint,
    reason,
)
from mcptwist.auth.asking.wallet import Grant, Wallet
from mcptwist.auth.keys import KeyProblem, PrivateKey
from mcptwist.errors import McpTwistError, SignInFailed
from mcptwist.protocols.waits import bounded

PATIENCE = 300.0
"""Seconds that a person has to log in."""
_AGAIN = 600.0
"""Seconds for which a person who did not log in is left in peace."""
_FRESH = 5.0
"""Seconds that a kept token must be good for to be of use."""
_GONE = ("invalid_grant", "invalid_client", "unauthorized_client", "invalid_scope")


class Person(msgspec.Struct, frozen=True):
    """Who can be asked.

    :ivar listen: opens the port that the browser is to come back to.
    :ivar show: shows a page, of somebody.
    :ivar tell: says a line.
    :ivar port: of the redirect; any that is free with 0.
    """

    listen: Callable[[int], Redirect]
    show: Callable[[str, str], None]
    tell: Callable[[str], None]
    port: int = 0


class Wish(msgspec.Struct, frozen=True):
    """What a token is wanted for.

    :ivar bound: whether it may be bound to a key.
    :ivar spent: a token that will not do (any more).
    :ivar is_more: whether what was granted so far is not enough.
    :ivar is_anew: whether the person is to be asked whatever is kept.
    :ivar seconds: that it should be good for, where that can be chosen.
    """

    resource: Resource
    issuer: Issuer
    scopes: frozenset[str]
    bound: bool = True
    spent: str = ""
    is_more: bool = False
    is_anew: bool = False
    seconds: int | None = None


class Login:
    """A person's leave for one server.

    :param url: of its MCP endpoint.
    :param told: what the person said of us.
    :param person: who can be asked; ``None`` where there is nobody.
    :ivar can_ask: whether there is somebody.
    :ivar asks_person: whether they are being asked.
    """

    log = Logger()

    def __init__(
        self,
        url: str,
        inquiry: Inquiry,
        possession: Possession,
        wallet: Wallet,
        told: Told,
        ways: Ways,
        person: Person | None = None,
    ) -> None:
        self.url = url
        self.can_ask = person is not None
        self.asks_person = False
        self._inquiry = inquiry
        self._possession = possession
        self._endpoint = TokenEndpoint(inquiry, possession)
        self._wallet = wallet
        self._told = told
        self._ways = ways
        self._person = person
        self._failed: tuple[float, McpTwistError] | None = None

    @property
    def advice(self) -> str:
        """What a person does where we cannot ask them."""
        return f"run, as the same user: mcptwist login {self.url}"

    def say(self, text: str) -> None:
        """Tell the person something, if there is one."""
        if self._person is not None:
            self._person.tell(text)

    def has(self, wish: Wish) -> bool:
        """Whether something was agreed to before that will do."""
        return self._kept(wish) is not None or self._lends(self._bound(wish), wish)

    async def token(self, wish: Wish) -> Granted:
        """A token: the one that is kept, the next one, or one that the person agrees to now.

        :raises SignInFailed: there is none.
        :raises ServerUnreachable: somebody does not answer.
        """
        grant = None if wish.is_anew else self._kept(wish)
        if grant is not None and _reaches(grant, wish):
            if self._is_good(grant, wish):
                return self._taken(grant)
            renewed = await self._renewed(grant, wish)
            if renewed is not None:
                return self._taken(renewed, is_kept=False)
        lent = None if wish.is_anew else await self._lent(wish)
        return lent or await self._asked(wish, grant)

    def _kept(self, wish: Wish) -> Grant | None:
        return self._wallet.find(self.url, wish.issuer.name, self._is_bound(wish))

    def _is_bound(self, wish: Wish) -> bool:
        return bool(self._algorithm(wish))

    def _algorithm(self, wish: Wish) -> str:
        return self._possession.algorithm(wish.issuer.dpop) if wish.bound else ""

    def _is_good(self, grant: Grant, wish: Wish) -> bool:
        return grant.token != wish.spent and grant.ends - self._ways.wall() > _FRESH

    def _taken(self, grant: Grant, is_kept: bool = True) -> Granted:
        """A kept token, as if it had been given now."""
        if grant.key:
            try:
                self._possession.hold(grant.proof, PrivateKey.from_text(grant.key.encode()))
            except KeyProblem as problem:
                raise SignInFailed(f"{self._wallet.path}: {problem}") from None
        lifetime = max(1, int(grant.ends - self._ways.wall()))
        said = {
            "access_token": grant.token,
            "token_type": "DPoP" if grant.proof else "Bearer",
            "expires_in": lifetime,
            "scope": " ".join(grant.scopes),
        }
        return Granted(grant.token, grant.proof, lifetime, said, is_kept, grant.issuer)

    # --- renewing it ----------------------------------------------------------------------

    async def _renewed(self, grant: Grant, wish: Wish) -> Grant | None:
        """The grant with another token; ``None`` if it is at its end (RFC 6749 section 6)."""
        end = await self._wallet.turn(self._ways.clock)
        try:
            found = self._kept(wish)
            if found is None or self._is_good(found, wish):
                return found  # another program was there first
            if not found.refresh:
                return None
            return await self._refresh(found, wish)
        finally:
            end()

    async def _refresh(self, grant: Grant, wish: Wish) -> Grant | None:
        granted = await self._turned_in(grant, wish, {})
        if granted is None:
            return None
        renewed = self._grant(wish, grant.client, frozenset(grant.asked), granted, grant)
        self._wallet.keep(renewed)
        return renewed

    async def _turned_in(self, grant: Grant, wish: Wish, more: Mapping[str, str]) -> Granted | None:
        """What is given for what renews it; ``None`` if it is at its end."""
        form = {"grant_type": RENEWAL, "refresh_token": grant.refresh, **more}
        form["resource"] = grant.resource
        self._taken(grant)  # its key is held from now on
        try:
            return await self._endpoint.ask(wish.issuer, _form(grant.client, form), grant.proof)
        except Refused as problem:
            if problem.error not in _GONE:
                raise
            self.log.info("what was agreed to at {who} is over", who=grant.issuer)
            self._wallet.forget(grant)
            return None

    # --- a token for somebody else, of a login that is bound to our key --------------------

    def _bound(self, wish: Wish) -> Grant | None:
        """The login that is bound to a key, where a token is wanted that is bound to none."""
        return None if wish.bound else self._wallet.find(self.url, wish.issuer.name, True)

    def _lends(self, grant: Grant | None, wish: Wish) -> bool:
        """Whether who gave it gives tokens for it that are bound to nothing."""
        return bool(grant and grant.refresh and wish.issuer.unbinds and _reaches(grant, wish))

    async def _lent(self, wish: Wish) -> Granted | None:
        """A token for a header, of a login whose own tokens no header can carry."""
        grant = self._bound(wish)
        if grant is None:
            return None
        if not self._lends(grant, wish):
            self.say(
                f"your login at {grant.issuer} is bound to a key, and what a header can carry is "
                "not to be had with it; so there has to be another"
            )
            return None
        end = await self._wallet.turn(self._ways.clock)
        try:
            found = self._bound(wish)  # another program may have renewed it
            return None if found is None else await self._lend(found, wish)
        finally:
            end()

    async def _lend(self, grant: Grant, wish: Wish) -> Granted | None:
        """The token; what renews the login is another from then on."""
        form = {
            "scope": " ".join(sorted(wish.scopes & {*grant.scopes})),
            "expires_in": str(wish.seconds or ""),
            "mcptwist_token_type": "Bearer",
        }
        granted = await self._turned_in(grant, wish, {k: v for k, v in form.items() if v})
        if granted is None:
            return None
        if granted.proof:
            raise SignInFailed(f"{grant.issuer} gave a token that no header can carry")
        renews = granted.word("refresh_token") or grant.refresh
        self._wallet.keep(msgspec.structs.replace(grant, refresh=renews))
        return msgspec.structs.replace(granted, login=grant.issuer)

    # --- asking the person ----------------------------------------------------------------

    async def _asked(self, wish: Wish, before: Grant | None) -> Granted:
        """A token that the person agrees to.

        :raises SignInFailed: there is nobody to be asked, or the answer is no.
        """
        if self._person is None:
            raise SignInFailed(
                f"{self.url} wants a person to log in, and nobody can be asked here; {self.advice}"
            )
        now = self._ways.clock.seconds()
        if self._failed is not None and now < self._failed[0] and not wish.is_anew:
            raise self._failed[1]
        scopes = wish.scopes.union(before.asked if before else ())
        if OFFLINE in wish.issuer.scopes:
            scopes |= {OFFLINE}
        self.asks_person = True
        try:
            granted = await self._let(wish, scopes, self._person)
        except McpTwistError as problem:
            self._failed = self._ways.clock.seconds() + _AGAIN, problem
            raise
        finally:
            self.asks_person = False
        self._failed = None
        return granted

    async def _let(self, wish: Wish, scopes: frozenset[str], person: Person) -> Granted:
        issuer, algorithm = wish.issuer, self._algorithm(wish)
        key = self._possession.make(algorithm) if algorithm else None
        thumbprint = key.public.thumbprint if key else ""
        redirect = self._listen(person, self._wallet.client(issuer.name))
        try:
            client = await self._client(issuer, redirect.uri)
            request = ask_for(
                issuer,
                client.name,
                redirect.uri,
                wish.resource.url,
                scopes,
                thumbprint,
                self._ways.make_bytes,
            )
            code = await self._code(request, redirect, person)
        finally:
            redirect.stop()
        with self._possession.trying(algorithm, key):
            granted = await self._exchange(wish, client, request, code, algorithm)
        self._wallet.keep(self._grant(wish, client, scopes, granted))
        return granted

    def _listen(self, person: Person, known: Client | None) -> Redirect:
        """Where the browser is to come: where we registered that it would, if that is free."""
        registered = known.redirect.rpartition(":")[2].partition("/")[0] if known else ""
        for port in dict.fromkeys((person.port or int(registered or 0), person.port)):
            try:
                return person.listen(port)
            except CannotListenError as problem:
                why = problem
        raise SignInFailed(f"the browser cannot come back: {why}; see --redirect-port")

    async def _client(self, issuer: Issuer, redirect: str) -> Client:
        """Who we are there; made known first, if need be."""
        kept = self._wallet.client(issuer.name)
        if kept is not None and kept.redirect != redirect:
            kept = None
        client = known_client(issuer, self._told, kept, self._ways.wall())
        if client is not None:
            return client
        asked = registration(issuer, redirect)
        headers = [("content-type", "application/json")]
        body = json.dumps(asked).encode()
        found = await self._inquiry.ask("POST", issuer.registration_endpoint, headers, body)
        if found.status not in (200, 201):
            raise SignInFailed(
                f"{issuer.name} does not let us register ({found.status}, {reason(found)}); "
                "register a client with it, and give its name with --client-id"
            )
        client = read_registration(found.body, asked, issuer.name)
        self._wallet.introduce(issuer.name, client)
        return client

    async def _code(self, request: Request, redirect: Redirect, person: Person) -> str:
        answered = redirect.expect(lambda query: read_answer(query, request))
        person.show(request.url, request.issuer.name)
        late = SignInFailed(f"nobody logged in at {request.issuer.name} within {PATIENCE:.0f} s")
        code: str = await bounded(answered, PATIENCE, self._ways.clock, late)
        return code

    async def _exchange(
        self, wish: Wish, client: Client, request: Request, code: str, algorithm: str
    ) -> Granted:
        form = {
            "grant_type": PEOPLE,
            "code": code,
            "redirect_uri": request.redirect,
            "code_verifier": request.verifier,
            "resource": wish.resource.url,
        }
        try:
            return await self._endpoint.ask(wish.issuer, _form(client, form), algorithm)
        except Refused as problem:
            if client.is_own and problem.error == "invalid_client":
                self._wallet.introduce(wish.issuer.name, None)  # it does not know us any more
            raise

    def _grant(
        self,
        wish: Wish,
        client: Client,
        asked: frozenset[str],
        granted: Granted,
        before: Grant | None = None,
    ) -> Grant:
        """What is kept of it; what is not said stays as it was."""
        scopes = granted.scopes
        known = tuple(sorted(asked if scopes is None else scopes))
        if before is not None and scopes is None:
            known = before.scopes
        key = self._possession.key(granted.proof).pem().decode() if granted.proof else ""
        return Grant(
            url=self.url,
            issuer=wish.issuer.name,
            resource=wish.resource.url,
            client=client,
            bound=self._is_bound(wish),
            asked=tuple(sorted(asked)),
            scopes=known,
            token=granted.token,
            proof=granted.proof,
            key=key,
            ends=self._ways.wall() + granted.lifetime,
            refresh=granted.word("refresh_token") or (before.refresh if before else ""),
        )


def _reaches(grant: Grant, wish: Wish) -> bool:
    """Whether it was agreed to what is wanted."""
    agreed = set(grant.scopes) if wish.is_more else {*grant.scopes, *grant.asked}
    return wish.scopes <= agreed


def _form(client: Client, form: dict[str, str]) -> MakeForm:
    async def make() -> tuple[dict[str, Any], Headers]:
        shown, headers = client.proof()
        return form | shown, headers

    return make
