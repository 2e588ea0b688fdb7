"""What the HTTP front says no to, and in which words.

A refusal is a value: the status, a stable code that programs may rely on, and a sentence that
tells a person what happened and what to do. Every refusal is counted under its code
(:class:`mcptwist.protocols.limits.Counters`). RFC 9110 section 15 for the statuses.
"""

from __future__ import annotations

import msgspec

__all__ = ["ALL", "Refusal", "Refused"]


class Refusal(msgspec.Struct, frozen=True):
    """One way of saying no: HTTP status, stable code, sentence, headers that belong to it."""

    status: int
    code: str
    message: str
    headers: tuple[tuple[bytes, bytes], ...] = ()

    def body(self) -> bytes:
        """The JSON that is sent with it: ``{"error": {"code": ..., "message": ...}}``."""
        return msgspec.json.encode({"error": {"code": self.code, "message": self.message}})


class Refused(Exception):
    """Raised by what parses, caught by what answers."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.code)
        self.refusal = refusal


ALL: dict[str, Refusal] = {}


def _refusal(
    status: int, code: str, message: str, headers: tuple[tuple[bytes, bytes], ...] = ()
) -> Refusal:
    refusal = ALL[code] = Refusal(status, code, message, headers)
    return refusal


BAD_REQUEST_LINE = _refusal(
    400, "bad-request-line", "The request line must be METHOD SP target SP HTTP/1.1 CRLF."
)
BAD_TARGET = _refusal(
    400,
    "bad-target",
    "The request target must be a path beginning with '/', or an absolute http(s) URI naming the"
    " same authority as Host, without fragment or userinfo.",
)
BAD_VERSION = _refusal(400, "bad-version", "Use HTTP/1.1.")
UNSUPPORTED_VERSION = _refusal(505, "unsupported-version", "Use HTTP/1.1 on this connection.")
BAD_LINE_ENDING = _refusal(
    400, "bad-line-ending", "Lines end in CRLF; a bare CR, a bare LF or a NUL is not allowed."
)
BAD_HEADER = _refusal(
    400,
    "bad-header",
    "A header line is malformed: a token, a colon right after it, a value without control"
    " characters, on one line.",
)
BAD_LENGTH = _refusal(
    400, "bad-content-length", "Send one Content-Length made of decimal digits only."
)
BAD_TRANSFER_ENCODING = _refusal(
    400,
    "bad-transfer-encoding",
    "The only Transfer-Encoding understood is 'chunked', once, on HTTP/1.1, without"
    " Content-Length.",
)
BAD_CHUNK = _refusal(400, "bad-chunk", "The chunked body is malformed (RFC 9112 section 7.1).")
MISSING_HOST = _refusal(400, "missing-host", "Send exactly one Host header.")
SEVERAL_HOSTS = _refusal(400, "several-hosts", "Send exactly one Host header.")
BAD_HOST = _refusal(400, "bad-host", "The Host header must be a host name and an optional port.")
FOREIGN_HOST = _refusal(
    421,
    "foreign-host",
    "This server does not answer under that host name. Use the address it listens on, or add the"
    " name to the allowed hosts.",
)
FOREIGN_ORIGIN = _refusal(
    403,
    "foreign-origin",
    "Requests from that origin are not allowed. Add it to the allowed origins if it is yours.",
)
URI_TOO_LONG = _refusal(414, "uri-too-long", "The request target is longer than allowed.")
HEADERS_TOO_LARGE = _refusal(
    431, "headers-too-large", "The request line and headers together are larger than allowed."
)
TOO_MANY_HEADERS = _refusal(431, "too-many-headers", "There are more header lines than allowed.")
BODY_TOO_LARGE = _refusal(413, "body-too-large", "The request body is larger than allowed.")
EXPECTATION_FAILED = _refusal(
    417, "expectation-failed", "The only expectation understood is 100-continue."
)
METHOD_NOT_ALLOWED = _refusal(
    405,
    "method-not-allowed",
    "That method is not served here.",
    ((b"Allow", b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),),
)
UNKNOWN_METHOD = _refusal(
    501, "unknown-method", "That method is not known here; methods are upper case."
)
WRONG_SCHEME = _refusal(
    400, "wrong-scheme", "The :scheme must be https on an encrypted connection, http on another."
)
UNKNOWN_TUNNEL = _refusal(
    501,
    "unknown-tunnel",
    "The only CONNECT served is the one that opens a WebSocket (RFC 8441), at the URL of one.",
)
HEAD_TIMEOUT = _refusal(408, "head-timeout", "The request line and headers did not arrive in time.")
BODY_TIMEOUT = _refusal(408, "body-timeout", "The request body did not arrive in time.")
TOO_MANY_CONNECTIONS = _refusal(
    503,
    "too-many-connections",
    "All connections are taken. Try again shortly.",
    ((b"Retry-After", b"1"),),
)
INTERNAL_ERROR = _refusal(
    500, "internal-error", "The server failed to answer. The reason is in its log."
)
