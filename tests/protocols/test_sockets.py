"""Writing at the end of a turn: real sockets, a reactor whose turns the test makes."""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.internet.tcp import Connection
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.protocols import sockets

MUCH = 8_000_000
"""Bytes no socket takes at once."""


class Reactor(Clock):
    """Says who waits to write; a turn ends when the clock is turned."""

    def __init__(self) -> None:
        super().__init__()
        self.writers: set[Any] = set()

    def addReader(self, reader: Any) -> None:
        """Called by a transport that wants to read; nothing here does."""

    removeReader = addReader

    def addWriter(self, writer: Any) -> None:
        self.writers.add(writer)

    def removeWriter(self, writer: Any) -> None:
        self.writers.discard(writer)


class Producer:
    """Counts what its transport asks of it."""

    def __init__(self) -> None:
        self.pauses = self.resumes = 0

    def pauseProducing(self) -> None:
        self.pauses += 1

    def resumeProducing(self) -> None:
        self.resumes += 1

    def stopProducing(self) -> None:
        """Called when the transport is gone."""


class WriteTests(SynchronousTestCase):
    """What is written, when, and in which order."""

    def setUp(self) -> None:
        self.reactor = Reactor()

    def connect(self) -> tuple[Connection, socket.socket]:
        """A transport, and the socket at its far end."""
        near, far = socket.socketpair()
        for end in (near, far):
            end.setblocking(False)
            self.addCleanup(end.close)
        transport = Connection(near, Protocol(), self.reactor)
        transport.connected = 1
        return transport, far

    def end_turn(self) -> None:
        self.reactor.advance(0)

    def drain(self, transport: Connection, far: socket.socket) -> bytes:
        """Read all there is, letting the reactor write as long as somebody wants to."""
        got = b""
        while True:
            try:
                got += far.recv(1 << 20)
            except BlockingIOError:
                if transport not in self.reactor.writers:
                    return got
                transport.doWrite()

    def test_end_of_turn(self) -> None:
        """Nothing is sent before the turn ends; then all is, and no writer is left."""
        transport, far = self.connect()
        sockets.write(transport, b"one ")
        sockets.write(transport, b"two")
        self.assertRaises(BlockingIOError, far.recv, 10)
        self.end_turn()
        self.assertEqual(far.recv(10), b"one two")
        self.assertEqual(self.reactor.writers, set())

    def test_all_in_one_turn(self) -> None:
        """Everybody's words leave with one call, in the order in which they came."""
        both = [self.connect(), self.connect()]
        for transport, _ in both:
            sockets.write(transport, b"x")
        self.assertEqual(len(self.reactor.getDelayedCalls()), 1)
        self.end_turn()
        self.assertEqual([far.recv(9) for _, far in both], [b"x", b"x"])

    def test_one_breaks(self) -> None:
        """One that cannot be written to is cut, and keeps nobody else's words back."""
        (broken, _), (whole, far) = self.connect(), self.connect()
        cut: list[Connection] = []

        def fail(data: bytes) -> int:
            raise MemoryError

        self.patch(broken, "writeSomeData", fail)
        self.patch(broken, "abortConnection", lambda: cut.append(broken))
        for transport in (broken, whole):
            sockets.write(transport, b"x")
        self.end_turn()
        self.assertEqual((far.recv(9), cut), (b"x", [broken]))
        self.assertEqual(len(self.flushLoggedErrors(MemoryError)), 1)

    def test_next_turn(self) -> None:
        """The turn after is like the first."""
        transport, far = self.connect()
        for word in (b"one", b"two"):
            sockets.write(transport, word)
            self.end_turn()
            self.assertEqual(far.recv(9), word)

    def test_more_than_it_takes(self) -> None:
        """What the socket does not take the reactor sends, and nothing overtakes it."""
        transport, far = self.connect()
        sockets.write(transport, b"a" * MUCH)
        self.end_turn()
        self.assertEqual(self.reactor.writers, {transport})
        sockets.write(transport, b"z")
        self.end_turn()
        got = self.drain(transport, far)
        self.assertEqual((len(got), got[-2:]), (MUCH + 1, b"az"))

    def test_behind_a_write_of_twisteds(self) -> None:
        """What was given to the transport itself comes first."""
        transport, far = self.connect()
        transport.write(b"one ")
        sockets.write(transport, b"two")
        self.assertEqual(self.drain(transport, far), b"one two")

    def test_before_a_write_of_twisteds(self) -> None:
        """What is given to the transport itself afterwards comes last."""
        transport, far = self.connect()
        sockets.write(transport, b"one ")
        transport.write(b"two")
        self.end_turn()
        self.assertEqual(self.drain(transport, far), b"one two")

    def test_back_pressure(self) -> None:
        """Who writes too much in a turn is paused, and resumed when all is sent."""
        transport, far = self.connect()
        producer = Producer()
        transport.registerProducer(producer, True)  # type: ignore[arg-type]
        sockets.write(transport, b"a" * MUCH)
        self.assertEqual((producer.pauses, producer.resumes), (1, 0))
        self.end_turn()
        self.assertEqual(len(self.drain(transport, far)), MUCH)
        self.assertEqual((producer.pauses, producer.resumes), (1, 1))

    def test_closed_meanwhile(self) -> None:
        """Closing after writing sends what was written, then closes."""
        transport, far = self.connect()
        sockets.write(transport, b"last words")
        transport.loseConnection()
        self.end_turn()
        self.assertEqual(self.reactor.writers, {transport})
        self.assertIsInstance(transport.doWrite(), Exception)
        self.assertEqual(far.recv(20), b"last words")

    def test_lost_meanwhile(self) -> None:
        """A connection that is lost before the turn ends is left alone."""
        transport, far = self.connect()
        sockets.write(transport, b"x")
        transport.connected = 0
        self.end_turn()
        self.assertRaises(BlockingIOError, far.recv, 10)
        self.assertEqual(self.reactor.writers, set())

    def test_far_end_is_gone(self) -> None:
        """The reactor finds out about it, as it would have without us."""
        transport, far = self.connect()
        far.close()
        sockets.write(transport, b"x")
        self.end_turn()
        self.assertEqual(self.reactor.writers, {transport})
        self.assertIsInstance(transport.doWrite(), Exception)

    def test_other_transports(self) -> None:
        """A transport without a socket is written to at once."""
        transport = StringTransport()
        sockets.write(transport, b"x")
        self.assertEqual(transport.value(), b"x")


class TurnTests(SynchronousTestCase):
    """What is done when a turn ends."""

    def setUp(self) -> None:
        self.reactor = Clock()
        self.done: list[str] = []

    def first(self) -> None:
        self.done.append("first")
        sockets.at_turns_end(self.reactor, self.second)

    def second(self) -> None:
        self.done.append("second")

    def broken(self) -> None:
        raise ZeroDivisionError

    def test_once(self) -> None:
        """However often it was asked for, with one delayed call for all."""
        for _ in range(3):
            sockets.at_turns_end(self.reactor, self.second)
            sockets.at_turns_end(self.reactor, self.done.clear)
        self.assertEqual((self.done, len(self.reactor.getDelayedCalls())), ([], 1))
        self.reactor.advance(0)
        self.assertEqual(self.done, [])
        sockets.at_turns_end(self.reactor, self.second)
        self.reactor.advance(0)
        self.assertEqual(self.done, ["second"])

    def test_meanwhile(self) -> None:
        """What is asked for while a turn ends is done when another one does."""
        sockets.at_turns_end(self.reactor, self.first)
        self.reactor.advance(0)
        self.assertEqual(self.done, ["first", "second"])
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_one_that_fails(self) -> None:
        """It is logged, and the others have their turn."""
        sockets.at_turns_end(self.reactor, self.broken)
        sockets.at_turns_end(self.reactor, self.second)
        self.reactor.advance(0)
        self.assertEqual(self.done, ["second"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
