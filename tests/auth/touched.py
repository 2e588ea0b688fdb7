"""Security keys in software, for tests: what hardware would sign."""

from __future__ import annotations

import hashlib

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from mcptwist.auth.keyformats import mpint, string
from mcptwist.auth.securitykeys import SK_ED25519, SK_P256, TOUCHED, SecurityKey
from mcptwist.auth.sshsig import armored

HARDWARE = (SK_ED25519, SK_P256)


def made_blob(
    point: bytes, application: bytes = b"ssh:", kind: str = SK_ED25519, curve: bytes = b"nistp256"
) -> bytes:
    """The bytes of a key in hardware, as SSH has them."""
    parts = (kind.encode(), *([curve] if kind == SK_P256 else []), point, application)
    return b"".join(map(string, parts))


class Authenticator:
    """One key in hardware.

    :ivar public: its public half.
    """

    def __init__(self, application: bytes = b"ssh:", kind: str = SK_ED25519) -> None:
        self._key: ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey
        if kind == SK_ED25519:
            self._key = ed25519.Ed25519PrivateKey.generate()
            self.point = self._key.public_key().public_bytes_raw()
        else:
            self._key = ec.generate_private_key(ec.SECP256R1())
            encoding, form = serialization.Encoding.X962, serialization.PublicFormat
            self.point = self._key.public_key().public_bytes(encoding, form.UncompressedPoint)
        self._application = hashlib.sha256(application).digest()
        self._count = 0
        self.public = SecurityKey(made_blob(self.point, application, kind))

    def touch(self, data: bytes, flags: int = TOUCHED) -> bytes:
        """What it makes of *data*, as SSH has it: a signature, the flags and the counter."""
        self._count += 1
        rest = bytes([flags]) + self._count.to_bytes(4, "big")
        signed = self._application + rest + hashlib.sha256(data).digest()
        return string(self.public.kind.encode()) + string(self._raw(signed)) + rest

    def _raw(self, signed: bytes) -> bytes:
        if isinstance(self._key, ed25519.Ed25519PrivateKey):
            return self._key.sign(signed)
        numbers = decode_dss_signature(self._key.sign(signed, ec.ECDSA(SHA256())))
        return b"".join(map(mpint, numbers))

    def sign(self, text: bytes, namespace: str, flags: int = TOUCHED) -> str:
        """An armored signature, made when it was touched as *flags* say."""
        digest = hashlib.sha512(text).digest()
        parts = (namespace.encode(), b"", b"sha512", digest)
        made = self.touch(b"SSHSIG" + b"".join(map(string, parts)), flags)
        return armored(self.public.blob, namespace, "sha512", made)
