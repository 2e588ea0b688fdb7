"""Processes that use the same things at the same time: each is taken once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.patience import SECONDS

WORKERS, NAMES = 4, 100
PROGRAM = """
import sys, time
from mcptwist.auth.oauth.replaystore import ReplayStore
store = ReplayStore(sys.argv[1], time.time)
sys.stdin.readline()
until = time.time() + 300
print(*(name for name in range(int(sys.argv[2])) if store.first_use("alice", str(name), until)))
"""


class ProcessTests(SynchronousTestCase):
    def test_exactly_one(self) -> None:
        """C1 across workers."""
        place = Path(self.mktemp())
        place.mkdir(mode=0o700)
        argv = [sys.executable, "-c", PROGRAM, str(place / "replay"), str(NAMES)]
        workers = [
            subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            for _ in range(WORKERS)
        ]
        for worker in workers:
            assert worker.stdin is not None
            worker.stdin.write("go\n")
            worker.stdin.flush()
        said = [worker.communicate(timeout=SECONDS)[0].split() for worker in workers]
        taken = [name for each in said for name in each]
        self.assertEqual(sorted(taken), sorted(map(str, range(NAMES))))
