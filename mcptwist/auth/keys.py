"""Keys: Ed25519, P-256 and RSA, in the formats people have them in.

A :class:`PublicKey` is known by its fingerprint, as OpenSSH writes it. It decides itself which
algorithms are good for it, so that no message can choose one (RFC 8725 section 3.1). Whatever
signs is an :class:`ISigner`: a :class:`PrivateKey` from a file, or an agent that holds one.

RFC 4253 section 6.6 and RFC 8709 (SSH keys), RFC 7517 and RFC 8037 (JWK), RFC 7638
(thumbprints), RFC 7518 (JWS algorithms). Pure.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any, TypeAlias, cast

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)
from zope.interface import Attribute, Interface, implementer

ED25519 = "ssh-ed25519"
P256 = "ecdsa-sha2-nistp256"
RSA = "ssh-rsa"

#: The JWS algorithms that are good for each kind of key, the best first.
ALGORITHMS: Mapping[str, tuple[str, ...]] = {
    ED25519: ("EdDSA", "Ed25519"),
    P256: ("ES256",),
    RSA: ("RS256", "PS256"),
}
#: All of them, as metadata lists them.
ALL_ALGORITHMS = ("EdDSA", "Ed25519", "ES256", "RS256", "PS256")

SMALLEST_RSA = 3072
#: Longer ones cost more to verify than a stranger should be able to make us spend.
LARGEST_RSA = 8192

_Public: TypeAlias = ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey | rsa.RSAPublicKey
_Private: TypeAlias = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

_BASE64URL = re.compile(r"[A-Za-z0-9_-]*\Z")
_FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}\Z")
_SECRET_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"})
_PKCS1 = padding.PKCS1v15()
_PSS = padding.PSS(padding.MGF1(hashes.SHA256()), hashes.SHA256.digest_size)
_SHA256 = hashes.SHA256()


class KeyProblem(ValueError):
    """What was given is no key we take; the message tells a person why."""


class ISigner(Interface):
    """Whatever can sign with a private key: a file's, an agent's."""

    public = Attribute("The PublicKey that signatures are verified with.")

    def sign(algorithm: str, data: bytes) -> bytes:
        """A signature as JWS has it.

        :param algorithm: one of those that are good for the key.
        """


# --- base64url and numbers, each with one way to be written ---------------------------------


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


def _string(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


def _mpint(number: int) -> bytes:
    return _string(number.to_bytes(number.bit_length() // 8 + 1, "big"))


def _strings(blob: bytes) -> list[bytes]:
    """The strings that an SSH blob is made of."""
    found, rest = [], blob
    while rest:
        length = int.from_bytes(rest[:4], "big")
        if len(rest) < 4 + length or len(rest) < 4:
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


# --- public keys ----------------------------------------------------------------------------


class PublicKey:
    """One public key.

    :ivar kind: its SSH type, such as ``ssh-ed25519``.
    :ivar blob: its bytes as SSH has them, the one way to write it.
    :ivar fingerprint: ``SHA256:…``.
    """

    __slots__ = ("_key", "blob", "fingerprint", "kind")

    def __init__(self, key: _Public, smallest_rsa: int = SMALLEST_RSA) -> None:
        """:raises KeyProblem: the key is too weak, or of a kind we do not take."""
        self._key = key
        self.kind, self.blob = _blob_of(key, smallest_rsa)
        self.fingerprint = fingerprint_of(self.blob)

    def __repr__(self) -> str:
        return f"<PublicKey {self.kind} {self.fingerprint}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PublicKey) and other.blob == self.blob

    def __hash__(self) -> int:
        return hash(self.blob)

    @property
    def algorithms(self) -> tuple[str, ...]:
        """The JWS algorithms that are good for it."""
        return ALGORITHMS[self.kind]

    def verify(self, algorithm: str, signature: bytes, data: bytes) -> bool:
        """Whether *signature* is this key's, of *data*, made as *algorithm* says.

        An algorithm that is not this kind of key's is no reason to look at the signature.
        """
        if algorithm not in self.algorithms:
            return False
        try:
            return _verify(self._key, algorithm, signature, data)
        except InvalidSignature:
            return False

    # --- formats --------------------------------------------------------------------------

    @classmethod
    def from_blob(cls, blob: bytes, smallest_rsa: int = SMALLEST_RSA) -> PublicKey:
        """The key of an SSH blob.

        :raises KeyProblem: it is malformed, weak, or of a kind we do not take.
        """
        parts = _strings(blob)
        kind = parts[0].decode("ascii", "replace") if parts else ""
        read = _READERS.get(kind)
        if read is None:
            raise KeyProblem(
                "the key is of a kind that is not taken; use Ed25519, ECDSA P-256 or RSA"
            )
        key = cls(read(parts[1:]), smallest_rsa)
        if key.blob != blob:
            raise KeyProblem("the key is not written in its canonical form")
        return key

    @classmethod
    def from_words(cls, kind: str, text: str, smallest_rsa: int = SMALLEST_RSA) -> PublicKey:
        """The key of the two words that OpenSSH's files have: its type and its base64.

        :raises KeyProblem: as :meth:`from_blob`, or the two contradict each other.
        """
        try:
            blob = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            raise KeyProblem("the key is not base64") from None
        if base64.b64encode(blob).decode() != text:
            raise KeyProblem("the key is not base64 in its canonical form")
        key = cls.from_blob(blob, smallest_rsa)
        if key.kind != kind:
            raise KeyProblem(f"the key is {key.kind}, and not what stands before it")
        return key

    @classmethod
    def from_text(cls, text: str, smallest_rsa: int = SMALLEST_RSA) -> PublicKey:
        """The key of a ``.pub`` file, of PEM (SubjectPublicKeyInfo), or of a JWK.

        :raises KeyProblem: it is none of them.
        """
        text = text.strip()
        if text.startswith("{"):
            return cls.from_jwk(_json_object(text), smallest_rsa)
        if text.startswith("-----BEGIN PUBLIC KEY"):
            return cls.from_spki(text.encode("utf-8", "replace"), smallest_rsa)
        words = text.split()
        if len(words) < 2 or "\n" in text:
            raise KeyProblem("is no public key in OpenSSH's format, PEM or JWK")
        return cls.from_words(words[0], words[1], smallest_rsa)

    @classmethod
    def from_spki(cls, data: bytes, smallest_rsa: int = SMALLEST_RSA) -> PublicKey:
        """The key of a SubjectPublicKeyInfo, PEM or DER, such as a certificate holds.

        :raises KeyProblem: it is malformed, weak, or of a kind we do not take.
        """
        is_pem = data.startswith(b"-----")
        load = serialization.load_pem_public_key if is_pem else serialization.load_der_public_key
        try:
            return cls(cast(_Public, load(data)), smallest_rsa)
        except (ValueError, UnsupportedAlgorithm) as problem:
            if isinstance(problem, KeyProblem):
                raise
            raise KeyProblem("the key cannot be read") from None

    @classmethod
    def from_jwk(cls, jwk: Mapping[str, Any], smallest_rsa: int = SMALLEST_RSA) -> PublicKey:
        """The key of a JWK that holds nothing secret.

        :raises KeyProblem: it is malformed, weak, of a kind we do not take, or private.
        """
        if _SECRET_MEMBERS & jwk.keys():
            raise KeyProblem("the JWK holds a secret")
        kind = (jwk.get("kty"), jwk.get("crv"))
        try:
            if kind == ("OKP", "Ed25519"):
                raw = _member(jwk, "x", 32)
                return cls(ed25519.Ed25519PublicKey.from_public_bytes(raw))
            if kind == ("EC", "P-256"):
                return cls(_point(b"\x04" + _member(jwk, "x", 32) + _member(jwk, "y", 32)))
            if kind == ("RSA", None):
                numbers = [int.from_bytes(_member(jwk, name), "big") for name in ("e", "n")]
                return cls(_rsa(*numbers), smallest_rsa)
        except ValueError as problem:
            if isinstance(problem, KeyProblem):
                raise
            raise KeyProblem("the JWK holds no key") from None
        raise KeyProblem("the JWK is of a kind that is not taken")

    def words(self) -> str:
        """Its type and its base64, as OpenSSH's files have them."""
        return f"{self.kind} {base64.b64encode(self.blob).decode('ascii')}"

    def pem(self) -> str:
        """SubjectPublicKeyInfo in PEM."""
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        return self._key.public_bytes(serialization.Encoding.PEM, form).decode("ascii")

    def jwk(self) -> dict[str, str]:
        """The members that RFC 7638 wants, in its order."""
        parts = _strings(self.blob)
        if self.kind == ED25519:
            return {"crv": "Ed25519", "kty": "OKP", "x": to_base64url(parts[1])}
        if self.kind == P256:
            point = parts[2]
            x, y = to_base64url(point[1:33]), to_base64url(point[33:])
            return {"crv": "P-256", "kty": "EC", "x": x, "y": y}
        e, n = (to_base64url(part.lstrip(b"\0")) for part in parts[1:])
        return {"e": e, "kty": "RSA", "n": n}

    @property
    def thumbprint(self) -> str:
        """RFC 7638, with SHA-256, in base64url."""
        text = json.dumps(self.jwk(), separators=(",", ":"), sort_keys=True)
        return to_base64url(hashlib.sha256(text.encode("ascii")).digest())


def _verify(key: _Public, algorithm: str, signature: bytes, data: bytes) -> bool:
    if isinstance(key, ed25519.Ed25519PublicKey):
        key.verify(signature, data)
    elif isinstance(key, ec.EllipticCurvePublicKey):
        if len(signature) != 64:
            return False
        r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
        key.verify(encode_dss_signature(r, s), data, ec.ECDSA(_SHA256))
    else:
        if len(signature) != (key.key_size + 7) // 8:
            return False
        key.verify(signature, data, _PSS if algorithm == "PS256" else _PKCS1, _SHA256)
    return True


def _blob_of(key: object, smallest_rsa: int) -> tuple[str, bytes]:
    if isinstance(key, ed25519.Ed25519PublicKey):
        return ED25519, _string(ED25519.encode()) + _string(key.public_bytes_raw())
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
        encoding, form = serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
        point = key.public_bytes(encoding, form)
        return P256, _string(P256.encode()) + _string(b"nistp256") + _string(point)
    if isinstance(key, rsa.RSAPublicKey):
        numbers = key.public_numbers()
        if not smallest_rsa <= key.key_size <= LARGEST_RSA:
            raise KeyProblem(
                f"the RSA key has {key.key_size} bits; {smallest_rsa} to {LARGEST_RSA} are taken"
            )
        return RSA, _string(RSA.encode()) + _mpint(numbers.e) + _mpint(numbers.n)
    raise KeyProblem("the key is of a kind that is not taken; use Ed25519, ECDSA P-256 or RSA")


def _read_ed25519(parts: list[bytes]) -> _Public:
    if len(parts) != 1 or len(parts[0]) != 32:
        raise KeyProblem("an Ed25519 key has 32 bytes")
    return ed25519.Ed25519PublicKey.from_public_bytes(parts[0])


def _read_p256(parts: list[bytes]) -> _Public:
    if len(parts) != 2 or parts[0] != b"nistp256":
        raise KeyProblem("the key is not on the curve its type names")
    return _point(parts[1])


def _read_rsa(parts: list[bytes]) -> _Public:
    if len(parts) != 2 or max(map(len, parts)) > LARGEST_RSA // 8 + 1:
        raise KeyProblem("the RSA key is malformed or too long")
    return _rsa(int.from_bytes(parts[0], "big"), int.from_bytes(parts[1], "big"))


_READERS = {ED25519: _read_ed25519, P256: _read_p256, RSA: _read_rsa}


def _point(data: bytes) -> _Public:
    if len(data) != 65 or data[0] != 4:
        raise KeyProblem("the point of a P-256 key has 65 bytes, uncompressed")
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), data)
    except ValueError:
        raise KeyProblem("the point is not on the curve P-256") from None


def _rsa(e: int, n: int) -> _Public:
    if not (65537 <= e < 1 << 32 and e % 2):
        raise KeyProblem("the RSA key's exponent must be odd, and 65537 at least")
    if n.bit_length() > LARGEST_RSA:
        raise KeyProblem(f"the RSA key has more than {LARGEST_RSA} bits")
    try:
        return rsa.RSAPublicNumbers(e, n).public_key()
    except ValueError:
        raise KeyProblem("the RSA key is malformed") from None


def _member(jwk: Mapping[str, Any], name: str, length: int | None = None) -> bytes:
    value = jwk.get(name)
    if not isinstance(value, str) or len(value) > 2 * LARGEST_RSA // 8:
        raise KeyProblem(f"the JWK's {name!r} is missing or no string of fitting length")
    data = from_base64url(value)
    if length is not None and len(data) != length:
        raise KeyProblem(f"the JWK's {name!r} must have {length} bytes")
    if length is None and data[:1] == b"\0":
        raise KeyProblem(f"the JWK's {name!r} begins with zeros")
    return data


def _json_object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise KeyProblem("is not JSON") from None
    if not isinstance(value, dict):
        raise KeyProblem("is no JWK")
    return value


# --- private keys ---------------------------------------------------------------------------


@implementer(ISigner)
class PrivateKey:
    """A private key in memory. It is never shown: not by repr, not by an error.

    :ivar public: the public half.
    """

    __slots__ = ("_key", "public")

    def __init__(self, key: _Private, smallest_rsa: int = SMALLEST_RSA) -> None:
        """:raises KeyProblem: the key is too weak, or of a kind we do not take."""
        if not isinstance(
            key, ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
        ):
            raise KeyProblem("the key is of a kind that is not taken")
        self._key = key
        self.public = PublicKey(key.public_key(), smallest_rsa)

    def __repr__(self) -> str:
        return f"<PrivateKey {self.public.kind} {self.public.fingerprint}>"

    @classmethod
    def generate(cls, kind: str = ED25519, bits: int = SMALLEST_RSA) -> PrivateKey:
        """A new one.

        :raises KeyProblem: there is no such kind.
        """
        if kind == ED25519:
            return cls(ed25519.Ed25519PrivateKey.generate())
        if kind == P256:
            return cls(ec.generate_private_key(ec.SECP256R1()))
        if kind == RSA:
            return cls(rsa.generate_private_key(65537, bits))
        raise KeyProblem(f"{kind} is none of ed25519, ecdsa, rsa")

    @classmethod
    def from_text(
        cls, text: bytes, passphrase: bytes | None = None, smallest_rsa: int = SMALLEST_RSA
    ) -> PrivateKey:
        """The key of a file: OpenSSH's format, or PEM (PKCS#8, PKCS#1, SEC1).

        :raises KeyProblem: it cannot be read, or the passphrase is missing or wrong.
        """
        is_ssh = b"BEGIN OPENSSH PRIVATE KEY" in text
        load = serialization.load_ssh_private_key if is_ssh else serialization.load_pem_private_key
        try:
            key = load(text, passphrase)
        except TypeError:
            given = "needs none" if passphrase is not None else "has a passphrase"
            raise KeyProblem(f"the private key {given}") from None
        except (ValueError, UnsupportedAlgorithm):
            raise KeyProblem("the private key cannot be read, or the passphrase is wrong") from None
        return cls(cast(_Private, key), smallest_rsa)

    def sign(self, algorithm: str, data: bytes) -> bytes:
        """A signature as JWS has it (RFC 7518 section 3, RFC 8037 section 3.1).

        :raises KeyProblem: *algorithm* is not good for this key.
        """
        if algorithm not in self.public.algorithms:
            raise KeyProblem(f"{algorithm} is not made with a key of type {self.public.kind}")
        key = self._key
        if isinstance(key, ed25519.Ed25519PrivateKey):
            return key.sign(data)
        if isinstance(key, ec.EllipticCurvePrivateKey):
            r, s = decode_dss_signature(key.sign(data, ec.ECDSA(_SHA256)))
            return r.to_bytes(32, "big") + s.to_bytes(32, "big")
        return key.sign(data, _PSS if algorithm == "PS256" else _PKCS1, _SHA256)

    def openssh(self, passphrase: bytes | None = None) -> bytes:
        """OpenSSH's private key format, encrypted where there is a passphrase."""
        return self._written(serialization.PrivateFormat.OpenSSH, passphrase)

    def pem(self, passphrase: bytes | None = None) -> bytes:
        """PKCS#8 in PEM, encrypted where there is a passphrase."""
        return self._written(serialization.PrivateFormat.PKCS8, passphrase)

    def _written(self, form: serialization.PrivateFormat, passphrase: bytes | None) -> bytes:
        encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
        if passphrase:
            encryption = serialization.BestAvailableEncryption(passphrase)
        return self._key.private_bytes(serialization.Encoding.PEM, form, encryption)

    def jwk(self) -> dict[str, str]:
        """The private JWK, for clients that want one (RFC 8037 section 2, RFC 7518 section 6)."""
        key, public = self._key, self.public.jwk()
        if isinstance(key, ed25519.Ed25519PrivateKey):
            return {**public, "alg": "EdDSA", "d": to_base64url(key.private_bytes_raw())}
        if isinstance(key, ec.EllipticCurvePrivateKey):
            secret = key.private_numbers().private_value.to_bytes(32, "big")
            return {**public, "alg": "ES256", "d": to_base64url(secret)}
        numbers = key.private_numbers()
        secrets = {
            "d": numbers.d, "p": numbers.p, "q": numbers.q,
            "dp": numbers.dmp1, "dq": numbers.dmq1, "qi": numbers.iqmp,
        }  # fmt: skip
        return {**public, "alg": "RS256", **{name: _number(n) for name, n in secrets.items()}}


def _number(number: int) -> str:
    return to_base64url(number.to_bytes((number.bit_length() + 7) // 8, "big"))
