"""``python -m tests.live.browser``: a real browser for the tests; and how a test looks at a page.

Chromium comes from Debian's packages: see :mod:`tests.debian`.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence

from tests.debian import DebianProgram

CHROMIUM = DebianProgram(
    "chromium",
    ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome"),
    "tests.live.browser",
)

#: Without them Chromium goes looking for updates and for its maker's hosts at every start, or asks
#: questions on a screen nobody looks at; and as root it runs only without its sandbox.
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--disable-crash-reporter",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


class Browser:
    """A browser of a test's own that looks at one page, with a profile of its own.

    :param url: the page.
    :param flags: for the browser's command line.
    """

    def __init__(self, url: str, flags: Sequence[str] = ()) -> None:
        self._home = tempfile.mkdtemp(prefix="mcptwist-browser-")
        self._process = subprocess.Popen(
            [CHROMIUM.path, *FLAGS, *flags, f"--user-data-dir={self._home}/profile", url],
            env={**os.environ, "HOME": self._home, "TMPDIR": self._home},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def close(self) -> None:
        """End it, and all the processes it has started."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(10)
        shutil.rmtree(self._home, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(0 if CHROMIUM.bring_up() else 1)
