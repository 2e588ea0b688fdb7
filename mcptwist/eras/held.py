"""Calls that wait for their client to come back with inputs.

A modern client that is asked something ends its exchange with the question and
asks again with the answer. What goes on meanwhile is *held* here under a
``requestState``: a handle that nobody can guess or alter, good for one retry of
the same request, to the same server, by the same principal, within a while.

MCP 2026-07-28, *Multi Round-Trip Requests, Server Requirements*.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from mcptwist.errors import InvalidParams, Overloaded
from mcptwist.messages import Json, Request, holds, open_fields

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall, IReactorTime

_HANDLE = 16
_MAC = 32
_sorted = msgspec.json.Encoder(order="sorted")


class Held:
    """The calls that are held.

    :param make_bytes: so many unguessable bytes each time.
    :param limit: how many may be held; an attribute too.
    :param patience: seconds that a client has to come back.
    :ivar expired: how many nobody came back for, so far.
    :ivar refused: how many found no place, so far.
    """

    def __init__(
        self,
        clock: IReactorTime,
        make_bytes: Callable[[int], bytes],
        limit: int = 1000,
        patience: float = 600.0,
    ) -> None:
        self._clock = clock
        self._make_bytes = make_bytes
        self._secret = make_bytes(_MAC)
        self.limit = limit
        self._patience = patience
        self._calls: dict[bytes, tuple[Any, IDelayedCall]] = {}
        self.expired = 0
        self.refused = 0

    def __len__(self) -> int:
        return len(self._calls)

    def hold(self, call: Any, request: Request, principal: str, server: str = "") -> str:
        """Hold *call* until its client retries *request*.

        :param call: its ``expired()`` is called if nobody comes back.
        :param server: whom it was put to.
        :return: the ``requestState``.
        :raises Overloaded: too many are held.
        """
        if len(self._calls) >= self.limit:
            self.refused += 1
            raise Overloaded(
                f"{self.limit} calls wait for their clients' inputs; raise limits.held_calls",
                limit="held_calls",
            )
        handle = self._make_bytes(_HANDLE)
        timer = self._clock.callLater(self._patience, self._expire, handle)
        self._calls[handle] = (call, timer)
        return _text(handle + self._seal(handle, request, principal, server))

    def take(self, state: str, request: Request, principal: str, server: str = "") -> Any:
        """The call that *request* is a retry of; it is not held any more.

        :raises InvalidParams: the state is altered, used, too old, another's, or another
            request's or server's.
        """
        token = _bytes(state)
        handle, seal = token[:_HANDLE], token[_HANDLE:]
        good = hmac.compare_digest(seal, self._seal(handle, request, principal, server))
        if not good or handle not in self._calls:
            raise InvalidParams(
                "requestState does not belong to this request, or was used or has expired; "
                "send the request again without it"
            )
        call, timer = self._calls.pop(handle)
        timer.cancel()
        return call

    def drop(self, call: Any) -> None:
        """Hold *call* no more: it is over."""
        for handle, (held, timer) in list(self._calls.items()):
            if held is call:
                del self._calls[handle]
                timer.cancel()

    def clear(self) -> None:
        """The daemon stops."""
        for handle in list(self._calls):
            call, timer = self._calls.pop(handle)
            timer.cancel()
            call.expired()

    def _expire(self, handle: bytes) -> None:
        call, _ = self._calls.pop(handle)
        self.expired += 1
        call.expired()

    def _seal(self, handle: bytes, request: Request, principal: str, server: str) -> bytes:
        meant = b"\0".join((handle, principal.encode(), digest(request, server)))
        return hmac.digest(self._secret, meant, "sha256")


def digest(request: Request, server: str = "") -> bytes:
    """What a request to a server is, apart from its id, its envelope and what a retry adds."""
    fields = open_fields(request.params)
    for name in ("_meta", "inputResponses", "requestState"):
        fields.pop(name, None)
    plain = {name: msgspec.json.decode(raw) for name, raw in fields.items()}
    return hashlib.sha256(_sorted.encode([server, request.method, plain])).digest()


class Retry(msgspec.Struct, frozen=True):
    """What a retry brings.

    :ivar responses: the client's answers by key, unopened.
    :ivar state: the ``requestState``, ``None`` if it is no retry.
    """

    responses: dict[str, msgspec.Raw] = msgspec.field(name="inputResponses", default_factory=dict)
    state: str | None = msgspec.field(name="requestState", default=None)


_retry = msgspec.json.Decoder(Retry)


def read_retry(params: Json) -> Retry:
    """What of a retry is in a request's params.

    :raises InvalidParams: it is not as it must be.
    """
    if not holds(params, b'"requestState"'):
        return Retry()
    try:
        found: Retry = _retry.decode(params)
    except (msgspec.DecodeError, RecursionError) as problem:
        raise InvalidParams(f"inputResponses or requestState is malformed: {problem}") from None
    for key, response in found.responses.items():
        if memoryview(response)[0] != 0x7B:
            raise InvalidParams(f"the response to {key} is not an object")
    return found


def _text(token: bytes) -> str:
    return base64.urlsafe_b64encode(token).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    """The bytes of a state, none if it is not even written as one."""
    try:
        token = base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True)
    except (ValueError, UnicodeEncodeError):
        return b""
    return token if _text(token) == text else b""
