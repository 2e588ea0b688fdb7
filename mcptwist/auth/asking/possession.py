"""DPoP, the asking side: proving with each request that the token's key is held (RFC 9449).

The key is made for this, so a token that is stolen from us is of no use elsewhere. It is written
nowhere, but for what a person agreed to: that lasts longer than we do, and its key with it. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from urllib.parse import urlsplit

from mcptwist.auth.jws import make_jws
from mcptwist.auth.keys import ED25519, P256, PrivateKey, to_base64url
from mcptwist.auth.oauth.dpop import token_hash

#: What we prove by, the most widely understood first.
_KINDS = {"ES256": P256, "EdDSA": ED25519, "Ed25519": ED25519}
_LONGEST_NONCE = 512

MOST_NONCES = 64
"""Of how many servers the nonces are remembered: each may name others, and these further ones."""


class Possession:
    """Makes proofs.

    :param wall: seconds since 1970.
    :param make_bytes: so many unguessable bytes each time.
    """

    def __init__(self, wall: Callable[[], float], make_bytes: Callable[[int], bytes]) -> None:
        self._wall = wall
        self._make_bytes = make_bytes
        self._keys: dict[str, PrivateKey] = {}
        self._nonces: dict[str, str] = {}

    @staticmethod
    def algorithm(offered: Sequence[str]) -> str:
        """The algorithm to prove by, of those that are offered; empty if there is none."""
        return next((each for each in _KINDS if each in offered), "")

    def key(self, algorithm: str) -> PrivateKey:
        """What is proved to be held; made when it is first wanted."""
        if algorithm not in self._keys:
            self._keys[algorithm] = self.make(algorithm)
        return self._keys[algorithm]

    @contextmanager
    def trying(self, algorithm: str, key: PrivateKey | None) -> Iterator[None]:
        """Prove by *key* from now on, but for the old one again if what is tried fails."""
        before = self._keys.get(algorithm)
        if key is not None:
            self.hold(algorithm, key)
        try:
            yield
        except BaseException:
            if before is not None:
                self.hold(algorithm, before)
            raise

    @staticmethod
    def make(algorithm: str) -> PrivateKey:
        """A new key, good for *algorithm*."""
        return PrivateKey.generate(_KINDS[algorithm])

    def hold(self, algorithm: str, key: PrivateKey) -> None:
        """Prove by *key* from now on."""
        self._keys[algorithm] = key

    def proof(self, algorithm: str, method: str, url: str, token: str = "") -> str:
        """A proof for one request.

        :param algorithm: as :meth:`algorithm` chose it.
        :param token: the access token that comes with the request.
        """
        key = self.key(algorithm)
        place = urlsplit(url)._replace(query="", fragment="").geturl()
        jti = to_base64url(self._make_bytes(16))
        claims = {"jti": jti, "htm": method, "htu": place, "iat": int(self._wall())}
        if token:
            claims["ath"] = token_hash(token.encode())
        nonce = self._nonces.get(_origin(url))
        if nonce is not None:
            claims["nonce"] = nonce
        return make_jws(key, {"typ": "dpop+jwt", "jwk": key.public.jwk()}, claims, algorithm)

    def notice(self, url: str, nonce: str) -> bool:
        """Whoever is at *url* gave us a nonce; whether it is another than before."""
        fits = 0 < len(nonce) <= _LONGEST_NONCE and nonce.isascii() and nonce.isprintable()
        if not fits or self._nonces.get(_origin(url)) == nonce:
            return False
        self._nonces.pop(_origin(url), None)
        self._nonces[_origin(url)] = nonce
        if len(self._nonces) > MOST_NONCES:
            del self._nonces[next(iter(self._nonces))]
        return True


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
