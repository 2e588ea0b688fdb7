"""The way to a server that speaks WebSocket: dialling, and being let in."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from autobahn.twisted.websocket import WebSocketClientFactory
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.interfaces import IProtocolFactory, IStreamClientEndpoint
from twisted.python.failure import Failure
from zope.interface import implementer

import mcptwist
from mcptwist.configuration.redaction import redact
from mcptwist.errors import McpTwistError, ServerStartFailed
from mcptwist.interfaces import IAdmission, IConnector, IProver, IWire, IWireReader
from mcptwist.protocols.setbacks import unreachable
from mcptwist.protocols.timers import Timers
from mcptwist.protocols.trust import Trust
from mcptwist.protocols.websocket import check_speed
from mcptwist.protocols.websocket_client import (
    DialLimits,
    TurnedAway,
    WantsToken,
    WebSocketClientWire,
)
from mcptwist.protocols.wshandshake import PROTOCOL
from mcptwist.protocols.wslimits import protocol_options

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime

MakeEndpoint = Callable[[Any, bool, str, int], IStreamClientEndpoint]


def make_endpoint(
    reactor: Any, secure: bool, host: str, port: int, trust: Trust | None = None
) -> IStreamClientEndpoint:
    """TCP, or TLS to whom we trust."""
    plain = HostnameEndpoint(reactor, host.encode(), port)
    return wrapClientTLS((trust or Trust()).creator(host, port, None), plain) if secure else plain


@implementer(IConnector)
class WebSocketConnector:
    """A way to a server that speaks WebSocket.

    :param headers: of the opening handshake.
    :param reactor: connects and knows the time.
    :param endpoint: makes the endpoint to connect to.
    :param admission: how we are let in; by the headers alone otherwise.
    :param prover: proves who we are, over TLS, where the server wants that.
    """

    def __init__(
        self,
        url: str,
        headers: Sequence[tuple[str, str]],
        reactor: Any,
        *,
        description: str = "",
        secrets: Collection[str] = (),
        limits: DialLimits | None = None,
        endpoint: MakeEndpoint = make_endpoint,
        admission: IAdmission | None = None,
        prover: IProver | None = None,
    ) -> None:
        check_speed()
        self.description = description or redact(url, secrets)
        self._reactor = reactor
        self._limits = limits or DialLimits()
        self._url = url
        self._headers = dict(headers)
        self._port = _factory(url, self._headers, reactor, self._limits, [PROTOCOL]).port
        self._admission = admission
        self._prover = prover if url.lower().startswith("wss:") else None
        self._endpoint = endpoint
        self._secure = url.lower().startswith("wss:")
        self._host = urlsplit(url).hostname or ""

    def connect(self, reader: IWireReader) -> Deferred[IWire]:
        """Open a WebSocket; see :class:`~mcptwist.interfaces.IConnector`."""
        connecting: Deferred[IWire] = Deferred.fromCoroutine(self._open(reader))
        return connecting

    async def _open(self, reader: IWireReader) -> IWire:
        try:
            return await self._come(reader)
        except TurnedAway as refused:
            admission = self._admission
            if admission is None or not refused.takes_signatures or not admission.sign():
                raise
        self._prover = None
        return await self._dial(reader, await self._shown(), None)

    async def _come(self, reader: IWireReader) -> IWire:
        """Open one as who we are by a proof, or by a token; whichever the server wants."""
        if self._prover is not None:
            try:
                return await self._dial(reader, {}, self._prover)
            except WantsToken:
                shown = await self._shown()
                if not shown:
                    raise
                return await self._dial(reader, shown, None)
        return await self._dial(reader, await self._shown(), None)

    async def _dial(
        self, reader: IWireReader, shown: dict[str, str], prover: IProver | None
    ) -> IWire:
        """Open one WebSocket."""
        wire = WebSocketClientWire(reader, self._reactor, self.description, self._limits)
        headers = {**self._headers, **shown}
        protocols = [PROTOCOL] if prover is None else [PROTOCOL, prover.subprotocol]
        wire.factory = _factory(self._url, headers, self._reactor, self._limits, protocols)
        wire.prover = prover
        endpoint = self._endpoint(self._reactor, self._secure, self._host, self._port)
        try:
            await endpoint.connect(_Ready(wire))
        except CancelledError:
            raise
        except Exception:
            problem = unreachable(self.description, Failure())
            raise ServerStartFailed(problem.message, **problem.data) from None
        try:
            await wire.opened
        except McpTwistError:
            if self._admission is not None and shown:
                self._admission.doubt()
            raise
        return wire

    async def _shown(self) -> dict[str, str]:
        """The headers that let us in."""
        if self._admission is None:
            return {}
        shown = await self._admission.come("GET", self._url)
        return {name.decode("latin-1"): value.decode("latin-1") for name, value in shown}


@implementer(IProtocolFactory)
class _Ready:
    """A factory whose one protocol is made already."""

    noisy = False

    def __init__(self, protocol: Any) -> None:
        self._protocol = protocol

    def doStart(self) -> None:
        """Called by the endpoint."""

    def doStop(self) -> None:
        """Called by the endpoint."""

    def buildProtocol(self, address: Any) -> Any:
        """Called by the endpoint."""
        return self._protocol


def _factory(
    url: str,
    headers: Mapping[str, str],
    clock: IReactorTime,
    limits: DialLimits,
    protocols: list[str],
) -> WebSocketClientFactory:
    agent = f"mcptwist/{mcptwist.__version__}"
    factory = WebSocketClientFactory(url, protocols=protocols, useragent=agent, reactor=clock)
    factory.headers = dict(headers)
    # That timer goes by the global reactor; the wire has its own.
    factory.setProtocolOptions(serverConnectionDropTimeout=0, **protocol_options(limits))
    factory._batched_timer = Timers(clock)
    return factory
