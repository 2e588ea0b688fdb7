"""What a person at a terminal is asked by a command, and answers."""

from __future__ import annotations

import os
import pty
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.patience import SECONDS


def held(
    argv: Sequence[str],
    environ: Mapping[str, str],
    answers: Sequence[tuple[str, str]] = (),
    seconds: float = SECONDS,
    cwd: Path | None = None,
) -> tuple[int, str]:
    """Run a command at a terminal of its own.

    :param answers: what a question ends with, and what is answered to it, in their order.
    :return: the exit status, and all that was shown.
    """
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        list(argv),
        env=dict(environ),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        cwd=cwd,
        preexec_fn=_take_terminal,
    )
    os.close(theirs)
    said, left = "", list(answers)
    try:
        while part := os.read(ours, 4096).decode():
            said += part
            if left and said.rstrip().endswith(left[0][0]):
                os.write(ours, f"{left.pop(0)[1]}\n".encode())
    except OSError:
        pass  # the other end is closed
    finally:
        os.close(ours)
    return process.wait(seconds), said.replace("\r\n", "\n")


def _take_terminal() -> None:
    """Make the terminal the one that passphrases are asked for at."""
    os.close(os.open(os.ttyname(0), os.O_RDWR))
