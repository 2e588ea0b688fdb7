"""Where what waits for approval is shown and decided: ``/oauth/approve``.

Whoever knows a code is told what it is for; whoever signs the statement about it with a key that is
let in decides. ``docs/auth/protocol.rst``, *Approval*.
"""

from __future__ import annotations

import math
from typing import Any

import msgspec
from twisted.cred.portal import Portal

from mcptwist.auth.addresses import Address
from mcptwist.auth.audit import Audit
from mcptwist.auth.authorizedkeys import SCOPES
from mcptwist.auth.checkers import CredentialsRefused
from mcptwist.auth.credentials import SignedText
from mcptwist.auth.guard import Guard, now, source_of
from mcptwist.auth.oauth.approvals import (
    APPROVE,
    DENY,
    PURPOSE,
    Approvals,
    Pending,
    Wanted,
    code_in,
    statement,
)
from mcptwist.auth.oauth.forms import LARGEST_FORM, Form, Refused, check_form, read_form
from mcptwist.auth.oauth.metadata import NO_STORE, Page, respond
from mcptwist.auth.penalties import BAD_LOGIN
from mcptwist.auth.realm import IPrincipal, Principal
from mcptwist.auth.sshsig import SignatureRefused, read_sshsig
from mcptwist.protocols.request import Request

_VERBS = (APPROVE, DENY)
_NO = "nothing waits under that code, or that signature does not decide on it"


class NotBelieved(Exception):
    """A code or a signature is none that counts; whoever brought it is told no more than that.

    :ivar reason: for the audit log.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class ApprovalDesk(msgspec.Struct, frozen=True):
    """What the page stands on."""

    guard: Guard
    portal: Portal
    approvals: Approvals
    audit: Audit

    def page(self) -> Page:
        """The page."""
        return Page(self._answer, self.guard)

    def _answer(self, request: Request, address: Address) -> None:
        if _is_sent_by_a_page(request):
            # Nobody is blamed: any page can send a browser here.
            self._refuse(request, address, Refused("access_denied", "a page asks", 403, _NO))
        elif request.method == b"GET":
            self.guard.check_pace(request)
            self._guarded(request, address, request.uri.partition(b"?")[2], self._show)
        elif request.method == b"POST":
            self.guard.check_pace(request)
            self._receive(request, address)
        else:
            respond(request, 405, {"error": "invalid_request"}, ((b"allow", b"GET, POST"),))

    def _receive(self, request: Request, address: Address) -> None:
        try:
            check_form(request)
        except Refused as refused:
            self._refuse(request, address, refused)
        else:
            request.receive_body(
                LARGEST_FORM, lambda body: self._guarded(request, address, body, self._decide)
            )

    def _guarded(self, request: Request, address: Address, text: bytes, answer: Any) -> None:
        """Read the form that *text* is, and answer it or say no."""
        try:
            answer(request, address, read_form(text))
        except Refused as refused:
            self._refuse(request, address, refused)
        except NotBelieved as problem:
            self.guard.blame(request, BAD_LOGIN)
            self._refuse(request, address, Refused("access_denied", problem.reason, 403, _NO))

    def _refuse(self, request: Request, address: Address, refused: Refused) -> None:
        self.audit.tell(
            "auth.approval.refused",
            error=refused.error,
            reason=refused.reason,
            peer=source_of(request),
            issuer=address.base,
        )
        body = {"error": refused.error}
        if refused.description:
            body["error_description"] = refused.description
        respond(request, refused.status, body, NO_STORE)

    # --- what waits -----------------------------------------------------------------------

    def _show(self, request: Request, address: Address, form: Form) -> None:
        pending = self._pending(address, form)
        told = described(pending.wanted)
        told["code"] = pending.code
        told["expires_in"] = math.ceil(self.approvals.seconds_left(pending))
        respond(request, 200, told, NO_STORE)

    def _pending(self, address: Address, form: Form) -> Pending:
        """What waits under the code that is in the form, if under this name of ours."""
        code = code_in(form.get("code", ""))
        if code is None:
            raise NotBelieved("that is no code")
        pending = self.approvals.find(code)
        if pending is None:
            raise NotBelieved("nothing waits under that code")
        if pending.wanted.issuer != address.base:
            raise NotBelieved("the code is of another issuer")
        return pending

    # --- deciding -------------------------------------------------------------------------

    def _decide(self, request: Request, address: Address, form: Form) -> None:
        """One check after the other: the code, the signature, what its key may do."""
        verb = form.get("action", APPROVE)
        if verb not in _VERBS:
            raise Refused("invalid_request", "action is neither approve nor deny")
        pending = self._pending(address, form)
        agreed = _agreed(form, pending.wanted)
        principal = self._proved(request, pending, verb, agreed, form)
        if verb == DENY:
            self.approvals.deny(pending)
            self._tell("auth.approval.declined", request, pending, principal)
            respond(request, 200, {"outcome": "denied", "principal": principal.name}, NO_STORE)
            return
        grant = principal.grant
        if not grant.leads_to(pending.wanted.resource.place):
            raise Refused(
                "invalid_target",
                "the key is not for that resource",
                description="your line in authorized_keys does not lead to that resource",
            )
        if grant.require_signature:
            raise Refused(
                "invalid_target",
                "the key is for signed requests only",
                description="your line in authorized_keys has require-signature, and what you "
                "would let in has no key to sign with",
            )
        scopes = agreed & grant.scopes
        if not scopes:
            raise Refused(
                "invalid_scope",
                "nothing of what was agreed to is granted",
                description="your line in authorized_keys grants nothing of that",
            )
        self._tell("auth.approval.given", request, pending, principal, scope=scopes)
        self.approvals.approve(pending, grant, scopes)
        told = {"outcome": "approved", "principal": principal.name, "scope": _in_order(scopes)}
        respond(request, 200, told, NO_STORE)

    def _proved(
        self, request: Request, pending: Pending, verb: str, agreed: frozenset[str], form: Form
    ) -> Principal:
        """Who has signed the statement."""
        text = statement(verb, pending.code, pending.wanted, agreed).encode("ascii")
        # A browser's form has line ends of its own.
        armored = form.get("signature", "").replace("\r\n", "\n")
        try:
            signature = read_sshsig(armored)
            credentials = SignedText(text, PURPOSE, signature, source_of(request))
            principal: Principal = now(self.portal.login(credentials, request, IPrincipal))
        except (SignatureRefused, CredentialsRefused) as refused:
            self.approvals.miss(pending)
            raise NotBelieved(f"the signature: {refused.reason}") from None
        return principal

    def _tell(
        self,
        event: str,
        request: Request,
        pending: Pending,
        principal: Principal,
        **more: Any,
    ) -> None:
        wanted = pending.wanted
        self.audit.tell(
            event,
            principal=principal.name,
            key=principal.key,
            peer=source_of(request),
            client=wanted.client_id,
            host=wanted.host or None,
            resource=wanted.resource.url,
            asked_from=wanted.source,
            **more,
        )


def _is_sent_by_a_page(request: Request) -> bool:
    """Whether a page of somebody else's has a browser ask, of which its person may know nothing."""
    return request.header(b"sec-fetch-site") not in (None, b"none", b"same-origin")


def _agreed(form: Form, wanted: Wanted) -> frozenset[str]:
    """Which of the scopes that are wanted are agreed to; all, where that is not said.

    :raises Refused: others are.
    """
    asked = form.get("scope")
    if not asked:
        return wanted.scopes
    scopes = frozenset(asked.split(" "))
    if not scopes <= wanted.scopes:
        raise Refused(
            "invalid_scope",
            "agreed to more than is wanted",
            description=f"scope may name only what is wanted: {_in_order(wanted.scopes)}",
        )
    return scopes


def described(wanted: Wanted) -> dict[str, Any]:
    """What is told of what waits."""
    return {
        "issuer": wanted.issuer,
        "client_id": wanted.client_id,
        "client_name": wanted.client_name,
        "redirect_uri": wanted.redirect_uri,
        "resource": wanted.resource.url,
        "scope": _in_order(wanted.scopes),
        "asked_from": wanted.source,
    }


def _in_order(scopes: frozenset[str]) -> str:
    return " ".join(scope for scope in SCOPES if scope in scopes)
