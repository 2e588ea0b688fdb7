"""What is said over Streamable HTTP beside requests: notifications, and answers of ours.

Each is a POST of its own, which a server accepts, or not; that ends nothing. A session that was
forgotten is begun anew.

MCP 2025-11-25, *Transports: Sending Messages to the Server*.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from twisted.internet.defer import CancelledError, Deferred

from mcptwist.errors import ServerUnreachable
from mcptwist.messages import Message
from mcptwist.protocols.bodies import drop
from mcptwist.protocols.lane import Lane
from mcptwist.protocols.streamable_asking import forgotten

if TYPE_CHECKING:
    from twisted.python.failure import Failure

    from mcptwist.protocols.streamable_client import StreamableWire


class Asides:
    """What is being said beside requests.

    :param lane: the order in which all messages of the wire leave.
    """

    def __init__(self, wire: StreamableWire, lane: Lane) -> None:
        self._wire = wire
        self._lane = lane
        self._going: set[Deferred[None]] = set()

    def put(self, message: Message, alone: bool, then: Callable[[], None] | None = None) -> None:
        """Let *message*, which wants no answer, have its turn.

        :param alone: whether what is sent after it waits until it was accepted.
        :param then: called when it was accepted, or was not, unless the wire has ended.
        """

        def leave(left: Callable[[], None]) -> None:
            going = Deferred.fromCoroutine(self._post(message, _nothing if alone else left))
            self._going.add(going)
            going.addTimeout(self._wire.limits.accept, self._wire.clock)
            going.addErrback(self.failed)
            going.addCallback(gone, going, left)

        def gone(_: None, going: Deferred[None], left: Callable[[], None]) -> None:
            self._going.discard(going)
            left()
            if then is not None and not self._wire.ended:
                then()

        self._lane.put(leave, alone)

    def end(self) -> None:
        """Give up what was not accepted yet."""
        for going in list(self._going):
            going.cancel()

    def failed(self, failure: Failure) -> None:
        """Something was not accepted; that ends nothing."""
        if not failure.check(CancelledError):
            self._wire.log.debug(
                "{wire} did not accept a message: {reason}",
                wire=self._wire.description,
                reason=failure.getErrorMessage(),
            )

    async def _post(self, message: Message, written: Callable[[], None]) -> None:
        wire, stay = self._wire, self._wire.stay
        try:
            response = await wire.post(message, written)
        except ServerUnreachable as problem:
            wire.gone_wrong(problem)
            return
        if response.code < 300:
            drop(response)
            return
        refusal = await wire.upstream.refusal(response, wire.limits.refusal)
        if stay is not None and forgotten(refusal, stay):
            await wire.renew(stay)
        else:
            wire.log.debug("{wire}: {problem}", wire=wire.description, problem=refusal.problem)


def _nothing() -> None:
    """What waits for a message to be accepted has no need to hear that it was written."""
