"""The wire to a child and the order of its ending, with the test as the child.

The pipes are real, the process is not, and the time is turned by hand. What
real processes do is in ``tests/live/test_children.py``.
"""

from __future__ import annotations

import os
import signal
from types import SimpleNamespace
from typing import Any

from twisted.logger import LogLevel, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.errors import ServerStartFailed, UnparsableMessage
from mcptwist.messages import Message, Notification, Request, decode, encode
from mcptwist.protocols.child import (
    COMPLAIN_EVERY,
    DRAIN,
    ChildLimits,
    ChildWire,
    Launcher,
)
from mcptwist.protocols.family import Exit
from mcptwist.protocols.lines import LineTooLong
from mcptwist.protocols.notstarted import why_not_started
from mcptwist.protocols.tail import Blotter
from tests.contracts.wires import WORDS, WireContract, plain
from tests.fakes import FakeReader, PipeReactor

LIMITS = ChildLimits(stop_grace=3.0, kill_grace=5.0)


class FakeFamily:
    """A child without a process, and its descendants.

    :ivar signals: those sent, in order.
    :ivar obeys: the signal that ends it, and 0 when it exits at the end of its stdin.
    :ivar relatives: how many signals its descendants survive, ``None`` without any.
    """

    def __init__(self) -> None:
        self.pid = -4711  # nobody's
        self.ended: Exit | None = None
        self.signals: list[int] = []
        self.obeys = {0, signal.SIGTERM, signal.SIGKILL}
        self.relatives: int | None = None
        self.reaped = False

    def exit(self) -> Exit | None:
        return self.ended

    def anyone_left(self) -> bool:
        return self.relatives is not None and len(self.signals) <= self.relatives

    def signal(self, number: int) -> None:
        self.signals.append(number)
        if number in self.obeys and self.ended is None:
            self.ended = Exit(None, signal.Signals(number).name)

    def reap(self) -> None:
        self.reaped = True


class ChildRig:
    """A wire to a child that the test plays."""

    def __init__(self, limits: ChildLimits = LIMITS, **options: Any) -> None:
        self.reactor = PipeReactor()
        self.reader = FakeReader()
        self.family = FakeFamily()
        their_stdin, stdin = os.pipe()
        stdout, their_stdout = os.pipe()
        stderr, their_stderr = os.pipe()
        self.stdin = os.fdopen(their_stdin, "rb", 0)
        self.stdout = os.fdopen(their_stdout, "wb", 0)
        self.stderr = os.fdopen(their_stderr, "wb", 0)
        os.set_blocking(their_stdin, False)
        self.written = b""
        process: Any = SimpleNamespace(
            pid=4711,
            stdin=os.fdopen(stdin, "wb", 0),
            stdout=os.fdopen(stdout, "rb", 0),
            stderr=os.fdopen(stderr, "rb", 0),
        )
        family: Any = self.family
        options.setdefault("blotter", Blotter(()))
        self.wire = ChildWire(
            process, family, self.reader, self.reactor, name="it", limits=limits, **options
        )

    def say(self, *messages: Message) -> None:
        for message in messages:
            self.stdout.write(encode(message) + b"\n")

    def heard(self) -> list[Message]:
        self._hear()
        return [decode(line) for line in self.written.splitlines()]

    def leave(self, status: int = 3) -> None:
        self.stdout.close()
        self.stderr.close()
        self.family.ended = Exit(status, None)

    def turn(self) -> None:
        """Some turns, in which the child obeys, and the time it may take to notice it."""
        for _ in range(4):
            self.reactor.turn(2)
            if self._hear() and 0 in self.family.obeys and self.family.ended is None:
                self.leave(0)
            self.reactor.advance(0.05)

    def _hear(self) -> bool:
        """Whether stdin has ended."""
        while not self.stdin.closed:
            data = self.stdin.read(1 << 20)
            if data is None:
                return False
            if not data:
                return True
            self.written += data
        return True

    def finish(self) -> None:
        """Leave no pipe open."""
        self.family.relatives = None
        self.family.ended = self.family.ended or Exit(0, None)
        self.wire.close()
        self.reactor.advance(DRAIN + 1)
        self.reactor.advance(DRAIN + 1)
        for file in (self.stdin, self.stdout, self.stderr):
            file.close()


class ChildWireContract(WireContract, SynchronousTestCase):
    def make_rig(self) -> ChildRig:
        rig = ChildRig()
        self.addCleanup(rig.finish)
        return rig


class ChildTestCase(SynchronousTestCase):
    def make_rig(self, limits: ChildLimits = LIMITS, **options: Any) -> ChildRig:
        rig = ChildRig(limits, **options)
        self.addCleanup(rig.finish)
        return rig

    def warnings(self) -> list[dict[str, Any]]:
        """What will be logged as a warning."""
        events: list[dict[str, Any]] = []

        def observe(event: Any) -> None:
            if event["log_level"] is LogLevel.warn:
                events.append(event)

        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)
        return events


class Framing(ChildTestCase):
    def test_a_line_that_is_no_message(self) -> None:
        warnings = self.warnings()
        rig = self.make_rig(blotter=Blotter({"hunter22"}))
        rig.stdout.write(b"Server \x1b[31mready\x1b[0m, key hunter22\n\r\n \n")
        rig.say(WORDS[0])
        rig.turn()
        self.assertIsInstance(rig.reader.told[0], UnparsableMessage)
        self.assertEqual(plain(rig.reader.messages), plain(WORDS[:1]))
        self.assertEqual(rig.wire.malformed, 1)
        self.assertEqual([event["excerpt"] for event in warnings], ["Server ready, key ***"])

    def test_not_every_such_line_is_logged(self) -> None:
        warnings, rig = self.warnings(), self.make_rig()
        for _ in range(3):
            rig.stdout.write(b"noise\n" * 10)
            rig.turn()
            rig.reactor.advance(COMPLAIN_EVERY / 2)
        self.assertEqual([event["count"] for event in warnings], [1, 21])
        self.assertEqual(len(rig.reader.problems), 30)

    def test_a_line_that_is_too_long(self) -> None:
        rig = self.make_rig(LIMITS._replace(line_limit=100))
        rig.stdout.write(b"x" * 101)
        rig.turn()
        rig.stdout.write(b"x\r\n")
        rig.say(WORDS[0])
        rig.turn()
        self.assertIsInstance(rig.reader.told[0], LineTooLong)
        self.assertEqual((len(rig.reader.told), rig.wire.dropped), (2, 1))

    def test_the_last_line_needs_no_end(self) -> None:
        rig = self.make_rig()
        rig.stdout.write(encode(WORDS[0]))
        rig.leave()
        rig.turn()
        self.assertEqual(plain(rig.reader.messages), plain(WORDS[:1]))

    def test_a_reader_that_fails_does_not_stop_the_rest(self) -> None:
        rig = self.make_rig()

        def failing(told: Any) -> None:
            raise RuntimeError("a bug")

        rig.reader.received = failing  # type: ignore[method-assign]
        rig.reader.malformed = failing  # type: ignore[method-assign,assignment]
        rig.reader.lost = failing  # type: ignore[method-assign,assignment]
        rig.say(*WORDS)
        rig.stdout.write(b"noise\n")
        rig.leave()
        rig.turn()
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), len(WORDS) + 2)
        self.assertTrue(rig.family.reaped)

    def test_a_watcher_that_fails_does_not_stop_the_rest(self) -> None:
        def failing(pid: int, line: str) -> None:
            raise RuntimeError("a bug")

        rig = self.make_rig(watcher=failing)
        rig.stderr.write(b"one\ntwo\n")
        rig.turn()
        self.assertEqual(rig.wire.stderr_tail(), ["one", "two"])
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 2)

    def test_what_the_pipe_does_not_take_waits(self) -> None:
        rig = self.make_rig()
        big = Request(1, "big", b'{"a":"%s"}' % (b"x" * 300_000))
        for _ in range(3):
            rig.wire.send(big)
        self.assertGreater(rig.wire.backlog, 800_000)
        for _ in range(20):
            rig.turn()
        self.assertEqual(rig.wire.backlog, 0)
        self.assertEqual(plain(rig.heard()), plain([big] * 3))

    def test_writes_are_gathered_until_it_speaks(self) -> None:
        """The first goes at once, as does the first after it has spoken; others wait a turn."""
        rig = self.make_rig()
        rig.wire.send(WORDS[0])
        rig.wire.send(WORDS[1])
        rig.wire.send(WORDS[1])
        self.assertEqual(len(rig.heard()), 1)
        rig.reactor.advance(0)
        self.assertEqual(len(rig.heard()), 3)
        rig.say(WORDS[0])
        rig.reactor.turn()
        rig.wire.send(WORDS[0])
        self.assertEqual(len(rig.heard()), 4)

    def test_stderr_is_drained_while_paused(self) -> None:
        told: list[tuple[int, str]] = []
        rig = self.make_rig(watcher=lambda pid, line: told.append((pid, line)))
        rig.wire.pause()
        rig.stderr.write(b"one\ntwo\n")
        rig.turn()
        self.assertEqual(rig.wire.stderr_tail(), ["one", "two"])
        self.assertEqual(told, [(4711, "one"), (4711, "two")])


class Stopping(ChildTestCase):
    """MCP 2026-07-28, *stdio*, Shutdown."""

    def test_its_stdin_is_closed_and_that_is_enough(self) -> None:
        rig = self.make_rig()
        closed = rig.wire.close()
        rig.turn()
        self.successResultOf(closed)
        self.assertEqual((rig.family.signals, rig.family.reaped), ([], True))
        self.assertIn("was stopped and exited with status 0", rig.reader.reasons[0].message)

    def test_term_after_the_grace_and_kill_after_the_next(self) -> None:
        rig = self.make_rig()
        rig.family.obeys = {signal.SIGKILL}
        closed = rig.wire.close()
        for seconds, signals in ((2.9, []), (0.2, [15]), (4.8, [15]), (0.2, [15, 9])):
            rig.reactor.advance(seconds)
            self.assertEqual(rig.family.signals, signals)
        self.assertNoResult(closed)
        rig.leave()
        rig.family.ended = Exit(None, "SIGKILL")
        rig.turn()
        self.successResultOf(closed)
        self.assertEqual(rig.reader.reasons[0].data["signal"], "SIGKILL")

    def test_whoever_cannot_be_killed_is_given_up_and_reaped_when_it_ends(self) -> None:
        """A process that waits for a dead disk heeds no signal."""
        rig = self.make_rig()
        rig.family.obeys = set()
        errors: list[Any] = []
        rig.wire.log = SimpleNamespace(error=lambda *a, **k: errors.append(k))  # type: ignore[assignment]
        closed = rig.wire.close()
        for _ in range(5):
            rig.reactor.advance(5)
        self.successResultOf(closed)
        self.assertIn("does not end", rig.reader.reasons[0].message)
        self.assertEqual(len(errors), 1)
        rig.family.reaped = False
        rig.family.ended = Exit(None, "SIGKILL")
        rig.turn()
        self.assertTrue(rig.family.reaped)

    def test_what_was_sent_is_written_before_its_stdin_is_closed(self) -> None:
        rig = self.make_rig()
        rig.wire.send(Notification("big", b'{"a":"%s"}' % (b"x" * 300_000)))
        rig.wire.close()
        for _ in range(9):
            rig.turn()
        self.assertEqual(len(rig.heard()), 1)
        self.assertEqual(rig.family.signals, [])

    def test_what_it_answers_meanwhile_is_received(self) -> None:
        rig = self.make_rig()
        rig.wire.close()
        rig.say(WORDS[2])
        rig.turn()
        self.assertEqual(plain(rig.reader.messages), plain([WORDS[2]]))

    def test_relatives_are_ended_too(self) -> None:
        rig = self.make_rig()
        rig.family.relatives = 1
        closed = rig.wire.close()
        rig.turn()
        self.assertEqual(len(rig.reader.reasons), 1)
        self.assertEqual(rig.family.signals, [signal.SIGTERM])
        self.assertFalse(rig.family.reaped)
        self.assertNoResult(closed)
        for _ in range(120):
            rig.reactor.advance(0.05)
        self.assertEqual(rig.family.signals, [signal.SIGTERM, signal.SIGKILL])
        self.assertTrue(rig.family.reaped)
        self.successResultOf(closed)


class Exiting(ChildTestCase):
    def test_the_reason_tells_how_and_what_was_said_last(self) -> None:
        rig = self.make_rig(blotter=Blotter({"hunter22"}))
        rig.stderr.write(b"Traceback\n\x1b[1mValueError: hunter22\n\n")
        rig.leave(3)
        rig.turn()
        (reason,) = rig.reader.reasons
        self.assertEqual(
            reason.message,
            "it (pid 4711) exited with status 3; it last said: ValueError: ***",
        )
        self.assertEqual(
            reason.data,
            {
                "exitStatus": 3,
                "signal": None,
                "stderr": ["Traceback", "ValueError: ***"],
                "pid": 4711,
            },
        )

    def test_whoever_holds_its_pipes_holds_up_the_news_for_a_second(self) -> None:
        rig = self.make_rig()
        rig.family.ended = Exit(0, None)
        rig.reactor.advance(0.06)
        rig.reactor.advance(DRAIN - 0.1)
        self.assertEqual(rig.reader.reasons, [])
        rig.reactor.advance(0.2)
        self.assertEqual(len(rig.reader.reasons), 1)

    def test_its_last_words_wait_for_a_paused_reader(self) -> None:
        rig = self.make_rig()
        rig.wire.pause()
        rig.say(*WORDS)
        rig.leave()
        rig.turn()
        rig.reactor.advance(100)
        self.assertEqual(rig.reader.told, [])
        rig.wire.resume()
        rig.turn()
        self.assertEqual(plain(rig.reader.told[:-1]), plain(WORDS))

    def test_without_its_stdout_it_is_stopped(self) -> None:
        rig = self.make_rig()
        rig.family.obeys = {signal.SIGTERM}
        rig.stdout.close()
        rig.reactor.turn(2)
        rig.reactor.advance(LIMITS.stop_grace)
        rig.stderr.close()
        rig.turn()
        self.assertIn("closed its stdout and was killed by SIGTERM", rig.reader.reasons[0].message)

    def test_without_its_stdin_it_is_stopped(self) -> None:
        rig = self.make_rig()
        rig.family.obeys = {signal.SIGTERM}
        rig.stdin.close()
        rig.wire.send(WORDS[0])
        self.assertEqual(rig.reader.told, [])
        rig.reactor.turn()
        rig.reactor.advance(LIMITS.stop_grace)
        rig.stdout.close()
        rig.stderr.close()
        rig.turn()
        self.assertIn("closed its stdin and was killed by SIGTERM", rig.reader.reasons[0].message)

    def test_a_crash_that_nobody_asked_for(self) -> None:
        rig = self.make_rig()
        rig.stdout.close()
        rig.stderr.close()
        rig.reactor.turn(2)  # its pipes end first
        rig.family.ended = Exit(None, "SIGKILL")
        rig.turn()
        self.assertEqual(
            rig.reader.reasons[0].message,
            "it (pid 4711) was killed by SIGKILL, perhaps by the system for want of memory",
        )

    def test_nothing_is_left_on_the_reactor(self) -> None:
        rig = self.make_rig()
        rig.wire.send(WORDS[0])
        rig.leave()
        rig.turn()
        self.assertEqual(rig.reactor.removeAll(), [])
        self.assertEqual(rig.reactor.getDelayedCalls(), [])


class LauncherTests(SynchronousTestCase):
    def launcher(self, *command: str, **options: Any) -> Launcher:
        return Launcher(command, {"PATH": "/nowhere"}, reactor=PipeReactor(), **options)

    def test_no_secret_in_its_description(self) -> None:
        launcher = self.launcher("serve", "--key", "hunter22", secrets={"hunter22"})
        self.assertEqual(launcher.description, "serve --key ***")

    def test_failing_names_the_command_and_where_it_was_looked_for(self) -> None:
        failing = self.launcher("uvx", name="time").connect(FakeReader())
        problem: Any = self.failureResultOf(failing, ServerStartFailed).value
        self.assertEqual(
            problem.message,
            "the command 'uvx' was not found in PATH=/nowhere; "
            "install it, give its full path, or set PATH in env",
        )
        self.assertEqual(problem.data, {"command": "uvx"})

    def test_what_else_may_keep_it_from_starting(self) -> None:
        for number, words in ((24, "ulimit -n"), (11, "no room"), (7, "Argument list too long")):
            problem = OSError(number, os.strerror(number))
            self.assertIn(words, why_not_started(problem, "serve", None, "/bin"))
