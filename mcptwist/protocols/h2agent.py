"""Asks over HTTP/2 where the server speaks it, and over HTTP/1.1 where it does not.

An ``https`` origin is offered both by ALPN (RFC 7301). If it takes HTTP/2, all requests to it
share one connection; if not, that connection becomes the first of a pool for HTTP/1.1, which is
also what ``http`` URLs are asked over. Certificates must be trusted and have the host's name.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, DeferredList, succeed
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.error import ConnectionLost, TimeoutError
from twisted.internet.interfaces import (
    IHandshakeListener,
    IProtocol,
    IProtocolFactory,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from twisted.web.client import (
    URI,
    Agent,
    HTTPConnectionPool,
    ResponseNeverReceived,
    _HTTP11ClientFactory,
)
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IAgentEndpointFactory, IBodyProducer, IResponse
from zope.interface import implementer

from mcptwist.interfaces import IKeepsConnections
from mcptwist.protocols.h2client import Http1Wanted, HTTP2Client, NotBegun
from mcptwist.protocols.h2limits import HTTP2ClientCounters, HTTP2ClientLimits
from mcptwist.protocols.h2question import Body, Question
from mcptwist.protocols.tls import H2, HTTP1
from mcptwist.protocols.trust import Trust

__all__ = ["H2Agent"]

_SPARE = 32
# Node's and uvicorn's servers close a connection that was idle for five seconds. A POST
# that crosses with that is lost, and may not be repeated.
_SPARE_FOR = 4.0
_METHOD = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")
_TARGET = re.compile(rb"[\x21-\x7e]+\Z")

Dial = Callable[[Any, str, int, float], IStreamClientEndpoint]


def dial(reactor: Any, host: str, port: int, timeout: float) -> IStreamClientEndpoint:
    """Where a host takes TCP connections, at any of its addresses.

    :param timeout: seconds for each of them.
    """
    return HostnameEndpoint(reactor, host.encode(), port, timeout=timeout)


class _Quiet(_HTTP11ClientFactory):
    """Connections that do not tell the log of each beginning and end."""

    noisy = False


class _Pool(HTTPConnectionPool):
    """Keeps connections for the next request, but none that is about to be closed.

    A body that is closed while it is read may have been at its end: what came with it says so
    only after. Twisted's own pool takes the connection back then, and the next request is lost.
    """

    def _putConnection(self, key: Any, connection: Any) -> None:
        if not connection.transport.disconnecting:
            super()._putConnection(key, connection)


@implementer(IAgent, IAgentEndpointFactory, IKeepsConnections)
class H2Agent:
    """Makes requests over whichever version of HTTP the server prefers.

    :param reactor: connects and knows the time.
    :param trust: whose certificates are trusted.
    :param dial: makes the endpoint of a host and port, unencrypted.
    :param counters: may be shared by several agents.
    :ivar origins: what is known of hosts that were asked.
    """

    def __init__(
        self,
        reactor: Any,
        trust: Trust | None = None,
        limits: HTTP2ClientLimits | None = None,
        dial: Dial = dial,
        counters: HTTP2ClientCounters | None = None,
    ) -> None:
        self.reactor = reactor
        self.trust = trust or Trust()
        self.limits = limits or HTTP2ClientLimits()
        self.counters = counters or HTTP2ClientCounters()
        self.origins: dict[tuple[bytes, int], Origin] = {}
        self._dial = dial
        self._pool = pool = _Pool(reactor)
        pool._factory = _Quiet
        # It would repeat a GET that was cancelled; the wires know better what to repeat.
        pool.retryAutomatically = False
        pool.maxPersistentPerHost = _SPARE
        pool.cachedConnectionTimeout = _SPARE_FOR  # type: ignore[assignment]
        self._http1 = Agent.usingEndpointFactory(reactor, self, pool)

    def request(
        self,
        method: bytes,
        uri: bytes,
        headers: Headers | None = None,
        bodyProducer: IBodyProducer | None = None,
    ) -> Deferred[IResponse]:
        """Make a request; cancelling it gives it up.

        :return: fires with the head of the response.
        """
        if uri[:6].lower() != b"https:":
            plain: Deferred[IResponse] = self._http1.request(method, uri, headers, bodyProducer)
            return plain
        asking = self._ask(method, uri, headers or Headers(), bodyProducer)
        return Deferred.fromCoroutine(asking)

    def close(self) -> Deferred[None]:
        """End every connection in good order; requests made later open others.

        :return: fires when none is left.
        """
        closing = [origin.close() for origin in self.origins.values()]
        closing.append(self._pool.closeCachedConnections())
        return DeferredList(closing, consumeErrors=True).addCallback(lambda _: None)

    async def _ask(
        self, method: bytes, uri: bytes, headers: Headers, producer: IBodyProducer | None
    ) -> IResponse:
        parts = URI.fromBytes(uri)
        origin = self._origin(parts)
        body = Body(producer, self.limits.replay)
        question = _question(method, parts, headers, body)
        for attempt in range(1, self.limits.attempts + 1):
            connection = await origin.connection()
            if connection is None:
                response: IResponse = await self._http1.request(method, uri, headers, producer)
                return response
            try:
                answer: IResponse = await connection.ask(question)
                return answer
            except NotBegun as problem:
                if attempt == self.limits.attempts or not body.rewind():
                    self.counters.requests_given_up += 1
                    raise ResponseNeverReceived(problem.reasons) from None
                if isinstance(problem, Http1Wanted):
                    origin.speaks_http1()
                    producer = body.again(producer)
            self.counters.requests_repeated += 1
            if attempt > 1 or connection.usable:
                await deferLater(self.reactor, self.limits.again * 2**attempt)
        raise AssertionError("the last attempt ends otherwise")

    def _origin(self, parts: URI) -> Origin:
        key = (parts.host.lower(), parts.port)
        found = self.origins.get(key)
        if found is None:
            found = self.origins[key] = Origin(self, parts.host.decode("ascii"), parts.port)
        return found

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        """Called by Twisted's agent: where it finds what speaks HTTP/1.1."""
        if uri.scheme == b"https":
            return self._origin(uri)
        return self.tcp(uri.host.decode("ascii"), uri.port)

    def tcp(self, host: str, port: int) -> IStreamClientEndpoint:
        """The endpoint of a host."""
        return self._dial(self.reactor, host, port, self.limits.connect)


def _question(method: bytes, parts: URI, headers: Headers, body: Body) -> Question:
    if not _METHOD.match(method):
        raise ValueError(f"{method!r} is no method of HTTP")
    if not _TARGET.match(parts.originForm):
        raise ValueError("a URL holds a character that none has")
    authority = parts.netloc.rpartition(b"@")[2]
    return Question(method, parts.toBytes(), authority, parts.originForm, headers, body)


@implementer(IStreamClientEndpoint)
class Origin:
    """A host and port that are spoken to over TLS; for HTTP/1.1, also an endpoint.

    :ivar current: the connection over HTTP/2, if there is one.
    """

    def __init__(self, agent: H2Agent, host: str, port: int) -> None:
        self.current: HTTP2Client | None = None
        self._open: dict[HTTP2Client, None] = {}  # those that are used up too
        self._agent = agent
        self._host = host
        self._port = port
        self._waiting: dict[Deferred[HTTP2Client | None], None] = {}
        self._connecting: Deferred[Any] | None = None
        self._http1_until = 0.0
        self._spare: Any = None  # the transport on which HTTP/1.1 was chosen

    def connection(self) -> Deferred[HTTP2Client | None]:
        """A connection that takes requests; None where HTTP/1.1 is spoken."""
        if self.current is not None and self.current.usable:
            return succeed(self.current)
        spoken = self._agent.limits.spoken
        if not spoken or self._agent.reactor.seconds() < self._http1_until:
            return succeed(None)
        waiting: Deferred[HTTP2Client | None] = Deferred(self._given_up)
        self._waiting[waiting] = None
        if self._connecting is None:
            self._begin()
        return waiting

    def speaks_http1(self) -> None:
        """Do not ask it over HTTP/2 for a while."""
        self.current = None
        self._http1_until = self._agent.reactor.seconds() + self._agent.limits.http1

    def close(self) -> Deferred[None]:
        """End what is open in good order; fires when it is gone."""
        ending = [connection.end() for connection in list(self._open)]
        return DeferredList(ending).addCallback(lambda _: None)

    def _given_up(self, waiting: Deferred[HTTP2Client | None]) -> None:
        del self._waiting[waiting]
        if not self._waiting and self._connecting is not None:
            self._connecting.cancel()

    def _begin(self) -> None:
        connecting = Deferred.fromCoroutine(self._connect())
        self._connecting = connecting
        connecting.addTimeout(self._agent.limits.connect, self._agent.reactor, _late)
        connecting.addBoth(self._connected)

    async def _connect(self) -> Any:
        """The encrypted transport of a connection, when both ends agree."""
        greeting = Greeting()
        endpoint = self._agent.tcp(self._host, self._port)
        factory = Factory.forProtocol(lambda: greeting)
        await endpoint.connect(self._encrypted(factory, [H2, HTTP1]))
        return await greeting.agreed

    def _encrypted(self, factory: Any, protocols: list[bytes]) -> IProtocolFactory:
        factory.noisy = False
        creator = self._agent.trust.creator(self._host, self._port, protocols)
        return _TLSFactory(creator, True, factory, self._agent.reactor)

    def _connected(self, outcome: Any) -> None:
        self._connecting = None
        found: Any = outcome
        if isinstance(outcome, Failure):
            self._agent.counters.connects_failed += 1
        else:
            found = self._settle(outcome)
        waiting, self._waiting = self._waiting, {}
        for one in waiting:
            one.callback(found)
        spare, self._spare = self._spare, None
        if spare is not None:
            spare.loseConnection()

    def _settle(self, transport: Any) -> HTTP2Client | None:
        if transport.negotiatedProtocol != H2:
            self._agent.counters.http1_chosen += 1
            self.speaks_http1()
            self._spare = transport
            return None
        agent = self._agent
        agent.counters.connections += 1
        made = HTTP2Client(
            agent.reactor, agent.limits, self._retired, self._open.pop, agent.counters
        )
        self.current = made
        self._open[made] = None
        _hand_over(transport, made)
        return made

    def _retired(self) -> None:
        self.current = None

    def connect(self, factory: IProtocolFactory) -> Deferred[IProtocol]:
        """Called by Twisted's pool: a connection over which HTTP/1.1 is spoken."""
        spare, self._spare = self._spare, None
        if spare is not None:
            protocol: Any = factory.buildProtocol(spare.getPeer())
            _hand_over(spare, protocol)
            return succeed(protocol)
        connecting: Deferred[Any] = self._agent.tcp(self._host, self._port).connect(
            self._encrypted(factory, [HTTP1])
        )
        return connecting.addCallback(lambda tls: tls.wrappedProtocol)


def _late(outcome: Any, _: float) -> Any:
    return Failure(TimeoutError()) if isinstance(outcome, Failure) else outcome


def _hand_over(transport: Any, protocol: Any) -> None:
    transport.wrappedProtocol = protocol
    protocol.makeConnection(transport)


@implementer(IHandshakeListener)
class Greeting(Protocol):
    """A connection until its handshake is done.

    :ivar agreed: fires with its transport then; cancelling it cuts the connection.
    """

    transport: Any

    def __init__(self) -> None:
        self.agreed: Deferred[Any] = Deferred(lambda _: self.transport.abortConnection())

    def handshakeCompleted(self) -> None:
        """Called when both ends agree, and the certificate is what it should be."""
        if not self.agreed.called:
            self.agreed.callback(self.transport)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Called when the handshake failed."""
        if not self.agreed.called:
            self.agreed.errback(reason if reason.value else Failure(ConnectionLost()))


class _TLSFactory(TLSMemoryBIOFactory):
    """TLS without another buffer: what is spoken inside joins its writes itself."""

    noisy = False
    protocol = TLSMemoryBIOProtocol
