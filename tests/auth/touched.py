"""A security key in software, for tests: what hardware would sign."""

from __future__ import annotations

import hashlib

from cryptography.hazmat.primitives.asymmetric import ed25519

from mcptwist.auth.keyformats import string
from mcptwist.auth.securitykeys import SK_ED25519, TOUCHED, SecurityKey
from mcptwist.auth.sshsig import armored


def made_blob(point: bytes, application: bytes = b"ssh:") -> bytes:
    """The bytes of a key in hardware, as SSH has them."""
    return string(SK_ED25519.encode()) + string(point) + string(application)


class Authenticator:
    """One key in hardware.

    :ivar public: its public half.
    """

    def __init__(self, application: bytes = b"ssh:") -> None:
        self._key = ed25519.Ed25519PrivateKey.generate()
        self._application = hashlib.sha256(application).digest()
        self._count = 0
        self.public = SecurityKey(made_blob(self._key.public_key().public_bytes_raw(), application))

    def touch(self, data: bytes, flags: int = TOUCHED) -> bytes:
        """What it makes of *data*: a signature, the flags and the counter."""
        self._count += 1
        rest = bytes([flags]) + self._count.to_bytes(4, "big")
        return self._key.sign(self._application + rest + hashlib.sha256(data).digest()) + rest

    def sign(self, text: bytes, namespace: str, flags: int = TOUCHED) -> str:
        """An armored signature, made when it was touched as *flags* say."""
        digest = hashlib.sha512(text).digest()
        parts = (namespace.encode(), b"", b"sha512", digest)
        made = self.touch(b"SSHSIG" + b"".join(map(string, parts)), flags)
        signature = string(SK_ED25519.encode()) + string(made[:64]) + made[64:]
        return armored(self.public.blob, namespace, "sha512", signature)
