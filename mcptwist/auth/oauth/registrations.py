"""Clients that have no key and register themselves: what they may say, and what comes of it.

Nothing is kept of a registration. The ``client_id`` *is* what was registered: the client's name and
a hash of each URI that browsers may be sent back to. So strangers can fill up nothing, and clients,
which keep what they were given, find it good after a restart and at every daemon. Who makes one up
has what registering would have given: each URI has to be one that anybody may register, each time.

RFC 7591 (appendix A.5.2: stateless registration), RFC 8252 section 7. Pure.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from typing import Any

import msgspec

from mcptwist.auth.keys import to_base64url

LONGEST_URI = 512
MOST_URIS = 8
"""How many are registered of one client; more are left out."""
LONGEST_ID = 256

CODE, REFRESH, DEVICE = (
    "authorization_code",
    "refresh_token",
    "urn:ietf:params:oauth:grant-type:device_code",
)
"""The grants of people's clients (``grant_type``)."""

INVALID_REDIRECT, INVALID_METADATA = "invalid_redirect_uri", "invalid_client_metadata"

_URI = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<host>\[::1\]|[a-z0-9_.-]+)(?P<port>:[1-9][0-9]{0,4})?"
    r"(?P<rest>(?:/[A-Za-z0-9._~!$&()*+,;=:@%/-]*)?(?:\?[A-Za-z0-9._~!$&()*+,;=:@%/?-]*)?)\Z",
    re.ASCII,
)
_LOOPBACK = frozenset({"127.0.0.1", "[::1]", "localhost"})
_UNSHOWN = re.compile(r"[^A-Za-z0-9_-]+", re.ASCII)
_LONGEST_NAME = 40
_ID = re.compile(r"([A-Za-z0-9_-]{1,40})((?:\.[A-Za-z0-9_-]{16}){0,8})\Z", re.ASCII)


class RegistrationRefused(ValueError):
    """A client cannot be registered so.

    :ivar error: what it is told (RFC 7591 section 3.2.2).
    """

    def __init__(self, error: str, reason: str) -> None:
        super().__init__(reason)
        self.error = error
        self.reason = reason


class Redirects:
    """Where browsers may be sent back to at all, whichever the client is.

    Programs on the browser's own machine, which listen on a loopback address, and what was named.

    :param named: each a scheme and a host, perhaps a port.
    """

    def __init__(self, named: Iterable[str] = ()) -> None:
        self._named = frozenset(named)

    def plain(self, uri: str) -> str | None:
        """*uri* as it is compared; ``None`` where browsers may not be sent.

        A program that listens on a loopback address gets another port each time (RFC 8252
        section 7.3), so there the port is left out; all else counts, to the letter.
        """
        match = _URI.match(uri) if len(uri) <= LONGEST_URI else None
        if match is None:
            return None
        scheme, host, port, rest = match.group("scheme", "host", "port", "rest")
        if scheme == "http" and host in _LOOPBACK:
            return f"http://{host}{rest}"
        if scheme == "https" and port == ":443":
            port = ""
        return uri if f"{scheme}://{host}{port or ''}" in self._named else None


class Client(msgspec.Struct, frozen=True):
    """A client that has registered.

    :ivar id: its ``client_id``.
    :ivar name: what it calls itself: letters, digits, ``-`` and ``_``. Anybody may claim any.
    :ivar marks: of the URIs that browsers may be sent back to.
    """

    id: str
    name: str
    marks: frozenset[str]

    def leads_to(self, plain: str) -> bool:
        """Whether it has registered that URI, which is as it is compared."""
        return _mark(plain) in self.marks


class Registration(msgspec.Struct, frozen=True):
    """What comes of a registration.

    :ivar redirect_uris: those of the client's that were registered.
    """

    client: Client
    redirect_uris: tuple[str, ...]
    grant_types: tuple[str, ...]

    def told(self, now: float) -> dict[str, Any]:
        """What the client is answered (RFC 7591 section 3.2.1)."""
        codes = CODE in self.grant_types
        return {
            "client_id": self.client.id,
            "client_id_issued_at": int(now),
            "client_name": self.client.name,
            "redirect_uris": list(self.redirect_uris),
            "grant_types": list(self.grant_types),
            "response_types": ["code"] if codes else [],
            "token_endpoint_auth_method": "none",
        }


def register(document: dict[str, Any], redirects: Redirects, grants: Iterable[str]) -> Registration:
    """Register a client. What it asks for and there is not, it does not get, and is told so.

    :param grants: those that there are.
    :raises RegistrationRefused: nothing that it could use is left.
    """
    asked = _words(document, "grant_types", (CODE,))
    found = tuple(grant for grant in grants if grant in asked)
    if REFRESH in grants and REFRESH not in found:
        found = (*found, REFRESH)  # may be left out; a refresh token is sent all the same
    if CODE not in found and DEVICE not in found:
        raise RegistrationRefused(INVALID_METADATA, "grant_types has none that there is here")
    if CODE in found and "code" not in _words(document, "response_types", ("code",)):
        raise RegistrationRefused(INVALID_METADATA, "response_types has no code")
    uris = _words(document, "redirect_uris", ())
    plain = {uri: redirects.plain(uri) for uri in uris}
    taken = tuple(uri for uri in uris if plain[uri] is not None)[:MOST_URIS]
    if not taken and CODE in found:
        raise RegistrationRefused(
            INVALID_REDIRECT,
            "redirect_uris must have a loopback address with http, or one that this daemon's "
            "configuration names",
        )
    name = _shown(document.get("client_name"))
    marks = sorted({_mark(plain[uri] or "") for uri in taken})
    client = Client(".".join([name, *marks]), name, frozenset(marks))
    return Registration(client, taken, found)


def client_of(client_id: str) -> Client | None:
    """Who has that ``client_id``; ``None`` if it is none that was ever given out."""
    match = _ID.match(client_id)
    if match is None:
        return None
    return Client(client_id, match[1], frozenset(filter(None, match[2].split("."))))


def _words(document: dict[str, Any], name: str, default: tuple[str, ...]) -> tuple[str, ...]:
    found = document.get(name)
    if found is None:
        return default
    if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
        error = INVALID_REDIRECT if name == "redirect_uris" else INVALID_METADATA
        raise RegistrationRefused(error, f"{name} must be a list of strings")
    return tuple(dict.fromkeys(found))


def _shown(name: object) -> str:
    """A name that is safe to show anywhere, and cannot look like another."""
    text = _UNSHOWN.sub("-", name) if isinstance(name, str) else ""
    return text.strip("-")[:_LONGEST_NAME].strip("-") or "client"


def _mark(plain: str) -> str:
    return to_base64url(hashlib.sha256(plain.encode()).digest()[:12])
