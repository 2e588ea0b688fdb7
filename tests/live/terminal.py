"""``python -m tests.live.terminal``: a real terminal for the tests, by tmux.

tmux comes from Debian's packages, on Debian and as root. Where there is none, the tests that need
it are skipped and say so; where ``CI`` is ``true`` and it could have been installed, that is a
failure instead.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence

from tests.live.browser import APT, in_ci, is_possible


def find() -> str | None:
    """The path of tmux, if there is one."""
    return shutil.which("tmux")


def obstacle() -> str | None:
    """Why a test has no terminal, for a person to read; None when it has one, or should have."""
    if find() or (in_ci() and is_possible()):
        return None
    return "tmux is not on PATH; as root on Debian, `python -m tests.live.terminal` installs it"


def install() -> bool:
    """Install tmux if there is none and we may; say whether there is one then."""
    if find() is None and is_possible():
        environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for words in (["update"], ["install", "--yes", "--no-install-recommends", "tmux"]):
            subprocess.run([*APT, *words], env=environ, stdin=subprocess.DEVNULL, stdout=sys.stderr)
    return find() is not None


class Terminal:
    """One terminal, in which one command runs.

    :param socket: the path where tmux talks to itself; a test's own.
    :param command: for a shell.
    :param environ: all there is in its environment.
    """

    def __init__(
        self,
        socket: str,
        command: str,
        environ: Mapping[str, str],
        size: tuple[int, int] = (120, 30),
    ) -> None:
        path = find()
        if path is None:
            raise AssertionError("tmux could have been installed, and is not there")
        self._tmux = [path, "-S", socket, "-f", "/dev/null"]
        self._environ = {"PATH": os.environ["PATH"], **environ}
        width, height = size
        words = ["new-session", "-d", "-x", str(width), "-y", str(height), command]
        self._ask(words)

    def press(self, *keys: str) -> None:
        """Press keys, as tmux calls them."""
        self._ask(["send-keys", *keys])

    def resize(self, width: int, height: int) -> None:
        """Make it another size."""
        self._ask(["resize-window", "-x", str(width), "-y", str(height)])

    def screen(self) -> str:
        """What is on it."""
        return self._ask(["capture-pane", "-p"])

    def close(self) -> None:
        """End it, and what runs in it."""
        subprocess.run(
            [*self._tmux, "kill-server"], env=self._environ, stderr=subprocess.DEVNULL, check=False
        )

    def _ask(self, words: Sequence[str]) -> str:
        done = subprocess.run(
            [*self._tmux, *words], env=self._environ, capture_output=True, check=False, timeout=20
        )
        if done.returncode:
            raise AssertionError(f"tmux {words[0]}: {done.stderr.decode()}")
        return done.stdout.decode()


if __name__ == "__main__":
    found = install()
    if not found:
        sys.stderr.write("There is no tmux; the tests with a terminal are skipped.\n")
    sys.exit(1 if not found and in_ci() and is_possible() else 0)
