"""The seam between requests and the wires they come by.

An HTTP/1.1 connection provides :class:`IHTTPStream` for the request it is answering, an HTTP/2
stream for its own; a :class:`~mcptwist.protocols.request.Request` knows no more of either.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from twisted.internet.interfaces import IProtocol, IPushProducer
from zope.interface import Attribute, Interface

__all__ = ["HeaderList", "IHTTPStream", "RequestHead"]

HeaderList = Sequence[tuple[bytes, bytes]]


class RequestHead(Protocol):
    """What a wire tells about a request before its body.

    :class:`mcptwist.protocols.http1syntax.Head` says what each attribute means; `length` is
    negative when nobody told it beforehand.
    """

    method: bytes
    uri: bytes
    path: bytes
    headers: dict[bytes, bytes]
    repeated: list[tuple[bytes, bytes]] | None
    length: int
    minor: int
    facts: dict[str, Any] | None


class IHTTPStream(Interface):
    """The way back for one request: what a wire offers to the request it carries.

    Every answer it sends has the headers of :data:`mcptwist.protocols.cors.STANDING` besides those
    it is given.

    The stream calls ``request.body_received(data, last)`` with the body, after
    :meth:`resume_body`, and ``request.lost(reason)`` when the far end goes away before the
    answer is finished.
    """

    connection = Attribute("What carries the stream; shared by all requests that came by it.")
    counters = Attribute("The listener's Counters.")
    clock = Attribute("IReactorTime.")
    peer = Attribute("IAddress of the far end.")
    host = Attribute("IAddress of our end.")
    port = Attribute("The port of our end, None where there is none: int | None.")
    is_secure = Attribute("Whether the connection is encrypted: bool.")
    trusted_host = Attribute("The last Host that was found good on this connection, or None.")

    def respond(status: int, headers: HeaderList, pieces: Sequence[bytes], close: bool) -> None:
        """Send a whole answer and end it.

        :param close: close the connection after it.
        :raises ValueError: a header contains a line break or NUL; nothing was sent.
        """

    def start(status: int, headers: HeaderList, length: int | None) -> None:
        """Send the head of an answer now; the body follows.

        :param length: of the body in bytes, None when unknown.
        :raises ValueError: as :meth:`respond`.
        """

    def write(pieces: Sequence[bytes]) -> None:
        """Send more of the body; large pieces are not copied but sent in slices."""

    def finish() -> None:
        """The body is complete."""

    def abort() -> None:
        """Give the answer up so that the far end notices that it is not whole."""

    def whole_body() -> bytes | None:
        """The whole body, if all of it is here and none was delivered; it is delivered then."""

    def resume_body() -> None:
        """Deliver the request's body (and ask for it, where it waits to be asked)."""

    def pause_body() -> None:
        """Stop delivering until `resume_body`."""

    def register_producer(producer: IPushProducer) -> None:
        """Pause and resume what makes the body, as the far end takes it."""

    def unregister_producer() -> None:
        """The body is not made by a producer any more."""

    def backlog() -> int:
        """Bytes accepted from the request and not yet given to the operating system."""

    def upgrade(protocol: IProtocol) -> None:
        """Hand the connection, and what was read ahead, to another protocol for good.

        :raises RuntimeError: the stream shares its connection with others.
        """
