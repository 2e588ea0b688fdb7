"""The way to a server by its URL: which wire is spoken there, and over which connections.

With ``auto``, Streamable HTTP is tried first. A server that answers its first
POST with 400, 404 or 405 and says nothing of MCP may be one of 2024-11-05: then
the same URL is asked for the event stream of HTTP+SSE, and what was found out is
remembered (MCP 2026-07-28, *Streamable HTTP, Backward Compatibility*).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.iweb import IAgent
from zope.interface import implementer

from mcptwist.errors import McpTwistError
from mcptwist.interfaces import (
    IAdmission,
    IConnector,
    IKeepsConnections,
    IProver,
    IWire,
    IWireReader,
)
from mcptwist.messages import Message
from mcptwist.protocols.bytestream import ByteStreamConnector
from mcptwist.protocols.h2agent import H2Agent
from mcptwist.protocols.h2limits import HTTP2ClientCounters, HTTP2ClientLimits
from mcptwist.protocols.httpsse_client import HttpSseConnector
from mcptwist.protocols.streamable_client import StreamableConnector, StreamableWire
from mcptwist.protocols.trust import Trust
from mcptwist.protocols.upstream import Upstream, UpstreamLimits
from mcptwist.protocols.websocket_connector import WebSocketConnector, make_endpoint

AUTO, HTTP, SSE, WEBSOCKET = "auto", "http", "sse", "websocket"


def make_agent(
    reactor: Any,
    trust: Trust | None = None,
    http2: HTTP2ClientLimits | None = None,
    counters: HTTP2ClientCounters | None = None,
) -> IAgent:
    """HTTP/2 or HTTP/1.1 as the server likes, and TLS that verifies who it is.

    :param trust: whom we believe to be the server.
    """
    agent: IAgent = H2Agent(reactor, trust, http2, counters=counters)
    return agent


def remote_connector(
    url: str,
    wire: str,
    reactor: Any,
    headers: Sequence[tuple[str, str]] = (),
    *,
    description: str = "",
    secrets: Collection[str] = (),
    limits: UpstreamLimits | None = None,
    agent: IAgent | None = None,
    trust: Trust | None = None,
    admission: IAdmission | None = None,
    prover: IProver | None = None,
    http2: HTTP2ClientLimits | None = None,
    counters: HTTP2ClientCounters | None = None,
) -> IConnector:
    """The way to the server at *url*.

    :param wire: ``auto``, ``http``, ``sse`` or ``websocket``.
    :param headers: sent with every request, and nobody else's ever are.
    :param description: for people and logs; no secret in it.
    :param secrets: values blotted out of what is shown of the server.
    :param agent: makes HTTP requests; by default one of its own for this server.
    :param trust: whom we believe to be the server.
    :param admission: how we are let in; by the headers alone otherwise.
    :param prover: proves who we are on a WebSocket.
    :param http2: the bounds of connections over HTTP/2.
    :param counters: of these connections; may be shared.
    """
    if url.lower().startswith("unix:"):
        return ByteStreamConnector(url, reactor)
    if wire == WEBSOCKET or url.lower().startswith(("ws:", "wss:")):
        return WebSocketConnector(
            url,
            headers,
            reactor,
            description=description,
            secrets=secrets,
            endpoint=partial(make_endpoint, trust=trust),
            admission=admission,
            prover=prover,
        )
    agent = agent or make_agent(reactor, trust, http2, counters)
    upstream = Upstream(agent, url, headers, description, secrets, admission)
    if wire == HTTP:
        return StreamableConnector(upstream, reactor, limits)
    if wire == SSE:
        return HttpSseConnector(upstream, reactor, limits)
    return FindingConnector(upstream, reactor, limits)


@implementer(IConnector, IKeepsConnections)
class FindingConnector:
    """A way to a server of which it is not known what it speaks over HTTP.

    :ivar older: whether it was found to speak HTTP+SSE.
    """

    log = Logger()

    def __init__(
        self, upstream: Upstream, clock: IReactorTime, limits: UpstreamLimits | None = None
    ) -> None:
        self.description = upstream.description
        self.older = False
        self._upstream = upstream
        self._clock = clock
        self._limits = limits or UpstreamLimits()
        self._sse = HttpSseConnector(upstream, clock, self._limits)

    def connect(self, reader: IWireReader) -> Deferred[IWire]:
        """Make a wire; see :class:`~mcptwist.interfaces.IConnector`."""
        if self.older:
            return self._sse.connect(reader).addErrback(self._not_any_more)
        return succeed(FindingWire(self, self._upstream, reader, self._clock, self._limits))

    def close(self) -> Deferred[None]:
        """End the connections to it; see :class:`~mcptwist.interfaces.IKeepsConnections`."""
        return self._upstream.close()

    def try_older(self, reader: IWireReader) -> Deferred[IWire]:
        """Try whether the server speaks HTTP+SSE."""
        return self._sse.connect(reader).addCallback(self._found)

    def _found(self, wire: IWire) -> IWire:
        self.older = True
        self.log.info("{server} speaks HTTP+SSE of 2024-11-05", server=self.description)
        return wire

    def _not_any_more(self, failure: Failure) -> Failure:
        self.older = False
        return failure


@implementer(IWire)
class FindingWire:
    """A wire that begins as Streamable HTTP and may turn out to be HTTP+SSE."""

    def __init__(
        self,
        connector: FindingConnector,
        upstream: Upstream,
        reader: IWireReader,
        clock: IReactorTime,
        limits: UpstreamLimits,
    ) -> None:
        self.description = connector.description
        self._connector = connector
        self._reader = reader
        self._paused = False
        self._wire: IWire = StreamableWire(upstream, reader, clock, limits, self._misled)

    @property
    def backlog(self) -> int:
        """Bytes that the server has not taken yet."""
        return int(self._wire.backlog)

    def send(self, message: Message) -> None:
        """Send *message*."""
        self._wire.send(message)

    def pause(self) -> None:
        """Read no more."""
        self._paused = True
        self._wire.pause()

    def resume(self) -> None:
        """Read on."""
        self._paused = False
        self._wire.resume()

    def close(self) -> Deferred[None]:
        """End it."""
        closed: Deferred[None] = self._wire.close()
        return closed

    async def _misled(self, message: Message) -> bool:
        """The first message met something else: try the older wire, and send it again there."""
        try:
            wire = await self._connector.try_older(self._reader)
        except McpTwistError:
            return False
        self._wire = wire
        if self._paused:
            wire.pause()
        wire.send(message)
        return True
