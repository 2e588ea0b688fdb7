"""What a token endpoint is asked, whatever the grant, and what it answers.

RFC 6749 sections 5.1 and 5.2, RFC 9449 sections 5 and 8.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from mcptwist.auth.asking.discovery import Issuer, scopes_in
from mcptwist.auth.asking.inquiry import Document, Inquiry
from mcptwist.auth.asking.possession import Possession
from mcptwist.auth.jws import Malformed, read_object
from mcptwist.errors import SignInFailed

_SHORTEST, _LONGEST = 1, 86400 * 30
_USUAL = 300

Headers = list[tuple[str, str]]
MakeForm = Callable[[], Awaitable[tuple[dict[str, str], Headers]]]


class Granted(msgspec.Struct, frozen=True):
    """A token.

    :ivar proof: the algorithm of the proofs that it is bound to; empty if it is not.
    :ivar lifetime: seconds that it is good for.
    :ivar said: what the token endpoint said, word for word.
    :ivar is_kept: whether it was given earlier, so that it may be good no more.
    :ivar login: who gave it for a person's login that was kept; empty if it came in another way.
    """

    token: str
    proof: str
    lifetime: int
    said: dict[str, Any]
    is_kept: bool = False
    login: str = ""

    def __repr__(self) -> str:
        return f"<Granted for {self.lifetime} s>"

    def word(self, name: str) -> str:
        """A string beside the token; empty if there is none."""
        value = self.said.get(name)
        return value if isinstance(value, str) and _is_token(value) else ""

    @property
    def scopes(self) -> frozenset[str] | None:
        """What it is good for; ``None`` if that is what was asked for."""
        scope = self.said.get("scope")
        return frozenset(scopes_in(scope)) if isinstance(scope, str) else None


class Refused(SignInFailed):
    """A token endpoint says no.

    :ivar error: in its own word.
    """

    error = ""

    def advised(self, advice: str) -> Refused:
        """The same, with what to do."""
        return refused(f"{self.message}; {advice}", self.error)


def refused(message: str, error: str) -> Refused:
    """A refusal; errors are made again by those who add to them, from their message alone."""
    problem = Refused(message)
    problem.error = error
    return problem


class TokenEndpoint:
    """Where tokens are given."""

    def __init__(self, inquiry: Inquiry, possession: Possession) -> None:
        self._inquiry = inquiry
        self._possession = possession

    async def ask(self, issuer: Issuer, make_form: MakeForm, algorithm: str) -> Granted:
        """Ask for a token.

        :param make_form: makes a form that is good once, and the headers with it.
        :param algorithm: of the proofs that the token is to be bound to; empty for none.
        :raises Refused: the answer is no.
        :raises SignInFailed: the answer is no token that we can use.
        """
        found = await self._post(issuer, make_form, algorithm)
        if algorithm and found.status in (400, 401) and _error(found) == "use_dpop_nonce":
            found = await self._post(issuer, make_form, algorithm)  # the nonce is noticed by now
        return _granted(found, issuer.name, algorithm)

    async def _post(self, issuer: Issuer, make_form: MakeForm, algorithm: str) -> Document:
        form, headers = await make_form()
        place = issuer.token_endpoint
        if algorithm:
            proof = self._possession.proof(algorithm, "POST", place)
            headers = [*headers, ("dpop", proof)]
        found = await self._inquiry.send_form(place, form, headers)
        self._possession.notice(place, found.nonce)
        return found


def _granted(found: Document, who: str, algorithm: str) -> Granted:
    """The token (RFC 6749 section 5.1).

    :raises SignInFailed: there is none, or none that we can use.
    """
    if found.status != 200:
        raise refused(_refusal(found, who), _error(found))
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


def reason(found: Document) -> str:
    """Why an authorization server says no, fit to be shown."""
    described = _said(found).get("error_description")
    shown = [
        each for each in (_error(found), described) if isinstance(each, str) and each.isprintable()
    ]
    return ": ".join(each for each in shown if each)[:300] or "no reason"


def _refusal(found: Document, who: str) -> str:
    return f"{who} gives no token ({found.status}, {reason(found)})"
