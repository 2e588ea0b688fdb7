"""Stand-ins that provide our interfaces, and say what was done to them.

Each is checked against its interface and run through the contract of what it
stands for (``tests/contracts``), so that none can drift from the real thing.
"""

from __future__ import annotations

import select
from collections.abc import Iterable
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import (
    IReactorFDSet,
    IReadDescriptor,
    IWriteDescriptor,
)
from twisted.internet.task import Clock
from twisted.logger import Logger
from zope.interface import implementer

from mcptwist.errors import ClientError, McpTwistError, ServerExited
from mcptwist.interfaces import IConnector, ITransferable, IWire, IWireReader
from mcptwist.messages import Message, decode

_log = Logger()


@implementer(IWireReader)
class FakeReader:
    """Remembers what it was told.

    :ivar messages: those received, in order.
    :ivar problems: those of malformed frames.
    :ivar reasons: why it was lost; one at most when all is well.
    :ivar told: all of these in the order they came.
    """

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.problems: list[ClientError] = []
        self.reasons: list[McpTwistError] = []
        self.told: list[Any] = []
        self._waiting: list[tuple[int, Deferred[None]]] = []
        self._lost: Deferred[McpTwistError] = Deferred()

    def received(self, message: Message) -> None:
        self.messages.append(message)
        self._tell(message)

    def malformed(self, problem: ClientError) -> None:
        self.problems.append(problem)
        self._tell(problem)

    def lost(self, reason: McpTwistError) -> None:
        self.reasons.append(reason)
        self._tell(reason)
        if len(self.reasons) == 1:
            self._lost.callback(reason)

    def when_told(self, count: int) -> Deferred[None]:
        """Fires when *count* things have been told in all."""
        waiter: Deferred[None] = Deferred()
        self._waiting.append((count, waiter))
        self._tell()
        return waiter

    def when_lost(self) -> Deferred[McpTwistError]:
        """Fires with the reason; to be asked once."""
        return self._lost

    def _tell(self, *what: Any) -> None:
        self.told.extend(what)
        ready = [w for count, w in self._waiting if count <= len(self.told)]
        self._waiting = [(c, w) for c, w in self._waiting if c > len(self.told)]
        for waiter in ready:
            waiter.callback(None)


@implementer(ITransferable)
class FakeWire:
    """A wire whose far end is the test.

    The test speaks with :meth:`receive`, :meth:`receive_json`, :meth:`malform`
    and :meth:`lose`, and looks at what was ``sent``. As of any wire, nothing is
    told while it is paused, nor after it was lost.

    :ivar sent: the messages sent, in order.
    :ivar calls: ``pause``, ``resume`` and ``close`` as they were asked.
    :ivar clock: with one, ``close`` tells ``lost`` on its next turn; else the
        test calls :meth:`finish_closing`.
    """

    def __init__(
        self, reader: IWireReader, description: str = "fake wire", clock: Clock | None = None
    ) -> None:
        self.description = description
        self.reader = reader
        self.backlog = 0
        self.sent: list[Message] = []
        self.calls: list[str] = []
        self.paused = False
        self.closing = False
        self.gone = False
        self.clock = clock
        self._held: list[Message] = []
        self._closed: list[Deferred[None]] = []

    def send(self, message: Message) -> None:
        if not self.gone:
            self.sent.append(message)

    def hand_over(self, reader: IWireReader) -> None:
        self.calls.append("hand_over")
        self.reader = reader

    def pause(self) -> None:
        self.calls.append("pause")
        self.paused = True

    def resume(self) -> None:
        self.calls.append("resume")
        self.paused = False
        self._deliver()

    def close(self) -> Deferred[None]:
        self.calls.append("close")
        if self.gone:
            return succeed(None)
        closed: Deferred[None] = Deferred()
        self._closed.append(closed)
        if not self.closing and self.clock is not None:
            self.clock.callLater(0, self.finish_closing)
        self.closing = True
        return closed

    def finish_closing(self) -> None:
        """The far end is gone, as it was asked to be."""
        self.lose(ServerExited("it was stopped", exitStatus=0))

    def receive(self, *messages: Message) -> None:
        """The far end says *messages*."""
        self._held += messages
        self._deliver()

    def receive_json(self, *lines: str | bytes) -> None:
        """The far end says what these lines of JSON hold."""
        self.receive(*(decode(x.encode() if isinstance(x, str) else x) for x in lines))

    def malform(self, problem: ClientError) -> None:
        """The far end says something that is no message."""
        if not self.gone:
            self.reader.malformed(problem)

    def lose(self, reason: McpTwistError) -> None:
        """The far end is gone."""
        if self.gone:
            return
        self.gone = True
        self.backlog = 0
        try:
            self.reader.lost(reason)
        except Exception:
            _log.failure("the end of {wire} was not taken", wire=self.description)
        closed, self._closed = self._closed, []
        for one in closed:
            one.callback(None)

    def take(self) -> list[Message]:
        """What was sent since this was last asked."""
        sent, self.sent = self.sent, []
        return sent

    def _deliver(self) -> None:
        while self._held and not self.paused and not self.gone:
            self.reader.received(self._held.pop(0))


@implementer(IConnector)
class FakeConnector:
    """Makes :class:`FakeWire` after :class:`FakeWire`, or fails as it was told to.

    :param plan: what becomes of each attempt, in order: an error to fail with,
        a Deferred to wait for first, or ``None`` for a wire at once. When the
        plan is used up there is a wire at once.
    :ivar wires: those made, in order.
    :ivar attempts: how often it was asked.
    """

    def __init__(
        self,
        plan: Iterable[McpTwistError | Deferred[Any] | None] = (),
        description: str = "fake server",
        clock: Clock | None = None,
    ) -> None:
        self.description = description
        self.plan = list(plan)
        self.wires: list[FakeWire] = []
        self.attempts = 0
        self.clock = clock

    @property
    def wire(self) -> FakeWire:
        """The wire made last."""
        return self.wires[-1]

    def connect(self, reader: IWireReader) -> Deferred[IWire]:
        self.attempts += 1
        turn = self.plan.pop(0) if self.plan else None
        if isinstance(turn, McpTwistError):
            return fail(turn)
        if isinstance(turn, Deferred):
            return turn.addCallback(lambda _: self._make(reader))
        return succeed(self._make(reader))

    def _make(self, reader: IWireReader) -> FakeWire:
        wire = FakeWire(reader, f"fake wire {len(self.wires) + 1}", self.clock)
        self.wires.append(wire)
        return wire


@implementer(IReactorFDSet)
class PipeReactor(Clock):
    """A clock that is also turned over real file descriptors, and waits for none unless told to."""

    def __init__(self) -> None:
        super().__init__()
        self._readers: set[IReadDescriptor] = set()
        self._writers: set[IWriteDescriptor] = set()

    def addReader(self, reader: IReadDescriptor) -> None:
        self._readers.add(reader)

    def addWriter(self, writer: IWriteDescriptor) -> None:
        self._writers.add(writer)

    def removeReader(self, reader: IReadDescriptor) -> None:
        self._readers.discard(reader)

    def removeWriter(self, writer: IWriteDescriptor) -> None:
        self._writers.discard(writer)

    def removeAll(self) -> list[Any]:
        watched = [*self._readers, *self._writers]
        self._readers.clear()
        self._writers.clear()
        return watched

    def getReaders(self) -> list[IReadDescriptor]:
        return list(self._readers)

    def getWriters(self) -> list[IWriteDescriptor]:
        return list(self._writers)

    def turn(self, times: int = 1, wait: float = 0) -> None:
        """Do what is ready to be done, and what is due.

        :param wait: seconds that real processes may take to get something ready.
        """
        for _ in range(times):
            readers = {r.fileno(): r for r in self._readers}
            writers = {w.fileno(): w for w in self._writers}
            ready = select.select(list(readers), list(writers), [], wait)
            for fd in ready[0]:
                if readers[fd] in self._readers:
                    readers[fd].doRead()
            for fd in ready[1]:
                if writers[fd] in self._writers:
                    writers[fd].doWrite()
            self.advance(0)
