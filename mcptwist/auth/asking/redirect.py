"""Where a browser brings the code: a port of this machine, open for one answer and not for long.

Whoever else comes here, such as a page that guesses, is told nothing, changes nothing and may come
so often only. What is shown is always the same few lines, which load nothing, run nothing, and are
in no frame. RFC 8252 section 7.3.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from mcptwist.auth.asking.authorization import NotOurs
from mcptwist.errors import McpTwistError, SignInFailed
from mcptwist.protocols.http1syntax import Head, read_head
from mcptwist.protocols.limits import Limits
from mcptwist.protocols.refusals import Refused

LOOPBACK = "127.0.0.1"
PATH = "/callback"
MOST_STRANGERS = 100
"""Requests that are no answer, until nobody is waited for any more."""
_CONNECTIONS, _HEAD_TIME = 16, 10.0
_LIMITS = Limits(head=16 * 1024, uri=12 * 1024)

_HEADERS = (
    "Content-Type: text/html; charset=utf-8",
    "Content-Security-Policy: default-src 'none'; frame-ancestors 'none'; base-uri 'none'; "
    "form-action 'none'",
    "X-Content-Type-Options: nosniff",
    "Referrer-Policy: no-referrer",
    "Cross-Origin-Resource-Policy: same-origin",
    "Cache-Control: no-store",
    "Connection: close",
)
_STATUS = {
    200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed",
    421: "Misdirected Request",
}  # fmt: skip
_WELCOME = "You are logged in as far as the browser goes. Close this page; mcptwist goes on."
_SORRY = "You are not logged in. Close this page; mcptwist tells why."
_STRANGER = "Nothing is here for you."

Read = Callable[[str], str]


class Redirect(Factory):
    """Waits for one answer.

    :param read: the code in the query of a URL; raises ``NotOurs``, or ``SignInFailed``.
    :ivar answered: fires with the code. Cancelling it waits no more.
    :ivar uri: where a browser is to come; set by :meth:`listen`.
    """

    log = Logger()
    noisy = False

    def __init__(self, clock: IReactorTime) -> None:
        self.clock = clock
        self.uri = ""
        self.answered: Deferred[str] = Deferred(lambda _: self.stop())
        self._read: Read | None = None
        self._port: Any = None
        self._open: set[_Visit] = set()
        self._strangers = 0

    def listen(self, reactor: Any, port: int = 0) -> None:
        """Open the port.

        :param port: 0 for any that is free.
        :raises CannotListenError: it is taken.
        """
        self._port = reactor.listenTCP(port, self, backlog=_CONNECTIONS, interface=LOOPBACK)
        self.uri = f"http://{LOOPBACK}:{self._port.getHost().port}{PATH}"

    def expect(self, read: Read) -> Deferred[str]:
        """Take an answer from now on."""
        self._read = read
        return self.answered

    def stop(self) -> None:
        """Close the port, and who is there."""
        port, self._port, self._read = self._port, None, None
        if port is not None:
            port.stopListening()
        for visit in list(self._open):
            visit.leave()
        self.answered.addErrback(lambda _: None)  # nobody may be waiting yet

    def buildProtocol(self, addr: IAddress | None) -> _Visit | None:
        """Called when somebody comes."""
        if self._port is None or len(self._open) >= _CONNECTIONS:
            return None
        visit = _Visit(self)
        self._open.add(visit)
        return visit

    def gone(self, visit: _Visit) -> None:
        """Somebody left."""
        self._open.discard(visit)

    def judge(self, head: Head) -> tuple[int, str]:
        """What a request is answered with; the port is closed by the one that is waited for."""
        host = head.headers.get(b"host", b"").decode("latin-1")
        if f"http://{host}{PATH}" != self.uri:
            return self._stranger(421)
        if head.path != PATH.encode():
            return self._stranger(404)
        if head.method != b"GET":
            return self._stranger(405)
        if self._read is None:
            return self._stranger(400)
        query = head.uri.partition(b"?")[2].decode("latin-1")
        try:
            code = self._read(query)
        except NotOurs:
            return self._stranger(400)
        except McpTwistError as problem:
            self._end(Failure(problem))
            return 200, _SORRY
        self._end(code)
        return 200, _WELCOME

    def _stranger(self, status: int) -> tuple[int, str]:
        self._strangers += 1
        self.log.debug("a request that is no answer: {status}", status=status)
        if self._strangers >= MOST_STRANGERS:
            self._end(Failure(SignInFailed("too many came to the port who were not waited for")))
        return status, _STRANGER

    def _end(self, outcome: str | Failure) -> None:
        port, self._port, self._read = self._port, None, None
        if port is not None:
            port.stopListening()
        if not self.answered.called:
            self.clock.callLater(0, self._tell, outcome)

    def _tell(self, outcome: Any) -> None:
        if not self.answered.called:
            self.answered.callback(outcome)


class _Visit(Protocol):
    """One connection; it carries one request."""

    transport: Any

    def __init__(self, redirect: Redirect) -> None:
        self._redirect = redirect
        self._buffer = b""
        self._is_answered = False
        self._late: Any = None

    def connectionMade(self) -> None:
        """Called when somebody is there."""
        self._late = self._redirect.clock.callLater(_HEAD_TIME, self.leave)

    def dataReceived(self, data: bytes) -> None:
        """Called with what they send."""
        if self._is_answered:
            return
        self._buffer += data
        try:
            head = read_head(self._buffer, _LIMITS)
        except Refused:
            self._answer(400, _STRANGER)
            return
        if head is not None:
            self._answer(*self._redirect.judge(head))

    def leave(self) -> None:
        """Wait for them no more."""
        if not self._is_answered:
            self.transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Called when they are gone."""
        if self._late.active():
            self._late.cancel()
        self._redirect.gone(self)

    def _answer(self, status: int, text: str) -> None:
        self._is_answered = True
        body = page(text)
        lines = [f"HTTP/1.1 {status} {_STATUS[status]}", *_HEADERS, f"Content-Length: {len(body)}"]
        self.transport.write("\r\n".join([*lines, "", ""]).encode() + body)
        self.transport.loseConnection()


def page(text: str) -> bytes:
    """A page that says *text*, which is one of ours."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>mcptwist</title>'
        f"</head><body><p>{text}</p></body></html>\n"
    ).encode()
