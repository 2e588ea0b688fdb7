"""Who is ended when the daemon is gone. That they are is in ``tests/live``."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import sys
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from mcptwist.protocols.processes import HAS_PROC, Stat, bearing, mark_of, new_mark, stat
from mcptwist.protocols.warden import Warden, belonging, listen


def process(pid: int, parent: int, session: int, start: int = 100) -> Stat:
    """One process, as Linux would tell of it."""
    zeros = "0 " * 15
    return Stat(f"{pid} (a) b) S {parent} {session} {session} {zeros}{start} 0 0".encode())


HOUSE = [
    process(1, 0, 1, 0),
    process(10, 1, 10),  # a ward
    process(11, 10, 10),  # its child
    process(12, 11, 12),  # its grandchild, in a session of its own
    process(13, 1, 10),  # an orphan of its session
    process(14, 1, 14),  # somebody else
    process(15, 14, 14),
]


class Belonging(SynchronousTestCase):
    def family(self, wards: dict[int, int], house: list[Stat] = HOUSE) -> set[int]:
        return set(belonging(wards, house))

    def test_its_session_and_its_descendants(self) -> None:
        self.assertEqual(self.family({10: 100}), {10, 11, 12, 13})

    def test_its_session_outlives_it(self) -> None:
        self.assertEqual(self.family({10: 100}, [p for p in HOUSE if p.pid != 10]), {11, 12, 13})

    def test_a_number_used_again_means_another(self) -> None:
        self.assertEqual(self.family({10: 99}), set())

    def test_nobody(self) -> None:
        self.assertEqual(self.family({}), set())

    def test_descendants_are_found_in_whatever_order_they_come(self) -> None:
        self.assertEqual(self.family({10: 100}, HOUSE[::-1]), {10, 11, 12, 13})

    def test_it_spares_itself(self) -> None:
        house = [*HOUSE, process(os.getpid(), 10, 10)]
        self.assertEqual(self.family({10: 100}, house), {10, 11, 12, 13})


class Listening(SynchronousTestCase):
    def test_who_is_left(self) -> None:
        near, far = os.pipe()
        self.addCleanup(os.close, near)
        os.write(far, b"+10 100 7\n+11 100 8\n-10\n+12 100 0\n-99\n+1")
        os.close(far)
        self.assertEqual(listen(near), ({11: 100, 12: 100}, {8}))


class Hired(SynchronousTestCase):
    """The daemon's end, with a real warden behind it."""

    def setUp(self) -> None:
        self.warden = Warden()
        self.addCleanup(self.send_away)

    def send_away(self) -> None:
        process: Any = self.warden._process
        self.warden.leave()
        if process is not None:
            process.wait(30)

    def test_there_is_none_until_somebody_is_watched(self) -> None:
        self.assertEqual(self.warden.pid, 0)
        self.warden.dismiss(1)
        self.assertEqual(self.warden.pid, 0)

    def test_one_serves_all(self) -> None:
        self.warden.watch(1 << 22, 1)
        hired = self.warden.pid
        self.warden.watch((1 << 22) + 1, 1)
        self.warden.dismiss(1 << 22)
        self.assertEqual(self.warden.pid, hired)

    def test_one_that_was_killed_is_replaced(self) -> None:
        self.warden.watch(1 << 22, 1)
        killed: Any = self.warden._process
        killed.kill()
        killed.wait()
        self.warden.watch((1 << 22) + 1, 1)
        self.assertNotIn(self.warden.pid, (0, killed.pid))

    def test_one_that_was_stopped_is_replaced_and_harms_nobody(self) -> None:
        ward = subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE)
        found = stat(ward.pid)
        assert found is not None
        self.warden.watch(ward.pid, found.start)
        stopped: Any = self.warden._process
        stopped.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, stopped.pid, os.WSTOPPED)
        for other in range(10_000):  # until its pipe is full
            self.warden.watch((1 << 22) + other, 1)
            if self.warden.pid != stopped.pid:
                break
        self.assertEqual(stopped.wait(), -signal.SIGKILL)
        self.assertIsNone(ward.poll())
        ward.communicate()


class Marks(SynchronousTestCase):
    if not HAS_PROC:
        skip = "only Linux has marks"

    def test_they_are_inherited(self) -> None:
        """Also by a grandchild in a session of its own."""
        code = (
            "import os, sys; sys.stdin.readline(); "
            "os.fork() or (os.setsid(), print(os.getpid())); sys.stdin.read()"
        )
        mark, ours = new_mark(), mark_of(os.getpid())
        with bearing(mark):
            parent = subprocess.Popen(
                [sys.executable, "-S", "-u", "-c", code],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
        assert parent.stdin is not None
        assert parent.stdout is not None
        self.assertEqual((mark_of(parent.pid), mark_of(os.getpid())), (mark, ours))
        parent.stdin.write(b"\n")
        parent.stdin.flush()
        grandchild = int(parent.stdout.readline())
        self.assertEqual(mark_of(grandchild), mark)
        parent.communicate()  # both end with their stdin
        with contextlib.suppress(ChildProcessError):
            os.waitpid(grandchild, 0)  # ours, if other tests made this process a subreaper

    def test_whoever_is_gone_has_none(self) -> None:
        self.assertEqual(mark_of(1 << 22), 0)

    def test_no_two_are_alike(self) -> None:
        marks = {new_mark() for _ in range(100)}
        self.assertEqual(len(marks), 100)
        self.assertTrue(all(1 << 62 <= mark < 1 << 63 for mark in marks))

    def test_nothing_is_marked_where_the_limit_could_not_be_given_back(self) -> None:
        self.patch(resource, "getrlimit", lambda which: (5, 5))
        self.patch(resource, "setrlimit", None)
        with bearing(new_mark()):
            pass
