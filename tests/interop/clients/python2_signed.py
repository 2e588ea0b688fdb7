"""``python2_signed.py URL MODE KEY ALGORITHM CALLS``: the Python SDK, with every request signed.

The SDK is as it is, the signatures are made by the library ``http-message-signatures``, called
between the two by an event hook of httpx2. *KEY* is a PEM file, *ALGORITHM* one of RFC 9421.
"""

from __future__ import annotations

import base64
import json
import secrets
import sys
import warnings
from hashlib import sha256
from pathlib import Path
from typing import Any

import anyio
import httpx2
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from http_message_signatures import (
    HTTPMessageSigner,
    HTTPSignatureAlgorithm,
    MappingKeyResolver,
    algorithms,
)
from http_message_signatures.httpx2 import adapt_message
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPDeprecationWarning

warnings.simplefilter("ignore", MCPDeprecationWarning)

COVERED = ("@method", "@target-uri", "content-digest")
IF_PRESENT = ("mcp-protocol-version", "mcp-session-id")
ALGORITHMS: dict[str, type[HTTPSignatureAlgorithm]] = {
    "ed25519": algorithms.ED25519,
    "ecdsa-p256-sha256": algorithms.ECDSA_P256_SHA256,
    "rsa-v1_5-sha256": algorithms.RSA_V1_5_SHA256,
    "rsa-pss-sha512": algorithms.RSA_PSS_SHA512,
}


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number(value: int) -> str:
    return base64url(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def thumbprint(public: Any) -> str:
    """RFC 7638, by what the library's own dependency says of the key."""
    numbers = getattr(public, "public_numbers", lambda: None)()
    if numbers is None:
        jwk = {"crv": "Ed25519", "kty": "OKP", "x": base64url(public.public_bytes_raw())}
    elif hasattr(numbers, "n"):
        jwk = {"e": number(numbers.e), "kty": "RSA", "n": number(numbers.n)}
    else:
        x, y = (base64url(each.to_bytes(32, "big")) for each in (numbers.x, numbers.y))
        jwk = {"crv": "P-256", "kty": "EC", "x": x, "y": y}
    return base64url(sha256(json.dumps(jwk, separators=(",", ":")).encode()).digest())


class Signing:
    """Signs requests.

    :ivar count: how many.
    """

    def __init__(self, key: str, algorithm: str) -> None:
        private: Any = load_pem_private_key(Path(key).read_bytes(), None)
        self.key_id = thumbprint(private.public_key())
        self.count = 0
        self._names_alg = algorithm == "rsa-pss-sha512"
        self._signer = HTTPMessageSigner(
            signature_algorithm=ALGORITHMS[algorithm],
            key_resolver=MappingKeyResolver(private_keys={self.key_id: private}, public_keys={}),
        )

    async def __call__(self, request: httpx2.Request) -> None:
        covered = [*COVERED, *(name for name in IF_PRESENT if name in request.headers)]
        self._signer.sign(
            adapt_message(request),
            body=await request.aread(),
            key_id=self.key_id,
            nonce=secrets.token_urlsafe(16),
            tag="python2_signed",
            include_alg=self._names_alg,
            covered_component_ids=covered,
        )
        self.count += 1


async def visit(url: str, mode: str, key: str, algorithm: str, calls: str) -> Any:
    signing, said = Signing(key, algorithm), []
    async with httpx2.AsyncClient(event_hooks={"request": [signing]}, timeout=60) as http:
        transport = streamable_http_client(url, http_client=http)
        async with Client(transport, mode=mode, cache=None) as visitor:
            tools = sorted(tool.name for tool in (await visitor.list_tools()).tools)
            for name, arguments in json.loads(calls):
                result = await visitor.call_tool(name, arguments)
                said.append("".join(getattr(part, "text", "") for part in result.content))
            revision = visitor.protocol_version
    return {"revision": revision, "tools": tools, "said": said, "signed": signing.count}


if __name__ == "__main__":
    print(json.dumps(anyio.run(visit, *sys.argv[1:])))
