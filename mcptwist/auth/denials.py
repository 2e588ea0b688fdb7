"""How a caller is told no: unknown, not allowed, not any more.

Each is an error of the house's own with the status it deserves and, for HTTP, the headers that go
with it. None tells which part of what was proved was wrong; the audit log does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mcptwist.errors import McpTwistError
from mcptwist.messages import error_answer, pieces
from mcptwist.protocols.request import Request

UNAUTHORIZED = -32001

HeaderList = Sequence[tuple[bytes, bytes]]

_JSON = (b"content-type", b"application/json")
_NO_STORE = (b"cache-control", b"no-store")


class CannotStart(Exception):
    """Without what is wrong here put right, the daemon would let in whom it should not."""


class Denied(McpTwistError):
    """The root of them.

    :ivar headers: to be sent with it where there are headers.
    """

    rpc_code = UNAUTHORIZED
    code = "denied"
    status = 403

    def __init__(self, message: str, headers: HeaderList = (), **data: Any) -> None:
        super().__init__(message, **data)
        self.headers = headers


class Unauthenticated(Denied):
    """Who is calling was not proved."""

    code = "unauthenticated"
    status = 401


class NothingBrought(Unauthenticated):
    """The request says nothing of who is calling."""


class InsufficientScope(Denied):
    """Who is calling is known, and what they brought is not enough for this.

    :ivar needed: the scope that is missing.
    """

    code = "insufficient-scope"
    status = 403

    def __init__(self, needed: str, headers: HeaderList = ()) -> None:
        super().__init__(f"this needs the scope {needed}", headers, scope=needed)
        self.needed = needed


class NotAllowed(Denied):
    """The key may not be used for this, whatever it proves."""

    code = "not-allowed"


class KeyWithdrawn(Denied):
    """The key was good and is not any more."""

    code = "key-withdrawn"
    status = 401


class TooManyFailures(Denied):
    """Too much that came from there was wrong; nothing is looked at for a while."""

    code = "too-many-failures"
    status = 429


class NoRoom(Denied):
    """A bound of the gatehouse's is reached, and nothing can be believed until there is room."""

    code = "overloaded"
    status = 503


def deny(request: Request, problem: McpTwistError, headers: HeaderList = ()) -> None:
    """Answer with an error of ours, before anybody acts on the request."""
    headers = [_JSON, _NO_STORE, *getattr(problem, "headers", ()), *headers]
    request.respond(problem.status, headers, pieces(error_answer(None, problem)))
