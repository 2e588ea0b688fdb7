"""Joining servers that live in this process."""

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from mcptwist.errors import ServerStartFailed
from mcptwist.interfaces import IConnector, IWireReader
from mcptwist.messages import Request, Result
from mcptwist.protocols.inprocess import PythonConnector
from mcptwist.protocols.memory import pair
from mcptwist.server import Server
from tests.fakes import FakeReader


class PythonConnectorTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()

    def test_provides(self) -> None:
        """It is a connector, and a conversation reads a wire."""
        verifyObject(IConnector, PythonConnector(Server("a"), self.clock))
        near, _ = pair(self.clock)
        verifyObject(IWireReader, Server("a").serve(near, self.clock))

    def test_joined(self) -> None:
        """Every wire has a conversation of its own with the one server."""
        made: list[Server] = []

        def make() -> Server:
            made.append(Server("a"))
            return made[-1]

        connector = PythonConnector(make, self.clock)
        for _ in range(2):
            reader = FakeReader()
            wire = self.successResultOf(connector.connect(reader))
            wire.send(Request(1, "ping"))
            self.clock.pump([0, 0])
            self.assertEqual([Result(1, b"{}")], reader.messages)
        self.assertEqual(1, len(made))

    def test_named(self) -> None:
        """What is wrong with a configured one is said, and it may be right the next time."""
        connector = PythonConnector.named("mcptwist_nowhere:server", self.clock)
        self.assertEqual("python mcptwist_nowhere:server", connector.description)
        for _ in range(2):
            problem = self.failureResultOf(connector.connect(FakeReader()), ServerStartFailed)
            self.assertIn("mcptwist_nowhere", problem.value.message)
