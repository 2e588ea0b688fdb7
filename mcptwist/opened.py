"""What one far end has asked of us and is waiting for.

MCP 2026-07-28, *Base protocol*: Messages, Cancellation.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from mcptwist.errors import (
    DuplicateId,
    McpTwistError,
    Overloaded,
)
from mcptwist.exchange import Exchange
from mcptwist.messages import (
    MessageId,
    Notification,
)


class Cancelled(msgspec.Struct, gc=False):
    """What ``notifications/cancelled`` says.

    :ivar requestId: which request, by the id of who asked.
    """

    requestId: MessageId
    reason: str | None = None


_cancelled = msgspec.json.Decoder(Cancelled)


def read_cancelled(notification: Notification) -> Cancelled | None:
    """What a cancellation says; ``None`` where it names no request."""
    try:
        return _cancelled.decode(notification.params)
    except (msgspec.DecodeError, RecursionError):
        return None


class Opened:
    """What one far end has asked of us and is waiting for, by its own ids.

    :param limit: how many may be open at once.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._open: dict[MessageId, Exchange] = {}

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[Exchange]:
        return iter(list(self._open.values()))

    def __contains__(self, id: MessageId) -> bool:
        return id in self._open

    def get(self, id: MessageId) -> Exchange | None:
        """The open one of that id."""
        return self._open.get(id)

    def add(self, exchange: Exchange) -> None:
        """Remember *exchange* until it is over.

        :raises DuplicateId: that far end has one of this id open. It gets to
            hear so at once and the first stays untouched.
        :raises Overloaded: too many are open.
        """
        id = exchange.request.id
        if id in self._open:
            raise DuplicateId(f"a request with the id {id!r} is open already", id=id)
        if len(self._open) >= self._limit:
            raise Overloaded(
                f"{self._limit} requests are open already; wait for one to be answered",
                limit="in_flight",
            )
        self._open[id] = exchange
        exchange.listed = self

    def remove(self, exchange: Exchange) -> None:
        """Forget it, if it is there; called by the exchange itself when it is over."""
        if self._open.get(exchange.request.id) is exchange:
            del self._open[exchange.request.id]

    def cancelled(self, notification: Notification) -> bool:
        """The far end sent ``notifications/cancelled``; whether it named an open request.

        A cancellation that names none is ignored, as the specification asks.
        """
        said = read_cancelled(notification)
        exchange = None if said is None else self._open.pop(said.requestId, None)
        if said is None or exchange is None:
            return False
        exchange.cancel(said.reason or "cancelled by the client")
        return True

    def cancel_all(self, reason: str) -> None:
        """The far end is gone: nobody wants these any more."""
        exchanges, self._open = list(self._open.values()), {}
        for exchange in exchanges:
            exchange.cancel(reason)

    def abandon_all(self, problem: McpTwistError) -> None:
        """We are done with the far end, which may hear why."""
        exchanges, self._open = list(self._open.values()), {}
        for exchange in exchanges:
            exchange.abandon(problem)
