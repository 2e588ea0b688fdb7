"""DPoP: a client proves with each request that it holds the key its token is bound to (RFC 9449).

A :class:`ProofReader` reads proofs; :class:`Nonces` makes the server's nonces, where they are
wanted, without keeping any. Pure.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable

import msgspec

from mcptwist.auth.jws import Jws, Malformed, moment, read_jws, word
from mcptwist.auth.keys import KeyProblem, PublicKey, to_base64url
from mcptwist.auth.oauth.replay import Replays

ALGORITHMS = ("ES256", "EdDSA", "Ed25519")
LONGEST = 4096
#: Seconds by which a proof's time may differ from ours.
WINDOW = 60.0

#: How many clients' keys are remembered.
_MOST_KEYS = 256

_JWK = frozenset({"jwk"})


class ProofRefused(Exception):
    """The proof is not good; the reason is for the audit log.

    :ivar wants_nonce: whether the client should come again, with the nonce it is given.
    """

    def __init__(self, reason: str, wants_nonce: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.wants_nonce = wants_nonce


class Nonces:
    """Nonces that are good for a while, known again by computing them.

    :param secret: 32 unguessable bytes.
    :param monotonic: seconds that only grow.
    :param slot: seconds; a nonce is good for one to two of them.
    """

    def __init__(self, secret: bytes, monotonic: Callable[[], float], slot: float = 300.0) -> None:
        self._secret = secret
        self._monotonic = monotonic
        self._slot = slot

    @property
    def longest(self) -> float:
        """Seconds that one may be good for."""
        return 2 * self._slot

    def current(self) -> str:
        """The nonce to give out."""
        return self._of(self._number())

    def is_good(self, nonce: str) -> bool:
        """Whether *nonce* was given out lately."""
        number = self._number()
        wanted = nonce.encode("utf-8", "replace")
        return any(
            hmac.compare_digest(self._of(each).encode(), wanted) for each in (number, number - 1)
        )

    def _number(self) -> int:
        return int(self._monotonic() // self._slot)

    def _of(self, number: int) -> str:
        mac = hmac.digest(
            self._secret, b"dpop-nonce" + number.to_bytes(8, "big", signed=True), "sha256"
        )
        return to_base64url(mac[:18])


class Proof(msgspec.Struct, frozen=True):
    """A proof that was found good.

    :ivar jkt: the thumbprint of its key.
    """

    jkt: str
    jti: str


class ProofReader:
    """Reads proofs.

    :param wall: seconds since 1970.
    :param replays: where those that were used are remembered.
    :param nonces: with them, each proof must hold one.
    :param window: seconds by which a proof's time may differ from ours otherwise.
    """

    def __init__(
        self,
        wall: Callable[[], float],
        replays: Replays,
        nonces: Nonces | None = None,
        window: float = WINDOW,
    ) -> None:
        self.nonces = nonces
        self._wall = wall
        self._replays = replays
        self._keys: dict[bytes, PublicKey] = {}  # of good proofs, by their header
        self._window = window
        # For as long as it could come again: from too early to too late, or while its nonce lasts.
        self._remembered = 2 * window if nonces is None else nonces.longest

    def read(
        self, text: str, method: str, url: str, token: bytes | None = None, jkt: str | None = None
    ) -> Proof:
        """The proof, if it is good for this request; it is good for no other then.

        :param url: where the request went, without query.
        :param token: the access token it came with, if with one.
        :param jkt: the thumbprint its key must have, if it must.
        :raises ProofRefused: with the reason.
        :raises ReplaysFull: it cannot be remembered.
        """
        try:
            jws = read_jws(text, LONGEST, _JWK)
            key = self._keys.get(jws.head) or _key_of(jws)
            self._check_claims(jws, method, url, token)
            jti = word(jws.claims, "jti", 8, 128)
        except (Malformed, KeyProblem) as problem:
            raise ProofRefused(str(problem)) from None
        if jkt is not None and key.thumbprint != jkt:
            raise ProofRefused("is made with another key than the token is bound to")
        if not key.verify(jws.algorithm, jws.signature, jws.signed):
            raise ProofRefused("the signature is wrong")
        self._check_nonce(jws)
        until = self._wall() + self._remembered
        if not self._replays.first_use(f"dpop {key.thumbprint}", jti, until):
            raise ProofRefused("was used before")
        self._remember(jws.head, key)
        return Proof(key.thumbprint, jti)

    def _remember(self, head: bytes, key: PublicKey) -> None:
        """A client's proofs all have the same header; to read its key takes as long as the rest."""
        if head not in self._keys:
            if len(self._keys) >= _MOST_KEYS:
                del self._keys[next(iter(self._keys))]
            self._keys[head] = key

    def _check_claims(self, jws: Jws, method: str, url: str, token: bytes | None) -> None:
        claims = jws.claims
        if claims.get("htm") != method:
            raise Malformed("htm is not the request's method")
        if claims.get("htu") != url:
            raise Malformed("htu is not the request's URL")
        issued = moment(claims, "iat")
        # A server's nonce says better than a client's clock when the proof was made.
        if self.nonces is None and abs(self._wall() - issued) > self._window:
            raise Malformed("iat is too far from now")
        if token is not None and claims.get("ath") != token_hash(token):
            raise Malformed("ath is not the token's")

    def _check_nonce(self, jws: Jws) -> None:
        if self.nonces is None:
            return
        nonce = jws.claims.get("nonce")
        if not isinstance(nonce, str) or not self.nonces.is_good(nonce):
            raise ProofRefused("has no nonce of ours, or an old one", wants_nonce=True)


def _key_of(jws: Jws) -> PublicKey:
    if jws.header.get("typ") != "dpop+jwt":
        raise Malformed("typ is not dpop+jwt")
    if jws.algorithm not in ALGORITHMS:
        raise Malformed("alg is none that is taken")
    jwk = jws.header.get("jwk")
    if not isinstance(jwk, dict):
        raise Malformed("has no jwk")
    return PublicKey.from_jwk(jwk)


def token_hash(token: bytes) -> str:
    """What a proof says of the token that it comes with (``ath``)."""
    return to_base64url(hashlib.sha256(token).digest())
