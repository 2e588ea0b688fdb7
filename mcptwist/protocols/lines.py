"""Bytes in, lines out: how messages are framed on a byte stream.

A line ends with a line feed; a carriage return before it is tolerated and
empty lines are passed over. The work is proportional to the bytes fed,
however they were cut, and what is kept is bounded: a line over the limit is
dropped up to its end and reported once. The limit does not depend on where
the reads happened to fall.

MCP 2026-07-28, *stdio*: messages are delimited by newlines.
"""

from __future__ import annotations

from collections.abc import Callable

from mcptwist.errors import ClientError

LINE_LIMIT = 64 << 20
READ_SIZE = 1 << 16


class LineTooLong(ClientError):
    """A line was dropped, for it is longer than the limit allows."""

    code = "line-too-long"
    status = 413


class LineSplitter:
    """Cuts a stream of bytes into lines.

    :param received: told each line, without its end.
    :param too_long: told once for each line that was dropped.
    :param limit: bytes a line may have before its line feed.
    """

    __slots__ = ("_dropping", "_held", "_limit", "_received", "_too_long")

    def __init__(
        self,
        received: Callable[[bytes], None],
        too_long: Callable[[LineTooLong], None],
        limit: int = LINE_LIMIT,
    ) -> None:
        self._received = received
        self._too_long = too_long
        self._limit = limit
        # One growing buffer, not a list of parts: a far end that writes byte
        # by byte must not cost an object for each.
        self._held = bytearray()
        self._dropping = False

    @property
    def held(self) -> int:
        """Bytes of the unfinished line."""
        return len(self._held)

    def feed(self, data: bytes) -> None:
        """Take what was read and tell the lines it completes."""
        if self._held or self._dropping:
            end = data.find(b"\n")
            if end < 0:
                self._hold(data)
                return
            self._finish_held(data, end)
            data = data[end + 1 :]
        lines = data.split(b"\n")
        rest = lines.pop()
        for line in lines:
            self._tell(line)
        if rest:
            self._hold(rest)

    def end(self) -> None:
        """The stream is over: what is left is a line, though nothing ended it."""
        self._finish_held(b"", 0)

    def _hold(self, data: bytes) -> None:
        if self._dropping:
            return
        if len(self._held) + len(data) > self._limit:
            self._held = bytearray()
            self._dropping = True
            self._report()
        else:
            self._held += data

    def _finish_held(self, data: bytes, end: int) -> None:
        if end:
            self._hold(data[:end])
        if self._dropping:
            self._dropping = False
            return
        # A long line stands here twice for a moment, and once by the time it is told.
        if self._held[-1:] == b"\r":
            del self._held[-1:]
        line = bytes(self._held)
        self._held = bytearray()
        if line:
            self._received(line)

    def _tell(self, line: bytes) -> None:
        if len(line) > self._limit:
            self._report()
        elif line.endswith(b"\r"):
            if len(line) > 1:
                self._received(line[:-1])
        elif line:
            self._received(line)

    def _report(self) -> None:
        self._too_long(
            LineTooLong(
                f"a line of more than {self._limit} bytes was dropped; "
                "raise the line limit if the far end means it",
                limit=self._limit,
            )
        )
