"""Keys in hardware that a person must touch: ``ssh-keygen -t ed25519-sk`` and ``-t ecdsa-sk``.

What such a key signs is not what it is given but that, hashed, and what it adds: for which
application it was made, whether it was touched, and how often it has signed. So nothing but
signatures of SSH's can be made with it, and it is good for approvals alone.

OpenSSH's ``PROTOCOL.u2f``. Pure.
"""

from __future__ import annotations

import base64
import binascii
import hashlib

from mcptwist.auth.keyformats import (
    ED25519,
    P256,
    KeyProblem,
    fingerprint_of,
    pair,
    read_pair,
    string,
    strings,
)
from mcptwist.auth.keys import SMALLEST_RSA, PublicKey

SK_ED25519, SK_P256 = "sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com"
KINDS = frozenset({SK_ED25519, SK_P256})
"""The types of keys that are taken."""

TOUCHED = 0x01
"""The flag that says that somebody was there."""
_LONGEST_APPLICATION = 256
#: Bytes of a signature, and of the flags and the counter after it.
_RAW, _ADDED = 64, 5
#: The kinds of keys without hardware that are made alike, and how these sign.
_SIBLINGS = {SK_ED25519: (ED25519, "EdDSA"), SK_P256: (P256, "ES256")}


class SecurityKey:
    """One such key, in the place of a :class:`~mcptwist.auth.keys.PublicKey`.

    :ivar kind: one of ``KINDS``.
    :ivar blob: its bytes as SSH has them.
    :ivar fingerprint: ``SHA256:…``.
    :raises KeyProblem: it is malformed.
    """

    algorithms: tuple[str, ...] = ()
    thumbprint = ""

    def __init__(self, blob: bytes) -> None:
        name, *inner = strings(blob) or [b""]
        self.kind = name.decode("ascii", "replace")
        if self.kind not in KINDS or len(inner) != 1 + (self.kind == SK_P256) + 1:
            raise KeyProblem(f"the key is no {' or '.join(sorted(KINDS))}")
        *plain, application = inner
        # Those that sign in to websites begin otherwise, and are none of SSH's.
        if not application.startswith(b"ssh:") or len(application) > _LONGEST_APPLICATION:
            raise KeyProblem("the key was not made for SSH")
        # All but the application is as in the key's sibling without hardware, and so is what it
        # signs with.
        sibling, self._algorithm = _SIBLINGS[self.kind]
        self._key = PublicKey.from_blob(b"".join(map(string, (sibling.encode(), *plain))))
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
        raw, rest = signature[:_RAW], signature[_RAW:]
        if len(rest) != _ADDED or not rest[0] & TOUCHED:
            return False
        signed = self._application + rest + hashlib.sha256(data).digest()
        return self._key.verify(self._algorithm, raw, signed)

    def words(self) -> str:
        """As ``authorized_keys`` has it."""
        return f"{self.kind} {base64.b64encode(self.blob).decode('ascii')}"


def read_key(kind: str, text: str, smallest_rsa: int = SMALLEST_RSA) -> PublicKey | SecurityKey:
    """The key of the two words that OpenSSH's files have, of any kind that is taken.

    :raises KeyProblem: it is malformed, weak, or of a kind that is not taken.
    """
    if kind not in KINDS:
        return PublicKey.from_words(kind, text, smallest_rsa)
    try:
        blob = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise KeyProblem("the key is not base64") from None
    if base64.b64encode(blob).decode() != text:
        raise KeyProblem("the key is not base64 in its canonical form")
    key = SecurityKey(blob)
    if key.kind != kind:
        raise KeyProblem("the key is of another type than its line says")
    return key


def read_touched(blob: bytes) -> tuple[str, bytes] | None:
    """The kind of key that a signature says it is of, and the signature as ``is_touched`` takes it.

    :param blob: as SSH has it; flags and counter follow outside of its strings.
    :return: ``None`` where it is of no key in hardware.
    :raises KeyProblem: it is malformed.
    """
    kind = next((each for each in KINDS if blob.startswith(string(each.encode()))), None)
    if kind is None:
        return None
    inner = strings(blob[len(string(kind.encode())) : -_ADDED])
    if len(inner) != 1:
        raise KeyProblem("is malformed")
    raw = read_pair(inner[0]) if kind == SK_P256 else inner[0]
    if len(raw) != _RAW:
        raise KeyProblem("has more or less in it than an Ed25519 signature")
    return kind, raw + blob[-_ADDED:]


def written_touched(kind: str, signature: bytes) -> bytes:
    """A signature, as ``is_touched`` takes it, as SSH has it."""
    raw, rest = signature[:_RAW], signature[_RAW:]
    return string(kind.encode()) + string(pair(raw) if kind == SK_P256 else raw) + rest
