"""Nobody is let in to a network without a key, however the configuration came about."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from mcptwist.config import Config
from mcptwist.configuration.gateconfig import Auth
from mcptwist.wiring.admission import Exposed, refuse_exposure

OPEN = (
    "tcp:8808",
    "tcp:8808:interface=0.0.0.0",
    "tcp6:8808:interface=\\:\\:",
    "https:8808",
    "tcp:8808:interface=127.0.0.1:interface=0.0.0.0",
)
CLOSED = ("tcp:8808:interface=127.0.0.1", "tcp6:8808:interface=\\:\\:1", "unix:/run/x.sock")


class ExposureTests(SynchronousTestCase):
    """A2: the last look, when all has been read that may have been overruled."""

    def test_open(self) -> None:
        for entry in OPEN:
            for listen in ((entry,), (CLOSED[0], entry)):
                problem = self.assertRaises(Exposed, refuse_exposure, Config(listen=listen))
                self.assertIn(entry, str(problem))

    def test_keys(self) -> None:
        """Where keys are wanted, whoever comes has to prove one."""
        for entry in OPEN:
            refuse_exposure(Config(listen=(entry,), auth=Auth()))

    def test_closed(self) -> None:
        for entry in CLOSED:
            refuse_exposure(Config(listen=(entry,)))

    def test_mutual(self) -> None:
        """Who asks for certificates and knows no keys would let everybody in, or nobody."""
        listen = ("mtls:8808:interface=127.0.0.1",)
        self.assertRaises(Exposed, refuse_exposure, Config(listen=listen))
