"""The mutual proof of a WebSocket, both ends and everything in between them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.auth.keys import P256, RSA, PrivateKey
from mcptwist.auth.mutualproof import (
    LARGEST,
    AnsweringProof,
    AskingProof,
    Channel,
    ProofFailed,
    Welcome,
    to_be_signed,
    welcome,
)
from tests.auth.people import key

PAGE = Path(__file__).resolve().parents[2] / "docs" / "auth" / "websockets.rst"
EXPORTER = bytes(range(96, 128))
ALICE = key("alice")


def host(kind: str = P256) -> PrivateKey:
    return key("host", kind)


class BothEnds:
    """A client and a server, on one connection unless a test says otherwise."""

    def __init__(
        self, client: PrivateKey = ALICE, server: PrivateKey | None = None, **ours: Any
    ) -> None:
        server = server or host()
        said: dict[str, Any] = {
            "authority": "mcp.example.com:8443",
            "host_key": server.public.fingerprint,
            "exporter": EXPORTER,
        }
        self.channel = Channel(**said)
        self.server = AnsweringProof(Channel(**(said | ours)), server, b"s" * 32)
        self.client = AskingProof(self.channel, server.public, client, b"c" * 32)


class ProofTests(SynchronousTestCase):
    """What is proved, and to whom."""

    def test_all_kinds_of_keys(self) -> None:
        """Any key that may come in can prove itself, to any host key; each by its own algorithm."""
        kinds = (key("alice"), key("alice", P256), key("alice", RSA))
        for client in kinds:
            for server in (host(), host(RSA)):
                ends = BothEnds(client, server)
                claim = ends.server.claim(
                    ends.client.proof(ends.server.challenge(ends.client.hello()))
                )
                self.assertEqual(claim.key, client.public.fingerprint)
                self.assertTrue(
                    client.public.verify(claim.algorithm, claim.signature, claim.signed)
                )

    def test_welcome(self) -> None:
        told = BothEnds().client.welcomed(welcome("alice", ("mcp:read",), 3600))
        self.assertEqual(told, Welcome("alice", ("mcp:read",), 3600))

    def test_another_connection(self) -> None:
        """A server on another connection than ours, or known by another name, proves nothing."""
        for different in ({"exporter": bytes(32)}, {"authority": "evil.example"}):
            ends = BothEnds(**different)
            with self.assertRaisesRegex(ProofFailed, "not proved its key"):
                ends.client.proof(ends.server.challenge(ends.client.hello()))

    def test_another_host_key(self) -> None:
        ends = BothEnds(host_key=key("mallory").public.fingerprint)
        with self.assertRaisesRegex(ProofFailed, "another connection"):
            ends.client.proof(ends.server.challenge(ends.client.hello()))

    def test_relayed(self) -> None:
        """Who is in between can pass all on, and has a proof that the server does not take."""
        inner, outer = BothEnds(), BothEnds(exporter=bytes(32))
        proof = inner.client.proof(inner.server.challenge(inner.client.hello()))
        outer.server.challenge(inner.client.hello())
        claim = outer.server.claim(proof)
        self.assertFalse(ALICE.public.verify(claim.algorithm, claim.signature, claim.signed))

    def test_stale(self) -> None:
        """A proof of a moment ago, on the same connection, is none: each has nonces of its own."""
        before, now = BothEnds(), BothEnds()
        proof = before.client.proof(before.server.challenge(before.client.hello()))
        now.server = AnsweringProof(now.channel, host(), b"t" * 32)
        now.server.challenge(before.client.hello())
        claim = now.server.claim(proof)
        self.assertFalse(ALICE.public.verify(claim.algorithm, claim.signature, claim.signed))

    def test_stale_challenge(self) -> None:
        """Nor is what a server proved to another hello."""
        before, now = BothEnds(), BothEnds()
        challenge = before.server.challenge(before.client.hello())
        now.client = AskingProof(now.channel, host().public, ALICE, b"d" * 32)
        with self.assertRaisesRegex(ProofFailed, "not proved its key"):
            now.client.proof(challenge)

    def test_everything_is_signed(self) -> None:
        """Whatever is different, what is signed is; nor does any part run into the next."""
        plain: dict[str, Any] = {"authority": "a:1", "host_key": "h", "exporter": b"e"}
        rest: dict[str, Any] = {"client": "k", "server_nonce": b"s", "client_nonce": b"c"}

        def signed(role: bytes = b"client", **different: Any) -> bytes:
            channel = Channel(**{name: different.get(name, plain[name]) for name in plain})
            return to_be_signed(role, channel, **{n: different.get(n, rest[n]) for n in rest})

        texts = {
            signed(),
            signed(b"server"),
            *(signed(**{name: "other"}) for name in ("authority", "host_key", "client")),
            *(signed(**{n: b"other"}) for n in ("exporter", "server_nonce", "client_nonce")),
            signed(server_nonce=b"sc", client_nonce=b""),
            signed(authority="a:1h", host_key=""),
        }
        self.assertEqual(len(texts), 10)

    def test_reflected(self) -> None:
        """The server's own signature is no client's, even if both had one key."""
        ends = BothEnds(key("host"), key("host"))
        challenge = json.loads(ends.server.challenge(ends.client.hello()))
        proof = {"type": "proof", "alg": challenge["alg"], "sig": challenge["sig"]}
        claim = ends.server.claim(json.dumps(proof).encode())
        self.assertFalse(key("host").public.verify(claim.algorithm, claim.signature, claim.signed))

    def test_proof_before_hello(self) -> None:
        with self.assertRaisesRegex(ProofFailed, "before hello"):
            BothEnds().server.claim(b'{"type":"proof","alg":"EdDSA","sig":"AA"}')

    def test_malformed(self) -> None:
        """Whatever else comes is refused, with a reason that holds nothing of it."""
        good = json.loads(BothEnds().client.hello())
        for different in (
            {"v": 2},
            {"v": None},
            {"type": "proof"},
            {"key": "SHA256:short"},
            {"key": 1},
            {"nonce": "AA"},
            {"nonce": good["nonce"] + "="},
            {"nonce": None},
        ):
            with self.assertRaises(ProofFailed):
                BothEnds().server.challenge(json.dumps(good | different).encode())
        for text in (b"", b"[]", b"{", b'{"type":"hello","type":"hello"}', b" " * (LARGEST + 1)):
            with self.assertRaises(ProofFailed):
                BothEnds().server.challenge(text)

    def test_malformed_welcome(self) -> None:
        for text in (
            b'{"type":"welcome"}',
            b'{"type":"welcome","principal":"a","scopes":[1],"expires_in":1}',
            b'{"type":"welcome","principal":"a","scopes":[],"expires_in":true}',
            b'{"type":"welcome","principal":"a","scopes":[],"expires_in":-1}',
        ):
            with self.assertRaises(ProofFailed):
                BothEnds().client.welcomed(text)

    @settings(max_examples=60, deadline=None)
    @given(st.binary(max_size=200))
    def test_wild_messages(self, text: bytes) -> None:
        """Nothing breaks either end but in its own words."""
        ends = BothEnds()
        for read in (
            ends.server.challenge,
            ends.server.claim,
            ends.client.proof,
            ends.client.welcomed,
        ):
            with self.assertRaises(ProofFailed):
                read(text)

    @settings(max_examples=60, deadline=None)
    @given(st.integers(0, 255), st.integers(1, 255))
    def test_every_byte_counts(self, at: int, flip: int) -> None:
        """No byte of what is signed can be another."""
        channel = BothEnds().channel
        fingerprint = ALICE.public.fingerprint
        signed = to_be_signed(b"client", channel, fingerprint, b"s" * 32, b"c" * 32)
        at %= len(signed)
        changed = bytes([*signed[:at], signed[at] ^ flip, *signed[at + 1 :]])
        signature = ALICE.sign("EdDSA", signed)
        self.assertTrue(ALICE.public.verify("EdDSA", signature, signed))
        self.assertFalse(ALICE.public.verify("EdDSA", signature, changed))


def fixed(first: int) -> PrivateKey:
    seed = bytes(range(first, first + 32))
    return PrivateKey(Ed25519PrivateKey.from_private_bytes(seed))


class VectorTests(SynchronousTestCase):
    """The test vector of ``docs/auth/websockets.rst``."""

    def test_vector(self) -> None:
        server, client = fixed(0), fixed(32)
        channel = Channel("mcp.example.com:8443", server.public.fingerprint, EXPORTER)
        answering = AnsweringProof(channel, server, bytes([0x53]) * 32)
        asking = AskingProof(channel, server.public, client, bytes([0x43]) * 32)
        hello = asking.hello()
        challenge = answering.challenge(hello)
        proof = asking.proof(challenge)
        claim = answering.claim(proof)
        page = "".join(PAGE.read_text(encoding="utf-8").split())
        for text in (hello, challenge, proof):
            self.assertIn("".join(text.decode().split()), page)
        self.assertIn(claim.signed[64:].hex(), page)
