"""What a daemon says of its own keys: the one it shows, and the one that will follow it.

The statement is signed with both, so that neither is announced by somebody who does not hold it. It
is worth something only to a client that came over a connection on which it knew the key already: it
learns the next one from it, and a key that has followed is no key that has changed. OpenSSH's
``UpdateHostKeys`` does the same.

``docs/auth/host-keys.rst``; RFC 7515 section 7.2.1 (one payload, several signatures). Pure.
"""

from __future__ import annotations

from typing import Any

import msgspec

from mcptwist.auth.jws import Jws, Malformed, make_jws, moment, read_jws, read_object
from mcptwist.auth.keyformats import SMALLEST_HOST_RSA
from mcptwist.auth.keys import ISigner, KeyProblem, PublicKey

PATH = "/.well-known/mcptwist-host-keys"
LARGEST = 16 * 1024
LIFETIME, SKEW = 3600, 300.0
"""Seconds that a statement is good for, and by which clocks may differ."""

_TYPE = "mcptwist-host-keys+jwt"


class StatementRefused(Exception):
    """Nothing is learnt from it; the message tells why."""


class HostKeys(msgspec.Struct, frozen=True):
    """What a daemon says of its keys.

    :ivar current: the key it shows now.
    :ivar following: the key that it will show, where one is made.
    :ivar begins: when, in seconds since 1970.
    """

    current: PublicKey
    following: PublicKey | None = None
    begins: float | None = None


def make_statement(
    issuer: str, now: float, current: ISigner, following: ISigner | None, begins: float | None
) -> dict[str, Any]:
    """The document.

    :param issuer: under which URL the daemon is known, such as ``https://mcp.example.com``.
    :param now: seconds since 1970.
    """
    signers = [current] if following is None else [current, following]
    claims: dict[str, Any] = {"iss": issuer, "iat": int(now), "exp": int(now) + LIFETIME}
    claims["keys"] = [each.public.jwk() for each in signers]
    if begins is not None:
        claims["next_from"] = int(begins)
    made = [
        make_jws(each, {"typ": _TYPE, "kid": each.public.fingerprint}, claims).split(".")
        for each in signers
    ]
    signatures = [{"protected": protected, "signature": sig} for protected, _, sig in made]
    return {"payload": made[0][1], "signatures": signatures}


def read_statement(document: bytes, shown: PublicKey, issuer: str, now: float) -> HostKeys:
    """What a daemon says of its keys.

    :param shown: the key that it showed on the connection the document came by, which was known.
    :param issuer: whom we asked: scheme, host and port of the URL, the default port left out.
    :param now: seconds since 1970.
    :raises StatementRefused: with the reason.
    """
    try:
        signed = _signed(document)
        claims = signed[0].claims
        _check_claims(claims, issuer, now)
        keys = _keys(claims)
        _check_signatures(signed, keys)
        begins = moment(claims, "next_from") if "next_from" in claims else None
    except (Malformed, KeyProblem) as problem:
        raise StatementRefused(f"what it says of its keys {problem}") from None
    if keys[0] != shown:
        raise StatementRefused("what it says of its keys begins with another than it showed")
    return HostKeys(keys[0], keys[1] if len(keys) > 1 else None, begins)


def _signed(document: bytes) -> list[Jws]:
    """The same payload, once for each signature."""
    if len(document) > LARGEST:
        raise Malformed("is too long")
    found = read_object(document)
    payload, signatures = found.get("payload"), found.get("signatures")
    if not isinstance(payload, str) or not isinstance(signatures, list):
        raise Malformed("has no payload and signatures")
    if not 1 <= len(signatures) <= 2:
        raise Malformed("has too many signatures, or none")
    return [_compact(payload, each) for each in signatures]


def _compact(payload: str, entry: Any) -> Jws:
    parts = (entry.get("protected"), entry.get("signature")) if isinstance(entry, dict) else ()
    if len(parts) != 2 or not all(isinstance(part, str) for part in parts):
        raise Malformed("has a signature that is none")
    jws = read_jws(f"{parts[0]}.{payload}.{parts[1]}", LARGEST)
    if jws.header.get("typ") != _TYPE:
        raise Malformed(f"has a typ that is not {_TYPE}")
    return jws


def _check_claims(claims: Any, issuer: str, now: float) -> None:
    if claims.get("iss") != issuer:
        raise Malformed("is of another daemon")
    issued, expires = moment(claims, "iat"), moment(claims, "exp")
    if issued > now + SKEW or expires <= now - SKEW or expires - issued > LIFETIME:
        raise Malformed("is not of now; or the clocks differ")


def _keys(claims: Any) -> list[PublicKey]:
    found = claims.get("keys")
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise Malformed("names no keys")
    return [PublicKey.from_jwk(each, SMALLEST_HOST_RSA) for each in found]


def _check_signatures(signed: list[Jws], keys: list[PublicKey]) -> None:
    """Each key has signed, in their order."""
    if len(signed) != len(keys) or len(set(keys)) != len(keys):
        raise Malformed("is not signed once with each of them")
    for jws, key in zip(signed, keys, strict=True):
        if not key.verify(jws.algorithm, jws.signature, jws.signed):
            raise Malformed(f"is not signed with {key.fingerprint}")
