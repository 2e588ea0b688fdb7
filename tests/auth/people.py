"""Keys for tests, made once, and what their owners would send."""

from __future__ import annotations

import itertools
from functools import cache
from typing import Any

from mcptwist.auth.jws import make_jws
from mcptwist.auth.keys import ED25519, P256, RSA, PrivateKey
from mcptwist.auth.oauth.tokens import digest_of, written

ISSUER = "http://127.0.0.1:8808"
NOW = 1_800_000_000.0
_jtis = itertools.count(1)

#: A key of another kind than any we take, and one that is too short.
DSA = "ssh-dss AAAAB3NzaC1kc3MAAAAA x"


def key(name: str = "alice", kind: str = ED25519) -> PrivateKey:
    """The key of that name, the same each time."""
    return _key(name, kind)


@cache
def _key(name: str, kind: str) -> PrivateKey:
    return PrivateKey.generate(kind)


KINDS = (ED25519, P256, RSA)


def claims(client: str = "alice", now: float = NOW, **different: Any) -> dict[str, Any]:
    """What a good assertion says; ``None`` leaves a claim out."""
    made = {
        "iss": client,
        "sub": client,
        "aud": ISSUER,
        "iat": int(now),
        "exp": int(now) + 300,
        "jti": f"jti-{next(_jtis):08}",
    }
    return {name: value for name, value in (made | different).items() if value is not None}


def assertion(
    signer: PrivateKey, client: str = "alice", now: float = NOW, algorithm: str = "", **claim: Any
) -> str:
    """A good assertion, but for what is different."""
    return make_jws(signer, {"typ": "JWT"}, claims(client, now, **claim), algorithm)


def proof(
    signer: PrivateKey,
    method: str = "POST",
    url: str = f"{ISSUER}/mcp",
    now: float = NOW,
    header: dict[str, Any] | None = None,
    **claim: Any,
) -> str:
    """A good DPoP proof, but for what is different."""
    made = {"htm": method, "htu": url, "iat": int(now), "jti": f"jti-{next(_jtis):08}"}
    head = {"typ": "dpop+jwt", "jwk": signer.public.jwk(), **(header or {})}
    said = {name: value for name, value in (made | claim).items() if value is not None}
    return make_jws(signer, head, said)


def digest(secret: bytes) -> bytes:
    """What a token made of *secret* is known by."""
    return digest_of(written(secret).encode())
