"""The page on which a daemon says of its own keys: which it shows, and which will follow.

``docs/auth/host-keys.rst``; :mod:`mcptwist.auth.hostkeys` has what is said.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import msgspec
from OpenSSL import SSL
from twisted.web.server import NOT_DONE_YET
from zope.interface import implementer

from mcptwist.auth.addresses import Addresses
from mcptwist.auth.hostkeys import LIFETIME, make_statement
from mcptwist.auth.keyformats import SMALLEST_HOST_RSA
from mcptwist.auth.keys import KeyProblem, PrivateKey
from mcptwist.protocols.request import IAsksEarly, Request

NAME = b"mcptwist-host-keys"
"""Where it is, below ``/.well-known``."""

_JSON = (b"content-type", b"application/json")
_PUBLIC = (b"cache-control", b"public, max-age=300")
_NO_STORE = (b"cache-control", b"no-store")
_MOST = 64


class NextKey(Protocol):
    """The key that will follow: a private key, and when in seconds since 1970."""

    key: Any
    begins: float


@implementer(IAsksEarly)
class Announcement:
    """The page.

    A statement is signed once and told for a while: whoever asks for many makes no work.

    :param addresses: under which we are known.
    :param key_shown: the private key of the certificate shown on a connection, or ``None``.
    :param following: the key that will follow one, or ``None``.
    :param wall: seconds since 1970.
    """

    isLeaf = True

    def __init__(
        self,
        addresses: Addresses,
        key_shown: Callable[[SSL.Connection], Any],
        following: Callable[[], Any],
        wall: Callable[[], float],
    ) -> None:
        self._addresses = addresses
        self._key_shown = key_shown
        self._following = following
        self._wall = wall
        self._made: dict[tuple[str, str, str], tuple[float, bytes]] = {}

    def getChildWithDefault(self, name: bytes, request: Request) -> Any:
        """There is nothing below."""
        raise AssertionError("isLeaf")

    def putChild(self, name: bytes, child: Any) -> None:
        """There is nothing below."""
        raise AssertionError("isLeaf")

    def render(self, request: Request) -> int:
        """Say it, to whoever has come over TLS by a name of ours."""
        if request.method not in (b"GET", b"HEAD"):
            headers = [_JSON, (b"allow", b"GET, HEAD")]
            request.respond(405, headers, b'{"error":"invalid_request"}')
            return NOT_DONE_YET
        text = self._statement(request)
        if text is None:
            request.respond(404, [_JSON, _NO_STORE], b'{"error":"not_found"}')
        else:
            request.respond(200, [_JSON, _PUBLIC], text)
        return NOT_DONE_YET

    def _statement(self, request: Request) -> bytes | None:
        stream = request.stream
        host = request.header(b"host") or b""
        address = self._addresses.of(host, stream.port, stream.is_secure, request.path)
        if address is None or not stream.is_secure:
            return None
        key = self._key_shown(stream.connection.transport.getHandle())
        try:
            return None if key is None else self._signed(address.base, _signer(key))
        except KeyProblem:
            return None

    def _signed(self, issuer: str, current: PrivateKey) -> bytes:
        found: NextKey | None = self._following()
        following = None if found is None else _signer(found.key)
        if following is not None and following.public == current.public:
            found = following = None
        next_one = following.public.fingerprint if following is not None else ""
        names, now = (issuer, current.public.fingerprint, next_one), self._wall()
        made = self._made.get(names)
        if made is None or not 0 <= now - made[0] < LIFETIME / 2:
            begins = None if found is None else found.begins
            document = make_statement(issuer, now, current, following, begins)
            made = now, msgspec.json.encode(document)
            if len(self._made) >= _MOST:
                self._made.clear()
            self._made[names] = made
        return made[1]


def _signer(key: Any) -> PrivateKey:
    return PrivateKey(key, SMALLEST_HOST_RSA)
