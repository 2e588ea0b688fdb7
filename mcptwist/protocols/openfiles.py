"""How many files the daemon may have open: as many as its connections need.

Most systems let a process have 1024, for the sake of programs that use ``select``, and more where
it asks for more. Children may be such programs, so they are given back what there was.
"""

from __future__ import annotations

import resource
from contextlib import suppress
from typing import Any

from twisted.logger import Logger

#: Files beside those of connections: of children, upstreams, logs, and Python's own.
OTHERS = 1024


class OpenFiles:
    """The limit of one process.

    :param system: knows and changes limits, as the module ``resource`` does.
    """

    log = Logger()

    def __init__(self, system: Any = resource) -> None:
        self._system = system
        self._before: tuple[int, int] | None = None

    def suffice(self, connections: int) -> None:
        """See to it that so many connections can be open, as far as the system lets us."""
        system, wanted = self._system, connections + OTHERS
        soft, hard = system.getrlimit(system.RLIMIT_NOFILE)
        unlimited = system.RLIM_INFINITY
        if soft == unlimited or soft >= wanted:
            return
        most = wanted if hard == unlimited else min(wanted, hard)
        try:
            system.setrlimit(system.RLIMIT_NOFILE, (most, hard))
        except (OSError, ValueError):
            most = soft
        else:
            self._before = self._before or (soft, hard)
        if most < connections:
            self.log.warn(
                "{limit} files may be open, too few for {connections} connections; raise that "
                "(ulimit -n, LimitNOFILE= in a unit), or lower limits.connections",
                limit=most,
                connections=connections,
            )

    def give_back(self, pid: int) -> None:
        """Let a child that was just started have the limit there was, where that can be done."""
        if self._before is not None and hasattr(self._system, "prlimit"):
            with suppress(OSError, ValueError):
                self._system.prlimit(pid, self._system.RLIMIT_NOFILE, self._before)


open_files = OpenFiles()
"""Those of this process."""
