"""Both ends of a WebSocket prove their keys to each other, on the connection they are on.

Each signs what only these two know of this one TLS connection (its exporter), with nonces of both,
so that a proof is worth nothing on any other: whoever stands in between has two connections. The
server proves first, and a client signs for nobody who has not.

``docs/auth/websockets.rst`` has the messages and a test vector. RFC 9266 (the exporter), RFC 7518
(signatures). Pure; both sides are here.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec
from twisted.internet.defer import Deferred

from mcptwist.auth.jws import Malformed, read_object, word
from mcptwist.auth.keys import (
    ISigner,
    KeyProblem,
    PublicKey,
    from_base64url,
    is_fingerprint,
    to_base64url,
)

SUBPROTOCOL = "mcp.keyauth.v1"
"""What a client offers beside ``mcp``, and a server chooses when it wants a proof."""
EXPORTER_LABEL, EXPORTER_SIZE = b"EXPORTER-Channel-Binding", 32
NONCE = 32
LARGEST = 4096
"""Bytes that each of the messages may have."""
SECONDS = 10.0
"""From the opening of the connection to the welcome."""

UNAUTHORIZED, TIMED_OUT, MUST_SIGN = 4401, 4408, 4428
"""What a WebSocket is closed with."""

_NAME = b"mcp-keyauth-v1"
_SPACES = b" " * 64
_SERVER, _CLIENT = b"server", b"client"


class ProofFailed(Exception):
    """The far end has not proved what it has to; the reason holds nothing secret."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Channel(msgspec.Struct, frozen=True):
    """What both ends know of the connection between them.

    :ivar authority: ``HOST:PORT`` of the URL, in small letters, without ``:443``.
    :ivar host_key: the fingerprint of the key that the server's certificate holds.
    :ivar exporter: 32 bytes that only the two ends of the TLS connection know (RFC 9266).
    """

    authority: str
    host_key: str
    exporter: bytes


class Claim(msgspec.Struct, frozen=True):
    """What a client says, before its signature was looked at.

    :ivar key: the fingerprint of the key it says it has.
    """

    key: str
    algorithm: str
    signed: bytes
    signature: bytes


class Welcome(msgspec.Struct, frozen=True):
    """The client was let in.

    :ivar expires_in: seconds that it may stay on this proof.
    """

    principal: str
    scopes: tuple[str, ...]
    expires_in: int


def to_be_signed(
    role: bytes, channel: Channel, client: str, server_nonce: bytes, client_nonce: bytes
) -> bytes:
    """What *role* (``server`` or ``client``) signs.

    64 spaces keep it apart from anything else that such a key may be asked to sign, as those of TLS
    1.3 do (RFC 8446 section 4.4.3).
    """
    fields = (
        _NAME,
        role,
        channel.authority.encode(),
        channel.host_key.encode(),
        client.encode(),
        server_nonce,
        client_nonce,
        channel.exporter,
    )
    return _SPACES + b"".join(len(each).to_bytes(4, "big") + each for each in fields)


class AnsweringProof:
    """The server's side of one proof.

    :param signer: the key that its certificate holds.
    :param nonce: 32 unguessable bytes, used once.
    """

    def __init__(self, channel: Channel, signer: ISigner, nonce: bytes) -> None:
        self._channel = channel
        self._signer = signer
        self._nonce = nonce
        self._client: tuple[str, bytes] | None = None

    @property
    def has_begun(self) -> bool:
        """Whether the client has said hello."""
        return self._client is not None

    def challenge(self, hello: bytes) -> bytes:
        """The answer to a hello, whoever said it: whether the key is known is not told.

        :raises ProofFailed: it is none.
        """
        said = _read(hello, "hello")
        if said.get("v") != 1:
            raise ProofFailed("hello is of a version that is not spoken")
        key = _fingerprint(said, "key")
        self._client = key, _bytes(said, "nonce", NONCE)
        algorithm = self._signer.public.algorithms[0]
        signature = self._signer.sign(algorithm, self._signed(_SERVER))
        return _message(
            "challenge",
            nonce=to_base64url(self._nonce),
            hostkey=self._channel.host_key,
            alg=algorithm,
            sig=to_base64url(signature),
        )

    def claim(self, proof: bytes) -> Claim:
        """What the client's proof says; whether it is true is for a checker to say.

        :raises ProofFailed: it is none.
        """
        if self._client is None:
            raise ProofFailed("proof came before hello")
        said = _read(proof, "proof")
        signature = _bytes(said, "sig")
        return Claim(self._client[0], _word(said, "alg", 16), self._signed(_CLIENT), signature)

    def _signed(self, role: bytes) -> bytes:
        assert self._client is not None
        key, nonce = self._client
        return to_be_signed(role, self._channel, key, self._nonce, nonce)


def welcome(principal: str, scopes: tuple[str, ...], expires_in: int) -> bytes:
    """What a client is told that was let in."""
    return _message("welcome", principal=principal, scopes=list(scopes), expires_in=expires_in)


class AskingProof:
    """The client's side of one proof.

    :param channel: with the fingerprint of *host_key*.
    :param host_key: the key of the certificate that the server showed on this connection.
    :param nonce: 32 unguessable bytes, used once.
    """

    def __init__(
        self, channel: Channel, host_key: PublicKey, signer: ISigner, nonce: bytes
    ) -> None:
        self._channel = channel
        self._host_key = host_key
        self._signer = signer
        self._nonce = nonce

    def hello(self) -> bytes:
        """The first message."""
        key = self._signer.public.fingerprint
        return _message("hello", v=1, key=key, nonce=to_base64url(self._nonce))

    def proof(self, challenge: bytes) -> Any:
        """The answer to a challenge, if it proves that the server is who it should be.

        It is bytes, or a Deferred of them where the signer takes its time.

        :raises ProofFailed: it does not; nothing was signed.
        """
        said = _read(challenge, "challenge")
        if _fingerprint(said, "hostkey") != self._channel.host_key:
            raise ProofFailed("the challenge is for another connection than ours")
        nonce, key = _bytes(said, "nonce", NONCE), self._signer.public
        signed = to_be_signed(_SERVER, self._channel, key.fingerprint, nonce, self._nonce)
        if not self._host_key.verify(_word(said, "alg", 16), _bytes(said, "sig"), signed):
            raise ProofFailed("the server has not proved its key")
        algorithm = key.algorithms[0]
        mine = to_be_signed(_CLIENT, self._channel, key.fingerprint, nonce, self._nonce)
        signature: Any = self._signer.sign(algorithm, mine)
        if isinstance(signature, Deferred):
            return signature.addCallback(_proof, algorithm)
        return _proof(signature, algorithm)

    def welcomed(self, text: bytes) -> Welcome:
        """The last message.

        :raises ProofFailed: it is none.
        """
        said = _read(text, "welcome")
        scopes, seconds = said.get("scopes"), said.get("expires_in")
        if not isinstance(scopes, list) or not all(isinstance(each, str) for each in scopes):
            raise ProofFailed("welcome has no scopes")
        if not isinstance(seconds, int) or isinstance(seconds, bool) or seconds < 0:
            raise ProofFailed("welcome does not say for how long")
        return Welcome(_word(said, "principal", 256), tuple(scopes), seconds)


# --- messages -------------------------------------------------------------------------------


def _proof(signature: bytes, algorithm: str) -> bytes:
    return _message("proof", alg=algorithm, sig=to_base64url(signature))


def _message(kind: str, **fields: Any) -> bytes:
    return json.dumps({"type": kind, **fields}, separators=(",", ":")).encode()


def _read(text: bytes, kind: str) -> dict[str, Any]:
    if len(text) > LARGEST:
        raise ProofFailed(f"{kind} is too long")
    try:
        said = read_object(text)
    except Malformed as problem:
        raise ProofFailed(f"{kind} {problem}") from None
    if said.get("type") != kind:
        raise ProofFailed(f"something else came than {kind}")
    return said


def _word(said: dict[str, Any], name: str, most: int) -> str:
    try:
        return word(said, name, 1, most)
    except Malformed as problem:
        raise ProofFailed(str(problem)) from None


def _fingerprint(said: dict[str, Any], name: str) -> str:
    found = _word(said, name, 64)
    if not is_fingerprint(found):
        raise ProofFailed(f"{name} is no fingerprint")
    return found


def _bytes(said: dict[str, Any], name: str, size: int | None = None) -> bytes:
    try:
        found = from_base64url(_word(said, name, 2048))
    except KeyProblem as problem:
        raise ProofFailed(f"{name} {problem}") from None
    if size is not None and len(found) != size:
        raise ProofFailed(f"{name} has not {size} bytes")
    return found
