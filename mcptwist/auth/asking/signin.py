"""Signing in at a server elsewhere: who gives tokens for it, and in which way one is to be had.

A server may take a program's own key or secret (OAuth's client credentials), or a person's leave
(its authorization code). Where it takes keys and we have one, that is it; a person is asked where
there is no other way, but what a person has agreed to already comes first.

MCP 2026-07-28, *Authorization*; RFC 8707, RFC 9728, RFC 8414.
"""

from __future__ import annotations

import msgspec

from mcptwist.auth.asking import discovery
from mcptwist.auth.asking.clientcredentials import ADVICE, KeyHolder, make_secret_form
from mcptwist.auth.asking.discovery import Challenge, Issuer, Resource, read_challenge
from mcptwist.auth.asking.inquiry import Inquiry, Ways, nonce_in, place
from mcptwist.auth.asking.login import Login, Wish
from mcptwist.auth.asking.possession import Possession
from mcptwist.auth.asking.registration import Told, registered_client
from mcptwist.auth.asking.tokenendpoint import Granted, Refused, TokenEndpoint
from mcptwist.errors import SignInFailed

__all__ = ["Granted", "NotOffered", "SignIn", "Want", "Ways", "nonce_in"]

_PING = b'{"jsonrpc":"2.0","id":1,"method":"ping"}'
_ASKING = [
    ("content-type", "application/json"),
    ("accept", "application/json, text/event-stream"),
]


class Want(msgspec.Struct, frozen=True):
    """What sort of a token is wanted.

    :ivar scopes: that are wanted besides those that the server names.
    :ivar only: whether no other scopes than these are wanted.
    :ivar bound: whether it may be bound to proofs of possession.
    :ivar seconds: that it should be good for, where the server lets us choose.
    :ivar spent: a token that will not do (any more).
    :ivar is_more: whether what was granted so far is not enough.
    :ivar by_person: whether a person is to be asked anew, whatever else there is.
    """

    scopes: frozenset[str] = frozenset()
    only: bool = False
    bound: bool = True
    seconds: int | None = None
    spent: str = ""
    is_more: bool = False
    by_person: bool = False


class Credentials(msgspec.Struct, frozen=True):
    """What there is to come with.

    :ivar keys: a program's key.
    :ivar is_chosen: whether a person chose that key, so that nothing else will do.
    :ivar told: what a person said of us as a client.
    :ivar login: what a person agreed to, or may.
    """

    keys: KeyHolder | None = None
    is_chosen: bool = False
    told: Told = Told()
    login: Login | None = None


class SignIn:
    """Signs in at one server.

    :param url: of the MCP endpoint.
    :ivar possession: makes the proofs for its tokens.
    """

    def __init__(
        self, url: str, inquiry: Inquiry, possession: Possession, credentials: Credentials
    ) -> None:
        self.url = url
        self.possession = possession
        self._inquiry = inquiry
        self._endpoint = TokenEndpoint(inquiry, possession)
        self._own = credentials
        self._found: tuple[Resource, Issuer] | None = None

    @property
    def asks_person(self) -> bool:
        """Whether a person is being asked to log in."""
        return self._own.login is not None and self._own.login.asks_person

    async def token(self, challenge: Challenge | None = None, want: Want | None = None) -> Granted:
        """Ask for a token.

        :param challenge: what the server said it wants, if it said anything.
        :raises SignInFailed: there is none.
        :raises ServerUnreachable: somebody does not answer.
        """
        want = want or Want()
        if not discovery.may_carry(self.url):
            raise SignInFailed(
                f"{place(self.url)} wants a token, which anybody could read on its way there; use "
                "https"
            )
        try:
            resource, issuer = self._found or await self._discover(challenge)
            self._found = resource, issuer
            named = (challenge.scopes if challenge else None) or resource.scopes
            scopes = want.scopes if want.only else named | want.scopes
            wish = Wish(
                resource,
                issuer,
                scopes,
                want.bound,
                want.spent,
                want.is_more,
                want.by_person,
                want.seconds,
            )
            return await self._in_some_way(wish, want)
        except SignInFailed:
            self._found = None
            raise

    async def has_moved(self, challenge: Challenge | None) -> bool:
        """Whether somebody else gives tokens by now than whom we asked."""
        before, self._found = self._found, None
        self._found = await self._discover(challenge)
        return before is not None and before[1].name != self._found[1].name

    def look_again(self) -> None:
        """Find out the next time who gives tokens; it may be somebody else by now."""
        self._found = None

    async def challenge(self) -> Challenge | None:
        """What the server wants of somebody who brings nothing; ``None`` if it does not say."""
        found = await self._inquiry.ask("POST", self.url, _ASKING, _PING)
        return read_challenge(found.challenges) if found.status == 401 else None

    # --- discovery ------------------------------------------------------------------------

    async def _discover(self, challenge: Challenge | None) -> tuple[Resource, Issuer]:
        places = discovery.resource_documents(self.url, challenge)
        document = await self._inquiry.first(places)
        if document is None:
            return await self._discover_older()
        resource = discovery.read_resource(document, self.url)
        name = self._issuer_of(resource)
        return resource, await self._issuer(name)

    def _issuer_of(self, resource: Resource) -> str:
        """Who is asked; the one that knows us, if that was said."""
        wanted = self._own.told.issuer
        if wanted and wanted not in resource.issuers:
            raise SignInFailed(
                f"{place(self.url)} names {', '.join(resource.issuers)} to give tokens for it, "
                f"and not {wanted}, which knows us; nothing was shown to them"
            )
        return wanted or resource.issuers[0]

    async def _issuer(self, name: str) -> Issuer:
        document = await self._inquiry.first(discovery.issuer_documents(name))
        if document is None:
            raise SignInFailed(f"{name} is to give tokens, and has no metadata")
        return discovery.read_issuer(document, name, self.url)

    async def _discover_older(self) -> tuple[Resource, Issuer]:
        """As MCP 2025-03-26 has it: the server's own origin gives tokens, and says so."""
        name = discovery.origin_of(self.url)
        document = await self._inquiry.first(discovery.issuer_documents(name))
        if document is None:
            raise NotOffered(f"{place(self.url)} does not say who gives tokens for it")
        return Resource(self.url, (name,)), discovery.read_issuer(document, name, self.url)

    # --- the ways -------------------------------------------------------------------------

    async def _in_some_way(self, wish: Wish, want: Want) -> Granted:
        login = self._own.login if wish.issuer.takes_people else None
        if login is None:
            if want.by_person:
                raise SignInFailed(f"{wish.issuer.name} lets no people log in")
            return await self._as_program(wish, want)
        if want.by_person or self._is_for_people(login, wish):
            return await login.token(wish)
        try:
            return await self._as_program(wish, want)
        except SignInFailed as problem:
            if self._own.is_chosen:
                raise
            if not login.can_ask:
                raise SignInFailed(f"{problem}; or {login.advice}") from None
            login.say(f"{problem}; logging in instead")
        return await login.token(wish)

    def _is_for_people(self, login: Login, wish: Wish) -> bool:
        """Whether a person's leave comes before a key, where both will do."""
        own, issuer = self._own, wish.issuer
        if own.keys is None or not (issuer.takes_keys if own.is_chosen else issuer.names_keys):
            return True
        return not own.is_chosen and (bool(own.told.name) or login.has(wish))

    async def _as_program(self, wish: Wish, want: Want) -> Granted:
        """A token that nobody has to agree to."""
        issuer, own = wish.issuer, self._own
        form = {
            "resource": wish.resource.url,
            "scope": " ".join(sorted(wish.scopes)),
            "expires_in": str(want.seconds or ""),
        }
        if own.told.secret and issuer.takes_secrets:
            make_form = make_secret_form(registered_client(issuer, own.told), form)
            return await self._endpoint.ask(issuer, make_form, self._algorithm(issuer, want))
        if own.keys is None or not issuer.takes_keys:
            raise SignInFailed(_no_way(issuer))
        return await self._with_key(own.keys, issuer, form, want)

    async def _with_key(
        self, keys: KeyHolder, issuer: Issuer, form: dict[str, str], want: Want
    ) -> Granted:
        make_form = await keys.make_form(issuer, form)
        try:
            return await self._endpoint.ask(issuer, make_form, self._algorithm(issuer, want))
        except Refused as problem:
            advice = ADVICE.get(problem.error)
            if advice is None:
                raise
            raise problem.advised(advice) from None

    def _algorithm(self, issuer: Issuer, want: Want) -> str:
        return self.possession.algorithm(issuer.dpop) if want.bound else ""


class NotOffered(SignInFailed):
    """The server does not say where tokens for it are to be had."""


def _no_way(issuer: Issuer) -> str:
    if issuer.takes_keys:
        return f"{issuer.name} gives tokens to who proves a key, and we have none; give one (key)"
    if issuer.takes_secrets:
        return (
            f"{issuer.name} gives tokens to who has a secret; register with it, and give "
            "--client-id and --client-secret-file"
        )
    grants = ", ".join(issuer.grants or ()) or "none"
    return (
        f"{issuer.name} gives tokens neither to people, at a page that can be gone to, nor to who "
        f"proves a key; its grants are {grants}"
    )
