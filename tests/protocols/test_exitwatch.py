"""Noticing that a child has exited, by a pidfd or without one; nothing is left of watching."""

from __future__ import annotations

import os
from typing import Any

from twisted.internet.error import ConnectionLost
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from mcptwist.protocols.exitwatch import ExitWatch


class Reactor(Clock):
    def __init__(self) -> None:
        super().__init__()
        self.readers: list[Any] = []

    def addReader(self, reader: Any) -> None:
        self.readers.append(reader)

    def removeReader(self, reader: Any) -> None:
        assert reader.fileno() >= 0  # the reactor has to know which one
        self.readers.remove(reader)


class Family:
    """A process that is asked whether it has exited."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.status: int | None = None
        self.asked = 0

    def exit(self) -> int | None:
        self.asked += 1
        return self.status


class WatchCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor, self.family = Reactor(), Family()
        self.told = 0
        reactor: Any = self.reactor
        family: Any = self.family
        self.watch = ExitWatch(reactor, family, self.hear)
        self.addCleanup(self.watch.stop)

    def hear(self) -> None:
        self.told += 1

    def assert_nothing_left(self) -> None:
        self.assertEqual((self.reactor.readers, self.reactor.getDelayedCalls()), ([], []))
        self.assertEqual(self.watch.fileno(), -1)


class DescriptorTests(WatchCase):
    """By its pidfd."""

    def setUp(self) -> None:
        super().setUp()
        if not hasattr(os, "pidfd_open"):
            raise SkipTest("there are no pidfds here")
        self.watch.start()
        self.descriptor = self.watch.fileno()

    def assert_closed(self) -> None:
        self.assertRaises(OSError, os.fstat, self.descriptor)
        self.assert_nothing_left()

    def test_exited(self) -> None:
        """Once, and without being asked before."""
        self.assertEqual((self.reactor.readers, self.family.asked), ([self.watch], 0))
        self.family.status = 0
        self.watch.doRead()
        self.assertEqual(self.told, 1)
        self.assert_closed()
        self.watch.stop()
        self.assertEqual(self.told, 1)

    def test_not_yet(self) -> None:
        self.watch.doRead()
        self.assertEqual((self.told, self.reactor.readers), (0, [self.watch]))

    def test_stopped(self) -> None:
        self.watch.stop()
        self.assert_closed()
        self.assertEqual(self.told, 0)

    def test_reactor_has_done(self) -> None:
        """Where the reactor gives the descriptor up, it is asked from then on."""
        self.watch.connectionLost(Failure(ConnectionLost()))
        self.assertRaises(OSError, os.fstat, self.descriptor)
        self.assertEqual((self.told, len(self.reactor.getDelayedCalls())), (0, 1))
        self.family.status = 0
        self.reactor.advance(1)
        self.assertEqual(self.told, 1)
        self.watch.connectionLost(Failure(ConnectionLost()))
        self.assertEqual(self.told, 1)
        self.assert_nothing_left()


class AskingTests(WatchCase):
    """By asking now and then, where no descriptor is to be had."""

    def setUp(self) -> None:
        super().setUp()

        def refuse(pid: int) -> int:
            raise OSError(24, "Too many open files")

        if hasattr(os, "pidfd_open"):
            self.patch(os, "pidfd_open", refuse)
        self.watch.start()

    def test_exited(self) -> None:
        self.reactor.pump([0.05] * 4)
        self.assertEqual((self.told, self.family.asked), (0, 4))
        self.family.status = 0
        self.reactor.advance(0.05)
        self.assertEqual(self.told, 1)
        self.reactor.advance(1)
        self.assertEqual((self.told, self.family.asked), (1, 5))
        self.assert_nothing_left()

    def test_stopped(self) -> None:
        self.reactor.advance(0.05)
        self.watch.stop()
        self.assert_nothing_left()
        self.reactor.advance(1)
        self.assertEqual(self.family.asked, 1)
