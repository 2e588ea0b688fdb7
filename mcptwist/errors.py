"""What can go wrong, sorted by who is to blame.

Every error has three names: a JSON-RPC code for the protocol, a stable word
(``code`` in ``error.data``) for programs and for the documentation, and a
sentence for the person, which says what happened and what to do.

The classes know nothing of HTTP but the status each deserves there (MCP
2026-07-28, *Streamable HTTP, Error handling*; for the legacy revisions the
statuses of *Session management*).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603
HEADER_MISMATCH = -32020
MISSING_CLIENT_CAPABILITY = -32021
UNSUPPORTED_VERSION = -32022

STATUS_OF_CODE: Mapping[int, int] = {
    PARSE_ERROR: 400,
    INVALID_REQUEST: 400,
    INVALID_PARAMS: 400,
    METHOD_NOT_FOUND: 404,
    HEADER_MISMATCH: 400,
    MISSING_CLIENT_CAPABILITY: 400,
    UNSUPPORTED_VERSION: 400,
}
"""HTTP status of a modern error answer by its JSON-RPC code; others are 200."""


class McpTwistError(Exception):
    """The root of all errors of the daemon's own.

    :ivar rpc_code: the JSON-RPC ``error.code``.
    :ivar code: the stable word in ``error.data.code``.
    :ivar status: the HTTP status when nothing better is known.
    """

    rpc_code: ClassVar[int] = INTERNAL_ERROR
    code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500

    def __init__(self, message: str, **data: Any) -> None:
        super().__init__(message)
        self.message = message
        self.data = data

    def body(self) -> dict[str, Any]:
        """The JSON-RPC error object, ready to be encoded."""
        data = {"code": self.code, **{k: v for k, v in self.data.items() if v is not None}}
        return {"code": self.rpc_code, "message": self.message, "data": data}


# --- the client's doing ---------------------------------------------------------------


class ClientError(McpTwistError):
    """What was asked cannot be answered as it was asked."""

    rpc_code = INVALID_REQUEST
    code = "invalid-request"
    status = 400


class UnparsableMessage(ClientError):
    """The text is not JSON, or not UTF-8."""

    rpc_code = PARSE_ERROR
    code = "parse-error"


class InvalidMessage(ClientError):
    """The text is JSON, but no JSON-RPC message.

    :ivar id: the id of the request it was meant to be, if that could be read.
    """

    def __init__(self, message: str, id: int | str | None = None) -> None:
        super().__init__(message)
        self.id = id


class InvalidParams(ClientError):
    """The method is known, its params are not as they must be."""

    rpc_code = INVALID_PARAMS
    code = "invalid-params"


class MethodNotFound(ClientError):
    """Nobody here, in this revision, answers that method."""

    rpc_code = METHOD_NOT_FOUND
    code = "method-not-found"
    status = 404


class DuplicateId(ClientError):
    """The client has a request of that id open already."""

    code = "duplicate-id"


class HeaderMismatch(ClientError):
    """A header is missing, malformed or contradicts the body (MCP 2026-07-28)."""

    rpc_code = HEADER_MISMATCH
    code = "header-mismatch"


class UnsupportedVersion(ClientError):
    """The revision asked for is not served here."""

    rpc_code = UNSUPPORTED_VERSION
    code = "unsupported-version"

    def body(self) -> dict[str, Any]:
        """The error object; ``data`` is the specification's own shape."""
        return {"code": self.rpc_code, "message": self.message, "data": dict(self.data)}


class EraMismatch(ClientError):
    """Client and server share no protocol era, so their words cannot meet."""

    code = "era-mismatch"


class NotInitialized(ClientError):
    """A legacy client spoke before it had shaken hands."""

    code = "not-initialized"


class UnknownSession(ClientError):
    """No such session: it ended, expired, or never was; start a new one."""

    code = "unknown-session"
    status = 404


class SessionRequired(ClientError):
    """A legacy request came without its session's id."""

    code = "session-required"


class StreamTaken(ClientError):
    """The session has its stream open elsewhere."""

    code = "stream-taken"
    status = 409


class NotAcceptable(ClientError):
    """The client will not take what the protocol would have to send."""

    code = "not-acceptable"
    status = 406


class UnsupportedContent(ClientError):
    """The body is not declared to be JSON."""

    code = "unsupported-content-type"
    status = 415


class UnknownServer(ClientError):
    """No server of that name is configured."""

    code = "unknown-server"
    status = 404


class UnknownName(ClientError):
    """No server has a tool, prompt or resource of that name."""

    rpc_code = INVALID_PARAMS
    code = "unknown-name"


class UnknownResource(UnknownName):
    """No server has a resource of that URI (MCP 2026-07-28, *Resources, Error handling*)."""

    code = "unknown-resource"


class ResourceNotFound(UnknownResource):
    """The same as the legacy revisions say it."""

    rpc_code = -32002


def unknown_resource(uri: str, era: str) -> UnknownResource:
    """There is no such resource, as clients of that era are told."""
    kind = ResourceNotFound if era == "legacy" else UnknownResource
    return kind("Resource not found: no server has one of this URI", uri=uri)


# --- a server's doing -----------------------------------------------------------------


class ServerError(McpTwistError):
    """A server behind the daemon did not do its part.

    ``data`` may hold ``server``, ``exitStatus``, ``signal``, ``stderr`` (last
    lines, secrets redacted), ``attempt`` (number) and ``retryAfter`` (seconds).
    """

    code = "server-error"
    status = 502


class ServerStartFailed(ServerError):
    """It could not be started, or did not agree on a revision."""

    code = "server-start-failed"


class ServerUnreachable(ServerError):
    """There is no way to it, or it turned us away before a word of MCP was said.

    Which tells nothing of the revisions it speaks.
    """

    code = "server-unreachable"


class HostNotTrusted(ServerUnreachable):
    """It is not whom it should be, or nobody knows who it is; nothing was sent to it."""

    code = "host-not-trusted"


class SignInFailed(ServerUnreachable):
    """It wants a token, and there is none to be had."""

    code = "sign-in-failed"


class ServerExited(ServerError):
    """It ended while the request was open."""

    code = "server-exited"


class ServerUnavailable(ServerError):
    """It failed before and is not to be started again yet, or is disabled."""

    code = "server-unavailable"
    status = 503


class ServerTimeout(ServerError):
    """It did not answer in time."""

    code = "server-timeout"
    status = 504


class ServerMisbehaved(ServerError):
    """It said something that is no answer."""

    code = "server-misbehaved"


# --- the house's own limits -----------------------------------------------------------


class Overloaded(McpTwistError):
    """A bound of the daemon's is reached; it names the limit to raise."""

    code = "overloaded"
    status = 503


class Draining(McpTwistError):
    """The daemon is about to stop and takes no new work."""

    code = "draining"
    status = 503


class Cancelled(McpTwistError):
    """The exchange was cancelled before it was answered."""

    code = "cancelled"
    status = 499


class ClientGone(McpTwistError):
    """The client that was to answer left first."""

    code = "client-gone"
    status = 499
