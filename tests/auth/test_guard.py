"""Who is calling, found out anew with every request: the refusals, and what goes with them."""

from __future__ import annotations

from typing import Any

from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.portal import Portal
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from mcptwist.auth.addresses import Addresses
from mcptwist.auth.audit import Audit
from mcptwist.auth.authorizedkeys import ADMIN, CALL, READ, read_authorized_keys
from mcptwist.auth.checkers import (
    AccessTokenChecker,
    ClientCertificateChecker,
    CredentialsRefused,
)
from mcptwist.auth.credentials import IAccessToken
from mcptwist.auth.denials import (
    Denied,
    InsufficientScope,
    NoRoom,
    NotAllowed,
    NothingBrought,
    TooManyFailures,
    Unauthenticated,
)
from mcptwist.auth.guard import (
    NONCE_CHALLENGED,
    Guard,
    Guarding,
    baseline,
    is_lasting,
    now,
    source_of,
)
from mcptwist.auth.keyring import Keyring
from mcptwist.auth.oauth.dpop import Nonces, ProofReader, token_hash
from mcptwist.auth.oauth.replay import ReplayCache
from mcptwist.auth.oauth.tokens import TokenTable, written
from mcptwist.auth.pace import Pace
from mcptwist.auth.penalties import Penalties
from mcptwist.auth.realm import (
    CERTIFICATE,
    LOCAL,
    PROOF,
    TICKET,
    TOKEN,
    Principal,
    Proved,
    make_portal,
    principal_of,
)
from mcptwist.configuration.gatelimits import PenaltyRules
from mcptwist.messages import Request as Asked
from tests.auth.people import ISSUER, NOW, key, proof

HOST = ISSUER.removeprefix("http://").encode()
THERE = "192.0.2.1"


class Stream:
    """What a request came by."""

    is_secure = False
    connection = None

    def __init__(self, host: str | None) -> None:
        self.port = int(HOST.partition(b":")[2])
        self.peer = Peer(host)


class Peer:
    def __init__(self, host: str | None) -> None:
        if host is not None:
            self.host = host


class Asking:
    """A request."""

    method, is_secure, content_length, body_check = b"POST", False, 0, None

    def __init__(self, path: str = "/mcp", source: str | None = THERE, **headers: Any) -> None:
        self.path = path.encode()
        self.stream = Stream(source)
        self.principal: Any = None
        self._headers = {"host": HOST, **headers}

    def header(self, name: bytes) -> bytes | None:
        return next(iter(self.header_values(name)), None)

    def header_values(self, name: bytes) -> list[bytes]:
        value = self._headers.get(name.decode().replace("-", "_"), [])
        return value if isinstance(value, list) else [value]


@implementer(ICredentialsChecker)
class Answering:
    """A checker that has its answer, or not."""

    credentialInterfaces = (IAccessToken,)

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def requestAvatarId(self, credentials: Any) -> Any:
        return self.answer


class GuardCase(SynchronousTestCase):
    rules = PenaltyRules()

    def setUp(self) -> None:
        self.clock = Clock()
        numbers = iter(range(1, 1000))
        self.keyring = Keyring(lambda: NOW)
        self.tokens = TokenTable(
            self.clock.seconds, lambda size: next(numbers).to_bytes(size, "big")
        )
        self.penalties = Penalties(self.clock.seconds, self.rules)
        self.audit = Audit(lambda: NOW)
        self.know("alice")
        self.make()

    def make(self, nonces: bool = False, share: int = 100, signatures: bool = False) -> None:
        self.nonces = Nonces(b"s" * 32, self.clock.seconds) if nonces else None
        replays = ReplayCache(lambda: NOW, self.clock.seconds, share=share)
        proofs = ProofReader(lambda: NOW, replays, self.nonces)
        tokens = AccessTokenChecker(self.tokens, self.keyring, proofs)
        self.stand(make_portal([tokens, ClientCertificateChecker(self.keyring)]), signatures)

    def stand(self, portal: Portal, signatures: bool = False) -> None:
        self.guard = Guard(
            Guarding(
                portal=portal,
                addresses=Addresses(),
                keyring=self.keyring,
                penalties=self.penalties,
                pace=Pace(self.clock.seconds, 1.0, 2, 100),
                audit=self.audit,
                monotonic=self.clock.seconds,
                nonces=self.nonces,
                signatures=signatures,
            )
        )

    def know(self, *names: str, options: str = "") -> None:
        lines = [f"{options} {key(name).public.words()} {name}".strip() for name in names]
        told = read_authorized_keys("\n".join(lines))
        self.assertEqual(told.refused, ())
        self.keyring.replace(told, frozenset())

    def issued(self, jkt: str | None = None, place: str = "/") -> str:
        fingerprint, scopes = key("alice").public.fingerprint, frozenset({READ, CALL})
        where = f"{ISSUER} {place}"
        return self.tokens.issue("alice", fingerprint, where, scopes, 600, jkt)[0]

    def come(self, token: str | None = None, scheme: str = "Bearer", **how: Any) -> Any:
        request: Any = Asking(**how)
        if token is not None:
            request._headers["authorization"] = f"{scheme} {token}".encode()
        return request

    def denied(self, request: Any, kind: type[Denied] = Unauthenticated) -> dict[str, str]:
        """The headers that go with it."""
        problem = self.assertRaises(kind, self.guard.admit, request)
        self.assertIs(type(problem), kind)
        return {name.decode(): value.decode() for name, value in problem.headers}


class AdmitTests(GuardCase):
    """What a request brings."""

    def test_token(self) -> None:
        principal = self.guard.admit(self.come(self.issued()))
        self.assertEqual((principal.name, principal.via), ("alice", TOKEN))
        self.assertEqual(principal.scopes, {READ})

    def test_nothing(self) -> None:
        """Where to go is told, and nobody is blamed; it is counted, and no event."""
        headers = self.denied(self.come(), NothingBrought)
        self.assertEqual(
            headers["www-authenticate"],
            f'Bearer realm="mcptwist", resource_metadata="{ISSUER}/.well-known/oauth-protected'
            '-resource/mcp", scope="mcp:read mcp:call", DPoP algs="ES256 EdDSA Ed25519"',
        )
        self.assertEqual(self.audit.counts, {"auth.challenged": 1})
        self.assertEqual(len(self.penalties), 0)

    def test_wrong(self) -> None:
        """Each failure has its price: what was good once, the smaller one."""
        for token, cost in (
            ("guessed", self.rules.token), (written(b"x" * 32), self.rules.ended),
            (self.issued(place="/servers/x"), self.rules.ended),
        ):  # fmt: skip
            headers = self.denied(self.come(token))
            self.assertIn('error="invalid_token"', headers["www-authenticate"])
            (until,) = self.penalties._until.values()
            self.assertEqual(until - self.clock.seconds(), cost)
            self.penalties._forget(THERE)
        self.assertEqual(self.audit.counts, {"auth.request.denied": 3})

    def test_not_understood(self) -> None:
        """Several credentials are none, and which of them was wrong is nobody's fault we know."""
        request = self.come(authorization=[b"Bearer a", b"Bearer b"])
        self.assertNotIn("error=", self.denied(request)["www-authenticate"])
        self.assertEqual(len(self.penalties), 0)

    def test_not_for_websockets(self) -> None:
        self.know("alice", options="no-ws")
        token = self.issued()
        self.guard.admit(self.come(token))
        self.assertEqual(self.denied(self.come(token, path="/ws"), NotAllowed), {})

    def test_must_sign(self) -> None:
        """What is said is how; who has not been here before cannot know, and is not blamed."""
        self.know("alice", options="require-signature")
        self.make(signatures=True)
        headers = self.denied(self.come(self.issued()))
        self.assertIn("accept-signature", headers)
        self.assertEqual(len(self.penalties), 0)

    def test_another_name(self) -> None:
        """A request for somebody else is told so, before anything of it is believed."""
        request = self.come(self.issued(), host=b"evil.example")
        problem = self.assertRaises(Denied, self.guard.admit, request)
        self.assertEqual(problem.status, 421)
        self.assertEqual(self.audit.counts, {"auth.host.refused": 1})
        request = self.come(self.issued(), host=[])
        self.assertEqual(self.assertRaises(Denied, self.guard.admit, request).status, 421)

    def test_lists_what_is_taken(self) -> None:
        self.assertFalse(self.guard.takes_signatures)
        self.assertNotIn("accept-signature", self.denied(self.come(), NothingBrought))
        self.make(signatures=True)
        self.assertTrue(self.guard.takes_signatures)
        self.assertIn("accept-signature", self.denied(self.come(), NothingBrought))


class ProofTests(GuardCase):
    """Tokens that are bound to a key, and the nonces."""

    def bound(self, **claims: Any) -> Any:
        holder = key("holder")
        token = self.issued(holder.public.thumbprint)
        made = proof(holder, ath=token_hash(token.encode()), **claims)
        return self.come(token, "DPoP", dpop=made.encode())

    def test_good(self) -> None:
        self.assertEqual(self.guard.admit(self.bound()).name, "alice")

    def test_challenge(self) -> None:
        """For whoever came by DPoP, or should have."""
        for request, error in (
            (self.bound(htm="GET"), "invalid_dpop_proof"),
            (self.come("guessed", "dpop"), "invalid_token"),
        ):
            challenge = self.denied(request)["www-authenticate"]
            self.assertTrue(challenge.startswith('DPoP realm="mcptwist"'), challenge)
            self.assertIn(f'error="{error}"', challenge)
        unbound = self.come(self.issued(key("holder").public.thumbprint))
        self.assertTrue(self.denied(unbound)["www-authenticate"].startswith("Bearer "))

    def test_nonce(self) -> None:
        """Who has none gets one with the refusal; that is no failure, and no event."""
        self.make(nonces=True)
        assert self.nonces is not None
        headers = self.denied(self.bound())
        self.assertIn('error="use_dpop_nonce"', headers["www-authenticate"])
        self.assertEqual(headers["dpop-nonce"], self.nonces.current())
        self.assertEqual(self.audit.counts, {NONCE_CHALLENGED: 1})
        self.assertEqual(len(self.penalties), 0)
        self.assertEqual(self.guard.admit(self.bound(nonce=headers["dpop-nonce"])).via, TOKEN)
        self.assertNotIn("dpop-nonce", self.denied(self.come("guessed")))

    def test_no_room(self) -> None:
        """A proof that cannot be remembered is not believed, and is nobody's fault."""
        self.make(share=1)
        self.guard.admit(self.bound())
        self.assertEqual(self.denied(self.bound(), NoRoom), {"retry-after": "5"})
        self.assertEqual(self.audit.counts, {"auth.request.denied": 1})
        self.assertEqual(len(self.penalties), 0)


class PatienceTests(GuardCase):
    """Sources that fail too often."""

    rules = PenaltyRules(token=2.5, threshold=5.0)

    def test_wait(self) -> None:
        """Even what is good is not looked at until the time is over, which is told."""
        good = self.come(self.issued())
        self.denied(self.come("guessed"))
        self.guard.admit(good)
        self.denied(self.come("guessed"))
        self.assertEqual(self.audit.counts["auth.penalty"], 1)
        self.assertEqual(self.denied(good, TooManyFailures), {"retry-after": "6"})
        self.clock.advance(4.2)
        self.assertEqual(self.denied(good, TooManyFailures), {"retry-after": "1"})
        self.assertEqual(self.audit.counts["auth.request.delayed"], 2)
        self.clock.advance(0.8)
        self.guard.admit(good)

    def test_pace(self) -> None:
        """What is dear is not given faster than anybody needs it; that costs nothing else."""
        request = self.come()
        for _ in range(2):
            self.guard.check_pace(request)
        problem = self.assertRaises(TooManyFailures, self.guard.check_pace, request)
        self.assertEqual(list(problem.headers), [(b"retry-after", b"1")])
        self.assertEqual(self.audit.counts, {"auth.request.delayed": 1})
        self.guard.check_pace(self.come(source="192.0.2.2"))
        self.clock.advance(1)
        self.guard.check_pace(request)

    def test_pace_of_who_has_to_wait(self) -> None:
        for _ in range(2):
            self.denied(self.come("guessed"))
        problem = self.assertRaises(TooManyFailures, self.guard.check_pace, self.come())
        self.assertEqual(list(problem.headers), [(b"retry-after", b"6")])

    def test_local(self) -> None:
        """Sockets of this machine have no address, and never wait."""
        self.assertEqual(source_of(self.come(source=None)), "unix")
        self.assertEqual(source_of(self.come(source="")), "unix")
        for _ in range(3):
            self.guard.blame(self.come(source=None), "token")
        self.assertEqual(len(self.penalties), 0)


class ScopeTests(GuardCase):
    """What it came with, and what it asks for."""

    def admitted(self, jkt: str | None = None, path: str = "/mcp") -> Any:
        request = self.come(path=path)
        grant = self.keyring.grant(key("alice").public.fingerprint)
        assert grant is not None
        _, token = self.tokens.issue("alice", grant.key.fingerprint, "", frozenset({READ}), 9, jkt)
        request.principal = principal_of(Proved(grant, TOKEN, token))
        return request

    def challenge(self, request: Any, call: Any, *asked: Any) -> str:
        problem = self.assertRaises(InsufficientScope, call, request, *asked)
        ((name, value),) = problem.headers
        self.assertEqual(name, b"www-authenticate")
        self.needed = problem.needed
        return str(value.decode())

    def test_enough(self) -> None:
        self.guard.admit_asked(self.admitted(), Asked(1, "tools/list"))
        self.guard.require(self.admitted(), frozenset({READ}), "x")
        self.assertEqual(self.audit.counts, {})

    def test_step_up(self) -> None:
        """All that is needed is told, what there is included: some ask for no more than that."""
        told = self.challenge(self.admitted(), self.guard.admit_asked, Asked(1, "tools/call"))
        self.assertIn('scope="mcp:call mcp:read"', told)
        self.assertIn('error="insufficient_scope"', told)
        self.assertTrue(told.startswith("Bearer "))
        self.assertEqual((self.needed, self.audit.counts), (CALL, {"auth.stepup": 1}))

    def test_bound(self) -> None:
        """By the scheme that the token came with."""
        bound = self.admitted("thumbprint")
        told = self.challenge(bound, self.guard.require, frozenset({ADMIN, CALL}), "x")
        self.assertTrue(told.startswith("DPoP "))
        self.assertEqual(self.needed, f"{ADMIN} {CALL}")

    def test_without_a_token(self) -> None:
        """A certificate has all that its key may do; it is told what would be needed still."""
        request = self.admitted()
        grant = request.principal.grant
        request.principal = principal_of(Proved(grant, CERTIFICATE))
        told = self.challenge(request, self.guard.admit_asked, Asked(1, "tools/call"))
        self.assertTrue(told.startswith("Bearer "))

    def test_restricted(self) -> None:
        """For some pages it must be a key that may see everything."""
        problem = self.guard.restricted(self.admitted(path="/metrics"))
        self.assertEqual((problem.status, list(problem.headers)), (403, []))
        self.assertEqual(self.audit.counts, {"auth.request.denied": 1})


class LastingTests(GuardCase):
    """What holds for further requests like the first, and for how long."""

    def principal(self, via: str, jkt: str | None = None, token: bool = False) -> Principal:
        grant = self.keyring.grant(key("alice").public.fingerprint)
        assert grant is not None
        fingerprint = grant.key.fingerprint
        made = self.tokens.issue("alice", fingerprint, "", frozenset(), 9, jkt)[1]
        return principal_of(Proved(grant, via, made if token else None))

    def is_good(self, principal: Principal) -> bool:
        """Whether what it came with is as good as it was then."""
        return self.guard.lasting(principal).deadline > self.guard.monotonic()

    def test_lasting(self) -> None:
        for via, token, jkt, lasts in (
            (TOKEN, True, None, True), (TOKEN, True, "thumbprint", False),
            (TICKET, True, None, False), (TICKET, False, None, False),
            (CERTIFICATE, False, None, True), (LOCAL, False, None, True),
            (PROOF, False, None, False),
        ):  # fmt: skip
            self.assertIs(is_lasting(self.principal(via, jkt, token)), lasts, (via, token, jkt))

    def test_as_long_as_its_token(self) -> None:
        principal = self.principal(TOKEN, token=True)
        self.clock.advance(8.9)
        self.assertTrue(self.is_good(principal))
        self.clock.advance(0.1)
        self.assertFalse(self.is_good(principal))

    def test_until_it_is_revoked(self) -> None:
        principal = self.principal(TOKEN, token=True)
        assert principal.token is not None
        self.tokens.end(principal.token)
        self.assertFalse(self.is_good(principal))

    def test_as_long_as_its_line(self) -> None:
        """A line that says something else now is another, and its key has to come again."""
        principal = self.principal(CERTIFICATE)
        self.assertTrue(self.is_good(principal))
        self.know("alice", options="no-ws")
        self.assertFalse(self.is_good(principal))
        self.know("bob")
        self.assertFalse(self.is_good(principal))

    def test_baseline(self) -> None:
        """All that a place asks for at once."""
        self.assertEqual(baseline("/"), (READ, CALL))
        self.assertEqual(baseline(None), (READ, CALL))
        self.assertEqual(baseline("/admin"), (READ, CALL, ADMIN))


class NowTests(GuardCase):
    """A request cannot wait: the tree of resources is walked at once."""

    def test_late(self) -> None:
        """A checker that takes its time is not waited for, nor is what it says then heard."""
        cancelled: list[Any] = []
        late: Deferred[Any] = Deferred(cancelled.append)
        self.stand(make_portal([Answering(late)]))
        self.denied(self.come("t"))
        self.assertEqual(cancelled, [late])

    def test_at_once(self) -> None:
        self.assertEqual(now(succeed(("interface", "avatar", "leave"))), "avatar")

    def test_broken(self) -> None:
        """What breaks in a checker is no refusal."""
        failed: Deferred[Any] = Deferred()
        failed.errback(ZeroDivisionError())
        self.assertRaises(ZeroDivisionError, now, failed)
        self.assertIsInstance(self.assertRaises(CredentialsRefused, now, Deferred()), Exception)
