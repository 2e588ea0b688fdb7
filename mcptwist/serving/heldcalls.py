"""Calls of a server in Python that wait for their clients, each by its ``requestState``.

MCP 2026-07-28, *Multi Round-Trip Requests*.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from mcptwist.errors import InvalidParams, Overloaded
from mcptwist.messages import Request, encode_json, open_fields

if TYPE_CHECKING:
    from mcptwist.serving.calls import Call, Turn

_OWN_TO_A_TURN = ("_meta", "inputResponses", "requestState")


class _Held(msgspec.Struct, gc=False):
    call: Call
    purpose: bytes
    timer: IDelayedCall


class HeldCalls:
    """Calls that wait for their client to come back, by ``requestState``.

    :param limit: how many may wait at once.
    :param patience: seconds each may wait; then it is cancelled.
    :param unguessable: makes a new name, of at least 128 random bits.
    :param refused: counts under ``held`` what the limit refused.
    """

    _log = Logger()

    def __init__(
        self, limit: int, patience: float, unguessable: Callable[[], str], refused: Counter[str]
    ) -> None:
        self._limit = limit
        self._patience = patience
        self._unguessable = unguessable
        self._refused = refused
        self._held: dict[str, _Held] = {}

    def __len__(self) -> int:
        return len(self._held)

    def hold(self, call: Call, turn: Turn) -> str:
        """Keep *call* until the client of *turn* comes back with the same request.

        :return: the ``requestState`` to come back with.
        :raises Overloaded: too many are kept already.
        """
        if len(self._held) >= self._limit:
            self._refused["held"] += 1
            raise Overloaded(
                f"{self._limit} calls are waiting for an answer of their clients already; "
                "try again later",
                limit="held",
            )
        state = self._unguessable()
        timer = turn.clock.callLater(self._patience, self._expired, state)
        self._held[state] = _Held(call, _purpose(turn.exchange.request), timer)
        return state

    def find(self, state: str, request: Request) -> Call:
        """The call of that name, which is held still.

        :raises InvalidParams: there is none, or it was for another request.
        """
        held = self._held.get(state)
        if held is None or held.purpose != _purpose(request):
            raise InvalidParams(
                "requestState is unknown: it was used, it expired, or it belongs to another "
                "request; make the request again without it"
            )
        return held.call

    def release(self, state: str) -> None:
        """It is held no longer; its name is worth nothing from now on."""
        self._held.pop(state).timer.cancel()

    def drop_all(self, reason: str) -> None:
        """Cancel all that are held."""
        held, self._held = self._held, {}
        for each in held.values():
            each.timer.cancel()
            each.call.cancel(reason)

    def _expired(self, state: str) -> None:
        held = self._held.pop(state)
        held.call.cancel(f"its client did not come back within {self._patience:g} seconds")


def _purpose(request: Request) -> bytes:
    """What the request asks, the same for every turn whatever the order of its members."""
    fields = open_fields(request.params)
    for name in _OWN_TO_A_TURN:
        fields.pop(name, None)
    text = encode_json([request.method, fields])
    try:
        text = msgspec.json.encode(msgspec.json.decode(text), order="sorted")
    except RecursionError:
        pass  # too deep to be put in order; the same text still means the same
    return hashlib.sha256(text).digest()
