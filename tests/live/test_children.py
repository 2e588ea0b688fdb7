"""Real processes: whatever children do and however they end, nobody is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import SynchronousTestCase, TestCase

from mcptwist.errors import ServerExited, ServerStartFailed
from mcptwist.messages import Request, Result
from mcptwist.protocols import family
from mcptwist.protocols.child import ChildLimits, ChildWire, Launcher
from mcptwist.protocols.family import household
from mcptwist.protocols.lines import LineTooLong
from mcptwist.protocols.processes import HAS_PROC, children, stat
from tests.contracts.wires import ConnectorContract
from tests.fakes import FakeReader, PipeReactor
from tests.patience import SECONDS

QUICK = ChildLimits(stop_grace=0.3, kill_grace=0.5)
PATIENT = ChildLimits(stop_grace=10.0, kill_grace=10.0)

ECHO = """
    import json, sys
    for line in sys.stdin:
        id = json.loads(line)["id"]
        print(json.dumps({"jsonrpc": "2.0", "id": id, "result": {}}), flush=True)
"""
SAY = 'import sys; print(\'{"jsonrpc":"2.0","method":"hello"}\', flush=True)\n'


def in_reactor(
    test: Callable[[Any], Coroutine[Deferred[Any], Any, None]],
) -> Callable[[Any], Deferred[None]]:
    """Let a test await Deferreds."""

    def started(self: Any) -> Deferred[None]:
        return Deferred.fromCoroutine(test(self))

    started.__name__ = test.__name__
    started.__doc__ = test.__doc__
    return started


async def until(truth: Callable[[], Any], seconds: float = SECONDS) -> None:
    """Wait for what comes about by itself in other processes, where nothing tells us."""
    for _ in range(int(seconds / 0.02)):
        if truth():
            return
        await deferLater(reactor, 0.02, lambda: None)
    raise AssertionError(f"not within {seconds} s: {truth}")


def alive(pid: int) -> bool:
    found = stat(pid)
    return found is not None and not found.dead


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


class ChildrenTestCase(TestCase):
    timeout = 5 * SECONDS

    def setUp(self) -> None:
        self.reader = FakeReader()
        self.wires: list[Any] = []

    def tearDown(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self.close_all())

    async def close_all(self) -> None:
        for wire in self.wires:
            await wire.close()
        self.assertEqual(household.leaders, set())

    async def launch(
        self,
        code: str,
        limits: ChildLimits = PATIENT,
        env: dict[str, str] | None = None,
        **options: Any,
    ) -> ChildWire:
        """Start a child that runs *code*."""
        command = [sys.executable, "-S", "-c", textwrap.dedent(code)]
        launcher = Launcher(
            command, env or {}, reactor=reactor, name="child", limits=limits, **options
        )
        wire: Any = await launcher.connect(self.reader)
        self.wires.append(wire)
        return wire

    async def pids_told(self, count: int) -> list[int]:
        """The pids that a child told as the ids of requests."""
        await self.reader.when_told(count)
        return [message.id for message in self.reader.messages[:count]]  # type: ignore[union-attr,misc]


class Talking(ChildrenTestCase):
    @in_reactor
    async def test_there_and_back(self) -> None:
        wire = await self.launch(ECHO)
        wire.send(Request(1, "ping"))
        await self.reader.when_told(1)
        self.assertIsInstance(self.reader.messages[0], Result)
        await wire.close()
        self.assertEqual(self.reader.reasons[0].data["exitStatus"], 0)

    @in_reactor
    async def test_a_line_of_ten_megabytes(self) -> None:
        """Both ways: 10 MB go there in one message and come back in one."""
        wire = await self.launch("import sys; sys.stdout.write(sys.stdin.readline())")
        wire.send(Request(1, "big", b'{"a":"%s"}' % (b"x" * 10_000_000)))
        self.assertGreater(wire.backlog, 9_000_000)
        await self.reader.when_lost()
        self.assertEqual(len(self.reader.messages[0].params), 10_000_008)  # type: ignore[union-attr]
        self.assertEqual(wire.backlog, 0)

    @in_reactor
    async def test_a_line_over_the_limit_is_dropped(self) -> None:
        code = "import sys; sys.stdout.write('x' * 5_000_000 + chr(10))\n" + SAY
        await self.launch(code, PATIENT._replace(line_limit=1000))
        await self.reader.when_lost()
        self.assertIsInstance(self.reader.told[0], LineTooLong)
        self.assertEqual(len(self.reader.messages), 1)

    @in_reactor
    async def test_a_flood_on_stderr_holds_nothing_up(self) -> None:
        flood = "import sys\nfor n in range(100_000): print('x' * 100, n, file=sys.stderr)\n"
        wire = await self.launch(flood + SAY)
        wire.pause()
        # It can exit only if its stderr is read; it is paused, so nothing else is.
        await until(lambda: not alive(wire.pid))
        wire.resume()
        await self.reader.when_lost()
        self.assertEqual(len(self.reader.messages), 1)
        self.assertLessEqual(sum(map(len, wire.stderr_tail())), 16 << 10)
        self.assertTrue(wire.stderr_tail()[-1].endswith("x 99999"))

    @in_reactor
    async def test_a_flood_on_stdout_waits_while_paused(self) -> None:
        flood = """
            import sys
            for n in range(20_000):
                print('{"jsonrpc":"2.0","method":"flood","params":{}}')
                print(n, file=sys.stderr, flush=True)
            sys.stdout.flush()
        """
        wire = await self.launch(flood)
        wire.pause()
        seen: list[list[str]] = [[]]

        def stuck() -> bool:
            seen.append(wire.stderr_tail())
            return bool(seen[-1]) and seen[-10:] == [seen[-1]] * 10

        await until(stuck)
        self.assertLess(int(wire.stderr_tail()[-1]), 19_000)
        self.assertEqual(self.reader.messages, [])
        wire.resume()
        await self.reader.when_lost()
        self.assertEqual(len(self.reader.messages), 20_000)

    @in_reactor
    async def test_the_environment_is_what_was_given(self) -> None:
        code = "import os, sys; print(sorted(set(os.environ) - {'LC_CTYPE'}), file=sys.stderr)"
        wire = await self.launch(code, env={"GIVEN": "1"})
        await self.reader.when_lost()
        self.assertEqual(wire.stderr_tail(), ["['GIVEN']"])

    @in_reactor
    async def test_it_cannot_be_reached_by_the_terminal(self) -> None:
        wire = await self.launch(ECHO)
        found = stat(wire.pid)
        assert found is not None
        self.assertEqual((found.group, found.session), (wire.pid, wire.pid))

    @in_reactor
    async def test_it_inherits_no_file(self) -> None:
        code = """
            import os, sys
            fds = sorted(map(int, os.listdir("/proc/self/fd")))
            print(fds[:-1], file=sys.stderr)  # the last is the directory's own
        """
        await self.launch(ECHO)
        wire = await self.launch(code)
        await until(lambda: not alive(wire.pid) and wire.stderr_tail())
        self.assertEqual(wire.stderr_tail(), ["[0, 1, 2]"])


class Ending(ChildrenTestCase):
    @in_reactor
    async def test_exit_status_and_last_words(self) -> None:
        code = "import sys; print('no key: hunter22', file=sys.stderr); sys.exit(3)"
        wire = await self.launch(code, secrets={"hunter22"})
        reason = await self.reader.when_lost()
        self.assertIsInstance(reason, ServerExited)
        self.assertEqual(
            reason.data,
            {"exitStatus": 3, "signal": None, "stderr": ["no key: ***"], "pid": wire.pid},
        )
        self.assertIn("exited with status 3", reason.message)
        self.assertNotIn("hunter22", reason.message)

    @in_reactor
    async def test_signal(self) -> None:
        wire = await self.launch(ECHO)
        os.kill(wire.pid, signal.SIGKILL)
        reason = await self.reader.when_lost()
        self.assertEqual((reason.data["exitStatus"], reason.data["signal"]), (None, "SIGKILL"))

    @in_reactor
    async def test_whoever_ignores_the_end_of_stdin_gets_term(self) -> None:
        code = SAY + "import time; time.sleep(1000)"
        wire = await self.launch(code, QUICK)
        await self.reader.when_told(1)
        await wire.close()
        self.assertEqual(self.reader.reasons[0].data["signal"], "SIGTERM")

    @in_reactor
    async def test_whoever_ignores_term_gets_kill(self) -> None:
        code = "import signal, time; signal.signal(15, signal.SIG_IGN)\n"
        wire = await self.launch(code + SAY + "time.sleep(1000)", QUICK)
        await self.reader.when_told(1)
        await wire.close()
        self.assertEqual(self.reader.reasons[0].data["signal"], "SIGKILL")
        self.assertIsNone(stat(wire.pid))

    @in_reactor
    async def test_whoever_closes_stdout_is_stopped(self) -> None:
        wire = await self.launch("import os, time; os.close(1); time.sleep(1000)", QUICK)
        reason = await self.reader.when_lost()
        self.assertIn("closed its stdout and was killed by SIGTERM", reason.message)
        self.assertIsNone(await wire.close())

    @in_reactor
    async def test_whoever_closes_stdin_is_stopped_when_spoken_to(self) -> None:
        code = "import os; os.close(0)\n" + SAY + "import time; time.sleep(1000)"
        wire = await self.launch(code, QUICK)
        await self.reader.when_told(1)
        wire.send(Request(1, "ping"))
        self.assertEqual(self.reader.reasons, [])  # never from inside send
        reason = await self.reader.when_lost()
        self.assertIn("closed its stdin", reason.message)

    @in_reactor
    async def test_what_was_said_last_is_heard_first(self) -> None:
        """The exit does not overtake what is still in the pipe."""
        await self.launch(SAY * 500 + "import os; os._exit(1)")
        await self.reader.when_lost()
        self.assertEqual(len(self.reader.messages), 500)

    @in_reactor
    async def test_two_hundred_starts_and_stops_leave_nothing(self) -> None:
        wire = await self.launch(ECHO)
        await wire.close()
        before = open_files(), set(children(os.getpid()))
        for _ in range(20):
            wires = [await self.launch("import sys; sys.stdin.read()") for _ in range(10)]
            for wire in wires:
                await wire.close()
        self.wires.clear()
        self.assertEqual((open_files(), set(children(os.getpid()))), before)


class Families(ChildrenTestCase):
    """Children that start others."""

    if not HAS_PROC:
        skip = "only Linux tells who descends from whom"

    # Tells the pids of three others: one as usual, one in a session of its own,
    # one in a session of its own whose parent is gone.
    FAMILY = """
        import os, signal, subprocess, sys, time
        def tell(pid):
            os.write(1, b'{"jsonrpc":"2.0","id":%d,"method":"x"}\\n' % pid)
        def sleep():
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            for fd in range(3): os.close(fd)
            time.sleep(1000)
        def fork(own_session):
            pid = os.fork()
            if pid == 0:
                if own_session: os.setsid()
                sleep()
            tell(pid)
        fork(False)
        fork(True)
        if os.fork() == 0:
            fork(True)
            os._exit(0)
        os.wait()
    """

    @in_reactor
    async def test_all_are_ended_with_it(self) -> None:
        wire = await self.launch(self.FAMILY + "    sys.stdin.read()", QUICK)
        pids = await self.pids_told(3)
        self.assertTrue(all(map(alive, pids)))
        await wire.close()
        # Not even zombies, which whoever adopted them would have to reap.
        self.assertEqual([stat(pid) for pid in [wire.pid, *pids]], [None] * 4)

    @in_reactor
    async def test_all_are_ended_when_it_crashes(self) -> None:
        wire = await self.launch(self.FAMILY + "    sys.stdin.readline(); os._exit(1)", QUICK)
        pids = await self.pids_told(3)
        wire.send(Request(1, "crash"))
        await self.reader.when_lost()
        await wire.close()
        self.assertEqual([stat(pid) for pid in [wire.pid, *pids]], [None] * 4)

    @in_reactor
    async def test_whoever_holds_its_pipes_does_not_hold_up_the_news(self) -> None:
        code = """
            import os, time
            pid = os.fork()
            if pid == 0:
                time.sleep(1000)
            os.write(1, b'{"jsonrpc":"2.0","id":%d,"method":"x"}\\n' % pid)
            os._exit(7)
        """
        wire = await self.launch(code, PATIENT)
        (holder,) = await self.pids_told(1)
        reason = await self.reader.when_lost()
        self.assertEqual(reason.data["exitStatus"], 7)
        await wire.close()
        self.assertEqual([stat(pid) for pid in (wire.pid, holder)], [None, None])

    @in_reactor
    async def test_the_children_of_others_are_left_alone(self) -> None:
        """Neither ended nor reaped: their owner waits for them."""
        foreign = os.posix_spawn("/bin/sleep", ["sleep", "1000"], {}, setsid=True)
        dead = os.posix_spawn("/bin/true", ["true"], {})
        try:
            wire = await self.launch(self.FAMILY + "    os._exit(1)", QUICK)
            await self.reader.when_lost()
            await wire.close()
            self.assertTrue(alive(foreign))
            self.assertEqual(os.waitpid(dead, 0), (dead, 0))
        finally:
            os.kill(foreign, signal.SIGKILL)
            os.waitpid(foreign, 0)


class WithoutLinux(ChildrenTestCase):
    """No ``/proc``, no pidfd and no ``waitid``, as on macOS: the group is all there is."""

    def setUp(self) -> None:
        super().setUp()
        self.patch(family, "HAS_PROC", False)
        self.patch(family, "stat", lambda pid: None)
        self.patch(os, "pidfd_open", None)
        self.patch(os, "waitid", None)
        del os.pidfd_open

    @in_reactor
    async def test_exit_status(self) -> None:
        await self.launch(SAY + "sys.exit(3)")
        reason = await self.reader.when_lost()
        self.assertEqual(reason.data["exitStatus"], 3)
        self.assertEqual(len(self.reader.messages), 1)

    @in_reactor
    async def test_whoever_ignores_term_gets_kill(self) -> None:
        code = "import signal, time; signal.signal(15, signal.SIG_IGN)\n"
        wire = await self.launch(code + SAY + "time.sleep(1000)", QUICK)
        await self.reader.when_told(1)
        await wire.close()
        self.assertEqual(self.reader.reasons[0].data["signal"], "SIGKILL")

    @in_reactor
    async def test_the_group_is_ended_with_it(self) -> None:
        code = "import os, time; (os.fork() or time.sleep(1000))\n"
        wire = await self.launch(code + SAY + "sys.stdin.read()", QUICK)
        await self.reader.when_told(1)
        (relative,) = children(wire.pid)
        await wire.close()
        found = stat(relative)
        self.assertTrue(found is None or found.dead)


class Starting(ChildrenTestCase):
    async def why_not(self, command: list[str], cwd: str | None = None) -> str:
        launcher = Launcher(command, {"PATH": "/nowhere"}, cwd, reactor=reactor, name="it")
        try:
            await launcher.connect(self.reader)
        except ServerStartFailed as problem:
            return problem.message
        raise AssertionError("it started")

    @in_reactor
    async def test_it_says_what_is_wrong(self) -> None:
        script = self.mktemp()
        with open(script, "w") as file:
            file.write("#!/nowhere/python\n")
        path = os.path.abspath(script)
        self.assertIn("'uvx' was not found in PATH=/nowhere", await self.why_not(["uvx"]))
        self.assertIn("may not be executed", await self.why_not([path]))
        os.chmod(script, 0o700)
        self.assertIn("interpreter", await self.why_not([path]))
        with open(script, "w") as file:
            file.write("echo\n")
        self.assertIn("no program", await self.why_not([path]))
        self.assertIn("does not exist; correct its path", await self.why_not(["./nothing"]))
        self.assertIn("'/nowhere' does not exist", await self.why_not([path], "/nowhere"))
        self.assertIn("cannot be passed on", await self.why_not(["a\0b"]))

    @in_reactor
    async def test_a_failed_start_leaves_no_file_open(self) -> None:
        before = open_files()
        for _ in range(5):
            await self.why_not(["uvx"])
        self.assertEqual(open_files(), before)


class LauncherContract(ConnectorContract, SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = PipeReactor()

    def make_connector(self) -> Launcher:
        return Launcher(["/bin/cat"], {}, reactor=self.reactor)

    def make_failing_connector(self) -> Launcher:
        return Launcher(["/nowhere/cat"], {}, reactor=self.reactor)

    def turn(self) -> None:
        self.reactor.turn()

    def finish(self, closed: Any) -> None:
        ended: list[None] = []
        closed.addCallback(ended.append)
        for _ in range(1000):
            if ended:
                return
            self.reactor.turn(wait=0.02)
        self.fail("it did not end")


class Killed(TestCase):
    """The daemon is killed."""

    timeout = 5 * SECONDS
    if not HAS_PROC:
        skip = "only Linux tells who descends from whom"

    DAEMON = """
        import os, sys
        from twisted.internet import reactor
        from mcptwist.protocols.child import Launcher
        from mcptwist.protocols.family import household

        class Reader:
            def received(self, message):
                print(message.id, flush=True)

        def started(wire):
            print(wire.pid, household.warden.pid, flush=True)

        command = [sys.executable, "-S", "-c", sys.argv[1]]
        Launcher(command, {}, reactor=reactor).connect(Reader()).addCallback(started)
        reactor.run()
    """

    def start_daemon(self) -> tuple[subprocess.Popen[str], list[int]]:
        family = textwrap.dedent(Families.FAMILY) + "time.sleep(1000)"
        daemon = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(self.DAEMON), family],
            env={"PYTHONPATH": os.pathsep.join(sys.path)},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert daemon.stdout is not None
        with daemon.stdout as told:
            pids = [int(word) for _ in range(4) for word in told.readline().split()]
        self.addCleanup(daemon.wait)
        self.addCleanup(daemon.kill)
        self.assertEqual(len(pids), 5)
        return daemon, pids

    @in_reactor
    async def test_kill_9_leaves_nobody(self) -> None:
        daemon, pids = self.start_daemon()
        self.assertEqual([pid for pid in pids if not alive(pid)], [])
        daemon.kill()
        await until(lambda: not any(map(alive, pids)))

    @in_reactor
    async def test_the_warden_does_not_heed_polite_signals(self) -> None:
        daemon, pids = self.start_daemon()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(pids[1], number)
        daemon.kill()
        await until(lambda: not any(map(alive, pids)))
