"""What stands before the HTTP resources: who is calling is proved anew with every request.

MCP 2026-07-28, *Authorization*; RFC 6750 section 3 and RFC 9449 section 7 (challenges).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Protocol

import msgspec
from twisted.cred.credentials import ICredentials
from twisted.cred.portal import Portal
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from mcptwist.auth.addresses import Address, Addresses
from mcptwist.auth.audit import Audit
from mcptwist.auth.authorizedkeys import ADMIN, CALL, READ
from mcptwist.auth.checkers import INVALID_PROOF, USE_NONCE, CredentialsRefused
from mcptwist.auth.credentials import SignedRequest
from mcptwist.auth.denials import (
    Denied,
    InsufficientScope,
    NoRoom,
    NotAllowed,
    NothingBrought,
    TooManyFailures,
    Unauthenticated,
    deny,
)
from mcptwist.auth.evidence import Evidence
from mcptwist.auth.httpsignatures import ACCEPT, ASKED
from mcptwist.auth.keyring import Keyring
from mcptwist.auth.oauth.dpop import ALGORITHMS as PROOF_ALGORITHMS
from mcptwist.auth.oauth.dpop import Nonces
from mcptwist.auth.oauth.replay import ReplaysFull
from mcptwist.auth.pace import Pace
from mcptwist.auth.patterns import UNIX
from mcptwist.auth.penalties import BAD_TOKEN, STALE_TOKEN, Penalties
from mcptwist.auth.realm import OF_CONNECTIONS, TOKEN, IPrincipal, Principal
from mcptwist.auth.scopes import NEEDED
from mcptwist.auth.signedrequests import is_of_body
from mcptwist.messages import Request as Asked
from mcptwist.protocols import refusals
from mcptwist.protocols.request import Request

_ADMINISTRATION = "/admin"

#: A client was sent back for a nonce, as all are who have none yet.
NONCE_CHALLENGED = "auth.nonce.challenged"

_ALGORITHMS = " ".join(PROOF_ALGORITHMS)
_PROVE = (
    "who is calling must be proved: get a token from the authorization server that the resource "
    "metadata names"
)


class Guarding(msgspec.Struct, frozen=True):
    """What the guard stands on.

    :ivar nonces: given out where proofs must have them.
    :ivar signatures: whether requests may be signed.
    """

    portal: Portal
    addresses: Addresses
    keyring: Keyring
    penalties: Penalties
    pace: Pace
    audit: Audit
    monotonic: Callable[[], float]
    nonces: Nonces | None = None
    signatures: bool = False


class Guard:
    """Finds out who is calling.

    :ivar admitted: how many requests were let in.
    :ivar monotonic: seconds that only grow.
    """

    log = Logger()

    def __init__(self, on: Guarding) -> None:
        self._on = on
        self.monotonic = on.monotonic
        self._evidence = Evidence(on.signatures)
        self.admitted = 0

    def admit(self, request: Request) -> Principal:
        """Who sent *request*.

        :raises Denied: that is not known; with the headers to send.
        """
        return self.admit_at(request, self.address(request))

    def lasting(self, principal: Principal) -> Lasting:
        """What a principal came with that is good for further requests, see :func:`is_lasting`."""
        return principal.token or _OfConnection(self._on.keyring, principal)

    def admit_at(self, request: Request, address: Address, body: bytes | None = None) -> Principal:
        """Who sent *request* to a place.

        :param address: what it is for.
        :param body: its whole body, where that is there already.
        :raises Denied: that is not known; with the headers to send.
        """
        source = source_of(request)
        self.check_patience(source)
        credentials = None
        try:
            credentials = self._evidence.of(request, address, source)
            if credentials is not None:
                return self._let_in(request, address, credentials, body)
        except CredentialsRefused as refused:
            raise self._refused(request, address, credentials, refused) from None
        except ReplaysFull:
            self._tell(request, address, reason="the replay cache is full")
            raise NoRoom("try again shortly", [(b"retry-after", b"5")]) from None
        self._on.audit.count("auth.challenged")  # no event: so clients find out where to go
        raise NothingBrought(_PROVE, self._challenges(address, None))

    def _let_in(
        self,
        request: Request,
        address: Address,
        credentials: ICredentials,
        body: bytes | None,
    ) -> Principal:
        principal: Principal = now(self._on.portal.login(credentials, request, IPrincipal))
        if isinstance(credentials, SignedRequest):
            self._check_body(request, address, credentials, body)
        elif principal.grant.require_signature:
            # Nobody is blamed: who has not been here before cannot know.
            reason = "the key must sign its requests"
            self._tell(request, address, reason=reason, principal=principal.name)
            raise self._unknown(address, None)
        if not principal.grant.websocket and address.wire == "ws":
            self._tell(request, address, reason="no-ws", principal=principal.name)
            raise NotAllowed("this key may not be used on a WebSocket")
        return principal

    def _check_body(
        self, request: Request, address: Address, credentials: SignedRequest, body: bytes | None
    ) -> None:
        """Hold the body against the digest that was signed, now or when it is there.

        :raises CredentialsRefused: it is another.
        """
        signature = credentials.signature
        problem = CredentialsRefused("the body is not what was signed", None)

        def is_good(body: bytes) -> bool:
            if is_of_body(signature, body):
                return True
            deny(request, self._refused(request, address, credentials, problem))
            return False

        if body is None and request.content_length and address.wire != "ws":
            request.body_check = is_good
        elif not is_of_body(signature, body or b""):
            raise problem

    @property
    def takes_signatures(self) -> bool:
        """Whether requests may be signed."""
        return self._on.signatures

    def address(self, request: Request) -> Address:
        """Where *request* went.

        :raises Denied: we are not known by that name.
        """
        stream = request.stream
        host = request.header(b"host") or b""
        address = self._on.addresses.of(host, stream.port, request.is_secure, request.path)
        if address is None:
            self._on.audit.tell("auth.host.refused", peer=source_of(request), host=host)
            raise _Misdirected(refusals.FOREIGN_HOST.message)
        return address

    def resource(self, address: Address, url: str) -> Address | None:
        """The place of ours that *url* names, ``None`` if none, or under another name of ours."""
        return self._on.addresses.resource(address.base, url)

    def check_patience(self, source: str) -> None:
        """Look at nothing from a source that has to wait.

        :raises TooManyFailures: it has.
        """
        wait = self._on.penalties.wait(source)
        if wait > 0:
            self._on.audit.count("auth.request.delayed")  # no line: they may come by the thousand
            after = [(b"retry-after", b"%d" % (int(wait) + 1))]
            raise TooManyFailures("too much that came from there was wrong; wait", after)

    def check_pace(self, request: Request) -> None:
        """The same, where something is asked for that is dear to give; it counts as asked then.

        :raises TooManyFailures: that has to wait.
        """
        source = source_of(request)
        self.check_patience(source)
        if self._on.pace.is_hasty(source):
            self._on.audit.count("auth.request.delayed")
            after = [(b"retry-after", b"1")]
            raise TooManyFailures("nobody needs so many a second; ask less often", after)

    def blame(self, request: Request, failure: str) -> None:
        """What came from there was wrong, in a way that the penalties know."""
        source = source_of(request)
        if self._on.penalties.blame(source, failure):
            self._on.audit.tell("auth.penalty", peer=source)

    # --- scopes ---------------------------------------------------------------------------

    def admit_asked(self, request: Request, asked: Asked) -> str:
        """Whose it is what *request* asks in its body, if what it came with is enough for that.

        :raises InsufficientScope: it is not; with the challenge that tells what would be.
        """
        principal: Principal = request.principal
        needed = NEEDED[asked.method]
        if needed not in principal.scopes:
            self.require(request, frozenset({needed}), asked.method)
        return principal.identity

    def require(self, request: Request, needed: frozenset[str], method: str) -> None:
        """Whether what *request* came with has all those scopes.

        :param method: that it needs them for.
        :raises InsufficientScope: it has not; with the challenge that tells what would be enough.
        """
        principal = request.principal
        missing = needed - principal.scopes
        if not missing:
            return
        self._on.audit.tell(
            "auth.stepup",
            principal=principal.name,
            key=principal.key,
            peer=source_of(request),
            method=method,
            needed=missing,
        )
        all_needed = " ".join(sorted(principal.scopes | needed))
        is_bound = principal.token is not None and principal.token.jkt is not None
        scheme = "DPoP" if is_bound else "Bearer"
        challenge = _challenge(scheme, self.address(request), all_needed, "insufficient_scope")
        raise InsufficientScope(" ".join(sorted(missing)), [(b"www-authenticate", challenge)])

    def restricted(self, request: Request) -> NotAllowed:
        """*request* is for what only keys of unrestricted reach may see."""
        self._tell(request, self.address(request), reason="restricted reach")
        return NotAllowed("this is not for keys of restricted reach")

    # --- denials --------------------------------------------------------------------------

    def _refused(
        self,
        request: Request,
        address: Address,
        credentials: ICredentials | None,
        refused: CredentialsRefused,
    ) -> Denied:
        is_dpop = getattr(credentials, "scheme", "") == "dpop"
        if refused.error != USE_NONCE:
            if credentials is not None:
                self.blame(request, STALE_TOKEN if refused.is_stale else BAD_TOKEN)
            self._tell(request, address, reason=refused.reason, error=refused.error)
        else:
            self._on.audit.count(NONCE_CHALLENGED)
        if is_dpop or refused.error in (INVALID_PROOF, USE_NONCE):
            return self._unknown(address, refused.error, "DPoP")
        return self._unknown(address, refused.error)

    def _unknown(self, address: Address, error: str | None, scheme: str = "Bearer") -> Denied:
        return Unauthenticated(_PROVE, self._challenges(address, error, scheme))

    def _challenges(
        self, address: Address, error: str | None, scheme: str = "Bearer"
    ) -> list[tuple[bytes, bytes]]:
        scope = " ".join(baseline(address.place))
        headers = [(b"www-authenticate", _challenge(scheme, address, scope, error))]
        if self._on.signatures:
            headers.append((ACCEPT, ASKED))
        if self._on.nonces is not None and scheme == "DPoP":
            headers.append((b"dpop-nonce", self._on.nonces.current().encode()))
        return headers

    def _tell(self, request: Request, address: Address, **fields: Any) -> None:
        self._on.audit.tell(
            "auth.request.denied",
            peer=source_of(request),
            resource=address.url if address.place is not None else None,
            path=request.path,
            method=request.method,
            **fields,
        )


class Lasting(Protocol):
    """What is good for more than one request.

    :ivar deadline: when it ends, by the clock that only goes forward; what was withdrawn has ended.
    :ivar used: when it was used last, by that clock.
    """

    used: float | None

    @property
    def deadline(self) -> float: ...


class _OfConnection:
    """What a connection has proved: it lasts for as long as nothing changes for its key."""

    __slots__ = ("_grant", "_grant_of", "_key", "used")

    def __init__(self, keyring: Keyring, principal: Principal) -> None:
        self.used: float | None = None
        self._key = principal.key
        self._grant = principal.grant
        self._grant_of = keyring.grant

    @property
    def deadline(self) -> float:
        return math.inf if self._grant_of(self._key) is self._grant else -math.inf


class _Misdirected(Denied):
    """The request is for somebody else."""

    code = refusals.FOREIGN_HOST.code
    status = 421


def is_lasting(principal: Principal) -> bool:
    """Whether it holds for further requests like the first: a proof or a ticket is good once."""
    if principal.token is None:
        return principal.via in OF_CONNECTIONS
    return principal.via == TOKEN and principal.token.jkt is None


def baseline(place: str | None) -> tuple[str, ...]:
    """The scopes that a client is told to ask for when it comes without a token.

    Enough to be of use, and no more: some clients ask for no others from then on, and some cannot
    be told that they need more before they have begun. So it is all that a place asks for at once.

    :param place: see :class:`~mcptwist.auth.addresses.Address`.
    """
    return (READ, CALL, ADMIN) if place == _ADMINISTRATION else (READ, CALL)


def _challenge(scheme: str, address: Address, scope: str, error: str | None) -> bytes:
    """One line; what some clients look at is only its first scheme."""
    parts = [f'resource_metadata="{address.metadata}"', f'scope="{scope}"']
    if error is not None:
        parts.insert(0, f'error="{error}"')
    if scheme == "DPoP":
        return f'DPoP realm="mcptwist", algs="{_ALGORITHMS}", {", ".join(parts)}'.encode()
    told = f'Bearer realm="mcptwist", {", ".join(parts)}, DPoP algs="{_ALGORITHMS}"'
    return told.encode()


def source_of(request: Request) -> str:
    """Where *request* came from: an address, or ``unix``."""
    return getattr(request.stream.peer, "host", None) or UNIX


def now(answer: Deferred[Any]) -> Any:
    """What a Deferred that has fired already holds; its failure is raised.

    A request cannot wait for its checker: the tree is walked at once.
    """
    found: list[Any] = []
    answer.addBoth(found.append)
    if not found:
        answer.cancel()
        raise CredentialsRefused("the checker did not answer at once")
    if isinstance(found[0], Failure):
        found[0].raiseException()
    # The portal gives the interface, the avatar, and what to call when it leaves.
    return found[0][1]
