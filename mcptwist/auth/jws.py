"""Compact JWS, read as strictly as it can be (RFC 7515, RFC 8725).

There is one way to write each: base64url without padding or stray bits, JSON objects without
repeated members, numbers that are numbers. What could be understood in two ways is refused. The
signature is not looked at here: whose it is, and how it is made, is for the key to say.

Pure.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, NoReturn

import msgspec
from twisted.internet.defer import Deferred

from mcptwist.auth.keys import ISigner, KeyProblem, from_base64url, to_base64url

#: Members of a header by which a message would choose its own key, or change what is signed.
_TELLING = frozenset({"crit", "b64", "jku", "x5u", "x5c", "x5t", "x5t#S256", "zip"})


class Malformed(ValueError):
    """It is no JWS that we take; the message tells why, and holds nothing of it."""


class Jws(msgspec.Struct, frozen=True):
    """A JWS whose signature nobody has looked at yet.

    :ivar header: the protected header.
    :ivar claims: the payload.
    :ivar signed: what the signature is of.
    """

    header: Mapping[str, Any]
    claims: Mapping[str, Any]
    signed: bytes
    signature: bytes

    @property
    def algorithm(self) -> str:
        """What the header names; the key decides whether it is good."""
        return str(self.header["alg"])

    @property
    def head(self) -> bytes:
        """The header as it came."""
        return self.signed.partition(b".")[0]


def read_jws(text: str, limit: int, allowed: frozenset[str] = frozenset()) -> Jws:
    """Take a JWS apart.

    :param limit: characters that it may have.
    :param allowed: members of the header that are refused otherwise (``jwk``).
    :raises Malformed: it is too long, or can be understood in no way or in two.
    """
    if len(text) > limit:
        raise Malformed("is too long")
    parts = text.split(".")
    if len(parts) != 3:
        raise Malformed("has not three parts")
    try:
        header, claims, signature = (from_base64url(part) for part in parts)
    except KeyProblem as problem:
        raise Malformed(str(problem)) from None
    signed = f"{parts[0]}.{parts[1]}".encode("ascii")
    jws = Jws(read_object(header), read_object(claims), signed, signature)
    _check_header(jws.header, allowed)
    return jws


def _check_header(header: Mapping[str, Any], allowed: frozenset[str]) -> None:
    if (_TELLING | {"jwk"}) - allowed & header.keys():
        raise Malformed("has a header member that is not taken")
    if not isinstance(header.get("alg"), str):
        raise Malformed("names no algorithm")


def read_object(data: bytes) -> dict[str, Any]:
    """A JSON object that has each member once.

    :raises Malformed: it is anything else.
    """
    try:
        value = json.loads(
            data.decode("utf-8"), object_pairs_hook=_once, parse_constant=_no_constant
        )
    except Malformed:
        raise
    except (ValueError, RecursionError):
        raise Malformed("holds something that is not JSON") from None
    if not isinstance(value, dict):
        raise Malformed("holds something that is no object")
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Malformed("has a member twice")
    return found


def _no_constant(name: str) -> NoReturn:
    raise Malformed("holds a number that is none")


def moment(claims: Mapping[str, Any], name: str) -> float:
    """A claim that is a time: seconds since 1970.

    :raises Malformed: it is missing or no finite number.
    """
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Malformed(f"{name} is no number")
    if not (isinstance(value, int) or math.isfinite(value)) or abs(value) > 1 << 53:
        raise Malformed(f"{name} is no time")
    return float(value)


def word(claims: Mapping[str, Any], name: str, least: int = 1, most: int = 256) -> str:
    """A claim that is a string of fitting length.

    :raises Malformed: it is missing or no such string.
    """
    value = claims.get(name)
    if not isinstance(value, str) or not least <= len(value) <= most:
        raise Malformed(f"{name} is no string of {least} to {most} characters")
    return value


def make_jws(
    signer: ISigner, header: Mapping[str, Any], claims: Mapping[str, Any], algorithm: str = ""
) -> str:
    """Sign *claims*.

    :param header: besides ``alg``.
    :param algorithm: one that is good for the key; the best otherwise.
    """
    chosen = algorithm or signer.public.algorithms[0]
    signed = _to_be_signed(chosen, header, claims)
    return f"{signed}.{to_base64url(signer.sign(chosen, signed.encode('ascii')))}"


async def sign_jws(
    signer: ISigner, header: Mapping[str, Any], claims: Mapping[str, Any], algorithm: str = ""
) -> str:
    """The same, with a signer that may take its time, as an agent does."""
    chosen = algorithm or signer.public.algorithms[0]
    signed = _to_be_signed(chosen, header, claims)
    signature: Any = signer.sign(chosen, signed.encode("ascii"))
    if isinstance(signature, Deferred):
        signature = await signature
    return f"{signed}.{to_base64url(signature)}"


def _to_be_signed(algorithm: str, header: Mapping[str, Any], claims: Mapping[str, Any]) -> str:
    return ".".join(
        to_base64url(json.dumps(part, separators=(",", ":")).encode())
        for part in ({"alg": algorithm, **header}, claims)
    )
