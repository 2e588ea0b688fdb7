"""Keys: Ed25519, P-256 and RSA, in the formats people have them in.

A :class:`PublicKey` is known by its fingerprint, as OpenSSH writes it. It decides itself which
algorithms are good for it, so that no message can choose one (RFC 8725 section 3.1). Whatever
signs is an :class:`ISigner`: a :class:`PrivateKey` from a file, or an agent that holds one.

How keys are written is said in :mod:`~mcptwist.auth.keyformats`. RFC 7638 (thumbprints), RFC 7518
(JWS algorithms). Pure.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
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

from mcptwist.auth.keyformats import (
    ED25519,
    P256,
    READERS,
    RSA,
    SECRET_MEMBERS,
    SMALLEST_RSA,
    KeyProblem,
    Public,
    blob_of,
    fingerprint_of,
    from_base64url,
    is_fingerprint,
    json_object,
    member,
    number_of,
    point_of,
    rsa_of,
    strings,
    to_base64url,
)

__all__ = [
    "ALGORITHMS",
    "ALL_ALGORITHMS",
    "ED25519",
    "P256",
    "RS512",
    "RSA",
    "SMALLEST_RSA",
    "ISigner",
    "KeyProblem",
    "PrivateKey",
    "PublicKey",
    "from_base64url",
    "is_fingerprint",
    "to_base64url",
]

#: The JWS algorithms that are good for each kind of key, the best first.
ALGORITHMS: Mapping[str, tuple[str, ...]] = {
    ED25519: ("EdDSA", "Ed25519"),
    P256: ("ES256",),
    RSA: ("RS256", "PS256", "PS512"),
}
#: All of them, as metadata lists them.
ALL_ALGORITHMS = ("EdDSA", "Ed25519", "ES256", "RS256", "PS256", "PS512")

#: What SSH signs with besides; no JWS may.
RS512 = "RS512"

_Private: TypeAlias = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

_SHA256, _SHA512 = hashes.SHA256(), hashes.SHA512()
# For RSA, how the algorithms pad what is signed and by which hash they shorten it.
_RSA: Mapping[str, tuple[padding.AsymmetricPadding, hashes.HashAlgorithm]] = {
    "RS256": (padding.PKCS1v15(), _SHA256),
    "PS256": (padding.PSS(padding.MGF1(_SHA256), _SHA256.digest_size), _SHA256),
    RS512: (padding.PKCS1v15(), _SHA512),
    "PS512": (padding.PSS(padding.MGF1(_SHA512), _SHA512.digest_size), _SHA512),
}


class ISigner(Interface):
    """Whatever can sign with a private key: a file's, an agent's."""

    public = Attribute("The PublicKey that signatures are verified with.")

    def sign(algorithm: str, data: bytes) -> bytes:
        """A signature as JWS has it; from an agent, a Deferred of one.

        :param algorithm: one of those that are good for the key.
        """


# --- public keys ----------------------------------------------------------------------------


class PublicKey:
    """One public key.

    :ivar kind: its SSH type, such as ``ssh-ed25519``.
    :ivar blob: its bytes as SSH has them, the one way to write it.
    :ivar fingerprint: ``SHA256:…``.
    """

    __slots__ = ("_key", "_thumbprint", "blob", "fingerprint", "kind")

    def __init__(self, key: Public, smallest_rsa: int = SMALLEST_RSA) -> None:
        """:raises KeyProblem: the key is too weak, or of a kind we do not take."""
        self._key = key
        self.kind, self.blob = blob_of(key, smallest_rsa)
        self.fingerprint = fingerprint_of(self.blob)
        self._thumbprint: str | None = None

    def __repr__(self) -> str:
        return f"<PublicKey {self.kind} {self.fingerprint}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PublicKey) and other.blob == self.blob

    def __hash__(self) -> int:
        return hash(self.blob)

    @property
    def bits(self) -> int:
        """How long it is, as ``ssh-keygen -l`` says it."""
        return getattr(self._key, "key_size", 256)

    @property
    def algorithms(self) -> tuple[str, ...]:
        """The JWS algorithms that are good for it."""
        return ALGORITHMS[self.kind]

    def verify(self, algorithm: str, signature: bytes, data: bytes) -> bool:
        """Whether *signature* is this key's, of *data*, made as *algorithm* says.

        An algorithm that is not this kind of key's is no reason to look at the signature.
        """
        return algorithm in self.algorithms and self._has_made(algorithm, signature, data)

    def verify_ssh(self, algorithm: str, signature: bytes, data: bytes) -> bool:
        """The same of an SSH signature, which RSA keys make with SHA-512 as well."""
        is_good = algorithm in self.algorithms or (self.kind, algorithm) == (RSA, RS512)
        return is_good and self._has_made(algorithm, signature, data)

    def _has_made(self, algorithm: str, signature: bytes, data: bytes) -> bool:
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
        parts = strings(blob)
        kind = parts[0].decode("ascii", "replace") if parts else ""
        read = READERS.get(kind)
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
            return cls.from_jwk(json_object(text), smallest_rsa)
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
            return cls(cast(Public, load(data)), smallest_rsa)
        except (ValueError, UnsupportedAlgorithm) as problem:
            if isinstance(problem, KeyProblem):
                raise
            raise KeyProblem("the key cannot be read") from None

    @classmethod
    def from_jwk(cls, jwk: Mapping[str, Any], smallest_rsa: int = SMALLEST_RSA) -> PublicKey:
        """The key of a JWK that holds nothing secret.

        :raises KeyProblem: it is malformed, weak, of a kind we do not take, or private.
        """
        if SECRET_MEMBERS & jwk.keys():
            raise KeyProblem("the JWK holds a secret")
        kind = (jwk.get("kty"), jwk.get("crv"))
        try:
            if kind == ("OKP", "Ed25519"):
                raw = member(jwk, "x", 32)
                return cls(ed25519.Ed25519PublicKey.from_public_bytes(raw))
            if kind == ("EC", "P-256"):
                return cls(point_of(b"\x04" + member(jwk, "x", 32) + member(jwk, "y", 32)))
            if kind == ("RSA", None):
                numbers = [int.from_bytes(member(jwk, name), "big") for name in ("e", "n")]
                return cls(rsa_of(*numbers), smallest_rsa)
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
        parts = strings(self.blob)
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
        if self._thumbprint is None:
            text = json.dumps(self.jwk(), separators=(",", ":"), sort_keys=True)
            self._thumbprint = to_base64url(hashlib.sha256(text.encode("ascii")).digest())
        return self._thumbprint


def _verify(key: Public, algorithm: str, signature: bytes, data: bytes) -> bool:
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
        key.verify(signature, data, *_RSA[algorithm])
    return True


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
        return key.sign(data, *_RSA[algorithm])

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
        return {**public, "alg": "RS256", **{name: number_of(n) for name, n in secrets.items()}}
