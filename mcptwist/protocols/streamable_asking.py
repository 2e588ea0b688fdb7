"""One request over Streamable HTTP, from its POST to its answer.

The answer may come as JSON, on the event stream of the response, or, when that
broke, on another stream. A request that cannot be answered is repeated once where
the reason can be mended: a session that was forgotten, a header that did not fit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater

from mcptwist.errors import (
    HEADER_MISMATCH,
    METHOD_NOT_FOUND,
    ClientError,
    InvalidMessage,
    McpTwistError,
    ServerExited,
    ServerMisbehaved,
    ServerUnreachable,
)
from mcptwist.messages import Answer, Error, Message, Request, Result, open_error
from mcptwist.protocols import mcphttp
from mcptwist.protocols.bodies import (
    EVENTS,
    EventBody,
    ResponseBody,
    WholeBody,
    drop,
    header,
    is_json,
    media_type,
    messages_of,
    read_messages,
)
from mcptwist.protocols.eventstream import Event
from mcptwist.protocols.setbacks import Refusal
from mcptwist.protocols.waits import patient
from mcptwist.versions import REVISIONS

if TYPE_CHECKING:
    from twisted.python.failure import Failure
    from twisted.web.iweb import IResponse

    from mcptwist.protocols.streamable_client import StreamableWire

OPENINGS = ("initialize", "server/discover")


class Stay(msgspec.Struct, frozen=True):
    """What a legacy server knows us by.

    :ivar key: the session id, empty where the server keeps none.
    :ivar revision: what was agreed.
    """

    key: bytes
    revision: str

    def headers(self) -> list[tuple[bytes, bytes]]:
        """What every request of the session carries."""
        found = [(mcphttp.SESSION, self.key)] if self.key else []
        revision = REVISIONS.get(self.revision)
        if revision is not None and revision.names_itself:
            found.append((mcphttp.VERSION, self.revision.encode()))
        return found


class Asking:
    """One request on its way, until it is answered.

    :param told: told everything that comes of it, the answer last.
    :param private: whether it is the wire's own.
    """

    __slots__ = ("_body", "_heard", "_key", "_life", "_tried", "_wire", "over", "private",
                 "request", "told")  # fmt: skip

    def __init__(
        self,
        wire: StreamableWire,
        request: Request,
        told: Callable[[Message | ClientError], None],
        private: bool = False,
    ) -> None:
        self.request = request
        self.private = private
        self.over = False
        self.told = told
        self._wire = wire
        self._life: Deferred[None] | None = None
        self._body: ResponseBody | None = None
        self._key = b""
        self._tried = False

    def start(self, written: Callable[[], None]) -> None:
        """Send it."""
        if self.over:
            written()
            return
        self._life = Deferred.fromCoroutine(self._run(written))
        self._life.addErrback(self._broken)

    @property
    def opens(self) -> bool:
        """Whether it is what the house opens the conversation with."""
        return not self.private and self.request.method in OPENINGS

    def unwanted(self) -> bool:
        """Whether it was answered or given up meanwhile."""
        return self.over

    def finish(self) -> None:
        """Nothing more is told of it."""
        self.over = True
        self._wire.over(self)

    def abandon(self) -> None:
        """Nobody wants the answer any more: close the response."""
        if self.over:
            return
        self.finish()
        self._close()

    def answered(self, answer: Answer) -> None:
        """There is an answer."""
        if self.over:
            return
        self.finish()
        if isinstance(answer, Result):
            if self.request.method == "initialize":
                self._wire.agreed(self._key, answer.result)
            elif self.request.method == "tools/list" and self._wire.modern:
                self._wire.mirror.learn(answer.result)
        self.told(answer)
        if not isinstance(self._body, WholeBody):
            self._linger()

    def _linger(self) -> None:
        """The response ought to end now; one that does not is closed."""
        life = self._life
        if life is None or (self._body is not None and self._body.closed):
            return
        ending = self._wire.clock.callLater(self._wire.limits.linger, self._close)

        def ended(outcome: None) -> None:
            if ending.active():
                ending.cancel()

        life.addBoth(ended)

    def _close(self) -> None:
        if self._life is not None:
            self._life.cancel()
        if self._body is not None:
            self._body.close()

    async def _run(self, written: Callable[[], None]) -> None:
        try:
            await self._ask(written)
        except CancelledError:
            pass
        except McpTwistError as problem:
            if not self.over:
                self._wire.failed(self, problem)
        finally:
            written()

    def _broken(self, failure: Failure) -> None:
        self._wire.log.failure("asking {wire} broke", failure, wire=self._wire.description)
        self._wire.failed(self, McpTwistError("the daemon failed to ask; see its log"))

    async def _ask(self, written: Callable[[], None]) -> None:
        wire = self._wire
        stay = wire.stay
        response = await self._posted(written)
        if response.code == 200:
            await self._hear(response, stay)
            return
        if response.code < 400:
            drop(response)
            raise ServerMisbehaved(
                f"{wire.description} answered {response.code} to {self.request.method}, "
                "which is no answer; see whether url is right"
            )
        refusal = await wire.upstream.refusal(response, wire.limits.refusal)
        if self.unwanted():
            return
        mended = not self._tried and await self._mended(refusal, stay)
        if self.unwanted():
            return
        if mended:
            await self._ask(written)
        else:
            await wire.refused(self, refusal)

    async def _posted(self, written: Callable[[], None]) -> IResponse:
        wire = self._wire
        posting = Deferred.fromCoroutine(wire.post(self.request, written))
        if self.request.method not in OPENINGS:
            return await posting
        late = ServerUnreachable(
            f"{wire.description} did not answer within {wire.limits.opening:.0f} s"
        )
        response: IResponse = await patient(
            posting,
            wire.limits.opening,
            wire.clock,
            late,
            excused=lambda: wire.upstream.asks_person,
        )
        return response

    async def _mended(self, refusal: Refusal, stay: Stay | None) -> bool:
        """Whether it is worth asking again."""
        self._tried = True
        wire = self._wire
        if stay is not None and not self.private and forgotten(refusal, stay):
            return await wire.renew(stay)
        if wire.modern and self.request.method == "tools/call" and _mirrors_badly(refusal):
            await wire.relearn(self.request)
            return True
        return False

    async def _hear(self, response: IResponse, stay: Stay | None) -> None:
        self._key = header(response, mcphttp.SESSION)
        if media_type(response) == EVENTS:
            await self._hear_stream(response, stay)
        elif is_json(response):
            await self._hear_whole(response)
        else:
            drop(response)
            raise ServerMisbehaved(
                f"{self._wire.description} answered with neither JSON nor an event stream; "
                "see whether url is right"
            )

    async def _hear_whole(self, response: IResponse) -> None:
        body = self._body = WholeBody(self._wire.limits.body)
        self._wire.deliver(response, body)
        text = await body.done
        try:
            found = read_messages(text)
        except ClientError as problem:
            raise ServerMisbehaved(
                f"{self._wire.description} answered with what is no message: {problem.message}"
            ) from None
        for message in found:
            self._take(message)
        if not self.over:
            raise ServerMisbehaved(f"{self._wire.description} answered another question")

    async def _hear_stream(self, response: IResponse, stay: Stay | None) -> None:
        wire = self._wire
        stream = EventBody(self._event, wire.limits.body)
        self._body = stream
        wire.deliver(response, stream)
        problem = await stream.done
        if self.over:
            return
        if problem is not None:
            raise problem
        if stay is None or not stream.last:
            raise ServerExited(f"{wire.description} ended its response before the answer")
        await self._resume(stream, stay)

    async def _resume(self, stream: EventBody, stay: Stay) -> None:
        """Take a broken stream up again (MCP 2025-11-25, *Resumability and Redelivery*)."""
        wire = self._wire
        last, failures = stream.last, 0
        pause = wire.limits.retry if stream.retry is None else stream.retry
        while failures < wire.limits.reconnects:
            await deferLater(wire.clock, pause)
            if self.unwanted():
                return
            try:
                resumed = await wire.open_stream(stay, last, self._event)
            except (ServerUnreachable, ServerExited):
                failures += 1
                continue
            if resumed is None:
                break
            self._body = resumed
            problem = await resumed.done
            if self.unwanted():
                return
            if problem is not None:
                raise problem
            pause = pause if resumed.retry is None else resumed.retry
            last, failures = resumed.last or last, 0
        raise ServerExited(f"{wire.description} lost the answer: its stream broke and is gone")

    def _event(self, event: Event) -> None:
        for message in messages_of(event):
            self._take(message)

    def _take(self, message: Message | ClientError) -> None:
        if self.over and isinstance(message, Result | Error):
            return
        if isinstance(message, Result | Error) and message.id == self.request.id:
            self.answered(message)
        else:
            self._wire.hear(message)


def forgotten(refusal: Refusal, stay: Stay) -> bool:
    """Whether a server says that it does not know the session.

    404 by the specification; servers on the TypeScript SDK's examples say 400.
    """
    if not stay.key:
        return False
    if refusal.status == 404:
        return refusal.error is None or _code(refusal.error) != METHOD_NOT_FOUND
    return (
        refusal.status == 400
        and refusal.error is not None
        and b"session" in bytes(refusal.error.error).lower()
    )


def _mirrors_badly(refusal: Refusal) -> bool:
    return refusal.error is not None and _code(refusal.error) == HEADER_MISMATCH


def _code(error: Error) -> int:
    try:
        return open_error(error).code
    except InvalidMessage:
        return 0
