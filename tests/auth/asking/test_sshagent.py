"""Keys that an ssh-agent holds: OpenSSH's own, and agents that lie."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.protocols.basic import Int32StringReceiver
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface.verify import verifyObject

from mcptwist.auth.asking.identity import Identity, Named, ask_nobody, named
from mcptwist.auth.asking.sshagent import Agent, AgentSigner
from mcptwist.auth.jws import read_jws, sign_jws
from mcptwist.auth.keyformats import string
from mcptwist.auth.keys import ED25519, P256, RSA, ISigner, KeyProblem, PublicKey
from mcptwist.errors import SignInFailed
from tests.auth.people import KINDS, key
from tests.debian import SSH_ADD, SSH_AGENT, SSH_KEYGEN


class RealAgentTests(TestCase):
    """``ssh-agent`` itself."""

    def setUp(self) -> None:
        # The path of a socket may not be long.
        self.place = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.place)
        socket = str(self.place / "agent")
        agent = subprocess.Popen(
            [SSH_AGENT.needed(), "-D", "-a", socket], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        self.addCleanup(self.stop, agent)
        assert agent.stdout
        agent.stdout.readline()  # it says where it is as soon as it is there
        self.environ = {**os.environ, "SSH_AUTH_SOCK": socket}
        self.agent = Agent(socket, reactor)

    def stop(self, agent: subprocess.Popen[bytes]) -> None:
        agent.terminate()
        agent.communicate(timeout=30)

    def write(self, kind: str, passphrase: bytes | None = None) -> Path:
        path = self.place / kind
        private = key(kind=kind)
        path.write_bytes(private.openssh(passphrase))
        path.chmod(0o600)
        path.with_name(f"{kind}.pub").write_text(f"{private.public.words()} alice\n")
        return path

    def add(self, kind: str) -> Path:
        path = self.write(kind)
        argv = [SSH_ADD.needed(), "-q", str(path)]
        subprocess.run(argv, env=self.environ, capture_output=True, check=True)
        return path

    async def test_every_kind(self) -> None:
        """What it signs is what we verify: Ed25519, P-256, and RSA with SHA-256."""
        for kind in KINDS:
            self.add(kind)
        held = await self.agent.keys()
        self.assertEqual({each.kind for each in held}, set(KINDS))
        for public in held:
            signer = AgentSigner(self.agent, public)
            verifyObject(ISigner, signer)
            jws = read_jws(await sign_jws(signer, {"typ": "JWT"}, {"a": 1}), 8192)
            self.assertTrue(public.verify(jws.algorithm, jws.signature, jws.signed))
        with self.assertRaises(KeyProblem):
            await self.agent.sign(key(kind=RSA).public, "PS256", b"x")

    async def test_not_held(self) -> None:
        self.add(ED25519)
        with self.assertRaises(KeyProblem):
            await self.agent.sign(key("bob").public, "EdDSA", b"x")

    async def test_identities(self) -> None:
        """By fingerprint, by a public half, for a file with a passphrase, and the only one."""
        path = self.add(P256)
        public = key(kind=P256).public
        path.unlink()
        locked = self.write(P256, b"sesame")
        for where in (
            named(public.fingerprint, "/nowhere"),
            named(f"{path}.pub", "/nowhere"),
            named(str(locked), "/nowhere"),
            named("", "/nowhere"),
        ):
            signer = await Identity(where, ask_nobody, self.agent).load()
            self.assertIsInstance(signer, AgentSigner)
            self.assertEqual(signer.public, public)
        other = named(key("bob").public.fingerprint, "/nowhere")
        with self.assertRaises(SignInFailed) as failed:
            await Identity(other, ask_nobody, self.agent).load()
        self.assertIn("does not hold", str(failed.exception))
        self.add(ED25519)
        with self.assertRaises(SignInFailed) as failed:
            await Identity(named("", "/nowhere"), ask_nobody, self.agent).load()
        self.assertIn(public.fingerprint, str(failed.exception))

    async def test_ssh_keygen_reads_our_files(self) -> None:
        """Private and public halves of every kind, with a passphrase and without."""
        for kind in KINDS:
            for passphrase in (None, b"sesame"):
                path = self.write(kind, passphrase)
                words = ["-P", (passphrase or b"").decode()]
                shown = self.keygen("-y", *words, "-f", str(path))
                self.assertEqual(PublicKey.from_text(shown), key(kind=kind).public)
                path.unlink()
            listed = self.keygen("-l", "-f", str(self.place / f"{kind}.pub"))
            self.assertIn(key(kind=kind).public.fingerprint, listed)

    def keygen(self, *words: str) -> str:
        argv = [SSH_KEYGEN.needed(), *words]
        return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


class Liar(Int32StringReceiver):
    """An agent that says what the test says."""

    answer = b""

    def stringReceived(self, message: bytes) -> None:
        self.sendString(self.answer)


class HostileAgentTests(SynchronousTestCase):
    """What an agent says is checked."""

    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        self.agent = Agent("/run/agent", self.reactor)

    def ask(self, asking: Any, answer: bytes | None) -> Deferred[Any]:
        waiting: Deferred[Any] = Deferred.fromCoroutine(asking)
        (_, factory, *_) = self.reactor.unixClients[-1]
        protocol: Any = factory.buildProtocol(None)
        transport: Any = StringTransport()
        transport.abortConnection = lambda: None
        protocol.makeConnection(transport)
        if answer is not None:
            protocol.dataReceived(answer)
        return waiting

    def test_what_is_no_answer(self) -> None:
        """Nothing, a failure, what is too long, cut short, or of another type."""
        for answer in (
            string(b""),
            string(b"\5"),
            b"\xff\xff\xff\xff",
            string(b"\x0c"),
            string(b"\x0c\0\0\0\1\0\0\0\xffxx"),
            string(b"\x0e" + string(b"x")),
        ):
            asking = self.ask(self.agent.keys(), answer)
            if asking.called:
                self.failureResultOf(asking, KeyProblem)
            else:
                self.reactor.advance(6)
                self.failureResultOf(asking, KeyProblem)

    def test_keys_of_other_kinds(self) -> None:
        """They are left out; the others are there."""
        blobs = [b"junk", string(b"ssh-dss"), key().public.blob]
        body = b"".join(string(blob) + string(b"comment") for blob in blobs)
        answer = string(b"\x0c\0\0\0\3" + body)
        found = self.successResultOf(self.ask(self.agent.keys(), answer))
        self.assertEqual(found, [key().public])

    def test_signatures(self) -> None:
        """One that is not good for what was asked is not passed on."""
        good = key().sign("EdDSA", b"data")
        for signature, is_good in (
            (string(b"ssh-ed25519") + string(good), True),
            (string(b"ssh-ed25519") + string(key().sign("EdDSA", b"other")), False),
            (string(b"ssh-rsa") + string(good), False),
            (string(b"ssh-ed25519") + string(good[:-1]), False),
            (b"", False),
        ):
            answer = string(b"\x0e" + string(signature))
            asking = self.ask(self.agent.sign(key().public, "EdDSA", b"data"), answer)
            if is_good:
                self.assertEqual(self.successResultOf(asking), good)
            else:
                self.failureResultOf(asking, KeyProblem)

    def test_numbers_that_do_not_fit(self) -> None:
        numbers = string(b"\1" + b"\0" * 32) + string(b"\1")
        answer = string(b"\x0e" + string(string(P256.encode()) + string(numbers)))
        public = key(kind=P256).public
        self.failureResultOf(self.ask(self.agent.sign(public, "ES256", b"x"), answer), KeyProblem)

    def test_patience(self) -> None:
        """A person may have to say yes; but not for ever."""
        asking = self.ask(self.agent.sign(key().public, "EdDSA", b"x"), None)
        self.reactor.advance(59)
        self.assertNoResult(asking)
        self.reactor.advance(2)
        self.failureResultOf(asking, KeyProblem)

    def test_nobody_there(self) -> None:
        loading = Identity(Named(fingerprint=key().public.fingerprint), ask_nobody).load()
        failed = self.failureResultOf(Deferred.fromCoroutine(loading), SignInFailed)
        self.assertIn("SSH_AUTH_SOCK", str(failed.value))
