"""Whether what a caller brings is true: each checker, and each way not to be believed by it."""

from __future__ import annotations

from typing import Any
from unittest import mock

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.auth.authorizedkeys import read_authorized_keys
from mcptwist.auth.checkers import (
    INVALID_PROOF,
    INVALID_TOKEN,
    USE_NONCE,
    AccessTokenChecker,
    ClientCertificateChecker,
    CredentialsRefused,
    KeySignatureChecker,
    LocalUserChecker,
    MustSign,
    SignedTextChecker,
    TicketChecker,
)
from mcptwist.auth.credentials import (
    AccessToken,
    ClientCertificate,
    KeySignature,
    LocalPeer,
    PresentedTicket,
    SignedText,
)
from mcptwist.auth.guestbook import Guestbook
from mcptwist.auth.keyring import Keyring
from mcptwist.auth.keys import ALGORITHMS, ED25519, P256, PublicKey
from mcptwist.auth.oauth.dpop import Nonces, ProofReader, token_hash
from mcptwist.auth.oauth.replay import ReplayCache
from mcptwist.auth.oauth.tokens import LONGEST, TokenTable, written
from mcptwist.auth.realm import (
    APPROVAL,
    CERTIFICATE,
    LOCAL,
    PROOF,
    SIGNATURE,
    TICKET,
    TOKEN,
    Proved,
)
from mcptwist.auth.sshsig import read_sshsig, sign_text
from mcptwist.auth.tickets import TicketTable
from tests.auth.people import ISSUER, KINDS, NOW, key, proof

HERE, THERE = "10.0.0.1", "192.0.2.1"
PLACE = f"{ISSUER} /"
FROM_HERE = 'from="10.0.0.0/8"'


class Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        numbers = iter(range(1, 1000))
        self.make_bytes = lambda size: next(numbers).to_bytes(size, "big")
        self.keyring = Keyring(lambda: NOW)
        self.guestbook = Guestbook(lambda: NOW)
        self.know(self.line("alice"))

    def line(self, name: str, options: str = "", kind: str = ED25519, who: str = "") -> str:
        return f"{options} {key(name, kind).public.words()} {who or name}".strip()

    def know(self, *lines: str) -> None:
        told = read_authorized_keys("\n".join(lines))
        self.assertEqual(told.refused, ())
        self.keyring.replace(told, frozenset())

    def refused(self, checker: Any, credentials: Any) -> CredentialsRefused:
        return self.assertRaises(CredentialsRefused, checker.requestAvatarId, credentials)

    def assert_believed(self, checker: Any, credentials: Any, via: str, name: str = "alice") -> Any:
        proved = checker.requestAvatarId(credentials)
        self.assertIsInstance(proved, Proved)
        self.assertEqual((proved.grant.principal, proved.via), (name, via))
        return proved

    def assert_told(
        self, checker: Any, credentials: Any, reason: str, error: Any = None, stale: bool = False
    ) -> None:
        """What the audit log is told, what the caller is, and what the penalties are."""
        refused = self.refused(checker, credentials)
        self.assertIn(reason, refused.reason)
        self.assertEqual(refused.reason, str(refused))
        self.assertEqual((refused.error, refused.is_stale), (error, stale))


class SignatureTests(Case):
    """A signature over something fresh."""

    def setUp(self) -> None:
        super().setUp()
        self.checker = KeySignatureChecker(self.keyring, self.guestbook)

    def signed(
        self, name: str = "alice", kind: str = ED25519, algorithm: str = "", **different: Any
    ) -> KeySignature:
        signer = key(name, kind)
        chosen = algorithm or signer.public.algorithms[0]
        made: dict[str, Any] = {
            "client": name, "hint": None, "algorithm": chosen, "signed": b"text",
            "signature": signer.sign(chosen, b"text"), "source": HERE, **different,
        }  # fmt: skip
        return KeySignature(**made)

    def verified(self, credentials: KeySignature) -> int:
        """How many signatures were verified until it was refused."""
        real, count = PublicKey.verify, 0

        def verify(*call: Any) -> bool:
            nonlocal count
            count += 1
            return real(*call)

        with mock.patch.object(PublicKey, "verify", verify):
            self.refused(self.checker, credentials)
        return count

    def test_kinds(self) -> None:
        self.know(*(self.line(f"a{n}", kind=kind) for n, kind in enumerate(KINDS)))
        for n, kind in enumerate(KINDS):
            for algorithm in ALGORITHMS[kind]:
                credentials = self.signed(f"a{n}", kind, algorithm)
                self.assert_believed(self.checker, credentials, SIGNATURE, f"a{n}")

    def test_one_of_several(self) -> None:
        """A name may have several keys; the one that is hinted at is meant, if one is."""
        self.know(self.line("one", who="us"), self.line("two", who="us"))
        one, two = key("one").public, key("two").public
        for hint in (None, two.fingerprint, two.thumbprint):
            credentials = self.signed("two", client="us", hint=hint)
            proved = self.assert_believed(self.checker, credentials, SIGNATURE, "us")
            self.assertEqual(proved.grant.key, two)
        other = self.signed("two", client="us", hint=one.fingerprint)
        self.assert_told(self.checker, other, "wrong key", INVALID_TOKEN)

    def test_refused(self) -> None:
        self.know(self.line("alice"), self.line("bob", FROM_HERE))
        for credentials, reason in (
            (self.signed("mallory"), "unknown client"),
            (self.signed("mallory", client="alice"), "wrong key"),
            (self.signed(signed=b"another"), "wrong key"),
            (self.signed("bob", source=THERE), "not from there"),
            (self.signed(hint="SHA256:x"), "not from there"),
            (self.signed(kind=P256), "not from there"),
            (self.signed(algorithm="EdDSA", client="alice", signature=b""), "wrong key"),
        ):
            self.assert_told(self.checker, credentials, reason, INVALID_TOKEN)
        for algorithm in ("none", "HS256", ""):
            strange = KeySignature("alice", None, algorithm, b"", b"", HERE)
            self.assert_told(self.checker, strange, "none that is taken", INVALID_TOKEN)

    def test_what_a_key_is_for(self) -> None:
        """For tokens, or for proofs on WebSockets; the one says nothing of the other."""
        for option, good, bad in (("no-oauth", PROOF, SIGNATURE), ("no-ws", SIGNATURE, PROOF)):
            self.know(self.line("alice", option))
            self.assert_believed(self.checker, self.signed(via=good), good)
            self.refused(self.checker, self.signed(via=bad))

    def test_must_sign(self) -> None:
        """A proof once for all that follows does not do for a key that must sign each request."""
        self.know(self.line("alice", "require-signature"))
        with self.assertRaises(MustSign) as caught:
            self.checker.requestAvatarId(self.signed(via=PROOF))
        self.assertIsNone(caught.exception.error)
        self.assertIn("must sign", caught.exception.reason)
        self.assert_believed(self.checker, self.signed(via=SIGNATURE), SIGNATURE)

    def test_costs_the_same(self) -> None:
        """Known or not, with many keys or few, of whichever kind: nobody learns who is here."""
        self.know(
            self.line("one", who="us"), self.line("two", who="us"), self.line("three", who="us"),
            self.line("bob"), self.line("far", FROM_HERE),
        )  # fmt: skip
        for credentials in (
            self.signed("mallory", client="us"),
            self.signed("mallory", client="us", hint=key("one").public.fingerprint),
            self.signed("mallory", client="bob"),
            self.signed("mallory", client="nobody"),
            self.signed("mallory", client="far", source=THERE),
            *(self.signed("mallory", kind, client="us") for kind in KINDS),
        ):
            self.assertEqual(self.verified(credentials), 3, credentials)
        self.know()
        self.assertEqual(self.verified(self.signed("mallory")), 1)

    def test_nobodys_key(self) -> None:
        """What stands in for keys that are not there is of the kind that is tried."""
        for kind, names in ALGORITHMS.items():
            for name in names:
                self.assertEqual(self.checker._nobody[name].kind, kind)

    def test_strangers(self) -> None:
        """Who is unknown is remembered; who is known and wrong is not."""
        self.refused(self.checker, self.signed("mallory", source=THERE))
        self.refused(self.checker, self.signed("mallory", client="alice"))
        (knock,) = self.guestbook.knocks()
        self.assertEqual((knock.client, knock.source), ("mallory", THERE))
        self.refused(KeySignatureChecker(self.keyring), self.signed("mallory"))
        self.assertEqual(self.guestbook.knocks()[0].times, 1)


class TokenTests(Case):
    """A token that we gave out, and the proof with it."""

    def setUp(self) -> None:
        super().setUp()
        self.tokens = TokenTable(self.clock.seconds, self.make_bytes)
        self.nonces: Nonces | None = None
        self.make()

    def make(self, nonces: Nonces | None = None) -> None:
        replays = ReplayCache(lambda: NOW, self.clock.seconds)
        proofs = ProofReader(lambda: NOW, replays, nonces)
        self.checker = AccessTokenChecker(self.tokens, self.keyring, proofs)

    def issued(self, name: str = "alice", jkt: str | None = None, resource: str = PLACE) -> str:
        fingerprint = key(name).public.fingerprint
        scopes = frozenset({"mcp:read"})
        return self.tokens.issue(name, fingerprint, resource, scopes, 600, jkt)[0]

    def brought(self, text: str, *proofs: str, **different: Any) -> AccessToken:
        made: dict[str, Any] = {
            "scheme": "dpop" if proofs else "bearer", "token": text.encode(), "proofs": proofs,
            "method": "POST", "url": f"{ISSUER}/mcp", "resource": PLACE, "source": HERE,
            **different,
        }  # fmt: skip
        return AccessToken(**made)

    def test_good(self) -> None:
        text = self.issued()
        proved = self.assert_believed(self.checker, self.brought(text), TOKEN)
        self.assertIs(proved.token, self.tokens.find(text.encode()))

    def test_refused(self) -> None:
        self.know(self.line("alice"), self.line("bob", FROM_HERE))
        good, gone = self.issued(), self.issued("mallory")
        bobs, stale = self.issued("bob"), written(b"x" * 32)
        for credentials, reason, is_stale in (
            (self.brought(good, scheme="basic"), "neither Bearer nor DPoP", False),
            (self.brought(good, scheme=""), "neither Bearer nor DPoP", False),
            (self.brought("x"), "none of ours", False),
            (self.brought(""), "none of ours", False),
            (self.brought(stale), "has ended", True),
            (self.brought(gone), "key is not good any more", False),
            (self.brought(good, resource=f"{ISSUER} /servers/x"), "another resource", True),
            (self.brought(bobs, source=THERE), "not from there", False),
        ):
            self.assert_told(self.checker, credentials, reason, INVALID_TOKEN, is_stale)

    def test_long(self) -> None:
        """What is longer than any of ours is not even hashed."""
        with mock.patch.object(self.tokens, "find", return_value=None) as find:
            self.assert_told(
                self.checker, self.brought("x" * (LONGEST + 1)), "too long", INVALID_TOKEN
            )
            self.assertEqual(find.call_count, 0)
            self.refused(self.checker, self.brought("x" * LONGEST))
            self.assertEqual(find.call_count, 1)

    def test_ends(self) -> None:
        text = self.issued()
        self.clock.advance(600)
        self.assert_told(self.checker, self.brought(text), "has ended", INVALID_TOKEN, True)

    def test_possession(self) -> None:
        """A bound token comes with its proof, one that is not bound with none."""
        holder, other = key("holder"), key("other")
        text = self.issued(jkt=holder.public.thumbprint)
        ath = token_hash(text.encode())
        good = self.brought(text, proof(holder, ath=ath))
        self.assert_believed(self.checker, good, TOKEN)
        self.assert_told(self.checker, good, "the proof was used before", INVALID_PROOF)
        one = proof(holder, ath=ath)
        for credentials, reason, error in (
            (self.brought(text), "without proof", INVALID_TOKEN),
            (self.brought(text, scheme="dpop"), "one proof", INVALID_PROOF),
            (self.brought(text, one, one), "one proof", INVALID_PROOF),
            (self.brought(text, proof(other, ath=ath)), "another key", INVALID_PROOF),
            (self.brought(text, proof(holder)), "ath", INVALID_PROOF),
            (self.brought(text, one, method="GET"), "htm", INVALID_PROOF),
            (self.brought(text, one, url=f"{ISSUER}/sse"), "htu", INVALID_PROOF),
            (self.brought(self.issued(), one), "bound to no key", INVALID_TOKEN),
        ):
            self.assert_told(self.checker, credentials, reason, error)

    def test_nonce(self) -> None:
        """Who has none yet is told to get one, which is no failure."""
        nonces = Nonces(b"s" * 32, self.clock.seconds)
        self.make(nonces)
        holder = key("holder")
        text = self.issued(jkt=holder.public.thumbprint)
        ath = token_hash(text.encode())
        without = self.brought(text, proof(holder, ath=ath))
        self.assert_told(self.checker, without, "nonce", USE_NONCE)
        given = self.brought(text, proof(holder, ath=ath, nonce=nonces.current()))
        self.assert_believed(self.checker, given, TOKEN)


class CertificateTests(Case):
    """A certificate's key."""

    def shown(self, place: str | None = "/", source: str = HERE) -> ClientCertificate:
        return ClientCertificate(key("alice").public, place, source)

    def test_each(self) -> None:
        checker = ClientCertificateChecker(self.keyring)
        self.assert_believed(checker, self.shown(), CERTIFICATE)
        for options, reason in (
            ("no-mtls", "not good for certificates"),
            ('from="192.0.2.0/24"', "not from there"),
            ('resource="/servers/x/mcp"', "not for that place"),
        ):
            self.know(self.line("alice", options))
            self.assert_told(checker, self.shown(), reason)
        self.assert_believed(checker, self.shown("/servers/x"), CERTIFICATE)
        self.know(self.line("bob"))
        self.assert_told(checker, self.shown(), "not known, or not good")


class TextTests(Case):
    """A text that a person signed."""

    def setUp(self) -> None:
        super().setUp()
        self.checker = SignedTextChecker(self.keyring, self.guestbook)

    def signed(self, name: str = "alice", text: bytes = b"yes", purpose: str = "p") -> SignedText:
        signing = Deferred.fromCoroutine(sign_text(key(name), b"yes", "p"))
        made: str = self.successResultOf(signing)
        return SignedText(text, purpose, read_sshsig(made), HERE)

    def test_each(self) -> None:
        self.assert_believed(self.checker, self.signed(), APPROVAL)
        self.assert_told(self.checker, self.signed(text=b"no"), "another text")
        self.assert_told(self.checker, self.signed(purpose="q"), "another purpose")
        self.assert_told(self.checker, self.signed("mallory"), "not known, or not good")
        for options, reason in (
            ("no-oauth", "not good for tokens"), ('from="192.0.2.0/24"', "not from there"),
        ):  # fmt: skip
            self.know(self.line("alice", options))
            self.assert_told(self.checker, self.signed(), reason)

    def test_strangers(self) -> None:
        """Only whom no line names is one: a key whose time is over is known."""
        self.know(self.line("alice", 'expiry-time="20200101"'))
        self.refused(self.checker, self.signed())
        self.assertEqual(self.guestbook.knocks(), [])
        self.refused(self.checker, self.signed("mallory", b"no"))
        self.assertEqual(self.guestbook.knocks(), [])
        self.refused(self.checker, self.signed("mallory"))
        (knock,) = self.guestbook.knocks()
        self.assertEqual(knock.client, key("mallory").public.fingerprint)
        self.refused(SignedTextChecker(self.keyring), self.signed("mallory"))
        self.assertEqual(self.guestbook.knocks()[0].times, 1)


class TicketTests(Case):
    """A ticket, good once."""

    def setUp(self) -> None:
        super().setUp()
        self.tickets = TicketTable(self.clock.seconds, self.make_bytes)
        self.tokens = TokenTable(self.clock.seconds, self.make_bytes)
        self.checker = TicketChecker(self.tickets, self.keyring)

    def brought(
        self, text: str, resource: str = PLACE, origin: bytes | None = b"o", source: str = HERE
    ) -> PresentedTicket:
        return PresentedTicket(text.encode(), resource, origin, source)

    def issued(self, name: str = "alice", token: Any = None) -> str:
        return self.tickets.issue(key(name).public.fingerprint, token, PLACE, b"o")[0]

    def test_once(self) -> None:
        text = self.issued()
        proved = self.assert_believed(self.checker, self.brought(text), TICKET)
        self.assertIsNone(proved.token)
        self.assert_told(self.checker, self.brought(text), "was used", None, True)

    def test_refused(self) -> None:
        """It is used up whatever it is refused for."""
        self.know(self.line("alice", FROM_HERE))
        for different, reason in (
            ({"resource": f"{ISSUER} /servers/x"}, "another resource"),
            ({"origin": b"other"}, "another origin"),
            ({"origin": None}, "another origin"),
            ({"source": THERE}, "not from there"),
        ):
            text = self.issued()
            self.assert_told(self.checker, self.brought(text, **different), reason)  # type: ignore[arg-type]
            self.assert_told(self.checker, self.brought(text), "was used", None, True)
        self.assert_told(self.checker, self.brought(self.issued("mallory")), "key or token")

    def test_with_a_token(self) -> None:
        """It is worth no more than what it was asked for with."""
        fingerprint, scopes = key("alice").public.fingerprint, frozenset({"mcp:read"})
        _, token = self.tokens.issue("alice", fingerprint, PLACE, scopes, 600)
        proved = self.assert_believed(self.checker, self.brought(self.issued(token=token)), TICKET)
        self.assertIs(proved.token, token)
        text = self.issued(token=token)
        self.tokens.end(token)
        self.refused(self.checker, self.brought(text))


class LocalTests(Case):
    """A user of this machine."""

    def setUp(self) -> None:
        super().setUp()
        self.checker = LocalUserChecker(self.keyring, {1000: "alice", 1001: "bob"}.get)

    def test_number_before_name(self) -> None:
        self.know(
            'principal="number" unix-user 1000', 'principal="name" unix-user alice',
            'principal="other" unix-user bob',
        )  # fmt: skip
        self.assert_believed(self.checker, LocalPeer(1000, "/"), LOCAL, "number")
        self.assert_believed(self.checker, LocalPeer(1001, "/"), LOCAL, "other")

    def test_refused(self) -> None:
        self.know('resource="/servers/x/mcp" unix-user 1000', f"{FROM_HERE} unix-user bob")
        self.assert_told(self.checker, LocalPeer(1000, "/"), "not for that place")
        self.assert_told(self.checker, LocalPeer(1001, "/"), "not from there")
        self.assert_told(self.checker, LocalPeer(1002, "/"), "the user 1002")
        self.know("unix-user root")
        self.assert_told(self.checker, LocalPeer(1002, "/"), "the user 1002")
