"""The heads of HTTP/1.1 answers, as bytes (RFC 9112 section 4). Pure."""

from __future__ import annotations

from http import HTTPStatus

from twisted.web.http import NO_BODY_CODES

from mcptwist.protocols.cors import STANDING
from mcptwist.protocols.httpstream import HeaderList

__all__ = ["CLOSE", "KEEP_ALIVE", "AnswerHeads"]

CLOSE = b"Connection: close\r\n"
KEEP_ALIVE = b"Connection: keep-alive\r\n"

_STANDING = b"".join(b"%b: %b\r\n" % header for header in STANDING)
_STATUS_LINES = {
    status.value: b"HTTP/1.1 %d %b\r\n" % (status.value, status.phrase.encode("ascii"))
    for status in HTTPStatus
}


class AnswerHeads:
    """The heads of the answers on one connection, which are mostly alike.

    The last one's status line and headers are kept, to be said again where nothing changed.
    """

    __slots__ = ("_block", "_headers", "_status")

    def __init__(self) -> None:
        self._status = 0
        self._headers: list[tuple[bytes, bytes]] = []
        self._block = b""

    def head(
        self, status: int, headers: HeaderList, more: bytes, length: int | None, chunked: bool
    ) -> bytes:
        """One head, blank line included.

        :param more: further header lines, each with its line ending.
        :param length: of the body in bytes; None where it is not known, or told by its chunks.
        :raises ValueError: a header would be more than one line.
        """
        if self._status != status or self._headers != headers:
            self._block = _header_block(status, headers)
            self._status, self._headers = status, list(headers)
        if chunked:
            return b"%b%bTransfer-Encoding: chunked\r\n\r\n" % (self._block, more)
        if length is None or status in NO_BODY_CODES:
            return b"%b%b\r\n" % (self._block, more)
        return b"%b%bContent-Length: %d\r\n\r\n" % (self._block, more, length)


def _header_block(status: int, headers: HeaderList) -> bytes:
    lines = [_STATUS_LINES.get(status) or b"HTTP/1.1 %d Unknown\r\n" % status]
    lines += [b"%b: %b\r\n" % header for header in headers]
    block = b"".join(lines)
    # One line each, or somebody's value would become a header, or an answer, of its own.
    count = len(lines)
    if block.count(b"\n") != count or block.count(b"\r") != count or b"\0" in block:
        raise ValueError("a response header contains a line break or NUL")
    return block + _STANDING
