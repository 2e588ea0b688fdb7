"""Tokens for a program in its own name: it has a key, or a secret (OAuth's client credentials).

The assertion that it signs is made for one authorization server, is good for a minute and for one
use.

MCP's extension ``oauth-client-credentials`` (SEP-1046); RFC 6749 section 4.4, RFC 7523.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from mcptwist.auth.asking.discovery import PROGRAMS, Issuer
from mcptwist.auth.asking.inquiry import Ways
from mcptwist.auth.asking.registration import Client
from mcptwist.auth.asking.tokenendpoint import Headers, MakeForm
from mcptwist.auth.jws import sign_jws
from mcptwist.auth.keys import ISigner, KeyProblem, to_base64url
from mcptwist.auth.oauth.assertions import TYPE
from mcptwist.errors import SignInFailed

ASSERTION_LIFETIME = 60
"""Seconds; long enough for clocks that differ a little."""

LoadSigner = Callable[[], Awaitable[ISigner]]

ADVICE = {
    "invalid_client": "see whether it lets this key in (mcptwist authorize list there), as that "
    "principal, and whether both clocks are right",
    "invalid_target": "see whether the key's line lets it come to that place",
    "invalid_scope": "its line for this key grants none of what is wanted",
}
"""What to do when a key is refused."""


class KeyHolder:
    """A program that has a key.

    :param load: the key to sign with; asked for each time, so that it may be replaced.
    :param principal: as whom; the key's fingerprint otherwise.
    """

    def __init__(self, load: LoadSigner, principal: str, ways: Ways) -> None:
        self._load = load
        self._principal = principal
        self._ways = ways

    async def make_form(self, issuer: Issuer, form: dict[str, str]) -> MakeForm:
        """What makes forms, each with an assertion of its own.

        :raises SignInFailed: there is no key, or none of a kind that *issuer* takes.
        """
        signer = await self._load()
        algorithm = _algorithm(issuer, signer)
        client = self._principal or signer.public.fingerprint

        async def make() -> tuple[dict[str, str], Headers]:
            assertion = await self._assertion(issuer, signer, client, algorithm)
            proof = {"client_assertion_type": TYPE, "client_assertion": assertion}
            return form | {"grant_type": PROGRAMS, "client_id": client} | proof, []

        return make

    async def _assertion(self, issuer: Issuer, signer: ISigner, client: str, algorithm: str) -> str:
        """RFC 7523 section 3; the audience is the issuer, as rfc7523bis has it."""
        now = int(self._ways.wall())
        claims: dict[str, Any] = {"iss": client, "sub": client, "aud": issuer.name}
        claims |= {"jti": to_base64url(self._ways.make_bytes(24))}
        claims |= {"iat": now, "exp": now + ASSERTION_LIFETIME}
        try:
            return await sign_jws(signer, {"typ": "JWT"}, claims, algorithm)
        except KeyProblem as problem:
            raise SignInFailed(str(problem)) from None


def make_secret_form(client: Client, form: dict[str, str]) -> MakeForm:
    """What makes forms for a program that has a secret."""

    async def make() -> tuple[dict[str, str], Headers]:
        shown, headers = client.proof()
        return form | {"grant_type": PROGRAMS} | shown, headers

    return make


def _algorithm(issuer: Issuer, signer: ISigner) -> str:
    known = issuer.algorithms or signer.public.algorithms
    algorithm = next((each for each in signer.public.algorithms if each in known), "")
    if not algorithm:
        raise SignInFailed(
            f"{issuer.name} takes no signatures of a key of type {signer.public.kind}; it "
            f"takes {', '.join(issuer.algorithms)}"
        )
    return algorithm
