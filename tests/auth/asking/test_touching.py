"""Keys in hardware that an ssh-agent knows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from mcptwist.auth.asking.sshagent import Agent
from mcptwist.auth.asking.touching import TouchedSigner, touched_signer
from mcptwist.auth.keyformats import KeyProblem, string, strings
from mcptwist.auth.keys import ISigner
from mcptwist.auth.securitykeys import SK_ED25519, SK_P256
from mcptwist.auth.sshsig import read_sshsig, sign_text
from tests.auth.people import key
from tests.auth.touched import Authenticator

TEXT, PURPOSE = b"approve\n", "mcptwist-approve"


class TouchCase(SynchronousTestCase):
    """An agent that knows a key in hardware, and one that is not.

    :ivar kind: of the key in hardware.
    :ivar flags: what the hardware says of who was there.
    """

    kind = SK_ED25519

    def setUp(self) -> None:
        self.hardware = Authenticator(kind=self.kind)
        self.reactor = MemoryReactorClock()
        self.agent = Agent("/run/agent", self.reactor)
        self.flags = 1
        self.name = self.kind

    def answer(self, message: bytes) -> bytes:
        """What the agent says (draft-ietf-sshm-ssh-agent; PROTOCOL.u2f)."""
        if message[0] == 11:
            blobs = (key().public.blob, self.hardware.public.blob)
            return b"\x0c\0\0\0\2" + b"".join(string(each) + string(b"x") for each in blobs)
        blob, data = strings(message[1:-4])
        assert blob == self.hardware.public.blob
        made = self.hardware.touch(data, self.flags)
        return b"\x0e" + string(made.replace(self.kind.encode(), self.name.encode()))

    def result(self, asking: Any) -> Any:
        """What comes of it, with the agent answering whatever is asked."""
        waiting: Deferred[Any] = Deferred.fromCoroutine(asking)
        found: list[Any] = []
        waiting.addBoth(found.append)
        while not found:
            (_, factory, *_) = self.reactor.unixClients.pop()
            protocol: Any = factory.buildProtocol(None)
            transport = StringTransport()
            protocol.makeConnection(transport)
            protocol.dataReceived(string(self.answer(transport.value()[4:])))
        if hasattr(found[0], "raiseException"):
            found[0].raiseException()
        return found[0]


class AgentTests(TouchCase):
    def test_listed(self) -> None:
        """Each sort apart: what signs in takes no key in hardware for one that it could use."""
        self.assertEqual(self.result(self.agent.keys()), [key().public])
        self.assertEqual(self.result(self.agent.security_keys()), [self.hardware.public])

    def test_signed(self) -> None:
        signer = TouchedSigner(self.agent, self.hardware.public)
        verifyObject(ISigner, signer)
        found = read_sshsig(self.result(sign_text(signer, TEXT, PURPOSE)))
        self.assertEqual(found.key, self.hardware.public)
        self.assertTrue(found.is_of(TEXT, PURPOSE))

    def test_not_touched(self) -> None:
        self.flags = 0
        with self.assertRaises(KeyProblem):
            self.result(self.agent.sign_touched(self.hardware.public, TEXT))

    def test_another_sort(self) -> None:
        for self.name in ("ssh-ed25519", "", "x" * 100):
            with self.assertRaises(KeyProblem):
                self.result(self.agent.sign_touched(self.hardware.public, TEXT))


class P256AgentTests(AgentTests):
    kind = SK_P256


class MeantTests(TouchCase):
    """Which key a person means."""

    def found(self, given: str) -> Any:
        return self.result(touched_signer(given, self.agent))

    def write(self, text: str) -> str:
        path = Path(self.mktemp())
        path.with_suffix(".pub").write_text(text)
        return str(path)

    def test_file(self) -> None:
        path = self.write(f"{self.hardware.public.words()} ann@token\n")
        for given in (path, f"{path}.pub", self.hardware.public.fingerprint):
            self.assertEqual(self.found(given).public, self.hardware.public)

    def test_others(self) -> None:
        """A key that is none of that sort is somebody else's business."""
        path = self.write(f"{key().public.words()} ann@laptop\n")
        for given in (path, "/nowhere", "", key().public.fingerprint, self.write("")):
            self.assertIsNone(self.found(given))

    def test_not_held(self) -> None:
        path = self.write(f"{Authenticator().public.words()} ann@other\n")
        with self.assertRaises(KeyProblem):
            self.found(path)
        with self.assertRaises(KeyProblem):
            self.result(touched_signer(path, None))
        with self.assertRaises(KeyProblem):
            self.found(self.write(f"{SK_ED25519} AAAA x"))


class P256MeantTests(MeantTests):
    kind = SK_P256
