"""What somebody sends who signs requests, and what an attacker makes of it."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

from mcptwist.auth.httpsignatures import Head, content_digest, to_sign
from mcptwist.auth.keys import PrivateKey
from tests.auth.people import NOW

_nonces = itertools.count(1)


def signed(
    signer: PrivateKey,
    method: str,
    url: str,
    headers: Mapping[str, str] = {},
    body: bytes = b"",
    now: float = NOW,
    **different: Any,
) -> dict[str, Any]:
    """The headers of a signed request.

    :param headers: that it has besides; their names in lower case.
    :param different: parameters that are not as they should be.
    """
    made = {"content-digest": content_digest(body).decode(), **headers}
    pairs = [(name.encode(), value.encode()) for name, value in made.items()]

    def values(name: bytes) -> list[bytes]:
        return [value for field, value in pairs if field == name]

    keyid = signer.public.thumbprint
    said = {"keyid": keyid, "tag": keyid, "nonce": f"nonce-{next(_nonces):010}",
            "created": int(now), **different}  # fmt: skip
    ready = to_sign(Head(method, url, values), **said)
    (algorithm, *_) = signer.public.algorithms
    for name, value in ready.headers(signer.sign(algorithm, ready.base)):
        made[name.decode()] = value.decode()
    return made
