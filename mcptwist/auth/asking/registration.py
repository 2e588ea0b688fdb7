"""Who we are to an authorization server: a client that it knows, or that makes itself known.

MCP's order: what was registered beforehand, by a person; the URL of a document about us, where the
server reads such; a registration of our own. What one server gave us to prove who we are is shown
to no other.

MCP 2026-07-28, *Client Registration*; RFC 6749 section 2.3, RFC 7591, OAuth Client ID Metadata
Document. Pure.
"""

from __future__ import annotations

import base64
import re
from typing import Any
from urllib.parse import quote_plus, urlsplit

import msgspec

import mcptwist
from mcptwist.auth.asking.discovery import BASIC, NONE, PEOPLE, POST, RENEWAL, Issuer
from mcptwist.auth.jws import Malformed, read_object
from mcptwist.errors import SignInFailed

NAME = "mcptwist"
_METHODS = (NONE, BASIC, POST)
"""How we can prove who we are, the simplest first: a secret that is ours alone adds nothing."""
_PRINTABLE = re.compile(r"[\x20-\x7e]{1,2048}\Z")


class Told(msgspec.Struct, frozen=True):
    """What a person said of us.

    :ivar name: as which client we were registered, or the URL of a document about us.
    :ivar issuer: who did so; whoever gives tokens for the server otherwise.
    """

    name: str = ""
    secret: str = ""
    issuer: str = ""

    def __repr__(self) -> str:
        return f"<Told {self.name}>"


class Client(msgspec.Struct, frozen=True):
    """Who we are to one authorization server.

    :ivar method: how we prove it at the token endpoint.
    :ivar redirect: where browsers bring codes, if that was told when we registered.
    :ivar ends: when the secret is good no more, seconds since 1970; 0 for never.
    :ivar is_own: whether we registered ourselves, and can do so again.
    """

    name: str
    secret: str = ""
    method: str = NONE
    redirect: str = ""
    ends: float = 0
    is_own: bool = False

    def __repr__(self) -> str:
        return f"<Client {self.name}>"

    def proof(self) -> tuple[dict[str, str], list[tuple[str, str]]]:
        """What a form and the headers have beside, to prove who we are."""
        if self.method != BASIC:
            secret = {"client_secret": self.secret} if self.method == POST else {}
            return {"client_id": self.name, **secret}, []
        both = f"{quote_plus(self.name)}:{quote_plus(self.secret)}"
        shown = base64.b64encode(both.encode()).decode()
        return {}, [("authorization", f"Basic {shown}")]


def known_client(issuer: Issuer, told: Told, kept: Client | None, now: float) -> Client | None:
    """Who we are; ``None`` where we have to register.

    :param kept: from an earlier registration with the same issuer.
    :param now: seconds since 1970.
    :raises SignInFailed: we are nobody there, and cannot become anybody.
    """
    if told.name and not is_document(told.name):
        return registered_client(issuer, told)
    if told.name and issuer.reads_documents:
        return Client(told.name)
    if kept is not None and not 0 < kept.ends <= now:
        return kept
    if issuer.registration_endpoint:
        return None
    raise SignInFailed(
        f"{issuer.name} lets no client register itself; register one with it that may come back "
        "to http://127.0.0.1/callback, and give its name with --client-id"
    )


def registered_client(issuer: Issuer, told: Told) -> Client:
    """Whom a person registered."""
    known = issuer.methods or (BASIC,)
    method = next((each for each in (BASIC, POST) if each in known), BASIC) if told.secret else NONE
    return Client(told.name, told.secret, method)


def is_document(name: str) -> bool:
    """Whether a client's name is the URL of a document about it."""
    parts = urlsplit(name)
    return parts.scheme == "https" and bool(parts.hostname) and parts.path not in ("", "/")


def registration(issuer: Issuer, redirect: str) -> dict[str, Any]:
    """What we say of ourselves (RFC 7591 section 2)."""
    known = _METHODS if issuer.methods is None else issuer.methods
    method = next((each for each in _METHODS if each in known), NONE)
    return {
        "client_name": NAME,
        "software_id": NAME,
        "software_version": mcptwist.__version__,
        "application_type": "native",
        "redirect_uris": [redirect],
        "grant_types": [PEOPLE, RENEWAL],
        "response_types": ["code"],
        "token_endpoint_auth_method": method,
    }


def read_registration(body: bytes, asked: dict[str, Any], who: str) -> Client:
    """Who we are from now on (RFC 7591 section 3.2.1).

    :param asked: what we said of ourselves.
    :raises SignInFailed: it does not say.
    """
    try:
        said = read_object(body)
    except Malformed:
        said = {}
    name, secret = said.get("client_id"), said.get("client_secret", "")
    method = said.get("token_endpoint_auth_method", asked["token_endpoint_auth_method"])
    ends = said.get("client_secret_expires_at", 0)
    if not isinstance(name, str) or not _PRINTABLE.match(name):
        raise SignInFailed(f"{who} registered us, and did not say as whom")
    if method not in _METHODS:
        raise SignInFailed(f"{who} wants clients to prove who they are in a way we do not know")
    if method == NONE:
        secret = ""
    elif not isinstance(secret, str) or not _PRINTABLE.match(secret):
        raise SignInFailed(f"{who} wants a secret of us, and gave us none")
    if isinstance(ends, bool) or not isinstance(ends, int) or ends < 0:
        ends = 0
    return Client(name, secret, method, asked["redirect_uris"][0], ends if secret else 0, True)
