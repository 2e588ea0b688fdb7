"""DPoP proofs (RFC 9449): the good one, and all the others."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.auth.jws import make_jws
from mcptwist.auth.keys import ED25519, P256, RSA
from mcptwist.auth.oauth.dpop import Nonces, Proof, ProofReader, ProofRefused, token_hash
from mcptwist.auth.oauth.replay import ReplayCache, ReplaysFull
from tests.auth.people import ISSUER, NOW, assertion, claims, key, proof

URL = f"{ISSUER}/mcp"
TOKEN = b"mcp_at_x"


class ProofCase(SynchronousTestCase):
    with_nonces = False

    def setUp(self) -> None:
        self.wall = NOW
        self.mono = 0.0
        self.replays = ReplayCache(lambda: self.wall, lambda: self.mono, limit=10)
        self.nonces = Nonces(b"s" * 32, lambda: self.mono) if self.with_nonces else None
        self.reader = ProofReader(lambda: self.wall, self.replays, self.nonces)
        self.signer = key("holder", P256)

    def read(self, text: str, **different: Any) -> Proof:
        said: dict[str, Any] = {"method": "POST", "url": URL} | different
        return self.reader.read(text, **said)

    def assert_refused(self, text: str, **different: Any) -> ProofRefused:
        return self.assertRaises(ProofRefused, self.read, text, **different)


class ProofTests(ProofCase):
    def test_good(self) -> None:
        for kind in (P256, ED25519):
            signer = key("holder", kind)
            found = self.read(proof(signer))
            self.assertEqual(found.jkt, signer.public.thumbprint)

    def test_with_a_token(self) -> None:
        jkt = self.signer.public.thumbprint
        good = {"token": TOKEN, "jkt": jkt}
        self.assertTrue(self.read(proof(self.signer, ath=token_hash(TOKEN)), **good))
        self.assert_refused(proof(self.signer), **good)
        self.assert_refused(proof(self.signer, ath=token_hash(b"other")), **good)
        other = key("other", P256)
        self.assert_refused(proof(other, ath=token_hash(TOKEN)), **good)

    def test_used(self) -> None:
        text = proof(self.signer)
        self.read(text)
        self.assert_refused(text)

    def test_same_header(self) -> None:
        """That a proof like it was good helps none that is not."""
        good = proof(self.signer)
        self.read(good)
        self.read(proof(self.signer))
        head, body, signature = proof(self.signer).split(".")
        other = proof(self.signer).split(".")
        self.assert_refused(f"{head}.{body}.{other[2]}")
        self.assert_refused(f"{head}.{other[1]}.{signature}")
        self.assert_refused(f"{head}.{body}.{signature[:-4]}AAAA")
        self.assert_refused(proof(self.signer, htm="GET"))
        self.assert_refused(proof(self.signer), jkt=key("other", P256).public.thumbprint)
        self.read(f"{head}.{body}.{signature}")

    def test_headers_are_bounded(self) -> None:
        """And only those of good proofs are remembered."""
        replays = ReplayCache(lambda: self.wall, lambda: self.mono)
        self.reader = ProofReader(lambda: self.wall, replays)
        for number in range(300):
            header = {"kid": str(number)}
            self.read(proof(self.signer, header=header))
            self.assert_refused(proof(self.signer, htm="GET", header={"kid": f"x{number}"}))
        self.assertEqual(len(self.reader._keys), 256)

    def test_cannot_be_remembered(self) -> None:
        for _ in range(10):
            self.read(proof(self.signer))
        self.assertRaises(ReplaysFull, self.read, proof(self.signer))

    def test_claims(self) -> None:
        for different in (
            {"htm": "GET"},
            {"htm": "post"},
            {"htm": None},
            {"htu": f"{URL}?a=b"},
            {"htu": f"{URL}/"},
            {"htu": ISSUER},
            {"htu": URL.upper()},
            {"htu": None},
            {"iat": NOW - 61},
            {"iat": NOW + 61},
            {"iat": None},
            {"iat": True},
            {"jti": None},
            {"jti": "short"},
        ):
            self.assert_refused(proof(self.signer, **different))  # type: ignore[arg-type]

    def test_header(self) -> None:
        other = key("other", P256)
        for header in (
            {"typ": "JWT"},
            {"typ": None},
            {"jwk": other.public.jwk()},
            {"jwk": self.signer.jwk()},
            {"jwk": None},
            {"jwk": "x"},
            {"jwk": {"kty": "oct", "k": "AAAA"}},
            {"jwk": {"kty": "oct"}},
            {"crit": ["x"]},
            {"alg": "HS256"},
            {"alg": "none"},
            {"alg": "EdDSA"},
        ):
            self.assert_refused(proof(self.signer, header=header))

    def test_rsa_is_not_taken(self) -> None:
        self.assert_refused(proof(key(RSA, RSA)))

    def test_other_sorts_of_jws(self) -> None:
        """An assertion is no proof."""
        self.assert_refused(assertion(self.signer))
        self.assert_refused(make_jws(self.signer, {"jwk": self.signer.public.jwk()}, claims()))

    @settings(max_examples=100, deadline=None)
    @given(st.text(max_size=100), st.integers(0, 1000))
    def test_anything(self, text: str, at: int) -> None:
        self.setUp()
        self.assert_refused(text)
        good = proof(self.signer)
        at %= len(good)
        changed = good[:at] + text[:1] + good[at + 1 :]
        if changed != good:
            self.assert_refused(changed)


class NonceTests(ProofCase):
    with_nonces = True

    def test_wanted(self) -> None:
        assert self.nonces
        self.assertTrue(self.assert_refused(proof(self.signer)).wants_nonce)
        for nonce in ("", "other", 7, "\ud800"):
            self.assertTrue(self.assert_refused(proof(self.signer, nonce=nonce)).wants_nonce)
        self.assertTrue(self.read(proof(self.signer, nonce=self.nonces.current())))

    def test_grows_old(self) -> None:
        assert self.nonces
        nonce = self.nonces.current()
        self.mono += 300
        self.assertTrue(self.read(proof(self.signer, nonce=nonce)))
        self.mono += 300
        self.assertTrue(self.assert_refused(proof(self.signer, nonce=nonce)).wants_nonce)

    def test_clocks_do_not_matter(self) -> None:
        assert self.nonces
        text = proof(self.signer, nonce=self.nonces.current(), iat=NOW - 5000)
        self.assertTrue(self.read(text))

    def test_used(self) -> None:
        """It is remembered for as long as its nonce is good, however old it is."""
        assert self.nonces
        text = proof(self.signer, nonce=self.nonces.current())
        self.read(text)
        for _ in range(5):
            self.wall += 119
            self.mono += 119
            self.assert_refused(text)
        self.assertEqual(len(self.replays), 1)

    def test_a_bad_signature_gets_no_nonce(self) -> None:
        changed = proof(self.signer)[:-4] + "AAAA"
        self.assertFalse(self.assert_refused(changed).wants_nonce)

    def test_of_another_daemon(self) -> None:
        other = Nonces(b"t" * 32, lambda: self.mono)
        self.assertTrue(self.assert_refused(proof(self.signer, nonce=other.current())).wants_nonce)
