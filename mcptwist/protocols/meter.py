"""What is counted of one connection, and who was last heard on it. Pure."""

from __future__ import annotations

from typing import Any

__all__ = ["HTTP1", "HTTP2", "SOCKET", "SSE", "WEBSOCKET", "Meter"]

HTTP1, HTTP2, WEBSOCKET, SSE, SOCKET = "http/1.1", "h2", "websocket", "http+sse", "socket"


class Meter:
    """One connection's.

    :param wire: what is spoken on it, one of the constants above.
    :param now: when it was made, in the clock's seconds.
    :ivar number: what people know it by; 0 until somebody asks.
    :ivar received: bytes from the client, after TLS.
    :ivar sent: bytes to it.
    :ivar requests: it has made.
    :ivar tls: how it is encrypted, for people; empty if it is not.
    :ivar stay: the last one heard on it (:class:`~mcptwist.interfaces.IStay`), or None.
    :ivar caller: the client, where it has the connection to itself, or None.
    """

    __slots__ = (
        "_known",
        "_used",
        "began",
        "caller",
        "number",
        "received",
        "requests",
        "sent",
        "stay",
        "tls",
        "wire",
    )

    def __init__(self, wire: str, now: float) -> None:
        self.wire = wire
        self.began = now
        self.number = 0
        self.received = 0
        self.sent = 0
        self.requests = 0
        self.tls = ""
        self.stay: Any = None
        self.caller: Any = None
        self._used = now
        self._known = 0

    def last_used(self, now: float) -> float:
        """When something passed last, as exactly as this is asked often.

        Taking the time of each read would cost more than everything else here.
        """
        moved = self.received + self.sent
        if moved != self._known:
            self._known = moved
            self._used = now
        return self._used
