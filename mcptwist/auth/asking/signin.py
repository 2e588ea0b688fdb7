"""Signing in at a server elsewhere with a key: discovery, an assertion, and the token.

As MCP has it for programs: OAuth's client credentials, where the client's credential is an
assertion that it signs (``private_key_jwt``). The assertion is made for one authorization server,
is good for a minute and for one use. No redirect is followed, and where the documents may point to
is in :mod:`mcptwist.auth.asking.discovery`.

MCP 2026-07-28, *Authorization*, and its extension ``oauth-client-credentials`` (SEP-1046); RFC 6749
section 4.4, RFC 7523, RFC 8707, RFC 9449.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any
from urllib.parse import urlencode

import msgspec
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IResponse

import mcptwist
from mcptwist.auth.asking import discovery
from mcptwist.auth.asking.discovery import Challenge, Issuer, Resource
from mcptwist.auth.asking.possession import Possession
from mcptwist.auth.jws import Malformed, read_object, sign_jws
from mcptwist.auth.keys import ISigner, KeyProblem, to_base64url
from mcptwist.auth.oauth.assertions import TYPE
from mcptwist.errors import McpTwistError, SignInFailed
from mcptwist.protocols.bodies import WholeBody, header
from mcptwist.protocols.upstream import AtHand, bounded, origin, unreachable

ASSERTION_LIFETIME = 60
"""Seconds; long enough for clocks that differ a little."""
_STEP = 15.0
"""Seconds that each document may take."""
_SHORTEST, _LONGEST = 1, 86400 * 30
_USUAL = 300
_FORM = [("content-type", "application/x-www-form-urlencoded")]

LoadSigner = Callable[[], Awaitable[ISigner]]


class Ways(msgspec.Struct, frozen=True):
    """What signing in stands on.

    :ivar agent: asks the server itself, and nobody else.
    :ivar elsewhere: asks authorization servers that are not at the server's own origin.
    :ivar wall: seconds since 1970.
    :ivar make_bytes: so many unguessable bytes each time.
    """

    agent: IAgent
    elsewhere: IAgent
    clock: IReactorTime
    wall: Callable[[], float]
    make_bytes: Callable[[int], bytes]


class Granted(msgspec.Struct, frozen=True):
    """A token.

    :ivar proof: the algorithm of the proofs that it is bound to; empty if it is not.
    :ivar lifetime: seconds that it is good for.
    :ivar said: what the token endpoint said, word for word.
    """

    token: str
    proof: str
    lifetime: int
    said: dict[str, Any]


class Document(msgspec.Struct, frozen=True):
    """An answer as a whole."""

    status: int
    body: bytes
    nonce: str


class SignIn:
    """Signs in at one server.

    :param url: of the MCP endpoint.
    :param load: the key to sign with; asked for each time, so that it may be replaced.
    :param principal: as whom; the key's fingerprint otherwise.
    :ivar possession: makes the proofs for its tokens.
    """

    def __init__(self, url: str, load: LoadSigner, ways: Ways, principal: str = "") -> None:
        self.url = url
        self.possession = Possession(ways.wall, ways.make_bytes)
        self._load = load
        self._principal = principal
        self._ways = ways
        self._found: tuple[Resource, Issuer] | None = None

    async def token(
        self,
        challenge: Challenge | None = None,
        scopes: Iterable[str] = (),
        *,
        only: bool = False,
        bound: bool = True,
        seconds: int | None = None,
    ) -> Granted:
        """Ask for a token.

        :param challenge: what the server said it wants, if it said anything.
        :param scopes: that are wanted besides.
        :param only: whether no other scopes than these are wanted.
        :param bound: whether it may be bound to proofs of possession.
        :param seconds: that it should be good for, where the server lets us choose.
        :raises SignInFailed: there is none.
        :raises ServerUnreachable: somebody does not answer.
        """
        if not discovery.may_carry(self.url):
            raise SignInFailed(
                f"{_place(self.url)} wants a token, which anybody could read on its way there; use "
                "https"
            )
        try:
            resource, issuer = self._found or await self._discover(challenge)
            self._found = resource, issuer
            named = (challenge.scopes if challenge else None) or resource.scopes
            wanted = frozenset(scopes) if only else named.union(scopes)
            form = {
                "grant_type": "client_credentials",
                "resource": resource.url,
                "scope": " ".join(sorted(wanted)),
                "expires_in": str(seconds or ""),
            }
            return await self._ask(issuer, form, bound)
        except SignInFailed:
            self._found = None
            raise

    # --- discovery ------------------------------------------------------------------------

    async def _discover(self, challenge: Challenge | None) -> tuple[Resource, Issuer]:
        places = discovery.resource_documents(self.url, challenge)
        document = await self._first(places)
        if document is None:
            raise NotOffered(f"{_place(self.url)} does not say who gives tokens for it")
        resource = discovery.read_resource(document, self.url)
        name = resource.issuers[0]
        document = await self._first(discovery.issuer_documents(name))
        if document is None:
            raise SignInFailed(f"{name} is to give tokens, and has no metadata")
        return resource, discovery.read_issuer(document, name, self.url)

    async def _first(self, places: list[str]) -> bytes | None:
        """The first of these documents that is there."""
        for place in places:
            found = await self._fetch("GET", place)
            if found.status == 200:
                return found.body
        return None

    # --- the token ------------------------------------------------------------------------

    async def _ask(self, issuer: Issuer, form: dict[str, str], bound: bool) -> Granted:
        signer = await self._load()
        algorithm = self.possession.algorithm(issuer.dpop) if bound else ""
        found = await self._post(issuer, signer, form, algorithm)
        if algorithm and found.status in (400, 401) and _error(found) == "use_dpop_nonce":
            # The nonce is noticed by now; an assertion is good once.
            found = await self._post(issuer, signer, form, algorithm)
        return _granted(found, issuer.name, algorithm)

    async def _post(
        self, issuer: Issuer, signer: ISigner, form: dict[str, str], algorithm: str
    ) -> Document:
        client = self._principal or signer.public.fingerprint
        assertion = await self._assertion(issuer, signer, client)
        sent = {"client_id": client, "client_assertion_type": TYPE, "client_assertion": assertion}
        body = urlencode({name: value for name, value in (form | sent).items() if value})
        headers = list(_FORM)
        if algorithm:
            proof = self.possession.proof(algorithm, "POST", issuer.token_endpoint)
            headers.append(("dpop", proof))
        found = await self._fetch("POST", issuer.token_endpoint, headers, body.encode())
        self.possession.notice(issuer.token_endpoint, found.nonce)
        return found

    async def _assertion(self, issuer: Issuer, signer: ISigner, client: str) -> str:
        """RFC 7523 section 3; the audience is the issuer, as rfc7523bis has it."""
        now = int(self._ways.wall())
        claims: dict[str, Any] = {"iss": client, "sub": client, "aud": issuer.name}
        claims |= {"jti": to_base64url(self._ways.make_bytes(24))}
        claims |= {"iat": now, "exp": now + ASSERTION_LIFETIME}
        known = issuer.algorithms or signer.public.algorithms
        algorithm = next((each for each in signer.public.algorithms if each in known), "")
        if not algorithm:
            raise SignInFailed(
                f"{issuer.name} takes no signatures of a key of type {signer.public.kind}; it "
                f"takes {', '.join(issuer.algorithms)}"
            )
        try:
            return await sign_jws(signer, {"typ": "JWT"}, claims, algorithm)
        except KeyProblem as problem:
            raise SignInFailed(str(problem)) from None

    # --- documents ------------------------------------------------------------------------

    async def _fetch(
        self,
        method: str,
        url: str,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes | None = None,
    ) -> Document:
        late = SignInFailed(f"{_place(url)} did not answer within {_STEP:.0f} s")
        asking = Deferred.fromCoroutine(self._asked(method, url, headers, body))
        found: Document = await bounded(asking, _STEP, self._ways.clock, late)
        return found

    async def _asked(
        self, method: str, url: str, headers: Iterable[tuple[str, str]], body: bytes | None
    ) -> Document:
        is_own = origin(url) == origin(self.url)
        agent = self._ways.agent if is_own else self._ways.elsewhere
        sent = Headers({"accept": ["application/json"]})
        sent.addRawHeader("user-agent", f"mcptwist/{mcptwist.__version__}")
        for name, value in headers:
            sent.addRawHeader(name, value)
        producer = None if body is None else AtHand(body)
        try:
            response = await agent.request(method.encode(), url.encode(), sent, producer)
        except (CancelledError, McpTwistError):
            raise
        except Exception:
            raise unreachable(_place(url), Failure()) from None
        whole = WholeBody(discovery.LARGEST)
        response.deliverBody(whole)
        return Document(response.code, await whole.done, nonce_in(response))


class NotOffered(SignInFailed):
    """The server does not say where tokens for it are to be had."""


def nonce_in(response: IResponse) -> str:
    """What a server wants to see in the next proof; empty if nothing."""
    return header(response, b"dpop-nonce").decode("latin-1")


def _granted(found: Document, who: str, algorithm: str) -> Granted:
    """The token (RFC 6749 section 5.1).

    :raises SignInFailed: there is none, or none that we can use.
    """
    if found.status != 200:
        raise SignInFailed(_refusal(found, who))
    said = _said(found)
    token, kind = said.get("access_token"), said.get("token_type")
    if not isinstance(token, str) or not _is_token(token) or not isinstance(kind, str):
        raise SignInFailed(f"what {who} gave is no token")
    if kind.lower() not in ("bearer", "dpop") or (kind.lower() == "dpop" and not algorithm):
        raise SignInFailed(f"{who} gave a token of a kind that we do not know")
    lifetime = said.get("expires_in")
    if isinstance(lifetime, bool) or not isinstance(lifetime, int | float):
        lifetime = _USUAL
    seconds = int(min(max(lifetime, _SHORTEST), _LONGEST))
    return Granted(token, algorithm if kind.lower() == "dpop" else "", seconds, said)


def _is_token(text: str) -> bool:
    return 0 < len(text) <= 16384 and text.isascii() and text.isprintable() and " " not in text


def _said(found: Document) -> dict[str, Any]:
    try:
        return read_object(found.body)
    except Malformed:
        return {}


def _error(found: Document) -> str:
    error = _said(found).get("error")
    return error if isinstance(error, str) else ""


_ADVICE = {
    "invalid_client": "see whether it lets this key in (mcptwist authorize list there), as that "
    "principal, and whether both clocks are right",
    "invalid_target": "see whether the key's line lets it come to that place",
    "invalid_scope": "its line for this key grants none of what is wanted",
}


def _refusal(found: Document, who: str) -> str:
    error = _error(found)
    described = _said(found).get("error_description")
    shown = [each for each in (error, described) if isinstance(each, str) and each.isprintable()]
    why = ": ".join(shown)[:300] or "no reason"
    advice = _ADVICE.get(error, "")
    text = f"{who} gives no token ({found.status}, {why})"
    return f"{text}; {advice}" if advice else text


def _place(url: str) -> str:
    scheme, host, port = origin(url)
    return f"{scheme}://{host}:{port}"
