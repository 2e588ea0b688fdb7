"""How a WebSocket is opened: the request, and what is wrong with it (RFC 6455 section 4)."""

from __future__ import annotations

from base64 import b64decode
from itertools import chain
from typing import TYPE_CHECKING

from mcptwist.errors import ClientError

if TYPE_CHECKING:
    from mcptwist.protocols.request import Request

__all__ = ["BadHandshake", "UpgradeRequired", "check_handshake", "opening_handshake"]

#: The sub-protocol that is spoken.
PROTOCOL = "mcp"

UPGRADE_HELP = (
    (b"upgrade", b"websocket"),
    (b"connection", b"upgrade"),
    (b"sec-websocket-version", b"13"),
)


class UpgradeRequired(ClientError):
    """The request is none to open a WebSocket."""

    code = "upgrade-required"
    status = 426


class BadHandshake(ClientError):
    """The request to open a WebSocket is not in order."""

    code = "bad-handshake"


def check_handshake(request: Request) -> None:
    """Is this a request to open a WebSocket that we can speak?

    RFC 6455, section 4.2.1. ``Origin`` was judged by the site's guard already.

    :raises UpgradeRequired: it does not ask for a WebSocket, or for one of another version.
    :raises BadHandshake: it does, but not as it must be done.
    """
    upgrades, wants = _tokens(request, b"upgrade"), _tokens(request, b"connection")
    if request.method != b"GET" or b"websocket" not in upgrades or b"upgrade" not in wants:
        raise UpgradeRequired("this URL is for WebSockets")
    if request.header_values(b"sec-websocket-version") != [b"13"]:
        raise UpgradeRequired("only version 13 of the WebSocket protocol is spoken here")
    if request.content_length:
        raise BadHandshake("a request to open a WebSocket has no body")
    keys = request.header_values(b"sec-websocket-key")
    if len(keys) != 1 or not _is_key(keys[0]):
        raise BadHandshake("Sec-WebSocket-Key must be there once, 16 bytes in base64")
    offered = _tokens(request, b"sec-websocket-protocol")
    if offered and PROTOCOL.encode() not in offered:
        raise BadHandshake(f"the sub-protocol here is {PROTOCOL!r}; offer it, or none")


def _tokens(request: Request, name: bytes) -> set[bytes]:
    values = chain.from_iterable(value.split(b",") for value in request.header_values(name))
    return {value.strip().lower() for value in values}


def _is_key(value: bytes) -> bool:
    try:
        return len(b64decode(value, validate=True)) == 16
    except ValueError:
        return False


def opening_handshake(request: Request, subprotocol: str = PROTOCOL) -> bytes:
    """The request as Autobahn wants to read it, with what it needs to know and no more."""
    lines = [
        b"GET / HTTP/1.1",
        b"Host: localhost",
        b"Upgrade: websocket",
        b"Connection: Upgrade",
        b"Sec-WebSocket-Version: 13",
        b"Sec-WebSocket-Key: %b" % request.header_values(b"sec-websocket-key")[0],
    ]
    if request.header(b"sec-websocket-protocol"):
        lines.append(b"Sec-WebSocket-Protocol: %b" % subprotocol.encode())
    return b"\r\n".join([*lines, b"", b""])
