"""A client's assertion that it is who it says, signed with its key (``private_key_jwt``).

The one thing read here is what the assertion says and when: whether the signature is good is for
the key to say, whether it was used before for the :mod:`~mcptwist.auth.oauth.replay` cache.
RFC 7523 section 3 with the audience of draft-ietf-oauth-rfc7523bis: the issuer, and nothing else.
Pure.
"""

from __future__ import annotations

import msgspec

from mcptwist.auth.jws import Malformed, moment, read_jws, word
from mcptwist.auth.keys import ALL_ALGORITHMS

TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
LONGEST = 8 * 1024
_TYPES = frozenset({"JWT", "client-authentication+jwt"})


class AssertionRefused(Exception):
    """It is not to be believed. The reason is for the audit log; the client is told none."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Leeway(msgspec.Struct, frozen=True):
    """How much is made of an assertion's times.

    :ivar lifetime: seconds that it may be good for.
    :ivar skew: seconds by which clocks may differ.
    """

    lifetime: float = 300.0
    skew: float = 30.0


USUAL = Leeway()


class Assertion(msgspec.Struct, frozen=True):
    """What an assertion says, before its signature was looked at.

    :ivar client: who it says it is.
    :ivar key: which of its keys it says it used, if it says so.
    :ivar until: when it is over, clocks' difference included, in seconds since 1970.
    """

    client: str
    key: str | None
    algorithm: str
    jti: str
    until: float
    signed: bytes
    signature: bytes


def read_assertion(
    text: str,
    issuer: str,
    now: float,
    born: float,
    client: str | None = None,
    leeway: Leeway = USUAL,
) -> Assertion:
    """Read an assertion.

    :param issuer: whom it must be meant for.
    :param now: seconds since 1970.
    :param born: since when uses are remembered; one that was made before may have been used.
    :param client: the ``client_id`` beside it, if there is one.
    :param leeway: how much is made of its times.
    :raises AssertionRefused: with the reason.
    """
    try:
        jws = read_jws(text, LONGEST)
        header, claims = jws.header, jws.claims
        if jws.algorithm not in ALL_ALGORITHMS:
            raise Malformed("alg is none that is taken")
        if "typ" in header and header["typ"] not in _TYPES:
            raise Malformed("typ is not that of an assertion")
        name = word(claims, "iss")
        if claims.get("sub") != name or client not in (None, name):
            raise Malformed("iss, sub and client_id differ")
        # An empty path and "/" are the same URL (RFC 3986 section 6.2.3); the Python SDK 1.x
        # writes the second, whatever the metadata says.
        if claims.get("aud") not in (issuer, f"{issuer}/"):
            raise Malformed("aud is not the issuer")
        until = _check_times(claims, now, born, leeway)
        key = word(header, "kid") if "kid" in header else None
        jti = word(claims, "jti", 8, 128)
    except Malformed as problem:
        raise AssertionRefused(str(problem)) from None
    return Assertion(name, key, jws.algorithm, jti, until, jws.signed, jws.signature)


def _check_times(claims: object, now: float, born: float, leeway: Leeway) -> float:
    """When it is over.

    :raises Malformed: it is not good now, or for too long.
    """
    assert isinstance(claims, dict)
    issued, expires = moment(claims, "iat"), moment(claims, "exp")
    if issued > now + leeway.skew:
        raise Malformed("iat is in the future")
    if expires <= now - leeway.skew:
        raise Malformed("has expired")
    if not 0 < expires - issued <= leeway.lifetime:
        raise Malformed(f"is good for more than {leeway.lifetime:g} s")
    if issued < born:
        raise Malformed("was made before the daemon was started")
    if "nbf" in claims and moment(claims, "nbf") > now + leeway.skew:
        raise Malformed("is not good yet")
    return expires + leeway.skew
