"""Where browsers wait until somebody with a key has let their client in.

``/oauth/authorize`` takes the client's request, ``/oauth/wait/CODE`` is the page that goes on by
itself: it asks, and is answered as soon as there is something to say. A cookie binds it to the
browser that came with the request; no other gets the code. RFC 6749 section 4.1, RFC 9700.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from math import ceil

from mcptwist.auth.addresses import Address
from mcptwist.auth.audit import Audit
from mcptwist.auth.guard import Guard, baseline, source_of
from mcptwist.auth.keyring import Keyring
from mcptwist.auth.keys import to_base64url
from mcptwist.auth.oauth import loginpages
from mcptwist.auth.oauth.approvals import (
    DENIED,
    Approvals,
    ApprovalsFull,
    Approved,
    Pending,
    Wanted,
    code_in,
)
from mcptwist.auth.oauth.authorizationrequest import (
    AuthorizationRequest,
    NotSentBack,
    SentBack,
    read_request,
)
from mcptwist.auth.oauth.logins import Allowed, Logins, LoginsFull
from mcptwist.auth.oauth.metadata import Page
from mcptwist.auth.oauth.registrations import Redirects
from mcptwist.auth.oauth.tokens import digest_of
from mcptwist.protocols.request import Request

WAIT = "/oauth/wait/"
HELD = 40.0
"""Seconds that a browser's question waits for an answer; proxies are patient for a minute."""
LEFT = 60.0
"""Seconds that an outcome is kept for a browser that does not ask at the moment."""

_SITTINGS = 2
"""Browsers for each that may wait for approval: the others have an outcome to come for."""

_HOLD = b"held"
_GONE = "it has ended, or was begun in another browser, or this browser keeps no cookies"
_NOT_A_PAGE = "it must be opened in a window of its own"


class Sitting:
    """A browser that waits.

    :ivar cookie: the hash of what its cookie must hold.
    :ivar held: its question, while that is not answered.
    :ivar until: when it is forgotten, once there is an outcome.
    """

    __slots__ = ("asked", "cookie", "held", "held_since", "pending", "until")

    def __init__(self, asked: AuthorizationRequest, pending: Pending, cookie: bytes) -> None:
        self.asked = asked
        self.pending = pending
        self.cookie = cookie
        self.held: Request | None = None
        self.held_since = 0.0
        self.until: float | None = None

    @property
    def cookie_name(self) -> str:
        """Each login has a cookie of its own; browsers take the prefix only over TLS."""
        letters = self.pending.code.replace("-", "")
        return f"{'__Host-' if self._is_secure else ''}mcptwist-{letters}"

    def set_cookie(self, value: str, seconds: int) -> tuple[bytes, bytes]:
        """The header that keeps *value* in the browser; an empty one forgets it."""
        # Browsers take the prefix for the whole host only. Without TLS they give cookies to every
        # other port of it as well, so there it is for the page alone.
        path, secure = ("/", "; Secure") if self._is_secure else (WAIT + self.pending.code, "")
        text = f"{self.cookie_name}={value}; Path={path}; Max-Age={seconds}"
        return b"set-cookie", f"{text}; HttpOnly; SameSite=Lax{secure}".encode()

    @property
    def _is_secure(self) -> bool:
        return self.asked.issuer.startswith("https:")

    def is_of(self, request: Request) -> bool:
        """Whether *request* comes from the browser that waits."""
        brought = request.received_cookies.get(self.cookie_name.encode(), b"")
        return hmac.compare_digest(digest_of(brought), self.cookie)


class BrowserDesk:
    """Both pages.

    :param monotonic: seconds that only grow.
    :param make_bytes: so many unguessable bytes each time.
    """

    def __init__(
        self,
        guard: Guard,
        audit: Audit,
        keyring: Keyring,
        redirects: Redirects,
        approvals: Approvals,
        logins: Logins,
        monotonic: Callable[[], float],
        make_bytes: Callable[[int], bytes],
    ) -> None:
        self._guard = guard
        self._audit = audit
        self._keyring = keyring
        self._redirects = redirects
        self._approvals = approvals
        self._logins = logins
        self._monotonic = monotonic
        self._make_bytes = make_bytes
        self._sittings: dict[str, Sitting] = {}

    def __len__(self) -> int:
        return len(self._sittings)

    def pages(self) -> dict[bytes, Page]:
        """The pages, by the part of their path after ``/oauth``."""
        return {
            b"authorize": Page(self._authorize, self._guard),
            b"wait": Page(self._wait, self._guard),
        }

    def look(self) -> None:
        """Forget who did not come for an outcome, and answer who has waited long enough."""
        now = self._monotonic()
        for code, sitting in list(self._sittings.items()):
            if sitting.until is not None and sitting.until <= now:
                del self._sittings[code]
            elif sitting.held is not None and now - sitting.held_since >= HELD:
                self._release(sitting)

    # --- the request ----------------------------------------------------------------------

    def _authorize(self, request: Request, address: Address) -> None:
        self._guard.check_pace(request)
        if not self._is_visit(request, address):
            return
        query = request.uri.partition(b"?")[2]
        try:
            asked = read_request(
                query,
                address.base,
                self._redirects,
                lambda url: self._guard.resource(address, url),
                lambda place: frozenset(baseline(place.place)),
            )
            self._check_room()
            pending = self._approvals.ask(_wanted(asked, source_of(request)))
        except NotSentBack as problem:
            self._refuse(request, address, 400, problem.reason)
        except SentBack as problem:
            self._tell_refused(request, address.base, problem.reason, problem.error)
            _send(request, problem.url)
        except ApprovalsFull:
            error, reason = "temporarily_unavailable", "too much waits for approval"
            _send(request, self._not_let_in(asked, request, error, reason))
        else:
            self._seat(request, asked, pending)

    def _check_room(self) -> None:
        """Whether there is room for one more; outcomes that nobody came for take room as well.

        :raises ApprovalsFull: there is none.
        """
        most = _SITTINGS * self._approvals.bounds.limit
        if len(self._sittings) >= most:
            self.look()
        if len(self._sittings) >= most:
            self._approvals.refused += 1
            raise ApprovalsFull

    def _is_visit(self, request: Request, address: Address) -> bool:
        """Whether a person looks at what will be answered: it is no frame, and no script asks."""
        if request.method != b"GET":
            self._show(request, 405, loginpages.refused("only GET"), ((b"allow", b"GET"),))
            return False
        how = request.header(b"sec-fetch-mode"), request.header(b"sec-fetch-dest")
        is_visit = how[0] in (None, b"navigate") and how[1] in (None, b"document")
        if not is_visit or request.header(b"origin") is not None:
            self._refuse(request, address, 403, _NOT_A_PAGE)
            return False
        return True

    def _seat(self, request: Request, asked: AuthorizationRequest, pending: Pending) -> None:
        cookie = to_base64url(self._make_bytes(32))
        sitting = Sitting(asked, pending, digest_of(cookie.encode()))
        self._sittings[pending.code] = sitting
        pending.when_settled(self._settled)
        self._audit.tell(
            "auth.login.asked",
            client=asked.client.id,
            host=pending.wanted.host,
            resource=asked.resource.url,
            scope=asked.scopes,
            peer=source_of(request),
        )
        lifetime = int(self._approvals.seconds_left(pending) + LEFT)
        _send(request, WAIT + pending.code, sitting.set_cookie(cookie, lifetime))

    # --- waiting --------------------------------------------------------------------------

    def _wait(self, request: Request, address: Address) -> None:
        self._guard.check_pace(request)
        if not self._is_visit(request, address):
            return
        self._approvals.expire()
        code = code_in(address.path.removeprefix(WAIT))
        sitting = None if code is None else self._sittings.get(code)
        if sitting is None or sitting.asked.issuer != address.base:
            self._refuse(request, address, 403, _GONE, "nothing waits there")
        elif not sitting.is_of(request):
            self._refuse(request, address, 403, _GONE, "another browser")
        elif sitting.pending.outcome is not None:
            self._answer(sitting, request)
        elif request.uri.partition(b"?")[2] == _HOLD:
            self._hold(sitting, request)
        else:
            self._show_waiting(sitting, request)

    def _hold(self, sitting: Sitting, request: Request) -> None:
        """Answer later; a question that was held before is answered now."""
        self._release(sitting)
        sitting.held, sitting.held_since = request, self._monotonic()

        def lost(reason: object) -> None:
            if sitting.held is request:
                sitting.held = None

        request.on_lost = lost

    def _release(self, sitting: Sitting) -> None:
        held, sitting.held = sitting.held, None
        if held is not None:
            self._show_waiting(sitting, held)

    def _show_waiting(self, sitting: Sitting, request: Request) -> None:
        pending = sitting.pending
        minutes = max(1, ceil(self._approvals.seconds_left(pending) / 60))
        onward = f"{WAIT}{pending.code}?{_HOLD.decode()}"
        self._show(request, 200, loginpages.waiting(pending, minutes, onward))

    # --- the outcome ----------------------------------------------------------------------

    def _settled(self, pending: Pending) -> None:
        sitting = self._sittings[pending.code]
        held, sitting.held = sitting.held, None
        if held is not None:
            self._answer(sitting, held)
        else:
            sitting.until = self._monotonic() + LEFT

    def _answer(self, sitting: Sitting, request: Request) -> None:
        """Send the browser back, with a code or without; once."""
        del self._sittings[sitting.pending.code]
        asked, outcome = sitting.asked, sitting.pending.outcome
        if isinstance(outcome, Approved):
            url = self._approved(asked, outcome, request)
        elif outcome == DENIED:
            url = self._not_let_in(asked, request, "access_denied", "it was denied")
        else:
            url = self._not_let_in(asked, request, "access_denied", "nobody approved it in time")
        forget = sitting.set_cookie("", 0)
        if url.startswith(("http:", "https:")):
            _send(request, url, forget)
        else:
            self._show(request, 200, loginpages.handed_over(url), (forget,))

    def _approved(self, asked: AuthorizationRequest, approved: Approved, request: Request) -> str:
        grant = approved.grant
        if self._keyring.grant(grant.key.fingerprint) != grant:
            reason = "the key is not good any more"
            return self._not_let_in(asked, request, "access_denied", reason)
        allowed = Allowed(
            asked.client.id,
            asked.resource,
            approved.scopes,
            grant,
            asked.redirect_uri,
            asked.challenge,
            asked.jkt,
        )
        try:
            login, code = self._logins.begin(allowed)
        except LoginsFull:
            reason = "too many clients are logged in"
            return self._not_let_in(asked, request, "temporarily_unavailable", reason)
        self._audit.tell(
            "auth.login.begun",
            principal=grant.principal,
            key=login.key,
            peer=source_of(request),
            client=asked.client.id,
            resource=asked.resource.url,
            scope=approved.scopes,
            login=login.mark,
        )
        return asked.answered(code=code)

    def _not_let_in(
        self, asked: AuthorizationRequest, request: Request, error: str, reason: str
    ) -> str:
        """Where the browser is sent back to without a code."""
        self._tell_refused(request, asked.issuer, reason, error)
        return asked.refused(error, reason)

    # --- answers --------------------------------------------------------------------------

    def _refuse(
        self, request: Request, address: Address, status: int, told: str, reason: str = ""
    ) -> None:
        self._tell_refused(request, address.base, reason or told)
        self._show(request, status, loginpages.refused(told))

    def _tell_refused(
        self, request: Request, issuer: str, reason: str, error: str | None = None
    ) -> None:
        # Nobody is blamed: any page can send a browser here.
        self._audit.tell(
            "auth.login.refused",
            reason=reason,
            error=error,
            peer=source_of(request),
            issuer=issuer,
        )

    @staticmethod
    def _show(
        request: Request, status: int, page: bytes, more: tuple[tuple[bytes, bytes], ...] = ()
    ) -> None:
        request.respond(status, [*loginpages.HEADERS, *more], page)


def _wanted(asked: AuthorizationRequest, source: str) -> Wanted:
    client = asked.client
    return Wanted(
        asked.issuer,
        client.id,
        client.name,
        asked.redirect_uri,
        asked.resource,
        asked.scopes,
        source,
    )


def _send(request: Request, url: str, *more: tuple[bytes, bytes]) -> None:
    """Send the browser elsewhere, whatever it did to come here (RFC 9700 section 4.12)."""
    headers = [
        (b"location", url.encode("ascii")),
        (b"cache-control", b"no-store"),
        (b"referrer-policy", b"no-referrer"),
    ]
    request.respond(303, [*headers, *more], b"")
