"""What is answered over HTTP/2, as an :class:`twisted.web.iweb.IResponse`."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from twisted.internet.error import ConnectionAborted
from twisted.internet.interfaces import IProtocol, IPushProducer
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone, ResponseFailed
from twisted.web.http_headers import Headers
from twisted.web.iweb import UNKNOWN_LENGTH, IResponse
from zope.interface import implementer

from mcptwist.protocols import h2frames as frames
from mcptwist.protocols.h2frames import ConnectionFailed
from mcptwist.protocols.hpacking import Fields

if TYPE_CHECKING:
    from mcptwist.protocols.h2client import HTTP2Client
    from mcptwist.protocols.h2question import Question

__all__ = ["Answer"]

_DIGITS = 18
_PHRASES = {status.value: status.phrase.encode() for status in HTTPStatus}


@implementer(IResponse)
class Answer:
    """The answer to one request; its body comes when it is asked for.

    :ivar request: what was asked.
    """

    version = (b"HTTP", 2, 0)
    previousResponse: Any = None

    def __init__(self, question: Question, connection: HTTP2Client, fields: Fields) -> None:
        self.request = question
        self.headers = Headers()
        self.code = 0
        for name, value in fields:
            if name == b":status":
                self.code = _number(value)
            else:
                self.headers.addRawHeader(name, value)
        self.phrase = _PHRASES.get(self.code, b"")
        length = self.headers.getRawHeaders(b"content-length")
        self.length: Any = _number(length[0]) if length else UNKNOWN_LENGTH
        self._flow = _Flow(question, connection)

    def setPreviousResponse(self, response: IResponse) -> None:
        """Part of the interface: what a redirect was followed from."""
        self.previousResponse = response

    def deliverBody(self, protocol: IProtocol) -> None:
        """Give the body to *protocol*, whose transport can be paused, resumed and lost."""
        self._flow.deliver(self, protocol)

    def received(self, data: bytes, cost: int) -> None:
        """Called by the connection with some of the body, and what it takes of the windows."""
        self._flow.received(data, cost)

    def ended(self, reason: Failure | None) -> None:
        """Called by the connection when there is no more, and why if it is not the end."""
        if reason is not None:
            reason = Failure(ResponseFailed([reason], self))
        self._flow.ended(reason or Failure(ResponseDone("Response body fully received")))


def _number(value: bytes) -> int:
    """:raises ConnectionFailed: it is none."""
    if not value.isdigit() or len(value) > _DIGITS:
        raise ConnectionFailed(frames.PROTOCOL_ERROR, "a number in the head of an answer is none")
    return int(value)


@implementer(IPushProducer)
class _Flow:
    """The body of an answer, and the transport of who reads it."""

    _log = Logger()

    disconnecting = False

    def __init__(self, question: Question, connection: HTTP2Client) -> None:
        self._question = question
        self._connection = connection
        self._answer: Answer | None = None
        self._reader: Any = None
        self._paused = True  # nobody reads yet
        self._delivering = False
        self._held: list[bytes] = []
        self._cost = 0
        self._end: Failure | None = None
        self._over = False

    def deliver(self, answer: Answer, reader: IProtocol) -> None:
        if self._reader is not None:
            raise RuntimeError("The body of this answer was delivered before.")
        self._answer = answer
        self._reader = reader
        reader.makeConnection(self)  # type: ignore[arg-type]
        self.resumeProducing()

    def received(self, data: bytes, cost: int) -> None:
        if self.disconnecting:
            self._connection.hand_back(self._question, cost)
            return
        self._held.append(data)
        self._cost += cost
        self._go_on()

    def ended(self, reason: Failure) -> None:
        if self._end is None:
            self._end = reason
            self._go_on()

    def _go_on(self) -> None:
        """Tell the reader what there is, as long as it wants to hear."""
        if self._delivering or self._reader is None:
            return
        self._delivering = True
        try:
            while self._held and not self._paused:
                self._tell()
            if self._end is not None and not self._held and not self._over:
                self._over = True
                self._reader.connectionLost(self._end)
        except Exception:
            self._log.failure("who reads an answer cannot")
            self.loseConnection()
        finally:
            self._delivering = False

    def _tell(self) -> None:
        held, self._held = self._held, []
        cost, self._cost = self._cost, 0
        self._connection.hand_back(self._question, cost)
        self._reader.dataReceived(held[0] if len(held) == 1 else b"".join(held))

    # -- the reader's transport ----------------------------------------------------------

    def pauseProducing(self) -> None:
        """Hold the body back."""
        self._paused = True

    def resumeProducing(self) -> None:
        """Let it come."""
        self._paused = self.disconnecting
        self._go_on()

    def stopProducing(self) -> None:
        """The same as :meth:`loseConnection`."""
        self.loseConnection()

    def loseConnection(self) -> None:
        """No more is wanted: the stream ends, and the reader is told on the next turn."""
        if self.disconnecting or self._over:
            return
        self.disconnecting = True
        self._paused = True
        self._held.clear()
        cost, self._cost = self._cost, 0
        connection = self._connection
        connection.hand_back(self._question, cost)
        connection.give_up(self._question)
        reason = ResponseFailed([Failure(ConnectionAborted("nobody wants it"))], self._answer)
        self._end = self._end or Failure(reason)
        connection.later(self._go_on)

    abortConnection = loseConnection
