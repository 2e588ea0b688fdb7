"""HTTP message signatures: each request is signed with its sender's key, its body with it.

RFC 9421 with RFC 9530's digests, in the one profile that MCP's draft SEP-2752 has of them: a fixed
set of components, a time, a nonce, the thumbprint of the key, and an algorithm that the key decides
and no message. Here a signature is taken apart and made; whether it is good is for a key to say,
whether it was used before for the :mod:`~mcptwist.auth.oauth.replay` cache.

Pure.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from urllib.parse import urlsplit

import msgspec

from mcptwist.auth.keys import ED25519, P256, RSA
from mcptwist.auth.structuredfields import Bare, FieldProblem, InnerList, Item, read_dictionary

SIGNATURE, INPUT, DIGEST = b"signature", b"signature-input", b"content-digest"
ACCEPT = b"accept-signature"
LABEL = "sig1"

ALGORITHMS: Mapping[str, Mapping[str, str]] = {
    ED25519: {"ed25519": "EdDSA"},
    P256: {"ecdsa-p256-sha256": "ES256"},
    RSA: {"rsa-v1_5-sha256": "RS256", "rsa-pss-sha512": "PS512"},
}
"""For each kind of key its algorithms, by their names in RFC 9421, with what JWS calls them.

The first is the key's own: the one that is meant where ``alg`` is not said, as it should not be.
"""
ALL_ALGORITHMS = tuple(name for names in ALGORITHMS.values() for name in names)

AGE, SKEW = 300, 60
"""Seconds that a signature may be old, and that it may come from the future."""

REQUIRED = ("@method", "@target-uri", "content-digest")
"""What every signature covers."""
IF_PRESENT = ("mcp-protocol-version", "mcp-session-id", "authorization")
"""What it covers besides, of what the request has."""

_LONGEST = 4096
_NAME = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]{1,64}\Z", re.ASCII)
_NONCE = re.compile(r"[A-Za-z0-9_-]{16,128}={0,2}\Z", re.ASCII)
_WORD = re.compile(r"[\x20-\x7e]{1,256}\Z")
_VALUE = re.compile(r"[\x20-\x7e\t]*\Z")
_DEFAULT_PORTS = {"http": 80, "https": 443}
_KNOWN = frozenset({"created", "expires", "nonce", "keyid", "alg", "tag"})
_EARLIEST, _LATEST = 0, 10**11

Values = Callable[[bytes], Sequence[bytes]]


class BadSignature(Exception):
    """The signature is not to be believed; the reason is for the audit log.

    :ivar is_stale: whether it may have been good once.
    """

    def __init__(self, reason: str, is_stale: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.is_stale = is_stale


class MessageSignature(msgspec.Struct, frozen=True):
    """A signature as it came with a request; nobody has verified it yet.

    :ivar keyid: the thumbprint of the key that it says it is made with (RFC 7638).
    :ivar tag: what its client calls itself.
    :ivar created: seconds since 1970; so *expires*.
    :ivar algorithm: what it names, though it should name none; empty where it does not.
    :ivar signed: what it is of: the signature base.
    :ivar digest: the SHA-256 that the body must have.
    """

    keyid: str
    tag: str
    nonce: str
    created: int
    expires: int | None
    algorithm: str
    signed: bytes
    signature: bytes
    digest: bytes

    def check_time(self, now: float, born: float = 0.0, age: float = AGE) -> None:
        """Whether it is good now.

        :param now: seconds since 1970.
        :param born: since when uses are remembered; one that was made before may have been used.
        :param age: seconds that it may be old.
        :raises BadSignature: it is not.
        """
        if self.created > now + SKEW:
            raise BadSignature("comes from the future")
        if now >= self.until(age):
            raise BadSignature("is too old", is_stale=True)
        if self.created < born:
            raise BadSignature("was made before the daemon was started", is_stale=True)

    def until(self, age: float = AGE) -> float:
        """When it is good no more, in seconds since 1970."""
        end = self.created + age
        return end if self.expires is None else min(end, self.expires)


# --- what is signed -------------------------------------------------------------------------


def signature_base(covered: Iterable[tuple[Item, str]], signed: InnerList) -> bytes:
    """The bytes that a signature is of (RFC 9421 section 2.5).

    :param covered: each component with its value.
    :param signed: the components and the signature's parameters.
    """
    lines = [f"{component}: {value}" for component, value in covered]
    return "\n".join([*lines, f'"@signature-params": {signed}']).encode("ascii")


class Head(msgspec.Struct, frozen=True):
    """The head of a request, as much of it as is signed.

    :ivar url: where it goes, with its query, as :func:`target_uri` has it.
    :ivar values: all values of a header by its lower-case name.
    """

    method: str
    url: str
    values: Values

    def needed(self) -> tuple[str, ...]:
        """The components that a signature must cover."""
        return *REQUIRED, *(name for name in IF_PRESENT if self.values(name.encode()))

    def value(self, name: str) -> str:
        """The value of a component.

        :raises BadSignature: there is none, or there is more than one.
        """
        if name == "@method":
            return _checked(self.method)
        if name == "@target-uri":
            return _checked(self.url)
        if name == "@authority":
            return _checked(urlsplit(self.url).netloc)
        if name == "@path":
            return _checked(urlsplit(self.url).path)
        if not _NAME.match(name):
            raise BadSignature("covers a component that is not known here")
        return self.field(name.encode("ascii"))

    def field(self, name: bytes) -> str:
        """The value of a header that came on one line.

        Lines that are joined can be split elsewhere in another way, so several are none.

        :raises BadSignature: there is none, or there are several, or it is not of ASCII.
        """
        values = self.values(name)
        if len(values) != 1:
            how = "with several lines of" if values else "without"
            raise BadSignature(f"comes {how} {name.decode('ascii')}")
        return _checked(values[0].decode("latin-1").strip(" \t"))


def _checked(text: str) -> str:
    """A value that can be signed: one line of ASCII."""
    if not _VALUE.match(text):
        raise BadSignature("covers a value that is not of ASCII")
    return text


def target_uri(url: str) -> str:
    """A URL as both ends write it: without a default port, and in lower case up to its path."""
    parts = urlsplit(url)
    scheme, host = parts.scheme.lower(), (parts.hostname or "").lower()
    scheme = {"ws": "http", "wss": "https"}.get(scheme, scheme)
    place = f"[{host}]" if ":" in host else host
    if parts.port is not None and parts.port != _DEFAULT_PORTS.get(scheme):
        place += f":{parts.port}"
    query = f"?{parts.query}" if parts.query else ""
    return f"{scheme}://{place}{parts.path or '/'}{query}"


# --- reading --------------------------------------------------------------------------------


def is_signed(values: Values) -> bool:
    """Whether a request says that it is signed."""
    return bool(values(SIGNATURE) or values(INPUT))


def read_signature(head: Head) -> MessageSignature:
    """Take the signature of a request apart, and see that it covers what it must.

    One signature, and no more: the draft has two only where a key signs for its successor, which
    here is the business of ``authorized_keys``.

    :raises BadSignature: it can be understood in no way, or in two, or covers too little.
    """
    try:
        signatures = read_dictionary(head.field(SIGNATURE), _LONGEST)
        inputs = read_dictionary(head.field(INPUT), _LONGEST)
        digest = _digest(head)
    except FieldProblem as problem:
        raise BadSignature(f"has a field that {problem}") from None
    if len(signatures) != 1 or signatures.keys() != inputs.keys():
        raise BadSignature("is not one with its input")
    (found,), (signed,) = signatures.values(), inputs.values()
    if not isinstance(found, Item) or not isinstance(found.value, bytes) or found.parameters:
        raise BadSignature("is not a sequence of bytes")
    if not isinstance(signed, InnerList):
        raise BadSignature("has an input that is no list")
    base = signature_base(_covered(head, signed), signed)
    return _made(signed.parameters, base, found.value, digest)


def _covered(head: Head, signed: InnerList) -> list[tuple[Item, str]]:
    names: set[Bare] = set()
    found: list[tuple[Item, str]] = []
    for item in signed.items:
        name = item.value
        if type(name) is not str or item.parameters:
            raise BadSignature("covers a component that is not known here")
        if name in names:
            raise BadSignature("covers a component twice")
        names.add(name)
        found.append((item, head.value(name)))
    missing = [name for name in head.needed() if name not in names]
    if missing:
        raise BadSignature(f"does not cover {missing[0]}")
    return found


def _digest(head: Head) -> bytes:
    """The SHA-256 of the body that Content-Digest names (RFC 9530 section 2)."""
    item = read_dictionary(head.field(DIGEST), _LONGEST).get("sha-256")
    value = item.value if isinstance(item, Item) else None
    if not isinstance(value, bytes) or len(value) != hashlib.sha256().digest_size:
        raise BadSignature("has a content-digest without sha-256")
    return value


def _made(
    said: Mapping[str, Bare], signed: bytes, signature: bytes, digest: bytes
) -> MessageSignature:
    if not said.keys() <= _KNOWN:
        raise BadSignature("has a parameter that is not known here")
    nonce = _word(said, "nonce")
    if not _NONCE.match(nonce):
        raise BadSignature("has a nonce that is not 96 bits or more in base64url")
    return MessageSignature(
        _word(said, "keyid"),
        _word(said, "tag"),
        nonce,
        _moment(said, "created"),
        _moment(said, "expires") if "expires" in said else None,
        _word(said, "alg") if "alg" in said else "",
        signed,
        signature,
        digest,
    )


def _word(said: Mapping[str, Bare], name: str) -> str:
    value = said.get(name)
    if type(value) is not str or not _WORD.match(value):
        raise BadSignature(f"has no {name}")
    return value


def _moment(said: Mapping[str, Bare], name: str) -> int:
    value = said.get(name)
    if type(value) is not int or not _EARLIEST <= value <= _LATEST:
        raise BadSignature(f"has no {name}")
    return value


def algorithm_of(kind: str, named: str) -> str | None:
    """The algorithm, as JWS calls it, of a signature made with a key of that kind.

    The key decides. A name that contradicts it makes the signature bad (RFC 9421 section 3.2),
    where the draft would not look at it.

    :param kind: as :attr:`PublicKey.kind <mcptwist.auth.keys.PublicKey.kind>`.
    :param named: by the signature; empty where it names none.
    """
    own = ALGORITHMS.get(kind, {})
    return own.get(named) if named else next(iter(own.values()), None)


# --- making ---------------------------------------------------------------------------------


def content_digest(body: bytes) -> bytes:
    """The value of Content-Digest for that body; there is one for a request without any, too."""
    return f"sha-256={Item(hashlib.sha256(body).digest())}".encode("ascii")


class ToSign(msgspec.Struct, frozen=True):
    """What is to be signed, and the headers it comes with then.

    :ivar base: the bytes to sign.
    """

    base: bytes
    signed: str

    def headers(self, signature: bytes) -> list[tuple[bytes, bytes]]:
        """The headers that say so, but for Content-Digest, which is signed and sent."""
        return [
            (INPUT, f"{LABEL}={self.signed}".encode("ascii")),
            (SIGNATURE, f"{LABEL}={Item(signature)}".encode("ascii")),
        ]


def to_sign(
    head: Head, keyid: str, tag: str, nonce: str, created: int, expires: int | None = None
) -> ToSign:
    """Prepare the signature of a request that has a Content-Digest already.

    :param keyid: the thumbprint of the key that will sign.
    :param created: seconds since 1970; so *expires*.
    :raises BadSignature: the request cannot be signed, for it has a header twice.
    """
    items = tuple(Item(name) for name in head.needed())
    parameters: dict[str, Bare] = {"created": created}
    if expires is not None:
        parameters["expires"] = expires
    parameters |= {"nonce": nonce, "keyid": keyid, "tag": tag}
    signed = InnerList(items, parameters)
    base = signature_base(((item, head.value(str(item.value))) for item in items), signed)
    return ToSign(base, str(signed))


_ASKED = InnerList(
    tuple(map(Item, (*REQUIRED, "mcp-protocol-version", "mcp-session-id"))),
    {"created": True, "nonce": True, "keyid": True, "tag": True},
)
ASKED = f"{LABEL}={_ASKED}".encode("ascii")
"""What Accept-Signature says (RFC 9421 section 5.1): what a signature must cover and hold."""
