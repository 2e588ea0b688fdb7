"""Proving our key on a WebSocket, on which the server has proved its own first: the asking side.

No token is needed, and none can be stolen: what is signed holds the exporter of this one TLS
connection. ``docs/auth/websockets.rst``; :mod:`mcptwist.auth.mutualproof` has what is said.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from OpenSSL import SSL
from twisted.internet.defer import Deferred
from zope.interface import implementer

from mcptwist.auth.keyformats import SMALLEST_HOST_RSA
from mcptwist.auth.keys import ISigner, KeyProblem, PublicKey
from mcptwist.auth.mutualproof import (
    EXPORTER_LABEL,
    EXPORTER_SIZE,
    MUST_SIGN,
    NONCE,
    SECONDS,
    SUBPROTOCOL,
    AskingProof,
    Channel,
    ProofFailed,
)
from mcptwist.errors import SignInFailed
from mcptwist.interfaces import IProof, IProver

_HTTPS = 443


@implementer(IProver)
class Prover:
    """Makes proofs.

    :param load: the key to sign with.
    :param make_bytes: so many unguessable bytes each time.
    """

    subprotocol = SUBPROTOCOL
    seconds = SECONDS
    must_sign = MUST_SIGN

    def __init__(
        self, load: Callable[[], Awaitable[ISigner]], make_bytes: Callable[[int], bytes]
    ) -> None:
        self._load = load
        self._make_bytes = make_bytes

    def begin(self, url: str, connection: SSL.Connection) -> Deferred[Proof]:
        """See :meth:`mcptwist.interfaces.IProver.begin`."""
        return Deferred.fromCoroutine(self._begin(url, connection))

    async def _begin(self, url: str, connection: SSL.Connection) -> Proof:
        if connection.get_protocol_version_name() != "TLSv1.3":
            raise SignInFailed("it wants a proof of our key, which TLS 1.3 is needed for")
        host_key = _key_of(connection)
        exporter = connection.export_keying_material(EXPORTER_LABEL, EXPORTER_SIZE)
        channel = Channel(authority_of(url), host_key.fingerprint, exporter)
        signer = await self._load()
        return Proof(AskingProof(channel, host_key, signer, self._make_bytes(NONCE)))


@implementer(IProof)
class Proof:
    """One proof; see :class:`mcptwist.interfaces.IProof`."""

    def __init__(self, proof: AskingProof) -> None:
        self._proof = proof
        self._has_proved = False

    def hello(self) -> bytes:
        """The first message."""
        return self._proof.hello()

    def answer(self, text: bytes) -> Deferred[bytes | None]:
        """What to say to what the server said; ``None`` when we are let in."""
        return Deferred.fromCoroutine(self._answer(text))

    async def _answer(self, text: bytes) -> bytes | None:
        try:
            if self._has_proved:
                self._proof.welcomed(text)
                return None
            self._has_proved = True
            said: Any = self._proof.proof(text)
            if isinstance(said, Deferred):
                said = await said
        except (ProofFailed, KeyProblem) as problem:
            raise SignInFailed(f"no proof of keys came about: {problem}") from None
        proof: bytes = said
        return proof


def authority_of(url: str) -> str:
    """``HOST:PORT`` of a URL, in small letters, without ``:443``."""
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    name = f"[{host}]" if ":" in host else host
    port = parts.port or _HTTPS
    return name if port == _HTTPS else f"{name}:{port}"


def _key_of(connection: SSL.Connection) -> PublicKey:
    """The key of the certificate that the server showed, which was judged in the handshake."""
    shown = connection.get_peer_certificate()
    if shown is None:
        raise SignInFailed("it showed no certificate")
    key = shown.to_cryptography().public_key()
    spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    try:
        return PublicKey.from_spki(spki, SMALLEST_HOST_RSA)
    except KeyProblem as problem:
        raise SignInFailed(f"it wants a proof of our key, and of its own {problem}") from None
