"""Signing each request with our key, where a server takes that (RFC 9421, SEP-2752 of MCP).

Where a server gives tokens for the key, they are preferred: a token is asked for once, and a
signature costs both ends something with every request. So requests are signed once a server wants
that which gives no token, or takes none alone; or from the first on, if a person says so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.web.iweb import IResponse
from zope.interface import implementer

from mcptwist.auth.asking.clientcredentials import LoadSigner
from mcptwist.auth.httpsignatures import (
    ACCEPT,
    DIGEST,
    SIGNATURE,
    BadSignature,
    Head,
    algorithm_of,
    content_digest,
    target_uri,
    to_sign,
)
from mcptwist.auth.keys import KeyProblem, to_base64url
from mcptwist.errors import SignInFailed
from mcptwist.interfaces import IAdmission
from mcptwist.protocols.upstream import origin

LIFETIME = 60
"""Seconds that a signature is good for: servers remember it no longer than they must."""
_NONCE = 16
_UNAUTHORIZED = 401

Pairs = list[tuple[bytes, bytes]]


@implementer(IAdmission)
class RequestSigner:
    """Lets requests in at one server.

    :param url: of the MCP endpoint; nothing is signed for another origin.
    :param load: the key to sign with; asked for each time, so that it may be replaced.
    :param tokens: what lets requests in besides.
    :param wall: seconds since 1970.
    :param make_bytes: so many unguessable bytes each time.
    :param name: what we call ourselves; the key's thumbprint otherwise.
    :param always: whether requests are signed unasked.
    """

    def __init__(
        self,
        url: str,
        load: LoadSigner,
        tokens: IAdmission,
        wall: Callable[[], float],
        make_bytes: Callable[[int], bytes],
        name: str = "",
        always: bool = False,
    ) -> None:
        self._origin = origin(target_uri(url))
        self._load = load
        self._tokens = tokens
        self._wall = wall
        self._make_bytes = make_bytes
        self._name = name if name.isascii() and name.isprintable() else ""
        self._signs = always

    @property
    def secrets(self) -> Any:
        """What must not be shown of what is sent: nothing of a signature."""
        return self._tokens.secrets

    @property
    def asks_person(self) -> bool:
        """Whether a person is being asked to log in."""
        return bool(self._tokens.asks_person)

    def headers(
        self, method: str, url: str, sent: Sequence[tuple[bytes, bytes]] = (), body: bytes = b""
    ) -> Deferred[Pairs]:
        """See :meth:`mcptwist.interfaces.IAdmission.headers`."""
        return Deferred.fromCoroutine(self._headers(method, url, sent, body))

    def come(self, method: str, url: str) -> Deferred[Pairs]:
        """See :meth:`mcptwist.interfaces.IAdmission.come`."""
        return self.headers(method, url) if self._signs else self._tokens.come(method, url)

    def doubt(self) -> None:
        """See :meth:`mcptwist.interfaces.IAdmission.doubt`."""
        self._tokens.doubt()

    def sign(self) -> bool:
        """See :meth:`mcptwist.interfaces.IAdmission.sign`."""
        is_news, self._signs = not self._signs, True
        return is_news

    def turned_away(self, response: IResponse, sent: Pairs) -> Deferred[bool]:
        """See :meth:`mcptwist.interfaces.IAdmission.turned_away`."""
        return Deferred.fromCoroutine(self._turned_away(response, sent))

    async def _headers(
        self, method: str, url: str, sent: Sequence[tuple[bytes, bytes]], body: bytes
    ) -> Pairs:
        shown = await self._tokens.headers(method, url, sent, body)
        target = target_uri(url)
        if not self._signs or origin(target) != self._origin:
            return shown
        digest = (DIGEST, content_digest(body))
        return [*shown, digest, *await self._sign(method, target, [*sent, *shown, digest])]

    async def _sign(self, method: str, url: str, sent: Pairs) -> Pairs:
        """The headers that sign a request which has those already.

        :raises SignInFailed: there is no key, or it does not sign.
        """
        signer = await self._load()
        public = signer.public

        def values(name: bytes) -> list[bytes]:
            return [value for field, value in sent if field.lower() == name]

        created, keyid = int(self._wall()), public.thumbprint
        nonce = to_base64url(self._make_bytes(_NONCE))
        try:
            ready = to_sign(
                Head(method, url, values), keyid, self._name or keyid, nonce, created,
                created + LIFETIME,
            )  # fmt: skip
            algorithm = algorithm_of(public.kind, "")
            signature: Any = signer.sign(str(algorithm), ready.base)
            if isinstance(signature, Deferred):
                signature = await signature
        except (BadSignature, KeyProblem) as problem:
            raise SignInFailed(f"the request cannot be signed: {problem}") from None
        return ready.headers(signature)

    async def _turned_away(self, response: IResponse, sent: Pairs) -> bool:
        is_asked = response.headers.hasHeader(ACCEPT) and response.code == _UNAUTHORIZED
        was_signed = any(name == SIGNATURE for name, _ in sent)
        if was_signed or not is_asked:
            return await self._tokens.turned_away(response, sent)
        try:
            if await self._tokens.turned_away(response, sent):
                return True
        except SignInFailed:
            pass  # what is wrong with our key, if it is that, is said when the signature is refused
        self._signs = True
        return True
