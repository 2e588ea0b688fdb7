"""Header fields of HTTP/2: from a list of them to the head of a request, and to bytes. Pure.

RFC 9113 section 8 says which lists are a request at all: a list that is not is *malformed*, and
its stream is reset. What is well formed and still not for us gets an answer that says why, as
over HTTP/1.1. RFC 8441 adds the CONNECT that opens a WebSocket.
"""

from __future__ import annotations

import re
from typing import Any

from mcptwist.protocols import refusals
from mcptwist.protocols.cors import STANDING
from mcptwist.protocols.hpacking import Fields
from mcptwist.protocols.http1syntax import CHUNKED, METHODS
from mcptwist.protocols.limits import Limits
from mcptwist.protocols.refusals import Refusal

__all__ = ["Malformed", "StreamHead", "answer_fields", "read_fields"]


class Malformed(Exception):
    """The fields are no request; the message says why."""


class StreamHead:
    """The head of one request (a :class:`~mcptwist.protocols.httpstream.RequestHead`).

    :ivar method: as sent; GET for one that opens a WebSocket.
    :ivar uri: the target, path and query.
    :ivar path: the target without its query.
    :ivar headers: last value by name; ``:authority`` as ``host``.
    :ivar repeated: all fields in order when a name occurs more than once, else None.
    :ivar length: of the body in bytes; `CHUNKED` when it was not told.
    :ivar expects_continue: whether the client waits for a sign to send the body.
    :ivar size: of all fields, as RFC 9113 section 6.5.2 counts.
    :ivar refusal: why it is answered with a refusal, or None.
    :ivar tunnel: whether it wants to open a WebSocket (RFC 8441).
    """

    __slots__ = (
        "expects_continue",
        "facts",
        "headers",
        "length",
        "method",
        "path",
        "refusal",
        "repeated",
        "size",
        "tunnel",
        "uri",
    )

    #: In place of the minor version of HTTP/1: this is HTTP/2.
    minor = -1

    def __init__(self, method: bytes, uri: bytes) -> None:
        self.method = method
        self.uri = uri
        self.path = uri.partition(b"?")[0]
        self.headers: dict[bytes, bytes] = {}
        self.repeated: list[tuple[bytes, bytes]] | None = None
        self.length = 0
        self.expects_continue = False
        self.facts: dict[str, Any] | None = None
        self.size = 0
        self.refusal: Refusal | None = None
        self.tunnel = False

    @property
    def may_be_kept(self) -> bool:
        """Whether another head like this would be understood in the same way."""
        special = self.refusal or self.tunnel or self.repeated or self.expects_continue
        return not special

    def again(self, length: bytes | None) -> StreamHead:
        """The same head, with another Content-Length or none.

        :raises Malformed: that is no length.
        """
        head = StreamHead(self.method, self.uri)
        head.headers = {**self.headers}
        head.headers.pop(b"content-length", None)
        if length is not None:
            head.headers[b"content-length"] = length
        head.size = self.size
        head.facts = self.facts
        _settle_length(head, False)
        return head


_PSEUDO = frozenset([b":method", b":scheme", b":authority", b":path", b":protocol"])
#: Fields that speak of an HTTP/1.1 connection (RFC 9113 section 8.2.2).
_FOR_CONNECTIONS = frozenset(
    [b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"]
)
_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")
_BAD_VALUE = re.compile(rb"[\x00\r\n]|\A[ \t]|[ \t]\Z")
_CONTROL = re.compile(rb"[\x01-\x08\x0b\x0c\x0e-\x1f\x7f]")
_TARGET = re.compile(rb"/[!\"$-~]*")


def read_fields(fields: Fields, ended: bool, secure: bool, limits: Limits) -> StreamHead:
    """The head that these fields are.

    :param ended: whether the stream ended with them, so that there is no body.
    :param secure: whether the connection is encrypted.
    :raises Malformed: they are no request.
    """
    pseudo: dict[bytes, bytes] = {}
    regular = _split(fields, pseudo)
    head = _target(pseudo)
    head.size = sum(len(name) + len(value) + 32 for name, value in fields)
    head.headers = dict(regular)
    if len(head.headers) != len(regular):
        _settle_repeated(head, regular)
    _check_connection_fields(head.headers)
    _settle_authority(head, pseudo)
    _settle_length(head, ended)
    head.refusal = _objection(head, pseudo, len(fields), secure, limits)
    if head.tunnel:
        _as_upgrade(head)
    return head


class KnownHeads:
    """The heads that came last on one connection, to recognize when they come again.

    Clients repeat themselves: a head is one of the last ones, perhaps with another Content-Length.
    Then there is nothing to look at that was not looked at before, and what a resource concluded
    from it holds (`StreamHead.facts`).
    """

    #: Heads that are kept, and the bytes of the longest of them.
    _MOST = 128
    _MOST_BYTES = 2048

    def __init__(self, secure: bool, limits: Limits) -> None:
        self._secure = secure
        self._limits = limits
        self._heads: dict[tuple[tuple[bytes, bytes], ...], StreamHead] = {}
        self._same: dict[tuple[int, bool], tuple[Fields, StreamHead]] = {}

    def read(self, fields: Fields, ended: bool) -> StreamHead:
        """As :func:`read_fields`, which it spares itself where it can."""
        same = self._same.get((id(fields), ended))
        if same is not None:
            return same[1]
        head = self._read(fields, ended)
        if head.may_be_kept and head.size <= self._MOST_BYTES:
            if len(self._same) >= self._MOST:
                del self._same[next(iter(self._same))]
            # It keeps the fields too: no others can have their identity meanwhile.
            self._same[id(fields), ended] = fields, head
        return head

    def _read(self, fields: Fields, ended: bool) -> StreamHead:
        lengths = [value for name, value in fields if name == b"content-length"]
        if len(lengths) > 1 or ended:
            return read_fields(fields, ended, self._secure, self._limits)
        key = tuple(field for field in fields if field[0] != b"content-length")
        known = self._heads.get(key)
        if known is not None:
            return known.again(lengths[0] if lengths else None)
        head = read_fields(fields, ended, self._secure, self._limits)
        if head.may_be_kept and head.size <= self._MOST_BYTES:
            if len(self._heads) >= self._MOST:
                del self._heads[next(iter(self._heads))]
            head.facts = {}
            self._heads[key] = head
        return head


def check_trailers(fields: Fields) -> None:
    """Look at fields that follow a body; what they say is not used.

    :raises Malformed: they must not be there.
    """
    pseudo: dict[bytes, bytes] = {}
    _split(fields, pseudo)
    if pseudo:
        raise Malformed("a pseudo-header in trailers")


def _split(fields: Fields, pseudo: dict[bytes, bytes]) -> list[tuple[bytes, bytes]]:
    regular: list[tuple[bytes, bytes]] = []
    for name, value in fields:
        if _BAD_VALUE.search(value):
            raise Malformed("a field value with a line break, NUL, or white space around it")
        if name[:1] == b":":
            if regular or name not in _PSEUDO or name in pseudo:
                raise Malformed("a pseudo-header that is late, unknown or repeated")
            pseudo[name] = value
        elif _NAME.fullmatch(name) is None:
            raise Malformed("a field name that is no lower-case token")
        else:
            regular.append((name, value))
    return regular


def _target(pseudo: dict[bytes, bytes]) -> StreamHead:
    method = pseudo.get(b":method")
    if not method:
        raise Malformed("no :method")
    if method == b"CONNECT" and b":protocol" not in pseudo:
        if b":scheme" in pseudo or b":path" in pseudo or not pseudo.get(b":authority"):
            raise Malformed("CONNECT with :scheme or :path, or without :authority")
        return StreamHead(method, b"")
    if b":protocol" in pseudo and method != b"CONNECT":
        raise Malformed(":protocol without CONNECT")
    if not pseudo.get(b":scheme") or not pseudo.get(b":path"):
        raise Malformed("no :scheme or no :path")
    head = StreamHead(method, pseudo[b":path"])
    head.tunnel = method == b"CONNECT"
    return head


def _settle_repeated(head: StreamHead, regular: list[tuple[bytes, bytes]]) -> None:
    """Bring the crumbs of a cookie together (RFC 9113 section 8.2.3), and keep what is repeated."""
    crumbs = [value for name, value in regular if name == b"cookie"]
    if len(crumbs) > 1:
        regular = [pair for pair in regular if pair[0] != b"cookie"]
        regular.append((b"cookie", b"; ".join(crumbs)))
        head.headers[b"cookie"] = regular[-1][1]
    if len(head.headers) == len(regular):
        return
    for name in (b"host", b"content-length"):
        if sum(field == name for field, _ in regular) > 1:
            raise Malformed("Host or Content-Length more than once")
    head.repeated = regular


def _check_connection_fields(headers: dict[bytes, bytes]) -> None:
    if not _FOR_CONNECTIONS.isdisjoint(headers):
        raise Malformed("a field that speaks of an HTTP/1.1 connection")
    if headers.get(b"te", b"trailers") != b"trailers":
        raise Malformed("TE is something else than trailers")


def _settle_authority(head: StreamHead, pseudo: dict[bytes, bytes]) -> None:
    authority = pseudo.get(b":authority")
    host = head.headers.get(b"host")
    if authority is None:
        return
    if host is not None and host != authority:
        raise Malformed("Host is not what :authority is")
    head.headers[b"host"] = authority
    if host is None and head.repeated is not None:
        head.repeated.append((b"host", authority))


def _settle_length(head: StreamHead, ended: bool) -> None:
    told = head.headers.get(b"content-length")
    head.length = 0 if ended else CHUNKED
    if told is not None:
        if not told.isdigit() or len(told) > 15 or (ended and int(told)):
            raise Malformed("Content-Length is no number, or not the body's length")
        head.length = int(told)
    head.expects_continue = b"expect" in head.headers and not ended


def _objection(
    head: StreamHead, pseudo: dict[bytes, bytes], count: int, secure: bool, limits: Limits
) -> Refusal | None:
    """Why a well-formed request is not for us."""
    if len(head.uri) > limits.uri:
        return refusals.URI_TOO_LONG
    if head.size > limits.head:
        return refusals.HEADERS_TOO_LARGE
    if count > limits.headers:
        return refusals.TOO_MANY_HEADERS
    if head.tunnel and pseudo[b":protocol"] != b"websocket":
        return refusals.UNKNOWN_TUNNEL
    if not head.tunnel and head.method not in METHODS:
        known = head.method in (b"TRACE", b"CONNECT")
        return refusals.METHOD_NOT_ALLOWED if known else refusals.UNKNOWN_METHOD
    if pseudo[b":scheme"] != (b"https" if secure else b"http"):
        return refusals.WRONG_SCHEME
    if head.uri == b"*" and head.method != b"OPTIONS":
        return refusals.METHOD_NOT_ALLOWED
    if head.uri != b"*" and _TARGET.fullmatch(head.uri) is None:
        return refusals.BAD_TARGET
    if not head.headers.get(b"host"):
        return refusals.MISSING_HOST
    if head.headers.get(b"expect", b"100-continue").lower() != b"100-continue":
        return refusals.EXPECTATION_FAILED
    if any(map(_CONTROL.search, head.headers.values())):
        return refusals.BAD_HEADER
    return None


#: A client of RFC 8441 has no key to prove that the server speaks WebSocket; HTTP/2 proves it.
_NO_KEY = b"AAAAAAAAAAAAAAAAAAAAAA=="


def _as_upgrade(head: StreamHead) -> None:
    """Say it in the words of HTTP/1.1, which is how a resource knows the wish for a WebSocket."""
    head.method = b"GET"
    head.length = 0
    said = {b"upgrade": b"websocket", b"connection": b"Upgrade", b"sec-websocket-key": _NO_KEY}
    head.headers.update(said)
    if head.repeated is not None:
        head.repeated.extend(said.items())


# ── answers ─────────────────────────────────────────────────────────────────────────────────────

_NOT_SENT = _FOR_CONNECTIONS | {b"content-length", b"date"}
_STANDING = [(name.lower(), value) for name, value in STANDING]
_lowered: dict[bytes, bytes] = {}


def answer_fields(
    status: int, date: bytes, headers: Fields, length: int | None
) -> list[tuple[bytes, bytes]]:
    """The fields of an answer.

    :param date: the value of Date.
    :param length: of the body, None when it is unknown or there is none.
    :raises ValueError: a header contains a line break or NUL, or its name is none.
    """
    fields = [(b":status", b"%d" % status), (b"date", date), *_STANDING]
    for name, value in headers:
        lower = _lowered.get(name) or _lower(name)
        if b"\n" in value or b"\r" in value or b"\0" in value:
            raise ValueError("a response header contains a line break or NUL")
        if lower not in _NOT_SENT:
            fields.append((lower, value.strip(b" \t")))
    if length is not None:
        fields.append((b"content-length", b"%d" % length))
    return fields


def _lower(name: bytes) -> bytes:
    lower = name.lower()
    if _NAME.fullmatch(lower) is None:
        raise ValueError("a response header's name is no token")
    if len(_lowered) >= 512:
        _lowered.clear()
    _lowered[name] = lower
    return lower
