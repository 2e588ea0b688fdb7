"""Why a far end that is reached over HTTP did not do what it was asked, in words."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

import msgspec
from twisted.internet import error
from twisted.python.failure import Failure
from twisted.web.iweb import IResponse

from mcptwist.configuration.redaction import redact
from mcptwist.errors import ClientError, ServerError, ServerExited, ServerUnreachable
from mcptwist.messages import Error
from mcptwist.protocols.bodies import header, is_json, media_type, read_messages

_EXCERPT = 200
_CUT = (error.ConnectionLost, error.ConnectionDone, error.ConnectionAborted)


def unreachable(description: str, failure: Failure) -> ServerError:
    """Why there was no connection or no response, for a person."""
    problem = _root(failure).value
    if isinstance(problem, ServerError):
        return problem
    why, advice = _reason(problem)
    text = f"{description} {why}"
    if isinstance(problem, _CUT):
        return ServerExited(text)
    return ServerUnreachable(f"{text}; {advice}" if advice else text)


class Refusal:
    """A response that is no success.

    :ivar status: of HTTP.
    :ivar error: the JSON-RPC error in its body, if there is one.
    :ivar problem: the same for a person.
    """

    def __init__(
        self, response: IResponse, content: bytes, description: str, secrets: Collection[str]
    ) -> None:
        self.status: int = response.code
        self.error = _error_in(content) if is_json(response) else None
        said = redact(_excerpt(response, content), secrets)
        advice = _missing_scope(response) or _ADVICE.get(self.status, "")
        text = f"{description} answered {self.status} {_phrase(response)}".rstrip()
        after = _retry_after(response)
        self.problem = ServerError(
            "; ".join(part for part in (text, advice, said) if part),
            httpStatus=self.status,
            retryAfter=after,
        )


_ADVICE = {
    401: "it wants credentials: a key that it lets in (key, --identity), or a valid Authorization "
    "in headers",
    403: "it does not allow that: see what the key, or the credentials in headers, may do there",
    404: "see whether url is right",
    405: "see whether url is right, and is spoken to over the right wire",
    407: "a proxy wants credentials",
    413: "the message is longer than it takes",
    429: "it is asked too often",
}
_SCOPE = re.compile(rb'insufficient_scope.*\bscope="([\x20\x21\x23-\x5b\x5d-\x7e]{1,200})"')


def _missing_scope(response: IResponse) -> str:
    """What is missing, where a refusal says it (RFC 6750 section 3.1)."""
    found = _SCOPE.search(header(response, b"www-authenticate"))
    return "" if found is None else f"that needs the scope {found[1].decode()}, which we have not"


def _error_in(content: bytes) -> Error | None:
    try:
        found = read_messages(content)[0]
    except ClientError:
        return None
    return found if isinstance(found, Error) else None


class _Said(msgspec.Struct):
    """What frameworks put into the body of a refusal."""

    error: Any = None
    error_description: Any = None
    detail: Any = None
    message: Any = None


def _excerpt(response: IResponse, content: bytes) -> str:
    """The beginning of what a refusal says, where that is meant to be read."""
    text = ""
    if is_json(response):
        try:
            said = msgspec.json.decode(content, type=_Said)
        except msgspec.DecodeError:
            return ""
        inner = said.error.get("message") if isinstance(said.error, dict) else said.error
        found = (said.error_description, said.detail, said.message, inner)
        text = next((each for each in found if isinstance(each, str)), "")
    elif media_type(response) == b"text/plain":
        text = content.decode("utf-8", "replace")
    line = " ".join(text.split())
    return "".join(c if c.isprintable() else "\ufffd" for c in line)[:_EXCERPT]


def _phrase(response: IResponse) -> str:
    phrase = bytes(getattr(response, "phrase", b"") or b"").decode("latin-1")
    return phrase if phrase.isprintable() else ""


def _retry_after(response: IResponse) -> int | None:
    value = header(response, b"retry-after")
    return int(value) if value.isdigit() and len(value) < 8 else None


def _root(failure: Failure) -> Failure:
    """What is at the bottom of Twisted's wrapped reasons."""
    while True:
        reasons = getattr(failure.value, "reasons", None)
        if not reasons:
            return failure
        failure = reasons[0]


def _reason(problem: BaseException | None) -> tuple[str, str]:
    """What happened, and what to do."""
    if isinstance(problem, error.ConnectionRefusedError):
        return "refuses connections", "see whether it runs"
    if isinstance(problem, error.DNSLookupError):
        return "has a host name that nobody knows", "correct its url"
    if isinstance(problem, error.TimeoutError):
        return "did not take a connection in time", "see whether it can be reached from here"
    if isinstance(problem, error.ConnectError):
        return f"cannot be reached ({problem.__doc__})", "see whether it can be reached from here"
    if isinstance(problem, _CUT):
        return "closed the connection before it answered", ""
    name = type(problem).__name__
    if "Verif" in name or "certificate" in str(problem).lower():
        return (
            "has a certificate that is not trusted here, or not for its name",
            "see its certificate",
        )
    if type(problem).__module__.startswith("OpenSSL"):
        return f"cannot be spoken to over TLS ({problem})", "see whether url says the right scheme"
    return f"did not answer as HTTP has it ({name})", "see whether url is right"
