"""``python -m tests.live.terminal``: a real terminal for the tests, by tmux.

tmux comes from Debian's packages: see :mod:`tests.debian`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence

from tests.debian import DebianProgram
from tests.patience import SECONDS

TMUX = DebianProgram("tmux", ("tmux",), "tests.live.terminal")


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
        self._tmux = [TMUX.path, "-S", socket, "-f", "/dev/null"]
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
            [*self._tmux, *words],
            env=self._environ,
            capture_output=True,
            check=False,
            timeout=SECONDS,
        )
        if done.returncode:
            raise AssertionError(f"tmux {words[0]}: {done.stderr.decode()}")
        return done.stdout.decode()


if __name__ == "__main__":
    sys.exit(0 if TMUX.bring_up() else 1)
