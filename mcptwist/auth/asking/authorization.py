"""A person's leave for us: what is asked for, and what a browser brings back of it.

The request holds what makes the answer its own: a state that nobody can guess, the hash of a
verifier without which the code is worth nothing (PKCE, S256 always), what the token is for, and
the hash of the key it is to be bound to. The answer is believed when it has that state, and comes
from the authorization server that was asked, character by character.

MCP 2026-07-28, *Authorization Code Grant*, *Authorization Response Validation*; RFC 6749 section
4.1, RFC 7636, RFC 8707, RFC 9207, RFC 9449 section 10. Pure.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Collection
from urllib.parse import parse_qsl, urlencode, urlsplit

import msgspec

from mcptwist.auth.asking.discovery import Issuer
from mcptwist.auth.keys import to_base64url
from mcptwist.errors import SignInFailed

S256 = "S256"
OFFLINE = "offline_access"
"""The scope by which some servers are asked for a refresh token."""
_STATE, _VERIFIER = 32, 32
_MOST_FIELDS, _LONGEST = 32, 8192
_CODE = re.compile(r"[\x20-\x7e]{1,4096}\Z")
_ERROR = re.compile(r"[A-Za-z0-9_.:-]{1,64}\Z")


class Request(msgspec.Struct, frozen=True):
    """What a person is asked, and what only we know of it.

    :ivar url: where a browser is sent.
    :ivar verifier: goes with the code to the token endpoint, and nowhere else.
    """

    url: str
    issuer: Issuer
    redirect: str
    state: str
    verifier: str


class NotOurs(Exception):
    """What came to the redirect is no answer to what was asked; it may still come."""


def ask_for(
    issuer: Issuer,
    client: str,
    redirect: str,
    resource: str,
    scopes: Collection[str],
    thumbprint: str,
    make_bytes: Callable[[int], bytes],
) -> Request:
    """A request for a person's leave.

    :param client: our name there.
    :param redirect: where the browser is to bring the code.
    :param thumbprint: of the key that the tokens are to be bound to; empty for none.
    :param make_bytes: so many unguessable bytes each time.
    :raises SignInFailed: the server does not say that it checks who brings a code.
    """
    if not issuer.authorization_endpoint:
        raise SignInFailed(f"{issuer.name} names no page to log in at that can be gone to")
    if S256 not in issuer.challenges:
        raise SignInFailed(
            f"{issuer.name} does not say that it keeps codes from thieves (PKCE with S256), so "
            "none is asked of it"
        )
    state, verifier = to_base64url(make_bytes(_STATE)), to_base64url(make_bytes(_VERIFIER))
    fields = {
        "response_type": "code",
        "client_id": client,
        "redirect_uri": redirect,
        "scope": " ".join(sorted(scopes)),
        "resource": resource,
        "state": state,
        "code_challenge": to_base64url(hashlib.sha256(verifier.encode("ascii")).digest()),
        "code_challenge_method": S256,
        "dpop_jkt": thumbprint,
    }
    place = urlsplit(issuer.authorization_endpoint)
    ours = urlencode({name: value for name, value in fields.items() if value})
    url = place._replace(query=f"{place.query}&{ours}" if place.query else ours).geturl()
    return Request(url, issuer, redirect, state, verifier)


def read_answer(query: str, request: Request) -> str:
    """The code that a browser brought.

    :param query: of the URL that it came to, as it was sent.
    :raises NotOurs: the state is not the one that was asked with.
    :raises SignInFailed: there is no code, or somebody else gave it.
    """
    fields = _fields(query)
    if not hmac.compare_digest(fields.get("state", "").encode(), request.state.encode()):
        raise NotOurs
    who = request.issuer.name
    named = fields.get("iss")
    if named is None and request.issuer.names_itself:
        raise SignInFailed(f"the answer does not say that it comes from {who}, as {who} would")
    if named is not None and named != who:
        raise SignInFailed(f"the answer does not come from {who}, who was asked")
    if "error" in fields:
        raise SignInFailed(f"{who} did not let us in ({_reason(fields)})")
    code = fields.get("code", "")
    if not _CODE.match(code):
        raise SignInFailed(f"{who} answered without a code")
    return code


def _fields(query: str) -> dict[str, str]:
    """:raises NotOurs: it is too long, or has a field twice."""
    if len(query) > _LONGEST:
        raise NotOurs
    try:
        pairs = parse_qsl(
            query, keep_blank_values=True, max_num_fields=_MOST_FIELDS, errors="strict"
        )
    except ValueError:
        raise NotOurs from None
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise NotOurs
    return fields


def _reason(fields: dict[str, str]) -> str:
    """What the server said, fit to be shown."""
    error, described = fields["error"], fields.get("error_description", "")
    shown = error if _ERROR.match(error) else "an error"
    if described.isascii() and described.isprintable():
        shown = f"{shown}: {described[:200]}" if described else shown
    return shown
