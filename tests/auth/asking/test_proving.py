"""Proving our key on a WebSocket, against the answering side of the proof."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from mcptwist.auth.asking.proving import Proof, Prover, authority_of
from mcptwist.auth.keys import P256
from mcptwist.auth.mutualproof import (
    AnsweringProof,
    AskingProof,
    Channel,
    welcome,
)
from mcptwist.errors import SignInFailed
from mcptwist.interfaces import IProof, IProver
from tests.auth.people import key

HOST = key("host", P256)


class Slow:
    """A signer that takes its time, as an agent does."""

    public = key().public

    def __init__(self) -> None:
        self.asked: list[tuple[Deferred[bytes], str, bytes]] = []

    def sign(self, algorithm: str, data: bytes) -> Any:
        waiting: Deferred[bytes] = Deferred()
        self.asked.append((waiting, algorithm, data))
        return waiting


class ProofTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.channel = Channel("mcp.example.com", HOST.public.fingerprint, b"e" * 32)
        self.server = AnsweringProof(self.channel, HOST, b"s" * 32)

    def make(self, signer: Any = None, channel: Channel | None = None) -> Proof:
        found = channel or self.channel
        return Proof(AskingProof(found, HOST.public, signer or key(), b"c" * 32))

    def test_interfaces(self) -> None:
        verifyObject(IProof, self.make())
        verifyObject(IProver, Prover(lambda: succeed(key()), lambda size: b"x" * size))

    def test_let_in(self) -> None:
        """Hello, challenge, proof, welcome."""
        proof = self.make()
        challenge = self.server.challenge(proof.hello())
        said = self.successResultOf(proof.answer(challenge))
        claim = self.server.claim(said)
        self.assertTrue(key().public.verify(claim.algorithm, claim.signature, claim.signed))
        done = self.successResultOf(proof.answer(welcome("alice", ("mcp:read",), 60)))
        self.assertIsNone(done)

    def test_an_agent(self) -> None:
        signer = Slow()
        proof = self.make(signer)
        answering = proof.answer(self.server.challenge(proof.hello()))
        self.assertNoResult(answering)
        ((waiting, algorithm, data),) = signer.asked
        waiting.callback(key().sign(algorithm, data))
        claim = self.server.claim(self.successResultOf(answering))
        self.assertTrue(key().public.verify(claim.algorithm, claim.signature, claim.signed))

    def test_an_impostor(self) -> None:
        """Whoever has not proved the key it showed gets no signature: G13."""
        for channel, host in (
            (self.channel, key("other", P256)),
            (Channel("mcp.example.com", HOST.public.fingerprint, b"x" * 32), HOST),
            (Channel("evil.example", HOST.public.fingerprint, b"e" * 32), HOST),
        ):
            signer = Slow()
            proof = self.make(signer)
            challenge = AnsweringProof(channel, host, b"s" * 32).challenge(proof.hello())
            self.failureResultOf(proof.answer(challenge), SignInFailed)
            self.assertEqual(signer.asked, [])

    def test_out_of_turn(self) -> None:
        for text in (b"", b"{}", b"[" * 5000, welcome("alice", (), 1), b'{"type":"challenge"}'):
            self.failureResultOf(self.make().answer(text), SignInFailed)

    def test_authority(self) -> None:
        for url, authority in (
            ("wss://MCP.example.com/ws", "mcp.example.com"),
            ("wss://mcp.example.com:443/ws", "mcp.example.com"),
            ("wss://mcp.example.com:8443/ws", "mcp.example.com:8443"),
            ("wss://[::1]:8443/ws", "[::1]:8443"),
        ):
            self.assertEqual(authority_of(url), authority)
