"""A server of the Python SDK 2.x that wants signed requests: ``signed_server.py PORT KEYS``.

They are verified by the library ``http-message-signatures``, before the SDK sees them. *KEYS* is a
JSON file: public keys in PEM by their thumbprints. ``GET /seen`` says of each request that was let
in what its signature said.
"""

from __future__ import annotations

import datetime
import json
import sys
from pathlib import Path
from typing import Any

import uvicorn
from http_message_signatures import (
    HTTPMessageSignaturesException,
    HTTPMessageVerifier,
    MappingKeyResolver,
    algorithms,
)
from mcp.server import MCPServer
from starlette.requests import Request
from starlette.responses import JSONResponse

WANTED = 'sig1=("@method" "@target-uri" "content-digest");created;nonce;keyid;tag'
AGE = datetime.timedelta(seconds=300)

server = MCPServer("signed")


@server.tool()
def echo(text: str) -> str:
    """Answers with its argument."""
    return text


class Door:
    """Lets signed requests in, and tells others what to sign."""

    def __init__(self, inside: Any, keys: dict[str, str]) -> None:
        self._inside = inside
        resolver = MappingKeyResolver(
            private_keys={}, public_keys={name: text.encode() for name, text in keys.items()}
        )
        self._verifiers = [
            HTTPMessageVerifier(signature_algorithm=each, key_resolver=resolver)
            for each in (
                algorithms.ED25519,
                algorithms.ECDSA_P256_SHA256,
                algorithms.RSA_V1_5_SHA256,
            )
        ]
        self.seen: list[Any] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._inside(scope, receive, send)
            return
        request = Request(scope, receive)
        if scope["path"] == "/seen":
            await JSONResponse(self.seen)(scope, receive, send)
            return
        body = await request.body()
        if not self._is_signed(request, body):
            refusal = JSONResponse({}, 401, {"accept-signature": WANTED})
            await refusal(scope, receive, send)
            return

        async def again() -> Any:
            nonlocal body
            told, body = body, None
            if told is None:
                return await receive()
            return {"type": "http.request", "body": told, "more_body": False}

        await self._inside(scope, again, send)

    def _is_signed(self, request: Request, body: bytes) -> bool:
        covered = ["@method", "@target-uri", "content-digest"]
        covered += [n for n in ("mcp-session-id", "mcp-protocol-version") if n in request.headers]
        message = Seen(request)
        for verifier in self._verifiers:
            try:
                (found,) = verifier.verify(
                    message, max_age=AGE, require_components=covered, body=body
                )
            except (HTTPMessageSignaturesException, TypeError, ValueError):
                continue
            nonce = found.parameters["nonce"]
            if any(nonce == each["nonce"] for each in self.seen):
                return False
            told = {name: str(value) for name, value in found.parameters.items()}
            self.seen.append(told | {"method": request.method, "by": found.algorithm.algorithm_id})
            return True
        return False


class Seen:
    """A request as the library wants to see it."""

    def __init__(self, request: Request) -> None:
        self.method = request.method
        self.url = str(request.url)
        self.headers = request.headers


if __name__ == "__main__":
    known = json.loads(Path(sys.argv[2]).read_text())
    app = Door(server.streamable_http_app(), known)
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
