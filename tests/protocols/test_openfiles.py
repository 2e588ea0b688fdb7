"""``mcptwist.protocols.openfiles``: how many files the daemon may have open."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.protocols.openfiles import OTHERS, OpenFiles

ENDLESS = -1


class System:
    """Keeps limits, as the module ``resource`` does."""

    RLIMIT_NOFILE, RLIM_INFINITY = 7, ENDLESS

    def __init__(self, soft: int, hard: int) -> None:
        self.limit = (soft, hard)
        self.children: dict[int, tuple[int, int]] = {}
        self.refuses = False

    def getrlimit(self, which: int) -> tuple[int, int]:
        assert which == self.RLIMIT_NOFILE
        return self.limit

    def setrlimit(self, which: int, limit: tuple[int, int]) -> None:
        assert which == self.RLIMIT_NOFILE
        if self.refuses:
            raise ValueError("not allowed")
        self.limit = limit

    def prlimit(self, pid: int, which: int, limit: tuple[int, int]) -> None:
        assert which == self.RLIMIT_NOFILE
        if pid == 0:
            raise ProcessLookupError
        self.children[pid] = limit


class OpenFilesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.events: list[Any] = []
        globalLogPublisher.addObserver(self.events.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.events.append)

    def raised(self, soft: int, hard: int, connections: int, **more: Any) -> System:
        self.system = System(soft, hard)
        self.system.refuses = more.get("refuses", False)
        self.files = OpenFiles(self.system)
        self.files.suffice(connections)
        self.files.give_back(1)
        self.files.give_back(0)  # one that has gone already
        return self.system

    def test_raised(self) -> None:
        """To what is needed, and not beyond what is allowed; children have what there was."""
        for hard, expected in ((1 << 20, 4096 + OTHERS), (ENDLESS, 4096 + OTHERS), (4500, 4500)):
            system = self.raised(1024, hard, 4096)
            self.assertEqual(system.limit, (expected, hard))
            self.assertEqual(system.children, {1: (1024, hard)})
        self.assertEqual(self.events, [])

    def test_enough(self) -> None:
        """What is enough is left as it is, for children too."""
        for soft in (ENDLESS, 4096 + OTHERS):
            system = self.raised(soft, ENDLESS, 4096)
            self.assertEqual((system.limit, system.children), ((soft, ENDLESS), {}))

    def test_too_few(self) -> None:
        """Where there cannot be enough, that is said, with what to do."""
        for refuses in (False, True):
            self.events.clear()
            self.raised(256, 512, 4096, refuses=refuses)
            (event,) = self.events
            self.assertIn("LimitNOFILE", event["log_format"])
            limit = 256 if refuses else 512
            self.assertEqual((event["limit"], event["connections"]), (limit, 4096))

    def test_twice(self) -> None:
        """Children have what there was at first."""
        self.raised(256, 512, 100)
        self.files.suffice(4096)
        self.files.give_back(2)
        self.assertEqual(self.system.children[2], (256, 512))

    def test_no_prlimit(self) -> None:
        """Elsewhere than on Linux children have what the daemon has."""
        self.raised(256, 512, 100)
        without: Any = SimpleNamespace(
            RLIMIT_NOFILE=7,
            RLIM_INFINITY=ENDLESS,
            getrlimit=self.system.getrlimit,
            setrlimit=self.system.setrlimit,
        )
        files = OpenFiles(without)
        files.suffice(4096)
        files.give_back(3)
        self.assertNotIn(3, self.system.children)
