"""What can be said about a server that is somewhere else. Pure.

No message, and no repr, shows a value of a header.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import urlsplit

import msgspec

from mcptwist.configuration.anyserver import Pairs, Server, pairs_of
from mcptwist.configuration.paths import path
from mcptwist.configuration.reach import HostsFile, Keys, OwnKey, OwnName, Reach
from mcptwist.configuration.redaction import secret_values, secrets_in_address
from mcptwist.configuration.settings import Key, Place, expanded, many, yes_or_no

_SCHEMES = ("http", "https", "ws", "wss")
SOCKET = "unix:"


def _url(place: Place, value: Any) -> str | None:
    found = expanded(place, value)
    if found is None:
        return None
    problem = _url_problem(found)
    if problem:
        place.mistake(problem, "a URL such as https://example.com/mcp")
        return None
    return found


def _url_problem(url: str) -> str:
    if not url.isascii() or not url.isprintable() or " " in url:
        return "holds a space or a character that no URL has"
    if url.startswith(SOCKET):
        return "" if url.startswith(f"{SOCKET}/") else "names no socket by its whole path"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "is not a URL"
    if parts.scheme not in _SCHEMES:
        return "does not begin with http://, https://, ws://, wss:// or unix:/"
    if parts.fragment and parts.scheme in ("ws", "wss"):
        return "has a part after #, which no WebSocket's URL has"
    return "names no host" if not parts.hostname or port == 0 else ""


_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*\Z")
_OUR_HEADERS = frozenset({
    "accept", "connection", "content-encoding", "content-length", "content-type", "expect",
    "host", "keep-alive", "last-event-id", "mcp-method", "mcp-name",
    "mcp-protocol-version", "mcp-session-id", "te", "trailer", "transfer-encoding",
    "upgrade",
})  # fmt: skip


def _headers(place: Place, value: Any) -> Pairs | None:
    pairs = pairs_of(place, value, _header_name, _header_value)
    if pairs is None:
        return None
    names = [name.lower() for name, _ in pairs]
    for name, _ in pairs:
        if names.count(name.lower()) > 1:
            place.at(name).mistake("differs from another header in case only", "each header once")
            return None
    return pairs


def _header_name(place: Place, name: str) -> None:
    if not _TOKEN.match(name):
        place.mistake("is no name for a header", "letters, digits and dashes")
    elif name.lower() in _OUR_HEADERS:
        place.mistake("is a header which the daemon sets itself", "any other header")


def _header_value(place: Place, value: Any) -> str | None:
    found = expanded(place, value)
    if found is not None and not _HEADER_VALUE.match(found):
        place.mistake("holds a character that no header has", "one line of Latin-1 text")
        return None
    return found.strip() if found is not None else None


_FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}\Z")


def _fingerprint(place: Place, value: Any) -> str | None:
    found = expanded(place, value)
    if found is not None and not _FINGERPRINT.match(found):
        place.mistake("is no fingerprint", '"SHA256:…", as mcptwist keyscan prints it')
        return None
    return found


def _fingerprints(place: Place, value: Any) -> tuple[str, ...] | None:
    if isinstance(value, str):
        found = _fingerprint(place, value)
        return None if found is None else (found,)
    several: tuple[str, ...] | None = many(_fingerprint)(place, value)
    return several


class RemoteServer(Server, frozen=True, kw_only=True):
    """A server that is reached over the network.

    :ivar wire: what is spoken there, from the key ``type``; ``auto`` is Streamable HTTP, or
        HTTP+SSE where the server knows no better.
    :ivar given: what both ends prove to each other, where no file says it.
    """

    KIND: ClassVar[str] = "remote"
    MARK: ClassVar[str] = "url"

    url: Annotated[str, Key(_url, "where it is: http, https, ws, wss, or unix: and a path")]
    headers: Annotated[Pairs, Key(_headers, "headers sent with every request")] = ()
    ca: Annotated[
        str | None, Key(path, "PEM file: certificates trusted in place of the system's")
    ] = None
    key: OwnKey = None
    principal: OwnName = None
    host_key: Annotated[
        tuple[str, ...],
        Key(_fingerprints, "SHA256:… of the key it must show, or a list"),
    ] = ()
    known_hosts: HostsFile = None
    accept_new: Annotated[
        bool | None, Key(yes_or_no, "believe the key it shows when it is met for the first time")
    ] = None
    sign_requests: Annotated[
        bool | None, Key(yes_or_no, "sign each request with the key, asked or not; no token then")
    ] = None
    http2: Annotated[bool, Key(yes_or_no, "whether it is offered HTTP/2 beside HTTP/1.1")] = True
    wire: Literal["auto", "http", "sse", "websocket"] = "auto"
    given: Reach | None = None

    def with_defaults(self, keys: Keys) -> RemoteServer:
        """The same, where its own table does not say otherwise."""
        if self.url.startswith(SOCKET):
            return self
        given = {name: getattr(keys, name) for name in keys.__struct_fields__}
        missing = {name: value for name, value in given.items() if getattr(self, name) is None}
        return msgspec.structs.replace(self, **missing)

    @property
    def reach(self) -> Reach:
        """What both ends prove to each other."""
        return self.given or Reach(
            key=self.key,
            principal=self.principal or "",
            sign=bool(self.sign_requests),
            host_keys=self.host_key,
            known_hosts=self.known_hosts,
            accept_new=bool(self.accept_new),
            ca=self.ca,
        )

    def secrets(self) -> frozenset[str]:
        return self.confidential | secret_values(self.headers) | secrets_in_address(self.url)

    def _target(self) -> str:
        return self.url
