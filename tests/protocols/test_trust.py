"""Whose key a connection is made to: settled in the handshake, before anything is said."""

from __future__ import annotations

from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from zope.interface import implementer

from mcptwist.errors import HostNotTrusted
from mcptwist.interfaces import IHostKeys
from mcptwist.protocols.h2agent import H2Agent
from mcptwist.protocols.setbacks import unreachable
from mcptwist.protocols.trust import Trust
from tests.protocols.test_h2agent import AgentCase


@implementer(IHostKeys)
class Judge:
    """Believes whom it is told to.

    :ivar heard: what it was asked.
    """

    def __init__(self, *, believes: bool, only_vouched: bool = False) -> None:
        self.heard: list[tuple[str, int, bytes, bool]] = []
        self._believes = believes
        self._only_vouched = only_vouched

    def judge(self, host: str, port: int, key: bytes, vouched: bool) -> None:
        self.heard.append((host, port, key, vouched))
        if not self._believes or (self._only_vouched and not vouched):
            raise HostNotTrusted("it is somebody else")


class PinningTests(AgentCase):
    """Over HTTP/2."""

    http2 = True

    def made(self, judge: Judge, ca: bool = False, names: tuple[str, ...] = ("localhost",)) -> None:
        place = Path(self.mktemp())
        path = str(place / "far.pem") if ca else None
        self.agent = self._agent(place, Trust(path, judge), names)
        self.certificate = x509.load_pem_x509_certificate((place / "far.pem").read_bytes())

    def _agent(self, place: Path, trust: Trust, names: tuple[str, ...]) -> H2Agent:
        from tests.protocols.encrypted import secured_agent

        return secured_agent(
            self.network, self.front.factory, place, trust=trust, names=names, http2=self.http2
        )

    def assert_refused(self, judge: Judge) -> None:
        asked = self.begin(b"/held", b"POST", b"secret")
        self.network.turn()
        failed = self.failureResultOf(asked)
        problem = unreachable("far", failed)
        self.assertIsInstance(problem, HostNotTrusted)
        self.assertEqual(problem.message, "it is somebody else")
        self.assertEqual(self.held, [])
        self.assertEqual(self.front.held.requests, [])

    def test_believed(self) -> None:
        """Nobody has to vouch for it, and its name does not matter."""
        judge = Judge(believes=True)
        self.made(judge, names=("elsewhere.example",))
        self.assertEqual(self.body(self.ask(b"/stock")), b"hello")
        key = self.certificate.public_key()
        spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        self.assertEqual(set(judge.heard), {("localhost", 8808, spki, False)})

    def test_vouched(self) -> None:
        """It is told whether the certificate is trusted and has the name."""
        for ca, names, vouched in (
            (True, ("localhost",), True),
            (True, ("elsewhere.example",), False),
            (False, ("localhost",), False),
        ):
            judge = Judge(believes=True)
            self.made(judge, ca, names)
            self.body(self.ask(b"/stock"))
            self.assertEqual(judge.heard[-1][3], vouched)

    def test_refused(self) -> None:
        """Not a byte of a request arrives, trusted certificate or not."""
        for ca in (True, False):
            judge = Judge(believes=False)
            self.made(judge, ca)
            self.assert_refused(judge)

    def test_only_vouched(self) -> None:
        judge = Judge(believes=True, only_vouched=True)
        self.made(judge, True)
        self.assertEqual(self.body(self.ask(b"/stock")), b"hello")
        self.made(judge, False)
        self.assert_refused(judge)

    def test_asked_for_each_connection(self) -> None:
        judge = Judge(believes=True)
        self.made(judge)
        self.body(self.ask(b"/stock"))
        judge._believes = False
        for near, _ in self.network.ends:
            near.abortConnection()
        self.network.turn()
        self.assert_refused(judge)


class PinningOverHTTP1Tests(PinningTests):
    """Over HTTP/1.1."""

    http2 = False
