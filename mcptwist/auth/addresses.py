"""Under which URLs we are known: the issuer, and the resources that tokens are for.

There is one issuer for each public URL that was configured, and one for each loopback name with
the port that is listened on. A request's Host only *chooses* among them: nothing it says is ever
repeated in a document. Pure.

RFC 9728 section 3 and RFC 8414 section 3 (well-known URLs), RFC 8707 (resources).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import unquote_to_bytes, urlsplit

import msgspec

PROTECTED, ISSUER = (
    "/.well-known/oauth-protected-resource",
    "/.well-known/oauth-authorization-server",
)
TOKEN, REVOKE, TICKET = "/oauth/token", "/oauth/revoke", "/oauth/ws-ticket"
APPROVE, DEVICES, DEVICE = "/oauth/approve", "/oauth/device_authorization", "/oauth/device"

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})
_DEFAULTS = {"http": 80, "https": 443}
_PLACE = re.compile(
    r"(/(?:servers|groups)/(?!\.{1,2}/)[A-Za-z0-9._~-]{1,128}|/admin)?"
    r"/(mcp|ws|sse|messages)/?\Z",
    re.ASCII,
)
_MOST = 1024


class Address(msgspec.Struct, frozen=True):
    """Where a request went.

    :ivar base: the issuer; what all our URLs begin with.
    :ivar path: without query.
    :ivar place: what can be had there, whichever wire leads to it; ``None`` where no MCP is
        spoken. ``/mcp``, ``/ws``, ``/sse`` and ``/messages`` of one server are one place.
    :ivar wire: which of these it is; empty where no MCP is spoken.
    """

    base: str
    path: str
    place: str | None
    wire: str = ""

    @property
    def url(self) -> str:
        """The whole URL, without query."""
        return self.base + self.path

    @property
    def resource(self) -> str:
        """What a token for it must have been given for.

        Pages that speak no MCP (``/metrics``) are for those who may come to all servers as one.
        """
        return f"{self.base} {self.place or '/'}"

    @property
    def metadata(self) -> str:
        """Where the metadata of the resource is to be had (RFC 9728 section 3.1)."""
        return f"{self.base}{PROTECTED}{self.path if self.place is not None else '/mcp'}"


def endpoint_of(resource: str) -> str:
    """The URL at which MCP is spoken over HTTP at what :attr:`Address.resource` names."""
    base, _, place = resource.partition(" ")
    return f"{base}{place.rstrip('/')}/mcp"


class Addresses:
    """All of them.

    :param public: the URLs that were configured, each without a path.
    """

    def __init__(self, public: Iterable[str] = ()) -> None:
        self._public = {_netloc(urlsplit(url)): url.lower() for url in public}
        self._known: dict[tuple[bytes, int | None, bool, bytes], Address | None] = {}

    def of(self, host: bytes, port: int | None, secure: bool, path: bytes) -> Address | None:
        """Where a request went, ``None`` if we are not known by that name.

        :param host: its Host header, which was found good.
        :param port: that it came in by.
        """
        asked = (host, port, secure, path)
        if asked not in self._known:
            if len(self._known) >= _MOST:
                self._known.clear()
            self._known[asked] = self._made(host, port, secure, path)
        return self._known[asked]

    def _made(self, host: bytes, port: int | None, secure: bool, path: bytes) -> Address | None:
        base = self._base(host.decode("latin-1").lower(), port, secure)
        if base is None:
            return None
        text, plain = path.decode("latin-1"), _plain(path)
        match = _PLACE.match(plain)
        if match is None:
            return Address(base, text, None)
        return Address(base, text, match[1] or "/", match[2])

    def _base(self, host: str, port: int | None, secure: bool) -> str | None:
        scheme = "https" if secure else "http"
        name, named = _name_and_port(host)
        # A proxy may have ended TLS before us: the URL says its scheme, not the connection.
        for number in (named,) if named else (443, 80):
            if (name, number) in self._public:
                return self._public[name, number]
        wanted = named or _DEFAULTS[scheme]
        if name not in _LOOPBACK or (port is not None and wanted != port):
            return None
        return f"{scheme}://{name}" + (f":{wanted}" if wanted != _DEFAULTS[scheme] else "")

    def resource(self, base: str, url: str) -> Address | None:
        """The place of ours that *url* names exactly, under *base*; ``None`` if none."""
        if not url.startswith(base + "/"):
            return None
        path = url[len(base) :]
        place = place_of(path)
        return None if place is None else Address(base, path, place)


def place_of(path: str) -> str | None:
    """What can be had at that path, ``None`` where no MCP is spoken."""
    match = _PLACE.match(path)
    return None if match is None else (match[1] or "/")


def _plain(path: bytes) -> str:
    """A path as the tree of resources is walked by it: each of its segments unquoted."""
    segments = [unquote_to_bytes(segment).decode("latin-1") for segment in path.split(b"/")]
    return "" if any("/" in segment for segment in segments) else "/".join(segments)


def _netloc(parts: object) -> tuple[str, int]:
    host = getattr(parts, "netloc", "").lower()
    scheme = getattr(parts, "scheme", "")
    name, port = _name_and_port(host)
    return name, port or _DEFAULTS.get(scheme, 0)


def _name_and_port(host: str) -> tuple[str, int | None]:
    name, colon, port = host.rpartition(":")
    if not colon or not port.isdecimal() or not port.isascii():
        return host.removesuffix("."), None
    return name.removesuffix("."), int(port)
