"""Why a link to a server could not be opened, in words for whoever waited for it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import CancelledError
from twisted.internet.error import TimeoutError as TwistedTimeout
from twisted.python.failure import Failure

from mcptwist.errors import (
    Cancelled,
    EraMismatch,
    McpTwistError,
    ServerStartFailed,
    ServerUnavailable,
    ServerUnreachable,
)
from mcptwist.versions import MODERN

if TYPE_CHECKING:
    from mcptwist.link import Link

_TOO_LATE = (TwistedTimeout, CancelledError, Cancelled)


def is_foreseen(failure: Failure) -> bool:
    """Whether it is anything else than a mistake of ours."""
    return failure.check(McpTwistError, *_TOO_LATE) is not None


def failed_start(
    failure: Failure, link: Link, attempt: int, seconds: float, probed: bool
) -> McpTwistError:
    """What a failure comes down to.

    :param attempt: how many starts have failed in a row.
    :param seconds: that opening might take.
    :param probed: whether it is not known yet that the server speaks the era it was
        asked in. It may exit or stay silent where it does not, so such a failure tells
        of its era.
    """
    problem = failure.value
    if isinstance(problem, _TOO_LATE):
        problem = McpTwistError(_silence(link, seconds), stderr=_stderr(link))
    if isinstance(problem, EraMismatch):
        return problem
    if not isinstance(problem, McpTwistError):
        problem = McpTwistError("the daemon failed to open it; see its log.")
    data = {**problem.data, "server": link.server, "attempt": attempt}
    if isinstance(problem, ServerUnreachable):
        return type(problem)(problem.message, **data)
    if probed and link.wire is not None:
        return _of_another_era(problem, link)
    if isinstance(problem, ServerStartFailed):
        return ServerStartFailed(problem.message, **data)
    return ServerStartFailed(f"{link.server} could not be started: {problem.message}", **data)


def not_available(
    server: str, reason: McpTwistError | None, attempt: int, wait: float
) -> ServerUnavailable:
    """A server that failed, and is not tried again just yet.

    :param wait: seconds until it is.
    """
    reason = reason or McpTwistError("it failed")
    data = {**reason.data, "attempt": attempt, "retryAfter": round(wait, 1), "server": server}
    why = reason.message.rstrip(".")
    return ServerUnavailable(f"{server} is not available: {why}. Next try in {wait:.0f} s.", **data)


def _of_another_era(problem: McpTwistError, link: Link) -> EraMismatch:
    return EraMismatch(
        f"{link.server} did not answer server/discover: {problem.message}",
        server=link.server,
        era=MODERN,
        **{key: value for key, value in problem.data.items() if key != "server"},
    )


def _silence(link: Link, seconds: float) -> str:
    """How long it said nothing, or nothing that makes sense."""
    odd = getattr(link.wire, "malformed", 0)
    if not odd:
        return f"it did not answer within {seconds:.0f} s."
    return (
        f"it did not answer within {seconds:.0f} s.; what it wrote to stdout ({odd} lines) is no "
        "message, and nothing else may be written there"
    )


def _stderr(link: Link) -> list[str] | None:
    tail = getattr(link.wire, "stderr_tail", None)
    return tail() if tail is not None else None
