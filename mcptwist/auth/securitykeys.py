"""Keys in hardware that a person must touch: ``sk-ssh-ed25519@openssh.com``.

What such a key signs is not what it is given but that, hashed, and what it adds: for which
application it was made, whether it was touched, and how often it has signed. So nothing but
signatures of SSH's can be made with it, and it is good for approvals alone.

OpenSSH's ``PROTOCOL.u2f``. Pure.
"""

from __future__ import annotations

import base64
import binascii
import hashlib

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ed25519

from mcptwist.auth.keyformats import KeyProblem, fingerprint_of, strings
from mcptwist.auth.keys import SMALLEST_RSA, PublicKey

SK_ED25519 = "sk-ssh-ed25519@openssh.com"
"""The type of key that is taken."""

TOUCHED = 0x01
"""The flag that says that somebody was there."""
_LONGEST_APPLICATION = 256


class SecurityKey:
    """One such key, in the place of a :class:`~mcptwist.auth.keys.PublicKey`.

    :ivar blob: its bytes as SSH has them.
    :ivar fingerprint: ``SHA256:…``.
    :raises KeyProblem: it is malformed.
    """

    kind = SK_ED25519
    algorithms: tuple[str, ...] = ()
    thumbprint = ""

    def __init__(self, blob: bytes) -> None:
        parts = strings(blob)
        if len(parts) != 3 or parts[0] != SK_ED25519.encode():
            raise KeyProblem(f"the key is no {SK_ED25519}")
        _, point, application = parts
        if len(point) != 32:
            raise KeyProblem("an Ed25519 key has 32 bytes")
        # Those that sign in to websites begin otherwise, and are none of SSH's.
        if not application.startswith(b"ssh:") or len(application) > _LONGEST_APPLICATION:
            raise KeyProblem("the key was not made for SSH")
        self._key = ed25519.Ed25519PublicKey.from_public_bytes(point)
        self._application = hashlib.sha256(application).digest()
        self.blob = blob
        self.fingerprint = fingerprint_of(blob)

    def __repr__(self) -> str:
        return f"<SecurityKey {self.fingerprint}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SecurityKey) and other.blob == self.blob

    def __hash__(self) -> int:
        return hash(self.blob)

    def verify(self, algorithm: str, signature: bytes, data: bytes) -> bool:
        """No algorithm of JWS's is good for it."""
        return False

    def is_touched(self, signature: bytes, data: bytes) -> bool:
        """Whether somebody touched the key to have *data* signed.

        :param signature: that of the key, a byte of flags, and the counter.
        """
        raw, rest = signature[:64], signature[64:]
        if len(rest) != 5 or not rest[0] & TOUCHED:
            return False
        try:
            self._key.verify(raw, self._application + rest + hashlib.sha256(data).digest())
        except InvalidSignature:
            return False
        return True

    def words(self) -> str:
        """As ``authorized_keys`` has it."""
        return f"{self.kind} {base64.b64encode(self.blob).decode('ascii')}"


def read_key(kind: str, text: str, smallest_rsa: int = SMALLEST_RSA) -> PublicKey | SecurityKey:
    """The key of the two words that OpenSSH's files have, of any kind that is taken.

    :raises KeyProblem: it is malformed, weak, or of a kind that is not taken.
    """
    if kind != SK_ED25519:
        return PublicKey.from_words(kind, text, smallest_rsa)
    try:
        blob = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise KeyProblem("the key is not base64") from None
    if base64.b64encode(blob).decode() != text:
        raise KeyProblem("the key is not base64 in its canonical form")
    return SecurityKey(blob)
