"""What a client sends a browser to us with, and where the browser may be sent back to.

Nothing of a request is believed, and no browser sent anywhere, before it was seen whose request it
is and that its ``redirect_uri`` is one of that client's. RFC 6749 section 4.1, RFC 7636, RFC 8707,
RFC 9207, RFC 9449 section 10; MCP 2026-07-28, *Authorization*. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import urlencode

import msgspec

from mcptwist.auth.addresses import Address
from mcptwist.auth.authorizedkeys import SCOPES
from mcptwist.auth.oauth.forms import Form, Refused, read_form
from mcptwist.auth.oauth.logins import is_challenge
from mcptwist.auth.oauth.registrations import LONGEST_ID, Client, Redirects, client_of

LONGEST_QUERY = 6 * 1024

_STATE = re.compile(r"[ -~]{1,2048}\Z", re.ASCII)


class NotSentBack(Exception):
    """The request is nobody's that could be answered: the person is told, and nobody else.

    :ivar reason: what is wrong, for the person and for the audit log.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class SentBack(Exception):
    """The client's request is not good, and the client is told so by the browser.

    :ivar url: where the browser goes.
    :ivar error: what it tells there (RFC 6749 section 4.1.2.1).
    """

    def __init__(self, url: str, error: str, reason: str) -> None:
        super().__init__(reason)
        self.url = url
        self.error = error
        self.reason = reason


class AuthorizationRequest(msgspec.Struct, frozen=True):
    """What a client wants.

    :ivar issuer: under which of our names it asks.
    :ivar state: what it wants to hear again, if anything.
    :ivar jkt: the thumbprint of the key that it will bring the code with, if it named one.
    """

    issuer: str
    client: Client
    redirect_uri: str
    state: str | None
    challenge: str
    resource: Address
    scopes: frozenset[str]
    jkt: str = ""

    def answered(self, **parameters: str) -> str:
        """Where the browser is sent back to, with an answer."""
        return _answered(self.redirect_uri, self.state, self.issuer, parameters)

    def refused(self, error: str, reason: str) -> str:
        """The same, with an error."""
        return self.answered(error=error, error_description=reason)


def read_request(
    query: bytes,
    issuer: str,
    redirects: Redirects,
    resource: Callable[[str], Address | None],
    usual: Callable[[Address], frozenset[str]],
) -> AuthorizationRequest:
    """Read the query of a request.

    :param resource: the place of ours that a URL names.
    :param usual: the scopes that a place asks for where a client says none.
    :raises NotSentBack: it is not known whose it is.
    :raises SentBack: it is, and is not good.
    """
    form = _read_query(query)
    client = client_of(form.get("client_id", "")[: LONGEST_ID + 1])
    if client is None:
        raise NotSentBack("the client is not registered here; have it register anew")
    redirect_uri = form.get("redirect_uri", "")
    plain = redirects.plain(redirect_uri)
    if plain is None or not client.leads_to(plain):
        raise NotSentBack("redirect_uri is none that the client has registered")
    state = form.get("state")
    if state is not None and not _STATE.match(state):
        raise _sent_back(redirect_uri, None, issuer, "invalid_request", "state is malformed")
    try:
        _check(form)
        place = resource(form.get("resource", ""))
        if place is None:
            raise _Wrong("invalid_target", "resource must be the URL of an MCP endpoint here")
        scopes = _scopes(form.get("scope", ""), usual(place))
    except _Wrong as wrong:
        raise _sent_back(redirect_uri, state, issuer, wrong.error, str(wrong)) from None
    return AuthorizationRequest(
        issuer,
        client,
        redirect_uri,
        state,
        form["code_challenge"],
        place,
        scopes,
        form.get("dpop_jkt", ""),
    )


class _Wrong(Exception):
    def __init__(self, error: str, reason: str) -> None:
        super().__init__(reason)
        self.error = error


def _read_query(query: bytes) -> Form:
    if len(query) > LONGEST_QUERY:
        raise NotSentBack("the request is too long")
    try:
        form = read_form(query)
    except Refused as refused:
        raise NotSentBack(refused.reason) from None
    # RFC 6749 section 3.1: what has no value is not there.
    return {name: value for name, value in form.items() if value}


def _check(form: Form) -> None:
    if form.get("response_type") != "code":
        raise _Wrong("unsupported_response_type", "response_type must be code")
    if form.get("response_mode", "query") != "query":
        raise _Wrong("invalid_request", "response_mode must be query")
    if "request" in form or "request_uri" in form:
        raise _Wrong("request_not_supported", "parameters go into the query")
    if form.get("code_challenge_method") != "S256":
        raise _Wrong("invalid_request", "code_challenge_method must be S256")
    if not is_challenge(form.get("code_challenge", "")):
        raise _Wrong("invalid_request", "code_challenge must be 43 characters of base64url")
    if "dpop_jkt" in form and not is_challenge(form["dpop_jkt"]):  # another SHA-256
        raise _Wrong("invalid_request", "dpop_jkt must be a key's thumbprint")


def _scopes(asked: str, usual: frozenset[str]) -> frozenset[str]:
    """Those that are asked for and there are; clients may ask for others as well, in vain."""
    found = frozenset(asked.split(" ")) & frozenset(SCOPES) if asked else usual
    if not found:
        raise _Wrong("invalid_scope", f"scope must have one of {', '.join(SCOPES)}")
    return found


def _sent_back(uri: str, state: str | None, issuer: str, error: str, reason: str) -> SentBack:
    parameters = {"error": error, "error_description": reason}
    return SentBack(_answered(uri, state, issuer, parameters), error, reason)


def _answered(uri: str, state: str | None, issuer: str, parameters: dict[str, str]) -> str:
    """RFC 6749 section 4.1.2, with ``iss`` (RFC 9207)."""
    told = dict(parameters)
    if state is not None:
        told["state"] = state
    told["iss"] = issuer
    joint = "&" if "?" in uri else "?"
    return f"{uri}{joint}{urlencode(told)}"
