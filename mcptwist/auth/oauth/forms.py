"""Forms as the endpoints of an authorization server take them, and how they are refused.

RFC 6749 sections 3.2 and 5.2.
"""

from __future__ import annotations

from typing import TypeAlias
from urllib.parse import parse_qsl

from mcptwist.auth.penalties import BAD_LOGIN
from mcptwist.protocols.request import Request

LARGEST_FORM = 16 * 1024
MOST_PARAMETERS = 32
_FORM = b"application/x-www-form-urlencoded"

Form: TypeAlias = dict[str, str]


class Refused(Exception):
    """A request to the token endpoint is refused, as RFC 6749 section 5.2 has it.

    :ivar reason: for the audit log; the client is told ``error`` and ``description``.
    :ivar failure: what its source is blamed for, as the penalties call it; nothing, if empty.
    """

    def __init__(
        self,
        error: str,
        reason: str,
        status: int = 400,
        description: str = "",
        headers: tuple[tuple[bytes, bytes], ...] = (),
        failure: str = "",
    ) -> None:
        super().__init__(reason)
        self.error = error
        self.reason = reason
        self.status = status
        self.description = description
        self.headers = headers
        self.failure = failure


def invalid_client(reason: str) -> Refused:
    """Whatever was wrong, the client is told the same."""
    return Refused("invalid_client", reason, 401, failure=BAD_LOGIN)


def overloaded(reason: str) -> Refused:
    """There is no room now; the client may come again in five seconds."""
    return Refused(
        "temporarily_unavailable", reason, 503, "try again shortly", ((b"retry-after", b"5"),)
    )


def check_form(request: Request) -> None:
    """Whether *request* is one that brings a form, and nothing that does not belong there.

    :raises Refused: it is not.
    """
    if b"?" in request.uri:
        raise Refused("invalid_request", "a query", description="parameters go into the body")
    if request.header(b"authorization") is not None:
        raise Refused("invalid_request", "an Authorization header", description="one way only")
    kind = (request.header(b"content-type") or b"").partition(b";")[0].strip().lower()
    if kind != _FORM or len(request.header_values(b"content-type")) > 1:
        raise Refused("invalid_request", "no form", description=f"send {_FORM.decode()}")


def read_form(body: bytes) -> Form:
    """The parameters of a form, each of which may be there once (RFC 6749 section 3.2).

    :raises Refused: it is no such form.
    """
    try:
        pairs = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=bool(body),
            max_num_fields=MOST_PARAMETERS,
            errors="strict",
        )
    except ValueError:
        raise Refused("invalid_request", "the form is malformed") from None
    form = dict(pairs)
    if len(form) != len(pairs):
        raise Refused("invalid_request", "a parameter is there twice")
    return form
