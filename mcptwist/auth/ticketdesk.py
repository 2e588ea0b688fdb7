"""Where tickets for WebSockets are given out: ``POST /oauth/ws-ticket``.

``docs/auth/websockets.rst``.
"""

from __future__ import annotations

import msgspec

from mcptwist.auth.addresses import Address
from mcptwist.auth.audit import Audit
from mcptwist.auth.denials import Denied, NoRoom, NotAllowed, deny
from mcptwist.auth.guard import Guard, source_of
from mcptwist.auth.jws import Malformed, read_object
from mcptwist.auth.oauth.metadata import NO_STORE, Page, respond
from mcptwist.auth.realm import Principal
from mcptwist.auth.tickets import TicketsExhausted, TicketTable
from mcptwist.protocols.request import Request

LARGEST = 4096


class BadTicketRequest(Denied):
    """What was sent says of no WebSocket of ours that a ticket is wanted for it."""

    code = "bad-ticket-request"
    status = 400


class TicketDesk(msgspec.Struct, frozen=True):
    """What the page stands on."""

    guard: Guard
    tickets: TicketTable
    audit: Audit

    def page(self) -> Page:
        """The page."""
        return Page(self._receive, self.guard)

    def _receive(self, request: Request, address: Address) -> None:
        if request.method != b"POST":
            respond(request, 405, {"error": "invalid_request"}, ((b"allow", b"POST"),))
            return
        self.guard.check_pace(request)
        if request.content_length:
            request.receive_body(LARGEST, lambda body: self._received(request, address, body))
        else:
            self._answer(request, address, b"")

    def _received(self, request: Request, address: Address, body: bytes) -> None:
        try:
            self._answer(request, address, body)
        except Denied as denied:
            deny(request, denied)

    def _answer(self, request: Request, address: Address, body: bytes) -> None:
        """Give a ticket to whoever may come to the WebSocket it is for."""
        target = self._target(address, body)
        # The proof that may come with the token is for this URL, the token for that place.
        asked = msgspec.structs.replace(address, place=target.place)
        principal = self.guard.admit_at(request, asked, body)
        if not principal.grant.websocket:
            self.audit.tell(
                "auth.request.denied",
                principal=principal.name,
                peer=source_of(request),
                resource=target.url,
                path=request.path,
                method=request.method,
                reason="no-ws",
            )
            raise NotAllowed("this key may not be used on a WebSocket")
        origin = request.header(b"origin")
        try:
            text, ticket = self.tickets.issue(
                principal.key, principal.token, target.resource, origin
            )
        except TicketsExhausted:
            raise NoRoom("try again shortly", [(b"retry-after", b"5")]) from None
        self._tell(request, principal, target, ticket.mark)
        told = {"ticket": text, "expires_in": int(self.tickets.lifetime)}
        respond(request, 200, told, NO_STORE)

    def _target(self, address: Address, body: bytes) -> Address:
        try:
            wanted = read_object(body).get("resource") if body else f"{address.base}/ws"
        except Malformed:
            wanted = None
        found = self.guard.resource(address, wanted) if isinstance(wanted, str) else None
        if found is None:
            raise BadTicketRequest("resource must be the URL of a WebSocket of this server")
        return found

    def _tell(self, request: Request, principal: Principal, target: Address, mark: str) -> None:
        self.audit.tell(
            "auth.ticket.issued",
            principal=principal.name,
            key=principal.key,
            peer=source_of(request),
            resource=target.url,
            origin=request.header(b"origin"),
            ticket=mark,
        )
