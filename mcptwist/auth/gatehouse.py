"""The gatehouse, put together: from the ``[auth]`` section to what stands before the daemon.

It is a service: while it runs, the key files are looked at, tokens and open requests grow old, and
whoever came in with a key that is withdrawn has to leave.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Any

from twisted.application.internet import TimerService
from twisted.application.service import MultiService
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from mcptwist.auth.addresses import Addresses
from mcptwist.auth.announcing import NAME, Announcement
from mcptwist.auth.audit import Audit, AuditFile
from mcptwist.auth.authorizedkeys import ADMIN, READ, Grant
from mcptwist.auth.census import Census
from mcptwist.auth.checkers import (
    AccessTokenChecker,
    ClientCertificateChecker,
    CredentialsRefused,
    KeySignatureChecker,
    LocalUserChecker,
    SignedTextChecker,
    TicketChecker,
)
from mcptwist.auth.credentials import LocalPeer
from mcptwist.auth.denials import Unauthenticated
from mcptwist.auth.doorstep import Doorstep, Standing
from mcptwist.auth.evidence import tickets_in
from mcptwist.auth.gate import Gate
from mcptwist.auth.guard import Guard, Guarding, now, source_of
from mcptwist.auth.guestbook import Guestbook
from mcptwist.auth.keyfiles import KeyFiles
from mcptwist.auth.keyring import Keyring
from mcptwist.auth.localusers import uid_of
from mcptwist.auth.oauth.assertions import Leeway
from mcptwist.auth.oauth.authorizationserver import AuthorizationServer
from mcptwist.auth.oauth.dpop import Nonces, ProofReader
from mcptwist.auth.oauth.issuing import Issuing
from mcptwist.auth.oauth.people import People
from mcptwist.auth.oauth.replay import ReplayCache, Replays
from mcptwist.auth.oauth.replaystore import ReplayStore
from mcptwist.auth.oauth.tokens import TokenTable
from mcptwist.auth.pace import Pace
from mcptwist.auth.patterns import UNIX
from mcptwist.auth.penalties import Penalties
from mcptwist.auth.policy import (
    ALLOWED,
    Handles,
    Policed,
    Policies,
    Scoped,
    name_in,
    scope_of,
)
from mcptwist.auth.presence import Presence
from mcptwist.auth.reach import is_unrestricted
from mcptwist.auth.realm import IPrincipal, Principal, make_portal
from mcptwist.auth.signedrequests import SignedRequestChecker
from mcptwist.auth.ticketdesk import TicketDesk
from mcptwist.auth.tickets import TicketTable
from mcptwist.caller import Caller
from mcptwist.configuration.gateconfig import Auth
from mcptwist.configuration.peopleconfig import People as PeopleSettings
from mcptwist.exchange import Exchange
from mcptwist.interfaces import IView
from mcptwist.messages import Request as Asked
from mcptwist.protocols import refusals
from mcptwist.protocols.pages import Tree
from mcptwist.protocols.refusals import Refusal
from mcptwist.protocols.request import Request
from mcptwist.protocols.vestibule import Vestibule
from mcptwist.sessiontable import SessionTable
from mcptwist.watching.journal import Journal

LOOK = 0.3
"""Seconds between two looks at the key files; whoever is withdrawn is out within a second."""
_SWEEP = 15.0


class Gatehouse(MultiService):
    """Everything that stands between a stranger and the daemon.

    :param auth: checked values.
    :param clock: goes only forward, and times what is done now and then.
    :param wall: seconds since 1970.
    :param monotonic: seconds that only grow, whatever the system's time is set to; the clock's
        otherwise, which with a real reactor follows the system's.
    :param born: when this process began, by that clock.
    :param make_bytes: so many unguessable bytes each time.
    :param checkers: for further sorts of credentials.
    :ivar admit: raises :class:`InsufficientScope` where what a request came with is not enough for
        the message that was in it.
    :ivar census: what it holds and has counted, for the metrics.
    :raises FileProblem: the key files cannot be read or not be believed.
    :raises OSError: the audit log cannot be written.
    """

    log = Logger()

    #: Whose sessions are those of who sent a request.
    principal: Callable[[Request], str] = attrgetter("principal.identity")

    def __init__(
        self,
        auth: Auth,
        clock: IReactorTime,
        make_bytes: Callable[[int], bytes],
        wall: Callable[[], float] = time.time,
        born: float | None = None,
        environ: Mapping[str, str] = os.environ,
        checkers: tuple[Any, ...] = (),
        monotonic: Callable[[], float] | None = None,
    ) -> None:
        super().__init__()
        monotonic = monotonic or clock.seconds
        self._file = file = AuditFile(auth.audit_log) if auth.audit_log else None
        self.audit = Audit(wall, file.write if file else None, Journal())
        self._open_books(auth, make_bytes, wall, monotonic, wall() if born is None else born)
        nonces = Nonces(make_bytes(32), monotonic) if auth.dpop_nonces else None
        proofs = ProofReader(wall, self.replays, nonces, auth.limits.proof_age)
        own = self._checkers(auth, proofs, wall)
        self.portal = make_portal([*own, *checkers], self.guestbook.came)
        self.guard = self._make_guard(auth, monotonic, nonces)
        self.admit = self.guard.check_scope
        self._issuing = self._make_issuing(auth, proofs, wall)
        self.people = self._make_people(auth.people, monotonic, make_bytes)
        self.server = AuthorizationServer(self._issuing, self.people)
        self.doorstep = self._make_doorstep(auth, make_bytes)
        self.vestibule: Vestibule | None = None
        self.announcement: Announcement | None = None
        self._desk = TicketDesk(self.guard, self.tickets, self.audit)
        self.presence = Presence(monotonic, auth.stream_age)
        self.files = KeyFiles(
            *auth.paths(environ), self.keyring, self.audit, auth.limits.keys_per_principal
        )
        self.census = Census(self)
        self.keyring.when_withdrawn(self._withdrawn)
        self.files.load()
        self._sweep_now_and_then(clock, file)

    # --- how it is put together -----------------------------------------------------------

    def _open_books(
        self,
        auth: Auth,
        make_bytes: Callable[[int], bytes],
        wall: Callable[[], float],
        monotonic: Callable[[], float],
        born: float,
    ) -> None:
        """What is remembered: of keys, of what was given out, of what was used and by whom."""
        limits = auth.limits
        self.guestbook = Guestbook(wall)
        self.keyring = Keyring(wall)
        self.tokens = TokenTable(monotonic, make_bytes, limits.tokens, limits.tokens_per_key)
        self.tickets = TicketTable(
            monotonic, make_bytes, auth.ticket_ttl, limits.tickets, limits.tickets_per_key
        )
        self.penalties = Penalties(monotonic, auth.penalties, auth.exempt)
        self.pace = Pace(monotonic, limits.rate, limits.burst, auth.penalties.sources)
        self.policies = Policies(self.keyring)
        self.handles = Handles(make_bytes(32), limits.tasks)
        bounds = limits.uses, limits.uses_per_key
        self.replays: Replays = (
            ReplayStore(auth.replay_store, wall, *bounds)
            if auth.replay_store
            else ReplayCache(wall, monotonic, *bounds, born)
        )
        # Apart from the others: who signs much must not keep anybody from getting a token.
        bounds = limits.signatures, limits.signatures_per_key
        self.signatures: Replays = (
            self.replays if auth.replay_store else ReplayCache(wall, monotonic, *bounds, born)
        )

    def _checkers(self, auth: Auth, proofs: ProofReader, wall: Callable[[], float]) -> list[Any]:
        tokens = AccessTokenChecker(self.tokens, self.keyring, proofs)
        found: list[Any] = [
            KeySignatureChecker(self.keyring, self.guestbook),
            tokens,
            ClientCertificateChecker(self.keyring),
            TicketChecker(self.tickets, self.keyring),
            SignedTextChecker(self.keyring, self.guestbook),
            LocalUserChecker(self.keyring),
        ]
        if auth.http_signatures:
            age = auth.limits.signature_age
            found.append(SignedRequestChecker(self.keyring, tokens, self.signatures, wall, age))
        return found

    def _make_guard(
        self, auth: Auth, monotonic: Callable[[], float], nonces: Nonces | None
    ) -> Guard:
        return Guard(
            Guarding(
                self.portal,
                Addresses(auth.public_urls),
                self.keyring,
                self.penalties,
                self.pace,
                self.audit,
                monotonic,
                nonces,
                auth.http_signatures,
            )
        )

    def _make_issuing(self, auth: Auth, proofs: ProofReader, wall: Callable[[], float]) -> Issuing:
        return Issuing(
            self.portal,
            self.guard,
            self.tokens,
            self.replays,
            proofs,
            self.audit,
            wall,
            self.replays.remembers_since,
            int(auth.token_ttl),
            Leeway(auth.limits.assertion_lifetime, auth.limits.clock_skew),
        )

    def _make_people(
        self,
        settings: PeopleSettings | None,
        monotonic: Callable[[], float],
        make_bytes: Callable[[int], bytes],
    ) -> People | None:
        """What serves people whose clients have no key, where that is wanted."""
        if settings is None:
            return None
        return People(settings, self._issuing, self.keyring, monotonic, make_bytes)

    def _make_doorstep(self, auth: Auth, make_bytes: Callable[[int], bytes]) -> Doorstep:
        return Doorstep(
            Standing(
                self.portal,
                self.guard,
                self.audit,
                make_bytes,
                auth.stream_age,
                auth.unproved,
                auth.unproved_per_source,
                auth.limits.proving,
            )
        )

    def _sweep_now_and_then(self, clock: IReactorTime, file: AuditFile | None) -> None:
        def sweep() -> None:
            self.tokens.expire()
            if self.people is not None:
                self.people.expire()
            if file is not None:
                file.look()

        def look() -> None:
            self.files.look()
            self.presence.look()

        for seconds, call in ((LOOK, look), (_SWEEP, sweep)):
            service = TimerService(seconds, call)
            service.clock = clock
            service.setServiceParent(self)

    @property
    def audit_failures(self) -> int:
        """How many events could not be written to the audit log."""
        return 0 if self._file is None else self._file.failures

    def stopService(self) -> Any:
        """Called when the daemon stops; what it has to say until then is written."""
        stopped = super().stopService()
        if self._file is not None:
            self._file.close()
        self.replays.close()
        return stopped

    # --- what stands before the tree ------------------------------------------------------

    def gate(self, inside: Any, public: Mapping[bytes, Any]) -> Gate:
        """The root of the tree.

        :param inside: the root of what one must be let in to.
        :param public: what else is not, such as ``/health``.
        """
        public_pages = self.server.pages()
        public_pages[b"oauth"][b"ws-ticket"] = self._desk.page()
        if self.people is not None:
            public_pages[b"oauth"].update(self.people.pages())
        if self.announcement is not None:
            public_pages[b".well-known"][NAME] = self.announcement
        pages = {
            name: Tree(children, "see the authorization server's metadata")
            for name, children in public_pages.items()
        }
        return Gate(
            self.guard,
            inside,
            {**pages, **public},
            self.presence.opened,
            self._arrived,
            self.doorstep,
            self.vestibule,
        )

    def view(self, view: IView) -> IView:
        """A view in which everyone reaches what they may."""
        told = self._told if self.audit.is_kept else None
        return Policed(view, self.policies, self.handles, told)

    def connection(self, view: IView, request: Request) -> IView:
        """A view for one connection, which *request* opened."""
        return Scoped(view, request.principal)

    def local(self, view: IView, caller: Caller, transport: Any) -> None:
        """Let a client in that has connected to a UNIX socket on which there are no requests.

        :raises Unauthenticated: it may not come in.
        """
        uid = uid_of(transport)
        try:
            if uid is None:
                raise CredentialsRefused("the system does not say who it is")
            credentials = LocalPeer(uid, "/")
            principal: Principal = now(self.portal.login(credentials, None, IPrincipal))
        except CredentialsRefused as refused:
            self.audit.tell("auth.request.denied", peer=UNIX, reason=refused.reason)
            raise Unauthenticated("this user of this machine may not come in") from None
        caller.principal = principal.identity
        caller.view = Scoped(view, principal)
        self.presence.connected(caller)
        self.audit.tell("auth.local.ok", principal=principal.name, key=principal.key, peer=UNIX)

    def admit_watcher(self, request: Request) -> None:
        """Whether who sent *request* may see what all servers are called and how they do.

        :raises InsufficientScope: it may not read.
        :raises NotAllowed: it may not read everything.
        """
        principal: Principal = request.principal
        self.guard.require(request, frozenset({READ}), "metrics")
        if not is_unrestricted(principal.grant):
            raise self.guard.restricted(request)

    def admit_admin(self, request: Request, asked: Asked) -> None:
        """The same for what only those who administer the daemon may do.

        Whoever has not got the scope yet is told to ask for it.

        :raises InsufficientScope: what it came with is not enough.
        """
        needed = frozenset({ADMIN, scope_of(asked.method)})
        self.guard.require(request, needed, asked.method)

    def watch(self, sessions: SessionTable) -> None:
        """Have the sessions of keys that are withdrawn end, and hear who asks for another's."""
        self.presence.sessions = sessions
        sessions.foreign = self._foreign

    # --- what is told ---------------------------------------------------------------------

    def _arrived(self, request: Request) -> None:
        """Somebody came with *request*."""
        principal: Principal = request.principal
        self.audit.tell(
            f"auth.{principal.via}.ok",
            principal=principal.name,
            key=principal.key,
            peer=source_of(request),
        )

    def _told(self, exchange: Exchange, grant: Grant, outcome: str) -> None:
        tell = self.audit.write if outcome == ALLOWED else self.audit.tell
        tell(
            f"mcp.{outcome}",
            principal=grant.principal,
            key=grant.key.fingerprint,
            method=exchange.request.method,
            name=name_in(exchange),
        )

    def objected(self, request: Request, objection: Refusal) -> None:
        """*request* went to a name that is not ours, or came from a page that may not ask us.

        A ticket that it brought is used up: whoever holds it has not come by it honestly.
        """
        for ticket in tickets_in(request):
            self.tickets.use(ticket)
        is_page = objection is refusals.FOREIGN_ORIGIN
        self.audit.tell(
            "auth.origin.refused" if is_page else "auth.host.refused",
            peer=source_of(request),
            host=request.header(b"host"),
            origin=request.header(b"origin"),
            path=request.path,
        )

    def _foreign(self, owner: str, asker: str) -> None:
        self.audit.tell("auth.session.foreign", owner=owner, principal=asker)

    def _withdrawn(self, grant: Grant, why: str) -> None:
        """That key is not good any more: nothing that came with it may go on."""
        tokens = self.tokens.withdraw(grant.key.fingerprint)
        logins = None if self.people is None else self.people.withdraw(grant.key.fingerprint)
        self.tickets.withdraw(grant.key.fingerprint)
        told = self.presence.dismiss(grant.identity)
        self.log.warn(
            "the key {key} of {principal} is {why}: {tokens} tokens and {told} ended",
            key=grant.key.fingerprint,
            principal=grant.principal,
            why=why,
            tokens=tokens,
            told=told,
        )
        self.audit.tell(
            "auth.key.revoked",
            principal=grant.principal,
            key=grant.key.fingerprint,
            reason=why,
            tokens=tokens,
            logins=logins,
            **told,
        )
