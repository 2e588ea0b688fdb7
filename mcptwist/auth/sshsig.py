"""Signatures as ``ssh-keygen -Y sign`` makes them: of any text, for one purpose.

The purpose is the *namespace*, which is signed with the text: what was signed for another is
nothing here. There is one way to write a signature, and any other is refused.

OpenSSH's ``PROTOCOL.sshsig`` and ``PROTOCOL.u2f``; RFC 5656 section 3.1.2, RFC 8332 section 3,
RFC 8709 section 6. Pure.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping
from typing import Any, TypeAlias

import msgspec
from twisted.internet.defer import Deferred

from mcptwist.auth.keyformats import KeyProblem, pair, read_pair, string, strings
from mcptwist.auth.keys import ED25519, P256, RS512, RSA, ISigner, PublicKey
from mcptwist.auth.securitykeys import KINDS, SecurityKey, read_touched, written_touched

LONGEST = 8192
"""Characters that a signature may have; those of the largest RSA key have about half of it."""

_BEGIN, _END = "-----BEGIN SSH SIGNATURE-----\n", "\n-----END SSH SIGNATURE-----"
_MAGIC, _VERSION = b"SSHSIG", (1).to_bytes(4, "big")
_LINE = 70
_BODY = re.compile(r"(?:[A-Za-z0-9+/]{70}\n)*[A-Za-z0-9+/]{1,70}={0,2}\Z", re.ASCII)

_HASHES: Mapping[str, Any] = {"sha512": hashlib.sha512, "sha256": hashlib.sha256}
#: What SSH calls a signature → whose it is, and what JWS calls it, if it has such.
_ALGORITHMS: Mapping[str, tuple[str, str]] = {
    ED25519: (ED25519, "EdDSA"),
    P256: (P256, "ES256"),
    "rsa-sha2-256": (RSA, "RS256"),
    "rsa-sha2-512": (RSA, RS512),
}

Key: TypeAlias = PublicKey | SecurityKey


class SignatureRefused(ValueError):
    """What was given is no signature that is taken.

    :ivar reason: why; it repeats nothing of what was given.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class SshSignature(msgspec.Struct, frozen=True):
    """A signature that can be read, and was not verified yet.

    :ivar key: whose it says it is.
    :ivar namespace: for what purpose it was made.
    :ivar hash: how the text was hashed.
    :ivar algorithm: as JWS calls it, empty for a security key.
    :ivar raw: as JWS has it; that of a security key with what that added.
    """

    key: Key
    namespace: str
    hash: str
    algorithm: str
    raw: bytes

    def is_of(self, text: bytes, namespace: str) -> bool:
        """Whether its key signed *text* for the purpose *namespace*."""
        if namespace != self.namespace:
            return False
        signed = _to_be_signed(text, namespace, self.hash)
        if isinstance(self.key, SecurityKey):
            return self.key.is_touched(self.raw, signed)
        return self.key.verify_ssh(self.algorithm, self.raw, signed)


# --- reading --------------------------------------------------------------------------------


def read_sshsig(text: str, smallest_rsa: int = 2048) -> SshSignature:
    """The signature that *text* is, armored, with a line feed after it or none.

    :param smallest_rsa: bits; whose key it is is looked up later, by its fingerprint.
    :raises SignatureRefused: it is none that is taken.
    """
    try:
        return _read(_unarmored(text), smallest_rsa)
    except KeyProblem as problem:
        raise SignatureRefused(str(problem)) from None


def _unarmored(text: str) -> bytes:
    text = text.removesuffix("\n")
    if len(text) > LONGEST:
        raise SignatureRefused("is too long")
    if not text.startswith(_BEGIN) or not text.endswith(_END):
        raise SignatureRefused("is not in the armor of an SSH signature")
    body = text[len(_BEGIN) : -len(_END)]
    if not _BODY.match(body):
        raise SignatureRefused(f"is not base64 in lines of {_LINE} characters")
    joined = body.replace("\n", "")
    try:
        blob = base64.b64decode(joined, validate=True)
    except (binascii.Error, ValueError):
        raise SignatureRefused("is not base64") from None
    if base64.b64encode(blob).decode("ascii") != joined:
        raise SignatureRefused("is not base64 in its canonical form")
    return blob


def _read(blob: bytes, smallest_rsa: int) -> SshSignature:
    preamble = _MAGIC + _VERSION
    if not blob.startswith(preamble):
        raise SignatureRefused("is no SSH signature of version 1")
    parts = strings(blob[len(preamble) :])
    if len(parts) != 5:
        raise SignatureRefused("has more or less in it than belongs there")
    public, namespace, reserved, hashed, signature = parts
    if reserved:
        raise SignatureRefused("says something that is not understood")
    name = hashed.decode("ascii", "replace")
    if name not in _HASHES:
        raise SignatureRefused("hashes with neither sha512 nor sha256")
    purpose = namespace.decode("utf-8", "replace")
    key = _read_key(public, smallest_rsa)
    algorithm, raw = _read_signature(key, signature)
    return SshSignature(key, purpose, name, algorithm, raw)


def _read_key(blob: bytes, smallest_rsa: int) -> Key:
    if any(blob.startswith(string(kind.encode())) for kind in KINDS):
        return SecurityKey(blob)
    return PublicKey.from_blob(blob, smallest_rsa)


def _read_signature(key: Key, blob: bytes) -> tuple[str, bytes]:
    """What JWS calls the signature, and how it has it."""
    touched = read_touched(blob)
    if touched is not None:
        kind, algorithm, raw = touched[0], "", touched[1]
    else:
        name, raw = _named(blob)
        kind, algorithm = _ALGORITHMS.get(name, ("", ""))
    if kind != key.kind:
        raise SignatureRefused("is signed in a way that its key does not sign")
    if kind == P256:
        return algorithm, read_pair(raw)
    if kind == ED25519 and len(raw) != 64:
        raise SignatureRefused("has more or less in it than an Ed25519 signature")
    return algorithm, raw


def _named(blob: bytes) -> tuple[str, bytes]:
    """What SSH calls a signature, and the signature."""
    parts = strings(blob)
    if len(parts) != 2:
        raise SignatureRefused("is malformed")
    return parts[0].decode("ascii", "replace"), parts[1]


# --- signing --------------------------------------------------------------------------------


async def sign_text(signer: ISigner, text: bytes, namespace: str) -> str:
    """The signature of *text* for the purpose *namespace*, armored.

    :param signer: a key's, or an agent's, which may take its time.
    """
    key: Key = signer.public
    algorithm = key.algorithms[0] if key.algorithms else ""
    made: Any = signer.sign(algorithm, _to_be_signed(text, namespace, "sha512"))
    if isinstance(made, Deferred):
        made = await made
    return armored(key.blob, namespace, "sha512", _written(key, algorithm, made))


def _written(key: Key, algorithm: str, made: bytes) -> bytes:
    """A signature as SSH has it."""
    if isinstance(key, SecurityKey):
        return written_touched(key.kind, made)
    name = next(name for name, (_, each) in _ALGORITHMS.items() if each == algorithm)
    return string(name.encode()) + string(pair(made) if key.kind == P256 else made)


def armored(key: bytes, namespace: str, hashed: str, signature: bytes) -> str:
    """A signature as text.

    :param key: as SSH has it, as it has *signature*.
    """
    strings_of = (key, namespace.encode(), b"", hashed.encode(), signature)
    blob = _MAGIC + _VERSION + b"".join(map(string, strings_of))
    text = base64.b64encode(blob).decode("ascii")
    lines = [text[at : at + _LINE] for at in range(0, len(text), _LINE)]
    return _BEGIN + "\n".join(lines) + _END + "\n"


def _to_be_signed(text: bytes, namespace: str, hashed: str) -> bytes:
    digest = _HASHES[hashed](text).digest()
    return _MAGIC + b"".join(map(string, (namespace.encode(), b"", hashed.encode(), digest)))
