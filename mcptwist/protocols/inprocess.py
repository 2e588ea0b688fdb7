"""The way to a server written in Python that lives in this process."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from mcptwist.errors import ServerStartFailed
from mcptwist.interfaces import IConnector, IWire, IWireReader
from mcptwist.protocols.memory import MemoryConnector
from mcptwist.server import Server
from mcptwist.serving.conversation import Conversation
from mcptwist.serving.loading import load_server


@implementer(IConnector)
class PythonConnector:
    """Joins a :class:`~mcptwist.server.Server`, the same one for every wire.

    :param server: the server, or what makes it when it is first joined.
    :param clock: whose turns messages take and whose time the server goes by.
    :param description: for people and logs.
    """

    def __init__(
        self,
        server: Server | Callable[[], Server],
        clock: IReactorTime,
        description: str = "in-process server",
    ) -> None:
        self.description = description
        self._clock = clock
        self._make: Callable[[], Server] = (
            (lambda: server) if isinstance(server, Server) else server
        )
        self._server: Server | None = None

    @classmethod
    def named(cls, where: str, clock: IReactorTime) -> PythonConnector:
        """The one for a ``package.module:attribute`` of a configuration."""
        return cls(lambda: load_server(where, clock), clock, f"python {where}")

    def connect(self, reader: IWireReader) -> Deferred[IWire]:
        """Join the server; what is wrong with it, if anything, is said in the failure."""
        try:
            if self._server is None:
                self._server = self._make()
        except ServerStartFailed as problem:
            return fail(problem)
        return MemoryConnector(self._clock, self.description, self._serve).connect(reader)

    def _serve(self, wire: IWire) -> Conversation:
        assert self._server is not None
        return self._server.serve(wire, self._clock)
