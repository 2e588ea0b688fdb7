"""Plain HTTP/1.1 in, HTTP/2 over TLS out: for programs that cannot speak the latter.

The conformance suite knows ``http:`` only. A :class:`Forwarder` stands between it and a daemon
with TLS, as a reverse proxy that changes nothing does: each answer is passed on as it comes, and
when a client hangs up, so does it. It runs in the reactor of the test.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import FileBodyProducer
from twisted.web.http_headers import Headers
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from mcptwist.protocols.h2agent import H2Agent
from mcptwist.protocols.trust import Trust

#: What is said of one connection, and not of the request (RFC 9110, section 7.6.1).
_OF_THE_CONNECTION = frozenset((b"connection", b"keep-alive", b"transfer-encoding", b"te"))


class Passing(Protocol):
    """One request of a client, and the body of its answer on the way through.

    :ivar asking: what comes of the request; given up when the client hangs up.
    """

    transport: Any = None

    def __init__(self, request: Any, asking: Deferred[Any]) -> None:
        self.asking = asking
        self._request = request
        self._gone = False
        finished: Deferred[None] = request.notifyFinish()
        finished.addErrback(self._hung_up)
        asking.addCallbacks(self._answered, self._failed)

    def _hung_up(self, reason: Failure) -> None:
        self._gone = True
        self.asking.cancel()
        if self.transport is not None:
            self.transport.loseConnection()

    def _answered(self, answer: Any) -> None:
        self._request.setResponseCode(answer.code)
        for name, values in answer.headers.getAllRawHeaders():
            self._request.responseHeaders.setRawHeaders(name, values)
        # The client is to have the head of an event stream before its first event.
        self._request.write(b"")
        answer.deliverBody(self)

    def _failed(self, failure: Failure) -> None:
        if not self._gone:
            self._request.setResponseCode(502)
            self._request.write(failure.getErrorMessage().encode())
            self._request.finish()

    def dataReceived(self, data: bytes) -> None:
        if not self._gone:
            self._request.write(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if not self._gone:
            self._request.finish()


class Forwarder(Resource):
    """Asks a daemon what it is asked.

    :param there: the daemon, ``https://HOST:PORT``.
    :param authority: the file with the certificate that is trusted.
    :ivar here: where it answers, ``http://127.0.0.1:PORT``.
    :ivar spoken: which versions of HTTP the daemon has answered in.
    """

    isLeaf = True

    def __init__(self, reactor: Any, there: str, authority: Path) -> None:
        super().__init__()
        self.spoken: set[tuple[bytes, int, int]] = set()
        self._there = there.encode()
        self._agent = H2Agent(reactor, Trust(str(authority)))
        site: Any = Site(self)
        site.log = lambda request: None
        self._listening: Any = reactor.listenTCP(0, site, interface="127.0.0.1")
        self.here = f"http://127.0.0.1:{self._listening.getHost().port}"

    def close(self) -> Any:
        """Answer no more; fires when all connections are gone."""
        for origin in self._agent.origins.values():
            if origin.current is not None:
                origin.current.transport.abortConnection()
        return self._listening.stopListening()

    def render(self, request: Any) -> int:
        """Called with each request."""
        url = self._there + request.uri
        body = FileBodyProducer(request.content) if request.getHeader("content-length") else None
        asking = self._agent.request(request.method, url, self._fields(request), body)
        Passing(request, asking.addCallback(self._heard))
        return NOT_DONE_YET

    def _heard(self, answer: Any) -> Any:
        self.spoken.add(answer.version)
        return answer

    def _fields(self, request: Any) -> Headers:
        """Those of the request, with the daemon's own name where ours is; others stay."""
        fields = Headers()
        for name, values in request.requestHeaders.getAllRawHeaders():
            if name.lower() not in _OF_THE_CONNECTION:
                here = self.here.encode()
                values = [value.replace(here, self._there) for value in values]
                fields.setRawHeaders(name, [self._named(name, value) for value in values])
        return fields

    def _named(self, name: bytes, value: bytes) -> bytes:
        own = self.here.encode().partition(b"//")[2]
        is_own = name.lower() == b"host" and value in (own, own.replace(b"127.0.0.1", b"localhost"))
        return self._there.partition(b"//")[2] if is_own else value
