"""Where clients that have no key register themselves: ``POST /oauth/register`` (RFC 7591)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mcptwist.auth.addresses import Address
from mcptwist.auth.audit import Audit
from mcptwist.auth.guard import Guard, source_of
from mcptwist.auth.jws import Malformed, read_object
from mcptwist.auth.oauth.metadata import NO_STORE, Page, respond
from mcptwist.auth.oauth.registrations import (
    INVALID_METADATA,
    Redirects,
    RegistrationRefused,
    register,
)
from mcptwist.protocols.request import Request

LARGEST = 8 * 1024


class RegistrationDesk:
    """The page.

    :param grants: what clients may register for; as it is when they do.
    :param wall: seconds since 1970.
    """

    def __init__(
        self,
        guard: Guard,
        audit: Audit,
        redirects: Redirects,
        grants: Callable[[], Sequence[str]],
        wall: Callable[[], float],
    ) -> None:
        self._guard = guard
        self._audit = audit
        self._redirects = redirects
        self._grants = grants
        self._wall = wall

    def page(self) -> Page:
        """The page."""
        return Page(self._receive, self._guard)

    def _receive(self, request: Request, address: Address) -> None:
        if request.method != b"POST":
            respond(request, 405, {"error": "invalid_request"}, ((b"allow", b"POST"),))
            return
        self._guard.check_pace(request)
        request.receive_body(LARGEST, lambda body: self._received(request, address, body))

    def _received(self, request: Request, address: Address, body: bytes) -> None:
        try:
            registration = register(_document(request, body), self._redirects, self._grants())
        except RegistrationRefused as refused:
            self._audit.tell(
                "auth.client.refused",
                error=refused.error,
                reason=refused.reason,
                peer=source_of(request),
                issuer=address.base,
            )
            told = {"error": refused.error, "error_description": refused.reason}
            respond(request, 400, told, NO_STORE)
            return
        self._audit.tell(
            "auth.client.registered",
            client=registration.client.id,
            redirects=registration.redirect_uris,
            peer=source_of(request),
            issuer=address.base,
        )
        respond(request, 201, registration.told(self._wall()), NO_STORE)


def _document(request: Request, body: bytes) -> dict[str, object]:
    kind = (request.header(b"content-type") or b"").partition(b";")[0].strip().lower()
    if kind != b"application/json":
        raise RegistrationRefused(INVALID_METADATA, "Content-Type must be application/json")
    try:
        return read_object(body)
    except Malformed as problem:
        raise RegistrationRefused(INVALID_METADATA, f"the document {problem}") from None
