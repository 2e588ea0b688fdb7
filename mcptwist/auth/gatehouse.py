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
from mcptwist.auth.books import Books, Means
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
from mcptwist.auth.guestlist import GuestList
from mcptwist.auth.keyfiles import KeyFiles
from mcptwist.auth.localusers import uid_of
from mcptwist.auth.oauth.assertions import Leeway
from mcptwist.auth.oauth.authorizationserver import AuthorizationServer
from mcptwist.auth.oauth.dpop import Nonces, ProofReader
from mcptwist.auth.oauth.issuing import Issuing
from mcptwist.auth.oauth.people import People
from mcptwist.auth.patterns import UNIX
from mcptwist.auth.policy import (
    ALLOWED,
    Policed,
    Scoped,
    name_in,
)
from mcptwist.auth.presence import Presence
from mcptwist.auth.reach import is_unrestricted
from mcptwist.auth.realm import IPrincipal, Principal, make_portal
from mcptwist.auth.scopes import scope_of
from mcptwist.auth.signedrequests import SignedRequestChecker
from mcptwist.auth.ticketdesk import TicketDesk
from mcptwist.caller import Caller
from mcptwist.configuration.gateconfig import Auth
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
    :ivar admit: whose a message is that was in a request; raises :class:`InsufficientScope` where
        what that came with is not enough for it.
    :ivar books: what it remembers.
    :ivar guests: who is logged in.
    :ivar people: what serves people whose clients have no key, where that is wanted.
    :ivar census: what it holds and has counted, for the metrics.
    :raises FileProblem: the key files cannot be read or not be believed.
    :raises CannotStart: the audit log cannot be written.
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
        self._means = means = Means(
            make_bytes=make_bytes,
            monotonic=monotonic or clock.seconds,
            wall=wall,
            born=wall() if born is None else born,
        )
        self._file = file = AuditFile(auth.audit_log) if auth.audit_log else None
        self.audit = Audit(wall, file.write if file else None, Journal())
        self.books = Books(auth, means)
        nonces = Nonces(make_bytes(32), means.monotonic) if auth.dpop_nonces else None
        proofs = ProofReader(wall, self.books.replays, nonces, auth.limits.proof_age)
        own = self._checkers(auth, proofs)
        self.portal = make_portal([*own, *checkers], self.books.guestbook.came)
        self.guard = self._make_guard(auth, nonces)
        self.admit = self.guard.admit_asked
        issuing = self._make_issuing(auth, proofs)
        self.presence = Presence(means.monotonic, auth.stream_age)
        self.people = self._make_people(auth, issuing)
        self.server = AuthorizationServer(issuing, self.people)
        self.doorstep = self._make_doorstep(auth)
        self.vestibule: Vestibule | None = None
        self.announcement: Announcement | None = None
        self._desk = TicketDesk(self.guard, self.books.tickets, self.audit)
        self.guests = GuestList(
            self.books.tokens,
            None if self.people is None else self.people.logins,
            self.presence,
            self.audit,
            wall,
            means.monotonic,
        )
        self.files = KeyFiles(
            *auth.paths(environ), self.books.keyring, self.audit, auth.limits.keys_per_principal
        )
        self.census = Census(self)
        self.books.keyring.when_withdrawn(self._withdrawn)
        self.files.load()
        if self.people is not None:
            self.people.restore()
        self._sweep_now_and_then(clock)

    # --- how it is put together -----------------------------------------------------------

    def _checkers(self, auth: Auth, proofs: ProofReader) -> list[Any]:
        books = self.books
        tokens = AccessTokenChecker(books.tokens, books.keyring, proofs)
        found: list[Any] = [
            KeySignatureChecker(books.keyring, books.guestbook),
            tokens,
            ClientCertificateChecker(books.keyring),
            TicketChecker(books.tickets, books.keyring),
            SignedTextChecker(books.keyring, books.guestbook),
            LocalUserChecker(books.keyring),
        ]
        if auth.http_signatures:
            age, wall = auth.limits.signature_age, self._means.wall
            signed = SignedRequestChecker(books.keyring, tokens, books.signatures, wall, age)
            found.append(signed)
        return found

    def _make_guard(self, auth: Auth, nonces: Nonces | None) -> Guard:
        return Guard(
            Guarding(
                portal=self.portal,
                addresses=Addresses(auth.public_urls),
                keyring=self.books.keyring,
                penalties=self.books.penalties,
                pace=self.books.pace,
                audit=self.audit,
                monotonic=self._means.monotonic,
                nonces=nonces,
                signatures=auth.http_signatures,
            )
        )

    def _make_issuing(self, auth: Auth, proofs: ProofReader) -> Issuing:
        return Issuing(
            portal=self.portal,
            guard=self.guard,
            tokens=self.books.tokens,
            replays=self.books.replays,
            proofs=proofs,
            audit=self.audit,
            wall=self._means.wall,
            born=self.books.replays.remembers_since,
            token_ttl=int(auth.token_ttl),
            leeway=Leeway(auth.limits.assertion_lifetime, auth.limits.clock_skew),
        )

    def _make_people(self, auth: Auth, issuing: Issuing) -> People | None:
        """What serves people whose clients have no key, where that is wanted."""
        if auth.people is None:
            return None
        means = self._means
        keyring = self.books.keyring
        dismiss = self.presence.dismiss_login
        return People(auth.people, issuing, keyring, means.monotonic, means.make_bytes, dismiss)

    def _make_doorstep(self, auth: Auth) -> Doorstep:
        return Doorstep(
            Standing(
                portal=self.portal,
                guard=self.guard,
                audit=self.audit,
                make_bytes=self._means.make_bytes,
                stay=auth.stream_age,
                most=auth.unproved,
                per_source=auth.unproved_per_source,
                proving=auth.limits.proving,
            )
        )

    def _sweep_now_and_then(self, clock: IReactorTime) -> None:
        def sweep() -> None:
            self.books.expire()
            if self.people is not None:
                self.people.expire()
            if self._file is not None:
                self._file.look()

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
        self.books.close()
        if self.people is not None:
            self.people.close()
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
        return Policed(view, self.books.keyring, self.books.handles, told)

    def connection(self, view: IView, request: Request) -> IView:
        """A view for one connection that *request* opened, after which nothing more is proved."""
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
        self.presence.connected(caller, principal)
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

    def admit_admin(self, request: Request, asked: Asked) -> str:
        """As :attr:`admit`, for what only those who administer the daemon may do.

        Whoever has not got the scope yet is told to ask for it.

        :raises InsufficientScope: what it came with is not enough.
        """
        needed = frozenset({ADMIN, scope_of(asked.method)})
        self.guard.require(request, needed, asked.method)
        return self.principal(request)

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
        event, method, name = f"mcp.{outcome}", exchange.request.method, name_in(exchange)
        if outcome == ALLOWED:
            self.audit.write_call(event, grant, method, name)
        else:
            key = grant.key.fingerprint
            self.audit.tell(event, principal=grant.principal, key=key, method=method, name=name)

    def objected(self, request: Request, objection: Refusal) -> None:
        """*request* went to a name that is not ours, or came from a page that may not ask us.

        A ticket that it brought is used up: whoever holds it has not come by it honestly.
        """
        for ticket in tickets_in(request):
            self.books.tickets.use(ticket)
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
        tokens = self.books.withdraw(grant.key.fingerprint)
        logins = None if self.people is None else self.people.withdraw(grant.key.fingerprint)
        told = self.presence.dismiss(grant.identity)
        self.log.warn(
            "the key {key} of {principal} is {why}; ended: {tokens} tokens, {told}",
            key=grant.key.fingerprint,
            principal=grant.principal,
            why=why,
            tokens=tokens,
            told=", ".join(f"{count} {what}" for what, count in told.items()),
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
