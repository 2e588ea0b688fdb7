"""What anybody may read: of the resources, and of the authorization server that they name.

MCP 2026-07-28, *Authorization*; RFC 9728, RFC 8414.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from twisted.web.server import NOT_DONE_YET
from zope.interface import implementer

from mcptwist.auth import addresses
from mcptwist.auth.addresses import Address
from mcptwist.auth.authorizedkeys import ADMIN, SCOPES
from mcptwist.auth.denials import Denied, deny
from mcptwist.auth.guard import Guard, baseline
from mcptwist.auth.httpsignatures import ALL_ALGORITHMS as SIGNATURES
from mcptwist.auth.keys import ALL_ALGORITHMS
from mcptwist.auth.oauth import dpop
from mcptwist.protocols.request import IAsksEarly, Request

NO_STORE = ((b"cache-control", b"no-store"), (b"pragma", b"no-cache"))
_JSON = (b"content-type", b"application/json")
_PUBLIC = ((b"cache-control", b"public, max-age=300"),)


@implementer(IAsksEarly)
class Page:
    """A URL that one function answers, and what below it belongs to it."""

    isLeaf = True

    def __init__(self, answer: Callable[[Request, Address], None], guard: Guard) -> None:
        self._answer = answer
        self._guard = guard

    def getChildWithDefault(self, name: bytes, request: Request) -> Any:
        """There is nothing below."""
        raise AssertionError("isLeaf")

    def putChild(self, name: bytes, child: Any) -> None:
        """There is nothing below."""
        raise AssertionError("isLeaf")

    def render(self, request: Request) -> int:
        """Answer, now or later."""
        try:
            self._answer(request, self._guard.address(request))
        except Denied as denied:
            deny(request, denied)
        return NOT_DONE_YET


def describe_resource(request: Request, address: Address, signatures: bool = False) -> None:
    """RFC 9728. Whether a server of that name exists is told to those who may know.

    :param signatures: whether requests may be signed, which has no name in the registry yet.
    """
    path = address.path.removeprefix(addresses.PROTECTED) or "/mcp"
    place = addresses.place_of(path)
    if place is None:
        respond(request, 404, {"error": "not_found"}, NO_STORE)
        return
    base = address.base
    signed = {"http_message_signature_alg_values_supported": list(SIGNATURES)}
    show(
        request,
        {
            **(signed if signatures else {}),
            "resource": base + path,
            "resource_name": "mcptwist",
            "authorization_servers": [base],
            "scopes_supported": list(baseline(place)),
            "bearer_methods_supported": ["header"],
            "dpop_signing_alg_values_supported": list(dpop.ALGORITHMS),
            "dpop_bound_access_tokens_required": False,
            "tls_client_certificate_bound_access_tokens": False,
        },
    )


def describe_server(
    offered: Callable[[str], dict[str, Any]], request: Request, address: Address
) -> None:
    """RFC 8414. Some clients want an authorization endpoint, whether they use it or not.

    :param offered: what there is more, and instead, under a name of ours.
    """
    if address.path != addresses.ISSUER:
        respond(request, 404, {"error": "not_found"}, NO_STORE)
        return
    base = address.base
    signing = list(ALL_ALGORITHMS)
    show(
        request,
        {
            "issuer": base,
            "authorization_endpoint": f"{base}/oauth/authorize",
            "token_endpoint": base + addresses.TOKEN,
            "revocation_endpoint": base + addresses.REVOKE,
            "response_types_supported": ["code"],
            "grant_types_supported": ["client_credentials"],
            "code_challenge_methods_supported": ["S256"],
            "scopes_supported": [scope for scope in SCOPES if scope != ADMIN],
            "token_endpoint_auth_methods_supported": ["private_key_jwt"],
            "token_endpoint_auth_signing_alg_values_supported": signing,
            "revocation_endpoint_auth_methods_supported": ["private_key_jwt"],
            "revocation_endpoint_auth_signing_alg_values_supported": signing,
            "dpop_signing_alg_values_supported": list(dpop.ALGORITHMS),
            **offered(base),
        },
    )


def show(request: Request, document: dict[str, Any]) -> None:
    """Answer with a document that may be kept for a while."""
    if request.method not in (b"GET", b"HEAD"):
        respond(request, 405, {"error": "invalid_request"}, ((b"allow", b"GET, HEAD"),))
        return
    respond(request, 200, document, _PUBLIC)


def respond(
    request: Request,
    status: int,
    document: dict[str, Any],
    headers: tuple[tuple[bytes, bytes], ...],
) -> None:
    """Answer with JSON."""
    request.respond(status, [_JSON, *headers], msgspec.json.encode(document))
