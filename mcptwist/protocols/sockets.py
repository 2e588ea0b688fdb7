"""Writing to a transport at once, where nothing waits before it."""

from __future__ import annotations

from typing import Any

from twisted.internet.tcp import Connection

__all__ = ["write"]


def write(transport: Any, data: bytes) -> None:
    """Give the socket what it takes at once; the rest waits for the reactor as ever.

    Twisted's ``write`` waits for the reactor to find the socket writable, which costs two
    calls to epoll and a turn for each answer; a socket whose buffer is empty nearly always
    takes a small answer whole.

    :param transport: any; one without a socket, or with TLS, is simply written to.
    """
    if isinstance(transport, Connection) and _idle(transport):
        taken = transport.writeSomeData(data)
        if isinstance(taken, int):
            if taken == len(data):
                return
            data = data[taken:]
    transport.write(data)


def _idle(transport: Any) -> bool:
    """Whether a TCP or UNIX transport is open and has nothing left to write."""
    return (
        transport.connected
        and not transport.TLS
        and not transport.disconnecting
        and not transport.dataBuffer
        and not transport._tempDataBuffer
    )
