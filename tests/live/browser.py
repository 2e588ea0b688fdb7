"""``python -m tests.live.browser``: a real browser for the tests; and how a test looks at a page.

Chromium comes from Debian's packages, on Debian and as root. Where there is none, the tests that
need it are skipped and say so; where ``CI`` is ``true`` and it could have been installed, that is a
failure instead.
"""

from __future__ import annotations

import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
#: It waits for others who are installing, but not for a network that is not there.
APT = [
    "apt-get",
    "-qq",
    "-oDpkg::Use-Pty=0",
    "-oDPkg::Lock::Timeout=120",
    "-oAcquire::http::Timeout=20",
]

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


def find() -> str | None:
    """The browser's path, if there is one."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


def is_possible() -> bool:
    """Whether it could be installed here."""
    try:
        is_debian = platform.freedesktop_os_release()["ID"] == "debian"
    except OSError:
        is_debian = False
    return is_debian and os.geteuid() == 0


def in_ci() -> bool:
    return os.environ.get("CI", "").lower() == "true"


def obstacle() -> str | None:
    """Why a test has no browser, for a person to read; None when it has one, or should have."""
    if find() or (in_ci() and is_possible()):
        return None
    return "Chromium is not on PATH; as root on Debian, `python -m tests.live.browser` installs it"


def install() -> bool:
    """Install Chromium if there is no browser and we may; say whether there is one then."""
    if find() is None and is_possible():
        environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for words in (["update"], ["install", "--yes", "--no-install-recommends", "chromium"]):
            subprocess.run([*APT, *words], env=environ, stdin=subprocess.DEVNULL, stdout=sys.stderr)
    return find() is not None


class Browser:
    """A browser of a test's own that looks at one page, with a profile of its own.

    :param url: the page.
    :param flags: for the browser's command line.
    """

    def __init__(self, url: str, flags: Sequence[str] = ()) -> None:
        path = find()
        if path is None:
            raise AssertionError("Chromium could have been installed, and is not there")
        self._home = tempfile.mkdtemp(prefix="mcptwist-browser-")
        self._process = subprocess.Popen(
            [path, *FLAGS, *flags, f"--user-data-dir={self._home}/profile", url],
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
    found = install()
    if not found:
        sys.stderr.write("There is no Chromium; the tests with a browser are skipped.\n")
    sys.exit(1 if not found and in_ci() and is_possible() else 0)
