"""What a server says of where tokens for it are to be had, read with suspicion.

A server that wants a token answers 401 and names its metadata; that names its authorization
servers, and their metadata the place where tokens are given. Each document speaks for one place
only: what it says of another is not believed, and no place is gone to but over TLS, or on this
machine.

MCP 2026-07-28, *Authorization*; RFC 9110 section 11.6.1, RFC 9728, RFC 8414, OpenID Connect
Discovery 1.0. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec

from mcptwist.auth.jws import Malformed, read_object
from mcptwist.errors import SignInFailed

LARGEST = 64 * 1024
"""Bytes that a document may have."""

_PROTECTED = "/.well-known/oauth-protected-resource"
_ISSUER, _OPENID = "/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"
KEY, BASIC, POST, NONE = "private_key_jwt", "client_secret_basic", "client_secret_post", "none"
"""How a client proves who it is."""
PROGRAMS, PEOPLE, RENEWAL = "client_credentials", "authorization_code", "refresh_token"
"""The grants."""
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_SCHEME = re.compile(r"\s*,?\s*([!#$%&'*+\-.^_`|~0-9A-Za-z]+)(?:\s+|$)(?!\s*=)")
_PARAMETER = re.compile(
    r'\s*,?\s*([!#$%&\'*+\-.^_`|~0-9A-Za-z]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^\s",]+)\s*(?:,|$)'
)
_LONGEST = 8192
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+\Z")
_PAGE = re.compile(r"https?://[\x21-\x7e]{1,8192}\Z")
_URL = re.compile(r"[\x21-\x7e]{1,2048}\Z")


class Challenge(msgspec.Struct, frozen=True):
    """What a server wants (RFC 6750 section 3).

    :ivar scheme: ``bearer`` or ``dpop``.
    :ivar metadata: where the resource's metadata is; empty if it does not say.
    :ivar scopes: what would do.
    """

    scheme: str
    error: str = ""
    metadata: str = ""
    scopes: frozenset[str] = frozenset()


class Resource(msgspec.Struct, frozen=True):
    """What tokens are for (RFC 9728).

    :ivar url: what it calls itself.
    :ivar issuers: who gives tokens for it, the preferred one first.
    """

    url: str
    issuers: tuple[str, ...]
    scopes: frozenset[str] = frozenset()


class Issuer(msgspec.Struct, frozen=True):
    """Who gives tokens (RFC 8414). An endpoint that we would not go to is not there.

    :ivar token_endpoint: where.
    :ivar algorithms: that it verifies assertions by; empty if it does not say.
    :ivar dpop: those that it verifies proofs of possession by; empty if it does not know these.
    :ivar authorization_endpoint: where people say yes.
    :ivar registration_endpoint: where clients make themselves known (RFC 7591).
    :ivar revocation_endpoint: where tokens are given back (RFC 7009).
    :ivar grants: the grants it knows; ``None`` if it does not say.
    :ivar methods: how clients prove who they are; ``None`` if it does not say.
    :ivar challenges: the methods of PKCE (RFC 7636).
    :ivar scopes: that it knows.
    :ivar names_itself: whether it says who it is with every code (RFC 9207).
    :ivar reads_documents: whether the URL of a document about a client will do for its name.
    :ivar unbinds: whether a login that is bound to a key gets tokens for a header, too, as ours do.
    """

    name: str
    token_endpoint: str
    algorithms: tuple[str, ...] = ()
    dpop: tuple[str, ...] = ()
    authorization_endpoint: str = ""
    registration_endpoint: str = ""
    revocation_endpoint: str = ""
    grants: tuple[str, ...] | None = None
    methods: tuple[str, ...] | None = None
    challenges: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    names_itself: bool = False
    reads_documents: bool = False
    unbinds: bool = False

    @property
    def takes_keys(self) -> bool:
        """Whether it may give tokens to a program that proves a key (RFC 7523)."""
        return self._takes(PROGRAMS, KEY)

    @property
    def names_keys(self) -> bool:
        """Whether it says so itself."""
        return self.takes_keys and self.methods is not None

    @property
    def takes_secrets(self) -> bool:
        """Whether it may give tokens to a program that has a secret."""
        return any(self._takes(PROGRAMS, each) for each in (BASIC, POST))

    @property
    def takes_people(self) -> bool:
        """Whether it gives tokens that a person agrees to."""
        knows = self.grants is None or PEOPLE in self.grants
        return bool(self.authorization_endpoint) and knows

    def _takes(self, grant: str, method: str) -> bool:
        grants, methods = self.grants, self.methods
        return (grants is None or grant in grants) and (methods is None or method in methods)


# --- the challenge --------------------------------------------------------------------------


def read_challenge(values: Iterable[bytes]) -> Challenge | None:
    """The challenge that we can meet: all that those of these two schemes say, together.

    :param values: of ``WWW-Authenticate``.
    """
    found: dict[str, str] = {}
    first = ""
    for value in values:
        for scheme, parameters in _challenges(value.decode("latin-1")[:_LONGEST]):
            if scheme in ("bearer", "dpop"):
                first = first or scheme
                found = {**parameters, **found}
    if not first:
        return None
    scopes = frozenset(scopes_in(found.get("scope", "")))
    return Challenge(first, found.get("error", ""), found.get("resource_metadata", ""), scopes)


def _challenges(text: str) -> Iterator[tuple[str, dict[str, str]]]:
    at = 0
    while (begun := _SCHEME.match(text, at)) is not None:
        at = begun.end()
        parameters: dict[str, str] = {}
        while (one := _PARAMETER.match(text, at)) is not None:
            at = one.end()
            parameters.setdefault(one[1].lower(), _unquoted(one[2]))
        yield begun[1].lower(), parameters


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text[1:-1]) if text.startswith('"') else text


def scopes_in(text: str) -> list[str]:
    """The scopes in a string of them; what is none is left out."""
    return [scope for scope in text.split(" ") if _SCOPE.match(scope)][:64]


# --- the resource ---------------------------------------------------------------------------


def resource_documents(url: str, challenge: Challenge | None) -> list[str]:
    """Where the metadata of the resource at *url* may be, the likeliest first.

    :raises SignInFailed: the challenge names another place than the resource's own.
    """
    base, path = _parts(url)
    if challenge is not None and challenge.metadata:
        if not _is_below(challenge.metadata, base):
            raise SignInFailed(
                f"{base} names metadata that are elsewhere, and would speak of another place"
            )
        return [challenge.metadata]
    found = [f"{base}{_PROTECTED}{path}", f"{base}{_PROTECTED}"]
    return list(dict.fromkeys(found))


def read_resource(document: bytes, url: str) -> Resource:
    """What the metadata says.

    :param url: what is asked for; the resource must be that, or contain it.
    :raises SignInFailed: it is none, or speaks of something else.
    """
    base, _ = _parts(url)
    found = _read(document, "its metadata")
    named = found.get("resource")
    if not isinstance(named, str) or not _contains(named, url, base):
        raise SignInFailed(f"the metadata at {base} are those of another resource")
    issuers = [each for each in _strings(found, "authorization_servers") if is_safe(each, url)]
    if not issuers:
        raise SignInFailed(f"{base} names nobody who gives tokens for it, over https")
    scopes = [each for each in _strings(found, "scopes_supported") if _SCOPE.match(each)]
    return Resource(named, tuple(issuers), frozenset(scopes))


def _contains(named: str, url: str, base: str) -> bool:
    """Whether *named* is *url*, or its origin and the beginning of its path."""
    if not _is_below(named, base):
        return False
    there, wanted = urlsplit(named), urlsplit(url)
    if there.query or there.fragment:
        return False
    path = there.path.rstrip("/")
    return wanted.path.rstrip("/") == path or wanted.path.startswith(f"{path}/")


# --- the authorization server -----------------------------------------------------------------


def issuer_documents(issuer: str) -> list[str]:
    """Where the metadata of an authorization server may be, in the order in which MCP tries."""
    base, path = _parts(issuer)
    path = path.rstrip("/")
    if not path:
        return [f"{base}{_ISSUER}", f"{base}{_OPENID}"]
    return [f"{base}{_ISSUER}{path}", f"{base}{_OPENID}{path}", f"{base}{path}{_OPENID}"]


def read_issuer(document: bytes, issuer: str, url: str) -> Issuer:
    """What the metadata says.

    :param url: what tokens are wanted for.
    :raises SignInFailed: it is none, or is another's.
    """
    found = _read(document, f"the metadata of {issuer}")
    if found.get("issuer") != issuer:
        raise SignInFailed(f"the metadata of {issuer} are those of another authorization server")
    endpoint = _endpoint(found, "token_endpoint", url)
    if not endpoint:
        raise SignInFailed(f"{issuer} names no token endpoint that can be gone to over https")
    several = {
        "algorithms": "token_endpoint_auth_signing_alg_values_supported",
        "dpop": "dpop_signing_alg_values_supported",
        "challenges": "code_challenge_methods_supported",
        "scopes": "scopes_supported",
    }
    known: dict[str, Any] = {name: tuple(_strings(found, key)) for name, key in several.items()}
    for name in ("authorization_endpoint", "registration_endpoint", "revocation_endpoint"):
        known[name] = _endpoint(found, name, url)
    known["grants"] = _told(found, "grant_types_supported")
    known["methods"] = _told(found, "token_endpoint_auth_methods_supported")
    known["names_itself"] = found.get("authorization_response_iss_parameter_supported") is True
    known["reads_documents"] = found.get("client_id_metadata_document_supported") is True
    known["unbinds"] = found.get("mcptwist_bearer_refresh_supported") is True
    return Issuer(issuer, endpoint, **known)


def _endpoint(found: Mapping[str, Any], name: str, url: str) -> str:
    """A place that may be gone to; empty if none is named."""
    place = found.get(name)
    return place if isinstance(place, str) and is_safe(place, url) else ""


def _told(found: Mapping[str, Any], name: str) -> tuple[str, ...] | None:
    return tuple(_strings(found, name)) if name in found else None


# --- URLs -----------------------------------------------------------------------------------


def is_safe(place: str, url: str) -> bool:
    """Whether *place* may be gone to for the sake of *url*: over TLS, or both on this machine."""
    if not _URL.match(place):
        return False
    try:
        there, here = urlsplit(place), urlsplit(url)
        host, _ = there.hostname, there.port
    except ValueError:
        return False
    if not host or "@" in there.netloc or there.fragment:
        return False
    if there.scheme == "https":
        return True
    return there.scheme == "http" and host in _LOOPBACK and here.hostname in _LOOPBACK


def is_page(url: str) -> bool:
    """Whether a browser may be sent to *url*: it is a page of the web, and nothing else."""
    if not _PAGE.match(url):
        return False
    return is_safe(url.partition("?")[0], "http://localhost")


def may_carry(url: str) -> bool:
    """Whether a token may be sent to *url*: nobody else can read it on its way."""
    parts = urlsplit(url)
    return parts.scheme in ("https", "wss") or parts.hostname in _LOOPBACK


def origin_of(url: str) -> str:
    """The origin of a URL of ours, as an issuer would be called that is there."""
    return _parts(url)[0].lower()


def _parts(url: str) -> tuple[str, str]:
    """The origin and the path of a URL of ours."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}", parts.path


def _is_below(url: str, base: str) -> bool:
    if not _URL.match(url) or "@" in url.partition("//")[2].partition("/")[0]:
        return False
    return url.lower() == base.lower() or url.lower().startswith(f"{base.lower()}/")


def _strings(found: Mapping[str, Any], name: str) -> list[str]:
    value = found.get(name)
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []


def _read(document: bytes, what: str) -> dict[str, Any]:
    try:
        return read_object(document)
    except Malformed as problem:
        raise SignInFailed(f"{what}: {problem}") from None
