"""A session with a legacy server over Streamable HTTP: what it says by itself, beginning anew.

MCP 2025-11-25, *Transports: Listening for Messages, Session Management*.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater

from mcptwist.errors import ServerExited, ServerUnreachable
from mcptwist.messages import Json, Notification, Result, open_error
from mcptwist.protocols.bodies import EventBody, drop, messages_of
from mcptwist.protocols.eventstream import Event
from mcptwist.protocols.streamable_asking import Stay

if TYPE_CHECKING:
    from twisted.python.failure import Failure

    from mcptwist.protocols.streamable_client import StreamableWire

INITIALIZED = "notifications/initialized"
_GROWTH = 1.5


class Standing:
    """The stream on which a server says what belongs to no request, opened again when it ends."""

    def __init__(self, wire: StreamableWire) -> None:
        self._wire = wire
        self._hearing: Deferred[None] | None = None

    def begin(self) -> None:
        """Hear what the server says by itself, as long as it lasts."""
        self.end()
        self._hearing = Deferred.fromCoroutine(self._hear())
        self._hearing.addErrback(self._failed)

    def end(self) -> None:
        """Hear no more."""
        if self._hearing is not None:
            self._hearing.cancel()

    async def _hear(self) -> None:
        wire, stay = self._wire, self._wire.stay
        if stay is None:
            return
        last, failures, pause = "", 0, wire.limits.retry
        while True:
            try:
                body = await wire.open_stream(stay, last, self._event)
            except (ServerUnreachable, ServerExited) as problem:
                failures += 1
                if failures >= wire.limits.reconnects:
                    wire.lose(ServerUnreachable(problem.message))
                    return
            else:
                if body is None:
                    return
                await body.done
                last, failures = body.last or last, 0
                pause = self._pause_after(body, pause)
            await deferLater(wire.clock, pause)

    def _pause_after(self, body: EventBody, pause: float) -> float:
        """Seconds to wait before a stream is opened again; longer, if nothing came of the last."""
        limits = self._wire.limits
        if body.retry is not None:
            return body.retry
        return limits.retry if body.events else min(pause * _GROWTH, limits.retry_max)

    def _event(self, event: Event) -> None:
        for message in messages_of(event):
            self._wire.hear(message)

    def _failed(self, failure: Failure) -> None:
        if not failure.check(CancelledError):
            wire = self._wire
            wire.log.failure("the stream of {wire} broke", failure, wire=wire.description)


class Renewal:
    """Shaking hands again with a server that forgot the session, once for all who found out.

    :ivar hello: the params of the handshake, as they were sent first.
    """

    def __init__(self, wire: StreamableWire) -> None:
        self.hello: Json = b""
        self._wire = wire
        self._runs = False
        self._waiting: list[Deferred[bool]] = []

    async def of(self, stay: Stay) -> bool:
        """The server forgot *stay*.

        :return: whether there is another stay now.
        """
        wire = self._wire
        if wire.stay is not stay:
            return True
        if not self._runs:
            self._runs = True
            shaking = Deferred.fromCoroutine(self._shake_hands())
            shaking.addErrback(wire.asides.failed).addBoth(self._done, stay)
        if wire.stay is not stay:
            return True
        waiting: Deferred[bool] = Deferred()
        self._waiting.append(waiting)
        return await waiting

    def _done(self, _: None, stay: Stay) -> None:
        self._runs = False
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            waiter.callback(self._wire.stay is not stay)

    async def _shake_hands(self) -> None:
        wire = self._wire
        wire.renewals += 1
        wire.log.info("{wire} forgot the session; beginning another", wire=wire.description)
        answer = await wire.ask_privately("initialize", self.hello)
        if not isinstance(answer, Result):
            why = open_error(answer).message
            text = f"{wire.description} ended the session and begins no other: {why}"
            wire.lose(ServerUnreachable(text))
            return
        drop(await wire.post(Notification(INITIALIZED), lambda: None))
        wire.standing.begin()
        wire.renewed()
