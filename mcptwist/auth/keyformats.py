"""How keys are written: as SSH has them, as JWK has them, each in one way only.

RFC 4253 section 6.6 and RFC 8709 (SSH keys), RFC 7517 and RFC 8037 (JWK). Pure.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any, TypeAlias

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

ED25519 = "ssh-ed25519"
P256 = "ecdsa-sha2-nistp256"
RSA = "ssh-rsa"

SMALLEST_RSA = 3072
"""Bits that an RSA key must have whose use we decide about,"""
SMALLEST_HOST_RSA = 2048
"""and those of keys in certificates that others made: most of the world's have no more."""
#: Longer ones cost more to verify than a stranger should be able to make us spend.
LARGEST_RSA = 8192

Public: TypeAlias = ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey | rsa.RSAPublicKey

_BASE64URL = re.compile(r"[A-Za-z0-9_-]*\Z")
_FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}\Z")
SECRET_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"})


class KeyProblem(ValueError):
    """What was given is no key we take; the message tells a person why."""


def to_base64url(data: bytes) -> str:
    """Base64url without padding (RFC 7515 section 2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def from_base64url(text: str) -> bytes:
    """The bytes, if *text* is the one way to write them.

    :raises KeyProblem: it has padding, other characters, or stray bits at its end.
    """
    if not _BASE64URL.match(text):
        raise KeyProblem("holds characters that base64url has not")
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        raise KeyProblem("is not base64url") from None
    if to_base64url(data) != text:
        raise KeyProblem("is not base64url in its canonical form")
    return data


def string(data: bytes) -> bytes:
    """A string as SSH has it: its length, and it (RFC 4251 section 5)."""
    return len(data).to_bytes(4, "big") + data


def mpint(number: int) -> bytes:
    """A positive number as SSH has it."""
    return string(number.to_bytes(number.bit_length() // 8 + 1, "big"))


def pair(raw: bytes) -> bytes:
    """An ECDSA signature of P-256 as SSH has it (RFC 5656 section 3.1.2).

    :param raw: two numbers of 32 bytes, as JWS has it.
    """
    return b"".join(mpint(int.from_bytes(part, "big")) for part in (raw[:32], raw[32:]))


def read_pair(blob: bytes) -> bytes:
    """An ECDSA signature of P-256 as JWS has it: two numbers of 32 bytes.

    :raises KeyProblem: it is not written in the one way there is.
    """
    numbers = [int.from_bytes(part, "big") for part in strings(blob)]
    if len(numbers) != 2 or max(numbers) >= 1 << 256 or blob != b"".join(map(mpint, numbers)):
        raise KeyProblem("is no pair of numbers as SSH writes them")
    return b"".join(number.to_bytes(32, "big") for number in numbers)


def strings(blob: bytes) -> list[bytes]:
    """The strings that an SSH blob is made of.

    :raises KeyProblem: it is cut short.
    """
    found, rest = [], blob
    while rest:
        length = int.from_bytes(rest[:4], "big")
        if len(rest) < 4 + length:
            raise KeyProblem("the key's text is cut short")
        found.append(rest[4 : 4 + length])
        rest = rest[4 + length :]
    return found


def is_fingerprint(text: str) -> bool:
    """Whether *text* is a fingerprint as OpenSSH writes it: ``SHA256:`` and base64."""
    return _FINGERPRINT.match(text) is not None


def fingerprint_of(blob: bytes) -> str:
    """The fingerprint of an SSH public key blob."""
    digest = base64.b64encode(hashlib.sha256(blob).digest())
    return "SHA256:" + digest.rstrip(b"=").decode("ascii")


def blob_of(key: object, smallest_rsa: int) -> tuple[str, bytes]:
    """A key's SSH type, and its bytes as SSH has them.

    :raises KeyProblem: the key is too weak, or of a kind that is not taken.
    """
    if isinstance(key, ed25519.Ed25519PublicKey):
        return ED25519, string(ED25519.encode()) + string(key.public_bytes_raw())
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
        encoding, form = serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
        point = key.public_bytes(encoding, form)
        return P256, string(P256.encode()) + string(b"nistp256") + string(point)
    if isinstance(key, rsa.RSAPublicKey):
        numbers = key.public_numbers()
        if not smallest_rsa <= key.key_size <= LARGEST_RSA:
            raise KeyProblem(
                f"the RSA key has {key.key_size} bits; {smallest_rsa} to {LARGEST_RSA} are taken"
            )
        return RSA, string(RSA.encode()) + mpint(numbers.e) + mpint(numbers.n)
    raise KeyProblem("the key is of a kind that is not taken; use Ed25519, ECDSA P-256 or RSA")


def _read_ed25519(parts: list[bytes]) -> Public:
    if len(parts) != 1 or len(parts[0]) != 32:
        raise KeyProblem("an Ed25519 key has 32 bytes")
    return ed25519.Ed25519PublicKey.from_public_bytes(parts[0])


def _read_p256(parts: list[bytes]) -> Public:
    if len(parts) != 2 or parts[0] != b"nistp256":
        raise KeyProblem("the key is not on the curve its type names")
    return point_of(parts[1])


def _read_rsa(parts: list[bytes]) -> Public:
    if len(parts) != 2 or max(map(len, parts)) > LARGEST_RSA // 8 + 1:
        raise KeyProblem("the RSA key is malformed or too long")
    return rsa_of(int.from_bytes(parts[0], "big"), int.from_bytes(parts[1], "big"))


READERS = {ED25519: _read_ed25519, P256: _read_p256, RSA: _read_rsa}


def point_of(data: bytes) -> Public:
    """The P-256 key of an uncompressed point.

    :raises KeyProblem: it is none.
    """
    if len(data) != 65 or data[0] != 4:
        raise KeyProblem("the point of a P-256 key has 65 bytes, uncompressed")
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), data)
    except ValueError:
        raise KeyProblem("the point is not on the curve P-256") from None


def rsa_of(e: int, n: int) -> Public:
    """The RSA key of its exponent and modulus.

    :raises KeyProblem: they are no key that is taken.
    """
    if not (65537 <= e < 1 << 32 and e % 2):
        raise KeyProblem("the RSA key's exponent must be odd, and 65537 at least")
    if n.bit_length() > LARGEST_RSA:
        raise KeyProblem(f"the RSA key has more than {LARGEST_RSA} bits")
    try:
        return rsa.RSAPublicNumbers(e, n).public_key()
    except ValueError:
        raise KeyProblem("the RSA key is malformed") from None


def member(jwk: Mapping[str, Any], name: str, length: int | None = None) -> bytes:
    """The bytes that a member of a JWK holds.

    :param length: that they must have; without it, they must not begin with zeros.
    :raises KeyProblem: they are not as they must be.
    """
    value = jwk.get(name)
    if not isinstance(value, str) or len(value) > 2 * LARGEST_RSA // 8:
        raise KeyProblem(f"the JWK's {name!r} is missing or no string of fitting length")
    data = from_base64url(value)
    if length is not None and len(data) != length:
        raise KeyProblem(f"the JWK's {name!r} must have {length} bytes")
    if length is None and data[:1] == b"\0":
        raise KeyProblem(f"the JWK's {name!r} begins with zeros")
    return data


def json_object(text: str) -> dict[str, Any]:
    """A JWK from its text.

    :raises KeyProblem: it is no JSON object.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise KeyProblem("is not JSON") from None
    if not isinstance(value, dict):
        raise KeyProblem("is no JWK")
    return value


def number_of(number: int) -> str:
    """A number as a JWK has it."""
    return to_base64url(number.to_bytes((number.bit_length() + 7) // 8, "big"))
