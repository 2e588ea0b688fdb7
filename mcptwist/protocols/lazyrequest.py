"""What was asked over HTTP, read by whoever answers it, and built only where it is asked for.

A :class:`LazyRequest` is the half of :class:`~mcptwist.protocols.request.Request` that looks back
at the head. It has Twisted's way of reading it, and a shorter one for our own resources: see
:meth:`LazyRequest.header`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IAddress
from twisted.web import http
from twisted.web.http_headers import Headers
from twisted.web.server import Request as StockRequest

from mcptwist.protocols.httpstream import RequestHead

__all__ = ["LazyRequest", "Omission"]

_LENGTH = b"content-length"
_FORM = b"application/x-www-form-urlencoded"


def _values(
    headers: dict[bytes, bytes], repeated: list[tuple[bytes, bytes]] | None, name: bytes
) -> list[bytes]:
    """All values of a header, by a head's last ones and its fields if any came twice."""
    if repeated is not None:
        return [value for field, value in repeated if field == name]
    value = headers.get(name)
    return [] if value is None else [value]


def _without(headers: dict[bytes, bytes], names: frozenset[bytes]) -> dict[bytes, bytes]:
    return {name: value for name, value in headers.items() if name not in names}


def _with_length(headers: dict[bytes, bytes], length: bytes | None) -> dict[bytes, bytes]:
    if length is not None:
        return {**headers, _LENGTH: length}
    return {name: value for name, value in headers.items() if name != _LENGTH}


class LazyRequest(StockRequest):
    """What was asked.

    It is Twisted's request with everything costly put off until asked for: ``requestHeaders``,
    ``args``, cookies and ``responseHeaders`` do not exist before they are touched. Multipart
    forms are not parsed into ``args``.

    :param stream: what it came by, an ``IHTTPStream``.
    :param head: what was told before the body.
    :ivar method: the method, upper case.
    :ivar uri: the target in origin form, path and query.
    :ivar path: the target without its query.
    :ivar fields: the headers by their lower-case names; of several, the last.
    :ivar content_length: of the body; negative when it was not told beforehand.
    :ivar facts: what was concluded from the head, to be reused as long as the same connection
        sends the same head but for its Content-Length; None where heads are not compared.
    """

    def __init__(self, stream: Any, head: RequestHead) -> None:
        # The stock __init__ builds what is lazy here; nothing of it is needed.
        self.stream = stream
        self.fields = head.headers
        self._repeated = head.repeated
        self.method = head.method
        self.uri = head.uri
        self.path = head.path
        self.content_length = head.length
        self._minor = head.minor
        self.facts = head.facts

    def header(self, name: bytes) -> bytes | None:
        """The value of a header by its lower-case name; of several, the last."""
        return self.fields.get(name)

    def header_values(self, name: bytes) -> list[bytes]:
        """All values of a header by its lower-case name, in order."""
        return _values(self.fields, self._repeated, name)

    def headers_alone(self) -> Callable[[bytes], list[bytes]]:
        """What :meth:`header_values` finds, for who should not keep the request for it."""
        return partial(_values, self.fields, self._repeated)

    def forget(self, names: frozenset[bytes]) -> None:
        """Leave those headers out from now on, as if they had not come; names in lower case."""
        self.fields = _without(self.fields, names)
        if self._repeated is not None:
            self._repeated = [pair for pair in self._repeated if pair[0] not in names]

    @property
    def raw_headers(self) -> list[tuple[bytes, bytes]]:
        """All headers in order, names in lower case."""
        return list(self.fields.items() if self._repeated is None else self._repeated)

    @property
    def connection(self) -> Any:
        """What carries the request; several requests may share it."""
        return self.stream.connection

    @property
    def client_address(self) -> IAddress:
        """The address of the far end."""
        address: IAddress = self.client
        return address

    @property
    def is_secure(self) -> bool:
        """Whether the request came over an encrypted connection."""
        return bool(self._forceSSL or self.stream.is_secure)

    # -- what stock resources ask for, built when they ask -------------------------------

    def getHeader(self, key: Any) -> Any:
        """A header by name, of the type the name has."""
        made = self.__dict__.get("requestHeaders")
        if made is not None:  # it may have been changed, as setHost() does
            values = made.getRawHeaders(key)
            return values[-1] if values else None
        if isinstance(key, bytes):
            return self.fields.get(key.lower())
        value = self.fields.get(key.lower().encode("iso-8859-1"))
        return None if value is None else value.decode("iso-8859-1")

    def isSecure(self) -> bool:
        """Whether the request came over an encrypted connection."""
        return self.is_secure

    if not TYPE_CHECKING:  # Twisted declares these as plain attributes

        @cached_property
        def client(self) -> IAddress:
            return self.stream.peer

        @cached_property
        def host(self) -> IAddress:
            return self.stream.host

        @cached_property
        def clientproto(self) -> bytes:
            return b"HTTP/1.%d" % self._minor if self._minor >= 0 else b"HTTP/2"

        @cached_property
        def requestHeaders(self) -> Headers:
            headers = Headers()
            for name, value in self.raw_headers:
                headers.addRawHeader(name, value)
            return headers

        @cached_property
        def responseHeaders(self) -> Headers:
            return Headers()

        @cached_property
        def sitepath(self) -> list[bytes]:
            return []

        @cached_property
        def cookies(self) -> list[bytes]:
            return []

        @cached_property
        def received_cookies(self) -> dict[bytes, bytes]:
            pairs = (
                crumb.split(b"=", 1)
                for line in self.header_values(b"cookie")
                for crumb in line.split(b";")
                if b"=" in crumb
            )
            return {name.strip(): value.strip() for name, value in pairs}

        @cached_property
        def args(self) -> dict[bytes, list[bytes]]:
            args = http.parse_qs(self.uri.partition(b"?")[2], keep_blank_values=True)
            kind = (self.header(b"content-type") or b"").partition(b";")[0].strip().lower()
            if self.method == b"POST" and kind == _FORM and self.content is not None:
                form = http.parse_qs(self.content.getvalue(), keep_blank_values=True)
                for name, values in form.items():
                    args.setdefault(name, []).extend(values)
            return args

        @cached_property
        def _adapterCache(self) -> dict[str, object]:
            return {}


class Omission:
    """Leaves headers out of requests with the same head but for its Content-Length.

    What is left is found out once.

    :param names: of the headers, in lower case.
    :ivar whole: the headers that came last.
    :ivar rest: what is left of them.
    """

    __slots__ = ("_names", "rest", "whole")

    def __init__(self, names: frozenset[bytes]) -> None:
        self._names = names
        self.whole: dict[bytes, bytes] | None = None
        self.rest: dict[bytes, bytes] = {}

    def apply(self, request: LazyRequest) -> None:
        """As :meth:`LazyRequest.forget`."""
        headers = request.fields
        if headers is not self.whole:
            if request._repeated is not None:
                request.forget(self._names)
                return
            self._learn(headers)
        request.fields = self.rest

    def _learn(self, headers: dict[bytes, bytes]) -> None:
        if self.whole is None:
            self.rest = _without(headers, self._names)
        else:
            self.rest = _with_length(self.rest, headers.get(_LENGTH))
        self.whole = headers
