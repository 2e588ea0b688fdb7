"""The grammar of an HTTP/1.1 request: a head and a chunked body, from bytes to values.

Pure: bytes in, values or :class:`~mcptwist.protocols.refusals.Refused` out. llhttp (through
httptools) reads the header fields; what it lets pass and a strict door must not is checked here
(RFC 9112 sections 2-7): the request line, one Host, one way of framing the body.

A head is judged by what precedes the first mistake in it, however the bytes were cut into
segments, so the same stream of bytes always gets the same answer.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import httptools

from mcptwist.protocols import refusals
from mcptwist.protocols.limits import Limits
from mcptwist.protocols.refusals import Refusal, Refused

__all__ = ["CHUNKED", "ChunkedBody", "Head", "KnownHead", "read_head"]

#: `Head.length` of a body whose length is told by its chunks.
CHUNKED = -1

METHODS = frozenset([b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS"])
_KNOWN_BUT_REFUSED = frozenset([b"TRACE", b"CONNECT"])

#: Any request line; what is wrong with it is found out afterwards.
_REQUEST_LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+) ([!-~]+) HTTP/([0-9])\.([0-9])\r\n")
#: Nearly every request line: a method we serve and a target in origin form. Nothing is wrong.
_PLAIN_LINE = re.compile(
    rb"(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS) (/[!\"$-~]*) HTTP/1\.([01])\r\n"
)
_ABSOLUTE = re.compile(rb"https?://([^/?]+)(.*)", re.IGNORECASE)
_CONTROL = re.compile(rb"\x00|\r(?=[^\n])|(?<!\r)\n")
#: Room in the request line for everything but the target.
_LINE_SLACK = 64


class Head:
    """The head of one request. Not changed once it was read, so it may be read again.

    :ivar method: as sent.
    :ivar uri: the target in origin form (path and query).
    :ivar path: the target without its query.
    :ivar minor: 1 for HTTP/1.1, 0 for HTTP/1.0.
    :ivar headers: last value by lower-cased name.
    :ivar repeated: all fields in order when a name occurs more than once, else None.
    :ivar length: of the body in bytes; `CHUNKED` when it will be told.
    :ivar keep_alive: whether the client wants the connection kept.
    :ivar expects_continue: whether it waits for ``100 Continue``.
    :ivar raw: the head itself, blank line included.
    """

    __slots__ = (
        "expects_continue",
        "facts",
        "headers",
        "keep_alive",
        "length",
        "method",
        "minor",
        "path",
        "raw",
        "repeated",
        "uri",
    )

    def __init__(self, method: bytes, uri: bytes, minor: int, raw: bytes) -> None:
        self.method = method
        self.uri = uri
        query = uri.find(b"?")
        self.path = uri if query < 0 else uri[:query]
        self.minor = minor
        self.raw = raw
        self.headers: dict[bytes, bytes] = {}
        self.repeated: list[tuple[bytes, bytes]] | None = None
        self.length = 0
        self.keep_alive = minor == 1
        self.expects_continue = False
        self.facts: dict[str, Any] | None = None


def read_head(buffer: bytes, limits: Limits) -> Head | None:
    """Read the head at the start of `buffer`.

    :return: the head, or None while it is incomplete.
    :raises Refused: as soon as the bytes so far cannot become a head we accept.
    """
    line = _PLAIN_LINE.match(buffer)
    if line is None or line.end() > limits.uri:
        line = _REQUEST_LINE.match(buffer)
        if line is None and buffer[:1] == b"\r":
            # RFC 9112 section 2.2: one empty line before the request line is ignored.
            return _read_after_empty_line(buffer, limits)
        if line is None:
            _judge_without_request_line(buffer, limits)
            return None
        _check_request_line(line, limits)
    end = buffer.find(b"\r\n\r\n", 0, limits.head)
    if end < 0:
        _judge_without_end(buffer, limits)
        return None
    raw = buffer[: end + 4]
    head = Head(line[1], line[2], 0 if line[0].endswith(b"0\r\n") else 1, raw)
    _read_headers(head, limits)
    _frame(head)
    if line.re is not _PLAIN_LINE:
        _settle_target(head)
    return head


def _read_headers(head: Head, limits: Limits) -> None:
    raw = head.raw
    fields: dict[bytes, bytes] = {}
    _read_fields(raw, fields.setdefault)
    if b" \r\n" in raw or b"\t\r\n" in raw:
        fields = {name: value.rstrip(b" \t") for name, value in fields.items()}
    head.headers = {name.lower(): value for name, value in fields.items()}
    # Every line ends in LF, the request line and the blank line as well.
    count = raw.count(b"\n") - 2
    if count > limits.headers:
        raise Refused(refusals.TOO_MANY_HEADERS)
    if len(head.headers) != count:
        head.repeated = _repeated(raw)
        head.headers = dict(head.repeated)


def _read_after_empty_line(buffer: bytes, limits: Limits) -> Head | None:
    rest = buffer[2:]
    if buffer[:2] != b"\r\n"[: len(buffer)] or rest[:1] == b"\r":
        raise Refused(refusals.BAD_REQUEST_LINE)
    head = read_head(rest, limits) if rest else None
    if head is not None:
        head.raw = b"\r\n" + head.raw
    return head


def _check_request_line(line: re.Match[bytes], limits: Limits) -> None:
    method, target, major, minor = line.groups()
    if len(target) > limits.uri or line.end() > limits.uri + _LINE_SLACK:
        raise Refused(refusals.URI_TOO_LONG)
    if major != b"1":
        raise Refused(refusals.UNSUPPORTED_VERSION)
    if minor not in b"01":
        raise Refused(refusals.BAD_VERSION)
    if method not in METHODS:
        known = method in _KNOWN_BUT_REFUSED
        raise Refused(refusals.METHOD_NOT_ALLOWED if known else refusals.UNKNOWN_METHOD)


def _judge_without_request_line(buffer: bytes, limits: Limits) -> None:
    """Refuse what cannot become a request line, or wait for more of it."""
    longest = min(limits.uri + _LINE_SLACK, limits.head)
    end = buffer.find(b"\n", 0, longest) + 1
    if _CONTROL.search(buffer, 0, end or longest):
        raise Refused(refusals.BAD_LINE_ENDING)
    if end:
        raise Refused(refusals.BAD_REQUEST_LINE)
    if len(buffer) >= longest:
        raise Refused(refusals.URI_TOO_LONG)


def _judge_without_end(buffer: bytes, limits: Limits) -> None:
    """Refuse what cannot become the end of a head, or wait for more of it."""
    if _CONTROL.search(buffer, 0, limits.head):
        raise Refused(refusals.BAD_LINE_ENDING)
    if len(buffer) >= limits.head:
        raise Refused(refusals.HEADERS_TOO_LARGE)


class _Sink:
    """What httptools calls: only header fields; the rest of the request line is ours."""

    __slots__ = ("on_header",)

    def __init__(self, on_header: Callable[[bytes, bytes], object]) -> None:
        self.on_header = on_header


def _read_fields(raw: bytes, on_header: Callable[[bytes, bytes], object]) -> None:
    try:
        httptools.HttpRequestParser(_Sink(on_header)).feed_data(raw)
    except httptools.HttpParserUpgrade:
        pass  # the fields were read; whether to upgrade is the resource's to say
    except httptools.HttpParserError as error:
        raise Refused(_explanation(raw, error)) from None


def _explanation(raw: bytes, error: Exception) -> Refusal:
    """Which refusal llhttp's objection stands for."""
    if _CONTROL.search(raw):
        return refusals.BAD_LINE_ENDING
    said = str(error)
    if "Transfer-Encoding" in said:
        return refusals.BAD_TRANSFER_ENCODING
    if "Content-Length" in said:
        return refusals.BAD_LENGTH
    if isinstance(error, httptools.HttpParserInvalidURLError):
        return refusals.BAD_TARGET
    return refusals.BAD_HEADER


def _repeated(raw: bytes) -> list[tuple[bytes, bytes]]:
    fields: list[tuple[bytes, bytes]] = []
    _read_fields(raw, lambda name, value: fields.append((name.lower(), value.rstrip(b" \t"))))
    for name, refusal in _ONLY_ONCE:
        if sum(field[0] == name for field in fields) > 1:
            raise Refused(refusal)
    return fields


_ONLY_ONCE = (
    (b"host", refusals.SEVERAL_HOSTS),
    (b"content-length", refusals.BAD_LENGTH),
    (b"transfer-encoding", refusals.BAD_TRANSFER_ENCODING),
)


def _frame(head: Head) -> None:
    """How long the body is, whether the connection stays (RFC 9112 sections 3.2, 6, 9.3)."""
    headers = head.headers
    if b"host" not in headers and head.minor == 1:
        raise Refused(refusals.MISSING_HOST)
    length = headers.get(b"content-length")
    if length is not None:
        if not length.isdigit() or len(length) > 15:
            raise Refused(refusals.BAD_LENGTH)
        head.length = int(length)
    if b"transfer-encoding" in headers:
        coding = headers[b"transfer-encoding"].lower()
        if length is not None or head.minor == 0 or coding != b"chunked":
            raise Refused(refusals.BAD_TRANSFER_ENCODING)
        head.length = CHUNKED
    if b"expect" in headers:
        if headers[b"expect"].lower() != b"100-continue":
            raise Refused(refusals.EXPECTATION_FAILED)
        head.expects_continue = head.minor == 1 and head.length != 0
    if b"connection" in headers:
        _settle_connection(head)


def _settle_connection(head: Head) -> None:
    wishes = {
        wish.strip(b" \t").lower()
        for name, value in head.repeated or head.headers.items()
        if name == b"connection"
        for wish in value.split(b",")
    }
    if b"close" in wishes:
        head.keep_alive = False
    elif b"keep-alive" in wishes:
        head.keep_alive = True


def _settle_target(head: Head) -> None:
    """Bring the target into origin form (RFC 9112 section 3.2)."""
    uri = head.uri
    if b"#" in uri:
        raise Refused(refusals.BAD_TARGET)
    if uri[:1] == b"/" or (uri == b"*" and head.method == b"OPTIONS"):
        return
    if uri == b"*":
        raise Refused(refusals.METHOD_NOT_ALLOWED)
    absolute = _ABSOLUTE.fullmatch(uri)
    if absolute is None or absolute[1].lower() != head.headers.get(b"host", b"").lower():
        raise Refused(refusals.BAD_TARGET)
    rest = absolute[2]
    head.uri = rest if rest[:1] == b"/" else b"/" + rest
    head.path = head.uri.partition(b"?")[0]


class KnownHead:
    """A head that was read, to recognize by its bytes when it comes again.

    Clients repeat themselves: on one connection the next head is the last one, perhaps with
    another Content-Length. Then there is nothing to read that has not been read before.
    """

    __slots__ = ("_after", "_before", "_raw", "head")

    _LENGTH = re.compile(rb"\r\ncontent-length: ?([0-9]+)\r\n", re.IGNORECASE)

    def __init__(self, head: Head) -> None:
        self.head = head
        head.facts = {}
        self._raw = head.raw
        self._before = self._after = b""
        length = self._LENGTH.search(head.raw)
        if length is not None and head.repeated is None and b"expect" not in head.headers:
            self._before, self._after = head.raw[: length.start(1)], head.raw[length.end(1) :]

    def again(self, buffer: bytes) -> Head | None:
        """The head at the start of `buffer`, if it is this one but for the body's length."""
        if buffer.startswith(self._raw):
            return self.head
        before, after = self._before, self._after
        if not before or not buffer.startswith(before):
            return None
        at = len(before)
        end = buffer.find(b"\r", at, at + 16)
        digits = buffer[at:end]
        if end < 0 or not digits.isdigit() or not buffer.startswith(after, end):
            return None
        known = self.head
        raw = buffer[: end + len(after)]
        head = Head(known.method, known.uri, known.minor, raw)
        head.headers = {**known.headers, b"content-length": digits}
        head.length = int(digits)
        head.keep_alive = known.keep_alive
        head.facts = known.facts
        self.head, self._raw = head, raw
        return head


class ChunkedBody:
    """A chunked body being read (RFC 9112 section 7.1); trailers are checked and dropped.

    Feed it bytes with :meth:`feed`; :attr:`ended` tells when the last chunk was read.
    """

    _SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,12})(?:[ \t]*;[\t -~]*)?\r\n")
    _TRAILER_LINE = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t -~\x80-\xff]*\r\n")
    _LONGEST_LINE = 1024
    _MOST_TRAILERS = 32

    def __init__(self) -> None:
        self.ended = False
        self._left = 0  # of the chunk being read
        self._closing = False  # the CRLF after a chunk's data comes next
        self._trailers = -1  # how many were read; -1 before the last chunk

    def feed(self, buffer: bytes) -> tuple[list[bytes], bytes]:
        """Read as much as there is, up to the first mistake.

        :return: the pieces of the body found, and the bytes not used: an incomplete line, or
            what follows the body when it `ended`, or a mistake, which the next call is for.
        :raises Refused: the framing is malformed right at the start of `buffer`.
        """
        pieces: list[bytes] = []
        at = 0
        while not self.ended:
            if self._left:
                piece = buffer[at : at + self._left]
                if not piece:
                    break
                pieces.append(piece)
                at += len(piece)
                self._left -= len(piece)
                self._closing = not self._left
                continue
            try:
                end = self._line_end(buffer, at)
                if end < 0:
                    break
                self._line(buffer[at:end])
            except Refused:
                if not pieces:
                    raise
                break
            at = end
        return pieces, buffer[at:]

    def _line_end(self, buffer: bytes, at: int) -> int:
        longest = 2 if self._closing else self._LONGEST_LINE
        end = buffer.find(b"\n", at, at + longest) + 1
        if end and buffer[end - 2 : end] == b"\r\n" and end - at >= 2:
            return end
        if end or len(buffer) - at >= longest:
            raise Refused(refusals.BAD_CHUNK)
        return -1

    def _line(self, line: bytes) -> None:
        if self._closing:
            self._closing = False
        elif self._trailers >= 0:
            self._trailer(line)
        else:
            size = self._SIZE_LINE.fullmatch(line)
            if size is None:
                raise Refused(refusals.BAD_CHUNK)
            self._left = int(size[1], 16)
            self._trailers = -1 if self._left else 0

    def _trailer(self, line: bytes) -> None:
        if line == b"\r\n":
            self.ended = True
            return
        self._trailers += 1
        if self._trailers > self._MOST_TRAILERS or not self._TRAILER_LINE.fullmatch(line):
            raise Refused(refusals.BAD_CHUNK)
