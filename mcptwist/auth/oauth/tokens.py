"""Access tokens: opaque, short-lived, each for one resource and one key.

A token is 256 random bits; the table knows only its SHA-256, so whoever reads our memory or our
logs cannot use it. It ends by the clock that only goes forward, or when its key is withdrawn. All
are lost when the daemon stops: clients come back for another by themselves.

MCP 2026-07-28, *Authorization, Access Token Usage*; RFC 6750; RFC 8707. Pure.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable
from typing import Any

from mcptwist.auth.givenout import GivenOut
from mcptwist.auth.keys import to_base64url

PREFIX = "mcp_at_"
#: Longer ones are not looked at.
LONGEST = 4096

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_BYTES = 32
ID_BYTES = 18
"""Of a login's id."""
KEY = "key"
"""How a login was given that is the token of a key."""
_ENDED = float("-inf")


class TokensExhausted(Exception):
    """There are as many tokens as there may be."""


class Token:
    """What is known of one token.

    :ivar key: the fingerprint of the key that it was given for.
    :ivar jkt: the thumbprint of the key that must be proved with each request (RFC 9449), or
        ``None`` where the token alone will do.
    :ivar client: the client that a person let in; empty where it was given to who has the key.
    :ivar deadline: when it ends, by the clock that only goes forward; before all time as soon as
        it was revoked.
    :ivar login: the id of the login that it came of; its own, where a key asked for it.
    :ivar begun: when it was given, by that clock.
    :ivar used: when somebody came with it last, by that clock; ``None`` if nobody did.
    :ivar source: the address that it was given to, and then where it came from last.
    :ivar avatar: who comes with it, once that was found out.
    """

    way = KEY

    __slots__ = (
        "avatar", "begun", "client", "deadline", "digest", "jkt", "key", "login", "principal",
        "resource", "scopes", "source", "used",
    )  # fmt: skip

    def __init__(
        self,
        digest: bytes,
        principal: str,
        key: str,
        resource: str,
        scopes: frozenset[str],
        deadline: float,
        jkt: str | None = None,
        client: str = "",
        login: str = "",
        begun: float = 0.0,
        source: str = "",
    ) -> None:
        self.digest = digest
        self.login = login
        self.begun = begun
        self.used: float | None = None
        self.source = source
        self.client = client
        self.principal = principal
        self.key = key
        self.resource = resource
        self.scopes = scopes
        self.deadline = deadline
        self.jkt = jkt
        self.avatar: Any = None

    @property
    def is_live(self) -> bool:
        """Whether it was neither revoked nor found to have ended."""
        return self.deadline > _ENDED

    @property
    def mark(self) -> str:
        """What it is called in the audit log."""
        return self.digest.hex()[:8]


class TokenTable(GivenOut[Token]):
    """The tokens that are good.

    :param monotonic: seconds that only grow.
    :param make_bytes: so many unguessable bytes each time.
    """

    def __init__(
        self,
        monotonic: Callable[[], float],
        make_bytes: Callable[[int], bytes],
        limit: int = 100_000,
        per_key: int = 64,
    ) -> None:
        super().__init__(monotonic, limit, per_key)
        self._make_bytes = make_bytes

    def issue(
        self,
        principal: str,
        key: str,
        resource: str,
        scopes: frozenset[str],
        lifetime: float,
        jkt: str | None = None,
        client: str = "",
        login: str = "",
        source: str = "",
    ) -> tuple[str, Token]:
        """A new token, and what is known of it.

        :param lifetime: seconds.
        :param login: the id of the login that it comes of; empty where there was none before.
        :param source: the address that it is given to.
        :raises TokensExhausted: there are too many.
        """
        if not self.has_room(key):
            raise TokensExhausted
        text = written(self._make_bytes(_BYTES))
        login = login or to_base64url(self._make_bytes(ID_BYTES))
        begun = self._monotonic()
        digest = digest_of(text.encode())
        token = Token(
            digest, principal, key, resource, scopes, begun + lifetime, jkt, client, login, begun,
            source,
        )  # fmt: skip
        self.add(token)
        return text, token

    def seen(self, token: Token, source: str) -> None:
        """Somebody came with it, from that address, and was believed."""
        token.used = self._monotonic()
        token.source = source

    def find(self, text: bytes) -> Token | None:
        """The token, if it is good."""
        token = self.known(digest_of(text))
        if token is None or token.deadline > self._monotonic():
            return token
        self.take(token.digest)
        return None

    def revoke(self, text: bytes, key: str) -> Token | None:
        """End a token of that key's; what was known of it."""
        token = self.known(digest_of(text))
        if token is None or token.key != key:
            return None
        return self.take(token.digest)

    def end(self, token: Token) -> bool:
        """End one; whether it had not ended before."""
        return self.take(token.digest) is not None

    def gone(self, one: Token) -> None:
        """Called with each that goes: whoever holds on to it sees that it has ended."""
        one.deadline = _ENDED
        one.avatar = None


def mark_of(login: str, digits: int = 8) -> str:
    """What a login is called, of that id: there is no secret in an id, nor is it that of a token.

    :param digits: how many; more where fewer would be those of another login as well.
    """
    return digest_of(login.encode()).hex()[:digits]


def digest_of(text: bytes) -> bytes:
    """What a token is known by."""
    return hashlib.sha256(text).digest()


def written(secret: bytes, prefix: str = PREFIX) -> str:
    """A token as text: a prefix and a checksum let scanners find lost ones."""
    body = prefix + to_base64url(secret)
    return f"{body}_{_checksum(body)}"


def is_ours(text: bytes, prefix: str = PREFIX) -> bool:
    """Whether *text* is written as our tokens are, whichever daemon gave it."""
    body, _, checksum = text.decode("latin-1").rpartition("_")
    return body.startswith(prefix) and checksum == _checksum(body)


def _checksum(body: str) -> str:
    number, digits = zlib.crc32(body.encode("latin-1")), []
    for _ in range(6):
        number, digit = divmod(number, 62)
        digits.append(_DIGITS[digit])
    return "".join(reversed(digits))
